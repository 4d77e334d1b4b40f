"""Stages made of stages: rounds of several, runs of one inside of a round, and the mean of the last iterates."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from vspec.runtime import keys
from vspec.runtime.methods.method import DIVERGED, RUNNING, STALLED, TOLERANCE, select
from vspec.runtime.program import Program
from vspec.runtime.stages.held import holding
from vspec.runtime.stages.loop import Loop
from vspec.runtime.stages.record import Stage
from vspec.runtime.stages.transition import At, Figures, Memory, Params, Transition, World, together


class Repeat(Transition):
    """One step is one round: each stage once, in order. A stage without steps of its own takes one, and keeps its memory."""

    chunk = 1

    def __init__(self, stage: Stage, stages: list[Transition]) -> None:
        self.stage = stage
        self.stages = stages
        self.moves = tuple(dict.fromkeys(p for s in stages for p in s.moves))

    def begin(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """The memory of each stage."""
        memories = []
        for k, stage in enumerate(self.stages):
            memory, params = stage.begin(world, params, self._at(at, k))
            memories.append(memory)
        return (tuple(memories), jnp.full((), RUNNING, jnp.int32)), params

    def step(self, world: World, memory: Memory, params: Params, at: At) -> tuple[Memory, Params]:
        """A round. A stage that diverges moves nothing, and the round is the last."""
        new = []
        for k, (stage, old) in enumerate(zip(self.stages, memory[0], strict=True)):
            state, params = stage.step(world, old, params, self._at(at, k))
            new.append(state)
        status = together([s.status(m) for s, m in zip(self.stages, new, strict=True)])
        return (tuple(new), status), params

    def _at(self, at: At, k: int) -> At:
        return at._replace(key=keys.fold(at.key, keys.PARTS, k))

    def end(self, memory: Memory, params: Params) -> Params:
        """What each stage leaves."""
        for stage, state in zip(self.stages, memory[0], strict=True):
            params = stage.end(state, params)
        return params

    def status(self, memory: Memory) -> Array:
        """At a tolerance where all stages are."""
        status: Array = memory[1]
        return status

    def figures(self, memory: Memory) -> Figures:
        """Those of all stages."""
        found: Figures = {}
        for stage, state in zip(self.stages, memory[0], strict=True):
            found |= stage.figures(state)
        return found

    def unseen(self) -> set[str]:
        """Those of all stages."""
        return {path for stage in self.stages for path in stage.unseen()}

    def limits(self) -> dict[str, int]:
        """Its rounds, and the steps of all stages inside."""
        found = {self.stage.key: self.stage.steps or 1}
        for stage in self.stages:
            found |= stage.limits()
        return found

    def rows(self) -> dict[str, Stage]:
        """All stages inside."""
        return {path: s for stage in self.stages for path, s in stage.rows().items()}


class Whole(Transition):
    """A stage with steps of its own inside of a round: it runs from its start to its end, each time afresh.

    Its memory: the figures of its last run with the steps of all runs, and status.
    """

    def __init__(self, program: Program, inner: Transition) -> None:
        self.inner = inner
        self.stage = inner.stage
        self.moves = inner.moves
        self.program = program
        self.loop = Loop(program, inner)

    def begin(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """Shapes only: it starts in its round."""
        shapes = jax.eval_shape(lambda: self._run(world, params, at.key)[0])
        figures = jax.tree.map(lambda x: _unknown(x.shape, x.dtype), shapes)
        return (figures, jnp.full((), RUNNING, jnp.int32)), params

    def step(self, world: World, memory: Memory, params: Params, at: At) -> tuple[Memory, Params]:
        """One run."""
        key = keys.fold(at.key, keys.ROUNDS, at.step)
        figures, status, params = self._run(world, params, key)
        before = memory[0]
        for path, found in figures.items():
            for count in ("steps", "cg"):
                if count in found:
                    found[count] = found[count] + before[path][count]
        return (figures, status), params

    def _run(self, world: World, params: Params, key: Array) -> tuple[Figures, Array, Params]:
        world = holding(self.program, self.inner, world, params, traced=True)
        carry = self.loop.begin(world, params, key)
        carry = self.loop.advance(world, carry, world.limits[self.stage.key])
        # A run that ends where it begins is at rest; one that moved may move again in the next round.
        resting = ((carry.status == TOLERANCE) | (carry.status == STALLED)) & (carry.step == 0)
        kept = resting | (carry.status == DIVERGED)
        status = jnp.where(kept, carry.status, RUNNING).astype(jnp.int32)
        figures = self.inner.figures(carry.memory)
        if self.stage.key not in figures:
            figures[self.stage.key] = {"steps": carry.step, "status": status}
        return figures, status, self.inner.end(carry.memory, carry.params)

    def status(self, memory: Memory) -> Array:
        """DIVERGED, at rest, or RUNNING."""
        status: Array = memory[1]
        return status

    def figures(self, memory: Memory) -> Figures:
        """Those of the last run."""
        found: Figures = memory[0]
        return found

    def limits(self) -> dict[str, int]:
        """Those of the stage inside."""
        return self.inner.limits()

    def rows(self) -> dict[str, Stage]:
        """The stage and those inside of it."""
        return {self.stage.key: self.stage, **self.inner.rows()}


class Averaged(Transition):
    """Leaves the mean of the last iterates: of the last fraction of all steps. One that ends before leaves its last iterate.

    `kept`: params of which no mean is taken, since they are what a step leaves for the next one.
    """

    def __init__(self, inner: Transition, fraction: float, kept: Collection[str] = ()) -> None:
        self.inner = inner
        self.fraction = fraction
        self.kept = kept
        self.stage, self.moves, self.chunk, self.limit = inner.stage, inner.moves, inner.chunk, inner.limit

    def begin(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """No mean yet."""
        memory, params = self.inner.begin(world, params, at)
        return (memory, self._means(params), jnp.zeros((), jnp.int32)), params

    def looks(self) -> bool:
        """As the stage does."""
        return self.inner.looks()

    def blank(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """No mean yet."""
        memory, params = self.inner.blank(world, params, at)
        return (memory, self._means(params), jnp.zeros((), jnp.int32)), params

    def _means(self, params: Params) -> Params:
        return {k: params[k] for k in self.moves if k not in self.kept and jnp.issubdtype(params[k].dtype, jnp.inexact)}

    def step(self, world: World, memory: Memory, params: Params, at: At) -> tuple[Memory, Params]:
        """A step, and the running mean."""
        inner, mean, _ = memory
        inner, params = self.inner.step(world, inner, params, at)
        window = jnp.maximum(1, jnp.round(self.fraction * at.steps).astype(jnp.int32))
        count = jnp.maximum(at.step + 1 - (at.steps - window), 0)
        taken = jnp.maximum(count, 1)
        mean = {k: m + (params[k] - m) / taken.astype(m.dtype) for k, m in mean.items()}
        return (inner, mean, count), params

    def end(self, memory: Memory, params: Params) -> Params:
        """The mean, if there is one."""
        inner, mean, count = memory
        params = self.inner.end(inner, params)
        return {**params, **select(count > 0, mean, {k: params[k] for k in mean})}

    def status(self, memory: Memory) -> Array:
        """That of the stage."""
        return self.inner.status(memory[0])

    def figures(self, memory: Memory) -> Figures:
        """Those of the last iterate."""
        return self.inner.figures(memory[0])

    def unseen(self) -> set[str]:
        """The mean is where no step has been."""
        return self.inner.unseen() if self.stage.batch else {*self.inner.rows()}

    def limits(self) -> dict[str, int]:
        """Those of the stage."""
        return self.inner.limits()

    def rows(self) -> dict[str, Stage]:
        """Those of the stage."""
        return self.inner.rows()


class Nothing(Transition):
    """`evaluate`: moves nothing; what it names is part of the outputs."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.moves = ()

    def begin(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """Nothing to remember."""
        return (), params

    def step(self, world: World, memory: Memory, params: Params, at: At) -> tuple[Memory, Params]:
        """Nothing to do."""
        return (), params

    def status(self, memory: Memory) -> Array:
        """At rest: it never keeps a round going."""
        return jnp.full((), TOLERANCE, jnp.int32)

    def figures(self, memory: Memory) -> Figures:
        """None."""
        return {}


def _unknown(shape: tuple[int, ...], dtype: Any) -> Array:
    return jnp.full(shape, jnp.nan, dtype) if jnp.issubdtype(dtype, jnp.inexact) else jnp.zeros(shape, dtype)
