"""A value as a function of affine parts of its variables: where formulas are narrow.

In `sum[n](log(1 + exp(-y[n]*sum[k](X[n, k]*w[k])))) + sum[k](w[k]**2)` all that is not linear reads `y[n]*sum[k](..)` and
`w[k]`: these are its *fronts*. The Hessian is the sum of J' F J over the fronts, J their derivatives, which do not depend on the
variables, and F the second derivatives of the value by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, slot, slots
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Kind, Node, topological


@dataclass(frozen=True, slots=True)
class Waist:
    """The value over its fronts.

    Attributes:
        value: the value as a function of the fronts.
        fronts: what it reads, a node each that no other front reads.
        parts: what they are: affine nodes over the variables, or a variable itself.
    """

    value: Node
    fronts: tuple[Node, ...]
    parts: tuple[Node, ...]


def waist(b: Builder, value: Node, xs: Sequence[Node]) -> Waist:
    """The fronts of a value; each affine part as large as it comes, a variable by itself where nothing else is in the part."""
    return _Cut(b, xs).run(value)


class _Cut:
    def __init__(self, b: Builder, xs: Iterable[Node]) -> None:
        self.b = b
        self.xs = {x.uid for x in xs}
        self.degrees = Degrees(xs := list(xs))
        self.fronts: dict[int, tuple[Node, Node]] = {}
        self.new: dict[int, Node] = {}

    def run(self, value: Node) -> Waist:
        for node in topological([value]):
            if self.degrees.of(node) not in (0, 1):
                self.new[node.uid] = self.rebuilt(node)
        whole = self.new[value.uid] if value.uid in self.new else self.front(value)
        pairs = list(self.fronts.values())
        return Waist(whole, tuple(f for _, f in pairs), tuple(p for p, _ in pairs))

    def bare(self, node: Node) -> bool:
        """Whether a node is a variable, up to the names of its axes."""
        return unrenamed(node)[0].uid in self.xs

    def front(self, node: Node) -> Node:
        """What stands for an affine node."""
        base, shown = unrenamed(node)
        if base.uid not in self.xs:
            base, shown = node, {n: n for n in node.names}
        if base.uid not in self.fronts:
            self.fronts[base.uid] = (base, self.b.hold(base))
        return self.b.order(self.b.rename(self.fronts[base.uid][1], shown), node.axes)

    def read(self, node: Node) -> Node:
        """An operand of what is not affine."""
        degree = self.degrees.of(node)
        return node if degree == 0 else self.front(node) if degree == 1 else self.new[node.uid]

    def rebuilt(self, node: Node) -> Node:
        """A node that is not affine, over fronts."""
        if node.kind is not Kind.MAP:
            inputs = tuple(self.read(i) for i in node.inputs)
            return Node(node.kind, node.op, inputs, node.axes, node.dtype, node.attrs, node.origin)
        operands: list[Node] = []
        tree = self.cut(node.attrs[0].tree, node, operands)
        with self.b.at(node.origin):
            return self.b.order(self.b.map(tree, operands, node.dtype), node.axes)

    def cut(self, tree: Tree, node: Node, operands: list[Node]) -> Tree:
        """A kernel whose affine parts are operands."""
        if tree[0] == "num":
            return tree
        found = self.degrees.within(node, tree)
        whole = tree[0] == "x" or (found == 1 and not all(self.plain(k, node) for k in slots(tree)))
        if whole:
            part = node.inputs[tree[1]] if tree[0] == "x" else self.b.map(tree, node.inputs, "real")
            operands.append(self.read(part))
            return slot(len(operands) - 1)
        return (tree[0], *(self.cut(t, node, operands) for t in tree[1:]))

    def plain(self, k: int, node: Node) -> bool:
        """Whether an operand does not depend on the variables, or is one."""
        x = node.inputs[k]
        return self.degrees.of(x) == 0 or self.bare(x)
