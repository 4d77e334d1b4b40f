"""Proximal gradient descent and block coordinate descent on problems whose maps and minima are written by hand."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from scipy.optimize import minimize

from tests.support.minimizer import Minimizer, Solution
from vspec.runtime.methods import Problem, method
from vspec.runtime.methods.method import Point

RNG = np.random.default_rng(0)
A = RNG.normal(size=(30, 8)) * np.logspace(0, 1.5, 8)
B = A @ np.where(np.arange(8) % 2, 1.0, 0.0) + RNG.normal(size=30)
LAM = 20.0


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    jax.config.update("jax_enable_x64", request.param == "float64")
    return str(request.param)


def lasso(dtype: str) -> Problem:
    a, b = jnp.asarray(A, dtype), jnp.asarray(B, dtype)

    def smooth(p: Point) -> Array:
        return jnp.sum((a @ p["x"] - b) ** 2) / 2

    def value(p: Point) -> Array:
        return smooth(p) + LAM * jnp.sum(jnp.abs(p["x"]))

    def prox(p: Point, lr: Array) -> Point:
        return {"x": jnp.sign(p["x"]) * jnp.maximum(jnp.abs(p["x"]) - lr * LAM, 0)}

    gram, right = a.T @ a, a.T @ b

    def sweep(p: Point) -> Point:
        def one(k: int, x: Array) -> Array:
            slope = right[k] - gram[k] @ x + gram[k, k] * x[k]
            return x.at[k].set(jnp.sign(slope) * jnp.maximum(jnp.abs(slope) - LAM, 0) / gram[k, k])

        return {"x": jax.lax.fori_loop(0, 8, one, p["x"])}

    return Problem(
        value, jax.value_and_grad(value), smooth=jax.value_and_grad(smooth), prox=prox, blocks={("x",): sweep}
    )


def optimum() -> np.ndarray:
    # Split into positive and negative parts, a problem with bounds only.
    def value(z: np.ndarray) -> float:
        x = z[:8] - z[8:]
        return float(np.sum((A @ x - B) ** 2) / 2 + LAM * np.sum(z))

    def slope(z: np.ndarray) -> np.ndarray:
        g = A.T @ (A @ (z[:8] - z[8:]) - B)
        return np.concatenate([g + LAM, -g + LAM])

    found = minimize(value, np.ones(16), jac=slope, bounds=[(0, None)] * 16, options={"ftol": 1e-15, "gtol": 1e-10})
    return found.x[:8] - found.x[8:]


def solve(problem: Callable[[], Problem], start: Point, name: str, limit: int | None = None, **keywords) -> Solution:
    return Minimizer(lambda _: problem(), method(name, keywords), (), start, limit).run((), start)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("proximal_gradient", {}),
        ("proximal_gradient", {"accelerated": False}),
        ("proximal_gradient", {"lr": 1 / float(np.linalg.norm(A, 2) ** 2)}),
        ("block_coordinate", {}),
    ],
)
def test_lasso(name: str, keywords: dict, dtype: str) -> None:
    start = {"x": jnp.zeros(8, dtype)}
    tol = 1e-5 if name == "proximal_gradient" else 1e-10
    if dtype == "float32":
        tol = 1e-2 if name == "proximal_gradient" else 1e-5
    s = solve(lambda: lasso(dtype), start, name, tol=tol, **keywords)
    assert s.reason == "tolerance"
    assert s.point["x"].dtype == dtype
    np.testing.assert_allclose(s.point["x"], optimum(), atol=1e-6 if dtype == "float64" else 2e-3)
    assert int(jnp.sum(s.point["x"] == 0)) == int(np.sum(np.abs(optimum()) < 1e-8))


def test_momentum_and_backtracking_save_steps() -> None:
    jax.config.update("jax_enable_x64", True)
    start = {"x": jnp.zeros(8)}
    fast = solve(lambda: lasso("float64"), start, "proximal_gradient", tol=1e-6)
    slow = solve(lambda: lasso("float64"), start, "proximal_gradient", tol=1e-6, accelerated=False)
    assert fast.steps < slow.steps / 2


def test_a_formula_that_is_no_minimum_stalls() -> None:
    jax.config.update("jax_enable_x64", True)

    def problem() -> Problem:
        def value(p: Point) -> Array:
            return jnp.cos(p["x"])

        # The stationary point 0 of cos is a maximum.
        return Problem(value, jax.value_and_grad(value), blocks={("x",): lambda p: {"x": 0 * p["x"]}})

    s = solve(problem, {"x": jnp.asarray(1.0)}, "block_coordinate")
    assert (s.reason, float(s.point["x"])) == ("stalled", 1.0)


def test_sweeps_that_cannot_get_nearer_stall() -> None:
    jax.config.update("jax_enable_x64", True)

    def problem() -> Problem:
        def value(p: Point) -> Array:
            return p["x"] ** 2 * 0

        return Problem(value, jax.value_and_grad(value), blocks={("x",): lambda p: {"x": -p["x"]}})

    s = solve(problem, {"x": jnp.asarray(1.0)}, "block_coordinate")
    assert s.reason == "stalled"
    assert s.steps < 100


def test_what_is_not_finite_is_not_taken() -> None:
    jax.config.update("jax_enable_x64", True)

    def problem() -> Problem:
        def value(p: Point) -> Array:
            return p["x"] ** 2

        return Problem(value, jax.value_and_grad(value), blocks={("x",): lambda p: {"x": jnp.log(p["x"] - 1)}})

    s = solve(problem, {"x": jnp.asarray(3.0)}, "block_coordinate")
    assert s.reason == "diverged"
    assert np.isfinite(float(s.point["x"]))
