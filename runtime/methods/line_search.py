"""Methods that choose a direction from what they remember and search along it for a step with the strong Wolfe conditions.

The search is Optax's zoom search (Nocedal and Wright 2006, algorithms 3.5 and 3.6, with the approximate conditions of Hager and
Zhang 2005). It differentiates the objective itself, so that the objective is wrapped: its derivative is the program's gradient.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from vspec.runtime.methods.method import RUNNING, STALLED, Method, Point, Problem, State, largest, select

_TRIALS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSearch(Method):
    """Ends as 'stalled' when neither the value nor the largest gradient entry improves for some steps.

    A search that finds no step forgets the memory once and ends the run the second time. The memory learns from a step when
    it is made, so that it keeps what it knows where others move the point.
    """

    curvature: ClassVar[float] = 0.9
    patience: ClassVar[int] = 10

    @abc.abstractmethod
    def remember(self, x: Array) -> Any:
        """An empty memory; x [point]."""

    @abc.abstractmethod
    def learn(self, memory: Any, length: Array, p: Array, g: Array, new: Array) -> Any:
        """The memory after the step `length*p`, which changed the gradient from g to new; all [point]."""

    @abc.abstractmethod
    def direction(self, memory: Any, g: Array) -> tuple[Array, Array]:
        """Where to go from a point with gradient g [point], and the length that is tried first."""

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start. `extra`: memory, best value and gradient, steps without either, whether a search failed."""
        value, gradient = problem.value_and_gradient(point)
        x, _ = ravel_pytree(point)
        idle, failed = jnp.zeros((), jnp.int32), jnp.asarray(False)
        return self.begin(problem, point, value, gradient, (self.remember(x), value, largest(gradient), idle, failed))

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """What was best before others moved is no measure any more."""
        new = Method.refresh(self, problem, state, point)
        memory, _, _, _, failed = state.extra
        idle = jnp.zeros((), jnp.int32)
        return new._replace(extra=(memory, new.value, largest(new.gradient), idle, failed))

    def step(self, problem: Problem, state: State) -> State:
        """One direction and its search, which also evaluates the new point."""
        memory, best_value, best_gradient, idle, failed = state.extra
        x, unravel = ravel_pytree(state.point)
        g, _ = ravel_pytree(state.gradient)
        p, length = self.direction(memory, g)
        p, length = select(g @ p < 0, (p, length.astype(x.dtype)), (-g, short(g)))
        search = optax.scale_by_zoom_linesearch(_TRIALS, curv_rtol=self.curvature, initial_guess_strategy="keep")
        begun = search.init(x)._replace(learning_rate=length)
        step, found = search.update(p, begun, x, value=state.value, grad=g, value_fn=with_gradient(problem, unravel))
        y = x + step
        moved = jnp.any(y != x)
        memory = select(moved, self.learn(memory, found.learning_rate, p, g, found.grad), self.remember(x))
        value, gradient = found.value.astype(state.value.dtype), unravel(found.grad)
        top = largest(gradient)
        idle = jnp.where((value < best_value) | (top < best_gradient), 0, idle + 1)
        extra = (memory, jnp.minimum(best_value, value), jnp.minimum(best_gradient, top), idle, ~moved)
        new = self.advance(problem, state, unravel(y), value, gradient, extra)
        stuck = (~moved & failed) | (idle >= self.patience)
        return new._replace(status=jnp.where((new.status == RUNNING) & stuck, STALLED, new.status))


def short(g: Array) -> Array:
    """The factor of a gradient that is a first step when nothing is known about the scale: a step no longer than 1."""
    return jnp.minimum(1.0, 1.0 / jnp.linalg.norm(g)).astype(g.dtype)


def with_gradient(problem: Problem, unravel: Callable[[Array], Point]) -> Callable[[Array], Array]:
    """The objective of a flattened point, whose derivative is the problem's gradient."""

    @jax.custom_vjp
    def value(x: Array) -> Array:
        return problem.value(unravel(x))

    def forward(x: Array) -> tuple[Array, Array]:
        v, gradient = problem.value_and_gradient(unravel(x))
        return v, ravel_pytree(gradient)[0]

    def backward(gradient: Array, cotangent: Array) -> tuple[Array]:
        return (cotangent * gradient,)

    value.defvjp(forward, backward)
    return value
