"""Directions of descent from a Hessian that need not be positive definite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.linalg import solve_triangular

_SHIFTS = 40
Factors = TypeVar("Factors")


def rounding(dtype: Any) -> float:
    """What rounding alone may ask to be added to a singular matrix with a diagonal of 1."""
    return 1e3 * float(np.finfo(dtype).eps)


def shifted(factor: Callable[[Array], Factors], least: Array, first: Array | float = 0.0) -> tuple[Factors, Array]:
    """Factors of a matrix with a shift that makes them finite, and the shift: none, `least`, then at least `first` and four
    times the last one each time."""

    def indefinite(carry: tuple[Factors, Array, Array]) -> Array:
        finite = jax.tree.map(lambda x: jnp.all(jnp.isfinite(x)), carry[0])
        return ~jnp.all(jnp.stack(jax.tree.leaves(finite))) & (carry[2] < _SHIFTS)

    def grow(carry: tuple[Factors, Array, Array]) -> tuple[Factors, Array, Array]:
        _, shift, k = carry
        shift = jnp.where(k == 0, least, jnp.maximum(first, 4 * shift))
        return factor(shift), shift, k + 1

    none = jnp.zeros_like(least)
    found, shift, _ = lax.while_loop(indefinite, grow, (factor(none), none, jnp.zeros((), jnp.int32)))
    return found, shift


def descent(hessian: Array, gradient: Array, differentiable: bool = False) -> Array:
    """The direction of `factored_descent` alone."""
    return factored_descent(hessian, gradient, differentiable)[0]


def factored_descent(
    hessian: Array, gradient: Array, differentiable: bool = False
) -> tuple[Array, Callable[[Array], Array]]:
    """Newton's direction [n] for a Hessian [n, n], with a multiple of its diagonal added until that is positive definite
    (Nocedal and Wright 2006, algorithm 3.3), at first as little as rounding asks for; where no multiple helps, minus the
    gradient.

    The matrix is scaled to a diagonal of 1 and -1 first, so that what is added is small for each unknown by its own measure. If
    differentiable, reverse mode goes through it, at the price of one more factorisation: what is added is a number.

    Returns:
        The direction, and a function that gives Newton's direction [n] for another gradient [n] by the factors of the same
        matrix.
    """
    n = gradient.size
    diagonal = jnp.abs(jnp.diag(hessian))
    scale = lax.stop_gradient(1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0)))
    scaled = scale[:, None] * hessian * scale

    def factor(matrix: Array, shift: Array) -> Array:
        # A Hessian is symmetric: its lower half says it all.
        whole = matrix + shift * jnp.eye(n, dtype=gradient.dtype)
        lower: Array = lax.linalg.cholesky(whole, symmetrize_input=differentiable)
        return lower

    def applied(lower: Array, right: Array) -> Array:
        half = solve_triangular(lower, right, lower=True)
        found: Array = solve_triangular(lower, half, trans=1, lower=True)
        return found

    def definite(matrix: Array, right: Array) -> tuple[tuple[Array, Array], Array]:
        lowest = jnp.min(jnp.diag(matrix), initial=jnp.inf)
        first = jnp.maximum(-lowest, 0.0) + 1e-3
        # Rounding alone makes a singular matrix indefinite, as where a constant may be moved between unknowns.
        least = jnp.where(lowest > 0, rounding(gradient.dtype), first)
        # What is sought is small beside the factor, and no more finite than this. No shift helps a right side that is not.
        sound = jnp.where(jnp.all(jnp.isfinite(right)), right, 0.0)

        def solution(shift: Array) -> tuple[Array, Array]:
            lower = factor(matrix, shift)
            return applied(lower, sound), lower

        return shifted(solution, least, first)

    right = scale * gradient
    (found, lower), shift = lax.stop_gradient(definite(*lax.stop_gradient((scaled, right))))
    if differentiable:
        lower = factor(scaled, shift)
        found = applied(lower, right)
    p = -scale * found
    usable = jnp.all(jnp.isfinite(p)) & (gradient @ p <= 0)
    return jnp.where(usable, p, -gradient), lambda other: -scale * applied(lower, scale * other)
