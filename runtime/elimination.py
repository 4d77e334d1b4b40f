"""How a symmetric matrix given by tied terms is solved with: which params are eliminated slice by slice, and what is left.

A term of the block of params p and q is an array `[axes of p, untied axes of q]`; `ties` are pairs of positions of axes that are
equal in it. Params whose own terms are all tied along some axes, and whose terms with each other are tied along the same, are a
block for each slice along these axes. They go first; what remains is the Schur complement over the other params.

Nothing here needs JAX: the compiler asks the same question at nominal sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]
Ties = tuple[tuple[int, int], ...]
Described = tuple[str, str, Ties]
"""The two params of a term, and its ties."""

MOST = 2**25
"""The most entries that an elimination may keep: beyond, products with vectors are taken."""

LARGEST = 4000
"""The largest matrix that is factorised in one piece without being asked for."""


@dataclass(frozen=True, slots=True)
class Elimination:
    """An order to solve in.

    Attributes:
        inner: param → the positions of its axes along which it falls apart, in one order for all; eliminated slice by slice.
        border: the params that are left.
        slices: how many slices there are.
        inside: unknowns in a slice.
        rest: unknowns in the border.
    """

    inner: Mapping[str, tuple[int, ...]]
    border: tuple[str, ...]
    slices: int
    inside: int
    rest: int

    @property
    def cost(self) -> float:
        """Multiplications."""
        each = self.inside**3 / 3 + self.inside**2 * self.rest + self.inside * self.rest**2
        return self.slices * each + dense_cost(self.rest)

    @property
    def entries(self) -> int:
        """Entries of the blocks and of the complement."""
        return self.slices * self.inside * (self.inside + self.rest) + self.rest**2

    @property
    def feasible(self) -> bool:
        """Whether it is to be done rather than products with vectors."""
        return self.entries <= MOST and max(self.inside, self.rest) <= LARGEST


def dense_cost(unknowns: int) -> float:
    """Multiplications of a Cholesky factorisation."""
    return unknowns**3 / 3


def eliminate(shapes: Mapping[str, Shape], terms: Iterable[Described]) -> Elimination:
    """The elimination that costs least; where nothing is tied, all params are the border.

    Args:
        shapes: param → shape.
        terms: those of the upper triangle of blocks.
    """
    listed = list(terms)
    found = [_made(shapes, {})]
    for p in shapes:
        axes = _own(p, len(shapes[p]), listed)
        if axes:
            found.append(_made(shapes, _joined(p, axes, shapes, listed)))
    return min(found, key=lambda e: e.cost)


def _made(shapes: Mapping[str, Shape], inner: Mapping[str, tuple[int, ...]]) -> Elimination:
    border = tuple(p for p in shapes if p not in inner)
    slices = next((prod(shapes[p][k] for k in axes) for p, axes in inner.items()), 1)
    inside = sum(prod(shapes[p]) // max(slices, 1) for p in inner)
    return Elimination(inner, border, slices if inner else 0, inside, sum(prod(shapes[p]) for p in border))


def _own(p: str, rank: int, terms: Sequence[Described]) -> tuple[int, ...]:
    """The axes along which the own block of a param is diagonal; none where it has no terms of its own."""
    mine = [ties for one, two, ties in terms if one == two == p]
    return tuple(k for k in range(rank) if mine and all((k, k) in ties for ties in mine))


def _joined(
    p: str, axes: tuple[int, ...], shapes: Mapping[str, Shape], terms: Sequence[Described]
) -> dict[str, tuple[int, ...]]:
    """The param with those others that fall apart along the same axes."""
    inner = {p: axes}
    changed = True
    while changed:
        changed = False
        for q in shapes:
            if q in inner:
                continue
            along = _along(q, inner, terms)
            if along and set(along) <= set(_own(q, len(shapes[q]), terms)):
                inner[q] = along
                changed = True
    return inner


def _along(q: str, inner: Mapping[str, tuple[int, ...]], terms: Sequence[Described]) -> tuple[int, ...]:
    """The axes of a param that are tied to the slices of those that go first; none where it does not meet them so."""
    found: tuple[int, ...] = ()
    for one, two, ties in terms:
        other = two if one == q else one
        if q not in (one, two) or one == two or other not in inner:
            continue
        partner = dict(ties) if other == one else {m: k for k, m in ties}
        if not all(k in partner for k in inner[other]):
            return ()
        here = tuple(partner[k] for k in inner[other])
        if found and here != found:
            return ()
        found = here
    return found
