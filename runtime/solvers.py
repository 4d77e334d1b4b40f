"""The methods that find implicit quantities (`root`, `fixed_point`, `argmin`): signatures only, so that checking a spec imports
neither JAX nor Optimistix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vspec.runtime.registry import Keyword

ROOTS = ("root", "fixed_point")
EXTREMES = ("argmin", "argmax")


@dataclass(frozen=True, slots=True)
class Solver:
    """A method: the binders it serves, what it takes, whether it asks for the matrix of second derivatives or of the
    Jacobian, whether its iterations can be differentiated (`unrolls`), the greatest number of steps by default, and whether
    it is for problems with constraints."""

    name: str
    binders: tuple[str, ...]
    keywords: tuple[Keyword, ...]
    matrix: bool
    unrolls: bool
    steps: int
    doc: str
    source: str
    constrained: bool = False


# Without a number, `tol` follows the precision: 1e-10, or 1e-5 in single precision.
TOL = Keyword("tol", float, None, "ends where no equation, or no entry of the gradient, is further from 0")
DAMPING = Keyword("damping", float, 1.0, "share of each step that is taken")

_ALL = (
    Solver(
        "newton",
        (*ROOTS, *EXTREMES),
        (TOL,),
        True,
        True,
        100,
        "Newton's method with the symbolic Jacobian or Hessian. For a root, steps are halved until the equations come nearer "
        "to 0, and where none does, the search begins anew by pseudo-transient continuation (Kelley and Keyes 1998). For a "
        "least value, steps are halved until it falls, with a multiple of the identity added to a Hessian that is not "
        "positive definite (Nocedal and Wright 2006, ch. 3 and 11).",
        "vspec",
    ),
    Solver(
        "anderson",
        ("fixed_point",),
        (TOL, Keyword("memory", int, 5, "number of earlier points that are mixed"), DAMPING),
        False,
        True,
        200,
        "Anderson's mixing (Walker and Ni 2011): the combination of earlier points whose residuals nearly cancel.",
        "vspec",
    ),
    Solver(
        "picard",
        ("fixed_point",),
        (TOL, DAMPING),
        False,
        True,
        1000,
        "The map applied again and again; with a damping below 1 only that share of each step is taken.",
        "vspec",
    ),
    Solver(
        "interior_point",
        EXTREMES,
        (Keyword("tol", float, None, "ends where stationarity, violation and complementarity are no further from 0"),),
        True,
        False,
        300,
        "A primal-dual interior-point method with a filter line search (Waechter and Biegler 2006) for a least value under "
        "constraints, with the symbolic Hessian of the Lagrangian.",
        "vspec",
        constrained=True,
    ),
)

SOLVERS: Mapping[str, Solver] = MappingProxyType({s.name: s for s in _ALL})
CONSTRAINED = "interior_point"
DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"root": "newton", "fixed_point": "anderson", "argmin": "newton", "argmax": "newton"}
)
