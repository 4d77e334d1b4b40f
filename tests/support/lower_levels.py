"""Least values under constraints by a plain interior-point method: for the interpreter of graphs (NumPy) and for `Meaning` (JAX).

Whole Newton steps on the optimality conditions with slacks, cut short before the boundary. Nothing keeps them from going
astray where a problem is not convex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Local(NamedTuple):
    """At unknowns and multipliers: the gradient [n] of the Lagrangian of what is made small, the gaps [m], their slopes [m, n],
    and its Hessian [n, n]."""

    gradient: Array
    gaps: Array
    rows: Array
    hessian: Array


def conditions(here: Local, m: Any, s: Any, equal: Any, mu: Any, xp: Any) -> Any:
    """The equations of the step: stationarity, gaps with slacks, products of slacks and multipliers."""
    return xp.concatenate([here.gradient, here.gaps + xp.where(equal, 0, s), xp.where(equal, s, s * m - mu)])


def slopes(here: Local, m: Any, s: Any, equal: Any, xp: Any) -> Any:
    """The slopes of these by unknowns, multipliers and slacks; slacks of equations are 0."""
    count = equal.size
    none, free = xp.zeros((here.gradient.size, count)), xp.where(equal, 0.0, 1.0)
    low = [xp.zeros(here.rows.shape), xp.diag(free * s), xp.diag(xp.where(equal, 1.0, m))]
    return xp.block([[here.hessian, here.rows.T, none], [here.rows, xp.zeros((count, count)), xp.diag(free)], low])


def _moved(x: Any, m: Any, s: Any, p: Any, equal: Any, xp: Any) -> tuple[Any, Any, Any]:
    n, k = x.size, equal.size
    dx, dm, ds = p[:n], p[n : n + k], p[n + k :]

    def reach(v: Any, d: Any) -> Any:
        short = (d < 0) & ~equal
        return xp.min(xp.where(short, -0.99 * v / xp.where(short, d, 1), 1.0), initial=1.0)

    t = xp.minimum(reach(m, dm), reach(s, ds))
    return x + t * dx, m + t * dm, s + t * ds


def _mean(m: Any, s: Any, equal: Any, xp: Any) -> Any:
    return xp.sum(xp.where(equal, 0, m * s)) / max(1, equal.size)


def least(at: Callable[[Array, Array], Local], x: Array, equal: Array) -> tuple[Array, Array, float, int]:
    """Unknowns, multipliers, the largest condition that is left, and the steps, by NumPy."""
    gaps = at(x, np.zeros(equal.size)).gaps
    m, s = np.where(equal, 0.0, 1.0), np.where(equal, 0.0, np.maximum(-gaps, 1.0))
    steps, left = 0, np.inf
    while steps < 300:
        here = at(x, m)
        left = float(np.max(np.abs(conditions(here, m, s, equal, 0.0, np))))
        if left < 1e-14 or not np.isfinite(left):
            break
        mu = 0.1 * _mean(m, s, equal, np)
        p = -np.linalg.solve(slopes(here, m, s, equal, np), conditions(here, m, s, equal, mu, np))
        x, m, s = _moved(x, m, s, p, equal, np)
        steps += 1
    return x, m, left, steps


def traced(at: Callable[[Any, Any], Local], x: Any, equal: Array) -> tuple[Any, Any]:
    """Unknowns and multipliers, by JAX; no derivative is taken of the steps."""
    gaps = at(x, jnp.zeros(equal.size)).gaps
    m, s = jnp.where(equal, 0.0, 1.0), jnp.where(equal, 0.0, jnp.maximum(-gaps, 1.0))

    def going(state: Any) -> Any:
        x, m, s, k = state
        left = jnp.max(jnp.abs(conditions(at(x, m), m, s, equal, 0.0, jnp)))
        return (left > 1e-14) & jnp.isfinite(left) & (k < 300)

    def step(state: Any) -> Any:
        x, m, s, k = state
        here, mu = at(x, m), 0.1 * _mean(m, s, equal, jnp)
        p = -jnp.linalg.solve(slopes(here, m, s, equal, jnp), conditions(here, m, s, equal, mu, jnp))
        return *_moved(x, m, s, p, equal, jnp), k + 1

    x, m, _, _ = jax.lax.while_loop(going, step, (x, m, s, 0))
    return x, m
