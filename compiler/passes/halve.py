"""Pairs of elements of one dim are taken once: what is the same, or the negative, in either order is computed for one order.

A sum over two axes of one dim, or over one of them, whose terms are arrays over both is looked at as two sums: over the pairs
in which the first index is the lower one, and over those in which it is the higher one. The arrays of either are kept along one
axis of n(n - 1)/2 pairs; what is even or odd under the exchange of the axes (`exchange.py`) has the same array in both, and what
is zero on one side of the diagonal has none there. Operands with one of the axes are gathered at the positions of the pairs;
where one axis stays, pairs are added at the position that they have along it. The diagonal is a term of its own.

This pays where terms cost more than gathers and sums, as functions of distances do. It is made and counted for all sums that
share an array over pairs at once, and left out where it does not pay; `by=pairs` in one of them asks for it whatever it costs,
`by=whole` and `by=blocks` for arrays over all pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vspec.compiler.graph.builder import Builder, union_axes
from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import slots
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.orders import PAIRS, over_pairs
from vspec.compiler.graph.rewrite import Sweep, all_nodes, with_results
from vspec.compiler.graph.strategy import Candidate, Choice, NoFormError, with_choices
from vspec.compiler.passes import fold, intern, turned
from vspec.compiler.passes.exchange import DEPTH, Exchange, below
from vspec.compiler.passes.pair_sums import ASKED, Sink, asked_dims, few, no_sink, sink, way

DOC = "No array over pairs of one dim is computed in either order where sums need it in one order only and that is less work."

# An element that is gathered, or added at a position, costs about as much as so many operations, and a row of them as many more.
GATHERED, GATHERED_ROW = 2, 20
ADDED, ADDED_ROW = 4, 60
# A term of a product of matrices costs about this part of another operation.
PRODUCT = 16
# What fewer operations than these, or a smaller part of them, would save is left as it is.
LEAST, SHARE = 4096, 0.05
# Groups of sums that are tried one by one; those after them are left alone.
GROUPS = 16


def run(graph: Graph) -> Graph:
    """The graph with pairs taken once. Raises NoFormError where this is asked for in vain."""
    if not any(_twice(n.axes) or way(n) == ASKED for n in all_nodes(graph)):
        return graph
    before, exchange = graph, Exchange(graph.classes.all(graph.nodes))
    graph = turned.run(graph, exchange)
    if graph is not before:
        exchange = Exchange(graph.classes.all(graph.nodes))
    best, cost = graph, _Counted(graph)
    chosen: list[Choice] = []
    taken: dict[int, Sink] = {}
    for group in _groups(graph, exchange):
        trial = {**taken, **{s.node.uid: s for s in group.sinks}}
        made = intern.run(_Pairs(graph, exchange, trial).graph())
        counted = _Counted(made)
        pays = cost.total - counted.total > max(LEAST, SHARE * cost.pairs)
        once = group.asked == ASKED if group.asked else pays
        if once or group.asked:
            chosen += _noted(group, once, cost, counted)
        if once:
            best, cost, taken = made, counted, trial
    if not taken:
        return with_choices(graph, chosen)
    # Kernels without comparisons that are decided have a shorter normal form, and join with others.
    return with_choices(intern.run(fold.run(best)), chosen)


@dataclass(frozen=True, slots=True)
class _Group:
    """Sums that share arrays over pairs, and how one of them says that they are evaluated, '' where cost decides."""

    sinks: tuple[Sink, ...]
    asked: str = ""


def _groups(graph: Graph, exchange: Exchange) -> list[_Group]:
    """The sums that can be taken over pairs, those that share an array over pairs together: first what is asked for, then the
    others in order of creation."""
    nodes = all_nodes(graph)
    asked = asked_dims(nodes)
    probe, sizes = _Pairs(graph, exchange, {}), Sizes.of(graph)
    groups: list[tuple[dict[int, Node], list[Sink]]] = []
    for n in nodes:
        s = sink(graph, n, asked) if n.uid in exchange.classes.faces else None
        read = probe.arrays(s) if s is not None else None
        if s is None or read is None:
            if way(n) == ASKED:
                reason = no_sink(graph, n) if s is None else probe.reason(s)
                raise NoFormError("sum over pairs cannot take each of them once", reason, n.origin)
            continue
        read[n.uid] = n
        together = [g for g in groups if g[0].keys() & read.keys()]
        groups = [g for g in groups if not g[0].keys() & read.keys()]
        for g in together:
            read = g[0] | read
        groups.append((read, [*(t for g in together for t in g[1]), s]))
    told, free = [], []
    for arrays, sinks in groups:
        words = {way(s.node) for s in sinks} - {""}
        if ASKED in words:
            # A sum that says otherwise makes its own arrays over all pairs.
            told.append(_Group(tuple(s for s in sinks if way(s.node) in ("", ASKED)), ASKED))
        elif words:
            told.append(_Group(tuple(sinks), min(words)))
        elif few(graph, sinks[0].u.dim) and sum(_cost(x, sizes) for x in arrays.values()) > LEAST:
            # No more can be saved than what all of it costs.
            free.append(_Group(tuple(sinks)))
    return [*told, *free[:GROUPS]]


def _twice(axes: Sequence[Axis]) -> bool:
    return len({a.dim for a in axes}) < len(axes)


class _Pairs(Sweep):
    """The sweep that takes some sums over pairs."""

    def __init__(self, of: Graph, exchange: Exchange, sinks: Mapping[int, Sink]) -> None:
        super().__init__(Builder(of.dims), self.summed)
        self.of = of
        self.exchange = exchange
        self.sinks = sinks
        self.made: dict[tuple[int, str, str], Node] = {}
        self.axes: dict[str, Axis] = {}
        self.taken = {a.name for n in all_nodes(of) for a in n.axes} if sinks else set()

    def graph(self) -> Graph:
        """The graph with the sums replaced."""
        self.run(self.of.roots)
        done = with_results(self.of, self.b, lambda n: self.new[n.uid])
        return replace(done, dims=self.b.dims)

    def summed(self, b: Builder, node: Node, old: Node) -> Node:
        """The node, or its sum over pairs."""
        s = self.sinks.get(old.uid)
        return node if s is None else b.order(self.total(s), old.axes)

    # --- what a sum reads -------------------------------------------------------------------------------------------------

    def arrays(self, s: Sink) -> dict[int, Node] | None:
        """The arrays over pairs below a sum, by uid; None where one is not taken apart or where nothing would be saved."""
        found: dict[int, Node] = {}
        u, v = s.u.name, s.v.name
        if not self.saves(s):
            return None
        stack = [(x, u, v, DEPTH) for x in s.factors]
        while stack:
            x, u, v, depth = stack.pop()
            if x.uid in found or u not in x.names or v not in x.names:
                continue
            if x.kind is Kind.INDEX and x.op == "delta":
                continue
            if depth == 0 or not _opened(x):
                return None
            found[x.uid] = x
            if x.kind is Kind.REINDEX:
                inner = below(x, u, v)
                if inner is None:
                    return None
                stack.append((x.inputs[0], inner[0] or "", inner[1] or "", depth - 1))
            else:
                stack += [(y, u, v, depth - 1) for y in x.inputs]
        return found

    def saves(self, s: Sink) -> bool:
        """Whether something of a sum is needed in one order only."""
        if self.zero(s, "lt") or self.zero(s, "gt") or self.parity(s) is not None:
            return True
        return any(self.even(x, s.u.name, s.v.name) for x in s.factors)

    def reason(self, s: Sink) -> str:
        """Why a sum that has no `arrays` has none."""
        u, v = sorted(n.split("~")[0] for n in (s.u.name, s.v.name))
        if not self.saves(s):
            return f"nothing in its terms is the same, its negative or zero with '{u}' and '{v}' exchanged"
        return f"an array over '{u}' and '{v}' in its terms is not made pair by pair, or says itself how"

    def even(self, x: Node, u: str, v: str) -> bool:
        """Whether something below a factor is the same or the negative in either order."""
        stack = [(x, u, v)]
        seen: set[tuple[int, str, str]] = set()
        while stack:
            x, u, v = stack.pop()
            if (x.uid, u, v) in seen or u not in x.names or v not in x.names or len(seen) > DEPTH:
                continue
            seen.add((x.uid, u, v))
            if self.exchange.parity(x, u, v) is not None:
                return True
            if x.kind is Kind.REINDEX:
                inner = below(x, u, v)
                if inner is not None:
                    stack.append((x.inputs[0], inner[0] or "", inner[1] or ""))
            elif _opened(x):
                stack += [(y, u, v) for y in x.inputs]
        return False

    def zero(self, s: Sink, relation: str) -> bool:
        """Whether the terms of a sum are zero on one side of the diagonal, or on it."""
        return any(self.exchange.zero(x, s.u.name, s.v.name, relation) for x in s.factors)

    def parity(self, s: Sink) -> int | None:
        """Whether the product of the factors is even (1) or odd (-1) in the two axes."""
        sign = 1
        for x in s.factors:
            found = self.exchange.parity(x, s.u.name, s.v.name)
            if found is None:
                return None
            sign *= found
        return sign

    # --- sums -------------------------------------------------------------------------------------------------------------

    def total(self, s: Sink) -> Node:
        """A sum as sums over pairs, and over the diagonal."""
        b, parity, p = self.b, self.parity(s), self.axis(s.u.dim)
        rest = [a for a in s.node.axes if a.name != s.u.name]
        terms: list[Node] = []
        each = s.node
        if s.both and parity is not None:
            if parity == 1 and not self.zero(s, "lt"):
                once = _summed(b, self.factors(s, s.u.name, s.v.name), rest)
                terms.append(b.map(("mul", ("num", 2), ("x", 0)), [once], "real"))
        else:
            for lower, higher, relation in ((s.u.name, s.v.name, "lt"), (s.v.name, s.u.name, "gt")):
                if self.zero(s, relation):
                    continue
                if s.both:
                    terms.append(_summed(b, self.factors(s, lower, higher), rest))
                elif relation == "lt" or parity is None:
                    each = _summed(b, self.factors(s, lower, higher), [p, *rest])
                    terms.append(self.added(each, s, 0 if relation == "lt" else 1))
                else:
                    added = self.added(each, s, 1)
                    terms.append(added if parity == 1 else b.neg(added))
        if parity != -1 and not self.zero(s, "eq"):
            diagonal = [b.rename(self.new[x.uid], {s.v.name: s.u.name}) for x in s.factors]
            terms.append(_summed(b, diagonal, rest if s.both else [s.u, *rest]))
        return b.order(b.add(terms) if terms else b.number(0.0), s.node.axes)

    def added(self, x: Node, s: Sink, which: int) -> Node:
        """Values of pairs added up at the lower (0) or the higher (1) of their positions."""
        rest = [a for a in s.node.axes if a.name != s.u.name]
        return self.b.scatter_gather(x, self.position(s.u.dim, which), s.u, rest)

    def factors(self, s: Sink, lower: str, higher: str) -> list[Node]:
        """The factors of a sum at the pairs of two axes."""
        return [self.packed(x, lower, higher) for x in s.factors]

    def axis(self, dim: str) -> Axis:
        """The axis of the pairs of a dim."""
        if dim not in self.axes:
            size = self.b.dims[dim]
            assert isinstance(size, int)
            self.b.dims[PAIRS + dim] = size * (size - 1) // 2
            self.axes[dim] = Axis(self.b.fresh("pair", self.taken), PAIRS + dim)
        return self.axes[dim]

    def position(self, dim: str, which: int) -> Node:
        """The lower (0) or the higher (1) position of each pair of a dim."""
        return self.b.pair(self.axis(dim), dim, which)

    # --- arrays -----------------------------------------------------------------------------------------------------------

    def packed(self, x: Node, lower: str, higher: str) -> Node:
        """x at the pairs of two axes, of which the index along `lower` is the lower one."""
        if lower not in x.names and higher not in x.names:
            return self.new[x.uid]
        key = (x.uid, lower, higher)
        if key not in self.made:
            with self.b.at(x.origin._replace(role="part")):
                found = self._packed(x, lower, higher)
                dim = x.axis(lower if lower in x.names else higher).dim
                axes = [self.axis(dim), *(a for a in x.axes if a.name not in (lower, higher))]
                self.made[key] = self.b.order(found, axes) if set(found.names) != {a.name for a in axes} else found
        return self.made[key]

    def _packed(self, x: Node, lower: str, higher: str) -> Node:
        b = self.b
        if lower not in x.names or higher not in x.names:
            name, which = (lower, 0) if lower in x.names else (higher, 1)
            if x.kind is Kind.REINDEX and (inner := _renamed(x, name)) is not None:
                found = self.packed(x.inputs[0], *((inner, "") if which == 0 else ("", inner)))
                p = self.axis(x.axis(name).dim).name
                shown = dict(zip(x.inputs[0].names, x.attrs[0], strict=True))
                return b.rename(found, {n: shown[n] for n in found.names if n != p})
            index = self.position(x.axis(name).dim, which)
            if x.kind is Kind.INDEX and x.op == "value":
                return index
            return b.gather(self.new[x.uid], index, name)
        # Of the two orders of what is even or odd, one is the one that is made.
        parity = self.exchange.parity(x, lower, higher)
        if parity is not None and lower > higher:
            found = self.packed(x, higher, lower)
            return found if parity == 1 else b.neg(found)
        if self.exchange.zero(x, lower, higher, "lt"):
            return b.number(0.0 if x.dtype == "real" else 0, x.dtype)
        if x.kind is Kind.MAP:
            tree = self.exchange.reduced(x, lower, higher, "lt")
            used = slots(tree)
            inputs = [self.packed(y, lower, higher) if k in used else y for k, y in enumerate(x.inputs)]
            return b.map(tree, inputs, x.dtype)
        if x.kind is Kind.REDUCE:
            return b.reduce(x.op, self.packed(x.inputs[0], lower, higher), x.attrs[0])
        pairs = self.axis(x.axis(lower).dim)
        if x.kind is Kind.CONTRACT:
            kept = [pairs, *(a for a in x.axes if a.name not in (lower, higher))]
            return b.contract([self.packed(y, lower, higher) for y in x.inputs], kept)
        assert x.kind is Kind.REINDEX
        names = below(x, lower, higher)
        assert names is not None
        found = self.packed(x.inputs[0], names[0] or "", names[1] or "")
        shown = dict(zip(x.inputs[0].names, x.attrs[0], strict=True))
        return b.rename(found, {n: shown[n] for n in found.names if n != pairs.name})


def _summed(b: Builder, factors: Sequence[Node], axes: Sequence[Axis]) -> Node:
    """The product of factors, summed over every axis that is not among `axes`."""
    names = {a.name for a in axes}
    over = [a.name for a in union_axes(factors) if a.name not in names]
    if len(factors) == 1:
        return b.order(b.reduce("sum", factors[0], over), axes)
    return b.contract(factors, axes) if over else b.order(b.mul(factors), axes)


def _opened(x: Node) -> bool:
    """Whether an operation over pairs is the same operation on packed operands."""
    if x.kind is Kind.REDUCE:
        return len(x.attrs) == 1
    return x.kind in (Kind.MAP, Kind.CONTRACT, Kind.REINDEX)


def _renamed(x: Node, name: str) -> str | None:
    """The name that an axis of a pure rename has in its operand."""
    targets: tuple[str, ...] = x.attrs[0]
    if len(set(targets)) < len(targets) or set(targets) != set(x.names):
        return None
    return x.inputs[0].names[targets.index(name)]


# --- costs ----------------------------------------------------------------------------------------------------------------


class _Counted:
    """What the nodes of a graph cost: operations, and what gathers and sums at positions take; and that of arrays over pairs."""

    def __init__(self, graph: Graph) -> None:
        sizes = Sizes.of(graph)
        costs = [(_cost(n, sizes), n) for n in all_nodes(graph)]
        self.total = sum(c for c, _ in costs)
        self.pairs = sum(c for c, n in costs if _over_pairs(n))


def _over_pairs(node: Node) -> bool:
    arrays = (node, *node.inputs)
    return any(over_pairs(x.axes) or _twice(x.axes) for x in arrays)


def _cost(node: Node, sizes: Sizes) -> float:
    if node.kind is Kind.GATHER:
        row = sizes.count(a for a in node.axes if a.name not in node.inputs[1].names)
        return sizes.count(node.inputs[1].axes) * (GATHERED * row + GATHERED_ROW)
    if node.kind is Kind.SCATTER and node.op == "gather":
        row = sizes.count(a for a in node.inputs[0].axes if a.name not in node.inputs[1].names)
        return sizes.count(node.inputs[1].axes) * (ADDED * row + ADDED_ROW)
    return flops(node, sizes) / (PRODUCT if _is_product(node) else 1)


def _is_product(node: Node) -> bool:
    """Whether a contraction is one product of two matrices, each with rows of its own: many small ones are as slow as loops."""
    if node.kind is not Kind.CONTRACT or len(node.inputs) != 2:
        return False
    one, other = ({n for n in x.names if n in node.names} for x in node.inputs)
    return bool(one and other) and not one & other


def _noted(group: _Group, once: bool, before: _Counted, after: _Counted) -> list[Choice]:
    """A row for the table of strategies for each place in the spec."""
    among = (Candidate("once", after.pairs), Candidate("in either order", before.pairs))
    chosen = among[0 if once else 1].name
    because = "asked for" if group.asked else "least cost"
    rows = []
    for s in group.sinks:
        origin = s.node.origin
        what = f"pairs of {s.u.dim}" + (f" in {origin.name}" if origin.name and origin.name[0] != "_" else "")
        rows.append(Choice("reduction", what, origin.line, chosen, among, because, origin.file))
    return list(dict.fromkeys(rows))


__all__ = ["DOC", "run"]
