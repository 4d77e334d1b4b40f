"""Hessians of which is known where they may differ from zero: their entries by few products, and systems with them.

The order, the border and the colors are those of `runtime/sparsity.py`. In that order the matrix is a chain of blocks, each of
which meets its two neighbours: a Cholesky factorisation goes along the chain, one block after the other, and what is left for
the border is its Schur complement. Several chains of one length go side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import cho_solve, solve_triangular

from vspec.runtime.curvature import rounding, shifted
from vspec.runtime.sparsity import Sparsity

_UNROLL = 16


class Entries(NamedTuple):
    """The entries of a symmetric matrix of all unknowns: on and below the diagonal among the ordered ones `[e]`, and the rows of
    the border, over all unknowns `[m, n]`."""

    values: Array
    border: Array


def directions(s: Sparsity, dtype: jnp.dtype) -> Array:
    """The vectors of which products are taken `[products, n]`: a sum of unit vectors for each color, a unit vector for each
    unknown of the border."""
    found = np.zeros((s.products, s.size))
    found[s.color, s.inner] = 1
    found[s.colors + np.arange(s.border.size), s.border] = 1
    return jnp.asarray(found, dtype)


def entries(s: Sparsity, products: Array) -> Entries:
    """The entries from the products of the matrix with `directions` `[products, n]`."""
    return Entries(products[s.color[s.columns], s.inner[s.rows]], products[s.colors :])


def damped(s: Sparsity, e: Entries, by: Array | float) -> Entries:
    """The matrix with a number added to its diagonal."""
    values = e.values + jnp.where(s.rows == s.columns, by, 0)
    return Entries(values, e.border.at[np.arange(s.border.size), s.border].add(by))


def times(s: Sparsity, e: Entries, v: Array) -> Array:
    """The product with a vector [n]."""
    rows, columns = s.inner[s.rows], s.inner[s.columns]
    beside = jnp.where(s.rows == s.columns, 0, e.values)
    found = jnp.zeros_like(v).at[rows].add(e.values * v[columns]).at[columns].add(beside * v[rows])
    found = found.at[s.inner].add(e.border[:, s.inner].T @ v[s.border])
    return found.at[s.border].add(e.border @ v)


def diagonal(s: Sparsity, e: Entries) -> Array:
    """The diagonal [n]."""
    on = s.rows == s.columns
    found = jnp.zeros((s.size,), e.values.dtype).at[s.inner[s.rows[on]]].set(e.values[on])
    return found.at[s.border].set(e.border[np.arange(s.border.size), s.border])


def direction(s: Sparsity, e: Entries, g: Array) -> Array:
    """Newton's direction [n], a multiple of the diagonal added where the matrix is not positive definite: as `curvature.descent`,
    without a matrix of all unknowns."""
    along = jnp.abs(diagonal(s, e))
    scale = 1 / jnp.sqrt(jnp.where(along > 0, along, 1.0))
    own = scale[s.inner]
    values = e.values * own[s.rows] * own[s.columns]
    border = scale[s.border][:, None] * e.border * scale
    side, corner = border[:, s.inner], border[:, s.border]
    inner, rest = (scale * g)[s.inner], (scale * g)[s.border]
    chain = _scalars if s.width < 2 else _blocks

    class Solved(NamedTuple):
        """The direction among the ordered ones and in the border; NaN where the matrix is not positive definite."""

        inner: Array
        border: Array

    def solve(shift: Array) -> Solved:
        solved = chain(s, values, shift, jnp.concatenate([inner[:, None], side.T], axis=1))
        y, spread = solved[:, 0], solved[:, 1:]
        if not s.border.size:
            return Solved(-y, rest)
        left = corner + shift * jnp.eye(s.border.size, dtype=g.dtype) - side @ spread
        lower = jnp.linalg.cholesky((left + left.T) / 2)
        q = -cho_solve((lower, True), rest - side @ y)
        return Solved(-y - spread @ q, q)

    lowest = jnp.min(diagonal(s, e) * scale**2, initial=jnp.inf)
    first = jnp.maximum(-lowest, 0.0) + 1e-3
    # Rounding alone makes a singular matrix indefinite, as where a constant may be moved between unknowns.
    least = jnp.where(lowest > 0, rounding(g.dtype), first)
    found, _ = shifted(solve, least, first)
    p = jnp.zeros_like(g).at[s.inner].set(found.inner).at[s.border].set(found.border) * scale
    usable = jnp.all(jnp.isfinite(p)) & (g @ p <= 0)
    return jnp.where(usable, p, -g)


def _scalars(s: Sparsity, values: Array, shift: Array, right: Array) -> Array:
    """The solution [k, columns] for one or three diagonals; NaN where these are not positive definite."""
    on = s.rows == s.columns
    middle = jnp.zeros((s.inner.size,), values.dtype).at[s.rows[on]].set(values[on]) + shift
    if s.width == 0:
        return jnp.where(middle[:, None] > 0, right / middle[:, None], jnp.nan)
    below = jnp.zeros_like(middle).at[s.rows[~on]].set(values[~on])

    def pivot(before: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        here = row[0] - row[1] ** 2 / before
        return here, here

    # The matrix is definite if all pivots of an elimination without exchanges are positive.
    side_by_side = (middle.reshape(s.chains, s.length).T, below.reshape(s.chains, s.length).T)
    _, pivots = lax.scan(pivot, jnp.ones((s.chains,), values.dtype), side_by_side, unroll=_UNROLL)
    above = jnp.concatenate([below[1:], jnp.zeros((1,), below.dtype)])
    found: Array = lax.linalg.tridiagonal_solve(below, middle, above, right)
    return jnp.where(jnp.all(pivots > 0), found, jnp.nan)


def _blocks(s: Sparsity, values: Array, shift: Array, right: Array) -> Array:
    """The solution [k, columns] for a chain of blocks, or several; NaN where the matrix is not positive definite."""
    w, length = s.block, s.length
    count = -(-length // w)
    chain, row = np.divmod(s.rows, length)
    at, i = np.divmod(row, w)
    before, j = np.divmod(s.columns - chain * length, w)
    own = at == before
    shape = (s.chains, count, w, w)
    # Rows that fill the last block up meet nothing.
    filled = np.zeros((count, w))
    filled.ravel()[length:] = 1
    same = jnp.zeros(shape, values.dtype).at[chain[own], at[own], i[own], j[own]].set(values[own])
    same = same + (shift + filled)[..., None] * jnp.eye(w, dtype=values.dtype)
    last = jnp.zeros(shape, values.dtype).at[chain[~own], at[~own], i[~own], j[~own]].set(values[~own])
    rights = right.reshape(s.chains, length, right.shape[1])
    rights = jnp.pad(rights, ((0, 0), (0, count * w - length), (0, 0))).reshape(s.chains, count, w, -1)
    each: Callable[..., Array] = jax.vmap(_chain)
    return each(same, last, rights).reshape(s.chains, count * w, -1)[:, :length].reshape(right.shape)


def _chain(same: Array, last: Array, right: Array) -> Array:
    """The solution `[blocks, w, columns]` with the blocks on the diagonal, of which the lower triangles are read, and those left
    of them, each `[blocks, w, w]`."""
    w, columns = right.shape[1:]

    def down(
        carry: tuple[Array, Array], row: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        lower, y = carry
        block, left, b = row
        # L[k, k - 1] = A[k, k - 1] inv(L[k - 1, k - 1])'
        half = solve_triangular(lower, left.T, lower=True).T
        here = jnp.linalg.cholesky(block - half @ half.T, symmetrize_input=False)
        y = solve_triangular(here, b - half @ y, lower=True)
        return (here, y), (here, half, y)

    begun = (jnp.eye(w, dtype=same.dtype), jnp.zeros((w, columns), right.dtype))
    _, (lower, half, y) = lax.scan(down, begun, (same, last, right))

    def up(after: tuple[Array, Array], row: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        x, beyond = after
        here, own, b = row
        x = solve_triangular(here, b - beyond.T @ x, trans=1, lower=True)
        return (x, own), x

    _, x = lax.scan(up, (jnp.zeros_like(y[0]), jnp.zeros_like(half[0])), (lower, half, y), reverse=True)
    return x
