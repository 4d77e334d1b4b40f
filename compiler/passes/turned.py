"""Of what is the same or the negative with two of its axes exchanged, one of the two is made and the other one is its rename.

An even array turned around is the array itself. A sum of a product over one of two axes is the sum over the other one under
another name, if the factors with both axes are even or odd and the others exchange their names: of the derivatives of a sum
over pairs by either point of a pair one is left.
"""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.graph.builder import Builder, union_axes
from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes, rewrite
from vspec.compiler.passes import intern
from vspec.compiler.passes.exchange import Exchange


def run(graph: Graph, exchange: Exchange | None = None) -> Graph:
    """The graph with renames in place of what exchanges axes in vain, if that leaves less to compute. `exchange`: what is known
    of its nodes."""
    exchange = exchange or Exchange(graph.classes.all(graph.nodes))
    found = 0

    def visit(b: Builder, node: Node, old: Node) -> Node:
        nonlocal found
        better = None
        if old.uid in exchange.classes.faces:
            better = _array(b, node, old, exchange) if node.kind is Kind.REINDEX else _sum(b, node, old, exchange)
        found += better is not None
        return node if better is None else better

    done = rewrite(graph, visit)
    if not found:
        return graph
    done = intern.run(done)
    sizes = Sizes.of(graph)
    less = sum(flops(n, sizes) for n in all_nodes(done)) < sum(flops(n, sizes) for n in all_nodes(graph))
    return done if less else graph


def _array(b: Builder, node: Node, old: Node, exchange: Exchange) -> Node | None:
    """An even or odd array under its own names, if the rename only exchanges two of them."""
    (x,), targets = old.inputs, old.attrs[0]
    moved = [(n, t) for n, t in zip(x.names, targets, strict=True) if n != t]
    if len(moved) != 2 or moved[0] != moved[1][::-1] or set(x.names) != set(old.names):
        return None
    parity = exchange.parity(x, *moved[0])
    if parity is None:
        return None
    found = b.order(node.inputs[0], node.axes)
    return found if parity == 1 else b.neg(found)


def _sum(b: Builder, node: Node, old: Node, exchange: Exchange) -> Node | None:
    """A sum over the one of two axes whose name comes first, as the sum over the other one under another name."""
    if old.dtype != "real" or (old.kind is Kind.REDUCE and (old.op != "sum" or len(old.attrs) > 1)):
        return None
    if old.kind not in (Kind.REDUCE, Kind.CONTRACT):
        return None
    pair = _pair(old)
    if pair is None:
        return None
    kept, summed = pair
    swap = {kept: summed, summed: kept}
    sign, factors = 1, []
    for x, was in zip(node.inputs, old.inputs, strict=True):
        both = kept in was.names and summed in was.names
        parity = exchange.parity(was, kept, summed) if both else 1
        if parity is None:
            return None
        sign *= parity
        factors.append(x if both else b.rename(x, swap))
    axes = [a._replace(name=summed) if a.name == kept else a for a in old.axes]
    if old.kind is Kind.REDUCE:
        found = b.reduce("sum", factors[0], [swap.get(n, n) for n in old.attrs[0]])
    else:
        found = b.contract(factors, axes)
    found = b.order(b.rename(found, {summed: kept}), old.axes)
    return found if sign == 1 else b.neg(found)


def _pair(node: Node) -> tuple[str, str] | None:
    """The axis that stays and the one that is summed of a sum of pairs, if the name of the latter comes first."""
    over: Sequence[str] = [a.name for a in union_axes(node.inputs) if a.name not in node.names]
    for x in node.inputs:
        for kept in x.axes:
            for summed in x.axes:
                if kept.name in node.names and summed.name in over and kept.dim == summed.dim:
                    # The body of a factor in which both stand has to be there; of several pairs the first one counts.
                    return (kept.name, summed.name) if summed.name < kept.name else None
    return None


__all__ = ["run"]
