"""Roots and fixed points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from jax import Array

from vspec.runtime.implicit.search import Report, State, Unknowns, solved


class RootMethod(Protocol):
    """A method for equations that come with their slopes."""

    def root(self, both: Callable[[Array], tuple[Array, Array]], x: Array, steps: int, unrolled: bool) -> State:
        """Searches from x for a root; `both` gives equations and slopes."""
        ...


class MapMethod(Protocol):
    """A method for fixed points of a map."""

    def fixed_point(self, image: Callable[[Array], Array], x: Array, steps: int, unrolled: bool) -> State:
        """Searches from x for an x that is its own image."""
        ...


def root(
    equations: Callable[..., Any], start: Any, method: RootMethod, steps: int, unrolled: bool = False
) -> tuple[Any, Report]:
    """The unknowns at which all equations are 0.

    Args:
        equations: unknowns → (equations, slopes): arrays of the shapes of the unknowns, and of shape `[equation, unknown]`; for
            several unknowns tuples of them, and a tuple of rows.
        start: the start of the unknown, or a tuple of starts.
        method: how to search.
        steps: the greatest number of steps.
        unrolled: whether derivatives are those of the steps, not of the root.

    Returns:
        The unknowns, NaN if they were not found, and a `Report`.
    """
    unknowns = Unknowns(start)

    def both(x: Array) -> tuple[Array, Array]:
        values, slopes = equations(*unknowns.arguments(x))
        return unknowns.vector(values), unknowns.matrix(slopes)

    def search(x: Array, unrolled: bool) -> State:
        return method.root(both, x, steps, unrolled)

    return solved(unknowns, lambda x: both(x)[0], search, unrolled)


def fixed_point(
    image: Callable[..., Any], start: Any, method: Any, steps: int, unrolled: bool = False
) -> tuple[Any, Report]:
    """The unknowns that are their own image.

    Args:
        image: unknowns → arrays of their shapes, several as a tuple. A method for roots takes (difference between image and
            unknowns, its slopes) in its place, as `root` does.
        start: the start of the unknown, or a tuple of starts.
        method: how to search.
        steps: the greatest number of steps.
        unrolled: whether derivatives are those of the steps, not of the fixed point.

    Returns:
        The unknowns, NaN if they were not found, and a `Report`.
    """
    if not hasattr(method, "fixed_point"):
        return root(image, start, method, steps, unrolled)
    unknowns = Unknowns(start)

    def mapped(x: Array) -> Array:
        return unknowns.vector(image(*unknowns.arguments(x)))

    def search(x: Array, unrolled: bool) -> State:
        found: State = method.fixed_point(mapped, x, steps, unrolled)
        return found

    return solved(unknowns, lambda x: mapped(x) - x, search, unrolled)
