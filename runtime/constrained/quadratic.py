"""Convex quadratic and linear programs: Mehrotra's predictor and corrector (Nocedal and Wright 2006, algorithm 16.4).

The Hessian and the Jacobians are those at the start; the problem is not evaluated again. State and equations are those of
`interior.py`, with bounds of x kept as they are. Where it gets stuck, as it does if nothing is feasible, or if the objective
turns out not to be convex, the method for general problems goes on.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.constrained.bounds import Bounds, reach, reach_bounds
from vspec.runtime.constrained.constraints import Evaluation, Flat
from vspec.runtime.constrained.interior import Memory
from vspec.runtime.constrained.iterate import Direction, Iterate, Targets, direction, errors, evaluate, system
from vspec.runtime.constrained.kkt import factorise
from vspec.runtime.methods.method import RUNNING, TOLERANCE

_BOUNDARY = 0.995
_PATIENCE = 15
_PUSH = 1e-2


class Start(NamedTuple):
    """The state at the start and whether the program is convex."""

    memory: Memory
    convex: Array


def begin(flat: Flat, x: Array, general: Memory) -> Start:
    """The start: x inside its bounds, all products of distances and multipliers equal and of the size of the gradient."""
    bounds = Bounds.of(*flat.bounds())
    one = jnp.ones((), x.dtype)
    at = general.at
    found = evaluate(flat, at, one, bounds)
    top = jnp.max(jnp.abs(found.hessian), initial=0.0)
    small = float(np.finfo(x.dtype).eps) ** 0.5 * 0.1 * jnp.where(top > 0, top, 1)
    test = factorise(found.hessian + small * jnp.eye(x.size, dtype=x.dtype), found.equal_rows)
    left, right = bounds.gaps(at.x)
    least = jnp.maximum(_PUSH, jnp.max(jnp.abs(found.less), initial=0.0))
    s = jnp.maximum(-found.less, least)
    count = s.size + jnp.sum(bounds.below) + jnp.sum(bounds.above)
    distances = jnp.sum(s) + jnp.sum(jnp.where(bounds.below, left, 0)) + jnp.sum(jnp.where(bounds.above, right, 0))
    force = jnp.max(jnp.abs(found.gradient), initial=0.0)
    mu = jnp.where(force > 0, force, 1) * distances / jnp.maximum(1, count)
    at = at._replace(
        s=s,
        z=mu / s,
        y=jnp.zeros_like(at.y),
        low=jnp.where(bounds.below, mu / left, 0),
        high=jnp.where(bounds.above, mu / right, 0),
    )
    sound = jnp.all(jnp.isfinite(at.x)) & jnp.all(jnp.isfinite(at.z)) & jnp.all(jnp.isfinite(at.low + at.high))
    return Start(general._replace(at=at, found=found, weight=one), (test.shift == 0) & sound)


def advance(m: Memory, bounds: Bounds, tol: Array | float) -> tuple[Memory, Array]:
    """One predictor and corrector; and whether this method is to go on."""
    at, found = m.at, m.found
    blocks, factors = system(at, found, bounds, m.shift)
    mu = _mean(at, bounds)
    none = jnp.zeros_like(mu)
    affine = direction(at, found, bounds, Targets.all(at, none), blocks, factors, found.equal, found.less)
    reached = _stepped(at, affine, _lengths(at, bounds, affine, 1.0))
    sigma = jnp.clip((_mean(reached, bounds) / jnp.where(mu > 0, mu, 1)) ** 3, 0, 1)
    targets = Targets(
        sigma * mu - affine.s * affine.z,
        sigma * mu - affine.x * affine.low,
        sigma * mu + affine.x * affine.high,
    )
    d = direction(at, found, bounds, targets, blocks, factors, found.equal, found.less)
    new = _stepped(at, d, _lengths(at, bounds, d, jnp.maximum(_BOUNDARY, 1 - mu)))
    dx = new.x - at.x
    curved = found.hessian @ dx
    moved = Evaluation(
        found.value + found.gradient @ dx + dx @ curved / 2,
        found.gradient + curved,
        found.equal + found.equal_rows @ dx,
        found.less + found.less_rows @ dx,
        found.equal_rows,
        found.less_rows,
        found.hessian,
    )
    error = errors(new, moved, bounds, 0.0, m.weight).together
    idle = jnp.where((error < 0.9 * m.best) | (mu < 0.9 * m.mu), 0, m.idle + 1)
    sound = jnp.isfinite(error) & (error < 1e12 * jnp.maximum(1, jnp.where(jnp.isfinite(m.best), m.best, 1)))
    status = jnp.where(error <= tol, TOLERANCE, RUNNING).astype(jnp.int32)
    after = m._replace(at=new, found=moved, best=jnp.minimum(error, m.best), idle=idle, status=status, mu=mu)
    go_on = sound & (idle < _PATIENCE)
    kept: Memory = lax.cond(sound, lambda: after, lambda: m)
    return kept, go_on


def _lengths(at: Iterate, bounds: Bounds, d: Direction, tau: Array | float) -> tuple[Array, Array]:
    """The longest steps of x and of the multipliers."""
    primal = jnp.minimum(reach(at.s, d.s, tau), reach_bounds(bounds, at.x, d.x, tau))
    low, high = jnp.where(bounds.below, at.low, 1), jnp.where(bounds.above, at.high, 1)
    dual = jnp.minimum(reach(at.z, d.z, tau), jnp.minimum(reach(low, d.low, tau), reach(high, d.high, tau)))
    return primal, dual


def _stepped(at: Iterate, d: Direction, lengths: tuple[Array, Array]) -> Iterate:
    primal, dual = lengths
    return Iterate(
        at.x + primal * d.x,
        at.s + primal * d.s,
        at.z + dual * d.z,
        at.y + dual * d.y,
        at.low + dual * d.low,
        at.high + dual * d.high,
    )


def _mean(at: Iterate, bounds: Bounds) -> Array:
    """The mean product of a distance and its multiplier."""
    left, right = bounds.gaps(at.x)
    count = at.s.size + jnp.sum(bounds.below) + jnp.sum(bounds.above)
    return (at.s @ at.z + jnp.sum(left * at.low) + jnp.sum(right * at.high)) / jnp.maximum(1, count)
