"""`vspec verify`: whether a spec keeps what it claims."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vspec import output
from vspec.commands.claims import show_claims
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.render import to_json
from vspec.faults import CLAIM_FAILED, OK, CommandError, fault
from vspec.locate import find_specs
from vspec.options import format_option, outside_option, seed_option, set_option
from vspec.settings import read_settings
from vspec.verification import verify_spec

if TYPE_CHECKING:
    from vspec.runtime.claims import ClaimResult


@click.command(short_help="Run specs and judge their claims.")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC|FOLDER...")
@click.option("--smoke", is_flag=True, help="At the quick size that the claims declare.")
@set_option
@seed_option
@outside_option
@format_option
def verify(
    specs: tuple[str, ...], smoke: bool, settings: tuple[str, ...], seed: int, allow_outside: bool, format_: str
) -> int:
    """Build and run specs, or all specs below a folder, and judge their claims. Keeps no files.

    Goes on after a spec that fails. The exit code is the worst that was met: 1 if claims failed, 2 to 4 if specs
    could not be run.

    \b
    Example:
      vspec verify problems/logistic
      vspec verify specs/ --smoke

    With --format json: {"specs": [{"path", "ok", "exit_code", "seconds", "claims": [{"name", "holds", "measured",
    "bound", "reported", "figures", ...}], "diagnostics": [...]}], ...}
    """
    overrides = read_settings(settings)
    results: list[dict[str, Any]] = []
    everything: list[Diagnostic] = []
    for path in find_specs(specs):
        start = time.perf_counter()
        claims: list[ClaimResult] = []
        found: tuple[Diagnostic, ...] = ()
        try:
            claims = verify_spec(path, smoke=smoke, overrides=overrides, seed=seed, allow_outside=allow_outside)
            code = OK if all(claim.holds for claim in claims) else CLAIM_FAILED
        except (SpecError, CommandError) as error:
            said = fault(error)
            found, code = said.diagnostics, said.exit_code
        seconds = time.perf_counter() - start
        everything += found
        listed = [claim.as_dict() for claim in claims]
        results.append(
            {
                "path": str(path),
                "ok": code == OK,
                "exit_code": code,
                "seconds": seconds,
                "claims": listed,
                "diagnostics": to_json(found),
            }
        )
        if format_ == "text":
            show_spec(path, claims, found, seconds)
    worst = max(int(result["exit_code"]) for result in results)
    if format_ == "json":
        output.reply("verify", worst, everything, specs=results)
    else:
        output.say(summary(results))
    return worst


def show_spec(path: Path, claims: list[ClaimResult], found: tuple[Diagnostic, ...], seconds: float) -> None:
    """One spec: its claims, or why it could not be run."""
    head = f"{path} ({seconds:.1f} s)"
    if found:
        output.say(f"{head}: could not be run\n")
        output.show(found)
    elif claims:
        show_claims(claims, head)
    else:
        output.say(f"{head}: ran; it makes no claims\n")


def summary(results: list[dict[str, Any]]) -> str:
    """The last line: how many claims hold."""
    claims = [claim for result in results for claim in result["claims"]]
    held = sum(claim["holds"] for claim in claims)
    failed = sum(bool(result["diagnostics"]) for result in results)
    specs = f"{len(results)} spec{'' if len(results) == 1 else 's'}"
    return f"{held} of {len(claims)} claims hold in {specs}" + (f"; {failed} could not be run" if failed else "")
