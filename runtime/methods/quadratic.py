"""Minimisers of a quadratic model g'p + p'Hp/2: from a matrix H, and from products with it; within a ball or without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

_ROOTS = 60

Product = Callable[[Array], Array]


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

    It is p = -(H + m)^-1 g for the least m >= 0 at which H + m has no negative eigenvalue and p is no longer than the radius.
    The lowest eigenvalue of H + m, rather than m, is found by bisection, which needs no care where 1/|p| is flat, nor where m
    has too few digits. Where even p at an m of minus the lowest eigenvalue of H is shorter, an eigenvector of that
    eigenvalue is added (their hard case).
    """
    values, vectors, g = model
    size = jnp.linalg.norm(g)
    tiny = float(np.finfo(g.dtype).eps) * jnp.maximum(jnp.max(jnp.abs(values)), float(np.finfo(g.dtype).tiny))
    gaps = values - values[0]
    low = jnp.maximum(values[0], tiny)

    def step(lowest: Array) -> Array:
        return -g / (gaps + lowest)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b = ends
        # Geometric means: the values in question may lie many orders of magnitude apart.
        mean = jnp.where(b > 4 * a, jnp.sqrt(a * b), (a + b) / 2)
        long = jnp.linalg.norm(step(mean)) > radius
        return jnp.where(long, mean, a), jnp.where(long, b, mean)

    inside = jnp.linalg.norm(step(low)) <= radius
    # At the upper end every entry is so short that the whole is no longer than the radius.
    _, found = lax.fori_loop(0, _ROOTS, halve, (low, jnp.maximum(low, size / radius) + tiny))
    p = step(jnp.where(inside, low, found))
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
    """The step of `iterated` alone."""
    return iterated(times, g, rtol, limit, radius)[0]


def iterated(times: Product, g: Array, rtol: Array, limit: int, radius: Array) -> tuple[Array, Array]:
    """A minimiser of the model to a relative residual of rtol [point], by conjugate gradients (Steihaug 1983), and how many
    iterations they took.

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
    last = lax.while_loop(lambda s: ~s.over & (s.k < limit), iterate, begun)
    return last.p, last.k
