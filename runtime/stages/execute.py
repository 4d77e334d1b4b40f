"""Executes the stages of a plan in order, each from params to params, and tells what they did."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vspec.runtime import keys
from vspec.runtime.bound import Bound
from vspec.runtime.constrained.report import certify
from vspec.runtime.constraints import violations
from vspec.runtime.devices import fetched
from vspec.runtime.domains import check_start
from vspec.runtime.objective import Objective
from vspec.runtime.program import Program
from vspec.runtime.searches import checked
from vspec.runtime.stages import blame, searches
from vspec.runtime.stages.errors import diverged, infeasible
from vspec.runtime.stages.events import Emit, Event, StageResult
from vspec.runtime.stages.feed import fitting
from vspec.runtime.stages.held import holding
from vspec.runtime.stages.histories import Histories, Recorder, recorded
from vspec.runtime.stages.position import Guard, Paused, Position, unguarded
from vspec.runtime.stages.record import Stage, resolve, targets
from vspec.runtime.stages.repeat import Averaged, Nothing, Repeat, Whole
from vspec.runtime.stages.runner import Pause, Run, Runner
from vspec.runtime.stages.solve import Solve
from vspec.runtime.stages.transition import Figures, Params, Transition, World
from vspec.runtime.stages.update import Update
from vspec.runtime.structured import check_assumed

# A violation up to this is none where runs are compared.
_MET = 1e-6

Builder = Callable[[Program, Stage, bool, frozenset[str]], Transition]


@dataclass(frozen=True, slots=True)
class Executed:
    """What the stages of a plan gave: the params, what each stage did, and the histories of outputs."""

    params: Params
    stages: tuple[StageResult, ...]
    histories: Histories


def _solve(program: Program, stage: Stage, alone: bool, others: frozenset[str]) -> Transition:
    return Solve(program, stage, alone, others)


def _update(program: Program, stage: Stage, alone: bool, others: frozenset[str]) -> Transition:
    return Update(program, stage)


def _evaluate(program: Program, stage: Stage, alone: bool, others: frozenset[str]) -> Transition:
    return Nothing(stage)


def _repeat(program: Program, stage: Stage, alone: bool, others: frozenset[str]) -> Transition:
    moved = [_moves(program, s) for s in stage.stages]
    inside: list[Transition] = []
    for k, s in enumerate(stage.stages):
        if s.own:
            inside.append(Whole(program, build(program, s)))
        else:
            rest = others.union(*(m for j, m in enumerate(moved) if j != k))
            inside.append(build(program, s, alone=False, others=rest))
    return Repeat(stage, inside)


BUILDERS: Mapping[str, Builder] = MappingProxyType(
    {
        **dict.fromkeys(("minimize", "maximize", "saddle", "descend"), _solve),
        "update": _update,
        "evaluate": _evaluate,
        "repeat": _repeat,
    }
)


def build(program: Program, stage: Stage, alone: bool = True, others: Collection[str] = ()) -> Transition:
    """The transition of a stage.

    Args:
        program: the program.
        stage: the stage.
        alone: whether no other stage moves params between two of its steps.
        others: else, the params that others move.
    """
    made = BUILDERS[stage.kind](program, stage, alone, frozenset(others))
    fraction = stage.record.get("average")
    kept = {name for name, p in program.manifest["params"].items() if p.get("carried")}
    return made if fraction is None else Averaged(made, fraction, kept)


def _moves(program: Program, stage: Stage) -> frozenset[str]:
    """The params that a stage may move."""
    found: set[str] = set()
    for s in stage.walk():
        if s.kind not in ("evaluate", "repeat"):
            found.update(targets(program, s.record.get("update") or ()))
            if s.kind != "update":
                found.update(s.record.get("over") or program.manifest["params"])
    return frozenset(found)


def execute(
    program: Program,
    params: Params,
    bound: Bound,
    emit: Emit = lambda _: None,
    guard: Guard = unguarded,
    position: Position | None = None,
) -> Executed:
    """Run the plan's stages in order.

    Args:
        program: the program.
        params: the start.
        bound: the data.
        emit: called with an event now and then.
        guard: called between chunks and between stages; it may keep the position there, and may raise to end the run.
        position: where an earlier run of the plan stood; this one goes on from there, exactly.

    Raises:
        ArtifactError: VS0807 for a stage or a method that is not known, VS0806 for an entry that is missing.
        DataError: VS0519 or VS0520 for a count or a batch that cannot be.
        NumericsError: what is not finite, with the last finite value; VS0615 for a search that did not converge.
    """
    at = Position(0, params) if position is None else replace(position, params=_placed(program, bound, position.params))
    names = recorded(program)
    for index, record in enumerate(program.manifest["plan"]):
        if index < at.stage:
            continue
        stage = resolve(program, bound, record, (index,))
        if index == 0 and names:
            record_row(program, at.histories, names, at.params, bound, 0)
        if stage.kind == "evaluate":
            done = StageResult("evaluate", stage.about, stage.name)
            at = replace(at, stage=index + 1, results=(*at.results, done))
            continue
        at = _run(program, stage, at, bound, emit, guard)
        if names:
            record_row(program, at.histories, names, at.params, bound, at.taken)
        guard(at.steps, lambda at=at: at)  # type: ignore[misc]
    if not program.manifest["plan"] and names:
        record_row(program, at.histories, names, at.params, bound, 0)
    return Executed(at.params, at.results, at.histories)


def _placed(program: Program, bound: Bound, params: Mapping[str, Any]) -> Params:
    """Params that were kept, on the device or devices again."""
    if bound.layout is None:
        return {k: jnp.asarray(x) for k, x in params.items()}
    return {k: bound.layout.place(x, program.manifest["params"][k]["axes"]) for k, x in params.items()}


def record_row(
    program: Program, histories: Histories, names: list[str], params: Params, bound: Bound, step: int
) -> None:
    """A row of every history, between stages."""
    entry = next((e.name for e in program.entries.values() if e.kind == "outputs"), None)
    assert entry is not None
    values = jax.device_get(
        checked(program, entry, dict(params), bound, f"in the outputs after {step} steps of the run")
    )
    for name in names:
        histories.add(name, step, values[name])


def _run(program: Program, stage: Stage, at: Position, bound: Bound, emit: Emit, guard: Guard) -> Position:
    """The position after a stage, from one before it or inside of it."""
    params = at.params
    transition = build(program, stage)
    check_begin(program, stage, params, bound)

    own = keys.key_of(bound.seed, keys.STAGES, stage.path[0])
    world = world_of(program, transition, params, bound)
    if bound.layout is not None:
        own, world = bound.layout.spread((own, world))
        # What is no part of the tree is lost on the way.
        world = world._replace(bound=replace(world.bound, seed=bound.seed, streams=bound.streams, notes=bound.notes))
    moving = {k: params[k] for k in transition.moves}
    recorder = Recorder(program, stage, world, moving)
    limit = int(world.limits[stage.key])
    chunk = recorder.chunk(max(transition.chunk, min(1000, -(-limit // 100))))
    chunk = fitting(transition, bound, own, chunk)
    rows = tuple(recorder.room(chunk).items())
    key = (json.dumps(stage.record, sort_keys=True), stage.shape(), rows, chunk, _signature((world, moving)))
    fresh = key not in program.compiled
    if fresh:
        keep = searches.assigns(program, stage)
        program.compiled[key] = Runner(program, transition, recorder, world, moving, own, chunk, keep)
    runner: Runner = program.compiled[key]

    runs = [runner.restored(r, _placed(program, bound, r.params)) for r in at.runs]
    paused = at.paused
    for k in range(len(runs), stage.starts):
        begun = start_of(transition, stage, moving, bound, k)
        report = _reporter(stage, transition, k, limit, emit)
        here = replace(at, runs=tuple(runner.kept(r) for r in runs), paused=None)
        if k > len(at.runs):
            guard(here.steps, lambda here=here: here)  # type: ignore[misc]
        run = runner.run(world, begun, own, limit, report, _pausing(here, guard), paused)
        paused = None
        # One that diverged is looked into only if all did.
        runs.append(replace(run, before=None) if k > 0 and run.reason == "diverged" else run)
    good = [r for r in runs if r.reason != "diverged"]
    if not good:
        searches.check_diverged(program, build, stage, runner, world, moving, own, runs[0])
        missed = violations(program, {**params, **runs[0].params}, bound)
        error = diverged(program, transition, runs[0].figures, runs[0].steps, missed)
        if runs[0].steps == 0:
            raise blame.explained(error, program, build, stage, runner, world, moving, own, runs[0])
        error = blame.explained(error, program, build, stage, runner, world, runs[0].params, own, runs[0])
        error.last_good = fetched({**params, **runs[0].params})  # by every process, since it gathers
        raise error
    possible = [r for r in good if r.reason != "infeasible"]
    if not possible:
        missed = violations(program, {**params, **good[0].params}, bound)
        raise infeasible(program, transition, good[0].figures, missed)
    best = best_of(program, stage, params, bound, possible)
    params = {**params, **best.params}
    k = next(k for k, r in enumerate(runs) if r is best)
    searches.check_histories(
        program, stage, runner, world, lambda: start_of(transition, stage, moving, bound, k), own, best
    )
    searches.check_end(program, build, stage, runner, world, params, own, best)
    compiled = runner.compile_seconds if fresh else 0.0
    result = result_of(program, stage, params, bound, best, runs, compiled)
    at.histories.extend(best.histories, at.taken)
    return Position(stage.path[0] + 1, params, (*at.results, result), at.histories, at.taken + result.steps)


def _pausing(here: Position, guard: Guard) -> Pause:
    """What a runner calls between chunks: the guard, with the position of the whole plan."""

    def pause(steps: int, make: Callable[[], Paused]) -> None:
        guard(here.steps + steps, lambda: replace(here, paused=make()))

    return pause


def check_begin(program: Program, stage: Stage, params: Params, bound: Bound) -> None:
    """Raise `NumericsError`: VS0604, a param starts outside of its domain; VS0630, an assumed form is not there."""
    declared = program.manifest["params"]
    over = {p for s in stage.walk() if s.kind not in ("evaluate", "update") for p in s.record.get("over") or ()}
    domains = {p: d for p, d in program.domains(bound).items() if p in over}
    check_start(domains, fetched(params), {p: d.get("line") for p, d in declared.items()})
    for s in stage.walk():
        if "assume" in (s.record.get("entries") or {}):
            check_assumed(Objective(program, s.names[0], s.record), params, bound)


def result_of(
    program: Program, stage: Stage, params: Params, bound: Bound, best: Run, runs: list[Run], compile_seconds: float
) -> StageResult:
    """What a stage did that left `params`, from the best of its runs and all of them."""
    result = _result(stage, best.figures, reason=best.reason, steps=_steps(stage, best))
    if stage.record.get("constraints") is not None and stage.kind in ("minimize", "maximize"):
        result = _certified(program, stage, params, bound, best.figures, result)
    return replace(
        result,
        violation=_largest(violations(program, params, bound)),
        seconds=sum(r.seconds for r in runs),
        compile_seconds=compile_seconds,
        starts=tuple(_of_start(stage, r) for r in runs) if stage.kind in ("minimize", "maximize") else (),
    )


def best_of(program: Program, stage: Stage, params: Params, bound: Bound, runs: list[Run]) -> Run:
    """The run with the best value among those that satisfy the constraints best."""
    if len(runs) == 1:
        return runs[0]
    sign = -1.0 if stage.kind == "maximize" else 1.0

    def rank(run: Run) -> tuple[float, float]:
        missed = _largest(violations(program, {**params, **run.params}, bound)) or 0.0
        return (0.0 if missed <= _MET else missed), sign * _value(stage, run)

    return min(runs, key=rank)


def _certified(
    program: Program, stage: Stage, params: Params, bound: Bound, figures: Figures, result: StageResult
) -> StageResult:
    """The result with how well the optimality conditions hold; the value is the objective's, without what a method adds."""
    found = certify(program, stage.record, params, bound, figures[stage.key].get("multipliers"))
    return replace(
        result,
        value=found.value,
        gradient=found.stationarity,
        stationarity=found.stationarity,
        complementarity=found.complementarity,
        multipliers=found.multipliers,
    )


def world_of(program: Program, transition: Transition, params: Params, bound: Bound) -> World:
    """What the stage does not change, with what is held of it, and the numbers of steps."""
    limits = {path: jnp.asarray(steps, jnp.int32) for path, steps in transition.limits().items()}
    still = {k: x for k, x in params.items() if k not in transition.moves}
    return holding(program, transition, World(bound, still, limits), {})


def _signature(tree: Any) -> Any:
    """What a compiled function depends on: the structure of its arguments, their shapes and types."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((x.shape, str(x.dtype)) for x in leaves)


def start_of(transition: Transition, stage: Stage, params: Params, bound: Bound, k: int) -> Params:
    """The k-th start: the first is where the params are."""
    if k == 0:
        return params
    solve = transition.inner if isinstance(transition, Averaged) else transition
    assert isinstance(solve, Solve)
    moved = solve.space(bound).perturbed(params, np.random.default_rng([bound.seed, k]))
    if bound.layout is not None:
        axes = {p: d["axes"] for p, d in solve.program.manifest["params"].items()}
        moved = {p: bound.layout.place(x, axes[p]) for p, x in moved.items()}
    return {**params, **moved}


def _largest(gaps: Mapping[str, float]) -> float | None:
    return float(np.max([*gaps.values()])) if gaps else None


def _value(stage: Stage, run: Run) -> float:
    return float(run.figures[stage.key].get("value", np.nan))


def _steps(stage: Stage, run: Run) -> int:
    """Steps as the method counts them, of a repetition its rounds."""
    return int(run.figures[stage.key]["steps"]) if stage.key in run.figures else run.steps


def _of_start(stage: Stage, run: Run) -> Mapping[str, Any]:
    return {"value": _value(stage, run), "steps": _steps(stage, run), "reason": run.reason}


def _reporter(stage: Stage, transition: Transition, start: int, limit: int, emit: Emit) -> Any:
    """Events for the stage, or for each stage inside of a repetition."""
    rows = transition.rows()

    def report(steps: int, figures: Figures) -> None:
        for path in sorted(figures, key=lambda p: rows[p].path):
            found, part = figures[path], rows[path]
            if not found.keys() & {"value", "gradient", "change"}:
                continue
            step = int(found["steps"]) if part is stage else steps
            emit(
                Event(
                    stage.path[0],
                    part.kind,
                    ", ".join(part.about) if part is stage else part.label,
                    start,
                    stage.starts,
                    step,
                    limit,
                    _float(found, "value"),
                    _float(found, "gradient"),
                    _float(found, "change"),
                    part.path[1:],
                )
            )

    return report


def _float(found: Mapping[str, Any], what: str) -> float | None:
    return float(found[what]) if what in found else None


def _result(stage: Stage, figures: Figures, reason: str | None, steps: int) -> StageResult:
    """What a stage did; of a repetition, what is inside of it, too."""
    found = figures.get(stage.key, {})
    methods = [m["name"] for m in stage.record.get("methods") or ()]
    inside = tuple(
        _result(s, figures, None, int(figures[s.key]["steps"]) if s.key in figures else 0) for s in stage.stages
    )
    return StageResult(
        kind=stage.kind,
        names=stage.about,
        name=stage.name,
        method=", ".join(dict.fromkeys(methods)) or None,
        reason=reason,
        steps=steps,
        value=_float(found, "value"),
        gradient=_float(found, "gradient"),
        change=_float(found, "change"),
        cg=int(found["cg"]) if "cg" in found else None,
        stages=inside,
    )


__all__ = [
    "BUILDERS",
    "Executed",
    "best_of",
    "build",
    "check_begin",
    "execute",
    "record_row",
    "result_of",
    "start_of",
    "world_of",
]
