"""Runs points of one program: side by side where that can be, else one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vspec.runtime.bound import Bound
from vspec.runtime.claims import judge
from vspec.runtime.constraints import violations
from vspec.runtime.domains import check_start
from vspec.runtime.errors import RunError, RunInterruptedError
from vspec.runtime.facts import own_facts
from vspec.runtime.program import Program
from vspec.runtime.run import evaluate_outputs, run, run_facts
from vspec.runtime.sweep.together import Apart, Point, apart, execute

TOGETHER, ALONE = "together", "alone"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a point is: the values of constants that differ from the spec, and the seed."""

    constants: Mapping[str, Any]
    seed: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a point has no result: a coded error, as a run of its own raises it."""

    code: str
    message: str
    help: str = ""
    line: int | None = None
    exit_code: int = 2

    @staticmethod
    def of(error: RunError) -> Fault:
        """That of an error."""
        return Fault(error.code, error.message, error.help, error.line, error.exit_code)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a point gave.

    Attributes:
        how: `together` with others, or `alone`.
        fault: why it has no result; then only `seconds` tells more.
        params: name → NumPy array.
        outputs: name → NumPy array.
        constraints: name → the largest violation.
        claims: the judged claims, as plain values.
        stages: what each stage did, as plain values.
        seconds: of the solve and all else, without compiling; of points side by side, each one's share.
        variant: the variant of the program that ran, '' for the program itself.
    """

    how: str
    fault: Fault | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    claims: tuple[Mapping[str, Any], ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    variant: str = ""


class Points:
    """Points of one program on one set of data, which is read once."""

    def __init__(
        self,
        program: Program,
        data: Mapping[str, Any] | None = None,
        base: Path | str | None = None,
        allow_outside: bool = False,
    ) -> None:
        self.program = program
        self.given = dict(data or {})
        self.base = base
        self.allow_outside = allow_outside
        self._first: Mapping[str, Any] = {}
        self._read = False

    @property
    def read(self) -> Mapping[str, Any]:
        """The arrays that all points share, once a point was bound."""
        return self._first

    def bind(self, asked: Asked) -> Bound:
        """The point's data, prepared by the variant of the program that is meant for their sizes. What is not drawn is read for
        the first point, and shared by all that follow."""
        known = {**self.given, **self._first}
        bound = self.program.bind(known, asked.constants, asked.seed, self.base, self.allow_outside, mesh={}, fit=True)
        if self._read:
            return replace(bound, data={**bound.data, **self._first})
        self._read = True
        drawn = {n for n, d in self.program.manifest["data"].items() if "draw" in (d.get("default") or {})}
        fixed = {
            n: x for n, x in bound.data.items() if isinstance(x, jax.Array) and (n not in drawn or n in self.given)
        }
        self._first = fixed
        return bound

    def run(self, asked: Sequence[Asked], lanes: int) -> list[Outcome]:
        """The outcome of each point; `lanes` of them at most run side by side."""
        return list(self.each(asked, lanes))

    def each(self, asked: Sequence[Asked], lanes: int) -> Iterator[Outcome]:
        """The outcome of each point in order, as soon as it is known."""
        width = max(lanes, 1)
        for k in range(0, len(asked), width):
            some = asked[k : k + width]
            found: Sequence[Outcome | None] = [None] * len(some)
            if width > 1 and len(some) > 1 and not apart(self.program):
                # Counts that differ, or an operation that JAX has no rule to batch, leave each point to itself.
                with suppress(Apart, NotImplementedError):
                    found = self._together(some, width)
            for a, outcome in zip(some, found, strict=True):
                yield self.alone(a) if outcome is None else outcome

    def alone(self, asked: Asked) -> Outcome:
        """A run of its own."""
        started = time.perf_counter()
        try:
            data = {**self.given, **self._first}
            if not self._read:
                self.bind(asked)
                data = {**self.given, **self._first}
            result = run(
                self.program,
                data=data,
                constants=asked.constants,
                seed=asked.seed,
                progress=lambda _: None,
                base=self.base,
                allow_outside=self.allow_outside,
                mesh={},  # points run beside each other, each on one device
            )
        except RunInterruptedError:
            # Someone stops the sweep, not only this point.
            raise KeyboardInterrupt from None
        except RunError as error:
            return Outcome(ALONE, Fault.of(error), seconds=time.perf_counter() - started)
        compiling = sum(s.compile_seconds for s in result.stages)
        return Outcome(
            ALONE,
            None,
            result.params,
            result.outputs,
            result.constraints,
            tuple(c.as_dict() for c in result.claims),
            tuple(s.as_dict() for s in result.stages),
            time.perf_counter() - started - compiling,
            result.bound.variant,
        )

    def _together(self, asked: Sequence[Asked], lanes: int) -> list[Outcome | None]:
        """Outcomes of points side by side; None for one that failed, which is to be run by itself to say why."""
        points: dict[int, Point] = {}
        for k, a in enumerate(asked):
            try:
                bound = self.bind(a)
                program = self.program.fitted(bound)
                start = program.initial_params(bound)
                lines = {p: d.get("line") for p, d in program.manifest["params"].items()}
                check_start(program.domains(bound), start, lines)
            except RunError:
                continue
            if bound.layout is not None or bound.streams:
                raise Apart("the data is split over devices, or read by chunks")
            points[k] = Point(start, bound)
        if len(points) < 2:
            return [None] * len(asked)
        first, *rest = points.values()
        if any(p.bound.variant != first.bound.variant for p in rest):
            raise Apart("the points have sizes that several programs are meant for")
        execute(self.program.fitted(first.bound), [first, *rest], lanes)
        return [self._outcome(points[k]) if k in points else None for k in range(len(asked))]

    def _outcome(self, point: Point) -> Outcome | None:
        if point.error is not None:
            return None
        started = time.perf_counter()
        program, bound, solved = self.program.fitted(point.bound), point.bound, point.params
        try:
            outputs = {**evaluate_outputs(program, solved, bound), **point.histories.arrays()}
            missed = violations(program, solved, bound)
            facts = run_facts(point.results)
            claims = judge(program, solved, replace(bound, facts=own_facts(program, facts)))
        except RunError:
            return None
        return Outcome(
            TOGETHER,
            None,
            {name: np.asarray(solved[name]) for name in program.manifest["params"] if name in solved},
            outputs,
            missed,
            tuple(c.as_dict() for c in claims),
            tuple(s.as_dict() for s in point.results),
            time.perf_counter() - started + facts["seconds"],
            program.variant,
        )
