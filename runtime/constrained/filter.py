"""The filter of a line search: pairs of violation and barrier value that no later iterate may be worse than in both."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

CAPACITY = 64


class Filter(NamedTuple):
    """Pairs `[CAPACITY, 2]`, infinite where there is none; when full, the entry with the largest violation goes."""

    pairs: Array

    @classmethod
    def empty(cls, dtype: jnp.dtype) -> Filter:  # type: ignore[type-arg]
        """No pairs."""
        return cls(jnp.full((CAPACITY, 2), jnp.inf, dtype))

    def accepts(self, violation: Array, value: Array) -> Array:
        """Whether no pair is at least as good in both."""
        return ~jnp.any((violation >= self.pairs[:, 0]) & (value >= self.pairs[:, 1]))

    def add(self, violation: Array, value: Array) -> Filter:
        """With one more pair; those it is better than go."""
        pair = jnp.stack([violation, value])
        worse = (self.pairs[:, 0] >= violation) & (self.pairs[:, 1] >= value)
        pairs = jnp.where(worse[:, None], jnp.inf, self.pairs)
        return Filter(pairs.at[jnp.argmax(pairs[:, 0])].set(pair))
