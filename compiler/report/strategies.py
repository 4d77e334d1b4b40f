"""The table of strategies: what was chosen where there are several ways to compute one thing, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.report.table import quantity

if TYPE_CHECKING:
    from vspec.compiler.pipeline import Compiled


def strategies(compiled: Compiled) -> list[dict[str, Any]]:
    """One row per choice, in the order of the spec: kind, what, line, chosen, because, and the costs that were compared."""
    own = PurePath(compiled.spec.path).name or "spec.yaml"
    rows = [
        {
            "kind": c.kind,
            "what": " ".join(c.what.split()),
            "line": c.line,
            "file": c.file or own,
            "chosen": c.chosen,
            "because": c.because,
            "among": [{"name": x.name, "flops": x.flops, "bytes": x.bytes} for x in c.among],
        }
        for c in dict.fromkeys((*choices_of(compiled.graph), *(c for e in compiled.emitted.entries for c in e.choices)))
    ]
    return sorted(rows, key=lambda r: (r["file"] != own, r["file"], r["line"]))


def told(row: Mapping[str, Any]) -> str:
    """What was chosen and why, as one phrase: `forward: least cost; 1.2M, reverse 3.4M operations`."""
    costs = {x["name"]: x for x in row["among"]}
    mine = costs.get(row["chosen"])
    others = [x for x in row["among"] if x["name"] != row["chosen"]]
    text = f"{row['chosen']}: {row['because']}"
    if mine is not None:
        text += f", {_cost(mine)}"
    if others:
        text += " against " + ", ".join(f"{x['name']} {_cost(x)}" for x in others)
    return text + (" operations" if mine is not None or others else "")


def _cost(x: Mapping[str, Any]) -> str:
    return quantity(float(x["flops"]))


def strategy_rows(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows as cells: where, of which kind, what, and what was chosen."""
    return [(f"{r['file']}:{r['line']}", r["kind"], _short(r["what"]), told(r)) for r in found]


def _short(text: str, limit: int = 58) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
