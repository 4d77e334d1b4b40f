"""`vspec verify`: whether a spec keeps what it claims."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from vspec import output
from vspec.commands.claims import show_claims, show_runs
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.render import to_json
from vspec.faults import CLAIM_FAILED, OK, CommandError, fault
from vspec.locate import find_specs
from vspec.options import format_option, outside_option, seed_option, set_option
from vspec.permission import extern_option
from vspec.settings import read_settings
from vspec.verification import Verified, verify_spec
from vspec.watch import watching


@click.command(short_help="Run specs and judge their claims.")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC|FOLDER...")
@click.option("--smoke", is_flag=True, help="At the quick size that the claims declare.")
@click.option("--timings", is_flag=True, help="Let claims that compare seconds fail, too.")
@set_option
@seed_option
@outside_option
@extern_option
@format_option
def verify(
    specs: tuple[str, ...],
    smoke: bool,
    timings: bool,
    settings: tuple[str, ...],
    seed: int,
    allow_outside: bool,
    format_: str,
) -> int:
    """Build and run specs, or all specs below a folder, and judge their claims. Keeps no files.

    Every run that a claim reads is made, once for each seed and size. Goes on after a spec that fails. The exit code is the
    worst that was met: 1 if claims failed, 2 to 4 if specs could not be run.

    \b
    Example:
      vspec verify problems/logistic
      vspec verify specs/ --smoke

    With --format json: {"specs": [{"path", "ok", "exit_code", "seconds", "claims": [{"name", "holds", "measured",
    "bound", "reported", "figures", ...}], "runs": [{"run", "seed", "steps", "outputs", ...}], "diagnostics": [...]}], ...}
    """
    overrides = read_settings(settings)
    results: list[dict[str, Any]] = []
    everything: list[Diagnostic] = []
    for path in find_specs(specs):
        start = time.perf_counter()
        done = Verified((), ())
        found: tuple[Diagnostic, ...] = ()
        try:
            with watching() as begin:
                done = verify_spec(
                    path,
                    smoke=smoke,
                    overrides=overrides,
                    seed=seed,
                    allow_outside=allow_outside,
                    begin=partial(begin, str(path)),
                )
            kept = all(claim.holds or (claim.timed and not timings) for claim in done.claims)
            code = OK if kept else CLAIM_FAILED
        except (SpecError, CommandError) as error:
            said = fault(error)
            found, code = said.diagnostics, said.exit_code
        seconds = time.perf_counter() - start
        everything += found
        results.append(
            {
                "path": str(path),
                "ok": code == OK,
                "exit_code": code,
                "seconds": seconds,
                "claims": [claim.as_dict() for claim in done.claims],
                "runs": [ran.as_dict() for ran in done.runs],
                "diagnostics": to_json(found),
            }
        )
        if format_ == "text":
            show_spec(path, done, found, seconds, timings)
    worst = max(int(result["exit_code"]) for result in results)
    if format_ == "json":
        output.reply("verify", worst, everything, specs=results)
    else:
        output.say(summary(results))
    return worst


def show_spec(path: Path, done: Verified, found: tuple[Diagnostic, ...], seconds: float, timings: bool) -> None:
    """One spec: its claims and the runs they compare, or why it could not be run."""
    head = f"{path} ({seconds:.1f} s)"
    if found:
        output.say(f"{head}: could not be run\n")
        output.show(found)
    elif done.claims:
        show_claims(done.claims, head, timings)
        if len({ran.run for ran in done.runs}) > 1:
            show_runs(done.runs)
    else:
        output.say(f"{head}: ran; it makes no claims\n")


def summary(results: list[dict[str, Any]]) -> str:
    """The last line: how many claims hold."""
    claims = [claim for result in results for claim in result["claims"]]
    held = sum(claim["holds"] for claim in claims)
    failed = sum(bool(result["diagnostics"]) for result in results)
    specs = f"{len(results)} spec{'' if len(results) == 1 else 's'}"
    return f"{held} of {len(claims)} claims hold in {specs}" + (f"; {failed} could not be run" if failed else "")
