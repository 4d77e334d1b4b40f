"""The interior-point methods as methods of a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from vspec.runtime.constrained import interior, quadratic
from vspec.runtime.constrained.bounds import Bounds
from vspec.runtime.constrained.constraints import Flat, Gaps
from vspec.runtime.constrained.interior import Memory
from vspec.runtime.constrained.iterate import errors, slope
from vspec.runtime.methods.method import RUNNING, Method, Point, Problem, State


class Extra(NamedTuple):
    """The state of both methods, whether the one for quadratic programs is at work, and the multipliers by name."""

    memory: Memory
    quadratic: Array
    multipliers: Gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class InteriorPoint(Method):
    """Newton's method under constraints: `interior.py`, and `quadratic.py` where the compiler found a quadratic program.

    The measure is the largest of the error of stationarity, the violation and the complementarity; the gradient of the state
    is that of the Lagrangian.
    """

    quadratic: bool = False
    limit: ClassVar[int] = 300
    chunk: ClassVar[int] = 1

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start, moved inside of its bounds."""
        flat = flattened(problem, point)
        memory = interior.begin(flat, flat.vector(point), self.tol)
        if not self.quadratic:
            return _state(flat, memory, jnp.asarray(False), jnp.zeros((), jnp.int32))
        start = quadratic.begin(flat, flat.vector(point), memory)
        begun: Memory = lax.cond(start.convex, lambda: start.memory, lambda: memory)
        return _state(flat, begun, start.convex, jnp.zeros((), jnp.int32))

    def step(self, problem: Problem, state: State) -> State:
        """One step of the method that is at work."""
        flat = flattened(problem, state.point)
        extra: Extra = state.extra

        Next = tuple[Memory, Array]

        def general(extra: Extra) -> Next:
            return interior.advance(flat, extra.memory, self.tol), jnp.asarray(False)

        def special(extra: Extra) -> Next:
            memory, go_on = quadratic.advance(extra.memory, Bounds.of(*flat.bounds()), self.tol)
            ended = memory.status != RUNNING

            def onward() -> Next:
                return interior.begin(flat, memory.at.x, self.tol), jnp.asarray(False)

            onwards: Next = lax.cond(go_on | ended, lambda: (memory, jnp.asarray(True)), onward)
            return onwards

        memory, still = lax.cond(extra.quadratic, special, general, extra) if self.quadratic else general(extra)
        return _state(flat, memory, still, state.steps + 1)

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """Start anew: the multipliers belong to where the method was."""
        return self.init(problem, point)._replace(steps=state.steps)

    def multipliers(self, state: State) -> Gaps | None:
        """Those of the last iterate."""
        found: Gaps = state.extra.multipliers
        return found


def flattened(problem: Problem, point: Point) -> Flat:
    """The problem in vectors."""
    if problem.constraints is None:
        raise ValueError("this problem has no constraints")
    return Flat(problem.value, problem.constraints, point)


def _state(flat: Flat, m: Memory, special: Array, steps: Array) -> State:
    bounds = Bounds.of(*flat.bounds())
    gradient = flat.point(slope(m.at, m.found) / m.weight)
    measure = errors(m.at, m.found, bounds, 0.0, m.weight).together
    extra = Extra(m, special, flat.multipliers(m.at.y / m.weight, m.at.z / m.weight))
    return State(flat.point(m.at.x), m.found.value / m.weight, gradient, measure, steps, m.status, extra)
