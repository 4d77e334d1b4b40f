"""Proximal gradient descent with Nesterov's momentum and a step length by backtracking (Beck and Teboulle 2009).

The momentum starts again where it points uphill (O'Donoghue and Candes 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.methods.method import (
    DIVERGED,
    RUNNING,
    STALLED,
    TOLERANCE,
    Method,
    Point,
    Problem,
    State,
    dot,
    largest,
    select,
)

_HALVINGS = 60
_GROWTH = 1 / 0.9
_PATIENCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProximalGradient(Method):
    """One step is `z = prox(y - lr*gradient(y))` from the point y that momentum leads to. `tol` is about the largest entry of
    `(y - z)/lr`, which is the gradient where there are no terms but the smooth ones.

    With `lr` 0, the length is halved until the smooth part lies below its quadratic model. Where rounding lets one tell, it
    grows again: with momentum at each restart, without it a little in each step.
    """

    lr: float
    accelerated: bool
    limit: ClassVar[int] = 10_000
    chunk: ClassVar[int] = 10
    plain: ClassVar[bool] = True

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start. `extra`: the point ahead, the momentum's counter, the step length, the least measure so far and
        since how many steps it has stood."""
        value = problem.value(point)
        _, gradient = problem.smooth(point)
        dtype = value.dtype
        searched = isinstance(self.lr, float | int) and self.lr == 0
        length = self._first(problem, point, gradient) if searched else jnp.asarray(self.lr, dtype)
        there = problem.prox(_along(point, gradient, -length), length)
        mapping = jax.tree.map(lambda x, z: (x - z) / length, point, there)
        measure = largest(mapping)
        fine = jnp.isfinite(value) & jnp.isfinite(measure)
        reached = (measure <= self.tol) & (jnp.asarray(self.tol) > 0)
        status = jnp.where(fine, jnp.where(reached, TOLERANCE, RUNNING), DIVERGED).astype(jnp.int32)
        zero = jnp.zeros((), jnp.int32)
        extra = (point, jnp.ones((), dtype), length, jnp.full((), jnp.inf, dtype), zero)
        return State(point, value, mapping, measure, zero, status, extra)

    def _first(self, problem: Problem, point: Point, gradient: Point) -> Array:
        """A first length: by how much the gradient changes along a short step against it."""
        size = norm(gradient)
        scale = jnp.maximum(1.0, norm(point))
        t = 1e-4 * scale / jnp.where(size > 0, size, 1.0)
        _, there = problem.smooth(_along(point, gradient, -t))
        change = norm(jax.tree.map(lambda a, b: a - b, there, gradient))
        return jnp.where(change > 0, t * size / jnp.where(change > 0, change, 1.0), 1.0)

    def step(self, problem: Problem, state: State) -> State:
        """A proximal step from the point ahead."""
        ahead, counter, length, least, since = state.extra
        f, gradient = problem.smooth(ahead)
        eps = float(np.finfo(f.dtype).eps)
        searched = isinstance(self.lr, float | int) and self.lr == 0

        def tried(length: Array) -> tuple[Point, Array, Array]:
            z = problem.prox(_along(ahead, gradient, -length), length)
            apart = jax.tree.map(lambda a, b: a - b, z, ahead)
            bend = dot(apart, apart) / (2 * length)
            return z, problem.smooth(z)[0] - f - dot(gradient, apart) - bend, bend

        if searched:
            rounding = 1e3 * eps * jnp.abs(f)

            def above(carry: tuple[Array, Point, Array, Array, Array]) -> Array:
                # What is not a number is above the model, too; what drowns in rounding tells nothing.
                _, _, excess, bend, k = carry
                return ~((excess <= 0) | (bend <= rounding)) & (k < _HALVINGS)

            def halve(carry: tuple[Array, Point, Array, Array, Array]) -> tuple[Array, Point, Array, Array, Array]:
                length, _, _, _, k = carry
                return (length / 2, *tried(length / 2), k + 1)

            start = (length, *tried(length), jnp.zeros((), jnp.int32))
            used, z, _, bend, _ = lax.while_loop(above, halve, start)
            told = bend > rounding
        else:
            used = jnp.asarray(self.lr, f.dtype)
            z = problem.prox(_along(ahead, gradient, -used), used)
            told = jnp.asarray(False)
        mapping = jax.tree.map(lambda y, x: (y - x) / used, ahead, z)
        value, measure = problem.value(z), largest(mapping)
        back = jax.tree.map(lambda a, b: a - b, z, state.point)
        uphill = dot(jax.tree.map(lambda y, x: y - x, ahead, z), back) > 0
        if self.accelerated:
            next_counter = (1 + jnp.sqrt(1 + 4 * counter**2)) / 2
            share = jnp.where(uphill, 0.0, (counter - 1) / next_counter)
            next_counter = jnp.where(uphill, 1.0, next_counter)
            ahead = jax.tree.map(lambda x, d: x + share * d, z, back)
            # Momentum needs lengths that do not grow; a restart is where a longer one can be tried.
            following = jnp.where(told & uphill, 2 * used, used)
        else:
            ahead, next_counter = z, counter
            following = jnp.where(told, used * _GROWTH, used)
        better = (measure < least) | (value < state.value - 10 * eps * jnp.abs(state.value))
        since = jnp.where(better, 0, since + 1).astype(jnp.int32)
        extra: Any = (ahead, next_counter, following, jnp.minimum(least, measure), since)
        reached = (measure <= self.tol) & (jnp.asarray(self.tol) > 0)
        status = jnp.where(reached, TOLERANCE, jnp.where(since >= _PATIENCE, STALLED, RUNNING))
        fine = jnp.isfinite(value) & jnp.isfinite(measure)
        status = jnp.where(fine, status, DIVERGED).astype(jnp.int32)
        new = State(z, value, mapping, measure, state.steps + 1, status, extra)
        stay = state._replace(gradient=mapping, steps=state.steps + 1, status=status)
        taken: State = select(fine, new, stay)
        return taken

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """The state at a point to which others have moved: the momentum starts again, the step length stays."""
        value = problem.value(point)
        _, _, length, _, _ = state.extra
        status = jnp.where(jnp.isfinite(value), RUNNING, DIVERGED).astype(jnp.int32)
        zero = jnp.zeros((), jnp.int32)
        extra = (point, jnp.ones((), value.dtype), length, jnp.full((), jnp.inf, value.dtype), zero)
        return state._replace(point=point, value=value, status=status, extra=extra)


def _along(point: Point, direction: Point, length: Array) -> Point:
    moved: Point = jax.tree.map(lambda x, d: x + length * d, point, direction)
    return moved


def norm(a: Point) -> Array:
    """The length."""
    return jnp.sqrt(dot(a, a))
