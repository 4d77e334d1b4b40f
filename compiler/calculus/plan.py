"""The entries that the stages of a plan call, and which stage calls which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vspec.compiler.calculus import constrained
from vspec.compiler.calculus import needs as of_methods
from vspec.compiler.calculus.batches import Batches
from vspec.compiler.calculus.curvature import by_terms, terms_cost
from vspec.compiler.calculus.factored import by_factors, factored_cost
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.needs import Request
from vspec.compiler.calculus.parts import joined
from vspec.compiler.calculus.pattern import by_pattern, sparse_cost
from vspec.compiler.calculus.structure.scaled import scaled_until
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import Assignment, Spec, Stage, labelled
from vspec.runtime.registry import needs_of_stage

Roles = dict[str, Any]
"""What a stage calls: role → name of an entry; `update` has a list, `entries` the derivatives by what they are."""


_NEEDS = {**of_methods.NEEDS, **constrained.NEEDS}


@dataclass
class Plan:
    """The entries of all stages; `requests` are the derivatives by objective, params and batched dims."""

    spec: Spec
    entries: dict[str, Entry]
    requests: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Request] = field(default_factory=dict)

    def add(self, entry: Entry) -> str:
        """Enters an entry; its name is numbered if another one has it."""
        name, k = entry.name, 2
        while name in self.entries and self.entries[name] is not entry:
            name, k = f"{entry.name}_{k}", k + 1
        renamed = Entry(name, entry.kind, entry.results, entry.of, entry.doc)
        self.entries.setdefault(name, entry if name == entry.name else renamed)
        return name


def plan_entries(spec: Spec, low: Lowering, entries: dict[str, Entry], batches: Batches) -> list[Roles]:
    """Adds the entries of every stage to `entries`. Gives what each stage calls, in the order of `labelled(spec.plan)`."""
    plan = Plan(spec, entries)
    found: list[Roles] = []
    for label, stage in labelled(spec.plan):
        about = stage.names[0] if stage.optimises and stage.name is None else label
        if stage.optimises and stage.batch:
            # The objective on all of the data, for whoever wants to know it.
            (name,) = stage.names
            entries.setdefault(name, Entry(name, "objective", (Result((), low.get(name)),), name))
        counts = _counts(plan, low, stage, about)
        own, changed = batches.of(stage, label) if stage.batch else (low, stage)
        made = _Stage(plan, own, changed, about)
        roles = made.roles() | counts
        if stage.until is not None:
            # When a stage ends is asked of all of the data.
            condition = low.value(stage.until)
            results = (Result((), condition),)
            if stage.optimises and not stage.batch:
                roles["entries"] |= made.until(condition)
            roles["until"] = plan.add(Entry(f"{about}_until", "until", results, doc="Whether the stage ends."))
        found.append(roles)
    return found


def _counts(plan: Plan, low: Lowering, stage: Stage, about: str) -> Roles:
    """The counts that are expressions; they are those of the whole spec, also where the stage has batches."""
    results = tuple(Result((key,), low.value(e)) for key, e in stage.counts.items() if isinstance(e, Expr))
    doc = "How often, known before the first step."
    return {"counts": plan.add(Entry(f"{about}_counts", "counts", results, doc=doc))} if results else {}


@dataclass
class _Stage:
    """One stage, with the lowering of its formulas; `about` is what its entries are called after."""

    plan: Plan
    low: Lowering
    stage: Stage
    about: str

    def roles(self) -> Roles:
        """Adds the entries of the stage. Gives what it calls."""
        low, stage = self.low, self.stage
        found: Roles = {"entries": self._derivatives() if stage.optimises else {}}
        if stage.kind == "descend" and stage.subject:
            request = Request(self.plan.spec, low, stage, self.about)
            constrained.NEEDS["constraint_jacobian"](request)
            found["entries"] = {role: self.plan.add(entry) for role, entry in request.made.items()}
        if stage.optimises and "form" in self._request().facts:
            found["form"] = self._request().facts["form"]
        if stage.optimises:
            found["structure"] = self._request().structure
            found["pattern"] = self._request().pattern
            if "factored" in self._request().made and (factors := self._request().factors) is not None:
                found["factors"] = factors.facts
        if stage.schedule:
            results = tuple(Result((key,), self._real(low.value(e))) for key, e in stage.schedule.items())
            found["schedule"] = self._add(
                "schedule", results, "Arguments of the methods that change from step to step."
            )
        if stage.directions:
            results = self._assigned(stage.directions)
            doc = f"The directions against which {_listed(stage.directions)} move."
            found["directions"] = self._add("directions", results, doc)
        updates = [self._assigned(group) for group in stage.updates]
        for group, results in zip(stage.updates, updates, strict=True):
            entry = self._add("update", results, f"The new values of {_listed(group)}.")
            found.setdefault("update", []).append(entry)
        if len(updates) == 1 and stage.over:
            found["step"] = self._step(updates[0])
        return found

    def until(self, condition: Node) -> Roles:
        """The role of the entry that says whether the stage ends by what its sweeps keep, where there is one."""
        entry = scaled_until(self._request(), self.stage, condition, f"{self.about}_until_scaled")
        return {} if entry is None else {"until": self.plan.add(entry)}

    def _add(self, kind: str, results: Iterable[Result], doc: str, of: str = "") -> str:
        return self.plan.add(Entry(f"{self.about}_{kind}", kind, tuple(results), of, doc))

    # --- derivatives ----------------------------------------------------------------------------------------------

    def _request(self) -> Request:
        """The derivatives of the objective by what moves; stages that want the same share it."""
        (name,), requests = self.stage.names, self.plan.requests
        key = (name, self.stage.over, tuple(self.stage.batch))
        if key not in requests:
            base = f"{name}_batch" if self.stage.batch else name
            sets = {k: r for k, r in requests.items() if r.base == base}
            tag = f"_{len(sets) + 1}" if sets else ""
            requests[key] = Request(self.plan.spec, self.low, self.stage, base, tag)
        return requests[key]

    def _derivatives(self) -> dict[str, str]:
        """Value and derivatives as the stage's methods ask for them, by role."""
        request = self._request()
        strategy = None if self.stage.constraints is None else self.stage.constraints.name
        asked = needs_of_stage(((m.name, m.arguments) for m in self.stage.methods), strategy, request.unknowns)
        if strategy is None and self._may_choose():
            chosen = self._chosen(request)
            if chosen is not None:
                # Products with what is kept are at hand as well.
                asked = (*(need for need in asked if need not in ("hessian", "hvp")), chosen)
        needs = dict.fromkeys(("value", "gradient", *asked))
        for need in needs:
            _NEEDS[need](request)
        found: dict[str, str] = {}
        for role, entry in request.made.items():
            known = self.plan.entries.get(entry.name)
            if role == "value" and known is not None and known.kind == "objective" and known.of == entry.of:
                # Sets of derivatives of one objective share its value.
                request.made[role] = known
            found[role] = self.plan.add(request.made[role])
        return found

    @staticmethod
    def _chosen(request: Request) -> str | None:
        """What is kept of a Hessian, where that is less than all of it."""
        ways = (
            ("structure", by_terms, terms_cost),
            ("sparse", by_pattern, sparse_cost),
            ("factored", by_factors, factored_cost),
        )
        costs = {name: cost(request) for name, feasible, cost in ways if feasible(request)}
        return min(costs, key=lambda name: costs[name], default=None)

    def _may_choose(self) -> bool:
        """Whether all that is asked for beyond gradients is a Hessian of which the method leaves open what is kept."""
        asked = [m.arguments for m in self.stage.methods if "hessian" in m.arguments]
        free = all(a["hessian"]["name"] == "auto" and a["linear"]["name"] != "cg" for a in asked)
        return bool(asked) and free and not self.stage.batch

    def _step(self, update: tuple[Result, ...]) -> str:
        """What moves and what is updated in one step, in one entry: both are computed from the same values."""
        if self.stage.optimises:
            moved, place = self._request().both, 2
        else:
            moved, place = tuple(Result((0, *r.path), r.node) for r in self._assigned(self.stage.directions)), 1
        results = (*moved, *(Result((place, *r.path), r.node) for r in update))
        of = self.stage.names[0] if self.stage.optimises else ""
        return self._add("step", results, "What the methods and the update of one step ask for.", of)

    # --- assignments ----------------------------------------------------------------------------------------------

    def _assigned(self, group: tuple[Assignment, ...]) -> tuple[Result, ...]:
        """The values of assignments by param, each with the axes of the param."""
        found: dict[str, Node] = {}
        for a in group:
            found |= self._stacked(a) if a.parts else {a.name: self._valued(a)}
        return tuple(Result((name,), node) for name, node in found.items())

    def _valued(self, a: Assignment) -> Node:
        low = self.low
        if self.plan.spec.params[a.name].dtype != "complex":
            return self._real(low.value(a.body, "", a.letters))
        return joined(low, low.part_values(a.body, "", a.letters))

    def _stacked(self, a: Assignment) -> dict[str, Node]:
        """The stretches of a stacked value, each in the shape of its param."""
        low, params = self.low, self.plan.spec.params
        whole = self._real(low.value(a.body, "", a.letters))
        groups = [[Axis(low.b.fresh(x), low.letters[x]) for x in params[name].letters] for name in a.parts]
        return {name: low.b.part(whole, a.letters[0], groups, k) for k, name in enumerate(a.parts)}

    def _real(self, node: Node) -> Node:
        if node.dtype not in ("integer", "boolean"):
            return node
        return self.low.b.map(("real", slot(0)), [node], "real")


def _listed(group: tuple[Assignment, ...]) -> str:
    return ", ".join(p for a in group for p in a.params)


__all__ = ["Plan", "Roles", "plan_entries"]
