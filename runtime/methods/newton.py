"""Newton's method with the program's Hessian: as a matrix, by its structure, made sparse, or as products with vectors.

After Nocedal and Wright 2006, chapters 3, 4 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from vspec.runtime.curvature import descent
from vspec.runtime.elimination import Elimination, eliminate
from vspec.runtime.factors import Layout
from vspec.runtime.methods import banded, factored
from vspec.runtime.methods.method import DIVERGED, RUNNING, STALLED, Method, Point, Problem, State, largest, select
from vspec.runtime.methods.quadratic import iterated, spectrum, within_ball
from vspec.runtime.methods.tied import diagonal, direction, shapes_of, sparsified, times
from vspec.runtime.registry import DENSE
from vspec.runtime.sparsity import Sparsity, sparsity

_ARMIJO = 1e-4
_HALVINGS = 40
_FORCING = 0.5

TOGETHER = ("structured", "factored", "sparsified")
"""The forms of which the arrays come with value and gradient."""

NO_LAYOUT = Layout((), ())


class Memory(NamedTuple):
    """The Hessian at the point, as `Newton.form` says: the matrix of the flattened point, the arrays of its terms, a sparse
    copy, the entries that may differ from zero, or nothing where products are taken; the radius of trust; the first gradient's
    norm; the iterations of conjugate gradients in all steps."""

    hessian: Any
    radius: Array
    first: Array
    cg: Array


class Trial(NamedTuple):
    """A step tried: its length or the radius it was made for, the step, the value there, how many were tried before, the
    iterations of conjugate gradients for all of them, and gradient and Hessian there if they come with the value."""

    length: Array
    p: Array
    value: Array
    k: Array
    cg: Array
    more: Any = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Newton(Method):
    """Steps to a minimiser of the quadratic model, shortened by backtracking or taken within a radius of trust.

    Near the optimum the decrease of the value drowns in rounding: steps whose decrease is below it are taken as long as
    they lower the largest gradient entry, and the run ends as 'stalled' when they no longer do.
    """

    damping: float
    hessian: Mapping[str, Any]
    search: Mapping[str, Any]
    linear: Mapping[str, Any]
    limit: ClassVar[int] = 100
    chunk: ClassVar[int] = 1

    def form(self, problem: Problem, size: int) -> str:
        """How the Hessian is kept for that many unknowns: dense, structured, sparse, factored, sparsified or products."""
        name: str = self.hessian["name"]
        if name != "auto":
            return name
        if problem.terms is not None:
            return "structured"
        if problem.pattern is not None:
            return "sparse"
        if problem.factors is not None:
            return "factored"
        if self.linear["name"] == "auto":
            return "dense" if size <= DENSE else "products"
        return "dense" if self.linear["name"] == "cholesky" else "products"

    def elimination(self, problem: Problem, point: Point) -> Elimination | None:
        """In which order a structured Hessian is factorised; None where products with it are taken."""
        found = eliminate(shapes_of(point), problem.terms or ())
        forced = self.linear["name"] == "cholesky"
        return found if forced or (self.linear["name"] == "auto" and found.feasible) else None

    def order(self, problem: Problem, point: Point) -> Sparsity | None:
        """The order of a sparse Hessian; None where too much of it may differ from zero, so that products are taken."""
        return sparsity(shapes_of(point), problem.pattern or ())

    def factorised(self, order: Sparsity) -> bool:
        """Whether a sparse Hessian is factorised rather than solved with by iterations."""
        return self.linear["name"] == "cholesky" or (self.linear["name"] == "auto" and order.feasible)

    def evaluate(self, problem: Problem, point: Point) -> tuple[Array, Point, Any]:
        """Value, gradient, and the Hessian as `form` says; the damping is in matrices, not in terms."""
        x, _ = ravel_pytree(point)
        form = self.form(problem, x.size)
        if form == "dense":
            value, gradient, blocks = problem.newton(point)
            return value, gradient, flatten(blocks) + self.damping * jnp.eye(x.size, dtype=x.dtype)
        if form == "products":
            return *problem.value_and_gradient(point), ()
        if form == "sparse":
            order = self.order(problem, point)
            kept = () if order is None else self.entries(problem, point, order)
            return *problem.value_and_gradient(point), kept
        if form == "factored":
            return problem.factored(point)
        value, gradient, arrays = problem.structure(point)
        if form == "structured":
            return value, gradient, arrays
        terms, shapes = problem.terms or (), shapes_of(point)
        along = ravel_pytree(diagonal(terms, shapes, arrays, point))[0] + self.damping
        return value, gradient, sparsified(terms, shapes, arrays, along, self.hessian["arguments"]["entries"])

    def entries(self, problem: Problem, point: Point, order: Sparsity) -> banded.Entries:
        """The entries of a sparse Hessian, damped, from products with vectors."""
        x, unravel = ravel_pytree(point)
        along = jax.vmap(lambda v: ravel_pytree(problem.hvp(point, unravel(v)))[0])(banded.directions(order, x.dtype))
        return banded.damped(order, banded.entries(order, along), self.damping)

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start."""
        value, gradient, hessian = self.evaluate(problem, point)
        g, _ = ravel_pytree(gradient)
        radius = jnp.asarray(self.search["arguments"].get("radius", jnp.inf), g.dtype)
        return self.begin(
            problem, point, value, gradient, Memory(hessian, radius, jnp.linalg.norm(g), jnp.zeros((), jnp.int32))
        )

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
        together = self.search["name"] == "armijo" and self.form(problem, x.size) in TOGETHER

        def at(p: Array) -> tuple[Array, Any]:
            """The value; where the Hessian comes with what it is made of anyway, all that the next step needs."""
            point = unravel(x + p)
            if not together:
                return problem.value(point).astype(x.dtype), ()
            value, gradient, hessian = self.evaluate(problem, point)
            return value.astype(x.dtype), (gradient, hessian)

        search = self.backtrack if self.search["name"] == "armijo" else self.trust
        found, last, radius = search(problem, state, at, slack)
        point = unravel(jnp.where(found, x + last.p, x))
        if together:
            stayed = (state.value.astype(x.dtype), (state.gradient, state.extra.hessian))
            value, (gradient, hessian) = select(found, (last.value, last.more), stayed)
            value = value.astype(state.value.dtype)
        else:
            value, gradient, hessian = self.evaluate(problem, point)
        useful = found & ((state.value - value > slack) | (largest(gradient) < largest(state.gradient)))
        extra = Memory(hessian, radius, state.extra.first, state.extra.cg + last.cg)
        new = self.advance(problem, state, point, value, gradient, extra)
        spent = state.extra._replace(cg=extra.cg)
        stay = state._replace(steps=state.steps + 1, status=jnp.full((), STALLED, jnp.int32), extra=spent)
        good: State = select(useful | (new.status == DIVERGED) | (new.status != RUNNING), new, stay)
        return good

    def tally(self, problem: Problem, state: State) -> dict[str, Array]:
        """The iterations of conjugate gradients, where systems are solved by them."""
        form = self.form(problem, sum(x.size for x in state.point.values()))
        direct = form == "dense" and self.linear["name"] != "cg"
        if form == "structured":
            direct = self.search["name"] == "armijo" and self.elimination(problem, state.point) is not None
        if form == "sparse":
            order = self.order(problem, state.point)
            direct = self.search["name"] == "armijo" and order is not None and self.factorised(order)
        if form == "factored":
            direct = self.search["name"] == "armijo" and self.linear["name"] != "cg"
        return {} if direct else {"cg": state.extra.cg}

    def direction(self, problem: Problem, state: State) -> tuple[Array, Array]:
        """A minimiser of the quadratic model, or a direction of descent where it has none [point], and the iterations that it
        took."""
        g, _ = ravel_pytree(state.gradient)
        form = self.form(problem, g.size)
        if form == "dense" and self.linear["name"] != "cg":
            return descent(state.extra.hessian, g), jnp.zeros((), jnp.int32)
        if form == "structured":
            order = self.elimination(problem, state.point)
            if order is not None:
                arrays = state.extra.hessian
                found = direction(order, problem.terms or (), arrays, state.gradient, self.damping)
                return ravel_pytree(found)[0], jnp.zeros((), jnp.int32)
        if form == "factored" and self.linear["name"] != "cg":
            layout = problem.factors or NO_LAYOUT
            step = factored.direction(layout, state.extra.hessian, state.gradient, self.damping)
            return step, jnp.zeros((), jnp.int32)
        if form == "sparse":
            sparse = self.order(problem, state.point)
            if sparse is not None and self.factorised(sparse):
                return banded.direction(sparse, state.extra.hessian, g), jnp.zeros((), jnp.int32)
        effort = self.effort(state, g)
        nowhere = jnp.asarray(jnp.inf, g.dtype)
        along = self.diagonal(problem, state)
        if along is None:
            return iterated(self.times(problem, state), g, *effort, nowhere)
        # Coordinates in which the diagonal is 1: conjugate gradients with Jacobi's preconditioner.
        scale = 1 / jnp.sqrt(jnp.where(along > 0, along, 1.0))
        product = self.times(problem, state)
        p, cg = iterated(lambda v: scale * product(scale * v), scale * g, *effort, nowhere)
        return scale * p, cg

    def diagonal(self, problem: Problem, state: State) -> Array | None:
        """The diagonal of the damped Hessian [point]; None where only products with it are known."""
        hessian, size = state.extra.hessian, sum(x.size for x in state.point.values())
        form = self.form(problem, size)
        if form == "dense":
            found: Array = jnp.diagonal(hessian)
            return found
        if form == "sparsified":
            kept: Array = hessian.diagonal
            return kept
        if form == "structured":
            own = diagonal(problem.terms or (), shapes_of(state.point), hessian, state.point)
            return ravel_pytree(own)[0] + self.damping
        if form == "sparse":
            order = self.order(problem, state.point)
            return None if order is None else banded.diagonal(order, hessian)
        if form == "factored":
            return factored.diagonal(problem.factors or NO_LAYOUT, hessian, state.point, self.damping)
        return None

    def backtrack(
        self, problem: Problem, state: State, at: Callable[[Array], tuple[Array, Any]], slack: Array
    ) -> tuple[Array, Trial, Array]:
        """Whether there is a step, the step, and no radius: a direction, halved until the value falls by enough."""
        g, _ = ravel_pytree(state.gradient)
        p, cg = self.direction(problem, state)
        slope = g @ p

        def enough(t: Trial) -> Array:
            return t.value <= state.value + _ARMIJO * t.length * slope + slack

        def attempt(length: Array, p: Array, k: Array) -> Trial:
            value, more = at(p)
            return Trial(length, p, value, k, cg, more)

        begun = attempt(jnp.ones((), g.dtype), p, jnp.zeros((), jnp.int32))
        last = lax.while_loop(
            lambda t: ~enough(t) & (t.k < _HALVINGS), lambda t: attempt(t.length / 2, t.p / 2, t.k + 1), begun
        )
        return enough(last), last, state.extra.radius

    def trust(
        self, problem: Problem, state: State, at: Callable[[Array], tuple[Array, Any]], slack: Array
    ) -> tuple[Array, Trial, Array]:
        """Whether there is a step, the step, and the next radius: minimisers within a radius that shrinks until the value falls
        by a share of what the model says (Nocedal and Wright 2006, algorithm 4.1)."""
        g, _ = ravel_pytree(state.gradient)
        product = self.times(problem, state)
        if self.form(problem, g.size) == "dense" and self.linear["name"] != "cg":
            model = spectrum(state.extra.hessian, g)

            def step(radius: Array) -> tuple[Array, Array]:
                return within_ball(model, radius), jnp.zeros((), jnp.int32)

        else:
            effort = self.effort(state, g)

            def step(radius: Array) -> tuple[Array, Array]:
                return iterated(product, g, *effort, radius)

        def ratio(t: Trial) -> Array:
            expected = -(g @ t.p + t.p @ product(t.p) / 2)
            share = (state.value - t.value + slack) / (expected + slack)
            return jnp.where(jnp.isfinite(share), share, -1.0)

        def attempt(radius: Array, k: Array, before: Array) -> Trial:
            p, cg = step(radius)
            return Trial(radius, p, at(p)[0], k, before + cg)

        def shrink(t: Trial) -> Trial:
            return attempt(jnp.linalg.norm(t.p) / 4, t.k + 1, t.cg)

        none = jnp.zeros((), jnp.int32)
        begun = attempt(state.extra.radius, none, none)
        last = lax.while_loop(lambda t: (ratio(t) < _ARMIJO) & (t.k < _HALVINGS), shrink, begun)
        share, size = ratio(last), jnp.linalg.norm(last.p)
        grown = jnp.where((share > 0.75) & (size > 0.99 * last.length), 2 * last.length, last.length)
        return share >= _ARMIJO, last, jnp.where(share < 0.25, size / 4, grown)

    def times(self, problem: Problem, state: State) -> Callable[[Array], Array]:
        """Products of the damped Hessian with vectors [point]."""
        x, unravel = ravel_pytree(state.point)
        form, hessian = self.form(problem, x.size), state.extra.hessian
        if form == "dense":
            return lambda v: hessian @ v
        if form == "sparsified":
            return lambda v: hessian.times(v)
        if form == "structured":
            terms, shapes = problem.terms or (), shapes_of(state.point)
            return lambda v: ravel_pytree(times(terms, shapes, hessian, unravel(v)))[0] + self.damping * v
        if form == "sparse":
            order = self.order(problem, state.point)
            if order is not None:
                return lambda v: banded.times(order, hessian, v)
        if form == "factored":
            layout = problem.factors or NO_LAYOUT
            return lambda v: factored.times(layout, hessian, state.point, self.damping, v)
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
