"""Which elements of an array a node reads, by index arithmetic: intervals between its axes and those of the array.

For each node between a value and an array there are *boxes*. A box says of each axis of the array which positions may be read
at a position of the node: `scale*index(axis) + [low, high]`, modulo the size where it `wraps`, or anything (None). What a node
reads is within the union of its boxes. Links without an axis are to fixed positions, from the start or from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from vspec.compiler.calculus.sweeps import depends
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Axis, Kind, Node

START, END = "", "$"
"""What stands for an axis where a position is fixed: counted from the start, or back from the end."""

BOXES = 32
"""More boxes than this become few that contain them."""

DEEP = 12


class Link(NamedTuple):
    """`scale*index(axis) + [low, high]`."""

    axis: str
    scale: int
    low: int
    high: int
    wraps: bool = False

    def moved(self, low: int, high: int) -> Link:
        """The interval further by that of the two numbers."""
        return self._replace(low=self.low + low, high=self.high + high)


Box = tuple[Link | None, ...]
Boxes = frozenset[Box]
NONE: Boxes = frozenset()


def reach(b: Builder, e: Node, x: Node) -> Boxes:
    """The boxes of x that a derivative of e by x is made of: outside of them d(e, x) is zero."""
    nodes = depends([e], [x])
    found: dict[int, Boxes] = {x.uid: frozenset({tuple(Link(n, 1, 0, 0) for n in x.names)})}
    for node in nodes:
        if node.uid == x.uid:
            continue
        boxes: set[Box] = set()
        for k, operand in enumerate(node.inputs):
            below = found.get(operand.uid, NONE)
            if below and not (k == 1 and node.kind in (Kind.GATHER, Kind.SCATTER)):
                move = _RULES.get(node.kind, _anything)
                boxes |= {
                    tuple(_kept(move(b, node, link, x.axes[m]), node) for m, link in enumerate(box)) for box in below
                }
        found[node.uid] = _few(boxes)
    return found.get(e.uid, NONE)


def _kept(link: Link | None, node: Node) -> Link | None:
    """The link, if its axis is still there."""
    return link if link is None or link.axis in (START, END) or link.axis in node.names else None


def _few(boxes: Collection[Box]) -> Boxes:
    """The boxes, those of one form as their hull where they are many, without those that lie in another."""
    if len(boxes) > BOXES:
        forms: dict[tuple[tuple[str, int, bool] | None, ...], Box] = {}
        for box in boxes:
            form = tuple(None if s is None else (s.axis, s.scale, s.wraps) for s in box)
            forms[form] = tuple(_hull(s, t) for s, t in zip(forms.get(form, box), box, strict=True))
        boxes = set(forms.values())
    return frozenset(b for b in boxes if not any(b != other and _within(b, other) for other in boxes))


def _hull(s: Link | None, t: Link | None) -> Link | None:
    return None if s is None or t is None else s._replace(low=min(s.low, t.low), high=max(s.high, t.high))


def _within(box: Box, other: Box) -> bool:
    return all(
        t is None
        or (
            s is not None
            and (s.axis, s.scale, s.wraps) == (t.axis, t.scale, t.wraps)
            and t.low <= s.low
            and s.high <= t.high
        )
        for s, t in zip(box, other, strict=True)
    )


# --- rules: what becomes of a link to an axis of an operand -----------------------------------------------------------

Rule = Callable[[Builder, Node, Link | None, Axis], Link | None]


def _anything(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    return None


def _same(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    return link


def _reindex(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    names = dict(zip(node.inputs[0].names, node.attrs[0], strict=True))
    return link if link is None else link._replace(axis=names.get(link.axis, link.axis))


def _window(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    if link is None or link.axis != node.attrs[0]:
        return link
    if node.op == "shift":
        _, offset, mode = node.attrs
        if mode == "periodic" and not _turns(node, link, of):
            return None
        return link.moved(link.scale * offset, link.scale * offset)._replace(wraps=link.wraps or mode == "periodic")
    if node.op == "affine":
        _, new, scale, offset = node.attrs
        by = link.scale * offset
        return link.moved(by, by)._replace(axis=new, scale=link.scale * scale)
    if node.op == "at" and link.scale == 1 and not link.wraps:
        position = node.attrs[1]
        end = position < 0
        if end and node.inputs[0].axis(node.attrs[0]).dim != of.dim:
            return None
        return link.moved(position, position)._replace(axis=END if end else START, scale=0)
    return None


def _turns(node: Node, link: Link, of: Axis) -> bool:
    """Whether an axis of the operand that wraps around is as long as the array, so that positions wrap with it."""
    return node.inputs[0].axis(link.axis).dim == of.dim and link.scale == 1


def _scatter(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    if node.op == "at":
        new, position = node.attrs
        end = position < 0
        if link is None or link.axis != (END if end else START) or (end and new.dim != of.dim):
            return link
        # All is zero but for this one position.
        return link.moved(-position, -position)._replace(axis=new.name, scale=1)
    if node.op == "affine":
        axis, new, scale, offset = node.attrs
        if link is None or link.axis != axis:
            return link
        if link.scale % scale:
            return None
        each = link.scale // scale
        return link.moved(-each * offset, -each * offset)._replace(axis=new.name, scale=each)
    new = node.attrs[0]
    at = position_of(b, node.inputs[1], new)
    if link is None or at is None or link.axis != at.axis:
        return link
    if link.scale != at.scale or (at.wraps and new.dim != of.dim):
        return None
    # new is scale*s + [low, high].
    return link.moved(-at.high, -at.low)._replace(axis=new.name, scale=1, wraps=link.wraps or at.wraps)


def _gather(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    (axis,) = node.attrs
    if link is None or link.axis != axis:
        return link
    at = position_of(b, node.inputs[1], node.inputs[0].axis(axis))
    if at is None or link.scale < 0 or (at.wraps and not _turns(node, link, of)):
        return None
    return link.moved(link.scale * at.low, link.scale * at.high)._replace(
        axis=at.axis, scale=link.scale * at.scale, wraps=link.wraps or at.wraps
    )


def _cumulate(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    return None if link is None or link.axis == node.attrs[0] else link


def _linalg(b: Builder, node: Node, link: Link | None, of: Axis) -> Link | None:
    return None if link is None or any(link.axis in core for core in node.attrs[0]) else link


_RULES: Mapping[Kind, Rule] = {
    Kind.MAP: _same,
    Kind.REDUCE: _same,
    Kind.CONTRACT: _same,
    Kind.STOP: _same,
    Kind.REINDEX: _reindex,
    Kind.WINDOW: _window,
    Kind.SCATTER: _scatter,
    Kind.GATHER: _gather,
    Kind.CUMULATE: _cumulate,
    Kind.LINALG: _linalg,
}


# --- positions that are computed --------------------------------------------------------------------------------------


def position_of(b: Builder, node: Node, axis: Axis) -> Link | None:
    """A position along an axis that is read, as an interval about a multiple of an index; None where it is not known."""
    if node.kind is Kind.INDEX and node.op == "value":
        return Link(node.names[0], 1, 0, 0)
    if node.kind is Kind.MAP:
        found = _position(b, node.attrs[0].tree, node.inputs, axis, DEEP)
        return None if found is None or found.axis == START else found
    return None


def _position(b: Builder, tree: Tree, inputs: Sequence[Node], axis: Axis, depth: int) -> Link | None:
    op = tree[0]
    if op == "num":
        whole = isinstance(tree[1], int) and not isinstance(tree[1], bool)
        return Link(START, 0, tree[1], tree[1]) if whole else None
    if depth == 0:
        return None
    if op == "x":
        x = inputs[tree[1]]
        if x.kind is Kind.INDEX and x.op == "value":
            return Link(x.names[0], 1, 0, 0)
        return _position(b, x.attrs[0].tree, x.inputs, axis, depth - 1) if x.kind is Kind.MAP else None

    def below(t: Tree) -> Link | None:
        return _position(b, t, inputs, axis, depth - 1)

    if op == "mod":
        inner = below(tree[1])
        around = inner is not None and inner.axis != START and _size(b, tree[2], inputs, axis)
        return inner._replace(wraps=True) if inner is not None and around else None
    if op in ("clip", "minimum"):
        return _held(b, tree, inputs, axis, below)
    if op in ("add", "sub", "neg", "mul"):
        return _sum(op, [below(t) for t in tree[1:]])
    return None


def _sum(op: str, parts: Sequence[Link | None]) -> Link | None:
    if op == "neg":
        return _times(parts[0], -1)
    if op == "mul":
        for one, other in ((parts[0], parts[-1]), (parts[-1], parts[0])):
            if len(parts) == 2 and one is not None and one.axis == START and one.low == one.high:
                return _times(other, one.low)
        return None
    total = Link(START, 0, 0, 0)
    for k, part in enumerate(parts):
        signed = _times(part, -1) if op == "sub" and k > 0 else part
        if signed is None or signed.wraps or (total.axis != START and signed.axis not in (START, total.axis)):
            return None
        axis = signed.axis if total.axis == START else total.axis
        scale = total.scale + signed.scale
        total = Link(axis, scale, total.low + signed.low, total.high + signed.high)
    return total


def _times(link: Link | None, by: int) -> Link | None:
    if link is None or link.wraps:
        return None
    low, high = sorted((link.low * by, link.high * by))
    return Link(link.axis, link.scale * by, low, high)


def _held(
    b: Builder, tree: Tree, inputs: Sequence[Node], axis: Axis, below: Callable[[Tree], Link | None]
) -> Link | None:
    """Positions about an index of the same dim that are kept inside: limited to the axis, or the mirror image about its ends."""
    if tree[0] == "clip":
        inner = below(tree[1])
        inside = tree[2] == ("num", 0) and _last(b, tree[3], inputs, axis)
    else:
        phase, back = tree[1], tree[2]
        mirrored = back[0] == "sub" and back[2] == phase
        while phase[0] == "x" and inputs[phase[1]].kind is Kind.MAP:
            inputs, phase = inputs[phase[1]].inputs, inputs[phase[1]].attrs[0].tree
        inner = _position(b, phase[1], inputs, axis, DEEP) if phase[0] == "mod" else None
        inside = mirrored
    if not inside or inner is None or inner.scale != 1 or inner.wraps or _dim(inputs, inner.axis) != axis.dim:
        return None
    furthest = max(abs(inner.low), abs(inner.high))
    # Clipping ends between the index and where it was to go, a mirror image no further from the index than that.
    return (
        inner._replace(low=min(inner.low, 0), high=max(inner.high, 0))
        if tree[0] == "clip"
        else inner._replace(low=-furthest, high=furthest)
    )


def _dim(inputs: Iterable[Node], name: str) -> str:
    return next((a.dim for x in inputs for a in x.axes if a.name == name), "")


def _size(b: Builder, tree: Tree, inputs: Sequence[Node], axis: Axis) -> bool:
    """Whether a tree is the size of the axis."""
    if tree[0] == "num":
        return bool(tree[1] == b.dims.get(axis.dim))
    x = inputs[tree[1]] if tree[0] == "x" else None
    return x is not None and ((x.kind, x.op, x.attrs) == (Kind.CONST, "size", (axis.dim,)) or x is b.dims.get(axis.dim))


def _last(b: Builder, tree: Tree, inputs: Sequence[Node], axis: Axis) -> bool:
    """Whether a tree is the last position of the axis."""
    size = b.dims.get(axis.dim)
    if tree[0] == "num":
        return isinstance(size, int) and bool(tree[1] == size - 1)
    return tree[0] == "sub" and tree[2] == ("num", 1) and _size(b, tree[1], inputs, axis)


__all__ = ["Box", "Link", "reach"]
