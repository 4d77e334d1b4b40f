"""Tracked means: `E[z](e, by=tracked(samples=n, rate=r))`, the running mean of the means of n draws over the steps of a stage.

What is kept of it is a param of the checker's, for each value of the free indices of e, and so is whether it has begun; each
step of a stage that reads the mean assigns both, with the values before the step, as an `update` of the spec would. So
checkpoints, sweeps and results have them, and a mean goes on from stage to stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.batches import rebuilt
from vspec.compiler.language.bodies import Body, bodies
from vspec.compiler.language.counters import first_of, reached
from vspec.compiler.language.expectations import TRACKED
from vspec.compiler.language.expr import Affine, Element, Expectation, Expr, Implicit, Number, Sample
from vspec.compiler.language.spec import Assignment, Domain, Param, Spec, Stage, labelled
from vspec.compiler.language.substitute import nodes, parts
from vspec.runtime.registry import METHODS

NEXT = "next"
# What has no step, or is asked for after its step.
_OUTSIDE = {
    "output": "an output is computed when all stages have ended",
    "claim": "a claim is judged when all stages have ended",
    "constraint": "a constraint is asked for more than once in a step",
    "param": "a param starts before the first stage",
    "bound": "a domain is known before the first stage",
    "count": "a count is known before the first step",
    "until": "whether a stage ends is asked when its step is done",
}
_OTHERWISE = "write by=samples(n) there, or by=quadrature(n)"


def with_tracked(sink: Sink, spec: Spec) -> Spec:
    """The spec with what keeps its tracked means; an error where one has no meaning (VS0698)."""
    found = [(b, e) for b in bodies(spec) for e in nodes(b.expr) if _is_tracked(e)]
    if not found:
        return spec
    before = len(sink.errors)
    _refuse(sink, spec, found)
    if len(sink.errors) > before:
        return spec
    kept = _Kept(spec)
    equations, objectives = kept.within(spec.equations), kept.within(spec.objectives)
    changed = replace(spec, equations=equations, objectives=objectives, params={**spec.params, **kept.params})
    return replace(changed, plan=tuple(_assigning(changed, kept, stage) for stage in kept.within(spec.plan)))


def _is_tracked(e: Expr) -> bool:
    return isinstance(e, Expectation) and e.way.word == TRACKED


# --- where there is none ------------------------------------------------------------------------------------------


def _refuse(sink: Sink, spec: Spec, found: Sequence[tuple[Body, Expr]]) -> None:
    """Records each place where a tracked mean has no meaning."""
    said, said_inside = set[int](), set[int]()
    for body, e in found:
        assert isinstance(e, Expectation)
        if id(e) in said:
            continue
        said.add(id(e))
        if body.loops or body.kind in ("init", "step", "stop"):
            name = body.loops[-1].letter if body.loops else body.name
            message = f"a running mean is one of steps of a stage, and this stands in a step over '{name}'"
            sink.error("VS0698", message, e.span, label="kept from where to where?", help=_OTHERWISE)
        else:
            _drawn(sink, spec, e)
    for e in (e for b, _ in found for top in nodes(b.expr) if isinstance(top, Implicit) for e in nodes(top)):
        if _is_tracked(e) and id(e) not in said_inside:
            said_inside.add(id(e))
            message = (
                "a running mean is one of steps of a stage, and this stands in a problem that is solved in each step"
            )
            sink.error("VS0698", message, e.span, label="no mean of iterations", help=_OTHERWISE)
    sources = frozenset(b.name for b, _ in found if b.kind in ("definition", "objective"))
    names = reached(spec, sources)
    for body in bodies(spec):
        if body.kind in _OUTSIDE:
            own = next((e for e in nodes(body.expr) if _is_tracked(e)), None)
            read = own if own is not None else first_of(body.expr, names)
            if read is not None:
                what = (
                    f"'{read.name}' has a running mean in it, which" if isinstance(read, Element) else "a running mean"
                )
                sink.error(
                    "VS0698",
                    f"{what} has a value in the steps of a stage alone",
                    read.span,
                    label="no value here",
                    help=(_OUTSIDE[body.kind], _OTHERWISE),
                )
    for _, stage in labelled(spec.plan):
        hit = next((n for n in stage.names if n in names), None)
        if hit is None:
            continue
        blind = next((m for m in stage.methods if METHODS[m.name].compares), None)
        if stage.kind == "evaluate":
            message = f"'{hit}' has a running mean in it, which has a value in the steps of a stage alone"
            sink.error("VS0698", message, stage.span, label="this takes no steps", help=_OTHERWISE)
        elif blind is not None:
            sink.error(
                "VS0698",
                f"'{blind.name}' compares values of '{hit}', and its running mean is another in each step",
                blind.span,
                label="cannot follow it",
                help="write sgd, adam or another method that follows a gradient, or by=quadrature(n) for the expectation",
            )


def _drawn(sink: Sink, spec: Spec, e: Expectation) -> None:
    """Refuses a mean of what depends on draws that it does not average: there would be another mean for each of them."""
    direct: dict[str, list[Expr]] = {}
    for b in bodies(spec):
        if b.kind in ("definition", "init", "step"):
            direct.setdefault(b.name, []).append(b.expr)
    seen: set[tuple[str, frozenset[str]]] = set()
    stack: list[tuple[Expr, frozenset[str]]] = [(e, frozenset())]
    while stack:
        top, averaged = stack.pop()
        if isinstance(top, Expectation):
            averaged |= set(top.names)
            stack += [(x, averaged) for x in (*top.bodies, *(y for n in top.names for y in direct.get(n, ())))]
            continue
        stack += [(x, averaged) for x in parts(top)]
        if not isinstance(top, Element) or top.name in averaged or (top.name, averaged) in seen:
            continue
        seen.add((top.name, averaged))
        if any(isinstance(y, Sample) for expr in direct.get(top.name, ()) for y in nodes(expr)):
            label = f"the draw of '{top.name}' is another in each step"
            names = ", ".join((*e.names, top.name))
            help = f"write E[{names}](...)" if top.name in spec.random else _OTHERWISE
            sink.error("VS0698", f"this mean depends on '{top.name}'", e.span, label=label, help=help)
            return
        stack += [(x, averaged) for x in direct.get(top.name, ())]


# --- what keeps it ------------------------------------------------------------------------------------------------


@dataclass
class _Kept:
    """What keeps the tracked means of a spec. `means`: the mean, with its state, by the name of the param that keeps it."""

    spec: Spec
    params: dict[str, Param] = field(default_factory=dict)
    means: dict[str, Expectation] = field(default_factory=dict)
    known: dict[tuple[Span, ...], list[tuple[Expectation, Expectation]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for body in bodies(self.spec):
            for e in nodes(body.expr):
                if isinstance(e, Expectation) and _is_tracked(e):
                    self._state(e, body.name)

    def within(self, value: Any) -> Any:
        """A part of the spec whose tracked means know what keeps them."""
        return rebuilt(value, lambda e: self._state(e) if isinstance(e, Expectation) and _is_tracked(e) else None)

    def _state(self, e: Expectation, owner: str = "") -> Expectation:
        """The mean with its state; `owner` is what its params are called after."""
        known = self.known.setdefault(e.place, [])
        for old, new in known:
            if old == e:
                return new
        bodies = tuple(rebuilt(b, lambda x: self._inner(x, owner)) for b in e.bodies)
        mean = self._free(f"tracked_{owner.strip('_')}")
        pair = (mean, self._free(f"{mean}_begun"))
        letters = tuple(Affine(x) for x in e.axes)
        state = tuple(Element(span=e.span, axes=e.axes, dtype="real", name=n, subscripts=letters) for n in pair)
        for n in pair:
            zero = Number(span=e.span, dtype="real", value=0.0)
            self.params[n] = Param(n, e.axes, "real", zero, Domain("real"), e.span)
        made = replace(e, bodies=bodies, way=replace(e.way, state=state))
        known.append((e, made))
        self.means[mean] = made
        return made

    def _inner(self, e: Expr, owner: str) -> Expr | None:
        return self._state(e, owner) if isinstance(e, Expectation) and _is_tracked(e) else None

    def _free(self, wish: str) -> str:
        taken = {*self.spec.params, *self.spec.data, *self.spec.constants, *self.spec.outputs, *self.params}
        taken |= {b.name for b in bodies(self.spec)}
        name, k = wish, 2
        while name in taken:
            name, k = f"{wish}_{k}", k + 1
        return name

    def update(self, mean: str) -> tuple[Assignment, ...]:
        """What a step assigns to the params of a mean."""
        e = self.means[mean]
        one = Number(span=e.span, dtype="real", value=1.0)
        value, begun = e.way.state
        return (
            Assignment(value.name, e.axes, replace(e, op=NEXT), e.span),
            Assignment(begun.name, e.axes, one, e.span),
        )


def _assigning(spec: Spec, kept: _Kept, stage: Stage) -> Stage:
    """The stage with the updates of the tracked means that it reads."""
    if stage.stages:
        return replace(stage, stages=tuple(_assigning(spec, kept, s) for s in stage.stages))
    direct: dict[str, list[Expr]] = {}
    for b in bodies(spec):
        if b.kind in ("definition", "init", "step", "stop", "objective"):
            direct.setdefault(b.name, []).append(b.expr)

    def means(roots: Iterable[Expr]) -> set[str]:
        """The tracked means that expressions read, themselves or through definitions."""
        stack, seen, found = list(roots), set[str](), set[str]()
        while stack:
            for e in nodes(stack.pop()):
                if isinstance(e, Expectation) and e.way.state:
                    found.add(e.way.state[0].name)
                elif isinstance(e, Element) and e.name not in seen:
                    seen.add(e.name)
                    stack += direct.get(e.name, ())
        return found

    groups = [list(group) for group in stage.updates]
    read = [means(a.body for a in group) for group in groups]
    rest = [d.body for d in stage.directions] + list(stage.schedule.values())
    rest += [x for name in stage.names for x in direct.get(name, ())]
    left = means(rest)
    for mean in kept.means:
        where = [k for k, found in enumerate(read) if mean in found]
        if not where and mean in left and not groups:
            groups, read = [[]], [set()]
        if where or mean in left:
            # A group reads what those before it assigned: the last one to read a mean is the one to move it on.
            groups[where[-1] if where else 0] += kept.update(mean)
    return replace(stage, updates=tuple(tuple(group) for group in groups))
