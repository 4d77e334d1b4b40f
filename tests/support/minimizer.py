"""Minimises a function of points by a method alone: what the stages of a run do, without a spec, a program or a space."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from vspec.runtime.methods.method import REASONS, RUNNING, Method, Point, Problem, State, largest

Report = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Solution:
    """Where a method ended. `reason`: 'tolerance', 'steps', 'stalled' or 'diverged'. The point is the last finite."""

    point: Point
    value: float
    gradient: float
    steps: int
    reason: str
    seconds: float
    bad: tuple[str, ...] = ()


class Minimizer:
    """A method compiled for a problem that depends on `context`, a pytree of arrays; runs from any number of starts.

    Args:
        build: context → `Problem`; traced.
        method: the method.
        context: what the problem closes over, for shapes; an argument, so that XLA does not take it for constants.
        point: a point, for shapes.
        limit: greatest number of steps; None is the method's own.
    """

    def __init__(
        self, build: Callable[[Any], Problem], method: Method, context: Any, point: Point, limit: int | None = None
    ) -> None:
        self.limit = method.limit if limit is None else limit
        self.chunk = max(method.chunk, min(1000, -(-self.limit // 100)))

        def begin(context: Any, point: Point) -> tuple[State, Any]:
            state = method.init(build(context), point)
            return state, _summary(state)

        def advance(context: Any, state: State, until: Array) -> tuple[State, Any]:
            problem = build(context)
            state = lax.while_loop(
                lambda s: (s.status == RUNNING) & (s.steps < until), lambda s: method.step(problem, s), state
            )
            return state, _summary(state)

        started = time.perf_counter()
        self._begin = jax.jit(begin).lower(context, point).compile()
        state = jax.eval_shape(begin, context, point)[0]
        self._advance = jax.jit(advance).lower(context, state, jnp.zeros((), jnp.int32)).compile()
        self.compile_seconds = time.perf_counter() - started

    def run(self, context: Any, point: Point, report: Report = lambda *_: None) -> Solution:
        """Minimise from a point; `report(steps, value, gradient)` is called at the start and after each chunk."""
        started = time.perf_counter()
        state, summary = self._begin(context, point)
        steps, status, value, gradient = _fetched(summary)
        report(steps, value, gradient)
        while status == RUNNING and steps < self.limit:
            until = min(steps + self.chunk, self.limit)
            state, summary = self._advance(context, state, jnp.asarray(until, jnp.int32))
            steps, status, value, gradient = _fetched(summary)
            report(steps, value, gradient)
        bad = tuple(k for k, g in state.gradient.items() if not bool(jnp.isfinite(g).all()))
        seconds = time.perf_counter() - started
        return Solution(state.point, value, gradient, steps, REASONS[status], seconds, bad)


def _summary(state: State) -> Any:
    return state.steps, state.status, state.value, largest(state.gradient)


def _fetched(summary: Any) -> tuple[int, int, float, float]:
    steps, status, value, gradient = jax.device_get(summary)
    return int(steps), int(status), float(value), float(gradient)
