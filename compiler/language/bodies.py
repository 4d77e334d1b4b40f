"""Every expression of a checked spec, in the order of its sections: the one walk that rules and lowering share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import Definition, Recurrence, Spec, Stage, labelled


@dataclass(frozen=True, slots=True)
class Body:
    """An expression of the spec and what it belongs to.

    `kind`: param (its init), bound (of its box), definition, init, step, stop (the condition of a recurrence), objective,
    constraint (a side of a relation), those of a stage by its label (count, schedule, direction, update, until), output or claim.
    `loops`: the recurrences in whose steps it stands, the outermost first.
    """

    kind: str
    name: str
    letters: tuple[str, ...]
    expr: Expr
    span: Span
    hidden: bool = False
    loops: tuple[Recurrence, ...] = ()


def equations(spec: Spec) -> Iterator[Body]:
    """Definitions and the starts and steps of recurrences, each after what it reads."""
    for equation in spec.equations:
        yield from of_equation(equation)


def of_equation(e: Definition | Recurrence, loops: tuple[Recurrence, ...] = ()) -> Iterator[Body]:
    """The expressions of an equation that stands in the steps of `loops`."""
    if isinstance(e, Definition):
        yield Body("definition", e.name, e.letters, e.body, e.span, e.hidden, loops)
        return
    for state in e.states:
        yield Body("init", state.name, state.letters, state.init, state.span, loops=loops)
    inside = (*loops, e)
    for inner in e.inner:
        yield from of_equation(inner, inside)
    for state in e.states:
        yield Body("step", state.name, state.letters, state.step, state.span, loops=inside)
    if e.until is not None:
        yield Body("stop", e.states[0].name, e.until.axes, e.until, e.until.span, loops=inside)


def homes(equations: Iterable[Definition | Recurrence]) -> dict[str, tuple[Recurrence, ...]]:
    """For each name that belongs to recurrences, as a state or as part of a step: these, the outermost first."""
    found: dict[str, tuple[Recurrence, ...]] = {}

    def enter(r: Recurrence, around: tuple[Recurrence, ...]) -> None:
        inside = (*around, r)
        found.update((s.name, inside) for s in r.states)
        for e in r.inner:
            if isinstance(e, Recurrence):
                enter(e, inside)
            else:
                found[e.name] = inside

    for equation in equations:
        if isinstance(equation, Recurrence):
            enter(equation, ())
    return found


def bodies(spec: Spec) -> Iterator[Body]:
    """Every expression of the spec."""
    for param in spec.params.values():
        yield Body("param", param.name, param.letters, param.init, param.span)
        for bound in (param.domain.lower, param.domain.upper):
            if bound is not None:
                yield Body("bound", param.name, param.letters, bound, param.span)
    yield from equations(spec)
    for objective in spec.objectives.values():
        yield Body("objective", objective.name, (), objective.body, objective.span)
    for constraint in spec.constraints.values():
        for relation in constraint.relations:
            for side in (relation.left, relation.right):
                yield Body("constraint", constraint.name, constraint.letters, side, relation.span)
    for label, stage in labelled(spec.plan):
        yield from of_stage(stage, label)
    for output in spec.outputs.values():
        yield Body("output", output.name, output.letters, output.body, output.span)
    for claim in spec.claims.values():
        for part in (claim.that, claim.left, claim.right):
            if part is not None:
                yield Body("claim", claim.name, (), part, claim.span)


OF_STAGES = ("count", "schedule", "direction", "update", "until")
"""The kinds of the expressions of a stage."""


def of_stage(stage: Stage, label: str) -> Iterator[Body]:
    """The expressions of a stage itself; what it evaluates and optimises are definitions and objectives of the spec."""
    for count in stage.counts.values():
        if not isinstance(count, int):
            yield Body("count", label, (), count, count.span)
    for value in stage.schedule.values():
        yield Body("schedule", label, (), value, value.span)
    for a in stage.directions:
        yield Body("direction", label, a.letters, a.body, a.span)
    for group in stage.updates:
        for a in group:
            yield Body("update", label, a.letters, a.body, a.span)
    if stage.until is not None:
        yield Body("until", label, (), stage.until, stage.until.span)
