"""Augmented Lagrangians and penalties around any method for problems without constraints.

The augmented Lagrangian is that of Powell, Hestenes and Rockafellar, `f + rho/2 sum((c + y/rho)^2)` over equations and
`f + rho/2 sum(max(0, c + z/rho)^2)` over inequalities, up to a constant; the safeguards are those of Birgin and Martinez
(2014, Practical Augmented Lagrangian Methods, algorithm 4.1): multipliers stay bounded, the penalty grows where the
violation does not fall enough, and the inner problems are solved to tolerances that tighten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.constrained.constraints import Constraints, Gaps
from vspec.runtime.methods.method import (
    DIVERGED,
    INFEASIBLE,
    RUNNING,
    STALLED,
    TOLERANCE,
    Method,
    Point,
    Problem,
    State,
)

_MOST_MULTIPLIER = 1e12
_MOST_PENALTY = 1e14
_FALL = 0.5
_LOOSEST = 0.1
_PATIENCE = 6
_STATIONARY = 1e-3


class Extra(NamedTuple):
    """The state of the inner method, the multipliers and the penalty of its problem, the tolerance it is to reach, its
    steps so far, the last violation, how often in a row the violation did not fall, and the penalty at the start."""

    inner: State
    multipliers: Gaps
    penalty: Array
    target: Array
    spent: Array
    violation: Array
    idle: Array
    first: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmented(Method):
    """Steps of the inner method on the augmented Lagrangian, with updates of multipliers and penalty in between.

    Attributes:
        inner: the inner method.
        penalty: the first penalty, relative to the size of objective and violation at the start.
        growth: the factor by which the penalty grows.
        steps: the greatest number of inner steps between two updates.
        updates: whether there are multipliers; without them it is the quadratic penalty method.
        tol: the largest violation and complementarity at the end; stationarity has the tolerance of the inner method, if it
            has one.
    """

    inner: Method
    penalty: float = 10.0
    growth: float = 10.0
    steps: int = 200
    updates: bool = True
    limit: ClassVar[int] = 10000

    @property
    def goal(self) -> Array:
        """The tolerance of stationarity."""
        own = jnp.asarray(self.inner.tol)
        return jnp.where(own > 0, own, self.tol)

    def init(self, problem: Problem, point: Point) -> State:
        """The first problem: multipliers 0 and a penalty that balances objective and violation."""
        constraints = constrained(problem)
        gaps = constraints.gaps(point)
        value = problem.value(point)
        squares = sum(jnp.sum(v**2) for v in missed(constraints, gaps).values()) / 2
        first = self.penalty * jnp.maximum(1, jnp.abs(value)) / jnp.maximum(1, squares)
        first = jnp.clip(jnp.where(jnp.isfinite(first), first, self.penalty), 1e-8, 1e8).astype(value.dtype)
        multipliers = jax.tree.map(jnp.zeros_like, {k: gaps[k] for k in constraints.relations})
        inner = self.inner.init(_inner(problem, multipliers, first), point)
        target = jnp.maximum(self.goal, _LOOSEST * jnp.minimum(1, inner.measure)).astype(value.dtype)
        zero = jnp.zeros((), jnp.int32)
        extra = Extra(inner, multipliers, first, target, zero, jnp.full((), jnp.inf, value.dtype), zero, first)
        status = jnp.where(inner.status == DIVERGED, DIVERGED, RUNNING).astype(jnp.int32)
        return State(point, inner.value, inner.gradient, inner.measure, zero, status, extra)

    def step(self, problem: Problem, state: State) -> State:
        """A step of the inner method; where that has ended or is exact enough, an update as well."""
        extra: Extra = state.extra
        here = _inner(problem, extra.multipliers, extra.penalty)
        running = (extra.inner.status == RUNNING) & (extra.inner.measure > extra.target)
        inner: State = lax.cond(running, lambda s: self.inner.step(here, s), lambda s: s, extra.inner)
        spent = extra.spent + 1
        ended = (inner.measure <= extra.target) | (inner.status != RUNNING) | (spent >= self.steps)
        after = extra._replace(inner=inner, spent=spent)

        def keep(after: Extra) -> tuple[Extra, Array, Array]:
            return after, jnp.full((), RUNNING, jnp.int32), inner.value

        def update(after: Extra) -> tuple[Extra, Array, Array]:
            return self._updated(problem, after)

        after, status, value = lax.cond(ended, update, keep, after)
        return State(inner.point, value, after.inner.gradient, inner.measure, state.steps + 1, status, after)

    def _updated(self, problem: Problem, extra: Extra) -> tuple[Extra, Array, Array]:
        """New multipliers, a new penalty, a tighter tolerance; and the status with the value of the objective."""
        constraints, point = constrained(problem), extra.inner.point
        gaps = {k: constraints.gaps(point)[k] for k in constraints.relations}
        rho = extra.penalty
        # Of an inequality that is far from active, the multiplier over the penalty is what is missed.
        slack = {
            k: c if constraints.relations[k] == "eq" else jnp.maximum(c, -extra.multipliers[k] / rho)
            for k, c in gaps.items()
        }
        violation = _largest(missed(constraints, gaps))
        together = _largest(slack) if self.updates else violation
        multipliers = {
            k: jnp.clip(
                extra.multipliers[k] + rho * c,
                -_MOST_MULTIPLIER if constraints.relations[k] == "eq" else 0,
                _MOST_MULTIPLIER,
            )
            for k, c in gaps.items()
        }
        diverged = extra.inner.status == DIVERGED
        fell = together <= jnp.maximum(_FALL * extra.violation, 0.1 * self.tol)
        done = ~diverged & (together <= self.tol) & (extra.inner.measure <= self.goal)
        stopped = extra.inner.status == STALLED
        # An inner method that can do no better where the constraints are met has ended the whole.
        settled = ~diverged & stopped & (together <= self.tol) & (extra.target <= self.goal)
        idle = jnp.where(fell | (together <= self.tol), 0, extra.idle + 1)
        # Where the inner problem is not solved, its violation says little of the penalty.
        solved = (extra.inner.measure <= extra.target) | (extra.inner.status != RUNNING)
        grows = (
            jnp.where(solved, ~fell, together >= extra.violation)
            | diverged
            | ((not self.updates) & (violation > self.tol))
        )
        penalty = jnp.where(grows, self.growth * rho, rho)
        hopeless = (idle >= _PATIENCE) & (penalty > 1e4 * extra.first) | (penalty > _MOST_PENALTY)
        worst = jnp.maximum(self.tol, float(np.finfo(violation.dtype).eps) ** 0.5)
        nowhere = (violation > worst) & _least_violation(constraints, point, gaps)
        status = jnp.where(hopeless, jnp.where(nowhere, INFEASIBLE, STALLED), RUNNING)
        status = jnp.where(hopeless & diverged, DIVERGED, status)
        status = jnp.where(settled, STALLED, jnp.where(done, TOLERANCE, status)).astype(jnp.int32)
        kept = multipliers if self.updates else extra.multipliers
        kept = jax.tree.map(lambda new, old: jnp.where(diverged, old, new), kept, extra.multipliers)
        nearer = jnp.minimum(0.1 * extra.target, jnp.where(together > 0, together, extra.target))
        target = jnp.where(grows, extra.target, jnp.maximum(self.goal, nearer))
        target = jnp.where(together <= self.tol, self.goal, target).astype(extra.target.dtype)
        inner = self.inner.init(_inner(problem, kept, penalty), point)
        zero = jnp.zeros((), jnp.int32)
        reported = multipliers if not self.updates else kept
        ended = status != RUNNING
        # Where the method ends, the inner state stays what was judged.
        last = jax.tree.map(lambda a, b: jnp.where(ended, a, b), extra.inner, inner)
        shown = jax.tree.map(lambda a, b: jnp.where(ended, a, b), reported, kept)
        new = Extra(last, shown, penalty, target, zero, jnp.minimum(together, extra.violation), idle, extra.first)
        return new, status, problem.value(point)

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """Multipliers and penalty are kept."""
        extra: Extra = state.extra
        inner = self.inner.refresh(_inner(problem, extra.multipliers, extra.penalty), extra.inner, point)
        status = jnp.full((), RUNNING, jnp.int32)
        return State(
            point, inner.value, inner.gradient, inner.measure, state.steps, status, extra._replace(inner=inner)
        )

    def multipliers(self, state: State) -> Gaps | None:
        """Those of the last update; of penalties, the first-order estimate."""
        extra: Extra = state.extra
        return extra.multipliers


def constrained(problem: Problem) -> Constraints:
    """The constraints of a problem. Raises ValueError where it has none, or no augmented Lagrangian."""
    if problem.constraints is None or problem.constraints.augmented is None:
        raise ValueError("this problem has no augmented Lagrangian")
    return problem.constraints


def missed(constraints: Constraints, gaps: Gaps) -> Gaps:
    """By how much each constraint is violated."""
    return {k: jnp.abs(gaps[k]) if r == "eq" else jnp.maximum(gaps[k], 0) for k, r in constraints.relations.items()}


def _least_violation(constraints: Constraints, point: Point, gaps: Gaps) -> Array:
    """Whether no small move makes the violation less: its gradient is small against what is missed and how that depends on x."""
    rows, amounts = constraints.jacobian(point), missed(constraints, gaps)
    signed = {k: jnp.sign(gaps[k]) * v for k, v in amounts.items()}
    pull: Gaps = {
        n: jnp.zeros_like(x) + sum(jnp.tensordot(v, rows[k][n], axes=v.ndim) for k, v in signed.items())
        for n, x in point.items()
    }
    steep = {f"{k} {n}": row for k in signed for n, row in rows[k].items()}
    return _largest(pull) <= _STATIONARY * _largest(amounts) * _largest(steep)


def _inner(problem: Problem, multipliers: Gaps, penalty: Array) -> Problem:
    found: Any = constrained(problem).augmented
    inner: Problem = found(multipliers, penalty)
    return inner


def _largest(parts: Gaps) -> Array:
    tops = [jnp.max(jnp.abs(v), initial=0.0) for v in parts.values()]
    return jnp.max(jnp.stack(tops)) if tops else jnp.zeros(())


__all__ = ["Augmented", "constrained", "missed"]
