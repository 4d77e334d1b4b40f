"""Entries that tell how the searches for implicit quantities went: one for each set of problems that some entry meets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vspec.compiler.calculus.implicit import report_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.node import AnyRegion, Kind, Node, Pull, Solve, innermost, topological


def solve_entries(b: Builder, entries: Mapping[str, Entry]) -> tuple[dict[str, Entry], dict[str, Any]]:
    """The entries of kind `solves`, and what the manifest says: `entries` has which of them belongs to an entry, `inside` the
    quantities that an entry seeks in the steps of recurrences, of which none tells, `problems` what each of them is about."""
    made: dict[str, Entry] = {}
    known: dict[frozenset[int], str] = {}
    notes: dict[str, dict[str, Any]] = {"entries": {}, "inside": {}, "problems": {}}
    for entry in entries.values():
        found = _problems(b, [r.node for r in entry.results])
        hidden = dict.fromkeys(_hidden(r.node for r in entry.results))
        if hidden:
            notes["inside"][entry.name] = list(hidden)
        if not found:
            continue
        key = frozenset(id(n.attrs[0]) for n in found)
        if key not in known:
            name, k = "solves", 2
            while name in entries or name in made:
                name, k = f"solves_{k}", k + 1
            known[key] = name
            made[name], notes["problems"][name] = _entry(b, name, found)
        notes["entries"][entry.name] = known[key]
    return made, notes


def _problems(b: Builder, roots: Iterable[Node]) -> list[Node]:
    """The problems that are met on the way to some nodes, outside of the steps of recurrences, in order of creation."""
    found: dict[int, Node] = {}
    for node in topological(roots):
        if node.kind is not Kind.REGION:
            continue
        region: AnyRegion = node.attrs[0]
        if isinstance(region, Solve) and region.linear:
            continue
        arity = len(node.inputs)
        while isinstance(region, Pull):
            arity = region.arity
            region = region.inner
        if isinstance(region, Solve) and (id(region) not in found or node.op == "solve"):
            # The derivative through the steps of a search searches once more.
            if node.op != "solve":
                with b.at(node.origin):
                    node = b.region("solve", region, node.inputs[:arity])
            found[id(region)] = node
    return list(found.values())


def _hidden(roots: Iterable[Node], inside: bool = False) -> Iterator[str]:
    """The names of problems in the steps of recurrences."""
    for node in topological(roots):
        if node.kind is Kind.REGION:
            region = innermost(node.attrs[0])
            if not isinstance(region, Solve):
                yield from _hidden(region.roots, True)
                continue
            if inside and not region.linear:
                yield region.name
            yield from _hidden(region.roots, inside)


def _entry(b: Builder, name: str, problems: Iterable[Node]) -> tuple[Entry, dict[str, Any]]:
    """The entry over some problems, and a record of each."""
    results: list[Result] = []
    records: dict[str, Any] = {}
    for node in problems:
        region: Solve = node.attrs[0]
        label, k = region.name, 2
        while label in records:
            label, k = f"{region.name}_{k}", k + 1
        results += [Result((label, what), told) for what, told in report_of(b, node).items()]
        # What stands inside of another expression has a name that the spec does not know.
        own = node.origin.name
        records[label] = {
            "name": None if not own or own.startswith("_") else own,
            "op": region.op,
            "unknowns": [str(u.attrs[0]) for u in region.unknowns[: region.sought]],
            "method": region.method,
            "tol": dict(region.options).get("tol"),
            "steps": region.steps,
            # A line of another file says nothing about the spec's own.
            "line": None if node.origin.file else node.origin.line or None,
        }
    return Entry(name, "solves", tuple(results), doc=f"How the searches for {', '.join(records)} went."), records
