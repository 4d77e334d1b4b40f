"""Sums over a few terms that are outer products: written term by term.

`sum[i]((X[n, i] - Y[m, i])**2)` over three i is three passes of a loop over pairs, which XLA makes one of. As one array with i
among its axes it would be computed element by element, with a short loop inside: many times slower on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vspec.compiler.emit.layout import Layout, Value, aligned, arranged, subscripted
from vspec.compiler.emit.scalar import expression
from vspec.compiler.emit.text import ATOM, Text, number
from vspec.compiler.graph.cost import kernel_flops
from vspec.compiler.graph.kernel import Tree, num, slot, slots, substitute
from vspec.compiler.graph.node import Kind, Node

if TYPE_CHECKING:
    from vspec.compiler.emit.scope import Scope

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


def unrolled(scope: Scope, node: Node) -> Value | None:
    """`sum((X[:, k, None] - Y[:, k]) ** 2 for k in range(3))`, or None for any other reduction."""
    found = short_sum(node, scope.graph.dims, scope.uses.get(node.inputs[0].uid) == 0)
    if found is None:
        return None
    tree, inputs = found
    over = node.attrs[0]
    count = scope.graph.dims[node.inputs[0].axis(over[0]).dim]
    tree = substitute(tree, {k: num(x.attrs[0]) for k, x in enumerate(inputs) if _is_number(x)})
    used = slots(tree)
    values = {}
    for k, x in enumerate(inputs):
        if k in used:
            # What is sliced again and again has a name, with all of its axes.
            values[k] = scope.named(x) if over[0] in x.names else scope.value(x)
    # A counter is known inside of its own sum only, so that one name does for all.
    counter = scope.function.counter = scope.function.counter or scope.function.names.reserve("k")
    context = scope.context(node.dtype)

    def render(layout: Layout) -> Text:
        parts = [_term(values[k], over[0], counter, layout) if k in values else number(0) for k in range(len(inputs))]
        return Text(f"sum({expression(tree, parts, context).code} for {counter} in range({count}))", ATOM)

    # A sum over a short axis of all others is written in the order that is best for the loops of who reads it; else rows of a
    # stretch come first: what all of them read then lies as it is read.
    layout = scope.fast.get(node.uid) or tuple(sorted(node.names, key=lambda a: a != scope.leading))
    return Value(render(layout), layout, render)


def unrolled_product(scope: Scope, node: Node) -> Value | None:
    """`sum(a[:, k] * b[k] for k in range(3))` of two arrays with the same last axis that stays, of which one has all axes of the
    other; None for any other contraction. As a product of matrices for each element of that axis it would turn both around."""
    if len(node.inputs) != 2 or node.dtype != "real":
        return None
    over = {n for x in node.inputs for n in x.names} - set(node.names)
    x, y = sorted(node.inputs, key=lambda x: -len(x.axes))
    if (
        len(over) != 1
        or not over < set(y.names) <= set(x.names)
        or scope.value(x).layout[-1:] != scope.value(y).layout[-1:]
    ):
        return None
    (axis,) = over
    last = scope.value(x).layout[-1]
    count, along = (scope.graph.dims.get(x.axis(n).dim) for n in (axis, last))
    if (
        last == axis
        or not isinstance(count, int)
        or not 2 <= count <= MOST
        or not isinstance(along, int)
        or along < count
    ):
        return None
    values = [scope.named(n) for n in (x, y)]
    counter = scope.function.counter = scope.function.counter or scope.function.names.reserve("k")
    layout = tuple(n for n in values[0].layout if n != axis)
    parts = [_term(v, axis, counter, layout).code for v in values]
    return Value(Text(f"sum({' * '.join(parts)} for {counter} in range({count}))", ATOM), layout)


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


def _is_number(node: Node) -> bool:
    return node.kind is Kind.CONST and node.op == "number"


def _term(value: Value, axis: str, counter: str, target: Layout) -> Text:
    """The value at one position of the axis, so that it broadcasts against an array with the axes `target`."""
    if axis not in value.layout:
        return aligned(value, target)
    wanted = [a for a in target if a in value.layout]
    if [a for a in value.layout if a != axis] != wanted:
        value = Value(arranged(value, (axis, *wanted)), (axis, *wanted))
    left = list(value.layout)
    items: list[str] = []
    for a in target[target.index(wanted[0]) :] if wanted else ():
        if left and left[0] == axis:
            items.append(counter)
            left.pop(0)
        if left and a == left[0]:
            items.append(":")
            left.pop(0)
        else:
            items.append("None")
    return subscripted(value.text, [*items, counter] if left else items)
