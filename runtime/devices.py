"""Several devices: which dims are split over which axis of a mesh, and how arrays get there.

Arrays are split by `jax.sharding.NamedSharding`; what is computed from them follows by XLA's propagation, so that a program is
the same on one device and on many. Of an array that has several dims on one axis of the mesh, the first is split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vspec.runtime.errors import ArtifactError, DataError, near
from vspec.runtime.executables import Shared

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """A mesh of devices and, for each dim that is split, the axis of the mesh. Hashable, so that it is static in a `Bound`."""

    mesh: Mesh
    axes: tuple[tuple[str, str], ...]

    @property
    def shape(self) -> dict[str, int]:
        """Axis → its number of devices."""
        return dict(self.mesh.shape)

    @property
    def whole(self) -> NamedSharding:
        """Every device has all of an array."""
        return _split(self.mesh)

    @property
    def across(self) -> bool:
        """Whether the devices are of several processes."""
        return bool(self.mesh.is_multi_process)

    def of(self, axes: Sequence[str], shape: Sequence[int] | None = None) -> NamedSharding:
        """How an array with these dims is split; where `shape` is given, only along axes whose sizes the devices divide."""
        known, used = dict(self.axes), set[str]()
        parts: list[str | None] = []
        for k, dim in enumerate(axes):
            axis = known.get(dim)
            if axis is None or axis in used or (shape is not None and shape[k] % self.mesh.shape[axis]):
                parts.append(None)
            else:
                used.add(axis)
                parts.append(axis)
        return _split(self.mesh, *parts)

    def place(self, array: Any, axes: Sequence[str]) -> Array:
        """An array on the devices, each of which gets its part. Every process has the whole array to begin with."""
        placed: Array = _put(array, self.of(axes))
        return placed

    def spread(self, tree: Any) -> Any:
        """A tree whose arrays are on these devices: those that are elsewhere are copied to all of them."""
        return jax.tree.map(lambda x: x if self._has(x) else _put(x, self.whole), tree)

    def _has(self, x: Any) -> bool:
        return isinstance(x, Array) and x.sharding.device_set == self.whole.device_set

    def constrain(self, array: Array, axes: Sequence[str]) -> Array:
        """Inside of compiled code: the array split by its dims."""
        constrained: Callable[..., Array] = jax.lax.with_sharding_constraint
        return constrained(array, self.of(axes, array.shape))

    def memory(self, tree: Any, params: Mapping[str, tuple[Sequence[str], tuple[int, ...]]]) -> Any:
        """How the memory of methods is split: what has the shape of a param, or a stack of such, as the param is.

        Args:
            tree: shapes.
            params: param → its dims and its shape.
        """
        known = [(shape, dims) for dims, shape in params.values() if any(d in dict(self.axes) for d in dims)]

        def of(x: Any) -> NamedSharding:
            for shape, dims in known:
                lead = len(x.shape) - len(shape)
                if lead >= 0 and tuple(x.shape[lead:]) == shape and not jnp.issubdtype(x.dtype, jnp.integer):
                    return self.of([""] * lead + list(dims), x.shape)
            return self.whole

        return jax.tree.map(of, tree)


def _split(mesh: Mesh, *parts: str | None) -> NamedSharding:
    """Along which axis of the mesh each axis of an array is split; by default along none."""
    spec: Callable[..., PartitionSpec] = PartitionSpec
    return NamedSharding(mesh, spec(*parts))


def _put(array: Any, sharding: NamedSharding) -> Any:
    if isinstance(array, Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(array), sharding), impl=jax.random.key_impl(array))
    if not sharding.mesh.is_multi_process:
        return jax.device_put(array, sharding)
    host = np.asarray(fetched(array))
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def fetched(tree: Any) -> Any:
    """A tree of NumPy arrays; what lies on the devices of other processes is gathered."""

    def here(x: Any) -> Any:
        if isinstance(x, Array) and not (x.is_fully_addressable or x.is_fully_replicated):
            assert isinstance(x.sharding, NamedSharding)
            assert isinstance(x.sharding.mesh, Mesh)
            x = jax.jit(lambda a: a, out_shardings=_split(x.sharding.mesh))(x)
        return jax.device_get(x)

    return jax.tree.map(here, tree)


def compiled(function: Callable[..., Any], results: Callable[[Layout], Any] | None = None) -> Callable[..., Any]:
    """A function of trees and, last, a `Bound`, compiled for whatever layout the latter has.

    `results` tells how the results are split, as a tree of shardings or one for all; by default every device has all of them.
    """
    made: dict[Layout | None, Callable[..., Any]] = {}

    def run(*arguments: Any) -> Any:
        layout: Layout | None = arguments[-1].layout
        if layout not in made:
            if layout is None:
                made[layout] = Shared(function)
            else:
                made[layout] = jax.jit(function, out_shardings=results(layout) if results else layout.whole)
        return made[layout](*(arguments if layout is None else layout.spread(arguments)))

    return run


# --- which mesh -----------------------------------------------------------------------------------------------------


def layout_of(manifest: Manifest, sizes: Mapping[str, int], mesh: Mapping[str, int] | Mesh | None) -> Layout | None:
    """The layout of a run, None where it runs on one device, as it does with an empty mesh.

    Args:
        manifest: the manifest, whose `shard` names the axes.
        sizes: the size of every dim.
        mesh: axis → number of devices, or a mesh of JAX; else the first axis gets as many of the devices as divide the sizes
            along it, and each other axis one.

    Raises:
        ArtifactError: VS0861 an axis that the spec does not have, VS0862 more devices than there are.
        DataError: VS0863 a size that the devices do not divide.
    """
    shard: Mapping[str, Mapping[str, Any]] = manifest.get("shard") or {}
    names = tuple(dict.fromkeys(s["axis"] for s in shard.values()))
    given = dict(mesh.shape) if isinstance(mesh, Mesh) else mesh
    if given is not None:
        _check_axes(given, names)
    if not names and given is None and jax.process_count() > 1:
        raise ArtifactError(
            "VS0866",
            f"{jax.process_count()} processes run the spec together, and it splits no dim over their devices",
            "write shard: {n: data} in it; mesh={} runs it in each process by itself",
        )
    if not names:
        return None
    if not given and given is not None:
        return None  # no mesh at all: one device
    counts = {**dict.fromkeys(names, 1), **(given or {})}
    if given is None:
        counts[names[0]] = _most(manifest, sizes, names[0], jax.device_count())
    devices = _devices(mesh, counts)
    for dim, split in shard.items():
        count = counts[split["axis"]]
        if dim in sizes and sizes[dim] % count:
            good = gcd(count, sizes[dim])
            raise DataError(
                "VS0863",
                f"'{dim}' has size {sizes[dim]}, which {count} devices of the axis '{split['axis']}' do not divide",
                f"use --mesh {split['axis']}={good}, or leave out rows of the data",
                split.get("line"),
            )
    if devices.size == 1:
        return None
    axes = tuple((dim, str(split["axis"])) for dim, split in shard.items() if counts[split["axis"]] > 1)
    # The devices of a mesh of the caller stay where they are; its other axes have copies.
    own = mesh if isinstance(mesh, Mesh) else Mesh(devices, tuple(counts), axis_types=(AxisType.Auto,) * len(counts))
    return Layout(own, axes)


def _check_axes(given: Mapping[str, int], names: Sequence[str]) -> None:
    for axis, count in given.items():
        if not names:
            raise ArtifactError(
                "VS0861",
                "there is a mesh of devices, but the spec splits no dim over one",
                "write shard: {n: data} in it",
            )
        if axis not in names:
            raise ArtifactError("VS0861", f"the spec splits nothing over an axis '{axis}'", near(axis, names))
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
            raise ArtifactError(
                "VS0860", f"the axis '{axis}' cannot have {count} devices", "a whole number, at least 1"
            )


def _devices(mesh: Mapping[str, int] | Mesh | None, counts: Mapping[str, int]) -> Any:
    """The devices in the shape of the mesh. Raises `ArtifactError` VS0862."""
    if isinstance(mesh, Mesh):
        return mesh.devices
    wanted, there = prod(counts.values()), jax.device_count()
    shown = " x ".join(f"{axis}={count}" for axis, count in counts.items())
    if wanted > there:
        raise ArtifactError(
            "VS0862",
            f"the mesh {shown} has {wanted} devices, and there {'is' if there == 1 else 'are'} {there}",
            f"on a CPU, XLA_FLAGS=--xla_force_host_platform_device_count={wanted} makes so many of it",
        )
    if jax.process_count() > 1 and wanted != there:
        raise ArtifactError(
            "VS0862",
            f"the mesh {shown} has {wanted} of the {there} devices of {jax.process_count()} processes",
            "several processes use all of their devices: choose a mesh of as many, and sizes that it divides",
        )
    return np.asarray(jax.devices()[:wanted]).reshape(tuple(counts.values()))


def _most(manifest: Manifest, sizes: Mapping[str, int], axis: str, there: int) -> int:
    """How many devices divide all sizes along an axis, and the batches of stages."""
    split = {dim for dim, s in manifest["shard"].items() if s["axis"] == axis}
    letters = {x: dim for dim, d in manifest["dims"].items() for x in (dim, *d["letters"])}
    rows = [sizes[dim] for dim in split if dim in sizes]
    for stage in _stages(manifest["plan"]):
        rows += [n for x, n in (stage.get("batch") or {}).items() if letters[x] in split and isinstance(n, int)]
    return max(k for k in range(1, there + 1) if all(n % k == 0 for n in rows))


def _stages(plan: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for stage in plan:
        yield stage
        yield from _stages(stage.get("stages") or ())


def check_batch(layout: Layout | None, dim: str, rows: int, line: int | None) -> None:
    """Raise `DataError` VS0864 if the rows of a batch cannot be split as its dim is."""
    axis = dict(layout.axes).get(dim) if layout is not None else None
    if layout is not None and axis is not None and rows % layout.shape[axis]:
        count = layout.shape[axis]
        near_ = sorted({max(count, rows - rows % count), rows + count - rows % count})
        raise DataError(
            "VS0864",
            f"a batch has {rows} rows of '{dim}', which {count} devices of the axis '{axis}' do not divide",
            f"batches of {' or '.join(map(str, near_))} rows, or --mesh {axis}={gcd(count, rows)}",
            line,
        )


__all__ = ["Layout", "check_batch", "compiled", "fetched", "layout_of"]
