"""`vspec check`: every mistake of a spec, in well under half a second."""

from __future__ import annotations

from typing import Any

import click

from vspec import output
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.faults import OK, WRONG
from vspec.locate import find_specs
from vspec.options import format_option, outside_option, read_policy, set_option, warning_options
from vspec.permission import extern_allowed, extern_option
from vspec.settings import read_settings


@click.command(short_help="Check specs and report every mistake.")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@set_option
@outside_option
@extern_option
@warning_options
@format_option
def check(
    specs: tuple[str, ...],
    settings: tuple[str, ...],
    allow_outside: bool,
    pedantic: bool,
    warnings_: str,
    format_: str,
) -> int:
    """Check specs: structure, names, indices, types, methods. Nothing is compiled or run.

    SPEC is a file, a folder of specs, or the name of a spec that comes with vspec. Exits with 2 if one is wrong.

    What is right but probably not meant gives a warning. The comment '# vspec: allow VS0904' beside an entry, or on a
    line of its own above it, silences a warning.

    \b
    Example:
      vspec check fit.yaml
      vspec check problems/logistic --set lam=0.5
      vspec check specs/ --format json
      vspec check fit.yaml --pedantic -W error

    With --format json: {"specs": [{"path", "ok", "name", "doc"}], "diagnostics": [...], "ok", ...}
    """
    from vspec.compiler.pipeline import check as check_spec

    overrides = read_settings(settings)
    policy = read_policy(pedantic, warnings_)
    found: list[Diagnostic] = []
    results: list[dict[str, Any]] = []
    for path in find_specs(specs):
        result: dict[str, Any] = {"path": str(path), "ok": False, "name": None, "doc": None}
        try:
            spec, warnings = check_spec(
                str(path), overrides, policy, allow_outside=allow_outside, allow_extern=extern_allowed()
            )
        except SpecError as error:
            found += error.diagnostics
        else:
            found += warnings
            result |= {"ok": True, "name": spec.name, "doc": spec.doc}
        results.append(result)
    code = OK if all(r["ok"] for r in results) else WRONG
    if format_ == "json":
        output.reply("check", code, found, specs=results)
        return code
    for result in results:
        if result["ok"]:
            output.say(f"{result['path']}: no errors")
    output.show(found)
    return code
