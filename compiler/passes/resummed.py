"""A product with a sum of rows, beside the product with the rows themselves: `sum(A, 0) @ Z` is the sum of the rows of `A @ Z`.

Derivatives by the mean and by the scale of a law are such a pair: one sums over the draws what the other weighs with noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes, of_others
from vspec.compiler.passes.patterns import factors, number_of

Product = tuple[float, tuple[tuple[int, int], ...]]
"""A number, and factors by uid with their powers."""


def resummed(graph: Graph) -> Graph:
    """The graph where no large array is read by a product of sums that a sum of a product gives."""
    made: dict[tuple[Product, int, frozenset[str]], Node] = {}
    for n in all_nodes(graph):
        if n.kind is Kind.CONTRACT and len(n.inputs) == 2:
            for x, z in (n.inputs, n.inputs[::-1]):
                form = _product(x)
                if form is not None:
                    made[form, z.uid, frozenset(n.names)] = n
    sizes, entries = Sizes.of(graph), entries_of(graph)
    found: dict[int, Node] = {}
    for n in dict.fromkeys(made.values()):
        for s, z in (n.inputs, n.inputs[::-1]):
            for form, over in _with_rows(s):
                whole = made.get((form, z.uid, frozenset(n.names) | over))
                if whole is None or over & {*z.names, *s.names}:
                    continue
                if sizes.count(whole.axes) <= sizes.count(z.axes) and together(entries, n, whole):
                    found[n.uid] = whole
    if not found:
        return graph

    def make(b: Builder, node: Node, old: Node, others: Sequence[Node]) -> Node:
        return b.reduce("sum", others[0], [n for n in found[old.uid].names if n not in old.names])

    # The whole product reads nothing of the one with sums, so that it may be made before.
    return of_others(graph, {uid: [whole] for uid, whole in found.items()}, make)


def _product(x: Node) -> Product | None:
    """An array as a product of others; None if it is a map of another form."""
    if x.kind is not Kind.MAP:
        return 1.0, ((x.uid, 1),)
    value, parts = number_of(factors(x.attrs[0].tree))
    if any(t[0] != "x" for t, _ in parts):
        return None
    return float(value), tuple(sorted((x.inputs[t[1]].uid, e) for t, e in parts))


def _with_rows(s: Node) -> list[tuple[Product, frozenset[str]]]:
    """The product with the rows in the place of a factor that is a sum of rows, and the axes of that sum."""
    form = _product(s)
    if form is None:
        return []
    value, parts = form
    found = []
    for x in (s, *s.inputs):
        if x.kind is Kind.REDUCE and x.op == "sum" and (x.uid, 1) in parts:
            rest = [p for p in parts if p[0] != x.uid]
            found.append(((value, tuple(sorted([*rest, (x.inputs[0].uid, 1)]))), frozenset(x.attrs[0])))
    return [(form, over) for form, over in found if over]


def entries_of(graph: Graph) -> dict[int, int]:
    """The entries that need each node, as bits."""
    found: dict[int, int] = {}
    for k, e in enumerate(graph.entries):
        for r in e.results:
            found[r.node.uid] = found.get(r.node.uid, 0) | 1 << k
    for node in reversed(graph.nodes):
        for x in node.inputs:
            found[x.uid] = found.get(x.uid, 0) | found[node.uid]
    return found


def together(entries: Mapping[int, int], node: Node, whole: Node) -> bool:
    """Whether each entry that computes the one computes the other as well. What stands in bodies of loops is left alone."""
    own = entries.get(node.uid, 0)
    return own != 0 and not own & ~entries.get(whole.uid, 0)
