"""What a stage is while it runs: a step from memory and params to memory and params. Steps are traceable, and so they nest."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from vspec.runtime import keys
from vspec.runtime.bound import Bound
from vspec.runtime.data import numpy_dtype
from vspec.runtime.methods.method import DIVERGED, INFEASIBLE, REASONS, RUNNING, STALLED, TOLERANCE
from vspec.runtime.program import Program
from vspec.runtime.stages.record import Stage

Params = dict[str, Array]
Memory = Any
Figures = dict[str, dict[str, Any]]

UNTIL = len(REASONS)
ENDS = (*REASONS, "until")
"""Why a stage ended, by its status; that of a stage which still runs is 'steps'."""


class World(NamedTuple):
    """What a stage does not change: the data, the params that it does not move, and the steps of every stage by its path."""

    bound: Bound
    still: Params
    limits: Mapping[str, Array]


class At(NamedTuple):
    """Where a stage stands: the number of its step, how many there are, and the stage's key."""

    step: Array
    steps: Array
    key: Array


class Transition(abc.ABC):
    """One stage.

    Attributes:
        stage: its record in the plan.
        moves: the params that it changes.
        chunk: the least number of steps between two reports.
        limit: the number of steps where the plan gives none.
    """

    stage: Stage
    moves: tuple[str, ...]
    chunk: int = 10
    limit: int = 1

    @abc.abstractmethod
    def begin(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """The memory before the first step, evaluated as in step `at.step`, and the params to start from."""

    @abc.abstractmethod
    def step(self, world: World, memory: Memory, params: Params, at: At) -> tuple[Memory, Params]:
        """One step. `params` are those that move, of the whole plan; `at.step` says which step it is."""

    def looks(self) -> bool:
        """Whether a step evaluates where it is before it moves, so that a step tells what `begin` would."""
        return False

    def blank(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """As `begin`, with zeros for all that is evaluated. Only where the stage `looks`."""
        raise NotImplementedError

    def end(self, memory: Memory, params: Params) -> Params:
        """The params that a stage leaves."""
        return params

    @abc.abstractmethod
    def status(self, memory: Memory) -> Array:
        """RUNNING, or why it goes no further."""

    @abc.abstractmethod
    def figures(self, memory: Memory) -> Figures:
        """Path of a stage → what is reported of it: scalars, as arrays. Of a repetition, those of its stages."""

    def kernel(self, memory: Memory) -> Params:
        """Arrays that its method keeps and entries of the program may read, by name."""
        return {}

    def unseen(self) -> set[str]:
        """The paths of stages whose figures are from before their last step: `begin`, where they end, gives those there."""
        return set()

    def limits(self) -> dict[str, int]:
        """The steps of the stages by their paths."""
        return {self.stage.key: self.limit if self.stage.steps is None else self.stage.steps}

    def rows(self) -> dict[str, Stage]:
        """The stages by the paths that `figures` has."""
        return {self.stage.key: self.stage}


def context(program: Program, bound: Bound, at: At) -> Bound:
    """The data with the counters of a step and the key of its draws."""
    integer = numpy_dtype("integer", program.precision)
    counters = {"step": at.step.astype(integer), "steps": at.steps.astype(integer)}
    return bound.at(counters, keys.fold(at.key, keys.DRAWS, at.step))


def together(statuses: Iterable[Array]) -> Array:
    """The status of several that move side by side: all must have reached their tolerance for the whole to have."""
    all_ = jnp.stack([*statuses])
    ended = jnp.where(jnp.all(all_ == TOLERANCE), TOLERANCE, STALLED)
    resting = jnp.all((all_ == TOLERANCE) | (all_ == STALLED))
    status = jnp.where(resting, ended, RUNNING)
    status = jnp.where(jnp.any(all_ == INFEASIBLE), INFEASIBLE, status)
    return jnp.where(jnp.any(all_ == DIVERGED), DIVERGED, status).astype(jnp.int32)


def restless(program: Program, entries: Iterable[str]) -> bool:
    """Whether an entry reads the step or draws, so that its value may differ between steps at the same params."""
    return any(a.role in ("counter", "key") for e in entries for a in program.entry(e).arguments)


def largest_change(new: Mapping[str, Array], old: Mapping[str, Array]) -> Array:
    """The largest absolute difference of an entry."""
    tops = [jnp.max(jnp.abs(_number(new[k]) - _number(old[k]))) for k in new if new[k].size]
    return jnp.max(jnp.stack([t.astype(float) for t in tops])) if tops else jnp.zeros(())


def _number(x: Array) -> Array:
    return x.astype(jnp.int32) if x.dtype == jnp.bool_ else x
