"""Left sides: `name[letters]`, and the reserved names that neither they nor those of functions may take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Symbol
from vspec.compiler.language.operators import RESERVED
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawElement, RawName, RawSlice
from vspec.compiler.language.subscripts import affine, whole
from vspec.compiler.source.document import Scalar

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Head:
    """A left side: the name and its raw subscripts."""

    name: str
    subscripts: tuple[Raw, ...]
    span: Span
    name_span: Span


def parse_head(ctx: Context, key: Scalar) -> Head | None:
    """The left side in a key, or None after a mistake."""
    raw = _parse(ctx, key)
    if isinstance(raw, RawName):
        return Head(raw.name, (), key.span, raw.span)
    if isinstance(raw, RawElement):
        return Head(raw.name, raw.subscripts, key.span, raw.name_span)
    if raw is not None:
        ctx.error(
            "VS0220",
            f"'{key.text}' is not a name with indices",
            key.span,
            label="a name is expected here",
            help="write a name such as x, or x[i, j] with its indices",
        )
    return None


def _parse(ctx: Context, key: Scalar) -> Raw | None:
    pieces = _pieces(key.text)
    if len(pieces) > 1 and "(" not in key.text:
        refuse_several(ctx, key, [key.text[a:b] for a, b in pieces])
        return None
    return parse_expression(key, ctx.sink)


def parse_heads(ctx: Context, key: Scalar) -> tuple[Head, ...]:
    """The left sides in a key that may have several names, `y1[i], y2[j]`; empty after a mistake."""
    pieces = _pieces(key.text)
    if len(pieces) == 1 or "(" in key.text:
        head = parse_head(ctx, key)
        return () if head is None else (head,)
    found: list[Head] = []
    for start, end in pieces:
        raw = parse_expression(key, ctx.sink, start=start, end=end)
        if raw is None:
            return ()
        span = key.locate(start + len(key.text[start:end]) - len(key.text[start:end].lstrip()), end)
        if isinstance(raw, RawName):
            found.append(Head(raw.name, (), span, raw.span))
        elif isinstance(raw, RawElement):
            found.append(Head(raw.name, raw.subscripts, span, raw.name_span))
        else:
            ctx.error("VS0220", "each of the names on the left is a name with indices", span, label="not a name")
            return ()
    return tuple(found)


def refuse_several(ctx: Context, key: Scalar, names: Sequence[str]) -> None:
    """The mistake of several names where one is wanted; they are then known to be unknown."""
    ctx.opaque.update(m[1] for name in names if (m := re.match(r"\s*([A-Za-z_]\w*)", name)))
    ctx.error(
        "VS0385",
        "several names on one left side are the unknowns of a root, fixed_point, argmin or argmax",
        key.span,
        help="one line for each name; unknowns that are found together are u[i], v[j]: root[a[i], b[j]](..., ...)",
    )


def _pieces(text: str) -> list[tuple[int, int]]:
    """The stretches of a text between the commas outside of brackets."""
    found: list[tuple[int, int]] = []
    depth = start = 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            found.append((start, at))
            start = at + 1
    return [*found, (start, len(text))]


def free_name(ctx: Context, name: str, span: Span) -> bool:
    """Whether a name is well formed and not reserved."""
    if name in RESERVED:
        what = {"d": "the derivative operator", "E": "the expectation operator"}.get(name, "a built-in")
        ctx.error(
            "VS0205",
            f"'{name}' is reserved: it is {what} of the language",
            span,
            label="choose another name",
            help=f"for example {name}_ or {name}0",
        )
        return False
    if not _NAME.match(name):
        ctx.error(
            "VS0220",
            f"'{name}' cannot be a name",
            span,
            help="names start with a letter; underscores at the front are ours",
        )
        return False
    return True


def declare(ctx: Context, head: Head, kind: str, *, outputs: bool = False) -> Symbol | None:
    """Enter a name with its letters; None after a mistake (the name is then known but nothing about it)."""
    name = head.name
    table = ctx.outputs if outputs else ctx.symbols
    # After a mistake the name is known to be unknown, so that reading it says nothing more.
    if not free_name(ctx, name, head.name_span):
        ctx.opaque.add(name)
        return None
    if name in ctx.dims.letters:
        ctx.error(
            "VS0226",
            f"'{name}' is an index letter and cannot name {a(kind)}",
            head.name_span,
            help="rename one of the two",
        )
        return None
    known = table.get(name)
    if known is not None or (not outputs and name in ctx.functions):
        span = known.span if known is not None else ctx.functions[name].span
        what = a(known.kind) if known is not None else "a function"
        ctx.error(
            "VS0204",
            f"'{name}' is declared twice",
            head.span,
            label="again here",
            help=f"it is {what} already, line {span.line}",
        )
        return None
    letters = plain_letters(ctx, head)
    if letters is None:
        ctx.opaque.add(name)
        return None
    dims = tuple(ctx.dims.letters[x] for x in letters)
    symbol = table[name] = Symbol(name, kind, letters, dims, None, head.span)
    return symbol


def a(kind: str) -> str:
    """The kind of a name with its article."""
    words = {"state": "a definition", "data": "data", "counter": "counted by stages"}
    return words.get(kind) or f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def plain_letters(ctx: Context, head: Head) -> tuple[str, ...] | None:
    """The letters of a left side that has letters only, or None after a mistake."""
    letters: list[str] = []
    for raw in head.subscripts:
        letter = left_letter(ctx, raw, head, letters)
        if letter is None:
            return None
        letters.append(letter)
    return tuple(letters)


def left_letter(ctx: Context, raw: Raw, head: Head, before: Sequence[str]) -> str | None:
    """One subscript of a left side as a letter that is not among those `before` it, or None after a mistake."""
    if isinstance(raw, RawName) and raw.name in ctx.dims.letters:
        if raw.name not in before:
            return raw.name
        ctx.error(
            "VS0219",
            f"the index '{raw.name}' stands twice on the left of '{head.name}'",
            raw.span,
            help="a second index over the same dim needs a letter of its own: 'i, j: ...' under 'dims'",
        )
        return None
    if isinstance(raw, RawName):
        ctx.error(
            "VS0202",
            f"unknown index '{raw.name}' on the left of '{head.name}'",
            raw.span,
            label="no dim has this letter",
            help=ctx.near(raw.name, ctx.dims.letters) or f"declare it under 'dims': {raw.name}: auto",
        )
    elif isinstance(raw, RawSlice):
        ctx.error(
            "VS0220",
            "the left side lists indices, not ':'",
            raw.span,
            help=f"write {head.name}[i] with a letter of 'dims'",
        )
    elif whole(raw) is not None or affine(ctx, raw, Env(subject="")) is not None:
        ctx.error("VS0220", f"the left side of '{head.name}' lists plain indices here", raw.span, label="not a letter")
    else:
        ctx.error("VS0220", "the left side lists indices", raw.span, label="not an index")
    return None


__all__ = [
    "Head",
    "a",
    "declare",
    "free_name",
    "left_letter",
    "parse_head",
    "parse_heads",
    "plain_letters",
    "refuse_several",
]
