"""Block diagonal matrices: rows and columns are pairs (group, place), and entries between two groups are zero.

K[p, q] = B[p//m, p % m, q % m] if p//m == q//m else 0, plus what stands on the diagonal. Groups and places are digits of the
index (`kronecker.py`); that nothing stands between groups is proved as it is for any diagonal matrix (`bands.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.passes.bands import DIAGONAL, band
from vspec.compiler.passes.diagonals import entries
from vspec.compiler.passes.kronecker import NoFactor, Reader, complete
from vspec.compiler.passes.systems import System, over


@dataclass(frozen=True)
class BlockDiagonal(System):
    """`blocks` over a group and a row and a column of places. `pairs` are the axes that rows and columns are made of, the most
    significant first; that of number `group` is the one of the groups."""

    word = "block_diagonal"

    blocks: Node
    pairs: tuple[tuple[Axis, Axis], ...]
    group: int

    @property
    def places(self) -> tuple[Axis, Axis]:
        """Row and column of a block."""
        return self.pairs[1 - self.group]

    def _apart(self, x: Node, name: str, side: int) -> Node:
        """x with axes of groups, those of the rows, and of places."""
        if name not in x.names:
            x = self.b.order(x, (*x.axes, (self.rows, self.columns)[side]))
        split = self.b.part(x, name, [[pair[side] for pair in self.pairs]], 0)
        return self.b.rename(split, {self.pairs[self.group][side].name: self.pairs[self.group][0].name})

    def _joined(self, x: Node, side: int) -> Node:
        x = self.b.rename(x, {self.pairs[self.group][0].name: self.pairs[self.group][side].name})
        return self.b.stack([x], [[pair[side] for pair in self.pairs]], (self.rows, self.columns)[side])

    def solve(self, right: Node) -> Node:
        """Block by block, all at once."""
        r, c = self.places
        x = self._apart(right, self.rows.name, 0)
        return self._joined(self.b.linalg("solve", [self.blocks, x], ((r.name, c.name), (r.name,)), [c]), 1)

    def apply(self, x: Node) -> Node:
        """Block by block."""
        _, c = self.places
        x = self._apart(x, self.columns.name, 1)
        return self._joined(self.b.contract([self.blocks, x], over(self.blocks, x, without=[c.name])), 0)

    def logdet(self) -> Node:
        """The sum over the blocks."""
        r, c = self.places
        each = self.b.linalg("logdet", [self.blocks], ((r.name, c.name),), [])
        group = self.pairs[self.group][0]
        return self.b.reduce("sum", each, [group.name], {group.name: group.dim})

    def cost(self, sizes: Sizes) -> float:
        """A factorisation of each block."""
        return sizes.dim(self.pairs[self.group][0].dim) * 2 / 3 * float(sizes.dim(self.places[0].dim)) ** 3


def block_diagonal(b: Builder, x: Node, r: Axis, c: Axis) -> BlockDiagonal | None:
    """The system of a matrix x[r, c] of blocks; None if it is not known to be one, or its sizes are open."""
    if not isinstance(b.dims.get(r.dim), int) or not {r.name, c.name} <= {*x.names}:
        return None
    reader = Reader(b, r, c)
    to = {n: n for n in x.names}
    try:
        reader.learn(x, to)
        digits = sorted(reader.rows, reverse=True)
        if len(digits) != 2 or not complete(digits, Sizes(b.dims).dim(r.dim)):
            return None
        whole = reader.read(x, to)
    except NoFactor:
        return None
    # The groups are the most significant digit along which the matrix is diagonal.
    pairs = tuple((reader.rows[d], reader.columns[d]) for d in digits)
    for k, (row, column) in enumerate(pairs):
        if band(whole, row.name, column.name) == DIAGONAL:
            blocks = entries(b, whole, row.name, column.name)
            missing = [a for a in (row, *pairs[1 - k]) if a.name not in blocks.names]
            blocks = b.order(blocks, (*blocks.axes, *missing)) if missing else blocks
            return BlockDiagonal(b, r, c, blocks, pairs, k)
    return None


__all__ = ["BlockDiagonal", "block_diagonal"]
