"""Rewriting of graphs: one bottom-up sweep, linear in the number of nodes and without recursion, bodies of regions included.

A rewrite looks at one node whose inputs are already rewritten and answers with a node of the same value: the same axis names
(in any order) and dtype. The sweep takes care of the rest: readers see the new node, entries keep the order of their axes,
regions that several nodes share stay shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from vspec.compiler.graph.builder import Builder, Rule
from vspec.compiler.graph.graph import Graph, Result
from vspec.compiler.graph.node import AnyRegion, Kind, Node, Pull, Region, innermost, topological

Visit = Callable[[Builder, Node, Node], Node]
"""(builder, the node with rewritten inputs, the node as it was) → its replacement."""

Make = Callable[[Builder, Node, Node, Sequence[Node]], Node]
"""The same, of what another node has become as well."""


def with_inputs(b: Builder, node: Node, inputs: Sequence[Node]) -> Node:
    """The node reading other inputs, whose axes may stand in another order."""
    # Nodes are equal if they are the same one.
    inputs = tuple(inputs)
    if inputs == node.inputs:
        return node
    attrs = node.attrs
    if node.kind is Kind.REINDEX:
        (x,), (old,) = inputs, node.inputs
        to = dict(zip(old.names, attrs[0], strict=True))
        attrs = (tuple(to[n] for n in x.names),)
    elif node.kind is Kind.REGION:
        # A loop takes its operands by position: their axes stay as they were.
        inputs = tuple(b.order(x, old.axes) for x, old in zip(inputs, node.inputs, strict=True))
    return Node(node.kind, node.op, inputs, node.axes, node.dtype, attrs, node.origin)


class Sweep:
    """One pass over a graph. `new` maps the uid of every node seen to its replacement."""

    def __init__(self, b: Builder, visit: Visit, bodies: bool = True) -> None:
        self.b = b
        self.visit = visit
        self.bodies = bodies
        self.new: dict[int, Node] = {}
        self.regions: dict[int, AnyRegion] = {}

    def run(self, roots: Iterable[Node]) -> None:
        """Rewrites everything below the roots."""
        for node in topological(roots):
            if node.uid not in self.new:
                self.new[node.uid] = self.one(node)

    def one(self, node: Node) -> Node:
        """The replacement of a node whose inputs are done."""
        candidate = with_inputs(self.b, node, [self.new[x.uid] for x in node.inputs])
        if node.kind is Kind.REGION and self.bodies:
            region = self.region(node.attrs[0])
            if region is not node.attrs[0]:
                candidate = replace_attrs(candidate, (region,))
        b = self.b
        # Thousands of nodes are rewritten in a build: no context is made for each.
        before, b.origin = b.origin, node.origin
        try:
            found = self.visit(b, candidate, node)
            if found is not candidate and found.names != node.names and set(found.names) != set(node.names):
                found = b.order(found, node.axes)
        finally:
            b.origin = before
        return found

    def region(self, region: AnyRegion) -> AnyRegion:
        """A region with its body rewritten; the same object for the same region."""
        done = self.regions.get(id(region))
        if done is not None:
            return done
        if isinstance(region, Pull):
            inner = self.region(region.inner)
            made: AnyRegion = region if inner is region.inner else replace(region, inner=inner)
        else:
            self.new.update((n.uid, n) for n in region.arguments)
            self.run(region.roots)
            body = tuple(self.new[n.uid] for n in region.body)
            made = region if all(x is y for x, y in zip(body, region.body)) else replace(region, body=body)
            if isinstance(made, Region) and made.until is not None and self.new[made.until.uid] is not made.until:
                made = replace(made, until=self.new[made.until.uid])
            if isinstance(made, Region) and made.products is not None:
                made = replace(made, products=made.products.with_roots(lambda n: self.new[n.uid]))
        self.regions[id(region)] = made
        return made


def replace_attrs(node: Node, attrs: tuple[object, ...]) -> Node:
    """The node with other attributes."""
    return Node(node.kind, node.op, node.inputs, node.axes, node.dtype, attrs, node.origin)


def rewrite(graph: Graph, visit: Visit, bodies: bool = True) -> Graph:
    """The graph with every node replaced by what `visit` makes of it."""
    b = Builder(graph.dims)
    sweep = Sweep(b, visit, bodies)
    sweep.run(graph.roots)
    return with_results(graph, b, lambda node: sweep.new[node.uid])


def of_others(graph: Graph, others: Mapping[int, Sequence[Node]], make: Make) -> Graph:
    """The graph in which some nodes, by uid, are made anew of others, which do not depend on them but may come after them.

    `make` gets a node with its new inputs, the old node, and what the others have become.
    """
    b = Builder(graph.dims)

    def visit(b: Builder, node: Node, old: Node) -> Node:
        found = others.get(old.uid)
        if found is None:
            return node
        sweep.run(found)
        return make(b, node, old, [sweep.new[x.uid] for x in found])

    sweep = Sweep(b, visit)
    sweep.run(graph.roots)
    return with_results(graph, b, lambda node: sweep.new[node.uid])


def with_results(graph: Graph, b: Builder, new: Callable[[Node], Node]) -> Graph:
    """The graph whose results are the `new` nodes of the old ones, with their axes in the old order; the graph itself where
    all of them are what they were."""
    ordered: dict[int, Node] = {}

    def result(node: Node) -> Node:
        if node.uid not in ordered:
            with b.at(node.origin):
                ordered[node.uid] = b.order(new(node), node.axes)
        return ordered[node.uid]

    if all(result(node) is node for node in graph.roots):
        return graph
    entries = tuple(replace(e, results=tuple(Result(r.path, result(r.node)) for r in e.results)) for e in graph.entries)
    return graph.with_entries(entries)


def apply_rules(graph: Graph, rules: Sequence[Rule], limit: int = 20) -> Graph:
    """Tries the rules on every node, again on what they answer, until none has anything to say."""

    def visit(b: Builder, node: Node, old: Node) -> Node:
        for _ in range(limit):
            better = next((n for rule in rules if (n := rule(b, node)) is not None), None)
            if better is None:
                break
            node = better
        return node

    return rewrite(graph, visit)


def all_nodes(graph: Graph) -> list[Node]:
    """The nodes of the graph and of the bodies of its regions, inputs before readers within each."""
    found = list(graph.nodes)
    seen: set[int] = set()
    for node in found:
        if node.kind is Kind.REGION:
            region = innermost(node.attrs[0])
            if id(region) not in seen:
                seen.add(id(region))
                # Bodies may hold regions of their own: the list grows while it is read.
                found.extend(topological(region.roots))
    return found


def count_readers(graph: Graph) -> dict[int, int]:
    """How often each node is read: by operands, by results of entries and of bodies."""
    count: dict[int, int] = {}
    seen: set[int] = set()
    roots = {n.uid: n for n in graph.roots}
    for uid in roots:
        count[uid] = 1
    for node in all_nodes(graph):
        if node.uid in seen:
            continue
        seen.add(node.uid)
        for x in {x.uid for x in node.inputs}:
            count[x] = count.get(x, 0) + 1
        if node.kind is Kind.REGION:
            for x in {x.uid for x in innermost(node.attrs[0]).roots}:
                count[x] = count.get(x, 0) + 1
    return count
