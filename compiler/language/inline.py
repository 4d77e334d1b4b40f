"""Calls of declared functions: the body is checked anew at each call with the arguments in the place of the formals.

A body's own binders get new letters where an argument uses theirs, so that nothing is captured. An argument that is not a
plain element becomes a hidden definition when the body needs it as a name (a derivative by it) or reads it twice.
"""

from __future__ import annotations

from dataclasses import replace

from vspec.compiler.language.context import MAX_CALLS, MAX_INLINED, Actual, Context, Env, Function, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.expr import Affine, Element, Expr, Gather, Number, Pointwise
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, walk
from vspec.compiler.language.spec import Definition
from vspec.compiler.language.substitute import letters_of


def prepare(function: Function) -> None:
    """Count how often the body names each formal, and find those it differentiates by."""
    if function.body is None:
        return
    names = {name for name, _ in function.formals}
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
    if function.body is None:
        function.sound = False
        return
    before = len(ctx.sink.diagnostics)
    formals = {name: Actual(rank) for name, rank in function.formals}
    env = Env(subject=f"the function '{function.name}'", formals=formals, function=function.name)
    ctx.infer(function.body, env)
    function.sound = len(ctx.sink.diagnostics) == before


def call(ctx: Context, function: Function, raw: RawCall, env: Env) -> Expr:
    """The body with the arguments of the call in it."""
    name = function.name
    if raw.keywords:
        return ctx.error(
            "VS0215",
            f"'{name}' takes its arguments by position",
            raw.keywords[0][1],
            env,
            help=f"it is declared as {function.shown}",
        )
    if len(raw.args) != len(function.formals):
        want = len(function.formals)
        given = len(raw.args)
        return ctx.error(
            "VS0215",
            f"'{name}' takes {want} argument{'' if want == 1 else 's'}, but {given} {'is' if given == 1 else 'are'} given",
            raw.span,
            env,
            help=f"it is declared as {function.shown}",
        )
    if raw.subscripts is not None:
        return ctx.error("VS0206", f"'{name}' gives one value and has no subscripts", raw.span, env)
    found = [
        _argument(ctx, function, formal, rank, arg, env) for (formal, rank), arg in zip(function.formals, raw.args)
    ]
    actuals = [a for a in found if a is not None]
    if len(actuals) < len(found) or not function.sound or function.body is None:
        return Unknown(span=raw.span)
    if env.abstract:
        axes = tuple(dict.fromkeys(x for a in actuals for x in _outer(a)))
        return Unknown(span=raw.span, axes=axes, exact=True)
    if any(isinstance(a.expr, Unknown) for a in actuals):
        return Unknown(span=raw.span)
    if env.calls >= MAX_CALLS:
        return ctx.error("VS0724", f"more than {MAX_CALLS} calls are nested in one another", raw.span, env)
    formals = {}
    for (formal, _), actual, arg in zip(function.formals, actuals, raw.args):
        named = formal in function.inner
        often = function.uses.get(formal, 0) > 1 and not _trivial(actual.expr)
        if (named and not isinstance(actual.expr, Element)) or often or _needs_axis(ctx, actual):
            actual = _hide(ctx, actual, arg, real=named)
        formals[formal] = actual
    letters = frozenset().union(*(a.letters for a in actuals)) if actuals else frozenset()
    slots = frozenset(s.letter for s in env.slices or () if s.letter is not None)
    inside = replace(
        env,
        scope={},
        bound=frozenset(),
        open=False,
        formals=formals,
        slices=None,
        avoid=env.avoid | frozenset(env.scope.values()) | letters | slots,
        site=env.site or raw.span,
        function=name if env.site is None else env.function,
        calls=env.calls + 1,
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
    return ctx.infer(function.body, inside)


def _outer(actual: Actual) -> tuple[str, ...]:
    own = {letter for letter, _ in actual.slots}
    return tuple(x for x in actual.expr.axes if x not in own) if actual.expr is not None else ()


def _argument(ctx: Context, function: Function, formal: str, rank: int, raw: Raw, env: Env) -> Actual | None:
    """One argument, checked once with a letter for each of its slices."""
    slots = tuple(Slot() for _ in range(rank))
    # A scalar argument may still stand inside a slice of the caller: f(g(x[:])) with a scalar g.
    expr = ctx.infer(raw, env.taking(slots) if rank else env)
    if isinstance(expr, Unknown) and not expr.exact:
        return None
    if any(s.letter is None for s in slots):
        shown = f"{formal}[{', '.join(':' * rank)}]"
        ctx.error(
            "VS0213",
            f"the argument '{shown}' of '{function.name}' takes {'a whole axis' if rank == 1 else f'{rank} whole axes'}",
            raw.span,
            env,
            label="no ':' here",
            help=f"for example {shown.replace(formal, 'x', 1)}",
        )
        return None
    taken = tuple((s.letter, s.dim) for s in slots if s.letter is not None)
    return Actual(rank, expr, taken, letters_of(expr))


def _needs_axis(ctx: Context, actual: Actual) -> bool:
    """Whether the argument must be an array for its boundary to mean what it says.

    Beyond the ends, u + 1 is not what u is there plus 1; a plain element has the axis itself.
    """
    if isinstance(actual.expr, Element) and not any(isinstance(s, Gather) for s in actual.expr.subscripts):
        return False
    return any(ctx.dims.boundary(dim) != "error" for _, dim in actual.slots)


def _trivial(expr: Expr | None) -> bool:
    """Whether reading the expression twice costs no more than reading it once."""
    if isinstance(expr, Pointwise) and expr.op in ("neg", "real"):
        return _trivial(expr.args[0])
    return isinstance(expr, Number | Element)


def _hide(ctx: Context, actual: Actual, raw: Raw, real: bool) -> Actual:
    """The argument as an element of a hidden definition."""
    expr = actual.expr
    assert expr is not None
    if real and expr.dtype != "real":
        expr = Pointwise(span=expr.span, axes=expr.axes, dtype="real", op="real", args=(expr,))
    slots = tuple(letter for letter, _ in actual.slots)
    letters = (*(x for x in expr.axes if x not in slots), *slots)
    name = ctx.hidden_name()
    ctx.declare_hidden(Definition(name, letters, expr, expr.dtype, raw.span, hidden=True))
    subscripts = tuple(Affine(x) for x in letters)
    element = Element(span=raw.span, axes=letters, dtype=expr.dtype, name=name, subscripts=subscripts)
    return Actual(actual.rank, element, actual.slots, frozenset(letters))
