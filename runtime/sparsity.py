"""A symmetric matrix of which is known where it may differ from zero: in which order it is factorised, and by how many products
with vectors its entries are found.

What is known of the block of params p and q are boxes. A box says of each axis of q which positions may differ from zero, given
one of p: `(axis of p, low, high, wraps)` for those from `low` to `high` away from the position along that axis, modulo the size
where it wraps, or None for all. Unknowns that meet most others are the *border*; the others are ordered so that what is not zero
is near the diagonal (Cuthill and McKee 1969, reversed), and colored so that no row meets two columns of one color: the product
with the sum of all unit vectors of a color then has an entry of the matrix in each row (Curtis, Powell and Reid 1974).

Nothing here needs JAX: the compiler asks the same questions at nominal sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from vspec.runtime.elimination import MOST, Shape

Ints = npt.NDArray[np.int64]
Link = tuple[int, int, int, bool]
Box = tuple[Link | None, ...]
Linked = tuple[str, str, tuple[Box, ...]]
"""The two params of a block, and its boxes."""

FEW = 8
"""Blocks of a factorisation have at least so many rows: below, a loop over them costs more than what is in it."""

LISTED = 2**23
"""The most entries that are listed to find an order."""

SEARCHED = 2**22
"""The most steps, about, in a search for a better order or for fewer colors than the obvious ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Sparsity:
    """Where a matrix may differ from zero, its order and its colors.

    Attributes:
        size: unknowns.
        inner: those that are no border, in their order [k].
        border: the others [m].
        width: the largest distance from the diagonal of an entry among the ordered ones.
        chains: how many matrices of one size the ordered one falls apart into.
        color: that of each of the ordered ones, from 0 [k].
        colors: how many.
        rows, columns: of the entries on and below the diagonal, as places in the order [e].
    """

    size: int
    inner: Ints
    border: Ints
    width: int
    chains: int
    color: Ints
    colors: int
    rows: Ints
    columns: Ints

    @property
    def products(self) -> int:
        """The products with vectors that give all entries."""
        return self.colors + self.border.size

    @property
    def block(self) -> int:
        """Rows of a block of the factorisation: each meets its neighbours only."""
        return self.width if self.width < 2 else min(max(self.width, FEW), max(self.length, 1))

    @property
    def length(self) -> int:
        """Unknowns of a chain."""
        return self.inner.size // self.chains

    @property
    def cost(self) -> float:
        """Multiplications of a factorisation, and of a solution with it."""
        n, m, w = self.inner.size, self.border.size, max(self.block, 1)
        return n * (7 / 3 * w * w + 4 * w * (m + 1)) + n * m * m + m**3 / 3

    @property
    def entries(self) -> int:
        """Entries of the factors."""
        return 2 * self.inner.size * max(self.block, 1) + self.size * self.border.size

    @property
    def feasible(self) -> bool:
        """Whether it is to be factorised rather than solved by iterations."""
        return self.entries <= MOST and 2 * self.width <= max(self.length, 2)


def linked(record: Mapping[str, Any]) -> Linked:
    """A block as a manifest describes it."""
    p, q = record["of"]
    boxes = (
        tuple(None if s is None else (s["axis"], s["low"], s["high"], s["wraps"]) for s in box)
        for box in record["boxes"]
    )
    return (p, q, tuple(boxes))


def sparsity(shapes: Mapping[str, Shape], blocks: Sequence[Linked]) -> Sparsity | None:
    """The order and the colors for params of these shapes, one after the other; None where too much may differ from zero."""
    return _found(tuple(shapes.items()), tuple(blocks))


@lru_cache(maxsize=32)
def _found(shapes: tuple[tuple[str, Shape], ...], blocks: tuple[Linked, ...]) -> Sparsity | None:
    size = sum(prod(shape) for _, shape in shapes)
    pairs = _listed(dict(shapes), blocks)
    if pairs is None or size == 0:
        return None
    keys = np.unique(
        np.concatenate([pairs[0] * size + pairs[1], pairs[1] * size + pairs[0], np.arange(size) * (size + 1)])
    )
    rows, columns = np.divmod(keys, size)
    degree = np.bincount(rows, minlength=size)
    wide = degree > max(32, 4 * int(np.median(degree)))
    inner, border = np.flatnonzero(~wide), np.flatnonzero(wide)
    place = np.full(size, -1)
    place[inner] = np.arange(inner.size)
    kept = (place[rows] >= 0) & (place[columns] >= 0)
    graph = _Graph(inner.size, place[rows[kept]], place[columns[kept]])
    order, chains = _order(graph)
    at = np.empty_like(order)
    at[order] = np.arange(order.size)
    graph = _Graph(inner.size, at[graph.rows], at[graph.columns])
    color = _colored(graph)
    below = graph.columns <= graph.rows
    return Sparsity(
        size,
        inner[order],
        border,
        graph.width,
        chains,
        color,
        int(color.max(initial=-1)) + 1,
        graph.rows[below],
        graph.columns[below],
    )


class _Graph:
    """A symmetric pattern with its diagonal: rows ascending, with the columns of each ascending."""

    def __init__(self, size: int, rows: Ints, columns: Ints) -> None:
        by = np.lexsort((columns, rows))
        self.size, self.rows, self.columns = size, rows[by], columns[by]
        self.starts = np.searchsorted(self.rows, np.arange(size + 1))

    @property
    def width(self) -> int:
        """The largest distance from the diagonal."""
        return int(np.abs(self.rows - self.columns).max(initial=0))

    @property
    def degree(self) -> Ints:
        """Entries of each row."""
        found: Ints = np.diff(self.starts)
        return found

    def of(self, row: int) -> Ints:
        """The columns of a row."""
        found: Ints = self.columns[self.starts[row] : self.starts[row + 1]]
        return found


def _listed(shapes: Mapping[str, Shape], blocks: Sequence[Linked]) -> tuple[Ints, Ints] | None:
    """Rows and columns of what may differ from zero, in the matrix of all unknowns; None if they are too many."""
    start, n = {}, 0
    for p, shape in shapes.items():
        start[p], n = n, n + prod(shape)
    found: list[tuple[Ints, Ints]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    total = 0
    for p, q, boxes in blocks:
        for box in boxes:
            widths = [n if s is None else min(s[2] - s[1] + 1, 2 * n) for s, n in zip(box, shapes[q], strict=True)]
            total += prod(shapes[p]) * prod(widths)
            if total > LISTED:
                return None
            rows, columns = _box(box, shapes[p], shapes[q])
            found.append((start[p] + rows, start[q] + columns))
    return np.concatenate([r for r, _ in found]), np.concatenate([c for _, c in found])


def _box(box: Box, of: Shape, by: Shape) -> tuple[Ints, Ints]:
    """Rows and columns of a box, in the block of two arrays."""
    index = np.indices(of).reshape(len(of), prod(of))
    rows = np.arange(prod(of))
    columns, inside = np.zeros_like(rows), np.ones(rows.shape, bool)
    for link, n in zip(box, by, strict=True):
        if link is None:
            at: Any = np.broadcast_to(np.arange(n), (rows.size, n))
            fits = np.ones(at.shape, bool)
        else:
            axis, low, high, wraps = link
            # More than one turn around, or beyond both ends, is all there is.
            low, high = max(low, -n), min(high, n)
            at = index[axis][rows][:, None] + np.arange(low, high + 1)
            at = at % n if wraps else at
            fits = (at >= 0) & (at < n)
        columns = (columns[:, None] * n + at).ravel()
        inside = (inside[:, None] & fits).ravel()
        rows = np.repeat(rows, at.shape[1])
    return rows[inside], columns[inside]


def _order(graph: _Graph) -> tuple[Ints, int]:
    """The unknowns in the order that is nearest to the diagonal of those tried, and how many equal chains it falls apart into."""
    natural = np.arange(graph.size)
    best, width = natural, graph.width
    if width > 1 and int(graph.degree.max(initial=0)) < width + 1 and graph.rows.size <= SEARCHED:
        other = _reversed_cuthill_mckee(graph)
        at = np.empty_like(other)
        at[other] = natural
        found = int(np.abs(at[graph.rows] - at[graph.columns]).max(initial=0))
        if found < width:
            best, width = other, found
    at = np.empty_like(best)
    at[best] = natural
    # After the last of the unknowns that those before meet, a new chain begins.
    furthest = np.zeros(graph.size, np.int64)
    np.maximum.at(furthest, at[graph.rows], at[graph.columns])
    ends = np.flatnonzero(np.maximum.accumulate(furthest) == natural) + 1
    lengths = np.diff(ends, prepend=0)
    alike = lengths.size > 1 and bool(np.all(lengths == lengths[0])) and width > 0
    return best, lengths.size if alike else 1


def _reversed_cuthill_mckee(graph: _Graph) -> Ints:
    """Breadth first from an unknown that is far out, neighbours of few others first; the whole from behind."""
    degree = graph.degree
    seen = np.zeros(graph.size, bool)
    found: list[Ints] = []
    for first in range(graph.size):
        if seen[first]:
            continue
        levels = _levels(graph, first, degree)
        end = levels[-1][np.argmin(degree[levels[-1]])]
        part = np.concatenate(_levels(graph, int(end), degree))
        seen[part] = True
        found.append(part)
    return np.concatenate(found)[::-1] if found else np.zeros(0, np.int64)


def _levels(graph: _Graph, first: int, degree: Ints) -> list[Ints]:
    """The unknowns by their distance from one, in the order of Cuthill and McKee."""
    seen = {first}
    levels = [np.array([first])]
    while levels[-1].size:
        level: list[int] = []
        for v in levels[-1].tolist():
            near = [w for w in graph.of(v).tolist() if w not in seen]
            near.sort(key=lambda w: int(degree[w]))
            seen.update(near)
            level += near
        levels.append(np.array(level, np.int64))
    return levels[:-1]


def _colored(graph: _Graph) -> Ints:
    """A color for each column, so that no row meets two of one color: one after the other the first that is free, or, in a band
    that is full or very long, in turn."""
    in_turn = np.arange(graph.size) % (2 * graph.width + 1)
    degree = graph.degree
    if int(degree.max(initial=0)) == graph.size:
        # A row meets all of them: each has a color of its own.
        return np.arange(graph.size)
    if 2 * graph.width + 1 <= int(degree.max(initial=0)) or int(np.sum(degree**2)) > SEARCHED:
        return in_turn
    color = np.full(graph.size, -1)
    for v in range(graph.size):
        near = np.concatenate([graph.of(w) for w in graph.of(v).tolist()])
        taken = set(color[near].tolist())
        color[v] = next(c for c in range(graph.size + 1) if c not in taken)
    return color if int(color.max()) < 2 * graph.width + 1 else in_turn


__all__ = ["Linked", "Sparsity", "linked", "sparsity"]
