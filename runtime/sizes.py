"""Sizes of dims that are integer expressions of other dims ('2*n + 1'): read by a small evaluator, never by `eval`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

MOST_VALUES = 2**24
"""The most values of a dim whose size is a power, as the compiler has it for sizes that it knows."""


class NoSize(ValueError):  # noqa: N818 (says why, as a word in a message)
    """An expression of known sizes that is no size; says why."""


def _quotient(a: int, b: int) -> int:
    if b == 0:
        raise NoSize("it divides by 0")
    return a // b


def _power(a: int, b: int) -> int:
    if b < 0:
        raise NoSize(f"its exponent is {b}")
    # A larger one need not be written out to be refused.
    value = a**b if b * max(abs(a).bit_length(), 1) <= 64 else 2**64
    if value > MOST_VALUES:
        raise NoSize(f"{a}**{b} is more than {MOST_VALUES}, the most values of a dim whose size is a power")
    return value


_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: _quotient,
    ast.Pow: _power,
}


def size_of(text: str, sizes: Mapping[str, int]) -> int | None:
    """The value of a size expression; None while a dim in it has no size yet, or if it is not such an expression.

    Raises `NoSize` where the sizes are known and the expression has no value, or one that is too large.
    """
    try:
        return _value(ast.parse(text, mode="eval").body, sizes)
    except NoSize:
        raise
    except (SyntaxError, KeyError, TypeError, ValueError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr, sizes: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name):
            return sizes[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, sizes), _value(right, sizes))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, sizes)
        case _:
            raise TypeError("not a size expression")
