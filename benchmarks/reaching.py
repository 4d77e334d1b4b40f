"""Time to an optimum: every solver is run with the loosest of its settings that comes close enough to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from benchmarks.timing import Rows, Timing, interleaved

TARGET = 1e-6
# Of a solver that has not come close after so many seconds, all settings together, no more than how it ended is told.
PATIENCE = 60.0


@dataclass(frozen=True)
class Solver:
    """One way to solve a problem.

    Attributes:
        keyword: what its settings are settings of.
        settings: from loose to tight.
        at: for a setting, the solve as a call without arguments that begins anew each time.
        judged: for what that call returns, the objective's value (made small) and by how much constraints are violated.
    """

    keyword: str
    settings: Sequence[float]
    at: Callable[[float], Callable[[], Any]]
    judged: Callable[[Any], tuple[float, float]]


@dataclass(frozen=True)
class Found:
    """A solver at the loosest setting that is close enough: the call, the seconds of its first one, and how far it is off."""

    solve: Callable[[], Any]
    first: float
    note: str


def error(value: float, best: float) -> float:
    """How far a value is from the best one, relative to that, unless that is 0."""
    return abs(value - best) / (abs(best) or 1.0)


def loosest(solver: Solver, best: float, target: float = TARGET, patience: float = PATIENCE) -> Found | str:
    """The loosest setting with which value and constraints are within `target`, or a sentence that says how close it gets."""
    ends, spent = "", 0.0
    for setting in solver.settings:
        if spent > patience:
            break
        solve = solver.at(setting)
        begun = time.perf_counter()
        try:
            result = jax.block_until_ready(solve())
        except ArithmeticError as e:
            ends = f"fails: {e}"
            spent += time.perf_counter() - begun
            continue
        first = time.perf_counter() - begun
        spent += first
        value, violation = solver.judged(result)
        off = error(value, best)
        if off <= target and violation <= target:
            missed = f", violation {violation:.0e}" if violation > 0 else ""
            return Found(solve, first, f"{solver.keyword}={setting:g}: error {off:.0e}{missed}")
        ends = f"ends {off:.1e} from the optimum with {solver.keyword}={setting:g}, violation {violation:.0e}"
    return f"does not come within {target:.0e}: {ends}"


def raced(
    solvers: Mapping[str, Solver | None], best: float, target: float = TARGET, repetitions: int = 9
) -> dict[str, Timing | str]:
    """The rows of a table. A solver that is None is not installed.

    Raises AssertionError if 'vspec' does not reach the optimum: then there is nothing to compare.
    """
    found: dict[str, Found | str] = {}
    for name, s in solvers.items():
        # Ours compiles for every setting that is tried; that is no reason to give up.
        patience = float("inf") if name.startswith("vspec") else PATIENCE
        found[name] = "not installed" if s is None else loosest(s, best, target, patience)
    ready = {name: f for name, f in found.items() if isinstance(f, Found)}
    assert "vspec" in ready, found
    timings = interleaved(
        {name: f.solve for name, f in ready.items()}, repetitions, first={name: f.first for name, f in ready.items()}
    )
    return {name: replace(timings[name], note=f.note) if isinstance(f, Found) else f for name, f in found.items()}


Table = dict[str, Rows]
