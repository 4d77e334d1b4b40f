"""Methods against known optima, at both precisions, and what they say when they cannot get there."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.flatten_util import ravel_pytree

from tests.support.minimizer import Minimizer, Solution
from vspec.runtime.curvature import descent
from vspec.runtime.errors import ArtifactError
from vspec.runtime.methods import METHODS, Problem, method
from vspec.runtime.registry import METHODS as SIGNATURES
from vspec.runtime.registry import defaults
from vspec.runtime.space import Space

Point = dict[str, Array]


def problem(f: Callable[[Point], Array]) -> Problem:
    vg = jax.value_and_grad(f)
    blocks = {(name,): lambda x: x for name in ("x", "y", "a", "b")}
    return Problem(
        f,
        vg,
        lambda x: (*vg(x), jax.hessian(f)(x)),
        hvp=lambda x, v: jax.jvp(jax.grad(f), (x,), (v,))[1],
        # Of f squared, for what is said where f is not finite.
        squares=lambda x: (f(x) ** 2, f(x)[None], ravel_pytree(jax.grad(f)(x))[0][None]),
        residuals=lambda x: f(x)[None],
        smooth=vg,
        prox=lambda x, _: x,
        blocks=blocks,
    )


def solve(f: Callable[[Point], Array], start: Point, name: str, limit: int | None = None, **keywords) -> Solution:
    return Minimizer(lambda _: problem(f), method(name, keywords), (), start, limit).run((), start)


def rosenbrock(p: Point) -> Array:
    x, y = p["x"], p["y"]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def quadratic(p: Point) -> Array:
    scale = jnp.array([1.0, 10.0, 100.0], p["a"].dtype)
    return jnp.sum(scale * (p["a"] - 3) ** 2) / 2 + jnp.sum((p["b"] + 1) ** 2) + 5


@pytest.fixture(params=["float32", "float64"])
def dtype(request) -> str:
    jax.config.update("jax_enable_x64", request.param == "float64")
    return request.param


def test_the_registry_and_the_methods_agree() -> None:
    assert set(METHODS) == set(SIGNATURES)
    for name, signature in SIGNATURES.items():
        assert method(name, {}) == method(name, defaults(signature))
        with pytest.raises(TypeError):
            METHODS[name]()  # defaults stand in the registry alone


def test_unknown_methods() -> None:
    for call in (lambda: method("newtn", {}), lambda: method("newton", {"lr": 1})):
        with pytest.raises(ArtifactError) as caught:
            call()
        assert caught.value.code == "VS0807"


@pytest.mark.parametrize("name", ["newton", "lbfgs", "bfgs", "nonlinear_cg"])
def test_rosenbrock(name: str, dtype: str) -> None:
    start = {"x": jnp.asarray(-1.2, dtype), "y": jnp.asarray(1.0, dtype)}
    tol = 1e-8 if dtype == "float64" else 1e-4
    s = solve(rosenbrock, start, name, tol=tol)
    assert s.reason == "tolerance"
    assert s.gradient <= tol
    assert s.point["x"].dtype == dtype
    np.testing.assert_allclose([s.point["x"], s.point["y"]], 1.0, atol=1e-6 if dtype == "float64" else 1e-3)
    assert s.steps < (30 if name == "newton" else 100)


@pytest.mark.parametrize(
    ("name", "keywords", "limit"),
    [
        ("sgd", {"lr": 0.015}, 2000),
        ("adam", {"lr": 0.05}, 2000),
        ("lbfgs", {}, None),
        ("newton", {}, None),
    ],
)
def test_a_quadratic(name: str, keywords: dict, limit: int | None, dtype: str) -> None:
    start = {"a": jnp.zeros(3, dtype), "b": jnp.zeros((2, 2), dtype)}
    s = solve(quadratic, start, name, limit, tol=1e-3, **keywords)
    assert s.reason == "tolerance"
    assert s.value == pytest.approx(5.0, abs=1e-5)
    np.testing.assert_allclose(s.point["a"], 3.0, atol=2e-3)
    np.testing.assert_allclose(s.point["b"], -1.0, atol=2e-3)
    if name == "newton":
        assert s.steps == 1


def test_gradient_descent_is_what_it_says() -> None:
    s = solve(lambda p: jnp.sum(p["x"] ** 2), {"x": jnp.array([1.0])}, "sgd", 3, lr=0.1)
    np.testing.assert_allclose(s.point["x"], 0.8**3, rtol=1e-6)
    assert (s.reason, s.steps) == ("steps", 3)


def test_no_steps_at_all() -> None:
    s = solve(lambda p: jnp.sum(p["x"] ** 2), {"x": jnp.array([1.0])}, "adam", 0)
    assert (s.reason, s.steps, s.value) == ("steps", 0, 1.0)


def test_newton_leaves_a_saddle_and_descends(dtype: str) -> None:
    s = solve(
        lambda p: jnp.sum(p["x"] ** 4 / 4 - p["x"] ** 2 / 2), {"x": jnp.asarray([0.1, -0.2], dtype)}, "newton", tol=1e-5
    )
    assert s.reason == "tolerance"
    np.testing.assert_allclose(np.abs(s.point["x"]), 1.0, atol=1e-4)


def test_newton_near_rounding(dtype: str) -> None:
    """A large constant hides the decrease of the value; the gradient is still driven to zero."""

    def f(p: Point) -> Array:
        return 1e6 + jnp.sum(jnp.cosh(p["x"] - 0.3))

    s = solve(f, {"x": jnp.zeros(2, dtype)}, "newton", tol=1e-6)
    assert s.reason == "tolerance"
    np.testing.assert_allclose(s.point["x"], 0.3, atol=1e-6)


@pytest.mark.parametrize("name", ["newton", "lbfgs", "bfgs", "nonlinear_cg"])
def test_a_tolerance_below_rounding_ends_as_stalled(name: str) -> None:
    def f(p: Point) -> Array:
        return jnp.sum(jnp.log(jnp.cosh(1e3 * (p["x"] - jnp.pi)) + 0.1) + jnp.sin(p["x"]) ** 2)

    s = solve(f, {"x": jnp.asarray([3.1415, 3.1416], jnp.float32)}, name, tol=1e-30)
    assert s.reason in ("stalled", "tolerance")
    assert s.steps < 100


def test_steps_that_leave_the_domain_are_shortened() -> None:
    """The line searches take NaN for a step that was too long."""
    for name in ("newton", "lbfgs"):
        s = solve(lambda p: jnp.sum(p["x"] - jnp.log(p["x"])), {"x": jnp.array([5.0])}, name, tol=1e-4)
        assert s.reason == "tolerance"
        np.testing.assert_allclose(s.point["x"], 1.0, atol=1e-3)


def test_divergence_keeps_the_last_finite_point() -> None:
    s = solve(lambda p: jnp.sum(p["x"] ** 4), {"x": jnp.array([2.0])}, "sgd", lr=1.0)
    assert s.reason == "diverged"
    assert 0 < s.steps < 10
    assert np.isfinite(s.value)
    assert np.isfinite(s.point["x"]).all()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_nan_at_the_start(name: str) -> None:
    s = solve(lambda p: jnp.sum(jnp.log(p["x"])), {"x": jnp.array([-1.0])}, name)
    assert (s.reason, s.steps) == ("diverged", 0)


def test_directions_descend() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        a = rng.normal(size=(4, 4))
        g = jnp.asarray(rng.normal(size=4))
        p = descent(jnp.asarray(a + a.T), g)
        assert float(g @ p) < 0
    hessian = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(descent(hessian, jnp.array([1.0, 2.0])), -np.linalg.solve(hessian, [1, 2]), rtol=1e-5)


def test_the_chain_rule_of_positive_params() -> None:
    jax.config.update("jax_enable_x64", True)
    space = Space.of({"a": {"domain": "positive"}, "b": {"domain": "real"}}, ["a", "b"])
    params = {"a": jnp.array([[0.5, 2.0]]), "b": jnp.array([1.0, -1.0, 0.3])}

    def f(p: Point) -> Array:
        return jnp.sum(jnp.sin(p["a"]) * p["a"]) * jnp.sum(p["b"] ** 3) + jnp.sum(p["a"]) ** 2

    point = space.inward(params)
    gradient = space.gradient(point, jax.grad(f)(params))
    hessian = space.hessian(point, jax.grad(f)(params), jax.hessian(f)(params))
    g = jax.grad(lambda u: f(space.outward(u)))(point)
    h = jax.hessian(lambda u: f(space.outward(u)))(point)
    for p in params:
        np.testing.assert_allclose(gradient[p], g[p], rtol=1e-12)
        for q in params:
            np.testing.assert_allclose(hessian[p][q], h[p][q], rtol=1e-12, atol=1e-12)


def test_reports_come_after_each_chunk() -> None:
    start = {"x": jnp.array([1.0])}
    m = Minimizer(lambda _: problem(lambda p: jnp.sum(p["x"] ** 2)), method("adam", {}), (), start, 35)
    seen: list[int] = []
    m.run((), start, lambda steps, value, gradient: seen.append(steps))
    assert seen == [0, 10, 20, 30, 35]
