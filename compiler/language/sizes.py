"""The section `dims`: letters and sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context
from vspec.compiler.language.entries import entries
from vspec.compiler.language.expr import Expr, Number, Pointwise, SizeOf
from vspec.compiler.language.graph import components
from vspec.compiler.language.operators import RESERVED
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawName, RawNumber, RawOp, walk
from vspec.compiler.language.spec import Dim
from vspec.compiler.source.document import Mapping as Node
from vspec.compiler.source.document import Scalar, Sequence, Value

MAX_SIZE = 2**31 - 1  # positions in arrays are 32-bit integers


def read_dims(ctx: Context, node: Value | None, overrides: Mapping[str, Any]) -> set[str]:
    """Enter the dims and their letters; the names among `overrides` that were dims."""
    sizes: dict[str, tuple[Raw, Span]] = {}
    used: set[str] = set()
    for key, value in entries(node):
        letters = _dim_letters(ctx, key)
        if not letters:
            continue
        name = letters[0]
        for letter in letters:
            ctx.dims.letters[letter] = name
        size: int | None = None
        given = [x for x in letters if x in overrides]
        if given:
            used.update(given)
            size = _overridden_size(ctx, given[0], overrides[given[0]], key.span)
        else:
            source = _dim_size(ctx, value)
            if isinstance(source, int):
                size = source
            elif source is not None:
                sizes[name] = (source, value.span)
        ctx.dims.dims[name] = Dim(name, letters, size, key.span)
    order: dict[str, tuple[str, ...]] = {}
    for name, (raw, _) in sizes.items():
        order[name] = tuple(
            ctx.dims.letters[x.name]
            for x in walk(raw)
            if isinstance(x, RawName) and ctx.dims.letters.get(x.name) in sizes
        )
    for group in components(list(order), lambda n: order[n]):
        name = group[0]
        raw, span = sizes[name]
        if len(group) > 1 or name in order[name]:
            ctx.error(
                "VS0221", f"the size of the dim '{name}' depends on itself", span, label=" → ".join((*group, name))
            )
            continue
        expr = _size_expression(ctx, raw)
        if expr is None:
            continue
        number = _number(ctx, expr)
        if number is not None and number < 1:
            ctx.error("VS0221", f"the dim '{name}' has size {number}", span, label="a size is at least 1")
            continue
        if number is not None and not _fits(ctx, number, span):
            continue
        old = ctx.dims.dims[name]
        ctx.dims.dims[name] = Dim(name, old.letters, expr if number is None else number, old.span)
    return used


def settle_sizes(ctx: Context) -> None:
    """Work out sizes that are expressions of others once those have become numbers."""
    for name, dim in ctx.dims.dims.items():
        number = _number(ctx, dim.size) if isinstance(dim.size, Expr) else None
        if number is None:
            continue
        if number < 1:
            ctx.error("VS0221", f"the dim '{name}' has size {number}", dim.span, label="a size is at least 1")
            continue
        ctx.dims.dims[name] = Dim(name, dim.letters, number, dim.span)
    ctx.dims.linear.clear()


def _dim_letters(ctx: Context, key: Scalar) -> tuple[str, ...]:
    letters: list[str] = []
    for found in re.finditer(r"[^,]+", key.text):
        letter = found.group().strip()
        start = found.start() + len(found.group()) - len(found.group().lstrip())
        span = key.locate(start, start + max(len(letter), 1))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", letter):
            ctx.error(
                "VS0220",
                f"'{letter}' cannot be an index letter",
                span,
                help="letters and digits, starting with a letter: i, j2",
            )
        elif letter in RESERVED:
            what = {"d": "the derivative operator", "E": "the expectation operator"}.get(letter, "a built-in")
            ctx.error(
                "VS0205", f"'{letter}' is reserved: it is {what} of the language", span, label="choose another letter"
            )
        elif letter in ctx.dims.letters or letter in letters:
            ctx.error("VS0225", f"the index letter '{letter}' is declared twice", span, label="again here")
        else:
            letters.append(letter)
    return tuple(letters)


def _dim_size(ctx: Context, value: Value) -> int | Raw | None:
    if isinstance(value, Node):
        for key, _ in value.entries:
            if key.text in ("configurations", "of"):
                ctx.planned("VS0409", "configuration dims", key.span)
                return None
            if key.text in ("from", "to"):
                ctx.planned("VS0409", "dims with coordinates", key.span)
                return None
            if key.text == "boundary":
                ctx.planned("VS0423", "boundary conditions of a dim", key.span)
                return None
        inner = value.get("size")
        return _dim_size(ctx, inner) if inner is not None else None
    if isinstance(value, Sequence):
        ctx.error("VS0221", "a size is one number", value.span)
        return None
    if isinstance(value.value, bool | float):
        ctx.error("VS0221", f"a size is a whole number, not {value.text}", value.span)
        return None
    if isinstance(value.value, int):
        if value.value < 1:
            ctx.error("VS0221", f"the size is {value.value}", value.span, label="a size is at least 1")
            return None
        return value.value if _fits(ctx, value.value, value.span) else None
    if value.text.strip() == "auto":
        return None
    return parse_expression(value, ctx.sink)


def _overridden_size(ctx: Context, name: str, value: Any, span: Span) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value if _fits(ctx, value, span) else None
    ctx.error(
        "VS0329", f"the dim '{name}' cannot be set to {value!r}", span, label="a size is a whole number, at least 1"
    )
    return None


def _fits(ctx: Context, size: int, span: Span) -> bool:
    if size <= MAX_SIZE:
        return True
    shown = str(size) if size < 10**24 else "a number of many digits"
    ctx.error("VS0727", f"the size {shown} is too large", span, label=f"at most {MAX_SIZE}")
    return False


def _size_expression(ctx: Context, raw: Raw) -> Expr | None:
    if isinstance(raw, RawNumber) and isinstance(raw.value, int) and not isinstance(raw.value, bool):
        return Number(span=raw.span, dtype="integer", value=raw.value)
    if isinstance(raw, RawName) and raw.name in ctx.dims.letters:
        return SizeOf(span=raw.span, dtype="integer", letter=raw.name)
    if isinstance(raw, RawCall) and raw.name == "size" and len(raw.args) == 1:
        return _size_expression(ctx, raw.args[0])
    if isinstance(raw, RawOp) and raw.op in ("add", "sub", "mul", "floordiv", "neg"):
        args = [_size_expression(ctx, a) for a in raw.args]
        known = tuple(a for a in args if a is not None)
        return Pointwise(span=raw.span, dtype="integer", op=raw.op, args=known) if len(known) == len(args) else None
    if isinstance(raw, RawName):
        ctx.error(
            "VS0221",
            f"the size names '{raw.name}', which is not an index",
            raw.span,
            label="no dim has this letter",
            help=did_you_mean(raw.name, ctx.dims.letters)
            or "a size is a number, auto, or whole arithmetic on other dims: 2*n + 1",
        )
    else:
        ctx.error(
            "VS0221",
            "a size is a number, auto, or whole arithmetic on other dims",
            raw.span,
            help="for example 2*n + 1, or n//2",
        )
    return None


def _number(ctx: Context, expr: Expr) -> int | None:
    if isinstance(expr, Number):
        return int(expr.value.real)
    if isinstance(expr, SizeOf):
        return ctx.dims.size(ctx.dims.dim_of(expr.letter))
    if not isinstance(expr, Pointwise):
        return None
    values = [_number(ctx, a) for a in expr.args]
    if any(v is None for v in values):
        return None
    numbers = [v for v in values if v is not None]
    if expr.op == "floordiv":
        return numbers[0] // numbers[1] if numbers[1] else None
    left, right = numbers[0], numbers[-1]
    return {"add": left + right, "sub": left - right, "mul": left * right, "neg": -left}[expr.op]
