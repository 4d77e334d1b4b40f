"""Newton's method with the program's Hessian, as a matrix or as products with vectors.

After Nocedal and Wright 2006, chapters 3, 4 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from vspec.runtime.curvature import descent
from vspec.runtime.methods.method import DIVERGED, RUNNING, STALLED, Method, Point, Problem, State, largest, select
from vspec.runtime.methods.quadratic import spectrum, truncated, within_ball
from vspec.runtime.registry import DENSE

_ARMIJO = 1e-4
_HALVINGS = 40
_FORCING = 0.5


class Memory(NamedTuple):
    """The Hessian of the flattened point, empty where products are taken; the radius of trust; the first gradient's norm."""

    hessian: Array
    radius: Array
    first: Array


class Trial(NamedTuple):
    """A step tried: its length or the radius it was made for, the step, the value there, how many were tried before."""

    length: Array
    p: Array
    value: Array
    k: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Newton(Method):
    """Steps to a minimiser of the quadratic model, shortened by backtracking or taken within a radius of trust.

    Near the optimum the decrease of the value drowns in rounding: steps whose decrease is below it are taken as long as
    they lower the largest gradient entry, and the run ends as 'stalled' when they no longer do.
    """

    damping: float
    search: Mapping[str, Any]
    linear: Mapping[str, Any]
    limit: ClassVar[int] = 100
    chunk: ClassVar[int] = 1

    def dense(self, size: int) -> bool:
        """Whether the Hessian is formed, for that many unknowns."""
        name = self.linear["name"]
        return bool(name == "dense" or (name == "auto" and size <= DENSE))

    def evaluate(self, problem: Problem, point: Point) -> tuple[Array, Point, Array]:
        """Value, gradient and the Hessian of the flattened point, empty where it is not formed."""
        x, _ = ravel_pytree(point)
        if self.dense(x.size):
            value, gradient, blocks = problem.newton(point)
            return value, gradient, flatten(blocks) + self.damping * jnp.eye(x.size, dtype=x.dtype)
        value, gradient = problem.value_and_gradient(point)
        return value, gradient, jnp.zeros((0, 0), x.dtype)

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start."""
        value, gradient, hessian = self.evaluate(problem, point)
        g, _ = ravel_pytree(gradient)
        radius = jnp.asarray(self.search["arguments"].get("radius", jnp.inf), g.dtype)
        return self.begin(problem, point, value, gradient, Memory(hessian, radius, jnp.linalg.norm(g)))

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """The Hessian belongs to the point; the radius of trust stays."""
        value, gradient, hessian = self.evaluate(problem, point)
        status = self.judge(problem, point, value, gradient)
        extra = state.extra._replace(hessian=hessian)
        return State(point, value, gradient, problem.measure(point, gradient), state.steps, status, extra)

    def step(self, problem: Problem, state: State) -> State:
        """A direction, its length, and the derivatives where it leads."""
        x, unravel = ravel_pytree(state.point)
        slack = 10 * float(np.finfo(x.dtype).eps) * jnp.abs(state.value)

        def value_at(p: Array) -> Array:
            return problem.value(unravel(x + p)).astype(x.dtype)

        search = self.backtrack if self.search["name"] == "armijo" else self.trust
        found, p, radius = search(problem, state, value_at, slack)
        point = unravel(jnp.where(found, x + p, x))
        value, gradient, hessian = self.evaluate(problem, point)
        useful = found & ((state.value - value > slack) | (largest(gradient) < largest(state.gradient)))
        extra = Memory(hessian, radius, state.extra.first)
        new = self.advance(problem, state, point, value, gradient, extra)
        stay = state._replace(steps=state.steps + 1, status=jnp.full((), STALLED, jnp.int32))
        good: State = select(useful | (new.status == DIVERGED) | (new.status != RUNNING), new, stay)
        return good

    def backtrack(
        self, problem: Problem, state: State, value_at: Callable[[Array], Array], slack: Array
    ) -> tuple[Array, Array, Array]:
        """Whether there is a step, the step, and no radius: a direction, halved until the value falls by enough."""
        g, _ = ravel_pytree(state.gradient)
        if self.dense(g.size):
            p = descent(state.extra.hessian, g)
        else:
            p = truncated(self.times(problem, state), g, *self.effort(state, g), jnp.asarray(jnp.inf, g.dtype))
        slope = g @ p

        def enough(t: Trial) -> Array:
            return t.value <= state.value + _ARMIJO * t.length * slope + slack

        def halve(t: Trial) -> Trial:
            step = t.p / 2
            return Trial(t.length / 2, step, value_at(step), t.k + 1)

        begun = Trial(jnp.ones((), g.dtype), p, value_at(p), jnp.zeros((), jnp.int32))
        last = lax.while_loop(lambda t: ~enough(t) & (t.k < _HALVINGS), halve, begun)
        return enough(last), last.p, state.extra.radius

    def trust(
        self, problem: Problem, state: State, value_at: Callable[[Array], Array], slack: Array
    ) -> tuple[Array, Array, Array]:
        """Whether there is a step, the step, and the next radius: minimisers within a radius that shrinks until the value falls
        by a share of what the model says (Nocedal and Wright 2006, algorithm 4.1)."""
        g, _ = ravel_pytree(state.gradient)
        times = self.times(problem, state)
        if self.dense(g.size):
            model = spectrum(state.extra.hessian, g)

            def step(radius: Array) -> Array:
                return within_ball(model, radius)

        else:
            effort = self.effort(state, g)

            def step(radius: Array) -> Array:
                return truncated(times, g, *effort, radius)

        def ratio(t: Trial) -> Array:
            expected = -(g @ t.p + t.p @ times(t.p) / 2)
            share = (state.value - t.value + slack) / (expected + slack)
            return jnp.where(jnp.isfinite(share), share, -1.0)

        def attempt(radius: Array, k: Array) -> Trial:
            p = step(radius)
            return Trial(radius, p, value_at(p), k)

        def shrink(t: Trial) -> Trial:
            return attempt(jnp.linalg.norm(t.p) / 4, t.k + 1)

        begun = attempt(state.extra.radius, jnp.zeros((), jnp.int32))
        last = lax.while_loop(lambda t: (ratio(t) < _ARMIJO) & (t.k < _HALVINGS), shrink, begun)
        share, size = ratio(last), jnp.linalg.norm(last.p)
        grown = jnp.where((share > 0.75) & (size > 0.99 * last.length), 2 * last.length, last.length)
        return share >= _ARMIJO, last.p, jnp.where(share < 0.25, size / 4, grown)

    def times(self, problem: Problem, state: State) -> Callable[[Array], Array]:
        """Products of the damped Hessian with vectors [point]."""
        x, unravel = ravel_pytree(state.point)
        if self.dense(x.size):
            return lambda v: state.extra.hessian @ v
        return lambda v: ravel_pytree(problem.hvp(state.point, unravel(v)))[0] + self.damping * v

    def effort(self, state: State, g: Array) -> tuple[Array, int]:
        """The relative residual and the number of iterations of conjugate gradients.

        A residual that is not given falls with the gradient, so that steps converge superlinearly (their section 7.1).
        """
        arguments = self.linear["arguments"]
        size = jnp.linalg.norm(g)
        own = jnp.minimum(_FORCING, jnp.sqrt(size / jnp.maximum(state.extra.first, size)))
        given = jnp.asarray(arguments.get("rtol", 0.0), g.dtype)
        return jnp.where(given > 0, given, own), arguments.get("iterations", 0) or 10 * g.size


def flatten(hessian: dict[str, dict[str, Array]]) -> Array:
    """The matrix `[point, point]` of blocks `[axes of p, axes of q]`, params in the order of flattened dicts."""
    names = sorted(hessian)
    sizes = {p: round(hessian[p][p].size ** 0.5) for p in names}
    if not names:
        return jnp.zeros((0, 0))
    return jnp.block([[hessian[p][q].reshape(sizes[p], sizes[q]) for q in names] for p in names])
