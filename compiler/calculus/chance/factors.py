"""What is averaged over paths, taken apart into what weights them and what is averaged under the weights.

Exponentials and products over steps are weights; everything else is a factor.
"""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.calculus.chance.places import Places
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot, slots
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.sign import Sign, sign_of

X = slot(0)
MOST_FACTORS = 4
"""A product of so many sums over steps is averaged; the number of states grows as 2 to its power."""


class Taken:
    """A product, taken apart. `exponents`: what stands in exponentials; `products`: what is multiplied, over which axes; `rest`:
    other factors."""

    def __init__(self, b: Builder, places: Places) -> None:
        self.b, self.places = b, places
        self.exponents: list[Node] = []
        self.products: list[tuple[Node, frozenset[str]]] = []
        self.rest: list[Node] = []

    def held(self, x: Node) -> bool:
        """Whether a node says only that its value is a thing of its own, and is not the variable."""
        return x.kind is Kind.STOP and x.op == "hold" and x is not self.places.v.node

    def split(self, c: Node) -> None:
        """Takes a product apart: what stands in exponentials, products over steps, and other factors."""
        if not self.places.random(c):
            self.rest.append(c)
        elif self.held(c):
            self.split(c.inputs[0])
        elif c.kind is Kind.REINDEX and (inner := self.places.opened(c)) is not c:
            self.split(inner)
        elif c.kind is Kind.MAP:
            self._product(c.attrs[0].tree, c.inputs)
        elif c.kind is Kind.REDUCE and c.op == "prod":
            self._prod(c.inputs[0], frozenset(c.attrs[0]))
        else:
            self.rest.append(c)

    def _prod(self, y: Node, over: frozenset[str]) -> None:
        """A product over axes."""
        if not self.places.random(y):
            self.rest.append(self.b.reduce("prod", y, sorted(over)))
        elif self.held(y):
            self._prod(y.inputs[0], over)
        elif y.kind is Kind.REDUCE and y.op == "prod":
            self._prod(y.inputs[0], over | frozenset(y.attrs[0]))
        elif y.kind is Kind.MAP and y.attrs[0].tree[0] == "mul":
            for t in y.attrs[0].tree[1:]:
                x = self.b.map(t, y.inputs, "real")
                lacking = [a for a in y.axes if a.name in over and a.name not in x.names]
                self._prod(self.b.order(x, (*x.axes, *lacking)), over)
        elif y.kind is Kind.MAP and y.attrs[0].tree[0] == "exp":
            self.exponents.append(self.b.reduce("sum", self.b.map(y.attrs[0].tree[1], y.inputs, "real"), sorted(over)))
        elif sign_of(y) is Sign.POSITIVE:
            self.exponents.append(self.b.reduce("sum", self.b.map(("log", X), [y], "real"), sorted(over)))
        else:
            self.products.append((y, over))

    def _product(self, tree: Tree, inputs: Sequence[Node]) -> None:
        op = tree[0]
        if op == "x":
            self.split(inputs[tree[1]])
        elif op == "mul":
            for t in tree[1:]:
                self._product(t, inputs)
        elif op == "exp":
            self.exponents.append(self.b.map(tree[1], inputs, "real"))
        elif op == "neg":
            self.rest.append(self.b.number(-1.0))
            self._product(tree[1], inputs)
        elif op == "real" and tree[1][0] == "x":
            self._product(tree[1], inputs)
        elif op == "div" and self._exponential(tree[2], inputs):
            below = Taken(self.b, self.places)
            below._product(tree[2], inputs)
            self._product(tree[1], inputs)
            self.exponents += [self.b.map(("neg", X), [x], "real") for x in below.exponents]
            self.rest += [self.b.map(("div", num(1.0), X), [x], "real") for x in below.rest]
        elif op == "square" or (op == "pow" and tree[2][0] == "num" and tree[2][1] in range(2, MOST_FACTORS + 1)):
            for _ in range(2 if op == "square" else int(tree[2][1])):
                self._product(tree[1], inputs)
        else:
            self.rest.append(self.b.map(tree, inputs))

    def _exponential(self, tree: Tree, inputs: Sequence[Node]) -> bool:
        """Whether a kernel is a product of exponentials and of what does not depend on the variable."""
        if not any(self.places.random(inputs[k]) for k in slots(tree)):
            return True
        if tree[0] == "mul":
            return all(self._exponential(t, inputs) for t in tree[1:])
        if tree[0] == "x":
            x = inputs[tree[1]]
            return x.kind is Kind.MAP and self._exponential(x.attrs[0].tree, x.inputs)
        return bool(tree[0] == "exp")
