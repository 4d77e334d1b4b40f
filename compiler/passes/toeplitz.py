"""Symmetric positive definite matrices whose entries depend on row minus column only, solved by Levinson's recursion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.call import Toeplitz as Function
from vspec.compiler.graph.call import operations
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes.circulant import Circle, first_column
from vspec.compiler.passes.systems import System

STEP = 3000
"""What a step of a loop over short vectors costs, as operations of a factorisation."""


@dataclass(frozen=True)
class Toeplitz(System):
    """A[r, c] = column[|r - c|], `column` over the rows."""

    word = "toeplitz"

    matrix: Node
    column: Node

    def solve(self, right: Node) -> Node:
        """By Levinson's recursion."""
        r = self.rows
        right = right if r.name in right.names else self.b.order(right, (*right.axes, r))
        return self.b.call(Function("solve"), [self.column, right], [(r.name,)] * 2, [self.columns])

    def apply(self, x: Node) -> Node:
        """The matrix times x."""
        axes = {a.name: a for n in (self.matrix, x) for a in n.axes if a.name != self.columns.name}
        return self.b.contract([self.matrix, x], list(axes.values()))

    def logdet(self) -> Node:
        """By the errors of Durbin's recursion."""
        return self.b.call(Function("logdet"), [self.column], [(self.rows.name,)], [])

    def cost(self, sizes: Sizes) -> float:
        """A step with a few vectors for each row."""
        n = sizes.dim(self.rows.dim)
        return operations(Function("solve"), [[n], [n]], n) + float(STEP) * n


def toeplitz(b: Builder, x: Node, r: Axis, c: Axis) -> Toeplitz | None:
    """The system of a matrix x[r, c] that depends on row minus column only; the caller knows that it is symmetric."""
    if not {r.name, c.name} <= {*x.names} or not _Line(b, r, c).turns(x, r.name, c.name):
        return None
    column = first_column(b, x, r.name, c.name)
    if r.name not in column.names:
        column = b.order(column, (*column.axes, r))
    return Toeplitz(b, r, c, x, column)


class _Line(Circle):
    """Whether expressions stay the same when row and column are moved by one together."""

    def tree(self, tree: Tree, x: Node, r: str, c: str) -> bool:
        """Whether a tree of the map x does."""
        found = slopes(tree, x.inputs, r, c)
        return (found is not None and found[0] == -found[1]) or super().tree(tree, x, r, c)


def slopes(tree: Tree, inputs: Sequence[Node], r: str, c: str) -> tuple[float, float] | None:
    """The coefficients of index(r) and index(c) in a sum of these with numbers in front and of what is constant; None if it
    is no such sum."""
    op = tree[0]
    if op == "num":
        return 0.0, 0.0
    if op == "x":
        x, shown = unrenamed(inputs[tree[1]])
        if r not in shown.values() and c not in shown.values():
            return 0.0, 0.0
        if x.kind is Kind.INDEX and x.op == "value":
            return (1.0, 0.0) if shown[x.names[0]] == r else (0.0, 1.0)
        own = {name: base for base, name in shown.items()}
        return slopes(x.attrs[0].tree, x.inputs, own.get(r, ""), own.get(c, "")) if x.kind is Kind.MAP else None
    if op in ("add", "sub", "neg", "real", "integer"):
        parts = [slopes(t, inputs, r, c) for t in tree[1:]]
        total = [0.0, 0.0]
        for k, part in enumerate(parts):
            if part is None:
                return None
            sign = -1 if op == "neg" or (op == "sub" and k > 0) else 1
            total = [t + sign * p for t, p in zip(total, part, strict=True)]
        return total[0], total[1]
    if op in ("mul", "div") and len(tree) == 3:
        numbers = [t[1] if t[0] == "num" else None for t in tree[1:]]
        if numbers[1]:
            first = slopes(tree[1], inputs, r, c)
            by = numbers[1] if op == "mul" else 1 / numbers[1]
            return None if first is None else (first[0] * by, first[1] * by)
        if op == "mul" and numbers[0]:
            second = slopes(tree[2], inputs, r, c)
            return None if second is None else (second[0] * numbers[0], second[1] * numbers[0])
    return None
