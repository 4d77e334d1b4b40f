"""`d(e, x[i], ...)`: what a derivative may be of, and with respect to what."""

from __future__ import annotations

from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.evaluation import DERIVATIVE, read_by
from vspec.compiler.language.expr import (
    AUTO,
    Derivative,
    Element,
    Expr,
    Gather,
    Number,
)
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import (
    STRUCTURAL,
)
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawFact, RawName, RawSlice
from vspec.compiler.language.types import a_dtype, widest


def derivative(ctx: Context, raw: RawCall, env: Env) -> Expr:
    by = read_by(ctx, raw, DERIVATIVE, env)
    if len(raw.args) < 2:
        return arity(ctx, raw, "at least 2", 2, STRUCTURAL["d"], env)
    body = ctx.infer(raw.args[0], env)
    wrt = [_wrt(ctx, a, env) for a in raw.args[1:]]
    axes = tuple(dict.fromkeys((*body.axes, *(x for w in wrt if w is not None for x in w.axes))))
    if by is None or isinstance(body, Unknown) or any(not isinstance(w, Element) for w in wrt):
        exact = (not isinstance(body, Unknown) or body.exact) and all(
            w is not None and (not isinstance(w, Unknown) or w.exact) for w in wrt
        )
        return Unknown(span=raw.span, axes=axes, exact=exact)
    if body.dtype not in ("real", "complex") and not isinstance(body, Number):
        return ctx.error(
            "VS0304",
            f"only a real or complex number has a derivative, and this is {a_dtype(body.dtype)}",
            body.span,
            env,
            label=a_dtype(body.dtype),
        )
    elements = tuple(w for w in wrt if isinstance(w, Element))
    dtype = widest((body, *elements))
    if by != AUTO and dtype == "complex":
        ctx.error(
            "VS0258",
            f"a derivative of or by complex numbers has no other way than its own, and 'by={by.word}' asks for one",
            raw.span,
            env,
            help="leave 'by' out, or take derivatives of the real and the imaginary part",
        )
        return Unknown(span=raw.span, axes=axes)
    if by.word == "laplacian" and len(elements) < 2:
        ctx.error(
            "VS0258",
            "'by=laplacian' takes second derivatives, and this is a first one",
            raw.span,
            env,
            label="one derivative",
            help="write by=forward or by=reverse",
        )
        return Unknown(span=raw.span, axes=axes)
    return Derivative(span=raw.span, axes=axes, dtype=dtype, body=body, wrt=elements, by=by)


def _wrt(ctx: Context, raw: Raw, env: Env) -> Expr | None:
    """What a derivative is taken with respect to: an element (or Unknown, or None after a mistake)."""
    if isinstance(raw, RawFact) and raw.base in ctx.functions:
        return ctx.infer(raw, env)
    if isinstance(raw, RawName) and raw.name in ctx.functions and ctx.functions[raw.name].network is not None:
        ctx.error(
            "VS0254",
            f"a derivative is with respect to one element, and the network '{raw.name}' has many weights",
            raw.span,
            env,
            help=f"stack them, theta[p]: stack({raw.name}) with p: auto under 'dims', and take d(e, theta[p])",
        )
        return None
    if not isinstance(raw, RawName | RawElement):
        ctx.error(
            "VS0224",
            "a derivative is with respect to an element of a named quantity",
            raw.span,
            env,
            label="not an element",
            help="give the expression a name under 'define' and use that name in both places",
        )
        return None
    if isinstance(raw, RawElement) and any(isinstance(s, RawSlice) for s in raw.subscripts) and env.slices is None:
        ctx.error(
            "VS0224",
            "a derivative is with respect to an element, not a whole axis",
            raw.span,
            env,
            help=f"write an index: d(e, {raw.name}[i])",
        )
        return None
    found = ctx.infer(raw, env)
    if isinstance(found, Unknown):
        return found
    name = raw.name
    if not isinstance(found, Element):
        ctx.error(
            "VS0224", f"no derivative with respect to '{name}' can be taken", raw.span, env, label="not an element"
        )
        return None
    symbol = ctx.symbols.get(found.name)
    if symbol is not None and symbol.kind == "objective":
        ctx.error(
            "VS0224",
            f"no derivative with respect to the objective '{name}' can be taken",
            raw.span,
            env,
            help="give the value a name under 'define' and use it in the objective",
        )
        return None
    if found.dtype not in ("real", "complex"):
        where = "write its value with a point, like 2.0" if symbol is not None and symbol.kind == "constant" else ""
        ctx.error(
            "VS0304",
            f"a derivative is taken with respect to a real or complex number, and '{name}' is {a_dtype(found.dtype)}",
            raw.span,
            env,
            label=a_dtype(found.dtype),
            help=where,
        )
        return None
    if found.name in ctx.fixed:
        ctx.error(
            "VS0304",
            f"a derivative is taken with respect to reals, and '{name}' stacks '{ctx.fixed[found.name]}', which is not real",
            raw.span,
            env,
            help=f"leave '{ctx.fixed[found.name]}' out of the stack",
        )
        return None
    if any(isinstance(s, Gather) for s in found.subscripts):
        ctx.error(
            "VS0224",
            "a derivative is with respect to an element at an index, not at a position that is looked up",
            raw.span,
            env,
            label="a gather",
        )
        return None
    return found
