"""`sample(law(...))`: a fresh draw, independent for every value of the indices around it.

A draw knows its place: the text where it stands and the calls that led there. Every evaluation of one place in one step is the
same draw, wherever its value is read; two places, and two calls of one function, are two draws.
"""

from __future__ import annotations

from vspec.compiler.language.compounds import Place, draw
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.distributions import Distribution, read_law
from vspec.compiler.language.expr import Expectation, Expr, Sample
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import STRUCTURAL
from vspec.compiler.language.raw import RawCall
from vspec.compiler.language.spec import Spec
from vspec.compiler.language.substitute import nodes


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
    found = read_law(ctx, raw.args[0], env)
    if found is None or not _drawn(ctx, found, raw, env) or not _place(ctx, raw, env):
        return Unknown(span=raw.span)
    letters = tuple(dict.fromkeys((*env.around, *env.scope.values())))
    times = tuple(x for x in env.times if x in letters)
    event = letters[-1:] if found.event else ()
    if found.event and not _along(ctx, found, event, raw, env):
        return Unknown(span=raw.span)
    if not found.known:
        return Unknown(span=raw.span, axes=letters, exact=True)
    spans = (*env.path, raw.span)
    drawn = draw(ctx, found, Place(letters, times, event, spans), env)
    if found.inner is not None:
        ctx.drawn[spans] = found, drawn
    return drawn.body


def _along(ctx: Context, law: Distribution, event: tuple[str, ...], raw: RawCall, env: Env) -> bool:
    """Whether a vector runs along the last index on the left; records the mistake (VS0685)."""
    name = law.law.name
    ((_, own),) = law.event
    dim = ctx.dims.dim_of(own)
    whole = env.whole is raw and not env.around
    if not whole or not event or event[0] in env.times:
        message, label = (
            f"'{name}' draws a vector, which is all of a definition with an index for it",
            "along which index?",
        )
    elif event[0] in law.axes:
        message, label = f"the vector of '{name}' runs along '{event[0]}', and its arguments depend on '{event[0]}'", ""
    elif not ctx.dims.same(ctx.dims.dim_of(event[0]), dim):
        here = ctx.dims.show(ctx.dims.dim_of(event[0]))
        there = ctx.dims.show(dim)
        message = f"the vector of '{name}' is over {there}, and the last index on the left, '{event[0]}', over {here}"
        label = f"over {there}"
    else:
        return True
    first = law.law.parameters[0].name
    ctx.error(
        "VS0685",
        message,
        raw.span,
        env,
        label=label,
        help=f"it runs along the last index on the left, as in z[n, k]: {name}({first}[n, :], ...), a vector for each n",
    )
    return False


def _drawn(ctx: Context, found: Distribution, raw: RawCall, env: Env) -> bool:
    """Whether the law has independent draws; records the mistake (VS0684)."""
    if found.base.drawn:
        return True
    ctx.error(
        "VS0684",
        f"'{found.base.name}' has no independent draws",
        raw.span,
        env,
        label="known by its density alone",
        help=(
            "its density is there: logpdf(unnormalized(e), x)",
            "a variable of 'random' has them by a Markov chain: {law: unnormalized(...), sampler: mala(step=0.1)}",
        ),
    )
    return False


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


def refuse_draws(ctx: Context, expr: Expr, what: str) -> bool:
    """Whether an expression that is evaluated once, before anything runs, is free of draws; records the mistake."""
    found = next((e for e in nodes(expr) if isinstance(e, Sample)), None)
    if found is None:
        return True
    ctx.error("VS0394", f"{what} cannot be drawn", found.span, label="a draw", help="it is known before anything runs")
    return False


def draws_of(e: Expectation, name: str) -> tuple[object, ...]:
    """What tells the draws of a variable for an expectation apart from others."""
    return ("common", name, e.way.count) if e.way.common else (*e.place, name)


def ordinals(spec: Spec) -> dict[tuple[object, ...], int]:
    """The number of each draw, by its place, in the order of the spec; draws that nothing reads count, too."""
    from vspec.compiler.language.bodies import bodies

    found: dict[tuple[object, ...], int] = {}
    for body in bodies(spec):
        for e in nodes(body.expr):
            if isinstance(e, Sample):
                found.setdefault(e.place, len(found))
            elif isinstance(e, Expectation):
                for name in e.names:
                    found.setdefault(draws_of(e, name), len(found))
    return found
