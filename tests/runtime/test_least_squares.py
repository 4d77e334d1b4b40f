"""Gauss-Newton and Levenberg-Marquardt on residuals: against linear algebra and SciPy, whatever the scales, ranks and shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array
from jax.flatten_util import ravel_pytree
from scipy.optimize import least_squares

from tests.support.effort import examples
from tests.support.minimizer import Minimizer, Solution
from vspec.runtime.methods import Problem, method
from vspec.runtime.methods.least_squares import Model, cosine

Point = dict[str, Array]
BOTH = ("gauss_newton", "levenberg_marquardt")


def problem(residuals: Callable[[Point], Array], constant: float = 0.0) -> Problem:
    def value(x: Point) -> Array:
        return jnp.sum(residuals(x) ** 2) + constant

    def squares(point: Point) -> Any:
        flat, unravel = ravel_pytree(point)
        return value(point), residuals(point), jax.jacobian(lambda x: residuals(unravel(x)))(flat)

    return Problem(value, jax.value_and_grad(value), squares=squares, residuals=residuals)


def solve(
    residuals: Callable[[Point], Array], start: Point, name: str, limit: int | None = None, **keywords: Any
) -> Solution:
    return Minimizer(lambda _: problem(residuals), method(name, keywords), (), start, limit).run((), start)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    jax.config.update("jax_enable_x64", request.param == "float64")
    return str(request.param)


def wide() -> None:
    jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("name", BOTH)
def test_a_linear_problem(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 4)), rng.normal(size=20)
    wanted = np.linalg.lstsq(a, b, rcond=None)[0]
    matrix, right = jnp.asarray(a, dtype), jnp.asarray(b, dtype)
    s = solve(lambda p: matrix @ p["x"] - right, {"x": jnp.zeros(4, dtype)}, name, tol=1e-5)
    assert s.reason == "tolerance"
    np.testing.assert_allclose(s.point["x"], wanted, atol=1e-4 if dtype == "float32" else 1e-6)
    assert s.point["x"].dtype == dtype
    if name == "gauss_newton":
        assert s.steps == 1


def test_the_shortest_step_where_there_are_many() -> None:
    """More unknowns than residuals, and columns that depend on each other: the pseudoinverse, in units of the columns."""
    wide()
    rng = np.random.default_rng(1)
    for rows, columns, rank in ((3, 5, 3), (6, 4, 2)):
        a = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
        b = rng.normal(size=rows)
        s = solve(lambda p, a=a, b=b: a @ p["x"] - b, {"x": jnp.zeros(columns)}, "gauss_newton")
        assert s.reason == "tolerance"
        units = 1 / np.linalg.norm(a, axis=0)
        np.testing.assert_allclose(s.point["x"], units * (np.linalg.pinv(a * units, rcond=1e-12) @ b), atol=1e-9)
        damped = solve(lambda p, a=a, b=b: a @ p["x"] - b, {"x": jnp.zeros(columns)}, "levenberg_marquardt")
        assert damped.reason == "tolerance"
        assert damped.value == pytest.approx(s.value, abs=1e-12)


@pytest.mark.parametrize("name", BOTH)
def test_rosenbrock_has_residuals_that_vanish(name: str, dtype: str) -> None:
    start = {"x": jnp.asarray(-1.2, dtype), "y": jnp.asarray(1.0, dtype)}
    s = solve(lambda p: jnp.stack([10 * (p["y"] - p["x"] ** 2), 1 - p["x"]]), start, name)
    assert s.reason == "tolerance"
    np.testing.assert_allclose([s.point["x"], s.point["y"]], 1.0, atol=1e-4 if dtype == "float32" else 1e-8)
    assert s.steps < 30


def test_powells_singular_function() -> None:
    """Its Jacobian is singular at the optimum: convergence is linear, and still arrives."""
    wide()

    def residuals(p: Point) -> Array:
        a, b, c, d = p["x"]
        return jnp.stack([a + 10 * b, jnp.sqrt(5.0) * (c - d), (b - 2 * c) ** 2, jnp.sqrt(10.0) * (a - d) ** 2])

    s = solve(residuals, {"x": jnp.asarray([3.0, -1.0, 0.0, 1.0])}, "levenberg_marquardt")
    assert s.reason == "tolerance"
    assert s.value < 1e-12


def decays(x: Any, y: Any, p: Any, lib: Any) -> Any:
    return p[0] * lib.exp(-p[1] * x) + p[2] - y


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 10**6))
def test_fits_are_those_of_scipy(seed: int) -> None:
    wide()
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 4, 30)
    true = np.array([rng.uniform(1, 5), rng.uniform(0.5, 2), rng.normal()])
    y = true[0] * np.exp(-true[1] * x) + true[2] + 0.05 * rng.normal(size=30)
    start = np.array([1.0, 1.0, 0.0])
    wanted = least_squares(lambda p: decays(x, y, p, np), start, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    # Gauss-Newton may run off from far away, to a line that is an exponential of great length.
    for name, begin in (("gauss_newton", 1.1 * true), ("levenberg_marquardt", start)):
        s = solve(lambda p: decays(x, y, p["p"], jnp), {"p": jnp.asarray(begin)}, name)
        assert s.reason == "tolerance"
        np.testing.assert_allclose(s.point["p"], wanted.x, rtol=1e-6, atol=1e-6)


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(-6, 6), min_size=3, max_size=3))
def test_the_scales_of_params_do_not_matter(seed: int, powers: list[int]) -> None:
    """Steps in other units are the same steps."""
    wide()
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 4, 20)
    y = 3 * np.exp(-x) + 1 + 0.1 * rng.normal(size=20)
    units = 10.0 ** np.array(powers)
    for name in BOTH:
        plain = solve(lambda p: decays(x, y, p["p"], jnp), {"p": jnp.asarray([1.0, 2.0, 0.0])}, name, 4)
        scaled = solve(
            lambda p: decays(x, y, p["p"] * units, jnp), {"p": jnp.asarray([1.0, 2.0, 0.0] / units)}, name, 4
        )
        np.testing.assert_allclose(scaled.point["p"] * units, plain.point["p"], rtol=1e-5, atol=1e-7)


def test_steps_that_leave_the_domain_are_taken_back() -> None:
    wide()
    for name in BOTH:
        s = solve(lambda p: jnp.log(p["x"]) - 1, {"x": jnp.asarray([30.0])}, name)
        assert s.reason == "tolerance"
        np.testing.assert_allclose(s.point["x"], np.e, rtol=1e-6)


def test_what_cannot_be_reached_ends_as_stalled(dtype: str) -> None:
    x = jnp.linspace(0, 4, 50).astype(dtype)
    y = 1000 + jnp.sin(7 * x)
    for name in BOTH:
        start = {"p": jnp.asarray([1.0, 1.0, 0.0], dtype)}
        s = solve(lambda p: decays(x, y, p["p"], jnp), start, name, 500, tol=1e-30)
        assert s.reason == "stalled"
        assert s.steps < 300
        assert np.isfinite(s.value)


def test_the_cosine() -> None:
    """That of the largest angle to a column, from the triangle alone."""
    wide()
    rng = np.random.default_rng(4)
    j, r = rng.normal(size=(9, 3)), rng.normal(size=9)
    q, triangle = np.linalg.qr(j)
    model = Model(jnp.asarray(triangle), jnp.asarray(q.T @ r), jnp.asarray(r @ r), jnp.asarray(1.0))
    wanted = np.max(np.abs(j.T @ r) / np.linalg.norm(j, axis=0)) / np.linalg.norm(r)
    assert float(cosine(model)) == pytest.approx(wanted)
    nothing = Model(jnp.zeros((3, 3)), jnp.zeros(3), jnp.asarray(1.0), jnp.asarray(1.0))
    assert float(cosine(nothing)) == 0.0


def test_turns_with_another_stage() -> None:
    """A model of its own for each point: the damping is all that is remembered."""
    wide()
    x = np.linspace(0, 4, 30)
    y = 3 * np.exp(-1.3 * x) + 0.5

    def of(rate: Array) -> Problem:
        return problem(lambda p: p["p"][0] * jnp.exp(-rate * x) + p["p"][1] - y)

    for name in BOTH:
        made = method(name, {})
        rate = jnp.asarray(1.0)
        state = made.init(of(rate), {"p": jnp.zeros(2)})
        turn = jax.jit(lambda state, rate, made=made: made.turn(of(rate), state, state.point))
        for _ in range(120):
            state = turn(state, rate)
            slope = jax.grad(lambda r, p=state.point: of(r).value(p))(rate)
            rate = rate - 0.02 * slope
        np.testing.assert_allclose(state.point["p"], [3.0, 0.5], atol=1e-3)
        assert float(rate) == pytest.approx(1.3, abs=1e-3)
