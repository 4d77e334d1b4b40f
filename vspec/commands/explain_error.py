"""`vspec explain-error`: what a diagnostic code means."""

from __future__ import annotations

import re
import textwrap

import click

from vspec import output
from vspec.codes import all_codes
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.faults import OK, refuse
from vspec.options import format_option


@click.command("explain-error", short_help="Explain a diagnostic code, or list them all.")
@click.argument("code", required=False)
@format_option
def explain_error(code: str | None, format_: str) -> int:
    """Explain a diagnostic code: what it means, what usually causes it, and an example. Without CODE, list all codes.

    \b
    Example:
      vspec explain-error VS0203

    With --format json: {"codes": [{"code", "title", "explanation", "example"}], ...}
    """
    codes = all_codes()
    chosen = list(codes.values())
    if code is not None:
        wanted = _normal(code)
        if wanted not in codes:
            tip = did_you_mean(wanted, codes) or "'vspec explain-error' without a code lists them"
            raise refuse("VS0825", f"there is no code '{code}'", tip)
        chosen = [codes[wanted]]
    if format_ == "json":
        keys = ("code", "title", "explanation", "example")
        output.reply("explain-error", OK, codes=[{k: getattr(c, k) for k in keys} for c in chosen])
    elif code is None:
        output.say(output.columns([(c.code, c.title) for c in chosen], indent=""))
    else:
        (found,) = chosen
        output.say(f"{found.code}: {found.title}\n\n{textwrap.fill(found.explanation, 90)}")
        if found.example:
            output.say("\nExample:\n\n" + textwrap.indent(found.example.rstrip("\n"), "    "))
    return OK


def _normal(code: str) -> str:
    """`203`, `vs203` and `error[VS0203]` all mean VS0203."""
    digits = re.search(r"(\d{1,4})\]?\s*$", code)
    return f"VS{int(digits[1]):04d}" if digits else code
