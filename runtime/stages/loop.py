"""A stage as a loop of its steps: until it has reached its tolerance, its `until` holds, or all steps are taken."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from vspec.runtime.bound import Bound
from vspec.runtime.methods.method import RUNNING, Scaling
from vspec.runtime.methods.scaling import sound
from vspec.runtime.program import Program
from vspec.runtime.stages.transition import UNTIL, At, Memory, Params, Transition, World, context


class Carry(NamedTuple):
    """Where a loop stands: steps taken, status, the stage's memory, the params that move, the stage's key."""

    step: Array
    status: Array
    memory: Memory
    params: Params
    key: Array


class Loop:
    """The loop of a stage. All of its functions are traceable."""

    def __init__(self, program: Program, stage: Transition) -> None:
        self.program = program
        self.transition = stage
        self.path = stage.stage.key
        record = stage.stage.record
        self.until: str | None = record.get("until")
        # The same by what sweeps keep, where they keep something.
        self.scaled: str | None = (record.get("entries") or {}).get("until")

    def begin(self, world: World, params: Params, key: Array, step: int | Array = 0) -> Carry:
        """Before the first step, evaluated as in step `step`."""
        zero = jnp.zeros((), jnp.int32)
        at = At(jnp.asarray(step, jnp.int32), world.limits[self.path], key)
        memory, params = self.transition.begin(world, params, at)
        return Carry(zero, self.transition.status(memory), memory, params, key)

    def blank(self, world: World, params: Params, key: Array, step: Array) -> Carry:
        """Before step `step`, with zeros for what `begin` evaluates. Only where the stage `looks`."""
        memory, params = self.transition.blank(world, params, At(step, world.limits[self.path], key))
        return Carry(step, jnp.full((), RUNNING, jnp.int32), memory, params, key)

    def advance(self, world: World, carry: Carry, last: Array) -> Carry:
        """On to step `last`, unless it ends before."""
        found: Carry = lax.while_loop(
            lambda c: (c.status == RUNNING) & (c.step < last), lambda c: self._step(world, c), carry
        )
        return found

    def _step(self, world: World, c: Carry) -> Carry:
        at = At(c.step, world.limits[self.path], c.key)
        memory, params = self.transition.step(world, c.memory, c.params, at)
        status = self.transition.status(memory)
        if self.until is not None:
            # All rows, also where a step sees a batch.
            seen = {**world.still, **params}
            reached = self._reached(self.until, seen, context(self.program, world.bound, at), memory)
            status = jnp.where((status == RUNNING) & reached, UNTIL, status).astype(jnp.int32)
        return Carry(c.step + 1, status, memory, params, c.key)

    def _reached(self, until: str, params: Params, bound: Bound, memory: Memory) -> Array:
        """Whether the condition holds: read off what the method keeps, where that loses nothing that counts."""

        def whole() -> Array:
            return jnp.asarray(self.program.call(until, params, bound))

        kernel = self.transition.kernel(memory)
        if self.scaled is None or not kernel:
            return whole()
        found = self.program.call(self.scaled, params, bound.at({**bound.counters, **kernel}))
        fine = sound(Scaling({}, found["drift"], found["share"], None))
        reached: Array = lax.cond(fine, lambda: jnp.asarray(found["reached"]), whole)
        return reached
