"""Limited-memory BFGS (Liu and Nocedal 1989; Nocedal and Wright 2006, algorithm 7.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.methods.line_search import LineSearch, short


class Pairs(NamedTuple):
    """The last steps s and changes of the gradient y, the latest at `known - 1` modulo the memory; `scale` is s'y / y'y."""

    s: Array
    y: Array
    inverse: Array
    known: Array
    scale: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Lbfgs(LineSearch):
    """The inverse Hessian is built from the last `memory` steps, in time and space linear in the number of unknowns."""

    memory: int

    def remember(self, x: Array) -> Pairs:
        """No pairs. s, y [memory, point]; inverse [memory] is 1/s'y, and 0 where there is no pair."""
        none = jnp.zeros((self.memory, x.size), x.dtype)
        return Pairs(none, none, jnp.zeros(self.memory, x.dtype), jnp.zeros((), jnp.int32), jnp.ones((), x.dtype))

    def learn(self, memory: Pairs, length: Array, p: Array, g: Array, new: Array) -> Pairs:
        """One pair more, unless the curvature along the step is not positive."""
        s, y = length * p, new - g
        sy, yy = s @ y, y @ y
        at = memory.known % self.memory
        more = Pairs(
            memory.s.at[at].set(s),
            memory.y.at[at].set(y),
            memory.inverse.at[at].set(1 / sy),
            memory.known + 1,
            sy / yy,
        )
        good = sy > float(np.finfo(p.dtype).eps) * yy
        return Pairs(*(jnp.where(good, a, b) for a, b in zip(more, memory, strict=True)))

    def direction(self, memory: Pairs, g: Array) -> tuple[Array, Array]:
        """The two loops: from the latest pair to the oldest and back."""

        def at(k: Array) -> Array:
            return (memory.known - 1 - k) % self.memory

        def back(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            q, alphas = carry
            i = at(k)
            alpha = memory.inverse[i] * (memory.s[i] @ q)
            return q - alpha * memory.y[i], alphas.at[i].set(alpha)

        def forth(k: Array, r: Array) -> Array:
            i = at(self.memory - 1 - k)
            new: Array = r + memory.s[i] * (alphas[i] - memory.inverse[i] * (memory.y[i] @ r))
            return new

        q, alphas = lax.fori_loop(0, self.memory, back, (g, jnp.zeros_like(memory.inverse)))
        r = lax.fori_loop(0, self.memory, forth, memory.scale * q)
        known = memory.known > 0
        return -jnp.where(known, r, g), jnp.where(known, 1.0, short(g))
