"""What a method is: an initial state and a step, both traceable, over points that are dicts of arrays."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from vspec.runtime.constrained.constraints import Constraints
from vspec.runtime.elimination import Described
from vspec.runtime.factors import Layout
from vspec.runtime.sparsity import Linked

Point = dict[str, Array]
Blocks = tuple[tuple[str, ...], ...]

RUNNING, TOLERANCE, STALLED, DIVERGED, INFEASIBLE = range(5)
REASONS = ("steps", "tolerance", "stalled", "diverged", "infeasible")


def missing(*_: Any) -> Any:
    """Stands for a derivative that a problem does not have. Raises TypeError."""
    raise TypeError("this problem has no such derivative")


def unconstrained(point: Point) -> Point:
    """The projection onto the whole space."""
    return point


class Scaling(NamedTuple):
    """Values of a block in the scaling form, how far the terms of exponents are from those that are kept, the least share of
    its weights that a sum of exponentials is, and the function there, where the form gives it."""

    point: Point
    drift: Array
    share: Array
    value: Array | None


@dataclass(frozen=True, slots=True)
class Scaled:
    """A sweep in the scaling form: `kernel` gives what is kept of a point, `blocks` the minima by products with it."""

    kernel: Callable[[Point], Point]
    blocks: tuple[Callable[[Point, Point], Scaling], ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A function to minimise, with the derivatives there are. Each takes a point.

    Args:
        value: the function. Of a saddle it is the function whose gradient is negated where it is to be made large.
        value_and_gradient: value and gradient.
        newton: value, gradient and Hessian, the latter as dict p → dict q → block `[axes of p, axes of q]`.
        structure: value, gradient, and the arrays of the terms that the Hessian is a sum of.
        terms: what each of these arrays is (`runtime/elimination.py`); None where the program does not tell.
        pattern: where the Hessian may differ from zero (`runtime/sparsity.py`); None where the program does not tell.
        factored: value, gradient, and the arrays of the factors of the Hessian.
        factors: what each of these is (`runtime/factors.py`); None where the program does not tell.
        hvp: the Hessian times a vector, `(point, vector) → vector`.
        squares: value, residuals `[m]` and their Jacobian `[m, size of the flattened point]`; the value is the sum of the squares
            of the residuals, up to a constant.
        residuals: the residuals alone.
        project: the nearest point of the set that the point must not leave.
        smooth: value and gradient of the part of the function that has a gradient, where the rest has a proximal map.
        prox: that map, `(point, step length) → point`.
        blocks: for each block of params the values that minimise the function by them, the others given.
        scaled: for each list of blocks their scaling form, where there is one.
        constraints: what else the point is subject to; for the methods of `vspec.runtime.constrained`.
    """

    value: Callable[[Point], Array]
    value_and_gradient: Callable[[Point], tuple[Array, Point]]
    newton: Callable[[Point], tuple[Array, Point, dict[str, dict[str, Array]]]] = missing
    structure: Callable[[Point], tuple[Array, Point, tuple[Array, ...]]] = missing
    terms: tuple[Described, ...] | None = None
    pattern: tuple[Linked, ...] | None = None
    factored: Callable[[Point], tuple[Array, Point, tuple[Array, ...]]] = missing
    factors: Layout | None = None
    hvp: Callable[[Point, Point], Point] = missing
    squares: Callable[[Point], tuple[Array, Array, Array]] = missing
    residuals: Callable[[Point], Array] = missing
    project: Callable[[Point], Point] = unconstrained
    smooth: Callable[[Point], tuple[Array, Point]] = missing
    prox: Callable[[Point, Array], Point] = missing
    blocks: Mapping[tuple[str, ...], Callable[[Point], Point]] = field(default_factory=dict)
    scaled: Mapping[Blocks, Scaled] = field(default_factory=dict)
    constraints: Constraints | None = None

    def measure(self, point: Point, gradient: Point) -> Array:
        """How far a point is from being optimal: the largest absolute gradient entry, or, where points are projected,
        the largest entry of the step to the projection of `x - g`."""
        if self.project is unconstrained:
            return largest(gradient)
        there = self.project(jax.tree.map(lambda x, g: x - g, point, gradient))
        return largest(jax.tree.map(lambda x, y: x - y, point, there))


class State(NamedTuple):
    """Where a method stands: always the last point at which value and gradient were finite, and theirs.

    `measure` is what the tolerance is about, `extra` the memory of the method.
    """

    point: Point
    value: Array
    gradient: Point
    measure: Array
    steps: Array
    status: Array
    extra: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(abc.ABC):
    """A method with its keywords as fields. `tol` is about `Problem.measure` in the space moved in, unless a method says else.

    `limit` is the number of steps where the spec names none, `chunk` the least number between two reports. `plain` says that the
    params move as they are, not in coordinates of their domains: the method keeps them inside. `looks` says that `turn`
    evaluates before it moves, and that what `init` remembers does not depend on values.
    """

    tol: float
    limit: ClassVar[int] = 1000
    chunk: ClassVar[int] = 10
    plain: ClassVar[bool] = False
    looks: ClassVar[bool] = False

    @abc.abstractmethod
    def init(self, problem: Problem, point: Point) -> State:
        """The state at the start."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: State) -> State:
        """The next state; called while the status is RUNNING."""

    def refresh(self, problem: Problem, state: State, point: Point) -> State:
        """The state at a point to which others have moved, or of a problem that has changed: evaluated and judged anew, its
        memory kept."""
        value, gradient = problem.value_and_gradient(point)
        status = self.judge(problem, point, value, gradient)
        return State(point, value, gradient, problem.measure(point, gradient), state.steps, status, state.extra)

    def multipliers(self, state: State) -> dict[str, Array] | None:
        """The multipliers of the constraints, by their names; None where the method has none."""
        return None

    def kernel(self, state: State) -> dict[str, Array]:
        """Arrays that entries of the program may read, by name."""
        return {}

    def tally(self, problem: Problem, state: State) -> dict[str, Array]:
        """What the method counts beside its steps, by the name of the fact; the problem only tells its form."""
        return {}

    def turn(self, problem: Problem, state: State, point: Point) -> State:
        """One step from a point to which others have moved, as in a repetition of several stages, or on a problem that
        has changed, as with batches. Where the method evaluates before it moves, value and gradient of the state are those
        before the move."""
        state = self.refresh(problem, state, point)
        new: State = lax.cond(state.status == RUNNING, lambda s: self.step(problem, s), lambda s: s, state)
        return new

    def begin(self, problem: Problem, point: Point, value: Array, gradient: Point, extra: Any) -> State:
        """The state of zero steps, judged."""
        status = self.judge(problem, point, value, gradient)
        zero = jnp.zeros((), jnp.int32)
        return State(point, value, gradient, problem.measure(point, gradient), zero, status, extra)

    def judge(self, problem: Problem, point: Point, value: Array, gradient: Point) -> Array:
        """RUNNING, TOLERANCE or DIVERGED."""
        reached = (problem.measure(point, gradient) <= self.tol) & (jnp.asarray(self.tol) > 0)
        status = jnp.where(reached, TOLERANCE, RUNNING)
        return jnp.where(finite(value, gradient), status, DIVERGED).astype(jnp.int32)

    def advance(self, problem: Problem, state: State, point: Point, value: Array, gradient: Point, extra: Any) -> State:
        """The state after one more step; one that is not finite is not taken and ends the run."""
        status = self.judge(problem, point, value, gradient)
        kept = (state.point, state.value, state.gradient, state.measure)
        new = (point, value, gradient, problem.measure(point, gradient))
        point, value, gradient, measure = select(status != DIVERGED, new, kept)
        return State(point, value, gradient, measure, state.steps + 1, status, extra)


def largest(gradient: Point) -> Array:
    """The largest absolute entry; NaN if one is."""
    tops = [jnp.max(jnp.abs(g)) for g in jax.tree.leaves(gradient) if g.size]
    return jnp.max(jnp.stack(tops)) if tops else jnp.zeros(())


def dot(a: Point, b: Point) -> Array:
    """The inner product."""
    parts = [jnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return jnp.sum(jnp.stack(parts))


def finite(value: Array, gradient: Point) -> Array:
    """Whether the value and every entry of the gradient is finite."""
    return jnp.isfinite(value) & jnp.isfinite(largest(gradient))


def select(condition: Array, yes: Any, no: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
