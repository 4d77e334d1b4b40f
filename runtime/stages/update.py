"""Assignments to params by their formulas: a mapping is simultaneous, a list of mappings one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import jax.numpy as jnp
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.methods.method import DIVERGED, RUNNING, select
from vspec.runtime.program import Program
from vspec.runtime.stages.batches import Batches
from vspec.runtime.stages.record import LIMIT, Stage, targets
from vspec.runtime.stages.transition import (
    At,
    Figures,
    Memory,
    Params,
    Transition,
    World,
    context,
    largest_change,
)


def assigned(program: Program, entries: Iterable[str], params: Mapping[str, Array], bound: Bound) -> Params:
    """The new values, of the params' shapes and dtypes: simultaneous within an entry, sequential between entries."""
    new: Params = {}
    for entry in entries:
        values = program.call(entry, {**params, **new}, bound)
        new |= shaped(values, params)
    return new


def shaped(values: Mapping[str, Array], params: Mapping[str, Array]) -> Params:
    """New values of params in their shapes and dtypes."""
    return {k: jnp.broadcast_to(v, params[k].shape).astype(params[k].dtype) for k, v in values.items()}


def all_finite(values: Mapping[str, Array]) -> Array:
    """Whether every entry of every array is finite."""
    flags = [jnp.all(jnp.isfinite(x)) for x in values.values()]
    return jnp.all(jnp.stack(flags)) if flags else jnp.asarray(True)


class Update(Transition):
    """Evaluates the formulas and assigns. Its memory: the order of rows, steps, the last change, status."""

    def __init__(self, program: Program, stage: Stage) -> None:
        self.program = program
        self.stage = stage
        self.entries: tuple[str, ...] = tuple(stage.record["update"])
        self.moves = targets(program, self.entries)
        self.batches = Batches(program, stage)
        self.limit = LIMIT if stage.record.get("until") else 1

    def begin(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """Nothing is evaluated before the first step."""
        zero = jnp.zeros((), jnp.int32)
        return (self.batches.begin(world, at), zero, jnp.zeros(()), jnp.full((), RUNNING, jnp.int32)), params

    def step(self, world: World, memory: Memory, params: Params, at: At) -> tuple[Memory, Params]:
        """New values from the old; they are not taken if one of them is not finite."""
        order, steps, change, _ = memory
        order, rows = self.batches.rows(world, order, at)
        bound = context(self.program, self.batches.bound(world.bound, rows, at), at)
        seen = self.batches.take({**world.still, **params}, rows)
        new = assigned(self.program, self.entries, seen, bound)
        fine = all_finite(new)
        new = select(fine, new, {k: seen[k] for k in new})
        change = jnp.where(fine, largest_change(new, {k: seen[k] for k in new}), change).astype(change.dtype)
        status = jnp.where(fine, RUNNING, DIVERGED).astype(jnp.int32)
        return (order, steps + 1, change, status), self.batches.put(params, new, rows)

    def status(self, memory: Memory) -> Array:
        """RUNNING as long as the values are finite."""
        status: Array = memory[3]
        return status

    def figures(self, memory: Memory) -> Figures:
        """Steps, and the largest change of an entry in the last one."""
        _, steps, change, status = memory
        return {self.stage.key: {"steps": steps, "change": change, "status": status}}
