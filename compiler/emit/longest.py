"""Which arrays have their longest axis last: those that are computed element by element and then reduced.

Loops over elements run along the last axis. Where that is short, such as the ten classes of five thousand examples, most of the
machine's vector stays empty and each reduction starts anew after ten elements; along the examples it is several times faster.
That ends where rows are so wide that XLA sums them up slowly (`orders.WIDE`): of a hundred thousand examples, classes stay last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vspec.compiler.emit.ends import at_ends
from vspec.compiler.emit.layout import Layout
from vspec.compiler.graph import orders
from vspec.compiler.graph.cost import Sizes, row_bytes, width
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Blocks, Kind, Node
from vspec.compiler.graph.short import short_sum
from vspec.compiler.graph.strategy import Choice


def chosen_orders(nodes: Sequence[Node], graph: Graph, choices: list[Choice]) -> dict[int, Layout]:
    """The order of axes by node where it is another one than elsewhere, for the sake of products or of loops along the last axis.
    `choices` gets a row for each array that is turned."""
    return at_ends(nodes, choices) | longest_last(nodes, graph, choices)


def longest_last(nodes: Sequence[Node], graph: Graph, choices: list[Choice]) -> dict[int, Layout]:
    """The order of axes by node, for nodes whose last axis is short and that nothing ties to the order they have.

    An argument, a product of matrices or a region has its own order, and so has what reads a whole one: turning it around
    would cost what is gained. `choices` gets a row for each array that is turned.
    """
    sizes = Sizes.of(graph)
    free = _free(nodes, graph)
    found: dict[int, Layout] = {}
    for n in reversed(nodes):
        reads = n.kind is Kind.REDUCE or n.op == "softmax"
        if reads and _turns(n.inputs[0], free):
            most = orders.WIDE // width(n.inputs[0].dtype, graph.precision)
            axes = orders.longest_last(n.inputs[0].axes, graph.dims, sizes, most)
            if axes is not None:
                choices += orders.turned(n.inputs[0], axes, sizes) if n.inputs[0].uid not in found else []
                _spread(n.inputs[0], tuple(a.name for a in axes), found)
    return found


def stretch_last(nodes: Sequence[Node], region: Blocks, graph: Graph) -> dict[int, Layout]:
    """The order of axes by node in a stretch of rows, for arrays that are computed element by element and then reduced over these
    rows: most stretches have few rows, and sums of a few long rows, one above the other, are slow (`orders.WIDE`)."""
    sizes = Sizes.of(graph)
    # Where rows are taken in parts: all of them at once make no stretch.
    most = region.rows or min(max(1, region.chunk // max(1, row_bytes(region, sizes))), sizes.dim(region.dim))
    dim = region.axis.dim
    free = _free(nodes, graph)
    found: dict[int, Layout] = {}
    for n in reversed(nodes):
        if n.kind is not Kind.REDUCE or not _turns(n.inputs[0], free):
            continue
        (x,) = n.inputs
        rows = [a.name for a in x.axes if a.dim == dim]
        few = most * width(x.dtype, graph.precision) <= orders.WIDE
        if few and len(rows) == 1 and len(x.axes) > 1 and rows[0] not in n.names:
            _spread(x, (*(a for a in x.names if a != rows[0]), rows[0]), found)
    return found


def made_along(nodes: Sequence[Node], layout: Layout, graph: Graph) -> dict[int, Layout]:
    """The order of axes by node for what the last node, whose axes are to have this order, is made of element by element; empty
    if something ties that to an order of its own."""
    free = _free(nodes, graph)
    found: dict[int, Layout] = {}
    if free[nodes[-1].uid]:
        _spread(nodes[-1], layout, found)
    return found


def _free(nodes: Sequence[Node], graph: Graph) -> dict[int, bool]:
    """By node, inputs first, whether it may have its axes in any order at no cost."""
    free: dict[int, bool] = {}
    for n in nodes:
        free[n.uid] = _is_free(n, free, graph.dims)
    return free


def _turns(node: Node, free: Mapping[int, bool]) -> bool:
    """Whether an array that is reduced is computed element by element, in whatever order is asked for."""
    return node.kind in (Kind.MAP, Kind.ITEM) and free[node.uid]


def _is_free(node: Node, free: Mapping[int, bool], dims: Mapping[str, int | Node | None]) -> bool:
    """Whether a node may have its axes in any order at no cost."""
    if node.kind is Kind.MAP:
        return all(len(x.axes) < len(node.axes) or free[x.uid] for x in node.inputs)
    if node.kind is Kind.REDUCE:
        return short_sum(node, dims, True) is not None
    if node.kind is Kind.ITEM:
        # Both ways to compute it are written for the order that is asked for.
        return node.inputs[0].op == "either"
    if node.kind is Kind.CUMULATE and node.op == "softmax":
        return free[node.inputs[0].uid]
    return node.kind is Kind.REINDEX and len(set(node.attrs[0])) == len(node.attrs[0]) and free[node.inputs[0].uid]


def _spread(node: Node, layout: Layout, found: dict[int, Layout]) -> None:
    """Gives the order to a node and to all that it is made of element by element."""
    stack = [(node, layout)]
    while stack:
        n, order = stack.pop()
        if n.uid in found:
            continue
        found[n.uid] = order
        if n.kind is Kind.MAP:
            stack += [(x, tuple(a for a in order if a in x.names)) for x in n.inputs if len(x.axes) == len(n.axes)]
        elif n.kind is Kind.ITEM:
            found[n.inputs[0].uid] = order
        elif n.kind is Kind.CUMULATE:
            stack.append((n.inputs[0], order))
        elif n.kind is Kind.REINDEX:
            back = dict(zip(n.attrs[0], n.inputs[0].names, strict=True))
            stack.append((n.inputs[0], tuple(back[a] for a in order if a in back)))
