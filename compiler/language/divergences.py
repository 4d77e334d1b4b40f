"""`entropy(law)` and `KL(law, law)` where they have a closed form, and the moments of laws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.distributions import Distribution, read_law
from vspec.compiler.language.expr import Affine, At, Block, Element, Expr, Number
from vspec.compiler.language.instances import instance, instance_of
from vspec.compiler.language.law_formulas import Formula
from vspec.compiler.language.law_moments import (
    CROSS,
    DIVERGENCES,
    ENTROPIES,
    MOMENTS,
    POSITIVE_CROSS,
    SPECIAL_CASES,
)
from vspec.compiler.language.laws import LAWS, Law
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import STRUCTURAL
from vspec.compiler.language.random import law_at
from vspec.compiler.language.raw import Raw, RawCall


def entropy(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """The entropy of a law in nats, that of its density for a continuous one (VS0681: there is no closed form)."""
    if len(raw.args) != 1:
        return arity(ctx, raw, "1", 1, STRUCTURAL["entropy"], env)
    law = _law(ctx, raw.args[0], env)
    if law is None:
        return Unknown(span=raw.span)
    if not law.known:
        return Unknown(span=raw.span, axes=law.axes, exact=True)
    return entropy_of(ctx, law, raw.span, env)


def divergence(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """The Kullback-Leibler divergence of two laws (VS0682: there is no closed form)."""
    if len(raw.args) != 2:
        return arity(ctx, raw, "2", 2, STRUCTURAL["KL"], env)
    q, p = (_law(ctx, arg, env) for arg in raw.args)
    if q is None or p is None:
        return Unknown(span=raw.span)
    if not (q.known and p.known):
        return Unknown(span=raw.span, axes=tuple(dict.fromkeys((*q.axes, *p.axes))), exact=True)
    return kl_of(ctx, q, p, raw.span, env)


def _law(ctx: Context, raw: Raw, env: Env) -> Distribution | None:
    """A law, or that of a random variable."""
    return law_at(ctx, raw, env) if getattr(raw, "name", "") in ctx.variables else read_law(ctx, raw, env)


def entropy_of(ctx: Context, law: Distribution, span: Span, env: Env) -> Expr:
    """The entropy of a law whose arguments are known; `Unknown` with VS0681 where there is no closed form."""
    found = moment_of(ctx, law, "entropy", span, env)
    if found is not None:
        return found
    closed = dict.fromkeys(form.partition(".")[0] for form in ENTROPIES)
    return ctx.error(
        "VS0681",
        f"the entropy of '{law.law.name}' has no closed form",
        span,
        env,
        help=(
            f"it has for {', '.join(closed)}",
            f"estimate it from draws: mean[m](-logpdf({law.law.name}(...), z[m])) with z[m]: sample({law.law.name}(...))",
        ),
    )


def moment_of(ctx: Context, law: Distribution, moment: str, span: Span, env: Env) -> Expr | None:
    """A moment of `MOMENTS`: mean, variance, log_mean or entropy; None where it has no closed form."""
    formula = MOMENTS[moment].get(law.form)
    if formula is None:
        return None
    return instance(ctx, formula.text, formula.let, law.arguments, law.sizes(ctx), span, env, law.law.name)


def kl_of(ctx: Context, q: Distribution, p: Distribution, span: Span, env: Env) -> Expr:
    """KL(q, p) of laws whose arguments are known; `Unknown` with VS0682 where there is no closed form."""
    found = _closed(ctx, q, p, span, env)
    if found is not None:
        return found
    names = q.law.name, p.law.name
    others = closed_pairs(q.law.name)
    return ctx.error(
        "VS0682",
        f"KL({names[0]}, {names[1]}) has no closed form"
        if names not in (("binomial", "binomial"),)
        else "KL of two binomials has a closed form where 'n' is the same number, constant or element",
        span,
        env,
        help=(
            *([f"with '{names[0]}' first it has for {', '.join(others)}"] if others else []),
            "in general it is an expectation: E[z](logpdf(first, z) - logpdf(second, z)), with z of the first law",
        ),
    )


def closed_pairs(q: str) -> tuple[str, ...]:
    """The laws p for which KL(q, p) has a closed form."""
    forms = _forms(LAWS[q])
    found = {
        name
        for name, law in LAWS.items()
        for form in _forms(law)
        if any(_formula(a, b) for f in forms for a in _readings(f) for b in _readings(form)) or _moments(q, name)
    }
    return tuple(name for name in LAWS if name in found)


def _forms(law: Law) -> list[str]:
    return [f"{law.name}.{form}" if form else law.name for form in law.forms]


def _readings(form: str) -> Iterator[str]:
    yield form
    yield from (other for other, _ in SPECIAL_CASES.get(form, ()))


def _formula(q: str, p: str) -> Formula | None:
    return DIVERGENCES.get((q, p))


def _moments(q: str, p: str) -> tuple[str, tuple[str, ...]] | None:
    """The cross-entropy of a law q and a law p as a formula of moments of q, with the names of these."""
    if "real" not in (LAWS[q].dtype, LAWS[p].dtype) or LAWS[q].dtype != LAWS[p].dtype:
        return None
    text = CROSS.get(p) or (POSITIVE_CROSS.get(p) if q in MOMENTS["log_mean"] else None)
    if text is None:
        return None
    needed = tuple(m for m in MOMENTS if f"q_{m}" in text)
    return (text, needed) if all(q in MOMENTS[m] for m in (*needed, "entropy")) else None


def _closed(ctx: Context, q: Distribution, p: Distribution, span: Span, env: Env) -> Expr | None:
    for a in _readings(q.form):
        for b in _readings(p.form):
            formula = _formula(a, b)
            if formula is None:
                continue
            left, right = _read_as(ctx, q, a, span, env), _read_as(ctx, p, b, span, env)
            if q.law.name == "binomial" and not _same(left["n"].body, right["n"].body):
                return None
            values = {f"q_{k}": v for k, v in left.items()} | {f"p_{k}": v for k, v in right.items()}
            if not _alike(ctx, q, p, span, env):
                return Unknown(span=span)
            return instance(ctx, formula.text, formula.let, values, q.sizes(ctx), span, env, "KL")
    found = _moments(q.form, p.form) if q.form in LAWS and p.form in LAWS else None
    if found is None:
        return None
    text, needed = found
    moments = {m: moment_of(ctx, q, m, span, env) for m in (*needed, "entropy")}
    values = {f"q_{m}": Block(x, ()) for m, x in moments.items() if x is not None}
    values |= {f"p_{k}": v for k, v in p.arguments.items()}
    text = f"{text} - q_entropy"
    if q.law.name == "student_t":
        # With two degrees of freedom or fewer the second moment is infinite, and soon there is no mean.
        text, values["q_degrees"] = f"({text}) if q_degrees > 2 else inf", q.arguments["degrees"]
    return instance(ctx, text, (), values, {}, span, env, "KL")


def _read_as(ctx: Context, law: Distribution, form: str, span: Span, env: Env) -> Mapping[str, Block]:
    """The arguments of a law, read as another one."""
    if form == law.form:
        return law.arguments
    texts = dict(SPECIAL_CASES[law.form])[form]
    core = {p.name: p.letters for p in LAWS[form].parameters}
    return {
        name: instance_of(ctx, text, (), law.arguments, law.sizes(ctx), span, env, law.law.name, core[name])
        for name, text in texts.items()
    }


def _alike(ctx: Context, q: Distribution, p: Distribution, span: Span, env: Env) -> bool:
    """Whether the axes of both laws fit each other; records the mistake (VS0683)."""
    ours, theirs = q.sizes(ctx), p.sizes(ctx)
    for axis, dim in ours.items():
        if axis in theirs and not ctx.dims.same(dim, theirs[axis]):
            ctx.error(
                "VS0683",
                f"the laws have values of different sizes: over {ctx.dims.show(dim)} and {ctx.dims.show(theirs[axis])}",
                span,
                env,
                help="a divergence is between laws of the same values",
            )
            return False
    return True


def _same(a: Expr, b: Expr) -> bool:
    """Whether two expressions are one number, constant or element."""
    if isinstance(a, Number) and isinstance(b, Number):
        return a.value == b.value
    if not (isinstance(a, Element) and isinstance(b, Element)):
        return False
    plain = all(isinstance(s, Affine | At) for s in a.subscripts)
    return plain and (a.name, a.subscripts) == (b.name, b.subscripts)
