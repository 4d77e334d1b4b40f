"""A factor that terms of a sum have in common stands outside of the sum: w*x + w*y is w*(x + y).

The terms may be operands that nobody else reads, such as sums out of which a weight was taken, each by itself. A factor is taken
out where it is then made or multiplied less often: where it is more than an operand, or comes with an operand that is opened.
Operands with products of matrices stay closed: sums of these are for `together` and for the pass `share`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import kernel_flops
from vspec.compiler.graph.kernel import Kernel, Tree, slots, substitute, walk
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.passes.patterns import Factor, Scope, factors, opened_map, product, terms, total

Tells = Callable[[Node], bool]

SUMS, PRODUCTS = frozenset({"add", "sub"}), frozenset({"mul", "neg", "x", "num"})
# Longer sums are looked at no further, nor operands of operands below this.
MOST, DEPTH = 32, 4


def outside(b: Builder, node: Node, single: Tells, static: Tells) -> Node | None:
    """A map with common factors outside of its sums; None where there are none, or nothing is saved.

    `single` tells what has one reader, and may be opened; of what has more, plain products may, which cost as much in either
    place. `static` tells what is computed once per run, and stays closed.
    """
    k: Kernel = node.attrs[0]
    if node.dtype != "real" or not _has_sums(k):
        return None
    names = set(node.names)

    def openable(x: Node) -> bool:
        return set(x.names) == names and x.dtype == "real" and not static(x)

    sums = _Sums(Scope(b, node.inputs), openable, single)
    better = sums.visited(k.tree)
    if better is k.tree or kernel_flops(better) > kernel_flops(k.tree) + sum(sums.opened.values()):
        return None
    found = b.map(better, sums.scope.inputs, node.dtype)
    return b.order(found, node.axes) if found.axes != node.axes else found


@cache
def _has_sums(k: Kernel) -> bool:
    """Whether a kernel has a sum of at least two terms with slots."""
    return any(t[0] in SUMS and sum(bool(slots(c)) for c in t[1:]) > 1 for t in walk(k.tree))


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of a sum: its sign, its factors as they stand and with operands opened, and what each of these costs by itself."""

    sign: int
    closed: tuple[Factor, ...]
    opened: tuple[Factor, ...]
    operands: tuple[tuple[Node, int], ...]

    def has(self, factor: Tree) -> bool:
        """Whether a tree is one of the factors."""
        return (factor, 1) in self.opened


class _Sums:
    """The sums of one kernel. `opened`: what the operands cost that are opened and then made by nobody."""

    def __init__(self, scope: Scope, openable: Tells, single: Tells) -> None:
        self.scope = scope
        self.openable = openable
        self.single = single
        self.opened: dict[int, int] = {}

    def visited(self, tree: Tree) -> Tree:
        """A tree with common factors outside of its sums; itself where there are none."""
        if tree[0] in ("x", "num"):
            return tree
        if tree[0] in SUMS and (found := self.summed(self.terms(tree))) is not None:
            return found
        children = [self.visited(t) for t in tree[1:]]
        return tree if all(map(_is, children, tree[1:])) else (tree[0], *children)

    def terms(self, tree: Tree) -> list[_Term]:
        """The terms of a sum."""
        found = []
        for sign, t in terms(tree):
            closed = tuple(factors(t))
            operands: list[tuple[Node, int]] = []
            opened = tuple(g for f in closed for g in self.inside(f, operands, DEPTH))
            found.append(_Term(sign, closed, opened, tuple(operands)))
        return found

    def inside(self, factor: Factor, operands: list[tuple[Node, int]], depth: int) -> list[Factor]:
        """The factors of a factor that is an operand which may be opened; otherwise itself alone."""
        tree, exponent = factor
        x = self.scope.operand(tree) if exponent == 1 and depth else None
        found = opened_map(self.scope.b, x) if x is not None and self.openable(x) else None
        if x is None or found is None or found[0][0] in SUMS or not (self.single(x) or _plain(found[0])):
            return [factor]
        if any(_base(y).kind is Kind.CONTRACT for y in found[1]):
            return [factor]
        operands.append((x, kernel_flops(found[0]) if self.single(x) else 0))
        inner = substitute(found[0], {k: self.scope.slot(i) for k, i in enumerate(found[1])})
        return [g for f in factors(inner) for g in self.inside(f, operands, depth - 1)]

    def summed(self, left: Sequence[_Term]) -> Tree | None:
        """The sum with the factors that several of its terms have outside; None where no terms have any in common."""
        if not 2 <= len(left) <= MOST:
            return None
        done: list[tuple[int, Tree]] = []
        while (common := _common(left)) is not None:
            inside = [t for t in left if t.has(common)]
            left = [t for t in left if not t.has(common)]
            self.opened.update((x.uid, cost) for t in inside for x, cost in t.operands)
            rest = [_Term(t.sign, own := _without(t.opened, common), own, ()) for t in inside]
            # What is left may have further factors in common.
            inner = self.summed(rest) or total([(t.sign, product(t.closed)) for t in rest])
            done.append((1, product([(common, 1), *factors(inner)])))
        return total([*done, *((t.sign, product(t.closed)) for t in left)]) if done else None


def _common(left: Sequence[_Term]) -> Tree | None:
    """The factor that most terms have, at least two, and that is worth to be taken out."""
    counts: dict[Tree, int] = {}
    inner: set[Tree] = set()
    for t in left:
        own = {f: None for f, e in t.opened if e == 1 and slots(f)}
        inner |= own.keys() - {f for f, _ in t.closed}
        for f in own:
            counts[f] = counts.get(f, 0) + 1
    worth = [f for f, n in counts.items() if n > 1 and (f[0] != "x" or f in inner)]
    return max(worth, key=lambda f: (counts[f], kernel_flops(f)), default=None)


def _base(x: Node) -> Node:
    return x.inputs[0] if x.kind is Kind.REINDEX else x


def _plain(tree: Tree) -> bool:
    return all(t[0] in PRODUCTS for t in walk(tree))


def _without(parts: Sequence[Factor], common: Tree) -> tuple[Factor, ...]:
    k = parts.index((common, 1))
    return (*parts[:k], *parts[k + 1 :])


def _is(one: Tree, other: Tree) -> bool:
    return one is other


__all__ = ["outside"]
