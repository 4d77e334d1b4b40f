"""Sums over two axes of one dim, or over one of them: which there are, and how they say that they are evaluated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vspec.compiler.graph.builder import union_axes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes import distances

# The word by which a sum asks for each pair once.
ASKED = "pairs"


@dataclass(frozen=True, slots=True)
class Sink:
    """A sum over `v`, and over `u` as well if it is among `over`, of a product of factors, one of which at least has both
    axes."""

    node: Node
    factors: tuple[Node, ...]
    over: tuple[str, ...]
    u: Axis
    v: Axis

    @property
    def both(self) -> bool:
        """Whether neither axis stays."""
        return self.u.name in self.over


def way(node: Node) -> str:
    """The word by which a sum says how it is evaluated, '' where cost decides."""
    return str(node.attrs[1][0]) if node.kind is Kind.REDUCE and len(node.attrs) > 1 else ""


def asked_dims(nodes: Iterable[Node]) -> frozenset[str]:
    """The dims of which some sum asks for each pair once, however many positions they have."""
    return frozenset(u.dim for n in nodes if way(n) == ASKED for u, _ in _pairs(n))


def sink(graph: Graph, node: Node, asked: Collection[str] = ()) -> Sink | None:
    """A node as a sum over pairs, or None. `asked`: dims of which a sum asks for pairs."""
    if node.dtype != "real":
        return None
    for u, v in _pairs(node):
        if few(graph, u.dim) or (u.dim in asked and _known(graph, u.dim)):
            return Sink(node, node.inputs, tuple(_over(node)), u, v)
    return None


def few(graph: Graph, dim: str) -> bool:
    """Whether the pairs of a dim are known, and fewer than those whose distances are products of matrices."""
    return 1 < _known(graph, dim) ** 2 < distances.PAIRS


def _known(graph: Graph, dim: str) -> int:
    """The number of positions, 0 where it is open or there are no pairs."""
    size = graph.dims.get(dim)
    return size if isinstance(size, int) and size > 1 else 0


def no_sink(graph: Graph, node: Node) -> str:
    """Why a node is no sum over pairs."""
    if node.dtype != "real":
        return "its terms are no real numbers"
    dims = list(dict.fromkeys(u.dim for u, _ in _pairs(node)))
    if not dims:
        return "no index that it binds meets another one of the same dim"
    if isinstance(graph.dims.get(dims[0]), int):
        return f"'{dims[0]}' has one value"
    return f"the size of '{dims[0]}' is open, and pairs are counted while a spec is compiled"


def _over(node: Node) -> Sequence[str]:
    """The axes that are summed; none if the node is no sum."""
    if node.kind is Kind.REDUCE and node.op == "sum":
        return tuple(node.attrs[0])
    if node.kind is Kind.CONTRACT:
        return tuple(a.name for a in union_axes(node.inputs) if a.name not in node.names)
    return ()


def _pairs(node: Node) -> Iterator[tuple[Axis, Axis]]:
    """Pairs of axes of one dim that a factor has, of which the second one is summed."""
    over = _over(node)
    for x in node.inputs if over else ():
        summed = [a for a in x.axes if a.name in over]
        for v in reversed(summed):
            for u in (*summed, *(a for a in x.axes if a.name not in over)):
                if u.name != v.name and u.dim == v.dim:
                    yield u, v


__all__ = ["ASKED", "Sink", "asked_dims", "few", "no_sink", "sink", "way"]
