"""Linear systems that a search for a fixed point solves: those of the derivatives of fixed points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from vspec.runtime.implicit.roots import MapMethod
from vspec.runtime.implicit.search import CONVERGED, Report, State, Unknowns, largest, solved


def linear(image: Callable[..., Any], start: Any, method: MapMethod, steps: int) -> tuple[Any, Report]:
    """The unknowns that are their own image under an affine map.

    Where the search does not converge, the matrix of the map is made and factored in its place.

    Args:
        image: unknowns → arrays of their shapes, several as a tuple; affine.
        start: the constant part of the map. Its largest entry is the measure: `tol` is relative to it.
        method: how to search.
        steps: the greatest number of steps.
    """
    unknowns = Unknowns(start)
    size = lax.stop_gradient(largest(unknowns.start))
    scale = jnp.where(size > 0, size, 1.0)
    unknowns.start = unknowns.start / scale

    def mapped(x: Array) -> Array:
        return unknowns.vector(image(*unknowns.arguments(x * scale))) / scale

    def search(x: Array, unrolled: bool) -> State:
        return rescued(mapped, method.fixed_point(mapped, x, steps, unrolled))

    found, told = solved(unknowns, lambda x: mapped(x) - x, search, False)
    return jax.tree.map(lambda x: x * scale, found), told


def rescued(image: Callable[[Array], Array], state: State) -> State:
    """The end of a search for the fixed point of an affine map; of one that did not converge, the solution by its matrix.

    A loop of at most one step: under `vmap` a condition would make all the matrices whether they are needed or not.
    """

    def factored(state: State) -> State:
        # It is false here, but XLA does not know that: it would take what is the same in every step out of the loop.
        over = state.status == CONVERGED
        places = jnp.arange(state.x.size)
        unit = (places[:, None] == places + over).astype(state.x.dtype)
        rest = image(jnp.where(over, state.x, 0.0))
        matrix = jax.vmap(lambda e: image(e) - rest)(unit).T - unit
        x = -jnp.linalg.solve(matrix, rest)
        return state._replace(x=x, residual=largest(image(x) - x), status=jnp.full_like(state.status, CONVERGED))

    return lax.while_loop(lambda s: s.status != CONVERGED, factored, state)
