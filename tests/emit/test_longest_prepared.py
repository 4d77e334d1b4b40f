"""Pairs within many short rows have the rows last, in what is prepared and in what reads it; values stay what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from benchmarks.kernels.kernel import SPECS
from tests.support.traced import equations
from vspec.compiler import pipeline

ROWS = """\
vspec: 1
name: rows
precision: float64
dims: {n: 96, e: 4, f: 4, i: 3}
data:
  R[n, e, i]: real
params:
  reach: {init: 1}
functions:
  far(x[:], y[:]): sqrt(1 + sum[i]((x[i] - y[i])**2))
  pairs(r[:, :]): sum[e, f](exp(-reach*far(r[e, :], r[f, :])) if index(e) < index(f) else 0)
define:
  push[n, e, i]: d(pairs(R[n, :, :]), R[n, e, i])
  strength[n]: sum[e, i](push[n, e, i]**2)
objectives:
  loss: sum[n](strength[n])
outputs:
  strength[n]: strength[n]
  curved: d(loss, reach, reach)
solve: {minimize: loss, method: newton}
"""


@pytest.fixture(scope="module", params=["once", "in either order"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The program whose pairs are taken once, and the one that takes them in either order."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "rows.yaml").write_text(ROWS, encoding="utf-8")
    left_out = () if request.param == "once" else ("halve",)
    with jax.enable_x64(True):
        built = pipeline.build(folder / "rows.yaml", folder / "out", stablehlo=False, disable=left_out)
        yield vspec.load(built.directory)


def known() -> dict[str, Any]:
    """Values for all names."""
    rng = np.random.default_rng(5)
    return {"R": jnp.asarray(rng.normal(size=(96, 4, 3))), "reach": jnp.asarray(0.7)}


def sizes(reach: Any, R: Any) -> Any:
    """As it is written."""

    def pairs(r: Any) -> Any:
        first, second = np.triu_indices(4, 1)
        return jnp.sum(jnp.exp(-reach * jnp.sqrt(1 + jnp.sum((r[first] - r[second]) ** 2, -1))))

    return jnp.sum(jax.vmap(jax.grad(pairs))(R) ** 2, (1, 2))


def loss(reach: Any, R: Any) -> Any:
    return jnp.sum(sizes(reach, R))


def arguments(program: Any, entry: str, values: dict[str, Any] | None = None) -> list[Any]:
    """What an entry takes, with what is prepared."""
    values = values or known()
    values |= program.prepare(*(values[a.name] for a in program.entries["prepare"].arguments))
    return [values[a.name] for a in program.entries[entry].arguments]


def test_values_and_derivatives_are_those_of_jax(program: Any) -> None:
    values = known()
    given = values["reach"], values["R"]
    outputs = program.outputs(*arguments(program, "outputs"))
    np.testing.assert_allclose(outputs["strength"], sizes(*given), rtol=1e-10)
    np.testing.assert_allclose(outputs["curved"], jax.jit(jax.hessian(loss))(*given), rtol=1e-9)
    value, gradient = program.loss_value_and_gradient(*arguments(program, "loss_value_and_gradient"))
    np.testing.assert_allclose(value, loss(*given), rtol=1e-10)
    np.testing.assert_allclose(gradient, jax.jit(jax.grad(loss))(*given), rtol=1e-9)


@pytest.mark.parametrize("entry", ["outputs", "loss_value_and_gradient"])
def test_rows_are_last_wherever_pairs_are(program: Any, entry: str) -> None:
    given = arguments(program, entry)
    pairs = (4, 4, 96) if "halve" in program.manifest["options"]["disabled"] else (6, 96)
    prepared = [x.shape for a, x in zip(program.entries[entry].arguments, given, strict=True) if a.role == "prepared"]
    assert pairs in prepared
    assert not [s for s in prepared if s[:1] == (96,) and len(s) > 1]
    jaxpr = jax.make_jaxpr(getattr(program, entry))(*given).jaxpr
    shapes = {tuple(v.aval.shape) for e in equations(jaxpr) for v in e.outvars}
    assert pairs in shapes
    assert not [s for s in shapes if s[:1] == (96,) and len(s) > 2]


def test_products_along_rows_are_no_products_of_matrices(program: Any) -> None:
    jaxpr = jax.make_jaxpr(program.outputs)(*arguments(program, "outputs")).jaxpr
    products = [e for e in equations(jaxpr) if e.primitive.name == "dot_general"]
    assert not [e for e in products if e.params["dimension_numbers"][1][0]]


def test_points_are_last_in_arrays_over_pairs_and_few_coordinates(tmp_path: Path) -> None:
    """The Hessian of a Gaussian process' evidence, which is compared with JAX's by the suite."""
    with jax.enable_x64(True):
        built = pipeline.build(SPECS / "gp.yaml", tmp_path / "out", stablehlo=False, overrides={"n": 64, "i": 3})
        program = vspec.load(built.directory)
        rng = np.random.default_rng(3)
        values = {"X": jnp.asarray(rng.normal(size=(64, 3))), "y": jnp.asarray(rng.normal(size=64))}
        values |= {"scale": jnp.ones(3), "amplitude": jnp.asarray(1.0), "noise": jnp.asarray(0.5)}
        given = arguments(program, "evidence_hessian", values)
        jaxpr = jax.make_jaxpr(program.evidence_hessian)(*given).jaxpr
    made = {v.aval.shape for e in equations(jaxpr) if e.primitive.name in ("mul", "sub", "exp") for v in e.outvars}
    assert (64, 3, 64) in made
    assert (64, 64, 3) not in made
