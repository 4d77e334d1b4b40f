"""A sum of squares of what has a number in common is the number's square times the sum of squares without it.

sum[i]((2*x[i] - 2*y[i])**2) is 4*sum[i]((x[i] - y[i])**2): slopes of squares have such numbers, and
their squares, in Laplacians, are then the very sums that the slopes are taken of.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from vspec.compiler.calculus.scalar import simplify
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import kernel_flops
from vspec.compiler.graph.kernel import Kernel, Tree, kernel, num
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.passes.patterns import factors, number_of, opened_map, product, terms, total

# A kernel of so few operations may be evaluated a second time rather than read from memory.
CHEAP = 4


def squares(b: Builder, node: Node) -> Node | None:
    """A sum of squares with the number outside; None for any other node."""
    x = _squared(node)
    found = opened_map(b, x) if x is not None else None
    if x is None or found is None:
        return None
    tree, inputs = found
    split = content(kernel(tree))
    if split is None:
        return None
    value, rest = split
    inner = b.map(simplify(("pow", rest, num(2))), inputs, "real")
    over = [a.name for a in x.axes if a.name not in node.names]
    made = b.reduce("sum", inner, over, {a.name: a.dim for a in x.axes})
    return b.order(b.map(("mul", num(value * value), ("x", 0)), [made], "real"), node.axes)


def _squared(node: Node) -> Node | None:
    """What is squared and summed."""
    if node.kind is Kind.CONTRACT and len(node.inputs) == 2 and node.inputs[0] is node.inputs[1]:
        return node.inputs[0]
    if node.kind is not Kind.REDUCE or node.op != "sum" or len(node.attrs) > 1:
        return None
    (x,) = node.inputs
    if x.kind is Kind.MAP and len(x.inputs) == 1 and x.attrs[0].tree in (("pow", ("x", 0), num(2)), SQUARE):
        return x.inputs[0] if x.inputs[0].dtype == "real" else None
    return None


SQUARE: Tree = ("mul", ("x", 0), ("x", 0))


@cache
def content(k: Kernel) -> tuple[int | Fraction, Tree] | None:
    """The number that all terms of a sum have in common, and the sum without it; None where it is 1, or the sum is work."""
    if k.tree[0] not in ("add", "sub", "mul") or kernel_flops(k.tree) > CHEAP:
        return None
    parts = [(sign, *number_of(factors(t))) for sign, t in terms(k.tree)]
    value = abs(parts[0][1])
    exact = isinstance(value, int | Fraction) and value not in (0, 1)
    if not exact or any(abs(c) != value for _, c, _ in parts):
        return None
    return value, total([(s if c > 0 else -s, product(rest)) for s, c, rest in parts])


__all__ = ["content", "squares"]
