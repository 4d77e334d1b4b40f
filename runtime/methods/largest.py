"""Where the largest of many numbers are, without sorting them."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax


def positions_of_largest(values: Array, count: int) -> Array:
    """The positions of the `count` largest of numbers `[n]` that are not negative, in the order in which they stand. Of equal
    ones the first are taken. Traceable.

    Bits of floating point numbers that are not negative, read as whole numbers, are in the order of the numbers: bisection over
    them finds the least that is taken in as many passes as there are bits. For a few of many that costs less than to sort.
    """
    if count >= values.size:
        return jnp.arange(values.size)
    whole = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    bits = lax.bitcast_convert_type(values, whole)

    def halved(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) // 2
        enough = jnp.sum(bits >= middle) >= count
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    steps = 8 * values.dtype.itemsize - 1
    least, _ = lax.fori_loop(0, steps, halved, (jnp.zeros((), whole), jnp.max(bits) + 1))
    above, equal = bits > least, bits == least
    taken = above | (equal & (jnp.cumsum(equal) <= count - jnp.sum(above)))
    found: Array = jnp.nonzero(taken, size=count, fill_value=0)[0]
    return found
