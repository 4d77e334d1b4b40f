"""Linear terms with deltas kept apart: the currency of both sweeps.

A derivative of an indexed quantity by an indexed quantity starts as a product of Kronecker deltas. Multiplying them
out would make dense identity matrices; so an adjoint or tangent is a sum of terms, each a node times `delta[a, b]` for
some pairs of axes.
Summing over an axis of a pair renames it to its partner; that is all the index algebra a Jacobian needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.node import Axis, Node

Pairs = frozenset[tuple[str, str]]
NO_PAIRS: Pairs = frozenset()


def pair(a: str, b: str) -> tuple[str, str]:
    """An unordered pair of axis names."""
    return (a, b) if a <= b else (b, a)


@dataclass(frozen=True, slots=True)
class Term:
    """`node` times the deltas of `pairs`. The node may lack axes along which the term is constant."""

    node: Node
    pairs: Pairs = NO_PAIRS


@dataclass(slots=True)
class Terms:
    """Sums of terms, gathered by their deltas."""

    by_pairs: dict[Pairs, list[Node]] = field(default_factory=dict)

    def add(self, term: Term) -> None:
        """Adds a term; a zero is dropped."""
        if not is_number(term.node, 0):
            self.by_pairs.setdefault(term.pairs, []).append(term.node)

    def collect(self, b: Builder) -> list[Term]:
        """One term per set of deltas."""
        return [Term(b.add(nodes), pairs) for pairs, nodes in self.by_pairs.items()]


class Algebra:
    """Operations on terms that need to know the dim of every axis name."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self.dims: dict[str, str] = {}

    def see(self, axes: Iterable[Axis]) -> None:
        """Remember the dims of these axes."""
        for a in axes:
            self.dims[a.name] = a.dim

    def fresh(self, axis: Axis) -> Axis:
        """A new axis of the same dim."""
        new = Axis(self.b.fresh(axis.name), axis.dim)
        self.dims[new.name] = new.dim
        return new

    def axis(self, name: str) -> Axis:
        """The axis of that name."""
        return Axis(name, self.dims[name])

    def sum(self, term: Term, over: Iterable[str]) -> Term:
        """The sum over some axes: a delta renames, an axis that the term lacks counts its size."""
        node, pairs = term.node, set(term.pairs)
        plain: list[str] = []
        for name in dict.fromkeys(over):
            hit = next((p for p in sorted(pairs) if name in p), None)
            if hit is None:
                plain.append(name)
                continue
            pairs.discard(hit)
            other = hit[1] if hit[0] == name else hit[0]
            node = self.b.rename(node, {name: other})
            pairs = {pair(*(other if x == name else x for x in p)) for p in pairs}
            pairs = {p for p in pairs if p[0] != p[1]}
        if plain:
            node = self.b.reduce("sum", node, plain, self.dims)
        return Term(node, frozenset(pairs))

    def rename(self, term: Term, names: Mapping[str, str]) -> Term:
        """Renames axes in the node and in the deltas at once; a pair that meets itself is one."""
        node = self.b.rename(term.node, names)
        pairs = {pair(names.get(x, x), names.get(y, y)) for x, y in term.pairs}
        return Term(node, frozenset(p for p in pairs if p[0] != p[1]))

    def settle(self, term: Term, touched: Collection[str] | None = None) -> Term:
        """Multiplies out the deltas that involve an axis of `touched` (all of them for None)."""
        hit = [p for p in sorted(term.pairs) if touched is None or p[0] in touched or p[1] in touched]
        node = term.node
        for x, y in hit:
            # Along a delta, the node may be read at either partner: one of them suffices.
            if x in node.names and y in node.names:
                node = self.b.rename(node, {y: x})
            node = self.b.mul([node, self.b.delta(self.axis(x), self.axis(y))])
        return Term(node, term.pairs.difference(hit))

    def spread(self, node: Node, names: Iterable[str]) -> Node:
        """The node with these axes present, broadcast where it lacks them."""
        missing = [self.axis(n) for n in names if n not in node.names]
        return self.b.order(node, (*node.axes, *missing)) if missing else node
