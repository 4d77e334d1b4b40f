"""Methods on whole specs: what a method gets of a program, in the coordinates it moves in, and where it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from vspec.runtime.problem import problem
from vspec.runtime.space import Space

MIXED = """\
vspec: 1
name: mixed
precision: float64
dims: {n: 9, i: 3}
constants: {lam: 0.1}
data:
  X[n, i]: {draw: "normal(0, 1)", seed: 1}
  y[n]: {draw: "normal(0, 1)", seed: 2}
params:
  w[i]: {init: 0.1}
  s[i]: {init: 1, domain: positive}
  z: {init: 1 + 1j, type: complex}
objectives:
  loss: >-
    sum[n](log(1 + exp(-y[n]*sum[i](X[n, i]*s[i]*w[i])))) + lam*sum[i](w[i]**2) + sum[i](s[i]**2 - log(s[i]))
    + abs(z - 1 - 2j)**2 + re(z)**4*w[0]**2
solve: {minimize: loss, method: "METHOD"}
"""


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


def compiled(tmp_path: Path, text: str, method: str) -> Any:
    path = tmp_path / "mixed.yaml"
    path.write_text(text.replace("METHOD", method))
    return vspec.compile(path)


def test_products_in_the_coordinates_of_a_space(tmp_path: Path) -> None:
    """The Hessian of the objective as a function of the point, curved coordinates and complex params included."""
    program = compiled(tmp_path, MIXED, "newton(linear=cg)")
    bound = program.bind()
    space = Space.of(program.manifest["params"], program.manifest["params"])
    made = problem(program.derivatives("loss"), space, -1.0, {}, bound)
    rng = np.random.default_rng(0)
    start = space.inward(program.initial_params(bound))
    point = {k: x + jnp.asarray(0.3 * rng.normal(size=x.shape)) for k, x in start.items()}
    vector = {k: jnp.asarray(rng.normal(size=x.shape)) for k, x in start.items()}
    wanted = jax.jvp(jax.grad(made.value), (point,), (vector,))[1]
    found = made.hvp(point, vector)
    assert set(found) == set(wanted) == {"w", "s", "z.re", "z.im"}
    for k in wanted:
        np.testing.assert_allclose(found[k], wanted[k], rtol=1e-9, atol=1e-9)


METHODS = (
    "newton",
    "newton(linear=cg)",
    "newton(search=trust_region)",
    "newton(search=trust_region(radius=0.1), linear=cg(rtol=1e-4))",
    "lbfgs(tol=1e-8)",
    "bfgs(tol=1e-8)",
    "nonlinear_cg(tol=1e-8, beta=dai_yuan)",
)


@pytest.mark.parametrize("method", METHODS)
def test_they_agree(method: str, tmp_path: Path) -> None:
    program = compiled(tmp_path, MIXED, method)
    result = vspec.run(program)
    assert result.stages[0].reason == "tolerance"
    assert np.asarray(result.params["z"]) == pytest.approx(1 + 2j, abs=0.5)
    best = BEST.setdefault("value", result.stages[0].value)
    assert result.stages[0].value == pytest.approx(best, rel=1e-12)


BEST: dict[str, Any] = {}


def test_a_program_has_what_its_method_asks_for(tmp_path: Path) -> None:
    def entries(method: str, text: str = MIXED) -> set[str]:
        return {k.removeprefix("loss_") for k in compiled(tmp_path, text, method).manifest["plan"][0]["entries"]}

    assert {"hessian", "newton"} <= entries("newton")
    assert "hvp" not in entries("newton")
    assert "hvp" in entries("newton(linear=cg)")
    assert not {"hessian", "newton"} & entries("newton(linear=cg)")
    open_size = MIXED.replace("i: 3", "i: auto")
    assert {"hvp", "hessian"} <= entries("newton", open_size)
