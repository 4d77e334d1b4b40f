"""`E[z](e)`, `Var[z](e)`, `Cov[z](e, f)`: expectations over the laws of random variables, given all other variables.

`by=` says how one is evaluated: by draws, by a rule for integrals, by summing all values, in closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.expr import Element, Evaluation, Expectation, Expr, Number, Pointwise, Sample, SizeOf
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import COUNTERS
from vspec.compiler.language.raw import Keyword, Raw, RawCall, RawList, RawName, RawNumber
from vspec.compiler.language.substitute import elements, nodes
from vspec.compiler.language.types import a_dtype, as_real, union, unknown


@dataclass(frozen=True, slots=True)
class Route:
    """A way to evaluate an expectation: its doc, whether it takes a number first, its keywords with their kinds, and how it
    is written where that takes some of them."""

    name: str
    doc: str
    count: str = ""
    keywords: Mapping[str, str] = field(default_factory=dict)
    example: str = ""

    @property
    def shown(self) -> str:
        """As a spec writes it."""
        return self.example or (f"{self.name}({self.count})" if self.count else self.name)


TRACKED = "tracked"
_DRAWS = MappingProxyType({"antithetic": "flag", "common": "flag"})
ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        r.name: r
        for r in (
            Route("auto", "in closed form or by summing all values where that is possible, else by one draw"),
            Route("samples", "by so many independent draws", "64", _DRAWS),
            Route(
                "quadrature",
                "by a rule with so many nodes: that of the law, or on an interval",
                "40",
                MappingProxyType({"over": "ends"}),
            ),
            Route("enumerate", "by summing over all values"),
            Route("analytic", "in closed form"),
            Route(
                TRACKED,
                "by the running mean, over the steps of a stage, of the means of so many draws",
                keywords=MappingProxyType({"samples": "count", "rate": "rate", **_DRAWS}),
                example="tracked(samples=32, rate=0.1)",
            ),
        )
    }
)
DOCS = MappingProxyType(
    {
        "E": "E[z](e): the expectation of e over the law of z",
        "Var": "Var[z](e): the variance of e over the law of z",
        "Cov": "Cov[z](e, f): the covariance of e and f over the law of z",
    }
)
MOST_DRAWS = 10**8


def expectation(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """The expectation; `Unknown` after a mistake (VS0692: no variable, VS0694: no such way)."""
    want = 2 if raw.name == "Cov" else 1
    if raw.bound is None:
        variables = ", ".join(ctx.variables) or "z"
        return ctx.error(
            "VS0692",
            f"'{raw.name}' needs the random variables that it averages over",
            raw.name_span,
            env,
            label="over what?",
            help=f"write {raw.name}[{variables}](...)",
        )
    if len(raw.args) != want:
        return arity(ctx, raw, str(want), want, DOCS[raw.name], env)
    if raw.subscripts is not None:
        return ctx.error("VS0206", f"the result of '{raw.name}' is one value and has no subscripts", raw.span, env)
    names = _names(ctx, raw, env)
    way = _way(ctx, raw, env)
    bodies = [ctx.infer(a, env) for a in raw.args]
    lost = unknown(tuple(bodies), raw.span)
    if way is not None and way.word == TRACKED and raw.name != "E":
        return ctx.error(
            "VS0694",
            f"'{raw.name}' has no running mean of means",
            raw.name_span,
            env,
            help="track the expectations that it is made of, each with E[...](..., by=tracked(...))",
        )
    if names is None or way is None:
        return Unknown(span=raw.span, axes=union(tuple(bodies)))
    if lost is not None:
        return lost
    for body in bodies:
        if body.dtype == "complex":
            return ctx.error(
                "VS0692", f"'{raw.name}' averages real numbers, and this is {a_dtype(body.dtype)}", body.span, env
            )
    real = tuple(as_real(b) for b in bodies)
    return Expectation(
        span=raw.span,
        axes=union(real),
        op=raw.name,
        names=names,
        bodies=real,
        way=way,
        reads=(*(e for n in names for e in (ctx.latents.get(n) or ctx.variables[n]).reads), *_trails(ctx, names, way)),
        times=env.times,
        place=(*env.path, raw.span),
    )


def _trails(ctx: Context, names: tuple[str, ...], way: Evaluation) -> tuple[Element, ...]:
    """The draws that Markov chains make for an expectation by several of them."""
    from vspec.compiler.language.transitions import read_trail

    count = way.count or 1
    if way.word != "samples" or count < 2:
        return ()
    chained = [d for n in names if (d := ctx.variables.get(n)) is not None and d.line.option("sampler") is not None]
    return tuple(read_trail(ctx, d, count) for d in chained)


def _names(ctx: Context, raw: RawCall, env: Env) -> tuple[str, ...] | None:
    from vspec.compiler.language.walks import walk_of

    found: list[str] = []
    sound = True
    for item in raw.bound or ():
        name = getattr(item, "name", "")
        if not isinstance(item, RawName) or name not in ctx.variables:
            sound = False
            if isinstance(item, RawName) and name in ctx.opaque:
                continue
            message = f"'{name}' is no random variable" if name else "an expectation is over random variables"
            help = "an expectation is over whole variables: write its name without subscripts"
            if isinstance(item, RawName):
                help = did_you_mean(name, ctx.variables) or (
                    f"the random variables are {', '.join(ctx.variables)}"
                    if ctx.variables
                    else "declare it under 'random', for example z: normal(0, 1)"
                )
            ctx.error("VS0692", message, item.span, env, label="no law", help=help)
        elif env.steps and _stepwise(ctx, name) and not _within(ctx, name, env):
            sound = False
            what = f"expectations in a recurrence over all steps of a variable of a recurrence ('{name}')"
            ctx.planned("VS0408", what, item.span, env)
        elif _stepwise(ctx, name) and not _within(ctx, name, env) and not walk_of(ctx, ctx.variables[name]):
            sound = False
        elif name in found:
            sound = False
            ctx.error("VS0692", f"the variable '{name}' stands twice", item.span, env)
        else:
            found.append(name)
    return tuple(n for name in found for n in ctx.variables[name].averaged or (name,)) if sound else None


def _stepwise(ctx: Context, name: str) -> bool:
    """Whether a recurrence draws a variable: as a state, or in its step."""
    drawn = ctx.variables[name].recurrence is not None
    return drawn or (name in ctx.symbols and ctx.symbols[name].kind == "state")


def _within(ctx: Context, name: str, env: Env) -> bool:
    """Whether a variable is drawn in the step where an expression stands, by a law that is known there."""
    own = any(name in rule.positions for rule in env.steps)
    return own and ctx.symbols[name].kind != "state" and ctx.variables[name].found is not None


def _way(ctx: Context, raw: RawCall, env: Env) -> Evaluation | None:
    found: Evaluation | None = Evaluation()
    for k, keyword in enumerate(raw.keywords):
        if keyword.name != "by":
            ctx.error(
                "VS0694",
                f"'{raw.name}' takes no keyword '{keyword.name}'",
                keyword.span,
                env,
                help="its keyword is 'by'",
            )
            return None
        if k:
            ctx.error("VS0694", "'by' is given twice", keyword.span, env)
            return None
        found = _route(ctx, keyword, env)
    return found


def _route(ctx: Context, keyword: Keyword, env: Env) -> Evaluation | None:
    value = keyword.value
    word = value.name if isinstance(value, RawName | RawCall) else ""
    listed = ", ".join(r.shown for r in ROUTES.values())
    route = ROUTES.get(word)
    if route is None or (isinstance(value, RawCall) and (value.bound is not None or value.subscripts is not None)):
        message = f"no expectation is evaluated by '{word}'" if word else "'by' is a word that says how"
        ctx.error(
            "VS0694",
            message,
            value.span,
            env,
            label="no such way",
            help=did_you_mean(word, ROUTES) or f"there are {listed}",
        )
        return None
    args = value.args if isinstance(value, RawCall) else ()
    keywords = value.keywords if isinstance(value, RawCall) else ()
    if len(args) != bool(route.count):
        ctx.error(
            "VS0694",
            f"'{word}' takes {'one number' if route.count else 'no number'}",
            value.span,
            env,
            help=f"write by={route.shown}",
        )
        return None
    count = _count(ctx, word, args[0], env) if args else None
    if args and count is None:
        return None
    given: dict[str, object] = {"count": count} if args else {}
    for k in keywords:
        kind = route.keywords.get(k.name)
        field = "count" if kind == "count" else k.name
        if kind is None or field in given:
            known = ", ".join(route.keywords) or "none"
            ctx.error("VS0694", f"'{word}' has no option '{k.name}'", k.span, env, help=f"its options are {known}")
            return None
        if kind == "count":
            found: object = _count(ctx, word, k.value, env)
        elif kind == "rate":
            found = _rate(ctx, k.value, env)
        else:
            found = _flag(k.value) if kind == "flag" else _ends(ctx, k.value, env)
            if found is None:
                help = "write true or false" if kind == "flag" else "write over=[-12, 12]"
                what = "a flag" if kind == "flag" else "two numbers"
                ctx.error("VS0694", f"'{k.name}' is not said as {what}", k.value.span, env, help=help)
        if found is None:
            return None
        given[field] = found
    if word == TRACKED and "rate" not in given:
        ctx.error(
            "VS0694", f"'{word}' needs a rate", value.span, env, label="how fast?", help=f"write by={route.shown}"
        )
        return None
    asked = Evaluation(word=word, **given)  # type: ignore[arg-type]
    draws = asked.count or 1
    if asked.antithetic and draws % 2:
        ctx.error("VS0694", "antithetic draws come in pairs", value.span, env, label=f"{draws} is odd")
        return None
    return asked


def _count(ctx: Context, word: str, raw: Raw, env: Env) -> int | None:
    count = whole(ctx, raw, env)
    if count is not None and 1 <= count <= MOST_DRAWS:
        return count
    ctx.error(
        "VS0694",
        f"'{word}' takes a positive whole number that is known at build",
        raw.span,
        env,
        label="how many?",
        help="a number, or an expression of constants",
    )
    return None


def _rate(ctx: Context, raw: Raw, env: Env) -> Expr | None:
    """The rate of a tracked mean: a real number of the step and of constants, above 0 and at most 1 where it is known."""
    found = ctx.infer(raw, env)
    if isinstance(found, Unknown):
        return None
    known = all(e.name in ctx.numbers or e.name in COUNTERS for e in elements(found))
    drawn = any(isinstance(e, Sample | Expectation) for e in nodes(found))
    value = _value(ctx, found)
    if found.axes or found.dtype not in ("real", "integer") or not known or drawn:
        label, help = (
            "not one number of the step",
            "an expression of constants, step and steps, for example 1/(step + 1)",
        )
    elif value is not None and not 0 < value <= 1:
        label, help = (
            f"{value:g}",
            "1 takes the newest mean alone, 0.1 a tenth of it and nine tenths of what was before",
        )
    else:
        return as_real(found)
    ctx.error("VS0694", "the rate of a running mean is above 0 and at most 1", raw.span, env, label=label, help=help)
    return None


def _flag(raw: Raw) -> bool | None:
    if isinstance(raw, RawName) and raw.name in ("true", "false"):
        return raw.name == "true"
    return raw.value if isinstance(raw, RawNumber) and isinstance(raw.value, bool) else None


def _ends(ctx: Context, raw: Raw, env: Env) -> tuple[Expr, Expr] | None:
    if not isinstance(raw, RawList) or len(raw.items) != 2:
        return None
    ends = tuple(ctx.infer(x, env) for x in raw.items)
    if any(isinstance(x, Unknown) or x.axes or x.dtype in ("complex", "boolean") for x in ends):
        return None
    return as_real(ends[0]), as_real(ends[1])


def whole(ctx: Context, raw: Raw, env: Env) -> int | None:
    """The value of an integer expression of numbers, constants and known sizes; None if it has none at build."""
    found = ctx.infer(raw, env)
    value = _value(ctx, found)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _value(ctx: Context, e: Expr) -> int | float | None:
    if isinstance(e, Number) and isinstance(e.value, int | float):
        return e.value
    if isinstance(e, Element) and not e.subscripts:
        known = ctx.numbers.get(e.name)
        return known if isinstance(known, int | float) else None
    if isinstance(e, SizeOf):
        return ctx.dims.size(ctx.dims.dim_of(e.letter))
    if isinstance(e, Pointwise) and e.op in _ARITHMETIC:
        parts = [p for p in (_value(ctx, a) for a in e.args) if p is not None]
        if len(parts) == len(e.args) and (e.op not in ("floordiv", "div") or parts[1]):
            return _ARITHMETIC[e.op](*parts)  # type: ignore[no-any-return, operator]
    return None


_ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "floordiv": lambda a, b: a // b,
    "div": lambda a, b: a / b,
    "real": float,
}
