"""Literal arrays: YAML lists as nested tuples, their shapes checked against the axes of the name."""

from __future__ import annotations

import re
from typing import Any

from vspec.compiler.language.context import Context, Symbol
from vspec.compiler.language.expr import Dtype
from vspec.compiler.language.types import number_dtype
from vspec.compiler.source.document import Mapping, Scalar, Value


def literal(
    ctx: Context, symbol: Symbol, value: Value, what: str, dtype: Dtype | None = None
) -> tuple[Any, Dtype] | None:
    """The value as a number or nested tuples, with its dtype; None after a mistake.

    Args:
        ctx: where mistakes go.
        symbol: the name with its axes.
        value: the node.
        what: `constant` or `value`, for messages.
        dtype: what the numbers must be; found out when None.
    """
    leaves: list[Scalar] = []
    data = _read(ctx, symbol, value, what, 0, leaves, dtype == "complex")
    if data is None:
        return None
    values = [leaf.value for leaf in leaves]
    found: Dtype
    if dtype == "complex":
        return data, "complex"
    if dtype is not None:
        found = dtype
        for leaf in leaves:
            if dtype == "integer" and isinstance(leaf.value, int) and number_dtype(leaf.value) == "real":
                ctx.error("VS0331", f"{leaf.text} is too large for an integer", leaf.span, help="make the type real")
                return None
            wrong = dtype == "integer" and isinstance(leaf.value, float)
            if wrong or (dtype == "boolean") != isinstance(leaf.value, bool):
                ctx.error("VS0318", f"'{symbol.name}' is {dtype}, but {leaf.text} is not", leaf.span)
                return None
    elif all(isinstance(v, bool) for v in values):
        found = "boolean"
    elif any(isinstance(v, bool) for v in values):
        ctx.error("VS0318", f"'{symbol.name}' mixes numbers with true and false", value.span)
        return None
    else:
        found = "integer" if all(number_dtype(v) == "integer" for v in values) else "real"  # type: ignore[arg-type]
    return (_real(data) if found == "real" else data), found


def _real(data: Any) -> Any:
    return tuple(_real(x) for x in data) if isinstance(data, tuple) else float(data)


def imaginary(text: str) -> complex | None:
    """The complex number that a text spells, such as `1 + 2j`; None if it spells none."""
    compact = "".join(text.split())
    if not re.fullmatch(r"[0-9.eE+\-]*[0-9.]j", compact):
        return None
    try:
        return complex(compact)
    except ValueError:
        return None


def _read(
    ctx: Context, symbol: Symbol, value: Value, what: str, depth: int, leaves: list[Scalar], imaginaries: bool
) -> Any:
    rank = len(symbol.dims)
    if isinstance(value, Mapping):
        ctx.error("VS0326", f"the {what} of '{symbol.name}' is a number or a list", value.span)
        return None
    if isinstance(value, Scalar):
        if depth < rank:
            ctx.error(
                "VS0317",
                f"'{symbol.shown}' has {rank} ax{'is' if rank == 1 else 'es'}, but one number stands here",
                value.span,
                label="a list is expected",
            )
            return None
        number: int | float | complex | str | None = value.value
        if imaginaries and isinstance(number, str):
            number = imaginary(number)
        elif imaginaries and isinstance(number, int | float) and not isinstance(number, bool):
            number = complex(number)
        elif imaginaries:
            number = None
        if not isinstance(number, int | float | bool | complex):
            is_text = isinstance(value.value, str)
            help = "what follows from other quantities is written under 'define'" if is_text else ""
            if what == "constant" and imaginary(value.text) is not None:
                help = "constants are real: write the complex number under 'define'"
            ctx.error(
                "VS0318",
                f"the {what} {'of ' if what == 'value' else ''}'{symbol.name}' is not a number",
                value.span,
                label="a number is expected here",
                help=help,
            )
            return None
        leaves.append(value)
        return number
    if depth >= rank:
        shape = "is a scalar" if rank == 0 else f"has {rank} ax{'is' if rank == 1 else 'es'}"
        ctx.error(
            "VS0317",
            f"'{symbol.shown}' {shape}, but the list is deeper",
            value.span,
            label="one list too many",
            help=f"give the name its index: {symbol.name}[i]" if rank == 0 else "",
        )
        return None
    size = ctx.dims.size(symbol.dims[depth])
    if size is not None and len(value.items) != size:
        letter = symbol.letters[depth]
        ctx.error(
            "VS0317",
            f"'{symbol.shown}' has {size} entries along '{letter}', but {len(value.items)} are given",
            value.span,
            label=f"{len(value.items)} entries",
        )
        return None
    if size is None:
        first = ctx.lengths.setdefault(symbol.dims[depth], (len(value.items), value.span))
        if first[0] != len(value.items):
            ctx.error(
                "VS0317",
                f"the dim '{symbol.dims[depth]}' would have {len(value.items)} values here "
                f"and {first[0]} on line {first[1].line}",
                value.span,
            )
            return None
    items = [_read(ctx, symbol, item, what, depth + 1, leaves, imaginaries) for item in value.items]
    return None if any(i is None for i in items) else tuple(items)
