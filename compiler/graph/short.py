"""Sums over a few terms that are outer products, `sum[i]((X[n, i] - Y[m, i])**2)`: programs have them written term by term.

What is summed is never an array then: whoever asks what a program takes of memory leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vspec.compiler.graph.cost import kernel_flops
from vspec.compiler.graph.kernel import Tree, slot, substitute
from vspec.compiler.graph.node import Kind, Node

# Longer sums would make long programs.
MOST = 16
# A kernel of so few operations may be evaluated twice rather than read from memory.
CHEAP = 8


def short_sum(node: Node, dims: Mapping[str, int | Node | None], alone: bool) -> tuple[Tree, list[Node]] | None:
    """The kernel and the operands of a short sum of outer products. `alone`: nobody else reads what is summed."""
    if node.kind is not Kind.REDUCE or node.op != "sum" or len(node.attrs[0]) != 1 or len(node.axes) < 2:
        return None
    (inner,) = node.inputs
    if inner.kind is not Kind.MAP or inner.dtype != "real":
        return None
    count = dims.get(inner.axis(node.attrs[0][0]).dim)
    if not isinstance(count, int) or not 2 <= count <= MOST:
        return None
    tree, inputs = _opened(inner, set(inner.names))
    # An operand with all axes is there in memory as it is; of it, rows are as good as slices. What other readers have made
    # anyway is made a second time only if that is no work.
    if any(len(x.axes) == len(inner.axes) for x in inputs) or not (alone or kernel_flops(tree) <= CHEAP):
        return None
    if not any(node.attrs[0][0] in x.names for x in inputs):
        return None
    return tree, inputs


def never_made(nodes: Sequence[Node], roots: Sequence[Node], dims: Mapping[str, int | Node | None]) -> frozenset[int]:
    """The nodes of a scope, by uid, that only short sums read: what these sum, and no array."""
    readers: dict[int, list[Node]] = {}
    for n in nodes:
        for uid in {x.uid for x in n.inputs}:
            readers.setdefault(uid, []).append(n)
    ends = {r.uid for r in roots}
    return frozenset(
        uid
        for uid, found in readers.items()
        if uid not in ends and all(short_sum(n, dims, len(found) == 1) is not None for n in found)
    )


def _opened(node: Node, axes: set[str]) -> tuple[Tree, list[Node]]:
    """The kernel of a map, with those of its operands put in that have all axes, are maps of smaller ones and cost little."""
    tree: Tree = node.attrs[0].tree
    inputs: list[Node] = []
    replace: dict[int, Tree] = {}
    for k, x in enumerate(node.inputs):
        inner: tuple[Tree, list[Node]] | None = None
        if set(x.names) == axes and x.kind is Kind.MAP and x.dtype == "real":
            inner = _opened(x, axes)
            if kernel_flops(inner[0]) > CHEAP or any(set(y.names) == axes for y in inner[1]):
                inner = None
        found = (slot(0), [x]) if inner is None else inner
        replace[k] = substitute(found[0], {j: slot(len(inputs) + j) for j in range(len(found[1]))})
        inputs += found[1]
    return substitute(tree, replace), inputs
