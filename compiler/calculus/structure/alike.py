"""Which nodes are equal in form: what a spec says twice is one symbol to the scalar side."""

from __future__ import annotations

from typing import Any

from vspec.compiler.graph.node import Axis, Kind, Node, topological

Shown = tuple[int, tuple[str, ...]]
"""A form, and the names of its axes in the form's own order."""


class Alike:
    """The forms of nodes. Two nodes with one form are the same operation of the same operands but for the names of axes; where
    the names are equal, too, so are the values."""

    def __init__(self) -> None:
        self._of: dict[int, Shown] = {}
        self._known: dict[Any, int] = {}

    def form(self, node: Node) -> Shown:
        """The form of a node."""
        if node.uid not in self._of:
            for n in topological([node]):
                if n.uid not in self._of:
                    self._of[n.uid] = self._one(n)
        return self._of[node.uid]

    def _one(self, n: Node) -> Shown:
        if n.kind in (Kind.INPUT, Kind.REGION):
            return self._number(n.uid), n.names
        if n.kind is Kind.REINDEX and len(set(n.attrs[0])) == len(n.attrs[0]) == len(n.axes):
            number, names = self._of[n.inputs[0].uid]
            to = dict(zip(n.inputs[0].names, n.attrs[0], strict=True))
            return number, tuple(to[x] for x in names)
        local: dict[str, int] = {}

        def place(name: str) -> int:
            return local.setdefault(name, len(local))

        below = [self._of[x.uid] for x in n.inputs]
        inputs = tuple((number, tuple(place(x) for x in names)) for number, names in below)
        axes = tuple((place(a.name), a.dim) for a in n.axes)

        def plain(attr: Any) -> Any:
            if isinstance(attr, Axis):
                return ("axis", place(attr.name), attr.dim)
            if isinstance(attr, tuple):
                return tuple(plain(a) for a in attr)
            if isinstance(attr, str) and attr in local:
                return ("name", local[attr])
            return repr(attr)

        return self._number((n.kind, n.op, n.dtype, inputs, axes, plain(n.attrs))), n.names

    def _number(self, key: Any) -> int:
        return self._known.setdefault(key, len(self._known))
