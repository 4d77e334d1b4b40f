"""Expectations over random variables that recurrences draw: `b[0]: normal(0, 1)`, `b[t + 1]: normal(g(b[t]), 1)`.

The draws of one step are a function of the step before and of noise that has no parameters. So an expectation over b is one
over its noise `b.noise[t]`, of a second recurrence in which each draw is that function of it. Everything that advances with b
does so there, under names of its own. For a score function the values are held, and the log-densities of all steps are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.densities import log_density
from vspec.compiler.language.distributions import Distribution
from vspec.compiler.language.expr import (
    Affine,
    At,
    Block,
    Coord,
    Element,
    Expectation,
    Expr,
    Number,
    Part,
    Pointwise,
    Reduction,
    Sample,
    SizeOf,
    Spacing,
    Stop,
)
from vspec.compiler.language.laws import LAWS
from vspec.compiler.language.local import renamed
from vspec.compiler.language.random import DENSITY, Declared, estimator_of
from vspec.compiler.language.spec import Definition, Dim, Estimator, Recurrence, State, Variable, Walk
from vspec.compiler.language.substitute import nodes
from vspec.compiler.language.types import as_real, union

Equations = list[Definition | Recurrence]


@dataclass(frozen=True, slots=True)
class Form:
    """How a law is drawn: the law of the noise, with its parameters, and the value as a function of noise and parameters."""

    noise: str
    numbers: tuple[float, ...]
    value: Callable[..., Expr]


def _op(op: str, *args: Expr, dtype: str = "real") -> Expr:
    return Pointwise(span=args[0].span, axes=union(args), dtype=dtype, op=op, args=args)  # type: ignore[arg-type]


def _shifted(u: Expr, location: Expr, scale: Expr) -> Expr:
    return _op("add", location, _op("mul", scale, u))


def _uniform(u: Expr, low: Expr, high: Expr) -> Expr:
    return _op("add", low, _op("mul", _op("sub", high, low), u))


def _below(u: Expr, p: Expr) -> Expr:
    return _op("integer", _op("lt", u, p, dtype="boolean"), dtype="integer")


_NORMAL, _UNIT = ("normal", (0.0, 1.0)), ("uniform", (0.0, 1.0))
FORMS: Mapping[tuple[str, str], Form] = MappingProxyType(
    {
        ("normal", ""): Form(*_NORMAL, _shifted),
        ("lognormal", ""): Form(*_NORMAL, lambda u, mean, scale: _op("exp", _shifted(u, mean, scale))),
        ("uniform", ""): Form(*_UNIT, _uniform),
        ("exponential", ""): Form("exponential", (1.0,), lambda u, scale: _op("mul", scale, u)),
        ("laplace", ""): Form("laplace", (0.0, 1.0), _shifted),
        ("logistic", ""): Form("logistic", (0.0, 1.0), _shifted),
        ("gumbel", ""): Form("gumbel", (0.0, 1.0), _shifted),
        ("cauchy", ""): Form("cauchy", (0.0, 1.0), _shifted),
        ("bernoulli", ""): Form(*_UNIT, _below),
        ("bernoulli", "logits"): Form(*_UNIT, lambda u, a: _below(u, _op("sigmoid", a))),
    }
)


def walk_of(ctx: Context, declared: Declared) -> bool:
    """Whether there are expectations over a variable of a recurrence; makes its second recurrence. Records why not (VS0408)."""
    if declared.found is not None:
        return True
    if declared.recurrence is None:
        return False
    why = _lacks(ctx, declared)
    if why:
        ctx.planned("VS0408", f"expectations over '{declared.name}', {why}", declared.span)
        return False
    r = declared.recurrence
    assert isinstance(r, Recurrence)
    estimator = _estimator(ctx, declared, r)
    if estimator is None:
        return False
    _make(ctx, declared, r, estimator)
    return True


def _lacks(ctx: Context, declared: Declared) -> str:
    """What there is no expectation over a variable for, '' where there is one."""
    r = declared.recurrence
    assert isinstance(r, Recurrence)
    state = next((s for s in r.states if s.name == declared.name), None)
    if state is None:
        return "which is drawn in a recurrence within a recurrence"
    if any(s.dtype == "complex" for s in r.every_state):
        return "which advances together with complex numbers"
    if any(s.name in ctx.variables and s.name != declared.name for s in r.every_state):
        return "which advances together with another random variable"
    forms = []
    for body in (state.init, state.step):
        found = FORMS.get((body.law, body.instead)) if isinstance(body, Sample) else None
        if not isinstance(body, Sample) or found is None:
            law = body.law if isinstance(body, Sample) else ""
            return (
                f"whose law '{law}' is not made of noise in a recurrence"
                if law
                else "which starts or steps without a law"
            )
        if body.place in ctx.drawn:
            return "whose law is a mixture"
        if any(isinstance(e, Coord | Spacing | Part | Expectation) for b in body.blocks for e in nodes(b.body)):
            return "whose law reads positions along its index, or an expectation"
        forms.append(found)
    if (forms[0].noise, forms[0].numbers) != (forms[1].noise, forms[1].numbers):
        return "whose first law and whose others are made of different noise"
    return ""


def _estimator(ctx: Context, declared: Declared, r: Recurrence) -> Estimator | None:
    state = next(s for s in r.states if s.name == declared.name)
    found = estimator_of(ctx, declared, state.letters)
    smooth = state.dtype == "real"
    if found.word == "auto":
        return Estimator("reparam" if smooth else "score", "none")
    given = declared.line.option("estimator")
    at = given.span if given is not None else declared.span
    if found.word == "reparam" and not smooth:
        ctx.error(
            "VS0693",
            f"'{declared.name}' has whole numbers, through which no derivative flows",
            at,
            help="its estimator is score, or score(baseline=loo)",
        )
        return None
    if found.word not in ("reparam", "score"):
        ctx.planned("VS0408", f"the estimator '{found.word}' of a variable that is drawn step by step", at)
        return None
    return found


def _make(ctx: Context, declared: Declared, r: Recurrence, estimator: Estimator) -> None:
    name, span = declared.name, declared.span
    state = next(s for s in r.states if s.name == name)
    assert isinstance(state.init, Sample)
    assert isinstance(state.step, Sample)
    time = state.letters[state.time]
    names = {n: f"{n}.drawn" for n in r.names}
    form = FORMS[state.step.law, state.step.instead]
    noise = f"{name}.noise"
    numbers = tuple(Block(Number(span=span, dtype="real", value=x), ()) for x in form.numbers)
    law = Sample(
        span=span,
        axes=state.letters,
        dtype="real",
        law=form.noise,
        blocks=numbers,
        instead="",
        times=(),
        place=(span, span),
    )
    drawn = Definition(noise, state.letters, law, "real", span, hidden=True)

    def read(of: str, dtype: str, at: object) -> Element:
        subscripts = tuple(at if k == state.time else Affine(x) for k, x in enumerate(state.letters))
        axes = tuple(s.letter for s in subscripts if isinstance(s, Affine))
        return Element(span=span, axes=axes, dtype=dtype, name=of, subscripts=subscripts)  # type: ignore[arg-type]

    def value(sample: Sample, at: object) -> Expr:
        found = FORMS[sample.law, sample.instead].value(
            read(noise, "real", at), *(renamed(b.body, names) for b in sample.blocks)
        )
        return Stop(span=span, axes=found.axes, dtype=found.dtype, body=found) if estimator.word == "score" else found

    twin = renamed(r, names)
    assert isinstance(twin, Recurrence)
    states = tuple(
        replace(s, init=value(state.init, At(0)), step=value(state.step, Affine(time, 1, 1)))
        if s.name == names[name]
        else s
        for s in twin.states
    )
    equations: Equations = [drawn, replace(twin, states=states)]
    for e in twin.members:
        letters = e.letters
        ctx.symbols[e.name] = replace(ctx.symbols[_origin(e.name, names)], name=e.name, letters=letters)
    log = ""
    if estimator.word == "score":
        log = _log_density(ctx, declared, state, names, equations, read)
    declared.equations = equations
    own = read(name, state.dtype, Affine(time))
    density = None
    declared.found = Variable(
        name, state.letters, estimator, density, span, walk=Walk(noise, MappingProxyType(names), log)
    )
    declared.more = (own, read(names[name], state.dtype, Affine(time)), read(noise, "real", Affine(time)))
    hidden = Declared(noise, declared.line, span)
    hidden.definition = drawn
    hidden.found = Variable(noise, state.letters, Estimator("reparam"), None, span)
    ctx.variables[noise] = hidden


def _origin(name: str, names: Mapping[str, str]) -> str:
    return next(old for old, new in names.items() if new == name)


def _log_density(
    ctx: Context,
    declared: Declared,
    state: State,
    names: Mapping[str, str],
    equations: Equations,
    read: Callable[[str, str, object], Element],
) -> str:
    """The definition of the log-density of all steps; gives its name."""
    name, span = declared.name, declared.span
    time = state.letters[state.time]
    rest = tuple(x for x in state.letters if x != time)
    # The steps, one fewer than there are values.
    dim = ctx.dims.dim_of(time)
    size = ctx.dims.size(dim)
    steps = f"{name}.steps"
    less: int | Expr
    if size is not None:
        less = size - 1
    else:
        whole = SizeOf(span=span, dtype="integer", letter=time)
        less = _op("sub", whole, Number(span=span, dtype="integer", value=1), dtype="integer")
    ctx.dims.dims[steps] = Dim(steps, (steps,), less, span)
    ctx.dims.letters[steps] = steps

    def density(sample: Expr, at: object, letters: tuple[str, ...], by: Mapping[str, str]) -> Expr:
        assert isinstance(sample, Sample)
        blocks = tuple(Block(_relettered(renamed(b.body, names), by), b.core) for b in sample.blocks)
        law = Distribution(LAWS[sample.law], blocks, sample.instead)
        here = Block(read(names[name], state.dtype, at), ())
        env = Env(subject=f"'{name}'", scope={x: x for x in letters})
        return as_real(log_density(ctx, law, here, span, env, inside=True))

    from vspec.compiler.language.equations import drain

    first = density(state.init, At(0), rest, {})
    each = density(state.step, Affine(steps, 1, 1), (steps, *rest), {time: steps})
    equations += drain(ctx)
    inner = tuple(x for x in each.axes if x != steps)
    if steps in each.axes:
        each = Reduction(span=span, axes=inner, dtype="real", op="sum", letters=(steps,), body=each)
    body = _op("add", first, each)
    log = ctx.hidden_name(f"{DENSITY}_{name}")
    definition = Definition(log, rest, body, "real", span, hidden=True)
    ctx.declare_hidden(definition)
    ctx.hidden.remove(definition)
    equations.append(definition)
    return log


def _relettered(value: Any, by: Mapping[str, str]) -> Any:
    """A tree of expressions that reads at other letters; sizes stay those of the old ones."""
    if not by or isinstance(value, SizeOf):
        return value
    if isinstance(value, tuple):
        return tuple(_relettered(x, by) for x in value)
    if not is_dataclass(value) or isinstance(value, type | Span):
        return value
    changes = {}
    for f in fields(value):
        old = getattr(value, f.name)
        if f.name == "axes":
            new = tuple(by.get(x, x) for x in old)
        elif f.name == "letter":
            new = by.get(old, old)
        else:
            new = _relettered(old, by)
        if new is not old:
            changes[f.name] = new
    return replace(value, **changes) if changes else value


def with_walks(ctx: Context, equations: Sequence[Definition | Recurrence]) -> Equations:
    """The equations, with the second recurrences after the first ones."""
    found: Equations = []
    for e in equations:
        found.append(e)
        if isinstance(e, Recurrence):
            for declared in list(ctx.variables.values()):
                if declared.recurrence is not None and declared.name in e.names:
                    found += declared.equations
    return found


__all__ = ["FORMS", "walk_of", "with_walks"]
