"""Runs a spec as its claims ask for it and judges them. Claims that need the same run at the same seed and size share it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.faults import blame
from vspec.permission import extern_allowed
from vspec.programs import temporary_program

if TYPE_CHECKING:
    from vspec.compiler.language.spec import Claim, Spec
    from vspec.runtime.claims import ClaimResult
    from vspec.runtime.program import Program
    from vspec.runtime.run import RunResult
    from vspec.runtime.stages import Event

Settings = Mapping[str, Any]
Begin = Callable[[str], "Callable[[Event], None] | None"]
"""Told of each run before it starts, in words; gives what its progress is told to."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that was made: which, at which settings and seed, and what it gave in single numbers.

    `also` are the runs that override nothing, of the spec itself.
    """

    run: str
    settings: Settings
    seed: int
    steps: int
    seconds: float
    outputs: Mapping[str, Any]
    also: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": self.run,
            "settings": dict(self.settings),
            "seed": self.seed,
            "steps": self.steps,
            "seconds": self.seconds,
            "outputs": dict(self.outputs),
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a spec, judged, in its order, and the runs that were made for them."""

    claims: tuple[ClaimResult, ...]
    runs: tuple[Ran, ...]


def verify_spec(
    path: Path,
    *,
    smoke: bool = False,
    overrides: Settings | None = None,
    seed: int = 0,
    allow_outside: bool = False,
    begin: Begin = lambda _: None,
) -> Verified:
    """Every claim of a spec, judged.

    Args:
        path: the spec.
        smoke: at the quick size that claims declare under `smoke`.
        overrides: constants, sizes of dims and options of stages; they win over those of `smoke`.
        seed: the seed of a run; a claim over several takes this one and those that follow.
        allow_outside: whether imports and data may lie outside of the spec's folder.
        begin: told of each run before it starts.

    Raises:
        SpecError: the spec is wrong.
        CommandError: a run failed, with its place in the spec.
    """
    from vspec.compiler.pipeline import check
    from vspec.runtime.claims import over_seeds

    given = dict(overrides or {})
    spec, _ = check(str(path), given, allow_outside=allow_outside, allow_extern=extern_allowed())
    with ExitStack() as stack:
        runs = _Runs(path, spec, given, allow_outside, begin, stack)
        claims = spec.every_claim
        judged: dict[str, ClaimResult] = {}
        with blame(path):
            # Claims that only count nodes come last: they need no run of their own.
            for name, claim in sorted(claims.items(), key=lambda item: _counts(item[1])):
                settings = dict(claim.smoke) if smoke else {}
                each = {s: runs.judge(claim, settings, s) for s in range(seed, seed + claim.seeds)}
                judged[name] = over_seeds(each, runs.record(claim, settings))
            if not claims:
                # A spec without claims is still run once: it must not fail.
                runs.result("", {}, seed)
        return Verified(tuple(judged[name] for name in claims), tuple(runs.made()))


@dataclass(slots=True)
class _Runs:
    """The programs and results that verifying one spec needs, each made once, when it is first asked for."""

    path: Path
    spec: Spec
    given: Settings
    allow_outside: bool
    begin: Begin
    stack: ExitStack
    programs: dict[tuple[str, str], Program] = field(default_factory=dict)
    results: dict[tuple[str, str, int], RunResult] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)

    def key(self, settings: Settings) -> str:
        """The settings as one word, by which runs are shared."""
        return json.dumps({**settings, **self.given}, sort_keys=True, default=list)

    def split(self, part: str, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a program must be built with, and the constants that it is given when it runs."""
        # What compares runs has the constants of the spec.
        constants = self.spec.runs[part].constants if part in self.spec.runs else self.spec.constants
        every = {**settings, **self.given}
        late = {name: value for name, value in every.items() if name in constants}
        return {name: value for name, value in every.items() if name not in late}, late

    def program(self, part: str, settings: Settings) -> Program:
        """The program of the spec, of a run, or of what compares runs."""
        name = "" if part in self.spec.same else part
        early, _ = self.split(name, settings)
        key = (name, json.dumps(early, sort_keys=True, default=list))
        if key not in self.programs:
            made = temporary_program(self.path, overrides=early, allow_outside=self.allow_outside, part=name)
            self.programs[key] = self.stack.enter_context(made)
        return self.programs[key]

    def result(self, run: str, settings: Settings, seed: int) -> RunResult:
        """What a run gives at a seed."""
        from vspec.runtime.run import run as run_program

        name = "" if run in self.spec.same else run
        key = (name, self.key(settings), seed)
        if key not in self.results:
            self.settings[key[1]] = {**settings, **self.given}
            program = self.program(name, settings)
            shown = [f"run {run}"] if run else []
            shown += [f"seed {seed}"] if seed else []
            self.results[key] = run_program(
                program,
                constants=self.split(name, settings)[1],
                seed=seed,
                base=self.path.resolve().parent,
                allow_outside=self.allow_outside,
                progress=self.begin(", ".join(shown)),
            )
        return self.results[key]

    def judge(self, claim: Claim, settings: Settings, seed: int) -> ClaimResult:
        """A claim at one seed."""
        if not claim.runs:
            claims = self.result("", self._shared(claim, settings), seed).claims
            return next(c for c in claims if c.name == claim.name)
        from vspec.runtime.claims import compare
        from vspec.runtime.facts import bind_facts, value_of

        program = self.comparison(settings)
        values: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for name in claim.facts:
            fact = program.manifest["facts"][name]
            if fact["path"][0] == "nodes":
                # What was compiled is known without a run.
                values[name] = value_of(fact["path"], self.program(fact["run"], settings), {}, {})
            else:
                result = self.result(fact["run"], settings, seed)
                program_of = self.program(fact["run"], settings)
                values[name] = value_of(fact["path"], program_of, result.facts, last(result))
                sizes = {**result.bound.sizes, **sizes}
        return compare(program, claim.name, bind_facts(program, values, self.split("", settings)[1], sizes))

    def comparison(self, settings: Settings) -> Program:
        """The program that compares runs."""
        from vspec.compiler.pipeline import COMPARISON

        return self.program(COMPARISON, settings)

    def record(self, claim: Claim, settings: Settings) -> Mapping[str, Any]:
        """What the manifest says about a claim."""
        program = self.comparison(settings) if claim.runs else self.program("", self._shared(claim, settings))
        record: Mapping[str, Any] = program.manifest["claims"][claim.name]
        return record

    def _shared(self, claim: Claim, settings: Settings) -> Settings:
        """Settings at which the spec itself is run for a claim: those of another one, if it only counts nodes."""
        if settings or not _counts(claim):
            return settings
        return next((self.settings[k] for name, k, _ in self.results if not name), settings)

    def made(self) -> list[Ran]:
        """The runs in the order in which they were made."""
        return [
            Ran(
                run,
                self.settings[key],
                seed,
                r.facts["steps"],
                r.facts["seconds"],
                _numbers(last(r)),
                () if run else tuple(name for name in self.spec.runs if name in self.spec.same),
            )
            for (run, key, seed), r in self.results.items()
        ]


def _counts(claim: Claim) -> bool:
    """Whether a claim reads counts of nodes and nothing else."""
    from vspec.compiler.language.substitute import elements

    read = {e.name for e in elements(claim.that)} if claim.that is not None else set()
    return bool(read) and all(name.startswith("nodes.") for name in read)


def last(result: RunResult) -> dict[str, Any]:
    """The outputs at the end of a run: of a history, the last row."""
    return {name: x[-1] if name in result.histories else x for name, x in result.outputs.items()}


def _numbers(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.item() for name, value in outputs.items() if value.ndim == 0}
