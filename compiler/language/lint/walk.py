"""Which expressions the rules know, and whether two of them say the same."""

from __future__ import annotations

from vspec.compiler.language.expr import (
    Along,
    Coord,
    Delta,
    Derivative,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Number,
    Pointwise,
    Reduction,
    SizeOf,
    Stop,
    Subscript,
)
from vspec.compiler.language.substitute import parts

KNOWN = (Number, Element, Pointwise, Reduction, Along, Derivative, Linalg, Delta, IndexValue, SizeOf, Coord, Stop)
"""The expressions whose meaning the rules know; about any other they keep silent."""


def bare(expr: Expr) -> Expr:
    """The expression without the conversions to real around it."""
    while isinstance(expr, Pointwise) and expr.op == "real":
        expr = expr.args[0]
    return expr


def alike(a: Expr, b: Expr) -> bool:
    """Whether two expressions say the same, wherever they stand; conversions to real count as nothing."""
    stack = [(a, b)]
    while stack:
        x, y = stack.pop()
        x, y = bare(x), bare(y)
        if x is y:
            continue
        if type(x) is not type(y) or not _same_head(x, y):
            return False
        left, right = tuple(parts(x)), tuple(parts(y))
        if len(left) != len(right):
            return False
        stack.extend(zip(left, right))
    return True


def _same_head(x: Expr, y: Expr) -> bool:
    if isinstance(x, Number) and isinstance(y, Number):
        return x.value == y.value
    if isinstance(x, Element) and isinstance(y, Element):
        return x.name == y.name and _same_subscripts(x.subscripts, y.subscripts)
    if isinstance(x, Pointwise) and isinstance(y, Pointwise):
        return x.op == y.op
    if isinstance(x, Reduction) and isinstance(y, Reduction):
        return (x.op, x.letters) == (y.op, y.letters)
    if isinstance(x, Along) and isinstance(y, Along):
        return (x.op, x.letter) == (y.op, y.letter)
    if isinstance(x, IndexValue | SizeOf | Coord) and isinstance(y, IndexValue | SizeOf | Coord):
        return x.letter == y.letter
    if isinstance(x, Linalg) and isinstance(y, Linalg):
        cores = [tuple(b.core for b in e.blocks) for e in (x, y)]
        return x.op == y.op and cores[0] == cores[1] and _same_subscripts(x.subscripts, y.subscripts)
    return isinstance(x, Derivative | Delta | Stop)


def _same_subscripts(a: tuple[Subscript, ...], b: tuple[Subscript, ...]) -> bool:
    """Whether subscripts agree but for what gathers look up, which is compared as a part."""
    if len(a) != len(b):
        return False
    return all(x == y or (isinstance(x, Gather) and isinstance(y, Gather)) for x, y in zip(a, b))
