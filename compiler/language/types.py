"""Element types: what an operation takes and gives, and where a boolean or integer becomes a real."""

from __future__ import annotations

import operator
from collections.abc import Callable

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.expr import Dtype, Expr, Number, Pointwise
from vspec.compiler.language.operators import POINTWISE, Complex


def union(parts: tuple[Expr, ...]) -> tuple[str, ...]:
    """The free letters of the parts, in order of first appearance."""
    if len(parts) == 1:
        return parts[0].axes
    return tuple(dict.fromkeys(letter for part in parts for letter in part.axes))


def is_literal(expr: Expr) -> bool:
    """Whether the expression is made of number literals only; those mix with reals as they stand."""
    if isinstance(expr, Number):
        return not isinstance(expr.value, bool)
    return (
        isinstance(expr, Pointwise)
        and expr.dtype != "boolean"
        and not expr.axes
        and all(is_literal(a) for a in expr.args)
    )


# Programs compute integers with at least 32 bits.
LARGEST = 2**31 - 1


def number_dtype(value: int | float | bool | complex) -> Dtype:
    """The dtype of a literal: a whole number that is too large for an integer is a real."""
    if isinstance(value, bool | complex):
        return "boolean" if isinstance(value, bool) else "complex"
    return "integer" if isinstance(value, int) and abs(value) <= LARGEST else "real"


def whole(expr: Expr) -> int | None:
    """The value of an expression of whole literals, however large; None for any other."""
    if isinstance(expr, Number):
        return expr.value if isinstance(expr.value, int) and not isinstance(expr.value, bool) else None
    if not isinstance(expr, Pointwise) or expr.op not in _WHOLE:
        return None
    values = [whole(a) for a in expr.args]
    known = [v for v in values if v is not None]
    # Powers that no machine number holds are not worked out.
    if len(known) < len(values) or (expr.op == "pow" and not 0 <= known[1] <= 64) or any(abs(v) > 2**64 for v in known):
        return None
    return _WHOLE[expr.op](*known)


_WHOLE: dict[str, Callable[..., int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "neg": operator.neg,
    "pow": operator.pow,
}


def as_real(expr: Expr) -> Expr:
    """The expression as a real, unless it is complex: a literal stays as written, an integer or boolean is converted."""
    if expr.dtype in ("real", "complex") or is_literal(expr) or isinstance(expr, Unknown):
        return expr
    return Pointwise(span=expr.span, axes=expr.axes, dtype="real", op="real", args=(expr,))


def numbers(args: tuple[Expr, ...]) -> tuple[tuple[Expr, ...], Dtype]:
    """Numbers brought to one dtype: integer if all are, complex if one is, else real. Booleans count as 0 and 1, real."""
    if all(a.dtype == "integer" for a in args):
        return args, "integer"
    return tuple(as_real(a) for a in args), widest(args)


def widest(args: tuple[Expr, ...]) -> Dtype:
    """What a function of reals gives: complex if one of its arguments is, else real."""
    return "complex" if any(a.dtype == "complex" for a in args) else "real"


def takes_complex(ctx: Context, name: str, support: Complex, args: tuple[Expr, ...], env: Env, help: str = "") -> bool:
    """Whether an operation that says `support` of complex numbers may have these arguments; records the mistake."""
    found = next((a for a in args if a.dtype == "complex"), None)
    if found is None or support:
        return True
    ctx.error(
        "VS0350",
        f"{name} does not take complex numbers",
        found.span,
        env,
        label="this is complex",
        help=help or "take a real of it first: re(z), im(z) or abs(z)",
    )
    return False


def unknown(parts: tuple[Expr, ...], span: Span) -> Unknown | None:
    """What stands for an operation on the parts if one of them is unknown."""
    if not any(isinstance(p, Unknown) for p in parts):
        return None
    exact = all(p.exact for p in parts if isinstance(p, Unknown))
    return Unknown(span=span, axes=union(parts), exact=exact)


def pointwise(ctx: Context, op: str, args: tuple[Expr, ...], span: Span, env: Env) -> Expr:
    """The elementwise operation with its arguments converted as its rule wants them."""
    lost = unknown(args, span)
    if lost is not None:
        return lost
    rule, support = POINTWISE[op].rule, POINTWISE[op].complex
    dtype: Dtype = "real"
    if rule not in ("logic", "choose") and not takes_complex(ctx, shown(op), support, args, env, _INSTEAD.get(op, "")):
        return Unknown(span=span)
    lost = _too_large(ctx, args, env) if rule in ("same", "compare", "choose") else None
    if lost is not None:
        return lost
    if rule == "logic":
        for arg in args:
            if arg.dtype != "boolean":
                return ctx.error(
                    "VS0301",
                    f"'{op}' needs a condition, but this is {a_dtype(arg.dtype)}",
                    arg.span,
                    env,
                    label=f"{a_dtype(arg.dtype)}",
                    help="compare it with something, for example x != 0",
                )
        dtype = "boolean"
    elif rule == "compare":
        dtype = "boolean"
        if not (op in ("eq", "ne") and all(a.dtype == "boolean" for a in args)):
            args, _ = numbers(args)
    elif rule == "choose":
        if args[0].dtype != "boolean":
            return ctx.error(
                "VS0301",
                f"the condition of 'if' is {a_dtype(args[0].dtype)}",
                args[0].span,
                env,
                label="a condition is needed here",
                help="compare it with something, for example x > 0",
            )
        if all(a.dtype == "boolean" for a in args[1:]):
            dtype = "boolean"
        else:
            branches, dtype = numbers(args[1:])
            args = (args[0], *branches)
    elif rule == "cast":
        if is_literal(args[0]) or args[0].dtype == "real":
            return args[0]
    elif rule == "whole":
        if args[0].dtype == "integer":
            return args[0]
        dtype = "integer"
    elif op == "pow":
        args, dtype = _power(args)
    elif op in ("re", "conj") and args[0].dtype != "complex":
        # A real number is its own real part and its own conjugate.
        return as_real(args[0])
    elif rule == "same":
        args, dtype = numbers(args)
    else:
        args = tuple(as_real(a) for a in args)
        dtype = widest(args) if rule == "real" else "real"
    if dtype == "complex" and support == "real":
        dtype = "real"
    result = Pointwise(span=span, axes=union(args), dtype=dtype, op=op, args=args)
    value = whole(result)
    if dtype == "integer" and value is not None and abs(value) > LARGEST:
        return Number(span=span, dtype="real", value=value)
    return result


def _too_large(ctx: Context, args: tuple[Expr, ...], env: Env) -> Unknown | None:
    """An error where integers meet a whole literal that is too large to be one: reals would lose digits unasked."""
    if not any(a.dtype == "integer" and not is_literal(a) for a in args):
        return None
    for a in args:
        value = whole(a)
        if value is not None and abs(value) > LARGEST:
            return ctx.error(
                "VS0331",
                f"{value} is too large for an integer",
                a.span,
                env,
                label=f"beyond {'-' if value < 0 else ''}{LARGEST}",
                help=f"for arithmetic with reals, which rounds, write {value}.0",
            )
    return None


# What to write in the place of operations that have no complex form.
_INSTEAD = {
    "real": "the real part is re(z)",
    **dict.fromkeys(("lt", "le", "gt", "ge"), "complex numbers have no order: compare re(z), im(z) or abs(z)"),
    **dict.fromkeys(("maximum", "minimum", "clip"), "complex numbers have no order: take re(z), im(z) or abs(z)"),
    "sign": "the direction of z is z/abs(z)",
    "log1p": "write log(1 + z)",
    "expm1": "write exp(z) - 1",
    "sigmoid": "write 1/(1 + exp(-z))",
    "xlogy": "write a*log(z)",
}


def shown(op: str) -> str:
    """How an operation is written: `'<'`, `'exp'`."""
    example = POINTWISE[op].symbol
    if POINTWISE[op].callable:
        return f"'{example.partition('(')[0]}'" if "(" in example else f"'{op}'"
    return f"'{example.strip('ab ')}'"


def _power(args: tuple[Expr, ...]) -> tuple[tuple[Expr, ...], Dtype]:
    base, exponent = args
    power = exponent.value if isinstance(exponent, Number) and isinstance(exponent.value, int) else None
    if base.dtype == "integer" and power is not None and power >= 0:
        return args, "integer"
    return (as_real(base), exponent if power is not None else as_real(exponent)), widest(args)


def a_dtype(dtype: Dtype) -> str:
    """The dtype in words: `a real number`."""
    words = {"real": "a real number", "integer": "an integer", "boolean": "a condition", "complex": "a complex number"}
    return words[dtype]
