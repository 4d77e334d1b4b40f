"""Runs a program from data to results: bind, execute the plan, evaluate outputs and claims, write a folder."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from vspec.runtime import kept
from vspec.runtime import progress as progress_bar
from vspec.runtime.bound import Bound
from vspec.runtime.checkpoints import NEVER, interval
from vspec.runtime.claims import ClaimResult, judge
from vspec.runtime.clock import Clock
from vspec.runtime.constraints import violations
from vspec.runtime.devices import fetched
from vspec.runtime.domains import check_start
from vspec.runtime.errors import ArtifactError, RunError, RunInterruptedError
from vspec.runtime.facts import own_facts
from vspec.runtime.fingerprint import Fingerprint, device, versions
from vspec.runtime.folder import RunFolder
from vspec.runtime.interrupts import watching
from vspec.runtime.keeper import Keeper
from vspec.runtime.keys import INITIAL, key_of
from vspec.runtime.metrics import Metrics
from vspec.runtime.program import Program, load
from vspec.runtime.searches import check_searches, checked
from vspec.runtime.stages import Event, StageResult, execute
from vspec.runtime.stages.execute import Executed
from vspec.runtime.stages.position import Position


@dataclass(frozen=True)
class RunResult:
    """What a run gave.

    Attributes:
        name: the spec's name.
        params: name → NumPy array: the solution.
        outputs: name → NumPy array.
        claims: the judged claims, in the spec's order.
        constraints: name → the largest violation at the solution, 0 where it is satisfied.
        metrics: a row per report: stage, start, step, and value, gradient or change; of stages inside of a `repeat` also the
            round, the place in it and the name.
        stages: what each stage did and why it ended.
        timings: seconds of load, bind, solve, outputs, claims, write and their total.
        bound: the data it ran on.
        out: the results folder, if one was written.
        facts: what claims may ask about the run: `steps` of all stages, `seconds` of the solve without compiling, and `stages`,
            for each that has a name its `steps`, `seconds` and `reason`.
        histories: of each output with `every`, after how many steps of the run its rows were taken.
        run: the name of the run, '' for the spec itself.
    """

    name: str
    params: Mapping[str, Any]
    outputs: Mapping[str, Any]
    claims: tuple[ClaimResult, ...]
    metrics: list[dict[str, Any]]
    stages: tuple[StageResult, ...]
    timings: Mapping[str, float]
    bound: Bound
    out: Path | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    histories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    run: str = ""

    @property
    def holds(self) -> bool:
        """Whether every claim holds, those about seconds left out."""
        return all(c.holds or c.timed for c in self.claims)

    def __repr__(self) -> str:
        kept = sum(c.holds for c in self.claims)
        ends = [f"{s.label}: {s.reason} after {s.taken}" for s in self.stages if s.reason]
        claims = f"{kept} of {len(self.claims)} claims hold" if self.claims else "no claims"
        name = f"{self.name}, run {self.run}" if self.run else self.name
        return f"RunResult('{name}': {'; '.join([*ends, claims])}; {self.timings['total']:.2f} s)"

    def _repr_html_(self) -> str:
        from vspec.runtime.pages.notebook import result_html

        return result_html(self)


def run(
    program: Program | Path | str,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    progress: Callable[[Event], None] | None = None,
    params: Mapping[str, Any] | None = None,
    base: Path | str | None = None,
    allow_outside: bool = False,
    mesh: Mapping[str, int] | Mesh | None = None,
    memory: int | float | str | None = None,
    *,
    resume: bool = False,
    checkpoint_every: float | str | None = None,
    keep_checkpoints: bool = False,
    command: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> RunResult:
    """Run a program.

    Args:
        program: a loaded program, or the folder of one.
        data: name → array or source, for what the spec gives no default, or another than it gives.
        constants: name → value, for those that differ from the spec.
        seed: seed of draws and of further starts.
        out: folder for the results, written as a whole at the end; while the run computes it has metrics and checkpoints.
            Nothing is written if None.
        progress: called with each `Event`; by default a progress bar where stderr is a terminal.
        params: name → start, in place of the declared one.
        base: folder that the spec's own paths are relative to; default is the program's folder.
        allow_outside: whether the spec's own paths may leave `base`.
        mesh: axis → number of devices, or a mesh of JAX, for a spec that says `shard`; by default all devices that divide
            the data. Where several processes run, the first one alone writes results and shows progress.
        memory: what the data may take together; beyond it they are read by chunks of rows where the plan sees batches of
            them only (see `Program.bind`).
        resume: whether to go on where a run into the folder `out` was interrupted; if none was, it begins at the start.
        checkpoint_every: how often to save where the run is: seconds, `"5m"`, `"1000 steps"` or `"never"`.
        keep_checkpoints: whether the last checkpoints stay when the run has ended.
        command: the command line that run.json tells.
        say: called with what people should know while it runs; by default it goes to stderr.

    Returns:
        A `RunResult`. A claim that does not hold is a result, not an error.

    Raises:
        DataError, NumericsError, ArtifactError: coded, each with its exit code.
        RunInterruptedError: by Ctrl-C or the signal TERM while it computes into a folder.
    """
    clock = Clock()
    every = interval(checkpoint_every) if jax.process_count() == 1 else NEVER
    if resume and out is None:
        raise ArtifactError("VS0847", "without a results folder no run can be gone on with", "give the folder: out=...")
    if resume and jax.process_count() > 1:
        raise ArtifactError("VS0847", "several processes save no checkpoints, and cannot go on from one", "start anew")
    if not isinstance(program, Program):
        program = load(program)
        clock.lap("load")
    first = jax.process_index() == 0
    bound = program.bind(data, constants, seed, base, allow_outside, mesh, memory, fit=True)
    program = program.fitted(bound)
    start = program.initial_params(bound, params)
    _check_start_searches(program, bound, params)
    check_start(
        program.domains(bound), fetched(start), {p: d.get("line") for p, d in program.manifest["params"].items()}
    )
    for array in jax.tree.leaves((bound, start)):
        array.block_until_ready()
    clock.lap("bind")
    tell = say or _to_stderr
    metrics = Metrics(tell)
    with ExitStack() as stack:
        keeper: Keeper | None = None
        position: Position | None = None
        if out is not None and first:
            folder = RunFolder(Path(out))
            stack.callback(folder.close)
            settings = {"data": _sources(data), "params": sorted(params or ()), "checkpoint_every": checkpoint_every}
            said = {"command": None if command is None else [*command], "settings": settings, **_of_run(program, bound)}
            keeper = Keeper(folder, every, Fingerprint(program, bound, start), metrics, said, tell)
            position = keeper.begin(resume)
            stack.callback(keeper.close)
            # A page can then be made of a run that has not ended; at its end they are written again with the results.
            with suppress(OSError):
                kept.write(folder.path, kept.texts(program))
        try:
            done = _computed(program, start, bound, metrics, progress, keeper, position, tell)
            clock.lap("solve")
            solved, stages = done.params, done.stages
            outputs = {**evaluate_outputs(program, solved, bound), **done.histories.arrays()}
            clock.lap("outputs")
            for entry in program.entries.values():
                if entry.kind == "constraints":
                    check_searches(program, entry.name, solved, bound, "in the constraints at the solution")
            missed = violations(program, solved, bound)
            facts = run_facts(stages)
            claims = judge(program, solved, replace(bound, facts=own_facts(program, facts)))
            clock.lap("claims")
        except RunInterruptedError:
            raise
        except RunError as error:
            if keeper is None:
                raise
            raise keeper.failed(error) from None
        arrays = {name: np.asarray(fetched(solved[name])) for name in program.manifest["params"] if name in solved}
        steps = {name: tuple(taken) for name, taken in done.histories.steps.items()}
        result = RunResult(
            name=program.name,
            params=arrays,
            outputs=outputs,
            claims=claims,
            metrics=metrics.rows,
            stages=stages,
            timings=clock.parts,
            bound=bound,
            constraints=missed,
            facts=facts,
            histories=steps,
            run=program.run,
        )
        if keeper is not None:
            try:
                written = keeper.finish(program, _of_result(result), arrays, outputs, steps, keep_checkpoints)
            except ArtifactError as error:
                error.result = result
                raise
            clock.lap("write")
            result = replace(result, out=written)
    return result


def _computed(
    program: Program,
    start: Mapping[str, Any],
    bound: Bound,
    metrics: Metrics,
    progress: Callable[[Event], None] | None,
    keeper: Keeper | None,
    position: Position | None,
    tell: Callable[[str], None],
) -> Executed:
    """What the plan gives, with its metrics; with a keeper, saved on the way, and after a signal only up to the next chunk."""
    with ExitStack() as stack:
        first = jax.process_index() == 0
        show = progress or (stack.enter_context(progress_bar.terminal()) if first else progress_bar.quiet)

        def emit(event: Event) -> None:
            metrics.add(event)
            show(event)

        if keeper is None:
            return execute(program, dict(start), bound, emit)
        if jax.process_count() == 1:
            keeper.asked = stack.enter_context(watching(tell))
        return execute(program, dict(start), bound, emit, keeper.guard, position)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def _check_start_searches(program: Program, bound: Bound, given: Mapping[str, Any] | None) -> None:
    """Raise `NumericsError` VS0615 if an implicit quantity is not found that the params' starts or their boxes are made of."""
    drawing = bound.at(bound.counters, key_of(bound.seed, INITIAL)) if program.draws else bound
    for entry in program.entries.values():
        if entry.kind == "bounds" or (entry.kind == "initial" and not given):
            what = "starts" if entry.kind == "initial" else "domains"
            check_searches(program, entry.name, {}, drawing, f"in the {what} of the params")


def evaluate_outputs(program: Program, params: Mapping[str, Any], bound: Bound) -> dict[str, Any]:
    """Every output as a NumPy array, in the spec's order. Raises `NumericsError` VS0615 if a search in them fails."""
    entry = next((e.name for e in program.entries.values() if e.kind == "outputs"), None)
    declared = program.manifest["outputs"]
    if entry is None:
        if declared:
            raise ArtifactError("VS0806", "the program has outputs, but no entry that evaluates them")
        return {}
    values = jax.device_get(checked(program, entry, dict(params), bound, "in the outputs"))
    ordered = [*(name for name in declared if name in values), *(name for name in values if name not in declared)]
    return {name: np.asarray(values[name]) for name in ordered}


def run_facts(stages: Iterable[StageResult]) -> dict[str, Any]:
    """What claims may ask about a run. A `repeat` counts its rounds; a stage inside of one its steps over all rounds."""
    stages = tuple(stages)
    named: dict[str, Any] = {}

    def visit(stage: StageResult) -> None:
        if stage.name is not None:
            named[stage.name] = {"steps": stage.steps, "seconds": stage.seconds, "reason": stage.reason}
            named[stage.name] |= {} if stage.cg is None else {"cg": stage.cg}
        for inner in stage.stages:
            visit(inner)

    for stage in stages:
        visit(stage)
    return {"steps": sum(s.steps for s in stages), "seconds": sum(s.seconds for s in stages), "stages": named}


def _of_run(program: Program, bound: Bound) -> dict[str, Any]:
    """What run.json says of a run before it begins: what runs, and on what."""
    digest = None
    if program.directory is not None and (program.directory / "manifest.json").is_file():
        digest = hashlib.sha256((program.directory / "manifest.json").read_bytes()).hexdigest()
    return {
        "name": program.name,
        "run": program.run,
        "variant": program.variant,
        "spec": program.manifest.get("spec"),
        "program": program.manifest["program"],
        "manifest": {"sha256": digest},
        "versions": versions(),
        "device": {
            **device(),
            "processes": jax.process_count(),
            "mesh": bound.layout.shape if bound.layout is not None else {},
        },
        "precision": program.precision,
        "seed": bound.seed,
        "dims": bound.sizes,
        "constants": {name: np.asarray(fetched(value)).tolist() for name, value in bound.constants.items()},
    }


def _of_result(result: RunResult) -> dict[str, Any]:
    """What run.json says of how a run went."""
    return {
        "facts": dict(result.facts),
        "stages": [s.as_dict() for s in result.stages],
        "histories": {name: list(steps) for name, steps in result.histories.items()},
        "constraints": dict(result.constraints),
        "claims": [c.as_dict() for c in result.claims],
        "timings": dict(result.timings),
    }


def _sources(data: Mapping[str, Any] | None) -> dict[str, str | None]:
    """Where the data came from that was bound for this run; null for arrays in memory."""
    return {name: str(x) if isinstance(x, (str, Path)) else None for name, x in (data or {}).items()}
