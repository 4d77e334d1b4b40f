"""Sums of squares of differences over all pairs become products of matrices, where only exponents read them.

sum[i](w[i]*(x[n, i] - y[m, i])**2) is sum[i](w*u**2) + sum[i](w*v**2) - 2*sum[i](u*w*v) with u and v what x and y are beyond
a common centre: one product of matrices where the differences take a loop over all pairs and places. It is off by a few units
of rounding of R = max[n](sum[i](abs(w)*u**2)) + max[m](sum[i](abs(w)*v**2)); the sum of differences by rounding of itself.

If an exponential reads c times the sum, as a Gaussian kernel or the density of a normal law does, a relative error of c*R
units of rounding is what this makes of a weight. So products are taken as long as c*R is at most MOST, which a run tells, and
differences if it is more, or not a number. In float32 that is an error of 1.5e-5 at the very most, and of 1e-6 where points
are a few widths of the kernel apart. Whatever else reads a distance wants its own digits: such a sum is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, num, slot, substitute
from vspec.compiler.graph.node import AnyRegion, Axis, Either, Kind, Node, Solve, innermost, topological
from vspec.compiler.graph.rewrite import Sweep, all_nodes, with_results
from vspec.compiler.graph.strategy import Candidate, Choice, with_choices
from vspec.compiler.passes import intern
from vspec.compiler.passes.distribute import is_even
from vspec.compiler.passes.exponents import Factor, exponents, largest
from vspec.compiler.passes.patterns import factors, number_of, opened_map, product, terms

DOC = "Squares of differences over pairs that only exponents read are products of matrices where no digits that count are lost."

# The largest exponent times unit of rounding that an error may be, by precision: 2**-16 and 2**-37.
MOST = {"float32": 2.0**8, "float64": 2.0**16}
# Fewer terms in a sum, or fewer pairs, are no work that a product would save.
TERMS = 6
PAIRS = 2**14
SIDE = 8


def run(graph: Graph) -> Graph:
    """The graph with products in place of differences."""
    b = Builder(graph.dims)
    pairs = _Pairs(b, graph)
    pairs.run(graph.roots)
    if not pairs.choices:
        return graph
    # Two sides that are one cloud of points are centred once.
    done = intern.run(with_results(graph, b, lambda node: pairs.new[node.uid]))
    return with_choices(done, pairs.choices)


@dataclass(frozen=True, slots=True)
class Square:
    """sum over `over` of number*weight*(u - v)**2, where the weight lacks the axes `own` that v lacks."""

    node: Node
    tree: Tree
    leaves: tuple[Node, ...]
    u: Node
    v: Node
    weight: Node | None
    number: float
    over: tuple[Axis, ...]
    own: tuple[Axis, ...]
    others: tuple[Axis, ...]


def square(b: Builder, node: Node) -> Square | None:
    """A sum of weighted squares of differences between things with axes of their own; None if it is anything else."""
    if node.kind is not Kind.REDUCE or node.op != "sum" or node.dtype != "real" or len(node.attrs) > 1:
        return None
    (inner,) = node.inputs
    if inner.kind is not Kind.MAP:
        return None
    tree, leaves = _opened(b, inner, frozenset(inner.names))
    if any(len(x.axes) == len(inner.axes) for x in leaves):
        return None
    value, parts = number_of(factors(tree))
    hit = [t for t, e in parts if e == 2 and t[0] in ("add", "sub")]
    if len(hit) != 1:
        return None
    two = terms(hit[0])
    if len(two) != 2 or two[0][0] == two[1][0]:
        return None
    u, v = (b.map(t, leaves, "real") for _, t in two)
    rest = [(t, e) for t, e in parts if t != hit[0]]
    weight = b.map(product(rest), leaves, "real") if rest else None
    if weight is not None and any(a.name not in v.names for a in weight.axes):
        u, v = v, u
    if weight is not None and any(a.name not in v.names for a in weight.axes):
        return None
    own = tuple(a for a in u.axes if a.name not in v.names)
    others = tuple(a for a in v.axes if a.name not in u.names)
    over = tuple(a for a in inner.axes if a.name in node.attrs[0])
    if not own or not others or any(a.name not in u.names or a.name not in v.names for a in over):
        return None
    return Square(node, tree, tuple(leaves), u, v, weight, float(value), over, own, others)


def _opened(b: Builder, node: Node, axes: frozenset[str]) -> tuple[Tree, list[Node]]:
    """The kernel of a map with those of its operands put in that have all axes, as far down as these are maps."""
    opened = opened_map(b, node)
    assert opened is not None
    tree, operands = opened
    leaves: list[Node] = []
    replace: dict[int, Tree] = {}
    for k, x in enumerate(operands):
        found: tuple[Tree, list[Node]] = (slot(0), [x])
        if set(x.names) == axes and x.dtype == "real" and opened_map(b, x) is not None:
            found = _opened(b, x, axes)
        places: dict[int, Tree] = {}
        for j, y in enumerate(found[1]):
            known = next((i for i, z in enumerate(leaves) if z is y), None)
            places[j] = slot(len(leaves) if known is None else known)
            if known is None:
                leaves.append(y)
        replace[k] = substitute(found[0], places)
    return substitute(tree, replace), leaves


def pays(s: Square | None, sizes: Sizes) -> bool:
    """Whether a product costs less than the differences."""
    if s is None:
        return False
    own, others = sizes.count(s.own), sizes.count(s.others)
    return sizes.count(s.over) >= TERMS and min(own, others) >= SIDE and own * others >= PAIRS


def accepted(nodes: Sequence[Node], roots: Sequence[Node], sizes: Sizes) -> dict[int, list[Factor]]:
    """The sums of a scope that may become products, by uid, each with the factors by which exponents read it."""
    b = Builder()
    candidates = [n for n in nodes if pays(square(b, n), sizes)]
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
        self.choices: list[Choice] = []
        self.accepted: dict[int, list[Factor]] = {}
        self.left = left_alone(graph)

    def run(self, roots: Iterable[Node]) -> None:
        """Rewrites everything below the roots, what a choice depends on before it."""
        roots = list(roots)
        nodes = topological(roots)
        found = accepted(nodes, roots, self.sizes)
        self.accepted |= found
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
        read = self.accepted.get(node.uid)
        found = super().one(node)
        if read is None:
            return found
        with self.b.at(node.origin._replace(role="part")):
            s = square(self.b, found)
            assert s is not None
            return self.b.order(self.either(s, read), found.axes)

    # --- the choice ---------------------------------------------------------------------------------------------------

    def either(self, s: Square, read: Sequence[Factor]) -> Node:
        """The choice between both ways."""
        b = self.b
        count = b.mul([b.size(a.dim) for a in s.own])
        centre = b.map(("div", slot(0), slot(1)), [b.reduce("sum", s.u, [a.name for a in s.own]), count], "real")
        u, v = (b.map(("sub", slot(0), slot(1)), [x, centre], "real") for x in (s.u, s.v))
        over = [a.name for a in s.over]
        weight = s.weight
        mixed = weight is not None and any(a.name not in u.names for a in weight.axes)
        # The sums of squares of one side each, and what the other one gives if weights belong to it.
        size = self.sum(u, weight if not mixed else None, over) if not mixed else None
        other = self.sum(v, weight, over)
        parts = [u, v, other, *([] if size is None else [size]), *([] if weight is None else [weight])]
        fine = self.fine(s, u, v, size, other, weight, read)
        arguments = self.arguments((*parts, *s.leaves))
        new = [arguments[x.uid] for x in parts]
        axes = tuple(a for a in s.node.inputs[0].axes if a.name not in over)
        products = self.products(s, new, size is not None, axes)
        differences = b.reduce("sum", b.map(s.tree, [arguments[x.uid] for x in s.leaves], "real"), over)
        named = s.node.origin.name or "distance"
        captured = {x.uid: x for x in (*parts, *s.leaves)}
        body = (b.order(products, axes), b.order(differences, axes))
        region = Either(named, tuple(arguments[uid] for uid in captured), body)
        made = b.region("either", region, [fine, *captured.values()])
        self.note(s)
        return b.item(made, 0, axes, "real")

    def sum(self, x: Node, weight: Node | None, over: Sequence[str]) -> Node:
        """The weighted sum of squares."""
        tree: Tree = ("pow", slot(0), num(2))
        if weight is None:
            return self.b.reduce("sum", self.b.map(tree, [x], "real"), over)
        return self.b.reduce("sum", self.b.map(("mul", slot(1), tree), [x, weight], "real"), over)

    def products(self, s: Square, new: Sequence[Node], plain: bool, axes: Sequence[Axis]) -> Node:
        """The sum of squares by products."""
        b = self.b
        u, v, other = new[:3]
        weight = new[-1] if s.weight is not None else None
        scaled = v if weight is None else b.map(("mul", slot(0), slot(1)), [v, weight], "real")
        cross = b.contract([u, scaled], axes)
        if plain:
            own = new[3]
        else:
            assert weight is not None
            squares = b.map(("pow", slot(0), num(2)), [u], "real")
            own = b.contract([squares, weight], axes)
        total: Tree = ("sub", ("add", slot(0), slot(1)), ("mul", num(2), slot(2)))
        if s.number != 1:
            total = ("mul", num(s.number), total)
        return b.map(total, [own, other, cross], "real")

    def fine(
        self,
        s: Square,
        u: Node,
        v: Node,
        size: Node | None,
        other: Node,
        weight: Node | None,
        read: Sequence[Factor],
    ) -> Node:
        """Whether the error of products is as small as it is to be."""
        b = self.b
        over = [a.name for a in s.over]
        if weight is not None and not is_even(weight):
            weight = b.map(("abs", slot(0)), [weight], "real")
            size, other = None, self.sum(v, weight, over)
        if size is None:
            assert weight is not None
            largest_ = b.reduce("max", weight, [a.name for a in weight.axes if a.name not in u.names])
            size = self.sum(u, largest_, over)
        ends = [b.reduce("max", x, x.names) for x in (size, other)]
        number = abs(s.number)
        if all(not f.parts for f in read):
            number *= max(f.number for f in read)
            read = []
        factors_ = [largest(b, f) for f in read]
        tree: Tree = ("add", slot(0), slot(1))
        tree = tree if number == 1 else ("mul", num(number), tree)
        if factors_:
            whole: Tree = slot(2)
            for k in range(1, len(factors_)):
                whole = ("maximum", whole, slot(2 + k))
            tree = ("mul", tree, whole)
        return b.map(("le", tree, num(self.most)), [*ends, *factors_], "boolean")

    def arguments(self, nodes: Iterable[Node]) -> Mapping[int, Node]:
        """An argument for each of some nodes, by uid; constants stand for themselves."""
        return {x.uid: self.b.input(x.origin.name or "part", "captured", x.axes, x.dtype) for x in nodes}

    def note(self, s: Square) -> None:
        """A note for the table of strategies; once for what several entries compute."""
        pairs, length = self.sizes.count((*s.own, *s.others)), self.sizes.count(s.over)
        among = (Candidate("products", 2.0 * pairs * length), Candidate("differences", 3.0 * pairs * length))
        origin = s.node.origin
        what = f"squares of differences in {origin.name}" if origin.name else "squares of differences"
        because = "least cost, where no digits are lost"
        choice = Choice("reduction", what, origin.line, "products", among, because, origin.file)
        if choice not in self.choices:
            self.choices.append(choice)


__all__ = ["DOC", "MOST", "Square", "run", "square", "taken"]
