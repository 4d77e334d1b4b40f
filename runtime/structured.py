"""What a program derived from the form of an objective as functions of points: smooth parts, proximal maps, minima of blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.errors import NumericsError
from vspec.runtime.methods import Problem
from vspec.runtime.methods.method import Scaled, Scaling
from vspec.runtime.objective import Objective
from vspec.runtime.registry import scaled_roles
from vspec.runtime.space import Space

Point = dict[str, Array]
Params = Mapping[str, Array]


def structured(
    whole: Problem, objective: Objective, space: Space, sign: float, params: Callable[[Params], Params], bound: Bound
) -> Problem:
    """The problem with the derived functions that the program has; `params` makes all params of a point.

    They hold for the params themselves: a method that calls them moves in no other coordinates.
    """
    program, kind = objective.program, "minimize" if sign > 0 else "maximize"

    def smooth(point: Point) -> tuple[Array, Point]:
        value, gradient = objective.smooth(params(point), bound)
        return sign * value, {k: sign * g.astype(point[k].dtype) for k, g in gradient.items()}

    def prox(point: Point, length: Array) -> Point:
        nearest = whole.project(point)
        if objective.has("prox"):
            nearest = {**nearest, **objective.prox(params(point), length, bound)}
        return {k: x.astype(point[k].dtype) for k, x in nearest.items()}

    def block(entry: str) -> Callable[[Point], Point]:
        def at(point: Point) -> Point:
            found = program.call(entry, params(point), bound)
            return {k: x.astype(point[k].dtype) for k, x in found.items()}

        return at

    roles = {role.partition("."): entry for role, entry in objective.entries.items() if role.startswith(f"{kind}.")}
    blocks = {tuple(names.split(".")): block(entry) for (_, _, names), entry in roles.items()}

    def scaled(role: str, sweep: str) -> Scaled:
        def kept(point: Point) -> Point:
            return dict(program.call(objective.entries[role], params(point), bound))

        def at(entry: str) -> Callable[[Point, Point], Scaling]:
            def minimum(point: Point, kernel: Point) -> Scaling:
                found = program.call(entry, params(point), bound.at({**bound.counters, **kernel}))
                new = {k: x.astype(point[k].dtype) for k, x in found["point"].items()}
                value = sign * found["value"] if "value" in found else None
                return Scaling(new, found["drift"], found["share"], value)

            return minimum

        _, parts = scaled_roles(kind, _listed(sweep))
        return Scaled(kept, tuple(at(objective.entries[part]) for part in parts))

    sweeps = {
        role: role.removeprefix(f"kernel/{kind}/") for role in objective.entries if role.startswith(f"kernel/{kind}/")
    }
    if sweeps:
        whole = replace(whole, scaled={_listed(sweep): scaled(role, sweep) for role, sweep in sweeps.items()})
    if objective.has("smooth"):
        whole = replace(whole, smooth=smooth, prox=prox)
    return replace(whole, blocks=blocks) if blocks else whole


def _listed(sweep: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names.split(".")) for names in sweep.split("+"))


def check_assumed(objective: Objective, params: Params, bound: Bound) -> None:
    """Raise `NumericsError` VS0630 where something does not hold that a formula of the program takes for granted."""
    if not objective.has("assume"):
        return
    found: Mapping[str, Any] = jax.device_get(objective.program.jitted(objective.entries["assume"])(params, bound))
    wrong = [text for text, holds in found.items() if not holds]
    if wrong:
        raise NumericsError(
            "VS0630",
            f"what was derived from the form of '{objective.name}' holds where {wrong[0]}, and it does not",
            "choose other values, or a method that does not go by the form, such as lbfgs",
            objective.line,
        )
