"""Factors read as sums of terms, over which an outer sum may be distributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import Tree, num, slot, walk
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.passes.patterns import factors, number_of, product, terms

MOST_TERMS = 4
# Sizes from which on a matrix product of differences pays for the centring.
LEAST_SUMMED = 8
LEAST_OUTER = 64

ROUGH = frozenset({"sqrt", "log", "xlogy", "pow", "div", "atan2", "log1p"})


@dataclass(slots=True)
class Sum:
    """Signed terms, each a list of factors; `nonnegative` if the sum of what they are multiplied with cannot be negative."""

    terms: list[tuple[int, list[Node]]]
    nonnegative: bool = False


def linear_terms(b: Builder, x: Node) -> Sum | None:
    """A map that is a sum, as its terms. Differences of values over different axes are for `difference_terms`."""
    opened = sum_kernel(b, x)
    if opened is None:
        return None
    tree, inputs = opened
    parts = terms(tree)
    if not 2 <= len(parts) <= MOST_TERMS:
        return None
    nodes = [(s, b.map(t, inputs)) for s, t in parts]
    if not any(set(n.names) == set(x.names) for _, n in nodes):
        return None
    return Sum([(s, [n]) for s, n in nodes])


def sum_kernel(b: Builder, x: Node) -> tuple[Tree, list[Node]] | None:
    inner, to = x, {n: n for n in x.names}
    while inner.kind is Kind.REINDEX:
        below = inner.inputs[0]
        to = {n: to[t] for n, t in zip(below.names, inner.attrs[0], strict=True)}
        inner = below
    if inner.kind is not Kind.MAP or inner.dtype != "real" or inner.attrs[0].tree[0] not in ("add", "sub"):
        return None
    return inner.attrs[0].tree, [b.reindex(i, tuple(to[n] for n in i.names)) for i in inner.inputs]


def difference_terms(b: Builder, x: Node, others: Sequence[Node], sizes: Sizes, squares: bool = True) -> Sum | None:
    """u - v and, where `squares` says so, (u - v)**2, with u and v over different axes, as a polynomial in u and v less their
    common centre."""
    power, opened = 1, sum_kernel(b, x)
    if opened is None and x.kind is Kind.MAP:
        parts = factors(x.attrs[0].tree)
        if len(parts) == 1 and parts[0][1] == 2 and parts[0][0][0] == "sub":
            power, opened = 2, (parts[0][0], list(x.inputs))
        elif len(parts) == 1 and parts[0][1] == 2 and parts[0][0][0] == "x":
            # The square of a difference that is a node of its own.
            power, opened = 2, sum_kernel(b, x.inputs[0])
    if opened is None:
        return None
    parts_ = terms(opened[0])
    if len(parts_) != 2 or parts_[0][0] == parts_[1][0]:
        return None
    (sign, first), (_, second) = parts_
    scale, first, second = _common_number(first, second)
    u, v = b.map(first, opened[1]), b.map(second, opened[1])
    apart = [a for a in u.axes if a.name not in v.names], [a for a in v.axes if a.name not in u.names]
    common = [a for a in u.axes if a.name in v.names]
    if not all(apart) or (power == 2 and not squares):
        return None
    if power == 2 and (min(map(sizes.count, apart)) < LEAST_OUTER or sizes.count(common) < LEAST_SUMMED):
        return None
    over = [a.name for a in apart[0]]
    total = b.reduce("sum", u, over)
    count = b.mul([b.size(a.dim) for a in apart[0]])
    centre = b.map(("div", slot(0), slot(1)), [total, count], "real")
    u, v = (b.map(("sub", slot(0), slot(1)), [n, centre], "real") for n in (u, v))
    if power == 1:
        return Sum([(sign, [b.number(scale), u]), (-sign, [b.number(scale), v])])
    parabolas = [b.map(("pow", slot(0), num(2)), [n], "real") for n in (u, v)]
    square = b.number(scale**2)
    terms_ = [(1, [square, parabolas[0]]), (1, [square, parabolas[1]]), (-1, [b.number(2 * scale**2), u, v])]
    return Sum(terms_, all(is_even(y) for y in others))


def _common_number(first: Tree, second: Tree) -> tuple[Any, Tree, Tree]:
    """The number by which both are multiplied, and both without it."""
    (one, rest), (other, left) = number_of(factors(first)), number_of(factors(second))
    if one != other or one in (0, 1):
        return 1, first, second
    return one, product(rest), product(left)


def is_even(x: Node) -> bool:
    """Whether a factor is nonnegative by its form."""
    while x.kind is Kind.REINDEX:
        x = x.inputs[0]
    if x.kind is not Kind.MAP:
        return False
    return all(
        e % 2 == 0 or t[0] in ("exp", "abs") or (t[0] == "num" and t[1] > 0) for t, e in factors(x.attrs[0].tree)
    )


def smooth_readers(nodes: Sequence[Node]) -> frozenset[int]:
    """The nodes that no reader divides by or takes a root or logarithm of: where a small error stays small."""
    rough: set[int] = set()
    for node in sorted(nodes, key=lambda n: -n.uid):
        if node.kind is Kind.REINDEX and node.uid in rough:
            rough.add(node.inputs[0].uid)
        elif node.kind is Kind.MAP:
            for t in walk(node.attrs[0].tree):
                if t[0] in ROUGH:
                    below = t[2:] if t[0] == "div" else t[1:]
                    rough.update(node.inputs[s[1]].uid for c in below for s in walk(c) if s[0] == "x")
    return frozenset(n.uid for n in nodes) - rough
