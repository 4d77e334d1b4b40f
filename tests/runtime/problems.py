"""Constrained problems written by hand, with derivatives by JAX, for the methods of `vspec.runtime.constrained`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.constrained.constraints import Constraints, Lagrangian
from vspec.runtime.methods import Problem

Function = Callable[[Array], Array]
inf = np.inf


@dataclass(frozen=True)
class Case:
    """A problem in x [n], its start, its optimal value and, where it is unique, its solution."""

    problem: Problem
    begin: Sequence[float]
    value: float
    x: tuple[float, ...] = ()

    @property
    def start(self) -> dict[str, Array]:
        """The start in the precision of the process."""
        return {"x": jnp.asarray(self.begin, float)}


def case(
    f: Function,
    start: Sequence[float],
    value: float,
    *,
    equal: Sequence[Function] = (),
    less: Sequence[Function] = (),
    lower: Any = None,
    upper: Any = None,
    x: tuple[float, ...] = (),
) -> Case:
    """A case from functions of x: f, what is to be 0, what is to be at most 0, and the ends of x."""
    relations = {f"e{k}": "eq" for k in range(len(equal))} | {f"i{k}": "le" for k in range(len(less))}
    functions = {**{f"e{k}": c for k, c in enumerate(equal)}, **{f"i{k}": c for k, c in enumerate(less)}}

    def value_of(p: dict[str, Array]) -> Array:
        return f(p["x"])

    def gaps(p: dict[str, Array]) -> dict[str, Array]:
        return {k: jnp.asarray(c(p["x"])) for k, c in functions.items()}

    def lagrangian(p: dict[str, Array], weight: Array, multipliers: dict[str, Array]) -> Lagrangian:
        def whole(p: dict[str, Array]) -> Array:
            return weight * value_of(p) + sum(jnp.sum(multipliers[k] * g) for k, g in gaps(p).items())

        return Lagrangian(value_of(p), jax.grad(value_of)(p), gaps(p), rows(p), jax.hessian(whole)(p))

    def augmented(multipliers: dict[str, Array], penalty: Array) -> Problem:
        def whole(p: dict[str, Array]) -> Array:
            total = value_of(p)
            for k, g in gaps(p).items():
                shifted = g + multipliers[k] / penalty
                if relations[k] == "le":
                    shifted = jnp.maximum(shifted, 0)
                total = total + penalty / 2 * jnp.sum(shifted**2)
            return total

        return smooth(whole)

    def rows(p: dict[str, Array]) -> dict[str, dict[str, Array]]:
        return jax.jacobian(gaps)(p) if functions else {}

    ends = {"lower": {} if lower is None else {"x": lower}, "upper": {} if upper is None else {"x": upper}}
    constraints = Constraints(relations, gaps, rows, lagrangian, augmented, **ends)
    return Case(replace(smooth(value_of), constraints=constraints), start, value, x)


def smooth(f: Callable[[dict[str, Array]], Array]) -> Problem:
    """A problem without constraints, with derivatives by JAX."""
    vg = jax.value_and_grad(f)
    return Problem(f, vg, lambda p: (*vg(p), jax.hessian(f)(p)))


def inside(case_: Case) -> Case:
    """The same with its ends as inequalities."""
    constraints = case_.problem.constraints
    assert constraints is not None
    low, high = constraints.lower.get("x", -inf), constraints.upper.get("x", inf)
    n = (len(case_.begin),)
    less: list[Function] = []
    for end, sign in ((np.broadcast_to(low, n), -1.0), (np.broadcast_to(high, n), 1.0)):
        less += [lambda x, k=k, end=end, sign=sign: sign * (x[k] - end[k]) for k in range(n[0]) if np.isfinite(end[k])]
    names = dict(constraints.relations)
    old = [lambda x, k=k: constraints.gaps({"x": x})[k] for k, r in names.items() if r == "le"]
    equal = [lambda x, k=k: constraints.gaps({"x": x})[k] for k, r in names.items() if r == "eq"]
    value = case_.problem.value
    return case(lambda x: value({"x": x}), case_.begin, case_.value, equal=equal, less=old + less, x=case_.x)


def _hs24(x: Array) -> Array:
    return ((x[0] - 3) ** 2 - 9) * x[1] ** 3 / (27 * np.sqrt(3))


def _hs100(x: Array) -> Array:
    a = (x[0] - 10) ** 2 + 5 * (x[1] - 12) ** 2 + x[2] ** 4 + 3 * (x[3] - 11) ** 2
    return a + 10 * x[4] ** 6 + 7 * x[5] ** 2 + x[6] ** 4 - 4 * x[5] * x[6] - 10 * x[5] - 8 * x[6]


# Hock and Schittkowski (1981), Test Examples for Nonlinear Programming Codes, by their numbers.
CASES = {
    "6": case(lambda x: (1 - x[0]) ** 2, [-1.2, 1], 0, equal=[lambda x: 10 * (x[1] - x[0] ** 2)], x=(1, 1)),
    "7": case(
        lambda x: jnp.log(1 + x[0] ** 2) - x[1],
        [2, 2],
        -(3**0.5),
        equal=[lambda x: (1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4],
        x=(0, 3**0.5),
    ),
    "10": case(
        lambda x: x[0] - x[1],
        [-10, 10],
        -1,
        less=[lambda x: 3 * x[0] ** 2 - 2 * x[0] * x[1] + x[1] ** 2 - 1],
        x=(0, 1),
    ),
    "21": case(
        lambda x: 0.01 * x[0] ** 2 + x[1] ** 2 - 100,
        [-1, -1],
        -99.96,
        less=[lambda x: 10 - 10 * x[0] + x[1]],
        lower=np.array([2.0, -50]),
        upper=np.array([50.0, 50]),
        x=(2, 0),
    ),
    "24": case(
        _hs24,
        [1, 0.5],
        -1,
        less=[
            lambda x: x[1] - x[0] / 3**0.5,
            lambda x: -x[0] - 3**0.5 * x[1],
            lambda x: x[0] + 3**0.5 * x[1] - 6,
        ],
        lower=np.zeros(2),
        x=(3, 3**0.5),
    ),
    "26": case(
        lambda x: (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 4,
        [-2.6, 2, 2],
        0,
        equal=[lambda x: (1 + x[1] ** 2) * x[0] + x[2] ** 4 - 3],
    ),
    "35": case(
        lambda x: (
            9 - 8 * x[0] - 6 * x[1] - 4 * x[2] + 2 * x[0] ** 2 + 2 * x[1] ** 2 + x[2] ** 2 + 2 * x[0] * (x[1] + x[2])
        ),
        [0.5, 0.5, 0.5],
        1 / 9,
        less=[lambda x: x[0] + x[1] + 2 * x[2] - 3],
        lower=np.zeros(3),
        x=(4 / 3, 7 / 9, 4 / 9),
    ),
    "43": case(
        lambda x: jnp.sum(jnp.array([1, 1, 2, 1]) * x**2) + x @ jnp.array([-5.0, -5, -21, 7]),
        [0, 0, 0, 0],
        -44,
        less=[
            lambda x: jnp.sum(x**2) + x[0] - x[1] + x[2] - x[3] - 8,
            lambda x: x[0] ** 2 + 2 * x[1] ** 2 + x[2] ** 2 + 2 * x[3] ** 2 - x[0] - x[3] - 10,
            lambda x: 2 * x[0] ** 2 + x[1] ** 2 + x[2] ** 2 + 2 * x[0] - x[1] - x[3] - 5,
        ],
        x=(0, 1, 2, -1),
    ),
    "71": case(
        lambda x: x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2],
        [1, 5, 5, 1],
        17.0140173,
        equal=[lambda x: jnp.sum(x**2) - 40],
        less=[lambda x: 25 - jnp.prod(x)],
        lower=np.ones(4),
        upper=np.full(4, 5.0),
        x=(1, 4.7429994, 3.8211503, 1.3794082),
    ),
    "76": case(
        lambda x: (
            x[0] ** 2
            + x[1] ** 2 / 2
            + x[2] ** 2
            + x[3] ** 2 / 2
            - x[0] * x[2]
            + x[2] * x[3]
            - x[0]
            - 3 * x[1]
            + x[2]
            - x[3]
        ),
        [0.5, 0.5, 0.5, 0.5],
        -4.681818181,
        less=[
            lambda x: x[0] + 2 * x[1] + x[2] + x[3] - 5,
            lambda x: 3 * x[0] + x[1] + 2 * x[2] - x[3] - 4,
            lambda x: 1.5 - x[1] - 4 * x[2],
        ],
        lower=np.zeros(4),
    ),
    "100": case(
        _hs100,
        [1, 2, 0, 4, 0, 1, 1],
        680.6300573,
        less=[
            lambda x: 2 * x[0] ** 2 + 3 * x[1] ** 4 + x[2] + 4 * x[3] ** 2 + 5 * x[4] - 127,
            lambda x: 7 * x[0] + 3 * x[1] + 10 * x[2] ** 2 + x[3] - x[4] - 282,
            lambda x: 23 * x[0] + x[1] ** 2 + 6 * x[5] ** 2 - 8 * x[6] - 196,
            lambda x: 4 * x[0] ** 2 + x[1] ** 2 - 3 * x[0] * x[1] + 2 * x[2] ** 2 + 5 * x[5] - 11 * x[6],
        ],
    ),
}

# No multipliers exist at the solution: the gradients of the active constraints are parallel.
WITHOUT_MULTIPLIERS = case(
    lambda x: (x[0] - 2) ** 2 + x[1] ** 2,
    [-2, -2],
    1,
    less=[lambda x: x[1] - (1 - x[0]) ** 3],
    lower=np.zeros(2),
)

# Line searches that only shorten Newton steps do not solve it (Waechter and Biegler 2000, Mathematical Programming 88).
NEEDS_RESTORATION = case(
    lambda x: x[0],
    [-4, 1, 1],
    1,
    equal=[lambda x: x[0] ** 2 - x[1] - 1, lambda x: x[0] - x[2] - 0.5],
    lower=np.array([-inf, 0, 0]),
    x=(1, 0, 0.5),
)

LINEAR = case(
    lambda x: -x[0] - 2 * x[1],
    [0, 0],
    -7,
    less=[lambda x: x[0] + x[1] - 4, lambda x: x[0] - 2, lambda x: x[1] - 3],
    lower=np.zeros(2),
    x=(1, 3),
)

# The same equation twice, and a variable that may not move.
REPEATED = case(
    lambda x: jnp.sum((x - jnp.arange(4.0)) ** 2),
    [1, 2, 3, 0.25],
    2.75**2 + 4 / 3,
    equal=[lambda x: jnp.sum(x[:3]) - 1, lambda x: 2 * jnp.sum(x[:3]) - 2],
    lower=np.array([-inf, -inf, -inf, 0.25]),
    upper=np.array([inf, inf, inf, 0.25]),
)

CONTRADICTION = case(
    lambda x: x[0] ** 2 + x[1], [1, 2], 0, equal=[lambda x: x[0] + x[1] - 1, lambda x: x[0] + x[1] - 2]
)

EMPTY = case(lambda x: x[0] + x[1], [3, 2], 0, less=[lambda x: x[0] ** 2 + x[1] ** 2 - 1, lambda x: 4 - x[0]])
