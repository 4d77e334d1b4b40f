"""What becomes of a number that is only read in exponents: the factors with which it gets there.

An error of a number d is one of `c*d` where an exponential or a logarithm of a sum of exponentials reads it times c, and there an
absolute error is a relative one of a weight. So a sum that is off by little beside 1/c may stand for the exact one, however small
that is itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot, slots, substitute
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.passes.patterns import factors, number_of, product, terms

# Weights that a factorisation or a function that the graph does not look into reads may not be off by more than rounding: its
# condition multiplies errors.
SENSITIVE = frozenset({Kind.LINALG, Kind.CALL, Kind.CUMULATE, Kind.REGION})
# Through these a weight stays a number of its own; sums of weights have relative errors as small as theirs.
ALONG = frozenset({Kind.MAP, Kind.REINDEX, Kind.CONCAT, Kind.WINDOW, Kind.GATHER, Kind.SCATTER, Kind.STOP})


@dataclass(frozen=True, slots=True)
class Factor:
    """A number times kernels over nodes, each given by its tree and operands: with this an exponent has what it is made of."""

    number: float = 1.0
    parts: tuple[tuple[Tree, tuple[Node, ...]], ...] = ()

    def times(self, tree: Tree, inputs: Sequence[Node]) -> Factor:
        """The factor times a kernel."""
        value, rest = number_of(factors(tree))
        number = self.number * abs(float(value))
        if not rest:
            return Factor(number, self.parts)
        tree = product(rest)
        used = sorted(slots(tree))
        own = substitute(tree, {k: slot(j) for j, k in enumerate(used)}), tuple(inputs[k] for k in used)
        return Factor(number, (*self.parts, own))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What the factor is computed from."""
        return tuple(x for _, inputs in self.parts for x in inputs)


def exponents(x: Node, readers: Mapping[int, Sequence[Node]], roots: frozenset[int]) -> list[Factor] | None:
    """The factors with which exponents read x; None where anything else reads it. `roots` are read from outside."""
    found: dict[Factor, None] = {}
    stack = [(x, Factor())]
    while stack:
        node, factor = stack.pop()
        if node.uid in roots or not readers.get(node.uid):
            return None
        for reader in readers[node.uid]:
            if reader.kind is Kind.REINDEX:
                stack.append((reader, factor))
            elif reader.kind is Kind.REDUCE and reader.op == "logsumexp":
                found[factor] = None
            elif reader.kind is Kind.MAP:
                slopes = _slopes(reader, node)
                if slopes is None:
                    return None
                outside, inside = slopes
                if outside is not None:
                    stack.append((reader, factor.times(outside, reader.inputs)))
                if inside and _reaches_sensitive(reader, readers):
                    return None
                found.update((factor.times(t, reader.inputs), None) for t in inside)
            else:
                return None
    return list(found)


def _slopes(reader: Node, x: Node) -> tuple[Tree | None, list[Tree]] | None:
    """The factor of x in a map that is affine in it (None: it is not in it), and those in the exponents of the map; None where
    x is anywhere else."""
    inside: list[Tree] = []
    places = frozenset(k for k, y in enumerate(reader.inputs) if y is x)

    def outside(tree: Tree) -> list[Tree] | None:
        # The factors of x in a sum, or None where the tree is not affine in x outside of exponentials.
        if not slots(tree) & places:
            return []
        if tree[0] == "x":
            return [num(1)]
        if tree[0] in ("add", "sub", "neg"):
            whole: list[Tree] = []
            for _, t in terms(tree):
                part = outside(t)
                if part is None:
                    return None
                whole += part
            return whole
        if tree[0] == "exp":
            exponent = outside(tree[1])
            if exponent is None:
                return None
            inside.extend(exponent)
            return []
        if tree[0] in ("mul", "div"):
            parts = factors(tree)
            hit = [(t, e) for t, e in parts if slots(t) & places]
            rest = [(t, e) for t, e in parts if not slots(t) & places]
            sums = [outside(t) for t, _ in hit]
            if any(s is None for s in sums):
                return None
            linear = [s for s in sums if s]
            if not linear:
                return []
            if len(hit) > 1 or hit[0][1] != 1:
                return None
            return [product([(t, 1), *rest]) for t in linear[0]]
        return None

    found = outside(reader.attrs[0].tree)
    if found is None or (found and inside):
        return None
    return (found[0] if len(found) == 1 else ("add", *(("abs", t) for t in found)) if found else None), inside


def _reaches_sensitive(node: Node, readers: Mapping[int, Sequence[Node]]) -> bool:
    """Whether what is sensitive to errors reads a node as it is, not only sums of it."""
    seen: set[int] = set()
    stack = [node]
    while stack:
        x = stack.pop()
        for reader in readers.get(x.uid, ()):
            if reader.kind in SENSITIVE:
                return True
            if reader.kind in ALONG and reader.uid not in seen:
                seen.add(reader.uid)
                stack.append(reader)
    return False


def largest(b: Builder, factor: Factor) -> Node:
    """A bound on the size of a factor: the product of the largest sizes of its parts."""
    found = [b.number(factor.number)]
    for tree, inputs in factor.parts:
        size = b.map(("abs", tree), inputs, "real")
        found.append(b.reduce("max", size, size.names))
    return b.mul(found)


__all__ = ["Factor", "exponents", "largest"]
