"""`sample(law(...))`: a fresh draw, independent for every value of the indices around it.

A draw knows its place: the text where it stands and the calls that led there. Every evaluation of one place in one step is the
same draw, wherever its value is read; two places, and two calls of one function, are two draws.
"""

from __future__ import annotations

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.expr import Block, Expr, Number, Sample
from vspec.compiler.language.laws import LAWS, Law, Parameter
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import STRUCTURAL
from vspec.compiler.language.raw import Raw, RawCall, RawName
from vspec.compiler.language.spec import Spec
from vspec.compiler.language.substitute import nodes
from vspec.compiler.language.types import a_dtype, as_real


def sample(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """The draw; `Unknown` after a mistake (VS0393: no law, VS0394: no place for a draw)."""
    if len(raw.args) != 1:
        return arity(ctx, raw, "1", 1, STRUCTURAL["sample"], env)
    if raw.subscripts is not None:
        return ctx.error(
            "VS0206",
            "a draw is one value and has no subscripts",
            raw.span,
            env,
            help="it is drawn anew for every index on the left: z[n, k]: sample(normal(0, 1))",
        )
    law = _law(ctx, raw.args[0], env)
    if law is None or not _place(ctx, raw, env):
        return Unknown(span=raw.span)
    found = _arguments(ctx, law, raw.args[0], env)
    if found is None:
        return Unknown(span=raw.span)
    blocks, instead = found
    letters = tuple(dict.fromkeys((*env.around, *env.scope.values())))
    times = tuple(x for x in env.times if x in letters)
    if any(isinstance(b.body, Unknown) for b in blocks):
        return Unknown(span=raw.span, axes=letters, exact=True)
    return Sample(
        span=raw.span,
        axes=letters,
        dtype=law.dtype,
        law=law.name,
        blocks=blocks,
        instead=instead,
        times=times,
        place=(*env.path, raw.span),
    )


def _law(ctx: Context, raw: Raw, env: Env) -> Law | None:
    name = raw.name if isinstance(raw, RawName | RawCall) else ""
    law = LAWS.get(name)
    if law is not None and not (isinstance(raw, RawCall) and (raw.bound is not None or raw.subscripts is not None)):
        return law
    near = did_you_mean(name, LAWS) if name and law is None else ""
    ctx.error(
        "VS0393",
        f"'{name}' is not a law" if name and law is None else "a draw is from a law",
        raw.span,
        env,
        label="unknown law" if name and law is None else "not a law",
        help=near or (f"write {law.shown}" if law else f"the laws are {', '.join(LAWS)}"),
    )
    return None


def _place(ctx: Context, raw: RawCall, env: Env) -> bool:
    """Whether it is known here for which values of which indices there is a draw."""
    if env.slices is None and not env.sliced and not env.open:
        return True
    ctx.error(
        "VS0394",
        "a draw stands where its indices are not all known",
        raw.span,
        env,
        label="drawn how often?",
        help="give it a name under 'define', with the indices for which it is drawn: z[i]: sample(normal(0, 1))",
    )
    return False


def _arguments(ctx: Context, law: Law, call: Raw, env: Env) -> tuple[tuple[Block, ...], bool] | None:
    """An argument for each parameter of the law, defaults filled in, and whether the first stands for another; None after a
    mistake."""
    given = _given(ctx, law, call, env)
    if given is None:
        return None
    instead = law.instead is not None and law.instead.name in given
    parameters = law.parameters if not instead or law.instead is None else (law.instead, *law.parameters[1:])
    blocks: list[Block] = []
    for parameter in parameters:
        raw = given.get(parameter.name)
        if raw is None and parameter.default is None:
            ctx.error(
                "VS0393", f"the law '{law.name}' lacks '{parameter.name}'", call.span, env, help=f"write {law.shown}"
            )
            return None
        block = (
            _argument(ctx, law, parameter, raw, env)
            if raw is not None
            else Block(Number(span=call.span, dtype="real", value=float(parameter.default or 0)), ())
        )
        if block is None:
            return None
        blocks.append(block)
    return tuple(blocks), instead


def _given(ctx: Context, law: Law, call: Raw, env: Env) -> dict[str, Raw] | None:
    """The arguments by the names of the parameters; None after a mistake."""
    args, keywords = (call.args, call.keywords) if isinstance(call, RawCall) else ((), ())
    names = [p.name for p in law.parameters]
    if len(args) > len(names):
        ctx.error(
            "VS0393",
            f"the law '{law.name}' takes {len(names) or 'no'} argument{'' if len(names) == 1 else 's'}, "
            f"but {len(args)} {'is' if len(args) == 1 else 'are'} given",
            call.span,
            env,
            help=f"write {law.shown}",
        )
        return None
    found = dict(zip(names, args))
    known = [*names, *([law.instead.name] if law.instead is not None else [])]
    for keyword in keywords:
        other = law.instead is not None and keyword.name == law.instead.name
        twice = keyword.name in found or (other and names[0] in found)
        if keyword.name not in known or twice:
            ctx.error(
                "VS0393",
                f"the law '{law.name}' has '{names[0] if keyword.name not in found else keyword.name}' already"
                if twice
                else f"the law '{law.name}' has no parameter '{keyword.name}'",
                keyword.span,
                env,
                help=("" if twice else did_you_mean(keyword.name, known)) or f"write {law.shown}",
            )
            return None
        found[keyword.name] = keyword.value
    return found


def _argument(ctx: Context, law: Law, parameter: Parameter, raw: Raw, env: Env) -> Block | None:
    slots = tuple(Slot() for _ in range(parameter.rank))
    body = ctx.infer(raw, env.taking(slots) if slots else env)
    if isinstance(body, Unknown) and not body.exact:
        return None
    if any(s.letter is None for s in slots):
        ctx.error(
            "VS0213",
            f"'{law.name}' takes a whole axis here",
            raw.span,
            env,
            label="no ':' here",
            help=f"it is {law.shown}",
        )
        return None
    if not isinstance(body, Unknown) and (body.dtype == "complex" or (parameter.integer and body.dtype != "integer")):
        want = "a whole number" if parameter.integer else "a real number"
        ctx.error(
            "VS0393",
            f"'{parameter.name}' of '{law.name}' is {want}, and this is {a_dtype(body.dtype)}",
            body.span,
            env,
            label=a_dtype(body.dtype),
            help=f"it is {law.shown}",
        )
        return None
    kept = body if parameter.integer else as_real(body)
    return Block(kept, tuple(s.letter for s in slots if s.letter is not None))


def refuse_draws(ctx: Context, expr: Expr, what: str) -> bool:
    """Whether an expression that is evaluated once, before anything runs, is free of draws; records the mistake."""
    found = next((e for e in nodes(expr) if isinstance(e, Sample)), None)
    if found is None:
        return True
    ctx.error("VS0394", f"{what} cannot be drawn", found.span, label="a draw", help="it is known before anything runs")
    return False


def ordinals(spec: Spec) -> dict[tuple[object, ...], int]:
    """The number of each draw, by its place, in the order of the spec; draws that nothing reads count, too."""
    from vspec.compiler.language.bodies import bodies

    found: dict[tuple[object, ...], int] = {}
    for body in bodies(spec):
        for e in nodes(body.expr):
            if isinstance(e, Sample):
                found.setdefault(e.place, len(found))
    return found
