"""How many nodes of each kind were compiled for a plan and for each of its stages: what `nodes(solve, linalg)` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from vspec.compiler.graph.graph import Entry, Graph
from vspec.compiler.graph.node import Blocks, Either, Kind, Node, Pull, Region, topological
from vspec.compiler.language.bodies import bodies
from vspec.compiler.language.expr import Derivative, Expr
from vspec.compiler.language.facts import KINDS, PLAN
from vspec.compiler.language.spec import Spec, Stage
from vspec.compiler.language.substitute import elements, nodes
from vspec.runtime.registry import needs_of_stage


def node_counts(spec: Spec, graph: Graph, plan: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """For the whole plan, under 'solve', and for each stage that has a name: the number of nodes of each kind.

    Nodes are those after the passes, each once however many entries share it, bodies of loops included. `derivative` is
    the number of `d(...)` in the formulas that a stage computes and of the derivatives that its methods ask for.

    Args:
        spec: the checked spec.
        graph: the graph after the passes.
        plan: the stages as the manifest has them.
    """
    entries = {e.name: e for e in graph.entries}
    plan, reads = list(plan), _Reads(spec)
    found = {PLAN: _count(spec.plan, plan, entries, reads)}
    for stage, record in _named(spec.plan, plan):
        if stage.name is not None:
            found[stage.name] = _count((stage,), [record], entries, reads)
    return found


def _named(stages: Iterable[Stage], records: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Stage, Mapping[str, Any]]]:
    for stage, record in zip(stages, records, strict=True):
        yield stage, record
        yield from _named(stage.stages, record.get("stages") or ())


def _count(
    stages: tuple[Stage, ...], records: Iterable[Mapping[str, Any]], entries: Mapping[str, Entry], reads: _Reads
) -> dict[str, int]:
    used = [entries[name] for name in dict.fromkeys(_entries(records, entries))]
    kinds = Counter(str(n.kind) for n in _every([r.node for e in used for r in e.results]))
    asked = {request for stage in stages for request in _asked(stage)}
    written = reads.derivatives(
        [x for stage in stages for x in _expressions(stage)], [n for s in stages for n in s.names]
    )
    return {kind: kinds[kind] if kind != "derivative" else len(asked) + written for kind in KINDS}


def _entries(records: Iterable[Mapping[str, Any]], entries: Mapping[str, Entry]) -> Iterator[str]:
    """The entries that stages call."""
    for record in records:
        single = (record.get(key) for key in ("counts", "schedule", "until", "directions", "step"))
        called = (*record["entries"].values(), *record["update"], *single)
        yield from (n for n in called if isinstance(n, str) and n in entries)
        yield from _entries(record.get("stages") or (), entries)


def _every(roots: Iterable[Node]) -> Iterator[Node]:
    """Nodes with those in the bodies of regions; a product with the Jacobian of a region holds its body, too."""
    for node in topological(roots):
        yield node
        inner = node.attrs[0] if node.kind is Kind.REGION else None
        while isinstance(inner, Pull):
            inner = inner.inner
        if isinstance(inner, Region | Blocks | Either):
            yield from _every(inner.body)


def _asked(stage: Stage) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """The derivatives that the methods of a stage and of those in it ask for: of what, by what, and which."""
    strategy = None if stage.constraints is None else stage.constraints.name
    wanted = set(needs_of_stage(((m.name, m.arguments) for m in stage.methods), strategy))
    for name in stage.names if stage.optimises else ():
        yield from ((name, stage.over, need) for need in sorted(wanted - {"value"}))
    for inner in stage.stages:
        yield from _asked(inner)


def _names(stage: Stage) -> Iterator[str]:
    """The objectives and definitions that a stage and those in it compute."""
    yield from stage.names
    for inner in stage.stages:
        yield from _names(inner)


def _expressions(value: Any) -> Iterator[Expr]:
    """The expressions in the fields of a stage."""
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _expressions(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _expressions(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _expressions(getattr(value, field.name))


class _Reads:
    """What names stand for, to find everything that a formula reads."""

    def __init__(self, spec: Spec) -> None:
        self.bodies: dict[str, list[Expr]] = {}
        for body in bodies(spec):
            if body.kind in ("definition", "init", "step", "objective"):
                self.bodies.setdefault(body.name, []).append(body.expr)

    def derivatives(self, exprs: list[Expr], names: Iterable[str]) -> int:
        """How many derivatives stand in expressions, in what the names stand for, and in all that these read."""
        seen: set[str] = set()
        count = 0
        queue = [*exprs, *self._of(names, seen)]
        while queue:
            expr = queue.pop()
            count += sum(isinstance(n, Derivative) for n in nodes(expr))
            queue += self._of((e.name for e in elements(expr)), seen)
        return count

    def _of(self, names: Iterable[str], seen: set[str]) -> list[Expr]:
        found: list[Expr] = []
        for name in names:
            if name not in seen:
                seen.add(name)
                found += self.bodies.get(name, [])
        return found
