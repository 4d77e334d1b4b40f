"""Pieces of Python text that know how tightly they bind, so that parentheses stand only where they are needed."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

# How tightly an expression binds, loosest first. MATMUL covers `@`, `//` and `%`: Python binds them like `*`, but
# `X.T * d @ X` is hard to read and `-a // b` is not `-(a // b)`, so they take parentheses inside products.
COMPARE, BIT_OR, BIT_AND, ADD, MATMUL, MUL, NEG, POW, ATOM = range(1, 10)

# Larger integers do not fit the 32 bits that JAX gives to a Python int.
_INT_LIMIT = 2**31

_SIMPLE = re.compile(r"[A-Za-z_][\w.]*|\d+|\d+\.\d*")


@dataclass(frozen=True, slots=True)
class Text:
    """An expression. `python`: a Python number, not an array. `weak`: its dtype is JAX's default, not the program's.
    `positive`: the text of its negative, where the text starts with a minus sign that a sum can take over."""

    code: str
    prec: int = ATOM
    python: bool = False
    weak: bool = False
    positive: Text | None = None

    def at(self, prec: int) -> str:
        """The code, in parentheses if it binds less tightly than `prec`."""
        return self.code if self.prec >= prec else f"({self.code})"

    @property
    def atom(self) -> str:
        """The code as something that may be called on or subscripted."""
        if self.prec < ATOM or not (self.code[0].isalpha() or self.code[0] in "_(["):
            return f"({self.code})"
        return self.code

    @property
    def simple(self) -> bool:
        """Whether it is a name or a number."""
        return _SIMPLE.fullmatch(self.code) is not None


def name(code: str) -> Text:
    """The text of a name or a call: an array of the program's own dtype."""
    return Text(code)


def number(value: Any, real: bool = False) -> Text:
    """The literal of a number; `real` asks for a float."""
    if isinstance(value, bool):
        return Text(repr(value), python=True, weak=True)
    if isinstance(value, Fraction):
        return _fraction(value)
    if isinstance(value, int) and (real or abs(value) >= _INT_LIMIT):
        value = float(value)
    if value < 0 or (isinstance(value, float) and value == 0 and math.copysign(1, value) < 0):
        return negated(number(-value))
    if isinstance(value, int):
        return Text(str(value), python=True, weak=True)
    value = float(value)
    if math.isnan(value):
        return Text("jnp.nan", python=True, weak=True)
    known = {math.pi: "jnp.pi", math.inf: "jnp.inf"}
    return Text(known.get(value, repr(value)), python=True, weak=True)


def decimal(value: Fraction) -> str | None:
    """A fraction as a short decimal, if it is exactly one."""
    code = repr(float(value))
    return code if len(code) <= 6 and "e" not in code and Fraction(code) == value else None


def _fraction(value: Fraction) -> Text:
    if value < 0:
        return negated(_fraction(-value))
    short = decimal(value)
    if short is not None:
        return Text(short, python=True, weak=True)
    top, bottom = number(value.numerator), number(value.denominator)
    return Text(f"{top.code} / {bottom.code}", MUL, python=True, weak=True)


def negated(text: Text) -> Text:
    """The negative of an expression; two minus signs cancel."""
    if text.positive is not None:
        return text.positive
    # Where the sign goes does not matter in a product: -(x * y) is -x * y.
    prec = MUL if text.prec == MUL else NEG
    return replace(text, code=f"-{text.at(MUL)}", prec=prec, positive=text)


def call(function: str, *arguments: Text) -> Text:
    """A call; its dtype is weak when those of all arguments are."""
    code = f"{function}({', '.join(a.code for a in arguments)})"
    return Text(code, weak=bool(arguments) and all(a.weak for a in arguments))


def sequence(parts: list[str], opening: str = "(", closing: str = ")") -> str:
    """A tuple of codes: `()`, `(n,)`, `(n, i)`."""
    comma = "," if len(parts) == 1 and opening == "(" else ""
    return f"{opening}{', '.join(parts)}{comma}{closing}"


# --- lines --------------------------------------------------------------------------------------------------------

_OPEN, _CLOSE = "([{", ")]}"
_OPERATORS = ((" | ",), (" & ",), (" < ", " <= ", " > ", " >= ", " == ", " != "), (" + ", " - "), (" * ", " / ", " @ "))
_BRACKET = re.compile(r"[()\[\]{}]")
_LOOSENESS = {operator: k for k, group in enumerate(_OPERATORS) for operator in group}
_MARK = re.compile(r"['\"()\[\]{}]|, | (?:[|&+\-*/@]|[<>]=?|[=!]=) ")


def fitted(prefix: str, code: str, suffix: str, indent: int, width: int, bare: bool = False) -> list[str]:
    """`prefix + code + suffix` as lines no wider than `width` where that can be done.

    Breaks after an opening bracket, between arguments, and before an operator. `bare`: it stands inside brackets already.
    """
    if indent + len(prefix) + len(code) + len(suffix) <= width:
        return [" " * indent + prefix + code + suffix]
    return list(_broken(prefix, code, suffix, indent, width, bare))


@lru_cache(maxsize=4096)
def _broken(prefix: str, code: str, suffix: str, indent: int, width: int, bare: bool) -> Sequence[str]:
    """The lines of what is too wide for one. Entries have lines in common, which are broken once."""
    pad = " " * indent
    pieces = _operands(code)
    if len(pieces) > 1:
        if bare:
            lines = fitted(prefix, pieces[0], "", indent, width, True)
            for piece in pieces[1:-1]:
                lines += _operand(piece, "", indent, width)
            return lines + _operand(pieces[-1], suffix, indent, width)
        inner = fitted("", code, "", indent + 4, width, True)
        return [f"{pad}{prefix}(", *inner, f"{pad}){suffix}"]
    bracket = _longest_bracket(code)
    if bracket is None:
        return [pad + prefix + code + suffix]
    start, end = bracket
    parts = _arguments(code[start + 1 : end])
    comma = "," if len(parts) > 1 or code[start + 1 : end].endswith(",") else ""
    lines = [pad + prefix + code[: start + 1]]
    for part in parts:
        lines += fitted("", part.removesuffix(","), comma, indent + 4, width, True)
    return [*lines, pad + code[end:] + suffix]


def _operand(piece: str, suffix: str, indent: int, width: int) -> list[str]:
    sign, rest = piece.split(" ", 1)
    return fitted(sign + " ", rest, suffix, indent, width, True)


def _operands(code: str) -> list[str]:
    """The operands of the loosest operator outside brackets, each but the first led by its operator."""
    marks = [(at, _LOOSENESS[mark]) for at, mark in _outside(code) if mark != ", "]
    loosest = min((rank for _, rank in marks), default=None)
    cuts = [0, *(at + 1 for at, rank in marks if rank == loosest), len(code) + 1]
    return [code[start : end - 1] for start, end in itertools.pairwise(cuts)]


def _arguments(code: str) -> list[str]:
    """What commas outside brackets separate."""
    cuts = [-2, *(at for at, mark in _outside(code) if mark == ", "), len(code)]
    return [code[start + 2 : end] for start, end in itertools.pairwise(cuts)]


def _outside(code: str) -> Iterator[tuple[int, str]]:
    """The commas and operators outside brackets and strings, each with its position, in one walk along the text."""
    depth, k = 0, 0
    while (found := _MARK.search(code, k)) is not None:
        mark, k = found.group(), found.end()
        if mark in "'\"":
            k = code.find(mark, k) + 1 or len(code)
        elif mark in _OPEN:
            depth += 1
        elif mark in _CLOSE:
            depth -= 1
        elif depth == 0:
            yield found.start(), mark


def _longest_bracket(code: str) -> tuple[int, int] | None:
    """The longest outermost bracketed stretch with something in it."""
    best, depth, start = None, 0, 0
    for found in _BRACKET.finditer(code):
        k = found.start()
        if found.group() in _OPEN:
            if depth == 0:
                start = k
            depth += 1
        else:
            depth -= 1
            if depth == 0 and k > start + 1 and (best is None or k - start > best[1] - best[0]):
                best = (start, k)
    return best


def quoted(text: str) -> str:
    """A docstring of any text: the spec's words must not end the string early."""
    safe = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{safe[:-1]}\\""""' if safe.endswith('"') and not safe.endswith('\\"') else f'"""{safe}"""'
