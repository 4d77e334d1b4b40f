"""Histories: outputs with `every`, evaluated inside of the loop of a stage and collected between its chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.keys import STAGES, key_of
from vspec.runtime.methods.method import RUNNING
from vspec.runtime.program import Program
from vspec.runtime.stages.loop import Carry, Loop
from vspec.runtime.stages.record import Stage
from vspec.runtime.stages.transition import At, World, context

BUDGET = 2**26
"""Bytes of the rows that wait on the device for the end of a chunk, if there is room for one row at all."""


class Recorder:
    """Records some outputs while a stage runs: which, every how many steps, and how many rows of them fit into a chunk."""

    def __init__(self, program: Program, stage: Stage, world: World, params: Mapping[str, Array]) -> None:
        self.program = program
        self.entry = next((e.name for e in program.entries.values() if e.kind == "outputs"), None)
        self.every: dict[str, int] = {}
        for name, output in program.manifest["outputs"].items():
            every = output.get("every")
            if every is not None:
                # A step that sees all rows is an epoch by itself.
                self.every[name] = stage.passes if every == "epoch" else every
        zero = jnp.zeros((), jnp.int32)
        self.shapes = {}
        if self.every:
            at = At(zero, zero, key_of(0, STAGES))
            self.shapes = jax.eval_shape(self.values, world, dict(params), at)

    def __bool__(self) -> bool:
        return bool(self.every)

    def values(self, world: World, params: Mapping[str, Array], at: At) -> dict[str, Array]:
        """The outputs after a step, with the draws of that step."""
        assert self.entry is not None
        found = self.program.call(self.entry, {**world.still, **params}, context(self.program, world.bound, at))
        return {name: jnp.asarray(found[name]) for name in self.every}

    def chunk(self, wanted: int, lanes: int = 1) -> int:
        """The steps of a chunk whose rows fit into the budget, of so many runs side by side."""
        share = lanes * sum(_bytes(x) / self.every[name] for name, x in self.shapes.items())
        return wanted if not share else max(1, min(wanted, int(BUDGET / share)))

    def room(self, chunk: int) -> dict[str, int]:
        """Rows of each output in a chunk."""
        return {name: chunk // every + 1 for name, every in self.every.items()}

    def advance(
        self, loop: Loop, world: World, carry: Carry, last: Array, chunk: int
    ) -> tuple[Carry, dict[str, Array], dict[str, Array]]:
        """`loop.advance` with the outputs that fall due on the way, and how many rows of each there are."""
        rows = {
            name: jnp.zeros((n, *self.shapes[name].shape), self.shapes[name].dtype)
            for name, n in self.room(chunk).items()
        }
        counts = {name: jnp.zeros((), jnp.int32) for name in rows}

        def on(state: Any) -> Any:
            carry, rows, counts = state
            due = jnp.min(jnp.stack([(carry.step // e + 1) * e for e in self.every.values()]))
            before = carry.step
            carry = loop.advance(world, carry, jnp.minimum(due, last))
            at = At(carry.step - 1, world.limits[loop.path], carry.key)
            now = {n: (carry.step % e == 0) & (carry.step > before) for n, e in self.every.items()}

            def write(rows: dict[str, Array], counts: dict[str, Array]) -> Any:
                values = self.values(world, carry.params, at)
                new = {n: _set(rows[n], values[n], counts[n], now[n]) for n in rows}
                return new, {n: counts[n] + now[n] for n in counts}

            due_now = jnp.any(jnp.stack([*now.values()]))
            rows, counts = lax.cond(due_now, write, lambda r, c: (r, c), rows, counts)
            return carry, rows, counts

        def going(state: Any) -> Array:
            carry = state[0]
            running: Array = (carry.status == RUNNING) & (carry.step < last)
            return running

        carry, rows, counts = lax.while_loop(going, on, (carry, rows, counts))
        return carry, rows, counts


@dataclass
class Histories:
    """The rows of every output with `every`, and after how many steps of the run each was taken."""

    rows: dict[str, list[Any]] = field(default_factory=dict)
    steps: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, step: int, values: Any) -> None:
        """One more row, unless the last one is of the same step."""
        steps = self.steps.setdefault(name, [])
        if steps and steps[-1] == step:
            return
        steps.append(step)
        self.rows.setdefault(name, []).append(np.asarray(values))

    def arrays(self) -> dict[str, Any]:
        """Name → rows stacked along a first axis of their own."""
        return {name: np.stack(rows) for name, rows in self.rows.items()}

    def extend(self, other: Histories, offset: int) -> None:
        """The rows of a stage that began after `offset` steps."""
        for name, steps in other.steps.items():
            for step, row in zip(steps, other.rows[name], strict=True):
                self.add(name, step + offset, row)


def recorded(program: Program) -> list[str]:
    """The outputs that have a history."""
    return [name for name, output in program.manifest["outputs"].items() if output.get("every") is not None]


def _set(rows: Array, value: Array, place: Array, now: Array) -> Array:
    old = lax.dynamic_index_in_dim(rows, jnp.minimum(place, rows.shape[0] - 1), keepdims=False)
    new: Array = lax.dynamic_update_index_in_dim(rows, jnp.where(now, value, old), place, 0)
    return new


def _bytes(x: Any) -> int:
    return int(math.prod(x.shape) * x.dtype.itemsize)
