"""Kronecker products of symmetric matrices plus a multiple of the unit matrix: Gaussian processes on a grid with noise.

With F = Q L Q' for each factor the eigenvectors of the whole are the Kronecker product of the Q, and its eigenvalues are the
products of those of the factors plus the multiple. Source: Saatci, Scalable Inference for Structured Gaussian Process Models
(2011), chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.call import Grid as Function
from vspec.compiler.graph.call import operations
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.passes.bands import DIAGONAL, band
from vspec.compiler.passes.definite import symmetric
from vspec.compiler.passes.diagonals import entries
from vspec.compiler.passes.kronecker import Kronecker, kronecker
from vspec.compiler.passes.lowrank import summands
from vspec.compiler.passes.systems import System


@dataclass(frozen=True)
class Grid(System):
    """A Kronecker product plus `number` times the unit matrix."""

    word = "kronecker_shift"

    product: Kronecker
    number: Node

    @property
    def _operands(self) -> list[Node]:
        return [*self.product.factors, self.number]

    @property
    def _cores(self) -> list[tuple[str, ...]]:
        return [*((r.name, c.name) for r, c in self.product.pairs), ()]

    def solve(self, right: Node) -> Node:
        """In the basis of the eigenvectors."""
        x = self.product.apart(right, 0)
        rows, columns = zip(*self.product.pairs, strict=True)
        cores = [*self._cores, tuple(r.name for r in rows)]
        found = self.b.call(Function("solve", len(rows)), [*self._operands, x], cores, list(columns))
        return self.product.joined(found, 1)

    def apply(self, x: Node) -> Node:
        """Factor by factor, and the multiple."""
        own = self.b.rename(x, {self.columns.name: self.rows.name})
        return self.b.add([self.product.apply(x), self.b.mul([self.number, own])])

    def logdet(self) -> Node:
        """The sum of the logarithms of the eigenvalues."""
        function = Function("logdet", len(self.product.factors))
        return self.b.call(function, self._operands, self._cores, [])

    def cost(self, sizes: Sizes) -> float:
        """The decomposition of each factor, and products with the eigenvectors."""
        shapes = [[sizes.dim(r.dim), sizes.dim(c.dim)] for r, c in self.product.pairs]
        whole = sizes.dim(self.rows.dim)
        return float(operations(Function("solve", len(shapes)), [*shapes, [], [whole]], whole))


def grid(b: Builder, x: Node, r: Axis, c: Axis) -> Grid | None:
    """The system of a matrix x[r, c] that is such a sum; None if it is not known to be one."""
    if not isinstance(b.dims.get(r.dim), int):
        return None
    parts = [(t, band(t, r.name, c.name) == DIAGONAL) for t in summands(b, x, r.name, c.name)]
    on, off = [t for t, plain in parts if plain], [t for t, plain in parts if not plain]
    if not on or len(off) != 1:
        return None
    number = entries(b, b.add(on), r.name, c.name)
    if r.name in number.names:
        return None
    found = kronecker(b, off[0], r, c)
    if found is None or not all(
        symmetric(b, f, p.name, q.name) for f, (p, q) in zip(found.factors, found.pairs, strict=True)
    ):
        return None
    return Grid(b, r, c, found, number)


__all__ = ["Grid", "grid"]
