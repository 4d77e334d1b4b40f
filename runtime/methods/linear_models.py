"""Sums of squares by products with the Jacobian of what is squared and its transpose, for many unknowns: no matrix is formed.

Conjugate gradients for least squares are those of Hestenes and Stiefel 1952 (Björck 1996, section 7.4); the size of the
Jacobian is what it does to the directions that they take, at most its largest singular value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from vspec.runtime.methods.method import Point, Problem

Product = Callable[[Array], Array]


class Slope(NamedTuple):
    """J'r [point], `total` r'r, `first` the norm of the residuals at the start, the `size` of the Jacobian so far, and how many
    iterations of conjugate gradients there have been."""

    slope: Array
    total: Array
    first: Array
    size: Array
    cg: Array


class Solved(NamedTuple):
    """A step [point], J times it [m], the size of the Jacobian along the way, and the iterations that it took."""

    p: Array
    along: Array
    size: Array
    k: Array


class _Search(NamedTuple):
    """Conjugate gradients underway: step and J times it, what is left of the residuals and of the normal equations, direction,
    squared rest, size, iterations."""

    p: Array
    along: Array
    left: Array
    rest: Array
    d: Array
    squared: Array
    size: Array
    k: Array


def slope(problem: Problem, point: Point, before: Slope | None) -> tuple[Array, Point, Slope]:
    """Value, gradient, and the model at a point; `before` is one from elsewhere."""
    _, unravel = ravel_pytree(point)
    r, push, pull = products(problem, point)
    g = pull(r)
    total = r @ r
    norm = jnp.linalg.norm(g)
    size = jnp.where(norm > 0, jnp.linalg.norm(push(g)) / jnp.where(norm > 0, norm, 1.0), 0.0)
    if before is None:
        model = Slope(g, total, jnp.sqrt(total), size, jnp.zeros((), jnp.int32))
    else:
        model = Slope(g, total, before.first, jnp.maximum(size, before.size), before.cg)
    # Nothing but the value is computed of what comes with it here.
    value, _, _ = problem.squares(point)
    return value, unravel(2 * g), model


def products(problem: Problem, point: Point) -> tuple[Array, Product, Product]:
    """The residuals [m], and products with their Jacobian and its transpose."""
    x, unravel = ravel_pytree(point)

    def residuals(x: Array) -> Array:
        return problem.residuals(unravel(x))

    r, push = jax.linearize(residuals, x)
    pull = jax.linear_transpose(push, x)
    return r, push, lambda u: pull(u)[0]


def angle(model: Slope) -> Array:
    """The length of J'r relative to that of r and to the size of J: 0 where any of them vanishes."""
    scale = model.size * jnp.sqrt(model.total)
    return jnp.where(scale > 0, jnp.linalg.norm(model.slope) / jnp.where(scale > 0, scale, 1.0), 0.0)


def minimised(r: Array, push: Product, pull: Product, weight: Array, rtol: Array, limit: int, size: Array) -> Solved:
    """The minimiser of |J p + r|^2 + weight |p|^2, to a relative residual of rtol of its normal equations."""

    def iterate(s: _Search) -> _Search:
        q = push(s.d)
        length2 = s.d @ s.d
        curvature = q @ q + weight * length2
        step = jnp.where(curvature > 0, s.squared / jnp.where(curvature > 0, curvature, 1.0), 0.0)
        p, left = s.p + step * s.d, s.left - step * q
        rest = pull(left) - weight * p
        squared = rest @ rest
        seen = jnp.sqrt(q @ q / jnp.where(length2 > 0, length2, 1.0))
        d = rest + squared / jnp.where(s.squared > 0, s.squared, 1.0) * s.d
        return _Search(p, s.along + step * q, left, rest, d, squared, jnp.maximum(s.size, seen), s.k + 1)

    rest = pull(-r)
    squared = rest @ rest
    enough = rtol**2 * squared
    nothing = jnp.zeros_like(rest)
    begun = _Search(nothing, jnp.zeros_like(r), -r, rest, rest, squared, size, jnp.zeros((), jnp.int32))
    last = lax.while_loop(lambda s: (s.squared > enough) & (s.k < limit), iterate, begun)
    return Solved(last.p, last.along, last.size, last.k)
