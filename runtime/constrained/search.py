"""The line search of the interior-point method: step lengths that the filter accepts, corrected for curvature."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.constrained.bounds import Bounds, reach, reach_bounds
from vspec.runtime.constrained.constraints import Evaluation, Flat
from vspec.runtime.constrained.filter import Filter
from vspec.runtime.constrained.iterate import Direction, Iterate

_GAMMA_VIOLATION, _GAMMA_VALUE = 1e-5, 1e-5
_SWITCH_VIOLATION, _SWITCH_VALUE = 1.1, 2.3
_ARMIJO = 1e-4
_CORRECTIONS = 4
_SLOW = 0.99
_HALVINGS = 30
_MOST, _LEAST = 1e4, 1e-4  # violations, relative to that of the start: never more; from when on the value counts


class Trial(NamedTuple):
    """A point that was tried: whether it is accepted, and for its value; its violation and gaps, `less` with slacks."""

    good: Array
    for_value: Array
    violation: Array
    equal: Array
    less: Array


class Found(NamedTuple):
    """Where the search leads: the direction and its length, whether it is accepted, and the filter after it."""

    direction: Direction
    length: Array
    good: Array
    filter: Filter
    extended: Filter


class Search(NamedTuple):
    """What the search goes by: an iterate, its evaluation, the barrier parameter, the filter, the first violation."""

    at: Iterate
    found: Evaluation
    bounds: Bounds
    mu: Array
    weight: Array
    filter: Filter
    first: Array

    @property
    def violation(self) -> Array:
        """The sum of absolute gaps."""
        return jnp.sum(jnp.abs(self.found.equal)) + jnp.sum(jnp.abs(self.found.less + self.at.s))

    @property
    def value(self) -> Array:
        """The barrier function."""
        return self.barrier(self.found.value, self.at.x, self.at.s)

    def barrier(self, f: Array, x: Array, s: Array) -> Array:
        """The barrier function for a scaled value f."""
        left, right = self.bounds.gaps(x)
        logs = jnp.sum(jnp.log(left)) + jnp.sum(jnp.log(right)) + jnp.sum(jnp.log(s))
        # mu is 0 where nothing has ends.
        return f - jnp.where(self.mu > 0, self.mu * logs, 0)

    def descent(self, d: Direction) -> Array:
        """The derivative of the barrier function along a direction."""
        left, right = self.bounds.gaps(self.at.x)
        low, high = jnp.where(self.bounds.below, self.mu / left, 0), jnp.where(self.bounds.above, self.mu / right, 0)
        return (self.found.gradient - low + high) @ d.x - jnp.sum(self.mu / self.at.s * d.s)

    def longest(self, d: Direction, tau: Array) -> Array:
        """The longest step that stays inside of the bounds."""
        return jnp.minimum(reach(self.at.s, d.s, tau), reach_bounds(self.bounds, self.at.x, d.x, tau))


def search(flat: Flat, now: Search, d: Direction, corrected: Callable[[Array, Array], Direction], tau: Array) -> Found:
    """The first of the full step, its second-order corrections and its halves that is accepted.

    Args:
        flat: the problem.
        now: where the search starts.
        d: the direction.
        corrected: (gaps of equations, gaps of inequalities with slacks) → the step that makes up for these.
        tau: the share of the way to a bound that a step may go.
    """
    violation, value = now.violation, now.value
    descent = now.descent(d)
    gain = jnp.maximum(-descent, 0)
    slack = 10 * float(np.finfo(value.dtype).eps) * jnp.abs(value)

    def tried(nominal: Array, e: Direction, length: Array) -> Trial:
        x, s = now.at.x + length * e.x, now.at.s + length * e.s
        f, equal, less = flat.trial(x)
        v, b = jnp.sum(jnp.abs(equal)) + jnp.sum(jnp.abs(less + s)), now.barrier(now.weight * f, x, s)
        switching = nominal * gain**_SWITCH_VALUE > violation**_SWITCH_VIOLATION
        by_value = switching & (violation <= _LEAST * now.first)
        armijo = b <= value - _ARMIJO * nominal * gain + slack
        progress = (v <= (1 - _GAMMA_VIOLATION) * violation) | (b <= value - _GAMMA_VALUE * violation + slack)
        good = jnp.where(by_value, armijo, progress) & now.filter.accepts(v, b - slack) & (v <= _MOST * now.first)
        return Trial(good & jnp.isfinite(b) & jnp.isfinite(v), by_value & armijo, v, equal, less + s)

    longest = now.longest(d, tau)
    full = tried(longest, d, longest)
    Step = tuple[Direction, Array, Trial]

    def correct() -> Step:
        """Steps that are refused since the violation grew are corrected for the curvature of the constraints."""
        Carry = tuple[Step, Array, Array, Array, Array, Array]

        def again(c: Carry) -> Carry:
            (_, length, trial), last, equal, less, k, _ = c
            equal, less = length * equal + trial.equal, length * less + trial.less
            e = corrected(equal, less)
            length = now.longest(e, tau)
            new = tried(longest, e, length)
            go_on = ~new.good & (new.violation <= _SLOW * last) & (k < _CORRECTIONS)
            return (e, length, new), new.violation, equal, less, k + 1, go_on

        rest = (now.found.equal, now.found.less + now.at.s)
        start = ((d, longest, full), violation, *rest, jnp.ones((), jnp.int32), jnp.asarray(True))
        step: Step = lax.while_loop(lambda c: c[5], again, start)[0]
        return step

    grew = ~full.good & (full.violation >= violation) & jnp.isfinite(full.violation)
    direction, length, trial = lax.cond(grew, correct, lambda: (d, longest, full))

    def halve(c: tuple[Array, Trial, Array]) -> tuple[Array, Trial, Array]:
        half = c[0] / 2
        return half, tried(half, d, half), c[2] + 1

    half, line, _ = lax.while_loop(
        lambda c: ~c[1].good & (c[2] < _HALVINGS),
        halve,
        (longest, trial._replace(good=trial.good), jnp.zeros((), jnp.int32)),
    )
    direction = Direction(*(jnp.where(trial.good, a, b) for a, b in zip(direction, d, strict=True)))
    length = jnp.where(trial.good, length, half)
    good, for_value = line.good, line.for_value
    extended = now.filter.add((1 - _GAMMA_VIOLATION) * violation, value - _GAMMA_VALUE * violation)
    kept = Filter(jnp.where(good & for_value, now.filter.pairs, extended.pairs))
    return Found(direction, length, good, kept, extended)
