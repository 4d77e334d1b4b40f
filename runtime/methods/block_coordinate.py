"""Block coordinate descent: block after block is set to its exact minimum, which the program has as formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.methods.method import (
    DIVERGED,
    RUNNING,
    STALLED,
    TOLERANCE,
    Blocks,
    Method,
    Point,
    Problem,
    Scaled,
    State,
    largest,
    select,
)
from vspec.runtime.methods.scaling import empty, swept

_PATIENCE = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCoordinate(Method):
    """One step is one sweep over all blocks. `tol` is about the largest change of an element in a sweep, relative to the largest
    element where that is above 1: it is zero exactly where each block is at its minimum given the others. No change at all, or
    by rounding alone, is always enough.

    A sweep that makes the value worse, beyond rounding, is not taken: the formula of some block is no minimum there, and the run
    ends as 'stalled', as it does where neither value nor change have fallen for long.
    """

    blocks: tuple[tuple[str, ...], ...]
    form: Mapping[str, Any]
    limit: ClassVar[int] = 10_000
    chunk: ClassVar[int] = 10
    plain: ClassVar[bool] = True

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start. `extra` is the least change so far, since how many sweeps it has stood, and the kernel of the
        scaling form, if the sweep has one."""
        value = problem.value(point)
        moved = self.swept(problem, point)
        change = relative_change(point, moved)
        step = jax.tree.map(lambda x, y: y - x, point, moved)
        zero = jnp.zeros((), jnp.int32)
        status = jnp.where(jnp.isfinite(value) & jnp.isfinite(largest(step)), RUNNING, DIVERGED).astype(jnp.int32)
        scaled = self.scaled(problem, point)
        kernel = {} if scaled is None else empty(scaled, point)
        return State(point, value, step, change, zero, status, (jnp.full((), jnp.inf, change.dtype), zero, kernel))

    def kernel(self, state: State) -> dict[str, Array]:
        """The kernel of the scaling form, if the sweep has one."""
        found: dict[str, Array] = state.extra[2]
        return found

    def listed(self, point: Point) -> Blocks:
        """The blocks: as they are given, else one for each param."""
        return tuple(tuple(names) for names in self.blocks) or tuple((name,) for name in point)

    def scaled(self, problem: Problem, point: Point) -> Scaled | None:
        """The scaling form of the sweep, if it is to be used."""
        return None if self.form["name"] == "log" else problem.scaled.get(self.listed(point))

    def swept(self, problem: Problem, point: Point) -> Point:
        """The point after one sweep, which ends at a block whose minimum is not finite."""
        fine = jnp.asarray(True)
        for names in self.listed(point):
            new = problem.blocks[names](point)
            point = {**point, **select(fine, new, {k: point[k] for k in new})}
            fine &= jnp.isfinite(largest(new))
        return point

    def step(self, problem: Problem, state: State) -> State:
        """One sweep."""
        least, since, kernel = state.extra
        scaled = self.scaled(problem, state.point)
        if scaled is None:
            point = self.swept(problem, state.point)
            value = problem.value(point)
        else:
            point, value, kernel = swept(problem, self.listed(state.point), scaled, state.point, kernel)
        change = relative_change(state.point, point)
        step = jax.tree.map(lambda x, y: y - x, state.point, point)
        eps = float(np.finfo(value.dtype).eps)
        better = (change < least) | (value < state.value - 10 * eps * jnp.abs(state.value))
        since = jnp.where(better, 0, since + 1).astype(jnp.int32)
        worse = value > state.value + jnp.sqrt(eps) * jnp.maximum(1.0, jnp.abs(state.value))
        status = jnp.where(change <= jnp.maximum(self.tol, 2 * eps), TOLERANCE, RUNNING)
        status = jnp.where((since >= _PATIENCE) & (status == RUNNING), STALLED, status)
        fine = jnp.isfinite(value) & jnp.isfinite(largest(step))
        status = jnp.where(fine, jnp.where(worse, STALLED, status), DIVERGED).astype(jnp.int32)
        # The kernel is right wherever it was made: it is no part of what is chosen between, which would copy it.
        new = State(point, value, step, change, state.steps + 1, status, (jnp.minimum(least, change), since))
        stay = state._replace(gradient=step, steps=state.steps + 1, status=status, extra=state.extra[:2])
        taken: State = select(fine & ~worse, new, stay)
        extra: Any = (*taken.extra, kernel)
        return taken._replace(extra=extra)

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """The state at a point to which others have moved: only the value is new."""
        value = problem.value(point)
        status = jnp.where(jnp.isfinite(value), RUNNING, DIVERGED).astype(jnp.int32)
        return state._replace(point=point, value=value, status=status)


def relative_change(before: Point, after: Point) -> Array:
    """The largest absolute change of an element, over the largest element where that is above 1."""
    change = largest(jax.tree.map(lambda x, y: y - x, before, after))
    return change / jnp.maximum(1.0, largest(after))
