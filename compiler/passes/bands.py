"""Where a matrix may differ from zero: an interval of column minus row, proved from the form of its entries.

`[0, 0]` is a diagonal matrix, `[-inf, 0]` a lower triangle, `[-1, 1]` three diagonals. Products of matrices add intervals,
products of entries intersect them, sums take the hull. `diagonals.py` reads one diagonal without making the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from vspec.compiler.graph.kernel import Tree, num
from vspec.compiler.graph.node import Kind, Node

# Functions of one argument that are zero where it is.
_ODD = frozenset(
    {"neg", "abs", "sign", "sqrt", "tanh", "sin", "tan", "asin", "atan", "sinh", "asinh", "atanh", "square", "relu"}
    | {"real", "integer", "expm1", "log1p", "erf", "floor", "ceil", "round"}
)
TURNED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
_NEGATED = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "eq": "ne", "ne": "eq"}

DEPTH = 24


@dataclass(frozen=True, slots=True)
class Band:
    """The least and the greatest column minus row at which an entry may differ from zero."""

    low: float
    high: float

    @property
    def full(self) -> bool:
        """Whether nothing is known."""
        return self.low == -inf and self.high == inf

    def __and__(self, other: Band) -> Band:
        return Band(max(self.low, other.low), min(self.high, other.high))

    def __or__(self, other: Band) -> Band:
        if self.low > self.high:
            return other
        if other.low > other.high:
            return self
        return Band(min(self.low, other.low), max(self.high, other.high))

    def __add__(self, other: Band) -> Band:
        return Band(self.low + other.low, self.high + other.high)

    def moved(self, by: float) -> Band:
        """The interval by so much further."""
        return Band(self.low + by, self.high + by)


FULL = Band(-inf, inf)
NOWHERE = Band(inf, -inf)
DIAGONAL = Band(0, 0)


def band(x: Node, r: str, c: str, depth: int = DEPTH) -> Band:
    """Where x[r, c] may differ from zero."""
    if x.kind is Kind.CONST and x.op == "number":
        return NOWHERE if x.attrs[0] == 0 else FULL
    if depth == 0 or r not in x.names or c not in x.names:
        return FULL
    if x.kind is Kind.INDEX:
        return DIAGONAL if x.op == "delta" and x.axes[0].dim == x.axes[1].dim else FULL
    if x.kind is Kind.MAP:
        tree = x.attrs[0].tree
        seen = _Kernel(x, r, c, depth - 1)
        return seen.holds(tree) if x.dtype == "boolean" else seen.support(tree)
    if x.kind is Kind.REINDEX:
        return _renamed(x, r, c, depth)
    if x.kind is Kind.STOP and x.op != "hold":
        return band(x.inputs[0], r, c, depth - 1)
    if x.kind is Kind.WINDOW or (x.kind is Kind.SCATTER and x.op == "affine"):
        return _moved(x, r, c, depth)
    if x.kind is Kind.CONTRACT or (x.kind is Kind.REDUCE and x.op == "sum"):
        return _summed(x, r, c, depth)
    if x.kind is Kind.LINALG and x.op == "cholesky" and set(x.attrs[1]) == {r, c}:
        rows, columns = x.attrs[0][0]
        within = band(x.inputs[0], rows, columns, depth - 1)
        reach = max(-within.low, within.high)
        return Band(-reach, 0) if x.attrs[1][0] == r else Band(0, reach)
    return FULL


def _renamed(x: Node, r: str, c: str, depth: int) -> Band:
    (inner,), targets = x.inputs, x.attrs[0]
    rows = [n for n, t in zip(inner.names, targets, strict=True) if t == r]
    columns = [n for n, t in zip(inner.names, targets, strict=True) if t == c]
    if len(rows) != 1 or len(columns) != 1:
        return FULL
    return band(inner, rows[0], columns[0], depth - 1)


def _moved(x: Node, r: str, c: str, depth: int) -> Band:
    """Of out[.., s, ..] = in[.., s + offset, ..] along an axis."""
    (inner,) = x.inputs
    if x.op == "shift":
        old = new = x.attrs[0]
        offset = x.attrs[1]
        if x.attrs[2] != "zero" and new in (r, c):
            return FULL
    elif x.op == "affine":
        old, new, scale, offset = x.attrs
        if x.kind is Kind.SCATTER:
            new, offset = new.name, -offset
        if scale != 1 and new in (r, c):
            return FULL
    elif x.op == "at":
        return band(inner, r, c, depth - 1)
    else:
        return FULL if x.attrs[0] in (r, c) else band(inner, r, c, depth - 1)
    below = band(inner, old if new == r else r, old if new == c else c, depth - 1)
    return below.moved(offset) if new == r else below.moved(-offset) if new == c else below


def _summed(x: Node, r: str, c: str, depth: int) -> Band:
    """The intervals between the axes of the summands, those that are summed over included, as far as they follow."""
    names = list(dict.fromkeys(n for i in x.inputs for n in i.names))
    if len(names) > 4:
        names = [r, c, *(n for n in names if n not in (r, c))][:4]
    known: dict[tuple[str, str], Band] = {}
    for i in x.inputs:
        for at, p in enumerate(names):
            for q in names[at + 1 :]:
                if p in i.names and q in i.names:
                    found = band(i, p, q, depth - 1) & known.get((p, q), FULL)
                    known[p, q], known[q, p] = found, Band(-found.high, -found.low)
    for k in names:
        for p in names:
            for q in names:
                if (p, k) in known and (k, q) in known and p != q:
                    known[p, q] = known.get((p, q), FULL) & (known[p, k] + known[k, q])
    return known.get((r, c), FULL)


class _Kernel:
    """The entries of a map along two of its axes."""

    def __init__(self, x: Node, r: str, c: str, depth: int) -> None:
        self.inputs, self.r, self.c, self.depth = x.inputs, r, c, depth

    def support(self, tree: Tree) -> Band:
        """Where a tree may differ from zero."""
        op = tree[0]
        if op == "x":
            return band(self.inputs[tree[1]], self.r, self.c, self.depth)
        if op == "num":
            return NOWHERE if tree[1] == 0 else FULL
        if op in ("add", "sub", "maximum", "minimum"):
            found = NOWHERE
            for t in tree[1:]:
                found = found | self.support(t)
            return found
        if op == "mul":
            found = FULL
            for t in tree[1:]:
                found = found & self.support(t)
            return found
        if op in ("div", "xlogy") or op in _ODD:
            return self.support(tree[1]) if op != "real" or not _boolean(tree[1]) else self.holds(tree[1])
        if op == "pow" and tree[2][0] == "num" and tree[2][1] > 0:
            return self.support(tree[1])
        if op == "where":
            yes = self.holds(tree[1]) & self.support(tree[2])
            return yes | (self.fails(tree[1]) & self.support(tree[3]))
        return FULL

    def holds(self, tree: Tree) -> Band:
        """Where a condition may hold."""
        if tree[0] in TURNED:
            return self.compared(tree[0], tree[1], tree[2])
        if tree[0] == "and":
            found = FULL
            for t in tree[1:]:
                found = found & self.holds(t)
            return found
        if tree[0] == "or":
            found = NOWHERE
            for t in tree[1:]:
                found = found | self.holds(t)
            return found
        if tree[0] == "not":
            return self.fails(tree[1])
        return self.support(tree) if tree[0] == "x" else FULL

    def fails(self, tree: Tree) -> Band:
        """Where a condition may fail."""
        if tree[0] in _NEGATED:
            return self.compared(_NEGATED[tree[0]], tree[1], tree[2])
        if tree[0] == "not":
            return self.holds(tree[1])
        if tree[0] in ("and", "or"):
            turned = tuple(("not", t) for t in tree[1:])
            return self.holds(("or" if tree[0] == "and" else "and", *turned))
        return FULL

    def compared(self, op: str, left: Tree, right: Tree) -> Band:
        """Where a comparison of the two indices holds."""
        if right[0] == "abs":
            op, left, right = TURNED[op], right, left
        if left[0] == "abs" and right[0] == "num":
            reach = right[1] if op in ("le", "eq") else right[1] - 1 if op == "lt" else inf
            found = linear(("sub", left[1], num(0)), self.inputs, self.r, self.c)
            if found is None or (found[0], found[1]) not in ((1, -1), (-1, 1)) or reach == inf:
                return FULL
            middle = -found[2] * found[1]
            return Band(-reach, reach).moved(middle)
        found = linear(("sub", left, right), self.inputs, self.r, self.c)
        if found is None or (found[0], found[1]) not in ((1, -1), (-1, 1)):
            return FULL
        _, columns, offset = found
        if columns < 0:
            op, offset = TURNED[op], -offset
        # column - row + offset, compared with zero.
        at = -offset
        return {
            "eq": Band(at, at),
            "le": Band(-inf, at),
            "lt": Band(-inf, at - 1),
            "ge": Band(at, inf),
            "gt": Band(at + 1, inf),
            "ne": FULL,
        }[op]


def _boolean(tree: Tree) -> bool:
    return tree[0] in TURNED or tree[0] in ("and", "or", "not")


def linear(tree: Tree, inputs: tuple[Node, ...], r: str, c: str) -> tuple[int, int, int] | None:
    """The coefficients of index(r), index(c) and one in a tree; None if it is not such a sum of whole numbers."""
    op = tree[0]
    if op == "num":
        return (0, 0, tree[1]) if isinstance(tree[1], int) and not isinstance(tree[1], bool) else None
    if op == "x":
        x = inputs[tree[1]]
        if x.kind is Kind.INDEX and x.op == "value":
            return (1, 0, 0) if x.names == (r,) else (0, 1, 0) if x.names == (c,) else None
        return linear(x.attrs[0].tree, x.inputs, r, c) if x.kind is Kind.MAP and x.attrs[0].ops < 8 else None
    if op in ("add", "sub", "neg", "real", "integer"):
        parts = [linear(t, inputs, r, c) for t in tree[1:]]
        total = [0, 0, 0]
        for k, part in enumerate(parts):
            if part is None:
                return None
            sign = -1 if op == "neg" or (op == "sub" and k > 0) else 1
            total = [a + sign * p for a, p in zip(total, part, strict=True)]
        return (total[0], total[1], total[2])
    if op == "mul" and len(tree) == 3:
        for number, other in ((tree[1], tree[2]), (tree[2], tree[1])):
            found = linear(other, inputs, r, c)
            if number[0] == "num" and isinstance(number[1], int) and found is not None:
                return (number[1] * found[0], number[1] * found[1], number[1] * found[2])
    return None


__all__ = ["DIAGONAL", "FULL", "TURNED", "Band", "band", "linear"]
