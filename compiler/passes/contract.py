"""Sums of products become contractions of two arrays at a time, in the order that costs least.

A sum is expanded to its factors (`products.py`), factors with the same axes are multiplied element by element, deltas are
carried out, and what is left is planned (`contraction.py`). Where a factor is itself a sum of terms, the outer sum is
distributed over them when that is cheaper, above all when parts of the terms depend on data only and leave the loop of the
solver: the gradient of least squares becomes one product with a Gram matrix. Squares of differences become matrix products in
float64, after both sides are centred and with the result held at zero from below; there the error is some 1e-15 of the
largest squared norm. In float32 it would be about 1e-6 of it: left alone, but for what `distances.py` guards. Weighted
sums of the differences themselves become matrix products in both: their terms are no larger than the spread of the points. A
product of two equal halves is made of one of them (`equal_halves.py`). What is joined of parts is taken part by part where these
have axes of their own to sum over first (`by_parts.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes, kernel_flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.graph.rewrite import Sweep, all_nodes, count_readers, with_results
from vspec.compiler.graph.strategy import Candidate, Choice, with_choices
from vspec.compiler.passes import fold, intern
from vspec.compiler.passes.by_parts import joined, split
from vspec.compiler.passes.common import together
from vspec.compiler.passes.contraction import ELEMENTWISE, Operand, Plan, Planner, build
from vspec.compiler.passes.distances import taken
from vspec.compiler.passes.distribute import Sum, difference_terms, linear_terms, smooth_readers
from vspec.compiler.passes.equal_halves import Halves, halves
from vspec.compiler.passes.hoist import LEAST
from vspec.compiler.passes.opening import FACTORS, READERS, TRAFFIC, making, only_summed, openable, price
from vspec.compiler.passes.opening import WORTH as LESS
from vspec.compiler.passes.outside import outside
from vspec.compiler.passes.products import (
    Expansion,
    Product,
    axes_of,
    is_product,
    numbers_outside,
    scaled,
    unnamed,
    without_deltas,
)

DOC = "A sum of products with factors over different axes is a chain of two-operand contractions; no delta is summed over."

# A distributed form has to cost less than this share of the plain one: it is harder to read.
WORTH = 0.5
# What a sum costs beside its elements, in multiplications of a matrix product: less than a microsecond, which counts where the
# arrays are small. A static sum pays it in every call as well if it is too small to be prepared.
CALL = 1000


def run(graph: Graph) -> Graph:
    """The graph with contractions."""
    plain, sweep = _swept(graph, False)
    if sweep.halves:
        # What was read for the products that are gone may now have one reader.
        graph = intern.run(plain)
        plain, sweep = _swept(graph, False)
    if not sweep.closed:
        return plain
    opened, other = _swept(graph, True, sweep)
    most = price(plain, sweep.static)
    if price(opened, other.static) >= most:
        return plain
    # Numbers that come out of sums are part of what reads these.
    opened = fold.run(opened)
    return opened if price(opened, other.static) < LESS * most else plain


def _swept(graph: Graph, opens: bool, before: _Contracting | None = None) -> tuple[Graph, _Contracting]:
    b = Builder(graph.dims)
    sweep = _Contracting(b, graph, opens, before)
    sweep.run(graph.roots)
    return with_choices(with_results(graph, b, lambda node: sweep.new[node.uid]), sweep.choices), sweep


@dataclass(slots=True)
class Group:
    """Factors with the same axes; the operand of a plan."""

    factors: list[Node]
    axes: frozenset[str]
    static: bool


@dataclass(slots=True)
class Way:
    """One way to compute a product: its groups and scalars, the plan for the groups, and what a call pays."""

    product: Product
    groups: list[Group]
    scalars: list[Node] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    halved: Halved | None = None


@dataclass(slots=True)
class Halved:
    """A product of two equal halves and a rest: how one of them is made, its axes, and what they are called in the other."""

    one: Way
    axes: list[Axis]
    names: Mapping[str, str]
    rest: list[Node]


class _Contracting(Sweep):
    """The sweep that knows how often nodes are read and which of them are the same in every call."""

    def __init__(self, b: Builder, graph: Graph, opens: bool, before: _Contracting | None) -> None:
        """`before`: an earlier sweep of the same graph, which knows what is known of its nodes."""
        super().__init__(b, self.contract)
        # Whether products that several sums read are opened, and whether one was met that was not.
        self.opens = opens
        self.closed = False
        # Whether a product was made of one half.
        self.halves = False
        self.choices: list[Choice] = []
        self.classes = graph.classes
        self.sizes = Sizes.of(graph)
        self.double = graph.precision == "float64"
        # What becomes products at the end, where a run tells that nothing is lost.
        self.guarded: frozenset[int] = before.guarded if before else taken(graph) if self.double else frozenset[int]()
        self.readers: dict[int, int] = before.readers if before else count_readers(graph)
        self.reads: dict[int, int] = {}
        self.summed: frozenset[int] = before.summed if before else only_summed(graph, self.readers)
        self.inner: set[int] = set()
        self.smooth: frozenset[int] = before.smooth if before else smooth_readers(all_nodes(graph))
        self._static: dict[tuple[frozenset[str] | None, int], bool] = {}
        # Which params move in the loops that compute a node; None where all may, or none of the work would be saved.
        self.moving: dict[int, frozenset[str]] = before.moving if before else _moving(graph)
        self.now: frozenset[str] | None = None

    # --- what is known of nodes ---------------------------------------------------------------------------------

    def single(self, node: Node) -> bool:
        """Whether a node has one reader, so that looking through it computes nothing twice."""
        return self.reads.get(node.uid, 1) <= 1

    def through(self, node: Node) -> bool:
        """Whether an expansion looks through a node: nobody else reads it, or it is a number times another one."""
        return self.single(node) or scaled(node) is not None

    def static(self, node: Node) -> bool:
        """Whether a node depends on data and constants only, and on params that do not move in the loops that compute what is
        being contracted (in a loop's body: on what the loop does not change)."""
        now, known, stack = self.now, self._static, [node]
        while stack:
            n = stack[-1]
            if (now, n.uid) in known:
                stack.pop()
                continue
            if n.kind is Kind.INPUT:
                still = n.op == "param" and now is not None and n.attrs[0] not in now
                known[now, n.uid] = still or n.op in ("data", "constant", "prepared", "captured")
                continue
            waiting = [x for x in n.inputs if (now, x.uid) not in known]
            if waiting:
                stack.extend(waiting)
                continue
            known[now, n.uid] = n.kind is not Kind.RANDOM and all(known[now, x.uid] for x in n.inputs)
        return known[now, node.uid]

    # --- the pass -----------------------------------------------------------------------------------------------

    def contract(self, b: Builder, node: Node, old: Node) -> Node:
        """The node, or the contractions that it is."""
        found = node
        self.now = self.moving.get(old.uid)
        plain = node.kind is Kind.REDUCE and node.op == "sum" and len(node.attrs) == 1
        if node.dtype == "real" and (node.kind is Kind.CONTRACT or plain):
            found = self.better(b, node, old) or node
        elif node.kind is Kind.MAP:
            found = together(b, node, self.single, self.static, self.sizes) or node
            if found.kind is Kind.MAP:
                found = outside(b, found, self.single, self.static) or found
        elif node.kind is Kind.LINALG:
            found = numbers_outside(b, node) or node
        if old.uid in self.summed:
            self.inner.add(found.uid)
        self.reads[found.uid] = max(self.reads.get(found.uid, 0), self.readers.get(old.uid, 1))
        return found

    def better(self, b: Builder, node: Node, old: Node) -> Node | None:
        """The contractions of a sum; None where it is best as it is."""
        plain = self.way(b, node.names, Expansion(b, self.through).run(node))
        plain = self.opened(b, node, plain) or plain
        parted = self.by_parts(b, node, plain)
        if parted is not None:
            return parted
        distributed = self.distribute(b, node, old, plain)
        if distributed is not None:
            return distributed
        if len(plain.groups) <= 1 and not plain.scalars and self.unchanged(node, plain):
            return None
        if (
            node.kind is Kind.CONTRACT
            and plain.halved is None
            and [g.factors[0].uid for g in plain.groups] == [x.uid for x in node.inputs]
        ):
            return None
        return self.made(b, plain, node.axes)

    def opened(self, b: Builder, node: Node, plain: Way) -> Way | None:
        """The way from what shared products are made of, where it pays: if nobody else reads these, or even beside them."""
        products = {x.uid: x for f in plain.product.factors if not self.static(x := unnamed(f)) and self.shared(x)}
        gone = {uid: x for uid, x in products.items() if uid in self.inner}
        if gone and not self.opens:
            # This sum alone cannot tell whether they are gone.
            self.closed = self.closed or self.from_parts(b, node, plain, gone) is not None
            products = {uid: x for uid, x in products.items() if uid not in gone}
        return self.from_parts(b, node, plain, products) if products else None

    def from_parts(self, b: Builder, node: Node, plain: Way, products: Mapping[int, Node]) -> Way | None:
        """The way with these products opened; None where it costs more."""
        if len(plain.product.factors) + len(products) > FACTORS:
            return None
        if len(products) < sum(unnamed(f).uid in products for f in plain.product.factors):
            # A square would be a sum over twice as many axes.
            return None
        product = Expansion(b, lambda x: x.uid in products or self.through(x)).run(node)
        if len(product.factors) > FACTORS:
            return None
        way = self.way(b, node.names, product)
        gone = [x for x in products.values() if x.uid in self.inner]
        worth = 1 if gone else LESS
        return way if traffic(way) < worth * traffic(plain) + sum(making(x, self.sizes) for x in gone) else None

    def by_parts(self, b: Builder, node: Node, plain: Way) -> Node | None:
        """The sum part by part of the arrays that are joined in it, if that costs much less."""
        found = split(b, node.names, plain.product, self.classes, self.sizes)
        if found is None:
            return None
        ways: dict[tuple[int, ...], Way] = {}
        cost = 0.0
        for key, (names, product) in found.blocks.items():
            ways[key] = self.way(b, names, product)
            cost += ways[key].plan.cost + _calls(ways[key])
        at_once = plain.plan.cost + _calls(plain)
        if cost >= WORTH * at_once:
            return None
        # An operation is a multiplication or an addition.
        among = (Candidate("part by part", 2 * cost), Candidate("at once", 2 * at_once))
        origin = node.origin
        what = "joined arrays" + (f" in {origin.name}" if origin.name and origin.name[0] != "_" else "")
        self.choices.append(Choice("reduction", what, origin.line, among[0].name, among, file=origin.file))

        def made(key: tuple[int, ...]) -> Node:
            groups = [a for j, k in zip(found.joints, key, strict=True) for a in j.groups[k]]
            known = {a.name: a for a in (*node.axes, *groups)}
            axes = [known[n] for n in found.blocks[key][0]]
            return b.order(self.made(b, ways[key], axes), axes)

        return joined(b, found, made, node.axes)

    def shared(self, x: Node) -> bool:
        """Whether a few readers have a product in common that could be opened, if it is there in any case a product of arrays."""
        if not 1 < self.reads.get(x.uid, 1) <= READERS or not openable(x, self.sizes):
            return False
        return x.uid in self.inner or x.kind is Kind.CONTRACT

    def unchanged(self, node: Node, way: Way) -> bool:
        """Whether expansion found nothing but the elementwise product that was summed before."""
        inner = scaled(node.inputs[0])
        if inner is not None and not self.single(inner):
            # The number goes outside of the sum, which others may want as well.
            return False
        bound = {a.name for x in node.inputs for a in x.axes} - set(node.names)
        return node.kind is Kind.REDUCE and set(way.product.bound) == bound

    def way(self, b: Builder, names: Sequence[str], p: Product) -> Way:
        """How to compute a product: factors grouped by axes, those without axes apart, and the order of the rest."""
        p = without_deltas(b, p)
        scalars = [x for x in p.factors if not x.axes]
        groups: dict[frozenset[str], Group] = {}
        for x in p.factors:
            if x.axes:
                key = frozenset(x.names)
                group = groups.setdefault(key, Group([], key, True))
                group.factors.append(x)
                group.static = group.static and self.static(x)
        present = axes_of(p.factors)
        scalars += [b.size(a.dim) for n, a in p.bound.items() if n not in present]
        way = Way(p, list(groups.values()), scalars)
        planner = Planner.of(self.sizes, {n: a.dim for n, a in present.items()})
        out = frozenset(names) & frozenset(present)
        if way.groups:
            way.plan = planner.plan([Operand(g.axes, g.static) for g in way.groups], out)
        return self.in_halves(b, names, way) or way

    def in_halves(self, b: Builder, names: Sequence[str], way: Way) -> Way | None:
        """The way that makes one of two equal halves, if the product has such and that costs less."""
        factors = [x for g in way.groups for x in g.factors]
        found = [self.half(b, names, way, factors, h) for h in halves(factors, names, self.classes)]
        best = min(found, key=lambda w: (w.plan.cost, w.plan.once), default=None)
        return best if best is not None and best.plan.cost < way.plan.cost else None

    def half(self, b: Builder, names: Sequence[str], way: Way, factors: Sequence[Node], h: Halves) -> Way:
        """The way with these halves."""
        one, rest = ([factors[k] for k in ks] for ks in (h.one, h.rest))
        own, bound = axes_of(one), way.product.bound
        # The other half has the images of these names; what only one of them has and nothing else reads is summed in it.
        image = {h.names.get(n, n) for n in own}
        needed = set(names) | image | set(axes_of(rest))
        kept = [a for n, a in own.items() if n not in bound or n in needed]
        inside = {n: a for n, a in bound.items() if n in own and n not in needed}
        made = self.way(b, [a.name for a in kept], Product(1, one, inside))
        axes = frozenset(a.name for a in kept)
        others = frozenset(h.names.get(n, n) for n in axes)
        static = all(g.static for g in made.groups)
        operands = [Operand(axes, static), Operand(others, static)]
        operands += [Operand(frozenset(x.names), self.static(x)) for x in rest]
        present = axes_of(factors)
        planner = Planner.of(self.sizes, {n: a.dim for n, a in present.items()})
        plan = planner.plan(operands, frozenset(names) & frozenset(present))
        plan.cost += made.plan.cost
        plan.once += made.plan.once
        return Way(way.product, way.groups, way.scalars, plan, Halved(made, kept, h.names, rest))

    def made(self, b: Builder, way: Way, axes: Sequence[Axis]) -> Node:
        """The nodes of a way, without axes that no factor has."""
        value = way.product.value
        if value == -1 and way.groups:
            way.product.value = 1
            return b.neg(self.made(b, way, axes))
        scalars = [b.number(value), *way.scalars]
        if not way.groups:
            return b.mul(scalars)
        if way.halved is not None:
            self.halves = True
            one = self.made(b, way.halved.one, way.halved.axes)
            operands = [one, b.rename(one, way.halved.names), *way.halved.rest]
        else:
            operands = [b.mul(g.factors) if len(g.factors) > 1 else g.factors[0] for g in way.groups]
        private = frozenset(
            x.uid
            for x, g in zip(operands, way.groups if way.halved is None else (), strict=way.halved is None)
            if x.kind is Kind.MAP and self.single(x) and not g.static
        )
        present = axes_of(operands)
        core = build(b, operands, [a for a in axes if a.name in present], way.plan, private)
        return b.mul([*(s for s in scalars if not _is_one(s)), core])

    # --- distribution -------------------------------------------------------------------------------------------

    def distribute(self, b: Builder, node: Node, old: Node, plain: Way) -> Node | None:
        """The sum taken term by term over a factor that is a sum, if every call then does much less."""
        candidates = [x for g in plain.groups for x in g.factors]
        best: tuple[float, list[tuple[int, Way]], bool] | None = None
        for x in candidates if len(candidates) <= 6 else ():
            for sum_ in self.sums(b, old, x, plain):
                most = min(WORTH * (self.price(x, plain) + _calls(plain)), best[0] if best is not None else math.inf)
                cost, chosen = sum(self.making(x, f) for _, t in sum_.terms for f in t), []
                for sign, factors in sum_.terms:
                    if cost >= most:
                        break
                    way = min(self.term(b, node, plain, x, factors), key=lambda w: (w.plan.cost, w.plan.once))
                    cost += way.plan.cost + _calls(way)
                    if way.halved is not None:
                        # The products that were opened are made by nobody.
                        cost -= sum(map(self.opening, factors))
                    chosen.append((sign, way))
                if cost < most and not all(_alike(plain, way) for _, way in chosen):
                    best = (cost, chosen, sum_.nonnegative)
        if best is None:
            return None
        # A term may itself have a factor that is a sum.
        made = [(s, self.distribute(b, node, old, way) or self.made(b, way, node.axes)) for s, way in best[1]]
        made = [
            (-s, x.inputs[0]) if x.kind is Kind.MAP and x.attrs[0].tree == ("neg", slot(0)) else (s, x) for s, x in made
        ]
        parts = [(s, b.order(x, node.axes)) for s, x in made]
        signed: list[Tree] = [slot(k) if s > 0 else ("neg", slot(k)) for k, (s, _) in enumerate(parts)]
        tree: Tree = ("add", *signed) if len(parts) > 1 else signed[0]
        total = b.map(tree, [x for _, x in parts], "real")
        return b.map(("maximum", slot(0), num(0.0)), [total], "real") if best[2] else total

    def price(self, x: Node, plain: Way) -> float:
        """What each call pays for the plain form, the making of `x` included where it is made for this sum alone."""
        own = 0.0
        while x.kind is Kind.REINDEX:
            x = x.inputs[0]
        if x.kind is Kind.MAP and self.single(x) and not self.static(x):
            own = ELEMENTWISE * self.sizes.count(x.axes) * kernel_flops(x.attrs[0].tree)
        return plain.plan.cost + own

    def making(self, x: Node, f: Node) -> float:
        """What each call pays to make a factor of a term of x that x itself does not read."""
        while f.kind is Kind.REINDEX:
            f = f.inputs[0]
        if f.kind is not Kind.MAP or is_product(f) or self.static(f) or any(f is y for y in x.inputs):
            return 0.0
        return ELEMENTWISE * self.sizes.count(f.axes) * kernel_flops(f.attrs[0].tree)

    def opening(self, x: Node) -> float:
        """What each call pays for the products that `x` is made of and that nobody else reads."""
        cost, stack = 0.0, [x]
        while stack:
            n = stack.pop()
            if n.kind is Kind.REINDEX or (is_product(n) and self.single(n) and not self.static(n)):
                stack += n.inputs
                if n.kind is Kind.CONTRACT:
                    cost += self.sizes.count(axes_of(n.inputs).values())
        return cost

    def sums(self, b: Builder, old: Node, x: Node, plain: Way) -> list[Sum]:
        """The ways to read a factor as a sum."""
        found = [s for s in (linear_terms(b, x),) if s is not None]
        others = [y for g in plain.groups for y in g.factors if y is not x]
        if old.uid in self.smooth:
            difference = difference_terms(b, x, others, self.sizes, squares=self.double and old.uid not in self.guarded)
            found += [difference] if difference is not None else []
        return found

    def term(self, b: Builder, node: Node, plain: Way, x: Node, factors: list[Node]) -> list[Way]:
        """The ways to compute the product with `x` replaced by the factors of one of its terms."""
        ways: list[Way] = []
        refused = False

        def single(x: Node) -> bool:
            nonlocal refused
            alone = self.single(x)
            refused = refused or not alone
            return alone

        for through in (single, lambda n: True):
            if ways and not refused:
                break
            whole = plain.product.copy()
            whole.factors = [y for y in whole.factors if y is not x]
            for f in factors:
                if f.kind is Kind.CONST and f.op == "number":
                    whole.value = whole.value * f.attrs[0]
                    continue
                expansion = Expansion(b, through)
                expansion.taken.update(axes_of(plain.product.factors), node.names, whole.bound)
                expansion.taken.update(n for y in whole.factors for n in y.names)
                below = f
                while below.kind is Kind.REINDEX:
                    below = below.inputs[0]
                opens = is_product(below) and (through(below) or below.kind is Kind.MAP)
                inner = expansion.run(f) if opens else Product(1, [f])
                whole.value = whole.value * inner.value
                whole.factors += inner.factors
                whole.bound |= inner.bound
            ways.append(self.way(b, node.names, whole))
        return ways


def traffic(way: Way) -> float:
    """What a call pays for the operations of a way and for what these read and write."""
    return way.plan.cost + TRAFFIC * way.plan.moved


def _alike(plain: Way, way: Way) -> bool:
    """Whether a term takes the loop over elements that the whole sum takes once, but for sums that are made before: nothing is
    gained but a shorter kernel."""
    if len(plain.groups) != 1 or any(g.static for g in way.groups):
        return False
    own = plain.groups[0].axes
    alone = {n for n in way.product.bound if n not in own and sum(n in g.axes for g in way.groups) == 1}
    return all(g.axes - alone == own for g in way.groups)


def _calls(way: Way) -> float:
    """What a call pays for the sums of a way, whatever their sizes."""
    return CALL * (way.plan.calls or way.plan.once < LEAST) if way.groups else 0.0


def _moving(graph: Graph) -> dict[int, frozenset[str]]:
    """The params that move in the loops that compute a node, for nodes that are computed in loops of many steps only."""
    known = graph.notes.get("moving", {})
    found: dict[int, frozenset[str] | None] = {}
    for entry in graph.entries if known else ():
        m = known.get(entry.name)
        own = m.params if m is not None and m.many and entry.kind != "objective" else None
        for node in topological(r.node for r in entry.results):
            before = found.get(node.uid, frozenset())
            found[node.uid] = None if own is None or before is None else before | own
    return {uid: params for uid, params in found.items() if params is not None}


def _is_one(node: Node) -> bool:
    return node.kind is Kind.CONST and node.op == "number" and node.attrs[0] == 1
