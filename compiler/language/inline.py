"""Calls of declared functions: the body is checked anew at each call with the arguments in the place of the formals.

A body's own binders get new letters where an argument uses theirs, so that nothing is captured. An argument that is not a
plain element becomes a hidden definition when the body needs it as a name (a derivative by it) or reads it twice. A result
with axes is a hidden definition, too, which the subscripts of the call then read.
"""

from __future__ import annotations

from dataclasses import replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import (
    MAX_CALLS,
    MAX_INLINED,
    Actual,
    Callee,
    Context,
    Env,
    Formal,
    Function,
    Unknown,
)
from vspec.compiler.language.dims import UNKNOWN, Slot
from vspec.compiler.language.expr import Affine, Element, Expr, Gather, Number, Pointwise, Subscript
from vspec.compiler.language.networks import bind, called
from vspec.compiler.language.operators import FUNCTIONS
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, walk
from vspec.compiler.language.spec import Definition
from vspec.compiler.language.subscripts import Subscripting
from vspec.compiler.language.substitute import letters_of, subscript_axes


def prepare(function: Function) -> None:
    """Count how often the body names each formal, and find those it differentiates by."""
    if function.body is None:
        return
    names = {f.name for f in function.formals if f.takes is None}
    uses = dict.fromkeys(names, 0)
    inner: set[str] = set()
    for node in walk(function.body):
        if isinstance(node, RawName | RawElement) and node.name in names:
            uses[node.name] += 1
        if isinstance(node, RawCall) and node.name == "d":
            inner.update(a.name for a in node.args[1:] if isinstance(a, RawName | RawElement) and a.name in names)
    function.uses = uses
    function.inner = frozenset(inner)


def check_body(ctx: Context, function: Function) -> None:
    """Check a function where it is declared, of its arguments knowing nothing but their ranks."""
    if function.network is not None:
        return
    if function.body is None:
        function.sound = False
        return
    before = len(ctx.sink.diagnostics)
    formals = {f.name: Actual(f.rank) for f in function.formals if f.takes is None}
    env = Env(
        subject=f"the function '{function.name}'",
        scope={x: x for x in function.results},
        formals=formals,
        callees={f.name: f for f in function.formals if f.takes is not None},
        function=function.name,
    )
    ctx.infer(function.body, env)
    function.sound = len(ctx.sink.diagnostics) == before


def call(ctx: Context, function: Function, raw: RawCall, env: Env) -> Expr:
    """The body with the arguments of the call in it."""
    name = function.name
    if raw.keywords or len(raw.args) != len(function.formals):
        return _wrong_arguments(ctx, name, len(function.formals), function.shown, raw, env)
    given = raw.subscripts or ()
    if len(given) != len(function.results):
        return _wrong_result(ctx, name, len(function.results), len(given), raw, env, function.shown)
    values: list[tuple[Formal, Actual, Raw]] = []
    callees: dict[str, Callee] = {}
    sound = function.sound and function.body is not None
    for formal, arg in zip(function.formals, raw.args):
        if formal.takes is not None:
            callee = function_argument(ctx, function, formal, arg, env)
            sound = sound and callee is not None
            callees[formal.name] = callee if callee is not None else formal
            continue
        actual = _argument(ctx, function, formal, arg, env)
        sound = sound and actual is not None
        if actual is not None:
            values.append((formal, actual, arg))
    subscripts = _subscripts(ctx, function, given, raw, env)
    if not sound or function.body is None or subscripts is None:
        return Unknown(span=raw.span)
    actuals = [actual for _, actual, _ in values]
    if env.abstract:
        axes = tuple(dict.fromkeys((*(x for a in actuals for x in _outer(a)), *subscript_axes(subscripts))))
        return Unknown(span=raw.span, axes=axes, exact=True)
    if any(isinstance(a.expr, Unknown) for a in actuals):
        return Unknown(span=raw.span)
    part = function.network is not None or "." in function.name
    if function.network is not None and not bind(ctx, function.network, actuals, raw.span, env):
        return Unknown(span=raw.span)
    if env.calls >= MAX_CALLS:
        return ctx.error("VS0724", f"more than {MAX_CALLS} calls are nested in one another", raw.span, env)
    key = called(function, actuals) if part and not env.steps else None
    if key is not None and key in ctx.made and env.whole is not raw:
        return _read(ctx, *ctx.made[key], subscripts, raw)
    formals = {}
    for formal, actual, arg in values:
        named = formal.name in function.inner
        often = function.uses.get(formal.name, 0) > 1 and not trivial(actual.expr)
        if (named and not isinstance(actual.expr, Element)) or often or needs_axis(ctx, actual):
            actual = hide(ctx, actual, arg.span, named, _label(function, formal))
        formals[formal.name] = actual
    letters = frozenset().union(*(a.letters for a in actuals)) if actuals else frozenset()
    slots = frozenset(s.letter for s in env.slices or () if s.letter is not None)
    taken = letters | {*env.times}
    results = {x: x if x not in taken else ctx.dims.fresh(ctx.dims.dim_of(x)) for x in function.results}
    plain = _plain(ctx, function, subscripts, taken) if env.whole is raw else None
    if plain is not None:
        results = dict(zip(function.results, plain))
    inside = replace(
        env,
        scope=results,
        bound=frozenset(),
        open=False,
        formals=formals,
        body=(function.body,),
        callees=callees,
        slices=None,
        avoid=env.avoid | frozenset(env.scope.values()) | letters | slots,
        site=env.site or raw.span,
        function=name if env.site is None else env.function,
        calls=env.calls + 1,
        around=tuple(dict.fromkeys((*env.around, *env.scope.values()))),
        path=(*env.path, raw.span),
        sliced=env.sliced or env.open or env.slices is not None,
        whole=function.body if function.results else None,
    )
    before = ctx.inlined
    ctx.inlined += sum(1 for _ in walk(function.body))
    if ctx.inlined > MAX_INLINED:
        if before <= MAX_INLINED:
            ctx.error(
                "VS0724",
                f"the calls of functions expand to more than {MAX_INLINED} operations",
                env.site or raw.span,
                help="give intermediate results names under 'define', which are shared",
            )
        return Unknown(span=raw.span)
    body = ctx.infer(function.body, inside)
    if (not function.results and function.network is None) or plain is not None:
        return body
    if isinstance(body, Unknown):
        return Unknown(span=raw.span)
    own = tuple(results.values())
    name = ctx.hidden_name(function.name)
    batch = tuple(x for x in body.axes if x not in own)
    ctx.declare_hidden(Definition(name, (*batch, *own), body, body.dtype, raw.span, hidden=True))
    if key is not None:
        ctx.made[key] = name, batch
    return _read(ctx, name, batch, subscripts, raw)


def _wrong_result(ctx: Context, name: str, want: int, given: int, raw: RawCall, env: Env, shown: str) -> Unknown:
    if want == 0:
        return ctx.error("VS0206", f"'{name}' gives one value and has no subscripts", raw.span, env)
    return ctx.error(
        "VS0206",
        f"the result of '{name}' has {want} subscript{'' if want == 1 else 's'}, but {given or 'none'} given",
        raw.span,
        env,
        help=f"it is declared as {shown}",
    )


def _subscripts(
    ctx: Context, function: Function, given: tuple[Raw, ...], raw: RawCall, env: Env
) -> tuple[Subscript, ...] | None:
    """The subscripts of a call, each fitting its axis of the result; None after a mistake."""
    reader = Subscripting(ctx, env, f"the result of '{function.name}'")
    found = [reader.read(s, ctx.dims.dim_of(x)) for s, x in zip(given, function.results)]
    if not reader.complete(raw.span) or any(s is None for s in found):
        return None
    kept = tuple(s for s in found if s is not None)
    return None if any(isinstance(s, Gather) and _lost(s.index) for s in kept) else kept


def _lost(expr: Expr) -> bool:
    return isinstance(expr, Unknown) and not expr.exact


def _plain(
    ctx: Context, function: Function, subscripts: tuple[Subscript, ...], taken: frozenset[str]
) -> tuple[str, ...] | None:
    """The letters of the subscripts where the body may have them in the place of the result's own."""
    letters = tuple(s.letter for s in subscripts if isinstance(s, Affine) and s == Affine(s.letter))
    if len(letters) < len(subscripts) or len(set(letters)) < len(letters) or taken & set(letters):
        return None
    same = all(ctx.dims.dim_of(a) == ctx.dims.dim_of(b) for a, b in zip(letters, function.results))
    return letters if same else None


def _read(ctx: Context, name: str, batch: tuple[str, ...], subscripts: tuple[Subscript, ...], raw: RawCall) -> Expr:
    """The hidden definition of a result, over the letters of the arguments and its own, read by the subscripts."""
    full = (*(Affine(x) for x in batch), *subscripts)
    dtype = ctx.symbols[name].dtype or "real"
    return Element(span=raw.span, axes=subscript_axes(full), dtype=dtype, name=name, subscripts=full)


# --- functions as arguments -------------------------------------------------------------------------------------


def function_argument(ctx: Context, function: Function, formal: Formal, raw: Raw, env: Env) -> Callee | None:
    """What a function argument stands for in a call; None after a mistake."""
    name = raw.name if isinstance(raw, RawName) else ""
    found: Callee | None = env.callees.get(name)
    if found is None and name in ctx.functions and name not in env.formals:
        found = ctx.functions[name]
    if found is None and name in FUNCTIONS and name not in env.formals:
        found = name
    if found is None:
        if name not in ctx.opaque:
            near = ctx.near(name, FUNCTIONS) if name and name not in ctx.symbols and name not in env.formals else ""
            ctx.error(
                "VS0346",
                f"the argument '{formal.shown}' of '{function.name}' is a function",
                raw.span,
                env,
                label="not the name of a function",
                help=near or "write the name of a function that is declared under 'functions', or of a built-in one",
            )
        return None
    if _alike(formal, found):
        return found
    shown = f"{found}(...)" if isinstance(found, str) else found.shown
    ctx.error(
        "VS0347",
        f"'{function.name}' needs a function such as {formal.shown} here, and '{name}' is {shown}",
        raw.span,
        env,
        label="other arguments, or another result",
        help=f"'{function.name}' is declared as {function.shown}",
    )
    return None


def _alike(formal: Formal, callee: Callee) -> bool:
    """Whether a function may be called as the formal is."""
    takes = formal.takes or ()
    if isinstance(callee, str):
        op = FUNCTIONS[callee]
        fits = op.least <= len(takes) and (op.most is None or len(takes) <= op.most)
        return fits and not any(takes) and formal.rank == 0
    if isinstance(callee, Formal):
        return callee.takes == takes and callee.rank == formal.rank
    ranks = tuple(-1 if f.takes is not None else f.rank for f in callee.formals)
    return ranks == takes and len(callee.results) == formal.rank


def call_formal(ctx: Context, formal: Formal, raw: RawCall, env: Env) -> Expr:
    """A call of a function argument in a body that is checked where it is declared: only the shape is known."""
    takes, given = formal.takes or (), raw.subscripts or ()
    stand_in = Function(formal.name, tuple(map(Formal, formal.names, takes)), None, raw.span)
    if raw.keywords or len(raw.args) != len(takes):
        return _wrong_arguments(ctx, formal.name, len(takes), formal.shown, raw, env)
    if len(given) != formal.rank:
        return _wrong_result(ctx, formal.name, formal.rank, len(given), raw, env, formal.shown)
    actuals = [_argument(ctx, stand_in, f, arg, env) for f, arg in zip(stand_in.formals, raw.args)]
    reader = Subscripting(ctx, env, f"the result of '{formal.name}'")
    found = [reader.read(s, UNKNOWN) for s in given]
    if not reader.complete(raw.span) or None in actuals or None in found:
        return Unknown(span=raw.span)
    own = subscript_axes(tuple(s for s in found if s is not None))
    axes = tuple(dict.fromkeys((*(x for a in actuals if a is not None for x in _outer(a)), *own)))
    return Unknown(span=raw.span, axes=axes, exact=True)


def _wrong_arguments(ctx: Context, name: str, want: int, shown: str, raw: RawCall, env: Env) -> Unknown:
    if raw.keywords:
        keyword = raw.keywords[0].span
        return ctx.error(
            "VS0215", f"'{name}' takes its arguments by position", keyword, env, help=f"it is declared as {shown}"
        )
    given = len(raw.args)
    return ctx.error(
        "VS0215",
        f"'{name}' takes {want} argument{'' if want == 1 else 's'}, but {given} {'is' if given == 1 else 'are'} given",
        raw.span,
        env,
        help=f"it is declared as {shown}",
    )


# --- arguments --------------------------------------------------------------------------------------------------


def _outer(actual: Actual) -> tuple[str, ...]:
    own = {letter for letter, _ in actual.slots}
    return tuple(x for x in actual.expr.axes if x not in own) if actual.expr is not None else ()


def _argument(ctx: Context, function: Function, formal: Formal, raw: Raw, env: Env) -> Actual | None:
    """One argument, checked once with a letter for each of its slices."""
    rank = formal.rank
    slots = tuple(Slot() for _ in range(rank))
    # A scalar argument may still stand inside a slice of the caller: f(g(x[:])) with a scalar g.
    expr = ctx.infer(raw, env.taking(slots) if rank else env)
    if isinstance(expr, Unknown) and not expr.exact:
        return None
    if any(s.letter is None for s in slots):
        shown = formal.shown
        ctx.error(
            "VS0213",
            f"the argument '{shown}' of '{function.name}' takes {'a whole axis' if rank == 1 else f'{rank} whole axes'}",
            raw.span,
            env,
            label="no ':' here",
            help=f"for example {shown.replace(formal.name, 'x', 1)}",
        )
        return None
    taken = tuple((s.letter, s.dim) for s in slots if s.letter is not None)
    return Actual(rank, expr, taken, letters_of(expr))


def needs_axis(ctx: Context, actual: Actual) -> bool:
    """Whether the argument must be an array for its boundary to mean what it says.

    Beyond the ends, u + 1 is not what u is there plus 1; a plain element has the axis itself.
    """
    if isinstance(actual.expr, Element) and not any(isinstance(s, Gather) for s in actual.expr.subscripts):
        return False
    return any(ctx.dims.boundary(dim) != "error" for _, dim in actual.slots)


def trivial(expr: Expr | None) -> bool:
    """Whether reading the expression twice costs no more than reading it once."""
    if isinstance(expr, Pointwise) and expr.op in ("neg", "real"):
        return trivial(expr.args[0])
    return isinstance(expr, Number | Element)


def _label(function: Function, formal: Formal) -> str:
    """What an argument is called that gets a name: in a network, as the formal that stands for it."""
    network = function.name.partition(".")[0] if "." in function.name else ""
    return f"{network}.{formal.name}" if network else "arg"


def hide(ctx: Context, actual: Actual, span: Span, real: bool, label: str) -> Actual:
    """The argument as an element of a hidden definition."""
    expr = actual.expr
    assert expr is not None
    if real and expr.dtype not in ("real", "complex"):
        expr = Pointwise(span=expr.span, axes=expr.axes, dtype="real", op="real", args=(expr,))
    slots = tuple(letter for letter, _ in actual.slots)
    letters = (*(x for x in expr.axes if x not in slots), *slots)
    name = ctx.hidden_name(label)
    ctx.declare_hidden(Definition(name, letters, expr, expr.dtype, span, hidden=True))
    subscripts = tuple(Affine(x) for x in letters)
    element = Element(span=span, axes=letters, dtype=expr.dtype, name=name, subscripts=subscripts)
    return Actual(actual.rank, element, actual.slots, frozenset(letters))
