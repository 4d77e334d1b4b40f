"""An objective of a program as a function of points of a space: what methods work on."""

from __future__ import annotations

from collections.abc import Mapping

from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.methods import Problem
from vspec.runtime.objective import Objective
from vspec.runtime.space import Space

Params = dict[str, Array]


def problem(objective: Objective, space: Space, sign: float, fixed: Params, bound: Bound) -> Problem:
    """The objective as a function of points of the space, to be minimised; derivatives have the params' dtypes."""

    def params(point: Mapping[str, Array]) -> Params:
        return {**fixed, **space.outward(point)}

    def value(point: Mapping[str, Array]) -> Array:
        return sign * objective.value(params(point), bound)

    def value_and_gradient(point: Mapping[str, Array]) -> tuple[Array, Params]:
        at = params(point)
        v, g = objective.value_and_gradient(at, bound)
        return sign * v, space.gradient(point, {k: sign * g[k].astype(at[k].dtype) for k in space.domains})

    def newton(point: Mapping[str, Array]) -> tuple[Array, Params, dict[str, dict[str, Array]]]:
        at = params(point)
        v, g, h = objective.newton(at, bound)
        gradient = {k: sign * g[k].astype(at[k].dtype) for k in space.domains}
        hessian = {p: {q: sign * h[p][q].astype(point[p].dtype) for q in space.names} for p in space.names}
        return sign * v, space.gradient(point, gradient), space.hessian(point, gradient, hessian)

    return Problem(value, value_and_gradient, newton)
