"""Nearest points of sets: of domains, of affine sets, half-spaces and balls, and of their intersections."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Project = Callable[[Array], Array]

_CYCLES = 5000


def box(x: Array, lower: Array, upper: Array) -> Array:
    """Entries between their ends."""
    return jnp.clip(x, lower, upper)


def simplex(x: Array, over: Sequence[int]) -> Array:
    """Entries of at least 0 that sum to 1 over the axes (Held, Wolfe and Crowder 1974): a threshold from the sorted entries."""
    last = tuple(range(-len(over), 0))
    moved = jnp.moveaxis(x, over, last)
    flat = moved.reshape(*moved.shape[: x.ndim - len(over)], -1)
    order = -jnp.sort(-flat, axis=-1)
    count = jnp.arange(1, flat.shape[-1] + 1, dtype=x.dtype)
    excess = (jnp.cumsum(order, axis=-1) - 1) / count
    # The largest number of entries that stay positive; the greatest one always does.
    kept = jnp.maximum(jnp.sum(order > excess, axis=-1, keepdims=True), 1)
    threshold = jnp.take_along_axis(excess, kept - 1, axis=-1)
    return jnp.moveaxis(jnp.maximum(flat - threshold, 0).reshape(moved.shape), last, over)


def sphere(x: Array, over: Sequence[int]) -> Array:
    """Length 1 over the axes; of 0, which has no nearest point, the first direction."""
    length = jnp.sqrt(jnp.sum(x * x, axis=tuple(over), keepdims=True))
    shape = tuple(n if k in over else 1 for k, n in enumerate(x.shape))
    first = jnp.zeros(shape, x.dtype).at[(0,) * x.ndim].set(1)
    return jnp.where(length > 0, x / jnp.where(length > 0, length, 1), first)


def semidefinite(x: Array) -> Array:
    """The symmetric part without its negative eigenvalues (Higham 1988)."""
    values, vectors = jnp.linalg.eigh((x + jnp.swapaxes(x, -1, -2)) / 2)
    nearest: Array = (vectors * jnp.maximum(values, 0)[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)
    return nearest


def orthonormal(x: Array) -> Array:
    """The polar factor: orthonormal columns."""
    u, _, v = jnp.linalg.svd(x, full_matrices=False)
    polar: Array = u @ v
    return polar


# --- sets given by gaps and rows ----------------------------------------------------------------------------------------


def affine(x: Array, gap: Array, rows: Array) -> Array:
    """The points where `gap + rows (y - x)` is 0, as far as all rows can be: x less the pseudo-inverse of the rows."""
    if rows.shape[0] == 1:
        (a,), (c,) = rows, gap
        square = a @ a
        only: Array = x - a * jnp.where(square > 0, c / jnp.where(square > 0, square, 1), 0)
        return only
    lengths = jnp.sqrt(jnp.sum(rows * rows, axis=1))
    scale = jnp.where(lengths > 0, 1 / jnp.where(lengths > 0, lengths, 1), 0)
    rows, gap = rows * scale[:, None], gap * scale
    values, vectors = jnp.linalg.eigh(rows @ rows.T)
    kept = values > 100 * float(np.finfo(x.dtype).eps) * max(rows.shape) * jnp.max(values)
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    nearest: Array = x - rows.T @ (vectors @ (inverse * (vectors.T @ gap)))
    return nearest


def half_spaces(x: Array, gap: Array, rows: Array, equal: bool = False) -> Array:
    """The points where `gap + rows (y - x)` is at most 0, or 0; no two rows have an entry in common."""
    squares = jnp.sum(rows * rows, axis=1)
    missed = gap if equal else jnp.maximum(gap, 0)
    nearest: Array = x - rows.T @ jnp.where(squares > 0, missed / jnp.where(squares > 0, squares, 1), 0)
    return nearest


def balls(x: Array, gap: Array, rows: Array, bend: Array, equal: bool) -> Array:
    """The points where quadratic gaps are at most 0, or 0: each is `bend |y - m|^2` less a constant in entries of its own.

    Args:
        x: where the nearest point is sought [n].
        gap: the gaps there [m].
        rows: their gradients [m, n]; no two have an entry in common.
        bend: their factors of the square [m].
        equal: whether the gaps are to be 0.
    """
    wanted = jnp.ones_like(gap, dtype=bool) if equal else gap > 0
    from_centre = jnp.sqrt(jnp.sum(rows * rows, axis=1)) / jnp.abs(2 * bend)
    radius = jnp.sqrt(jnp.maximum(from_centre**2 - gap / bend, 0))
    # x - m is the gradient over twice the bend; it is scaled to the length of the radius.
    share = jnp.where(wanted & (from_centre > 0), 1 - radius / jnp.where(from_centre > 0, from_centre, 1), 0)
    nearest: Array = x - rows.T @ (share / (2 * bend))
    return nearest


def slab(x: Array, gap: Array, row: Array, lower: Array, upper: Array, equal: bool) -> Array:
    """The nearest point between ends where one affine gap is 0, or at most 0.

    It is `clip(x - t row, lower, upper)` for the t at which the gap vanishes; the gap falls with t, and is linear between the
    values at which an entry reaches an end (Brucker 1984): these are sorted and searched by halves.
    """
    small = float(np.finfo(x.dtype).tiny) ** 0.5
    moving = jnp.abs(row) > small
    divisor = jnp.where(moving, row, 1)

    def at(t: Array) -> Array:
        return jnp.clip(x - t * row, lower, upper)

    def value(t: Array) -> Array:
        return gap + row @ (at(t) - x)

    ends = jnp.concatenate([(x - lower) / divisor, (x - upper) / divisor])
    ends = jnp.where(jnp.isfinite(ends) & jnp.concatenate([moving, moving]), ends, jnp.inf)
    ends = jnp.sort(ends)
    count = jnp.sum(jnp.isfinite(ends))

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) // 2
        falls = (low < high) & (value(ends[jnp.clip(middle, 0, ends.size - 1)]) > 0)
        return jnp.where(falls, middle + 1, low), jnp.where((low < high) & ~falls, middle, high)

    zero = jnp.zeros((), count.dtype)
    steps = int(np.ceil(np.log2(ends.size + 1))) + 1
    first, _ = lax.fori_loop(0, steps, halve, (zero, count))
    # The gap is positive before the end of number `first` and not after it.
    before = ends[jnp.clip(first - 1, 0, ends.size - 1)]
    after = ends[jnp.clip(first, 0, ends.size - 1)]
    inside = jnp.where(
        first == 0, jnp.where(count > 0, after - 1, 0), jnp.where(first == count, before + 1, (before + after) / 2)
    )
    free = moving & (x - inside * row > lower) & (x - inside * row < upper)
    slope = jnp.sum(jnp.where(free, row * row, 0))
    base = jnp.where(first == 0, jnp.where(count > 0, after, 0), before)
    t = base + jnp.where(slope > 0, value(base) / jnp.where(slope > 0, slope, 1), 0)
    if not equal:
        t = jnp.where(gap + row @ (jnp.clip(x, lower, upper) - x) <= 0, 0, jnp.maximum(t, 0))
    return at(t)


def dykstra(projections: Sequence[Project], x: Array) -> Array:
    """The nearest point of an intersection of convex sets by projections onto each in turn (Boyle and Dykstra 1986).

    Ends when a cycle moves no entry by more than rounding, or after many cycles.
    """
    if not projections:
        return x
    if len(projections) == 1:
        return projections[0](x)
    eps = float(np.finfo(x.dtype).eps)
    Carry = tuple[Array, Array, Array, Array]

    def cycle(c: Carry) -> Carry:
        x, corrections, _, k = c
        before, new = x, []
        for p, correction in zip(projections, corrections, strict=True):
            y = p(x + correction)
            new.append(x + correction - y)
            x = y
        stacked = jnp.stack(new)
        # Corrections may still move while the point rests.
        moved = jnp.maximum(jnp.max(jnp.abs(x - before)), jnp.max(jnp.abs(stacked - corrections)))
        return x, stacked, moved, k + 1

    start = (
        x,
        jnp.zeros((len(projections), *x.shape), x.dtype),
        jnp.full((), jnp.inf, x.dtype),
        jnp.zeros((), jnp.int32),
    )
    limit = 4 * eps * jnp.maximum(1, jnp.max(jnp.abs(x)))
    x, *_ = lax.while_loop(lambda c: (c[2] > limit) & (c[3] < _CYCLES), cycle, start)
    return x


__all__ = [
    "Project",
    "affine",
    "balls",
    "box",
    "dykstra",
    "half_spaces",
    "orthonormal",
    "semidefinite",
    "simplex",
    "slab",
    "sphere",
]
