"""Which params move while a stage runs, for each entry that stages call: all others keep their values in its loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vspec.compiler.language.spec import Spec, Stage

# A loop of so many steps is worth some work before it begins.
MANY = 10


@dataclass(frozen=True, slots=True)
class Moving:
    """Of one entry: the params that move in the loops that call it, what the stage is called that calls it first, and whether
    each of these loops takes many steps, as far as the spec tells."""

    about: str
    params: frozenset[str]
    many: bool


def moving(spec: Spec, roles: Iterable[Mapping[str, Any]]) -> dict[str, Moving]:
    """What moves where each entry is called in a loop; `roles` has what each stage calls, as `plan_entries` gives it.

    A stage with a number of steps of its own has a loop of its own, wherever it stands; one that takes a step in each round of a
    repetition is in the loop of that. Entries of stages that see batches are left out: they read other rows in each step.
    """
    found: dict[str, Moving] = {}
    dropped: set[str] = set()
    calls = iter(roles)

    def visit(stages: Iterable[Stage], around: frozenset[str] | None, often: bool) -> None:
        for stage in stages:
            inside = around is not None and not counted(stage)
            loop = around if inside and around is not None else frozenset(moved(stage))
            count = stage.rounds if stage.kind == "repeat" else stage.steps
            many = often if inside else not isinstance(count, int) or count >= MANY
            names = list(called(next(calls, {})))
            if stage.batch:
                dropped.update(names)
            for name in names if inside or repeated(stage) else ():
                known = found.get(name, Moving(stage.name or (*stage.names, "update")[0], frozenset(), True))
                found[name] = Moving(known.about, known.params | loop, known.many and many)
            visit(stage.stages, loop, many)

    visit(spec.plan, None, True)
    return {name: m for name, m in found.items() if name not in dropped and m.params < frozenset(spec.params)}


def counted(stage: Stage) -> bool:
    """Whether a stage has a loop of its own also where it stands in a repetition."""
    return stage.kind == "repeat" or any(x is not None for x in (stage.steps, stage.epochs, stage.until))


def repeated(stage: Stage) -> bool:
    """Whether a stage by itself takes more than one step."""
    endless = stage.steps is None and (stage.kind != "update" or counted(stage))
    return endless or stage.steps != 1


def moved(stage: Stage) -> Iterator[str]:
    """The params that a stage may move, and those that stages inside of it may."""
    yield from stage.over
    for group in stage.updates:
        for assignment in group:
            yield from assignment.params
    for inner in stage.stages:
        yield from moved(inner)


def called(roles: Mapping[str, Any]) -> Iterator[str]:
    """The entries that a stage calls in a step."""
    yield from roles.get("entries", {}).values()
    yield from roles.get("update", ())
    for role in ("step", "directions", "schedule", "until"):
        if role in roles:
            yield roles[role]
