"""Derivatives of eigenvalues, eigenvectors, singular values and vectors, in named axes (Giles 2008; Townsend 2016).

Every rule is made of nodes that have rules themselves, so that derivatives go to any order. Vectors that belong to equal
values are not determined; there the rules leave out what would divide by zero. The eigen rules are those of the function
(A + A')/2, so that they are right for any argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from vspec.compiler.calculus.linear import product
from vspec.compiler.calculus.terms import Algebra
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node

Rule = Callable[[Algebra, Node, Node], Node]

EIGEN = frozenset({"eigvalsh", "eigh"})
SINGULAR = frozenset({"svdvals", "svd_left", "svd_right"})


def _product(a: Algebra, factors: list[Node], over: set[str]) -> Node:
    """The sum of a product over some axes."""
    axes = {x.name: x for n in factors for x in n.axes if x.name not in over}
    return a.b.contract(factors, tuple(axes.values()))


def _inverse(difference: Tree, same: Tree) -> Tree:
    """1/difference, and 0 where both are the same: division by infinity has no branch that is not a number."""
    return ("div", num(1.0), ("where", same, num(math.inf), difference))


def _mirrored(a: Algebra, x: Node, first: str, second: str) -> Node:
    """x + x' along two axes of one dim."""
    return a.b.add([x, a.b.rename(x, {first: second, second: first})])


def _half(a: Algebra, x: Node) -> Node:
    return a.b.mul([a.b.number(0.5), x])


# --- eigenvalues and eigenvectors -----------------------------------------------------------------------------------


def _eigen(a: Algebra, node: Node) -> tuple[Node, Node]:
    """The eigenvalues [columns] and eigenvectors [rows, columns] of a node's operand."""
    b, (x,), ((rows, columns),) = a.b, node.inputs, node.attrs[0]
    core, k = ((rows, columns),), a.axis(columns)
    return b.linalg("eigvalsh", [x], core, [k]), b.linalg("eigh", [x], core, [a.axis(rows), k])


def eigenvalues_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """A_bar = V diag(w_bar) V'."""
    k, left, right = _both_sides(a, node)
    return _product(a, [left, a.b.rename(bar, {node.attrs[1][0]: k}), right], {k})


def eigenvalues_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """w_dot[k] = v_k' A_dot v_k."""
    ((rows, columns),), (own,) = node.attrs
    k, left, right = _both_sides(a, node)
    return a.b.rename(_product(a, [left, dot, right], {rows, columns}), {k: own})


def _both_sides(a: Algebra, node: Node) -> tuple[str, Node, Node]:
    """A letter k of eigenvalues, and the eigenvectors as V[rows, k] and as V[columns, k]."""
    ((rows, columns),), (own,) = node.attrs
    _, vectors = _eigen(a, node)
    k = a.fresh(node.axis(own)).name
    return k, a.b.rename(vectors, {columns: k}), a.b.rename(vectors, {rows: columns, columns: k})


def _eigen_gaps(a: Algebra, values: Node, own: str, first: Axis, second: Axis) -> Node:
    """F[first, second] = 1/(w[second] - w[first]), and 0 where the two are equal."""
    left, right = a.b.rename(values, {own: first.name}), a.b.rename(values, {own: second.name})
    tree = _inverse(("sub", slot(1), slot(0)), ("eq", slot(0), slot(1)))
    return a.b.map(tree, [left, right], "real")


def eigenvectors_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """A_bar = sym(V (F * (V' V_bar)) V')."""
    b = a.b
    ((rows, columns),), (row, own) = node.attrs
    values, vectors = _eigen(a, node)
    m, k, q = a.fresh(node.axis(own)), a.fresh(node.axis(own)), a.fresh(node.axis(row))
    turned = product(a, b.rename(node, {own: m.name}), b.rename(bar, {own: k.name}), row)
    weighted = b.mul([_eigen_gaps(a, values, columns, m, k), turned])
    left = b.rename(vectors, {columns: m.name})
    right = b.rename(vectors, {rows: q.name, columns: k.name})
    whole = b.rename(product(a, product(a, left, weighted, m.name), right, k.name), {q.name: columns})
    return _half(a, _mirrored(a, whole, rows, columns))


def eigenvectors_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """V_dot = V (F * (V' sym(A_dot) V))."""
    b = a.b
    ((rows, columns),), (_, own) = node.attrs
    values, vectors = _eigen(a, node)
    m, k = a.fresh(node.axis(own)), a.fresh(node.axis(own))
    even = _half(a, _mirrored(a, dot, rows, columns))
    left = b.rename(vectors, {columns: m.name})
    right = b.rename(vectors, {rows: columns, columns: k.name})
    turned = product(a, product(a, left, even, rows), right, columns)
    weighted = b.mul([_eigen_gaps(a, values, columns, m, k), turned])
    return b.rename(product(a, b.rename(node, {own: m.name}), weighted, m.name), {k.name: own})


# --- singular values and vectors --------------------------------------------------------------------------------------


class _Singular:
    """A = U S V' of a node's operand: U[rows, k], s[k], V[columns, k] for a fresh k, and their copies along others."""

    def __init__(self, a: Algebra, node: Node) -> None:
        self.a = a
        (x,), ((self.rows, self.columns),) = node.inputs, node.attrs[0]
        core = ((self.rows, self.columns),)
        self.k = a.fresh(a.axis(self.columns))
        result = {"svdvals": (self.k,), "svd_left": (a.axis(self.rows), self.k)}
        result["svd_right"] = (a.axis(self.columns), self.k)
        self.values, self.left, self.right = (a.b.linalg(op, [x], core, axes) for op, axes in result.items())
        self.square = _same_size(a, self.rows, self.columns)

    def along(self, x: Node, k: Axis, **names: str) -> Node:
        """One of the factors with the axis k in the place of its own."""
        to = {self.k.name: k.name}
        if "rows" in names:
            to[self.rows] = names["rows"]
        if "columns" in names:
            to[self.columns] = names["columns"]
        return self.a.b.rename(x, to)

    def weights(self, first: Axis, second: Axis, side: Axis) -> Node:
        """s[side]/(s[second]**2 - s[first]**2), and 0 where the two are equal."""
        b = self.a.b
        x, y, z = (self.along(self.values, k) for k in (first, second, side))
        gap = ("mul", ("sub", slot(1), slot(0)), ("add", slot(1), slot(0)))
        return b.map(("mul", slot(2), _inverse(gap, ("eq", slot(0), slot(1)))), [x, y, z], "real")

    def reciprocals(self, k: Axis) -> Node:
        """1/s[k], and 0 where s[k] is 0."""
        tree = _inverse(slot(0), ("eq", slot(0), num(0)))
        return self.a.b.map(tree, [self.along(self.values, k)], "real")

    def outside(self, x: Node, axis: str) -> Node:
        """(I - U U') x along an axis over the rows."""
        b, k, p = self.a.b, self.a.fresh(self.k), self.a.fresh(self.a.axis(self.rows))
        inside = product(self.a, self.along(self.left, k), b.rename(x, {axis: self.rows}), self.rows)
        back = product(self.a, self.along(self.left, k, rows=p.name), inside, k.name)
        return b.map(("sub", slot(0), slot(1)), [x, b.rename(back, {p.name: axis})], "real")


def _same_size(a: Algebra, first: str, second: str) -> bool:
    dims = a.dims[first], a.dims[second]
    sizes = [a.b.dims.get(d) for d in dims]
    return dims[0] == dims[1] or (isinstance(sizes[0], int) and sizes[0] == sizes[1])


def singular_values_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """A_bar = U diag(s_bar) V'."""
    s, (own,) = _Singular(a, node), node.attrs[1]
    return _product(a, [s.left, a.b.rename(bar, {own: s.k.name}), s.right], {s.k.name})


def singular_values_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """s_dot[k] = u_k' A_dot v_k."""
    s, (own,) = _Singular(a, node), node.attrs[1]
    whole = _product(a, [s.left, dot, s.right], {s.rows, s.columns})
    return a.b.rename(whole, {s.k.name: own})


def _vectors_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """A_bar = U P_bar V', and for U also (I - U U') U_bar S^-1 V', with K = F * (U' U_bar) or F * (V' V_bar):

    P_bar = (K + K') S for U, S (K + K') for V. F[m, k] = 1/(s[k]**2 - s[m]**2) is antisymmetric, so that K + K' is
    F * (X - X') for X = U' U_bar.
    """
    b, s = a.b, _Singular(a, node)
    of_left = node.op == "svd_left"
    inner, own = node.attrs[1]
    m, k = a.fresh(s.k), a.fresh(s.k)
    seen = b.rename(bar, {inner: s.rows if of_left else s.columns, own: k.name})
    factor = s.left if of_left else s.right
    x = product(a, s.along(factor, m), seen, s.rows if of_left else s.columns)
    odd = b.map(("sub", slot(0), slot(1)), [x, b.rename(x, {m.name: k.name, k.name: m.name})], "real")
    core = b.mul([s.weights(m, k, k if of_left else m), odd])
    whole = product(a, product(a, s.along(s.left, m), core, m.name), s.along(s.right, k), k.name)
    if not of_left or s.square:
        return whole
    scaled = b.mul([s.outside(seen, s.rows), s.reciprocals(k)])
    return b.add([whole, product(a, scaled, s.along(s.right, k), k.name)])


def _vectors_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """With P = U' A_dot V: U_dot = U (F * (P S + S P')) + (I - U U') A_dot V S^-1, V_dot = V (F * (S P + P' S))."""
    b, s = a.b, _Singular(a, node)
    of_left = node.op == "svd_left"
    inner, own = node.attrs[1]
    m, k = a.fresh(s.k), a.fresh(s.k)
    mapped = product(a, dot, s.along(s.right, k), s.columns)
    p = product(a, s.along(s.left, m), mapped, s.rows)
    turned = b.rename(p, {m.name: k.name, k.name: m.name})
    first, second = (k, m) if of_left else (m, k)
    core = b.add([b.mul([s.weights(m, k, first), p]), b.mul([s.weights(m, k, second), turned])])
    whole = product(a, s.along(s.left if of_left else s.right, m), core, m.name)
    if of_left and not s.square:
        whole = b.add([whole, b.mul([s.outside(mapped, s.rows), s.reciprocals(k)])])
    return b.rename(whole, {s.rows if of_left else s.columns: inner, k.name: own})


PULLBACKS: Mapping[str, Rule] = {
    "eigvalsh": eigenvalues_pullback,
    "eigh": eigenvectors_pullback,
    "svdvals": singular_values_pullback,
    "svd_left": _vectors_pullback,
    "svd_right": _vectors_pullback,
}

PUSHFORWARDS: Mapping[str, Rule] = {
    "eigvalsh": eigenvalues_pushforward,
    "eigh": eigenvectors_pushforward,
    "svdvals": singular_values_pushforward,
    "svd_left": _vectors_pushforward,
    "svd_right": _vectors_pushforward,
}
