"""The methods a `solve` stage may name: signatures only, so that checking a spec imports neither JAX nor Optax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of a method. `type` is float, int, bool or str; a default of None with `required` has no default."""

    name: str
    type: type
    default: Any
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """A method: what it takes and which derivatives the compiler must give it (`gradient`, `hessian`)."""

    name: str
    keywords: tuple[Keyword, ...]
    needs: tuple[str, ...]
    doc: str
    source: str


_ALL = (
    Method(
        "gradient_descent",
        (
            Keyword("lr", float, 1e-2, "step length"),
            Keyword("tol", float, 0.0, "stop when the largest gradient entry falls below this; 0 runs all steps"),
        ),
        ("gradient",),
        "Steepest descent with a constant step.",
        "Optax `sgd`",
    ),
    Method(
        "adam",
        (
            Keyword("lr", float, 1e-3, "step length"),
            Keyword("b1", float, 0.9, "decay of the first moment"),
            Keyword("b2", float, 0.999, "decay of the second moment"),
            Keyword("eps", float, 1e-8, "added to the denominator"),
            Keyword("tol", float, 0.0, "stop when the largest gradient entry falls below this; 0 runs all steps"),
        ),
        ("gradient",),
        "Adaptive moments (Kingma and Ba 2015).",
        "Optax `adam`",
    ),
    Method(
        "lbfgs",
        (
            Keyword("tol", float, 1e-6, "stop when the largest gradient entry falls below this"),
            Keyword("memory", int, 10, "number of correction pairs kept"),
        ),
        ("gradient",),
        "Limited-memory BFGS with a zoom line search (Nocedal and Wright 2006, algorithms 7.5 and 3.5).",
        "Optax `lbfgs`",
    ),
    Method(
        "newton",
        (
            Keyword("tol", float, 1e-8, "stop when the largest gradient entry falls below this"),
            Keyword("damping", float, 0.0, "added to the diagonal of the Hessian"),
        ),
        ("gradient", "hessian"),
        "Newton's method with the symbolic Hessian, Cholesky and Armijo backtracking (Nocedal and Wright 2006, ch. 3).",
        "vspec",
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({m.name: m for m in _ALL})
