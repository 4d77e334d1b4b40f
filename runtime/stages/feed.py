"""Rows of data that are read while a stage runs: which ones a chunk of steps sees, fetched while the chunk before it runs.

The rows of a step are those of `Batches`: the next of the epoch's permutation, which depends on the key of the stage and the
epoch alone. So a chunk's rows are known before it runs, and a run that is resumed at a step sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime import keys
from vspec.runtime.bound import Bound
from vspec.runtime.devices import fetched
from vspec.runtime.program import Program
from vspec.runtime.stages.batches import Batches
from vspec.runtime.stages.repeat import Averaged, Repeat
from vspec.runtime.stages.transition import Transition, World
from vspec.runtime.streams import Rows


@dataclass
class Part:
    """A stage that sees batches of rows that are read, perhaps inside of a repetition.

    Attributes:
        path: its path in the plan.
        batches: its batches.
        key: its key.
        streams: the data that it reads by rows.
        orders: the permutations that were made last, by dim and epoch.
    """

    path: str
    batches: Batches
    key: Array
    streams: Mapping[str, Rows]
    orders: dict[tuple[str, int], Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Bytes of the rows of a step."""
        return sum(self.batches.sizes[self.dim(name)] * rows.width for name, rows in self.streams.items())

    def dim(self, name: str) -> str:
        """The dim whose rows are read."""
        dim: str = self.batches.data[name][0]
        return dim

    def rows(self, bound: Bound, dim: str, first: int, last: int) -> Any:
        """The rows of the steps from `first` up to `last`, one step after the other."""
        size, epoch = self.batches.sizes[dim], self.batches.epoch[dim]
        found = []
        for k in range(first // epoch, -(-last // epoch)):
            a, b = max(first - k * epoch, 0), min(last - k * epoch, epoch)
            found.append(self._order(bound, dim, k)[a * size : b * size])
        return np.concatenate(found)

    def _order(self, bound: Bound, dim: str, epoch: int) -> Any:
        if (dim, epoch) not in self.orders:
            for old in [k for k in self.orders if k[0] == dim and abs(k[1] - epoch) > 1]:
                del self.orders[old]
            made = self.batches.shuffled(bound, dim, self.key, jnp.asarray(epoch, jnp.int32))
            self.orders[dim, epoch] = np.asarray(fetched(made))
        return self.orders[dim, epoch]


class Feed:
    """The worlds that chunks of steps see. Where no data are read by rows, each is the world itself."""

    def __init__(self, transition: Transition, world: World, key: Array, room: int) -> None:
        """`room`: how many steps a chunk has at most."""
        self.world, self.room = world, room
        self.parts = [*_parts(transition, world.bound, key)] if world.bound.streams else []
        self._ahead: tuple[tuple[int, int], Thread, list[Any]] | None = None

    def shapes(self, room: int) -> World:
        """A world as a chunk of `room` steps sees it, with shapes in the place of the rows."""
        layout = self.world.bound.layout
        whole = None if layout is None else layout.whole
        made: dict[str, dict[str, Any]] = {p.path: {} for p in self.parts}
        for p in self.parts:
            for name, rows in p.streams.items():
                shape = (room * p.batches.sizes[p.dim(name)], *rows.shape[1:])
                made[p.path][name] = jax.ShapeDtypeStruct(shape, rows.dtype, sharding=whole)  # type: ignore[no-untyped-call]
        return self._with(made, 0)

    def steps(self, first: int, last: int, limit: int = 0) -> World:
        """What the steps from `first` up to `last` see; then, on the side, reads the rows of as many steps, up to `limit`."""
        if not self.parts:
            return self.world
        made = self._fetched(first, last)
        if last < limit:
            self._prefetch(last, min(2 * last - first, limit))
        return self._with(made, first)

    def step(self, step: int) -> World:
        """What one step sees, in a chunk with room for no more."""
        return self._with(self._read(step, step + 1, 1), step) if self.parts else self.world

    def _with(self, made: Any, first: int) -> World:
        if not self.parts:
            return self.world
        bound = replace(self.world.bound, fed=made, first=self._placed(jnp.asarray(first, jnp.int32)))
        return self.world._replace(bound=bound)

    def _read(self, first: int, last: int, room: int) -> dict[str, dict[str, Any]]:
        made: dict[str, dict[str, Any]] = {}
        for p in self.parts:
            made[p.path] = {}
            for name, rows in p.streams.items():
                dim = p.dim(name)
                array = np.zeros((room * p.batches.sizes[dim], *rows.shape[1:]), rows.dtype)
                wanted = p.rows(self.world.bound, dim, first, last)
                array[: len(wanted)] = rows.take(wanted)
                made[p.path][name] = self._placed(jnp.asarray(array))
        return made

    def _placed(self, array: Array) -> Array:
        """An array where the run computes: on several devices, all of it on each."""
        layout = self.world.bound.layout
        return array if layout is None else layout.spread(array)  # type: ignore[no-any-return]

    def _prefetch(self, first: int, last: int) -> None:
        found: list[Any] = []

        def read() -> None:
            try:
                found.append(self._read(first, last, self.room))
            except Exception as e:  # raised where the rows are asked for
                found.append(e)

        thread = Thread(target=read, name="vspec-rows")
        thread.start()
        self._ahead = (first, last), thread, found

    def _fetched(self, first: int, last: int) -> Any:
        if self._ahead is not None:
            steps, thread, found = self._ahead
            self._ahead = None
            thread.join()
            if steps == (first, last):
                if isinstance(found[0], Exception):
                    raise found[0]
                return found[0]
        return self._read(first, last, self.room)


def fitting(transition: Transition, bound: Bound, key: Array, chunk: int) -> int:
    """How many steps of a chunk the budget allows, whose rows are read; one at least."""
    parts = [*_parts(transition, bound, key)] if bound.streams else []
    width = sum(p.width for p in parts)
    budget = min((rows.budget for p in parts for rows in p.streams.values()), default=0)
    return max(1, min(chunk, budget // width)) if width else chunk


def _parts(transition: Transition, bound: Bound, key: Array) -> Iterator[Part]:
    """The stages that read rows. Those with steps of their own inside of a repetition see arrays only (`runtime/whole.py`)."""
    if isinstance(transition, Averaged):
        yield from _parts(transition.inner, bound, key)
    elif isinstance(transition, Repeat):
        for k, stage in enumerate(transition.stages):
            yield from _parts(stage, bound, keys.fold(key, keys.PARTS, k))
    else:
        batches: Batches | None = getattr(transition, "batches", None)
        if batches:
            read = _reads(batches.program, transition.stage.record)
            streams = {
                n: rows for n, rows in bound.streams.items() if n in read and batches.data[n][0] in batches.sizes
            }
            if streams:
                yield Part(transition.stage.key, batches, key, streams)


def _reads(program: Program, record: Mapping[str, Any]) -> set[str]:
    """The data that the entries of a stage read."""
    called = [*(record.get("entries") or {}).values(), *(record.get("update") or ())]
    called += [e for key in ("directions", "step", "schedule") if (e := record.get(key))]
    return {a.name for e in called for a in program.entry(e).arguments if a.role == "data"}
