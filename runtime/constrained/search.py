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


class _Phase(NamedTuple):
    """Where the search stands: 0 the full step, 1 corrections of it, 2 halves of it; how often in this phase; the full step
    and its length; the last direction, its length and trial; the gaps that the next direction makes up for; the violation
    that a correction is to make less; whether the search is done."""

    phase: Array
    tries: Array
    full: Direction
    longest: Array
    direction: Direction
    length: Array
    trial: Trial
    equal: Array
    less: Array
    last: Array
    done: Array


def search(
    flat: Flat, now: Search, towards: Callable[[Array, Array], Direction], tau: Array
) -> tuple[Found, Direction]:
    """The first of the full step, its second-order corrections and its halves that is accepted; and the full step.

    Args:
        flat: the problem.
        now: where the search starts.
        towards: (gaps of equations, gaps of inequalities with slacks) → the step that makes up for these.
        tau: the share of the way to a bound that a step may go.
    """
    violation, value = now.violation, now.value
    kind = value.dtype
    slack = 10 * float(np.finfo(kind).eps) * jnp.abs(value)

    def tried(gain: Array, nominal: Array, e: Direction, length: Array) -> Trial:
        x, s = now.at.x + length * e.x, now.at.s + length * e.s
        f, equal, less = flat.trial(x)
        v, b = jnp.sum(jnp.abs(equal)) + jnp.sum(jnp.abs(less + s)), now.barrier(now.weight * f, x, s)
        switching = nominal * gain**_SWITCH_VALUE > violation**_SWITCH_VIOLATION
        by_value = switching & (violation <= _LEAST * now.first)
        armijo = b <= value - _ARMIJO * nominal * gain + slack
        progress = (v <= (1 - _GAMMA_VIOLATION) * violation) | (b <= value - _GAMMA_VALUE * violation + slack)
        good = jnp.where(by_value, armijo, progress) & now.filter.accepts(v, b - slack) & (v <= _MOST * now.first)
        return Trial(good & jnp.isfinite(b) & jnp.isfinite(v), by_value & armijo, v, equal, less + s)

    def go(c: _Phase) -> _Phase:
        first, correcting = c.phase == 0, c.phase == 1
        d: Direction = lax.cond(c.phase < 2, lambda: towards(c.equal, c.less), lambda: c.full)
        reach_ = now.longest(d, tau)
        full = Direction(*(jnp.where(first, a, b) for a, b in zip(d, c.full, strict=True)))
        longest = jnp.where(first, reach_, c.longest)
        length = jnp.where(c.phase < 2, reach_, c.length / 2)
        gain = jnp.maximum(-now.descent(full), 0)
        trial = tried(gain, jnp.where(correcting, longest, length), d, length)
        grew = (trial.violation >= violation) & jnp.isfinite(trial.violation)
        fell = (trial.violation <= _SLOW * c.last) & (c.tries < _CORRECTIONS)
        on = jnp.where(first, jnp.where(grew, 1, 2), jnp.where(correcting & fell, 1, 2)).astype(jnp.int32)
        return _Phase(
            phase=on,
            tries=jnp.where(on == c.phase, c.tries + 1, 1).astype(jnp.int32),
            full=full,
            longest=longest,
            direction=d,
            length=jnp.where(trial.good | (c.phase == 2), length, longest),
            trial=trial,
            equal=length * c.equal + trial.equal,
            less=length * c.less + trial.less,
            last=jnp.where(first, violation, trial.violation),
            done=trial.good | ((c.phase == 2) & (c.tries >= _HALVINGS)),
        )

    none, no = jnp.zeros((), kind), jnp.asarray(False)
    at, zero = now.at, jnp.zeros((), jnp.int32)
    still = Direction(*(jnp.zeros_like(v) for v in (at.x, at.s, at.z, at.y, at.low, at.high)))
    equal, less = now.found.equal, now.found.less + at.s
    begun = _Phase(zero, zero, still, none, still, none, Trial(no, no, none, equal, less), equal, less, none, no)
    end: _Phase = lax.while_loop(lambda c: ~c.done, go, begun)
    extended = now.filter.add((1 - _GAMMA_VIOLATION) * violation, value - _GAMMA_VALUE * violation)
    by_value = end.trial.good & end.trial.for_value
    unchanged = Filter(jnp.where(by_value, now.filter.pairs, extended.pairs))
    return Found(end.direction, end.length, end.trial.good, unchanged, extended), end.full
