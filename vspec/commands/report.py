"""`vspec report`: the page of a run."""

from __future__ import annotations

from pathlib import Path

import click

from vspec import output
from vspec.compiler.diagnostics.suggest import nearest
from vspec.faults import OK, refuse
from vspec.options import format_option


@click.command(short_help="Make one HTML page of a run.")
@click.argument("run", metavar="RUN|SPEC")
@click.option("--out", metavar="FILE", help="Where the page goes.  [default: report.html in the results folder]")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@format_option
def report(run: str, out: str | None, show: bool, format_: str) -> int:
    """Make one HTML page of RUN, the results folder of a run, or the name of a spec or a run below results/.

    The page has the mathematics as it was read, the way from each formula to the lines of the program, the graph and what
    the passes did to it, curves, plots, outputs, params, claims, the spec and the program. It needs no server and no network.

    \b
    Example:
      vspec run problems/logistic
      vspec report logistic --open

    With --format json: {"page", "results", "name", "run", "complete", "missing": [...], ...}
    """
    from vspec.reporting import NAME, write
    from vspec.reporting import report as page_of
    from vspec.runtime.pages.folder import read

    results = read(folder_of(run))
    made = page_of(results)
    path = Path(out) if out is not None else results.folder / NAME
    write(made, path)
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    if format_ == "json":
        facts = {"page": str(path), "results": str(results.folder), "name": results.facts["name"]}
        run_name = str(results.facts.get("run") or "")
        output.reply("report", OK, **facts, run=run_name, complete=made.complete, missing=list(made.missing))
    else:
        for sentence in made.missing:
            output.note(f"note: {sentence}")
        output.say(f"page: {path}")
    return OK


def folder_of(run: str) -> Path:
    """The results folder of that name: a folder, one below `results`, or that of a spec. Raises SpecError VS0851."""
    path = Path(run)
    below = Path("results") / run
    if path.is_dir() and ((path / "run.json").is_file() or not below.is_dir()):
        return path
    if below.is_dir():
        return below
    if path.is_file() or "/" in run:
        name = _named(run)
        if name and (Path("results") / name).is_dir():
            return Path("results") / name
    made = sorted(p.parent.name for p in Path("results").glob("*/run.json"))
    guess = nearest(Path(run).stem, made)
    tips = [f"did you mean '{guess}'?"] if guess else [f"there are {', '.join(made)}"] if made else []
    raise refuse("VS0851", f"there are no results of '{run}'", *tips, "'vspec run SPEC' writes them into results/NAME")


def _named(spec: str) -> str:
    """The name of a spec, '' if it is none."""
    from vspec.compiler.diagnostics.diagnostic import SpecError
    from vspec.compiler.pipeline import check
    from vspec.locate import find_spec

    try:
        return check(str(find_spec(spec)))[0].name
    except SpecError:
        return ""
