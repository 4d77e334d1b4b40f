"""Stages that move params along derivatives: `minimize`, `maximize`, `saddle` and `descend`.

Where the objective is the same function in every step, and nothing else moves, a method steps from one evaluation to the next.
Elsewhere (other stages move, the objective reads `step` or draws, or sees another batch) each step is a turn of the method: it
evaluates where the params are now, then moves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.constrained.program import PLAIN, constrained
from vspec.runtime.constrained.strategy import kept
from vspec.runtime.errors import ArtifactError
from vspec.runtime.methods import Method, Problem, State, method
from vspec.runtime.methods.method import DIVERGED, RUNNING, select
from vspec.runtime.objective import Objective
from vspec.runtime.problem import blank, problem, remembering, restricted, told
from vspec.runtime.program import Program
from vspec.runtime.space import Space, parts
from vspec.runtime.stages.batches import Axes, Batches, Rows, placed, row_axes, taken
from vspec.runtime.stages.record import Stage, targets, with_argument
from vspec.runtime.stages.transition import (
    At,
    Figures,
    Memory,
    Params,
    Transition,
    World,
    context,
    restless,
    together,
)
from vspec.runtime.stages.update import all_finite, assigned, shaped

Point = dict[str, Array]


class Directions:
    """Directions to go against, in the place of an objective: their length is all that says where one stands."""

    line: int | None = None

    def __init__(self, program: Program, entry: str, value: str | None) -> None:
        self.program = program
        self.entry = entry
        self.objective = value

    def value(self, params: Mapping[str, Array], bound: Bound) -> Array:
        """The objective that the stage names, if it names one, else 0."""
        if self.objective is None:
            return jnp.zeros((), jnp.result_type(float))
        return jnp.asarray(self.program.call(self.objective, params, bound))

    def value_and_gradient(self, params: Mapping[str, Array], bound: Bound) -> tuple[Array, Params]:
        """The directions stand for a gradient."""
        return self.value(params, bound), dict(self.program.call(self.entry, params, bound))


@dataclass(frozen=True, slots=True)
class Known:
    """Value and gradient at the one point that is asked for."""

    known: Array
    gradient: Params

    def value_and_gradient(self, params: Mapping[str, Array], bound: Bound) -> tuple[Array, Params]:
        """What is known."""
        return self.known, self.gradient


@dataclass(frozen=True, slots=True)
class Group:
    """A method, its number in the stage, and the arrays of the point that it moves."""

    record: Mapping[str, Any]
    number: int
    names: tuple[str, ...]
    line: int | None

    def method(self, values: Mapping[str, Array]) -> Method:
        """The method with the values of those of its arguments that change from step to step: `0.lr`, `1.linear.rtol`."""
        arguments = self.record["arguments"]
        for key, value in values.items():
            number, _, path = key.partition(".")
            if number == str(self.number):
                arguments = with_argument(arguments, path, value)
        return method(self.record["name"], arguments, self.line)

    def plain(self) -> Method:
        """The method with 1 for whatever changes from step to step: for its limits, and the shapes of its memory."""
        return method(self.record["name"], _ones(self.record["arguments"]), self.line)


class Solve(Transition):
    """One or several methods, each over some of the params, on one objective.

    Its memory is the order of rows, the state of each method, the last finite value, the steps it stood, and status.
    """

    def __init__(self, program: Program, stage: Stage, alone: bool, others: Collection[str] = ()) -> None:
        """`alone` says that no other stage moves between two steps, else `others` are the params that such stages move."""
        record, line = stage.record, stage.line
        self.program, self.stage = program, stage
        declared = program.manifest["params"]
        self.objective, reads = self._objective()
        self.over = tuple(p for p in declared if p in (record.get("over") or self.objective.over))
        self.sign = -1.0 if stage.kind == "maximize" else 1.0
        self.rising = frozenset(record.get("max") or ()) if stage.kind == "saddle" else frozenset()
        self.batches = Batches(program, stage)
        self.updates: tuple[str, ...] = tuple(record.get("update") or ())
        self.moves = tuple(dict.fromkeys((*self.over, *targets(program, self.updates))))
        methods = record.get("methods") or ()
        if not methods:
            raise ArtifactError(
                "VS0807", f"the stage that solves for {_quoted(stage.names)} names no method", line=line
            )
        self.groups = tuple(self._group(k, how, line) for k, how in enumerate(methods))
        changing = bool(self.batches) or bool(self.updates) or restless(program, reads)
        self.restless = changing
        self.fixed = alone and not changing and len(self.groups) == 1
        self.kept = frozenset(p for p in self.over if p not in others and not self.batches.splits(p))
        self.strategy: Mapping[str, Any] | None = record.get("constraints")
        self.kinds = frozenset(declared[p]["domain"] for p in self.over)
        plain = [self._kept(g.plain(), {}) for g in self.groups]
        self.limit = max(m.limit for m in plain)
        self.chunk = min(m.chunk for m in plain)

    def _objective(self) -> tuple[Any, list[str]]:
        """What is solved for, and the entries that say what it is."""
        record, program = self.stage.record, self.program
        if self.stage.kind == "descend":
            value = (record.get("entries") or {}).get("value")
            return Directions(program, record["directions"], value), [record["directions"]]
        objective = Objective(program, self.stage.names[0], record)
        return objective, [*objective.entries.values()]

    def _group(self, number: int, how: Mapping[str, Any], line: int | None) -> Group:
        declared = self.program.manifest["params"]
        over = how.get("over") or self.over
        names = [n for p in over for n in (parts(p) if declared[p].get("dtype") == "complex" else (p,))]
        return Group(how, number, tuple(names), line)

    def space(self, bound: Bound) -> Space:
        """The space that the methods move in."""
        entry = next((e.name for e in self.program.entries.values() if e.kind == "bounds"), None)
        ends = self.program.call(entry, {}, bound) if entry else {}
        bare = [n for g in self.groups if g.plain().plain for n in g.record.get("over") or self.over]
        plain = PLAIN.get(self.strategy["name"], ()) if self.strategy is not None else ()
        return Space.of(self.program.manifest["params"], self.over, ends, plain, bare)

    # --- what a step sees ---------------------------------------------------------------------------------------

    def _problems(
        self, space: Space, params: Params, point: Point, bound: Bound, known: tuple[Array, Params] | None = None
    ) -> list[Problem]:
        """A problem per group, which share the evaluation at the point; `known` is the objective's, if it is made already."""
        fixed = {k: x for k, x in params.items() if k not in self.over}

        def of(objective: Any) -> Problem:
            whole = problem(objective, space, self.sign, fixed, bound, self.rising)
            if self.strategy is None:
                return whole
            return constrained(whole, self.program, self.stage.record, space, self.sign, fixed, bound)

        if len(self.groups) == 1 and known is None:
            return [of(self.objective)]
        here = None if known is None else of(Known(*known)).value_and_gradient(point)
        whole = remembering(of(self.objective), point, here)
        return [restricted(whole, point, g.names) for g in self.groups]

    def _joint(self, params: Params, bound: Bound) -> tuple[tuple[Array, Params] | None, Params]:
        """Value and gradient, where one entry gives them with the update, and the values of the update."""
        entry = self.stage.record.get("step")
        if self.fixed or not entry:
            return None, assigned(self.program, self.updates, params, bound)
        *moved, values = self.program.call(entry, params, bound)
        if self.stage.kind == "descend":
            moved = [self.objective.value(params, bound), *moved]
        value, gradient = moved
        if not isinstance(gradient, Mapping):
            gradient = {self.over[0]: gradient}
        return (jnp.asarray(value), dict(gradient)), shaped(values, params)

    def _methods(self, params: Params, bound: Bound) -> list[Method]:
        entry = self.stage.record.get("schedule")
        values = self.program.call(entry, params, bound) if entry else {}
        return [self._kept(g.method(values), values) for g in self.groups]

    def _kept(self, how: Method, values: Mapping[str, Array]) -> Method:
        """The method under the stage's way to keep constraints, whose arguments may change, too: `constraints.penalty`."""
        if self.strategy is None:
            return how
        arguments = _ones(self.strategy["arguments"])
        for key, value in values.items():
            where, _, path = key.partition(".")
            if where == "constraints":
                arguments = with_argument(arguments, path, value)
        return kept(how, {**self.strategy, "arguments": arguments}, self.kinds, self.stage.line)

    def _point(self, space: Space, params: Params, states: tuple[State, ...] = ()) -> Point:
        """Where the methods are: their own points, except for what others have moved."""
        point = space.inward(params)
        known = {k: x for s in states for k, x in s.point.items()}
        kept = {n for p in self.kept for n in (*parts(p), p)}
        return {k: known[k] if k in kept and k in known else x for k, x in point.items()}

    # --- the transition -----------------------------------------------------------------------------------------

    def begin(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """Evaluates the start."""
        return self._begin(world, params, at, evaluate=True)

    def looks(self) -> bool:
        """Where every step is a turn of methods that do."""
        return not self.fixed and all(self._kept(g.plain(), {}).looks for g in self.groups)

    def blank(self, world: World, params: Params, at: At) -> tuple[Memory, Params]:
        """As if the objective were 0."""
        return self._begin(world, params, at, evaluate=False)

    def _begin(self, world: World, params: Params, at: At, evaluate: bool) -> tuple[Memory, Params]:
        order = self.batches.begin(world, at)
        order, rows = self.batches.rows(world, order, at)
        bound = context(self.program, self.batches.bound(world.bound, rows, at), at)
        space = self.space(bound)
        params = {**params, **space.interior({k: params[k] for k in self.over})}
        seen = self.batches.take({**world.still, **params}, rows)
        point = self._point(space, seen)
        methods, starts = self._methods(seen, bound), [{k: point[k] for k in g.names} for g in self.groups]
        problems = self._problems(space, seen, point, bound) if evaluate else [blank(x) for x in starts]
        whole = self._point(space, {**world.still, **params}) if self.batches else {}
        axes = self._memory_axes(world, whole) if self.batches else []
        states = [m.init(p, x) for m, p, x in zip(methods, problems, starts, strict=True)]
        for k, marks in enumerate(axes):
            full = methods[k].init(blank(whole), {n: whole[n] for n in self.groups[k].names}).extra
            extra = _leaves(lambda a, small, big: big if any(a) else small, marks, states[k].extra, full)
            states[k] = states[k]._replace(extra=extra)
        status = self._status(states) if evaluate else jnp.full((), RUNNING, jnp.int32)
        return (order, tuple(states), states[0].value, status, jnp.asarray(True)), params

    def step(self, world: World, memory: Memory, params: Params, at: At) -> tuple[Memory, Params]:
        """One step of every method, from the same values; what is assigned beside it is made of these, too."""
        order, states, value, *_ = memory
        order, rows = self.batches.rows(world, order, at)
        bound = context(self.program, self.batches.bound(world.bound, rows, at), at)
        seen = self.batches.take({**world.still, **params}, rows)
        space = self.space(bound)
        point = self._point(space, seen, states)
        known, values = self._joint(seen, bound)
        methods, problems = self._methods(seen, bound), self._problems(space, seen, point, bound, known)
        if self.fixed:
            new = [methods[0].step(problems[0], states[0])]
        else:
            axes: list[list[Axes] | None] = [None] * len(states)
            if self.batches:
                axes = [*self._memory_axes(world, self._point(space, {**world.still, **params}))]
            new = []
            for g, m, p, state, a in zip(self.groups, methods, problems, states, axes, strict=True):
                here = state._replace(extra=_rows(a, state.extra, rows))
                turned = m.turn(p, here, {k: point[k] for k in g.names})
                new.append(turned._replace(extra=_placed(a, state.extra, turned.extra, rows)))
        status = self._status(new)
        value = jnp.where((status == DIVERGED) & (new[0].steps > 0), value, new[0].value)
        moved = space.outward({k: x for s in new for k, x in s.point.items()})
        fine = all_finite(values)
        moved |= select(fine, values, {k: seen[k] for k in values})
        status = jnp.where(fine, status, DIVERGED).astype(jnp.int32)
        return (order, tuple(new), value, status, fine), self.batches.put(params, moved, rows)

    def _status(self, states: list[State]) -> Array:
        status = together([s.status for s in states])
        # An objective that differs in the next step is not solved by being solved in this one.
        return jnp.where(status == DIVERGED, DIVERGED, RUNNING).astype(jnp.int32) if self.restless else status

    def status(self, memory: Memory) -> Array:
        """RUNNING, TOLERANCE, STALLED or DIVERGED."""
        status: Array = memory[3]
        return status

    def kernel(self, memory: Memory) -> Params:
        """The kernel of a sweep in the scaling form."""
        return self.groups[0].plain().kernel(memory[1][0]) if len(self.groups) == 1 else {}

    def figures(self, memory: Memory) -> Figures:
        """Value of the objective as written, measure of optimality, steps, and which gradients are not finite."""
        _, states, value, status, fine = memory
        measure = jnp.max(jnp.stack([s.measure for s in states]))
        steps = jnp.max(jnp.stack([s.steps for s in states]))
        bad = {k: ~jnp.all(jnp.isfinite(g)) for s in states for k, g in s.gradient.items()}
        found = {"value": self.sign * value, "gradient": measure, "steps": steps, "status": status, "bad": bad}
        if self.strategy is None and len(states) == 1 and isinstance(self.objective, Objective):
            form = replace(blank(states[0].point), **told(self.objective))
            found |= self.groups[0].plain().tally(form, states[0])
        if self.updates:
            found["assigned"] = fine
        if self.strategy is not None and len(states) == 1:
            multipliers = self._kept(self.groups[0].plain(), {}).multipliers(states[0])
            found |= {} if multipliers is None else {"multipliers": multipliers}
        if self.stage.kind == "descend" and self.objective.objective is None:
            del found["value"]
        return {self.stage.key: found}

    def unseen(self) -> set[str]:
        """The stage, where each step evaluates before it moves. On batches there is nothing to be seen at the end."""
        return set() if self.fixed or self.batches else {self.stage.key}

    # --- memory of rows -----------------------------------------------------------------------------------------

    def _memory_axes(self, world: World, point: Point) -> list[list[Axes]]:
        """Of each method, which axes of its memory are rows of a batched dim. `point` has all rows."""
        axes = {n: self.batches.params[p] for p in self.over for n in (p, *parts(p)) if n in point}
        dims = [d for d in self.batches.sizes if any(d in a for a in axes.values())]
        found = []
        for g in self.groups:
            how = g.plain()

            def make(sizes: Mapping[str, int], g: Group = g, how: Method = how) -> Any:
                shapes = {}
                for n in g.names:
                    shape = tuple(sizes.get(a, size) for a, size in zip(axes[n], point[n].shape, strict=True))
                    shapes[n] = jax.ShapeDtypeStruct(shape, point[n].dtype)  # type: ignore[no-untyped-call]
                return jax.eval_shape(lambda at: how.init(blank(at), at).extra, shapes)

            try:
                found.append(row_axes(make, dims, {d: world.bound.sizes[d] for d in dims}))
            except ValueError:
                split = [p for p in self.over if self.batches.splits(p)]
                raise ArtifactError(
                    "VS0807",
                    f"method '{g.record['name']}' has no memory for single rows of {_quoted(split)}, of which a step "
                    "sees a batch",
                    "use a first-order method, such as sgd or adam",
                    self.stage.line,
                ) from None
        return found


def _leaves(f: Callable[..., Array], axes: Sequence[Axes], *trees: Any) -> Any:
    """A function of the axes and the leaves of trees of one structure."""
    leaves = [jax.tree.leaves(t) for t in trees]
    new = [f(a, *xs) for a, *xs in zip(axes, *leaves, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(trees[0]), new)


def _rows(axes: Sequence[Axes] | None, tree: Any, rows: Rows) -> Any:
    return tree if axes is None else _leaves(lambda a, x: taken(x, a, rows), axes, tree)


def _placed(axes: Sequence[Axes] | None, tree: Any, new: Any, rows: Rows) -> Any:
    return new if axes is None else _leaves(lambda a, x, y: placed(x, y, a, rows), axes, tree, new)


def _ones(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with 1 in the place of what is null."""
    inner = {k: {**v, "arguments": _ones(v["arguments"])} for k, v in arguments.items() if isinstance(v, Mapping)}
    return {**{k: 1.0 if v is None else v for k, v in arguments.items()}, **inner}


def _quoted(names: Collection[str]) -> str:
    return ", ".join(f"'{n}'" for n in names)
