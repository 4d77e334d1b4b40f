"""The order of axes in which readers want a value: where two texts cost the same, it decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vspec.compiler.emit.layout import Layout
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.orders import longest_last, over_pairs, pairs_outside, ranked, ranks


def wanted(nodes: Sequence[Node], roots: Iterable[tuple[Node, Layout]], graph: Graph) -> dict[int, Layout]:
    """The wanted order per node, from the given orders of the roots back through maps and renames; inputs come first in
    `nodes`. A reader that mixes axes wants nothing: there the order is that of the arguments, in arrays
    over pairs with the longest axis last where the last one is short."""
    found: dict[int, Layout] = {}
    for node, layout in roots:
        found.setdefault(node.uid, layout)
    for node in reversed(nodes):
        if node.uid not in found:
            continue
        layout = found[node.uid]
        if node.kind in (Kind.MAP, Kind.STOP) or node.op == "softmax":
            for x in node.inputs:
                found.setdefault(x.uid, tuple(a for a in layout if a in x.names))
        elif node.kind is Kind.ITEM and node.inputs[0].op == "either":
            found.setdefault(node.inputs[0].uid, layout)
        elif node.kind is Kind.REINDEX and len(set(node.attrs[0])) == len(node.attrs[0]):
            (x,) = node.inputs
            back = dict(zip(node.attrs[0], x.names, strict=True))
            found.setdefault(x.uid, tuple(back[a] for a in layout if a in back))
    # What was prepared has an order of its own, which the spec does not know.
    place = ranks(n.axes for n in nodes if n.kind is Kind.INPUT and n.op not in ("prepared", "held"))
    # An array over pairs that is reduced stays as it is: a short sum over the last axis is the slowest.
    reduced = {x.uid for n in nodes if n.kind is Kind.REDUCE for x in n.inputs if len(x.axes) > 2}
    sizes = Sizes.of(graph)
    for node in nodes:
        if node.uid not in found and node.uid not in reduced and len(node.axes) > 1:
            axes = ranked(node.axes, place)
            if over_pairs(axes):
                axes = pairs_outside(axes, sizes)
            elif len(axes) > 2:
                axes = longest_last(axes, graph.dims, sizes) or axes
            found[node.uid] = tuple(a.name for a in axes)
    return found
