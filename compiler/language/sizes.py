"""The section `dims`: letters, sizes, boundaries, configurations; coordinates wait until the constants are known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
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
MOST_VALUES = 2**24
"""The most values of a dim whose size is a power: sizes that grow so fast are enumerated only by mistake."""

_WHOLE = "a size is a number, auto, or whole arithmetic on other dims"


def read_dims(ctx: Context, node: Value | None, overrides: Mapping[str, Any]) -> set[str]:
    """Enter the dims and their letters; the names among `overrides` that were dims."""
    used: set[str] = set()
    declared: list[tuple[str, Scalar, Value]] = []
    for key, value in entries(node):
        letters = _dim_letters(ctx, key)
        if not letters:
            continue
        name = letters[0]
        for letter in letters:
            ctx.dims.letters[letter] = name
        ctx.dims.dims[name] = Dim(name, letters, None, key.span)
        declared.append((name, key, value))
    sizes: dict[str, tuple[Raw, Span]] = {}
    for name, key, value in declared:
        given = [x for x in ctx.dims.dims[name].letters if x in overrides]
        used.update(given)
        source = _read_dim(ctx, name, key, value)
        if given:
            source = _overridden_size(ctx, given[0], overrides[given[0]], key.span)
        if isinstance(source, int):
            ctx.dims.dims[name] = replace(ctx.dims.dims[name], size=source)
        elif source is not None:
            sizes[name] = (source, value.span)
    _resolve(ctx, sizes)
    return used


def _resolve(ctx: Context, sizes: Mapping[str, tuple[Raw, Span]]) -> None:
    """Work out the sizes that are expressions of others, in the order of what needs what."""
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
        if isinstance(number, str):
            ctx.error("VS0221", f"the size of the dim '{name}' is no whole number", span, label=number)
        elif number is not None and number < 1:
            ctx.error("VS0221", f"the dim '{name}' has size {number}", span, label="a size is at least 1")
        elif (
            number is not None
            and number > MOST_VALUES
            and any(isinstance(x, RawOp) and x.op == "pow" for x in walk(raw))
        ):
            shown = f"{number} values" if number < 2**63 else "more than 2**63 values"
            ctx.error(
                "VS0725",
                f"the dim '{name}' has {shown}",
                span,
                label=f"at most {MOST_VALUES} are possible",
                help="sizes that are powers grow fast; use smaller dims",
            )
        elif not isinstance(number, int) or _fits(ctx, number, span):
            size = expr if number is None else number
            ctx.dims.dims[name] = replace(ctx.dims.dims[name], size=size)


def settle_sizes(ctx: Context) -> None:
    """Work out sizes that are expressions of others once those have become numbers."""
    for name, dim in ctx.dims.dims.items():
        number = _number(ctx, dim.size) if isinstance(dim.size, Expr) else None
        if not isinstance(number, int):
            continue
        if number < 1:
            ctx.error("VS0221", f"the dim '{name}' has size {number}", dim.span, label="a size is at least 1")
            continue
        ctx.dims.dims[name] = replace(dim, size=number)
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


def _read_dim(ctx: Context, name: str, key: Scalar, value: Value) -> int | Raw | None:
    """The size of one dim as it is written; its other options are entered."""
    if not isinstance(value, Node):
        return _dim_size(ctx, value)
    if value.get("configurations") is not None:
        return _configurations(ctx, name, value)
    boundary = value.get("boundary")
    if isinstance(boundary, Scalar):
        ctx.dims.dims[name] = replace(ctx.dims.dims[name], boundary=boundary.text)
    low, high = value.get("from"), value.get("to")
    if isinstance(low, Scalar) and isinstance(high, Scalar):
        ctx.dims.ends[name] = (low, high)
    inner = value.get("size")
    return _dim_size(ctx, inner) if inner is not None else None


def _configurations(ctx: Context, name: str, value: Node) -> Raw | None:
    """The size of a dim of configurations: the values to the power of the places."""
    found: list[RawName] = []
    for option in ("configurations", "of"):
        part = value.get(option)
        if not isinstance(part, Scalar):
            continue
        letter = part.text.strip()
        if letter not in ctx.dims.letters:
            ctx.error(
                "VS0338",
                f"'{option}' names '{letter}', which is not an index",
                part.span,
                label="no dim has this letter",
                help=did_you_mean(letter, ctx.dims.letters)
                or "write {configurations: c, of: i} with letters of two other dims",
            )
        elif ctx.dims.letters[letter] == name:
            ctx.error(
                "VS0338",
                f"the dim '{name}' cannot be made of its own values",
                part.span,
                help="write {configurations: c, of: i} with letters of two other dims",
            )
        else:
            found.append(RawName(span=part.span, name=letter))
    if len(found) < 2:
        return None
    values, places = found
    pair = (ctx.dims.letters[values.name], ctx.dims.letters[places.name])
    ctx.dims.dims[name] = replace(ctx.dims.dims[name], configures=pair)
    return RawOp(span=value.span, op="pow", args=(values, places))


def _dim_size(ctx: Context, value: Value) -> int | Raw | None:
    if not isinstance(value, Scalar):
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
    configures = ctx.dims.dims[ctx.dims.letters[name]].configures
    if configures is not None:
        values, places = configures
        ctx.error(
            "VS0329",
            f"the dim '{name}' cannot be set: its size is that of '{values}' to the power of that of '{places}'",
            span,
            help=f"set '{values}' or '{places}'",
        )
        return None
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
    if isinstance(raw, RawOp) and raw.op in ("add", "sub", "mul", "floordiv", "pow", "neg"):
        args = [_size_expression(ctx, a) for a in raw.args]
        known = tuple(a for a in args if a is not None)
        return Pointwise(span=raw.span, dtype="integer", op=raw.op, args=known) if len(known) == len(args) else None
    if isinstance(raw, RawName):
        ctx.error(
            "VS0221",
            f"the size names '{raw.name}', which is not an index",
            raw.span,
            label="no dim has this letter",
            help=did_you_mean(raw.name, ctx.dims.letters) or f"{_WHOLE}: 2*n + 1",
        )
    else:
        ctx.error("VS0221", _WHOLE, raw.span, help="for example 2*n + 1, n//2, or 2**n")
    return None


def _number(ctx: Context, expr: Expr) -> int | str | None:
    """The value of a size, why it has none, or None while it is open."""
    if isinstance(expr, Number):
        return int(expr.value.real)
    if isinstance(expr, SizeOf):
        return ctx.dims.size(ctx.dims.dim_of(expr.letter))
    if not isinstance(expr, Pointwise):
        return None
    values = [_number(ctx, a) for a in expr.args]
    numbers = [v for v in values if isinstance(v, int)]
    if len(numbers) < len(values):
        return next((v for v in values if isinstance(v, str)), None)
    left, right = numbers[0], numbers[-1]
    if expr.op == "floordiv":
        return left // right if right else "it divides by 0"
    if expr.op == "pow":
        if right < 0:
            return f"its exponent is {right}"
        # Larger powers are too many values, whatever they are: no need to write them out.
        return left**right if right * max(abs(left).bit_length(), 1) <= 512 else 2**512
    return {"add": left + right, "sub": left - right, "mul": left * right, "neg": -left}[expr.op]
