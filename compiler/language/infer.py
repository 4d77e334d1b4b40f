"""Raw tree → checked expression: every name resolved, every axis and element type known.

One function per kind of raw node. After a mistake the result is `Unknown`, which silences what would only follow from it,
so that one expression can report several independent mistakes.
"""

from __future__ import annotations

from dataclasses import replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language import inline
from vspec.compiler.language.context import Actual, Context, Env, Symbol, Unknown
from vspec.compiler.language.dims import UNKNOWN, Slot
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Block,
    Delta,
    Derivative,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Number,
    Reduction,
    SizeOf,
    Stop,
    Subscript,
)
from vspec.compiler.language.operators import (
    ALONG,
    CONSTANTS,
    FUNCTIONS,
    LINALG,
    PLANNED,
    PLANNED_NAMES,
    POINTWISE,
    REDUCTIONS,
    STRUCTURAL,
    Operator,
)
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawFact, RawName, RawNumber, RawOp, RawSlice
from vspec.compiler.language.subscripts import Subscripting, letter_of, use_letter, value_of
from vspec.compiler.language.substitute import linalg_axes, subscript_axes, substitute
from vspec.compiler.language.types import a_dtype, as_real, pointwise, unknown


def infer(ctx: Context, raw: Raw, env: Env) -> Expr:
    """The checked expression; `Unknown` after a mistake, with a diagnostic in the context's sink."""
    if isinstance(raw, RawNumber):
        value = raw.value
        dtype = "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "real"
        return Number(span=raw.span, dtype=dtype, value=value)  # type: ignore[arg-type]
    if isinstance(raw, RawOp):
        return pointwise(ctx, raw.op, tuple(infer(ctx, a, env) for a in raw.args), raw.span, env)
    if isinstance(raw, RawElement):
        return _element(ctx, raw, env)
    if isinstance(raw, RawName):
        return _name(ctx, raw, env)
    if isinstance(raw, RawCall):
        return _call(ctx, raw, env)
    if isinstance(raw, RawFact):
        return _fact(ctx, raw, env)
    return ctx.error(
        "VS0212",
        "':' stands only in subscripts",
        raw.span,
        env,
    )


# --- names ------------------------------------------------------------------------------------------------------


def lookup(ctx: Context, name: str, env: Env) -> Symbol | None:
    """The symbol that a name means here, or None."""
    if env.results == "first" and name in ctx.outputs:
        return _output(ctx, name)
    symbol = ctx.symbols.get(name)
    if symbol is None and env.results and name in ctx.outputs:
        return _output(ctx, name)
    return symbol


def _output(ctx: Context, name: str) -> Symbol | None:
    # An output that is read becomes a definition of its own, so that it is computed once.
    if name not in ctx.lifted and ctx.on_output is not None:
        ctx.on_output(name)
    return ctx.symbols.get(ctx.lifted.get(name, ""))


def _name(ctx: Context, raw: RawName, env: Env) -> Expr:
    name, span = raw.name, raw.span
    actual = env.formals.get(name)
    if actual is not None:
        return _formal(ctx, name, actual, (), span, env)
    if name in CONSTANTS:
        return Number(span=span, dtype="real", value=CONSTANTS[name])
    if name in ctx.dims.letters and name not in ctx.symbols:
        return ctx.error(
            "VS0211",
            f"the index '{name}' is used as a value",
            span,
            env,
            label="an index stands in subscripts",
            help=f"its value is index({name}), the number of its values size({name})",
        )
    return _use(ctx, name, (), span, span, env)


def _element(ctx: Context, raw: RawElement, env: Env) -> Expr:
    name = raw.name
    actual = env.formals.get(name)
    if actual is not None:
        return _formal(ctx, name, actual, raw.subscripts, raw.span, env)
    if name == "delta":
        return _delta(ctx, raw, env)
    if name in REDUCTIONS or name in ALONG:
        inside = ", ".join(s.name if isinstance(s, RawName) else "i" for s in raw.subscripts)
        return ctx.error(
            "VS0216",
            f"'{name}[{inside}]' lacks what it ranges over",
            raw.span,
            env,
            help=f"write {name}[{inside}](...)",
        )
    if name in ctx.dims.letters and name not in ctx.symbols:
        return ctx.error("VS0211", f"'{name}' is an index and has no subscripts", raw.name_span, env)
    return _use(ctx, name, raw.subscripts, raw.span, raw.name_span, env)


def _use(ctx: Context, name: str, subscripts: tuple[Raw, ...], span: Span, name_span: Span, env: Env) -> Expr:
    symbol = lookup(ctx, name, env)
    if symbol is None:
        return _unknown_name(ctx, name, subscripts, name_span, env)
    if env.reads is not None and symbol.kind not in env.reads:
        kind = {"definition": "a definition", "state": "a definition", "param": "a param"}.get(
            symbol.kind, f"an {symbol.kind}"
        )
        return ctx.error(
            "VS0322",
            f"{env.subject} reads '{name}', which is {kind}",
            name_span,
            env,
            label="not known before the solve",
            help="an init may use numbers, constants, data, index(i) and size(i)",
        )
    if len(subscripts) != len(symbol.dims):
        return _wrong_count(ctx, symbol, subscripts, span, env)
    reader = Subscripting(ctx, env, infer, symbol.shown)
    found = [reader.read(raw, dim) for raw, dim in zip(subscripts, symbol.dims)]
    if not reader.complete(span) or any(s is None for s in found):
        return Unknown(span=span)
    kept = tuple(s for s in found if s is not None)
    if not _causal(ctx, symbol, kept, subscripts, span, env):
        return Unknown(span=span)
    axes = subscript_axes(kept)
    if any(isinstance(s, Gather) and isinstance(s.index, Unknown) for s in kept):
        exact = all(s.index.exact for s in kept if isinstance(s, Gather) and isinstance(s.index, Unknown))
        return Unknown(span=span, axes=axes, exact=exact)
    if symbol.dtype is None:
        return Unknown(span=span, axes=axes, exact=True)
    return Element(span=span, axes=axes, dtype=symbol.dtype, name=symbol.name, subscripts=kept)


def _unknown_name(ctx: Context, name: str, subscripts: tuple[Raw, ...], span: Span, env: Env) -> Expr:
    if name in ctx.opaque or (env.results and name in ctx.outputs):
        return Unknown(span=span)
    if name in PLANNED_NAMES:
        code, what = PLANNED_NAMES[name]
        return ctx.planned(code, what, span, env)
    if name in ctx.functions:
        return ctx.error(
            "VS0217",
            f"'{name}' is a function and needs its arguments",
            span,
            env,
            help=f"it is declared as {ctx.functions[name].shown}",
        )
    if name in FUNCTIONS or name in LINALG or name in STRUCTURAL or name in REDUCTIONS or name in ALONG:
        example = f"{name}[i](...)" if name in REDUCTIONS or name in ALONG else f"{name}(...)"
        return ctx.error(
            "VS0217", f"'{name}' is a built-in function and needs its arguments", span, env, help=f"write {example}"
        )
    if name in PLANNED:
        code, what = PLANNED[name]
        return ctx.planned(code, f"{what} ('{name}')", span, env)
    if name in ctx.outputs:
        return ctx.error(
            "VS0201",
            f"'{name}' is an output; only outputs and claims may read it",
            span,
            env,
            help="give the value a name under 'define'",
        )
    if name == "e" and not subscripts:
        return ctx.error("VS0201", "unknown name 'e'", span, env, help="Euler's number is exp(1)")
    return ctx.error(
        "VS0201",
        f"unknown name '{name}'",
        span,
        env,
        label="not declared",
        help=ctx.near(name, (*env.formals, *CONSTANTS, *(ctx.outputs if env.results else ()))),
    )


def _wrong_count(ctx: Context, symbol: Symbol, subscripts: tuple[Raw, ...], span: Span, env: Env) -> Expr:
    rank, given = len(symbol.dims), len(subscripts)
    if rank == 0:
        return ctx.error(
            "VS0206", f"'{symbol.name}' is a scalar and has no subscripts", span, env, label=f"{given} given"
        )
    want = "one subscript" if rank == 1 else f"{rank} subscripts"
    had = "none is given" if given == 0 else f"{given} {'is' if given == 1 else 'are'} given"
    if env.slices and given == 0 and len(env.slices) == rank:
        help = f"write {symbol.name}[{', '.join(':' * rank)}]"
    else:
        help = f"it is declared as {symbol.shown}"
    return ctx.error(
        "VS0206", f"'{symbol.name}' has {want}, but {had}", span, env, label=f"write {symbol.shown}", help=help
    )


def _causal(
    ctx: Context, symbol: Symbol, subscripts: tuple[Subscript, ...], raws: tuple[Raw, ...], span: Span, env: Env
) -> bool:
    """Whether a read inside a recurrence's step is of the slice that is there."""
    if env.step is None or symbol.name not in env.step.positions:
        return True
    at = env.step.positions[symbol.name]
    if subscripts[at] == Affine(env.step.letter):
        return True
    letter = env.step.letter
    ctx.error(
        "VS0309",
        f"the step of {env.subject} reads '{symbol.name}' at another {letter} than the current one",
        raws[at].span if at < len(raws) else span,
        env,
        label=f"only [{letter}] is known here",
        help=f"a step from {letter} to {letter} + 1 reads what advances with it at [{letter}]; carry older values in a state of their own",
    )
    return False


def _formal(ctx: Context, name: str, actual: Actual, subscripts: tuple[Raw, ...], span: Span, env: Env) -> Expr:
    if len(subscripts) != actual.rank:
        want = "no subscripts" if actual.rank == 0 else f"{actual.rank} subscript{'s' if actual.rank > 1 else ''}"
        shown = f"{name}[{', '.join(':' * actual.rank)}]" if actual.rank else name
        return ctx.error(
            "VS0206",
            f"the argument '{name}' has {want}, but {len(subscripts)} given",
            span,
            env,
            help=f"it is declared as {shown}",
        )
    reader = Subscripting(ctx, env, infer, f"the argument '{name}'")
    dims = tuple(dim for _, dim in actual.slots) if actual.expr is not None else (UNKNOWN,) * actual.rank
    found = [reader.read(raw, dim) for raw, dim in zip(subscripts, dims)]
    if not reader.complete(span) or any(s is None for s in found):
        return Unknown(span=span)
    kept = tuple(s for s in found if s is not None)
    if actual.expr is None:
        return Unknown(span=span, axes=subscript_axes(kept), exact=True)
    return substitute(actual.expr, {letter: s for (letter, _), s in zip(actual.slots, kept)})


def _fact(ctx: Context, raw: RawFact, env: Env) -> Expr:
    whole = ".".join((raw.base, *raw.path))
    if raw.base == "run":
        return ctx.planned("VS0414", f"facts about a run ('{whole}')", raw.span, env)
    if raw.base in ctx.opaque:
        return ctx.planned("VS0404", f"results of named runs ('{whole}')", raw.span, env)
    return ctx.error("VS0235", "'.' is not an operator of the language", raw.span, env, help="to multiply, write *")


# --- calls ------------------------------------------------------------------------------------------------------


def _call(ctx: Context, raw: RawCall, env: Env) -> Expr:
    name = raw.name
    if name in ctx.functions and name not in env.formals:
        if raw.bound is not None:
            return ctx.error(
                "VS0216", f"'{name}' is a function and binds no index", raw.span, env, help=f"write {name}(...)"
            )
        return inline.call(ctx, ctx.functions[name], raw, env, infer)
    if raw.bound is not None:
        if name in ("argmin", "argmax") and any(not isinstance(b, RawName) for b in raw.bound):
            return ctx.planned("VS0407", f"implicit quantities ('{name}' over an unknown)", raw.span, env)
        if name in REDUCTIONS and not raw.keywords:
            return _reduction(ctx, raw, raw.bound, env)
        if name in ALONG and not raw.keywords:
            return _along(ctx, raw, raw.bound, env)
    if name in PLANNED:
        code, what = PLANNED[name]
        return ctx.planned(code, f"{what} ('{name}')", raw.name_span, env)
    if raw.keywords:
        keyword, span = raw.keywords[0]
        if name in ("argmin", "argmax"):
            return ctx.planned("VS0407", f"implicit quantities ('{name}' with options)", raw.span, env)
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
        example = f"{name}[i](...)"
        what = "the index it ranges over" if raw.bound is None else "one argument"
        return ctx.error(
            "VS0216", f"'{name}' needs {what}", raw.name_span, env, label="no index here", help=f"write {example}"
        )
    if raw.bound is not None and (name in FUNCTIONS or name in LINALG or name in STRUCTURAL):
        return ctx.error("VS0216", f"'{name}' binds no index", raw.span, env, help=f"write {name}(...)")
    if name in LINALG:
        return _linalg(ctx, raw, env)
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
    builtin = (*FUNCTIONS, *REDUCTIONS, *ALONG, *LINALG, *STRUCTURAL)
    return ctx.error(
        "VS0214", f"unknown function '{name}'", raw.name_span, env, label="not declared", help=ctx.near(name, builtin)
    )


def _no_subscripts(ctx: Context, raw: RawCall, env: Env) -> bool:
    if raw.subscripts is None:
        return True
    ctx.error("VS0206", f"the result of '{raw.name}' is one value and has no subscripts", raw.span, env)
    return False


def _function(ctx: Context, raw: RawCall, op: Operator, env: Env) -> Expr:
    count = len(raw.args)
    if count < op.least or (op.most is not None and count > op.most):
        if raw.name in ("max", "min") and count == 1:
            return ctx.error(
                "VS0216",
                f"'{raw.name}' of one value needs the index it ranges over",
                raw.name_span,
                env,
                help=f"write {raw.name}[i](...), or {raw.name}(a, b) for the {'greater' if raw.name == 'max' else 'less'} of two",
            )
        want = f"{op.least}" if op.most == op.least else f"at least {op.least}"
        return _arity(ctx, raw, want, op.least, op.doc, env)
    if not _no_subscripts(ctx, raw, env):
        return Unknown(span=raw.span)
    args = tuple(infer(ctx, a, env) for a in raw.args)
    if op.most is None:
        # More than two: pairwise, so that every later stage knows two arguments only.
        result = args[0]
        for arg in args[1:]:
            result = pointwise(ctx, op.name, (result, arg), raw.span, env)
        return result
    return pointwise(ctx, op.name, args, raw.span, env)


def _arity(ctx: Context, raw: RawCall, want: str, least: int, doc: str, env: Env) -> Expr:
    noun = "argument" if want in ("1", "at least 1") else "arguments"
    given = len(raw.args)
    return ctx.error(
        "VS0215",
        f"'{raw.name}' takes {want} {noun}, but {given} {'is' if given == 1 else 'are'} given",
        raw.span,
        env,
        help=doc,
    )


def bind(ctx: Context, bound: tuple[Raw, ...], what: str, env: Env) -> tuple[dict[str, str], Env] | None:
    """The bound indices with the letters they get, and the place inside; None after a mistake."""
    names: dict[str, str] = {}
    # An index of the left side may be bound again, as papers do in x[n] - mean[n](x[n]); inside, it is the inner one.
    used = env.avoid | {letter for source, letter in env.scope.items() if source != letter}
    if env.step is not None:
        used |= {env.step.letter}
    sound = True
    for raw in bound:
        letter = letter_of(ctx, raw, env)
        if letter is None:
            sound = False
            _not_a_letter(ctx, raw, what, env)
        elif letter in names or letter in env.bound:
            sound = False
            where = "twice here" if letter in names else "bound outside of it already"
            ctx.error(
                "VS0209",
                f"'{what}' binds the index '{letter}', which is {where}",
                raw.span,
                env,
                label="bound again",
                help=_another(ctx, letter, env),
            )
        else:
            names[letter] = letter if letter not in used else ctx.dims.fresh(ctx.dims.dim_of(letter))
            used |= {names[letter]}
    if not sound:
        return None
    return names, replace(env, scope={**env.scope, **names}, bound=env.bound | names.keys())


def _another(ctx: Context, letter: str, env: Env) -> str:
    dim = ctx.dims.dims.get(ctx.dims.dim_of(letter))
    free = [x for x in dim.letters if x not in env.scope] if dim is not None else []
    if free:
        return f"use '{free[0]}', which ranges over the same dim"
    return f"give the dim a second letter: '{letter}, {letter}2: ...' under 'dims'"


def _not_a_letter(ctx: Context, raw: Raw, what: str, env: Env) -> None:
    if isinstance(raw, RawName):
        known = ctx.symbols.get(raw.name)
        message = f"'{what}' binds an index, but '{raw.name}' is {'a ' + known.kind if known else 'not one'}"
        code = "VS0216" if known else "VS0202"
        ctx.error(
            code, message, raw.span, env, label="no dim has this letter", help=ctx.near(raw.name, ctx.dims.letters)
        )
        return
    help = "unknowns and whole axes are bound by other functions" if not isinstance(raw, RawSlice) else "write an index"
    ctx.error("VS0216", f"'{what}' binds plain indices", raw.span, env, label="not an index", help=help)


def _reduction(ctx: Context, raw: RawCall, bound: tuple[Raw, ...], env: Env) -> Expr:
    op = REDUCTIONS[raw.name]
    if not _no_subscripts(ctx, raw, env):
        return Unknown(span=raw.span)
    if len(raw.args) != 1:
        return _arity(ctx, raw, "1", 1, op.doc, env)
    if not op.several and len(bound) > 1:
        return ctx.error("VS0216", f"'{raw.name}' binds one index", raw.span, env, label=f"{len(bound)} given")
    inside = bind(ctx, bound, raw.name, env)
    if inside is None:
        return Unknown(span=raw.span)
    names, place = inside
    body = infer(ctx, raw.args[0], place)
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
    elif op.takes == "real" or body.dtype == "boolean":
        body = as_real(body)
    dtype = body.dtype if op.gives == "same" else op.gives
    return Reduction(span=raw.span, axes=axes, dtype=dtype, op=raw.name, letters=letters, body=body)


def _along(ctx: Context, raw: RawCall, bound: tuple[Raw, ...], env: Env) -> Expr:
    op = ALONG[raw.name]
    if not _no_subscripts(ctx, raw, env):
        return Unknown(span=raw.span)
    if len(raw.args) != 1:
        return _arity(ctx, raw, "1", 1, op.doc, env)
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
    body = infer(ctx, raw.args[0], env)
    lost = unknown((body,), raw.span)
    if letter not in body.axes and (lost is None or lost.exact) and env.site is None:
        return ctx.error(
            "VS0210",
            f"'{raw.name}' goes along '{source.name}', but its argument does not depend on it",
            source.span,
            env,
        )
    if lost is not None:
        return lost
    body = as_real(body)
    return Along(span=raw.span, axes=body.axes, dtype="real", op=raw.name, letter=letter, body=body)


def _delta(ctx: Context, raw: RawElement, env: Env) -> Expr:
    if len(raw.subscripts) != 2:
        return ctx.error(
            "VS0215",
            f"delta takes two indices, but {len(raw.subscripts)} given",
            raw.span,
            env,
            help="write delta[i, j]",
        )
    found = [value_of(ctx, s, env, infer) for s in raw.subscripts]
    if found[0] is None or found[1] is None:
        return Unknown(span=raw.span)
    lost = unknown((found[0], found[1]), raw.span)
    if lost is not None:
        return lost
    axes = tuple(dict.fromkeys((*found[0].axes, *found[1].axes)))
    return Delta(span=raw.span, axes=axes, dtype="real", left=found[0], right=found[1])


def _structural(ctx: Context, raw: RawCall, env: Env) -> Expr:
    name, span = raw.name, raw.span
    doc = STRUCTURAL[name]
    if name == "delta":
        return ctx.error("VS0215", "delta takes its indices in brackets", span, env, help="write delta[i, j]")
    if name != "d" and len(raw.args) != 1:
        return _arity(ctx, raw, "1", 1, doc, env)
    if not _no_subscripts(ctx, raw, env):
        return Unknown(span=span)
    if name == "d":
        return _derivative(ctx, raw, env)
    if name == "stop":
        body = infer(ctx, raw.args[0], env)
        lost = unknown((body,), span)
        return lost or Stop(span=span, axes=body.axes, dtype=body.dtype, body=body)
    if name == "coord":
        return ctx.planned("VS0409", "dims with coordinates ('coord')", raw.name_span, env)
    letter = letter_of(ctx, raw.args[0], env)
    if letter is None:
        what = f"'{name}' takes an index"
        near = ctx.near(raw.args[0].name, ctx.dims.letters) if isinstance(raw.args[0], RawName) else ""
        return ctx.error("VS0216", what, raw.args[0].span, env, label="not an index", help=near or doc)
    if name == "size":
        return SizeOf(span=span, dtype="integer", letter=letter)
    used = use_letter(ctx, letter, raw.args[0].span, env)
    if used is None:
        return Unknown(span=span)
    return IndexValue(span=span, axes=(used,), dtype="integer", letter=used)


# --- derivatives, linear algebra --------------------------------------------------------------------------------


def _derivative(ctx: Context, raw: RawCall, env: Env) -> Expr:
    if len(raw.args) < 2:
        return _arity(ctx, raw, "at least 2", 2, STRUCTURAL["d"], env)
    body = infer(ctx, raw.args[0], env)
    wrt = [_wrt(ctx, a, env) for a in raw.args[1:]]
    axes = tuple(dict.fromkeys((*body.axes, *(x for w in wrt if w is not None for x in w.axes))))
    if isinstance(body, Unknown) or any(not isinstance(w, Element) for w in wrt):
        exact = (not isinstance(body, Unknown) or body.exact) and all(
            w is not None and (not isinstance(w, Unknown) or w.exact) for w in wrt
        )
        return Unknown(span=raw.span, axes=axes, exact=exact)
    if body.dtype != "real" and not isinstance(body, Number):
        return ctx.error(
            "VS0304",
            f"only a real has a derivative, and this is {a_dtype(body.dtype)}",
            body.span,
            env,
            label=a_dtype(body.dtype),
        )
    elements = tuple(w for w in wrt if isinstance(w, Element))
    return Derivative(span=raw.span, axes=axes, dtype="real", body=body, wrt=elements)


def _wrt(ctx: Context, raw: Raw, env: Env) -> Expr | None:
    """What a derivative is taken with respect to: an element (or Unknown, or None after a mistake)."""
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
    found = infer(ctx, raw, env)
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
    if found.dtype != "real":
        where = "write its value with a point, like 2.0" if symbol is not None and symbol.kind == "constant" else ""
        ctx.error(
            "VS0304",
            f"only with respect to a real can a derivative be taken, and '{name}' is {a_dtype(found.dtype)}",
            raw.span,
            env,
            label=a_dtype(found.dtype),
            help=where,
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


def _linalg(ctx: Context, raw: RawCall, env: Env) -> Expr:
    op = LINALG[raw.name]
    if len(raw.args) != len(op.operands):
        return _arity(ctx, raw, str(len(op.operands)), len(op.operands), f"for example {op.example}", env)
    sizes: dict[str, str] = {}
    blocks: list[Block] = []
    sound = True
    for arg, names in zip(raw.args, op.operands):
        slots = tuple(Slot() for _ in names)
        body = infer(ctx, arg, env.taking(slots))
        if isinstance(body, Unknown) and not body.exact:
            sound = False
            continue
        if any(s.letter is None for s in slots):
            sound = False
            want = "one ':'" if len(names) == 1 else f"{len(names)} ':'"
            ctx.error(
                "VS0213",
                f"'{raw.name}' takes whole axes here: {want} wanted",
                arg.span,
                env,
                help=f"for example {op.example}",
            )
            continue
        for name, slot in zip(names, slots):
            if not ctx.dims.same(sizes.setdefault(name, slot.dim), slot.dim):
                sound = False
                ctx.error(
                    "VS0213",
                    f"'{raw.name}' needs axes of one size here, but they have {ctx.dims.show(sizes[name])} and {ctx.dims.show(slot.dim)}",
                    slot.span or arg.span,
                    env,
                    label=f"{ctx.dims.show(slot.dim)}",
                    help=f"for example {op.example}",
                )
        core = tuple(s.letter for s in slots if s.letter is not None)
        blocks.append(Block(as_real(body), core))
    given = raw.subscripts or ()
    if len(given) != len(op.result):
        if not op.result:
            return ctx.error("VS0206", f"'{raw.name}' gives one number and has no subscripts", raw.span, env)
        return ctx.error(
            "VS0206",
            f"the result of '{raw.name}' has {len(op.result)} subscript{'s' if len(op.result) > 1 else ''}, but {len(given) or 'none'} given",
            raw.span,
            env,
            help=f"for example {op.example}",
        )
    reader = Subscripting(ctx, env, infer, f"the result of '{raw.name}'")
    found = [reader.read(s, sizes.get(name, UNKNOWN)) for s, name in zip(given, op.result)]
    if not sound or not reader.complete(raw.span) or any(s is None for s in found):
        return Unknown(span=raw.span)
    kept = tuple(s for s in found if s is not None)
    axes = linalg_axes(tuple(blocks), kept)
    if any(isinstance(b.body, Unknown) for b in blocks):
        return Unknown(span=raw.span, axes=axes, exact=True)
    return Linalg(span=raw.span, axes=axes, dtype="real", op=raw.name, blocks=tuple(blocks), subscripts=kept)


__all__ = ["POINTWISE", "At", "bind", "infer", "lookup"]
