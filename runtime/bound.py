"""Data, constants and prepared definitions of one run, as one pytree whose sizes are static."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import jax
from jax import Array

from vspec.runtime.devices import Layout

if TYPE_CHECKING:
    from vspec.runtime.errors import DataWarning
    from vspec.runtime.streams import Rows


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["data", "constants", "prepared", "held", "counters", "key", "facts", "multipliers", "fed", "first"],
    meta_fields=["dims", "batch", "layout", "variant"],
    drop_fields=["seed", "streams", "notes"],
)
@dataclass(frozen=True)
class Bound:
    """Everything an entry needs besides the params.

    A pytree: it passes through `jit`, `vmap` and `grad`. `dims` are static, so that arrays of other sizes compile anew;
    `seed` is a fact of the run, not part of the tree. `counters` are the scalars `step` and `steps` of the stage that is
    running; `key` is the JAX key of the fresh draws of this step; `facts` are what claims read of runs that are done.
    `held` is what is made, once for each time that a stage runs, of data and of params that do not move in it.
    `multipliers` are those of constraints in a Lagrangian, with the weights of objective and penalty.
    `batch` are the rows of those dims of which the arrays are slices, where a step sees a batch; they are static, too.
    `layout` says how the arrays are split over several devices, None on one. `variant` is that of the program that prepared
    them: others prepare other things, perhaps under the same names.

    `streams` are the data that are read by chunks of rows, which are not among `data`; they stay on the host and are no
    part of the tree. For each stage that reads them, by its path, and each dim, `fed` has the rows that its steps from
    `first` on see, one step after the other: of data, and of what is prepared of them.
    `notes` are warnings about the data.
    """

    data: Mapping[str, Array]
    constants: Mapping[str, Array]
    prepared: Mapping[str, Array] = field(default_factory=dict)
    dims: tuple[tuple[str, int], ...] = ()
    seed: int = 0
    counters: Mapping[str, Array] = field(default_factory=dict)
    key: Array | None = None
    facts: Mapping[str, Array] = field(default_factory=dict)
    batch: tuple[tuple[str, int], ...] = ()
    multipliers: Mapping[str, Array] = field(default_factory=dict)
    layout: Layout | None = None
    variant: str = ""
    fed: Mapping[str, Mapping[str, Mapping[str, Array]]] = field(default_factory=dict)
    first: Array | None = None
    held: Mapping[str, Array] = field(default_factory=dict)
    streams: Mapping[str, Rows] = field(default_factory=dict)
    notes: tuple[DataWarning, ...] = ()

    def at(self, counters: Mapping[str, Array], key: Array | None = None) -> Bound:
        """The same data at a step of a stage."""
        return replace(self, counters=dict(counters), key=self.key if key is None else key)

    @property
    def sizes(self) -> dict[str, int]:
        """Size of every dim."""
        return dict(self.dims)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{k}={v}" for k, v in self.dims)
        groups = (("data", self.data), ("constants", self.constants), ("prepared", self.prepared))
        parts = [f"{what}: {', '.join(values)}" for what, values in groups if values]
        if self.streams:
            parts.append(f"read by chunks: {', '.join(self.streams)}")
        return f"Bound({sizes}{'; ' if sizes and parts else ''}{'; '.join(parts)})"
