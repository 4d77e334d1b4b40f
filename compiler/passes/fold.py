"""Simplifies what each kernel computes, and joins kernels that only feed each other.

SymPy brings every kernel to a normal form once: constants meet, like terms merge, what cancels goes. A map that only one other
map reads, point by point, becomes part of its kernel, so that the normal form sees both. Sums of nothing but numbers and
indices become the numbers that they are (`literal.py`). What a right side is a multiple of by a number is solved for, so that
systems whose right sides are multiples of each other are one.
"""

from __future__ import annotations

from vspec.compiler.calculus.scalar import simplify
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import BORDER, Tree, kernel, slot, substitute
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import count_readers, rewrite
from vspec.compiler.passes.content import squares
from vspec.compiler.passes.literal import Literals
from vspec.compiler.passes.products import numbers_outside, scaled

DOC = "No kernel is longer than its normal form, and no helper map feeds a single map of the same axes."

# A scalar formula this small may be computed at every point: XLA takes it out of the loop again.
TRIVIAL = 3

# Joined kernels stay below this size: SymPy's time grows faster than theirs.
MOST = 32


def run(graph: Graph) -> Graph:
    """The graph with joined and simplified kernels."""
    readers = count_readers(graph)
    literals = Literals(graph.dims)

    def visit(b: Builder, node: Node, old: Node) -> Node:
        found = literals.of(b, node) or squares(b, node) or folded(b, node, old)
        # Inputs are looked at before readers, so that no look goes deep.
        literals.closed(found)
        return found

    def folded(b: Builder, node: Node, old: Node) -> Node:
        if node.kind is Kind.REDUCE and node.op == "sum" and is_number(_number(node.inputs[0]), 0):
            return _over(b, b.number(0.0), node)
        if node.kind in (Kind.CONTRACT, Kind.LINALG):
            return numbers_outside(b, node) or node
        if node.kind is not Kind.MAP or node.attrs[0].tree[0] in BORDER:
            return node
        joined = _with_numbers(b, _join(b, node, old, readers))
        tree = simplify(joined.attrs[0].tree) if joined.kind is Kind.MAP else None
        if tree is None or tree is joined.attrs[0].tree:
            return _over(b, joined, node)
        return _over(b, b.map(tree, joined.inputs, joined.dtype), node)

    return rewrite(graph, visit)


def _over(b: Builder, x: Node, node: Node) -> Node:
    """x along all axes of a node: what an operand that cancelled took with it is broadcast."""
    return x if set(x.names) == set(node.names) else b.order(x, node.axes)


def _with_numbers(b: Builder, node: Node) -> Node:
    """The map with numbers for operands that are one number everywhere."""
    if node.kind is not Kind.MAP:
        return node
    inputs = [_number(x) for x in node.inputs]
    if not any(is_number(x) for x in inputs):
        return node
    return b.map(node.attrs[0].tree, inputs, node.dtype)


def _number(x: Node) -> Node:
    below = x
    while below.kind is Kind.REINDEX:
        below = below.inputs[0]
    return below if below.kind is Kind.CONST and below.op == "number" and below.dtype == x.dtype == "real" else x


def _join(b: Builder, node: Node, old: Node, readers: dict[int, int]) -> Node:
    tree: Tree = node.attrs[0].tree
    inputs: list[Node] = []
    replace: dict[int, Tree] = {}
    ops = node.attrs[0].ops
    for k, (x, was) in enumerate(zip(node.inputs, old.inputs, strict=True)):
        below, shown = unrenamed(x)
        multiple = scaled(below)
        if multiple is not None and unrenamed(multiple)[0].kind is Kind.LINALG:
            # A number that came out of a system meets the other numbers.
            replace[k] = substitute(below.attrs[0].tree, {0: slot(len(inputs))})
            inputs.append(b.rename(multiple, shown))
        elif _joins(x, node, readers.get(was.uid, 0)) and ops + x.attrs[0].ops <= MOST:
            ops += x.attrs[0].ops
            replace[k] = substitute(x.attrs[0].tree, {j: slot(len(inputs) + j) for j in range(len(x.inputs))})
            inputs.extend(x.inputs)
        else:
            replace[k] = slot(len(inputs))
            inputs.append(x)
    # Operands that have become equal share a slot.
    apart = len({x.uid for x in inputs}) == len(inputs)
    if apart and len(inputs) == len(node.inputs) and all(x is y for x, y in zip(inputs, node.inputs, strict=True)):
        return node
    return b.map(kernel(substitute(tree, replace)).tree, inputs, node.dtype)


def _joins(x: Node, reader: Node, readers: int) -> bool:
    if x.kind is not Kind.MAP or x.definition or x.dtype != "real" or x.attrs[0].tree[0] in BORDER:
        return False
    if not x.names and x.attrs[0].ops <= TRIVIAL:
        return True
    return readers == 1 and set(x.names) == set(reader.names)
