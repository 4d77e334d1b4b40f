"""Derivatives of eigenvalues, singular values and the matrix exponential, in named axes.

Eigenvalues and singular values follow Giles (2008) and Townsend (2016), "Differentiating the singular value decomposition". Where
two eigenvalues are equal, the term that would divide by their difference is left out: functions of the eigenvalues, and
functions of the vectors that do not depend on the choice of a basis, keep their derivatives.
"""

from __future__ import annotations

from vspec.compiler.calculus.linear import product
from vspec.compiler.calculus.terms import Algebra
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node

SPECTRAL = frozenset({"eigvalsh", "eigh", "svdvals", "svd_left", "svd_right", "expm"})


def pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """The adjoint of the operand of a spectral node, whose own adjoint is `bar`."""
    if node.op == "expm":
        rows, columns = node.attrs[0][0]
        transposed = a.b.rename(node.inputs[0], {rows: columns, columns: rows})
        return frechet(a, transposed, bar, rows, columns)
    return _Symmetric(a, node).pull(node.op, bar) if node.op in ("eigvalsh", "eigh") else _General(a, node).pull(bar)


def pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """The tangent of a spectral node, whose operand has the tangent `dot`."""
    if node.op == "expm":
        return frechet(a, node.inputs[0], dot, *node.attrs[0][0])
    return _Symmetric(a, node).push(node.op, dot) if node.op in ("eigvalsh", "eigh") else _General(a, node).push(dot)


# 1/x, and 0 where x is 0.
def _reciprocal(tree: Tree) -> Tree:
    zero: Tree = ("eq", tree, num(0.0))
    return ("where", zero, num(0.0), ("div", num(1.0), ("where", zero, num(1.0), tree)))


class _Symmetric:
    """S = V diag(lambda) V', the vectors named V[rows, columns] and the values lambda[columns]."""

    def __init__(self, a: Algebra, node: Node) -> None:
        self.a = a
        (self.cores,) = node.attrs[0]
        rows, self.columns = self.cores
        self.rows = rows
        matrix = node.inputs[0]
        axes = [a.axis(rows), a.axis(self.columns)]
        same = node.attrs[1] == self.cores if node.op == "eigh" else False
        self.vectors = node if same else a.b.linalg("eigh", [matrix], (self.cores,), axes)
        self.values = node if node.op == "eigvalsh" else a.b.linalg("eigvalsh", [matrix], (self.cores,), axes[1:])
        self.j, self.k = a.fresh(axes[1]), a.fresh(axes[1])

    def along(self, axis: Axis, rows: str | None = None) -> Node:
        """The vectors with their number on another axis, and their entries on `rows`."""
        return self.a.b.rename(self.vectors, {self.columns: axis.name, self.rows: rows or self.rows})

    def gaps(self) -> Node:
        """1/(lambda[k] - lambda[j]), 0 where they are equal."""
        b = self.a.b
        at = [b.rename(self.values, {self.columns: x.name}) for x in (self.k, self.j)]
        return b.map(_reciprocal(("sub", slot(0), slot(1))), at, "real")

    def pull(self, op: str, bar: Node) -> Node:
        a, b, j, k = self.a, self.a.b, self.j, self.k
        bar = b.rename(bar, {self.columns: k.name})
        if op == "eigvalsh":
            return product(a, b.mul([bar, self.along(k)]), self.along(k, self.columns), k.name)
        inner = b.mul([self.gaps(), product(a, self.along(j), bar, self.rows)])
        return product(a, product(a, self.along(j), inner, j.name), self.along(k, self.columns), k.name)

    def push(self, op: str, dot: Node) -> Node:
        a, b, j, k = self.a, self.a.b, self.j, self.k
        right = product(a, dot, self.along(k, self.columns), self.columns)
        if op == "eigvalsh":
            moved = product(a, self.along(k), right, self.rows)
        else:
            inner = b.mul([self.gaps(), product(a, self.along(j), right, self.rows)])
            moved = product(a, self.along(j), inner, j.name)
        return b.rename(moved, {k.name: self.columns})


class _General:
    """A = U diag(s) V', thin: U[rows, k], s[k], V[columns, k], with k over the dim of the columns."""

    def __init__(self, a: Algebra, node: Node) -> None:
        self.a = a
        self.node = node
        (self.cores,) = node.attrs[0]
        self.rows, self.columns = self.cores
        b, matrix, dim = a.b, node.inputs[0], a.axis(self.columns)
        self.number = node.attrs[1][-1]
        self.j, self.k = a.fresh(dim), a.fresh(dim)
        other = a.fresh(dim)
        u = b.linalg("svd_left", [matrix], (self.cores,), [a.axis(self.rows), dim])
        s = b.linalg("svdvals", [matrix], (self.cores,), [dim])
        v = b.linalg("svd_right", [matrix], (self.cores,), [dim, other])
        self.u = {x.name: b.rename(u, {self.columns: x.name}) for x in (self.j, self.k)}
        self.s = {x.name: b.rename(s, {self.columns: x.name}) for x in (self.j, self.k)}
        self.v = {x.name: b.rename(v, {other.name: x.name}) for x in (self.j, self.k)}

    def gaps(self) -> Node:
        """1/(s[k]^2 - s[j]^2), 0 where they are equal."""
        j, k = self.j.name, self.k.name
        squares: Tree = ("mul", ("sub", slot(0), slot(1)), ("add", slot(0), slot(1)))
        return self.a.b.map(_reciprocal(squares), [self.s[k], self.s[j]], "real")

    @property
    def tall(self) -> bool:
        """Whether there may be directions outside of the span of U."""
        return self.a.axis(self.rows).dim != self.a.axis(self.columns).dim

    def swapped(self, x: Node) -> Node:
        """x[j, k] as x[k, j]."""
        return self.a.b.rename(x, {self.j.name: self.k.name, self.k.name: self.j.name})

    def outside(self, x: Node) -> Node:
        """(I - U U') x / s[k], for x[rows, k]."""
        b, j, k = self.a.b, self.j.name, self.k.name
        inside = product(self.a, self.u[j], product(self.a, self.u[j], x, self.rows), j)
        tree: Tree = ("mul", ("sub", slot(0), slot(1)), _reciprocal(slot(2)))
        return b.map(tree, [x, inside, self.s[k]], "real")

    def pull(self, bar: Node) -> Node:
        a, b, j, k = self.a, self.a.b, self.j.name, self.k.name
        bar = b.rename(bar, {self.number: k})
        if self.node.op == "svdvals":
            return product(a, b.mul([bar, self.u[k]]), self.v[k], k)
        left = self.node.op == "svd_left"
        entries, basis = (self.rows, self.u) if left else (self.columns, self.v)
        inner = b.mul([self.gaps(), product(a, basis[j], bar, entries)])
        both = b.map(("add", slot(0), slot(1)), [inner, self.swapped(inner)], "real")
        core = b.mul([both, self.s[k if left else j]])
        whole = product(a, product(a, self.u[j], core, j), self.v[k], k)
        if not left or not self.tall:
            return whole
        return b.map(("add", slot(0), slot(1)), [whole, product(a, self.outside(bar), self.v[k], k)], "real")

    def push(self, dot: Node) -> Node:
        a, b, j, k = self.a, self.a.b, self.j.name, self.k.name
        right = product(a, dot, self.v[k], self.columns)
        if self.node.op == "svdvals":
            return b.rename(product(a, self.u[k], right, self.rows), {k: self.number})
        core = product(a, self.u[j], right, self.rows)
        left = self.node.op == "svd_left"
        first, second = (self.s[k], self.s[j]) if left else (self.s[j], self.s[k])
        mixed: Tree = ("add", ("mul", slot(0), slot(1)), ("mul", slot(2), slot(3)))
        inner = b.mul([self.gaps(), b.map(mixed, [core, first, self.swapped(core), second], "real")])
        moved = product(a, self.u[j] if left else self.v[j], inner, j)
        if left and self.tall:
            moved = b.map(("add", slot(0), slot(1)), [moved, self.outside(right)], "real")
        return b.rename(moved, {k: self.number})


def frechet(a: Algebra, matrix: Node, direction: Node, rows: str, columns: str) -> Node:
    """The derivative of expm at `matrix` in a direction: a block of expm([[A, E], [0, A]]) (Mathias 1996).

    The blocks are interleaved (entry i of block p stands at 2i + p), so that the size need not be known. Every higher
    derivative is the exponential of a larger matrix of the same kind.
    """
    b = a.b
    wide = {name: a.fresh(Axis(name, _twice(a, a.axis(name).dim))) for name in (rows, columns)}

    def placed(x: Node, p: int, q: int) -> Node:
        x = a.spread(x, (rows, columns))
        return b.scatter_affine(b.scatter_affine(x, rows, wide[rows], 2, p), columns, wide[columns], 2, q)

    parts = [placed(matrix, 0, 0), placed(matrix, 1, 1), placed(direction, 0, 1)]
    core = (wide[rows].name, wide[columns].name)
    whole = b.linalg("expm", [b.add(parts)], (core,), [wide[rows], wide[columns]])
    block = b.window(whole, wide[rows].name, a.axis(rows), 2, 0)
    return b.window(block, wide[columns].name, a.axis(columns), 2, 1)


def _twice(a: Algebra, dim: str) -> str:
    """The dim of twice as many values."""
    name = f"{dim}_twice"
    if name not in a.b.dims:
        known = a.b.dims.get(dim)
        if isinstance(known, int):
            a.b.dims[name] = 2 * known
        else:
            a.b.dims[name] = a.b.map(("mul", num(2), slot(0)), [a.b.size(dim)], "integer")
    return name
