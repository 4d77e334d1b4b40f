"""Newton's method with the program's Hessian, Cholesky and Armijo backtracking (Nocedal and Wright 2006, chapter 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import solve_triangular

from vspec.runtime.methods.method import DIVERGED, RUNNING, STALLED, Method, Point, Problem, State, largest, select

_ARMIJO = 1e-4
_HALVINGS = 40
_SHIFTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Newton(Method):
    """Solves `(H + shift) p = -g` densely; the shift grows from zero until the matrix is positive definite.

    Near the optimum the decrease of the value drowns in rounding: steps whose decrease is below it are taken as long as
    they lower the largest gradient entry, and the run ends as 'stalled' when they no longer do.
    """

    damping: float
    limit: ClassVar[int] = 100
    chunk: ClassVar[int] = 1

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start. `extra` is the Hessian of the flattened point."""
        value, gradient, hessian = problem.newton(point)
        return self.begin(problem, point, value, gradient, flatten(hessian))

    def step(self, problem: Problem, state: State) -> State:
        """A direction, its length, and the derivatives where it leads."""
        x, unravel = ravel_pytree(state.point)
        g, _ = ravel_pytree(state.gradient)
        p = direction(state.extra + self.damping * jnp.eye(x.size, dtype=x.dtype), g)
        slope = g @ p
        slack = 10 * float(np.finfo(x.dtype).eps) * jnp.abs(state.value)

        def value_at(length: Array) -> Array:
            return problem.value(unravel(x + length * p))

        def enough(length: Array, value: Array) -> Array:
            return value <= state.value + _ARMIJO * length * slope + slack

        def halve(search: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            length, _, k = search
            return length / 2, value_at(length / 2), k + 1

        one = jnp.ones((), x.dtype)
        length, tried, _ = lax.while_loop(
            lambda s: ~enough(s[0], s[1]) & (s[2] < _HALVINGS), halve, (one, value_at(one), jnp.zeros((), jnp.int32))
        )
        found = enough(length, tried)
        point = unravel(jnp.where(found, x + length * p, x))
        value, gradient, hessian = problem.newton(point)
        useful = found & ((state.value - value > slack) | (largest(gradient) < largest(state.gradient)))
        new = self.advance(problem, state, point, value, gradient, flatten(hessian))
        stay = state._replace(steps=state.steps + 1, status=jnp.full((), STALLED, jnp.int32))
        good: State = select(useful | (new.status == DIVERGED) | (new.status != RUNNING), new, stay)
        return good


def flatten(hessian: dict[str, dict[str, Array]]) -> Array:
    """The matrix `[point, point]` of blocks `[axes of p, axes of q]`, params in the order of flattened dicts."""
    names = sorted(hessian)
    sizes = {p: round(hessian[p][p].size ** 0.5) for p in names}
    if not names:
        return jnp.zeros((0, 0))
    return jnp.block([[hessian[p][q].reshape(sizes[p], sizes[q]) for q in names] for p in names])


def direction(hessian: Array, g: Array) -> Array:
    """A descent direction [point]: Newton's, with a multiple of I added until the Hessian is positive definite."""
    n = g.size
    diagonal = jnp.diag(hessian)
    scale = jnp.maximum(jnp.max(jnp.abs(diagonal), initial=0.0), float(np.finfo(g.dtype).tiny))
    first = jnp.maximum(-jnp.min(diagonal, initial=jnp.inf), 0.0) + 1e-3 * scale

    def factor(shift: Array) -> Array:
        lower: Array = jnp.linalg.cholesky(hessian + shift * jnp.eye(n, dtype=g.dtype))
        return lower

    def grow(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        shift, _, k = carry
        shift = jnp.where(k == 0, first, 4 * shift)
        return shift, factor(shift), k + 1

    none = jnp.zeros((), g.dtype)
    _, lower, _ = lax.while_loop(
        lambda c: ~jnp.all(jnp.isfinite(c[1])) & (c[2] < _SHIFTS), grow, (none, factor(none), jnp.zeros((), jnp.int32))
    )
    p = -solve_triangular(lower, solve_triangular(lower, g, lower=True), trans=1, lower=True)
    usable = jnp.all(jnp.isfinite(p)) & (g @ p <= 0)
    return jax.lax.select(usable, p, -g)
