"""Sums of squares of differences over all pairs become products of matrices, where no digits that count are lost.

sum[i](w[i]*(x[n, i] - y[m, i])**2) is sum[i](w*u**2) + sum[i](w*v**2) - 2*sum[i](u*w*v) with u and v what x and y are beyond
a common centre: one product of matrices where the differences take a loop over all pairs and places. It is off by a few units
of rounding of R = max[n](sum[i](abs(w)*u**2)) + max[m](sum[i](abs(w)*v**2)); the sum of differences by rounding of itself.

If an exponential reads c times the sum, as a Gaussian kernel or the density of a normal law does, a relative error of c*R
units of rounding is what this makes of a weight. So products are taken as long as c*R is at most MOST, which a run tells, and
differences if it is more, or not a number. At that limit weights of normal clouds in float32 were off by at most 2.4e-5 in up
to 64 dimensions and 4.5e-5 in 784, by 3.6e-6 and 1.3e-5 in the root mean square; differences of far pairs by 1.6e-5. Whatever
else reads a distance wants its own digits: such a sum is left alone.

sum[n](w[n, m]*(x[n, i] - y[m, i])**2), the second moments that a likelihood's slope by scales is made of, is three products
with w: w'u**2 - 2*v*w'u + v**2*w'1. If w is not negative, a run tells from the result itself how much of it has cancelled:
where all sums are at least 1/MOST of what they are differences of, they have the same relative error, whoever reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import AnyRegion, Axis, Either, Kind, Node, Solve, innermost, topological
from vspec.compiler.graph.rewrite import Sweep, all_nodes, with_results
from vspec.compiler.graph.strategy import Candidate, Choice, NoFormError, with_choices
from vspec.compiler.passes import intern
from vspec.compiler.passes.distribute import is_even
from vspec.compiler.passes.exponents import Factor, exponents, largest
from vspec.compiler.passes.squares import Square, asked, distance, moment
from vspec.compiler.passes.within import moved

DOC = "Squares of differences over pairs that only exponents read are products of matrices where no digits that count are lost."

# The largest exponents, by precision; times the unit of rounding, 2**-24 and 2**-53, an error of weights.
MOST = {"float32": 2.0**7, "float64": 2.0**16}
# Fewer terms in a sum, or fewer pairs, are no work that a product would save.
TERMS = 6
PAIRS = 2**14
SIDE = 8

SQUARE: Tree = ("pow", slot(0), num(2))
Ways = Callable[[Sequence[Node]], Node]


def run(graph: Graph) -> Graph:
    """The graph with products in place of differences. Raises NoFormError where these are asked for in vain."""
    b = Builder(graph.dims)
    if not any(asked(n) or distance(b, n) or moment(b, n) for n in all_nodes(graph)):
        return graph
    pairs = _Pairs(b, graph)
    pairs.run(graph.roots)
    for n in all_nodes(graph):
        if asked(n) and n.uid not in pairs.accepted and n.uid not in pairs.moments:
            raise NoFormError("sum has no form by products", _reason(n, pairs.met), n.origin)
    if not pairs.choices:
        return graph
    # Two sides that are one cloud of points are centred once.
    done = intern.run(with_results(graph, b, lambda node: pairs.new[node.uid]))
    return with_choices(moved(done), pairs.choices)


def taken_for(s: Square | None, node: Node, sizes: Sizes) -> bool:
    """Whether products cost less than the differences, or are asked for."""
    if s is None:
        return False
    if asked(node):
        return True
    own, others = sizes.count(s.own), sizes.count(s.others)
    return sizes.count(s.common) >= TERMS and min(own, others) >= SIDE and own * others >= PAIRS


def accepted(nodes: Sequence[Node], roots: Sequence[Node], sizes: Sizes) -> dict[int, list[Factor]]:
    """The sums of a scope that may become products, by uid, each with the factors by which exponents read it."""
    b = Builder()
    candidates = [n for n in nodes if taken_for(distance(b, n), n, sizes)]
    if not candidates:
        return {}
    readers: dict[int, list[Node]] = {}
    for n in nodes:
        for uid in {x.uid for x in n.inputs}:
            readers.setdefault(uid, []).append(n)
    ends = frozenset(r.uid for r in roots)
    found: dict[int, list[Factor]] = {}
    uids = {n.uid for n in candidates}
    for n in candidates:
        read = exponents(n, readers, ends)
        # A bound that is made of distances itself would be known too late.
        if read and not any(x.uid in uids for x in topological(y for f in read for y in f.nodes)):
            found[n.uid] = read
    return found


def left_alone(graph: Graph) -> frozenset[int]:
    """The regions, by id, that JAX differentiates or maps over many problems: both ways would be computed there."""
    found: set[int] = set()
    for n in all_nodes(graph):
        if n.kind is Kind.REGION:
            region = innermost(n.attrs[0])
            if n.op == "vjp" or isinstance(region, Solve | Either):
                found |= {id(n.attrs[0]), id(region)}
    return frozenset(found)


def taken(graph: Graph) -> frozenset[int]:
    """The sums of a graph, by uid, that are left to this pass."""
    sizes, left = Sizes.of(graph), left_alone(graph)
    scopes: list[Sequence[Node]] = [graph.roots]
    seen: set[int] = set()
    found: set[int] = set()
    for roots in scopes:
        nodes = topological(roots)
        found.update(accepted(nodes, roots, sizes))
        for n in nodes:
            if n.kind is Kind.REGION and id(n.attrs[0]) not in left | seen:
                seen.add(id(n.attrs[0]))
                scopes.append(n.attrs[0].roots)
    return frozenset(found)


class _Pairs(Sweep):
    """The sweep that makes the choice in place of each sum that has one, after what tells how large its exponents are."""

    def __init__(self, b: Builder, graph: Graph) -> None:
        super().__init__(b, lambda b, node, old: node)
        self.sizes = Sizes.of(graph)
        self.most = MOST[graph.precision]
        self.double = graph.precision == "float64"
        self.choices: list[Choice] = []
        self.accepted: dict[int, list[Factor]] = {}
        self.moments: set[int] = set()
        # What was met where products may be taken.
        self.met: set[int] = set()
        self.left = left_alone(graph)

    def run(self, roots: Iterable[Node]) -> None:
        """Rewrites everything below the roots, what a choice depends on before it."""
        roots = list(roots)
        nodes = topological(roots)
        found = accepted(nodes, roots, self.sizes)
        self.accepted |= found
        self.met |= {n.uid for n in nodes}
        self.moments |= {n.uid for n in nodes if taken_for(moment(self.b, n), n, self.sizes)}
        stack = list(reversed(nodes))
        while stack:
            node = stack[-1]
            if node.uid in self.new:
                stack.pop()
                continue
            below = (*node.inputs, *(x for f in found.get(node.uid, ()) for x in f.nodes))
            waiting = [x for x in below if x.uid not in self.new]
            if waiting:
                stack += waiting
                continue
            self.new[node.uid] = self.one(node)

    def region(self, region: AnyRegion) -> AnyRegion:
        """A region with its body rewritten, unless it is mapped or differentiated by JAX."""
        return region if id(region) in self.left else super().region(region)

    def one(self, node: Node) -> Node:
        """A node, or the choice that stands for it."""
        found = super().one(node)
        if node.uid not in self.accepted and node.uid not in self.moments:
            return found
        with self.b.at(node.origin._replace(role="part")):
            if node.uid in self.moments:
                s = moment(self.b, found)
                assert s is not None
                made = self.moment(s, found)
            else:
                s = distance(self.b, found)
                assert s is not None
                made = self.distance(s, found, self.accepted[node.uid])
            self.note(s, found)
            return self.b.order(made, found.axes)

    # --- the choice ---------------------------------------------------------------------------------------------------

    def centred(self, s: Square) -> tuple[Node, Node]:
        """Both sides without the mean of the one that has fewer elements; of rows that are taken at a time that of the other one,
        which is the same for all of them."""
        b = self.b
        rows = [any(a.dim not in self.sizes.dims for a in axes) for axes in (s.own, s.others)]
        less = self.sizes.count(s.own) < self.sizes.count(s.others) if rows[0] == rows[1] else rows[1]
        few, axes = (s.u, s.own) if less else (s.v, s.others)
        count = b.mul([b.size(a.dim) for a in axes])
        centre = b.map(("div", slot(0), slot(1)), [b.reduce("sum", few, [a.name for a in axes]), count], "real")
        u, v = (b.map(("sub", slot(0), slot(1)), [x, centre], "real") for x in (s.u, s.v))
        return u, v

    def either(self, s: Square, node: Node, fine: Node, parts: Sequence[Node], ways: Ways) -> Node:
        """The choice between the products, which `ways` makes of arguments for `parts`, and the differences."""
        b = self.b
        captured = {x.uid: x for x in (*parts, *s.leaves)}
        arguments = {uid: b.input(x.origin.name or "part", "captured", x.axes, x.dtype) for uid, x in captured.items()}
        products = ways([arguments[x.uid] for x in parts])
        differences = b.reduce("sum", b.map(s.tree, [arguments[x.uid] for x in s.leaves], "real"), s.names)
        body = (b.order(products, s.kept), b.order(differences, s.kept))
        region = Either(node.origin.name or "squares", tuple(arguments.values()), body)
        return b.item(b.region("either", region, [fine, *captured.values()]), 0, s.kept, "real")

    def distance(self, s: Square, node: Node, read: Sequence[Factor]) -> Node:
        """The choice in place of distances of pairs."""
        b, weight = self.b, s.weight
        u, v = self.centred(s)
        mixed = weight is not None and any(a.name not in u.names for a in weight.axes)
        other = self.sum(v, weight, s.names)
        own = None if mixed else self.sum(u, weight, s.names)

        def products(new: Sequence[Node]) -> Node:
            u, v, other, *rest = new
            scaled = v if weight is None else b.map(("mul", slot(0), slot(1)), [v, rest[-1]], "real")
            cross = b.contract([u, scaled], s.kept)
            mine = b.contract([b.map(SQUARE, [u], "real"), rest[-1]], s.kept) if mixed else rest[0]
            total: Tree = ("sub", ("add", slot(0), slot(1)), ("mul", num(2), slot(2)))
            return b.map(_times(s.number, total), [mine, other, cross], "real")

        parts = [u, v, other, *([] if own is None else [own]), *([] if weight is None else [weight])]
        return self.either(s, node, self.near(s, u, v, own, other, read), parts, products)

    def moment(self, s: Square, node: Node) -> Node:
        """The choice in place of second moments. In float32 all of it stands in a scope of its own, whose products have all
        digits on any device: what has cancelled is seen from them."""
        b = self.b
        assert s.weight is not None
        u, v = self.centred(s)
        parts = (s.weight, b.reduce("sum", s.weight, s.names), u, v)
        if self.double:
            return self.cancelled(s, node, parts)
        captured = {x.uid: x for x in (*parts, *s.leaves)}
        arguments = _arguments(b, captured)
        inside = replace(s, leaves=tuple(arguments[x.uid] for x in s.leaves))
        made = self.cancelled(inside, node, [arguments[x.uid] for x in parts])
        region = Either(node.origin.name or "squares", tuple(arguments.values()), (b.order(made, s.kept),))
        return b.item(b.region("either", region, list(captured.values())), 0, s.kept, "real")

    def cancelled(self, s: Square, node: Node, parts: Sequence[Node]) -> Node:
        """Second moments by products unless too much cancels there."""
        b = self.b
        weight, total, u, v = parts

        def axes(*nodes: Node) -> list[Axis]:
            return [a for a in s.kept if any(a in x.axes for x in nodes)]

        squares = b.contract([weight, b.map(SQUARE, [u], "real")], axes(weight, u))
        first = b.contract([weight, u], axes(weight, u))
        size = b.map(("add", slot(0), ("mul", slot(1), ("pow", slot(2), num(2)))), [squares, total, v], "real")
        made = b.map(("sub", slot(0), ("mul", num(2), slot(1), slot(2))), [size, first, v], "real")
        kept = b.map(("ge", ("mul", num(self.most), slot(0)), slot(1)), [made, size], "boolean")
        fine = b.reduce("all", kept, kept.names)
        return self.either(s, node, fine, [made], lambda new: b.map(_times(s.number, slot(0)), new, "real"))

    def sum(self, x: Node, weight: Node | None, over: Sequence[str]) -> Node:
        """The weighted sum of squares."""
        if weight is None:
            return self.b.reduce("sum", self.b.map(SQUARE, [x], "real"), over)
        return self.b.reduce("sum", self.b.map(("mul", slot(1), SQUARE), [x, weight], "real"), over)

    def near(self, s: Square, u: Node, v: Node, size: Node | None, other: Node, read: Sequence[Factor]) -> Node:
        """Whether all points are so near the centre that the error of exponents is as small as it is to be."""
        b, weight = self.b, s.weight
        if weight is not None and not is_even(weight):
            weight = b.map(("abs", slot(0)), [weight], "real")
            size, other = None, self.sum(v, weight, s.names)
        if size is None:
            assert weight is not None
            greatest = b.reduce("max", weight, [a.name for a in weight.axes if a.name not in u.names])
            size = self.sum(u, greatest, s.names)
        ends = [b.reduce("max", x, x.names) for x in (size, other)]
        number = abs(s.number)
        if all(not f.parts for f in read):
            number *= max(f.number for f in read)
            read = []
        factors_ = [largest(b, f) for f in read]
        tree: Tree = ("add", slot(0), slot(1))
        tree = _times(number, tree)
        if factors_:
            whole: Tree = slot(2)
            for k in range(1, len(factors_)):
                whole = ("maximum", whole, slot(2 + k))
            tree = ("mul", tree, whole)
        return b.map(("le", tree, num(self.most)), [*ends, *factors_], "boolean")

    def note(self, s: Square, node: Node) -> None:
        """A note for the table of strategies; once for what several entries compute."""
        work = self.sizes.count(s.axes)
        among = (Candidate("products", 2.0 * work), Candidate("differences", 3.0 * work))
        origin = node.origin
        what = "squares of differences" + (f" in {origin.name}" if origin.name and origin.name[0] != "_" else "")
        because = "asked for" if asked(node) else "least cost, where no digits are lost"
        choice = Choice("reduction", what, origin.line, "products", among, because, origin.file)
        if choice not in self.choices:
            self.choices.append(choice)


def _reason(node: Node, met: Collection[int]) -> str:
    """Why a sum has no form by products."""
    if distance(Builder(), node) is None:
        return "it is no sum of squares of differences between arrays that have indices of their own"
    if node.uid not in met:
        return "JAX differentiates what it is in, or maps it over many problems"
    return "more than exponents reads it, and would see what products lose"


def _arguments(b: Builder, nodes: Mapping[int, Node]) -> dict[int, Node]:
    return {uid: b.input(x.origin.name or "part", "captured", x.axes, x.dtype) for uid, x in nodes.items()}


def _times(number: float, tree: Tree) -> Tree:
    return tree if number == 1 else ("mul", num(number), tree)


__all__ = ["DOC", "MOST", "run", "taken"]
