"""`vspec build`: a spec becomes a program folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vspec import output
from vspec.faults import OK
from vspec.locate import find_spec
from vspec.options import (
    disable_option,
    format_option,
    level_option,
    memory_of_arrays,
    outside_option,
    read_policy,
    set_option,
    tuning_options,
    warning_options,
)
from vspec.permission import extern_option
from vspec.programs import build_spec, read_tuning
from vspec.settings import read_settings


@click.command(short_help="Compile a spec into a JAX program.")
@click.argument("spec")
@click.option("--out", metavar="DIR", help="Where the program goes.  [default: build/NAME]")
@level_option
@disable_option
@set_option
@memory_of_arrays
@tuning_options
@click.option("--no-stablehlo", is_flag=True, help="Leave out the portable StableHLO artifacts.")
@click.option("--force", is_flag=True, help="Build even if the program is up to date.")
@outside_option
@extern_option
@warning_options
@format_option
def build(
    spec: str,
    out: str | None,
    level: int,
    disable: tuple[str, ...],
    settings: tuple[str, ...],
    memory: str | None,
    chunk: str | None,
    matmul: str,
    donate: bool,
    no_stablehlo: bool,
    force: bool,
    allow_outside: bool,
    pedantic: bool,
    warnings_: str,
    format_: str,
) -> int:
    """Compile SPEC into a program: readable JAX source, StableHLO, a manifest and a report of what was done.

    The folder is written as a whole or not at all. A program that is up to date is left as it is.

    \b
    Example:
      vspec build problems/logistic --out logistic
      python -c "import vspec; print(vspec.load('logistic'))"

    With --format json: {"directory", "cached", "seconds", "files": [...], "report": {...}, ...}
    """
    built = build_spec(
        find_spec(spec),
        Path(out) if out is not None else None,
        level=level,
        disable=disable,
        overrides=read_settings(settings),
        stablehlo=not no_stablehlo,
        force=force,
        allow_outside=allow_outside,
        policy=read_policy(pedantic, warnings_),
        tuning=read_tuning(memory, chunk, matmul, donate),
    )
    report = read_report(built.directory)
    files = sorted(p.relative_to(built.directory).as_posix() for p in built.directory.rglob("*") if p.is_file())
    if format_ == "json":
        facts = {"directory": str(built.directory), "cached": built.cached, "seconds": built.seconds}
        output.reply("build", OK, built.warnings, **facts, files=files, report=report)
        return OK
    output.show(built.warnings)
    show_passes(report)
    state = "is up to date" if built.cached else f"built in {built.seconds:.1f} s"
    output.say(f"{built.directory}: {state} ({', '.join(f for f in files if '/' not in f)})")
    return OK


def read_report(directory: Path) -> dict[str, Any]:
    """The report of a build; empty if it cannot be read, since nothing but display depends on it."""
    try:
        report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def show_passes(report: dict[str, Any]) -> None:
    """The table of what each pass did."""
    from vspec.compiler.report.table import render_table

    if report.get("passes"):
        output.say(render_table(report["passes"]))
