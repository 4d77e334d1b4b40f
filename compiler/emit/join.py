"""Text of the nodes that join arrays along a new axis, and that take one of the joined parts out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vspec.compiler.emit.layout import Layout, Value, arranged, subscripted
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import ADD, ATOM, MUL, Text, name, number, sequence
from vspec.compiler.graph.concat import stretches
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Node


def emit_stack(scope: Scope, node: Node) -> Value:
    """`jnp.stack([a, b], axis=1)` for rows, `jnp.concatenate([b[None], W.ravel()])` for parts of other lengths."""
    new, _ = node.attrs
    groups = stretches(node)
    names = _order(scope, node)
    batch = [node.axis(n) for n in names if n != new.name]
    at = names.index(new.name)
    if any(groups):
        pieces = [_piece(scope, x, group, batch, at) for x, group in zip(node.inputs, groups, strict=True)]
        function = "concatenate"
    else:
        values = [scope.value(x) for x in node.inputs]
        if not batch:
            elements = ", ".join(v.text.code for v in values)
            return Value(name(f"jnp.array([{elements}], dtype={scope.dtype(node.dtype)})"), names)
        pieces = [arranged(scope.broadcast(v, batch, node.dtype), tuple(a.name for a in batch)) for v in values]
        function = "stack"
    axis = f", axis={at}" if at else ""
    text = name(f"jnp.{function}([{', '.join(p.code for p in pieces)}]{axis})")
    return Value(replace(text, weak=all(p.weak for p in pieces)), names)


def _order(scope: Scope, node: Node) -> Layout:
    """The order in which the largest part stands, if that has all axes: it is not turned around."""
    new, _ = node.attrs
    sizes = Sizes.of(scope.graph)
    x, group = max(zip(node.inputs, node.attrs[1], strict=True), key=lambda p: sizes.count(p[0].axes))
    layout = scope.value(x).layout
    if len(group) != 1 or len(layout) < len(node.axes):
        return node.names
    return tuple(new.name if n == group[0] else n for n in layout)


def _piece(scope: Scope, x: Node, group: Sequence[Axis], batch: Sequence[Axis], at: int) -> Text:
    """One part with its group raveled at position `at`."""
    value = scope.value(x)
    length = count(scope, [a.dim for a in group])
    if not value.layout and value.text.python:
        # A number, most often zeros: made at its length.
        flat = [scope.size(a.dim).code for a in batch]
        shape = [*flat[:at], length.code, *flat[at:]]
        filled = {"0": "zeros", "0.0": "zeros", "1": "ones", "1.0": "ones"}.get(value.text.code)
        size = shape[0] if len(shape) == 1 else sequence(shape)
        if filled is not None:
            return name(f"jnp.{filled}({size}, dtype={scope.dtype(x.dtype)})")
        return name(f"jnp.full({size}, {value.text.code}, dtype={scope.dtype(x.dtype)})")
    axes = [*batch[:at], *group, *batch[at:]]
    text = arranged(scope.broadcast(value, axes, x.dtype), tuple(a.name for a in axes))
    if not group:
        return subscripted(text, [":"] * at + ["None"])
    if len(group) == 1:
        return text
    if not batch:
        return replace(text, code=f"{text.atom}.ravel()", prec=ATOM, positive=None)
    flat = [scope.size(a.dim).code for a in batch]
    tall = sequence([*flat[:at], "-1", *flat[at:]])
    return replace(text, code=f"{text.atom}.reshape({tall})", prec=ATOM, positive=None)


def emit_part(scope: Scope, node: Node) -> Value:
    """`x[3:3 + i * j].reshape((i, j))`."""
    value = scope.whole(node.inputs[0])
    axis, dims, k, names = node.attrs
    at = value.layout.index(axis)
    start = total(scope, dims[:k])
    layout = (*value.layout[:at], *names, *value.layout[at + 1 :])
    if not names:
        return Value(subscripted(value.text, [":"] * at + [start.code]), layout)
    stop = total(scope, dims[: k + 1]).code if k + 1 < len(dims) else ""
    text = subscripted(value.text, [":"] * at + [f"{start.code if k else ''}:{stop}"])
    if len(names) > 1:
        shape = sequence([scope.size(node.axis(n).dim).code for n in layout])
        text = replace(text, code=f"{text.atom}.reshape({shape})", prec=ATOM, positive=None)
    return Value(text, layout)


def count(scope: Scope, dims: Sequence[str]) -> Text:
    """How many elements a group has: a product of sizes, the known ones multiplied out."""
    known, rest = 1, []
    for dim in dims:
        size = scope.size(dim)
        if size.code.isdigit():
            known *= int(size.code)
        else:
            rest.append(size.at(MUL))
    if not rest:
        return number(known)
    parts = [str(known), *rest] if known != 1 else rest
    return Text(" * ".join(parts), MUL if len(parts) > 1 else ATOM)


def total(scope: Scope, groups: Sequence[Sequence[str]]) -> Text:
    """How many elements some groups have together: a sum, the known ones added up."""
    known, rest = 0, []
    for dims in groups:
        size = count(scope, dims)
        if size.code.isdigit():
            known += int(size.code)
        else:
            rest.append(size.at(ADD))
    if not rest:
        return number(known)
    parts = [str(known), *rest] if known else rest
    return Text(" + ".join(parts), ADD if len(parts) > 1 else ATOM)
