"""How derivatives go back through the recurrences of a program, and the bytes that they keep of the way there, by sizes.

An estimate (`graph/residuals.py`); XLA may keep less, or copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from vspec.compiler.graph.cost import sweep_bytes
from vspec.compiler.graph.graph import Entry, Graph
from vspec.compiler.graph.node import AnyRegion, Kind, Node, Pull, Region, topological
from vspec.compiler.language.spec import Recurrence, Spec
from vspec.compiler.report.table import quantity


@dataclass(slots=True)
class _Sweeps:
    """The sweeps of one order through one recurrence: the largest, and the entries that have one."""

    region: Region
    pull: Pull
    entries: list[str] = field(default_factory=list)


def sweeps(spec: Spec, graph: Graph) -> list[dict[str, Any]]:
    """A record for each recurrence and each order of derivative that goes back through it, in the order of the spec; of one
    through which none goes, one that says so. What one in the step of another keeps counts among what that step does."""
    found: dict[tuple[str, int], dict[int, _Sweeps]] = {}
    for entry in graph.entries:
        for node in _all(entry):
            if node.kind is Kind.REGION and isinstance(node.attrs[0], Pull):
                order, region = _order(node.attrs[0])
                if isinstance(region, Region):
                    _enter(found.setdefault((region.name, node.origin.line), {}), order, region, node.attrs[0], entry)
    known = dict[tuple[str, int], tuple[list[str], str | None]]()
    outermost = set[tuple[str, int]]()
    for e in spec.equations:
        for r in e.loops if isinstance(e, Recurrence) else ():
            key = ("_".join(s.name for s in r.states), r.span.line)
            known[key] = ([s.name for s in r.states], spec.file(r.span))
            outermost |= {key} if r is e else set()
    records = []
    for name, line in sorted({*outermost, *found}, key=lambda k: (k[1], k[0])):
        names, file = known.get((name, line), ([name], None))
        about = {"states": names, "line": line, "file": file or PurePath(spec.path).name or "spec.yaml"}
        orders = found.get((name, line), {})
        if not orders:
            records.append({**about, "adjoint": "none", "order": 0, "entries": [], "formula": "0", "bytes": 0})
        for order in sorted(orders):
            s = orders[order]
            count = sweep_bytes(s.pull, graph.precision)
            sizes = {d: graph.dims.get(d) for d in count.dims}
            whole = {d: n for d, n in sizes.items() if isinstance(n, int)}
            total = count.value(whole.__getitem__) if len(whole) == len(sizes) else None
            how = {"adjoint": s.region.adjoint, "order": order, "entries": s.entries}
            records.append({**about, **how, "formula": count.shown, "bytes": total})
    return records


def told(record: dict[str, Any]) -> str:
    """A record in words, without the states and where they stand."""
    if not record["order"]:
        return "no derivative goes back through it"
    order = "" if record["order"] == 1 else f", derivatives of order {record['order']}"
    size = record["formula"] if record["bytes"] is None else f"{record['formula']} = {quantity(record['bytes'])}"
    return f"{record['adjoint']}{order}: keeps about {size} bytes, in {', '.join(record['entries'])}"


def _order(region: AnyRegion) -> tuple[int, AnyRegion]:
    order = 0
    while isinstance(region, Pull):
        order, region = order + 1, region.inner
    return order, region


def _enter(orders: dict[int, _Sweeps], order: int, region: Region, pull: Pull, entry: Entry) -> None:
    known = orders.setdefault(order, _Sweeps(region, pull))
    if (len(pull.batch), len(pull.wanted)) > (len(known.pull.batch), len(known.pull.wanted)):
        known.pull = pull
    if entry.name not in known.entries:
        known.entries.append(entry.name)


def _all(entry: Entry) -> list[Node]:
    """The nodes of an entry, those of bodies included."""
    found = topological(r.node for r in entry.results)
    seen: set[int] = set()
    for node in found:
        if node.kind is Kind.REGION:
            _, region = _order(node.attrs[0])
            if id(region) not in seen and not isinstance(region, Pull):
                seen.add(id(region))
                # Bodies may hold regions of their own: the list grows while it is read.
                found.extend(topological(region.roots))
    return found


__all__ = ["sweeps", "told"]
