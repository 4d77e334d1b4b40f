"""The ends of the entries of a vector, and distances from them."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

_PUSH = 1e-2


class Bounds(NamedTuple):
    """Ends of x [n], 0 where there is none; whether there is one; whether both are equal, so that the entry is fixed."""

    lower: Array
    upper: Array
    below: Array
    above: Array
    fixed: Array

    @classmethod
    def of(cls, lower: Array, upper: Array) -> Bounds:
        """From ends that may be infinite."""
        fixed = lower >= upper
        below, above = jnp.isfinite(lower) & ~fixed, jnp.isfinite(upper) & ~fixed
        return cls(jnp.where(below | fixed, lower, 0), jnp.where(above | fixed, upper, 0), below, above, fixed)

    def gaps(self, x: Array) -> tuple[Array, Array]:
        """The distances from the ends, 1 where there is none; at least what is lost in rounding beside them."""
        eps, tiny = float(np.finfo(x.dtype).eps), float(np.finfo(x.dtype).tiny) ** 0.5
        left = jnp.maximum(x - self.lower, eps * jnp.abs(self.lower) + tiny)
        right = jnp.maximum(self.upper - x, eps * jnp.abs(self.upper) + tiny)
        return jnp.where(self.below, left, 1), jnp.where(self.above, right, 1)

    def inside(self, x: Array) -> Array:
        """x, moved away from its ends: by a share of the width, or of max(1, |end|)."""
        width = jnp.where(self.below & self.above, self.upper - self.lower, jnp.inf)
        up = jnp.minimum(_PUSH * jnp.maximum(1, jnp.abs(self.lower)), _PUSH * width)
        down = jnp.minimum(_PUSH * jnp.maximum(1, jnp.abs(self.upper)), _PUSH * width)
        x = jnp.where(self.below, jnp.maximum(x, self.lower + up), x)
        x = jnp.where(self.above, jnp.minimum(x, self.upper - down), x)
        return jnp.where(self.fixed, self.lower, x)


def reach(x: Array, d: Array, tau: Array | float) -> Array:
    """The longest step up to 1 along d that keeps `(1 - tau) x` of every entry of x."""
    ratios = jnp.where(d < 0, -tau * x / jnp.where(d < 0, d, 1), jnp.inf)
    return jnp.minimum(1, jnp.min(ratios, initial=jnp.inf))


def reach_bounds(bounds: Bounds, x: Array, d: Array, tau: Array | float) -> Array:
    """The same for the distances of x from its ends."""
    left, right = bounds.gaps(x)
    low, high = jnp.where(bounds.below, d, 0), jnp.where(bounds.above, -d, 0)
    return jnp.minimum(reach(left, low, tau), reach(right, high, tau))
