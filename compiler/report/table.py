"""The table of passes: what each did to the graph, as data for `report.json` and as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vspec.compiler.passes import PassRecord

UNITS = ("", "k", "M", "G", "T", "P")


def passes_table(records: Sequence[PassRecord]) -> list[dict[str, Any]]:
    """One row per pass in the order they ran: nodes, flops, bytes, peak bytes before and after, seconds."""
    return [
        {
            "pass": r.name,
            "nodes": [r.before.nodes, r.after.nodes],
            "flops": [r.before.flops, r.after.flops],
            "bytes": [r.before.bytes, r.after.bytes],
            "peak_bytes": [r.before.peak, r.after.peak],
            "seconds": r.seconds,
        }
        for r in records
    ]


def render_table(rows: Sequence[Mapping[str, Any]], *, seconds: bool = True) -> str:
    """The rows as aligned text; a figure that a pass left alone is shown once."""
    if not rows:
        return "no passes ran\n"
    columns = ("nodes", "flops", "bytes", "peak_bytes")
    head = ["pass", "nodes", "flops", "bytes", "peak", *(["ms"] if seconds else [])]
    lines = [head]
    for row in rows:
        cells = [str(row["pass"]), *(_change(*row[c], whole=c == "nodes") for c in columns)]
        lines.append([*cells, *([f"{1000 * row['seconds']:.1f}"] if seconds else [])])
    first, last = rows[0], rows[-1]
    total = ["together", *(_change(first[c][0], last[c][1], whole=c == "nodes") for c in columns)]
    lines.append([*total, *([f"{1000 * sum(r['seconds'] for r in rows):.1f}"] if seconds else [])])
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    shown = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    return "\n".join([shown[0], "  ".join("-" * w for w in widths), *shown[1:]]) + "\n"


def _change(before: float, after: float, *, whole: bool = False) -> str:
    show = str if whole else quantity
    return show(after) if before == after else f"{show(before)} → {show(after)}"


def quantity(value: float) -> str:
    """Three digits and a unit: `12.3M`."""
    for unit in UNITS:
        if abs(value) < 999.5 or unit == UNITS[-1]:
            return f"{value:.3g}{unit}"
        value /= 1000
    raise AssertionError("unreachable")
