"""Derivatives of running sums, running products, first-order linear recurrences and pivots: each is one of the first three.

With y[k] = a[k]*y[k - 1] + b[k], the adjoint of b is the recurrence l[k] = y_bar[k] + a[k + 1]*l[k + 1] from the other end,
and that of a is l[k]*y[k - 1]. A running product is the same with b = 0 and y[-1] = 1. Nothing is divided by a factor, so that
zeros among the factors are exact. `reverse` mirrors all of it. The tangent of pivots p[k] = d[k] - q[k]/p[k - 1] is the
recurrence with a[k] = q[k]/p[k - 1]**2 and b[k] = d_dot[k] - q_dot[k]/p[k - 1].
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
    factors = _factors(a, node)
    later = b.shift(factors, name, -1 if reverse else 1, "zero") if name in factors.names else factors
    from_end = b.cumulate("linear", [later, bar], axis, not reverse)
    if node.op in ("linear", "pivots") and k == 1:
        return from_end
    if node.op == "pivots":
        return b.map(("neg", ("div", slot(0), slot(1))), [from_end, before(a, node)], "real")
    return b.mul([from_end, before(a, node)])


def cumulative_pushforward(a: Algebra, node: Node, dot: Node, k: int) -> Node:
    """The tangent of the value from that of operand `k`, which has the axis."""
    b, (name, reverse) = a.b, node.attrs
    axis: Axis = node.axis(name)
    if node.op == "sum":
        return b.cumulate("sum", [dot], axis, reverse)
    if node.op == "pivots" and k == 0:
        dot = b.map(("neg", ("div", slot(0), slot(1))), [dot, before(a, node)], "real")
    elif node.op == "prod" or k == 0:
        dot = b.mul([dot, before(a, node)])
    return b.cumulate("linear", [_factors(a, node), dot], axis, reverse)


def _factors(a: Algebra, node: Node) -> Node:
    """By what a step of the recurrence of tangents multiplies the step before."""
    if node.op != "pivots":
        return node.inputs[0]
    return a.b.map(("div", slot(0), ("pow", slot(1), num(2))), [node.inputs[0], before(a, node)], "real")
