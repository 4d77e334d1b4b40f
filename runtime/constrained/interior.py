"""A primal-dual interior-point method with a filter line search (Waechter and Biegler 2006, Mathematical Programming 106).

Minimises f under `equal(x) = 0`, `less(x) + s = 0`, `s >= 0`, `lower <= x <= upper`. Each step is Newton's on the optimality
conditions with complementarity `mu`, shortened so that no bound is reached; the filter takes a step that makes the violation
or the barrier function smaller. Differences from the paper: multipliers of inequalities are those of their slacks, steps are
solved in the null space of the equations (`kkt.py`), and where no step is accepted, `restoration.py` looks for feasibility.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.constrained.bounds import Bounds, reach, reach_bounds
from vspec.runtime.constrained.constraints import Evaluation, Flat
from vspec.runtime.constrained.filter import Filter
from vspec.runtime.constrained.kkt import Blocks, Factors, factorise, step
from vspec.runtime.constrained.restoration import restore
from vspec.runtime.constrained.status import DIVERGED, RUNNING, STALLED, TOLERANCE

_FIRST_MU = 0.1
_SCALE = 100.0  # the largest gradient entry that is not scaled down, and the average multiplier
_SETTLED = 10.0  # the barrier problem is solved when its error is below this times mu
_SHRINK, _POWER = 0.2, 1.5  # mu becomes the lesser of _SHRINK mu and mu^_POWER
_BOUNDARY = 0.99  # the share of the way to a bound that a step may go, at least
_PUSH = 1e-2
_GAMMA_VIOLATION, _GAMMA_VALUE = 1e-5, 1e-5
_SWITCH_VIOLATION, _SWITCH_VALUE = 1.1, 2.3
_ARMIJO = 1e-4
_CORRECTIONS = 4
_HALVINGS = 30
_SIGMA = 1e10
_PATIENCE = 12


class Iterate(NamedTuple):
    """x [n], slacks and multipliers of inequalities [i], multipliers of equations [e] and of the lower and upper ends [n]."""

    x: Array
    s: Array
    z: Array
    y: Array
    low: Array
    high: Array


class Memory(NamedTuple):
    """Where the method stands. `weight` scales f, `best` is the least error so far and `idle` the steps since."""

    at: Iterate
    found: Evaluation
    mu: Array
    weight: Array
    filter: Filter
    limit: Array
    shift: Array
    best: Array
    idle: Array
    status: Array


class Targets(NamedTuple):
    """What the products of distances and multipliers are to become: of slacks [i], of lower and of upper ends [n]."""

    s: Array
    low: Array
    high: Array

    @classmethod
    def all(cls, at: Iterate, mu: Array) -> Targets:
        """mu for all."""
        return cls(jnp.full_like(at.s, mu), jnp.full_like(at.x, mu), jnp.full_like(at.x, mu))


class Errors(NamedTuple):
    """How far an iterate is from optimal: largest entries of the gradient of the Lagrangian, of violations, and of products
    with multipliers less mu; `together` is the largest of them, the first and the last relative to the multipliers."""

    stationarity: Array
    violation: Array
    complementarity: Array
    together: Array


def _largest(*parts: Array) -> Array:
    return jnp.max(jnp.concatenate([jnp.abs(p) for p in parts]), initial=0.0)


def evaluate(flat: Flat, at: Iterate, weight: Array, bounds: Bounds) -> Evaluation:
    """The problem at an iterate, f times the weight; entries that are fixed count as numbers."""
    found = flat.evaluate(at.x, weight, at.y, at.z)
    free = ~bounds.fixed
    return Evaluation(
        weight * found.value,
        jnp.where(free, weight * found.gradient, 0),
        found.equal,
        found.less,
        jnp.where(free, found.equal_rows, 0),
        jnp.where(free, found.less_rows, 0),
        jnp.where(free & free[:, None], found.hessian, jnp.diag((~free).astype(at.x.dtype))),
    )


def slope(at: Iterate, found: Evaluation) -> Array:
    """The gradient of the Lagrangian [n]."""
    return found.gradient + found.equal_rows.T @ at.y + found.less_rows.T @ at.z - at.low + at.high


def errors(at: Iterate, found: Evaluation, bounds: Bounds, mu: Array | float, weight: Array | float = 1.0) -> Errors:
    """The errors with respect to complementarity mu; `weight` is what f was scaled with."""
    left, right = bounds.gaps(at.x)
    products = _largest(
        at.s * at.z - mu,
        jnp.where(bounds.below, left * at.low - mu, 0),
        jnp.where(bounds.above, right * at.high - mu, 0),
    )
    count = at.y.size + at.z.size + at.low.size + at.high.size
    mean = (jnp.sum(jnp.abs(at.y)) + jnp.sum(at.z) + jnp.sum(at.low) + jnp.sum(at.high)) / max(1, count)
    scale = jnp.maximum(_SCALE, mean / weight) / _SCALE
    stationarity = _largest(slope(at, found)) / weight
    violation = _largest(found.equal, found.less + at.s)
    products = products / weight
    together = jnp.maximum(jnp.maximum(stationarity, products) / scale, violation)
    return Errors(stationarity, violation, products, together)


def begin(flat: Flat, x: Array, tol: Array | float) -> Memory:
    """The state at the start."""
    bounds = Bounds.of(*flat.bounds())
    x = bounds.inside(x)
    equations, inequalities = flat.counts()
    one, kind = jnp.ones((), x.dtype), x.dtype
    y, z = jnp.zeros(equations, kind), jnp.ones(inequalities, kind)
    low, high = jnp.where(bounds.below, one, 0), jnp.where(bounds.above, one, 0)
    at = Iterate(x, jnp.zeros(inequalities, kind), z, y, low, high)
    found = evaluate(flat, at, one, bounds)
    weight = jnp.minimum(1, _SCALE / jnp.maximum(_largest(found.gradient), float(np.finfo(kind).tiny)))
    at = at._replace(s=jnp.maximum(-found.less, _PUSH * jnp.maximum(1, jnp.abs(found.less))))
    found = found._replace(value=weight * found.value, gradient=weight * found.gradient)
    at = at._replace(y=least_squares(at, found))
    found = evaluate(flat, at, weight, bounds)
    violation = jnp.sum(jnp.abs(found.equal)) + jnp.sum(jnp.abs(found.less + at.s))
    mu = jnp.asarray(_FIRST_MU if inequalities or flat.bounded else 0.0, kind)
    status = _judge(at, found, bounds, tol, weight)
    none = jnp.zeros((), kind)
    return Memory(
        at,
        found,
        mu,
        weight,
        Filter.empty(kind),
        jnp.maximum(1, violation),
        none,
        jnp.full((), jnp.inf, kind),
        jnp.zeros((), jnp.int32),
        status,
    )


def least_squares(at: Iterate, found: Evaluation) -> Array:
    """Multipliers of the equations that make the gradient of the Lagrangian least; 0 if they would be large."""
    if not at.y.size:
        return at.y
    rest = slope(at._replace(y=jnp.zeros_like(at.y)), found)
    n = at.x.size
    factors = factorise(jnp.eye(n, dtype=rest.dtype), found.equal_rows)
    _, y, _ = step(
        factors,
        Blocks(jnp.eye(n, dtype=rest.dtype), found.equal_rows, found.less_rows[:0], at.z[:0]),
        -rest,
        jnp.zeros_like(at.y),
        at.z[:0],
    )
    return jnp.where(jnp.all(jnp.isfinite(y)) & (_largest(y) <= 1e3), y, 0)


def _judge(at: Iterate, found: Evaluation, bounds: Bounds, tol: Array | float, weight: Array) -> Array:
    reached = errors(at, found, bounds, 0.0, weight).together <= tol
    sound = jnp.isfinite(found.value) & jnp.isfinite(_largest(found.gradient, found.equal, found.less))
    sound = sound & jnp.isfinite(_largest(found.equal_rows.ravel(), found.less_rows.ravel()))
    return jnp.where(sound, jnp.where(reached, TOLERANCE, RUNNING), DIVERGED).astype(jnp.int32)


# --- a step ------------------------------------------------------------------------------------------------------------


class Direction(NamedTuple):
    """A step of every part of an iterate."""

    x: Array
    s: Array
    z: Array
    y: Array
    low: Array
    high: Array


def advance(flat: Flat, m: Memory, tol: Array | float) -> Memory:
    """One step of the method."""
    bounds = Bounds.of(*flat.bounds())
    mu = _barrier(m, bounds, tol)
    fresh = mu < m.mu
    filter_ = Filter(jnp.where(fresh, jnp.inf, m.filter.pairs))
    at, found = m.at, m.found
    blocks, factors = system(at, found, bounds, m.shift)
    targets = Targets.all(at, mu)
    d = direction(at, found, bounds, targets, blocks, factors, found.equal, found.less)
    tau = jnp.maximum(_BOUNDARY, 1 - mu)
    violation = _violation(found.equal, found.less + at.s)
    value = _value(found.value, at.x, at.s, bounds, mu)
    descent = _descent(at, found, bounds, mu, d)
    small = 1e-4 * m.limit

    def judged(length: Array, x: Array, s: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Whether a trial is accepted and whether for its value; its violation and gaps."""
        f, equal, less = flat.trial(x)
        v, b = _violation(equal, less + s), _value(m.weight * f, x, s, bounds, mu)
        slack = 10 * float(np.finfo(x.dtype).eps) * jnp.abs(value)
        gain = jnp.maximum(-descent, 0)
        switching = length * gain**_SWITCH_VALUE > violation**_SWITCH_VIOLATION
        armijo = b <= value + _ARMIJO * length * descent + slack
        progress = (v <= (1 - _GAMMA_VIOLATION) * violation) | (b <= value - _GAMMA_VALUE * violation + slack)
        by_value = switching & (violation <= small)
        good = jnp.where(by_value, armijo, progress) & filter_.accepts(v, b - slack) & (v <= 1e4 * m.limit)
        good = good & jnp.isfinite(b) & jnp.isfinite(v)
        return good, by_value & armijo, v, equal, less

    longest = _longest(at, d, bounds, tau)
    good, for_value, trial, equal, less = judged(longest, at.x + longest * d.x, at.s + longest * d.s)

    # A full step that is refused since the violation grew is corrected for the curvature of the constraints.
    def corrected(_: None) -> tuple[Direction, Array, Array, Array]:
        def again(c: tuple[Array, ...]) -> tuple[Array, ...]:
            k, length, last, _, _, equal, less, rest_equal, rest_slack, *_ = c
            rest_equal = length * rest_equal + equal
            rest_slack = length * rest_slack + less
            e = direction(at, found, bounds, targets, blocks, factors, rest_equal, rest_slack - at.s)
            length = _longest(at, e, bounds, tau)
            good, for_value, v, equal, less = judged(longest, at.x + length * e.x, at.s + length * e.s)
            less = less + at.s + length * e.s
            go_on = ~good & (v <= 0.99 * last) & (k < _CORRECTIONS)
            return (k + 1, length, v, good, for_value, equal, less, rest_equal, rest_slack, go_on, *e)

        first = (
            jnp.ones((), jnp.int32),
            longest,
            violation,
            good,
            for_value,
            equal,
            less + at.s + longest * d.s,
            found.equal,
            found.less + at.s,
            jnp.asarray(True),
            *d,
        )
        _, length, _, good_, for_value_, *rest = lax.while_loop(lambda c: c[9], again, first)
        return Direction(*rest[5:]), length, good_, for_value_

    wanted = ~good & (trial >= violation) & jnp.isfinite(trial)
    d_soc, long_soc, good_soc, value_soc = lax.cond(wanted, corrected, lambda _: (d, longest, good, for_value), None)

    def halve(c: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        length, _, _, k = c
        length = length / 2
        g, f, *_ = judged(length, at.x + length * d.x, at.s + length * d.s)
        return length, g, f, k + 1

    length, good_line, value_line, _ = lax.while_loop(
        lambda c: ~c[1] & (c[3] < _HALVINGS), halve, (longest, good | good_soc, for_value, jnp.zeros((), jnp.int32))
    )
    use_soc = ~good & good_soc
    d = Direction(*(jnp.where(use_soc, a, b) for a, b in zip(d_soc, d, strict=True)))
    length = jnp.where(use_soc, long_soc, length)
    for_value = jnp.where(use_soc, value_soc, value_line)
    accepted = good_line
    # Where the step is lost in rounding, so is what the search looks at: it is taken as it is.
    eps = float(np.finfo(at.x.dtype).eps)
    tiny = (_largest(d.x / (1 + jnp.abs(at.x)), d.s / (1 + at.s)) < 10 * eps) & (violation < 1e-4)
    length = jnp.where(tiny, longest, length)
    moved = _moved(at, d, length, bounds, mu, tau)
    extended = filter_.add((1 - _GAMMA_VIOLATION) * violation, value - _GAMMA_VALUE * violation)
    kept = Filter(jnp.where((for_value & accepted) | tiny, filter_.pairs, extended.pairs))

    def restored(_: None) -> tuple[Iterate, Array]:
        def wanted(v: Array, f: Array, x: Array, s: Array) -> Array:
            return (v <= 0.9 * violation) & extended.accepts(v, _value(m.weight * f, x, s, bounds, mu))

        x, s, outcome = restore(flat, at.x, at.s, bounds, wanted, tol)
        left, right = bounds.gaps(x)
        most = 1e3
        new = at._replace(
            x=x,
            s=s,
            z=jnp.clip(mu / s, 0, most),
            low=jnp.where(bounds.below, jnp.clip(mu / left, 0, most), 0),
            high=jnp.where(bounds.above, jnp.clip(mu / right, 0, most), 0),
        )
        return new, outcome

    run = jnp.full((), RUNNING, jnp.int32)
    lost = ~accepted & ~tiny
    # Without a violation that could be made less, a search that fails has met the end of the precision.
    met = violation <= jnp.maximum(tol, 100 * eps)
    new, outcome = lax.cond(lost & ~met, restored, lambda _: (moved, run), None)
    new = Iterate(*(jnp.where(lost & met, a, b) for a, b in zip(at, new, strict=True)))
    evaluated = evaluate(flat, new, m.weight, bounds)
    if at.y.size:
        fitted = lax.cond(lost & ~met, lambda _: least_squares(new, evaluated), lambda _: new.y, None)
        new = new._replace(y=fitted)
    status = jnp.where(outcome == RUNNING, _judge(new, evaluated, bounds, tol, m.weight), outcome)
    error = errors(new, evaluated, bounds, 0.0, m.weight).together
    last = ~_may_shrink(mu, tol)
    idle = jnp.where((error < 0.99 * m.best) | ~last, 0, m.idle + 1)
    stuck = (lost & met & last) | (idle >= _PATIENCE)
    status = jnp.where((status == RUNNING) & stuck, STALLED, status)
    # A search that failed where the constraints are met ends the barrier problem early.
    mu = jnp.where(lost & met & ~last, _shrunk(mu, tol), mu)
    return Memory(
        new,
        evaluated,
        mu,
        m.weight,
        kept,
        m.limit,
        jnp.where(factors.shift > 0, factors.shift, m.shift / 3),
        jnp.minimum(error, m.best),
        idle,
        status.astype(jnp.int32),
    )


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

    return lax.while_loop(settled, lambda mu: _shrunk(mu, tol), m.mu)


def system(at: Iterate, found: Evaluation, bounds: Bounds, shift: Array) -> tuple[Blocks, Factors]:
    """The matrix of a step and its factors."""
    left, right = bounds.gaps(at.x)
    w = found.hessian + jnp.diag(at.low / left + at.high / right)
    d = at.z / at.s
    blocks = Blocks(w, found.equal_rows, found.less_rows, d)
    sizes = jnp.max(jnp.abs(found.hessian), axis=1, initial=0.0)
    return blocks, factorise(w + (found.less_rows.T * d) @ found.less_rows, found.equal_rows, shift, sizes)


def direction(
    at: Iterate,
    found: Evaluation,
    bounds: Bounds,
    targets: Targets,
    blocks: Blocks,
    factors: Factors,
    equal: Array,
    less: Array,
) -> Direction:
    """Newton's step to the targets that makes the linear parts of the gaps `equal` and `less + s` zero."""
    left, right = bounds.gaps(at.x)
    low, high = jnp.where(bounds.below, targets.low / left, 0), jnp.where(bounds.above, targets.high / right, 0)
    r = -(found.gradient + found.equal_rows.T @ at.y + found.less_rows.T @ at.z - low + high)
    dx, dy, dz = step(factors, blocks, jnp.where(bounds.fixed, 0, r), -equal, -less - targets.s / at.z)
    return Direction(
        dx,
        -(less + at.s) - found.less_rows @ dx,
        dz,
        dy,
        jnp.where(bounds.below, low - at.low - at.low / left * dx, 0),
        jnp.where(bounds.above, high - at.high + at.high / right * dx, 0),
    )


def _violation(equal: Array, less: Array) -> Array:
    return jnp.sum(jnp.abs(equal)) + jnp.sum(jnp.abs(less))


def _value(f: Array, x: Array, s: Array, bounds: Bounds, mu: Array) -> Array:
    """The barrier function; not a number outside of the bounds."""
    left, right = bounds.gaps(x)
    logs = jnp.sum(jnp.log(left)) + jnp.sum(jnp.log(right)) + jnp.sum(jnp.log(s))
    # mu is 0 where nothing has ends.
    return f - jnp.where(mu > 0, mu * logs, 0)


def _descent(at: Iterate, found: Evaluation, bounds: Bounds, mu: Array, d: Direction) -> Array:
    left, right = bounds.gaps(at.x)
    ends = jnp.where(bounds.below, mu / left, 0) - jnp.where(bounds.above, mu / right, 0)
    return (found.gradient - ends) @ d.x - jnp.sum(mu / at.s * d.s)


def _longest(at: Iterate, d: Direction, bounds: Bounds, tau: Array) -> Array:
    return jnp.minimum(reach(at.s, d.s, tau), reach_bounds(bounds, at.x, d.x, tau))


def _moved(at: Iterate, d: Direction, length: Array, bounds: Bounds, mu: Array, tau: Array) -> Iterate:
    """The next iterate; multipliers of bounds stay in proportion to mu over the distance."""
    dual = jnp.minimum(
        reach(at.z, d.z, tau),
        jnp.minimum(
            reach(jnp.where(bounds.below, at.low, 1), d.low, tau),
            reach(jnp.where(bounds.above, at.high, 1), d.high, tau),
        ),
    )
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
