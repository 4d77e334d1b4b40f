"""Kronecker products plus a multiple of the unit matrix: values, slopes and curvatures against JAX's AD of the dense form, also
where eigenvalues are equal, and what is computed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

TEXT = """\
precision: float64
dims: {p, q: N, c: 2, i, j: 3, k, l: 4, m, o: 2}
data:
  y[p, c]: real
params:
  s: {init: 1}
  e: {init: 1}
  x[i]: {init: 1}
define:
  A[i, j]: exp(-((x[i] - x[j])/s)**2/2)
  B[k, l]: 2*exp(-abs(index(k) - index(l))/exp(e))
  C[m, o]: 1 + s*delta[m, o]
  K[p, q]: MATRIX
  loss: sum[p, c](y[p, c]*solve(K[:, :], y[:, c]WAY)[p]) + logdet(K[:, :]WAY)
outputs:
  loss: loss
  slope_s: d(loss, s)
  slope_e: d(loss, e)
  slope_x[i]: d(loss, x[i])
  curve_s: d(loss, s, s)
  curve_e: d(loss, e, e)
  curve_x[i, j]: d(loss, x[i], x[j])
  mixed[i]: d(loss, s, x[i])
  V[p, q]: inv(K[:, :]WAY)[p, q]
"""
TWO = "A[index(p)//4, index(q)//4]*B[index(p) % 4, index(q) % 4]"
THREE = "A[index(p)//8, index(q)//8]*B[(index(p)//2) % 4, (index(q)//2) % 4]*C[index(p) % 2, index(q) % 2]"
MATRICES = {
    "two factors": (TWO + " + exp(e)*delta[p, q]", 12),
    "in front": ("exp(s)*" + TWO + " + (e**2 + 1/4)*delta[p, q] + delta[p, q]/8", 12),
    "three factors": (THREE + "/2 + exp(e)/3*delta[p, q]", 24),
    "less": ("s*delta[p, q]*3 - " + TWO, 12),
}
# With all x alike A has an eigenvalue 0 of multiplicity 2.
POINTS = {"apart": np.array([0.1, 0.9, 2.0]), "alike": np.array([0.5, 0.5, 0.5]), "even": np.array([-1.0, 0.0, 1.0])}


def text(name: str, way: str = "") -> str:
    matrix, n = MATRICES[name]
    return TEXT.replace("MATRIX", matrix).replace("N,", f"{n},").replace("WAY", way)


def values(n: int, x: np.ndarray) -> dict[str, Any]:
    return {"y": np.random.default_rng(3).normal(size=(n, 2)), "s": np.array(1.3), "e": np.array(-0.4), "x": x}


def dense(name: str, y: np.ndarray) -> Any:
    """The loss and the matrix, said a second time in JAX."""

    def matrix(s: Any, e: Any, x: Any) -> Any:
        A = jnp.exp(-(((x[:, None] - x) / s) ** 2) / 2)
        k = np.arange(4)
        B = 2 * jnp.exp(-abs(k[:, None] - k) / jnp.exp(e))
        two = jnp.kron(A, B)
        one = jnp.eye(len(y))
        return {
            "two factors": lambda: two + jnp.exp(e) * one,
            "in front": lambda: jnp.exp(s) * two + (e**2 + 3 / 8) * one,
            "three factors": lambda: jnp.kron(two, 1 + s * jnp.eye(2)) / 2 + jnp.exp(e) / 3 * one,
            "less": lambda: 3 * s * one - two,
        }[name]()

    def loss(s: Any, e: Any, x: Any) -> Any:
        K = matrix(s, e, x)
        return jnp.sum(y * jnp.linalg.solve(K, y)) + jnp.linalg.slogdet(K)[1]

    return loss, matrix


@pytest.mark.parametrize("name", MATRICES)
def test_value_slope_and_curvature_are_those_of_the_dense_form(name: str) -> None:
    n = MATRICES[name][1]
    with tempfile.TemporaryDirectory() as folder:
        program = Emission(good(text(name, ", by=kronecker_shift")), 2, Path(folder) / "program.py")
    outputs = jax.jit(lambda given: program.call("outputs", given))
    found = program.compiled.graph
    assert {c.because for c in choices_of(found) if c.chosen == "kronecker_shift"} == {"asked for"}
    assert not [n for n in found.nodes if n.kind is Kind.LINALG]
    loss, matrix = dense(name, values(n, POINTS["apart"])["y"])

    @jax.jit
    def reference(*at: Any) -> dict[str, Any]:
        return {
            "loss": loss(*at),
            "V": jnp.linalg.inv(matrix(*at)),
            **{f"slope_{v}": jax.grad(loss, k)(*at) for k, v in enumerate("sex")},
            **{f"curve_{v}": jax.hessian(loss, k)(*at) for k, v in enumerate("sex")},
            "mixed": jax.jacobian(jax.grad(loss), 2)(*at),
        }

    for given in (values(n, x) for x in POINTS.values()):
        got = outputs(given)
        for key, value in reference(given["s"], given["e"], given["x"]).items():
            np.testing.assert_allclose(got[key], value, rtol=1e-8, atol=1e-8, err_msg=key)


def test_levels_agree() -> None:
    spec = good(text("two factors", ", by=kronecker_shift"))
    given = values(12, POINTS["apart"])
    wanted = evaluate_graph(compile_spec(good(text("two factors", ", by=lu")), level=0).graph, given)["outputs"]
    for level in (0, 2):
        for key, value in evaluate_graph(compile_spec(spec, level=level).graph, given)["outputs"].items():
            np.testing.assert_allclose(value, wanted[key], rtol=1e-8, atol=1e-9, err_msg=str(key))


LARGE = """\
precision: float64
dims: {p, q: 3600, i, j: 60}
data:
  y[p]: real
params:
  s: {init: 1, domain: positive}
define:
  A[i, j]: exp(-((index(i) - index(j))/20/s)**2/2)
  K[p, q]: A[index(p)//60, index(q)//60]*A[index(p) % 60, index(q) % 60] + SHIFT
  loss: sum[p](y[p]*solve(K[:, :], y[:])[p]) + logdet(K[:, :])
outputs:
  loss: loss
  slope: d(loss, s)
  curve: d(loss, s, s)
"""


def test_nothing_of_the_size_of_the_matrix_is_made() -> None:
    """Chosen by its cost, in the derivatives, too: 60 rows for each factor, 3600 for the whole."""
    graph = compile_spec(good(LARGE.replace("SHIFT", "s*delta[p, q]"))).graph
    rows = [c for c in choices_of(graph) if c.kind == "matrix"]
    assert {(c.chosen, c.because) for c in rows} == {("kronecker_shift", "least cost")}
    sizes = Sizes.of(graph)
    assert max(sizes.count(n.axes) for n in graph.nodes) <= 3600


@pytest.mark.parametrize("shift", ["index(p)*delta[p, q]", "exp(-(index(p) - index(q))**2)", "s"])
def test_other_sums_are_solved_in_another_way(shift: str) -> None:
    graph = compile_spec(good(LARGE.replace("SHIFT", shift))).graph
    assert "kronecker_shift" not in {c.chosen for c in choices_of(graph)}


@pytest.mark.parametrize(
    "matrix",
    [
        "A[index(p)//4, index(q)//4]*x[index(p)//4]*B[index(p) % 4, index(q) % 4] + s*delta[p, q]",  # not symmetric
        TWO,  # nothing added
        TWO + " + x[index(p)//4]*delta[p, q]",  # no multiple
        "A[index(p)//4, index(q)//4] + B[index(p) % 4, index(q) % 4] + s*delta[p, q]",  # no product
    ],
)
def test_what_does_not_suit_is_refused(matrix: str) -> None:
    for level in (0, 2):
        with pytest.raises(SpecError) as caught:
            compile_spec(
                good(TEXT.replace("MATRIX", matrix).replace("N,", "12,").replace("WAY", ", by=kronecker_shift")),
                level=level,
            )
        (found,) = caught.value.diagnostics
        assert found.code == "VS0271"
        assert "not shown that this matrix is kronecker_shift" in found.message


BATCH = """\
precision: float64
dims: {p, q: 12, b: 3, c: 2, i, j: 3, k, l: 4}
data:
  y[b, p, c]: real
params:
  n[b]: {init: 1}
  x[b, i]: {init: 1}
define:
  A[b, i, j]: exp(-(x[b, i] - x[b, j])**2)
  B[k, l]: exp(-abs(index(k) - index(l)))
  K[b, p, q]: A[b, index(p)//4, index(q)//4]*B[index(p) % 4, index(q) % 4] + n[b]**2*delta[p, q]
  loss: sum[b, p, c](y[b, p, c]*solve(K[b, :, :], y[b, :, c]WAY)[p]) + sum[b](logdet(K[b, :, :]WAY))
outputs:
  loss: loss
  by_n[b]: d(loss, n[b])
  by_x[b, i]: d(loss, x[b, i])
"""


def test_batches_and_columns() -> None:
    """Factors, multiples and right sides that differ along an index."""
    rng = np.random.default_rng(4)
    given = {"y": rng.normal(size=(3, 12, 2)), "n": np.array([0.5, 1.0, 2.0]), "x": rng.normal(size=(3, 3))}
    wanted = evaluate_graph(compile_spec(good(BATCH.replace("WAY", ", by=lu"))).graph, given)["outputs"]
    with tempfile.TemporaryDirectory() as folder:
        program = Emission(good(BATCH.replace("WAY", ", by=kronecker_shift")), 2, Path(folder) / "program.py")
    found = jax.jit(lambda values: program.call("outputs", values))(given)
    for (key,), value in wanted.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-8, atol=1e-9, err_msg=str(key))
