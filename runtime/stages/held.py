"""What does not change while a stage runs: made of data and of params that it does not move, once for each time it is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vspec.runtime.program import Program
from vspec.runtime.stages.transition import Params, Transition, World


def holding(program: Program, transition: Transition, world: World, params: Params, traced: bool = False) -> World:
    """The world of a stage with what its entries hold. `traced`: whether this is part of what is being compiled."""
    still = {k: x for k, x in {**world.still, **params}.items() if k not in transition.moves}
    held = dict(world.bound.held)
    for name in dict.fromkeys(n for s in transition.stage.walk() for n in wanted(program, s.record)):
        if all(a.name in still for a in program.entry(name).arguments if a.role == "param"):
            held |= program.call(name, still, world.bound) if traced else program.jitted(name)(still, world.bound)
    return world._replace(bound=replace(world.bound, held=held)) if held else world


def wanted(program: Program, record: Mapping[str, Any]) -> Iterator[str]:
    """The entries that give what those of a stage hold."""
    for name in called(record):
        for a in program.entry(name).arguments:
            if a.role == "held":
                yield program.holder(a.name)


def called(record: Mapping[str, Any]) -> Iterator[str]:
    """The entries that a stage calls in a step."""
    yield from (record.get("entries") or {}).values()
    yield from record.get("update") or ()
    yield from (record[role] for role in ("step", "directions", "schedule", "until") if record.get(role))
