"""BFGS with the whole inverse Hessian (Nocedal and Wright 2006, algorithm 6.1)."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.methods.line_search import LineSearch, short

Inverse = tuple[Array, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bfgs(LineSearch):
    """Remembers the inverse Hessian [point, point], scaled by the first step (their equation 6.20)."""

    def remember(self, x: Array) -> Inverse:
        """The unit matrix, and that nothing has been learnt."""
        return jnp.eye(x.size, dtype=x.dtype), jnp.asarray(False)

    def learn(self, memory: Inverse, length: Array, p: Array, g: Array, new: Array) -> Inverse:
        """The update (their equation 6.17), unless the curvature along the step is not positive."""
        h, learnt = memory
        s, y = length * p, new - g
        sy, yy = s @ y, y @ y
        h = jnp.where(learnt, h, sy / yy * h)
        hy = h @ y
        # (I - s y'/sy) H (I - y s'/sy) + s s'/sy, multiplied out.
        update = (1 + y @ hy / sy) / sy * jnp.outer(s, s) - (jnp.outer(hy, s) + jnp.outer(s, hy)) / sy
        good = sy > float(np.finfo(p.dtype).eps) * yy
        return jnp.where(good, h + update, memory[0]), learnt | good

    def direction(self, memory: Inverse, g: Array) -> tuple[Array, Array]:
        """Minus the inverse Hessian times the gradient."""
        h, learnt = memory
        return -jnp.where(learnt, h @ g, g), jnp.where(learnt, 1.0, short(g))
