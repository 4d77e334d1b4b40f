"""A primal-dual interior-point method with a filter line search (Waechter and Biegler 2006, Mathematical Programming 106).

Minimises f under `equal(x) = 0`, `less(x) + s = 0`, `s >= 0`, `lower <= x <= upper`. Each step is Newton's on the optimality
conditions with complementarity `mu`, shortened so that no bound is reached; the filter takes a step that makes the violation
or the barrier function smaller. Differences from the paper: multipliers of inequalities are those of their slacks, steps are
solved in the null space of the equations (`kkt.py`), and where no step is accepted, `restoration.py` looks for feasibility.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.constrained.bounds import Bounds, reach
from vspec.runtime.constrained.constraints import Evaluation, Flat
from vspec.runtime.constrained.filter import Filter
from vspec.runtime.constrained.iterate import (
    Direction,
    Iterate,
    Targets,
    direction,
    errors,
    evaluate,
    largest,
    system,
)
from vspec.runtime.constrained.restoration import restore
from vspec.runtime.constrained.search import Search, search
from vspec.runtime.methods.method import DIVERGED, RUNNING, STALLED, TOLERANCE

_FIRST_MU = 0.1
_STEEP = 100.0  # the largest gradient entry at the start that is not scaled down
_SETTLED = 10.0  # the barrier problem is solved when its error is below this times mu
_SHRINK, _POWER = 0.2, 1.5  # mu becomes the lesser of _SHRINK mu and mu^_POWER
_BOUNDARY = 0.99  # the share of the way to a bound that a step may go, at least
_PUSH = 1e-2
_SIGMA = 1e10
_PATIENCE = 12
_MOST_MULTIPLIER = 1e3  # after a restoration


Next = tuple[Iterate, Array]


class Memory(NamedTuple):
    """Where the method stands.

    `weight` scales f; `first` is the violation at the start, at least 1; `shift` the last one of the matrix; `best` the least
    error so far and `idle` the steps since, counted when mu is at its least.
    """

    at: Iterate
    found: Evaluation
    mu: Array
    weight: Array
    filter: Filter
    first: Array
    shift: Array
    best: Array
    idle: Array
    status: Array


def begin(flat: Flat, x: Array, tol: Array | float) -> Memory:
    """The state at the start."""
    bounds = Bounds.of(*flat.bounds())
    x = bounds.inside(x)
    equations, inequalities = flat.counts()
    one, kind = jnp.ones((), x.dtype), x.dtype
    low, high = jnp.where(bounds.below, one, 0), jnp.where(bounds.above, one, 0)
    none = jnp.zeros(inequalities, kind)
    at = Iterate(x, none, none + 1, jnp.zeros(equations, kind), low, high)
    found = evaluate(flat, at, one, bounds)
    weight = jnp.minimum(1, _STEEP / jnp.maximum(largest(found.gradient), float(np.finfo(kind).tiny)))
    at = at._replace(s=jnp.maximum(-found.less, _PUSH * jnp.maximum(1, jnp.abs(found.less))))
    found = evaluate(flat, at, weight, bounds)
    mu = jnp.asarray(_FIRST_MU if inequalities or flat.bounded else 0.0, kind)
    violation = Search(at, found, bounds, mu, weight, Filter.empty(kind), one).violation
    return Memory(
        at=at,
        found=found,
        mu=mu,
        weight=weight,
        filter=Filter.empty(kind),
        first=jnp.maximum(1, violation),
        shift=jnp.zeros((), kind),
        best=jnp.full((), jnp.inf, kind),
        idle=jnp.zeros((), jnp.int32),
        status=_judged(at, found, bounds, tol, weight),
    )


def _judged(at: Iterate, found: Evaluation, bounds: Bounds, tol: Array | float, weight: Array) -> Array:
    reached = errors(at, found, bounds, 0.0, weight).together <= tol
    sound = jnp.isfinite(found.value) & jnp.isfinite(largest(found.gradient, found.equal, found.less))
    sound = sound & jnp.isfinite(largest(found.equal_rows.ravel(), found.less_rows.ravel()))
    return jnp.where(sound, jnp.where(reached, TOLERANCE, RUNNING), DIVERGED).astype(jnp.int32)


def advance(flat: Flat, m: Memory, tol: Array | float) -> Memory:
    """One step of the method."""
    bounds = Bounds.of(*flat.bounds())
    eps = float(np.finfo(m.at.x.dtype).eps)
    at, found = m.at, m.found
    mu = _barrier(m, bounds, tol)
    last = ~_may_shrink(mu, tol)
    known = Filter(jnp.where(mu < m.mu, jnp.inf, m.filter.pairs))
    now = Search(at, found, bounds, mu, m.weight, known, m.first)
    targets = Targets.all(at, mu)
    blocks, factors = system(at, found, bounds, m.shift)
    tau = jnp.maximum(_BOUNDARY, 1 - mu)

    def towards(equal: Array, less: Array) -> Direction:
        return direction(at, found, bounds, targets, blocks, factors, equal, less - at.s)

    result, d = search(flat, now, towards, tau)
    # Where the step is lost in rounding, so is what the search looks at: it is taken as it is.
    tiny = (largest(d.x / (1 + jnp.abs(at.x)), d.s / (1 + at.s)) < 10 * eps) & (now.violation < _PUSH**2)
    taken = Direction(*(jnp.where(tiny, a, b) for a, b in zip(d, result.direction, strict=True)))
    moved = _moved(at, taken, jnp.where(tiny, now.longest(d, tau), result.length), bounds, mu, tau)
    lost = ~result.good & ~tiny
    # A search that fails where the constraints are met has come to the end of the precision.
    met = now.violation <= jnp.maximum(tol, 100 * eps)
    run = jnp.full((), RUNNING, jnp.int32)

    def restored() -> Next:
        """A point that violates the constraints less; multipliers start anew."""

        def wanted(v: Array, f: Array, x: Array, s: Array) -> Array:
            return (v <= 0.9 * now.violation) & result.extended.accepts(v, now.barrier(m.weight * f, x, s))

        x, s, outcome = restore(flat, at.x, at.s, bounds, wanted, tol)
        left, right = bounds.gaps(x)
        new = Iterate(
            x,
            s,
            jnp.clip(mu / s, 0, _MOST_MULTIPLIER),
            jnp.zeros_like(at.y),
            jnp.where(bounds.below, jnp.clip(mu / left, 0, _MOST_MULTIPLIER), 0),
            jnp.where(bounds.above, jnp.clip(mu / right, 0, _MOST_MULTIPLIER), 0),
        )
        return new, outcome

    stay: Next = jax.tree.map(lambda old, new: jnp.where(lost, old, new), (at, run), (moved, run))
    new, outcome = _only(lost & ~met, restored, stay)
    evaluated = evaluate(flat, new, m.weight, bounds)
    status = jnp.where(outcome == RUNNING, _judged(new, evaluated, bounds, tol, m.weight), outcome)
    error = errors(new, evaluated, bounds, 0.0, m.weight).together
    idle = jnp.where((error < 0.99 * m.best) | ~last, 0, m.idle + 1)
    stuck = (lost & met & last) | (idle >= _PATIENCE)
    return Memory(
        at=new,
        found=evaluated,
        # A search that failed where the constraints are met ends the barrier problem early.
        mu=jnp.where(lost & met & ~last, _shrunk(mu, tol), mu),
        weight=m.weight,
        filter=Filter(jnp.where(tiny, known.pairs, result.filter.pairs)),
        first=m.first,
        shift=jnp.where(factors.shift > 0, factors.shift, m.shift / 3),
        best=jnp.minimum(error, m.best),
        idle=idle,
        status=jnp.where((status == RUNNING) & stuck, STALLED, status).astype(jnp.int32),
    )


def _only(needed: Array, found: Callable[[], Next], otherwise: Next) -> Next:
    """What is found where it is needed, else what is given. Of many problems at once (`vmap`), a branch would be taken for all
    in every step; a loop is entered only if one of them needs it."""
    _, result = lax.while_loop(lambda c: c[0], lambda c: (jnp.asarray(False), found()), (needed, otherwise))
    return result


def _least_mu(mu: Array, tol: Array | float) -> Array:
    return jnp.maximum(jnp.asarray(tol, mu.dtype), float(np.finfo(mu.dtype).eps)) / _SETTLED


def _may_shrink(mu: Array, tol: Array | float) -> Array:
    return mu > 1.01 * _least_mu(mu, tol)


def _shrunk(mu: Array, tol: Array | float) -> Array:
    return jnp.maximum(_least_mu(mu, tol), jnp.minimum(_SHRINK * mu, mu**_POWER))


def _barrier(m: Memory, bounds: Bounds, tol: Array | float) -> Array:
    """The next mu: less as long as the iterate solves the barrier problem well enough."""

    def settled(mu: Array) -> Array:
        return (errors(m.at, m.found, bounds, mu).together <= _SETTLED * mu) & _may_shrink(mu, tol)

    mu: Array = lax.while_loop(settled, lambda mu: _shrunk(mu, tol), m.mu)
    return mu


def _moved(at: Iterate, d: Direction, length: Array, bounds: Bounds, mu: Array, tau: Array) -> Iterate:
    """The next iterate; multipliers of bounds stay in proportion to mu over the distance."""
    low, high = jnp.where(bounds.below, at.low, 1), jnp.where(bounds.above, at.high, 1)
    dual = jnp.minimum(reach(at.z, d.z, tau), jnp.minimum(reach(low, d.low, tau), reach(high, d.high, tau)))
    x, s = at.x + length * d.x, at.s + length * d.s
    left, right = bounds.gaps(x)

    def near(multiplier: Array, distance: Array) -> Array:
        return jnp.clip(multiplier, mu / (_SIGMA * distance), _SIGMA * mu / distance)

    return Iterate(
        x,
        s,
        near(at.z + dual * d.z, s),
        at.y + length * d.y,
        jnp.where(bounds.below, near(at.low + dual * d.low, left), 0),
        jnp.where(bounds.above, near(at.high + dual * d.high, right), 0),
    )
