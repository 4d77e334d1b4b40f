"""Methods that are an Optax update of the gradient: one evaluation of value and gradient per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import jax
import optax

from vspec.runtime.methods.method import RUNNING, Method, Point, Problem, State, select


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOrder(Method):
    """Steps by an Optax transformation, `make(lr, **keywords)`, of gradients no longer than `clip`, if that is not 0."""

    make: Callable[..., Any]
    lr: float
    clip: float
    keywords: Mapping[str, Any]
    looks: ClassVar[bool] = True

    def transformation(self) -> Any:
        """Optax's; made where it is used, since keywords may be traced values."""
        steps = self.make(self.lr, **self.keywords)
        return steps if absent(self.clip) else optax.chain(optax.clip_by_global_norm(self.clip), steps)

    def init(self, problem: Problem, point: Point) -> State:
        """Evaluate the start."""
        value, gradient = problem.value_and_gradient(point)
        return self.begin(problem, point, value, gradient, self.transformation().init(point))

    def step(self, problem: Problem, state: State) -> State:
        """Move, then evaluate."""
        point, extra = self.move(problem, state)
        value, gradient = problem.value_and_gradient(point)
        return self.advance(problem, state, point, value, gradient, extra)

    def turn(self, problem: Problem, state: State, point: Point) -> State:
        """Evaluate, then move: the state's value and gradient are those before the move."""
        state = self.refresh(problem, state, point)
        moved, extra = self.move(problem, state)
        running = state.status == RUNNING
        point, extra = select(running, (moved, extra), (point, state.extra))
        return state._replace(point=point, extra=extra, steps=state.steps + running)

    def move(self, problem: Problem, state: State) -> tuple[Point, Any]:
        """Where the state's gradient leads, and the memory there."""
        updates, extra = self.transformation().update(state.gradient, state.extra, state.point)
        # A traced keyword may have another precision than the point; the memory keeps its own.
        extra = jax.tree.map(lambda new, old: new.astype(old.dtype), extra, state.extra)
        return problem.project(optax.apply_updates(state.point, updates)), extra


def absent(value: Any) -> bool:
    """Whether a keyword is the literal 0, which switches off what it is about; a traced one never is."""
    return isinstance(value, int | float) and value == 0


def _sgd(lr: Any, momentum: Any, nesterov: bool, dampening: Any) -> Any:
    parts = [] if absent(dampening) else [optax.scale(1 - dampening)]
    if not absent(momentum):
        parts.append(optax.trace(momentum, nesterov))
    return optax.chain(*parts, optax.scale_by_learning_rate(lr))


def _rmsprop(lr: Any, momentum: Any, **keywords: Any) -> Any:
    return optax.rmsprop(lr, momentum=None if absent(momentum) else momentum, **keywords)


FAMILY: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "sgd": _sgd,
        "adam": optax.adam,
        "adamw": optax.adamw,
        "nadam": optax.nadam,
        "amsgrad": optax.amsgrad,
        "adamax": optax.adamax,
        "radam": optax.radam,
        "adabelief": optax.adabelief,
        "yogi": optax.yogi,
        "adan": optax.adan,
        "adagrad": optax.adagrad,
        "adadelta": optax.adadelta,
        "rmsprop": _rmsprop,
        "rprop": optax.rprop,
        "lion": optax.lion,
        "lamb": optax.lamb,
        "lars": optax.lars,
        "novograd": optax.novograd,
        "optimistic_gradient_descent": optax.optimistic_gradient_descent,
    }
)


def first_order(make: Callable[..., Any], *, lr: float, clip: float, tol: float, **keywords: Any) -> FirstOrder:
    """A method of the family from the keywords of its signature."""
    return FirstOrder(make=make, lr=lr, clip=clip, tol=tol, keywords=keywords)


METHODS: Mapping[str, Callable[..., FirstOrder]] = MappingProxyType(
    {name: partial(first_order, make) for name, make in FAMILY.items()}
)
