"""Executes a plan for several points side by side: each stage is one compiled loop, vmapped over the points.

A loop ends when all points have ended; a point that has ended stays where it is. What is not part of a loop (checks of a start,
certificates, violations) is done point by point, as in a run of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime import keys
from vspec.runtime.bound import Bound
from vspec.runtime.errors import NumericsError, RunError
from vspec.runtime.methods.method import DIVERGED, RUNNING
from vspec.runtime.program import Program
from vspec.runtime.searches import seeks
from vspec.runtime.stages.events import StageResult
from vspec.runtime.stages.execute import (
    best_of,
    build,
    check_begin,
    record_row,
    result_of,
    start_of,
    world_of,
)
from vspec.runtime.stages.histories import Histories, Recorder, recorded
from vspec.runtime.stages.loop import Carry, Loop
from vspec.runtime.stages.record import Stage, resolve
from vspec.runtime.stages.runner import Run
from vspec.runtime.stages.transition import ENDS, Params, Transition, World
from vspec.runtime.sweep.stacking import Stacked, lane, stacked

MOST_WORK = 2e6
"""Operations of one evaluation of one point above which a CPU runs points one after the other. Below, a step is mostly what it
costs to start it, which points side by side share; above, batched products and factorisations are slower than single ones."""


class Apart(Exception):  # noqa: N818 (says why, as a word in a message)
    """The points cannot run side by side; says why."""


@dataclass(slots=True)
class Point:
    """One point: where it starts, its data, and what became of it. `error` ends it."""

    params: Params
    bound: Bound
    results: list[StageResult] = field(default_factory=list)
    histories: Histories = field(default_factory=Histories)
    taken: int = 0
    error: RunError | None = None


def apart(program: Program) -> str:
    """Why no two points of a program can run side by side; '' if they can."""
    if seeks(program):
        return "it searches for implicit quantities, and each search is looked at by itself"
    return ""


def execute(program: Program, points: Sequence[Point], lanes: int) -> None:
    """Runs the plan for all points. A point that meets an error has it; the others go on.

    Args:
        program: the program.
        points: the points, which are changed.
        lanes: for how many points the loops are compiled, at least as many as there are.

    Raises:
        Apart: the points differ in what a compiled loop depends on.
    """
    names = recorded(program)
    for index, record in enumerate(program.manifest["plan"]):
        if index == 0:
            _each(points, lambda p: _record(program, p, names))
        if record["kind"] == "evaluate":
            for p in points:
                stage = resolve(program, p.bound, record, (index,))
                p.results.append(StageResult("evaluate", stage.about, stage.name))
            continue
        _stage(program, [p for p in points if p.error is None], index, record, lanes)
        _each(points, lambda p: _record(program, p, names))
    if not program.manifest["plan"]:
        _each(points, lambda p: _record(program, p, names))


def _each(points: Sequence[Point], do: Any) -> None:
    """Does something for every point that is well; an error is the point's own."""
    for p in points:
        if p.error is None:
            try:
                do(p)
            except RunError as error:
                p.error = error


def _record(program: Program, point: Point, names: list[str]) -> None:
    if names:
        record_row(program, point.histories, names, point.params, point.bound, point.taken)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A point before a stage: the stage with the point's counts, what it does not change, and what it moves."""

    point: Point
    stage: Stage
    world: World
    moving: Params
    key: Array

    @property
    def limit(self) -> int:
        """How many steps it may take."""
        return int(self.world.limits[self.stage.key])


def _stage(program: Program, points: list[Point], index: int, record: Any, lanes: int) -> None:
    """One stage, for all points that are well."""
    begun: list[_Begun] = []

    def begin(p: Point) -> None:
        stage = resolve(program, p.bound, record, (index,))
        check_begin(program, stage, p.params, p.bound)
        transition = build(program, stage)
        key = keys.key_of(p.bound.seed, keys.STAGES, index)
        moving = {k: p.params[k] for k in transition.moves}
        begun.append(_Begun(p, stage, world_of(program, transition, p.params, p.bound), moving, key))

    _each(points, begin)
    if not begun:
        return
    stage = begun[0].stage
    if any(b.point.bound.streams for b in begun):
        raise Apart("their data are read by chunks, since they are larger than memory")
    if any((b.stage.shape(), b.stage.record) != (stage.shape(), stage.record) for b in begun):
        raise Apart(f"the points differ in the batches, starts or memory of the stage '{stage.label}'")
    # The last point fills the lanes that are empty, so that what is compiled serves fewer points, too.
    filled = [*begun, *[begun[-1]] * (lanes - len(begun))]
    still = stacked([(b.world, b.key) for b in filled])
    if still is None:
        raise Apart(f"the points differ in shapes before the stage '{stage.label}'")
    runner, compile_seconds = _runner(program, stage, filled, still)
    limits = np.asarray([b.limit for b in filled], np.int32)
    runs: list[list[Run]] = []
    for k in range(stage.starts):
        starts = [start_of(runner.transition, stage, b.moving, b.point.bound, k) for b in filled]
        runs.append(runner.run(still, starts, limits, len(begun)))
    for k, b in enumerate(begun):
        _each([b.point], partial(_finish, program, b.stage, [tried[k] for tried in runs], compile_seconds))


def _runner(program: Program, stage: Stage, begun: list[_Begun], still: Stacked) -> tuple[Together, float]:
    """The compiled loop, kept for the next points, and how long it took to compile it now."""
    transition, first, lanes = build(program, stage), begun[0], len(begun)
    recorder = Recorder(program, stage, first.world, first.moving)
    limit = max(b.limit for b in begun)
    # Rows of histories wait on the device for all lanes.
    chunk = recorder.chunk(max(transition.chunk, min(1000, -(-limit // 100))), lanes)
    shapes = tuple((k, x.shape, str(x.dtype)) for k, x in first.moving.items())
    key = ("together", json.dumps(stage.record, sort_keys=True), stage.shape(), chunk, still.signature, shapes, lanes)
    fresh = key not in program.compiled
    if fresh:
        try:
            program.compiled[key] = Together(program, transition, recorder, chunk, still, first.moving, lanes)
        except Apart as why:
            program.compiled[key] = why
    made: Together | Apart = program.compiled[key]
    if isinstance(made, Apart):
        raise made
    return made, made.compile_seconds if fresh else 0.0


def _finish(program: Program, stage: Stage, runs: list[Run], compile_seconds: float, point: Point) -> None:
    """What a point has after a stage. Where it failed, the error only says so: a run by itself tells what is wrong."""
    possible = [r for r in runs if r.reason not in ("diverged", "infeasible")]
    if not possible:
        raise NumericsError("VS0602", f"the stage '{stage.label}' gives what is not finite or not possible")
    best = best_of(program, stage, point.params, point.bound, possible)
    point.params = {**point.params, **best.params}
    result = result_of(program, stage, point.params, point.bound, best, runs, compile_seconds)
    point.histories.extend(best.histories, point.taken)
    point.taken += result.steps
    point.results.append(result)


class Together:
    """The compiled loop of a stage for a number of lanes. What `runner.Runner` is for one point."""

    def __init__(
        self,
        program: Program,
        stage: Transition,
        recorder: Recorder,
        chunk: int,
        still: Stacked,
        moving: Params,
        lanes: int,
    ) -> None:
        self.transition = stage
        self.recorder = recorder
        self.chunk = chunk
        loop = Loop(program, stage)
        tree, axes = still.tree, list(still.axes)

        def begin(leaves: Sequence[Array], params: Params, step: Array) -> tuple[Carry, Any]:
            world, key = tree(leaves)
            carry = loop.begin(world, params, key, step)
            return carry, self._summary(carry)

        def advance(leaves: Sequence[Array], carry: Carry, last: Array) -> tuple[Carry, Any]:
            world, _ = tree(leaves)
            if not recorder:
                carry = loop.advance(world, carry, last)
                return carry, (self._summary(carry), {}, {})
            carry, rows, counts = recorder.advance(loop, world, carry, last, chunk)
            return carry, (self._summary(carry), rows, counts)

        def end(carry: Carry) -> Params:
            return stage.end(carry.memory, carry.params)

        started = time.perf_counter()
        zeros = jnp.zeros(lanes, jnp.int32)
        params = {k: jnp.broadcast_to(x, (lanes, *x.shape)) for k, x in moving.items()}
        mapped = jax.vmap(begin, in_axes=(axes, 0, 0), axis_size=lanes)
        traced = jax.jit(mapped).trace(still.leaves, params, zeros)
        lowered = traced.lower()
        if jax.default_backend() == "cpu" and work(traced, lowered) / lanes > MOST_WORK:
            raise Apart("a step of one point keeps the processor busy by itself")
        self._begin = lowered.compile()
        carry = jax.eval_shape(mapped, still.leaves, params, zeros)[0]
        stepped = jax.vmap(advance, in_axes=(axes, 0, 0), axis_size=lanes)
        self._advance = jax.jit(stepped).lower(still.leaves, carry, zeros).compile()
        self._end = jax.jit(jax.vmap(end)).lower(carry).compile()
        self.compile_seconds = time.perf_counter() - started

    def _summary(self, carry: Carry) -> Any:
        return carry.step, carry.status, self.transition.figures(carry.memory)

    def run(self, still: Stacked, starts: Sequence[Params], limits: Any, wanted: int) -> list[Run]:
        """From params to params, each lane up to its own limit; gives the first `wanted` of them."""
        started = time.perf_counter()
        lanes = len(starts)
        histories = [Histories() for _ in range(wanted)]
        params = {k: jnp.stack([jnp.asarray(x[k]) for x in starts]) for k in starts[0]}
        carry, summary = self._begin(still.leaves, params, jnp.zeros(lanes, jnp.int32))
        steps, status, figures = jax.device_get(summary)
        while np.any(going := (status == RUNNING) & (steps < limits)):
            old = steps
            last = np.where(going, np.minimum(steps + self.chunk, limits), steps)
            carry, found = self._advance(still.leaves, carry, jnp.asarray(last, jnp.int32))
            (steps, status, figures), rows, counts = jax.device_get(found)
            for name, every in self.recorder.every.items():
                for k in range(wanted):
                    for j in range(int(counts[name][k])):
                        histories[k].add(name, (int(old[k]) // every + 1 + j) * every, rows[name][k, j])
        params = self._end(carry)
        status, figures = self._close(still, params, steps, status, figures)
        params = jax.device_get(params)
        seconds = (time.perf_counter() - started) / wanted
        return [
            Run(lane(params, k), ENDS[status[k]], int(steps[k]), lane(figures, k), seconds, histories[k])
            for k in range(wanted)
        ]

    def _close(self, still: Stacked, params: Params, steps: Any, status: Any, figures: Any) -> tuple[Any, Any]:
        """Completes figures that are from before the last step, as `Runner` does for one point."""
        unseen = self.transition.unseen() & figures.keys()
        late = (steps > 0) & (status != DIVERGED)
        if not unseen or not late.any():
            return status, figures
        _, summary = self._begin(still.leaves, params, jnp.asarray(np.maximum(steps - 1, 0), jnp.int32))
        _, _, found = jax.device_get(summary)
        own = self.transition.stage.key
        if own in unseen:
            status = np.where(late & (found[own]["status"] == DIVERGED), DIVERGED, status)
        late &= status != DIVERGED
        for path in unseen:
            new = {
                k: np.where(late, found[path][k], figures[path][k]) for k in ("value", "gradient") if k in found[path]
            }
            figures = {**figures, path: {**figures[path], **new}}
        return status, figures


_CUBIC = frozenset(
    (
        "cholesky",
        "lu",
        "qr",
        "geqrf",
        "householder_product",
        "triangular_solve",
        "eigh",
        "eig",
        "svd",
        "schur",
        "hessenberg",
    )
)


def work(traced: Any, lowered: Any) -> float:
    """Floating-point operations of a traced function: what XLA counts, and factorisations, of which it knows nothing.

    The body of a loop counts once.
    """
    counted = (lowered.cost_analysis() or {}).get("flops", 0.0)
    return float(counted) + _factorisations(traced.jaxpr.jaxpr)


def _factorisations(jaxpr: Any) -> float:
    """Entries of the matrix times its size, of every factorisation and triangular solve; inner functions included."""
    total = 0.0
    for equation in jaxpr.eqns:
        shape = getattr(equation.invars[0].aval, "shape", ()) if equation.invars else ()
        if equation.primitive.name in _CUBIC and shape:
            total += float(np.prod(shape)) * shape[-1]
        for inner in jax.tree.leaves([*equation.params.values()], is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                total += _factorisations(getattr(inner, "jaxpr", inner))
    return total


def _is_jaxpr(x: Any) -> bool:
    return hasattr(x, "eqns")
