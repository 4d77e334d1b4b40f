"""Sums over a few terms that are outer products: written term by term.

`sum[i]((X[n, i] - Y[m, i])**2)` over three i is three passes of a loop over pairs, which XLA makes one of. As one array with i
among its axes it would be computed element by element, with a short loop inside: many times slower on a CPU.

A loop over pairs runs along the last axis of the pairs. Of points that lie one after the other, `Y[m, i]`, each step of it reads
from another place, and what is computed there, an exponential above all, is computed one by one. So such an operand is copied
first: `columns(Y)` has the first coordinates of all points in one piece, then the second ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vspec.compiler.emit.layout import Layout, Value, aligned, arranged, subscripted
from vspec.compiler.emit.scalar import expression
from vspec.compiler.emit.text import ATOM, Text, name, number
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import num, slots, substitute
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.short import MOST, short_sum

if TYPE_CHECKING:
    from vspec.compiler.emit.scope import Scope

# What is read so many times, for an array of so many elements whose last axis is so long, is worth a copy that lies in order.
AGAIN = 8
LARGE = 2**14
LONG = 32


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
        copied = _copied(scope, node, {k: v for k, v in values.items() if over[0] in v.layout}, over[0], layout)
        parts = [number(0)] * len(inputs)
        for k, v in values.items():
            parts[k] = aligned(copied[k], layout) if k in copied else _term(v, over[0], counter, layout)
        code = expression(tree, parts, context).code
        # Two operands may be one array with its axes named in two ways; only one of them is read with steps.
        terms = _terms(counter, count, {v.text.code: values[k].text.code for k, v in copied.items()})
        return Text(f"sum({code} for {terms})", ATOM)

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


def _copied(scope: Scope, node: Node, values: Mapping[int, Value], axis: str, target: Layout) -> dict[int, Value]:
    """The column at hand of each operand that is read with steps along the last axis of `target`, by its number. None where
    little is computed, and where JAX differentiates: the derivative of a copy by positions is slower than that of a slice."""
    sizes = Sizes(scope.graph.dims)
    size = sizes.count(node.axes)
    if scope.differentiated or size < LARGE or sizes.dim(node.axis(target[-1]).dim) < LONG:
        return {}
    found: dict[int, Value] = {}
    known: dict[Value, Value] = {}
    for k, v in values.items():
        left = v.layout[:-1]
        if v.layout[-1] != axis or left[-1:] != target[-1:] or list(left) != [a for a in target if a in left]:
            continue
        if size < AGAIN * sizes.count(node.axis(a) for a in left):
            continue
        key = Value(v.text, v.layout)
        if key not in known:
            names = scope.function.columns
            if len(names) == len(known):
                names.append(scope.function.names.reserve("column"))
            known[key] = Value(name(names[len(known)]), left)
        found[k] = known[key]
    return found


def _terms(counter: str, count: object, copied: Mapping[str, str]) -> str:
    """`k in range(3)`, with columns, by their names the arrays that they are of, `(k, column) in enumerate(columns(Y))`."""
    if not copied:
        return f"{counter} in range({count})"
    codes = [f"columns({x})" for x in copied.values()]
    if len(codes) == 1:
        return f"({counter}, {next(iter(copied))}) in enumerate({codes[0]})"
    return f"({counter}, ({', '.join(copied)})) in enumerate(zip({', '.join(codes)}))"


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
