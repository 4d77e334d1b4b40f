"""Complex data and params through a whole run: binding, methods, results, artifacts, JAX's conventions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vspec.compiler import pipeline
from vspec.runtime import DataError, Program, load
from vspec.runtime.run import run

COMPILE_QUICKLY = True  # see conftest.py

SPEC = """\
vspec: 1
name: phases
precision: PRECISION
dims:
  n, m: auto
constants:
  weight: 0.5
data:
  a[n]: complex
  b[n]: {type: complex, value: [1 + 2j, 3, -0.5j]}
params:
  z[n]: {init: 1, type: complex}
  c: {init: 1j, type: complex}
  r: {init: 1, domain: positive}
objectives:
  loss: >-
    sum[n](abs(z[n] - a[n])**2 + weight*abs(z[n])**4) + abs(c - 2*z[0])**2 + (r - abs(b[1]))**2
    + 0.1*abs(z[0]*z[1])**2
solve:
  minimize: loss
  method: METHOD
outputs:
  slope[n]: 2*conj(d(loss, z[n]))
  total: sum[n](z[n])
claims:
  stationary: max[n](abs(d(loss, z[n]))) < TOLERANCE
  same: {identity: 'd(abs(z[n])**4, z[n]) == 2*abs(z[n])**2*conj(z[n])', tolerance: 1e-3}
"""

A = np.array([0.5 + 1j, -1.2 - 0.3j, 2j])


def program(folder: Path, method: str = "lbfgs(tol=1e-7)", precision: str = "float64", **options: Any) -> Program:
    text = SPEC.replace("METHOD", method).replace("PRECISION", precision)
    text = text.replace("TOLERANCE", "1e-4" if precision == "float64" else "1e-2")
    path = folder / "phases.yaml"
    path.write_text(text)
    built = pipeline.build(path, folder / "build", **{"stablehlo": False, **options})
    return load(built.directory)


METHODS = (
    "sgd(lr=0.05, tol=1e-6)",
    "adam(lr=0.05, tol=1e-5)",
    "lbfgs(tol=1e-7)",
    "newton(tol=1e-9)",
)


@pytest.mark.parametrize("method", METHODS)
def test_methods_move_both_parts(tmp_path: Path, method: str) -> None:
    """All methods end where one method of SciPy ends that sees the real unknowns only."""
    from scipy.optimize import minimize

    def loss(u: Any) -> Any:
        z, c, r = u[:3] + 1j * u[3:6], u[6] + 1j * u[7], u[8]
        value = np.sum(np.abs(z - A) ** 2 + 0.5 * np.abs(z) ** 4) + np.abs(c - 2 * z[0]) ** 2 + (r - 3) ** 2
        return value + 0.1 * np.abs(z[0] * z[1]) ** 2

    peer = minimize(loss, np.array([1, 1, 1, 0, 0, 0, 0, 1, 1.0]), tol=1e-12).x
    result = run(program(tmp_path, method), data={"a": A}, out=tmp_path / "results")
    assert result.holds
    assert result.params["z"].dtype == np.complex128
    np.testing.assert_allclose(result.params["z"], peer[:3] + 1j * peer[3:6], atol=2e-4)
    np.testing.assert_allclose(result.params["c"], peer[6] + 1j * peer[7], atol=1e-3)
    np.testing.assert_allclose(result.params["r"], peer[8], atol=2e-3)
    np.testing.assert_allclose(result.outputs["slope"], 0, atol=1e-4)


def test_results_hold_complex_numbers(tmp_path: Path) -> None:
    result = run(program(tmp_path), data={"a": A}, out=tmp_path / "results")
    assert result.out is not None
    with np.load(result.out / "params.npz") as saved:
        np.testing.assert_array_equal(saved["z"], result.params["z"])
    total = complex(result.outputs["total"])
    assert json.loads((result.out / "outputs.json").read_text())["total"] == [total.real, total.imag]


def test_float32_is_complex64(tmp_path: Path) -> None:
    jax.config.update("jax_enable_x64", False)
    result = run(program(tmp_path, "lbfgs(tol=1e-3)", "float32"), data={"a": A})
    assert result.params["z"].dtype == np.complex64
    assert result.holds


def test_the_gradient_points_uphill_and_jax_gets_its_own_convention(tmp_path: Path) -> None:
    p = program(tmp_path)
    bound = p.bind({"a": A})
    params = {"z": jnp.asarray(A * (0.3 - 1j)), "c": jnp.asarray(0.4 - 2j), "r": jnp.asarray(1.5)}
    ours = p.derivatives("loss").gradient(params, bound)

    def plain(params: Any) -> Any:
        return p.call("loss", params, bound)

    # The emitted objective itself, differentiated by JAX, and the function that carries our gradient.
    for f in (plain, lambda params: p.objective("loss")(params, bound)):
        theirs = jax.grad(f)(params)
        for name, g in ours.items():
            np.testing.assert_allclose(np.conj(theirs[name]), g, rtol=1e-9, atol=1e-9, err_msg=name)
    downhill = {k: v - 1e-4 * ours[k] for k, v in params.items()}
    assert plain(downhill) < plain(params)


def test_the_hessian_is_that_of_both_parts(tmp_path: Path) -> None:
    p = program(tmp_path, "newton")
    bound = p.bind({"a": A})
    z, c = A * (0.3 - 1j), np.asarray(0.4 - 2j)
    _, _, hessian = p.derivatives("loss").newton(
        {"z": jnp.asarray(z), "c": jnp.asarray(c), "r": jnp.asarray(1.5)}, bound
    )
    parts = {"z.re": z.real, "z.im": z.imag, "c.re": c.real, "c.im": c.imag, "r": np.asarray(1.5)}
    assert set(hessian) == set(parts)

    def loss(v: Any) -> Any:
        params = {"z": v["z.re"] + 1j * v["z.im"], "c": v["c.re"] + 1j * v["c.im"], "r": v["r"]}
        return p.call("loss", params, bound)

    theirs = jax.hessian(loss)({k: jnp.asarray(v) for k, v in parts.items()})
    for a in parts:
        for b in parts:
            np.testing.assert_allclose(hessian[a][b], theirs[a][b], rtol=1e-9, atol=1e-9, err_msg=f"{a} {b}")


def test_artifacts_take_and_give_complex_arrays(tmp_path: Path) -> None:
    p = program(tmp_path, stablehlo=True)
    bound = p.bind({"a": A})
    params = p.initial_params(bound)
    exported = p.exported("loss_gradient")
    arguments = [
        {"param": params, "data": bound.data, "constant": bound.constants, "prepared": bound.prepared}[a.role][a.name]
        for a in p.entry("loss_gradient").arguments
    ]
    theirs = p.call("loss_gradient", params, bound)
    for name, value in exported.call(*arguments).items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-12)
        assert value.dtype == theirs[name].dtype


def test_data_come_from_files_and_literals(tmp_path: Path) -> None:
    p = program(tmp_path)
    np.save(tmp_path / "a.npy", A)
    np.savez(tmp_path / "a.npz", a=A.astype(np.complex64), other=A)
    (tmp_path / "a.csv").write_text("k,a\n1,0.5 + 1j\n2,-1.2-0.3j\n3,2j\n")
    (tmp_path / "bare.csv").write_text("0.5+1j\n-1.2-0.3j\n2j\n")
    for source in (A, A.tolist(), *(str(tmp_path / f) for f in ("a.npy", "a.npz", "a.csv", "bare.csv"))):
        bound = p.bind({"a": source})
        assert bound.data["a"].dtype == jnp.complex128
        np.testing.assert_allclose(bound.data["a"], A, rtol=1e-6)
    np.testing.assert_array_equal(bound.data["b"], [1 + 2j, 3, -0.5j])
    # Reals are complex numbers, too.
    np.testing.assert_array_equal(p.bind({"a": [1, 2, 3]}).data["a"], [1, 2, 3])


@pytest.mark.parametrize(
    ("code", "value"), [("VS0508", [1, complex(0, np.inf), 2]), ("VS0507", ["x", "y", "z"]), ("VS0505", [[1j]])]
)
def test_data_that_do_not_fit(tmp_path: Path, code: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        program(tmp_path).bind({"a": value})
    assert caught.value.code == code


def test_complex_data_for_a_real_declaration(scales: Program, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        scales.bind({"X": np.ones(40) * 1j})
    assert caught.value.code == "VS0507"
    assert "real numbers" in str(caught.value)
    (tmp_path / "X.csv").write_text("X\n" + "1\n" * 39 + "2j\n")
    with pytest.raises(DataError) as caught:
        scales.bind({"X": str(tmp_path / "X.csv")})
    assert caught.value.code == "VS0507"


def test_artifacts_of_block_matrices_have_open_sizes(tmp_path: Path) -> None:
    """The dim of a real matrix of twice the size is the compiler's own; an artifact follows the data's size all the same."""
    path = tmp_path / "blocks.yaml"
    path.write_text(
        "vspec: 1\nname: blocks\nprecision: float64\ndims:\n  n, m: auto\ndata:\n  A[n, m]: complex\n"
        "params:\n  z[n]: {init: 1, type: complex}\nobjectives:\n  loss: sum[n](abs(solve(A[:, :], z[:])[n])**2)\n"
        "solve: {minimize: loss}\n"
    )
    p = load(pipeline.build(path, tmp_path / "build").directory)
    exported = p.exported("loss_gradient")
    for size in (2, 5):
        rng = np.random.default_rng(size)
        A = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
        bound = p.bind({"A": A})
        z = jnp.asarray(rng.normal(size=size) + 1j)
        places = {"param": {"z": z}, "data": bound.data, "prepared": bound.prepared}
        value = exported.call(*(places[a.role][a.name] for a in p.entry("loss_gradient").arguments))
        inverse = np.linalg.inv(A)
        np.testing.assert_allclose(value, 2 * inverse.conj().T @ inverse @ z, rtol=1e-8, atol=1e-8)
