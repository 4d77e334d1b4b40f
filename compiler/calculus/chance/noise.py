"""Draws for expectations: standard draws with an axis of repetitions, in mirrored pairs where that is asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vspec.compiler.calculus.chance.variables import NoEstimate, Variable
from vspec.compiler.calculus.draws import Standard
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node

# Standard draws whose law is that of their mirror image, by what the image is.
NEGATED = frozenset({"normal", "laplace", "logistic", "cauchy", "t"})


class Repeated(Standard):
    """Standard draws of a variable, over its axes and those of repetitions; `pair` is the axis of mirrored pairs."""

    def __init__(
        self,
        b: Builder,
        v: Variable,
        key: Node,
        repeats: Sequence[Axis],
        pair: Axis | None,
        core: Collection[str],
    ) -> None:
        # One draw after another: each is a row, and what is computed from it is so, too.
        axes = [*(a for a in repeats if a != pair), *v.node.axes]
        super().__init__(b, key, [a for a in axes if a.name not in core], core, v.event)
        self.variable = v
        self.pair = pair
        self.branch = 0

    def draw(self, op: str, *arguments: Node, dtype: str = "real") -> Node:
        """A standard draw, and its mirror image."""
        found = super().draw(op, *arguments, dtype=dtype)
        if self.pair is None:
            return found
        first = ("eq", slot(1), num(0))
        side = self.b.index(self.pair)
        if op in NEGATED:
            return self.b.map(("where", first, slot(0), ("neg", slot(0))), [found, side], "real")
        if op == "uniform":
            return self.b.map(("where", first, slot(0), ("sub", num(1.0), slot(0))), [found, side], "real")
        law = self.variable.sample.law
        message = f"the law '{law}' of '{self.variable.name}' has no mirror image for antithetic draws"
        raise NoEstimate("VS0695", message, self.variable.origin, "leave 'antithetic' out")

    def other(self) -> Standard:
        """Further draws, independent of these: those of a part of the law."""
        return Standard(self.b, self._next(), self.axes, self.core)

    def apart(self) -> Repeated:
        """The same with independent draws."""
        found = Repeated(self.b, self.variable, self._next(), (), self.pair, self.core)
        found.axes = self.axes
        return found

    def _next(self) -> Node:
        self.branch += 1
        number = self.b.number(self.branch)
        return self.b.make(Kind.RANDOM, "fold", (self.key, number), self.key.axes, "key")
