"""What a run depends on, so that one is never gone on with as another: program, data, constants, seed, versions, device."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vspec.runtime.bound import Bound
from vspec.runtime.errors import ArtifactError
from vspec.runtime.program import Program
from vspec.runtime.sources.opened import in_order
from vspec.runtime.streams import Rows

SAMPLED = 1000
"""Rows that stand for an array which is read by chunks."""

PACKAGES = ("vspec", "jax", "jaxlib", "optax", "numpy")


class Fingerprint:
    """Of one run. Hashes are computed when they are asked for: arrays may be large, and most runs are short."""

    def __init__(self, program: Program, bound: Bound, start: Mapping[str, Any]) -> None:
        """`start`: the params from which the plan starts."""
        self.program = program
        self.bound = bound
        self.start = start

    @cached_property
    def data(self) -> dict[str, Any]:
        """Of each array of data its shape, its type and the hash of its entries; of one that is read by chunks, of some rows."""
        whole = {name: of_array(array) for name, array in self.bound.data.items()}
        return whole | {name: of_rows(rows) for name, rows in self.bound.streams.items()}

    @cached_property
    def manifest(self) -> str:
        """The hash of the manifest, which names the hashes of everything else in the program's folder."""
        return hashlib.sha256(json.dumps(self.program.manifest, sort_keys=True).encode()).hexdigest()

    @cached_property
    def all(self) -> dict[str, Any]:
        """Everything, as JSON can say it."""
        found = {
            "program": self.program.manifest["program"].get("sha256"),
            "manifest": self.manifest,
            "run": self.program.run,
            "data": self.data,
            "constants": {name: of_array(array) for name, array in self.bound.constants.items()},
            "start": {name: of_array(array) for name, array in self.start.items()},
            "seed": self.bound.seed,
            "dims": self.bound.sizes,
            "precision": self.program.precision,
            "versions": versions(),
            "device": device(),
            "mesh": self.bound.layout.shape if self.bound.layout is not None else {},
        }
        return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def versions() -> dict[str, str | None]:
    """Of Python and the packages that a run depends on."""
    return {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}}


def device() -> dict[str, Any]:
    """What kind of device this is, and how many there are."""
    first = jax.devices()[0]
    return {"platform": first.platform, "kind": first.device_kind, "count": jax.device_count()}


def of_array(array: Any) -> dict[str, Any]:
    """Shape, type and hash of the entries of an array; keys of draws by the numbers that they are made of. An
    array that lies on the devices of several processes is not gathered, and has no hash."""
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": None}
    found = np.ascontiguousarray(array)
    digest = hashlib.sha256(found.data if found.dtype.kind in "biufc" else found.tobytes()).hexdigest()
    return {"shape": list(np.shape(array)), "dtype": str(found.dtype), "sha256": digest}


def of_rows(rows: Rows) -> dict[str, Any]:
    """Shape, type and the hash of rows that are spread over an array too large to be read once more."""
    places = np.unique(np.linspace(0, rows.shape[0] - 1, SAMPLED).astype(int))
    found = of_array(in_order(rows.source.take, places).astype(rows.dtype))
    return {**found, "shape": list(rows.shape), "rows": len(places)}


def check_same(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `ArtifactError` VS0842 if two fingerprints differ: it says in what."""
    changed = [*_changes(then, now, ())]
    if changed:
        more = f"; {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ArtifactError(
            "VS0842",
            f"this is not the run that was interrupted: {'; '.join(changed[:3])}{more}",
            "give it what it had then, or run without --resume to begin anew",
        )


_WORDS = {"program": "the program", "manifest": "the spec or how it was built", "start": "the start of"}


def _changes(then: Any, now: Any, path: tuple[str, ...]) -> Any:
    if isinstance(then, Mapping) and isinstance(now, Mapping) and "sha256" not in then:
        for key in dict.fromkeys((*then, *now)):
            yield from _changes(then.get(key), now.get(key), (*path, key))
    elif then != now:
        what = " ".join([_WORDS.get(path[0], path[0]), *(f"'{p}'" for p in path[1:])])
        plain = (
            not isinstance(then, Mapping) and not isinstance(now, Mapping) and path[0] not in ("program", "manifest")
        )
        yield f"{what} was {then}, and is {now}" if plain else f"{what} differs"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
