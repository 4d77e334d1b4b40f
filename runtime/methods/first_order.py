"""Methods that are an Optax update of the gradient: one evaluation of value and gradient per step."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import optax

from vspec.runtime.methods.method import Method, Point, Problem, State


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrder(Method):
    """Steps by an Optax transformation."""

    lr: float

    @abc.abstractmethod
    def transformation(self) -> Any:
        """The Optax transformation."""

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start."""
        value, gradient = problem.value_and_gradient(point)
        return self.begin(point, value, gradient, self.transformation().init(point))

    def step(self, problem: Problem, state: State) -> State:
        """Move, then evaluate."""
        updates, extra = self.transformation().update(state.gradient, state.extra, state.point)
        point = optax.apply_updates(state.point, updates)
        value, gradient = problem.value_and_gradient(point)
        return self.advance(state, point, value, gradient, extra)
