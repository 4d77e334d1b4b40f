"""Derivatives of the determinant, also where the matrix is singular.

The derivative of the determinant is the matrix of cofactors C, which every matrix has. Where the matrix has an inverse,
C = det(A) inv(A)'; the derivative of C is taken from that, so that second derivatives need a regular matrix.
"""

from __future__ import annotations

from vspec.compiler.calculus.linear import inverse_transposed, product
from vspec.compiler.calculus.terms import Algebra
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Node


def cofactors(a: Algebra, node: Node) -> Node:
    """The cofactors of the operand of a `det`, named so that they meet the operand elementwise."""
    ((rows, columns),) = node.attrs[0]
    return a.b.linalg("cofactor", [node.inputs[0]], ((rows, columns),), [a.axis(rows), a.axis(columns)])


def _sum(a: Algebra, node: Node, factors: list[Node]) -> Node:
    return a.b.reduce("sum", a.b.mul(factors), node.attrs[0][0], a.dims)


def det_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """A_bar = bar C."""
    return a.b.mul([bar, cofactors(a, node)])


def det_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """The sum of C * A_dot."""
    return _sum(a, node, [dot, cofactors(a, node)])


def logdet_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """A_bar = bar inv(A)', whatever the sign of the determinant."""
    return a.b.mul([bar, inverse_transposed(a, node)])


def logdet_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """The sum of inv(A)' * A_dot."""
    return _sum(a, node, [dot, inverse_transposed(a, node)])


def cofactors_along(a: Algebra, node: Node, direction: Node) -> Node:
    """C_dot = (sum of C * A_dot) V - C A_dot' V for V = inv(A)'. The map is its own adjoint: a pullback, too."""
    b = a.b
    ((rows, columns),), (_, column) = node.attrs
    inverse = inverse_transposed(a, node)
    both = {x.name: x for n in (node, direction) for x in n.axes if x.name not in (rows, columns)}
    inner = b.contract([node, direction], tuple(both.values()))
    p, q = a.fresh(a.axis(rows)), a.fresh(a.axis(columns))
    turned = product(a, b.rename(node, {column: q.name}), b.rename(direction, {rows: p.name, columns: q.name}), q.name)
    second = product(a, turned, b.rename(inverse, {rows: p.name}), p.name)
    return b.map(("sub", ("mul", slot(0), slot(1)), slot(2)), [inner, inverse, second], "real")
