"""Merges equal nodes across all entries, also those that differ only in the names or the order of their axes.

Every node belongs to a class: nodes of one class are equal up to a renaming of axes, and each knows under which names it
shows the class's axes (`graph/classes.py`), so that the pass is linear in the number of nodes. A symmetric array is its own
transpose: maps take it as it lies.
"""

from __future__ import annotations

from typing import Any

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes, Face
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import AnyRegion, Kind, Node
from vspec.compiler.graph.rewrite import Sweep, with_results

DOC = "No two nodes are equal up to names of axes and turns of symmetric arrays; a second one is a rename of the first."


def run(graph: Graph) -> Graph:
    """The graph with one node per class."""
    classes = Classes()
    for node in graph.nodes:
        classes.add(node)
    b = Builder(graph.dims)
    first: dict[tuple[int, int], tuple[Node, tuple[str, ...]]] = {}
    shown: dict[tuple[int, Face], Node] = {}
    sweep = _Merging(b, classes, first, shown)
    sweep.run(graph.roots)
    return with_results(graph, b, lambda node: sweep.new[node.uid])


class _Merging(Sweep):
    """The sweep that replaces each node by the first of its class; bodies of regions are scopes of their own."""

    def __init__(
        self,
        b: Builder,
        classes: Classes,
        first: dict[tuple[int, int], tuple[Node, tuple[str, ...]]],
        shown: dict[tuple[int, Face], Node],
    ) -> None:
        super().__init__(b, self.merge)
        self.classes = classes
        self.first = first
        self.shown = shown
        self.scope = 0
        self.by_key: dict[Any, AnyRegion] = {}

    def region(self, region: AnyRegion) -> AnyRegion:
        key = self.classes.region_key(region)
        if key not in self.by_key:
            outer, self.scope = self.scope, id(region)
            self.by_key[key] = super().region(region)
            self.scope = outer
        return self.by_key[key]

    def merge(self, b: Builder, node: Node, old: Node) -> Node:
        face = self.classes.faces[old.uid]
        known = self.shown.get((self.scope, face))
        if known is not None:
            return known
        first = self.first.get((self.scope, face[0]))
        if first is not None:
            # The names of the class's axes, under which the first one shows them, become those of this node.
            to = dict(zip(first[1], face[1], strict=True))
            node = b.reindex(first[0], tuple(to[n] for n in first[0].names))
        else:
            best = self.classes.origins.get(face[0], old.origin)
            node = self.straight(b, node, old)
            if best != node.origin:
                node = Node(node.kind, node.op, node.inputs, node.axes, node.dtype, node.attrs, best)
            self.first[self.scope, face[0]] = (node, face[1])
        self.shown[self.scope, face] = node
        return node

    def straight(self, b: Builder, node: Node, old: Node) -> Node:
        """A map whose symmetric operands have their axes in the map's order, so that none is transposed for it."""
        if node.kind is not Kind.MAP:
            return node
        inputs = list(node.inputs)
        for k, was in enumerate(old.inputs):
            place = {n: j for j, n in enumerate(inputs[k].names)}
            for one, other in self.classes.exchanges(self.classes.faces[was.uid]):
                wanted = node.names.index(one) < node.names.index(other)
                if (place[one] < place[other]) != wanted:
                    inputs[k] = b.rename(inputs[k], {one: other, other: one})
        if all(x is y for x, y in zip(inputs, node.inputs, strict=True)):
            return node
        return Node(node.kind, node.op, tuple(inputs), node.axes, node.dtype, node.attrs, node.origin)
