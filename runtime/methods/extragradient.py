"""The extragradient method: a step along the gradient ahead (Korpelevich 1976), of a length that suits how much the gradient
changes on the way there (Khobotov 1987, Marcotte 1991) and that may grow again (He and Liao 2002)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.methods.method import RUNNING, STALLED, Method, Point, Problem, State, select

# The largest change of the gradient over the length of the step ahead, times the step length; below the second, the next
# step is longer.
_MOST, _LITTLE = 0.9, 0.4
_GROWTH = 1.5
_TRIALS = 60
_PATIENCE = 1000


class _Trial(NamedTuple):
    """A step length, the gradient at the point that it leads to, by what it is to be multiplied, and how many were tried."""

    length: Array
    ahead: Point
    factor: Array
    tries: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraGradient(Method):
    """One step is `P(x - lr g(y))` with `y = P(x - lr g(x))`, in all that a stage moves together. Values are not compared, so
    that g may be the gradient of a saddle, upwards in some params, or any other direction.

    With `lr` 0 the length is shortened until `lr |g(y) - g(x)| <= 0.9 |y - x|`; the next step starts with a longer one where
    0.4 would have done. `tol` is about the largest entry of `x - P(x - g)`, which is the gradient where nothing is projected.
    """

    lr: float
    limit: ClassVar[int] = 10_000

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the projected start. `extra`: the step length, the least measure and since how many steps it has stood."""
        point = problem.project(point)
        value, gradient = problem.value_and_gradient(point)
        length = jnp.ones((), value.dtype)
        best = jnp.full((), jnp.inf, value.dtype)
        return self.begin(problem, point, value, gradient, (length, best, jnp.zeros((), jnp.int32)))

    def step(self, problem: Problem, state: State) -> State:
        """Move, then evaluate."""
        point, length = self._moved(problem, state)
        value, gradient = problem.value_and_gradient(point)
        _, best, since = state.extra
        measure = problem.measure(point, gradient).astype(best.dtype)
        since = jnp.where(measure < best, 0, since + 1).astype(jnp.int32)
        extra = (length, jnp.minimum(best, measure), since)
        new = self.advance(problem, state, point, value, gradient, extra)
        stuck = (new.status == RUNNING) & (since >= _PATIENCE)
        return new._replace(status=jnp.where(stuck, STALLED, new.status).astype(jnp.int32))

    def turn(self, problem: Problem, state: State, point: Point) -> State:
        """Evaluate, then move: the state's value and gradient are those before the move."""
        state = self.refresh(problem, state, point)
        moved, length = self._moved(problem, state)
        running = state.status == RUNNING
        point, length = select(running, (moved, length), (point, state.extra[0]))
        return state._replace(point=point, extra=(length, *state.extra[1:]), steps=state.steps + running)

    def _moved(self, problem: Problem, state: State) -> tuple[Point, Array]:
        """Where the gradient ahead leads, and the length to begin with in the next step."""
        kind = state.extra[0].dtype
        if isinstance(self.lr, float | int) and self.lr == 0:
            found = self._searched(problem, state)
            return problem.project(_along(state.point, found.ahead, found.length)), found.length * found.factor
        length = jnp.asarray(self.lr, kind)
        _, ahead = problem.value_and_gradient(problem.project(_along(state.point, state.gradient, length)))
        return problem.project(_along(state.point, ahead, length)), state.extra[0]

    def _searched(self, problem: Problem, state: State) -> _Trial:
        """The first length that is short enough."""

        def tried(t: _Trial) -> _Trial:
            length = t.length * t.factor
            there = problem.project(_along(state.point, state.gradient, length))
            _, ahead = problem.value_and_gradient(there)
            apart, change = _distance(there, state.point), _distance(ahead, state.gradient)
            ratio = length * change / jnp.where(apart > 0, apart, 1)
            # A change that rounding may have made asks for no shorter step.
            told = (apart > 0) & ~(change <= 1e3 * eps * _size(state.gradient))
            shrunk = jnp.where(jnp.isfinite(ratio), 2 / (3 * jnp.maximum(ratio, 1)), 0.1)
            grown = jnp.where((apart > 0) & (ratio <= _LITTLE), _GROWTH, 1.0)
            factor = jnp.where(told & ~(ratio <= _MOST), shrunk, grown)
            return _Trial(length, ahead, factor.astype(length.dtype), t.tries + 1)

        length = state.extra[0]
        eps = float(np.finfo(length.dtype).eps)
        begun = _Trial(length, state.gradient, jnp.ones_like(length), jnp.zeros((), jnp.int32))
        found: _Trial = lax.while_loop(lambda t: (t.tries == 0) | ((t.factor < 1) & (t.tries < _TRIALS)), tried, begun)
        return found


def _along(point: Point, gradient: Point, length: Array) -> Point:
    """A step against the gradient; arrays keep their precision."""
    return {k: (x - length * gradient[k]).astype(x.dtype) for k, x in point.items()}


def _distance(a: Point, b: Point) -> Array:
    return _size(jax.tree.map(lambda x, y: x - y, a, b))


def _size(a: Point) -> Array:
    """The length. The largest entry is taken out, so that its square neither overflows nor vanishes."""
    leaves: list[Any] = jax.tree.leaves(a)
    top = jnp.max(jnp.stack([jnp.max(jnp.abs(x), initial=0) for x in leaves]))
    scale = jnp.where(top > 0, top, 1)
    return scale * jnp.sqrt(sum(jnp.sum((x / scale) ** 2) for x in leaves))
