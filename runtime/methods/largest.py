"""Where the largest of many numbers are, without sorting them."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

_STRIPE = 64


def positions_of_largest(values: Array, count: int) -> Array:
    """The positions of the `count` largest of numbers `[n]` that are not negative, in the order in which they stand. Of equal
    ones the first are taken. Traceable.

    Bits of floating point numbers that are not negative, read as whole numbers, are in the order of the numbers: a level above
    which there are `count` of them is found by halving an interval, in at most as many passes as there are bits, and in about
    half as many where the numbers differ. For a few of many that costs less than to sort.
    """
    n = values.size
    if count >= n:
        return jnp.arange(n)
    whole = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    bits = lax.bitcast_convert_type(values, whole)

    def halve(ends: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, high, _ = ends
        middle = low + (high - low) // 2
        above = jnp.sum(bits > middle, dtype=jnp.int32)
        # More than `count` lie above `low`, at most as many above `high`.
        return jnp.where(above > count, middle, low), jnp.where(above > count, high, middle), above

    def unsettled(ends: tuple[Array, Array, Array]) -> Array:
        low, high, above = ends
        return (high - low > 1) & (above != count)

    begin = (jnp.asarray(-1, whole), jnp.max(bits), jnp.asarray(-1, jnp.int32))
    _, level, _ = lax.while_loop(unsettled, halve, begin)
    over, equal = bits > level, bits == level
    missing = count - jnp.sum(over, dtype=jnp.int32)
    none = jnp.full((count,), n, jnp.int32)
    first = lax.cond(missing > 0, lambda: positions_of_true(equal, count), lambda: none)
    found = positions_of_true(over, count)
    k = jnp.arange(count, dtype=jnp.int32)
    filled = jnp.where(k < count - missing, found, first[jnp.maximum(k - (count - missing), 0)])
    return jnp.sort(filled)


def positions_of_true(mask: Array, count: int) -> Array:
    """The first `count` positions at which a mask `[n]` is true, n where there are no more.

    Entries are counted by stripes first; only those stripes are looked into in which such a position lies.
    """
    n = mask.size
    rows = -(-n // _STRIPE)
    stripes = jnp.zeros((rows * _STRIPE,), bool).at[:n].set(mask).reshape(rows, _STRIPE)
    ends = jnp.cumsum(jnp.sum(stripes, axis=1, dtype=jnp.int32))
    wanted = jnp.arange(1, count + 1, dtype=jnp.int32)
    row = jnp.minimum(jnp.searchsorted(ends, wanted), rows - 1).astype(jnp.int32)
    before = jnp.where(row > 0, ends[jnp.maximum(row - 1, 0)], 0)
    inside = jnp.cumsum(stripes[row], axis=1, dtype=jnp.int32)
    column = jnp.argmax(inside >= (wanted - before)[:, None], axis=1).astype(jnp.int32)
    return jnp.where(wanted <= ends[-1], row * _STRIPE + column, n)
