"""`vspec sweep`: a spec over a grid of constants and seeds becomes one table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vspec import output
from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.faults import OK, blame
from vspec.grid import LIMIT, read_grid
from vspec.locate import find_spec
from vspec.options import (
    disable_option,
    format_option,
    level_option,
    outside_option,
    seed_option,
    set_option,
)
from vspec.programs import is_program
from vspec.settings import read_bindings, read_settings
from vspec.sweeping import TOGETHER, Request, SweepResult, Tell
from vspec.sweeping import sweep as run_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ROWS = 60
"""Rows that the terminal shows; the files have all."""


@click.command(short_help="Run a spec over a grid of constants and seeds.")
@click.argument("spec", metavar="SPEC|DIR")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    metavar="NAME=VALUES",
    help="Values of a constant or a size: --grid lam=0.1,1,10 --grid 'lr=log(1e-3,1e-1,5)' --grid 'a=lin(0,1,11)'.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each point.")
@seed_option
@click.option("--run", "run_name", default="", metavar="NAME", help="A run of the spec, instead of the spec itself.")
@set_option
@click.option(
    "--data", "bindings", multiple=True, metavar="NAME=FILE[:COLUMN]", help="Bind data, as 'vspec run' takes it."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes to run in.")
@click.option(
    "--together",
    type=click.IntRange(min=1),
    default=TOGETHER,
    show_default=True,
    help="The most points that run side by side in one vmapped program; 1 runs each by itself.",
)
@click.option("--out", metavar="DIR", help="Where the results go.  [default: sweeps/NAME, sweeps/NAME-RUN]")
@click.option("--resume", is_flag=True, help="Go on with the sweep in that folder: run only what is not done.")
@click.option("--force", is_flag=True, help="Throw away the points of a sweep that was not finished.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Refuse a grid with more points."
)
@level_option
@disable_option
@click.option("--base", metavar="DIR", help="The folder that data paths in the spec are relative to.")
@outside_option
@format_option
def sweep(
    spec: str,
    grids: tuple[str, ...],
    seeds: int,
    seed: int,
    run_name: str,
    settings: tuple[str, ...],
    bindings: tuple[str, ...],
    jobs: int,
    together: int,
    out: str | None,
    resume: bool,
    force: bool,
    limit: int,
    level: int,
    disable: tuple[str, ...],
    base: str | None,
    allow_outside: bool,
    format_: str,
) -> int:
    """Run a spec, or the folder of a program, at every combination of values and seeds.

    Points run side by side in one compiled program where shapes allow. Each is saved as it ends under sweeps/NAME; at the end
    there are table.csv, table.parquet and sweep.png. A point that fails is a row with its error, and the others go on: the
    exit code is 0 unless all of them failed. Claims are a column, they never fail a sweep.

    \b
    Example:
      vspec sweep problems/logistic --grid 'lam=log(1e-3,1e3,7)'
      vspec sweep fit.yaml --grid lam=0.1,1,10 --grid 'lr=log(1e-3,1e-1,5)' --seeds 5 --jobs 2
      vspec sweep fit.yaml --grid lam=0.1,1,10 --grid 'lr=log(1e-3,1e-1,5)' --seeds 5 --resume

    With --format json: {"name", "run", "results", "swept": {name: values}, "seeds", "columns", "rows": [{column: value}],
    "failed": [{"point", "seed", "code", "message"}], "resumed", "together", "files", "timings", ...}
    """
    path = Path(spec)
    source = path if is_program(path) else find_spec(spec)
    request = Request(
        source=source,
        grid=read_grid(grids),
        seeds=tuple(range(seed, seed + seeds)),
        settings=read_settings(settings),
        data=read_bindings(bindings),
        run=run_name,
        jobs=jobs,
        together=together,
        out=Path(out) if out is not None else None,
        resume=resume,
        force=force,
        limit=limit,
        level=level,
        disable=disable,
        base=Path(base) if base is not None else None,
        allow_outside=allow_outside,
    )
    with blame(path / "spec.yaml" if is_program(path) else source), _progress() as tell:
        result = run_sweep(request, tell, Path("sweeps"))
    lost = result.failed
    code = OK if len(lost) < len(result.points) else lost[0]["error"]["exit_code"]
    warnings = _whole_failure(result) if code != OK else ()
    if format_ == "json":
        output.reply("sweep", code, warnings, **facts(result))
    else:
        show_result(result)
        output.show(warnings)
    return code


def _whole_failure(result: SweepResult) -> tuple[Diagnostic, ...]:
    """The error of the first point, where no point has a result."""
    error = result.failed[0]["error"]
    tips = (error["help"],) if error["help"] else ()
    return (Diagnostic(error["code"], f"every point failed, the first one because {error['message']}", help=tips),)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar of the points that are done, on stderr, where that is a terminal; an interruption says how to go on."""
    from rich.console import Console

    done = [0, 0]

    def remember(now: int, of: int) -> None:
        done[:] = now, of

    console = Console(stderr=True)
    try:
        if not console.is_terminal:
            yield remember
            return
        from vspec.runtime.progress import counting

        with counting(console, "points") as bars:
            task = bars.add_task("points", total=None)

            def show(now: int, of: int) -> None:
                remember(now, of)
                bars.update(task, completed=now, total=of)

            yield show
    except KeyboardInterrupt:
        if done[1]:
            output.note(f"{done[0]} of {done[1]} points are done; the same command with --resume does the rest")
        raise


def facts(result: SweepResult) -> dict[str, Any]:
    """A sweep as plain data."""
    return {
        "name": result.name,
        "run": result.run,
        "results": str(result.out),
        "swept": dict(result.swept),
        "seeds": list(result.seeds),
        "columns": result.columns,
        "rows": result.rows,
        "failed": [_lost(p) for p in result.failed],
        "resumed": result.resumed,
        "together": sum(p["how"] == "together" for p in result.points),
        "files": [str(f) for f in result.files],
        "timings": dict(result.timings),
    }


def _lost(point: Mapping[str, Any]) -> dict[str, Any]:
    return {"point": point["point"], "seed": point["seed"], **{k: point["error"][k] for k in ("code", "message")}}


def show_result(result: SweepResult) -> None:
    """The table, for people: what differs between points, and how each ended."""
    constant = {"seed"} if len(result.seeds) == 1 else set()
    shown = [
        c for c in result.columns if c not in ("seconds", *constant) and any(row[c] is not None for row in result.rows)
    ]
    if not any(p["claims"] for p in result.points):
        shown = [c for c in shown if c != "holds"]
    numbers = [c for c in shown if c not in ("failure", "reason", "holds")]
    output.table(shown, [[_cell(row[c]) for c in shown] for row in result.rows[:MOST_ROWS]], right=numbers)
    if len(result.rows) > MOST_ROWS:
        output.say(f"... and {len(result.rows) - MOST_ROWS} more rows, in table.csv\n")
    for message, count in _messages(result).items():
        output.say(f"{count} of {len(result.rows)} points failed: {message}")
    side = sum(p["how"] == "together" for p in result.points)
    before = f", {result.resumed} done before" if result.resumed else ""
    seconds = result.timings["points"]
    output.say(f"{len(result.rows)} points in {seconds:.2f} s, {side} of them side by side{before}")
    output.say(f"results: {result.out} ({', '.join(f.name for f in result.files)})")


def _messages(result: SweepResult) -> dict[str, int]:
    found: dict[str, int] = {}
    for point in result.failed:
        text = f"{point['error']['code']}: {point['error']['message']}"
        found[text] = found.get(text, 0) + 1
    return found


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "✓" if value else "✗"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
