"""Newton's method for roots and for least values, with a line search (Nocedal and Wright 2006, chapters 3 and 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.curvature import factored_descent
from vspec.runtime.implicit.extremes import Local
from vspec.runtime.implicit.search import State, advance, begin, largest, repeat, rounding

_ARMIJO = 1e-4
_HALVINGS = 30
# From so many unknowns on, factors are used again: below, a Hessian is hardly more work than a gradient. And by how much the
# gradient has to fall for one more step by the same ones.
_LARGE, _WORTHWHILE = 16, 10


class _Pursuit(NamedTuple):
    """What a search for a root keeps: the equations, their slopes, and how fast the flow is followed; 0 for Newton's steps."""

    values: Array
    slopes: Array
    pace: Array


@dataclass(frozen=True, slots=True)
class newton:  # noqa: N801 (called as the spec calls it)
    """Newton's method. `tol` is about the largest absolute equation or entry of the gradient.

    A search that cannot go on because a whole step is no more than rounding has converged, too.
    """

    tol: float

    def root(self, both: Callable[[Array], tuple[Array, Array]], x: Array, steps: int, unrolled: bool) -> State:
        """Steps that are halved until the sum of squares of the equations falls. Where no step does that, the search begins
        anew by pseudo-transient continuation (Kelley and Keyes 1998): implicit steps of the flow that has the equations for its
        velocity, of a length that grows as they come nearer to 0, so that the last ones are Newton's."""
        n = x.size
        first = both(x)
        # The flow goes where the slopes, on the whole, bring it to rest.
        sign = jnp.where(jnp.trace(first[1]) < 0, -1.0, 1.0).astype(x.dtype)
        start = _Pursuit(first[0], first[1], jnp.zeros((), x.dtype))

        def step(state: State) -> State:
            here: _Pursuit = state.extra
            flowing = here.pace > 0
            p = -_quotient(here.slopes + sign * here.pace * jnp.eye(n, dtype=x.dtype), here.values)
            size = here.values @ here.values

            def enough(length: Array, tried: tuple[Array, Array]) -> Array:
                return flowing | (tried[0] @ tried[0] <= (1 - _ARMIJO * length) * size)

            length, tried = _shorten(lambda t: both(state.x + t * p), enough, unrolled)
            after = tried[0] @ tried[0]
            residual = largest(tried[0])
            rest = (largest(p) <= rounding(state.x)) & (here.pace <= 1e-3 * largest(here.slopes))
            settled = rest & (residual <= state.residual)
            lost = ~flowing & ~rest & ~(enough(length, tried) & jnp.isfinite(after))
            pace = jnp.where(flowing, here.pace * _square_root(after / jnp.where(size > 0, size, 1.0)), 0.0)
            moved = advance(
                state,
                state.x + length * p,
                residual,
                self.tol,
                settled,
                flowing & ~jnp.isfinite(after),
                _Pursuit(tried[0], tried[1], pace),
            )
            again = begin(x, largest(first[0]), self.tol, start._replace(pace=_square_root(first[0] @ first[0])))
            again = again._replace(steps=state.steps + 1)
            anew: State = jax.tree.map(lambda a, b: jnp.where(lost, a, b), again, moved)
            return anew

        return repeat(step, begin(x, largest(first[0]), self.tol, start), steps, unrolled)

    def least(self, at: Callable[[Array], Local], x: Array, steps: int, unrolled: bool) -> State:
        """Descent directions of a positive-definite Hessian; steps that are halved until the value falls (Armijo's rule).

        What is tried has a value and a gradient; the Hessian is made where a step begins, and not once more at the end. Of many
        unknowns its factors serve for several steps, see `_corrected`.
        """

        def slope_at(x: Array) -> Local:
            return at(x)._replace(hessian=None)

        def step(state: State) -> State:
            here: Local = state.extra
            hessian = at(state.x).hessian
            assert hessian is not None
            p, again = factored_descent(hessian, here.gradient, unrolled)
            slope = here.gradient @ p
            slack = 10 * float(np.finfo(x.dtype).eps) * jnp.abs(here.value)

            def enough(length: Array, tried: Local) -> Array:
                return tried.value <= here.value + _ARMIJO * length * slope + slack

            length, tried = _shorten(lambda t: slope_at(state.x + t * p), enough, unrolled)
            new, fell = state.x + length * p, enough(length, tried)
            if not unrolled and x.size >= _LARGE:
                new, tried = _corrected(slope_at, again, new, tried, length == 1, self.tol, slack)
            residual = largest(tried.gradient)
            # Near the solution the decrease drowns in rounding: there a smaller gradient counts.
            useful = (here.value - tried.value > slack) | (residual < state.residual)
            settled = largest(p) <= rounding(state.x)
            return advance(state, new, residual, self.tol, settled, ~(fell & useful), tried)

        first = slope_at(x)
        return repeat(step, begin(x, largest(first.gradient), self.tol, first), steps, unrolled)


def _corrected(
    at: Callable[[Array], Local],
    direction: Callable[[Array], Array],
    x: Array,
    here: Local,
    whole: Array,
    tol: float,
    slack: Array,
) -> tuple[Array, Local]:
    """Where more steps by the factors of the last Hessian lead from x (Shamanskii 1967), and what the function is like there.

    They cost a gradient each, and near a solution every one of them brings it closer by about the same factor: so they go on as
    long as the gradient falls `_WORTHWHILE` times in each, down to tol. None is taken where the step before was not whole.
    """

    def going(search: tuple[Array, Local, Array, Array]) -> Array:
        return search[3]

    def further(search: tuple[Array, Local, Array, Array]) -> tuple[Array, Local, Array, Array]:
        x, here, residual, _ = search
        new = x + direction(here.gradient)
        there = at(new)
        after = largest(there.gradient)
        better = (after < residual) & (there.value <= here.value + slack)
        on = better & (after * _WORTHWHILE <= residual) & (after > tol)
        new, there, after = jax.tree.map(lambda a, b: jnp.where(better, a, b), (new, there, after), (x, here, residual))
        return new, there, after, on

    residual = largest(here.gradient)
    x, here, _, _ = lax.while_loop(going, further, (x, here, residual, whole & (residual > tol)))
    return x, here


def _square_root(x: Array) -> Array:
    """The square root, with the derivative 0 at 0: reverse mode would multiply an infinite one by 0 where a search is over."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _quotient(slopes: Array, values: Array) -> Array:
    """The x with slopes x = values."""
    return values / slopes[0] if values.size == 1 else jnp.linalg.solve(slopes, values)


def _shorten(at: Callable[[Array], Any], enough: Callable[[Array, Any], Array], unrolled: bool) -> tuple[Array, Any]:
    """The first of the lengths 1, 1/2, 1/4, ... that is enough, and what `at` gives there; no derivative is taken of it."""
    one = jnp.ones(())

    def halve(search: tuple[Array, Any, Array]) -> tuple[Array, Any, Array]:
        length, _, k = search
        return length / 2, at(length / 2), k + 1

    def going(search: tuple[Array, Any, Array]) -> Array:
        length, tried, k = search
        return ~enough(length, tried) & (k < _HALVINGS)

    if not unrolled:
        length, tried, _ = lax.while_loop(going, halve, (one, at(one), jnp.zeros((), jnp.int32)))
        return length, tried
    length, _, _ = lax.stop_gradient(_searched(halve, going, one, at))
    return length, at(length)


def _searched(halve: Any, going: Any, one: Array, at: Any) -> Any:
    return lax.while_loop(going, halve, lax.stop_gradient((one, at(one), jnp.zeros((), jnp.int32))))
