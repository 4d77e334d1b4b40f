"""Spectral projected gradients: steps along the projection arc, of Barzilai and Borwein's length (Birgin, Martinez and
Raydan 2000, SIAM Journal on Optimization 10, algorithm SPG1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.methods.method import RUNNING, STALLED, Method, Point, Problem, State, dot

_ARMIJO = 1e-4
_WINDOW = 10
_HALVINGS = 50
_SHORTEST, _LONGEST = 1e-12, 1e12
_PATIENCE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedGradient(Method):
    """One step is `P(x - t g)`, with t halved until the value is below the largest of the last ones by the decrease that the
    slope promises. `tol` is about the largest entry of `x - P(x - g)`, which is the gradient where nothing is projected."""

    limit: ClassVar[int] = 10_000

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the projected start. `extra`: the step length, the last values, whether the next length is the shorter of
        the two of Barzilai and Borwein, the least measure and since how many steps it has stood."""
        point = problem.project(point)
        value, gradient = problem.value_and_gradient(point)
        size = problem.measure(point, gradient)
        length = 1 / jnp.maximum(size, float(np.finfo(value.dtype).tiny))
        last = jnp.full(_WINDOW, -jnp.inf, value.dtype).at[0].set(value)
        best = jnp.full((), jnp.inf, value.dtype)
        extra = (jnp.clip(length, _SHORTEST, _LONGEST), last, jnp.asarray(False), best, jnp.zeros((), jnp.int32))
        return self.begin(problem, point, value, gradient, extra)

    def step(self, problem: Problem, state: State) -> State:
        """A search along the arc, and the next length."""
        length, last, shorter, best, since = state.extra
        slack = 10 * float(np.finfo(state.value.dtype).eps) * jnp.abs(state.value)
        top = jnp.max(last)

        def tried(length: Array) -> tuple[Point, Array, Array]:
            there = problem.project(jax.tree.map(lambda x, g: x - length * g, state.point, state.gradient))
            slope = dot(state.gradient, jax.tree.map(lambda a, b: a - b, there, state.point))
            value = problem.value(there)
            return there, value, value <= top + _ARMIJO * slope + slack

        def halve(c: tuple[Array, Point, Array, Array, Array]) -> tuple[Array, Point, Array, Array, Array]:
            return (c[0] / 2, *tried(c[0] / 2), c[4] + 1)

        begun = (length, *tried(length), jnp.zeros((), jnp.int32))
        used, point, value, found, k = lax.while_loop(lambda c: ~c[3] & (c[4] < _HALVINGS), halve, begun)
        value, gradient = problem.value_and_gradient(point)
        moved = jax.tree.map(lambda a, b: a - b, point, state.point)
        bent = jax.tree.map(lambda a, b: a - b, gradient, state.gradient)
        square, product, change = dot(moved, moved), dot(moved, bent), dot(bent, bent)
        curved = product > 0
        long = square / jnp.where(curved, product, 1)
        short = product / jnp.where(change > 0, change, 1)
        following = jnp.where(curved, jnp.where(shorter, short, long), jnp.where(k == 0, 10 * used, used))
        measure = problem.measure(point, gradient)
        better = measure < best
        better = better | (value < jnp.min(jnp.where(jnp.isfinite(last), last, jnp.inf)) - slack)
        since = jnp.where(better, 0, since + 1)
        extra = (
            jnp.clip(following, _SHORTEST, _LONGEST),
            jnp.roll(last, 1).at[0].set(value),
            ~shorter,
            jnp.minimum(best, measure),
            since.astype(jnp.int32),
        )
        new = self.advance(problem, state, point, value, gradient, extra)
        stuck = (~found) | (square == 0) | (since >= _PATIENCE)
        return new._replace(status=jnp.where((new.status == RUNNING) & stuck, STALLED, new.status))

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """At a point to which others have moved: the step length stays, the values of before do not count."""
        new = self.init(problem, point)
        return new._replace(steps=state.steps, extra=(state.extra[0], *new.extra[1:]))
