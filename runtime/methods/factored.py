"""Newton's direction for a Hessian A + J' D J with a diagonal A and fewer rows of J than unknowns, by Woodbury's identity.

With S the signs of D and R the roots of |D|, `inv(A + J' R S R J) = inv(A) - inv(A) J' R inv(K) R J inv(A)`,
`K = S + R J inv(A) J' R`. Where A is positive, the whole is positive definite if K has as many negative eigenvalues as S.
Unknowns without a diagonal of their own are the border, for which a Schur complement is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_solve

from vspec.runtime.curvature import rounding, shifted
from vspec.runtime.factors import Layout
from vspec.runtime.methods import tied
from vspec.runtime.methods.method import Point
from vspec.runtime.methods.tied import shapes_of


class Matrix(NamedTuple):
    """`diag(a) + J' diag(d) J` over the inner unknowns `[n]`, with `corner` `[m, m]` beside the diagonal for the border; the rows
    of J are `rows` `[k, n]` and `far` `[k, m]`."""

    a: Array
    d: Array
    rows: Array
    far: Array
    corner: Array


def gathered(layout: Layout, arrays: Sequence[Array], like: Point, damping: Array | float) -> tuple[Matrix, np.ndarray]:
    """The matrix, and where its unknowns stand in the flattened point: inner ones, then the border."""
    shapes = shapes_of(like)
    inner = layout.inner(shapes)
    border = [p for p in shapes if p not in inner]
    dtype = jnp.result_type(*like.values())
    own = arrays[: len(layout.terms)]
    a = ravel_pytree({p: x for p, x in tied.diagonal(layout.terms, shapes, own, like).items() if p in inner})[0]
    few = {p: shapes[p] for p in border}
    mine = [(t, x) for t, x in zip(layout.terms, own, strict=True) if t[0] in few]
    corner = tied.dense([t for t, _ in mine], few, [x for _, x in mine])
    n, m = a.size, corner.shape[0]
    d: list[Array] = []
    rows: list[Array] = []
    far: list[Array] = []
    left = iter(arrays[len(layout.terms) :])
    for names in layout.observations:
        curvature = next(left)
        slopes = {p: next(left) for p in names}
        count = curvature.size
        d.append(curvature.ravel())
        for into, params in ((rows, inner), (far, border)):
            parts = [slopes[p].reshape(count, -1) if p in slopes else jnp.zeros((count, like[p].size)) for p in params]
            into.append(jnp.concatenate([jnp.zeros((count, 0)), *parts], axis=1).astype(dtype))
    start, _ = tied.offsets(shapes)
    at = [np.arange(start[p], start[p] + like[p].size) for p in (*inner, *border)]
    none = jnp.zeros((0,), dtype)
    return Matrix(
        a.astype(dtype) + damping,
        jnp.concatenate([none, *d]),
        jnp.concatenate([jnp.zeros((0, n), dtype), *rows]),
        jnp.concatenate([jnp.zeros((0, m), dtype), *far]),
        corner.astype(dtype) + damping * jnp.eye(m, dtype=dtype),
    ), np.concatenate(at)


def times(layout: Layout, arrays: Sequence[Array], like: Point, damping: Array | float, v: Array) -> Array:
    """The product of the damped matrix with a vector [point]."""
    h, at = gathered(layout, arrays, like, damping)
    return jnp.zeros_like(v).at[at].set(_times(h, v[at]))


def _times(h: Matrix, v: Array) -> Array:
    n = h.a.size
    seen = h.d * (h.rows @ v[:n] + h.far @ v[n:])
    return jnp.concatenate([h.a * v[:n] + h.rows.T @ seen, h.corner @ v[n:] + h.far.T @ seen])


def diagonal(layout: Layout, arrays: Sequence[Array], like: Point, damping: Array | float) -> Array:
    """The diagonal of the damped matrix [point]."""
    h, at = gathered(layout, arrays, like, damping)
    return jnp.zeros((at.size,), h.a.dtype).at[at].set(_diagonal(h))


def _diagonal(h: Matrix) -> Array:
    return jnp.concatenate([h.a + h.d @ h.rows**2, jnp.diag(h.corner) + h.d @ h.far**2])


def direction(layout: Layout, arrays: Sequence[Array], gradient: Point, damping: Array | float) -> Array:
    """Newton's direction [point], a multiple of the diagonal added where the matrix is not positive definite, or not shown to be
    since some entry of A is not positive: as `curvature.descent`, without a matrix of all unknowns."""
    h, at = gathered(layout, arrays, gradient, damping)
    g = ravel_pytree(gradient)[0][at]
    n = h.a.size
    along = jnp.abs(_diagonal(h))
    scale = 1 / jnp.sqrt(jnp.where(along > 0, along, 1.0))
    near, beyond = scale[:n], scale[n:]
    scaled = Matrix(h.a * near**2, h.d, h.rows * near, h.far * beyond, beyond[:, None] * h.corner * beyond)
    right = scale * g
    # Rounding alone makes a singular matrix indefinite; where A is not positive, it has to become so.
    lowest = jnp.min(scaled.a, initial=jnp.inf)
    first = jnp.maximum(-lowest, 0.0) + 1e-3
    least = jnp.where(lowest > 0, rounding(g.dtype), first)
    found, _ = shifted(lambda shift: _solved(scaled, shift, -right), least, first)
    p = jnp.zeros_like(g).at[at].set(scale * found)
    whole = ravel_pytree(gradient)[0]
    usable = jnp.all(jnp.isfinite(p)) & (whole @ p <= 0)
    return jnp.where(usable, p, -whole)


def _solved(h: Matrix, shift: Array, right: Array) -> Array:
    """The solution; NaN where the matrix with the shift is not shown to be positive definite."""
    n, m = h.a.size, h.corner.shape[0]
    dtype = right.dtype
    a = h.a + shift
    root = jnp.sqrt(jnp.abs(h.d))
    sign = jnp.where(h.d < 0, -1.0, 1.0).astype(dtype)
    j = root[:, None] * h.rows
    inner = jnp.diag(sign) + (j / a) @ j.T
    side = (h.d[:, None] * h.far).T @ h.rows
    corner = h.corner + shift * jnp.eye(m, dtype=dtype) + (h.d[:, None] * h.far).T @ h.far

    class Small(NamedTuple):
        """The Cholesky factor of K, or its eigenvectors with the inverses of its eigenvalues."""

        basis: Array
        weights: Array

    def definite(_: None) -> Small:
        lower = jnp.linalg.cholesky(inner)
        return Small(lower, jnp.ones_like(sign))

    def indefinite(_: None) -> Small:
        values, vectors = jnp.linalg.eigh(inner)
        as_many = jnp.sum(values < 0) == jnp.sum(sign < 0)
        return Small(vectors, jnp.where(as_many, 1 / values, jnp.nan))

    convex = jnp.all(h.d >= 0)
    small = lax.cond(convex, definite, indefinite, None)

    def within(x: Array) -> Array:
        """inv(K) x."""
        found: Array = lax.cond(
            convex,
            lambda y: cho_solve((small.basis, True), y),
            lambda y: small.basis @ (small.weights[:, None] * (small.basis.T @ y)),
            x,
        )
        return found

    def once(x: Array) -> Array:
        """The solution [n, columns] over the inner unknowns."""
        y = x / a[:, None]
        found: Array = y - (j / a).T @ within(j @ y)
        return found

    def solve(x: Array) -> Array:
        y = once(x)
        # What is left is solved for once more: J' D J is large beside A where there is little of the latter.
        return y + once(x - a[:, None] * y - h.rows.T @ (h.d[:, None] * (h.rows @ y)))

    found = solve(jnp.concatenate([right[:n, None], side.T], axis=1))
    y, spread = found[:, 0], found[:, 1:]
    lower = jnp.linalg.cholesky(corner - side @ spread)
    q = cho_solve((lower, True), right[n:] - side @ y)
    x = jnp.concatenate([y - spread @ q, q])
    return jnp.where(jnp.all(a > 0) & jnp.all(jnp.isfinite(lower)), x, jnp.nan)
