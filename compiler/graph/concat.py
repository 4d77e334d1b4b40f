"""Joining arrays along a new axis, and taking one of the joined parts out again: the two ops of CONCAT.

A part's *group* is the axes that are raveled (last one fastest) into its stretch of the joined axis; an empty group is a
stretch of one. All other axes are batch axes and meet by name. The two ops are each other's adjoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vspec.compiler.graph.node import Axis, Kind, Node

if TYPE_CHECKING:
    from vspec.compiler.graph.builder import Builder

Group = Sequence[Axis]


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
    """The k-th of the groups that are joined along `axis` of x, under the names of its axes, none of which x has."""
    if axis not in x.names:
        return x
    dims = tuple(tuple(a.dim for a in group) for group in groups)
    group = groups[k]
    source, to = _renamed(x)
    stacked = source.kind is Kind.CONCAT and source.op == "stack"
    if stacked and to[source.attrs[0].name] == axis and dims == joined(source):
        # What was put in comes out again.
        to |= dict(zip(source.attrs[1][k], (a.name for a in group), strict=True))
        return b.rename(source.inputs[k], to)
    position = x.names.index(axis)
    axes = (*x.axes[:position], *group, *x.axes[position + 1 :])
    return b.make(Kind.CONCAT, "part", (x,), axes, x.dtype, (axis, dims, k, tuple(a.name for a in group)))


def joined(node: Node) -> tuple[tuple[str, ...], ...]:
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
    places: dict[tuple[Axis, tuple[tuple[str, ...], ...]], int] = {}
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
    while x.kind is Kind.REINDEX:
        (x,) = x.inputs
    return x.kind is Kind.CONST and x.op == "number" and x.attrs[0] == 0


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


def _renamed(x: Node) -> tuple[Node, dict[str, str]]:
    """What x is a mere renaming of, with the names that its axes have in x."""
    if x.kind is Kind.REINDEX and len(set(x.attrs[0])) == len(x.attrs[0]) == len(x.axes):
        (source,) = x.inputs
        return source, dict(zip(source.names, x.attrs[0], strict=True))
    return x, {n: n for n in x.names}


def _whole(
    b: Builder, parts: Sequence[Node], names: Sequence[tuple[str, ...]], groups: Sequence[Group], new: Axis
) -> Node | None:
    """The array of which the parts are all the parts, in order, under the names that they have; None if there is none."""
    dims = tuple(tuple(a.dim for a in group) for group in groups)
    found: dict[str, str] | None = None
    source = parts[0]
    for k, (x, own) in enumerate(zip(parts, names, strict=True)):
        taken, to = _renamed(x)
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
