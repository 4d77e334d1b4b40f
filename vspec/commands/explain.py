"""`vspec explain`: how the compiler reads, derives and optimises a spec."""

from __future__ import annotations

from dataclasses import replace

import click

from vspec import output
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.faults import OK, refuse
from vspec.locate import find_spec
from vspec.options import (
    disable_option,
    format_option,
    level_option,
    memory_of_arrays,
    outside_option,
    set_option,
    tuning_options,
)
from vspec.permission import extern_allowed, extern_option
from vspec.programs import check_passes, read_tuning
from vspec.rows import rows_text, whole_uses
from vspec.settings import read_settings


@click.command(short_help="Show how a spec is derived and optimised.")
@click.argument("spec")
@click.option("--entry", metavar="NAME", help="Only one entry of the program, such as loss_gradient.")
@level_option
@disable_option
@set_option
@memory_of_arrays
@tuning_options
@outside_option
@extern_option
@format_option
def explain(
    spec: str,
    entry: str | None,
    level: int,
    disable: tuple[str, ...],
    settings: tuple[str, ...],
    memory: str | None,
    chunk: str | None,
    matmul: str,
    donate: bool,
    allow_outside: bool,
    format_: str,
) -> int:
    """Show what the compiler makes of SPEC: its mathematics, the derivatives it found, what each pass did.

    \b
    Example:
      vspec explain problems/logistic
      vspec explain problems/logistic --entry loss_gradient

    Of one entry, what stands in its place in variants for other sizes is shown as well.

    With --format json: {"explanation": {"name", "mathematics", "plan", "derivatives", "entries", "passes", ...}, ...}
    """
    from vspec.compiler.pipeline import check, compile_spec
    from vspec.compiler.report.explain import explain as explain_compiled
    from vspec.compiler.report.explain import explain_json
    from vspec.compiler.variants import variants
    from vspec.compiler.warned import drawn, joined

    check_passes(disable)
    checked, warnings = check(
        str(find_spec(spec)), read_settings(settings), allow_outside=allow_outside, allow_extern=extern_allowed()
    )
    tuning = read_tuning(memory, chunk, matmul, donate)
    compiled = compile_spec(checked, level=level, disable=disable, tuning=tuning)
    warnings = joined(warnings, drawn(compiled))
    compiled = replace(compiled, variants=variants(compiled, level=level, disable=disable, tuning=tuning))
    known = [e.name for e in compiled.graph.entries]
    if entry is not None and entry not in known:
        tip = did_you_mean(entry, known) or f"entries are {', '.join(known)}"
        raise refuse("VS0828", f"'{checked.name}' has no entry '{entry}'", tip)
    uses = whole_uses(compiled, level, disable)
    if format_ == "json":
        output.reply("explain", OK, warnings, explanation={**explain_json(compiled, entry), "whole": uses})
    else:
        output.show(warnings)
        output.say(explain_compiled(compiled, entry).rstrip("\n"))
        if entry is None and (text := rows_text(uses)):
            output.say(text)
    return OK
