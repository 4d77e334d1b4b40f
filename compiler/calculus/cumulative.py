"""Derivatives of running sums, running products and first-order linear recurrences: each is one of the three again.

With y[k] = a[k]*y[k - 1] + b[k], the adjoint of b is the recurrence l[k] = y_bar[k] + a[k + 1]*l[k + 1] from the other end,
and that of a is l[k]*y[k - 1]. A running product is the same with b = 0 and y[-1] = 1. Nothing is divided by a factor, so that
zeros among the factors are exact. `reverse` mirrors all of it.
"""

from __future__ import annotations

from vspec.compiler.calculus.terms import Algebra
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Node


def before(a: Algebra, node: Node) -> Node:
    """What each step of a running product or a recurrence starts from: the value one step earlier."""
    b, (name, reverse) = a.b, node.attrs
    axis = node.axis(name)
    moved = b.shift(node, name, 1 if reverse else -1, "zero")
    if node.op == "linear":
        return moved
    first = b.map(("sub", slot(0), num(1)), [b.size(axis.dim)], "integer") if reverse else b.number(0)
    return b.map(("where", ("eq", slot(0), slot(1)), num(1.0), slot(2)), [b.index(axis), first, moved], "real")


def cumulative_pullback(a: Algebra, node: Node, bar: Node, k: int) -> Node:
    """The adjoint of operand `k` along all axes of `bar` and `node`; `bar` has the axis."""
    b, (name, reverse) = a.b, node.attrs
    axis = node.axis(name)
    if node.op == "sum":
        return b.cumulate("sum", [bar], axis, not reverse)
    factors = node.inputs[0]
    later = b.shift(factors, name, -1 if reverse else 1, "zero") if name in factors.names else factors
    from_end = b.cumulate("linear", [later, bar], axis, not reverse)
    if node.op == "linear" and k == 1:
        return from_end
    return b.mul([from_end, before(a, node)])


def cumulative_pushforward(a: Algebra, node: Node, dot: Node, k: int) -> Node:
    """The tangent of the value from that of operand `k`, which has the axis."""
    b, (name, reverse) = a.b, node.attrs
    axis: Axis = node.axis(name)
    if node.op == "sum":
        return b.cumulate("sum", [dot], axis, reverse)
    if node.op == "prod" or k == 0:
        dot = b.mul([dot, before(a, node)])
    return b.cumulate("linear", [node.inputs[0], dot], axis, reverse)
