"""Circulant matrices: entries that depend on row minus column only, around a circle. Fourier's transform solves with them."""

from __future__ import annotations

from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import Tree, num, slot, slots, substitute
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes.bands import linear
from vspec.compiler.passes.diagonals import shortened
from vspec.compiler.passes.systems import System

# Operations of a Fourier transform per element and level.
TRANSFORM = 5


@dataclass(frozen=True)
class Circulant(System):
    """A[r, c] = column[r - c] around the circle, `column` over the rows."""

    word = "circulant"

    column: Node

    def _both(self, op: str, x: Node, given: str, result: Axis) -> Node:
        return self.b.linalg(op, [self.column, x], ((self.rows.name,), (given,)), [result])

    def solve(self, right: Node) -> Node:
        """By division of the transforms."""
        return self._both("deconvolve", right, self.rows.name, self.columns)

    def apply(self, x: Node) -> Node:
        """By multiplication of the transforms."""
        return self._both("convolve", x, self.columns.name, self.rows)

    def logdet(self) -> Node:
        """The sum of log |transform|."""
        return self.b.linalg("logdet_circulant", [self.column], ((self.rows.name,),), [])

    def cost(self, sizes: Sizes) -> float:
        """Three transforms."""
        n = sizes.dim(self.rows.dim)
        return 3.0 * TRANSFORM * n * max(1, n.bit_length())


def circulant(b: Builder, x: Node, r: Axis, c: Axis) -> Circulant | None:
    """The system of a circulant matrix x[r, c]; None if it is not known to be one."""
    if not {r.name, c.name} <= {*x.names} or not Circle(b, r, c).turns(x, r.name, c.name):
        return None
    column = first_column(b, x, r.name, c.name)
    if r.name not in column.names:
        column = b.order(column, (*column.axes, r))
    return Circulant(b, r, c, column)


class Circle:
    """Whether expressions stay the same when row and column are moved by one around the circle together."""

    def __init__(self, b: Builder, r: Axis, c: Axis) -> None:
        self.b, self.dim = b, r.dim

    def turns(self, x: Node, r: str, c: str) -> bool:
        """Whether x[r + 1, c + 1] is x[r, c], for all of them around the circle."""
        if r not in x.names and c not in x.names:
            return True
        if x.kind is Kind.INDEX:
            return x.op == "delta" and {r, c} == {*x.names}
        if x.kind is Kind.MAP:
            return self.tree(x.attrs[0].tree, x, r, c)
        if x.kind is Kind.REINDEX:
            inner = {t: n for n, t in zip(x.inputs[0].names, x.attrs[0], strict=True)}
            return len(inner) == len(x.attrs[0]) and self.turns(x.inputs[0], inner.get(r, ""), inner.get(c, ""))
        if x.kind is Kind.WINDOW:
            return x.op == "at" and self.turns(x.inputs[0], r, c)
        if x.kind is Kind.GATHER or (x.kind is Kind.REDUCE and x.op in ("sum", "prod", "max", "min", "logsumexp")):
            return all(self.turns(i, r, c) for i in x.inputs)
        return False

    def tree(self, tree: Tree, x: Node, r: str, c: str) -> bool:
        """Whether a tree of the map x stays the same."""
        used = {n for k in slots(tree) for n in x.inputs[k].names}
        if not used & {r, c}:
            return True
        if tree[0] == "x":
            return self.turns(x.inputs[tree[1]], r, c)
        if tree[0] == "mod" and self._size(tree[2], x) and self._difference(tree[1], x, r, c):
            return True
        if tree[0] == "minimum" and len(tree) == 3:
            # The shorter way around.
            for one, other in ((tree[1], tree[2]), (tree[2], tree[1])):
                if one[0] != "abs" or other[0] != "sub" or other[2][0] != "abs" or not self._size(other[1], x):
                    continue
                both = {linear(t, x.inputs, r, c) for t in (one[1], other[2][1])}
                if len(both) == 1 and self._difference(one[1], x, r, c):
                    return True
        return all(self.tree(t, x, r, c) for t in tree[1:])

    def _difference(self, tree: Tree, x: Node, r: str, c: str) -> bool:
        found = linear(tree, x.inputs, r, c)
        return found is not None and found[0] == -found[1]

    def _size(self, tree: Tree, x: Node) -> bool:
        """Whether a tree is the size of the circle."""
        if tree[0] == "num":
            return bool(tree[1] == self.b.dims.get(self.dim))
        if tree[0] != "x":
            return False
        size = x.inputs[tree[1]]
        return size.kind is Kind.CONST and size.op == "size" and size.attrs[0] == self.dim


def first_column(b: Builder, x: Node, r: str, c: str) -> Node:
    """x[r, 0], without making x."""
    if c not in x.names:
        return x
    if x.kind is Kind.INDEX and x.op == "value":
        return b.number(0)
    if x.kind is Kind.INDEX and x.op == "delta" and r in x.names:
        same: Tree = ("where", ("eq", slot(0), num(0)), num(1.0), num(0.0))
        return b.map(same, [b.index(x.axis(r))], "real")
    if x.kind is Kind.MAP:
        inputs = [first_column(b, i, r, c) for i in x.inputs]
        numbers = {k: num(i.attrs[0]) for k, i in enumerate(inputs) if is_number(i)}
        return b.map(shortened(substitute(x.attrs[0].tree, numbers)), inputs, x.dtype)
    if x.kind is Kind.REINDEX:
        inner = {t: n for n, t in zip(x.inputs[0].names, x.attrs[0], strict=True)}
        if len(inner) == len(x.attrs[0]) and c in inner:
            below = first_column(b, x.inputs[0], inner.get(r, ""), inner[c])
            return b.rename(below, {n: t for t, n in inner.items() if t != c})
    if x.kind is Kind.WINDOW and x.op == "at":
        return b.at_position(first_column(b, x.inputs[0], r, c), *x.attrs)
    if x.kind is Kind.GATHER and c not in x.inputs[0].names:
        return b.gather(x.inputs[0], first_column(b, x.inputs[1], r, c), x.attrs[0])
    if x.kind is Kind.REDUCE:
        inner_node = x.inputs[0]
        body = first_column(b, inner_node, r, c)
        return b.reduce(x.op, body, x.attrs[0], {a.name: a.dim for a in inner_node.axes})
    return b.at_position(x, c, 0)
