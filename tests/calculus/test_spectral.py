"""Eigenvalues, singular values and the matrix exponential against JAX's derivatives, from the spec down to the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vspec
from tests.support.effort import examples

HEAD = """vspec: 1
name: spectral
precision: float64
dims:
  i, j, k, l: {n}
  r: {rows}
  b: 2
data:
  start[r, i]: real
  batch[b, i, j]: real
  weight[i, k]: real
params:
  A[r, i]: {{init: "start[r, i]"}}
  S[b, i, j]: {{init: "batch[b, i, j]"}}
  p: {{init: 0.3}}
"""


def even(a: Any) -> Any:
    return (a + jnp.swapaxes(a, -1, -2)) / 2


def svd(a: Any) -> Any:
    return jnp.linalg.svd(a, full_matrices=False)


# Functions of the vectors that do not depend on their signs: weighted squares of their entries.
CASES = {
    "eigenvalues": (
        "sum[b, k](sin(eigvalsh(S[b, :, :])[k])*(1 + index(k)))",
        lambda A, S, w: jnp.sum(jnp.sin(jnp.linalg.eigh(even(S))[0]) * (1 + jnp.arange(S.shape[-1]))),
    ),
    "eigenvectors": (
        "sum[b, i, k](weight[i, k]*eigh(S[b, :, :])[i, k]**2)",
        lambda A, S, w: jnp.sum(w * jnp.linalg.eigh(even(S))[1] ** 2),
    ),
    "singular values": (
        "sum[k](sin(svdvals(A[:, :])[k])*(1 + index(k)))",
        lambda A, S, w: jnp.sum(jnp.sin(svd(A)[1]) * (1 + jnp.arange(A.shape[1]))),
    ),
    "left vectors": (
        "sum[r, k](cos(index(r) + 2*index(k))*svd_left(A[:, :])[r, k]**2)",
        lambda A, S, w: jnp.sum(jnp.cos(jnp.arange(A.shape[0])[:, None] + 2 * jnp.arange(A.shape[1])) * svd(A)[0] ** 2),
    ),
    "right vectors": (
        "sum[j, k](weight[j, k]*svd_right(A[:, :])[j, k]**2)",
        lambda A, S, w: jnp.sum(w * svd(A)[2].T ** 2),
    ),
    "low-rank part": (
        "sum[r, j](cos(index(r) - index(j))*svd_left(A[:, :])[r, 0]*svdvals(A[:, :])[0]*svd_right(A[:, :])[j, 0])",
        lambda A, S, w: jnp.sum(
            jnp.cos(jnp.arange(A.shape[0])[:, None] - jnp.arange(A.shape[1]))
            * svd(A)[0][:, :1]
            * svd(A)[1][0]
            * svd(A)[2][:1]
        ),
    ),
    "exponential": (
        "sum[b, i, k](weight[i, k]*expm(S[b, :, :])[i, k])",
        lambda A, S, w: jnp.sum(w * jax.vmap(jsl.expm)(S)),
    ),
}


def check(tmp_path: Path, name: str, n: int, rows: int, seed: int) -> None:
    formula, theirs = CASES[name]
    wrt = "A" if "A[" in formula else "S"
    one, other = ("r, i", "s, j") if wrt == "A" else ("b, i, j", "c, k, l")
    text = HEAD.format(n=n, rows=rows).replace("  r: ", "  r, s: ").replace("  b: ", "  b, c: ")
    text += f"define:\n  f: {formula}\noutputs:\n  value: f\n  slope[{one}]: d(f, {wrt}[{one}])\n"
    text += f"  curve[{one}, {other}]: d(f, {wrt}[{one}], {wrt}[{other}])\n"
    path = tmp_path / "spectral.yaml"
    path.write_text(text, encoding="utf-8")
    generator = np.random.default_rng(seed)
    A, S, w = generator.normal(size=(rows, n)), generator.normal(size=(2, n, n)), generator.normal(size=(n, n))
    outputs = vspec.run(path, data={"start": A, "batch": S, "weight": w}).outputs
    place = 0 if wrt == "A" else 1
    with jax.enable_x64(True):
        at = (jnp.asarray(A), jnp.asarray(S), jnp.asarray(w))
        value, slope = jax.value_and_grad(theirs, place)(*at)
        curve = jax.hessian(theirs, place)(*at)
    scale = 1 + float(np.max(np.abs(curve)))
    np.testing.assert_allclose(outputs["value"], value, rtol=1e-10)
    np.testing.assert_allclose(outputs["slope"], slope, rtol=1e-8, atol=1e-9 * scale)
    np.testing.assert_allclose(outputs["curve"], curve, rtol=1e-7, atol=1e-8 * scale)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("n", "rows"), [(3, 3), (2, 4)])
def test_value_gradient_and_hessian(tmp_path: Path, name: str, n: int, rows: int) -> None:
    check(tmp_path, name, n, rows, seed=n)


@settings(max_examples=examples(6), deadline=None)
@given(name=st.sampled_from(sorted(CASES)), n=st.integers(1, 3), more=st.integers(0, 2), seed=st.integers(0, 9))
def test_at_random(tmp_path_factory: pytest.TempPathFactory, name: str, n: int, more: int, seed: int) -> None:
    check(tmp_path_factory.mktemp("spectral"), name, n, n + more, seed)


FORWARD = """vspec: 1
name: forward
precision: float64
dims:
  i, j, k, m: 3
  r: 4
params:
  p: {init: 0.3}
define:
  M[i, j]: sin(index(i) + 2*index(j) + p) + 2*delta[i, j]
  T[r, i]: cos(index(r)*index(i) + p) + delta[r, i]
outputs:
  values[k]: d(eigvalsh(M[:, :])[k], p)
  projector[i, j]: d(sum[k](eigh(M[:, :])[i, k]*eigh(M[:, :])[j, k]*eigvalsh(M[:, :])[k]**2), p)
  singular[k]: d(svdvals(T[:, :])[k], p)
  polar[r, j]: d(sum[k](svd_left(T[:, :])[r, k]*svd_right(T[:, :])[j, k]), p)
  flow[i, j]: d(expm(M[:, :])[i, j], p)
  curvature[i, j]: d(expm(M[:, :])[i, j], p, p)
"""


def test_forward(tmp_path: Path) -> None:
    path = tmp_path / "forward.yaml"
    path.write_text(FORWARD, encoding="utf-8")
    outputs = vspec.run(path).outputs
    with jax.enable_x64(True):
        i, r = jnp.arange(3.0), jnp.arange(4.0)

        def square(p: Any) -> Any:
            return jnp.sin(i[:, None] + 2 * i + p) + 2 * jnp.eye(3)

        def tall(p: Any) -> Any:
            return jnp.cos(r[:, None] * i + p) + jnp.eye(4, 3)

        def polar(p: Any) -> Any:
            u, _, v = svd(tall(p))
            return u @ v

        expected = {
            "values": jax.jacobian(lambda p: jnp.linalg.eigh(even(square(p)))[0])(0.3),
            "projector": jax.jacobian(lambda p: even(square(p)) @ even(square(p)))(0.3),
            "singular": jax.jacobian(lambda p: svd(tall(p))[1])(0.3),
            "polar": jax.jacobian(polar)(0.3),
            "flow": jax.jacobian(lambda p: jsl.expm(square(p)))(0.3),
            "curvature": jax.jacfwd(jax.jacfwd(lambda p: jsl.expm(square(p))))(0.3),
        }
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-9, atol=1e-10, err_msg=name)


DEGENERATE = """vspec: 1
name: degenerate
precision: float64
dims:
  i, j, k: 3
params:
  A[i, j]: {init: "2*delta[i, j]"}
outputs:
  trace_of_log[i, j]: d(sum[k](log(eigvalsh(A[:, :])[k])), A[i, j])
  largest: max[k](eigvalsh(A[:, :])[k])
  nuclear[i, j]: d(sum[k](svdvals(A[:, :])[k]), A[i, j])
  vectors[i, j]: d(sum[k](eigh(A[:, :])[0, k]**2), A[i, j])
"""


def test_equal_eigenvalues(tmp_path: Path) -> None:
    path = tmp_path / "degenerate.yaml"
    path.write_text(DEGENERATE, encoding="utf-8")
    outputs = vspec.run(path).outputs
    np.testing.assert_allclose(outputs["trace_of_log"], np.eye(3) / 2, atol=1e-12)
    np.testing.assert_allclose(outputs["nuclear"], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(outputs["vectors"], 0, atol=1e-12)


def program(text: str) -> str:
    from vspec.compiler.pipeline import check_text, compile_spec

    spec, found = check_text(text, "spectral.yaml")
    assert spec is not None, found
    return compile_spec(spec).emitted.text


def test_one_factorisation_serves_values_and_vectors() -> None:
    text = program(FORWARD)
    assert text.count("jnp.linalg.eigh(") == 1
    assert text.count("jnp.linalg.svd(") == 1
    assert "eigenvalues, eigenvectors = jnp.linalg.eigh(" in text


def test_values_alone_need_no_vectors() -> None:
    text = program(
        FORWARD.split("outputs:")[0] + "outputs:\n  v[k]: eigvalsh(M[:, :])[k]\n  s[k]: svdvals(T[:, :])[k]\n"
    )
    assert "jnp.linalg.eigvalsh(" in text
    assert "jnp.linalg.svdvals(" in text
    assert "jnp.linalg.svd(" not in text


def test_many_right_sides_share_one_factorisation() -> None:
    text = program(
        FORWARD.split("outputs:")[0]
        + "outputs:\n  x[i, j]: solve(M[:, :], M[:, j])[i]\n  L[i, j]: triangular_solve(M[:, :], M[:, j])[i]\n"
    )
    assert "jnp.linalg.solve(M, M)" in text
    assert "solve_triangular(M, M, lower=True)" in text
