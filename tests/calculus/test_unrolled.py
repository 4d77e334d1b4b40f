"""Derivatives through the steps of a search: at a solution they are those of the implicit function theorem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.calculus.test_implicit import solved

SEARCHES = {
    "root": "root[x[i]](x[i]**3 + x[i] + sum[j](w[i, j]*x[j]) - c[i], start=0.3, method=newton(tol=1e-14){})",
    "fixed_point": "fixed_point[x[i]](0.4*tanh(sum[j](w[i, j]*x[j])) + c[i], method=picard(tol=1e-15), steps=60{})",
    "argmin": "argmin[x[i]](sum[i](x[i]**4/4 + x[i]**2 - c[i]*x[i]) + sum[i, j](w[i, j]*x[i]*x[j])/4, start=0.3, "
    "method=newton(tol=1e-14){})",
    # Begun where the Hessian is indefinite, so that a multiple of the identity is added to it.
    "argmin of a double well": "argmin[x[i]](sum[i]((x[i]**2 - 1)**2/4 - 0.2*c[i]*x[i]), start=0.1, method=newton(tol=1e-14){})",
}
TEXT = """
dims: {i, j: 3}
data:
  c[i]: real
  w[i, j]: real
define:
  y[i]: >-
    SEARCH
outputs:
  y[i]: y[i]
  slope[i]: d(sum[j](y[j]**2), c[i])
  weights[i, j]: d(sum[j](y[j]**2), w[i, j])
"""


@pytest.mark.parametrize("name", SEARCHES)
def test_derivatives_through_the_steps_are_those_of_the_solution(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(2)
    w = 0.2 * rng.normal(size=(3, 3))
    values = {"c": rng.uniform(0.3, 1.0, size=3), "w": w + w.T}
    found = [
        solved(TEXT.replace("SEARCH", SEARCHES[name].format(how)), values, tmp_path)
        for how in (", gradient=implicit", ", gradient=unrolled")
    ]
    for key in ("y", "slope", "weights"):
        np.testing.assert_allclose(found[1][key], found[0][key], rtol=1e-8, atol=1e-9, err_msg=key)
    assert np.all(np.abs(found[0]["slope"]) > 1e-3)


def test_a_search_that_meets_its_root_exactly_has_a_derivative(tmp_path: Path) -> None:
    """The first problem starts at its root, which has no steps to go through; the second ends where rounding leaves nothing."""
    text = """
dims: {i, j: 2}
data:
  c[i]: real
  start[i]: real
define:
  r[i]: root[y](y**2 - c[i], start=start[i], gradient=unrolled)
outputs:
  r[i]: r[i]
  slope[i]: d(sum[j](r[j]), c[i])
"""
    found = solved(text, {"c": np.array([1.0, 1.0]), "start": np.array([1.0, 3.0])}, tmp_path)
    np.testing.assert_array_equal(found["r"], [1, 1])
    np.testing.assert_allclose(found["slope"], [0, 0.5], rtol=1e-12)
