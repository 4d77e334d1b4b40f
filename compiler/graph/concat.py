"""Joining arrays along a new axis, and taking one of the joined parts out again: the two ops of CONCAT.

A part's *group* is the axes that are raveled (last one fastest) into its stretch of the joined axis; an empty group is a
stretch of one. All other axes are batch axes and meet by name. The two ops are each other's adjoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING

from vspec.compiler.graph.node import Axis, Kind, Node

if TYPE_CHECKING:
    from vspec.compiler.graph.builder import Builder

Group = Sequence[Axis]
Dims = tuple[tuple[str, ...], ...]

# Through how many elementwise operations a part is taken; beyond that it is a slice.
DEPTH = 8


def stack(b: Builder, parts: Sequence[Node], groups: Sequence[Group], new: Axis, order: Sequence[str] = ()) -> Node:
    """The parts one after the other along `new`; parts that lack a group axis are constant along it.

    `order` names axes of the result in the order in which they are wanted; others come before them.
    """
    dtype = parts[0].dtype if len({p.dtype for p in parts}) == 1 else "real"
    batch: dict[str, Axis] = {}
    for part, group in zip(parts, groups, strict=True):
        own = {a.name for a in group}
        batch.update((a.name, a) for a in part.axes if a.name not in own)
    full: list[Node] = []
    names: list[tuple[str, ...]] = []
    for part, group in zip(parts, groups, strict=True):
        if any(a.name in batch or a.name == new.name for a in group):
            fresh = {a.name: b.fresh(a.name) for a in group}
            part, group = b.rename(part, fresh), [Axis(fresh[a.name], a.dim) for a in group]
        missing = [a for a in group if a.name not in part.names]
        part = _as(b, part, dtype)
        full.append(b.order(part, (*part.axes, *missing)) if missing else part)
        names.append(tuple(a.name for a in group))
    whole = _whole(b, full, names, groups, new)
    if whole is not None:
        return whole
    axes = {**batch, new.name: new}
    wanted = [n for n in order if n in axes]
    result = [axes[n] for n in axes if n not in wanted] + [axes[n] for n in wanted]
    return b.make(Kind.CONCAT, "stack", full, result, dtype, (new, tuple(names)))


def part(b: Builder, x: Node, axis: str, groups: Sequence[Group], k: int) -> Node:
    """The k-th of the groups that are joined along `axis` of x, under the names of its axes, none of which x has.

    What was joined elementwise comes out again without the joined array: `part(2*stack(v, w)**3)` is `2*w**3`.
    """
    if axis not in x.names:
        return x
    dims = tuple(tuple(a.dim for a in group) for group in groups)
    position = x.names.index(axis)
    axes = (*x.axes[:position], *groups[k], *x.axes[position + 1 :])
    found = _taken(b, x, axis, dims, groups[k], k, DEPTH)
    if found is not None:
        return b.order(found, axes)
    return b.make(Kind.CONCAT, "part", (x,), axes, x.dtype, (axis, dims, k, tuple(a.name for a in groups[k])))


def _taken(b: Builder, x: Node, axis: str, dims: Dims, group: Group, k: int, depth: int) -> Node | None:
    """A part of what is elementwise in arrays joined of the same groups; it may lack axes. None if x is not."""
    if axis not in x.names:
        return x
    source, to = renamed(x)
    if source.kind is Kind.CONCAT and source.op == "stack" and to[source.attrs[0].name] == axis:
        if dims != joined(source):
            return None
        names = to | dict(zip(source.attrs[1][k], (a.name for a in group), strict=True))
        taken = source.inputs[k]
        return _number(taken) or b.rename(taken, names)
    if x.kind is not Kind.MAP or x.definition or depth == 0:
        return None
    parts: list[Node] = []
    for operand in x.inputs:
        found = _taken(b, operand, axis, dims, group, k, depth - 1)
        if found is None:
            return None
        parts.append(found)
    return b.map(x.attrs[0].tree, parts, x.dtype)


def _number(x: Node) -> Node | None:
    """The number that x is everywhere, by its form."""
    while x.kind is Kind.REINDEX:
        (x,) = x.inputs
    return x if x.kind is Kind.CONST and x.op == "number" else None


def row(b: Builder, x: Node, axis: str, position: int) -> Node | None:
    """What stands at a position of an axis that joins rows; None if it joins something else."""
    source, to = renamed(x)
    if source.kind is Kind.WINDOW:
        return _row_of_window(b, source, to, axis, position)
    if source.kind is not Kind.CONCAT or source.op != "stack" or any(source.attrs[1]):
        return None
    if to[source.attrs[0].name] != axis or not -len(source.inputs) <= position < len(source.inputs):
        return None
    return b.rename(source.inputs[position], to)


def _row_of_window(b: Builder, window: Node, to: dict[str, str], axis: str, position: int) -> Node | None:
    """The same where the rows are seen through a window of another axis: the window of the row."""
    (x,) = window.inputs
    inner = next(n for n in window.names if to[n] == axis)
    if window.op == "affine" and inner == window.attrs[1]:
        return None
    found = row(b, x, inner, position)
    if found is None:
        return None
    if window.op == "at":
        found = b.at_position(found, *window.attrs)
    elif window.attrs[0] in found.names:
        taken, new, scale, offset = window.attrs
        found = b.window(found, taken, window.axis(new), scale, offset)
    return b.rename(found, to)


def joined(node: Node) -> Dims:
    """The dims of each group of a `stack`."""
    return tuple(tuple(x.axis(n).dim for n in group) for x, group in zip(node.inputs, node.attrs[1], strict=True))


def stretches(node: Node) -> tuple[tuple[Axis, ...], ...]:
    """The group of each input of a `stack`; of a `part`, the group that it takes, and dims as names for the others."""
    if node.op == "stack":
        return tuple(tuple(x.axis(n) for n in group) for x, group in zip(node.inputs, node.attrs[1], strict=True))
    _, dims, k, names = node.attrs
    return tuple(tuple(Axis(n, d) for n, d in zip(names if j == k else g, g, strict=True)) for j, g in enumerate(dims))


def added(b: Builder, terms: Sequence[Node]) -> list[Node]:
    """The terms of a sum with those that join the same groups along one axis added part by part."""
    kept: list[Node] = []
    places: dict[tuple[Axis, Dims], int] = {}
    for term in terms:
        if term.kind is not Kind.CONCAT or term.op != "stack":
            kept.append(term)
            continue
        key = (term.attrs[0], joined(term))
        if key not in places:
            places[key] = len(kept)
            kept.append(term)
            continue
        first = kept[places[key]]
        groups = stretches(first)
        parts = [
            _sum(b, x, b.rename(y, dict(zip(own, (a.name for a in group), strict=True))))
            for x, y, own, group in zip(first.inputs, term.inputs, term.attrs[1], groups, strict=True)
        ]
        kept[places[key]] = stack(b, parts, groups, first.attrs[0], first.names)
    return kept


def is_zero(x: Node) -> bool:
    """Whether a node is zero everywhere, by its form."""
    found = _number(x)
    return found is not None and found.attrs[0] == 0


def _sum(b: Builder, x: Node, y: Node) -> Node:
    if is_zero(x) and set(x.names) <= set(y.names):
        return y
    if is_zero(y) and set(y.names) <= set(x.names):
        return x
    return b.add([x, y])


def _as(b: Builder, x: Node, dtype: str) -> Node:
    if x.dtype == dtype:
        return x
    if x.kind is Kind.CONST and x.op == "number":
        return b.number(float(x.attrs[0]))
    return b.map(("real", ("x", 0)), [x], "real")


def renamed(x: Node) -> tuple[Node, dict[str, str]]:
    """What x is a mere renaming of, with the names that its axes have in x."""
    if x.kind is Kind.REINDEX and len(set(x.attrs[0])) == len(x.attrs[0]) == len(x.axes):
        (source,) = x.inputs
        return source, dict(zip(source.names, x.attrs[0], strict=True))
    return x, {n: n for n in x.names}


def joint_axis(b: Builder, groups: Sequence[Group], name: str, taken: Iterable[str] = ()) -> Axis:
    """A new axis, called like `name`, over all groups raveled one after the other."""
    counts: list[Node] = []
    total: int | None = 0
    for group in groups:
        sizes = [b.size(a.dim) for a in group]
        counts.append(
            b.map(("mul", *(("x", k) for k in range(len(sizes)))), sizes, "integer") if sizes else b.number(1)
        )
        known = [b.dims.get(a.dim) for a in group]
        numbers = [k for k in known if isinstance(k, int)]
        total = total + prod(numbers) if total is not None and len(numbers) == len(known) else None
    dim = "_" + "_".join("x".join(a.dim for a in group) or "1" for group in groups)
    if total is None:
        b.dims[dim] = b.map(("add", *(("x", k) for k in range(len(counts)))), counts, "integer")
    else:
        b.dims[dim] = total
    return Axis(b.fresh(name, taken), dim)


def _whole(
    b: Builder, parts: Sequence[Node], names: Sequence[tuple[str, ...]], groups: Sequence[Group], new: Axis
) -> Node | None:
    """The array of which the parts are all the parts, in order, under the names that they have; None if there is none."""
    dims = tuple(tuple(a.dim for a in group) for group in groups)
    found: dict[str, str] | None = None
    source = parts[0]
    for k, (x, own) in enumerate(zip(parts, names, strict=True)):
        taken, to = renamed(x)
        if taken.kind is not Kind.CONCAT or taken.op != "part":
            return None
        axis, sizes, at, group = taken.attrs
        if sizes != dims or at != k or tuple(to.pop(n) for n in group) != own:
            return None
        to[axis] = new.name
        if found is None:
            source, found = taken.inputs[0], to
        elif taken.inputs[0] is not source or to != found:
            return None
    if found is None or source.axis(next(n for n, t in found.items() if t == new.name)).dim != new.dim:
        return None
    return b.rename(source, found)
