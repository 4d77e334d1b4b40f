"""A stage of the manifest's plan with its counts as numbers. Counts that are expressions are evaluated once, at the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from vspec.runtime.bound import Bound
from vspec.runtime.devices import check_batch
from vspec.runtime.errors import ArtifactError, DataError, near
from vspec.runtime.program import Program
from vspec.runtime.searches import checked

KINDS = ("minimize", "maximize", "saddle", "descend", "update", "evaluate", "repeat")
LIMIT = 1000
"""The steps of an `update` that has an `until` and no number of steps."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        record: its record in the manifest.
        path: its place in the plan, the positions in the stages around it first.
        steps: how many it takes, of a `repeat` its rounds; None where its method decides or, inside of a `repeat`, where it
            takes one step in each round.
        own: whether it takes its own number of steps wherever it stands, and starts afresh each time.
        starts: from how many starts.
        batch: dim → rows of a step.
        epoch: dim → steps in which all of its rows are visited.
        stages: those of a `repeat`.
        about: what it is about: the objective, else what it evaluates or moves.
    """

    record: Mapping[str, Any]
    path: tuple[int, ...]
    steps: int | None
    own: bool
    starts: int
    batch: Mapping[str, int]
    epoch: Mapping[str, int]
    stages: tuple[Stage, ...]
    about: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The verb."""
        return str(self.record["kind"])

    @property
    def names(self) -> tuple[str, ...]:
        """The objective, or what it evaluates."""
        return tuple(self.record.get("names") or ())

    @property
    def name(self) -> str | None:
        """Its name in the spec, if it has one."""
        found: str | None = self.record.get("name")
        return found

    @property
    def line(self) -> int | None:
        """Its line in the spec."""
        found: int | None = self.record.get("line")
        return found

    @property
    def key(self) -> str:
        """The path as text."""
        return ".".join(map(str, self.path))

    @property
    def label(self) -> str:
        """How people call it."""
        return self.name or " ".join([self.kind, ", ".join(self.about)]).strip()

    @property
    def passes(self) -> int:
        """Steps of an epoch: in as many, every row of every batched dim is visited; 1 where there are no batches."""
        return max(self.epoch.values(), default=1)

    def shape(self) -> Any:
        """What of the counts a compiled stage depends on: numbers of steps are arguments of it, batches and starts are not."""
        return (self.starts, tuple(self.batch.items()), self.steps is None, tuple(s.shape() for s in self.stages))

    def walk(self) -> Iterator[Stage]:
        """The stage and all inside of it."""
        yield self
        for stage in self.stages:
            yield from stage.walk()


def resolve(program: Program, bound: Bound, record: Mapping[str, Any], path: tuple[int, ...]) -> Stage:
    """A stage of the plan. Raises `ArtifactError` VS0807 for a kind that is not known, `DataError` VS0519, VS0520."""
    kind, line = record["kind"], record.get("line")
    if kind not in KINDS:
        raise ArtifactError("VS0807", f"this runtime has no stage of kind '{kind}'", near(kind, KINDS), line)
    counts = {}
    if record.get("counts"):
        counts = dict(jax.device_get(checked(program, record["counts"], {}, bound, "in the counts of a stage")))

    def count(name: str, literal: Any) -> int | None:
        if name in counts:
            return _whole(name, counts[name], 1, line)
        return None if literal is None else int(literal)

    dims = {letter: d for d, dim in program.manifest["dims"].items() for letter in (d, *dim["letters"])}
    batch, epoch = {}, {}
    for letter in sorted({*(record.get("batch") or {}), *(c[6:] for c in counts if c.startswith("batch."))}):
        rows, dim = count(f"batch.{letter}", (record.get("batch") or {}).get(letter)), dims[letter]
        whole = bound.sizes[dim]
        assert rows is not None
        if rows > whole:
            raise DataError("VS0520", f"a batch has {rows} rows of '{letter}', which has size {whole}", line=line)
        check_batch(bound.layout, dim, rows, line)
        batch[dim], epoch[dim] = rows, whole // rows
    if kind == "repeat":
        steps = count("rounds", record.get("rounds"))
    else:
        steps, epochs = count("steps", record.get("steps")), count("epochs", record.get("epochs"))
        if epochs is not None:
            steps = epochs * max(epoch.values(), default=1)
    record = _filled(record, counts)
    stages = tuple(resolve(program, bound, r, (*path, k)) for k, r in enumerate(record.get("stages") or ()))
    own = kind == "repeat" or steps is not None or bool(record.get("until"))
    starts = count("starts", record.get("starts")) or 1
    if starts > 1 and (kind not in ("minimize", "maximize") or len(path) > 1):
        what = f"the stage '{kind}'" if len(path) == 1 else "a stage inside of a repetition"
        raise ArtifactError("VS0807", f"{what} has one start", line=line)
    moved = targets(program, record.get("update") or ())
    about = tuple(record.get("names") or record.get("over") or moved)
    return Stage(record, path, steps, own, starts, batch, epoch, stages, about)


def _whole(name: str, value: Any, least: int, line: int | None) -> int:
    """A count that an entry gave. Raises `DataError` VS0519 if it is none."""
    number = np.asarray(value).item()
    if not (np.isfinite(number) and number == int(number) and number >= least):
        raise DataError("VS0519", f"'{name}' of a stage is {number:g}", f"a whole number, at least {least}", line)
    return int(number)


def targets(program: Program, entries: Iterable[str]) -> tuple[str, ...]:
    """The params that update entries assign to, in the spec's order."""
    assigned = {r["name"] for e in entries for r in program.manifest["entries"][e]["results"]}
    return tuple(p for p in program.manifest["params"] if p in assigned)


def _filled(record: Mapping[str, Any], counts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record with the arguments of methods that `counts` tells: `0.memory`, `1.linear.steps`, `constraints.rounds`."""
    calls = {str(k): m for k, m in enumerate(record.get("methods") or ())}
    if record.get("constraints"):
        calls["constraints"] = record["constraints"]
    for key, value in counts.items():
        call, _, path = key.partition(".")
        if call in calls and path:
            whole = _whole(path, value, 0, record.get("line"))
            filled = with_argument(calls[call]["arguments"], path, whole)
            calls[call] = {**calls[call], "arguments": filled}
    methods = [m for k, m in calls.items() if k != "constraints"]
    return {**record, "methods": methods, "constraints": calls.get("constraints")}


def with_argument(arguments: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Arguments with another value of one: of `linear.rtol`, the argument `rtol` of the call that `linear` is."""
    name, _, rest = path.partition(".")
    if not rest:
        return {**arguments, name: value}
    inner = arguments[name]
    return {**arguments, name: {**inner, "arguments": with_argument(inner["arguments"], rest, value)}}
