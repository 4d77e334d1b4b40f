"""The Lagrangian of a least value under constraints, and the equations that hold at a solution.

There the gradient of the Lagrangian f + sum(m c) is 0 (of a greatest value: f - sum(m c)), and so are the gaps c of equations and
the products m c of inequalities c <= 0 with their multipliers m >= 0 (Nocedal and Wright 2006, theorem 12.1). As equations for
unknowns and multipliers together these are regular where exactly one of m and c is 0 in each product, the gradients of
the gaps that are 0 are independent, and the Lagrangian curves upwards along these.
"""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Node


def gap(b: Builder, left: Node, right: Node) -> Node:
    """Left minus right of a relation: 0 where an equation holds, at most 0 where an inequality does."""
    return b.map(("sub", slot(0), slot(1)), [left, right], "real")


def lagrangian(
    b: Builder, op: str, value: Node, gaps: Sequence[Node], multipliers: Sequence[Node], own: Sequence[Sequence[str]]
) -> Node:
    """The value and the gaps of its constraints times their multipliers, summed over their `own` axes, which are not those of a
    batch; `op` is argmin or argmax."""
    terms = [b.reduce("sum", b.mul([m, c]), over) for c, m, over in zip(gaps, multipliers, own, strict=True)]
    if op == "argmax":
        terms = [b.neg(t) for t in terms]
    return b.add([value, *terms])


def complementary(b: Builder, relation: str, c: Node, m: Node) -> Node:
    """What is 0 at a solution: the gap of an equation, the product of gap and multiplier of an inequality."""
    return c if relation == "eq" else b.mul([m, c])
