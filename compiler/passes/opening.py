"""Products that several sums read: made once for all of them, or opened, so that each sum is planned from what they are made of.

J[n, i, b] = sum_a s[n, a] U[i, a] V[a, b] is one product with U V, whatever else reads s U, and sum_a r[n, a] c[a] V[a, b]
is one with c V: of all factors, the small ones meet first. No sum can tell by itself which is better, since what it leaves
unread is gone only if nobody else reads it: both graphs are made, and their prices compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from vspec.compiler.graph.cost import Sizes, kernel_flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, Region, innermost, topological
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.passes.patterns import factors, number_of
from vspec.compiler.passes.products import is_product

# More readers, or more factors in one sum, are left as they are: the ways multiply.
READERS = 3
FACTORS = 5
# To read or write an element takes as long as about so many multiplications of a matrix product.
TRAFFIC = 16
# What is opened has to cost less than this share: it is the less obvious way to write a formula.
WORTH = 0.95


def openable(x: Node, sizes: Sizes) -> bool:
    """Whether a node is an outer product, an array times one with fewer axes, or a contraction of two arrays."""
    if x.kind is Kind.MAP:
        # An axis of one element counts: the product with the other factors is the smaller array there as well.
        return is_product(x) and len(x.inputs) <= READERS and any(0 < len(y.axes) < len(x.axes) for y in x.inputs)
    return x.kind is Kind.CONTRACT and len(x.inputs) == 2


def only_summed(graph: Graph, readers: Mapping[int, int]) -> frozenset[int]:
    """The nodes that nothing but sums of products read, so that opening them may leave nobody who needs them."""
    needed = {r.uid for r in graph.roots}
    for x in reversed(all_nodes(graph)):
        sums = x.kind is Kind.CONTRACT or (x.kind is Kind.REDUCE and x.op == "sum")
        looked_through = x.kind is Kind.REINDEX or (readers.get(x.uid, 0) == 1 and _multiplies(x))
        if not sums and (x.uid in needed or not looked_through):
            needed.update(y.uid for y in x.inputs)
        if x.kind is Kind.REGION:
            needed.update(y.uid for y in innermost(x.attrs[0]).roots)
    return frozenset(x.uid for x in all_nodes(graph)) - needed


def _multiplies(x: Node) -> bool:
    """Whether a map is a product each of whose operands is a factor once: a square needs what it is the square of."""
    if x.kind is not Kind.MAP or not is_product(x):
        return False
    _, parts = number_of(factors(x.attrs[0].tree))
    return len(set(parts)) == len(parts)


def making(x: Node, sizes: Sizes) -> float:
    """What it costs to make a node, in multiplications of a matrix product."""
    if x.kind not in (Kind.CONTRACT, Kind.MAP, Kind.REDUCE):
        return 0.0
    moved = TRAFFIC * (sizes.count(x.axes) + sum(sizes.count(y.axes) for y in x.inputs))
    if x.kind is Kind.CONTRACT:
        return moved + sizes.count({a.name: a for y in (x, *x.inputs) for a in y.axes}.values())
    if x.kind is Kind.MAP:
        return moved + sizes.count(x.axes) * kernel_flops(x.attrs[0].tree)
    return moved


def price(graph: Graph, static: Callable[[Node], bool]) -> float:
    """What the calls of all entries cost, equal nodes once; what is `static` is made before."""
    sizes = Sizes.of(graph)
    classes = graph.classes.all(graph.nodes)

    def total(roots: Iterable[Node]) -> float:
        found = 0.0
        seen: set[int] = set()
        for x in topological(roots):
            same, _ = classes.faces[x.uid]
            if same in seen:
                continue
            seen.add(same)
            if x.kind is Kind.REGION:
                region = innermost(x.attrs[0])
                steps = sizes.dim(region.axis.dim) if isinstance(region, Region) else 1
                found += steps * total(region.roots)
            elif not static(x):
                found += making(x, sizes)
        return found

    return sum(total(r.node for r in e.results) for e in graph.entries if e.kind != "prepare")
