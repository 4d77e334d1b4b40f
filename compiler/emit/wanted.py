"""The order of axes in which readers want a value: where two texts cost the same, it decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vspec.compiler.emit.layout import Layout
from vspec.compiler.graph.node import Kind, Node


def wanted(nodes: Sequence[Node], roots: Iterable[tuple[Node, Layout]]) -> dict[int, Layout]:
    """The wanted order per node, from the given orders of the roots back through maps and renames; inputs come first in
    `nodes`. A reader that mixes axes wants nothing."""
    found: dict[int, Layout] = {}
    for node, layout in roots:
        found.setdefault(node.uid, layout)
    for node in reversed(nodes):
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
    return found
