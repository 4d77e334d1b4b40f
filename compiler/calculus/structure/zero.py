"""The value of a node where some inputs are zero, with what vanishes left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.call import linear
from vspec.compiler.graph.kernel import Tree, num
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.graph.rewrite import with_inputs

ZERO = num(0)


def at_zero(b: Builder, node: Node, xs: Sequence[Node]) -> Node:
    """The node with zeros in the place of `xs`; it keeps its axes."""
    new: dict[int, Node | None] = {x.uid: None for x in xs}
    for n in topological([node]):
        if n.uid not in new:
            new[n.uid] = _one(b, n, new)
    found = new[node.uid]
    return b.order(b.number(0.0) if found is None else found, node.axes)


def _one(b: Builder, node: Node, new: dict[int, Node | None]) -> Node | None:
    """The node over the new inputs; None where it is zero."""
    inputs = [new[x.uid] for x in node.inputs]
    if all(x is old for x, old in zip(inputs, node.inputs, strict=True)):
        return node
    with b.at(node.origin):
        if node.kind is Kind.MAP:
            zeros = {k for k, x in enumerate(inputs) if x is None}
            tree = without(node.attrs[0].tree, zeros)
            if tree == ZERO:
                return None
            operands = [b.number(0.0) if x is None else x for x in inputs]
            found = b.map(tree, operands, node.dtype)
            return found if set(found.names) == set(node.names) else b.order(found, node.axes)
        if inputs[0] is None and (
            node.kind in (Kind.REINDEX, Kind.WINDOW, Kind.STOP, Kind.GATHER, Kind.SCATTER)
            or (node.kind is Kind.REDUCE and node.op in ("sum", "max", "min"))
            or (node.kind is Kind.CUMULATE and node.op == "sum")
        ):
            return None
        if node.kind is Kind.CONTRACT and any(x is None for x in inputs):
            return None
        if node.kind is Kind.CONCAT and all(x is None for x in inputs):
            return None
        if node.kind is Kind.CALL and any(
            x is None and linear(node.attrs[2], k, len(inputs)) for k, x in enumerate(inputs)
        ):
            return None
        if node.kind is Kind.LINALG and len(inputs) == 2 and inputs[1] is None:
            return None
        if node.kind is Kind.CUMULATE and node.op == "linear" and inputs[1] is None:
            return None
        full = [
            b.order(b.number(0.0), old.axes) if x is None else x for x, old in zip(inputs, node.inputs, strict=True)
        ]
        return with_inputs(b, node, full)


def without(tree: Tree, zeros: Collection[int]) -> Tree:
    """The tree where the slots `zeros` are zero."""
    op = tree[0]
    if op == "x":
        return ZERO if tree[1] in zeros else tree
    if op == "num":
        return ZERO if tree[1] == 0 else tree
    parts = [without(c, zeros) for c in tree[1:]]
    if op == "add":
        left = [p for p in parts if p != ZERO]
        return ZERO if not left else left[0] if len(left) == 1 else ("add", *left)
    if op == "sub" and ZERO in parts:
        return parts[0] if parts[1] == ZERO else ("neg", parts[1]) if parts[1] != ZERO else ZERO
    if op == "mul" and ZERO in parts:
        return ZERO
    if op in ("neg", "div", "square", "real", "pow") and parts[0] == ZERO:
        return ZERO
    if op == "where" and parts[1] == parts[2] == ZERO:
        return ZERO
    return (op, *parts)
