"""Text of the nodes that read or write parts of arrays: windows, gathers and their adjoints."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.emit.layout import Layout, Value, aligned, arranged, subscripted
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import ADD, MUL, Text, name, sequence
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.graph.orders import over_pairs, pairs_outside


def _slice(scope: Scope, dim: str, scale: int, offset: int) -> str:
    """The window of that many elements as a Python slice."""
    size = scope.size(dim)
    start = str(offset) if offset else ""
    if scale < 0:
        # Only known sizes are read backwards by a slice; its stop is one before the last element read, or open.
        after = offset + scale * (int(size.code) - 1) - 1
        return f"{offset}:{after if after >= 0 else ''}:{scale}"
    if size.code.isdigit():
        stop = str(offset + scale * (int(size.code) - 1) + 1)
    elif scale == 1:
        stop = f"{offset} + {size.at(ADD)}" if offset else size.code
    else:
        # The last element read is offset + scale*(size - 1).
        after = offset - scale + 1
        stop = f"{scale} * {size.at(MUL + 1)}" + (f" + {after}" if after > 0 else f" - {-after}" if after < 0 else "")
    return f"{start}:{stop}" + (f":{scale}" if scale != 1 else "")


def _everything(scope: Scope, part: str, whole: str, scale: int, offset: int) -> bool:
    """Whether a window over a dim of the same size is all of its axis."""
    return (scale, offset) == (1, 0) and scope.size(part).code == scope.size(whole).code


def emit_window(scope: Scope, node: Node) -> Value:
    """`x[:, 1:1 + r]`."""
    value = scope.whole(node.inputs[0])
    axis, new, scale, offset = node.attrs
    position = value.layout.index(axis)
    layout = tuple(new if a == axis else a for a in value.layout)
    if _everything(scope, node.axis(new).dim, node.inputs[0].axis(axis).dim, scale, offset):
        return Value(value.text, layout)
    items = [":"] * position + [_slice(scope, node.axis(new).dim, scale, offset)]
    return Value(subscripted(value.text, items), layout)


def emit_shift(scope: Scope, node: Node) -> Value:
    """`jnp.roll(x, -1)`, or zeros at one end and a slice that leaves out the other."""
    value = scope.whole(node.inputs[0])
    axis, offset, mode = node.attrs
    position = value.layout.index(axis)
    if mode == "periodic":
        where = f", axis={position}" if len(value.layout) > 1 else ""
        return Value(name(f"jnp.roll({value.text.code}, {-offset}{where})"), value.layout)
    width = f"(0, {offset})" if offset > 0 else f"({-offset}, 0)"
    if len(value.layout) > 1:
        width = sequence([width if k == position else "(0, 0)" for k in range(len(value.layout))])
    items = [":"] * position + [f"{offset}:" if offset > 0 else f":{offset}"]
    return Value(subscripted(name(f"jnp.pad({value.text.code}, {width})"), items), value.layout)


def emit_flip(scope: Scope, node: Node) -> Value:
    """`x[:, ::-1]`."""
    value = scope.whole(node.inputs[0])
    items = [":"] * value.layout.index(node.attrs[0]) + ["::-1"]
    return Value(subscripted(value.text, items), value.layout)


def emit_at(scope: Scope, node: Node) -> Value:
    """`x[:, -1]`."""
    value = scope.whole(node.inputs[0])
    axis, position = node.attrs
    items = [":"] * value.layout.index(axis) + [str(position)]
    return Value(subscripted(value.text, items), tuple(a for a in value.layout if a != axis))


def emit_gather(scope: Scope, node: Node) -> Value:
    """`table[z]`; axes that table and index share walk along together."""
    array, index = scope.whole(node.inputs[0]), scope.whole(node.inputs[1])
    if index.text.python and not index.text.simple:
        # A position computed from sizes; of open sizes, JAX takes it as an array only.
        index = Value(scope.array(index, "integer"), ())
    (axis,) = node.attrs
    shared = {a for a in array.layout if a in index.layout and a != axis}
    if over_pairs(node.axes):
        # What is computed of it follows the order in which it is gathered.
        axes = pairs_outside(node.axes, Sizes.of(scope.graph))
        order = tuple(axis if over_pairs([a]) else a.name for a in axes)
        if set(order) == set(array.layout):
            array = Value(arranged(array, order), order)
    if not shared:
        k = array.layout.index(axis)
        items = [":"] * k + [index.text.code]
        return Value(subscripted(array.text, items), array.layout[:k] + index.layout + array.layout[k + 1 :])
    if len(shared) == len(array.layout) - 1 == len(index.layout) - 1:
        # One position for each of all other axes, as sorting gives them.
        k = array.layout.index(axis)
        (new,) = (a for a in index.layout if a not in shared)
        layout = (*array.layout[:k], new, *array.layout[k + 1 :])
        rows = arranged(index, layout).code
        return Value(name(f"jnp.take_along_axis({array.text.code}, {rows}, axis={k})"), layout)
    dims = {a.name: a.dim for a in node.inputs[1].axes}
    items = [_along(scope, a, axis, index, shared, dims) for a in array.layout]
    fixed = [k for k, item in enumerate(items) if item != ":"]
    rest = tuple(a for a in array.layout if a != axis and a not in shared)
    # NumPy's rule: index arrays side by side leave their axes where they stand, others put them first.
    together = fixed == list(range(fixed[0], fixed[-1] + 1))
    front = rest[: fixed[0]] if together else ()
    return Value(subscripted(array.text, items), front + index.layout + rest[len(front) :])


def _along(scope: Scope, a: str, axis: str, index: Value, shared: set[str], dims: dict[str, str]) -> str:
    if a == axis:
        return index.text.code
    if a not in shared:
        return ":"
    return aligned(Value(name(f"jnp.arange({scope.size(dims[a]).code})"), (a,)), index.layout).code


def _zeros(scope: Scope, axes: Sequence[Axis], dtype: str) -> Text:
    return name(f"jnp.zeros({scope.shape(axes)}, dtype={scope.dtype(dtype)})")


def _written(zeros: Text, items: Sequence[str], method: str, text: Text) -> Text:
    return name(f"{subscripted(name(zeros.code + '.at'), items).code}.{method}({text.code})")


def emit_scatter_window(scope: Scope, node: Node) -> Value:
    """Zeros but for a window."""
    value = scope.whole(node.inputs[0])
    axis, new, scale, offset = node.attrs
    layout = tuple(new.name if a == axis else a for a in value.layout)
    if _everything(scope, node.inputs[0].axis(axis).dim, new.dim, scale, offset):
        return Value(value.text, layout)
    k = value.layout.index(axis)
    items = [":"] * k + [_slice(scope, node.inputs[0].axis(axis).dim, scale, offset)]
    zeros = _zeros(scope, [node.axis(a) for a in layout], node.dtype)
    return Value(_written(zeros, items, "set", value.text), layout)


def emit_scatter_at(scope: Scope, node: Node) -> Value:
    """Zeros but for one slice."""
    value = scope.whole(node.inputs[0])
    new, position = node.attrs
    k = min(node.names.index(new.name), len(value.layout))
    layout = (*value.layout[:k], new.name, *value.layout[k:])
    items = [":"] * k + [str(position)]
    zeros = _zeros(scope, [node.axis(a) for a in layout], node.dtype)
    return Value(_written(zeros, items, "set", value.text), layout)


def emit_scatter_gather(scope: Scope, node: Node) -> Value:
    """Each value added where its index says."""
    values, index = scope.value(node.inputs[0]), scope.whole(node.inputs[1])
    (new,) = node.attrs
    batch = tuple(a for a in index.layout if a in node.names and a != new.name)
    rest = tuple(a for a in node.names if a != new.name and a not in batch)
    if over_pairs(node.inputs[1].axes) and set(rest) <= set(values.layout):
        # The rows that are added stay as they are.
        rest = tuple(a for a in values.layout if a in rest)
    layout: Layout = (*batch, new.name, *rest)
    dims = {a.name: a.dim for x in (node, *node.inputs) for a in x.axes}
    items = [_along(scope, a, new.name, index, set(batch), dims) for a in layout[: len(batch) + 1]]
    zeros = _zeros(scope, [node.axis(a) for a in layout], node.dtype)
    # What is added has the index's axes in front; `add` broadcasts over those that it lacks.
    target = index.layout + rest
    present = tuple(a for a in target if a in values.layout)
    text = aligned(values, target) if present else arranged(values, ())
    return Value(_written(zeros, items, "add", text), layout)
