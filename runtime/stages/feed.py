"""Rows of data that are read while a stage runs: which ones a chunk of steps sees, fetched while the chunk before it runs.

The rows of a step are those of `Batches`: the next of the epoch's permutation, which depends on the key of the stage and the
epoch alone. So a chunk's rows are known before it runs, and a run that is resumed at a step sees what it would have seen.
"""

from __future__ import annotations

import math
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
from vspec.runtime.devices import compiled, fetched
from vspec.runtime.program import Program
from vspec.runtime.stages.batches import Batches, taken
from vspec.runtime.stages.repeat import Averaged, Repeat
from vspec.runtime.stages.transition import Transition, World
from vspec.runtime.streams import Rows
from vspec.runtime.whole import by_rows

Fed = dict[str, dict[str, dict[str, Any]]]
"""Path of a stage → dim → name → rows."""


@dataclass
class Part:
    """A stage that sees batches of rows that are read, perhaps inside of a repetition.

    Attributes:
        path: its path in the plan.
        batches: its batches.
        key: its key.
        streams: the data that are read by rows for it.
        read: those of them that its entries take.
        made: what its entries take that is prepared of them row by row.
        dims: the dim of the rows of each of these.
        orders: the permutations that were made last, by dim and epoch.
    """

    path: str
    batches: Batches
    key: Array
    streams: Mapping[str, Rows]
    read: tuple[str, ...]
    made: tuple[str, ...]
    dims: Mapping[str, str]
    orders: dict[tuple[str, int], Any] = field(default_factory=dict)

    def width(self, bound: Bound) -> int:
        """Bytes of the rows of a step."""
        made = self.shapes(bound, 1)
        kept = {**made, **{n: ((self.size(n), *rows.shape[1:]), rows.dtype) for n, rows in self.streams.items()}}
        return sum(math.prod(shape) * int(dtype.itemsize) for shape, dtype in kept.values())

    def shapes(self, bound: Bound, room: int) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shapes and dtypes of what the entries take, in a chunk with room for some steps."""
        found: dict[str, tuple[tuple[int, ...], Any]] = {}
        for name in self.read:
            rows = self.streams[name]
            found[name] = (room * self.size(name), *rows.shape[1:]), rows.dtype
        for name in self.made:
            dim = self.dim(name)
            sizes = {**bound.sizes, dim: room * self.size(name)}
            found[name] = tuple(sizes[a] for a in self.batches.prepared[name]), self.batches.dtypes[name]
        return found

    def dim(self, name: str) -> str:
        """The dim whose rows are read."""
        return self.dims[name]

    def size(self, name: str) -> int:
        """How many rows of it a step sees."""
        return int(self.batches.sizes[self.dim(name)])

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
        made: Fed = {p.path: {} for p in self.parts}
        for p in self.parts:
            for name, (shape, dtype) in p.shapes(self.world.bound, room).items():
                made[p.path].setdefault(p.dim(name), {})[name] = jax.ShapeDtypeStruct(shape, dtype, sharding=whole)  # type: ignore[no-untyped-call]
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

    def _read(self, first: int, last: int, room: int) -> Fed:
        made: Fed = {}
        for p in self.parts:
            places: dict[str, Any] = {}
            found: dict[str, Array] = {}
            for name, rows in p.streams.items():
                dim = p.dim(name)
                if dim not in places:
                    places[dim] = p.rows(self.world.bound, dim, first, last)
                array = np.zeros((room * p.size(name), *rows.shape[1:]), rows.dtype)
                array[: len(places[dim])] = rows.take(places[dim])
                found[name] = self._placed(jnp.asarray(array))
            made[p.path] = {dim: {name: found[name] for name in p.read if p.dim(name) == dim} for dim in places}
            for dim, wanted in places.items():
                if any(p.dim(name) == dim for name in p.made):
                    at = np.zeros(room * p.batches.sizes[dim], wanted.dtype)
                    at[: len(wanted)] = wanted
                    made[p.path][dim] |= self._prepared(p, dim, self._placed(jnp.asarray(at)), found)
        return made

    def _prepared(self, p: Part, dim: str, at: Array, found: Mapping[str, Array]) -> dict[str, Array]:
        """Rows of what is prepared, made of the rows at some places of all that it is made of."""
        bound, batches = self.world.bound, p.batches
        names = tuple(name for name in p.made if p.dim(name) == dim)
        shapes = tuple((name, rows.shape, str(rows.dtype)) for name, rows in bound.streams.items())

        def some(found: Mapping[str, Array], at: Array, bound: Bound) -> dict[str, Array]:
            # As if there were no other rows. Nothing that is kept depends on what is read by rows of other dims.
            data = {k: jnp.zeros(shape, dtype) for k, shape, dtype in shapes if batches.data[k][0] != dim}
            data |= {k: taken(x, batches.data[k], {dim: at}) for k, x in bound.data.items()}
            data |= {k: x for k, x in found.items() if batches.data[k][0] == dim}
            data |= {k: jnp.zeros((at.size, *s[1:]), t) for k, s, t in shapes if k not in data}
            constants = {k: taken(x, batches.constants[k], {dim: at}) for k, x in bound.constants.items()}
            dims = tuple((d, at.size if d == dim else size) for d, size in bound.dims)
            given = replace(bound, data=data, constants=constants, dims=dims)
            made = batches.program.call("prepare", {}, given)
            return {name: made[name] for name in names}

        key = ("rows", dim, names, shapes)
        known = batches.program.compiled
        if key not in known:
            known[key] = compiled(some)
        return dict(known[key](found, at, bound))

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
    width = sum(p.width(bound) for p in parts)
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
            reads = _reads(batches.program, transition.stage.record)
            made = {
                n: [r for r in by_rows(batches.program.manifest, n) if ("prepared", r) in reads] for n in bound.streams
            }
            streams = {n: rows for n, rows in bound.streams.items() if ("data", n) in reads or made[n]}
            if streams:
                read = tuple(n for n in streams if ("data", n) in reads)
                dims = {r: batches.data[n][0] for n in streams for r in (n, *made[n])}
                prepared = tuple(dict.fromkeys(r for n in streams for r in made[n]))
                yield Part(transition.stage.key, batches, key, streams, read, prepared, dims)


def _reads(program: Program, record: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The data and what is prepared of them that the entries of a stage take."""
    called = [*(record.get("entries") or {}).values(), *(record.get("update") or ())]
    called += [e for key in ("directions", "step", "schedule") if (e := record.get(key))]
    return {(a.role, a.name) for e in called for a in program.entry(e).arguments}
