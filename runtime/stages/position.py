"""Where the execution of a plan stands, between two chunks of a stage or between two stages, and as what it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vspec.runtime.stages.events import StageResult
from vspec.runtime.stages.histories import Histories
from vspec.runtime.stages.transition import Params


@dataclass(frozen=True, slots=True)
class Paused:
    """A run of a stage between two chunks.

    Attributes:
        leaves: the arrays of the loop's carry, in the order of its tree.
        steps: the steps of the loop that are taken.
        seconds: how long they took.
        histories: the rows that are recorded.
    """

    leaves: tuple[Any, ...]
    steps: int
    seconds: float
    histories: Histories


@dataclass(frozen=True, slots=True)
class Finished:
    """A start of a stage that ran to its end; `before` are the arrays of the carry from before its last step, or None."""

    params: Params
    reason: str
    steps: int
    figures: Mapping[str, Mapping[str, Any]]
    seconds: float
    histories: Histories
    before: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a plan stands.

    Attributes:
        stage: the place of the stage that is next, or runs; the number of stages where all are done.
        params: those before that stage.
        results: what the stages before it did.
        histories: their rows.
        taken: the steps of all of them.
        runs: of the stage, the starts that are done.
        paused: of the stage, the start that runs.
    """

    stage: int
    params: Params
    results: tuple[StageResult, ...] = ()
    histories: Histories = field(default_factory=Histories)
    taken: int = 0
    runs: tuple[Finished, ...] = ()
    paused: Paused | None = None

    @property
    def steps(self) -> int:
        """Steps of the run up to here, of all starts."""
        return self.taken + sum(r.steps for r in self.runs) + (self.paused.steps if self.paused is not None else 0)


Guard = Callable[[int, Callable[[], Position]], None]
"""Called between chunks with the steps of the run and with what makes the position there, if it is wanted."""


def unguarded(steps: int, make: Callable[[], Position]) -> None:
    """Keeps nothing."""


def as_state(position: Position) -> dict[str, Any]:
    """A position as a nest of plain values and NumPy arrays, fetched from the device at once."""
    state = {f.name: getattr(position, f.name) for f in fields(position)}
    state["results"] = [asdict(r) for r in position.results]
    state["histories"] = _rows(position.histories)
    state["runs"] = [_shallow(r) for r in position.runs]
    state["paused"] = None if position.paused is None else _shallow(position.paused)
    leaves, tree = jax.tree.flatten(state)
    ready = [k for k, x in enumerate(leaves) if isinstance(x, jax.Array) and not _is_key(x)]
    for k, x in zip(ready, jax.device_get([leaves[k] for k in ready]), strict=True):
        leaves[k] = x
    return jax.tree.unflatten(tree, leaves)  # type: ignore[no-any-return]


def from_state(state: Mapping[str, Any]) -> Position:
    """The position again. Raises `ValueError`, `KeyError` or `TypeError` if it is none."""
    found = dict(state)
    found["results"] = tuple(_result(r) for r in found["results"])
    found["histories"] = _histories(found["histories"])
    found["runs"] = tuple(Finished(**{**r, "histories": _histories(r["histories"])}) for r in found["runs"])
    paused = found["paused"]
    if paused is not None:
        found["paused"] = Paused(**{**paused, "histories": _histories(paused["histories"])})
    return Position(**found)


def _is_key(x: jax.Array) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def _shallow(record: Finished | Paused) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in fields(record)} | {"histories": _rows(record.histories)}


def _rows(histories: Histories) -> dict[str, Any]:
    """The rows so far. The lists grow while a checkpoint is written; what is kept are those that are there now."""
    return {
        "rows": {k: [*rows] for k, rows in histories.rows.items()},
        "steps": {k: [*s] for k, s in histories.steps.items()},
    }


def stacked(state: dict[str, Any]) -> dict[str, Any]:
    """A state with the rows of each history as one array: work that need not hold up the run."""

    def one(record: dict[str, Any]) -> dict[str, Any]:
        rows = {k: np.stack(r) for k, r in record["histories"]["rows"].items()}
        return record | {"histories": record["histories"] | {"rows": rows}}

    paused = state["paused"]
    return one(state) | {"runs": [one(r) for r in state["runs"]], "paused": None if paused is None else one(paused)}


def _histories(found: Mapping[str, Any]) -> Histories:
    rows, steps = found["rows"], found["steps"]
    return Histories({k: [*rows[k]] for k in rows}, {k: [*steps[k]] for k in steps})


def _result(found: Mapping[str, Any]) -> StageResult:
    result = StageResult(**found)
    return replace(result, stages=tuple(_result(s) for s in found["stages"]))


__all__ = ["Finished", "Guard", "Paused", "Position", "as_state", "from_state", "stacked", "unguarded"]
