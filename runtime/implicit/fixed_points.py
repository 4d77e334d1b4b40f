"""Methods that apply a map again and again: plainly, damped, and mixed (Walker and Ni 2011)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.implicit.search import State, advance, begin, largest, largest_of_both, repeat, rounding


@dataclass(frozen=True, slots=True)
class picard:  # noqa: N801 (called as the spec calls it)
    """x ← x + damping*(g(x) - x), until no entry of the difference exceeds `tol`, or rounding."""

    tol: float
    damping: float = 1.0

    def fixed_point(self, image: Callable[[Array], Array], x: Array, steps: int, unrolled: bool) -> State:
        """Searches from x. What is kept is the difference between the image and x."""

        def step(state: State) -> State:
            new = state.x + self.damping * state.extra
            off = image(new) - new
            left, size = (largest(off), largest(new)) if unrolled else largest_of_both(off, new)
            settled = left <= rounding(new, size)
            return advance(state, new, left, self.tol, settled, jnp.asarray(False), off)

        off = image(x) - x
        return repeat(step, begin(x, largest(off), self.tol, off), steps, unrolled)


@dataclass(frozen=True, slots=True)
class anderson:  # noqa: N801 (called as the spec calls it)
    """Mixes the last `memory` points so that their differences from their images nearly cancel, then steps by `damping`."""

    tol: float
    memory: int = 5
    damping: float = 1.0

    def fixed_point(self, image: Callable[[Array], Array], x: Array, steps: int, unrolled: bool) -> State:
        """Searches from x. What is kept: the difference from the image here, and how x and it changed in the last steps."""
        m = max(1, min(self.memory, x.size))

        def step(state: State) -> State:
            off, moves, changes = state.extra
            # Least squares by normal equations of changes of length 1, shifted by rounding: empty places of the memory count
            # nothing, and late changes, which are small, as much as early ones.
            size = jnp.sqrt(jnp.sum(changes**2, axis=1, keepdims=True))
            size = jnp.where(size > 0, size, 1.0)
            unit = changes / size
            shift = 100 * float(np.finfo(x.dtype).eps)
            weights = jnp.linalg.solve(unit @ unit.T + shift * jnp.eye(m, dtype=x.dtype), unit @ off)
            p = self.damping * off - weights @ ((moves + self.damping * changes) / size)
            new = state.x + p
            after = image(new) - new
            place = state.steps % m
            moves = lax.dynamic_update_index_in_dim(moves, p, place, 0)
            changes = lax.dynamic_update_index_in_dim(changes, after - off, place, 0)
            settled = largest(after) <= rounding(new)
            return advance(state, new, largest(after), self.tol, settled, jnp.asarray(False), (after, moves, changes))

        off = image(x) - x
        empty = jnp.zeros((m, x.size), x.dtype)
        return repeat(step, begin(x, largest(off), self.tol, (off, empty, empty)), steps, unrolled)
