"""The table of claims, which `run` and `verify` both print."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vspec import output

if TYPE_CHECKING:
    from vspec.runtime.claims import ClaimResult


def show_claims(claims: Iterable[ClaimResult], title: str = "") -> None:
    """Claim, whether it holds, what was measured, what was demanded, what the literature reports."""
    found = list(claims)
    columns = ["claim", "holds", "measured", "bound"]
    reported = any(c.reported for c in found)
    rows = [
        [c.name, "✓" if c.holds else "✗", c.measured, c.bound, *([c.reported or ""] if reported else [])] for c in found
    ]
    output.table([*columns, *(["reported"] if reported else [])], rows, title=title)
