"""A batch of points, run in this process or in another one: what joblib is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vspec.runtime.program import load
from vspec.runtime.sweep.points import Asked, Points
from vspec.runtime.sweep.rows import arrays_of, key_of, row_of
from vspec.runtime.sweep.store import Store


@dataclass(frozen=True, slots=True)
class Place:
    """A program on disk and the data that it runs on."""

    directory: Path
    run: str
    data: Mapping[str, Any]
    base: Path | None
    allow_outside: bool
    token: str

    def points(self) -> Points:
        """The program with its data, loaded once per process."""
        if self.token not in _LOADED:
            _LOADED[self.token] = Points(load(self.directory, self.run), self.data, self.base, self.allow_outside)
        return _LOADED[self.token]


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of one program: of each what is swept, and all that is set for it."""

    place: Place
    values: tuple[Mapping[str, Any], ...]
    asked: tuple[Asked, ...]
    lanes: int
    folder: Path | None


@dataclass(frozen=True, slots=True)
class Done:
    """A point that is done; its arrays only where there is no folder for them."""

    key: str
    row: Mapping[str, Any]
    arrays: Mapping[str, Any]


_LOADED: dict[str, Points] = {}


def run_batch(batch: Batch) -> list[Done]:
    """Run a batch. Each point is written as soon as it is known."""
    store = Store(batch.folder) if batch.folder is not None else None
    found = []
    for values, asked, outcome in zip(
        batch.values, batch.asked, batch.place.points().each(batch.asked, batch.lanes), strict=True
    ):
        key, row, arrays = key_of(values, asked.seed), row_of(values, asked.seed, outcome), arrays_of(outcome)
        if store is not None:
            store.save(key, row, arrays)
        found.append(Done(key, row, {} if store is not None else arrays))
    return found


def forget(token: str) -> None:
    """Let go of a program and its data."""
    _LOADED.pop(token, None)
