"""Sums of squares by the residuals' linear model: Gauss-Newton and Levenberg-Marquardt.

After Nocedal and Wright 2006, chapter 10; Moré 1978 ("The Levenberg-Marquardt algorithm: implementation and theory") for the
scaling and the reduction to triangles; Nielsen 1999 ("Damping parameter in Marquardt's method") for the damping.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from vspec.runtime.methods.linear_models import Slope, angle, minimised, products, slope
from vspec.runtime.methods.method import (
    DIVERGED,
    RUNNING,
    STALLED,
    TOLERANCE,
    Method,
    Point,
    Problem,
    State,
    finite,
    select,
)
from vspec.runtime.registry import DENSE

_ARMIJO = 1e-4
_TRIALS = 60


class Model(NamedTuple):
    """Residuals r and their Jacobian J at a point, rotated: J = Q R and z = Q'r, with the columns of R scaled to J's.

    `triangle` R [point, point], `rotated` z [point], `total` r'r, `first` the norm of the residuals at the start.
    """

    triangle: Array
    rotated: Array
    total: Array
    first: Array


class Damping(NamedTuple):
    """What a step is damped by: `weight` times the squares of `scale` [point]; `factor` of the weight if a step fails."""

    weight: Array
    factor: Array
    scale: Array


class Around(NamedTuple):
    """Where a search is: the problem, its point, the sum of squares after a step [point], and how much of it is rounding."""

    problem: Problem
    point: Point
    totals: Callable[[Array], Array]
    slack: Array


class Trial(NamedTuple):
    """A step tried: its own damping or length, the step, the sum of squares there and what the model said, how many before."""

    setting: Any
    p: Array
    total: Array
    expected: Array
    k: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastSquares(Method):
    """`tol` bounds the cosine of the angle between the residuals and each column of their Jacobian, whatever the scales; or the
    residuals relative to those at the start, if there is a point where they vanish.

    Steps that change the sum of squares by less than rounding are taken as long as they lower that cosine; when they no longer
    do, the run ends as 'stalled'.
    """

    limit: ClassVar[int] = 200
    chunk: ClassVar[int] = 1

    @abc.abstractmethod
    def remember(self, model: Any) -> Any:
        """What the search for steps starts with."""

    @abc.abstractmethod
    def search(self, model: Any, setting: Any, around: Around) -> tuple[Array, Array, Any, Any]:
        """Whether there is a step, the step [point], the next setting, and the model with what the search tells of it."""

    def evaluate(self, problem: Problem, point: Point, before: Any) -> tuple[Array, Point, Any]:
        """Value, gradient, and the model at a point; `before` is one from elsewhere, or None."""
        return _evaluate(problem, point, None if before is None else before.first)

    def angle(self, model: Any) -> Array:
        """What the tolerance is about."""
        return cosine(model)

    def judge(self, problem: Problem, point: Point, value: Array, gradient: Point) -> Array:
        """RUNNING or DIVERGED: the tolerance is about more than the gradient."""
        return jnp.where(finite(value, gradient), RUNNING, DIVERGED).astype(jnp.int32)

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start. `extra`: the model, and the setting of the search."""
        value, gradient, model = self.evaluate(problem, point, None)
        return self._judged(self.begin(problem, point, value, gradient, (model, self.remember(model))))

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """A model of its own for each point; the setting stays."""
        old, setting = state.extra
        value, gradient, model = self.evaluate(problem, point, old)
        new = self.begin(problem, point, value, gradient, (model, setting))
        return self._judged(new._replace(steps=state.steps))

    def step(self, problem: Problem, state: State) -> State:
        """A step, and the model where it leads."""
        model, setting = state.extra
        x, unravel = ravel_pytree(state.point)
        slack = 10 * float(np.finfo(x.dtype).eps) * model.total

        def totals(p: Array) -> Array:
            residuals = problem.residuals(unravel(x + p))
            return residuals @ residuals

        found, p, setting, model = self.search(model, setting, Around(problem, state.point, totals, slack))
        point = unravel(jnp.where(found, x + p, x))
        value, gradient, new = self.evaluate(problem, point, model)
        useful = found & ((model.total - new.total > slack) | (self.angle(new) < self.angle(model)))
        moved = self._judged(self.advance(problem, state, point, value, gradient, (new, setting)))
        status = jnp.full((), STALLED, jnp.int32)
        stay = state._replace(steps=state.steps + 1, status=status, extra=(model, state.extra[1]))
        good: State = select(useful | (moved.status != RUNNING), moved, stay)
        return good

    def _judged(self, state: State) -> State:
        model, _ = state.extra
        reached = (self.angle(model) <= self.tol) | (jnp.sqrt(model.total) <= self.tol * model.first)
        done = (state.status == RUNNING) & reached & (jnp.asarray(self.tol) > 0)
        return state._replace(status=jnp.where(done, TOLERANCE, state.status).astype(jnp.int32))


def _evaluate(problem: Problem, point: Point, first: Array | None) -> tuple[Array, Point, Model]:
    """Value, gradient, and the model; `first` is the norm of the residuals at the start, if it was elsewhere."""
    value, r, jacobian = problem.squares(point)
    x, unravel = ravel_pytree(point)
    # The triangle of J and r side by side holds R, Q'r and the norm of the rest of r; Q is not needed.
    whole = jnp.linalg.qr(jnp.column_stack([jacobian, r]), mode="r")
    whole = jnp.zeros((x.size + 1, x.size + 1), x.dtype).at[: whole.shape[0]].set(whole)
    total = r @ r
    model = Model(whole[:-1, :-1], whole[:-1, -1], total, jnp.sqrt(total) if first is None else first)
    return value, unravel(2 * (r @ jacobian)), model


def lengths(model: Model) -> Array:
    """The norms of the columns of the Jacobian [point]."""
    norms: Array = jnp.linalg.norm(model.triangle, axis=0)
    return norms


def cosine(model: Model) -> Array:
    """The largest cosine of an angle between the residuals and a column of the Jacobian; 0 where either vanishes."""
    slopes = jnp.abs(model.rotated @ model.triangle)
    scale = lengths(model) * jnp.sqrt(model.total)
    return jnp.max(jnp.where(scale > 0, slopes / jnp.where(scale > 0, scale, 1.0), 0.0), initial=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussNewton(LeastSquares):
    """Steps to the minimum of the linear model, halved until the sum of squares falls. Where it has several, the step is the
    shortest in units of the columns of the Jacobian, so that no scale of a param matters."""

    def remember(self, model: Model) -> Any:
        """Nothing."""
        return ()

    def search(self, model: Model, setting: Any, around: Around) -> tuple[Array, Array, Any, Any]:
        """Backtracking along the direction."""
        totals, slack = around.totals, around.slack
        units = 1 / _scale(lengths(model))
        u, s, v = jnp.linalg.svd(model.triangle * units)
        small = float(np.finfo(s.dtype).eps) * s.size * jnp.max(s, initial=0.0)
        inverse = jnp.where(s > small, 1 / jnp.where(s > small, s, 1.0), 0.0)
        p = -units * (v.T @ (inverse * (u.T @ model.rotated)))
        slope = 2 * (model.rotated @ (model.triangle @ p))

        def enough(t: Trial) -> Array:
            fell: Array = t.total <= model.total + _ARMIJO * t.setting * slope + slack
            return fell

        def halve(t: Trial) -> Trial:
            step = t.p / 2
            return Trial(t.setting / 2, step, totals(step), t.expected, t.k + 1)

        begun = Trial(jnp.ones((), p.dtype), p, totals(p), slope, jnp.zeros((), jnp.int32))
        last = lax.while_loop(lambda t: ~enough(t) & (t.k < _TRIALS), halve, begun)
        return enough(last), last.p, setting, model


@dataclass(frozen=True, slots=True, kw_only=True)
class LevenbergMarquardt(LeastSquares):
    """Minima of the linear model plus a damping, which grows until the sum of squares falls as the model says.

    The damping is in units of the longest columns that the Jacobian has had, so that no scale of a param matters; by products,
    which tell of no column, in units of the size that the Jacobian has shown.
    """

    damping: float
    linear: Mapping[str, Any]

    def products(self, point: Point) -> bool:
        """Whether steps are found by products with the Jacobian."""
        size = sum(x.size for x in point.values())
        return self.linear["name"] == "cg" or (self.linear["name"] == "auto" and size > DENSE)

    def evaluate(self, problem: Problem, point: Point, before: Any) -> tuple[Array, Point, Any]:
        """Value, gradient, and the model at a point."""
        if self.products(point):
            return slope(problem, point, before)
        return LeastSquares.evaluate(self, problem, point, before)

    def angle(self, model: Any) -> Array:
        """What the tolerance is about."""
        return angle(model) if isinstance(model, Slope) else cosine(model)

    def tally(self, problem: Problem, state: State) -> dict[str, Array]:
        """The iterations of conjugate gradients, where there are any."""
        model, _ = state.extra
        return {"cg": model.cg} if isinstance(model, Slope) else {}

    def remember(self, model: Any) -> Damping:
        """The first damping."""
        weight = jnp.asarray(self.damping, model.total.dtype)
        scale = jnp.ones_like(weight) if isinstance(model, Slope) else _scale(lengths(model))
        return Damping(weight, jnp.full_like(weight, 2.0), scale)

    def search(self, model: Any, setting: Any, around: Around) -> tuple[Array, Array, Any, Any]:
        """Dampings, one after the other."""
        if isinstance(model, Slope):
            return self.searched(model, setting, around)
        totals, slack = around.totals, around.slack
        scale = jnp.maximum(setting.scale, _scale(lengths(model)))
        right = jnp.concatenate([-model.rotated, jnp.zeros_like(model.rotated)])

        def attempt(weight: Array, factor: Array, k: Array) -> Trial:
            # min |R p + z|^2 + weight |scale p|^2, by another triangle: no square of R is formed.
            q, r = jnp.linalg.qr(jnp.concatenate([model.triangle, jnp.diag(jnp.sqrt(weight) * scale)]))
            p = lax.linalg.triangular_solve(r, (q.T @ right)[:, None], left_side=True)[:, 0]
            along, damped = model.triangle @ p, scale * p
            expected = along @ along + 2 * weight * (damped @ damped)
            return Trial((weight, factor), p, totals(p), expected, k)

        def grow(t: Trial) -> Trial:
            weight, factor = t.setting
            return attempt(weight * factor, 2 * factor, t.k + 1)

        begun = attempt(setting.weight, setting.factor, jnp.zeros((), jnp.int32))
        last, good = _first_good(begun, grow, model.total, slack)
        return good > _ARMIJO, last.p, _next(last, good, scale), model

    def searched(self, model: Slope, setting: Damping, around: Around) -> tuple[Array, Array, Any, Any]:
        """The same by conjugate gradients."""
        given = self.linear["arguments"]
        r, push, pull = products(around.problem, around.point)
        wanted = jnp.minimum(0.1, jnp.sqrt(angle(model)))
        rtol = jnp.where(given.get("rtol", 0.0) > 0, given.get("rtol", 0.0), wanted)
        limit = given.get("iterations", 0) or 10 * model.slope.size

        def attempt(weight: Array, factor: Array, k: Array, size: Array, cg: Array) -> Trial:
            # The damping is that of a matrix of size one.
            found = minimised(r, push, pull, weight * model.size**2, rtol, limit, size)
            expected = -found.along @ (2 * r + found.along)
            setting = (weight, factor, found.size, cg + found.k)
            return Trial(setting, found.p, around.totals(found.p), expected, k)

        def grow(t: Trial) -> Trial:
            weight, factor, size, cg = t.setting
            return attempt(weight * factor, 2 * factor, t.k + 1, size, cg)

        begun = attempt(setting.weight, setting.factor, jnp.zeros((), jnp.int32), model.size, model.cg)
        last, good = _first_good(begun, grow, model.total, around.slack)
        _, _, size, cg = last.setting
        return good > _ARMIJO, last.p, _next(last, good, setting.scale), model._replace(size=size, cg=cg)


def _first_good(begun: Trial, grow: Callable[[Trial], Trial], total: Array, slack: Array) -> tuple[Trial, Array]:
    """The first trial whose sum of squares falls as the model says, and to which share of what it says."""

    def share(t: Trial) -> Array:
        found = (total - t.total + slack) / (t.expected + slack)
        return jnp.where(jnp.isfinite(found), found, -1.0)

    last = lax.while_loop(lambda t: ~(share(t) > _ARMIJO) & (t.k < _TRIALS), grow, begun)
    return last, share(last)


def _next(last: Trial, good: Array, scale: Array) -> Damping:
    """The damping of the next search."""
    weight, factor, *_ = last.setting
    lower = jnp.maximum(1 / 3, 1 - (2 * good - 1) ** 3)
    return Damping(jnp.maximum(weight * lower, _least(weight)), jnp.full_like(factor, 2.0), scale)


def _scale(columns: Array) -> Array:
    """The lengths of columns; 1 for one that vanishes."""
    return jnp.where(columns > 0, columns, 1.0)


def _least(weight: Array) -> Array:
    """Below this a damping is not felt, and need not be undone."""
    return jnp.asarray(float(np.finfo(weight.dtype).eps) ** 2, weight.dtype)
