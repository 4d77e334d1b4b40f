"""Minimises and maximises objectives."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.domains import Domain, check_start
from vspec.runtime.errors import ArtifactError, NumericsError
from vspec.runtime.methods import Problem, method
from vspec.runtime.minimize import Minimizer, Solution
from vspec.runtime.objective import Objective
from vspec.runtime.problem import problem
from vspec.runtime.program import Program
from vspec.runtime.space import Space
from vspec.runtime.stages.events import Emit, Event, StageResult

Params = dict[str, Array]


def optimize(
    program: Program, stage: Mapping[str, Any], index: int, params: Params, bound: Bound, emit: Emit
) -> tuple[Params, StageResult]:
    """Minimise or maximise an objective over some of the params, from one or several starts; the best is kept."""
    name, line = stage["names"][0], stage.get("line")
    objective = Objective(program, name, stage)
    declared = program.manifest["params"]
    over = [p for p in declared if p in (stage.get("over") or objective.over)]
    space = Space.of(declared, over)
    domains = {p: Domain(declared[p]["domain"]) for p in over}
    check_start(domains, params, {p: d.get("line") for p, d in declared.items()})
    for option in ("epochs", "batch", "average", "counts", "schedule", "until", "update", "constraints"):
        if stage.get(option):
            raise ArtifactError("VS0807", f"this runtime cannot carry out '{option}' of a stage", line=line)
    if len(stage.get("methods", ())) != 1:
        raise ArtifactError("VS0807", f"the stage that solves for '{name}' does not name one method", line=line)
    (how,) = stage["methods"]
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
