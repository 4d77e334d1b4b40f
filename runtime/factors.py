"""A Hessian as a diagonal and J' D J over observations: which unknowns have a diagonal of their own, and what a solution costs.

Nothing here needs JAX: the compiler asks the same questions at nominal sizes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from vspec.runtime.elimination import LARGEST, MOST, Described, Shape, dense_cost


@dataclass(frozen=True, slots=True)
class Factored:
    """The sizes of a solution by Woodbury's identity.

    Attributes:
        inner: unknowns with a diagonal of their own.
        border: the others.
        rows: observations.
    """

    inner: int
    border: int
    rows: int

    @property
    def cost(self) -> float:
        """Multiplications: the matrix over the observations, its factorisation, and what is left for the border."""
        n, m, k = self.inner, self.rows, self.border + 1
        return m * m * n + dense_cost(m) + k * (4 * m * n + 2 * m * m) + dense_cost(self.border)

    @property
    def entries(self) -> int:
        """Entries of the rows and of the matrices."""
        return self.rows * (self.inner + self.border) + self.rows**2 + self.border * (self.inner + self.border)

    @property
    def feasible(self) -> bool:
        """Whether it is to be done."""
        return self.entries <= MOST and max(self.rows, self.border) <= LARGEST


@dataclass(frozen=True, slots=True)
class Layout:
    """What the arrays are: terms among single elements of params, one array each, then of each array of observations the
    curvatures and the derivatives by the params named."""

    terms: tuple[Described, ...]
    observations: tuple[tuple[str, ...], ...]

    def inner(self, shapes: Mapping[str, Shape]) -> tuple[str, ...]:
        """The params whose terms are one diagonal of their own."""
        found = []
        for p, shape in shapes.items():
            mine = [(one, two, ties) for one, two, ties in self.terms if p in (one, two)]
            if mine and all(t == (p, p, tuple((k, k) for k in range(len(shape)))) for t in mine):
                found.append(p)
        return tuple(found)

    def only(self, names: Collection[str]) -> tuple[Layout, tuple[int, ...]]:
        """The layout of the matrix of some params, and which arrays are left."""
        kept = [k for k, (p, q, _) in enumerate(self.terms) if {p, q} <= {*names}]
        at = len(self.terms)
        for params in self.observations:
            kept.append(at)
            kept += [at + 1 + k for k, p in enumerate(params) if p in names]
            at += 1 + len(params)
        terms = tuple(t for t in self.terms if {*t[:2]} <= {*names})
        return Layout(terms, tuple(tuple(p for p in params if p in names) for params in self.observations)), tuple(kept)

    @property
    def curved(self) -> tuple[bool, ...]:
        """Which arrays are second derivatives of the objective; the others are first ones of what is observed."""
        found = [True] * len(self.terms)
        for params in self.observations:
            found += [True, *(False for _ in params)]
        return tuple(found)

    def plan(self, shapes: Mapping[str, Shape], rows: Sequence[int]) -> Factored:
        """The sizes, for params of these shapes and so many observations in each array."""
        inner = self.inner(shapes)
        size = sum(prod(shapes[p]) for p in inner)
        return Factored(size, sum(prod(shape) for shape in shapes.values()) - size, sum(rows))


def layout_of(record: Mapping[str, Any]) -> Layout:
    """A layout as a manifest describes it."""
    terms = ((t["of"][0], t["of"][1], tuple((k, m) for k, m in t["ties"])) for t in record["terms"])
    return Layout(tuple(terms), tuple(tuple(names) for names in record["observations"]))


__all__ = ["Factored", "Layout", "layout_of"]
