"""Heads of functions: `f(a[:], t)`, `f(x[:]) -> [k]` with axes in the result, `twice(g(a), x)` with a function as argument."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Formal
from vspec.compiler.language.heads import free_name
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawSlice
from vspec.compiler.language.rows import axis_of
from vspec.compiler.source.document import Scalar

_RESULT = re.compile(r"\s*\[([^\[\]]*)\]\s*\Z")


@dataclass(frozen=True, slots=True)
class Signature:
    """The name of a function, its arguments, and the letters of its result's axes.

    `numbered`: the place of the first axis of the result that is a whole number.
    """

    name: str
    formals: tuple[Formal, ...]
    results: tuple[str, ...]
    span: Span
    numbered: Span | None = None


def parse_signature(ctx: Context, key: Scalar) -> Signature | None:
    """The head of a function, or None after a mistake; its name is then known to be unknown."""
    found = _signature(ctx, key)
    word = re.match(r"\s*([A-Za-z_]\w*)", key.text)
    if found is None and word:
        ctx.opaque.add(word.group(1))
    return found


def _signature(ctx: Context, key: Scalar) -> Signature | None:
    arrow = key.text.find("->")
    raw = parse_expression(key, ctx.sink, end=arrow if arrow >= 0 else None)
    if raw is None:
        return None
    if not isinstance(raw, RawCall) or raw.bound is not None or raw.subscripts is not None or raw.keywords:
        ctx.error(
            "VS0220",
            f"'{key.text}' is not the head of a function",
            key.span,
            help="write its name and arguments: f(a[:], t), with one ':' per axis of an argument",
        )
        return None
    formals: list[Formal] = []
    for arg in raw.args:
        formal = _formal(ctx, arg)
        if formal is None or not free_name(ctx, formal.name, arg.span):
            return None
        if formal.name in ctx.dims.letters:
            ctx.error(
                "VS0226",
                f"the argument '{formal.name}' has the name of an index",
                arg.span,
                help="give it another name",
            )
            return None
        if any(f.name == formal.name for f in formals):
            ctx.error("VS0204", f"the argument '{formal.name}' is written twice", arg.span)
            return None
        formals.append(formal)
    results = _results(ctx, key, arrow + 2, raw.name) if arrow >= 0 else ((), None)
    return Signature(raw.name, tuple(formals), results[0], raw.name_span, results[1]) if results is not None else None


def _formal(ctx: Context, arg: Raw) -> Formal | None:
    """One argument: a value with its whole axes, or a function with its own arguments."""
    value = _value(arg)
    if value is not None:
        return Formal(*value)
    if isinstance(arg, RawCall) and arg.bound is None and not arg.keywords:
        takes = [_value(a) for a in arg.args]
        after = arg.subscripts or ()
        known = tuple(rank for _, rank in (t for t in takes if t is not None))
        if arg.args and len(known) == len(takes) and all(isinstance(s, RawSlice) for s in after):
            names = tuple(name for name, _ in (t for t in takes if t is not None))
            return Formal(arg.name, len(after), known, names)
        ctx.error(
            "VS0220",
            f"the argument '{arg.name}' is a function of values",
            arg.span,
            label="not a list of names",
            help=f"write {arg.name}(a), {arg.name}(a[:], t), or {arg.name}(a[:])[:] for one with an axis in its result",
        )
        return None
    ctx.error(
        "VS0220",
        "an argument is a name, or a name with ':' for each of its axes",
        arg.span,
        help="for example f(a[:], t)",
    )
    return None


def _value(arg: Raw) -> tuple[str, int] | None:
    if isinstance(arg, RawName):
        return arg.name, 0
    if isinstance(arg, RawElement) and all(isinstance(s, RawSlice) for s in arg.subscripts):
        return arg.name, len(arg.subscripts)
    return None


def _results(ctx: Context, key: Scalar, start: int, name: str) -> tuple[tuple[str, ...], Span | None] | None:
    """The letters after the arrow and the place of the first whole number among them, whose axis has a letter of its own; None
    after a mistake."""
    found = _RESULT.match(key.text[start:])
    if found is None or not found.group(1).strip():
        ctx.error(
            "VS0220",
            "after '->' stand the indices of the result, in one pair of brackets",
            key.locate(start - 2, len(key.text)),
            help=f"for example {name}(x[:]) -> [k]",
        )
        return None
    letters: list[str] = []
    numbered: Span | None = None
    for item in re.finditer(r"[^,]+", found.group(1)):
        letter = item.group().strip()
        first = start + found.start(1) + item.start() + len(item.group()) - len(item.group().lstrip())
        span = key.locate(first, first + max(len(letter), 1))
        if re.fullmatch(r"\d+", letter):
            if not 0 < int(letter) < 2**31:
                ctx.error(
                    "VS0220", f"the result of '{name}' has an axis of {letter} values", span, label="at least one"
                )
                return None
            numbered = numbered or span
            letters.append(axis_of(ctx, int(letter), letters))
            continue
        letter = (key.names or {}).get(letter, letter)
        if letter not in ctx.dims.letters:
            ctx.error(
                "VS0202",
                f"unknown index '{letter}' in the result of '{name}'",
                span,
                label="no dim has this letter",
                help=ctx.near(letter, ctx.dims.letters) or f"declare it under 'dims': {letter}: 3",
            )
            return None
        if letter in letters:
            ctx.error(
                "VS0219",
                f"the index '{letter}' stands twice in the result of '{name}'",
                span,
                help="a second index over the same dim needs a letter of its own: 'i, j: ...' under 'dims'",
            )
            return None
        letters.append(letter)
    return tuple(letters), numbered
