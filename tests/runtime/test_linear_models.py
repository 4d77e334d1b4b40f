"""Levenberg-Marquardt by products with the Jacobian: against the way by triangles, and without any matrix."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import vspec
from tests.runtime.test_least_squares import Point, decays, problem, solve, wide
from vspec.runtime.methods.linear_models import angle, minimised, products, slope
from vspec.runtime.registry import METHODS, chosen

# Judges how methods end (see conftest.py).
COMPILE_QUICKLY = False


def linear(name: str, **arguments: Any) -> dict[str, Any]:
    """The value of `linear`."""
    keyword = next(k for k in METHODS["levenberg_marquardt"].keywords if k.name == "linear")
    return chosen(keyword, name, arguments)


def test_fits_are_those_by_triangles() -> None:
    wide()
    x = np.linspace(0, 4, 30)
    y = 3 * np.exp(-1.3 * x) + 0.5 + 0.05 * np.random.default_rng(0).normal(size=30)
    start = {"p": jnp.asarray([1.0, 1.0, 0.0])}
    found = {}
    for name in ("qr", "cg"):
        s = solve(lambda p: decays(x, y, p["p"], jnp), start, "levenberg_marquardt", linear=linear(name))
        assert s.reason == "tolerance"
        found[name] = s
    np.testing.assert_allclose(found["cg"].point["p"], found["qr"].point["p"], rtol=1e-6)
    assert found["cg"].value == pytest.approx(float(found["qr"].value), rel=1e-12)


def test_residuals_that_vanish() -> None:
    jax.config.update("jax_enable_x64", False)
    start = {"x": jnp.asarray(-1.2), "y": jnp.asarray(1.0)}
    s = solve(
        lambda p: jnp.stack([10 * (p["y"] - p["x"] ** 2), 1 - p["x"]]),
        start,
        "levenberg_marquardt",
        linear=linear("cg"),
        tol=1e-5,
    )
    assert s.reason == "tolerance"
    assert s.point["x"].dtype == "float32"
    np.testing.assert_allclose([s.point["x"], s.point["y"]], 1.0, atol=1e-3)


def test_a_damped_model_is_minimised() -> None:
    wide()
    rng = np.random.default_rng(2)
    a, r = rng.normal(size=(40, 15)), rng.normal(size=40)
    size = jnp.asarray(0.0)
    s = minimised(jnp.asarray(r), lambda v: a @ v, lambda u: a.T @ u, jnp.asarray(0.3), jnp.asarray(1e-12), 100, size)
    wanted = np.linalg.solve(a.T @ a + 0.3 * np.eye(15), -a.T @ r)
    np.testing.assert_allclose(s.p, wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(s.along, a @ wanted, rtol=1e-9, atol=1e-12)
    largest = np.linalg.svd(a)[1][0]
    assert 0.5 * largest < float(s.size) <= largest * (1 + 1e-12)
    assert int(s.k) <= 20


def test_nothing_of_unknowns_times_residuals_is_made() -> None:
    wide()

    def residuals(p: Point) -> Array:
        return p["x"] ** 2 + jnp.roll(p["x"], 1) - jnp.arange(1777.0)

    text = jax.jit(lambda p: slope(problem(residuals), p, None)).lower({"x": jnp.ones(1777)}).compile().as_text()
    assert "f64[1777]" in text
    assert "1777,1777" not in text


def test_the_angle_is_relative_to_what_the_jacobian_does() -> None:
    wide()
    a = jnp.asarray(np.random.default_rng(3).normal(size=(9, 4)))
    of = problem(lambda p: a @ p["x"] - 1)
    _, _, model = slope(of, {"x": jnp.zeros(4)}, None)
    r, push, pull = products(of, {"x": jnp.zeros(4)})
    g = pull(r)
    np.testing.assert_allclose(g, a.T @ r, rtol=1e-12)
    size = jnp.linalg.norm(push(g)) / jnp.linalg.norm(g)
    assert float(angle(model)) == pytest.approx(float(jnp.linalg.norm(g) / (size * jnp.linalg.norm(r))))


SPEC = """\
vspec: 1
name: blurred
doc: Many unknowns behind a picture of their squares and neighbours.
precision: float64
dims: {i: 1200}
params:
  x[i]: {init: 1}
define:
  seen[i]: sin(index(i)/40) + 2
objectives:
  misfit: sum[i](((x[i]**2 + x[(index(i) + 1) % size(i)])/2 - seen[i])**2) + 1e-2*sum[i](x[i]**2)
solve: {minimize: misfit, method: levenberg_marquardt}
outputs:
  steepest: max[i](abs(d(misfit, x[i])))
"""


def test_a_spec_with_many_unknowns_counts_iterations() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blurred.yaml"
        path.write_text(SPEC)
        result = vspec.run(vspec.compile(path))
    (stage,) = result.stages
    assert stage.reason == "tolerance"
    assert stage.cg is not None
    assert stage.cg > stage.steps
    assert float(result.outputs["steepest"]) < 1e-5
