"""Recurrences: states that advance together, and what is part of their step: definitions, and recurrences over other indices.

Names that need each other in a circle are one system. It advances over the index that all of its states have; with its states
at `[t]` given, what remains falls into definitions, in order, and into systems that advance over another index in each step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vspec.compiler.language.context import Context, Env, StepRule, Unknown
from vspec.compiler.language.equations import check_definition, cycle, drain, reads_of
from vspec.compiler.language.expr import Dtype, Expr
from vspec.compiler.language.graph import components
from vspec.compiler.language.left import Equation, System, shown_left
from vspec.compiler.language.random import check_variable
from vspec.compiler.language.raw import RawCall, RawElement, RawName, skeleton, walk
from vspec.compiler.language.spec import Definition, Recurrence, State
from vspec.compiler.language.substitute import elements
from vspec.compiler.language.types import a_dtype, as_real, is_literal, widest


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of all names when a system is checked: what each reads, what functions read, the steps around."""

    reads: dict[str, tuple[str, ...]]
    through: dict[str, frozenset[str]]
    steps: tuple[StepRule, ...] = ()


def check_recurrence(
    ctx: Context, system: System, group: tuple[str, ...], known: Known
) -> list[Definition | Recurrence]:
    """The recurrence of one group of names, after the hidden definitions that it needs; empty after a mistake."""
    every = [system.steps[n] for n in group if n in system.steps]
    letter = _over(ctx, system, group, every)
    if letter is None:
        return []
    states = [s for s in every if s.letters[s.time] == letter]
    given = {s.name for s in states}
    others = [n for n in group if n not in given]
    if not _at_one_time(ctx, system, others, letter, states):
        return []
    order = list(components(others, lambda n: known.reads[n]))
    for part in order:
        if not any(n in system.steps for n in part) and (len(part) > 1 or part[0] in known.reads[part[0]]):
            cycle(ctx, system, part, {n: tuple(x for x in known.reads[n] if x in part) for n in part})
            return []
    positions = {s.name: s.time for s in states}
    positions |= {n: _main(system, n).letters.index(letter) for n in others}
    inits = _inits(ctx, system, states, set(group), known)
    if inits is None:
        return []
    outside: list[Definition | Recurrence] = list(drain(ctx))
    for state, init in zip(states, inits):
        ctx.symbols[state.name].dtype = widest((init,)) if is_literal(init) else init.dtype
    adjoint = _adjoint(ctx, states)
    kept = dict(ctx.symbols)
    inside = replace(known, steps=(*known.steps, StepRule(letter, positions)))
    made = _pass(ctx, system, states, order, inside)
    while made is not None and _widen(ctx, states, made[1]):
        # An integer start with a real step: the state is real, and all that reads it is checked once more. Then its
        # step may turn out complex, and at last the state is.
        ctx.hidden.clear()
        ctx.symbols.clear()
        ctx.symbols.update(kept)
        made = _pass(ctx, system, states, order, inside)
    if made is None:
        for state in states:
            ctx.symbols[state.name].dtype = None
        return []
    inner, steps, until = made
    if until is not None and not _stops(ctx, states, until):
        return []
    members = set(group)
    kept_inside: list[Definition | Recurrence] = []
    for equation in inner:
        if isinstance(equation, Definition) and equation.hidden and not _carried(equation, letter, members):
            outside.append(equation)
        else:
            members.update(equation.names)
            kept_inside.append(equation)
    result: list[State] = []
    for state, init, step in zip(states, inits, steps):
        dtype = ctx.symbols[state.name].dtype or "real"
        if "boolean" in (dtype, step.dtype) and dtype != step.dtype:
            ctx.error(
                "VS0303",
                f"'{state.name}' starts as {a_dtype(dtype)} and steps to {a_dtype(step.dtype)}",
                step.span,
                label=a_dtype(step.dtype),
                help=f"start and step are of one type; real(c) makes 0 or 1 of a condition, as in {state.name}[0, ...]: real(c)",
            )
            return []
        if dtype in ("real", "complex"):
            init, step = as_real(init), as_real(step)
        result.append(State(state.name, state.letters, state.time, init, step, dtype, state.span))
    return [*outside, Recurrence(letter, tuple(result), tuple(kept_inside), states[0].span, until, adjoint)]


def _carried(d: Definition, letter: str, members: set[str]) -> bool:
    """Whether a definition is part of the step: it has the letter, or reads what is part of it."""
    return letter in d.letters or any(e.name in members for e in elements(d.body))


def _adjoint(ctx: Context, states: list[Equation]) -> str:
    """How derivatives go back through the steps: one word for all states."""
    words = [(s, s.adjoint) for s in states if s.adjoint is not None]
    for state, word in words:
        if word.text != words[0][1].text:
            first = words[0][0]
            ctx.error(
                "VS0395",
                f"'{first.name}' and '{state.name}' advance together, but one is {words[0][1].text} and the other {word.text}",
                word.span,
                help=f"say it once, as in {shown_left(first)}: {{is: ..., adjoint: {words[0][1].text}}}",
            )
            break
    return words[0][1].text if words else "stored"


def _stops(ctx: Context, states: list[Equation], until: Expr) -> bool:
    """Whether a condition can stop all states."""
    if until.dtype != "boolean":
        ctx.error(
            "VS0301",
            f"'until' needs a condition, but this is {a_dtype(until.dtype)}",
            until.span,
            label=a_dtype(until.dtype),
            help="compare it with something, for example residual[t] < 1e-8",
        )
        return False
    for state in states:
        own = {x for k, x in enumerate(state.letters) if k != state.time}
        foreign = next((x for x in until.axes if x not in own and x != state.letters[state.time]), None)
        if foreign is not None:
            ctx.error(
                "VS0395",
                f"the condition has the index '{foreign}', and '{state.name}', which it stops, has not",
                until.span,
                label=f"for each '{foreign}' by itself",
                help=f"bind it, for example all[{foreign}](...)",
            )
            return False
    return True


def _condition(ctx: Context, states: list[Equation]) -> Equation | None:
    """The state whose step says when to stop; a second condition is a mistake."""
    found = [s for s in states if s.until is not None]
    for other in found[1:]:
        assert other.until is not None
        assert found[0].until is not None
        if skeleton(other.until) != skeleton(found[0].until):
            ctx.error(
                "VS0395",
                f"'{found[0].name}' and '{other.name}' advance together and stop together, on one condition",
                other.until.span,
                label="another condition",
                help=f"join both: until: a or b, once, at {shown_left(found[0])}",
            )
            break
    return found[0] if found else None


def _over(ctx: Context, system: System, group: tuple[str, ...], states: list[Equation]) -> str | None:
    """The index over which a system advances: one that all of its states have. Where several are possible, the first at whose
    current value all reads between them are."""
    times = list(dict.fromkeys(s.letters[s.time] for s in states))
    possible = [t for t in times if all(t in s.letters for s in states)]
    if len(possible) > 1:
        at_one = [t for t in possible if _reads_at(system, group, t)]
        possible = at_one or possible
    if possible:
        return possible[0]
    first = next(s for s in states if s.letters[s.time] == times[0])
    other = next(s for s in states if times[0] not in s.letters)
    own = other.letters[other.time]
    left = shown_left(other)
    ctx.error(
        "VS0310",
        f"'{first.name}' and '{other.name}' advance together but over different indices, '{times[0]}' and '{own}'",
        other.span,
        help=(
            f"write {left.replace(f'{own} + 1', f'{times[0]} + 1', 1)}",
            f"or, for a recurrence over '{own}' in each step, {left.replace('[', f'[{times[0]}, ', 1)}",
        ),
    )
    return None


def _main(system: System, name: str) -> Equation:
    """The equation of a name that has all of its letters: of a state its step."""
    return next(g[name] for g in (system.steps, system.definitions, system.objectives) if name in g)


def _reads_at(system: System, group: tuple[str, ...], letter: str) -> bool:
    """Whether the members of a system read one another at the current value of a letter, as far as the text shows."""
    letters = {n: _main(system, n).letters for n in group}
    places = {n: own.index(letter) for n, own in letters.items() if letter in own}
    for name in group:
        for equation in system.of(name):
            for raw in (equation.raw, equation.until):
                if raw is None or (equation.kind == "init" and letter not in equation.letters):
                    continue
                for e in walk(raw):
                    if isinstance(e, RawCall) and any(
                        isinstance(b, RawName) and b.name == letter for b in e.bound or ()
                    ):
                        return False
                    at = places.get(e.name) if isinstance(e, RawElement) else None
                    if at is None or not isinstance(e, RawElement) or at >= len(e.subscripts):
                        continue
                    s = e.subscripts[at]
                    if not isinstance(s, RawName) or s.name != letter:
                        return False
    return True


def _at_one_time(ctx: Context, system: System, others: list[str], letter: str, states: list[Equation]) -> bool:
    """Whether what lies between the states has their index, so that it can be part of the step."""
    for name in others:
        equation = _main(system, name)
        if name in system.objectives or letter not in equation.letters:
            ctx.error(
                "VS0309",
                f"'{name}' needs all of '{states[0].name}', and the step of '{states[0].name}' needs '{name}'",
                equation.span,
                label=f"has no index '{letter}'",
                help=f"what is part of the step has the index '{letter}' and reads '{states[0].name}' at [{letter}]",
            )
            return False
    return True


def _inits(ctx: Context, system: System, states: list[Equation], group: set[str], known: Known) -> list[Expr] | None:
    found: list[Expr] = []
    for state in states:
        init = system.inits[state.name]
        early = sorted(reads_of(init.raw, group, known.through))
        if early:
            ctx.error(
                "VS0309",
                f"the start of '{state.name}' reads '{early[0]}', which is known only once the recurrence runs",
                init.span,
                label="the start",
                help=f"write what '{early[0]}' is at 0 in its place",
            )
            return None
        if init.raw is None:
            return None
        # The start may use other letters than the step, of the same dims: it gets the step's.
        scope = {a: b for k, (a, b) in enumerate(zip(init.letters, state.letters)) if k != state.time}
        drawn = init.raw if isinstance(init.raw, RawCall) and init.raw.name == "sample" else None
        body = ctx.infer(init.raw, Env(subject=f"'{state.name}'", scope=scope, steps=known.steps, whole=drawn))
        found.append(body)
    return None if any(isinstance(b, Unknown) for b in found) else found


def _pass(
    ctx: Context, system: System, states: list[Equation], order: list[tuple[str, ...]], known: Known
) -> tuple[list[Definition | Recurrence], list[Expr], Expr | None] | None:
    """Check what is part of the step, the steps and the condition at which they end; None after a mistake."""
    letter = known.steps[-1].letter
    inner: list[Definition | Recurrence] = []
    sound = True
    for part in order:
        if any(n in system.steps for n in part):
            found = check_recurrence(ctx, system, part, known)
            sound = sound and bool(found)
            inner += found
            continue
        name = part[0]
        definition = check_definition(ctx, system.definitions[name], Env(subject=f"'{name}'", steps=known.steps))
        inner += drain(ctx)
        if definition is None:
            sound = False
        else:
            inner.append(definition)
        if name in ctx.variables and ctx.variables[name].line.option("sampler") is None:
            check_variable(ctx, ctx.variables[name], definition)
            inner += drain(ctx)
    steps: list[Expr] = []
    for state in states:
        if state.raw is None:
            sound = False
            continue
        # Fresh names for the hidden arguments of the step are read at [t] like the other parts of it.
        scope = {x: x for x in state.letters}
        env = Env(subject=f"'{state.name}'", scope=scope, steps=known.steps, short=letter, whole=state.raw)
        steps.append(ctx.infer(state.raw, env))
        inner += drain(ctx)
    until: Expr | None = None
    stopping = _condition(ctx, states)
    if stopping is not None and stopping.until is not None:
        env = Env(
            subject=f"the condition of '{stopping.name}'",
            scope={x: x for x in stopping.letters},
            steps=known.steps,
            short=letter,
            whole=stopping.until,
        )
        until = ctx.infer(stopping.until, env)
        inner += drain(ctx)
    if not sound or any(isinstance(s, Unknown) for s in (*steps, until)):
        return None
    return inner, steps, until


def _widen(ctx: Context, states: list[Equation], steps: list[Expr]) -> bool:
    """Make integer states real whose step is real, and either complex whose step is; whether there was one."""
    changed = False
    for state, step in zip(states, steps):
        dtype: Dtype | None = ctx.symbols[state.name].dtype
        if (dtype == "integer" and step.dtype == "real") or (dtype in ("integer", "real") and step.dtype == "complex"):
            ctx.symbols[state.name].dtype = step.dtype
            changed = True
    return changed
