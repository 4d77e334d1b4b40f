"""`vspec run`: a spec or a program becomes results."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import click

from vspec import output
from vspec.commands.claims import show_claims
from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.distributed import Processes, distributed_options, first, in_turn, join
from vspec.faults import CLAIM_FAILED, OK, blame, of_data_warning
from vspec.locate import find_spec
from vspec.options import (
    disable_option,
    format_option,
    level_option,
    memory_option,
    outside_option,
    read_policy,
    seed_option,
    set_option,
    tuning_options,
    warning_options,
)
from vspec.permission import extern_allowed, extern_option
from vspec.programs import build_spec, is_program, read_tuning
from vspec.runtime.errors import RunInterruptedError
from vspec.settings import read_bindings, read_mesh, read_settings

if TYPE_CHECKING:
    from vspec.runtime.run import RunResult


@click.command(short_help="Run a spec or a built program and save the results.")
@click.argument("spec", metavar="SPEC|DIR")
@click.option("--run", "run_name", default="", metavar="NAME", help="A run of the spec, instead of the spec itself.")
@set_option
@click.option(
    "--data",
    "bindings",
    multiple=True,
    metavar="NAME=FILE[:COLUMN]",
    help="Bind data to a file (npz, npy, csv, parquet, arrow, zarr, nc), or to sklearn:NAME:COLUMN.",
)
@seed_option
@click.option("--out", metavar="DIR", help="Where the results go.  [default: results/NAME, results/NAME-RUN]")
@level_option
@disable_option
@click.option("--base", metavar="DIR", help="The folder that data paths in the spec are relative to.")
@outside_option
@extern_option
@click.option(
    "--mesh",
    "axes",
    multiple=True,
    metavar="AXIS=COUNT",
    help="Devices along the axes that the spec names under 'shard': data=8, or data=4,model=2.",
)
@memory_option
@tuning_options
@distributed_options
@click.option("--resume", is_flag=True, help="Go on where a run into the same folder was interrupted.")
@click.option(
    "--checkpoint-every",
    metavar="TIME|STEPS",
    help="How often to save where the run is: 30, 90s, 5m, '1000 steps', never.  [default: 60s]",
)
@click.option("--keep-checkpoints", is_flag=True, help="Leave the last checkpoints in the results.")
@warning_options
@format_option
def run(
    spec: str,
    run_name: str,
    settings: tuple[str, ...],
    bindings: tuple[str, ...],
    seed: int,
    out: str | None,
    level: int,
    disable: tuple[str, ...],
    base: str | None,
    allow_outside: bool,
    axes: tuple[str, ...],
    memory: str | None,
    chunk: str | None,
    matmul: str,
    donate: bool,
    distributed: bool,
    coordinator: str | None,
    processes: int | None,
    process: int | None,
    resume: bool,
    checkpoint_every: str | None,
    keep_checkpoints: bool,
    pedantic: bool,
    warnings_: str,
    format_: str,
) -> int:
    """Run a spec (which is built first, into build/NAME) or the folder of a program that was built before.

    Params, outputs, metrics and plots are saved under results/NAME, and a table shows which claims hold. Exits with 1
    if one does not. Claims that compare runs are judged by 'vspec verify'. Ctrl-C saves where the run is and exits with
    130; the same command with --resume goes on from there.

    \b
    Example:
      vspec run problems/logistic --set lam=0.1
      vspec run fit.yaml --data X=table.csv:height --out results/first
      vspec run fit.yaml --run coarse
      vspec run fit.yaml --mesh data=8
      vspec run fit.yaml --resume

    With --format json: {"name", "run", "directory", "results", "params": {name: shape}, "outputs": {name: number or shape},
    "constraints": {name: violation}, "claims": [...], "stages": [...], "timings": {...}, ...}
    """
    overrides, data, mesh = read_settings(settings), read_bindings(bindings), read_mesh(axes)
    warnings: tuple[Diagnostic, ...] = ()
    path = Path(spec)
    join(Processes(distributed, coordinator, processes, process))
    silent = distributed and not first()
    if is_program(path):
        directory, source, constants = path, path / "spec.yaml", overrides
    else:
        source = find_spec(spec)
        constants, rebuilt = split_overrides(source, overrides, allow_outside, run_name)
        policy, tuning = read_policy(pedantic, warnings_), read_tuning(memory, chunk, matmul, donate)
        built = in_turn(
            lambda: build_spec(
                source,
                level=level,
                disable=disable,
                overrides=rebuilt,
                policy=policy,
                allow_outside=allow_outside,
                parts=run_name,
                tuning=tuning,
            ),
            distributed,
        )
        directory, warnings = built.directory, built.warnings
        base = base if base is not None else str(source.resolve().parent)
        output.show(warnings) if format_ == "text" and not silent else None
    saving = {"resume": resume, "checkpoint_every": checkpoint_every, "keep_checkpoints": keep_checkpoints}
    with blame(source), telling():
        result, compared = execute(
            directory, run_name, data, constants, seed, out, base, allow_outside, mesh, memory, **saving
        )
    warnings += tuple(of_data_warning(note, source) for note in result.bound.notes) if warnings_ != "none" else ()
    code = OK if result.holds else CLAIM_FAILED
    if silent:
        return code
    output.show(warnings[-len(result.bound.notes) :]) if format_ == "text" and result.bound.notes else None
    if format_ == "json":
        output.reply("run", code, warnings, **facts(result, directory))
    else:
        show_result(result, compared)
    return code


def split_overrides(
    spec: Path, overrides: dict[str, Any], allow_outside: bool = False, run: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `--set` gives to the run, and what needs a build of its own: constants are bound late, sizes early."""
    if not overrides:
        return {}, {}
    from vspec.compiler.pipeline import check

    checked, _ = check(str(spec), overrides, allow_outside=allow_outside, allow_extern=extern_allowed())
    checked = checked.runs.get(run, checked)
    late = {name: value for name, value in overrides.items() if name in checked.constants}
    return late, {name: value for name, value in overrides.items() if name not in late}


def execute(
    directory: Path,
    run_name: str,
    data: dict[str, str],
    constants: dict[str, Any],
    seed: int,
    out: str | None,
    base: str | None,
    allow_outside: bool,
    mesh: dict[str, int] | None = None,
    memory: str | None = None,
    **saving: Any,
) -> tuple[RunResult, list[str]]:
    """Load and run; gives the claims, too, that one run cannot judge. `saving`: how the run is saved, as `runtime.run` has it.

    The results go to results/NAME, those of a run to results/NAME-RUN, unless `out` says otherwise.
    """
    from vspec.runtime.errors import DataWarning
    from vspec.runtime.program import load
    from vspec.runtime.run import run as run_program

    program = load(directory, run_name, allow_extern=extern_allowed())
    folder = Path(out) if out is not None else Path("results") / "-".join(filter(None, (program.name, run_name)))
    with catch_warnings():
        simplefilter("ignore", DataWarning)  # they are shown with those of the compiler
        result = run_program(
            program,
            data=data,
            constants=constants,
            seed=seed,
            out=folder,
            base=base,
            allow_outside=allow_outside,
            mesh=mesh,
            memory=memory,
            command=command_line(),
            say=output.note,
            **saving,
        )
    return result, program.manifest.get("compared", [])


@contextmanager
def telling() -> Iterator[None]:
    """Tells an interrupted run how to go on with it."""
    try:
        yield
    except RunInterruptedError as error:
        if error.code == "VS0840" and (line := command_line()):
            again = line if "--resume" in line else [*line, "--resume"]
            error.help = f"go on with: {shlex.join(again)}"
        raise


def command_line() -> list[str]:
    """The command as it was typed; empty where it was not."""
    argv = click.get_current_context().find_root().obj
    return ["vspec", *argv] if isinstance(argv, list) else []


def facts(result: RunResult, directory: Path) -> dict[str, Any]:
    """A run as plain data; arrays by their shapes, since they are in the results folder."""
    return {
        "name": result.name,
        "run": result.run,
        "directory": str(directory),
        "results": str(result.out),
        "params": {name: list(value.shape) for name, value in result.params.items()},
        "outputs": {n: v.item() if v.ndim == 0 else list(v.shape) for n, v in result.outputs.items()},
        "constraints": dict(result.constraints),
        "claims": [claim.as_dict() for claim in result.claims],
        "stages": [stage.as_dict() for stage in result.stages],
        "timings": dict(result.timings),
    }


def show_result(result: RunResult, compared: list[str]) -> None:
    """What a run gave, for people: how each stage ended, the outputs, the claims, where the files are."""
    for stage in result.stages:
        output.say("\n".join(stage.lines()))
    shown = [(n, f"{v.item():.6g}" if v.ndim == 0 else f"array {list(v.shape)}") for n, v in result.outputs.items()]
    if shown:
        output.say("\noutputs\n" + output.columns(shown))
    if result.constraints:
        violated = [(name, f"{v:.3g}") for name, v in result.constraints.items()]
        output.say("\nviolation of constraints\n" + output.columns(violated))
    if result.claims:
        output.say()
        show_claims(result.claims)
    if compared:
        output.say(f"'vspec verify' judges what compares runs: {', '.join(compared)}")
    output.say(f"results: {result.out}")
