"""The tables of claims and of the runs they compare, which `run` and `verify` print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vspec import output

if TYPE_CHECKING:
    from vspec.runtime.claims import ClaimResult
    from vspec.verification import Ran

TIMED = "–"
"""In the place of a tick: a timing that does not hold, and does not count."""


def show_claims(claims: Iterable[ClaimResult], title: str = "", timings: bool = False) -> None:
    """Claim, whether it holds, what was measured, what was demanded, what the literature reports."""
    found = list(claims)
    columns = ["claim", "holds", "measured", "bound"]
    reported = any(c.reported for c in found)
    marks = ["✓" if c.holds else TIMED if c.timed and not timings else "✗" for c in found]
    rows: list[list[str]] = []
    for c, mark in zip(found, marks):
        # Each figure stands beside its own bounds.
        measured = [(p.measured, p.bound) for p in c.parts] or [(c.measured, c.bound)]
        for k, pair in enumerate(measured):
            first = [c.name, mark, c.reported or ""] if k == 0 else ["", "", ""]
            rows.append([*first[:2], *pair, *(first[2:] if reported else [])])
    output.table([*columns, *(["reported"] if reported else [])], rows, title=title)
    if TIMED in marks:
        output.say(f"{TIMED} a timing, which fails with 'vspec verify --timings' only\n")


def show_runs(runs: Iterable[Ran]) -> None:
    """The runs that were made, a row each: what was set, the seed, steps and seconds, the outputs that are numbers."""
    made = list(runs)
    names = list(dict.fromkeys(name for ran in made for name in ran.outputs))
    settings = list(dict.fromkeys(name for ran in made for name in ran.settings))
    seeds = len({ran.seed for ran in made}) > 1
    columns = ["run", *settings, *(["seed"] if seeds else []), "steps", "seconds", *names]
    rows = [
        [
            ran.run or ", ".join(ran.also) or "the spec",
            *(str(ran.settings.get(name, "")) for name in settings),
            *([str(ran.seed)] if seeds else []),
            str(ran.steps),
            f"{ran.seconds:.3g}",
            *(_number(ran.outputs[name]) if name in ran.outputs else "" for name in names),
        ]
        for ran in made
    ]
    output.table(columns, rows, right=columns[1:])


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
