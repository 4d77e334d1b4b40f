"""`logpdf(law, x)`: densities of laws as expressions of the language.

Each is a text of the language over the parameters of its law (`law_formulas.py`). It is checked anew at each use, with the
arguments in the place of the parameters, as the body of a function is: what is read twice gets a name, so that nothing is
computed twice.
"""

from __future__ import annotations

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.distributions import Distribution, read_law
from vspec.compiler.language.expr import Block, Expr
from vspec.compiler.language.instances import instance
from vspec.compiler.language.law_formulas import DENSITIES
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import STRUCTURAL
from vspec.compiler.language.raw import Raw, RawCall
from vspec.compiler.language.types import a_dtype, as_real


def logpdf(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """The log-density of a law at a value; `Unknown` after a mistake."""
    if len(raw.args) != 2:
        return arity(ctx, raw, "2", 2, STRUCTURAL["logpdf"], env)
    law = read_law(ctx, raw.args[0], env)
    value = read_value(ctx, raw.args[1], law, env) if law is not None else None
    if law is None or value is None:
        return Unknown(span=raw.span)
    if not law.known or isinstance(value.body, Unknown):
        own = [x for x in value.body.axes if x not in value.core]
        return Unknown(span=raw.span, axes=tuple(dict.fromkeys((*law.axes, *own))), exact=True)
    return log_density(ctx, law, value, raw.span, env)


def read_value(ctx: Context, raw: Raw, law: Distribution, env: Env) -> Block | None:
    """The value at which a density is wanted; None after a mistake (VS0680)."""
    slots = tuple(Slot() for _ in law.event)
    body = ctx.infer(raw, env.taking(slots) if slots else env)
    if isinstance(body, Unknown) and not body.exact:
        return None
    for slot, (_, own) in zip(slots, law.event, strict=True):
        dim, want = slot.dim, ctx.dims.dim_of(own)
        if slot.letter is not None and ctx.dims.same(dim, want):
            continue
        what = f"and this is over {ctx.dims.show(dim)}" if slot.letter is not None else "and this is a number"
        ctx.error(
            "VS0680",
            f"a value of '{law.law.name}' is a vector, here over {ctx.dims.show(want)}, {what}",
            slot.span or raw.span,
            env,
            label="no ':' here" if slot.letter is None else f"over {ctx.dims.show(dim)}",
            help=f"a vector is a whole axis: logpdf({law.law.name}(...), x[:])",
        )
        return None
    wrong = body.dtype == "complex" or (law.base.name == "categorical" and body.dtype != "integer")
    if wrong and not isinstance(body, Unknown):
        ctx.error(
            "VS0680",
            f"a value of '{law.law.name}' is {a_dtype(law.base.dtype)}, and this is {a_dtype(body.dtype)}",
            body.span,
            env,
            label=a_dtype(body.dtype),
            help="a position is a whole number: declare it as integer" if body.dtype != "complex" else (),
        )
        return None
    keep = law.base.dtype == "integer" and body.dtype == "integer"
    return Block(body if keep else as_real(body), tuple(s.letter for s in slots if s.letter is not None))


def has_density(law: Distribution) -> bool:
    """Whether there is a formula for its log-density."""
    return law.form in DENSITIES if law.inner is None else has_density(law.inner)


def log_density(ctx: Context, law: Distribution, value: Block, span: Span, env: Env, *, inside: bool = False) -> Expr:
    """The logarithm of the density of a law, or of its mass, at a value; -inf outside of its support.

    Args:
        ctx: gets hidden definitions for what is read more than once.
        law: its arguments are known.
        value: the value, real or, for a discrete law, integer.
        span: where the expression stands.
        env: the place where the law and the value were read.
        inside: the value surely lies in the support, as a draw of the law does.
    """
    if law.inner is not None:
        from vspec.compiler.language.compounds import density

        return density(ctx, law, value, span, env)
    formula = DENSITIES[law.form]
    support = [] if inside or not formula.support else [formula.support]
    if support and law.law.dtype == "integer" and value.body.dtype != "integer":
        support.append("x == floor(x)")
    text = f"({formula.text}) if {' and '.join(f'({s})' for s in support)} else -inf" if support else formula.text
    return instance(ctx, text, formula.let, {**law.arguments, "x": value}, law.sizes(ctx), span, env, law.law.name)
