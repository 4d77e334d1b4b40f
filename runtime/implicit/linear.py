"""The linear systems of derivatives, by products with their matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from vspec.runtime.implicit.search import CONVERGED, FAILED, Report, State, Unknowns, largest, solved

# What is left after a search by products may have drifted from what the search takes to be left by this factor.
_DRIFT = 10


def linear(equations: Callable[..., Any], start: Any, method: Any, steps: int) -> tuple[Any, Report]:
    """The unknowns that solve a linear system.

    Where the search does not converge, the matrix is made and factored in its place.

    Args:
        equations: unknowns → arrays of their shapes, several as a tuple. For a method for fixed points an affine map, whose
            fixed point is sought; for the others what is 0 at the solution, a product with the matrix less the right side.
        start: the constant part of the map, or the right side. Its largest entry is the measure: `tol` is relative to it.
        method: how to search.
        steps: the greatest number of steps.
    """
    unknowns = Unknowns(start)
    size = lax.stop_gradient(largest(unknowns.start))
    scale = jnp.where(size > 0, size, 1.0)
    right = unknowns.start / scale
    unknowns.start = right
    mapping = hasattr(method, "fixed_point")

    def left(x: Array) -> Array:
        found = unknowns.vector(equations(*unknowns.arguments(x * scale))) / scale
        return found - x if mapping else found

    def search(x: Array, unrolled: bool) -> State:
        if mapping:
            state: State = method.fixed_point(lambda x: left(x) + x, x, steps, unrolled)
        else:
            state = method.linear(lambda x: left(x) + right, right, steps)
            state = checked(left, state, method.tol)
        return rescued(left, state)

    found, told = solved(unknowns, left, search, False)
    return jax.tree.map(lambda x: x * scale, found), told


def checked(left: Callable[[Array], Array], state: State, tol: float) -> State:
    """The end of a search that follows what is left step by step, judged by what is left indeed."""
    residual = largest(left(state.x))
    good = (state.status == CONVERGED) & (residual <= _DRIFT * tol)
    return state._replace(residual=residual, status=jnp.where(good, CONVERGED, FAILED).astype(jnp.int32))


def rescued(left: Callable[[Array], Array], state: State) -> State:
    """The end of a search for the solution of a linear system; of one that did not converge, the solution by its matrix.

    A loop of at most one step: under `vmap` a condition would make all the matrices whether they are needed or not.
    """

    def factored(state: State) -> State:
        # It is false here, but XLA does not know that: it would take what is the same in every step out of the loop.
        over = state.status == CONVERGED
        places = jnp.arange(state.x.size)
        unit = (places[:, None] == places + over).astype(state.x.dtype)
        rest = left(jnp.where(over, state.x, 0.0))
        matrix = jax.vmap(lambda e: left(e) - rest)(unit).T
        x = -jnp.linalg.solve(matrix, rest)
        return state._replace(x=x, residual=largest(left(x)), status=jnp.full_like(state.status, CONVERGED))

    return lax.while_loop(lambda s: s.status != CONVERGED, factored, state)
