"""Looks for a point that violates the constraints less: damped Gauss-Newton steps that stay within the bounds."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.constrained.bounds import Bounds, reach, reach_bounds
from vspec.runtime.constrained.constraints import Flat
from vspec.runtime.methods.method import INFEASIBLE, RUNNING, STALLED

_STEPS = 300
_LEAST, _MOST = 1e-12, 1e12
_STATIONARY = 1e-6

Wanted = Callable[[Array, Array, Array, Array], Array]


def restore(
    flat: Flat, x: Array, s: Array, bounds: Bounds, wanted: Wanted, tol: Array | float
) -> tuple[Array, Array, Array]:
    """Makes `|equal(x)|^2 + |less(x) + s|^2` smaller until a point is wanted.

    The steps are those of Levenberg and Marquardt in unknowns that are scaled by their distances from the bounds, so that
    they bend away from these (affine scaling, Coleman and Li 1996).

    Args:
        flat: the problem.
        x, s: where it starts.
        bounds: the ends of x.
        wanted: (violation, f, x, s) → whether to stop.
        tol: a violation below this is none.

    Returns:
        x, s, and RUNNING if the point is wanted, INFEASIBLE where no nearby point violates less, else STALLED.
    """
    if not sum(flat.counts()):
        return x, s, jnp.full((), STALLED, jnp.int32)
    kind = x.dtype
    eps = float(np.finfo(kind).eps)
    free = ~bounds.fixed

    def residuals(x: Array, s: Array) -> tuple[Array, Array]:
        f, equal, less = flat.trial(x)
        return jnp.concatenate([equal, less + s]), f

    def scales(x: Array, s: Array) -> Array:
        left, right = bounds.gaps(x)
        left, right = jnp.where(bounds.below, left, 1), jnp.where(bounds.above, right, 1)
        of_x = jnp.where(free, jnp.minimum(1, jnp.minimum(left, right)), 0)
        return jnp.concatenate([of_x, jnp.minimum(1, s)])

    def rows(x: Array) -> Array:
        _, _, a, g = flat.rows(x)
        count = a.shape[0]
        beside = jnp.concatenate([jnp.zeros((count, g.shape[0]), kind), jnp.eye(g.shape[0], dtype=kind)])
        return jnp.concatenate([jnp.concatenate([a, g]), beside], axis=1)

    Carry = tuple[Array, Array, Array, Array, Array, Array]

    def move(c: Carry) -> Carry:
        x, s, damping, k, _, _ = c
        r, _ = residuals(x, s)
        j = rows(x) * scales(x, s)
        norm = jnp.sqrt(r @ r)
        pull = j.T @ r
        size = jnp.sqrt(jnp.max(jnp.sum(j * j, axis=1)))
        still = jnp.sqrt(pull @ pull) <= _STATIONARY * norm * jnp.minimum(1, size)
        gram = j @ j.T
        top = jnp.maximum(jnp.max(jnp.diagonal(gram)), float(np.finfo(kind).tiny))
        step = -scales(x, s) * (j.T @ jnp.linalg.solve(gram + damping * top * jnp.eye(r.size, dtype=kind), r))
        dx, ds = step[: x.size], step[x.size :]
        length = jnp.minimum(reach_bounds(bounds, x, dx, 0.99), reach(s, ds, 0.99))
        new_x, new_s = x + length * dx, s + length * ds
        q, f = residuals(new_x, new_s)
        good = (q @ q < r @ r) & jnp.isfinite(f)
        x, s = jnp.where(good, new_x, x), jnp.where(good, new_s, s)
        damping = jnp.clip(jnp.where(good, damping / 5, damping * 4), _LEAST, _MOST)
        done = good & wanted(jnp.sum(jnp.abs(q)), f, x, s)
        ended = still | (~good & (damping >= _MOST))
        status = jnp.where(done, RUNNING, jnp.where(still, INFEASIBLE, STALLED)).astype(jnp.int32)
        return x, s, damping, k + 1, status, done | ended

    start = (
        x,
        s,
        jnp.asarray(1e-4, kind),
        jnp.zeros((), jnp.int32),
        jnp.full((), STALLED, jnp.int32),
        jnp.asarray(False),
    )
    x, s, _, _, status, _ = lax.while_loop(lambda c: ~c[5] & (c[3] < _STEPS), move, start)
    r, _ = residuals(x, s)
    missed = jnp.max(jnp.abs(r), initial=0.0) > jnp.maximum(tol, 100 * eps)
    return x, s, jnp.where((status == INFEASIBLE) & ~missed, STALLED, status)
