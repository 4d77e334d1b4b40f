"""The constraints of a stage from the entries of a program, in the space that its methods move in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.constrained.constraints import Constraints, Gaps, Jacobian, Lagrangian, Point
from vspec.runtime.constrained.projection import projector
from vspec.runtime.methods.method import Problem
from vspec.runtime.objective import Objective
from vspec.runtime.problem import problem
from vspec.runtime.program import Program
from vspec.runtime.space import Space

WEIGHT, PENALTY = "objective.weight", "constraints.penalty"
PLAIN: Mapping[str, tuple[str, ...]] = {
    "interior_point": ("box", "positive", "simplex", "unit", "orthogonal"),
    "projection": ("box", "positive", "simplex", "unit", "psd", "orthogonal"),
}
"""The kinds of domains whose params move as they are, by strategy."""


def constrained(
    whole: Problem, program: Program, record: Mapping[str, Any], space: Space, sign: float, fixed: Point, bound: Bound
) -> Problem:
    """The problem of a stage with its constraints, and with its projection if it projects.

    Args:
        whole: the objective, to be minimised.
        program: the program.
        record: the stage.
        space: the space of the stage, in which the kinds of `PLAIN` are as they are.
        sign: -1 where the objective is made large.
        fixed: the params that do not move.
        bound: the data.
    """
    kept = record["constraints"]
    found = constraints_of(program, record, space, sign, fixed, bound)
    if kept["name"] == "interior_point":
        return replace(whole, constraints=_with_domains(found, whole, space))
    if kept["name"] == "projection":
        return replace(whole, constraints=found, project=projector(space, found, kept["subject"]))
    return replace(whole, constraints=found)


def constraints_of(
    program: Program, record: Mapping[str, Any], space: Space, sign: float, fixed: Point, bound: Bound
) -> Constraints:
    """The constraints that bind what a stage moves, without its domains. The arguments are those of `constrained`."""
    return _Maker(program, record, space, sign, fixed, bound).constraints()


class _Maker:
    """Functions of points from entries, for one stage."""

    def __init__(
        self, program: Program, record: Mapping[str, Any], space: Space, sign: float, fixed: Point, bound: Bound
    ) -> None:
        self.program, self.record, self.space, self.sign = program, record, space, sign
        self.fixed, self.bound = fixed, bound
        self.entries: Mapping[str, str] = record.get("entries") or {}
        self.subject: Mapping[str, Any] = record["constraints"]["subject"]
        declared = program.manifest["constraints"]
        self.relations = {k: declared[k]["relation"] for k in self.subject}

    def params(self, point: Point) -> Point:
        """All params."""
        return {**self.fixed, **self.space.outward(point)}

    def constraints(self) -> Constraints:
        """Those of the section of that name that bind what moves."""
        return Constraints(
            self.relations,
            self.gaps,
            self.jacobian,
            self.lagrangian if "lagrangian" in self.entries else None,
            self.augmented if "augmented" in self.entries else None,
        )

    def gaps(self, point: Point) -> Gaps:
        """Left minus right of every relation."""
        if not self.subject:
            return {}
        entry = next(e.name for e in self.program.entries.values() if e.kind == "constraints")
        found = self.program.call(entry, self.params(point), self.bound)
        kind = jnp.result_type(float, *point.values())
        return {k: jnp.asarray(found[k]).astype(kind) for k in self.subject}

    def jacobian(self, point: Point) -> Jacobian:
        """By the point."""
        if not self.subject:
            return {}
        rows = self.program.call(self.entries["constraint_jacobian"], self.params(point), self.bound)
        return {k: self.space.jacobian(point, rows[k]) for k in self.subject}

    def lagrangian(self, point: Point, weight: Array, multipliers: Gaps) -> Lagrangian:
        """The objective, the gaps and the Hessian of the Lagrangian."""
        at, sign = self.params(point), self.sign
        value, gradient, gaps, rows, hessian = self.program.call(
            self.entries["lagrangian"], at, self.weighted(multipliers, **{WEIGHT: sign * weight})
        )
        if not isinstance(gradient, Mapping):
            gradient = {self.record["over"][0]: gradient}
        gradient = {k: sign * gradient[k].astype(at[k].dtype) for k in self.space.domains}
        force = dict(gradient) if not self.space.maps else self._force(gradient, rows, weight, multipliers)
        names = self.space.names
        square = {p: {q: hessian[p][q].astype(point[p].dtype) for q in names} for p in names}
        return Lagrangian(
            sign * value,
            self.space.gradient(point, gradient),
            {k: jnp.asarray(gaps[k]) for k in self.subject},
            {k: self.space.jacobian(point, rows[k]) for k in self.subject},
            self.space.hessian(point, force, square),
        )

    def _force(self, gradient: Point, rows: Any, weight: Array, multipliers: Gaps) -> Point:
        """The gradient of the Lagrangian by the params that move in coordinates."""
        found = {}
        for p in self.space.maps:
            total = weight * gradient[p]
            for k in self.subject:
                total = total + jnp.tensordot(multipliers[k], rows[k][p], axes=multipliers[k].ndim)
            found[p] = total
        return {**gradient, **found}

    def augmented(self, multipliers: Gaps, penalty: Array) -> Problem:
        """The augmented Lagrangian."""
        entries = {k.removeprefix("augmented_"): e for k, e in self.entries.items() if k.startswith("augmented_")}
        over = self.record["over"]
        objective = Objective(self.program, self.entries["augmented"], {"entries": entries, "over": over})
        bound = self.weighted(multipliers, **{WEIGHT: jnp.asarray(self.sign), PENALTY: penalty})
        return problem(objective, self.space, 1.0, self.fixed, bound)

    def weighted(self, multipliers: Gaps, **weights: Array) -> Bound:
        """The data with multipliers, named as the entries name them."""
        named = {f"{k}.multiplier": m for k, m in multipliers.items() if k in self.subject}
        return replace(self.bound, multipliers={**named, **weights})


# --- domains as constraints ---------------------------------------------------------------------------------------


def _with_domains(found: Constraints, whole: Problem, space: Space) -> Constraints:
    """The constraints with those that domains stand for: ends, and equations of simplices and spheres."""
    own = _equations(space)
    lower, upper = {}, {}
    for p, kind in space.domains.items():
        if p in space.maps:
            continue
        if kind in ("positive", "simplex"):
            lower[p] = 0.0
        elif kind == "box":
            lower[p], upper[p] = space.ends[p]["lower"], space.ends[p]["upper"]

    def gaps(point: Point) -> Gaps:
        return found.gaps(point) | {k: f(point[p]) for k, (p, f) in own.items()}

    def rows(point: Point) -> Jacobian:
        return {k: _rows(point, p, f) for k, (p, f) in own.items()}

    def lagrangian(point: Point, weight: Array, multipliers: Gaps) -> Lagrangian:
        if found.lagrangian is not None:
            base = found.lagrangian(point, weight, multipliers)
        else:
            value, gradient, hessian = whole.newton(point)
            base = Lagrangian(value, gradient, {}, {}, jax.tree.map(lambda h: weight * h, hessian))
        hessian = {p: dict(row) for p, row in base.hessian.items()}
        for k, (p, f) in own.items():
            hessian[p][p] = hessian[p][p] + jax.hessian(lambda x, k=k, f=f: jnp.sum(multipliers[k] * f(x)))(point[p])
        extra = {k: f(point[p]) for k, (p, f) in own.items()}
        return Lagrangian(base.value, base.gradient, base.gaps | extra, base.jacobian | rows(point), hessian)

    return Constraints(
        {**found.relations, **dict.fromkeys(own, "eq")},
        gaps,
        lambda point: found.jacobian(point) | rows(point),
        lagrangian,
        None,
        lower,
        upper,
        frozenset(own),
    )


def _equations(space: Space) -> dict[str, tuple[str, Callable[[Array], Array]]]:
    """The equations of simplices, spheres and orthonormal columns, by names that no constraint has."""
    found: dict[str, tuple[str, Callable[[Array], Array]]] = {}
    for p, kind in space.domains.items():
        over = tuple(space.records[p].get("over", ())) if p in space.records else ()
        if p in space.maps:
            continue
        if kind == "simplex":
            found[f"domain of {p}"] = (p, partial(_total, over=over))
        elif kind == "unit":
            found[f"domain of {p}"] = (p, partial(_square, over=over))
        elif kind == "orthogonal":
            found[f"domain of {p}"] = (p, _gram)
    return found


def _total(x: Array, over: tuple[int, ...]) -> Array:
    return jnp.sum(x, axis=over) - 1


def _square(x: Array, over: tuple[int, ...]) -> Array:
    return jnp.sum(x * x, axis=over) - 1


def _gram(x: Array) -> Array:
    """The products of the columns less those of orthonormal ones, each pair once."""
    rows, columns = jnp.triu_indices(x.shape[-1])
    return (jnp.swapaxes(x, -1, -2) @ x - jnp.eye(x.shape[-1], dtype=x.dtype))[..., rows, columns]


def _rows(point: Point, p: str, f: Callable[[Array], Array]) -> dict[str, Array]:
    """The Jacobian of an equation of one param; zero by the others."""
    shape = jax.eval_shape(f, point[p]).shape
    rows = {q: jnp.zeros(shape + x.shape, x.dtype) for q, x in point.items()}
    return {**rows, p: jax.jacobian(f)(point[p])}
