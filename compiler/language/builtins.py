"""Calls in expressions: built-in functions, reductions, maps along an axis, delta, index and size."""

from __future__ import annotations

from dataclasses import replace

from vspec.compiler.language import inline
from vspec.compiler.language.architectures import ARCHITECTURES
from vspec.compiler.language.arguments import argument_dim
from vspec.compiler.language.context import Context, Env, Formal, Unknown
from vspec.compiler.language.densities import logpdf
from vspec.compiler.language.derivatives import derivative
from vspec.compiler.language.divergences import divergence, entropy
from vspec.compiler.language.draws import sample
from vspec.compiler.language.evaluation import EVALUATED, read_by
from vspec.compiler.language.expectations import expectation
from vspec.compiler.language.expr import (
    AUTO,
    Affine,
    Along,
    Delta,
    Dtype,
    Element,
    Expr,
    Reduction,
    Stop,
)
from vspec.compiler.language.externs import CALLED, foreign
from vspec.compiler.language.facts import nodes
from vspec.compiler.language.foreign import FOREIGN
from vspec.compiler.language.implicit import implicit, is_implicit
from vspec.compiler.language.laws import LAWS
from vspec.compiler.language.linalg import linalg
from vspec.compiler.language.lookup import arity, lookup
from vspec.compiler.language.operators import (
    ALONG,
    EXPECTATIONS,
    FUNCTIONS,
    LINALG,
    PLANNED,
    REDUCTIONS,
    STRUCTURAL,
    Operator,
)
from vspec.compiler.language.positions import position
from vspec.compiler.language.random import acceptance, own_density
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawSlice
from vspec.compiler.language.spec import Definition
from vspec.compiler.language.statistics import level_of
from vspec.compiler.language.subscripts import letter_of, use_letter, value_of
from vspec.compiler.language.substitute import reduced_axes
from vspec.compiler.language.types import a_dtype, as_real, pointwise, takes_complex, unknown


def call(ctx: Context, raw: RawCall, env: Env) -> Expr:
    name = raw.name
    if name.startswith(CALLED):
        return foreign(ctx, raw, env)
    callee = env.callees.get(name)
    if callee is None and name in ctx.functions and name not in env.formals:
        callee = ctx.functions[name]
    if callee is not None:
        if raw.bound is not None:
            return ctx.error(
                "VS0216", f"'{name}' is a function and binds no index", raw.span, env, help=f"write {name}(...)"
            )
        if isinstance(callee, Formal):
            return inline.call_formal(ctx, callee, raw, env)
        if isinstance(callee, str):
            return _function(ctx, replace(raw, name=callee), FUNCTIONS[callee], env)
        return inline.call(ctx, callee, raw, env)
    if is_implicit(ctx, raw, env):
        return implicit(ctx, raw, env)
    if raw.bound is not None:
        if name in REDUCTIONS and (not raw.keywords or name in EVALUATED):
            return _reduction(ctx, raw, raw.bound, env)
        if name in ALONG and not raw.keywords:
            return _along(ctx, raw, raw.bound, env)
    if name in EXPECTATIONS:
        return expectation(ctx, raw, env)
    if name in PLANNED:
        code, what = PLANNED[name]
        return ctx.planned(code, f"{what} ('{name}')", raw.name_span, env)
    if name in ARCHITECTURES:
        return ctx.error(
            "VS0250",
            "a network is all of the body of a function",
            raw.name_span,
            env,
            help=f"under 'functions': f(x[:]) -> [k]: {ARCHITECTURES[name].signature}; its call is f(x[n, :])[k]",
        )
    if raw.keywords and name not in EVALUATED and name != "logpdf":
        keyword, span, _ = raw.keywords[0]
        known = name in FUNCTIONS or name in REDUCTIONS or name in ALONG or name in LINALG or name in STRUCTURAL
        if known:
            return ctx.error(
                "VS0215",
                f"'{name}' takes no keyword '{keyword}'",
                span,
                env,
                help="to compare, write ==; arguments go by position",
            )
    if name in FUNCTIONS and raw.bound is None:
        return _function(ctx, raw, FUNCTIONS[name], env)
    if name in REDUCTIONS or name in ALONG:
        what = "the index it ranges over" if raw.bound is None else "one argument"
        return ctx.error(
            "VS0216",
            f"'{name}' needs {what}",
            raw.name_span,
            env,
            label="no index here",
            help=f"write {_example(ctx, raw)}",
        )
    if raw.bound is not None and (name in FUNCTIONS or name in LINALG or name in STRUCTURAL):
        return ctx.error("VS0216", f"'{name}' binds no index", raw.span, env, help=f"write {name}(...)")
    if name in LINALG:
        return linalg(ctx, raw, env)
    if name in STRUCTURAL:
        return _structural(ctx, raw, env)
    symbol = lookup(ctx, name, env)
    if symbol is not None or name in env.formals or name in ctx.dims.letters:
        rank = len(symbol.dims) if symbol is not None else 0
        help = (
            f"subscripts stand in brackets: {symbol.shown}" if symbol is not None and rank else "to multiply, write *"
        )
        return ctx.error(
            "VS0217", f"'{name}' is not a function", raw.name_span, env, label="called like one", help=help
        )
    if name in ctx.opaque:
        return Unknown(span=raw.span)
    builtin = (*ARCHITECTURES, *FUNCTIONS, *REDUCTIONS, *ALONG, *LINALG, *STRUCTURAL)
    law = f"a law stands in sample({name}(...)) or in logpdf({name}(...), x)" if name in LAWS else ""
    help = FOREIGN.get(name) or law or ctx.near(name, builtin)
    return ctx.error("VS0214", f"unknown function '{name}'", raw.name_span, env, label="not declared", help=help)


def _no_subscripts(ctx: Context, raw: RawCall, env: Env) -> bool:
    if raw.subscripts is None:
        return True
    ctx.error("VS0206", f"the result of '{raw.name}' is one value and has no subscripts", raw.span, env)
    return False


def _function(ctx: Context, raw: RawCall, op: Operator, env: Env) -> Expr:
    count = len(raw.args)
    if count < op.least or (op.most is not None and count > op.most):
        if raw.name in ("max", "min") and count == 1:
            which = "greater" if raw.name == "max" else "less"
            return ctx.error(
                "VS0216",
                f"'{raw.name}' of one value needs the index it ranges over",
                raw.name_span,
                env,
                help=f"write {_example(ctx, raw)}, or {raw.name}(a, b) for the {which} of two",
            )
        want = f"{op.least}" if op.most == op.least else f"at least {op.least}"
        return arity(ctx, raw, want, op.least, op.doc, env)
    if not _no_subscripts(ctx, raw, env):
        return Unknown(span=raw.span)
    args = tuple(ctx.infer(a, env) for a in raw.args)
    if op.most is None:
        # More than two: pairwise, so that every later stage knows two arguments only.
        result = args[0]
        for arg in args[1:]:
            result = pointwise(ctx, op.name, (result, arg), raw.span, env)
        return result
    return pointwise(ctx, op.name, args, raw.span, env)


def bind(
    ctx: Context, bound: tuple[Raw, ...], what: str, env: Env, body: tuple[Raw, ...] = ()
) -> tuple[dict[str, str], Env] | None:
    """The bound indices with the letters they get, and the place inside; None after a mistake.

    In a function, an index that stands on an axis of an argument in `body` ranges over that axis, whatever its own size.
    """
    names: dict[str, str] = {}
    # An index of the left side may be bound again, as papers do in x[n] - mean[n](x[n]); inside, it is the inner one.
    used = env.avoid | {letter for source, letter in env.scope.items() if source != letter}
    used |= {*env.times}
    sound = True
    for raw in bound:
        letter = letter_of(ctx, raw, env)
        if letter is None:
            sound = False
            _not_a_letter(ctx, raw, what, env)
        elif letter in names or letter in env.bound:
            sound = False
            where = "twice" if letter in names else "which is bound outside of it already"
            ctx.error(
                "VS0209",
                f"'{what}' binds the index '{letter}'{'' if where == 'twice' else ','} {where}",
                raw.span,
                env,
                label="bound again",
                help=_another(ctx, letter, {*env.scope, *names}),
            )
        else:
            own = ctx.dims.dim_of(letter)
            dim = argument_dim(letter, body, env) or own
            names[letter] = letter if letter not in used and dim == own else ctx.dims.fresh(dim)
            used |= {names[letter]}
    if not sound:
        return None
    return names, replace(env, scope={**env.scope, **names}, bound=env.bound | names.keys())


def _another(ctx: Context, letter: str, used: set[str]) -> str:
    dim = ctx.dims.dims.get(ctx.dims.dim_of(letter))
    free = [x for x in dim.letters if x not in used] if dim is not None else []
    if free:
        return f"use '{free[0]}', which ranges over the same dim"
    return f"give the dim a second letter: '{letter}, {letter}2: ...' under 'dims'"


def _not_a_letter(ctx: Context, raw: Raw, what: str, env: Env) -> None:
    if isinstance(raw, RawName):
        known = ctx.symbols.get(raw.name)
        message = f"'{what}' binds an index, but '{raw.name}' is {'a ' + known.kind if known else 'not one'}"
        code = "VS0216" if known else "VS0202"
        help = ctx.near(raw.name, ctx.dims.letters) or f"declare it under 'dims': {raw.name}: auto"
        if known is not None:
            help = f"write {what}[{', '.join(known.letters) or 'i'}](...)"
        ctx.error(code, message, raw.span, env, label="no dim has this letter", help=help)
        return
    help = "unknowns and whole axes are bound by other functions" if not isinstance(raw, RawSlice) else "write an index"
    ctx.error("VS0216", f"'{what}' binds plain indices", raw.span, env, label="not an index", help=help)


def _reduction(ctx: Context, raw: RawCall, bound: tuple[Raw, ...], env: Env) -> Expr:
    op = REDUCTIONS[raw.name]
    if not _no_subscripts(ctx, raw, env):
        return Unknown(span=raw.span)
    by = read_by(ctx, raw, EVALUATED[raw.name], env) if raw.name in EVALUATED else AUTO
    if by is None:
        return Unknown(span=raw.span)
    if len(raw.args) != 1 + op.level:
        doc = f"for example {raw.name}[i](x[i], 0.9)" if op.level else op.doc
        return arity(ctx, raw, str(1 + op.level), 1 + op.level, doc, env)
    if not op.several and len(bound) > 1:
        return ctx.error("VS0216", f"'{raw.name}' binds one index", raw.span, env, label=f"{len(bound)} given")
    inside = bind(ctx, bound, raw.name, env, raw.args)
    if inside is None:
        return Unknown(span=raw.span)
    names, place = inside
    body = ctx.infer(raw.args[0], place)
    letters = tuple(names.values())
    axes = tuple(x for x in body.axes if x not in letters)
    if isinstance(body, Unknown) and not body.exact:
        return Unknown(span=raw.span, axes=axes)
    for source, letter in names.items():
        if letter not in body.axes and env.site is None:
            at = next(b.span for b in bound if isinstance(b, RawName) and b.name == source)
            ctx.error(
                "VS0210",
                f"'{raw.name}' binds the index '{source}', but what it ranges over does not depend on it",
                at,
                env,
                label="not used inside",
                help=f"drop it, or multiply by size({source}) if that is meant" if raw.name == "sum" else "drop it",
            )
            return Unknown(span=raw.span)
    if isinstance(body, Unknown):
        return Unknown(span=raw.span, axes=axes, exact=True)
    if op.takes == "boolean":
        if body.dtype != "boolean":
            return ctx.error(
                "VS0301",
                f"'{raw.name}' needs a condition, but this is {a_dtype(body.dtype)}",
                body.span,
                env,
                label=a_dtype(body.dtype),
                help="compare it with something, for example x != 0",
            )
    elif not takes_complex(ctx, f"'{raw.name}'", op.complex, (body,), env):
        return Unknown(span=raw.span)
    elif op.takes == "real" or body.dtype == "boolean":
        body = as_real(body)
    dtype = body.dtype if op.gives == "same" else op.gives
    if body.dtype == "complex" and op.complex:
        dtype = op.complex
    level: Expr | None = None
    if op.level:
        level = level_of(ctx, raw, names, place)
        if isinstance(level, Unknown):
            return Unknown(span=raw.span, axes=reduced_axes(body, letters, level), exact=level.exact)
        axes = reduced_axes(body, letters, level)
    if by.word == "blocks" and (reason := _not_in_parts(ctx, body)):
        message = f"there is nothing to take in parts: {reason}"
        return ctx.error("VS0275", message, body.span, env, help="leave out by=, or write by=whole")
    return Reduction(span=raw.span, axes=axes, dtype=dtype, op=raw.name, letters=letters, body=body, level=level, by=by)


def _not_in_parts(ctx: Context, body: Expr) -> str:
    """Why a reduction cannot be taken in parts, '' if it may be."""
    if body.dtype == "complex":
        return "complex values are reduced as a whole"
    known = ctx.symbols.get(body.name) if isinstance(body, Element) else None
    if isinstance(body, Element) and known is not None and known.kind in ("data", "constant", "param"):
        return f"'{body.name}' is in memory as it is"
    return ""


def _along(ctx: Context, raw: RawCall, bound: tuple[Raw, ...], env: Env) -> Expr:
    op = ALONG[raw.name]
    if not _no_subscripts(ctx, raw, env):
        return Unknown(span=raw.span)
    if len(raw.args) != 1:
        return arity(ctx, raw, "1", 1, op.doc, env)
    if len(bound) != 1 or letter_of(ctx, bound[0], env) is None:
        return ctx.error(
            "VS0216", f"'{raw.name}' goes along one index", raw.span, env, help=f"write {raw.name}[i](...)"
        )
    source = bound[0]
    assert isinstance(source, RawName)
    letter = use_letter(
        ctx, source.name, source.span, env, help=f"'{raw.name}' keeps its index, which must be bound outside"
    )
    if letter is None:
        return Unknown(span=raw.span)
    inner, place = letter, env
    if letter in env.times:
        # Inside the step this letter is one number. The whole axis is made outside of the loop and read at that number.
        inner = ctx.dims.fresh(ctx.dims.dim_of(letter))
        place = replace(env, scope={**env.scope, source.name: inner})
    body = ctx.infer(raw.args[0], place)
    lost = unknown((body,), raw.span)
    if inner not in body.axes and (lost is None or lost.exact) and env.site is None:
        return ctx.error(
            "VS0210",
            f"'{raw.name}' goes along '{source.name}', but its argument does not depend on it",
            source.span,
            env,
        )
    if lost is not None:
        return lost
    if not takes_complex(ctx, f"'{raw.name}'", op.complex, (body,), env):
        return Unknown(span=raw.span)
    if op.gives == "real" or body.dtype == "boolean":
        body = as_real(body)
    dtype: Dtype = body.dtype if op.gives == "same" else op.gives
    result = Along(span=raw.span, axes=body.axes, dtype=dtype, op=raw.name, letter=inner, body=body)
    if inner == letter:
        return result
    name = ctx.hidden_name()
    ctx.declare_hidden(Definition(name, body.axes, result, dtype, raw.span, hidden=True))
    axes = tuple(letter if x == inner else x for x in body.axes)
    return Element(span=raw.span, axes=axes, dtype=dtype, name=name, subscripts=tuple(Affine(x) for x in axes))


def delta(ctx: Context, raw: RawElement, env: Env) -> Expr:
    if len(raw.subscripts) != 2:
        return ctx.error(
            "VS0215",
            f"delta takes two indices, but {len(raw.subscripts)} given",
            raw.span,
            env,
            help="write delta[i, j]",
        )
    found = [value_of(ctx, s, env) for s in raw.subscripts]
    if found[0] is None or found[1] is None:
        return Unknown(span=raw.span)
    lost = unknown((found[0], found[1]), raw.span)
    if lost is not None:
        return lost
    axes = tuple(dict.fromkeys((*found[0].axes, *found[1].axes)))
    return Delta(span=raw.span, axes=axes, dtype="real", left=found[0], right=found[1])


def _structural(ctx: Context, raw: RawCall, env: Env) -> Expr:
    name, span = raw.name, raw.span
    if name == "stack":
        return ctx.error(
            "VS0343",
            "a stack is all of the right side of a definition",
            span,
            env,
            help="give it a name under 'define': theta[p]: stack(b, W[:, :])",
        )
    doc = STRUCTURAL[name]
    if name == "delta":
        return ctx.error("VS0215", "delta takes its indices in brackets", span, env, help="write delta[i, j]")
    if name == "nodes":
        return nodes(ctx, raw, env)
    if name == "stop" and len(raw.args) != 1:
        return arity(ctx, raw, "1", 1, doc, env)
    if name != "sample" and not _no_subscripts(ctx, raw, env):
        return Unknown(span=span)
    if name == "d":
        return derivative(ctx, raw, env)
    if name == "sample":
        return sample(ctx, raw, env)
    if name == "acceptance":
        return acceptance(ctx, raw, env)
    if name == "logpdf":
        own = own_density(ctx, raw, env)
        return own if own is not None else logpdf(ctx, raw, env)
    if name == "entropy":
        return entropy(ctx, raw, env)
    if name == "KL":
        return divergence(ctx, raw, env)
    if name == "stop":
        body = ctx.infer(raw.args[0], env)
        lost = unknown((body,), span)
        return lost or Stop(span=span, axes=body.axes, dtype=body.dtype, body=body)
    return position(ctx, raw, env)


def _example(ctx: Context, raw: RawCall) -> str:
    """How a reduction without its index would be written."""
    only = raw.args[0] if raw.args else None
    symbol = ctx.symbols.get(only.name) if isinstance(only, RawName | RawElement) else None
    op = REDUCTIONS.get(raw.name)
    level = ", 0.9" if op is not None and op.level else ""
    if symbol is None or not symbol.letters:
        return f"{raw.name}[i](...{level})"
    bound = symbol.letters if op is not None and op.several else symbol.letters[-1:]
    return f"{raw.name}[{', '.join(bound)}]({symbol.shown}{level})"
