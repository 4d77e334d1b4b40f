"""Derivatives of functions that the graph does not look into: calls again, of the function's adjoint or of its tangent.

What is linear in an operand gives itself, with the tangent in the operand's place, so that derivatives of a convolution are
convolutions, of every order: with T(x, w, y) = sum y[p, k] w[u, i, k] x[s p + u, i], each of them is a slope of T.
"""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.calculus.terms import Algebra, Term
from vspec.compiler.graph.call import Function, Mapped, Pulled, Pushed, depends, linear
from vspec.compiler.graph.node import Axis, Node

Cores = Sequence[tuple[str, ...]]


def call_pullback(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    """The adjoint of operand `k`; None where the value does not depend on it."""
    cores, result, function = node.attrs
    inputs, x = node.inputs, node.inputs[k]
    if x.dtype != "real" or not depends(function, k, len(inputs)):
        return None
    g = a.settle(g, {*result, *(n for core in cores for n in core)})
    lacking = [n for n in node.names if n not in result and n not in x.names]
    tied = {n for p in g.pairs for n in p}
    # Axes of deltas stay in the result, and the sum over them renames.
    inside = [n for n in lacking if n not in tied]
    bar = a.spread(g.node, [*inside, *result])
    made = _adjoint(a, function, inputs, cores, [node.axis(n) for n in result], bar, k, inside)
    return a.sum(Term(made, g.pairs), [n for n in lacking if n in tied])


def _adjoint(
    a: Algebra,
    f: Function,
    inputs: Sequence[Node],
    cores: Cores,
    result: Sequence[Axis],
    bar: Node,
    k: int,
    over: Sequence[str],
) -> Node:
    """The adjoint of operand `k` summed over the batch axes `over`, which the operand lacks and `bar` has."""
    count, b = len(inputs), a.b
    outer = [n for core in cores for n in core]
    if isinstance(f, Pulled | Pushed):
        inner, below = f.function, cores[:-1]
        primals, given = list(inputs[:-1]), inputs[-1]
        if k == count - 1:
            if isinstance(f, Pushed):
                return _adjoint(a, inner, primals, below, result, bar, f.operand, over)
            # The value is linear in the cotangent: what it is multiplied by is the slope of the function.
            value_axes = [given.axis(n) for n in cores[-1]]
            pushed = _tangent(a, inner, primals, below, value_axes, bar, f.operand)
            return b.reduce("sum", pushed, over, a.dims)
        if isinstance(f, Pulled) and linear(inner, f.operand, count - 1):
            primals[f.operand] = a.spread(bar, below[f.operand])
            return _adjoint(a, inner, primals, below, [given.axis(n) for n in cores[-1]], given, k, over)
    inside = [[n for n in over if n in x.names] for x in inputs]
    if over:
        f = Mapped(f, tuple(tuple(n in x.names for x in inputs) for n in over))
    whole = [(*names, *core) for names, core in zip(inside, cores, strict=True)]
    seen = (*over, *(x.name for x in result))
    assert not set(over) & set(outer)
    return b.call(Pulled(f, k), [*inputs, bar], [*whole, seen], [inputs[k].axis(n) for n in cores[k]])


def call_pushforward(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    """The tangent of the value from that of operand `k`; None where the value does not depend on it."""
    cores, result, function = node.attrs
    if not depends(function, k, len(node.inputs)):
        return None
    t = a.settle(t, {n for core in cores for n in core})
    dot = a.spread(t.node, cores[k])
    return Term(_tangent(a, function, node.inputs, cores, [node.axis(n) for n in result], dot, k), t.pairs)


def _tangent(
    a: Algebra, f: Function, inputs: Sequence[Node], cores: Cores, result: Sequence[Axis], dot: Node, k: int
) -> Node:
    if linear(f, k, len(inputs)):
        operands = list(inputs)
        operands[k] = dot
        return a.b.call(f, operands, cores, result)
    return a.b.call(Pushed(f, k), [*inputs, dot], [*cores, cores[k]], result)
