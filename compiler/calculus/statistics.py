"""Order statistics as gathers by the positions that sort: the permutation carries no derivative, so the calculus knows them."""

from __future__ import annotations

from math import floor

from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node


def sorted_along(b: Builder, x: Node, axis: Axis) -> Node:
    """x in ascending order along the axis, which then counts the ranks."""
    if axis.name not in x.names:
        return x
    return _taken(b, x, axis, b.cumulate("argsort", [x], axis))


def quantile(b: Builder, x: Node, axis: Axis, level: Node) -> Node:
    """The quantile of x along the axis, linear between neighbouring ranks; levels outside of 0 and 1 count as 0 and 1.

    With n values, level q lies at the rank q*(n - 1) (Hyndman and Fan 1996, definition 7, NumPy's default).
    """
    if axis.name not in x.names:
        return x
    order = b.cumulate("argsort", [x], axis)

    def at(rank: int | Node) -> Node:
        # Only these positions are read, so that the adjoint writes to no others.
        position = b.at_position(order, axis.name, rank) if isinstance(rank, int) else b.gather(order, rank, axis.name)
        return _taken(b, x, axis, position)

    size = b.size(axis.dim)
    if is_number(level, 0.5) and not is_number(size):
        lower = b.map(("floordiv", ("sub", slot(0), num(1)), num(2)), [size], "integer")
        upper = b.map(("floordiv", slot(0), num(2)), [size], "integer")
        return b.map(("mul", num(0.5), ("add", slot(0), slot(1))), [at(lower), at(upper)], "real")
    if is_number(level) and is_number(size):
        place = level.attrs[0] * (size.attrs[0] - 1)
        low = floor(place)
        return at(low) if place == low else _between(b, at(low), at(low + 1), b.number(place - low))
    held: Tree = ("minimum", ("maximum", slot(0), num(0.0)), num(1.0))
    rank = b.map(("mul", held, ("sub", slot(1), num(1))), [level, size], "real")
    # The last value is the upper neighbour of the one before it, where there is one.
    last: Tree = ("maximum", ("sub", slot(1), num(2)), num(0))
    if is_number(size):
        last = num(max(size.attrs[0] - 2, 0))
    lower = b.map(("minimum", ("integer", ("floor", slot(0))), last), [rank, size], "integer")
    upper = b.map(("minimum", ("add", slot(0), num(1)), ("sub", slot(1), num(1))), [lower, size], "integer")
    share = b.map(("sub", slot(0), ("real", slot(1))), [rank, lower], "real")
    return _between(b, at(lower), at(upper), share)


def _between(b: Builder, low: Node, high: Node, share: Node) -> Node:
    return b.map(("add", slot(0), ("mul", slot(2), ("sub", slot(1), slot(0)))), [low, high, share], "real")


def _taken(b: Builder, x: Node, axis: Axis, position: Node) -> Node:
    """x at positions along the axis, whose other axes are those of x."""
    aside = b.fresh(axis.name)
    return b.gather(b.rename(x, {axis.name: aside}), position, aside)
