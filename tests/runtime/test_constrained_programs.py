"""Stages under constraints and in domains, from specs: what they reach, what they report, what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vspec
from vspec.runtime.errors import NumericsError

COMPILE_QUICKLY = True  # see conftest.py

HEAD = "vspec: 1\nname: kept\nprecision: float64\n"

NEAREST = (
    HEAD
    + """dims:
  i: 4
data:
  to[i]: {value: [2, 0.5, -1, 0.25]}
params:
  x[i]: {init: 0.25}
objectives:
  far: sum[i]((x[i] - to[i])**2)
constraints:
  total: sum[i](x[i]) == 1
  ends[i]: 0 <= x[i] <= 0.6
solve: {minimize: far}
outputs:
  x[i]: x[i]
"""
)


def solve(tmp_path: Path, text: str, **options: Any) -> Any:
    path = tmp_path / "kept.yaml"
    path.write_text(text, encoding="utf-8")
    return vspec.run(path, **options)


@pytest.mark.parametrize(
    "how",
    [
        "",
        ", method: newton(tol=1e-10), constraints: augmented_lagrangian(tol=1e-9)",
        ", method: lbfgs(tol=1e-9), constraints: augmented_lagrangian(tol=1e-9)",
        ", method: projected_gradient(tol=1e-10)",
        ", method: sgd(0.2), steps: 200",
    ],
)
def test_every_strategy_finds_the_nearest_point(tmp_path: Path, how: str) -> None:
    found = solve(tmp_path, NEAREST.replace("minimize: far", f"minimize: far{how}"))
    # The shifted entries that stay inside: 0.6, then 0.5 and 0.25 less 0.175 each.
    np.testing.assert_allclose(found.params["x"], [0.6, 0.325, 0, 0.075], atol=1e-6)
    (stage,) = found.stages
    assert stage.violation < 1e-6
    assert stage.stationarity < 1e-5
    assert float(stage.multipliers["total"]) == pytest.approx(0.35, abs=1e-4)
    assert np.shape(stage.multipliers["ends"]) == (4,)


def test_constraints_that_contradict_each_other(tmp_path: Path) -> None:
    text = HEAD + "params:\n  w: {init: 1}\nobjectives:\n  loss: w**2\nconstraints:\n  least: w >= 2\n  most: w <= 1\n"
    with pytest.raises(NumericsError, match="is missed by") as caught:
        solve(tmp_path, text + "solve: {minimize: loss}\n")
    assert caught.value.code == "VS0610"
    assert caught.value.line in (9, 10)


def test_a_constraint_that_is_no_number_at_the_start(tmp_path: Path) -> None:
    text = HEAD + "params:\n  w: {init: 1}\nobjectives:\n  loss: w**2\nconstraints:\n  c: log(w - 1) == 0\n"
    with pytest.raises(NumericsError, match="'c'") as caught:
        solve(tmp_path, text + "solve: {minimize: loss}\n")
    assert caught.value.code == "VS0611"


MATRIX = """dims:
  i, j: 3
  k, l: 2
data:
  A[i, j]: {value: [[2, 1, 0], [1, 3, 1], [0, 1, 1]]}
"""


@pytest.mark.parametrize("how", ["", ", method: newton", ", method: projected_gradient(tol=1e-8)"])
def test_unit_vectors(tmp_path: Path, how: str) -> None:
    text = HEAD + MATRIX + "params:\n  x[i]: {init: 1/sqrt(3), domain: 'unit[i]'}\n"
    text += "objectives:\n  f: sum[i, j](x[i]*A[i, j]*x[j])\n"
    found = solve(tmp_path, text + f"solve: {{minimize: f{how}}}\noutputs:\n  f: f\n")
    least = np.linalg.eigvalsh(np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 1]]))[0]
    assert float(found.outputs["f"]) == pytest.approx(least, abs=1e-6)


def test_matrices(tmp_path: Path) -> None:
    text = HEAD + MATRIX + "params:\n  S[i, j]: {init: 'delta[i, j]', domain: psd}\n"
    text += "objectives:\n  f: sum[i, j]((S[i, j] - A[i, j] + 2*delta[i, j])**2)\n"
    found = solve(tmp_path, text + "solve: {minimize: f, method: lbfgs(tol=1e-9), steps: 2000}\noutputs:\n  f: f\n")
    shifted = np.array([[0.0, 1, 0], [1, 1, 1], [0, 1, -1]])
    values, vectors = np.linalg.eigh(shifted)
    np.testing.assert_allclose(found.params["S"], (vectors * np.maximum(values, 0)) @ vectors.T, atol=1e-4)


def test_orthonormal_columns(tmp_path: Path) -> None:
    text = HEAD + MATRIX + "params:\n  Q[i, k]: {init: 'delta[i, k]', domain: orthogonal}\n"
    text += "objectives:\n  f: sum[i, j, k](Q[i, k]*A[i, j]*Q[j, k])\n"
    found = solve(tmp_path, text + "solve: {maximize: f}\noutputs:\n  f: f\n")
    values = np.linalg.eigvalsh(np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 1]]))
    assert float(found.outputs["f"]) == pytest.approx(values[1] + values[2], abs=1e-6)


def test_a_stage_minds_its_own_constraints(tmp_path: Path) -> None:
    text = HEAD + "params:\n  x: {init: 0}\n  y: {init: 5}\nobjectives:\n  loss: (x - 1)**2 + (y - 1)**2\n"
    text += "constraints:\n  far: y >= 4\n"
    found = solve(tmp_path, text + "solve: {minimize: loss, over: x}\n")
    assert float(found.params["x"]) == pytest.approx(1)
    assert float(found.params["y"]) == 5
    assert found.stages[0].multipliers == {}
