"""The benchmarks' own machinery, and one comparison of each kind at a small size: both sides agree, or they raise."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from benchmarks import peers, solving_smooth, transport
from benchmarks.programs import Flat, shipped, with_setting
from benchmarks.reaching import Found, Solver, loosest, raced
from benchmarks.solving_constrained import LEAST
from benchmarks.timing import Timing, table


@pytest.fixture(autouse=True)
def wide() -> None:
    """Benchmarks run in 64 bits."""
    jax.config.update("jax_enable_x64", True)


def off_by(factor: float, tried: list[float]) -> Solver:
    """A solver of a problem whose least value is 2, which misses it by a multiple of its setting."""

    def at(setting: float) -> Callable[[], Any]:
        tried.append(setting)
        return lambda: np.asarray(2 + 2 * factor * setting)

    return Solver("tol", (1e-2, 1e-4, 1e-6, 1e-8), at, lambda value: (float(value), 0.0))


def test_the_loosest_setting_that_is_close_enough_is_taken() -> None:
    tried: list[float] = []
    found = loosest(off_by(5e-3, tried), 2.0)
    assert isinstance(found, Found)
    assert tried == [1e-2, 1e-4]
    assert found.note == "tol=0.0001: error 5e-07"


def test_a_solver_that_is_never_close_enough_is_told_not_timed() -> None:
    rows = raced({"vspec": off_by(1.0, []), "other": off_by(1e6, []), "absent": None}, 2.0, repetitions=1)
    assert isinstance(rows["vspec"], Timing)
    assert rows["other"] == (
        "does not come within 1e-06: ends 1.0e-02 from the optimum with tol=1e-08, violation 0e+00"
    )
    assert rows["absent"] == "not installed"
    lines = table("title", rows).splitlines()
    assert len(lines) == 4
    assert lines[1].endswith("tol=1e-06: error 1e-06")
    assert lines[3].split() == ["absent", "not", "installed"]


def test_violated_constraints_are_no_solution() -> None:
    solver = Solver("tol", (1.0,), lambda _: lambda: 0, lambda _: (2.0, 1e-3))
    assert "violation 1e-03" in str(loosest(solver, 2.0))


def test_nothing_is_compared_where_vspec_misses_the_optimum() -> None:
    with pytest.raises(AssertionError):
        raced({"vspec": off_by(1e9, []), "other": off_by(1.0, [])}, 2.0)


def test_solvers_that_are_not_installed_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "optional", lambda _: None)
    flat: Any = SimpleNamespace()
    assert peers.geno(flat) is None
    assert peers.scipy(flat, "BFGS", "gtol") is None
    assert peers.scipy_least_squares(flat) is None


def test_a_search_without_end_is_ended() -> None:
    def never(both: Any) -> Any:
        while True:
            both(np.zeros(1))

    with pytest.raises(ArithmeticError, match="no end"):
        peers.quietly(never, lambda x: (0.0, x))


def test_least_squares_agree() -> None:
    ((_, rows),) = solving_smooth.fitted("misra1a", ("near",), repetitions=1).items()
    assert isinstance(rows["vspec"], Timing)
    assert isinstance(rows["SciPy least_squares (lm)"], Timing)


def test_constraints_as_functions_of_a_vector() -> None:
    flat = Flat(shipped("hock-schittkowski/hs071"))
    slsqp = peers.scipy(flat, "SLSQP", "ftol", (1e-12,))
    assert slsqp is not None
    assert isinstance(loosest(slsqp, LEAST["071"]), Found)
    x = flat.start + 0.3
    for which in (0, 1):
        steps = [(flat.gaps(x + h)[which] - flat.gaps(x - h)[which]) / 2e-6 for h in 1e-6 * np.eye(x.size)]
        np.testing.assert_allclose(flat.rows(x)[which], np.transpose(steps), rtol=1e-6, atol=1e-8)
    assert flat.judged(flat.start - 1)[1] > 0.5


def test_settings_are_put_into_a_copy() -> None:
    program = shipped("hock-schittkowski/hs006")
    changed = with_setting(program, "tol", 0.5)
    assert changed.manifest["plan"][0]["methods"][0]["arguments"]["tol"] == 0.5
    assert program.manifest["plan"][0]["methods"][0]["arguments"]["tol"] != 0.5


def test_sides_of_transport_reach_one_residual() -> None:
    """Sweeps of ours and of POT, judged by one formula from potentials and from a plan."""
    problem = transport.assignment(12, 40.0)
    solve, residual = transport.ours(problem, transport.SWEEPS.replace("FORM", "scaling"), "float64", 1e-9)
    found = solve()
    assert residual(found) <= 1e-9
    plan = np.exp(problem.eta * (np.asarray(found["x"])[:, None] + np.asarray(found["y"]) - problem.cost) - 1)
    assert problem.of_plan(plan) == pytest.approx(residual(found), abs=1e-15)
    pytest.importorskip("ot")
    peer = transport.pot(problem, "sinkhorn_log", 1e-9)
    assert peer is not None
    other = peer[0]()
    assert peer[1](other) <= 1e-9
    np.testing.assert_allclose(other, plan, atol=1e-9)


def test_densities_on_a_grid_are_marginals() -> None:
    problem = transport.grid(6)
    for law in (problem.r, problem.c):
        assert law.sum() == pytest.approx(1.0)
        assert law.min() > 0
    assert problem.cost.max() == 1.0
