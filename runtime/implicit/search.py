"""What all searches share: their state, how they are repeated, and how their result is made differentiable."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

RUNNING, CONVERGED, FAILED = range(3)


class Report(NamedTuple):
    """How a search went: the largest absolute equation (of a least value: entry of the gradient; of a fixed point: difference
    between the map and the unknown) that is left, the steps taken, and whether it converged."""

    residual: Array
    steps: Array
    converged: Array


class State(NamedTuple):
    """Where a search stands: the unknowns in a row, the largest absolute equation there, and what the method keeps."""

    x: Array
    residual: Array
    steps: Array
    status: Array
    extra: Any


Step = Callable[[State], State]


def begin(x: Array, residual: Array, tol: float, extra: Any) -> State:
    """The state before the first step, judged."""
    status = jnp.where(jnp.isfinite(residual), jnp.where(residual <= tol, CONVERGED, RUNNING), FAILED)
    return State(x, residual, jnp.zeros((), jnp.int32), status.astype(jnp.int32), extra)


def advance(state: State, x: Array, residual: Array, tol: float, settled: Array, stuck: Array, extra: Any) -> State:
    """The state after one more step. `settled`: the step changed nothing but rounding; `stuck`: it came no nearer.

    A step that is not finite, or that comes no nearer, is not taken.
    """
    good = jnp.isfinite(residual) & ~(stuck & (residual >= state.residual))
    reached = good & (residual <= tol)
    status = jnp.where(reached | settled, CONVERGED, jnp.where(~good | stuck, FAILED, RUNNING)).astype(jnp.int32)
    kept = (state.x, state.residual, state.extra)
    x, residual, extra = jax.tree.map(lambda new, old: jnp.where(good, new, old), (x, residual, extra), kept)
    return State(x, residual, state.steps + 1, status, extra)


def repeat(step: Step, state: State, steps: int, unrolled: bool) -> State:
    """Steps until the search ends, at most so many; unrolled, as a loop of fixed length that can be differentiated."""
    if not unrolled:
        return lax.while_loop(lambda s: (s.status == RUNNING) & (s.steps < steps), step, state)

    def maybe(state: State, _: None) -> tuple[State, None]:
        return lax.cond(state.status == RUNNING, step, lambda s: s, state), None

    return lax.scan(maybe, state, None, length=steps)[0]


def report(state: State) -> Report:
    """What the caller is told of a search."""
    return Report(state.residual, state.steps, state.status == CONVERGED)


def rounding(x: Array, size: Array | None = None) -> Array:
    """The size of a change of x that is no more than rounding; `size` is its largest entry, if that is known."""
    return 8 * float(np.finfo(x.dtype).eps) * (largest(x) if size is None else size)


def largest(x: Array) -> Array:
    """The largest absolute entry; NaN if one is."""
    return jnp.max(jnp.abs(x), initial=0.0)


def largest_of_both(x: Array, y: Array) -> tuple[Array, Array]:
    """The largest absolute entry of each of two arrays of one shape, in one pass; NaN if one is."""
    zero = jnp.zeros((), x.dtype)

    def larger(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        return lax.max(a[0], b[0]), lax.max(a[1], b[1])

    found: tuple[Array, Array] = lax.reduce((jnp.abs(x), jnp.abs(y)), (zero, zero), larger, tuple(range(x.ndim)))
    return found


class Unknowns:
    """Unknowns of several shapes as one vector: how functions of them become functions of it."""

    def __init__(self, start: Any) -> None:
        self.several = isinstance(start, tuple)
        self.start, self.unravel = ravel_pytree(start)
        self.sizes = [math.prod(jnp.shape(s)) for s in (start if self.several else (start,))]

    def arguments(self, x: Array) -> tuple[Any, ...]:
        """The unknowns as arguments of a function."""
        parts = self.unravel(x)
        return tuple(parts) if self.several else (parts,)

    def vector(self, parts: Any) -> Array:
        """Unknowns, or equations of their shapes, as a vector."""
        flat: Array = ravel_pytree(parts)[0]
        return flat

    def matrix(self, blocks: Any) -> Array:
        """Slopes of equations by unknowns as a matrix."""
        if not self.several:
            return blocks.reshape(self.sizes[0], self.sizes[0])  # type: ignore[no-any-return]
        rows = [
            [b.reshape(m, n) for b, n in zip(row, self.sizes, strict=True)]
            for row, m in zip(blocks, self.sizes, strict=True)
        ]
        return jnp.asarray(jnp.block(rows))


def solved(
    unknowns: Unknowns, equations: Callable[[Array], Array], search: Callable[[Array, bool], State], unrolled: bool
) -> tuple[Any, Report]:
    """The unknowns where a search ends, NaN where it failed, differentiable by the theorem or through its steps.

    Args:
        unknowns: their shapes and their start.
        equations: x → what is 0 at the solution, a vector of the length of x.
        search: (start, unrolled) → the last state.
        unrolled: whether derivatives are those of the steps.
    """
    if unrolled:
        state = search(unknowns.start, True)
        x, told = state.x, report(state)
    else:

        def solve(_: Any, x: Array) -> tuple[Array, Array]:
            state = search(x, False)
            return state.x, jnp.stack([jnp.asarray(r, x.dtype) for r in report(state)])

        # JAX has no tangents for integers beside a root.
        x, aside = lax.custom_root(equations, lax.stop_gradient(unknowns.start), solve, dense, has_aux=True)
        told = Report(aside[0], aside[1].astype(jnp.int32), aside[2] > 0)
    told = jax.tree.map(lax.stop_gradient, told)
    return unknowns.unravel(jnp.where(told.converged, x, jnp.nan)), told


def dense(linear: Callable[[Array], Array], y: Array) -> Array:
    """The x with linear(x) = y, by the matrix of the function."""
    found: Array = jnp.linalg.solve(jax.jacobian(linear)(jnp.zeros_like(y)), y)
    return found
