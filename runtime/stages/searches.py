"""Searches for implicit quantities that stages make. Nothing is asked of them while a stage runs.

Where a stage diverged, its last step is traced and taken once more, with every entry telling how its searches went. Where it
did not, the searches are looked at where it ends: what is not a number may be hidden from the objective, by a `where` say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.methods.method import DIVERGED
from vspec.runtime.program import Program
from vspec.runtime.searches import Watched, check_searches, seeks
from vspec.runtime.stages.loop import Loop
from vspec.runtime.stages.record import Stage
from vspec.runtime.stages.runner import Run, Runner
from vspec.runtime.stages.transition import At, Params, Transition, World, context

Build = Callable[[Program, Stage], Transition]


def assigns(program: Program, stage: Stage) -> bool:
    """Whether an update of the stage, or of one inside of it, makes a search."""
    return seeks(program, [*_updates(stage)])


def check_diverged(
    program: Program, build: Build, stage: Stage, runner: Runner, world: World, start: Params, key: Array, run: Run
) -> None:
    """Raise `NumericsError` VS0615 if a search did not converge in the step in which a run diverged.

    Args:
        program: the program.
        build: makes the transition of a stage of a program.
        stage: the stage that ran.
        runner: what ran it.
        world: what the stage does not change.
        start: where the run started.
        key: the key of the stage.
        run: the run.
    """
    if seeks(program):
        _retrace(Watched(program), build, stage, runner, world, start if run.steps == 0 else run.params, key, run)


def check_end(
    program: Program, build: Build, stage: Stage, runner: Runner, world: World, params: Params, key: Array, run: Run
) -> None:
    """Raise `NumericsError` VS0615 if a search does not converge where a stage ended, or in the last of its updates.

    Args: as of `check_diverged`; `params` are those that the stage left.
    """
    if run.before is not None:
        _retrace(Watched(program, {*_updates(stage)}), build, stage, runner, world, params, key, run)
    at = At(jnp.asarray(max(run.steps - 1, 0), jnp.int32), world.limits[stage.key], key)
    for part in stage.walk():
        for entry in _evaluated(program, part):
            moving = any(a.role in ("counter", "key", "length", "kernel") for a in program.entry(entry).arguments)
            # The last step of a stage inside of a repetition has other draws and counters.
            if part is stage or not moving:
                bound = context(program, world.bound, at) if moving else world.bound
                check_searches(program, entry, params, bound, f"where the stage '{part.label}' ends")


def check_histories(
    program: Program, stage: Stage, runner: Runner, world: World, start: Callable[[], Params], key: Array, run: Run
) -> None:
    """Raise `NumericsError` VS0615 if a search did not converge in the first row of an output that is not finite.

    Args: as of `check_diverged`, but `start` is asked for only then: the run goes from it once more, up to that row.
    """
    entry = runner.recorder.entry
    if entry is None or program.entry(entry).solves is None:
        return
    rows = [
        (s, x)
        for name, steps in run.histories.steps.items()
        for s, x in zip(steps, run.histories.rows[name], strict=True)
    ]
    bad = [s for s, x in rows if np.issubdtype(x.dtype, np.inexact) and not np.all(np.isfinite(x))]
    if bad:
        step = min(bad)
        at = At(jnp.asarray(step - 1, jnp.int32), world.limits[stage.key], key)
        params = {**world.still, **runner.at(world, start(), key, step)}
        where = f"in the outputs after step {step} of the stage '{stage.label}'"
        check_searches(program, entry, params, context(program, world.bound, at), where)


def _evaluated(program: Program, stage: Stage) -> Iterator[str]:
    """The entries that say where a stage stands, on all rows."""
    if stage.kind in ("minimize", "maximize", "saddle"):
        value = stage.names[0] if stage.batch else stage.record["entries"]["value"]
        if value in program.entries:
            yield value
    elif stage.kind == "descend" and not stage.batch:
        yield stage.record["directions"]


def _updates(stage: Stage) -> Iterator[str]:
    """The entries that assign, of a stage and those inside of it."""
    for part in stage.walk():
        update = part.record.get("update") or ()
        yield from update
        if update and part.record.get("step"):
            yield part.record["step"]


def _retrace(
    watched: Watched, build: Build, stage: Stage, runner: Runner, world: World, params: Params, key: Array, run: Run
) -> None:
    """Takes the last step of a run once more, or its beginning or end, and raises what the searches on the way tell."""
    error = watched.after(again(watched, build, stage, runner, world, params, key, run), _where(stage, run))
    if error is not None:
        raise error


def again(
    program: Program, build: Build, stage: Stage, runner: Runner, world: World, params: Params, key: Array, run: Run
) -> Callable[[], Any]:
    """What takes the last step of a run once more, or its beginning or end, with the entries of another program."""
    loop = Loop(program, build(program, stage))
    if run.before is not None:
        before = runner.last(world, run)

        def step() -> Any:
            at = runner.feed(world, key).step(int(before.step))
            return jax.jit(loop.advance)(at, before, before.step + 1)

        return step
    moving = {k: params[k] for k in loop.transition.moves}
    number = jnp.asarray(max(run.steps - 1, 0), jnp.int32)

    def begin() -> Any:
        return jax.jit(loop.begin)(runner.feed(world, key).step(int(number)), moving, key, number)

    return begin


def _where(stage: Stage, run: Run) -> str:
    """In which step of which stage, in words; inside of a repetition the first stage that diverged."""
    rows = [(part, run.figures.get(part.key)) for part in stage.walk() if part.kind != "repeat"]
    found = [(part, f) for part, f in rows if f is not None]
    bad = [(part, f) for part, f in found if int(f["status"]) == DIVERGED]
    if not found or (stage.kind == "repeat" and not bad):
        return f"in round {run.steps} of the stage '{stage.label}'"
    part, figures = (bad or found)[0]
    steps = int(figures["steps"])
    inside = f" of round {run.steps}" if part is not stage else ""
    when = f"in step {steps}{inside}" if steps else f"at the start{inside}"
    return f"{when} of the stage '{part.label}'"


__all__ = ["again", "assigns", "check_diverged", "check_end", "check_histories"]
