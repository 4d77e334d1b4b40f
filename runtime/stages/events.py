"""What stages report while they run, and what they did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Event:
    """One report of a running stage.

    Attributes:
        stage: the position of the stage in the plan; of a stage inside of a `repeat`, that of the outermost one.
        kind: its verb.
        name: what it is about, or how it is called.
        start: which of several starts, from 0.
        starts: how many there are.
        step: steps taken; of a stage inside of a `repeat`, rounds of the outermost one.
        steps: how many there are at most.
        value: the objective as written.
        gradient: the largest absolute entry of its gradient.
        change: of an `update` the largest change of an entry in the last step.
        cg: how many iterations of conjugate gradients its steps took in all, where they took any.
        part: of a stage inside of a `repeat`, its place there.
    """

    stage: int
    kind: str
    name: str
    start: int
    starts: int
    step: int
    steps: int
    value: float | None = None
    gradient: float | None = None
    change: float | None = None
    part: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """What runs, for people."""
        start = f" (start {self.start + 1} of {self.starts})" if self.starts > 1 else ""
        return "repeat" if self.part else f"{self.kind} {self.name}{start}"

    @property
    def figures(self) -> str:
        """How far it is, for people: value and gradient, or the last change; inside of a repetition, whose they are."""
        found = [self.name] if self.part else []
        if self.value is not None:
            found.append(f"{self.value:.6g}")
        if self.gradient is not None:
            found.append(f" |g| {self.gradient:.1e}" if self.value is not None else f"|g| {self.gradient:.1e}")
        if self.change is not None:
            found.append(f"change {self.change:.1e}")
        return " ".join(found)

    def row(self) -> dict[str, Any]:
        """The event as a row of metrics.jsonl: what there is of value, gradient and change."""
        row: dict[str, Any] = {"stage": self.stage, "start": self.start, "step": self.step}
        if self.part:
            row |= {"round": self.step, "part": list(self.part), "name": self.name}
        measures = {"value": self.value, "gradient": self.gradient, "change": self.change}
        return row | {k: v for k, v in measures.items() if v is not None}


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did.

    Attributes:
        kind: its verb.
        names: what it was about.
        name: its name in the spec, if it has one.
        method: the methods, by name.
        reason: why it ended: `tolerance`, `until`, `steps` (all are taken), `stalled` (no step is better), `diverged`.
        steps: how many it took, of a `repeat` rounds; of the best start.
        value: the objective as written, where the stage ended. With batches it is that of the last batch, before its step.
        gradient: the largest absolute entry of its gradient there.
        change: of an `update` the largest change of an entry in the last step.
        violation: the largest violation of a constraint where the stage ended, if the spec has constraints.
        stationarity: under constraints, the largest entry of the gradient of the Lagrangian there; of params with a domain the
            largest entry of the step to the projection of `x - gradient`.
        complementarity: the largest of the lesser of an inequality's multiplier and its slack.
        multipliers: constraint → array: what the best value gains by what is added to the right of the constraint.
        seconds: how long it took, all starts together, without compiling.
        compile_seconds: how long compiling took, 0 where it was compiled before.
        starts: of each start value, steps and reason.
        stages: of a `repeat`, what the stages inside did, over all rounds.
    """

    kind: str
    names: tuple[str, ...]
    name: str | None = None
    method: str | None = None
    reason: str | None = None
    steps: int = 0
    value: float | None = None
    gradient: float | None = None
    change: float | None = None
    cg: int | None = None
    violation: float | None = None
    stationarity: float | None = None
    complementarity: float | None = None
    multipliers: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    compile_seconds: float = 0.0
    starts: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)
    stages: tuple[StageResult, ...] = field(default_factory=tuple)

    @property
    def label(self) -> str:
        """How people call it."""
        return self.name or " ".join([self.kind, ", ".join(self.names)]).strip()

    @property
    def taken(self) -> str:
        """Its steps, for people: '7 rounds'."""
        word = "round" if self.kind == "repeat" else "step"
        return f"{self.steps} {word if self.steps == 1 else f'{word}s'}"

    def lines(self) -> list[str]:
        """What it did, for people; what the stages inside of it did is indented."""
        what = " ".join([self.kind, ", ".join(self.names)]).strip()
        said = f"{self.name}: {what}" if self.name else what
        if self.method is not None:
            said += f" by {self.method}"
        if self.reason is not None:
            said += f": {self.reason} after {self.taken} in {self.seconds:.2f} s"
        elif self.kind != "evaluate":
            said += f": {self.taken}"
        if self.cg is not None:
            said += f", {self.cg} cg"
        if self.value is not None and self.names:
            said += f", {self.names[0]} = {self.value:.6g}"
        if self.change is not None:
            said += f", last change {self.change:.1e}"
        return [said, *(f"  {line}" for stage in self.stages for line in stage.lines())]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = asdict(self)
        return found | {"multipliers": {k: np.asarray(v).tolist() for k, v in self.multipliers.items()}}
