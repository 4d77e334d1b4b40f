"""Unknowns at which a number is least or greatest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from jax import Array

from vspec.runtime.implicit.interior import Program
from vspec.runtime.implicit.search import Report, State, Unknowns, solved


class Local(NamedTuple):
    """A function at a point: its value, gradient and, where the method asks for it, Hessian."""

    value: Array
    gradient: Array
    hessian: Array | None


class ExtremeMethod(Protocol):
    """A method that makes a number small."""

    def least(self, at: Callable[[Array], Local], x: Array, steps: int, unrolled: bool) -> State:
        """Searches from x for a point where the gradient vanishes and the value is least."""
        ...


class ConstrainedMethod(Protocol):
    """A method that makes a number small under constraints."""

    def constrained(self, program: Program, x: Array, steps: int) -> State:
        """Searches from x for unknowns and multipliers [n + m], one after the other."""
        ...


def argmin(
    objective: Callable[..., Any],
    start: Any,
    method: Any,
    steps: int,
    unrolled: bool = False,
    relations: Sequence[str] = (),
) -> tuple[Any, Report]:
    """The unknowns at which the value of the objective is least, as far as its gradient tells.

    Args:
        objective: unknowns → (value, gradient) or (value, gradient, Hessian), as the method asks; for several unknowns the
            gradient is a tuple and the Hessian a tuple of rows.
        start: the start of the unknown, or a tuple of starts.
        method: how to search.
        steps: the greatest number of steps.
        unrolled: whether derivatives are those of the steps, not of the least point.
        relations: of constraints, `eq` (a gap is 0) or `le` (it is at most 0). The last unknowns are their multipliers, and the
            objective gives (value, gradient of the Lagrangian, gaps, slopes of these two by the other unknowns), as tuples.

    Returns:
        The unknowns, NaN if they were not found, and a `Report`.
    """
    return _extreme(objective, start, method, steps, unrolled, relations, 1.0)


def argmax(
    objective: Callable[..., Any],
    start: Any,
    method: Any,
    steps: int,
    unrolled: bool = False,
    relations: Sequence[str] = (),
) -> tuple[Any, Report]:
    """The unknowns at which the value of the objective is greatest; see `argmin`."""
    return _extreme(objective, start, method, steps, unrolled, relations, -1.0)


def _extreme(
    objective: Callable[..., Any],
    start: Any,
    method: Any,
    steps: int,
    unrolled: bool,
    relations: Sequence[str],
    sign: float,
) -> tuple[Any, Report]:
    if relations:
        return _constrained(objective, start, method, steps, relations, sign)
    plain: ExtremeMethod = method
    unknowns = Unknowns(start)

    def at(x: Array) -> Local:
        value, gradient, *hessian = objective(*unknowns.arguments(x))
        matrix = sign * unknowns.matrix(hessian[0]) if hessian else None
        return Local(sign * value, sign * unknowns.vector(gradient), matrix)

    def search(x: Array, unrolled: bool) -> State:
        return plain.least(at, x, steps, unrolled)

    return solved(unknowns, lambda x: at(x).gradient, search, unrolled)


def _constrained(
    objective: Callable[..., Any],
    start: Any,
    method: ConstrainedMethod,
    steps: int,
    relations: Sequence[str],
    sign: float,
) -> tuple[Any, Report]:
    unknowns = Unknowns(start)
    program = Program(objective, unknowns, tuple(relations), sign)

    def search(x: Array, unrolled: bool) -> State:
        return method.constrained(program, x, steps)

    return solved(unknowns, program.conditions, search, False)
