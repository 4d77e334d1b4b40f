"""Iterates of the interior-point methods: how far they are from optimal, and Newton's step from one."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from vspec.runtime.constrained.bounds import Bounds
from vspec.runtime.constrained.constraints import Evaluation, Flat
from vspec.runtime.constrained.kkt import Blocks, Factors, factorise, step

_SCALE = 100.0  # multipliers whose mean is above this make errors of stationarity and complementarity relative


class Iterate(NamedTuple):
    """x [n], slacks and multipliers of inequalities [i], multipliers of equations [e] and of the lower and upper ends [n]."""

    x: Array
    s: Array
    z: Array
    y: Array
    low: Array
    high: Array


class Targets(NamedTuple):
    """What the products of distances and multipliers are to become: of slacks [i], of lower and of upper ends [n]."""

    s: Array
    low: Array
    high: Array

    @classmethod
    def all(cls, at: Iterate, mu: Array) -> Targets:
        """mu for all."""
        return cls(jnp.full_like(at.s, mu), jnp.full_like(at.x, mu), jnp.full_like(at.x, mu))


class Errors(NamedTuple):
    """How far an iterate is from optimal: largest entries of the gradient of the Lagrangian, of violations, and of products
    with multipliers less mu; `together` is the largest of them, the first and the last relative to the multipliers."""

    stationarity: Array
    violation: Array
    complementarity: Array
    together: Array


def largest(*parts: Array) -> Array:
    """The largest absolute entry."""
    return jnp.max(jnp.concatenate([jnp.abs(p) for p in parts]), initial=0.0)


def evaluate(flat: Flat, at: Iterate, weight: Array, bounds: Bounds) -> Evaluation:
    """The problem at an iterate, f times the weight; entries that are fixed count as numbers."""
    found = flat.evaluate(at.x, weight, at.y, at.z)
    free = ~bounds.fixed
    return Evaluation(
        weight * found.value,
        jnp.where(free, weight * found.gradient, 0),
        found.equal,
        found.less,
        jnp.where(free, found.equal_rows, 0),
        jnp.where(free, found.less_rows, 0),
        jnp.where(free & free[:, None], found.hessian, jnp.diag((~free).astype(at.x.dtype))),
    )


def slope(at: Iterate, found: Evaluation) -> Array:
    """The gradient of the Lagrangian [n]."""
    return found.gradient + found.equal_rows.T @ at.y + found.less_rows.T @ at.z - at.low + at.high


def errors(at: Iterate, found: Evaluation, bounds: Bounds, mu: Array | float, weight: Array | float = 1.0) -> Errors:
    """The errors with respect to complementarity mu; `weight` is what f was scaled with."""
    left, right = bounds.gaps(at.x)
    products = largest(
        at.s * at.z - mu,
        jnp.where(bounds.below, left * at.low - mu, 0),
        jnp.where(bounds.above, right * at.high - mu, 0),
    )
    count = at.y.size + at.z.size + at.low.size + at.high.size
    mean = (jnp.sum(jnp.abs(at.y)) + jnp.sum(at.z) + jnp.sum(at.low) + jnp.sum(at.high)) / max(1, count)
    scale = jnp.maximum(_SCALE, mean / weight) / _SCALE
    stationarity = largest(slope(at, found)) / weight
    violation = largest(found.equal, found.less + at.s)
    products = products / weight
    together = jnp.maximum(jnp.maximum(stationarity, products) / scale, violation)
    return Errors(stationarity, violation, products, together)


class Direction(NamedTuple):
    """A step of every part of an iterate."""

    x: Array
    s: Array
    z: Array
    y: Array
    low: Array
    high: Array


def system(at: Iterate, found: Evaluation, bounds: Bounds, shift: Array) -> tuple[Blocks, Factors]:
    """The matrix of a step and its factors."""
    left, right = bounds.gaps(at.x)
    w = found.hessian + jnp.diag(at.low / left + at.high / right)
    d = at.z / at.s
    blocks = Blocks(w, found.equal_rows, found.less_rows, d)
    sizes = jnp.max(jnp.abs(found.hessian), axis=1, initial=0.0)
    return blocks, factorise(w + (found.less_rows.T * d) @ found.less_rows, found.equal_rows, shift, sizes)


def direction(
    at: Iterate,
    found: Evaluation,
    bounds: Bounds,
    targets: Targets,
    blocks: Blocks,
    factors: Factors,
    equal: Array,
    less: Array,
) -> Direction:
    """Newton's step to the targets that makes the linear parts of the gaps `equal` and `less + s` zero."""
    left, right = bounds.gaps(at.x)
    low, high = jnp.where(bounds.below, targets.low / left, 0), jnp.where(bounds.above, targets.high / right, 0)
    r = -(found.gradient + found.equal_rows.T @ at.y + found.less_rows.T @ at.z - low + high)
    dx, dy, dz = step(factors, blocks, jnp.where(bounds.fixed, 0, r), -equal, -less - targets.s / at.z)
    return Direction(
        dx,
        -(less + at.s) - found.less_rows @ dx,
        dz,
        dy,
        jnp.where(bounds.below, low - at.low - at.low / left * dx, 0),
        jnp.where(bounds.above, high - at.high + at.high / right * dx, 0),
    )
