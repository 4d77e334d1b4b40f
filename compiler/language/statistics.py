"""The level of a quantile: a number from 0 to 1 that does not depend on the index that the quantile binds."""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.expr import Expr, Number, Pointwise
from vspec.compiler.language.raw import RawCall
from vspec.compiler.language.types import a_dtype, as_real


def level_of(ctx: Context, raw: RawCall, names: Mapping[str, str], inside: Env) -> Expr:
    """The second argument of a reduction that takes a level.

    Args:
        ctx: where mistakes go.
        raw: the call.
        names: the indices that it binds, each with its letter in the checked tree.
        inside: the place in which they are bound.

    Returns:
        The checked level, a real; `Unknown` after a mistake.
    """
    level = ctx.infer(raw.args[1], inside)
    if isinstance(level, Unknown):
        return level
    if level.dtype == "boolean":
        return ctx.error(
            "VS0301",
            f"the level of '{raw.name}' is {a_dtype(level.dtype)}",
            level.span,
            inside,
            label="a number is needed here",
        )
    for source, letter in names.items():
        if letter in level.axes:
            return ctx.error(
                "VS0334",
                f"the level of '{raw.name}' depends on '{source}', the index that it binds",
                level.span,
                inside,
                label=f"one level for all {source}",
                help="bind another index of the same dim, or give the level another index",
            )
    value = _literal(level)
    if value is not None and not 0 <= value <= 1:
        percent = f"{raw.name}[...](..., {value / 100:g})" if 1 < value <= 100 else ""
        return ctx.error(
            "VS0334",
            f"the level of '{raw.name}' is {value:g}, but levels run from 0 to 1",
            level.span,
            inside,
            label="not between 0 and 1",
            help=f"a percentage is divided by 100: {percent}" if percent else "0 is the least value, 1 the greatest",
        )
    return as_real(level)


def _literal(e: Expr) -> float | None:
    if isinstance(e, Number) and not isinstance(e.value, complex):
        return float(e.value)
    if isinstance(e, Pointwise) and e.op == "neg":
        inner = _literal(e.args[0])
        return -inner if inner is not None else None
    return None
