"""Moves work to the earliest time at which its inputs are known: once per run, or once per stage, instead of once per step.

A node that depends on data and constants alone has the same value in every step. The nodes at the border between that part of
the graph and the part that reads params become results of the entry `prepare`; every other entry takes them as arguments.
What depends on params as well, but only on some that do not move while a stage runs, has the same value in every step of that
stage: it becomes a result of an entry of the kind `hold`, which only the entries of this stage read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import SIMPLE, Sizes, flops, width
from vspec.compiler.graph.graph import Entry, Graph, Result
from vspec.compiler.graph.kernel import Tree, slot, slots, substitute, walk
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.orders import longest_last, over_pairs, pairs_outside, ranked, ranks, turned
from vspec.compiler.graph.rewrite import Visit, rewrite
from vspec.compiler.graph.strategy import Choice, with_choices
from vspec.compiler.passes import intern
from vspec.compiler.passes.block import streamed

DOC = "Nothing that depends on data, constants and params that do not move alone is computed in a step."

BUILD, RUN, STEP = 0, 1, 2

# Arguments that are known before the first step; params, counters and keys are not.
EARLY = frozenset({"data", "constant", "prepared"})

# Entries that are called outside of loops.
OUTSIDE = frozenset({"outputs", "claims", "initial", "bounds", "constraints", "counts", "prepare", "hold", "solves"})

CHEAP = SIMPLE | {"x", "num", "pow", "sqrt"}

# Fewer operations than this are not worth an argument of their own.
LEAST = 64
# An array of this many bytes is cheaper to compute than to keep if it is this many times larger than its inputs, or a plain
# product or sum of what is kept already.
LARGE, GROWTH = 64e6, 8


def run(graph: Graph) -> Graph:
    """The graph with an entry `prepare`, if anything can be prepared, and with one of the kind `hold` for each set of params
    that move together, if anything can be held."""
    if not any(n.kind is Kind.INPUT and n.op == "param" for n in graph.nodes):
        return graph
    graph = _prepared(graph)
    stages: dict[frozenset[str], list[str]] = {}
    for name, m in graph.notes.get("moving", {}).items():
        stages.setdefault(m.params, []).append(name)
    for moving, names in stages.items():
        graph = _held(graph, moving, names)
    return graph


def _prepared(graph: Graph) -> Graph:
    graph = intern.run(rewrite(graph, _split(graph), bodies=False))
    times = binding_times(graph)
    # What lowering has prepared already: what batches take their share of.
    given = {r.node.uid: r for e in graph.entries if e.kind == "prepare" for r in e.results}
    chosen = _border(graph, times, given.keys())
    if not chosen:
        return graph
    names = _names(graph, chosen, {uid: str(r.path[0]) for uid, r in given.items()})
    choices: list[Choice] = []
    results = _results(graph, chosen, given.keys(), choices)
    holders = _holders(graph, chosen, results, names, "prepared")
    new = (
        Result((name,), made) for name, node, made in zip(names, chosen, results, strict=True) if node.uid not in given
    )
    prepare = Entry(
        "prepare",
        "prepare",
        (*given.values(), *new),
        doc="What depends on data and constants only, computed once per run.",
    )
    graph = graph.with_entries(tuple(e for e in graph.entries if e.kind != "prepare"))
    rest = rewrite(graph, lambda b, node, old: holders.get(old.uid, node))
    inputs = {n: x for n, x in graph.inputs.items() if x.op == "param"}
    inputs |= {holders[node.uid].attrs[0]: holders[node.uid] for node in chosen}
    inputs |= {n: x for n, x in graph.inputs.items() if x.op != "param"}
    return with_choices(replace(rest, entries=(prepare, *rest.entries), inputs=inputs), choices)


def _held(graph: Graph, moving: frozenset[str], names: Collection[str]) -> Graph:
    """The graph in which some entries take what does not change while only the params `moving` do."""
    mine = tuple(e for e in graph.entries if e.name in names and e.kind not in {*OUTSIDE, "objective"})
    part = graph.with_entries(mine)
    if not any(_early(n, moving) == RUN for n in part.nodes):
        return graph
    part = intern.run(rewrite(part, _split(part, moving), bodies=False))
    chosen = _border(part, binding_times(part, moving), ())
    if not chosen:
        return graph
    shown = _names(graph, chosen, {}, "held")
    choices: list[Choice] = []
    kept = _results(graph, chosen, (), choices)
    holders = _holders(graph, chosen, kept, shown, "held")
    about = graph.notes["moving"][mine[0].name].about
    name, k = f"{about}_hold", 2
    while any(e.name == name for e in graph.entries):
        name, k = f"{about}_hold_{k}", k + 1
    doc = f"What {', '.join(sorted(moving))} {'move' if len(moving) > 1 else 'moves'} without, computed once per stage."
    results = tuple(Result((n,), node) for n, node in zip(shown, kept, strict=True))
    new = rewrite(part, lambda b, node, old: holders.get(old.uid, node))
    hold = Entry(name, "hold", results, mine[0].of, doc)
    lighter = {e.name: e for e in new.entries}
    entries: list[Entry] = []
    for e in graph.entries:
        if e is mine[0]:
            entries.append(hold)
        entries.append(lighter.get(e.name, e))
    inputs = {n: x for n, x in graph.inputs.items() if x.op in ("param", "prepared")}
    inputs |= {h.attrs[0]: h for h in holders.values()}
    inputs |= {n: x for n, x in graph.inputs.items() if x.op not in ("param", "prepared")}
    return with_choices(replace(graph, entries=tuple(entries), inputs=inputs), choices)


def _results(graph: Graph, chosen: Sequence[Node], given: Collection[int], choices: list[Choice]) -> list[Node]:
    """What is computed before: matrices with axes in the order that the arguments of the spec have, larger arrays with the
    longest axis last where the last one is short. What the spec names keeps its own. `choices` gets a row for each that is
    turned."""
    b = Builder(graph.dims)
    place = ranks(x.axes for x in graph.inputs.values())
    sizes = Sizes.of(graph)
    results: list[Node] = []
    for node in chosen:
        axes = node.axes
        if not node.definition and node.uid not in given:
            axes = ranked(axes, place) if len(axes) < 3 else longest_last(axes, graph.dims, sizes) or axes
            axes = pairs_outside(axes, sizes) if over_pairs(axes) else axes
            choices += turned(node, axes, sizes)
        with b.at(node.origin):
            results.append(b.order(node, axes))
    return results


def _holders(
    graph: Graph, chosen: Sequence[Node], results: Sequence[Node], names: Sequence[str], role: str
) -> dict[int, Node]:
    """Arguments in the place of nodes that are computed before."""
    b = Builder(graph.dims)
    holders: dict[int, Node] = {}
    for node, result, name in zip(chosen, results, names, strict=True):
        with b.at(node.origin):
            holders[node.uid] = b.input(name, role, result.axes, node.dtype)
    return holders


def _early(node: Node, moving: frozenset[str] | None) -> int:
    """When an argument is known: of a stage in which `moving` move, all that a run knows counts as known at build."""
    if moving is None:
        return RUN if node.op in EARLY else STEP
    if node.op in EARLY:
        return BUILD
    return RUN if node.op == "param" and node.attrs[0] not in moving else STEP


def binding_times(graph: Graph, moving: frozenset[str] | None = None) -> dict[int, int]:
    """When each node's value is known: at build, at the start of a run, or in each step. With `moving`, the params that move in
    a stage: before all stages, at the start of this one, or in each step of it.

    A node that is better computed than kept counts as a step's: its inputs are what to keep.
    """
    sizes = Sizes.of(graph)
    times: dict[int, int] = {}
    # When values are known, whether or not they are kept: what sums up an array that is not may be.
    known: dict[int, int] = {}
    streams = streamed(graph)
    batches = graph.notes.get("batches", {})
    for node in graph.nodes:
        if any(a.dim in batches for a in node.axes) or (node.kind is Kind.CONST and node.attrs[0] in batches):
            # A batch is that of one step.
            known[node.uid] = times[node.uid] = STEP
            continue
        if node.kind is Kind.INPUT:
            known[node.uid] = times[node.uid] = _early(node, moving)
            continue
        time = known[node.uid] = max((known[x.uid] for x in node.inputs), default=BUILD)
        if time == RUN and node.uid in streams:
            # Loops over rows make it again: kept, it would take more than memory holds.
            time = STEP
        if time == RUN and node.kind in (Kind.MAP, Kind.REINDEX, Kind.GATHER) and not node.definition:
            count = sizes.count(node.axes)
            most = max((sizes.count(x.axes) for x in node.inputs), default=1)
            plain = node.kind is not Kind.MAP or all(t[0] in CHEAP for t in walk(node.attrs[0].tree))
            if count * width(node.dtype, graph.precision) > LARGE and (plain or count > GROWTH * most):
                time = STEP
        times[node.uid] = time
    return times


def _border(graph: Graph, times: dict[int, int], given: Collection[int]) -> list[Node]:
    """The nodes known at the start of a run that something in a step reads, worth an argument each or `given` already."""
    sizes = Sizes.of(graph)
    chosen: dict[int, Node] = {}
    work: dict[int, float] = {}
    for node in graph.nodes:
        if times[node.uid] == RUN and node.kind is not Kind.INPUT:
            own = flops(node, sizes)
            work[node.uid] = own + sum(work.get(x.uid, 0.0) for x in node.inputs)

    def consider(node: Node) -> None:
        # A rename or a broadcast is free for the reader: what is kept is what it views.
        while node.kind in (Kind.REINDEX, Kind.STOP):
            node = node.inputs[0]
        if node.kind in (Kind.INPUT, Kind.REGION) or times[node.uid] != RUN:
            return
        if work[node.uid] < LEAST and node.uid not in given:
            return
        chosen[node.uid] = node

    for node in graph.nodes:
        if times[node.uid] == STEP:
            for x in node.inputs:
                if times[x.uid] == RUN:
                    consider(x)
    for entry in graph.entries:
        if entry.kind not in OUTSIDE:
            for r in entry.results:
                if times[r.node.uid] == RUN:
                    consider(r.node)
    return sorted(chosen.values(), key=lambda n: n.uid)


def _names(graph: Graph, chosen: Sequence[Node], given: Mapping[int, str], how: str = "prepared") -> list[str]:
    taken = {*graph.inputs, *(e.name for e in graph.entries), *given.values()}
    names: list[str] = []
    for node in chosen:
        if node.uid in given:
            names.append(given[node.uid])
            continue
        # Names that the compiler made start with an underscore.
        base = node.definition.lstrip("_")
        if not base or base in taken:
            base = f"{node.origin.name.lstrip('_') or 'data'}_{how}"
        name, k = base, 2
        while name in taken:
            name, k = f"{base}_{k}", k + 1
        taken.add(name)
        names.append(name)
    return names


def _split(graph: Graph, moving: frozenset[str] | None = None) -> Visit:
    """A rewrite that takes expensive parts out of a step's kernels where they read only what is known before."""
    times = binding_times(graph, moving)

    def visit(b: Builder, node: Node, old: Node) -> Node:
        if node.kind is not Kind.MAP or times[old.uid] != STEP:
            return node
        early = {k for k, x in enumerate(old.inputs) if times[x.uid] <= RUN}
        known = {k for k, x in enumerate(old.inputs) if times[x.uid] == RUN}
        if not known:
            return node
        extra: list[Node] = []
        tree = _without(b, node, node.attrs[0].tree, early, known, extra)
        return b.map(tree, [*node.inputs, *extra], node.dtype) if extra else node

    return visit


def _without(b: Builder, node: Node, tree: Tree, early: set[int], known: set[int], extra: list[Node]) -> Tree:
    if tree[0] in ("x", "num"):
        return tree
    read = slots(tree)
    if read and read <= early and read & known and any(t[0] not in CHEAP for t in walk(tree)):
        operands = [node.inputs[k] for k in sorted(read)]
        union = {n for x in operands for n in x.names}
        if any(union <= set(x.names) for x in operands):
            local = substitute(tree, {k: slot(j) for j, k in enumerate(sorted(read))})
            extra.append(b.map(local, operands))
            return slot(len(node.inputs) + len(extra) - 1)
    return (tree[0], *(_without(b, node, c, early, known, extra) for c in tree[1:]))
