"""Drops what no entry reads.

A graph is what its entries reach, so dead nodes vanish by themselves; this pass removes what reachable nodes still hold:
results of regions that nobody reads, states of loops that reach no result, operands that bodies ignore, and prepared values
that no entry takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import REPORT, AnyRegion, Blocks, Either, Kind, Node, Pull, Region, Solve, topological
from vspec.compiler.graph.rewrite import all_nodes, rewrite

DOC = "Nothing is computed that no entry reads: no unused state, operand or result of a loop, no unused prepared value."


@dataclass(slots=True)
class Use:
    """What is read of a region: results by position, operands whose cotangent is asked for."""

    results: set[int]
    wanted: set[int]


def run(graph: Graph) -> Graph:
    """The graph without what no entry reads."""
    graph = _drop_prepared(graph)
    while True:
        slimmer = _slim(graph)
        if slimmer is graph:
            return graph
        graph = slimmer


def _drop_prepared(graph: Graph) -> Graph:
    """Removes prepared values that no other entry reads."""
    readers = Graph(tuple(e for e in graph.entries if e.kind != "prepare"), graph.dims, {})
    read = {n.attrs[0] for n in all_nodes(readers) if n.kind is Kind.INPUT and n.op == "prepared"}
    entries = []
    for e in graph.entries:
        if e.kind == "prepare":
            e = replace(e, results=tuple(r for r in e.results if r.path[0] in read))
        if e.results or e.kind != "prepare":
            entries.append(e)
    inputs = {key: n for key, n in graph.inputs.items() if n.op != "prepared" or n.attrs[0] in read}
    return replace(graph, entries=tuple(entries), inputs=inputs)


def _slim(graph: Graph) -> Graph:
    """One round: every region keeps what is used of it. The same graph where nothing changes."""
    plans = _plans(graph)
    if not plans:
        return graph

    def visit(b: Builder, node: Node, old: Node) -> Node:
        if old.kind is Kind.REGION:
            plan = plans.get(id(old.attrs[0]))
            return node if plan is None else _rebuilt(node, old, plan)
        if old.kind is Kind.ITEM:
            plan = plans.get(id(old.inputs[0].attrs[0]))
            if plan is not None:
                return Node(
                    node.kind,
                    node.op,
                    node.inputs,
                    node.axes,
                    node.dtype,
                    (plan.results.index(node.attrs[0]),),
                    node.origin,
                )
        return node

    return rewrite(graph, visit)


@dataclass(slots=True)
class Plan:
    """What a region keeps: positions of its results, and for a scan those of its operands with the slimmer region."""

    results: list[int]
    inputs: list[int] | None
    region: AnyRegion
    changes: bool


def _plans(graph: Graph) -> dict[int, Plan]:
    """What to change in this round, by region."""
    uses: dict[int, Use] = {}
    regions: dict[int, AnyRegion] = {}

    def use(region: AnyRegion) -> Use:
        regions.setdefault(id(region), region)
        return uses.setdefault(id(region), Use(set(), set()))

    for node in all_nodes(graph):
        if node.kind is Kind.REGION:
            region = node.attrs[0]
            use(region)
            while isinstance(region, Pull):
                inner = use(region.inner)
                inner.results |= set(region.given)
                inner.wanted |= set(region.wanted)
                region = region.inner
        elif node.kind is Kind.ITEM:
            use(node.inputs[0].attrs[0]).results.add(node.attrs[0])
    frozen: set[int] = set()
    for region in regions.values():
        # A pull of a pull counts operands by position on every level: the whole chain keeps its shape.
        if isinstance(region, Pull) and isinstance(region.inner, Pull):
            frozen.add(id(region))
            while isinstance(region, Pull):
                region = region.inner
                frozen.add(id(region))
    plans: dict[int, Plan] = {}
    for key, region in regions.items():
        if isinstance(region, Region) and key not in frozen:
            plans[key] = _scan_plan(region, uses[key])
        elif isinstance(region, Solve) and key not in frozen:
            plans[key] = _solve_plan(region, uses[key])
        elif isinstance(region, Blocks):
            plans[key] = _blocks_plan(region, uses[key])
    for key, region in regions.items():
        if isinstance(region, Pull) and key not in frozen and id(region.inner) in plans:
            plans[key] = _pull_plan(region, uses[key], plans[id(region.inner)])
    changing = {key: plan for key, plan in plans.items() if plan.changes}
    inside = {id(n.attrs[0]) for r in regions.values() if not isinstance(r, Pull) for n in _loops(r)}
    # Inner loops first: a round that changes both would lose one of them.
    return {k: p for k, p in changing.items() if k in inside} or changing


def _loops(region: Region | Solve | Blocks | Either) -> list[Node]:
    return [n for n in topological(region.roots) if n.kind is Kind.REGION]


def _scan_plan(region: Region, use: Use) -> Plan:
    results = [k for k in range(len(region.results)) if k in use.results]
    live = {region.results[k][1] for k in results} | {k for k in use.wanted if k < len(region.carry)}
    state = {c.uid: k for k, c in enumerate(region.carry)}
    reads: set[int] = set()
    roots = [region.body[k] for k in sorted(live)]
    if region.until is not None:
        roots.insert(0, region.until)
    if region.products is not None:
        roots += region.products.roots
    while roots:
        for node in topological([roots.pop()]):
            reads.add(node.uid)
            if node.uid in state and state[node.uid] not in live:
                live.add(state[node.uid])
                roots.append(region.body[state[node.uid]])
    states = sorted(live)
    count = len(region.carry)
    captured = [k for k, c in enumerate(region.captured) if c.uid in reads or (count + k) in use.wanted]
    place = {k: j for j, k in enumerate(states)}
    slim = replace(
        region,
        carry=tuple(region.carry[k] for k in states),
        captured=tuple(region.captured[k] for k in captured),
        body=tuple(region.body[k] for k in states),
        results=tuple((region.results[k][0], place[region.results[k][1]]) for k in results),
        products=None
        if region.products is None
        else replace(region.products, body=tuple(region.products.body[k] for k in states)),
    )
    inputs = [*states, *(count + k for k in captured)]
    changes = len(results) < len(region.results) or len(inputs) < count + len(region.captured)
    return Plan(results, inputs, slim, changes)


def _solve_plan(region: Solve, use: Use) -> Plan:
    """A problem keeps its starts and all its results, but not what its body no longer reads."""
    reads = {n.uid for n in topological(region.body)}
    count = len(region.unknowns)
    kept = [k for k, c in enumerate(region.captured) if c.uid in reads or (count + k) in use.wanted]
    slim = replace(region, captured=tuple(region.captured[k] for k in kept))
    inputs = [*range(count), *(count + k for k in kept)]
    results = list(range(count + len(REPORT)))
    return Plan(results, inputs, slim, len(kept) < len(region.captured))


def _blocks_plan(region: Blocks, use: Use) -> Plan:
    """A loop over rows keeps what is read of its results, and of its operands what these need."""
    paired = {k + 1 for k in use.results if region.joins[k] in ("argmax", "argmin", "weighted")}
    results = sorted(use.results | paired)
    reads = {n.uid for n in topological(region.body[k] for k in results)}
    inputs = [k for k, c in enumerate(region.captured) if c.uid in reads]
    slim = replace(
        region,
        captured=tuple(region.captured[k] for k in inputs),
        cut=tuple(region.cut[k] for k in inputs),
        body=tuple(region.body[k] for k in results),
        joins=tuple(region.joins[k] for k in results),
    )
    changes = len(results) < len(region.body) or len(inputs) < len(region.captured)
    return Plan(results, inputs, slim, changes)


def _pull_plan(region: Pull, use: Use, inner: Plan) -> Plan:
    kept = [k for k in range(len(region.wanted)) if k in use.results]
    wanted = [region.wanted[k] for k in kept]
    if not inner.changes or inner.inputs is None:
        slim = replace(region, wanted=tuple(wanted))
        return Plan(kept, None, slim, len(kept) < len(region.wanted))
    slim = Pull(
        inner.region,
        len(inner.inputs),
        tuple(inner.results.index(k) for k in region.given),
        tuple(inner.inputs.index(k) for k in wanted),
        region.batch,
    )
    return Plan(kept, inner.inputs, slim, True)


def _rebuilt(node: Node, old: Node, plan: Plan) -> Node:
    inputs = node.inputs
    if plan.inputs is not None:
        arity = old.attrs[0].arity if isinstance(old.attrs[0], Pull) else len(node.inputs)
        inputs = (*(node.inputs[k] for k in plan.inputs), *node.inputs[arity:])
    return Node(node.kind, node.op, inputs, node.axes, node.dtype, (plan.region,), node.origin)
