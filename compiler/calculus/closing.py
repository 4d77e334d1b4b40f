"""The body of a problem as a graph of its own: what it reads from outside becomes arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.instantiate import instantiate
from vspec.compiler.graph.node import Axis, Kind, Node, Solve, topological


def closed(
    b: Builder, roots: Sequence[Node], unknowns: Sequence[Node], batch: Sequence[Axis]
) -> tuple[list[Node], list[Node], list[Node]]:
    """Closes a body over what it reads from outside: (outer nodes, their placeholders, the body for one problem).

    Whatever does not depend on the unknowns stays outside, so that it is computed once; constants go in.
    """
    inner = {n.uid for n in unknowns}
    order = topological(roots)
    for node in order:
        if any(i.uid in inner for i in node.inputs):
            inner.add(node.uid)
    images = _images(roots, inner, {a.name: a.name for a in batch})
    reached = {r.uid for r in roots}
    arguments: dict[int, Node] = {n.uid: n for n in unknowns}
    outer: list[Node] = []
    captured: list[Node] = []

    def capture(x: Node) -> None:
        along = images.get(x.uid, {})
        if x.kind in (Kind.CONST, Kind.INDEX) and x.op != "array" and not along:
            arguments[x.uid] = x
            return
        outer.append(b.rename(x, along))
        name = x.origin.name or f"captured_{len(outer)}"
        captured.append(b.input(name, "captured", [a for a in x.axes if a.name not in along], x.dtype))
        arguments[x.uid] = captured[-1]

    for node in order:
        for x in node.inputs if node.uid in inner else [node] if node.uid in reached else []:
            if x.uid not in inner and x.uid not in arguments:
                capture(x)
    return outer, captured, instantiate(b, roots, arguments, images)


def _images(roots: Sequence[Node], inner: set[int], batch: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """For nodes of a body and what they read, the axes along which there is a problem for each value, with the letters that
    these have at the roots: on the way, derivatives may call them otherwise."""
    found: dict[int, dict[str, str]] = {}
    for root in roots:
        found.setdefault(root.uid, {}).update({n: batch[n] for n in root.names if n in batch})
    for node in reversed(topological(roots)):
        mine = found.get(node.uid)
        if node.uid not in inner or not mine:
            continue
        for x in node.inputs:
            # A problem inside has no axes itself, but there is one for each value of those of its batch.
            own = (
                [a.name for a in x.attrs[0].batch]
                if x.kind is Kind.REGION and isinstance(x.attrs[0], Solve)
                else x.names
            )
            names = node.attrs[0] if node.kind is Kind.REINDEX else own
            found.setdefault(x.uid, {}).update({o: mine[n] for o, n in zip(own, names, strict=True) if n in mine})
    return found
