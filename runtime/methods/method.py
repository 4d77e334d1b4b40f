"""What a method is: an initial state and a step, both traceable, over points that are dicts of arrays."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Point = dict[str, Array]

RUNNING, TOLERANCE, STALLED, DIVERGED = range(4)
REASONS = ("steps", "tolerance", "stalled", "diverged")


@dataclass(frozen=True, slots=True)
class Problem:
    """A function to minimise, with the derivatives there are. Each takes a point.

    `newton` gives value, gradient and Hessian, the latter as dict p → dict q → block `[axes of p, axes of q]`.
    """

    value: Callable[[Point], Array]
    value_and_gradient: Callable[[Point], tuple[Array, Point]]
    newton: Callable[[Point], tuple[Array, Point, dict[str, dict[str, Array]]]]


class State(NamedTuple):
    """Where a method stands: always the last point at which value and gradient were finite, and theirs."""

    point: Point
    value: Array
    gradient: Point
    steps: Array
    status: Array
    extra: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(abc.ABC):
    """A method with its keywords as fields. `tol` is about the largest absolute gradient entry in the space moved in.

    `limit` is the number of steps where the spec names none, `chunk` the least number between two reports.
    """

    tol: float
    limit: ClassVar[int] = 1000
    chunk: ClassVar[int] = 10

    @abc.abstractmethod
    def init(self, problem: Problem, point: Point) -> State:
        """The state at the start."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: State) -> State:
        """The next state; called while the status is RUNNING."""

    def begin(self, point: Point, value: Array, gradient: Point, extra: Any) -> State:
        """The state of zero steps, judged."""
        zero = jnp.zeros((), jnp.int32)
        return State(point, value, gradient, zero, self.judge(value, gradient), extra)

    def judge(self, value: Array, gradient: Point) -> Array:
        """RUNNING, TOLERANCE or DIVERGED."""
        reached = largest(gradient) <= self.tol if self.tol > 0 else jnp.asarray(False)
        status = jnp.where(reached, TOLERANCE, RUNNING)
        return jnp.where(finite(value, gradient), status, DIVERGED).astype(jnp.int32)

    def advance(self, state: State, point: Point, value: Array, gradient: Point, extra: Any) -> State:
        """The state after one more step; one that is not finite is not taken and ends the run."""
        status = self.judge(value, gradient)
        kept = (state.point, state.value, state.gradient)
        point, value, gradient = select(status != DIVERGED, (point, value, gradient), kept)
        return State(point, value, gradient, state.steps + 1, status, extra)


def largest(gradient: Point) -> Array:
    """The largest absolute entry; NaN if one is."""
    tops = [jnp.max(jnp.abs(g)) for g in jax.tree.leaves(gradient) if g.size]
    return jnp.max(jnp.stack(tops)) if tops else jnp.zeros(())


def finite(value: Array, gradient: Point) -> Array:
    """Whether the value and every entry of the gradient is finite."""
    return jnp.isfinite(value) & jnp.isfinite(largest(gradient))


def select(condition: Array, yes: Any, no: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
