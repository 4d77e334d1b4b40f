"""How well a point solves a constrained problem: violations, stationarity of the Lagrangian, complementarity, multipliers.

A multiplier is the derivative of the best value by what is added to the right of its constraint, positive where the
objective gains by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.constrained.constraints import Constraints, Flat, Gaps, Point
from vspec.runtime.constrained.program import PLAIN, constraints_of
from vspec.runtime.constrained.projection import projector
from vspec.runtime.devices import compiled
from vspec.runtime.objective import Objective
from vspec.runtime.problem import problem
from vspec.runtime.program import Program
from vspec.runtime.space import Space

_ACTIVE = 1e-6


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of a solution.

    Attributes:
        value: the objective as written.
        violations: constraint → its largest violation, 0 where it holds.
        stationarity: the largest entry of the gradient of the Lagrangian, of params with a domain the largest entry of the
            step to the projection of `x - gradient`.
        complementarity: the largest of the lesser of an inequality's multiplier and its slack.
        multipliers: constraint → array.
    """

    value: float
    violations: Mapping[str, float]
    stationarity: float
    complementarity: float
    multipliers: Mapping[str, Any]


def certify(
    program: Program, record: Mapping[str, Any], params: Mapping[str, Array], bound: Bound, multipliers: Gaps | None
) -> Certificate:
    """The certificate of a stage that minimises or maximises, where it ended.

    Args:
        program: the program.
        record: the stage.
        params: all params.
        bound: the data.
        multipliers: those of the method; None where it has none, then they are estimated by least squares.
    """
    over = tuple(record["over"])
    fixed = {k: x for k, x in params.items() if k not in over}
    moving = {k: params[k] for k in over}
    key = ("certificate", record["line"], tuple(record["names"]), over, multipliers is None)
    if key not in program.compiled:
        program.compiled[key] = compiled(lambda m, f, y, b: _measured(program, record, m, f, b, y))
    value, violations, stationarity, complementarity, found = jax.device_get(
        program.compiled[key](moving, fixed, multipliers, bound)
    )
    return Certificate(
        float(value),
        {k: float(v) for k, v in violations.items()},
        float(stationarity),
        float(complementarity),
        {k: np.asarray(v) for k, v in found.items()},
    )


def _measured(
    program: Program, record: Mapping[str, Any], moving: Point, fixed: Point, bound: Bound, multipliers: Gaps | None
) -> tuple[Array, Gaps, Array, Array, Gaps]:
    over = tuple(record["over"])
    entry = next((e.name for e in program.entries.values() if e.kind == "bounds"), None)
    ends = program.call(entry, {}, bound) if entry else {}
    space = Space.of(program.manifest["params"], over, ends, PLAIN["projection"])
    sign = -1.0 if record["kind"] == "maximize" else 1.0
    whole = problem(Objective(program, record["names"][0], record), space, sign, fixed, bound)
    constraints = constraints_of(program, record, space, sign, fixed, bound)
    point = space.inward(moving)
    gaps, rows = constraints.gaps(point), constraints.jacobian(point)
    value, gradient = whole.value_and_gradient(point)
    nearest = projector(space, constraints, {})
    if multipliers is None:
        multipliers = _estimated(constraints, point, gradient, nearest)
    multipliers = {k: multipliers[k] for k in constraints.relations}
    slope = {
        n: g + sum(jnp.tensordot(multipliers[k], rows[k][n], axes=multipliers[k].ndim) for k in constraints.relations)
        for n, g in gradient.items()
    }
    there = nearest({n: x - slope[n] for n, x in point.items()})
    stationarity = _largest({n: x - there[n] for n, x in point.items()})
    violations, slack = {}, {}
    for k, gap in gaps.items():
        less = constraints.relations[k] == "le"
        violations[k] = jnp.max(jnp.maximum(gap, 0) if less else jnp.abs(gap), initial=0.0)
        if less:
            slack[k] = jnp.minimum(multipliers[k], -gap)
    return sign * value, violations, stationarity, _largest(slack), multipliers


def _estimated(constraints: Constraints, point: Point, gradient: Point, nearest: Any) -> Gaps:
    """Multipliers that make the gradient of the Lagrangian least in the entries that are free to move, those of inequalities
    the smaller the farther they are from active (Glad and Polak 1979)."""
    flat = Flat(lambda _: jnp.zeros(()), constraints, point)
    equal, less, equal_rows, less_rows = flat.rows(flat.vector(point))
    g, x = flat.vector(gradient), flat.vector(point)
    reach = _ACTIVE * jnp.maximum(1, jnp.max(jnp.abs(x)))
    up, down = (flat.vector(nearest(flat.point(x + s * reach))) for s in (1.0, -1.0))
    free = (jnp.abs(up - x - reach) < reach / 2) & (jnp.abs(x - down - reach) < reach / 2)
    rows = jnp.where(free, jnp.concatenate([equal_rows, less_rows]), 0)
    weights = jnp.concatenate([jnp.zeros_like(equal), less])
    matrix = rows @ rows.T + jnp.diag(weights**2)
    y = jnp.linalg.lstsq(matrix, -rows @ g)[0]
    return flat.multipliers(y[: equal.size], jnp.maximum(y[equal.size :], 0))


def _largest(parts: Mapping[str, Array]) -> Array:
    tops = [jnp.max(jnp.abs(v), initial=0.0) for v in parts.values()]
    return jnp.max(jnp.stack(tops)) if tops else jnp.zeros(())


__all__ = ["Certificate", "certify"]
