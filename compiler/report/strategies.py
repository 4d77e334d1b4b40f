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
        for c in choices_of(compiled.graph)
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


def variant_records(compiled: Compiled) -> list[dict[str, Any]]:
    """The programs for other sizes: what they are meant for, what each costs there, and what it chooses otherwise."""

    def choice(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[key] for key in ("file", "line", "kind", "what", "chosen"))

    usual = {choice(r) for r in strategies(compiled)}
    return [
        {
            "name": v.name,
            "sizes": dict(v.sizes),
            "flops": v.flops,
            "against": v.against,
            "strategies": [r for r in strategies(v.compiled) if choice(r) not in usual],
        }
        for v in compiled.variants
    ]


def variant_row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """A variant as cells: its name, its sizes, and what it costs there."""
    sizes = ", ".join(f"{d} = {size}" for d, size in record["sizes"].items())
    own, against = (quantity(float(record[k])) for k in ("flops", "against"))
    return record["name"], sizes, f"{own} operations against {against}"
