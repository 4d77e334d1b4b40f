"""Searches for implicit quantities that did not converge: found by the entries that tell how searches went, and said."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from vspec.runtime.bound import Bound
from vspec.runtime.errors import NumericsError
from vspec.runtime.program import Params, Program
from vspec.runtime.solvers import SOLVERS

_WORDS = {
    "root": "the largest equation is still {}",
    "fixed_point": "the map still differs from the unknown by {}",
    "argmin": "the largest entry of the gradient is still {}",
    "argmax": "the largest entry of the gradient is still {}",
}
_CONSTRAINED = "the conditions of an optimum under its constraints are still missed by {}"


def checked(program: Program, entry: str, params: Params, bound: Bound, where: str) -> Any:
    """What an entry gives, compiled, where all of its searches converge.

    Args:
        program: the program.
        entry: the name of the entry.
        params: the params.
        bound: the data.
        where: where this is, in words, such as 'in the outputs'.

    Raises:
        NumericsError: VS0615, a search did not converge.
    """
    values = program.jitted(entry)(params, bound)
    check_searches(program, entry, params, bound, where)
    return values


def check_searches(program: Program, entry: str, params: Params, bound: Bound, where: str) -> None:
    """Raise `NumericsError` VS0615 if a search that an entry makes does not converge."""
    solves = program.entry(entry).solves
    if solves is not None:
        told = jax.device_get(program.jitted(solves)(params, bound))
        error = search_error(program, solves, told, where)
        if error is not None:
            raise error


def search_error(program: Program, solves: str, told: Mapping[str, Any], where: str) -> NumericsError | None:
    """The error of the first problem with a search that did not converge; None if all did.

    Args:
        program: the program.
        solves: the entry that told.
        told: what it gave: quantity → residual, steps and whether it converged, over the batch of its problems.
        where: where this is, in words.
    """
    for key, problem in program.entry(solves).problems.items():
        report = {what: np.asarray(value) for what, value in told[key].items()}
        if not report["converged"].all():
            results = program.manifest["entries"][solves]["results"]
            axes = next(r["axes"] for r in results if r["name"] == f"{key}.converged")
            return _error(problem, report, axes, where)
    return None


def _error(problem: Mapping[str, Any], report: Mapping[str, Any], axes: Sequence[str], where: str) -> NumericsError:
    """The error of a problem, or of a batch of problems along some axes, of which not all converged."""
    residual, failed = report["residual"], ~report["converged"]
    # What is not finite is worse than whatever is left.
    left = np.where(failed, np.where(np.isfinite(residual), residual, np.inf), -np.inf)
    worst = np.unravel_index(int(np.argmax(left)), left.shape)
    rest, taken = float(residual[worst]), int(report["steps"][worst])
    op, name = str(problem["op"]), problem["name"]
    sought = f"{op} of {', '.join(problem['unknowns'])}"
    unknown = f"the {sought}" if name is None else f"'{name}' ({sought})"
    words = _CONSTRAINED if SOLVERS[problem["method"]].constrained else _WORDS[op]
    said = words.format(f"{rest:.3g}") if math.isfinite(rest) else "its equations are not finite"
    after = f"after {taken} step{'' if taken == 1 else 's'} of {problem['method']}"
    above = f" (tol: {problem['tol']:g})" if math.isfinite(rest) else ""
    if failed.ndim:
        place = ", ".join(f"{axis} = {int(k)}" for axis, k in zip(axes, worst, strict=True))
        count = f"{int(failed.sum())} of {failed.size} problems"
        message = f"{unknown} was not found {where} in {count}: in the worst, {place}, {said} {after}{above}"
    else:
        message = f"{unknown} was not found {where}: {said} {after}{above}"
    return NumericsError("VS0615", message, _help(problem, rest, taken), problem.get("line"))


def _help(problem: Mapping[str, Any], rest: float, taken: int) -> str:
    if not math.isfinite(rest):
        return "look at its `start` and at logarithms, divisions and square roots in it"
    if SOLVERS[problem["method"]].constrained:
        more = "more `steps`" if taken >= problem["steps"] else "another `start`"
        return f"make sure that something meets its constraints; if so, give it {more}"
    if taken >= problem["steps"]:
        return "give it a `start` that is nearer, more `steps` or another `method`, if there is a solution at all"
    return "no step came nearer: give it another `start` or `method`, if there is a solution at all"


class Watched(Program):
    """A program that also asks, whenever one of its entries is called, how the searches went that the entry makes.

    Only for tracing once more what has failed: what it is told reaches the host by callbacks.
    """

    def __init__(self, program: Program, entries: Collection[str] | None = None) -> None:
        """`entries`: those that are watched; all if None."""
        super().__init__(program.manifest, program.module, program.directory, program.variant)
        self.watched = entries
        self.told: list[tuple[str, Any]] = []

    def call(self, entry: str, params: Params, bound: Bound, vector: Params | None = None) -> Any:
        """What the program's own gives."""
        solves = self.entry(entry).solves
        if solves is not None and (self.watched is None or entry in self.watched):
            told = super().call(solves, params, bound, vector)
            jax.debug.callback(lambda told: self.told.append((solves, told)), told)
        return super().call(entry, params, bound, vector)

    def after(self, run: Callable[[], Any], where: str) -> NumericsError | None:
        """Runs something that calls entries. The error of the last search on the way that did not converge, if there is one."""
        jax.block_until_ready(run())  # type: ignore[no-untyped-call]
        jax.effects_barrier()  # type: ignore[no-untyped-call]
        errors = [e for solves, told in self.told if (e := search_error(self, solves, jax.device_get(told), where))]
        return errors[-1] if errors else None


def seeks(program: Program, entries: Collection[str] | None = None) -> bool:
    """Whether some of the entries, or any at all, search for an implicit quantity outside of recurrences."""
    return any(program.entry(e).solves is not None for e in (program.entries if entries is None else entries))


def doubt(program: Program) -> str:
    """What may be behind a number that is not finite: searches in the steps of recurrences, of which nothing tells; or ''."""
    names = dict.fromkeys(n for e in program.entries.values() for n in e.inside)
    if not names:
        return ""
    listed = ", ".join(f"'{n}'" for n in names)
    return f"the search for {listed} in the steps of a recurrence may not have converged, which gives NaN"
