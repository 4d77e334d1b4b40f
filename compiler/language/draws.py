"""`sample(law(...))`: a fresh draw, independent for every value of the indices around it.

A draw knows its place: the text where it stands and the calls that led there. Every evaluation of one place in one step is the
same draw, wherever its value is read; two places, and two calls of one function, are two draws.
"""

from __future__ import annotations

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.expr import Block, Expr, Sample
from vspec.compiler.language.laws import LAWS, Law
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
    call = raw.args[0]
    given = call.args if isinstance(call, RawCall) else ()
    blocks = _arguments(ctx, law, given, call, env)
    if blocks is None:
        return Unknown(span=raw.span)
    letters = tuple(dict.fromkeys((*env.around, *env.scope.values())))
    times = tuple(rule.letter for rule in env.steps if rule.letter in letters)
    if any(isinstance(b.body, Unknown) for b in blocks):
        return Unknown(span=raw.span, axes=letters, exact=True)
    return Sample(
        span=raw.span,
        axes=letters,
        dtype=law.dtype,
        law=law.name,
        blocks=blocks,
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


def _arguments(ctx: Context, law: Law, given: tuple[Raw, ...], call: Raw, env: Env) -> tuple[Block, ...] | None:
    """The arguments of the law, defaults filled in; None after a mistake."""
    if isinstance(call, RawCall) and call.keywords:
        span = call.keywords[0][1]
        ctx.error("VS0393", f"'{law.name}' takes its arguments by position", span, env, help=f"write {law.shown}")
        return None
    least = sum(1 for p in law.parameters if p.default is None)
    if not least <= len(given) <= len(law.parameters):
        few = len(given) < least
        ctx.error(
            "VS0393",
            f"the law '{law.name}' lacks '{law.parameters[len(given)].name}'"
            if few
            else f"the law '{law.name}' takes {len(law.parameters) or 'no'} "
            f"argument{'' if len(law.parameters) == 1 else 's'}, but {len(given)} {'is' if len(given) == 1 else 'are'} given",
            call.span,
            env,
            help=f"write {law.shown}",
        )
        return None
    blocks: list[Block] = []
    sound = True
    for parameter, raw in zip(law.parameters, given):
        slots = tuple(Slot() for _ in range(parameter.rank))
        body = ctx.infer(raw, env.taking(slots) if slots else env)
        if isinstance(body, Unknown) and not body.exact:
            sound = False
            continue
        if any(s.letter is None for s in slots):
            sound = False
            ctx.error(
                "VS0213",
                f"'{law.name}' takes a whole axis here",
                raw.span,
                env,
                label="no ':' here",
                help=f"it is {law.shown}",
            )
            continue
        if not isinstance(body, Unknown) and (
            body.dtype == "complex" or (parameter.integer and body.dtype != "integer")
        ):
            sound = False
            want = "a whole number" if parameter.integer else "a real number"
            ctx.error(
                "VS0393",
                f"'{parameter.name}' of '{law.name}' is {want}, and this is {a_dtype(body.dtype)}",
                body.span,
                env,
                label=a_dtype(body.dtype),
                help=f"it is {law.shown}",
            )
            continue
        kept = body if parameter.integer else as_real(body)
        blocks.append(Block(kept, tuple(s.letter for s in slots if s.letter is not None)))
    return tuple(blocks) if sound else None


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
