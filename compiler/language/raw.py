"""Raw expressions: what the parser makes of the text, before any name has a meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

from vspec.compiler.diagnostics.spans import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What all raw nodes share."""

    span: Span


@dataclass(frozen=True, slots=True)
class RawNumber(Raw):
    """A literal; a complex one is imaginary: `2j`."""

    value: int | float | bool | complex


@dataclass(frozen=True, slots=True)
class RawName(Raw):
    """A bare name."""

    name: str


@dataclass(frozen=True, slots=True)
class RawSlice(Raw):
    """The whole axis, `:`, as a subscript."""


@dataclass(frozen=True, slots=True)
class RawElement(Raw):
    """`name[subscripts]`."""

    name: str
    subscripts: tuple[Raw, ...]
    name_span: Span


@dataclass(frozen=True, slots=True)
class RawList(Raw):
    """`[a, b]` as the value of a keyword."""

    items: tuple[Raw, ...]


@dataclass(frozen=True, slots=True)
class RawRows(Raw):
    """One expression for each value of an index, as all of the body of a function; no text is read as one."""

    letter: str
    rows: tuple[Raw, ...]


class Keyword(NamedTuple):
    """`name=value` among the arguments of a call; the span is of both."""

    name: str
    span: Span
    value: Raw


@dataclass(frozen=True, slots=True)
class RawCall(Raw):
    """`name(args)`, `name[bound](args)` when `bound` is not None, and `name(args)[subscripts]`."""

    name: str
    args: tuple[Raw, ...]
    name_span: Span
    bound: tuple[Raw, ...] | None = None
    subscripts: tuple[Raw, ...] | None = None
    keywords: tuple[Keyword, ...] = ()


@dataclass(frozen=True, slots=True)
class RawOp(Raw):
    """An operator of POINTWISE written as a sign or word: `add`, `lt`, `and`, `where`, ..."""

    op: str
    args: tuple[Raw, ...]


@dataclass(frozen=True, slots=True)
class RawFact(Raw):
    """`run.steps`, `fine.P[i, j]`: what a claim reads of a run. `called`: arguments stood behind it, which is a mistake."""

    base: str
    path: tuple[str, ...]
    subscripts: tuple[Raw, ...] = ()
    called: bool = False


def children(node: Raw) -> tuple[Raw, ...]:
    """The direct parts of a node, subscripts, bound indices and values of keywords included."""
    if isinstance(node, RawOp):
        return node.args
    if isinstance(node, RawElement | RawFact):
        return node.subscripts
    if isinstance(node, RawCall):
        return (*(node.bound or ()), *node.args, *(k.value for k in node.keywords), *(node.subscripts or ()))
    if isinstance(node, RawList):
        return node.items
    if isinstance(node, RawRows):
        return node.rows
    return ()


def walk(node: Raw) -> Iterator[Raw]:
    """The node and everything below it, parents first."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(children(top)))


def skeleton(x: object) -> object:
    """What a raw node says, wherever it stands: equal for equal texts."""
    if isinstance(x, Raw):
        return (type(x).__name__, *(skeleton(getattr(x, f.name)) for f in fields(x)))
    if isinstance(x, tuple):
        return tuple(map(skeleton, x))
    return None if isinstance(x, Span) else x
