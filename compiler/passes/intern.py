"""Merges equal nodes across all entries, also those that differ only in the names or the order of their axes.

Every node belongs to a class: nodes of one class are equal up to a renaming of axes, and each knows under which names it
shows the class's axes (`graph/classes.py`), so that the pass is linear in the number of nodes. A symmetric array is its own
transpose: maps take it as it lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes, Face, body_of
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import AnyRegion, Kind, Node, Origin, innermost
from vspec.compiler.graph.rewrite import Sweep, with_results

DOC = "No two nodes are equal up to names of axes and turns of symmetric arrays; a second one is a rename of the first."


def settled(graph: Graph) -> Graph:
    """The graph with one node per class, once no pass looks for products with an array any more: those with a symmetric one take
    it in the order that needs no transpose."""
    return run(graph, True)


def run(graph: Graph, settles: bool = False) -> Graph:
    """The graph with one node per class."""
    classes = graph.classes.all(graph.nodes)
    b = Builder(graph.dims)
    sweep = _Merging(b, classes, _origins(graph, classes), settles)
    sweep.run(graph.roots)
    return with_results(graph, b, lambda node: sweep.new[node.uid])


def _origins(graph: Graph, classes: Classes) -> dict[int, Origin]:
    """The most telling origin of each class of a graph, bodies of regions included: of several the first one."""
    found: dict[int, Origin] = {}
    rank: dict[int, int] = {}
    seen: set[int] = set()

    def look(nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node.kind is Kind.REGION:
                region = innermost(node.attrs[0])
                if id(region) not in seen:
                    seen.add(id(region))
                    look(body_of(region))
            kind = classes.faces[node.uid][0]
            origin = node.origin
            # A definition's own name tells most, then a place in the spec.
            own = (2 if origin.name and origin.role == "value" else 0) + (1 if origin.line else 0)
            if own > rank.get(kind, -1):
                found[kind], rank[kind] = origin, own

    look(graph.nodes)
    return found


class _Merging(Sweep):
    """The sweep that replaces each node by the first of its class; bodies of regions are scopes of their own."""

    def __init__(self, b: Builder, classes: Classes, origins: Mapping[int, Origin], settles: bool) -> None:
        super().__init__(b, self.merge)
        self.classes = classes
        self.origins = origins
        self.settles = settles
        self.sizes = Sizes(b.dims)
        # By scope and class the first node, with its names for the axes of the class; by scope and face the node that shows it.
        self.first: dict[tuple[int, int], tuple[Node, tuple[str, ...]]] = {}
        self.shown: dict[tuple[int, Face], Node] = {}
        self.scope = 0
        self.by_key: dict[Any, AnyRegion] = {}

    def region(self, region: AnyRegion) -> AnyRegion:
        key = self.classes.region_key(region)
        if key not in self.by_key:
            outer, self.scope = self.scope, id(region)
            made = self.by_key[key] = super().region(region)
            self.classes.alike(region, made)
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
            best = self.origins.get(face[0], old.origin)
            node = self.straight(b, node, old)
            if best != node.origin:
                node = Node(node.kind, node.op, node.inputs, node.axes, node.dtype, node.attrs, best)
            self.first[self.scope, face[0]] = (node, face[1])
        self.shown[self.scope, face] = node
        # What is the same under the same names needs no second look.
        self.classes.faces[node.uid] = face
        return node

    def straight(self, b: Builder, node: Node, old: Node) -> Node:
        """A map whose symmetric operands have their axes in the map's order, or a contraction whose symmetric operand has
        them as the other one meets it, so that none is transposed for it."""
        pair = self.settles and node.kind is Kind.CONTRACT and len(node.inputs) == 2
        if node.kind is not Kind.MAP and not pair:
            return node
        inputs = list(node.inputs)
        for k, was in enumerate(old.inputs):
            swaps = self.classes.exchanges(self.classes.faces[was.uid])
            place = {n: j for j, n in enumerate(inputs[k].names)} if swaps else {}
            for one, other in swaps:
                if pair:
                    # Beside what is as large, a transpose is nothing.
                    small = self.sizes.count(inputs[1 - k].axes) < self.sizes.count(inputs[k].axes)
                    wanted = _rows_first(node, inputs[1 - k], one, other) if small else None
                else:
                    wanted = _before(node.names, one, other)
                if wanted is not None and (place[one] < place[other]) != wanted:
                    inputs[k] = b.rename(inputs[k], {one: other, other: one})
        if all(x is y for x, y in zip(inputs, node.inputs, strict=True)):
            return node
        return Node(node.kind, node.op, tuple(inputs), node.axes, node.dtype, node.attrs, node.origin)


def _before(names: Sequence[str], one: str, other: str) -> bool:
    return names.index(one) < names.index(other)


def _rows_first(node: Node, x: Node, one: str, other: str) -> bool | None:
    """Whether `one` is to come before `other` in what is symmetric in them and meets x in a contraction: x[m, q], summed over
    its rows, is on the right of a[n, m] as both lie, and x[q, m] on the left of a[m, n]. None where it does not matter, and where
    x has more axes: it is no matrix then."""
    if len(x.axes) != 2:
        return None
    summed = [n for n in (one, other) if n not in node.names]
    if len(summed) != 1 or summed[0] not in x.names or not {one, other} - {summed[0]} <= set(node.names) - set(x.names):
        return None
    return (summed[0] == other) == (x.names[0] == summed[0])
