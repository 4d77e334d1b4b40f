"""What a run gives besides its outputs: steps, seconds, and what was compiled for it. Claims read these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.data import Sizes, bind_constants, convert, numpy_dtype
from vspec.runtime.program import Program

Facts = Mapping[str, Any]
"""`steps` and `seconds` of a run, and under `stages` those of its named stages, as a `RunResult` has them."""


def value_of(path: list[str], program: Program, facts: Facts, outputs: Mapping[str, Any]) -> Any:
    """The value of one fact of a run, by the path that the manifest has for it."""
    first, *rest = path
    if first == "outputs":
        return outputs[rest[0]]
    if first == "nodes":
        return program.manifest["nodes"][rest[0]][rest[1]]
    found: Any = facts[first]
    for step in rest:
        found = found[step]
    return found


def own_facts(program: Program, facts: Facts) -> dict[str, Array]:
    """What the program's claims read of its own run, as arguments of the entry that judges them."""
    return {
        name: jnp.asarray(
            value_of(fact["path"], program, facts, {}), numpy_dtype(fact["dtype"], program.precision)
        )
        for name, fact in program.manifest.get("facts", {}).items()
        if not fact["run"]
    }  # fmt: skip


def bind_facts(
    program: Program, values: Mapping[str, Any], constants: Mapping[str, Any], sizes: Mapping[str, int]
) -> Bound:
    """What a claim that compares runs needs: the constants and the facts, whose shapes must fit each other.

    Args:
        program: the one that compares.
        values: name → value of each fact that the claim reads.
        constants: name → value, for those that differ from the spec.
        sizes: of dims that no array tells.

    Raises:
        DataError: arrays of two runs that go over one index have different sizes (VS0506).
    """
    found = Sizes(program.manifest["dims"])
    bound = bind_constants(program.manifest, constants, found)
    arrays = {}
    for name, value in values.items():
        fact = program.manifest["facts"][name]
        array = convert(value, fact["dtype"], program.precision, f"'{name}'", fact.get("line"))
        found.match(f"'{name}'", fact["axes"], array.shape, fact.get("line"))
        arrays[name] = jnp.asarray(array)
    dims = {**{d: n for d, n in sizes.items() if d in program.manifest["dims"]}, **found.known}
    return Bound({}, {k: jnp.asarray(v) for k, v in bound.items()}, {}, tuple(dims.items()), facts=arrays)


__all__ = ["Facts", "bind_facts", "own_facts", "value_of"]
