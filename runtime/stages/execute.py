"""Executes the stages of a plan: one executor per kind, each from params to params."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.errors import ArtifactError, near
from vspec.runtime.program import Program
from vspec.runtime.stages.events import Emit, StageResult
from vspec.runtime.stages.optimize import optimize

Params = dict[str, Array]

Executor = Callable[[Program, Mapping[str, Any], int, Params, Bound, Emit], tuple[Params, StageResult]]


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
