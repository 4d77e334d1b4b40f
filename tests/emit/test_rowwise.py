"""Which prepared arrays are made row by row: what the manifest says, and that it is so."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from vspec.runtime.program import Program

SPEC = """\
vspec: 1
name: rows
dims: {n: auto, m: 4, i: 3, j: 3}
data:
  X[n, i]: real
  k[n]: integer
  T[m, i]: real
constants: {lam: 2.0}
params:
  w[i]: {init: 1.0}
define:
  z[%s]: %s
objectives:
  loss: sum[%s](%s)
solve: {minimize: loss, method: lbfgs}
"""


def compiled(tmp_path: Path, left: str, body: str) -> tuple[Program, dict[str, Any]]:
    path = tmp_path / "rows.yaml"
    term = f"exp(z[{left}]*w[0])"
    path.write_text(SPEC % (left, body, left, term))
    folder = vspec.build(path, tmp_path / "build", stablehlo=False).directory
    made = json.loads((folder / "manifest.json").read_text())["entries"]["prepare"]["results"]
    return vspec.load(folder), {r["name"]: r for r in made}


@pytest.mark.parametrize(
    ("left", "body", "of"),
    [
        ("n, i", "sin(X[n, i]) + lam", ["X"]),
        ("n", "X[n, 0]*X[n, 1] - k[n]", ["X", "k"]),
        ("n, i", "tanh(T[k[n], i])*X[n, i]", ["T", "X", "k"]),
        ("n, m", "exp(X[n, 0]*T[m, 0])", ["T", "X"]),
        ("n, i", "sqrt(abs(X[n, i])) if k[n] > 1 else lam", ["X", "k"]),
        ("n, i", "exp(X[n, i] - max[m, j](T[m, j]))", ["T", "X"]),
    ],
)
def test_what_is_made_row_by_row(tmp_path: Path, left: str, body: str, of: list[str]) -> None:
    program, made = compiled(tmp_path, left, body)
    assert made
    rows = {name: r for name, r in made.items() if "n" in r["axes"]}
    assert rows
    rng = np.random.default_rng(0)
    X, k, T = rng.normal(size=(9, 3)).astype(np.float32), np.arange(9) % 4, rng.normal(size=(4, 3)).astype(np.float32)
    whole = program.bind({"X": X, "k": k, "T": T}).prepared
    some = np.array([7, 0, 3, 2])
    part = program.bind({"X": X[some], "k": k[some], "T": T}).prepared
    for name, r in rows.items():
        assert "n" in r["rows"]
        assert set(r["of"]) <= set(of)
        np.testing.assert_array_equal(part[name], jnp.take(whole[name], some, axis=r["axes"].index("n")))
    assert set(of) - {"T"} <= {d for r in rows.values() for d in r["of"]}


@pytest.mark.parametrize(
    ("left", "body"),
    [
        ("n, i", "exp(X[n, i] - mean[n](X[n, i]))"),
        ("n, i", "sin(X[n, i])*index(n)"),
        ("n, i", "sin(X[n, i])/size(n)"),
        ("n, i", "sin(X[n, i])*X[n, i]*sum[n](k[n])"),
        ("n, i", "sin(X[n, i]) + cumsum[n](X[n, i])"),
        ("n, i", "exp(X[n, i] + X[0, i])"),
        ("n, i", "exp(sum[j](X[n, j]**2)*X[n, i])"),
        ("n, i", "exp(X[k[n], i])"),
    ],
)
def test_what_is_not_made_row_by_row(tmp_path: Path, left: str, body: str) -> None:
    _, made = compiled(tmp_path, left, body)
    assert made
    of_x = [r for r in made.values() if "X" in r["of"]]
    assert of_x
    assert any("n" not in r["rows"] for r in of_x), of_x


def test_what_is_made_of_no_data(tmp_path: Path) -> None:
    _, made = compiled(tmp_path, "m, i", "sin(T[m, i])")
    assert [(r["of"], r["rows"]) for r in made.values()] == [(["T"], r["rows"]) for r in made.values()]
    assert all(set(r["rows"]) == {"m", "i"} for r in made.values())
