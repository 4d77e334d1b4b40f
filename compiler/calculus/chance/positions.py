"""Variables that are read at fixed positions alone: only these elements are variables of what is averaged.

Of k[n] an expression such as k[3] + k[7] depends on two elements, however many there are. Each becomes a variable of its own,
with the arguments of its law there, and so does what stands at the same position in the law of another one, as the component of
a mixture does. A sum over all values is then one over those of the elements that are read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from vspec.compiler.calculus.chance.supports import count_of
from vspec.compiler.calculus.chance.variables import Frames, Variable, reached, size_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.instantiate import NotSeparate, rebuilt
from vspec.compiler.graph.node import Kind, Node

# Elements of variables, by the node of the variable, the axis and the position.
Elements = dict[tuple[int, str, int], Node]

# More nodes between an expression and its variables are not gone through.
_MOST = 400

_THROUGH = (Kind.MAP, Kind.STOP, Kind.GATHER, Kind.REDUCE, Kind.CONTRACT)


def at_positions(b: Builder, c: Node, variables: Sequence[Variable]) -> tuple[Node, list[Variable]]:
    """An expression and the variables that it depends on, those elements of them alone that it reads; what was given where it
    reads others, or where nothing is summed over several elements."""
    if not any(count_of(b, v) is not None and v.plates for v in variables):
        return c, list(variables)
    frames = Frames.around(c, variables)
    if not any(count_of(b, v) is not None and frames.joint(v) for v in variables):
        return c, list(variables)
    for axis in dict.fromkeys(a.name for v in variables for a in frames.joint(v)):
        try:
            c, variables = _along(b, c, variables, axis)
        except NotSeparate:
            continue
    return c, list(variables)


def _along(b: Builder, c: Node, variables: Sequence[Variable], axis: str) -> tuple[Node, list[Variable]]:
    """The same along one axis. Raises NotSeparate where not all reads are at positions of it."""
    own = [v for v in variables if axis in (a.name for a in v.plates) and v.chain is None and not v.walk]
    marks = {v.node.uid: v.node for v in own}
    read: Elements = {}
    moved = _pushed(b, c, marks, read)
    places = {v.node.uid: _places([moved], v.node, marks, axis) for v in own}
    found: list[Variable] = []
    for v in reversed(variables):
        if v.node.uid not in marks:
            if any(reached([x], marks) for x in _parts(v)):
                raise NotSeparate("a law that reads all elements")
            found.append(v)
            continue
        many = len(places[v.node.uid]) > 1
        for p in sorted(places[v.node.uid]):
            there = _Slice(b, marks, p, read)
            arguments = tuple(there.of(x, axis) for x in v.arguments)
            density = there.of(v.density, axis) if v.density is not None else None
            name = f"{v.name}[{p}]" if many else v.name
            found.append(replace(v, name=name, node=there.of(v.node, axis), arguments=arguments, density=density))
            for u in own:
                if u is not v:
                    places[u.node.uid] |= _places([*arguments], u.node, marks, axis)
    return moved, found[::-1]


def _parts(v: Variable) -> tuple[Node, ...]:
    return v.arguments if v.density is None else (*v.arguments, v.density)


def _above(roots: Sequence[Node], marks: Collection[int]) -> list[Node]:
    """The nodes that depend on marked ones, these included, not looking below them."""
    found: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.uid not in found:
            found[node.uid] = node
            stack += () if node.uid in marks else node.inputs
    hit: set[int] = set()
    for node in sorted(found.values(), key=lambda n: n.uid):
        if node.uid in marks or any(x.uid in hit for x in node.inputs):
            hit.add(node.uid)
    return [n for n in sorted(found.values(), key=lambda n: n.uid) if n.uid in hit]


def _places(roots: Sequence[Node], of: Node, marks: Collection[int], axis: str) -> set[int]:
    """The positions at which a node is read. Raises NotSeparate where it is read as a whole."""
    found: set[int] = set()
    if any(r is of for r in roots):
        raise NotSeparate("read as a whole")
    for node in _above(roots, marks):
        if node.uid not in marks and any(x is of for x in node.inputs):
            if node.kind is not Kind.WINDOW or node.op != "at" or node.attrs[0] != axis or node.attrs[1] < 0:
                raise NotSeparate("read as a whole")
            found.add(node.attrs[1])
    return found


def _pushed(b: Builder, c: Node, marks: Mapping[int, Node], read: Elements) -> Node:
    """The expression with positions taken of the variables, where they can be, rather than of what is made of them."""
    new: dict[int, Node] = {}
    for node in _above([c], marks):
        inputs = [new.get(x.uid, x) for x in node.inputs] if node.uid not in marks else list(node.inputs)
        if node.kind is Kind.WINDOW and node.op == "at":
            try:
                name, position = node.attrs
                if position < 0:
                    # From the end: another name of a position, where it is known which.
                    position += size_of(b.dims, node.inputs[0].axis(name)) or 0
                new[node.uid] = _Slice(b, marks, position, read).of(inputs[0], name)
                continue
            except NotSeparate:
                pass
        if any(x is not y for x, y in zip(inputs, node.inputs, strict=True)):
            with b.at(node.origin):
                new[node.uid] = rebuilt(b, node, inputs)
    return new.get(c.uid, c)


class _Slice:
    """Nodes at one position of an axis."""

    def __init__(self, b: Builder, marks: Mapping[int, Node], position: int, read: Elements) -> None:
        self.b, self.marks, self.position, self.read = b, marks, position, read
        self.done: dict[tuple[int, str], Node] = {}
        self.hit: set[int] = set()

    def of(self, root: Node, axis: str) -> Node:
        """A node there; variables that it is made of are read there, too. Raises NotSeparate where other elements are read."""
        above = _above([root], self.marks)
        if len(above) > _MOST:
            raise NotSeparate("too much stands between")
        self.hit.update(n.uid for n in above)
        return self._at(root, axis)

    def _at(self, node: Node, axis: str) -> Node:
        if axis not in node.names and node.uid not in self.hit:
            return node
        if (node.uid, axis) not in self.done:
            self.done[node.uid, axis] = self._of(node, axis)
        return self.done[node.uid, axis]

    def _of(self, node: Node, axis: str) -> Node:
        b = self.b
        if node.uid in self.marks:
            # An element is one node, for which its values stand.
            place = (node.uid, axis, self.position)
            if place not in self.read:
                self.read[place] = b.at_position(node, axis, self.position)
            return self.read[place]
        if node.uid not in self.hit:
            return b.at_position(node, axis, self.position)
        if axis not in node.names:
            if node.kind is Kind.WINDOW and node.op == "at":
                return node
            raise NotSeparate("other elements are read")
        if node.kind is Kind.REINDEX:
            (x,) = node.inputs
            own = [old for old, to in zip(x.names, node.attrs[0], strict=True) if to == axis]
            if len(own) > 1:
                raise NotSeparate("a diagonal is read")
            inner = self._at(x, own[0]) if own else x
            targets = [to for to in node.attrs[0] if to != axis]
            return b.reindex(inner, targets, [a for a in node.axes if a.name != axis])
        mixes = node.attrs[0] if node.kind is Kind.REDUCE else node.attrs if node.kind is Kind.GATHER else ()
        if node.kind not in _THROUGH or axis in mixes:
            raise NotSeparate("other elements are read")
        with b.at(node.origin):
            return rebuilt(b, node, [self._at(x, axis) for x in node.inputs], (axis,))
