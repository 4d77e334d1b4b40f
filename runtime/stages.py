"""Executes the stages of a plan: one executor per kind, each from params to params."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.domains import Domain, check_start
from vspec.runtime.errors import ArtifactError, NumericsError, near
from vspec.runtime.methods import Problem, method
from vspec.runtime.minimize import Minimizer, Solution
from vspec.runtime.objective import Objective
from vspec.runtime.program import Program
from vspec.runtime.space import Space

Params = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Event:
    """One report of a running stage. `value` is the objective as written, `gradient` its largest absolute entry."""

    stage: int
    kind: str
    name: str
    start: int
    starts: int
    step: int
    steps: int
    value: float
    gradient: float

    def row(self) -> dict[str, Any]:
        """The event as a row of metrics.jsonl."""
        keys = ("stage", "start", "step", "value", "gradient")
        return {k: getattr(self, k) for k in keys}


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did. `value` and `gradient` are of the best start; `starts` has value, steps and reason of each."""

    kind: str
    names: tuple[str, ...]
    method: str | None = None
    reason: str | None = None
    steps: int = 0
    value: float | None = None
    gradient: float | None = None
    seconds: float = 0.0
    compile_seconds: float = 0.0
    starts: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


Executor = Callable[[Program, Mapping[str, Any], int, Params, Bound, Emit], tuple[Params, StageResult]]


def optimize(
    program: Program, stage: Mapping[str, Any], index: int, params: Params, bound: Bound, emit: Emit
) -> tuple[Params, StageResult]:
    """Minimise or maximise an objective over some of the params, from one or several starts; the best is kept."""
    name, line = stage["names"][0], stage.get("line")
    objective = program.derivatives(name)
    declared = program.manifest["params"]
    over = [p for p in declared if p in (stage.get("over") or objective.over)]
    space = Space.of(declared, over)
    domains = {p: Domain(declared[p]["domain"]) for p in over}
    check_start(domains, params, {p: d.get("line") for p, d in declared.items()})
    how = stage.get("method")
    if how is None:
        raise ArtifactError("VS0807", f"the stage that solves for '{name}' names no method", line=line)
    solver = method(how["name"], how["arguments"], line)
    sign = -1.0 if stage["kind"] == "maximize" else 1.0
    fixed = {k: v for k, v in params.items() if k not in over}

    context, point = (fixed, bound), space.inward(params)

    def build(context: tuple[Params, Bound]) -> Problem:
        return problem(objective, space, sign, *context)

    key = (json.dumps(stage, sort_keys=True), _signature((context, point)))
    fresh = key not in program.compiled
    if fresh:
        program.compiled[key] = Minimizer(build, solver, context, point, stage.get("steps"))
    minimizer: Minimizer = program.compiled[key]
    starts = stage.get("starts") or 1
    solutions: list[Solution] = []
    for k in range(starts):
        begun = params if k == 0 else space.perturbed(params, np.random.default_rng([bound.seed, k]))

        def report(step: int, value: float, gradient: float, k: int = k) -> None:
            emit(Event(index, stage["kind"], name, k, starts, step, minimizer.limit, sign * value, gradient))

        solutions.append(minimizer.run(context, space.inward(begun), report))
    good = [s for s in solutions if s.reason != "diverged"]
    if not good:
        raise _diverged(objective, name, solutions[0], sign, line)
    best = min(good, key=lambda s: s.value)
    result = StageResult(
        kind=stage["kind"],
        names=tuple(stage["names"]),
        method=how["name"],
        reason=best.reason,
        steps=best.steps,
        value=sign * best.value,
        gradient=best.gradient,
        seconds=sum(s.seconds for s in solutions),
        compile_seconds=minimizer.compile_seconds if fresh else 0.0,
        starts=tuple({"value": sign * s.value, "steps": s.steps, "reason": s.reason} for s in solutions),
    )
    return {**params, **space.outward(best.point)}, result


def _signature(tree: Any) -> Any:
    """What a compiled function depends on: the structure of its arguments, their shapes and types."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((x.shape, str(x.dtype)) for x in leaves)


def problem(objective: Objective, space: Space, sign: float, fixed: Params, bound: Bound) -> Problem:
    """The objective as a function of points of the space, to be minimised; derivatives have the params' dtypes."""

    def params(point: Mapping[str, Array]) -> Params:
        return {**fixed, **space.outward(point)}

    def value(point: Mapping[str, Array]) -> Array:
        return sign * objective.value(params(point), bound)

    def value_and_gradient(point: Mapping[str, Array]) -> tuple[Array, Params]:
        at = params(point)
        v, g = objective.value_and_gradient(at, bound)
        return sign * v, space.gradient(at, {k: sign * g[k].astype(at[k].dtype) for k in space.domains})

    def newton(point: Mapping[str, Array]) -> tuple[Array, Params, dict[str, dict[str, Array]]]:
        at = params(point)
        v, g, h = objective.newton(at, bound)
        gradient = {k: sign * g[k].astype(at[k].dtype) for k in space.domains}
        hessian = {p: {q: sign * h[p][q].astype(point[p].dtype) for q in space.names} for p in space.names}
        return sign * v, space.gradient(at, gradient), space.hessian(at, gradient, hessian)

    return Problem(value, value_and_gradient, newton)


def _diverged(objective: Objective, name: str, solution: Solution, sign: float, line: int | None) -> NumericsError:
    where = objective.line if objective.line is not None else line
    value = sign * solution.value
    if solution.steps == 0 and not math.isfinite(value):
        return NumericsError(
            "VS0601", f"objective '{name}' is {value} at the start", "look at the `init` of its params", where
        )
    if solution.steps == 0:
        params = dict.fromkeys(p.removesuffix(".re").removesuffix(".im") for p in solution.bad)
        listed = ", ".join(f"'{p}'" for p in params) or "its params"
        return NumericsError(
            "VS0603",
            f"objective '{name}' is {value:g} at the start, but its gradient with respect to {listed} is not finite",
            "look for a square root, norm or division at zero",
            where,
        )
    return NumericsError(
        "VS0602",
        f"objective '{name}' or its gradient became not finite in step {solution.steps}; "
        f"the last finite value was {value:g}",
        "try a shorter step",
        where,
    )


def evaluate(
    program: Program, stage: Mapping[str, Any], index: int, params: Params, bound: Bound, emit: Emit
) -> tuple[Params, StageResult]:
    """Move nothing: what the stage names is part of the outputs."""
    return params, StageResult(kind=stage["kind"], names=tuple(stage["names"]))


EXECUTORS: Mapping[str, Executor] = MappingProxyType({"minimize": optimize, "maximize": optimize, "evaluate": evaluate})


def execute(
    program: Program, params: Params, bound: Bound, emit: Emit = lambda _: None
) -> tuple[Params, tuple[StageResult, ...]]:
    """Run the plan's stages in order. Raises `ArtifactError` VS0807 for a kind that is not known, `NumericsError`."""
    results = []
    for index, stage in enumerate(program.manifest["plan"]):
        kind = stage["kind"]
        if kind not in EXECUTORS:
            raise ArtifactError(
                "VS0807", f"this runtime has no stage of kind '{kind}'", near(kind, EXECUTORS), stage.get("line")
            )
        started = time.perf_counter()
        params, result = EXECUTORS[kind](program, stage, index, params, bound, emit)
        if not result.seconds:
            result = StageResult(**{**result.as_dict(), "seconds": time.perf_counter() - started})
        results.append(result)
    return params, tuple(results)
