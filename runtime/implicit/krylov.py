"""Methods for linear systems that ask for products with the matrix alone (Saad 2003, chapters 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from vspec.runtime.implicit.search import State, advance, begin, largest, repeat

_NO = False


@dataclass(frozen=True, slots=True)
class cg:  # noqa: N801 (called as programs call it)
    """Conjugate gradients, for a symmetric matrix that is definite. `tol` bounds the largest entry of what is left."""

    tol: float

    def linear(self, product: Callable[[Array], Array], right: Array, steps: int) -> State:
        """Searches from 0 for the x with product(x) = right. What is kept: what is left, the direction, its square."""

        def step(state: State) -> State:
            left, p, square = state.extra
            moved = product(p)
            length = square / (p @ moved)
            after = left - length * moved
            new = after @ after
            kept = (after, after + new / square * p, new)
            return advance(
                state, state.x + length * p, largest(after), self.tol, jnp.asarray(_NO), jnp.asarray(_NO), kept
            )

        start = begin(jnp.zeros_like(right), largest(right), self.tol, (right, right, right @ right))
        return repeat(step, start, steps, False)


@dataclass(frozen=True, slots=True)
class bicgstab:  # noqa: N801 (called as programs call it)
    """Stabilised biconjugate gradients (van der Vorst 1992), for any matrix; two products for each step."""

    tol: float

    def linear(self, product: Callable[[Array], Array], right: Array, steps: int) -> State:
        """Searches from 0 for the x with product(x) = right. What is kept: what is left, the direction, its shadow product."""

        def step(state: State) -> State:
            left, p, shadow = state.extra
            moved = product(p)
            length = shadow / (right @ moved)
            half = left - length * moved
            turned = product(half)
            size = turned @ turned
            # Where nothing is left after half a step, the other half is none.
            second = jnp.where(size > 0, turned @ half / jnp.where(size > 0, size, 1.0), 0.0)
            after = half - second * turned
            new = right @ after
            ahead = after + new / shadow * jnp.where(second != 0, length / second, 0.0) * (p - second * moved)
            x = state.x + length * p + second * half
            none = jnp.asarray(_NO)
            return advance(state, x, largest(after), self.tol, none, none, (after, ahead, new))

        start = begin(jnp.zeros_like(right), largest(right), self.tol, (right, right, right @ right))
        return repeat(step, start, steps, False)
