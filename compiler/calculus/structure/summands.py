"""An objective as a sum of summands: each a body summed over all of its axes, times a factor that the params do not touch.

Sums and products are opened as far as the params occur below them: `mean[n](f[n] + g[n])` is two summands, `lam*sum[i](e)` is
one with the body `lam*e`. Every sum has axes of its own, so that bodies may be renamed at will.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import Tree, num, slot, slots
from vspec.compiler.graph.node import Axis, Kind, Node


@dataclass(frozen=True, slots=True)
class Summand:
    """The sum over the axes `over` of `factor * body`. The factor does not depend on the params, and is None for 1.

    Both may lack some of the axes; they have no others. `origin`: the node whose place in the spec is shown for it.
    """

    body: Node
    over: tuple[Axis, ...]
    factor: Node | None
    origin: Node

    def whole(self, b: Builder) -> Node:
        """Factor times body."""
        return self.body if self.factor is None else b.mul([self.factor, self.body])

    def value(self, b: Builder) -> Node:
        """The sum, a scalar."""
        names, dims = [a.name for a in self.over], {a.name: a.dim for a in self.over}
        if self.factor is not None and not self.factor.axes:
            return b.mul([self.factor, b.reduce("sum", self.body, names, dims)])
        return b.reduce("sum", self.whole(b), names, dims)

    def renamed(self, b: Builder, names: dict[str, str]) -> Summand:
        """The same sum over axes of other names."""
        over = tuple(Axis(names.get(a.name, a.name), a.dim) for a in self.over)
        factor = b.rename(self.factor, names) if self.factor is not None else None
        return Summand(b.rename(self.body, names), over, factor, self.origin)


def summands(b: Builder, value: Node, xs: Iterable[Node]) -> list[Summand]:
    """The summands of a scalar that depend on `xs`; their sum differs from the scalar by what does not depend on them."""
    return opened(b, Degrees(xs), value)


def opened(
    b: Builder,
    degrees: Degrees,
    node: Node,
    over: tuple[Axis, ...] = (),
    factor: Node | None = None,
    origin: Node | None = None,
) -> list[Summand]:
    """The summands of the sum over axes of a factor times a node that depend on the inputs of `degrees`."""
    opening = _Opening(b, degrees)
    opening.open(node, over, factor, origin or node)
    return opening.found


def every(b: Builder, degrees: Degrees, value: Node) -> list[Summand]:
    """All summands of a scalar, those that do not depend on the inputs of `degrees` as well: their sum is the scalar."""
    opening = _Opening(b, degrees, everything=True)
    opening.open(value, (), None, value)
    return opening.found


class _Opening:
    def __init__(self, b: Builder, degrees: Degrees, everything: bool = False) -> None:
        self.b = b
        self.degrees = degrees
        self.everything = everything
        self.found: list[Summand] = []

    def open(self, node: Node, over: tuple[Axis, ...], factor: Node | None, origin: Node) -> None:
        """Adds the summands of `sum over (over) of factor * node`."""
        if not self.degrees.depends(node):
            if self.everything:
                self.leaf(node, over, factor, origin)
            return
        if node.origin.line:
            origin = node
        if node.kind is Kind.STOP and node.op == "hold":
            self.open(node.inputs[0], over, factor, origin)
        elif node.kind is Kind.REINDEX:
            inside = pushed(self.b, node)
            if inside is None:
                self.leaf(node, over, factor, origin)
            else:
                self.open(inside, over, factor, origin)
        elif node.kind is Kind.REDUCE and node.op == "sum":
            (x,) = node.inputs
            self._inside(x, [x.axis(n) for n in node.attrs[0]], over, factor, origin)
        elif node.kind is Kind.MAP:
            self._tree(node, node.attrs[0].tree, over, factor, origin)
        elif node.kind is Kind.CONTRACT:
            self._contract(node, over, factor, origin)
        else:
            self.leaf(node, over, factor, origin)

    def leaf(self, node: Node, over: tuple[Axis, ...], factor: Node | None, origin: Node) -> None:
        self.found.append(Summand(node, over, factor, origin))

    def _inside(
        self, x: Node, summed: Sequence[Axis], over: tuple[Axis, ...], factor: Node | None, origin: Node
    ) -> None:
        """Opens a sum: its axes get names that no outer one has."""
        taken = {a.name for a in over}
        names = {a.name: self.b.fresh(a.name, taken | set(x.names)) for a in summed if a.name in taken}
        axes = tuple(Axis(names.get(a.name, a.name), a.dim) for a in summed)
        self.open(self.b.rename(x, names), (*over, *axes), factor, origin)

    def _tree(self, node: Node, tree: Tree, over: tuple[Axis, ...], factor: Node | None, origin: Node) -> None:
        b, inputs = self.b, node.inputs
        op = tree[0]

        def part(t: Tree) -> Node:
            return b.map(t, inputs)

        if op == "x":
            self.open(inputs[tree[1]], over, factor, origin)
        elif op in ("add", "sub", "neg"):
            for k, child in enumerate(tree[1:]):
                minus = op == "neg" or (op == "sub" and k == 1)
                self._tree(node, child, over, self._times(factor, b.number(-1)) if minus else factor, origin)
        elif op == "mul":
            touched = [c for c in tree[1:] if self._touched(c, inputs)]
            if len(touched) == 1:
                for c in tree[1:]:
                    factor = factor if c is touched[0] else self._times(factor, part(c))
                self._tree(node, touched[0], over, factor, origin)
            elif touched or self.everything:
                self.leaf(part(tree), over, factor, origin)
        elif op == "div" and not self._touched(tree[2], inputs):
            self._tree(node, tree[1], over, self._times(factor, self._inverse(tree[2], inputs)), origin)
        elif op == "real" and tree[1][0] == "x":
            self.open(inputs[tree[1][1]], over, factor, origin)
        elif self.everything or self._touched(tree, inputs):
            self.leaf(node if tree is node.attrs[0].tree else part(tree), over, factor, origin)

    def _touched(self, tree: Tree, inputs: Sequence[Node]) -> bool:
        return any(self.degrees.depends(inputs[k]) for k in slots(tree))

    def _times(self, factor: Node | None, other: Node) -> Node:
        return other if factor is None else self.b.mul([factor, other])

    def _inverse(self, tree: Tree, inputs: Sequence[Node]) -> Node:
        below = self.b.map(tree, inputs)
        if is_number(below):
            value = below.attrs[0]
            return self.b.number(1 / (Fraction(value) if isinstance(value, int | Fraction) else value))
        return self.b.map(("div", num(1), slot(0)), [below])

    def _contract(self, node: Node, over: tuple[Axis, ...], factor: Node | None, origin: Node) -> None:
        touched = [x for x in node.inputs if self.degrees.depends(x)]
        if len(touched) != 1:
            self.leaf(node, over, factor, origin)
            return
        axes = {a.name: a for x in node.inputs for a in x.axes if a.name not in node.names}
        product = self.b.mul(list(node.inputs))
        self._inside(product, list(axes.values()), over, factor, origin)


def pushed(b: Builder, node: Node) -> Node | None:
    """A renamed or broadcast node with the renaming moved below its operation; None where it cannot be.

    The result may lack axes along which the node is constant.
    """
    (x,) = node.inputs
    targets: tuple[str, ...] = node.attrs[0]
    to = dict(zip(x.names, targets, strict=True))
    if x.kind is Kind.MAP:
        inputs = [b.reindex(i, tuple(to[n] for n in i.names)) for i in x.inputs]
        return b.map(x.attrs[0].tree, inputs, x.dtype)
    if x.kind is Kind.REDUCE:
        (inner,) = x.inputs
        fresh = {n: b.fresh(n, (*targets, *inner.names)) for n in x.attrs[0]}
        moved = b.reindex(inner, tuple({**to, **fresh}[n] for n in inner.names))
        return b.reduce(x.op, moved, list(fresh.values()))
    if x.kind is Kind.STOP and x.op == "hold":
        return b.reindex(x.inputs[0], targets)
    if len(node.axes) > len(set(targets)):
        return b.reindex(x, targets)
    return None
