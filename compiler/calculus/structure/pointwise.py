"""The minimum of `h/2*u**2 + s*u + f(u)` between bounds, for one element, as a kernel over the operands of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from vspec.compiler.calculus.scalar import to_tree
from vspec.compiler.calculus.structure import piecewise
from vspec.compiler.calculus.structure.forms import Table
from vspec.compiler.calculus.structure.stationary import stationary
from vspec.compiler.graph.kernel import Tree, num
from vspec.compiler.graph.node import Node


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where an element may lie: nodes with (a subset of) the param's axes, None where it is free."""

    lower: Node | None = None
    upper: Node | None = None


FREE = Bounds()


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be at least 0 for a formula to hold."""

    node: Node
    expr: Any


@dataclass(frozen=True, slots=True)
class Pointwise:
    """A formula for an element: a tree over the table's numbers, slot 0 being the element as it was."""

    table: Table
    tree: Tree
    conditions: tuple[Condition, ...] = ()

    def node(self, element: Node, replace: Callable[[Node], Node] = lambda n: n) -> Node:
        """The formula as a node, each operand replaced as told."""
        operands = [element if n is None else replace(n) for n in self.table.nodes]
        return self.table.b.map(self.tree, operands, "real")


def pointwise(table: Table, function: Any, curvature: Any, slope: Any, bounds: Bounds = FREE) -> Pointwise:
    """The formula; `curvature` and `slope` are expressions over the table's symbols. Raises NoFormError."""
    u = table.u
    lower, upper = (table.symbol(n) if n is not None else None for n in (bounds.lower, bounds.upper))
    conditions: Sequence[Any] = ()
    if piecewise.has_kinks(function, u):
        found = piecewise.minimum(piecewise.split(function, u), u, curvature, slope)
        tree, conditions = found.tree, found.conditions
        if curvature != 0 and not table.known(curvature).is_positive:
            tree = ("where", ("gt", to_tree(curvature), num(0)), tree, to_tree(u))
    else:
        derivative = curvature * u + slope + sp.diff(function, u)
        root = stationary(derivative, u, _number(lower), _number(upper))
        tree = to_tree(root.expr)
        if root.slope is not None and not table.known(root.slope).is_positive:
            if root.slope.is_positive:
                conditions = (root.slope,)
            else:
                # Where the function does not bend upwards there, the element stays where it is.
                tree = ("where", ("gt", to_tree(root.slope), num(0)), tree, to_tree(u))
    tree = _held(tree, lower, upper)
    doubtful = dict.fromkeys(_doubtful(table, c) for c in conditions if not table.known(c).is_nonnegative)
    return Pointwise(table, tree, tuple(Condition(table.node(c), c) for c in doubtful))


def _doubtful(table: Table, condition: Any) -> Any:
    """The factors of a condition whose sign is not known."""
    factors = sp.Mul.make_args(sp.factor(condition))
    return sp.Mul(*(f for f in factors if not table.known(f).is_positive))


def _number(value: Any) -> Any:
    return value if value is not None and value.is_number else None


def _held(tree: Tree, lower: Any, upper: Any) -> Tree:
    """The tree held between bounds: what a convex function of one variable has as its minimum there."""
    low = lower is not None and lower != -sp.oo
    high = upper is not None and upper != sp.oo
    if low and high:
        return ("clip", tree, to_tree(lower), to_tree(upper))
    if low:
        return ("maximum", tree, to_tree(lower))
    return ("minimum", tree, to_tree(upper)) if high else tree
