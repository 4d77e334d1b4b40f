"""Minibatches: which rows a step sees, and the data, params and memory at these rows.

Each epoch has a permutation of its own of the rows of every batched dim, drawn by `jax.random.permutation` from the key of the
stage. A step takes the next rows of it. What is left over at the end of an epoch, where the rows are not a multiple of the batch,
is not visited in that epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from vspec.runtime import keys
from vspec.runtime.bound import Bound
from vspec.runtime.data import numpy_dtype
from vspec.runtime.program import Program
from vspec.runtime.stages.record import Stage
from vspec.runtime.stages.transition import At, World
from vspec.runtime.threefry import quick

Rows = Mapping[str, Array]
Axes = tuple[str, ...]


class Batches:
    """The batches of a stage. Without any, every step sees all rows."""

    def __init__(self, program: Program, stage: Stage) -> None:
        manifest = program.manifest
        self.program, self.path = program, stage.key
        self.sizes = stage.batch
        self.epoch = stage.epoch
        self.data = {name: tuple(d["axes"]) for name, d in manifest["data"].items()}
        self.constants = {name: tuple(c["axes"]) for name, c in manifest["constants"].items()}
        self.params = {name: tuple(p["axes"]) for name, p in manifest["params"].items()}
        results = [r for e in manifest["entries"].values() if e["kind"] == "prepare" for r in e.get("results", ())]
        self.prepared = {r["name"]: tuple(r["axes"]) for r in results}
        self.dtypes = {r["name"]: numpy_dtype(r.get("dtype", "real"), program.precision) for r in results}

    def __bool__(self) -> bool:
        return bool(self.sizes)

    def splits(self, param: str) -> bool:
        """Whether a param has rows that a step may not see."""
        return any(axis in self.sizes for axis in self.params[param])

    def begin(self, world: World, at: At) -> dict[str, Array]:
        """The permutation of each batched dim in the first epoch."""
        return {dim: self.shuffled(world.bound, dim, at.key, jnp.zeros((), jnp.int32)) for dim in self.sizes}

    def rows(self, world: World, order: Rows, at: At) -> tuple[dict[str, Array], dict[str, Array]]:
        """The permutations of the step's epoch, and the rows of the step."""
        orders, rows = {}, {}
        for dim, size in self.sizes.items():
            epoch, place = at.step // self.epoch[dim], at.step % self.epoch[dim]
            orders[dim] = lax.cond(
                (place == 0) & (epoch > 0),
                lambda dim=dim, epoch=epoch: self.shuffled(world.bound, dim, at.key, epoch),
                lambda dim=dim: order[dim],
            )
            rows[dim] = lax.dynamic_slice_in_dim(orders[dim], place * size, size)
        return orders, rows

    def shuffled(self, bound: Bound, dim: str, key: Array, epoch: Array) -> Array:
        """The permutation of the rows of a batched dim in an epoch, by the key of the stage."""
        place = [*self.sizes].index(dim)
        return jax.random.permutation(quick(keys.fold(key, keys.SHUFFLES, place, epoch)), bound.sizes[dim])

    def bound(self, bound: Bound, rows: Rows, at: At) -> Bound:
        """The data, the constants and what is prepared of them at the rows of a step.

        Of data that are read by rows, those of a chunk of steps are there, in the order in which its steps see them.
        """
        if not self:
            return bound
        place = _placing(bound)
        data = {k: place(taken(x, self.data[k], rows), self.data[k]) for k, x in bound.data.items()}
        prepared = {k: place(taken(x, self.prepared[k], rows), self.prepared[k]) for k, x in bound.prepared.items()}
        constants = {k: place(taken(x, self.constants[k], rows), self.constants[k]) for k, x in bound.constants.items()}
        for dim, arrays in bound.fed.get(self.path, {}).items():
            assert bound.first is not None
            here = (at.step - bound.first) * self.sizes[dim] + jnp.arange(self.sizes[dim])
            for k, x in arrays.items():
                into, axes = (data, self.data[k]) if k in self.data else (prepared, self.prepared[k])
                into[k] = place(taken(x, axes, {**rows, dim: here}), axes)
        return replace(bound, data=data, constants=constants, prepared=prepared, batch=tuple(self.sizes.items()))

    def take(self, params: Mapping[str, Array], rows: Rows) -> dict[str, Array]:
        """Params at the rows of a step."""
        return {k: taken(x, self.params[k], rows) for k, x in params.items()}

    def put(self, params: Mapping[str, Array], new: Mapping[str, Array], rows: Rows) -> dict[str, Array]:
        """Params with new values at the rows of a step."""
        return {**params, **{k: placed(params[k], x, self.params[k], rows) for k, x in new.items()}}


def _placing(bound: Bound) -> Callable[[Array, Axes], Array]:
    """What splits the rows of a step over the devices as all rows are: without it, every device would compute all of them."""
    return bound.layout.constrain if bound.layout is not None else lambda x, axes: x


def taken(x: Array, axes: Axes, rows: Rows) -> Array:
    """An array at the rows of the axes that have some."""
    for k, axis in enumerate(axes):
        if axis in rows:
            x = jnp.take(x, rows[axis], axis=k, indices_are_sorted=False, unique_indices=True, mode="clip")
    return x


def placed(x: Array, new: Array, axes: Axes, rows: Rows) -> Array:
    """An array with new values at the rows of the axes that have some."""
    where = [rows.get(axis, None) for axis in axes]
    if all(r is None for r in where):
        return new
    index = jnp.ix_(*(jnp.arange(x.shape[k]) if r is None else r for k, r in enumerate(where)))
    if sum(r is not None for r in where) == 1:
        # One axis of rows: the others are whole slices, which a scatter moves at once.
        return x.at[tuple(slice(None) if r is None else r for r in where)].set(new, unique_indices=True)
    return x.at[index].set(new, unique_indices=True)


def row_axes(
    make: Callable[[Mapping[str, int]], Any], dims: Iterable[str], sizes: Mapping[str, int]
) -> list[tuple[str, ...]]:
    """Which axes of the leaves of a tree are rows of which dims: of each leaf a tuple of dims, '' for other axes.

    Args:
        make: sizes of the dims → the tree, as shapes.
        dims: the dims whose rows are looked for.
        sizes: their sizes.

    An axis has the rows of a dim if it grows by one with the dim's size. Raises `ValueError` where one grows otherwise.
    """
    base = jax.tree.leaves(make(sizes))
    marks = [[""] * len(leaf.shape) for leaf in base]
    for dim in dims:
        grown = jax.tree.leaves(make({**sizes, dim: sizes[dim] + 1}))
        for mark, old, new in zip(marks, base, grown, strict=True):
            for k, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)):
                if b == a + 1 and a == sizes[dim]:
                    mark[k] = dim
                elif b != a:
                    raise ValueError(f"an axis of size {a} has no row for each of '{dim}'")
    return [tuple(m) for m in marks]
