"""Sweeps in the scaling form: blocks by products with a kernel of exponentials, which is made anew where it must be."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.methods.method import Blocks, Point, Problem, Scaled, Scaling, largest

BOUND = 30.0
"""How far a term of an exponent may be from that of the kernel."""


def empty(scaled: Scaled, point: Point) -> Point:
    """What is kept before there is anything: sums of it are zero, so that no result is taken."""
    return {k: jnp.zeros(x.shape, x.dtype) for k, x in jax.eval_shape(scaled.kernel, point).items()}


def sound(found: Scaling) -> Array:
    """Whether what a kernel has lost to underflow is below rounding in the sums that were made with it.

    What is lost is below the least positive number, alone or by its weight: all that is lost in a sum must be less than the
    unit of rounding of the sum.
    """
    about = np.finfo(found.share.dtype)
    floor = float(about.tiny) / float(about.eps)
    fine = (found.drift <= BOUND) & (found.share >= floor) & jnp.isfinite(largest(found.point))
    return fine if found.value is None else fine & jnp.isfinite(found.value)


def swept(problem: Problem, blocks: Blocks, scaled: Scaled, point: Point, kernel: Point) -> tuple[Point, Array, Point]:
    """The point after one sweep, the value there, and the kernel: made anew at that point if some block had no use of it.

    Such a block is computed from the exponents themselves, so that each value is right whatever the kernel.
    """
    stale = jnp.asarray(False)
    value: Array | None = None
    for names, product in zip(blocks, scaled.blocks, strict=True):
        found = product(point, kernel)
        fine = sound(found)
        new, value = lax.cond(
            fine, _given(found), _from_exponents(problem, names, point, found.value is not None), point
        )
        point = {**point, **new}
        stale |= ~fine
    # A loop of at most one step, unlike a condition, leaves the kernel where it is.
    _, kernel = lax.while_loop(
        lambda c: c[0], lambda c: (jnp.asarray(False), _like(scaled.kernel(point), kernel)), (stale, kernel)
    )
    return point, problem.value(point) if value is None else value, kernel


def _given(found: Scaling) -> Callable[[Point], tuple[Point, Array | None]]:
    return lambda _: (found.point, found.value)


def _from_exponents(
    problem: Problem, names: tuple[str, ...], start: Point, valued: bool
) -> Callable[[Point], tuple[Point, Array | None]]:
    def minimum(point: Point) -> tuple[Point, Array | None]:
        new = problem.blocks[names](point)
        return new, problem.value({**point, **new}) if valued else None

    return minimum


def _like(new: Point, old: Point) -> Point:
    return {k: new[k].astype(x.dtype) for k, x in old.items()}
