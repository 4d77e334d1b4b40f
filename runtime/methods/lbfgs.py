"""Limited-memory BFGS with a zoom line search (Nocedal and Wright 2006, algorithms 7.5 and 3.5): Optax `lbfgs`.

Optax's line search differentiates the objective itself; it is wrapped so that it gets the program's gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from vspec.runtime.methods.method import RUNNING, STALLED, Method, Point, Problem, State, largest, select

_PATIENCE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Lbfgs(Method):
    """Ends as 'stalled' when neither the value nor the largest gradient entry improves for some steps.

    A line search that finds no step forgets the memory once and ends the run the second time.
    """

    memory: int

    def transformation(self) -> Any:
        """Optax's."""
        search = optax.scale_by_zoom_linesearch(max_linesearch_steps=30, initial_guess_strategy="one")
        return optax.lbfgs(memory_size=self.memory, linesearch=search)

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start. `extra`: Optax's state, best value and gradient, steps without either, failed search."""
        value, gradient = problem.value_and_gradient(point)
        idle, failed = jnp.zeros((), jnp.int32), jnp.asarray(False)
        extra = (self.transformation().init(point), value, largest(gradient), idle, failed)
        return self.begin(problem, point, value, gradient, extra)

    def step(self, problem: Problem, state: State) -> State:
        """One direction and its line search, which also evaluates the new point."""
        inner, best_value, best_gradient, idle, failed = state.extra
        optimiser = self.transformation()
        updates, inner = optimiser.update(
            state.gradient,
            inner,
            state.point,
            value=state.value,
            grad=state.gradient,
            value_fn=_with_gradient(problem),
        )
        point = optax.apply_updates(state.point, updates)
        value, gradient = inner[-1].value.astype(state.value.dtype), inner[-1].grad
        moved = _any(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.any(a != b), point, state.point)))
        inner = select(moved, inner, optimiser.init(state.point))
        top = largest(gradient)
        idle = jnp.where((value < best_value) | (top < best_gradient), 0, idle + 1)
        extra = (inner, jnp.minimum(best_value, value), jnp.minimum(best_gradient, top), idle, ~moved)
        new = self.advance(problem, state, point, value, gradient, extra)
        stuck = (~moved & failed) | (idle >= _PATIENCE)
        return new._replace(status=jnp.where((new.status == RUNNING) & stuck, STALLED, new.status))


def _with_gradient(problem: Problem) -> Any:
    @jax.custom_vjp
    def value(point: Point) -> Array:
        return problem.value(point)

    def backward(gradient: Point, cotangent: Array) -> tuple[Point]:
        return (jax.tree.map(lambda g: cotangent * g, gradient),)

    value.defvjp(problem.value_and_gradient, backward)
    return value


def _any(flags: list[Array]) -> Array:
    return jnp.any(jnp.stack(flags)) if flags else jnp.asarray(False)
