"""A sum of an array times a product, beside the product of both with what they share: `sum(x * (y @ V.T), 0)` is
`sum(V * (x.T @ y), 1)`, where `x.T @ y` is there in any case.

Derivatives by the inner and by the outer params of a layer are such a pair: one sums over all rows what the other has summed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes, of_others
from vspec.compiler.passes.contraction import pair
from vspec.compiler.passes.patterns import factors, number_of
from vspec.compiler.passes.resummed import entries_of, together


@dataclass(frozen=True, slots=True)
class Regrouped:
    """A sum as a number times the sum of a product of two arrays: one that is there, and what is left to multiply it by."""

    value: float
    whole: Node
    other: Node


def regrouped(graph: Graph) -> Graph:
    """The graph where no large arrays are read for a sum that a smaller product gives."""
    made: dict[tuple[frozenset[int], frozenset[str]], Node] = {}
    sums: list[Node] = []
    for n in all_nodes(graph):
        if n.kind is Kind.CONTRACT and len(n.inputs) == 2:
            made.setdefault((frozenset(x.uid for x in n.inputs), frozenset(n.names)), n)
        if n.kind is Kind.CONTRACT or (n.kind is Kind.REDUCE and n.op == "sum" and len(n.attrs) == 1):
            sums.append(n)
    sizes, entries = Sizes.of(graph), entries_of(graph)
    found: dict[int, Regrouped] = {}
    for n in sums if made else ():
        for value, x, product in _halves(n):
            for y, v in (product.inputs, product.inputs[::-1]):
                whole = made.get((frozenset((x.uid, y.uid)), _left(n, x, product, y, v)))
                if whole is None or whole is n or not together(entries, n, whole):
                    continue
                if sizes.count({*whole.axes, *v.axes}) < sizes.count({*x.axes, *product.axes}):
                    found.setdefault(n.uid, Regrouped(value, whole, v))
    if not found:
        return graph

    def make(b: Builder, node: Node, old: Node, others: Sequence[Node]) -> Node:
        whole, other = others
        core = pair(b, whole, other, set(old.names), old.axes)
        value = found[old.uid].value
        return core if value == 1 else b.map(("mul", num(value), slot(0)), [core], "real")

    # What it is made of reads operands of this sum alone, so that it may be made before.
    return of_others(graph, {uid: [r.whole, r.other] for uid, r in found.items()}, make)


def _halves(n: Node) -> Iterator[tuple[float, Node, Node]]:
    """A sum of a product of two arrays: the number in front, one of them, and the other one, which is a product itself."""
    value, operands = _operands(n)
    if len(operands) == 2:
        for x, product in (operands, operands[::-1]):
            if product.kind is Kind.CONTRACT and len(product.inputs) == 2 and x is not product:
                yield value, x, product


def _operands(n: Node) -> tuple[float, Sequence[Node]]:
    if n.kind is Kind.CONTRACT or n.inputs[0].kind is not Kind.MAP:
        return 1.0, n.inputs
    (x,) = n.inputs
    value, parts = number_of(factors(x.attrs[0].tree))
    if x.dtype != "real" or any(t[0] != "x" or e != 1 for t, e in parts):
        return 1.0, ()
    return float(value), [x.inputs[t[1]] for t, _ in parts]


def _left(n: Node, x: Node, product: Node, y: Node, v: Node) -> frozenset[str]:
    """The axes of the product of x and y with what `n` sums summed; an empty set where it cannot be summed before the rest."""
    over = {*x.names, *product.names}.difference(n.names)
    inner = {*y.names, *v.names}.difference(product.names)
    return frozenset() if over & {*v.names} or inner & {*x.names} else frozenset({*x.names, *y.names} - over)
