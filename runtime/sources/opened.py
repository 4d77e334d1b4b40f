"""Arrays that are known by shape before they are read: read at once, in blocks of rows, or at given rows."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError

Index = tuple[int, ...]
BLOCK = 2**25
"""Bytes of a block of rows, where blocks are read one after the other."""


class Opened(abc.ABC):
    """An array of a source.

    Attributes:
        shape: its shape; the first axis are rows.
        file: what messages call where it is from: the name of a file; '' for an array that was given.
        random: whether single rows are read as fast as rows in order.
    """

    shape: tuple[int, ...]
    file: str = ""
    random: bool = False

    @abc.abstractmethod
    def whole(self) -> Any:
        """All of it, as a NumPy array."""

    @abc.abstractmethod
    def blocks(self, first: int, end: int) -> Iterator[Any]:
        """The rows from `first` up to `end` in order, as arrays of some rows each."""

    def take(self, rows: Any) -> Any:
        """The rows at increasing positions; where `random`."""
        raise NotImplementedError

    def place(self, index: Index) -> str:
        """Where an entry stands in the file, in words: "row 3, column 'b' of 't.csv'"; '' where its index says all."""
        return ""


class Held(Opened):
    """A NumPy array, in memory or mapped into it; `where` says where an entry of it is from."""

    random = True

    def __init__(self, array: Any, file: str = "", where: Callable[[Index], str] | None = None) -> None:
        self.array = array
        self.shape = tuple(array.shape)
        self.file = file
        self.where = where

    def whole(self) -> Any:
        return self.array

    def blocks(self, first: int, end: int) -> Iterator[Any]:
        for a, b in steps(first, end, self.array.nbytes // max(len(self.array), 1)):
            yield self.array[a:b]

    def take(self, rows: Any) -> Any:
        return self.array[rows]

    def place(self, index: Index) -> str:
        if self.where is not None:
            return self.where(index)
        return f"in '{self.file}'" if self.file else ""


class Chosen(Opened):
    """Some rows of an array, in another order: `rows` after `shuffle`."""

    def __init__(self, inner: Opened, order: Any | None, first: int, end: int) -> None:
        """`order`: a permutation of all rows of `inner`, or None; then the rows from `first` up to `end` of it."""
        self.inner = inner
        self.order = None if order is None else order[first:end]
        self.first, self.end = first, end
        self.shape = (end - first, *inner.shape[1:])
        self.file = inner.file
        self.random = inner.random

    def whole(self) -> Any:
        if self.order is None:
            found = [*self.inner.blocks(self.first, self.end)]
            return np.concatenate(found) if len(found) != 1 else found[0]
        return self.inner.whole()[self.order]

    def blocks(self, first: int, end: int) -> Iterator[Any]:
        if self.order is None:
            yield from self.inner.blocks(self.first + first, self.first + end)
        elif self.random:
            width = int(np.prod(self.shape[1:], dtype=int)) * 8
            for a, b in steps(first, end, width):
                yield in_order(self.inner.take, self.order[a:b])
        else:
            yield self.whole()[first:end]

    def take(self, rows: Any) -> Any:
        if self.order is None:
            return self.inner.take(rows + self.first)
        return in_order(self.inner.take, self.order[rows])

    def place(self, index: Index) -> str:
        row = self.first + index[0] if self.order is None else int(self.order[index[0]])
        return self.inner.place((row, *index[1:]))

    def over(self, inner: Opened) -> Chosen:
        """The same rows of another copy of the array."""
        made = Chosen(inner, None, self.first, self.end)
        made.order = self.order
        return made


def in_order(take: Callable[[Any], Any], rows: Any) -> Any:
    """Rows in any order from what reads them best in increasing order."""
    order = np.argsort(rows, kind="stable")
    found = take(rows[order])
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return found[back]


def steps(first: int, end: int, width: int, budget: int | None = None) -> Iterator[tuple[int, int]]:
    """Ranges of rows of `width` bytes each that fit into a budget."""
    size = max(1, (BLOCK if budget is None else budget) // max(width, 1))
    for a in range(first, end, size):
        yield a, min(a + size, end)


@dataclass(frozen=True, slots=True)
class Where:
    """Where the entries of a table stand: the names of its columns and, of a csv file, the line of each row."""

    file: str
    columns: Sequence[str]
    lines: Sequence[int] | None = None

    def __call__(self, index: Index) -> str:
        """In words: "line 3, column 'b' of 't.csv'"; rows without a line are counted from 0."""
        row = f"row {index[0]}" if self.lines is None else f"line {self.lines[index[0]]}"
        column = index[1] if len(index) > 1 and len(self.columns) > 1 else 0
        return f"{row}, column '{self.columns[column]}' of '{self.file}'"


def choose(array: Opened, rows: tuple[int, int] | None, shuffle: int | None, what: str, uri: str) -> Opened:
    """The rows of an array that a source asks for, after it has shuffled them. Raises `DataError` VS0515."""
    if rows is None and shuffle is None:
        return array
    if not array.shape:
        raise DataError("VS0515", f"{what} is a single number and has no rows to choose from")
    count = array.shape[0]
    first, end = rows if rows is not None else (0, count)
    if not 0 <= first < end <= count:
        raise DataError(
            "VS0515",
            f"{what} asks for rows {first} to {end} of {uri}, which has {count}",
            "rows are counted from 0 and the end is exclusive",
        )
    order = None if shuffle is None else np.random.default_rng(shuffle).permutation(count)
    return Chosen(array, order, first, end)
