"""Banded matrices: a few diagonals, eliminated row by row without exchanges."""

from __future__ import annotations

from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.call import Banded as Function
from vspec.compiler.graph.call import operations
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.passes.bands import band
from vspec.compiler.passes.diagonals import entries
from vspec.compiler.passes.systems import System

MOST = 16
"""More diagonals than this, on either side, are left to dense factorisations."""

STEP = 1000
"""What a step of a loop costs, and the elimination of one entry, as operations of a factorisation: a tenth of a microsecond."""


@dataclass(frozen=True)
class Banded(System):
    """The diagonals A[r, r + k] over the rows for k = -below, .., above; at least one below."""

    word = "banded"

    diagonals: tuple[Node, ...]
    below: int

    @property
    def above(self) -> int:
        """How many there are above the main one."""
        return len(self.diagonals) - 1 - self.below

    def _called(self, what: str, more: tuple[Node, ...], result: tuple[Axis, ...]) -> Node:
        row = (self.rows.name,)
        operands = [self._along(x) for x in (*self.diagonals, *more)]
        return self.b.call(Function(what, self.below, self.above), operands, [row] * len(operands), result)

    def _along(self, x: Node) -> Node:
        return x if self.rows.name in x.names else self.b.order(x, (*x.axes, self.rows))

    def solve(self, right: Node) -> Node:
        """By elimination and substitution."""
        return self._called("solve", (right,), (self.columns,))

    def apply(self, x: Node) -> Node:
        """Each diagonal times what stands there."""
        b, r = self.b, self.rows
        x = self._along(b.rename(x, {self.columns.name: r.name}))
        beside = [b.shift(x, r.name, k - self.below, "zero") for k in range(len(self.diagonals))]
        return b.add([b.mul([d, y]) for d, y in zip(self.diagonals, beside, strict=True)])

    def logdet(self) -> Node:
        """The sum of the logarithms of the pivots."""
        return self._called("logdet", (), ())

    def cost(self, sizes: Sizes) -> float:
        """A step for each row and entry below the diagonal."""
        n = sizes.dim(self.rows.dim)
        shapes = [[n]] * (len(self.diagonals) + 1)
        return operations(Function("solve", self.below, self.above), shapes, n) + float(STEP) * (self.below + 1) * n


def banded(b: Builder, x: Node, r: Axis, c: Axis) -> Banded | None:
    """The diagonals of x[r, c] where it has a few; None where it has many. Elimination may need exchanges all the same."""
    where = band(x, r.name, c.name)
    if where.low > where.high or where.low < -MOST or where.high > MOST:
        return None
    low, high = min(int(where.low), -1), max(int(where.high), 0)
    found = [entries(b, x, r.name, c.name, k) if where.low <= k <= where.high else b.number(0.0)
             for k in range(low, high + 1)]  # fmt: skip
    return Banded(b, r, c, tuple(found), -low)
