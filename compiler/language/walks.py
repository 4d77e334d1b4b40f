"""Expectations over random variables that recurrences draw: `b[0]: normal(0, 1)`, `b[t + 1]: normal(g(b[t]), 1)`.

The draws of one step are a function of the step before and of noise that has no parameters. So an expectation over b is one
over its noise `b.noise[t]`, of a second recurrence in which each draw is that function of it. Everything that advances with b
does so there, under names of its own. For a score function the values are held, and the log-densities of all steps are summed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from vspec.compiler.language.context import Context
from vspec.compiler.language.expr import (
    Affine,
    At,
    Block,
    Coord,
    Expectation,
    Expr,
    Number,
    Part,
    Reduction,
    Sample,
    Spacing,
    Stop,
    Subscript,
)
from vspec.compiler.language.laws import LAWS
from vspec.compiler.language.links import (
    Equations,
    at_letters,
    densities,
    density_in_step,
    hidden_density,
    linked,
    steps_of,
    support,
)
from vspec.compiler.language.local import renamed
from vspec.compiler.language.of_noise import Form, form_of, op, value_of
from vspec.compiler.language.random import DENSITY, Declared, estimator_of
from vspec.compiler.language.spec import Definition, Estimator, Recurrence, State, Variable, Walk
from vspec.compiler.language.substitute import nodes


def walk_of(ctx: Context, declared: Declared) -> bool:
    """Whether there are expectations over a variable of a recurrence; makes its second recurrence. Records why not (VS0408)."""
    if declared.found is not None and (declared.definition is None or declared.found.walk is not None):
        return True
    if declared.recurrence is None:
        return False
    r = declared.recurrence
    assert isinstance(r, Recurrence)
    values, unless = support(ctx, declared, r)
    why = _lacks(ctx, declared)
    if why and values is None:
        ctx.planned("VS0408", f"expectations over '{declared.name}', {unless or why}", declared.span)
        return False
    estimator = _estimator(ctx, declared, r, values is not None, not why)
    if estimator is None:
        return False
    state = _state_of(r, declared.name)
    assert state is not None
    equations: Equations = []
    own = at_letters(declared.span, state, declared.name, state.dtype, Affine(state.letters[state.time]))
    declared.more = (own,)
    walk = Walk()
    if not why:
        walk = _drawn(ctx, declared, r, estimator, equations)
    if values is not None:
        walk = replace(walk, links=linked(ctx, declared, state, values, equations))
    declared.equations = equations
    known = declared.found or Variable(declared.name, state.letters, estimator, None, declared.span)
    declared.found = replace(known, estimator=estimator, walk=walk)
    return True


def _state_of(r: Recurrence, name: str) -> State | None:
    """A variable of a recurrence as a state of it; one that is drawn in its step has one law for all steps."""
    state = next((s for s in r.states if s.name == name), None)
    member = next((d for d in r.inner if isinstance(d, Definition) and d.name == name), None)
    if state is None and member is not None and r.letter in member.letters:
        time = member.letters.index(r.letter)
        return State(name, member.letters, time, member.body, member.body, member.dtype, member.span)
    return state


def _lacks(ctx: Context, declared: Declared) -> str:
    """What there is no expectation over a variable for, '' where there is one."""
    r = declared.recurrence
    assert isinstance(r, Recurrence)
    state = _state_of(r, declared.name)
    if state is None:
        return "which is drawn in a recurrence within a recurrence"
    if any(s.dtype == "complex" for s in r.every_state):
        return "which advances together with complex numbers"
    if any(x.name in ctx.variables and x.name != declared.name for x in r.members):
        return "which advances together with another random variable"
    forms = []
    for body in (state.init, state.step):
        found = form_of(body) if isinstance(body, Sample) else None
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
    made = {(f.noise, f.numbers) for f in forms if f.noise}
    if len(made) > 1:
        return "whose first law and whose others are made of different noise"
    return ""


def _estimator(ctx: Context, declared: Declared, r: Recurrence, few: bool, drawn: bool) -> Estimator | None:
    """The estimator; `few`: whether all values may be summed over, `drawn`: whether there are draws."""
    state = _state_of(r, declared.name)
    assert state is not None
    found = estimator_of(ctx, declared, state.letters)
    smooth = _smooth(state)
    if found.word == "auto":
        return found if few else Estimator("reparam" if smooth else "score", "none")
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
    if few and found.word in ("enumerate", "analytic"):
        return found
    if found.word not in ("reparam", "score") or not drawn:
        ctx.planned("VS0408", f"the estimator '{found.word}' of a variable that is drawn step by step", at)
        return None
    return found


def _smooth(state: State) -> bool:
    """Whether derivatives go through the draws of both laws."""
    return all(isinstance(x, Sample) and LAWS[x.law].dtype == "real" for x in (state.init, state.step))


def _form(state: State) -> Form:
    """The noise of both laws."""
    found = [f for x in (state.init, state.step) if isinstance(x, Sample) and (f := form_of(x)) is not None]
    return next((f for f in found if f.noise), Form("normal", (0.0, 1.0), found[0].value))


def _drawn(ctx: Context, declared: Declared, r: Recurrence, estimator: Estimator, equations: Equations) -> Walk:
    """The second recurrence, which is a function of noise; adds its equations."""
    name, span = declared.name, declared.span
    state = _state_of(r, name)
    assert state is not None
    assert isinstance(state.init, Sample)
    assert isinstance(state.step, Sample)
    time = state.letters[state.time]
    names = {n: f"{n}.drawn" for n in r.names}
    form = _form(state)
    noise = f"{name}.noise"
    score = estimator.word == "score" or not _smooth(state)
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

    def value(sample: Sample, at: Subscript) -> Expr:
        blocks = tuple(Block(renamed(b.body, names), b.core) for b in sample.blocks)
        found = value_of(ctx, sample, blocks, at_letters(span, state, noise, "real", at))
        # What is known has no score: derivatives go through it.
        held = score and sample.law != "point_mass"
        return Stop(span=span, axes=found.axes, dtype=found.dtype, body=found) if held else found

    twin = renamed(r, names)
    assert isinstance(twin, Recurrence)
    states = tuple(
        replace(s, init=value(state.init, At(0)), step=value(state.step, Affine(time, 1, 1)))
        if s.name == names[name]
        else s
        for s in twin.states
    )
    inner = tuple(
        replace(d, body=value(state.step, Affine(time))) if isinstance(d, Definition) and d.name == names[name] else d
        for d in twin.inner
    )
    equations += [drawn, replace(twin, states=states, inner=inner)]
    for e in twin.members:
        letters = e.letters
        ctx.symbols[e.name] = replace(ctx.symbols[_origin(e.name, names)], name=e.name, letters=letters)
    log = ""
    if score:
        log = _log_density(ctx, declared, state, names, equations)
    declared.more += (
        at_letters(span, state, names[name], state.dtype, Affine(time)),
        at_letters(span, state, noise, "real", Affine(time)),
    )
    hidden = Declared(noise, declared.line, span)
    hidden.definition = drawn
    hidden.found = Variable(noise, state.letters, Estimator("reparam"), None, span)
    ctx.variables[noise] = hidden
    return Walk(noise, MappingProxyType(names), log)


def _origin(name: str, names: Mapping[str, str]) -> str:
    return next(old for old, new in names.items() if new == name)


def _log_density(ctx: Context, declared: Declared, state: State, names: Mapping[str, str], equations: Equations) -> str:
    """The definition of the log-density of all steps; gives its name."""
    time = state.letters[state.time]
    event = state.step.event if isinstance(state.step, Sample) else ()
    rest = tuple(x for k, x in enumerate(state.letters) if k != state.time and x not in event)
    name = f"{DENSITY}_{declared.name}"
    if declared.definition is not None:
        each = density_in_step(ctx, declared, state, names, equations)
        return hidden_density(ctx, name, rest, _summed(each, time), equations)
    steps = steps_of(ctx, declared, state)
    first, each = densities(ctx, declared, state, names, steps, equations)
    return hidden_density(ctx, name, rest, op("add", first, _summed(each, steps)), equations)


def _summed(each: Expr, letter: str) -> Expr:
    """A sum over the steps."""
    axes = tuple(x for x in each.axes if x != letter)
    return Reduction(span=each.span, axes=axes, dtype="real", op="sum", letters=(letter,), body=each)


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


__all__ = ["walk_of", "with_walks"]
