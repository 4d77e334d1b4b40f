"""The linear systems of constrained Newton steps, solved in the null space of the equality constraints.

`[[M, A'], [A, 0]] [dx, dy] = [r, c]` has a solution that descends if M is positive definite on the null space of A (Nocedal
and Wright 2006, section 16.2). That is tested by a Cholesky factorisation there, which also solves the system; where it
fails, a multiple of a diagonal is added to M. Rows of A that depend on others are left out by the rank of a singular value
decomposition, so that constraints may repeat each other.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import solve_triangular

_FIRST = 1e-4
_GROWTH = 8.0
_TRIES = 40
_REFINEMENTS = 2


class Factors(NamedTuple):
    """A factored system of n unknowns and m equations.

    `columns` [n] and `rows` [m] scale unknowns and equations. In scaled quantities, `left` [m, r] and `right` [n, r] are singular
    vectors, those of `right` 0 beyond the rank, `inverse` [r] the inverse singular values (0 there, too), and `matrix` is M with
    the shift. `lower` is the Cholesky factor of P M P + Q Q', where the columns of Q are those of `right` and P = I - Q Q'
    projects onto the null space: it is M there, and the identity across.
    """

    columns: Array
    rows: Array
    left: Array
    right: Array
    inverse: Array
    matrix: Array
    lower: Array
    shift: Array


def factorise(matrix: Array, equations: Array, start: Array | float = 0.0, weights: Array | None = None) -> Factors:
    """Factors of a system; the shift is the least of a growing sequence that makes M positive definite on the null space.

    Args:
        matrix: M [n, n], symmetric.
        equations: A [m, n].
        start: the shift that was needed last, from which the first one tried beyond zero is taken; 0 if none was.
        weights: [n], lower bounds of the diagonal against which the shift is measured.

    Returns:
        `Factors`; the shift is relative to the diagonal of M.
    """
    n, m = matrix.shape[0], equations.shape[0]
    kind = matrix.dtype
    eps = float(np.finfo(kind).eps)
    size = jnp.abs(jnp.diagonal(matrix))
    if weights is not None:
        size = jnp.maximum(size, weights)
    top = jnp.max(size, initial=0.0)
    size = jnp.where(size > eps * top, size, jnp.where(top > 0, jnp.minimum(top, 1.0), 1.0))
    columns = 1 / jnp.sqrt(size)
    scaled = matrix * columns * columns[:, None]
    scaled = (scaled + scaled.T) / 2
    wide = equations * columns
    norms = jnp.sqrt(jnp.sum(wide * wide, axis=1))
    rows = jnp.where(norms > 0, 1 / jnp.where(norms > 0, norms, 1), 1)
    if m:
        left, values, right = jnp.linalg.svd(wide * rows[:, None], full_matrices=False)
        kept = values > 100 * eps * max(m, n) * jnp.max(values)
        inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
        right = jnp.where(kept, right.T, 0)
        # P S P + Q Q' without products of whole matrices: few equations make it cheap.
        across = scaled @ right
        half = right @ (across - right @ (right.T @ across + jnp.eye(min(m, n), dtype=kind)) / 2).T
        inner = scaled - (half + half.T)
        diagonal = jnp.eye(n, dtype=kind) - right @ right.T
    else:
        left, right, inverse = jnp.zeros((0, 0), kind), jnp.zeros((n, 0), kind), jnp.zeros(0, kind)
        inner, diagonal = scaled, jnp.eye(n, dtype=kind)

    def factor(shift: Array) -> Array:
        lower: Array = jnp.linalg.cholesky(inner + shift * diagonal)
        return lower

    def grow(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        shift, _, k = carry
        shift = jnp.where(k == 0, jnp.maximum(_FIRST**2, jnp.where(start > 0, start / 3, _FIRST)), _GROWTH * shift)
        return shift, factor(shift), k + 1

    none = jnp.zeros((), kind)
    shift, lower, _ = lax.while_loop(
        lambda c: ~jnp.all(jnp.isfinite(c[1])) & (c[2] < _TRIES), grow, (none, factor(none), jnp.zeros((), jnp.int32))
    )
    return Factors(columns, rows, left, right, inverse, scaled + shift * jnp.eye(n, dtype=kind), lower, shift)


def solve(f: Factors, r: Array, c: Array) -> tuple[Array, Array]:
    """dx [n] and dy [m]; equations that cannot be met are met as well as possible."""
    r, c = f.columns * r, f.rows * c
    p = f.right @ (f.inverse * (f.left.T @ c))
    inner = _free(f, r - f.matrix @ p)
    q = solve_triangular(f.lower, solve_triangular(f.lower, inner, lower=True), trans=1, lower=True)
    dx = p + _free(f, q)
    dy = f.left @ (f.inverse * (f.right.T @ (r - f.matrix @ dx)))
    return f.columns * dx, f.rows * dy


def _free(f: Factors, x: Array) -> Array:
    """The part of x in the null space of the equations."""
    return x - f.right @ (f.right.T @ x)


class Blocks(NamedTuple):
    """The system of a step under inequalities, too: W, the equations A, the inequalities G and their weights d = z/s."""

    w: Array
    a: Array
    g: Array
    d: Array


def step(f: Factors, b: Blocks, r: Array, c: Array, h: Array) -> tuple[Array, Array, Array]:
    """Solves `W dx + A'dy + G'dz = r`, `A dx = c`, `G dx - dz/d = h` with the factors of `W + G'dG`.

    Two steps of iterative refinement on these three equations make up for the cancellation in that sum.
    """

    def condensed(r: Array, c: Array, h: Array) -> tuple[Array, Array, Array]:
        dx, dy = solve(f, r + b.g.T @ (b.d * h), c)
        return dx, dy, b.d * (b.g @ dx - h)

    # The shift is part of the equations that are refined: W + shift/columns^2.
    w = b.w + jnp.diag(f.shift / f.columns**2)
    Solution = tuple[Array, Array, Array]

    def residuals(s: Solution) -> Solution:
        dx, dy, dz = s
        return r - w @ dx - b.a.T @ dy - b.g.T @ dz, c - b.a @ dx, h - b.g @ dx + dz / b.d

    def size(t: Solution) -> Array:
        return jnp.max(jnp.concatenate([jnp.abs(t[0]), jnp.abs(t[1]), jnp.abs(t[2])]), initial=0.0)

    def refine(k: Array, s: Solution) -> Solution:
        rest = residuals(s)
        better = jax.tree.map(jnp.add, s, condensed(*rest))
        improves = (size(residuals(better)) < size(rest)) | (k == 0)
        kept: Solution = jax.tree.map(lambda new, old: jnp.where(improves, new, old), better, s)
        return kept

    none = (jnp.zeros_like(r), jnp.zeros_like(c), jnp.zeros_like(h))
    found: Solution = lax.fori_loop(0, 1 + _REFINEMENTS, refine, none)
    return found
