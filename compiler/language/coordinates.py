"""The ends of coordinates, `from` and `to` of a dim: constant expressions, read once the constants are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.expr import Element, Expr, Number, Pointwise, SizeOf
from vspec.compiler.language.operators import CONSTANTS, FUNCTIONS
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawFact, RawName, walk
from vspec.compiler.language.spec import Constant
from vspec.compiler.language.types import a_dtype, as_real
from vspec.compiler.source.document import Scalar

_EXAMPLE = "for example {size: 64, from: 0, to: 2*pi}"


def read_coordinates(ctx: Context, constants: Mapping[str, Constant]) -> None:
    """Enter the ends of every dim that has coordinates; VS0336 where they are no increasing pair of constants."""
    for name, ends in ctx.dims.ends.items():
        low, high = (_end(ctx, name, end) for end in ends)
        if low is None or high is None:
            continue
        values = value_of_constants(ctx, low, constants), value_of_constants(ctx, high, constants)
        if values[0] is not None and values[1] is not None and not values[0] < values[1]:
            ctx.error(
                "VS0336",
                f"the coordinates of '{name}' run from {values[0]:g} to {values[1]:g}",
                ends[1].span,
                label="not above 'from'",
                help="coordinates increase; to count down, write from + to - coord(x)",
            )
        elif ctx.dims.size(name) == 1 and ctx.dims.boundary(name) != "periodic":
            ctx.error(
                "VS0336",
                f"the dim '{name}' has one value, which cannot lie both at 'from' and at 'to'",
                ends[1].span,
                help="give it a size of at least 2",
            )
        ctx.dims.dims[name] = replace(ctx.dims.dims[name], low=low, high=high)


def _end(ctx: Context, name: str, text: Scalar) -> Expr | None:
    """One end as a real scalar of constants, or None after a mistake."""
    raw = parse_expression(text, ctx.sink)
    if raw is None or not _constant(ctx, raw):
        return None
    found = ctx.infer(raw, Env(subject=f"the coordinates of '{name}'"))
    if isinstance(found, Unknown):
        return None
    if found.axes or found.dtype == "boolean":
        what = "has indices" if found.axes else f"is {a_dtype(found.dtype)}"
        ctx.error("VS0336", f"an end of a dim is a number, but this {what}", raw.span, help=_EXAMPLE)
        return None
    return as_real(found)


def _constant(ctx: Context, raw: Raw) -> bool:
    """Whether an expression is made of numbers, constants and functions of them; a diagnostic if not."""
    for node in walk(raw):
        message, help = "", "an end is made of numbers, pi and named constants: 2*pi, or L/2"
        if isinstance(node, RawName | RawElement) and node.name not in CONSTANTS and node.name not in ctx.dims.letters:
            symbol = ctx.symbols.get(node.name)
            if symbol is None or symbol.kind != "constant":
                message = f"'{node.name}' is not a constant"
                help = did_you_mean(node.name, [*ctx.symbols, *CONSTANTS]) or help
        elif isinstance(node, RawCall) and node.name not in FUNCTIONS and node.name != "size":
            message = f"'{node.name}(...)' cannot stand in the coordinates of a dim"
        elif isinstance(node, RawFact):
            message = "'.' is not an operator of the language"
        if message:
            ctx.error("VS0336", message, node.span, label="not known as a constant", help=help)
            return False
    return True


_VALUES: Mapping[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "floordiv": lambda a, b: a // b,
    "neg": lambda a: -a,
    "real": float,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
}


def value_of_constants(ctx: Context, e: Expr, constants: Mapping[str, Constant]) -> float | None:
    """The value of an expression with the constants as declared; None where it has none that is a number."""
    return value_of(e, constants, lambda letter: ctx.dims.size(ctx.dims.dim_of(letter)))


def value_of(e: Expr, constants: Mapping[str, Constant], size_of: Callable[[str], int | None]) -> float | None:
    """The same, where the caller knows the size that a letter has."""
    if isinstance(e, Number) and not isinstance(e.value, complex):
        return float(e.value)
    if isinstance(e, Element) and not e.subscripts and e.name in constants:
        return float(constants[e.name].value)
    if isinstance(e, SizeOf):
        size = size_of(e.letter)
        return None if size is None else float(size)
    if isinstance(e, Pointwise) and e.op in _VALUES:
        values = [value_of(a, constants, size_of) for a in e.args]
        known = [v for v in values if v is not None]
        if len(known) < len(values):
            return None
        try:
            value = _VALUES[e.op](*known)
        except (ArithmeticError, ValueError):
            return None
        return value if isinstance(value, float) and math.isfinite(value) else None
    return None
