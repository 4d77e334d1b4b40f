"""What stages report while they run, and what they did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One report of a running stage. `value` is the objective as written, `gradient` its largest absolute entry."""

    stage: int
    kind: str
    name: str
    start: int
    starts: int
    step: int
    steps: int
    value: float
    gradient: float

    def row(self) -> dict[str, Any]:
        """The event as a row of metrics.jsonl."""
        keys = ("stage", "start", "step", "value", "gradient")
        return {k: getattr(self, k) for k in keys}


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage did. `value` and `gradient` are of the best start; `starts` has value, steps and reason of each."""

    kind: str
    names: tuple[str, ...]
    method: str | None = None
    reason: str | None = None
    steps: int = 0
    value: float | None = None
    gradient: float | None = None
    seconds: float = 0.0
    compile_seconds: float = 0.0
    starts: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
