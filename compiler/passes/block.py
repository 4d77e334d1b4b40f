"""Reductions over arrays that are too large to be held become loops over some of their rows at a time.

What a loop computes and along which axis is found in `streams.py`. Results that keep the axis of rows are put one after the
other; others are joined by an online rule: sums add, maxima and logarithms of sums of exponentials combine, sums with weights
that such a logarithm normalises are rescaled. Nothing large is kept: sums of a derivative that read the same array share its
loop, or compute it again in one of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes, block_bytes, entry_cost, flops, row_bytes, width
from vspec.compiler.graph.graph import Graph, Result
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import AnyRegion, Axis, Blocks, Kind, Node, Pull, Region, topological
from vspec.compiler.graph.rewrite import all_nodes, replace_attrs, with_inputs
from vspec.compiler.graph.short import never_made
from vspec.compiler.graph.strategy import Candidate, Choice, with_choices
from vspec.compiler.graph.tuning import Tuning, rows_at_once, tuning_of
from vspec.compiler.passes.recompute import AGAIN
from vspec.compiler.passes.streams import Group, Sink, Streams, operands, told

# Entries that are called once: what they need whole need not be there in a step.
ONCE = frozenset({"outputs", "claims", "initial", "bounds", "prepare", "hold", "counts", "solves"})

DOC = "No array above the memory budget is made if only reductions read it; these take it some rows at a time."


def run(graph: Graph) -> Graph:
    """The graph with loops over rows, of each entry for itself: what one reads decides what its loops compute."""
    b = Builder(graph.dims)
    asked = told(all_nodes(graph))
    blocking = _Blocking(b, Sizes(graph.dims), graph.precision, tuning_of(graph.notes), asked)
    entries = []
    for entry in graph.entries:
        new = blocking.scope(r.node for r in entry.results)
        results = []
        for r in entry.results:
            with b.at(r.node.origin):
                results.append(Result(r.path, b.order(new[r.node.uid], r.node.axes)))
        entries.append(replace(entry, results=tuple(results)))
    if not blocking.made:
        return graph
    return with_choices(graph.with_entries(tuple(entries)), blocking.choices.values())


def streamed(graph: Graph) -> frozenset[int]:
    """The large nodes of a graph, by uid, that only loops over rows read and that are not worth keeping for a run: those that
    are too large for certain, and of those whose sizes are open what costs little to make again."""
    budget, sizes = tuning_of(graph.notes), Sizes(graph.dims)
    found: set[int] = set()
    whole: set[int] = set()
    asked = told(all_nodes(graph))
    work: dict[int, float] = {}
    static: dict[int, bool] = {}
    for entry in graph.entries:
        if entry.kind in ONCE:
            continue
        streams = Streams([r.node for r in entry.results], sizes, graph.precision, budget, asked)
        groups = streams.groups()
        inner = {n.uid for g in groups for n in g.inner.values()}
        sinks = {s.node.uid for g in groups for s in g.sinks}
        for n in streams.nodes:
            if n.kind is Kind.INPUT:
                static[n.uid] = n.op in ("data", "constant", "prepared", "held")
                continue
            static[n.uid] = n.kind is not Kind.RANDOM and all(static[x.uid] for x in n.inputs)
            if n.uid in inner and streams.large(n):
                work[n.uid] = flops(n, sizes) + sum(work.get(x.uid, 0.0) for x in n.inputs)
                if work[n.uid] <= AGAIN * sizes.count(n.axes) or streams.closed(n) or n.uid in streams.told:
                    found.add(n.uid)
                elif static[n.uid]:
                    whole |= {x.uid for x in topological([n])}
        whole |= {r.node.uid for r in entry.results}
        whole |= {x.uid for n in streams.nodes if n.uid not in inner | sinks for x in n.inputs}
    return frozenset(found - whole)


@dataclass(slots=True)
class _Made:
    """The loop of a group: its node, and the results of each sink by uid."""

    region: Node
    items: dict[int, int] = field(default_factory=dict)


class _Blocking:
    """The rewriting of scopes: the entries together, then each body."""

    def __init__(self, b: Builder, sizes: Sizes, precision: str, budget: Tuning, asked: Mapping[int, int]) -> None:
        self.b = b
        self.sizes = sizes
        self.precision = precision
        self.budget = budget
        self.asked = asked
        self.regions: dict[int, AnyRegion] = {}
        self.made = 0
        self.choices: dict[tuple[str, int, str], Choice] = {}

    def scope(self, roots: Iterable[Node], sizes: Sizes | None = None) -> dict[int, Node]:
        """The new nodes of a scope by the uid of the old ones."""
        sizes = sizes or self.sizes
        roots = list(roots)
        streams = Streams(roots, sizes, self.precision, self.budget, self.asked)
        home = {s.node.uid: g for g in streams.groups() for s in g.sinks}
        loops: dict[int, _Made] = {}
        new: dict[int, Node] = {}
        stack = list(roots)
        while stack:
            node = stack[-1]
            if node.uid in new:
                stack.pop()
                continue
            group = home.get(node.uid)
            waiting = [x for x in (group.leaves.values() if group else node.inputs) if x.uid not in new]
            if waiting:
                stack.extend(waiting)
                continue
            if group is None:
                new[node.uid] = self.plain(node, [new[x.uid] for x in node.inputs])
                continue
            if id(group) not in loops:
                loops[id(group)] = self.loop(group, new, sizes)
            made = loops[id(group)]
            with self.b.at(node.origin):
                new[node.uid] = self.b.item(made.region, made.items[node.uid], node.axes, node.dtype)
        return new

    def plain(self, node: Node, inputs: Sequence[Node]) -> Node:
        """A node as it was; a region with its body rewritten."""
        found = with_inputs(self.b, node, inputs)
        if node.kind is Kind.REGION:
            region = self.region(node.attrs[0])
            if region is not node.attrs[0]:
                found = replace_attrs(found, (region,))
        return found

    def region(self, region: AnyRegion) -> AnyRegion:
        """A region with loops over rows in its body; the same object for the same region."""
        done = self.regions.get(id(region))
        if done is not None:
            return done
        made: AnyRegion = region
        if isinstance(region, Pull):
            inner = self.region(region.inner)
            made = region if inner is region.inner else replace(region, inner=inner)
        elif not isinstance(region, Blocks):
            products = region.products if isinstance(region, Region) else None
            steps = region.roots
            if isinstance(region, Region) and products is not None:
                # A step by products is no reduction of what is large: it reads kernels that there is memory for.
                steps = (*region.steps, *products.terms)
            new = self.scope(steps)
            if any(new[n.uid] is not n for n in steps):
                made = replace(region, body=tuple(new[n.uid] for n in region.body))
                if isinstance(made, Region) and made.until is not None:
                    made = replace(made, until=new[made.until.uid])
                if isinstance(made, Region) and products is not None:
                    terms = tuple(new[n.uid] for n in products.terms)
                    made = replace(made, products=replace(products, terms=terms))
        self.regions[id(region)] = made
        return made

    # --- loops --------------------------------------------------------------------------------------------------------

    def loop(self, group: Group, new: dict[int, Node], sizes: Sizes) -> _Made:
        """The REGION node of a group whose leaves are done."""
        self.made += 1
        first = group.sinks[0]
        whole = next(a for x in first.node.inputs for a in x.axes if a.name == group.axes[0])
        with self.b.at(first.node.origin):
            body = _Body(self.b, group, whole.dim, f"{whole.dim}@{self.made}")
            results, joins, items = body.results()
            part = sizes.having(body.part, 1)
            # Of one row where rows are large themselves; several at once fit as they are.
            row = self.row(results, body, part, sizes)
            nested = self.scope(results, part)
            results = [nested[n.uid] for n in results]
            memory, chunk = self.budget.memory or 0, self.budget.chunk
            region = Blocks(
                first.node.origin.name,
                Axis(whole.name, body.part),
                whole.dim,
                body.first,
                tuple(body.arguments.values()),
                tuple(body.cut),
                tuple(results),
                tuple(joins),
                row,
                memory,
                min(chunk, memory),
                first.rows,
            )
            self.chose(group, region, sizes)
            operands_ = [new[uid] for uid, _ in body.arguments]
            return _Made(self.b.region("blocks", region, operands_), items)

    def chose(self, group: Group, region: Blocks, sizes: Sizes) -> None:
        """Notes for the table of strategies that a loop was chosen; once for what several entries compute."""
        names = sorted({s.node.origin.name for s in group.sinks if s.node.origin.name})
        origin = group.sinks[0].node.origin
        what = ", ".join(names)
        chosen = f"rows of {region.dim}"
        size, row = sizes.dim(region.dim), row_bytes(region, sizes)
        if region.rows is not None:
            because = f"asked for, {region.rows} at a time"
        elif all(isinstance(sizes.dims.get(d), int) for d in (region.dim, *region.row[1])):
            count = rows_at_once(size, row, region.memory, region.chunk)
            because = f"does not fit into {region.memory / 1e6:g} MB, {count} at a time"
        else:
            because = f"where sizes do not fit into {region.memory / 1e6:g} MB"
        nodes = {n.uid: n for n in (*group.inner.values(), *(s.node for s in group.sinks))}
        plain = sum(flops(n, sizes) for n in nodes.values())
        among = (Candidate(chosen, group.work, block_bytes(region, sizes)), Candidate("whole", plain, size * row))
        key = (what, origin.line, chosen)
        self.choices.setdefault(key, Choice("reduction", what, origin.line, chosen, among, because, origin.file))

    def row(self, results: Sequence[Node], body: _Body, part: Sizes, sizes: Sizes) -> tuple[int, tuple[str, ...]]:
        """What one row takes, as a number of bytes times sizes: the dims of the largest array, as often as arrays are alive."""
        order = topological(results)
        unmade = never_made(order, results, sizes.dims)
        nodes = [
            n
            for n in order
            if any(a.dim == body.part for a in n.axes) and n.kind is not Kind.INPUT and n.uid not in unmade
        ]
        largest = max(nodes, key=lambda n: (sizes.count(a for a in n.axes if a.dim != body.part), -n.uid))
        dims = tuple(sorted(a.dim for a in largest.axes if a.dim != body.part))
        each = sizes.count(a for a in largest.axes if a.dim != body.part) * width("real", self.precision)
        peak = entry_cost(results, part, self.precision, unmade).peak
        return width("real", self.precision) * max(1, min(8, ceil(peak / each))), dims


class _Body:
    """The sub-graph of a group: nodes by row are made again over the axis of a part, leaves become arguments."""

    def __init__(self, b: Builder, group: Group, dim: str, part: str) -> None:
        self.b = b
        self.group = group
        self.dim, self.part = dim, part
        self.first = b.input("first", "first", (), "integer")
        self.arguments: dict[tuple[int, str | None], Node] = {}
        self.cut: list[int | None] = []
        self.totals: dict[int, Node] = {}
        self._known: dict[tuple[int, str | None], Node] = {}

    def results(self) -> tuple[list[Node], list[str], dict[int, int]]:
        """The results of the body, how each is joined, and the position of that of each sink."""
        nodes: list[Node] = []
        joins: list[str] = []
        items: dict[int, int] = {}
        order = sorted(zip(self.group.sinks, self.group.axes, strict=True), key=lambda x: x[0].node.uid)
        for sink, axis in order:
            node = sink.node
            with self.b.at(node.origin):
                found = self.total(sink, axis)
            items[node.uid] = len(nodes)
            nodes.append(found)
            if sink.kept(axis):
                joins.append("stack")
            elif node.uid in self.group.weighted:
                joins.append("weighted")
                nodes.append(self.totals[self.group.weighted[node.uid]])
                joins.append("logsumexp")
            else:
                joins.append("sum" if node.kind is Kind.CONTRACT else node.op)
                if node.op in ("argmax", "argmin"):
                    nodes.append(self.best(node, axis))
                    joins.append("best")
        return nodes, joins, items

    def total(self, sink: Sink, axis: str) -> Node:
        """A sink's value for the rows at hand."""
        node = sink.node
        if sink.kept(axis):
            return self.at(node, axis)
        inputs = [self.at(x, axis if axis in x.names else None) for x in node.inputs]
        found = with_inputs(self.b, node, inputs)
        if node.kind is Kind.REDUCE:
            # Of what is asked for, the loop is all there is to do.
            found = replace_attrs(found, node.attrs[:1])
        if node.op in ("argmax", "argmin") and node.kind is Kind.REDUCE:
            # Positions count from the first row of all.
            return self.b.map(("add", slot(0), slot(1)), [found, self.first], "integer")
        self.totals[node.uid] = found
        return found

    def best(self, node: Node, axis: str) -> Node:
        """The element that an argmax or argmin finds."""
        x = self.at(node.inputs[0], axis)
        return self.b.reduce("max" if node.op == "argmax" else "min", x, node.attrs[0])

    def at(self, node: Node, axis: str | None) -> Node:
        """A node's value for the rows at hand, or its whole value."""
        stack: list[tuple[Node, str | None]] = [(node, axis)]
        while stack:
            x, a = stack[-1]
            if (x.uid, a) in self._known:
                stack.pop()
                continue
            if a is None and x.uid in self.totals:
                self._known[x.uid, a] = self.totals[x.uid]
            elif a is not None and (x.uid, a) in self.group.inner:
                below = operands(x, a) or []
                waiting = [k for k in below if (k[0].uid, k[1]) not in self._known]
                if waiting:
                    stack.extend(waiting)
                    continue
                self._known[x.uid, a] = self.again(x, a, [self._known[y.uid, c] for y, c in below])
            else:
                self._known[x.uid, a] = self.leaf(x, a)
        return self._known[node.uid, axis]

    def again(self, x: Node, axis: str, inputs: Sequence[Node]) -> Node:
        """A node over the rows at hand, from its operands there."""
        axes = tuple(Axis(a.name, self.part) if a.name == axis else a for a in x.axes)
        if x.kind is Kind.INDEX:
            own = self.b.index(Axis(axis, self.part))
            place = self.b.map(("add", slot(0), slot(1)), [own, self.first], "integer")
            if x.op == "value":
                return place
            (other,) = (a for a in x.axes if a.name != axis)
            return self.b.map(("real", ("eq", slot(0), slot(1))), [place, self.b.index(other)], "real")
        found = with_inputs(self.b, x, inputs)
        return Node(found.kind, found.op, found.inputs, axes, found.dtype, found.attrs, x.origin)

    def leaf(self, x: Node, axis: str | None) -> Node:
        """An argument for a leaf; constants are written where they are read."""
        if axis is None and x.kind in (Kind.CONST, Kind.INDEX):
            return x
        axes = tuple(Axis(a.name, self.part) if a.name == axis else a for a in x.axes)
        found = self.b.input(x.attrs[0] if x.kind is Kind.INPUT else x.origin.name, "captured", axes, x.dtype)
        self.arguments[x.uid, axis] = found
        self.cut.append(None if axis is None else x.names.index(axis))
        return found
