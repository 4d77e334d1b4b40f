"""What alone reads a choice between two ways, point by point, is computed within each of them.

XLA makes one loop of what stands in a way, and none across its end: the exponential of a distance outside of the choice of how
distances are computed is one more array of all pairs that is written and read.
"""

from __future__ import annotations

from dataclasses import replace

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import BORDER
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Either, Kind, Node
from vspec.compiler.graph.rewrite import Sweep, count_readers, with_results


def moved(graph: Graph) -> Graph:
    """The graph with maps moved into the choices whose only readers they are."""
    b = Builder(graph.dims)
    sweep = _Moving(b, graph)
    sweep.run(graph.roots)
    return with_results(graph, b, lambda node: sweep.new[node.uid])


class _Moving(Sweep):
    """The sweep that knows how often nodes are read."""

    def __init__(self, b: Builder, graph: Graph) -> None:
        super().__init__(b, self.map)
        self.readers = count_readers(graph)
        self.reads: dict[int, int] = {}

    def map(self, b: Builder, node: Node, old: Node) -> Node:
        """The node, or the result of a choice that computes it."""
        found = node
        if node.kind is Kind.MAP and node.attrs[0].tree[0] not in BORDER:
            found = next((m for x in node.inputs if (m := self.inside(b, node, x)) is not None), node)
        self.reads[found.uid] = self.readers.get(old.uid, 0)
        return found

    def inside(self, b: Builder, node: Node, x: Node) -> Node | None:
        """A map of x made in both ways of the choice that x is; None if x is none, or others read it, too."""
        item, shown = unrenamed(x)
        if item.kind is not Kind.ITEM or set(x.names) != set(node.names) or set(shown) != set(item.names):
            return None
        choice = item.inputs[0]
        region = choice.attrs[0] if choice.kind is Kind.REGION else None
        if not isinstance(region, Either) or len(region.body) < 2 or not self.single(x):
            return None
        known = dict(zip((i.uid for i in choice.inputs[1:]), region.captured, strict=True))
        operands, captured = list(choice.inputs), list(region.captured)
        arguments: list[Node] = []
        for i in node.inputs:
            below, names = unrenamed(i)
            if i is x or below.kind in (Kind.CONST, Kind.INDEX):
                arguments.append(i)
                continue
            if below.uid not in known:
                known[below.uid] = b.input(below.origin.name or "part", "captured", below.axes, below.dtype)
                operands.append(below)
                captured.append(known[below.uid])
            arguments.append(b.rename(known[below.uid], names))
        body = []
        for way in region.body:
            here = b.rename(way, shown)
            body.append(
                b.order(b.map(node.attrs[0].tree, [here if i is x else i for i in arguments], node.dtype), node.axes)
            )
        made = replace(region, captured=tuple(captured), body=tuple(body))
        return b.item(b.region("either", made, operands), 0, node.axes, node.dtype)

    def single(self, x: Node) -> bool:
        """Whether a choice, its result and the renames of it have one reader each."""
        while x.kind in (Kind.REINDEX, Kind.ITEM):
            if self.reads.get(x.uid, 0) > 1:
                return False
            x = x.inputs[0]
        return self.reads.get(x.uid, 0) <= 1


__all__ = ["moved"]
