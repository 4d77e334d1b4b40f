"""Raw tree → checked expression: every name resolved, every axis and element type known.

One function per kind of raw node. After a mistake the result is `Unknown`, which silences what would only follow from it,
so that one expression can report several independent mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.builtins import call, delta
from vspec.compiler.language.context import Actual, Context, Env, Formal, Symbol, Unknown
from vspec.compiler.language.dims import UNKNOWN
from vspec.compiler.language.expr import (
    Affine,
    Element,
    Expr,
    Gather,
    Number,
    Rows,
    Subscript,
)
from vspec.compiler.language.facts import fact, refuse_bare
from vspec.compiler.language.initialisers import INITIALISERS
from vspec.compiler.language.lookup import lookup
from vspec.compiler.language.operators import (
    ALONG,
    CONSTANTS,
    FUNCTIONS,
    LINALG,
    PLANNED,
    REDUCTIONS,
    STRUCTURAL,
)
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawFact, RawList, RawName, RawNumber, RawOp, RawRows
from vspec.compiler.language.subscripts import Subscripting
from vspec.compiler.language.substitute import subscript_axes, substitute
from vspec.compiler.language.types import number_dtype, pointwise, union, unknown


def infer(ctx: Context, raw: Raw, env: Env) -> Expr:
    """The checked expression; `Unknown` after a mistake, with a diagnostic in the context's sink."""
    if isinstance(raw, RawNumber):
        return Number(span=raw.span, dtype=number_dtype(raw.value), value=raw.value)
    if isinstance(raw, RawOp):
        return pointwise(ctx, raw.op, tuple(ctx.infer(a, env) for a in raw.args), raw.span, env)
    if isinstance(raw, RawElement):
        return _element(ctx, raw, env)
    if isinstance(raw, RawName):
        return _name(ctx, raw, env)
    if isinstance(raw, RawCall):
        return call(ctx, raw, env)
    if isinstance(raw, RawFact):
        return fact(ctx, raw, env)
    if isinstance(raw, RawRows):
        return _rows(ctx, raw, env)
    if isinstance(raw, RawList):
        return ctx.error("VS0235", "a list is no value of an expression", raw.span, env, help="write one expression")
    return ctx.error(
        "VS0212",
        "':' stands only in subscripts",
        raw.span,
        env,
    )


def _rows(ctx: Context, raw: RawRows, env: Env) -> Expr:
    """The rows of a network's result; they are real."""
    rows = tuple(ctx.infer(row, env) for row in raw.rows)
    lost = unknown(rows, raw.span)
    if lost is not None:
        return lost
    letter = env.scope[raw.letter]
    return Rows(span=raw.span, axes=(*union(rows), letter), letter=letter, rows=rows)


# --- names ------------------------------------------------------------------------------------------------------


def _name(ctx: Context, raw: RawName, env: Env) -> Expr:
    name, span = raw.name, raw.span
    actual = env.formals.get(name)
    if actual is not None:
        return _formal(ctx, name, actual, (), span, env)
    if name in env.callees:
        return _uncalled(ctx, name, span, env)
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
    if name in env.callees:
        return _uncalled(ctx, name, raw.name_span, env)
    if name == "delta":
        return delta(ctx, raw, env)
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
    if ctx.runs.comparing and symbol.kind not in ("constant", "fact"):
        return refuse_bare(ctx, name, name_span, env)
    if env.reads is not None and symbol.kind not in env.reads:
        words = {
            "definition": "a definition",
            "state": "a definition",
            "param": "a param",
            "counter": "counted by stages",
        }
        kind = words.get(symbol.kind, f"an {symbol.kind}")
        return ctx.error(
            "VS0322",
            f"{env.subject} reads '{name}', which is {kind}",
            name_span,
            env,
            label="not known before the solve",
            help="an init may use numbers, constants, data, other params, draws, index(i) and size(i)"
            if "param" in env.reads
            else "a bound may use numbers, constants, data, index(i) and size(i)",
        )
    if len(subscripts) != len(symbol.dims):
        return _wrong_count(ctx, symbol, subscripts, span, env)
    reader = Subscripting(ctx, env, symbol.shown)
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
        help=ctx.near(name, (*env.formals, *CONSTANTS, *(ctx.outputs if env.results else ()), *_initialisers(env)))
        or "declare it under 'constants', 'data', 'params' or 'define'",
    )


def _initialisers(env: Env) -> Iterable[str]:
    """The names that only the init of a param may have."""
    return INITIALISERS if env.reads is not None and "param" in env.reads else ()


def _wrong_count(ctx: Context, symbol: Symbol, subscripts: tuple[Raw, ...], span: Span, env: Env) -> Expr:
    rank, given = len(symbol.dims), len(subscripts)
    output = next((name for name, target in ctx.lifted.items() if target == symbol.name != name), None)
    if output is not None:
        # Outputs that share their name with a definition are known under names of their own.
        symbol = replace(symbol, name=output)
    if rank == 0:
        return ctx.error(
            "VS0206", f"'{symbol.name}' is a scalar and has no subscripts", span, env, label=f"{given} given"
        )
    want = "one subscript" if rank == 1 else f"{rank} subscripts"
    had = "none is given" if given == 0 else f"{given} {'is' if given == 1 else 'are'} given"
    if env.slices and given == 0 and len(env.slices) == rank:
        help = f"write {symbol.name}[{', '.join(':' * rank)}]"
    elif output is not None:
        help = (
            f"the output {symbol.shown} is meant here, not the {ctx.symbols[output].kind} of the same name: rename one"
        )
    else:
        help = f"it is declared as {symbol.shown}"
    return ctx.error("VS0206", f"'{symbol.name}' has {want}, but {had}", span, env, help=help)


def _causal(
    ctx: Context, symbol: Symbol, subscripts: tuple[Subscript, ...], raws: tuple[Raw, ...], span: Span, env: Env
) -> bool:
    """Whether a read inside the steps of recurrences is of the slice that is there."""
    read = ((rule.letter, rule.positions[symbol.name]) for rule in env.steps if symbol.name in rule.positions)
    wrong = next(((letter, at) for letter, at in read if subscripts[at] != Affine(letter)), None)
    if wrong is None:
        return True
    letter, at = wrong
    ctx.error(
        "VS0309",
        f"the step of {env.subject} reads '{symbol.name}' at another {letter} than the current one",
        raws[at].span if at < len(raws) else span,
        env,
        label=f"only [{letter}] is known here",
        help=f"a step from {letter} to {letter} + 1 reads what advances with it at [{letter}]; "
        "carry older values in a state of their own",
    )
    return False


def _formal(ctx: Context, name: str, actual: Actual, subscripts: tuple[Raw, ...], span: Span, env: Env) -> Expr:
    what = "unknown" if actual.unknown else "argument"
    if len(subscripts) != actual.rank:
        want = "no subscripts" if actual.rank == 0 else f"{actual.rank} subscript{'s' if actual.rank > 1 else ''}"
        shown = f"{name}[{', '.join(':' * actual.rank)}]" if actual.rank else name
        return ctx.error(
            "VS0206",
            f"the {what} '{name}' has {want}, but {len(subscripts) or 'none'} given",
            span,
            env,
            help=f"it is {'bound' if actual.unknown else 'declared'} as {shown}",
        )
    reader = Subscripting(ctx, env, f"the {what} '{name}'")
    dims = tuple(dim for _, dim in actual.slots) if actual.expr is not None else (UNKNOWN,) * actual.rank
    found = [reader.read(raw, dim) for raw, dim in zip(subscripts, dims)]
    if not reader.complete(span) or any(s is None for s in found):
        return Unknown(span=span)
    kept = tuple(s for s in found if s is not None)
    if actual.expr is None:
        return Unknown(span=span, axes=subscript_axes(kept), exact=True)
    return substitute(actual.expr, {letter: s for (letter, _), s in zip(actual.slots, kept)})


def _uncalled(ctx: Context, name: str, span: Span, env: Env) -> Expr:
    callee = env.callees[name]
    help = f"it is declared as {callee.shown}" if isinstance(callee, Formal) else ""
    return ctx.error("VS0217", f"the argument '{name}' is a function and needs its arguments", span, env, help=help)
