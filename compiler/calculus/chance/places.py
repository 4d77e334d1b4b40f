"""What an expression reads of a variable of a recurrence: which of its values, seen from one step.

Windows move down to the variable through whatever lies between, so that each read of it has a distance from the step or a place
of its own. Then values stand for the reads: what was an expression of the draws is one of a value here and of the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vspec.compiler.calculus.chance.variables import Variable, reached, size_of
from vspec.compiler.calculus.derive import tracked
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.instantiate import NotSeparate, instantiate, rebuilt
from vspec.compiler.graph.node import Axis, Kind, Node, topological


class NotAlong(ValueError):  # noqa: N818 (it says what cannot be done)
    """Where an expression is no sum or product over the steps of a variable. `what` is why, for a person."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Move:
    """A window that moves down: an axis becomes another one at a distance, or is read at one position."""

    axis: str
    new: Axis | None
    offset: int


@dataclass(frozen=True)
class Local:
    """An expression over values of a variable. `node`: it has an axis of values for each that it reads; `frame`: its axis of
    steps, None where it reads one place alone; `first`: the distance from the step, or the place, of the first value that it
    reads, `span`: how many further ones; `plates`: what it calls the other axes of the variable, or the place that it reads."""

    node: Node
    frame: str | None
    first: int
    span: int
    plates: dict[str, str | int]


class Places:
    """Reads of one variable. `old`, `new`: the axes of two values that follow each other."""

    def __init__(self, b: Builder, v: Variable, value: Callable[[Axis], Node], old: Axis, new: Axis) -> None:
        self.b, self.v, self.value, self.old, self.new = b, v, value, old, new
        self.time = v.node.axes[v.links.time] if v.links is not None else v.node.axes[0]
        self.moved: dict[tuple[int, Move], Node] = {}
        self.depends: dict[int, bool] = {}

    def random(self, x: Node) -> bool:
        """Whether a node depends on the variable."""
        stack = [x]
        while stack:
            node = stack[-1]
            waiting = [i for i in node.inputs if i.uid not in self.depends]
            if waiting and node.uid != self.v.node.uid:
                stack += waiting
                continue
            stack.pop()
            own = node.uid == self.v.node.uid
            self.depends[node.uid] = own or any(self.depends[i.uid] for i in node.inputs)
        return self.depends[x.uid]

    def local(self, x: Node) -> Local:
        """An expression over values. Raises NotAlong where it reads more than two that follow each other."""
        try:
            return self._local(x)
        except NotSeparate as e:
            raise NotAlong(e.what) from None

    def _local(self, x: Node) -> Local:
        x = self.lowered(x)
        reads = self._reads(x)
        places = {n.uid: self._place(n) for n in reads}
        found: dict[str, str | int | None] = {}
        for a in self.v.node.axes:
            letters: set[str | int | None] = {
                self._letter(x, n, where) for n in reads for where in [places[n.uid][a.name][0]]
            }
            if a.name != self.time.name:
                letters |= {places[n.uid][a.name][1] for n in reads if places[n.uid][a.name][0] is None} - {None}
                letters -= {None} if len(letters) > 1 else set()
            if len(letters) > 1:
                raise NotAlong(f"it mixes values along {a.name}")
            (found[a.name],) = letters
        frame = found.pop(self.time.name)
        named = [x for x in found.values() if isinstance(x, str)]
        if len(set(named)) < len(named):
            raise NotAlong("it reads the diagonal of its indices")
        where = {n.uid: places[n.uid][self.time.name][1] for n in reads}
        offsets = sorted(set(where.values()))
        wide = len(offsets) > 2 or offsets[-1] - offsets[0] > 1
        if wide or (frame is None and len(offsets) > 1):
            raise NotAlong("it reads values that do not follow each other")
        axes = dict(zip(offsets, (self.old, self.new) if len(offsets) > 1 else (self.new,), strict=True))
        with self.b.at(x.origin._replace(name="", role="part")):
            (node,) = instantiate(self.b, [x], {n.uid: self.value(axes[where[n.uid]]) for n in reads})
        plates = {k: v for k, v in found.items() if v is not None}
        return Local(node, str(frame) if frame is not None else None, offsets[0], len(offsets) - 1, plates)

    def _reads(self, x: Node) -> list[Node]:
        """The reads of the variable: windows on it that something else than a window reads."""
        nodes = topological([x])
        chain = {self.v.node.uid}
        for n in nodes:
            if n.kind is Kind.WINDOW and n.op in ("affine", "at") and n.inputs[0].uid in chain:
                chain.add(n.uid)
        hit = reached([x], {self.v.node.uid})
        read = {i.uid for n in nodes if n.uid in hit and n.uid not in chain for i in n.inputs}
        return [n for n in nodes if n.uid in chain and (n.uid in read or n is x)]

    def _place(self, read: Node) -> dict[str, tuple[str | None, int]]:
        """Of each axis of the variable: what a read calls it, with the distance; or nothing, with the position."""
        if read is self.v.node:
            return {a.name: (a.name, 0) for a in read.axes}
        (below,) = read.inputs
        found = dict(self._place(below))
        a = read.attrs
        axis = next(k for k, (name, _) in found.items() if name == a[0])
        if read.op == "at":
            size = size_of(self.b.dims, below.axis(a[0]))
            found[axis] = None, a[1] + found[axis][1] + (size if a[1] < 0 and size is not None else 0)
        elif a[2] != 1 or (axis != self.time.name and a[3]):
            raise NotAlong(f"it mixes values along {axis}")
        else:
            found[axis] = a[1], a[3] + found[axis][1]
        return found

    def _letter(self, x: Node, read: Node, axis: str | None) -> str | None:
        """What an axis of a read is called in the expression that reads one value along it at a time."""
        if axis is None:
            return None
        hit = reached([x], {read.uid})
        nodes = [n for n in topological([x]) if n.uid in hit]
        for letter in x.names:
            if tracked(x, read, read.names.index(axis), letter, nodes) is not None:
                return letter
        raise NotAlong(f"it mixes values along {axis.partition('~')[0]}")

    def opened(self, x: Node) -> Node:
        """A node that only renames axes, as what it renames, of other operands."""
        (y,) = x.inputs
        to = dict(zip(y.names, x.attrs[0], strict=True))
        if len(set(to.values())) < len(to) or y is self.v.node:
            return x
        names = set(to.values())
        if y.kind is Kind.STOP and y.op == "hold":
            return self.b.rename(y.inputs[0], to)
        bound = {n for i in y.inputs for n in i.names if n not in y.names}
        if y.kind not in (Kind.MAP, Kind.REDUCE, Kind.CONTRACT) or bound & names:
            return x
        inputs = [self.b.rename(i, to) for i in y.inputs]
        if y.kind is Kind.MAP:
            return self.b.map(y.attrs[0].tree, inputs, y.dtype)
        if y.kind is Kind.REDUCE:
            return self.b.reduce(y.op, inputs[0], y.attrs[0])
        return self.b.contract(inputs, [Axis(to.get(a.name, a.name), a.dim) for a in y.axes])

    # --- windows move down --------------------------------------------------------------------------------------------

    def lowered(self, x: Node) -> Node:
        """The expression whose windows stand on the variable itself."""
        new: dict[int, Node] = {}
        for node in topological([x]):
            if not self.random(node) or node is self.v.node or node.kind is Kind.REGION:
                new[node.uid] = node
                continue
            inputs = [new[i.uid] for i in node.inputs]
            if node.kind is Kind.WINDOW and node.op in ("affine", "at"):
                new[node.uid] = self._window(node, inputs[0])
            elif all(i is j for i, j in zip(inputs, node.inputs, strict=True)):
                new[node.uid] = node
            else:
                with self.b.at(node.origin):
                    new[node.uid] = rebuilt(self.b, node, inputs)
            self.random(new[node.uid])
        return new[x.uid]

    def _window(self, node: Node, x: Node) -> Node:
        if node.op == "at":
            return self._down(x, Move(node.attrs[0], None, node.attrs[1]))
        axis, name, scale, offset = node.attrs
        if scale != 1:
            raise NotAlong("it reads values that do not follow each other")
        new = Axis(self.b.fresh(name), node.axis(name).dim)
        return self.b.rename(self._down(x, Move(axis, new, offset)), {new.name: name})

    def _down(self, x: Node, move: Move) -> Node:
        if move.axis not in x.names:
            return x
        if (x.uid, move) not in self.moved:
            found = self._moved(x, move)
            self.random(found)
            self.moved[x.uid, move] = found
        return self.moved[x.uid, move]

    def _moved(self, x: Node, move: Move) -> Node:
        b = self.b
        if not self.random(x) or x is self.v.node:
            if move.new is None:
                return b.at_position(x, move.axis, move.offset)
            return b.window(x, move.axis, move.new, 1, move.offset)
        if x.kind is Kind.WINDOW and x.op in ("affine", "at"):
            (y,) = x.inputs
            if x.op == "affine" and x.attrs[1] == move.axis:
                place = move.offset
                if move.new is None and place < 0:
                    size = size_of(b.dims, x.axis(move.axis))
                    if size is None:
                        raise NotAlong("it reads a window from its end")
                    place += size
                return self._down(y, Move(x.attrs[0], move.new, place + x.attrs[3]))
            y = self._down(y, move)
            return (
                b.at_position(y, *x.attrs)
                if x.op == "at"
                else b.window(y, x.attrs[0], x.axis(x.attrs[1]), 1, x.attrs[3])
            )
        if x.kind is Kind.REINDEX:
            (y,) = x.inputs
            sources = [n for n, t in zip(y.names, x.attrs[0], strict=True) if t == move.axis]
            if len(sources) > 1:
                raise NotAlong("it reads the diagonal of its indices")
            new = [move.new] if move.new is not None else []
            axes = [m for a in x.axes for m in (new if a.name == move.axis else [a])]
            to = dict(zip(y.names, x.attrs[0], strict=True))
            if sources:
                y = self._down(y, Move(sources[0], move.new, move.offset))
            return b.reindex(y, [to.get(n, n) for n in y.names], axes)
        if x.kind is Kind.WINDOW or (x.kind is Kind.REGION):
            raise NotAlong("it reads values beyond an end")
        with b.at(x.origin):
            return rebuilt(b, x, [self._down(i, move) for i in x.inputs], (move.axis,))


def axes_of(nodes: Sequence[Node]) -> dict[str, Axis]:
    """The axes of nodes by name."""
    return {a.name: a for n in nodes for a in n.axes}
