"""The entries that the stages of a plan call, and which stage calls which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.needs import NEEDS, Request
from vspec.compiler.calculus.parts import joined
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import Assignment, Spec, Stage, labelled
from vspec.runtime.registry import STRATEGIES
from vspec.runtime.registry import needs as needs_of

Roles = dict[str, Any]
"""What a stage calls: role → name of an entry; `update` has a list, `entries` the derivatives by what they are."""


@dataclass
class Plan:
    """The entries of all stages. `roles` has one record for each stage of `labelled(spec.plan)`."""

    spec: Spec
    low: Lowering
    entries: dict[str, Entry]
    roles: list[Roles] = field(default_factory=list)
    requests: dict[tuple[str, tuple[str, ...]], Request] = field(default_factory=dict)

    def add(self, entry: Entry) -> str:
        """Enters an entry; its name is numbered if another one has it."""
        name, k = entry.name, 2
        while name in self.entries and self.entries[name] is not entry:
            name, k = f"{entry.name}_{k}", k + 1
        self.entries[name] = (
            entry if name == entry.name else Entry(name, entry.kind, entry.results, entry.of, entry.doc)
        )
        return name


def plan_entries(spec: Spec, low: Lowering, entries: dict[str, Entry]) -> list[Roles]:
    """Adds the entries of every stage to `entries`. Gives what each stage calls, in the order of `labelled(spec.plan)`."""
    plan = Plan(spec, low, entries)
    for label, stage in labelled(spec.plan):
        plan.roles.append(_stage(plan, label, stage))
    return plan.roles


def _stage(plan: Plan, label: str, stage: Stage) -> Roles:
    low = plan.low
    roles: Roles = {"entries": {}}
    if stage.optimises:
        _derivatives(plan, stage, roles)
    counts = {key: e for key, e in stage.counts.items() if isinstance(e, Expr)}
    about = stage.names[0] if stage.optimises and stage.name is None else label
    if counts:
        results = tuple(Result((key,), low.value(e)) for key, e in counts.items())
        roles["counts"] = plan.add(
            Entry(f"{about}_counts", "counts", results, doc="How often, known before the first step.")
        )
    if stage.schedule:
        results = tuple(Result((key,), _real(low, low.value(e))) for key, e in stage.schedule.items())
        doc = "Arguments of the methods that change from step to step."
        roles["schedule"] = plan.add(Entry(f"{about}_schedule", "schedule", results, doc=doc))
    if stage.directions:
        results = _assigned(plan, stage.directions)
        doc = f"The directions against which {_listed(stage.directions)} move."
        roles["directions"] = plan.add(Entry(f"{about}_directions", "directions", results, doc=doc))
    updates = [_assigned(plan, group) for group in stage.updates]
    for group, results in zip(stage.updates, updates, strict=True):
        doc = f"The new values of {_listed(group)}."
        roles.setdefault("update", []).append(plan.add(Entry(f"{about}_update", "update", results, doc=doc)))
    if len(updates) == 1:
        _step(plan, about, stage, roles, updates[0])
    if stage.until is not None:
        until = (Result((), low.value(stage.until)),)
        roles["until"] = plan.add(Entry(f"{about}_until", "until", until, doc="Whether the stage ends."))
    return roles


def _derivatives(plan: Plan, stage: Stage, roles: Roles) -> None:
    """Value and derivatives of the objective as the stage's methods ask for them; sets of equal params are shared."""
    (name,) = stage.names
    key = (name, stage.over)
    if key not in plan.requests:
        sets = sum(1 for n, _ in plan.requests if n == name)
        plan.requests[key] = Request(plan.spec, plan.low, stage, name, f"_{sets + 1}" if sets else "")
    request = plan.requests[key]
    needs: dict[str, None] = {"value": None, "gradient": None}
    for call in stage.methods:
        needs |= dict.fromkeys(needs_of(call.name, call.arguments))
    if stage.constraints is not None:
        needs |= dict.fromkeys(STRATEGIES[stage.constraints.name].needs)
    for need in needs:
        NEEDS[need](request)
    for role, entry in request.made.items():
        known = plan.entries.get(entry.name)
        if role == "value" and known is not None and known.kind == "objective" and known.of == entry.of:
            request.made[role] = known
            roles["entries"][role] = known.name
        else:
            roles["entries"][role] = plan.add(entry)


def _step(plan: Plan, about: str, stage: Stage, roles: Roles, update: tuple[Result, ...]) -> None:
    """What moves and what is updated in one step, in one entry: both are computed from the same values."""
    place = 2 if stage.optimises else 1
    moved: Iterable[Result] = ()
    if stage.optimises:
        moved = plan.requests[stage.names[0], stage.over].both
    elif stage.directions:
        moved = (Result((0, *r.path), r.node) for r in _assigned(plan, stage.directions))
    else:
        return
    results = (*moved, *(Result((place, *r.path), r.node) for r in update))
    of = stage.names[0] if stage.optimises else ""
    doc = "What the methods and the update of one step ask for."
    roles["step"] = plan.add(Entry(f"{about}_step", "step", results, of, doc))


def _assigned(plan: Plan, group: tuple[Assignment, ...]) -> tuple[Result, ...]:
    """The values of assignments by param, each with the axes of the param."""
    found: dict[str, Node] = {}
    for a in group:
        found |= _stacked(plan, a) if a.parts else {a.name: _valued(plan, a)}
    return tuple(Result((name,), node) for name, node in found.items())


def _valued(plan: Plan, a: Assignment) -> Node:
    low = plan.low
    if plan.spec.params[a.name].dtype != "complex":
        return _real(low, low.value(a.body, "", a.letters))
    return joined(low, low.part_values(a.body, "", a.letters))


def _stacked(plan: Plan, a: Assignment) -> dict[str, Node]:
    """The stretches of a stacked value, each in the shape of its param."""
    low = plan.low
    whole = _real(low, low.value(a.body, "", a.letters))
    groups = [[Axis(low.b.fresh(x), plan.spec.letters[x]) for x in plan.spec.params[name].letters] for name in a.parts]
    return {name: low.b.part(whole, a.letters[0], groups, k) for k, name in enumerate(a.parts)}


def _real(low: Lowering, node: Node) -> Node:
    return low.b.map(("real", slot(0)), [node], "real") if node.dtype in ("integer", "boolean") else node


def _listed(group: tuple[Assignment, ...]) -> str:
    return ", ".join(p for a in group for p in a.params)


__all__ = ["Plan", "Roles", "plan_entries"]
