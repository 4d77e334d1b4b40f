"""Shipped problems as solvers: as vspec runs them, and as functions of one flat vector for others to work on."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import vspec
from benchmarks.reaching import Solver
from vspec.compiler import pipeline
from vspec.runtime.constraints import violations
from vspec.runtime.objective import Objective
from vspec.runtime.program import Program
from vspec.runtime.stages import execute

SPECS = Path(__file__).resolve().parent.parent / "specs" / "problems"


def shipped(name: str, *runs: str) -> Any:
    """A problem of `specs/problems`, built and loaded; if runs of it are named, a list of their programs."""
    folder = Path(tempfile.mkdtemp()) / "out"
    built = pipeline.build(SPECS / f"{name}.yaml", folder, stablehlo=False).directory
    return [vspec.load(built, run) for run in runs] if runs else vspec.load(built)


def written(text: str) -> Program:
    """The program of a spec that is given as text."""
    folder = Path(tempfile.mkdtemp())
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    return vspec.load(pipeline.build(folder / "spec.yaml", folder / "out", stablehlo=False).directory)


def with_setting(program: Program, keyword: str, setting: float) -> Program:
    """The program with another tolerance of its one stage (`tol`), or another number of steps (`steps`)."""
    manifest = copy.deepcopy(dict(program.manifest))
    (stage,) = manifest["plan"]
    if keyword == "steps":
        stage["steps"] = int(setting)
    else:
        for how in stage["methods"]:
            how["arguments"][keyword] = setting
        if keyword in ((stage.get("constraints") or {}).get("arguments") or {}):
            stage["constraints"]["arguments"][keyword] = setting
    return Program(manifest, program.module, program.directory)


def ours(
    program: Program,
    settings: Sequence[float],
    keyword: str = "tol",
    data: Mapping[str, Any] | None = None,
    bound: bool = True,
) -> Solver:
    """The program's own stage. Where `bound` is false, checking and preparing the data is part of every solve."""

    def at(setting: float) -> Callable[[], Any]:
        changed = with_setting(program, keyword, setting)
        if bound:
            given = changed.bind(data)
            start = changed.initial_params(given)
            return lambda: execute(changed, start, given).params

        def solve() -> Any:
            given = changed.bind(data)
            return execute(changed, changed.initial_params(given), given).params

        return solve

    return Solver(keyword, settings, at, Flat(program, data).judged)


class Flat:
    """The objective of a program's one stage and its constraints, as functions of one NumPy vector, made small.

    Derivatives are the program's own, compiled. Constraints are `equal = 0` and `less <= 0`.
    """

    def __init__(self, program: Program, data: Mapping[str, Any] | None = None) -> None:
        self.program = program
        self.bound = program.bind(data)
        (self.record,) = program.manifest["plan"]
        self.sign = -1.0 if self.record["kind"] == "maximize" else 1.0
        start = program.initial_params(self.bound)
        self.shapes = {k: np.asarray(start[k]) for k in self.record["over"]}
        flat, self.point = ravel_pytree({k: start[k] for k in self.record["over"]})
        self.start = np.asarray(flat)
        objective = Objective(program, self.record["names"][0], self.record)
        point, sign = self.point, self.sign

        def both(x: Any, bound: Any) -> Any:
            value, gradient = objective.value_and_gradient(point(x), bound)
            return sign * value, sign * ravel_pytree({k: gradient[k] for k in self.shapes})[0]

        def gaps(x: Any, bound: Any) -> Any:
            found = program.call("constraints", point(x), bound)
            return self._joined({k: jnp.ravel(found[k]) for k in self.relations}, jnp.zeros(0))

        def rows(x: Any, bound: Any) -> Any:
            found = program.call(self.record["entries"]["constraint_jacobian"], point(x), bound)
            wide = {
                k: jnp.concatenate([jnp.reshape(found[k][p], (-1, v.size)) for p, v in sorted(self.shapes.items())], 1)
                for k in self.relations
            }
            return self._joined(wide, jnp.zeros((0, self.start.size)))

        def terms(x: Any, bound: Any) -> Any:
            return jnp.concatenate([jnp.ravel(r) for r in objective.residuals(point(x), bound)])

        def slopes(x: Any, bound: Any) -> Any:
            _, _, jacobian = objective.squares(point(x), bound)
            return jnp.concatenate([jnp.reshape(r[k], (-1, self.start.size)) for r in jacobian for k in self.shapes])

        self._both, self._gaps, self._rows = jax.jit(both), jax.jit(gaps), jax.jit(rows)
        self._terms, self._slopes = jax.jit(terms), jax.jit(slopes)

    def _joined(self, parts: Mapping[str, Any], empty: Any) -> tuple[Any, Any]:
        sides = ([v for k, v in parts.items() if self.relations[k] == r] for r in ("eq", "le"))
        equal, less = (jnp.concatenate(s) if s else empty for s in sides)
        return equal, less

    @cached_property
    def relations(self) -> Mapping[str, str]:
        """Constraint → `eq` or `le`."""
        return {k: v["relation"] for k, v in self.program.manifest["constraints"].items()}

    @cached_property
    def box(self) -> tuple[Any, Any] | None:
        """The ends of every entry, if any has one."""
        domains = {k: d for k, d in self.program.domains(self.bound).items() if k in self.shapes}
        if not any(d.kind == "box" for d in domains.values()):
            return None

        def ends(side: str, none: float) -> Any:
            parts = {
                k: np.broadcast_to(getattr(domains[k], side) if domains[k].kind == "box" else none, v.shape)
                for k, v in self.shapes.items()
            }
            return np.asarray(ravel_pytree(parts)[0])

        return ends("lower", -np.inf), ends("upper", np.inf)

    def value_and_gradient(self, x: Any) -> tuple[float, Any]:
        """Both, as NumPy's."""
        value, gradient = self._both(x, self.bound)
        return float(value), np.asarray(gradient)

    def gaps(self, x: Any) -> tuple[Any, Any]:
        """`equal` and `less`."""
        equal, less = self._gaps(x, self.bound)
        return np.asarray(equal), np.asarray(less)

    def rows(self, x: Any) -> tuple[Any, Any]:
        """Their Jacobians."""
        equal, less = self._rows(x, self.bound)
        return np.asarray(equal), np.asarray(less)

    def residuals(self, x: Any) -> Any:
        """What is squared."""
        return np.asarray(self._terms(x, self.bound))

    def jacobian(self, x: Any) -> Any:
        """Its derivatives."""
        return np.asarray(self._slopes(x, self.bound))

    def judged(self, solution: Any) -> tuple[float, float]:
        """Value and violation at a flat vector or at params, both from the program."""
        params = solution if isinstance(solution, Mapping) else self.point(jnp.asarray(solution))
        params = {k: jnp.asarray(params[k]) for k in self.shapes}
        value = float(self._both(ravel_pytree(params)[0], self.bound)[0])
        missed = violations(self.program, params, self.bound).values()
        outside = (
            d.violation(np.asarray(params[k])) for k, d in self.program.domains(self.bound).items() if k in params
        )
        return value, max([*missed, *outside, 0.0])
