"""Methods for constrained problems against published optima, and what they say where there is no solution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.runtime.problems import (
    CASES,
    CONTRADICTION,
    EMPTY,
    LINEAR,
    NEEDS_RESTORATION,
    REPEATED,
    WITHOUT_MULTIPLIERS,
    Case,
    case,
    inside,
)
from vspec.runtime.constrained.augmented import Augmented
from vspec.runtime.constrained.barrier import InteriorPoint
from vspec.runtime.methods import Method, State, method
from vspec.runtime.methods.method import INFEASIBLE, REASONS, RUNNING, TOLERANCE

COMPILE_QUICKLY = True  # see conftest.py


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


def solve(c: Case, how: Method, limit: int | None = None) -> State:
    init = jax.jit(lambda p: how.init(c.problem, p))
    run = jax.jit(
        lambda s, until: jax.lax.while_loop(
            lambda s: (s.status == RUNNING) & (s.steps < until), lambda s: how.step(c.problem, s), s
        )
    )
    return run(init(c.start), how.limit if limit is None else limit)


def missed(c: Case, state: State) -> float:
    constraints = c.problem.constraints
    assert constraints is not None
    gaps = constraints.gaps(state.point)
    worst = [float(jnp.abs(g) if constraints.relations[k] == "eq" else jnp.maximum(g, 0)) for k, g in gaps.items()]
    for ends, sign in ((constraints.lower, 1), (constraints.upper, -1)):
        if "x" in ends:
            worst.append(float(jnp.max(sign * (ends["x"] - state.point["x"]))))
    return max(worst, default=0.0)


def check(c: Case, state: State, tolerance: float = 1e-6) -> None:
    assert REASONS[int(state.status)] == "tolerance"
    assert missed(c, state) < 1e-7
    value = float(c.problem.value(state.point))
    assert value == pytest.approx(c.value, rel=tolerance, abs=tolerance)
    if c.x:
        np.testing.assert_allclose(state.point["x"], c.x, atol=1e-4)


@pytest.mark.parametrize("number", CASES)
def test_interior_points(number: str) -> None:
    state = solve(CASES[number], InteriorPoint(tol=1e-8))
    check(CASES[number], state)
    assert int(state.steps) <= 30


@pytest.mark.parametrize("number", ["6", "7", "10", "24", "43", "71", "100"])
@pytest.mark.parametrize("name", ["newton", "lbfgs"])
def test_augmented_lagrangians(number: str, name: str) -> None:
    c = inside(CASES[number])
    # Of values near 700, a search that compares them sees no smaller gradients.
    tol = 1e-5 if (number, name) == ("100", "lbfgs") else 1e-6
    state = solve(c, Augmented(inner=method(name, {"tol": tol}), tol=1e-8))
    check(c, state)


def test_penalties_come_near() -> None:
    for number in ("7", "43"):
        c = CASES[number]
        state = solve(c, Augmented(inner=method("lbfgs", {"tol": 1e-6}), tol=1e-5, updates=False))
        assert missed(c, state) < 2e-5
        assert float(c.problem.value(state.point)) == pytest.approx(c.value, rel=1e-3)


def test_multipliers_are_sensitivities() -> None:
    # The derivative of the optimal value by the right side: of x0 + x1 + 2 x2 <= 3 in problem 35 it is -2/9.
    c = CASES["35"]
    for how in (InteriorPoint(tol=1e-9), InteriorPoint(tol=1e-9, quadratic=True)):
        state = solve(c, how)
        assert float(how.multipliers(state)["i0"]) == pytest.approx(2 / 9, rel=1e-6)
    c = inside(c)
    how = Augmented(inner=method("newton", {"tol": 1e-9}), tol=1e-9)
    assert float(how.multipliers(solve(c, how))["i0"]) == pytest.approx(2 / 9, rel=1e-6)


@pytest.mark.parametrize("number", ["21", "35", "76", "linear", "repeated"])
def test_quadratic_programs(number: str) -> None:
    c = {**CASES, "linear": LINEAR, "repeated": REPEATED}[number]
    state = solve(c, InteriorPoint(tol=1e-10, quadratic=True))
    check(c, state, 1e-8)
    assert bool(state.extra.quadratic), "the method for quadratic programs ended it"
    check(c, solve(c, InteriorPoint(tol=1e-9)), 1e-7)


def test_a_quadratic_program_that_is_not_convex_falls_to_the_general_method() -> None:
    c = case(lambda x: -x[0] * x[1], [0.2, 0.1], -1.0, lower=np.zeros(2), upper=np.ones(2), x=(1, 1))
    state = solve(c, InteriorPoint(tol=1e-9, quadratic=True))
    check(c, state)
    assert not bool(state.extra.quadratic)


def test_where_there_are_no_multipliers() -> None:
    state = solve(WITHOUT_MULTIPLIERS, InteriorPoint(tol=1e-8))
    assert float(state.value) == pytest.approx(1, abs=1e-3)


def test_where_newton_steps_lead_astray() -> None:
    check(NEEDS_RESTORATION, solve(NEEDS_RESTORATION, InteriorPoint(tol=1e-8)))


@pytest.mark.parametrize("c", [CONTRADICTION, EMPTY], ids=["contradiction", "empty"])
def test_what_cannot_be_satisfied(c: Case) -> None:
    for how in (
        InteriorPoint(tol=1e-8),
        InteriorPoint(tol=1e-8, quadratic=c is CONTRADICTION),
        Augmented(inner=method("newton", {"tol": 1e-8}), tol=1e-8),
    ):
        state = solve(c, how)
        assert int(state.status) == INFEASIBLE
        assert missed(c, state) > 0.1


def test_single_precision_ends_honestly() -> None:
    jax.config.update("jax_enable_x64", False)
    for number in ("35", "43", "71"):
        state = solve(CASES[number], InteriorPoint(tol=1e-4))
        assert int(state.status) == TOLERANCE
        assert float(state.value) == pytest.approx(CASES[number].value, rel=2e-3)
        state = solve(CASES[number], InteriorPoint(tol=1e-12))
        assert REASONS[int(state.status)] == "stalled"
        assert float(state.value) == pytest.approx(CASES[number].value, rel=2e-3)
