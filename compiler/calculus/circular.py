"""Derivatives of products and systems with circulant matrices, which are known by their first column.

With y = a * x the circular convolution, the adjoint of x is rev(a) * y_bar and that of a rev(x) * y_bar, where rev(a)[k] is
a[-k]. The solution x of a * x = b has b_bar = the solution for rev(a) and x_bar, and a_bar = - rev(x) * b_bar. The logarithm of
the determinant has n rev(h), with h the first column of the inverse.
"""

from __future__ import annotations

from vspec.compiler.calculus.terms import Algebra
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Node

CIRCULAR = frozenset({"convolve", "deconvolve", "logdet_circulant"})


def reversed_along(a: Algebra, x: Node, axis: str) -> Node:
    """x[-k] along an axis, the axis being a circle."""
    x = a.spread(x, [axis])
    return a.b.shift(a.b.flip(x, axis), axis, -1, "periodic")


def _both(a: Algebra, op: str, left: tuple[Node, str], right: tuple[Node, str], result: Axis) -> Node:
    return a.b.linalg(op, [left[0], right[0]], ((left[1],), (right[1],)), [result])


def _column(a: Algebra, node: Node) -> tuple[Node, Axis]:
    """n times the reversed first column of the inverse, and its axis."""
    b = a.b
    ((k,),) = node.attrs[0]
    axis = a.axis(k)
    first = b.map(("where", ("eq", slot(0), num(0)), num(1.0), num(0.0)), [b.index(axis)], "real")
    h = _both(a, "deconvolve", (node.inputs[0], k), (first, k), axis)
    return b.mul([b.size(axis.dim), reversed_along(a, h, k)]), axis


def circular_pullback(a: Algebra, node: Node, bar: Node, k: int) -> Node:
    """The adjoint of operand `k`, from that of the value along all of its axes."""
    if node.op == "logdet_circulant":
        return a.b.mul([bar, _column(a, node)[0]])
    ((own,), (other,)), (result,) = node.attrs
    column, x = node.inputs
    turned = (reversed_along(a, column, own), own)
    if node.op == "convolve":
        if k == 1:
            return _both(a, "convolve", turned, (bar, result), a.axis(other))
        return _both(a, "convolve", (reversed_along(a, x, other), other), (bar, result), a.axis(own))
    right = _both(a, "deconvolve", turned, (bar, result), a.axis(other))
    if k == 1:
        return right
    return a.b.neg(_both(a, "convolve", (reversed_along(a, node, result), result), (right, other), a.axis(own)))


def circular_pushforward(a: Algebra, node: Node, dot: Node, k: int) -> Node:
    """The tangent of the value from that of operand `k`."""
    if node.op == "logdet_circulant":
        column, axis = _column(a, node)
        return a.b.reduce("sum", a.b.mul([dot, column]), [axis.name], a.dims)
    ((own,), (other,)), (result,) = node.attrs
    column, x = node.inputs
    axis = a.axis(result)
    if k == 1:
        return _both(a, node.op, (column, own), (dot, other), axis)
    if node.op == "convolve":
        return _both(a, "convolve", (dot, own), (x, other), axis)
    moved = _both(a, "convolve", (dot, own), (node, result), a.axis(other))
    return a.b.neg(_both(a, "deconvolve", (column, own), (moved, other), axis))
