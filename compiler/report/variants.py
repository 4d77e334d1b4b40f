"""The programs for other sizes of open dims: what each is meant for, what it costs there, and what it does otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vspec.compiler.graph.assumed import assuming
from vspec.compiler.graph.cost import Costs
from vspec.compiler.report.lines import emitted_lines
from vspec.compiler.report.strategies import strategies
from vspec.compiler.report.table import quantity

if TYPE_CHECKING:
    from vspec.compiler.pipeline import Compiled
    from vspec.compiler.variants import Variant


def variant_records(compiled: Compiled, entry: str | None = None) -> list[dict[str, Any]]:
    """One record per variant: name, sizes, operations of its entries and of those of the program itself, and the choices that are
    others. With an `entry`, also what the variant has in its place: lines and operations of both; None where it is the same."""

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
        | ({"entry": _entry(compiled, v, entry)} if entry is not None else {})
        for v in compiled.variants
    ]


def _entry(compiled: Compiled, variant: Variant, entry: str) -> dict[str, Any] | None:
    own, usual = (emitted_lines(c.emitted.text).get(entry, []) for c in (variant.compiled, compiled))
    if [x["code"] for x in own] == [x["code"] for x in usual]:
        return None
    with assuming(variant.sizes):
        return {"flops": _flops(variant.compiled, entry), "against": _flops(compiled, entry), "lines": own}


def _flops(compiled: Compiled, entry: str) -> float:
    costs = Costs.of(compiled.graph)
    return costs.together([r.node for e in compiled.graph.entries if e.name == entry for r in e.results]).flops


def variant_row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """A variant as cells: its name, its sizes, and what it costs there."""
    sizes = ", ".join(f"{d} = {size}" for d, size in record["sizes"].items())
    own, against = (quantity(float(record[k])) for k in ("flops", "against"))
    return record["name"], sizes, f"{own} operations against {against}"


__all__ = ["variant_records", "variant_row"]
