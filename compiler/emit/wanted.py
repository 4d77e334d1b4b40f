"""The order of axes in which readers want a value: where two texts cost the same, it decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vspec.compiler.emit.layout import Layout
from vspec.compiler.graph.node import Axis, Kind, Node


def ranks(arrays: Iterable[Sequence[Axis]]) -> dict[str, int]:
    """Places for dims, such that the axes of few arrays stand in another order: an array that is made in this order is seldom
    transposed to meet another one."""
    after: dict[str, dict[str, None]] = {}
    for axes in arrays:
        for k, a in enumerate(axes):
            before = after.setdefault(a.dim, {})
            before.update((b.dim, None) for b in axes[:k] if b.dim != a.dim)
    found: dict[str, int] = {}
    while len(found) < len(after):
        # Of dims that wait for each other the first one goes ahead.
        left = [d for d in after if d not in found]
        ready = next((d for d in left if all(b in found for b in after[d])), left[0])
        found[ready] = len(found)
    return found


def wanted(nodes: Sequence[Node], roots: Iterable[tuple[Node, Layout]]) -> dict[int, Layout]:
    """The wanted order per node, from the given orders of the roots back through maps and renames; inputs come first in
    `nodes`. A product of two matrices wants the one with the result's first axis on the left; other readers that mix axes want
    nothing."""
    found: dict[int, Layout] = {}
    for node, layout in roots:
        found.setdefault(node.uid, layout)
    for node in reversed(nodes):
        if node.kind is Kind.CONTRACT and len(node.inputs) == len(node.axes) == 2:
            order = found.get(node.uid, node.names)
            for x in node.inputs:
                free = [a for a in order if a in x.names]
                if len(x.axes) == 2 and len(free) == 1:
                    (summed,) = (a for a in x.names if a not in free)
                    found.setdefault(x.uid, (free[0], summed) if free[0] == order[0] else (summed, free[0]))
        if node.uid not in found:
            continue
        layout = found[node.uid]
        if node.kind is Kind.MAP or node.kind is Kind.STOP:
            for x in node.inputs:
                found.setdefault(x.uid, tuple(a for a in layout if a in x.names))
        elif node.kind is Kind.REINDEX and len(set(node.attrs[0])) == len(node.attrs[0]):
            (x,) = node.inputs
            back = dict(zip(node.attrs[0], x.names, strict=True))
            found.setdefault(x.uid, tuple(back[a] for a in layout if a in back))
    place = ranks(n.axes for n in nodes if n.kind is Kind.INPUT)
    # An array over pairs that is reduced stays as it is: a short sum over the last axis is the slowest.
    reduced = {x.uid for n in nodes if n.kind is Kind.REDUCE for x in n.inputs if len(x.axes) > 2}
    for node in nodes:
        if node.uid not in found and node.uid not in reduced and len(node.axes) > 1:
            ranked = sorted(node.axes, key=lambda a: place.get(a.dim, len(place)))
            found[node.uid] = tuple(a.name for a in ranked)
    return found
