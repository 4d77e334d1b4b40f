"""Linear systems with a structure: how to solve them, what their determinant is, and what both cost.

A system is a matrix A[r, c], r its rows and c its columns, known by its parts. `solve` takes a right side over r and gives the
solution over c in its place; axes that the matrix lacks are columns of right sides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node


@dataclass(frozen=True)
class System(ABC):
    """A matrix of a known structure."""

    b: Builder
    rows: Axis
    columns: Axis

    word: ClassVar[str]

    @abstractmethod
    def solve(self, right: Node) -> Node:
        """x over the columns with A x = right."""

    @abstractmethod
    def apply(self, x: Node) -> Node:
        """A x over the rows, for an x over the columns."""

    @abstractmethod
    def logdet(self) -> Node:
        """log |det A|."""

    @abstractmethod
    def cost(self, sizes: Sizes) -> float:
        """About how many operations a solution with one right side takes, the factorisation included."""

    @property
    def dims(self) -> dict[str, str]:
        """The dims of rows and columns."""
        return {self.rows.name: self.rows.dim, self.columns.name: self.columns.dim}


def over(*nodes: Node, without: Iterable[str] = ()) -> list[Axis]:
    """The axes of some nodes, each once, but for those named."""
    gone = set(without)
    return list({a.name: a for x in nodes for a in x.axes if a.name not in gone}.values())


@dataclass(frozen=True)
class Diagonal(System):
    """diag(d), d over the rows; `positive` if all of them are."""

    word = "diagonal"

    d: Node
    positive: bool

    def solve(self, right: Node) -> Node:
        """right/d."""
        x = self.b.map(("div", slot(0), slot(1)), [right, self.d], "real")
        return self.b.rename(x, {self.rows.name: self.columns.name})

    def apply(self, x: Node) -> Node:
        """d*x."""
        return self.b.mul([self.d, self.b.rename(x, {self.columns.name: self.rows.name})])

    def logdet(self) -> Node:
        """The sum of log |d|."""
        inside: Tree = slot(0) if self.positive else ("abs", slot(0))
        return self.b.reduce("sum", self.b.map(("log", inside), [self.d], "real"), [self.rows.name], self.dims)

    def cost(self, sizes: Sizes) -> float:
        """One division per row."""
        return float(sizes.dim(self.rows.dim))


@dataclass(frozen=True)
class Triangular(System):
    """A triangle that is stored as a matrix, lower or upper; d its diagonal."""

    word = "triangular"

    matrix: Node
    lower: bool
    d: Diagonal

    def solve(self, right: Node) -> Node:
        """By substitution."""
        r, c = self.rows.name, self.columns.name
        if self.lower:
            return self.b.linalg("triangular_solve", [self.matrix, right], ((r, c), (r,)), [self.columns])
        # The transpose is a lower triangle.
        return self.b.linalg("triangular_solve_t", [self.matrix, right], ((c, r), (r,)), [self.columns])

    def apply(self, x: Node) -> Node:
        """The matrix times x."""
        return self.b.contract([self.matrix, x], over(self.matrix, x, without=[self.columns.name]))

    def logdet(self) -> Node:
        """That of the diagonal."""
        return self.d.logdet()

    def cost(self, sizes: Sizes) -> float:
        """One substitution."""
        return float(sizes.dim(self.rows.dim)) ** 2


@dataclass(frozen=True)
class LowRank(System):
    """base + u v', with u over the rows and v over the columns; both over `inner`, which is None for vectors.

    Woodbury: inv(A) = inv(B) - inv(B) u inv(1 + v' inv(B) u) v' inv(B); the determinant is that of B times that of the
    small matrix. With `refined`, what is left of the right side is solved for once more, through which no derivative flows:
    this makes up for the difference of large terms where B is small beside u v'.
    """

    word = "low_rank"

    base: System
    u: Node
    v: Node
    inner: Axis | None
    refined: bool

    def solve(self, right: Node) -> Node:
        """By Woodbury, with one step of refinement where it is wanted."""
        x = self._once(right)
        if not self.refined:
            return x
        left = self.b.map(("sub", slot(0), slot(1)), [right, self.apply(x)], "real")
        return self.b.add([x, self.b.stop(self._once(left))])

    def _once(self, right: Node) -> Node:
        b, c = self.b, self.columns.name
        y = self.base.solve(right)
        seen = b.contract([self.v, y], over(self.v, y, without=[c]))
        w = self._small_solve(seen)
        return b.map(("sub", slot(0), slot(1)), [y, self._times(self.spread, w)], "real")

    def _times(self, u: Node, w: Node) -> Node:
        """The sum over the inner axis of u*w."""
        if self.inner is None:
            return self.b.mul([u, w])
        return self.b.contract([u, w], over(u, w, without=[self.inner.name]))

    @cached_property
    def spread(self) -> Node:
        """inv(B) u, over the columns."""
        return self.base.solve(self.u)

    @cached_property
    def copy(self) -> Axis:
        """The rows of the small matrix."""
        assert self.inner is not None
        taken = [a.name for x in (self.u, self.v) for a in x.axes]
        return Axis(self.b.fresh(self.inner.name, [*taken, *self.dims]), self.inner.dim)

    @cached_property
    def small(self) -> Node:
        """1 + v' inv(B) u, its rows `copy` and its columns `inner`."""
        b, v = self.b, self.v
        if self.inner is not None:
            v = b.rename(v, {self.inner.name: self.copy.name})
        product = b.contract([v, self.spread], over(v, self.spread, without=[self.columns.name]))
        if self.inner is None:
            return b.map(("add", ("num", 1), slot(0)), [product], "real")
        return b.add([b.delta(self.copy, self.inner), product])

    def _small_solve(self, right: Node) -> Node:
        if self.inner is None:
            return self.b.map(("div", slot(0), slot(1)), [right, self.small], "real")
        right = self.b.rename(right, {self.inner.name: self.copy.name})
        cores = ((self.copy.name, self.inner.name), (self.copy.name,))
        return self.b.linalg("solve", [self.small, right], cores, [self.inner])

    def apply(self, x: Node) -> Node:
        """B x + u (v' x)."""
        b = self.b
        seen = b.contract([self.v, x], over(self.v, x, without=[self.columns.name]))
        return b.add([self.base.apply(x), self._times(self.u, seen)])

    def logdet(self) -> Node:
        """The sum of those of B and of the small matrix."""
        b = self.b
        if self.inner is None:
            own = b.map(("log", ("abs", slot(0))), [self.small], "real")
        else:
            own = b.linalg("logdet", [self.small], ((self.copy.name, self.inner.name),), [])
        return b.add([self.base.logdet(), own])

    def cost(self, sizes: Sizes) -> float:
        """The base for each inner column, the small matrix and its factorisation."""
        n, k = sizes.dim(self.rows.dim), sizes.dim(self.inner.dim) if self.inner is not None else 1
        return (k + 1) * self.base.cost(sizes) + 2.0 * n * k * k + 4.0 * n * k + float(k) ** 3


@dataclass(frozen=True)
class Tridiagonal(System):
    """Three diagonals over the rows: A[r, r - 1], A[r, r], A[r, r + 1]. Eliminated row by row, without exchanges.

    pivots[r] = diagonal[r] - below[r]*above[r - 1]/pivots[r - 1]; both substitutions are linear recurrences.
    """

    word = "tridiagonal"

    below: Node
    diagonal: Node
    above: Node
    positive: bool

    def moved(self, x: Node, by: int) -> Node:
        """x[r + by], 0 beyond the ends."""
        x = x if self.rows.name in x.names else self.b.order(x, (*x.axes, self.rows))
        return self.b.shift(x, self.rows.name, by, "zero")

    @cached_property
    def pivots(self) -> Node:
        """The pivots of the elimination."""
        b = self.b
        inside: Tree = ("where", ("gt", slot(0), num(0)), ("mul", slot(1), slot(2)), num(0.0))
        products = b.map(inside, [b.index(self.rows), self.below, self.moved(self.above, -1)], "real")
        return b.cumulate("pivots", [products, self.diagonal], self.rows)

    def solve(self, right: Node) -> Node:
        """By forward elimination and back substitution."""
        b, r = self.b, self.rows
        one = b.map(
            ("where", ("gt", slot(0), num(0)), slot(1), num(1.0)), [b.index(r), self.moved(self.pivots, -1)], "real"
        )
        down = b.map(("neg", ("div", slot(0), slot(1))), [self.below, one], "real")
        y = b.cumulate("linear", [down, right], r)
        up = b.map(("neg", ("div", slot(0), slot(1))), [self.above, self.pivots], "real")
        x = b.cumulate("linear", [up, b.map(("div", slot(0), slot(1)), [y, self.pivots], "real")], r, reverse=True)
        return b.rename(x, {r.name: self.columns.name})

    def apply(self, x: Node) -> Node:
        """The three diagonals times x and its neighbours."""
        b = self.b
        x = b.rename(x, {self.columns.name: self.rows.name})
        low, high = (b.mul([a, self.moved(x, by)]) for a, by in ((self.below, -1), (self.above, 1)))
        return b.add([b.mul([self.diagonal, x]), low, high])

    def logdet(self) -> Node:
        """The sum of log |pivot|."""
        inside: Tree = slot(0) if self.positive else ("abs", slot(0))
        return self.b.reduce("sum", self.b.map(("log", inside), [self.pivots], "real"), [self.rows.name], self.dims)

    def cost(self, sizes: Sizes) -> float:
        """One recurrence for the pivots, two for a solution."""
        return 12.0 * sizes.dim(self.rows.dim)
