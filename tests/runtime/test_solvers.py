"""Methods that compare values, each in all its forms, on known problems and against SciPy; the models they are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import Array
from scipy.optimize import minimize

from tests.support.effort import examples
from tests.support.minimizer import Minimizer, Solution
from vspec.runtime.methods import Problem, method
from vspec.runtime.methods.bfgs import Bfgs
from vspec.runtime.methods.lbfgs import Lbfgs
from vspec.runtime.methods.nonlinear_cg import BETA
from vspec.runtime.methods.quadratic import spectrum, truncated, within_ball
from vspec.runtime.registry import METHODS, chosen, needs

Point = dict[str, Array]


def keyword(name: str, key: str, word: str, **arguments: Any) -> dict[str, Any]:
    found = next(k for k in METHODS[name].keywords if k.name == key)
    return {key: chosen(found, word, arguments)}


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "lbfgs": ("lbfgs", {}),
    "lbfgs, two pairs": ("lbfgs", {"memory": 2}),
    "bfgs": ("bfgs", {}),
    **{f"cg, {beta}": ("nonlinear_cg", keyword("nonlinear_cg", "beta", beta)) for beta in BETA},
    **{
        f"newton, {search}, {linear}": (
            "newton",
            {**keyword("newton", "search", search), **keyword("newton", "linear", linear)},
        )
        for search in ("armijo", "trust_region")
        for linear in ("cholesky", "cg")
    },
}


def problem(f: Callable[[Point], Array]) -> Problem:
    vg = jax.value_and_grad(f)
    return Problem(f, vg, lambda x: (*vg(x), jax.hessian(f)(x)), hvp=lambda x, v: jax.jvp(jax.grad(f), (x,), (v,))[1])


def solve(f: Callable[[Point], Array], start: Point, form: str, limit: int | None = None, **more: Any) -> Solution:
    name, keywords = FORMS[form]
    return Minimizer(lambda _: problem(f), method(name, {**keywords, **more}), (), start, limit).run((), start)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    jax.config.update("jax_enable_x64", request.param == "float64")
    return str(request.param)


def rosenbrock(p: Point) -> Array:
    x = jnp.concatenate([p["head"][None], p["tail"]])
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def stretched(p: Point) -> Array:
    """A quadratic with condition number 1e6, turned so that no axis is an eigenvector."""
    n = p["x"].size
    basis, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(n, n)))
    z = jnp.asarray(basis, p["x"].dtype) @ (p["x"] - 1)
    return jnp.sum(jnp.geomspace(1e-3, 1e3, n).astype(z.dtype) * z**2) / 2


@cache
def rows() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 8)) * np.geomspace(0.2, 5, 8)
    return x, np.where(rng.random(200) < 1 / (1 + np.exp(-x @ rng.normal(size=8) / 3)), 1.0, -1.0)


def logistic(p: Point) -> Array:
    x, y = (jnp.asarray(a, p["w"].dtype) for a in rows())
    return jnp.sum(jax.nn.softplus(-y * (x @ p["w"] + p["c"]))) + jnp.sum(p["w"] ** 2) / 2


@cache
def logistic_by_scipy() -> tuple[Any, float]:
    x, y = rows()

    def f(v: Any) -> Any:
        return np.logaddexp(0, -y * (x @ v[1:] + v[0])).sum() + (v[1:] ** 2).sum() / 2

    best = minimize(f, np.zeros(9), method="BFGS", options={"gtol": 1e-8, "maxiter": 5000})
    return best.x, float(best.fun)


@pytest.mark.parametrize("form", FORMS)
def test_rosenbrock_in_ten_dimensions(form: str, dtype: str) -> None:
    start = {"head": jnp.asarray(-1.2, dtype), "tail": jnp.tile(jnp.asarray([1.0, -1.2], dtype), 5)[:9]}
    tol = 1e-7 if dtype == "float64" else 1e-3
    s = solve(rosenbrock, start, form, 2000, tol=tol)
    assert s.reason == "tolerance"
    assert s.gradient <= tol
    # The function has a second minimum near (-1, 1, ..., 1), with a value near 4.
    assert s.value < 1e-6 or s.value == pytest.approx(3.9866, abs=1e-3)
    assert s.steps < (60 if form.startswith("newton") else 1000)
    assert s.point["tail"].dtype == dtype


@pytest.mark.parametrize("form", FORMS)
def test_an_ill_conditioned_quadratic(form: str) -> None:
    jax.config.update("jax_enable_x64", True)
    s = solve(stretched, {"x": jnp.zeros(12)}, form, 20000, tol=1e-8)
    assert s.reason == "tolerance"
    np.testing.assert_allclose(s.point["x"], 1.0, atol=1e-4)
    if form == "newton, armijo, cholesky":
        assert s.steps < 3


@pytest.mark.parametrize("form", FORMS)
def test_logistic_regression_against_scipy(form: str, dtype: str) -> None:
    start = {"w": jnp.zeros(8, dtype), "c": jnp.zeros((), dtype)}
    # In float32 the value is known to 1e-5, with curvatures up to 1000: a line search to a small slope cannot see below 0.05, and
    # whether it comes to 0.02 depends on how the machine adds up.
    tol = 1e-7 if dtype == "float64" else 6e-2 if form.startswith("cg") else 1e-3
    s = solve(logistic, start, form, tol=tol)
    assert s.reason == "tolerance"
    best, value = logistic_by_scipy()
    # No curvature is less than 1, that of the ridge; SciPy's gradients are differences.
    near = min(3 * tol, 0.06) + 1e-5
    np.testing.assert_allclose(s.point["w"], best[1:], atol=near)
    np.testing.assert_allclose(s.point["c"], best[0], atol=near)
    assert s.value == pytest.approx(value, rel=1e-10 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_reached_ends_as_stalled(form: str, dtype: str) -> None:
    start = {"head": jnp.asarray(0.5, dtype), "tail": jnp.asarray([0.5, 0.4], dtype)}
    s = solve(lambda p: 1e3 + rosenbrock(p), start, form, 3000, tol=1e-30)
    assert s.reason in ("stalled", "tolerance")
    assert s.steps < 1000
    assert s.value == pytest.approx(1e3, rel=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_unbounded_below_is_no_success(form: str) -> None:
    jax.config.update("jax_enable_x64", True)
    s = solve(lambda p: p["x"] ** 3, {"x": jnp.asarray(1.0)}, form, 200, tol=1e-12)
    assert s.reason != "tolerance" or abs(float(s.point["x"])) < 1e-5


@pytest.mark.parametrize("form", [f for f in FORMS if f.startswith("newton")])
def test_newton_leaves_a_ridge(form: str, dtype: str) -> None:
    """Where the Hessian is indefinite and the gradient all but vanishes, steps still go down."""

    def f(p: Point) -> Array:
        return p["x"] ** 4 / 4 - p["x"] ** 2 / 2 + p["y"] ** 2

    s = solve(f, {"x": jnp.asarray(1e-3, dtype), "y": jnp.asarray(0.5, dtype)}, form, tol=1e-5)
    assert s.reason == "tolerance"
    np.testing.assert_allclose(jnp.abs(s.point["x"]), 1.0, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_turns_with_another_stage_reach_the_joint_optimum(form: str) -> None:
    """Alternating minimisation of a coupled quadratic: the memory survives what the other stage does."""
    jax.config.update("jax_enable_x64", True)
    name, keywords = FORMS[form]
    made = method(name, keywords)
    other = jnp.asarray(0.0)

    def of(other: Array) -> Problem:
        return problem(lambda p: jnp.sum((p["x"] - 1) ** 2) + p["x"][0] * p["x"][1] / 2 + (other + p["x"][0]) ** 2)

    state = made.init(of(other), {"x": jnp.zeros(2)})
    turn = jax.jit(lambda state, other: made.turn(of(other), state, state.point))
    for _ in range(80):
        state = turn(state, other)
        other = 0.5 * (other - state.point["x"][0])
    # The joint optimum: other = -x0, and the gradient of the rest vanishes.
    x0 = (2 - 0.5 * 1.0) / (2 - 0.5**2 / 2)
    np.testing.assert_allclose(state.point["x"], [x0, 1 - x0 / 4], atol=1e-5)


def test_methods_ask_for_what_they_use() -> None:
    assert needs("lbfgs", {}) == ("gradient",)
    dense, cg, auto = (keyword("newton", "linear", w) for w in ("cholesky", "cg", "auto"))
    search = {**keyword("newton", "search", "armijo"), **keyword("newton", "hessian", "auto")}
    assert needs("newton", {**search, **dense}) == ("gradient", "hessian")
    assert needs("newton", {**search, **cg}) == ("gradient", "hvp")
    assert needs("newton", {**search, **auto}) == ("gradient", "hessian", "hvp")
    assert needs("newton", {**search, **auto}, 10) == ("gradient", "hessian")
    assert needs("newton", {**search, **auto}, 10**5) == ("gradient", "hvp")


def test_many_unknowns_need_no_matrix() -> None:
    jax.config.update("jax_enable_x64", True)
    scale = jnp.linspace(1.0, 100.0, 5000)

    def f(p: Point) -> Array:
        return jnp.sum(scale * (p["x"] - 1) ** 2) / 2 + jnp.sum(p["x"] ** 4) / 4

    vg = jax.value_and_grad(f)
    no_matrix = Problem(f, vg, hvp=lambda x, v: jax.jvp(jax.grad(f), (x,), (v,))[1])
    start = {"x": jnp.zeros(5000)}
    s = Minimizer(lambda _: no_matrix, method("newton", {}), (), start).run((), start)
    assert s.reason == "tolerance"
    assert s.steps < 20


# --- the models ------------------------------------------------------------------------------------------------------


def symmetric(rng: np.random.Generator, n: int, kind: int) -> Any:
    basis, _ = np.linalg.qr(rng.normal(size=(n, n)))
    values = rng.normal(size=n) * 10.0 ** rng.integers(-2, 3, size=n)
    if kind == 1:
        values = np.abs(values) + 1e-3
    return basis, values


@example(1686, 2, 2, -1.125)
@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 2), st.floats(-3, 3))
def test_a_minimiser_within_a_ball_is_one(seed: int, n: int, kind: int, power: float) -> None:
    """Inside of the ball, and no worse than where projected gradients lead from many starts; kind 2 is the hard case."""
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(seed)
    basis, values = symmetric(rng, n, kind)
    slope = rng.normal(size=n)
    if kind == 2:
        slope[np.argmin(values)] = 0.0
    h, g, radius = basis @ np.diag(values) @ basis.T, basis @ slope, 10.0**power
    p = np.asarray(within_ball(spectrum(jnp.asarray(h), jnp.asarray(g)), jnp.asarray(radius)))
    assert np.linalg.norm(p) <= radius * (1 + 1e-6)

    def model(q: Any) -> Any:
        return g @ q + q @ h @ q / 2

    # (H + m) p = -g with m >= 0, m only at the boundary, and H + m without a negative eigenvalue: sufficient.
    hp = h @ p + g
    m = max(0.0, -(p @ hp) / (p @ p)) if p @ p > 0 else 0.0
    scale = np.abs(values).max() * np.linalg.norm(p) + np.linalg.norm(g)
    np.testing.assert_allclose(hp, -m * p, atol=1e-5 * scale)
    assert values.min() + m >= -1e-5 * np.abs(values).max()
    assert m <= 1e-6 * np.abs(values).max() or np.linalg.norm(p) >= radius * (1 - 1e-5)
    trials = rng.normal(size=(200, n))
    trials *= radius * rng.random((200, 1)) / np.linalg.norm(trials, axis=1, keepdims=True)
    best = min(model(q) for q in trials)
    assert model(p) <= best + 1e-8 * (abs(best) + scale * radius)


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_conjugate_gradients_solve_and_stay_inside(seed: int, n: int) -> None:
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, n))
    h, g = jnp.asarray(a @ a.T + np.eye(n)), jnp.asarray(rng.normal(size=n))
    free = truncated(lambda v: h @ v, g, jnp.asarray(1e-10), 10 * n, jnp.asarray(jnp.inf))
    np.testing.assert_allclose(free, -np.linalg.solve(h, g), rtol=1e-6, atol=1e-8)
    radius = 0.5 * float(jnp.linalg.norm(free))
    short = truncated(lambda v: h @ v, g, jnp.asarray(1e-10), 10 * n, jnp.asarray(radius))
    assert float(jnp.linalg.norm(short)) == pytest.approx(radius, rel=1e-9)
    cauchy = float(g @ g / (g @ h @ g))
    steepest = -g * min(cauchy, radius / float(jnp.linalg.norm(g)))
    assert g @ short + short @ h @ short / 2 <= g @ steepest + steepest @ h @ steepest / 2 + 1e-12


def test_negative_curvature_leads_to_the_boundary() -> None:
    jax.config.update("jax_enable_x64", True)
    h, g = jnp.diag(jnp.asarray([1.0, -2.0])), jnp.asarray([1.0, 0.5])
    p = truncated(lambda v: h @ v, g, jnp.asarray(1e-10), 10, jnp.asarray(3.0))
    assert float(jnp.linalg.norm(p)) == pytest.approx(3.0)
    steepest = -3 * g / jnp.linalg.norm(g)
    assert g @ p + p @ h @ p / 2 < g @ steepest + steepest @ h @ steepest / 2
    free = truncated(lambda v: -v, g, jnp.asarray(1e-10), 10, jnp.asarray(jnp.inf))
    np.testing.assert_allclose(free, -g)


@settings(max_examples=examples(30), deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 9))
def test_limited_memory_directions_are_those_of_the_matrix(seed: int, n: int, pairs: int) -> None:
    """The two loops against BFGS updates of the scaled unit matrix by the pairs that are kept (Nocedal and Wright, 7.19)."""
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(seed)
    made = Lbfgs(tol=0.0, memory=4)
    a = rng.normal(size=(n, n))
    curvature = jnp.asarray(a @ a.T + np.eye(n))
    memory = made.remember(jnp.zeros(n))
    kept = []
    for _ in range(pairs):
        s, g = jnp.asarray(rng.normal(size=n)), jnp.asarray(rng.normal(size=n))
        memory = made.learn(memory, jnp.asarray(0.5), 2 * s, g, g + curvature @ s)
        kept.append((np.asarray(s), np.asarray(curvature @ s)))
    s, y = kept[-1]
    h = np.eye(n) * (s @ y) / (y @ y)
    for s, y in kept[-4:]:
        left = np.eye(n) - np.outer(s, y) / (s @ y)
        h = left @ h @ left.T + np.outer(s, s) / (s @ y)
    g = rng.normal(size=n)
    p, length = made.direction(memory, jnp.asarray(g))
    np.testing.assert_allclose(p, -h @ g, rtol=1e-6, atol=1e-8)
    assert float(length) == 1.0
    # Negative curvature is not learnt.
    same = made.learn(memory, jnp.asarray(1.0), jnp.asarray(g), jnp.asarray(g), jnp.asarray(0.5 * g))
    for old, new in zip(memory, same, strict=True):
        np.testing.assert_array_equal(old, new)


def test_bfgs_finds_the_inverse_of_a_quadratic() -> None:
    """With exact line searches n steps are enough (Nocedal and Wright, theorem 6.4)."""
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(1)
    a = rng.normal(size=(5, 5))
    h = jnp.asarray(a @ a.T + np.eye(5))
    made = Bfgs(tol=0.0)
    x = jnp.asarray(rng.normal(size=5))
    memory = made.remember(x)
    for _ in range(5):
        p, _ = made.direction(memory, h @ x)
        length = -(p @ (h @ x)) / (p @ h @ p)
        memory = made.learn(memory, length, p, h @ x, h @ (x + length * p))
        x = x + length * p
    np.testing.assert_allclose(x, 0.0, atol=1e-8)
    np.testing.assert_allclose(memory[0] @ h, np.eye(5), atol=1e-6)
