"""Runs a stage: compiles its loop once, runs it in chunks, reports after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.devices import Layout
from vspec.runtime.executables import executable
from vspec.runtime.methods.method import DIVERGED, RUNNING
from vspec.runtime.program import Program
from vspec.runtime.stages.feed import Feed
from vspec.runtime.stages.histories import Histories, Recorder
from vspec.runtime.stages.loop import Carry, Loop
from vspec.runtime.stages.position import Finished, Paused
from vspec.runtime.stages.transition import ENDS, Figures, Params, Transition, World

Report = Callable[[int, Figures], None]
Pause = Callable[[int, Callable[[], Paused]], None]
"""Called between chunks with the steps of the loop and with what makes its state, if that is to be kept."""


@dataclass(frozen=True, slots=True)
class Run:
    """Where a stage ended: its params, why, after how many steps of its loop, and the last figures, as NumPy scalars.

    `before` is a state of the loop from before its last step, from which that step can be taken once more. Of a run that
    diverged it is None if no step did, but what `begin` evaluates where it starts or ends.
    """

    params: Params
    reason: str
    steps: int
    figures: Figures
    seconds: float
    histories: Histories
    before: Carry | None = None


class Runner:
    """The compiled loop of a stage, for data and params of certain shapes; the number of steps is an argument.

    Where the program was built to donate, the loop writes its next state where the last one was, so that a state is in memory
    once. Of a run that diverged the state before its last chunk is then made once more, from the start.
    """

    def __init__(
        self,
        program: Program,
        stage: Transition,
        recorder: Recorder,
        world: World,
        params: Params,
        key: Array,
        chunk: int,
        keep: bool = False,
    ) -> None:
        """`keep`: whether a run that does not diverge keeps `before`, too."""
        self.transition = stage
        self.keep = keep
        self.recorder = recorder
        self.chunk = chunk
        # A state whose memory is given away is gone: nobody may look at it once the next one is made.
        self.donates = bool(program.manifest.get("options", {}).get("donate")) and not keep
        loop = Loop(program, stage)

        def begin(world: World, params: Params, key: Array, step: Array) -> tuple[Carry, Any]:
            carry = loop.begin(world, params, key, step)
            return carry, self._summary(carry)

        def blank(world: World, params: Params, key: Array, step: Array) -> tuple[Carry, Any]:
            carry = loop.blank(world, params, key, step)
            return jax.tree.map(lambda x, s: x.astype(s.dtype), carry, self.shapes), ()

        def advance(world: World, carry: Carry, last: Array) -> tuple[Carry, Any]:
            if not recorder:
                carry = loop.advance(world, carry, last)
                return carry, (self._summary(carry), {}, {})
            carry, rows, counts = recorder.advance(loop, world, carry, last, chunk)
            return carry, (self._summary(carry), rows, counts)

        started = time.perf_counter()
        self._layout = layout = world.bound.layout
        zero = self._number(0)
        feed = self.feed(world, key)
        one = feed.shapes(1)
        self.shapes: Carry = jax.eval_shape(begin, one, params, key, zero)[0]
        split: dict[str, Any] = {}
        if layout is not None:
            where = placed_carry(program, layout, self.shapes)
            self.shapes = jax.tree.map(lambda x, s: x.update(sharding=s), self.shapes, where)
            split = {"out_shardings": (where, layout.whole)}
        split["keep_unused"] = True
        # Where a step looks before it moves, the first one tells what there is at the start: nothing is compiled twice.
        self._looks = stage.looks()
        start, seen = (blank, feed.shapes(chunk)) if self._looks else (begin, one)
        self._begin = executable(jax.jit(start, **split).lower(seen, params, key, zero), params)
        given = (1,) if self.donates else ()
        self._advance = executable(
            jax.jit(advance, donate_argnums=given, **split).lower(feed.shapes(chunk), self.shapes, zero), params
        )
        self.compile_seconds = time.perf_counter() - started

    def _number(self, n: int) -> Array:
        """A whole number where the loop runs."""
        number = jnp.asarray(n, jnp.int32)
        return number if self._layout is None else self._layout.spread(number)  # type: ignore[no-any-return]

    def _summary(self, carry: Carry) -> Any:
        return carry.step, carry.status, self.transition.figures(carry.memory)

    def run(
        self,
        world: World,
        params: Params,
        key: Array,
        limit: int,
        report: Report,
        pause: Pause = lambda steps, make: None,
        paused: Paused | None = None,
    ) -> Run:
        """From params to params.

        Args:
            world: what the stage does not change.
            params: where it starts.
            key: its key.
            limit: the most steps.
            report: called with steps and figures at the start and after each chunk.
            pause: called after each chunk that is not the last.
            paused: where an earlier run of the stage stood; this one goes on from there.
        """
        started = time.perf_counter() - (paused.seconds if paused is not None else 0.0)
        histories = Histories() if paused is None else paused.histories
        status, figures = RUNNING, Figures()
        feed = self.feed(world, key)
        if paused is None:
            carry, (steps, status, figures) = self._started(feed, params, key)
            report(steps, figures)
        else:
            carry, steps = self._own(self.carry(paused.leaves)), paused.steps
        before: Carry | None = None
        began = steps
        while status == RUNNING and steps < limit:
            last = min(steps + self.chunk, limit)
            before = None if self.donates else carry
            began = steps
            carry, found = self._advance(feed.steps(steps, last, limit), carry, self._number(last))
            summary, rows, counts = jax.device_get(found)
            for name, every in self.recorder.every.items():
                for k in range(int(counts[name])):
                    histories.add(name, (steps // every + 1 + k) * every, rows[name][k])
            steps, status, figures = _fetched(summary)
            report(steps, figures)
            if status == RUNNING and steps < limit:
                here = Paused(tuple(jax.tree.leaves(carry)), steps, time.perf_counter() - started, histories)
                pause(steps, lambda here=here: here)  # type: ignore[misc]
        if self.donates and status == DIVERGED and steps > 0:
            before = self._again(feed, params, key, began, limit, paused)
        params = self.transition.end(carry.memory, carry.params)
        if steps > 0 and status != DIVERGED:
            status = self._close(feed, params, key, steps, status, figures)
            before = before if self.keep and status != DIVERGED else None
        return Run(params, ENDS[status], steps, figures, time.perf_counter() - started, histories, before)

    def _started(self, feed: Feed, params: Params, key: Array, step: int = 0) -> tuple[Carry, tuple[int, int, Figures]]:
        """The state before the first step, and what is evaluated there, as in step `step`."""
        world = feed.steps(step, step + 1) if self._looks else feed.step(step)
        carry, summary = self._begin(world, params, key, self._number(step))
        if not self._looks:
            return self._own(carry), _fetched(summary)
        _, found = self._advance(world, self._own(carry), self._number(step + 1))
        _, _, figures = _fetched(jax.device_get(found)[0])
        own = figures[self.transition.stage.key]
        own["steps"] = np.zeros_like(own["steps"])
        if not own.get("assigned", True):
            # What is assigned beside the step is a matter of the first step.
            own["assigned"] = np.ones_like(own["assigned"])
            if np.isfinite(own.get("value", 0.0)) and not any(own["bad"].values()):
                own["status"] = np.full_like(own["status"], RUNNING)
        return self._own(carry), (step, int(own["status"]), figures)

    def _own(self, carry: Carry) -> Carry:
        """A state that may be given away: of arrays that nobody else has."""
        return jax.tree.map(jnp.copy, carry) if self.donates else carry  # type: ignore[no-any-return]

    def _again(self, feed: Feed, params: Params, key: Array, step: int, limit: int, paused: Paused | None) -> Carry:
        """The state that a run had at a step between two chunks, by the same chunks once more."""
        if paused is None:
            carry, steps = self._started(feed, params, key)[0], 0
        else:
            carry, steps = self._own(self.carry(paused.leaves)), paused.steps
        while steps < step:
            last = min(steps + self.chunk, limit)
            carry, _ = self._advance(feed.steps(steps, last, limit), carry, self._number(last))
            steps = last
        return carry

    def carry(self, leaves: Sequence[Any]) -> Carry:
        """The state of the loop from its arrays, on the device. Raises `ValueError` if they are not those of this stage."""
        shapes, tree = jax.tree.flatten(self.shapes)
        places = jax.tree.leaves(self._advance.input_shardings[0][1])
        if [(x.shape, x.dtype) for x in leaves] != [(x.shape, x.dtype) for x in shapes]:
            raise ValueError("the arrays of another stage")
        carry: Carry = jax.tree.unflatten(tree, [jax.device_put(x, p) for x, p in zip(leaves, places, strict=True)])
        return carry

    def kept(self, run: Run) -> Finished:
        """A run as it is kept in a checkpoint."""
        before = None if run.before is None else tuple(jax.tree.leaves(run.before))
        return Finished(run.params, run.reason, run.steps, run.figures, run.seconds, run.histories, before)

    def restored(self, kept: Finished, params: Params) -> Run:
        """The run again; `params` are those that it left, on the device."""
        before = None if kept.before is None else self.carry(kept.before)
        figures = {path: dict(found) for path, found in kept.figures.items()}
        return Run(params, kept.reason, kept.steps, figures, kept.seconds, kept.histories, before)

    def at(self, world: World, params: Params, key: Array, step: int) -> Params:
        """The params that a run from `params` has after a step."""
        feed = self.feed(world, key)
        carry, _ = self._started(feed, params, key)
        for first in range(0, step, self.chunk):
            last = min(first + self.chunk, step)
            carry, _ = self._advance(feed.steps(first, last), carry, self._number(last))
        return dict(carry.params)

    def last(self, world: World, run: Run) -> Carry:
        """The state from which a run took its last step."""
        assert run.before is not None
        first, last = int(run.before.step), run.steps - 1
        if first == last:
            return run.before
        world = self.feed(world, run.before.key).steps(first, last)
        return self._advance(world, self._own(run.before), self._number(last))[0]  # type: ignore[no-any-return]

    def feed(self, world: World, key: Array) -> Feed:
        """The worlds that steps see."""
        return Feed(self.transition, world, key, self.chunk)

    def _close(self, feed: Feed, params: Params, key: Array, steps: int, status: int, figures: Figures) -> int:
        """Completes figures that are from before the last step, as that step would see them; gives the status then.

        A last step to where nothing is finite is found here.
        """
        unseen = self.transition.unseen() & figures.keys()
        if not unseen:
            return status
        _, (_, _, found) = self._started(feed, params, key, steps - 1)
        own = self.transition.stage.key
        if own in unseen and int(found[own]["status"]) == DIVERGED:
            return DIVERGED
        for path in unseen:
            figures[path] = figures[path] | {k: found[path][k] for k in ("value", "gradient") if k in found[path]}
        return status


def placed_carry(program: Program, layout: Layout, carry: Carry) -> Any:
    """How each array of a loop's state is split over devices: params by their axes, memory of their shapes like them."""
    shapes = {k: x.shape for k, x in carry.params.items()}
    axes = {k: p["axes"] for k, p in program.manifest["params"].items() if k in shapes}
    memory = layout.memory(carry.memory, {k: (axes[k], shapes[k]) for k in axes})
    params: dict[str, Any] = {k: layout.of(axes[k]) for k in shapes}
    whole: Any = layout.whole
    return Carry(whole, whole, memory, params, whole)


def _fetched(summary: Any) -> tuple[int, int, Figures]:
    steps, status, figures = jax.device_get(summary)
    return int(steps), int(status), figures
