"""Which prepared arrays are made row by row, so that some of their rows can be made of the same rows of the data alone.

A row of such an array is what the entry `prepare` gives where data and constants have only that row: entry by entry, with no sum
over rows, no neighbour, no position among all rows and not their number. Then rows can be prepared where they are needed, to
the same bits, and the data need not be in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, topological

_POINTWISE = frozenset({Kind.INPUT, Kind.MAP, Kind.REINDEX, Kind.GATHER, Kind.WINDOW, Kind.STOP})
# What `prepare` may do along rows beside, without minding how many there are.
_ANY_SIZE = _POINTWISE | {Kind.REDUCE, Kind.CONTRACT}


def preparations(graph: Graph) -> dict[str, dict[str, Any]]:
    """Of each prepared array, `of`: the data that it is made of, and `rows`: the dims along whose axis it is made row by row."""
    results = [r for e in graph.entries if e.kind == "prepare" for r in e.results]
    everything = topological([r.node for r in results])
    found = {}
    for r in results:
        nodes = topological([r.node])
        data = sorted({str(n.attrs[0]) for n in nodes if n.kind is Kind.INPUT and n.op == "data"})
        dims = dict.fromkeys(a.dim for a in r.node.axes)
        rows = [d for d in dims if _by_rows(graph, nodes, d) and all(_any_size(n, d) for n in everything)]
        found[str(r.path[0])] = {"of": data, "rows": rows}
    return found


def _by_rows(graph: Graph, nodes: Sequence[Node], dim: str) -> bool:
    """Whether what the last of the nodes gives at a row depends on nothing of other rows."""
    for node in nodes:
        if any(isinstance(graph.dims.get(a.dim), Node) for a in node.axes):
            return False  # a size that may be made of the number of rows
        if node.kind is Kind.CONST and node.op == "size" and node.attrs[0] == dim:
            return False
        own = _count(node, dim)
        if not own and not any(_count(x, dim) for x in node.inputs):
            continue
        if own != 1 or node.kind not in _POINTWISE or not _any_size(node, dim):
            return False
        if node.kind is Kind.REINDEX and not _count(node.inputs[0], dim):
            return False  # the same in every row, of which it takes their number to make it
    return True


def _any_size(node: Node, dim: str) -> bool:
    """Whether a node can be computed whatever number of rows there is."""
    if not any(_count(x, dim) for x in (node, *node.inputs)):
        return True
    if node.kind is Kind.GATHER:
        array, _ = node.inputs
        return all(a.dim != dim for a in array.axes if a.name == node.attrs[0])
    if node.kind is Kind.WINDOW:
        return node.inputs[0].axis(node.attrs[0]).dim != dim
    return node.kind in _ANY_SIZE


def _count(node: Node, dim: str) -> int:
    return sum(a.dim == dim for a in node.axes)
