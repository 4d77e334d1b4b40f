"""Minimisers of a quadratic model g'p + p'Hp/2: from a matrix H, and from products with it; within a ball or without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import solve_triangular

_SHIFTS = 40
_ROOTS = 60

Product = Callable[[Array], Array]


def descent(hessian: Array, g: Array) -> Array:
    """A descent direction [point]: Newton's, with a multiple of the diagonal added until the Hessian is positive definite.

    The matrix is scaled to a diagonal of 1 and -1 first, so that what is added is small for each param by its own measure.
    """
    n = g.size
    diagonal = jnp.abs(jnp.diag(hessian))
    scale = 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    scaled = scale[:, None] * hessian * scale
    first = jnp.maximum(-jnp.min(jnp.diag(scaled), initial=jnp.inf), 0.0) + 1e-3

    def factor(shift: Array) -> Array:
        lower: Array = jnp.linalg.cholesky(scaled + shift * jnp.eye(n, dtype=g.dtype))
        return lower

    def grow(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        shift, _, k = carry
        shift = jnp.where(k == 0, first, 4 * shift)
        return shift, factor(shift), k + 1

    none = jnp.zeros((), g.dtype)
    _, lower, _ = lax.while_loop(
        lambda c: ~jnp.all(jnp.isfinite(c[1])) & (c[2] < _SHIFTS), grow, (none, factor(none), jnp.zeros((), jnp.int32))
    )
    p = -scale * solve_triangular(lower, solve_triangular(lower, scale * g, lower=True), trans=1, lower=True)
    usable = jnp.all(jnp.isfinite(p)) & (g @ p <= 0)
    return jax.lax.select(usable, p, -g)


class Spectrum(NamedTuple):
    """The eigenvalues of H, ascending, and the gradient in the basis of its eigenvectors, the columns of `vectors`."""

    values: Array
    vectors: Array
    gradient: Array


def spectrum(hessian: Array, g: Array) -> Spectrum:
    """The model, made diagonal."""
    values, vectors = jnp.linalg.eigh(hessian)
    return Spectrum(values, vectors, vectors.T @ g)


def within_ball(model: Spectrum, radius: Array) -> Array:
    """The minimiser of the model among steps no longer than the radius [point] (Moré and Sorensen 1983).

    It is p(m) = -(H + m)^-1 g for the least m >= 0 at which H + m has no negative eigenvalue and p is no longer than the
    radius. That m is found by bisection, which needs no care where 1/|p| is flat. Where even p at minus the lowest eigenvalue
    is shorter, an eigenvector of that eigenvalue is added (their hard case).
    """
    values, vectors, g = model
    size = jnp.linalg.norm(g)
    tiny = float(np.finfo(g.dtype).eps) * jnp.maximum(jnp.max(jnp.abs(values)), float(np.finfo(g.dtype).tiny))
    low = jnp.maximum(0.0, -values[0]) + jnp.where(values[0] > tiny, 0.0, tiny)

    def step(m: Array) -> Array:
        return -g / (values + m)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b = ends
        # Geometric means: the shifts in question may lie many orders of magnitude apart.
        m = jnp.where(b > 4 * a, jnp.sqrt(jnp.maximum(a, tiny) * b), (a + b) / 2)
        long = jnp.linalg.norm(step(m)) > radius
        return jnp.where(long, m, a), jnp.where(long, b, m)

    inside = jnp.linalg.norm(step(low)) <= radius
    # At this shift every entry is so short that the whole is no longer than the radius.
    high = jnp.maximum(low, size / radius - values[0]) + tiny
    _, shift = lax.fori_loop(0, _ROOTS, halve, (low, high))
    p = step(jnp.where(inside, low, shift))
    rest = p.at[0].set(0.0)
    lowest = jnp.copysign(jnp.sqrt(jnp.maximum(radius**2 - rest @ rest, 0.0)), p[0])
    return vectors @ jnp.where(inside & (values[0] < -tiny), rest.at[0].set(lowest), p)


class _Search(NamedTuple):
    """Conjugate gradients underway: step, residual, direction, squared residual, iterations, whether it is over."""

    p: Array
    r: Array
    d: Array
    squared: Array
    k: Array
    over: Array


def truncated(times: Product, g: Array, rtol: Array, limit: int, radius: Array) -> Array:
    """A minimiser of the model to a relative residual of rtol [point], by conjugate gradients (Steihaug 1983).

    They end at the boundary of the ball, to which a direction of negative curvature leads as well. With an infinite radius such
    a direction ends them where they are, or is followed if it is the first (Nocedal and Wright 2006, algorithms 7.1 and 7.2).
    """
    enough = rtol * jnp.linalg.norm(g)

    def to_boundary(p: Array, d: Array) -> Array:
        a, b, c = d @ d, p @ d, p @ p - radius**2
        return p + (jnp.sqrt(jnp.maximum(b * b - a * c, 0.0)) - b) / a * d

    def iterate(s: _Search) -> _Search:
        hd = times(s.d)
        curvature = s.d @ hd
        length = s.squared / curvature
        p = s.p + length * s.d
        negative = curvature <= 0
        outside = negative | (jnp.linalg.norm(p) >= radius)
        bounded = jnp.isfinite(radius)
        edge = jnp.where(bounded, to_boundary(s.p, s.d), jnp.where(s.k == 0, s.d, s.p))
        r = s.r + length * hd
        squared = r @ r
        over = outside | (jnp.sqrt(squared) <= enough)
        d = -r + squared / s.squared * s.d
        return _Search(jnp.where(outside, edge, p), r, d, squared, s.k + 1, over)

    begun = _Search(jnp.zeros_like(g), g, -g, g @ g, jnp.zeros((), jnp.int32), g @ g <= 0)
    return lax.while_loop(lambda s: ~s.over & (s.k < limit), iterate, begun).p
