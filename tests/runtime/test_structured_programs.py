"""Programs whose methods go by the form of the objective, from spec to solution, against independent computations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from vspec.compiler import pipeline
from vspec.runtime.errors import NumericsError
from vspec.runtime.program import Program, load
from vspec.runtime.run import run

COMPILE_QUICKLY = True  # see conftest.py

LASSO = """\
vspec: 1
name: lasso
precision: float64
dims: {n: auto, i: auto}
constants: {lam: 40.0}
data:
  X[n, i]: {type: real, source: "sklearn:diabetes", column: data}
  y[n]: {type: real, source: "sklearn:diabetes", column: target}
params:
  w[i]: {init: 0}
  c: {init: 0}
objectives:
  loss: sum[n]((y[n] - sum[i](X[n, i]*w[i]) - c)**2)/2 + lam*sum[i](abs(w[i]))
solve: {minimize: loss, method: "METHOD"}
"""

SINKHORN = """\
vspec: 1
name: sinkhorn
precision: float64
dims: {i: 12, j: 9}
constants: {eta: 300.0}
data:
  C[i, j]: {draw: "uniform(0, 1)", seed: 0}
params:
  x[i]: {init: 0}
  y[j]: {init: 0}
define:
  P[i, j]: exp(eta*(x[i] + y[j] - C[i, j]) - 1)
objectives:
  dual: sum[i](x[i])/size(i) + sum[j](y[j])/size(j) - sum[i, j](P[i, j])/eta
solve: {maximize: dual, method: "block_coordinate([x], [y])", steps: 40}
outputs:
  P[i, j]: P[i, j]
"""


def built(text: str, folder: Path) -> Program:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return load(pipeline.build(path, folder / "build", stablehlo=False).directory)


def solved(text: str, folder: Path, **options: Any) -> Any:
    return run(built(text, folder), out=folder / "results", **options)


@pytest.mark.parametrize("method", ["block_coordinate([w], [c], tol=1e-12)", "proximal_gradient(tol=1e-9)"])
def test_lasso_with_an_intercept_equals_scikit_learn(method: str, tmp_path: Path) -> None:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Lasso

    X, y = load_diabetes(return_X_y=True)
    peer = Lasso(alpha=40.0 / len(y), tol=1e-14, max_iter=1_000_000).fit(X, y)
    ours = solved(LASSO.replace("METHOD", method), tmp_path)
    np.testing.assert_allclose(ours.params["w"], peer.coef_, atol=1e-6 * np.abs(peer.coef_).max())
    assert float(ours.params["c"]) == pytest.approx(peer.intercept_, rel=1e-9)
    assert ours.stages[0].reason == "tolerance"


@pytest.mark.parametrize("method", ["block_coordinate()", "proximal_gradient()"])
def test_what_a_formula_takes_for_granted_is_looked_at(method: str, tmp_path: Path) -> None:
    program = built(LASSO.replace("METHOD", method), tmp_path)
    assert run(program, constants={"lam": 0.0}).stages[0].reason == "tolerance"
    with pytest.raises(NumericsError) as caught:
        run(program, constants={"lam": -1.0})
    assert caught.value.code == "VS0630"
    assert "lam >= 0" in str(caught.value)


def test_sinkhorn_against_sweeps_in_the_logarithmic_domain(tmp_path: Path) -> None:
    ours = solved(SINKHORN, tmp_path)
    C = np.random.default_rng(0).random((12, 9))
    x, y = np.zeros(12), np.zeros(9)
    for _ in range(40):
        x = (np.log(1 / 12) + 1 - logsumexp(300 * (y - C), axis=1)) / 300
        y = (np.log(1 / 9) + 1 - logsumexp(300 * (x[:, None] - C), axis=0)) / 300
    np.testing.assert_allclose(ours.params["x"], x, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ours.params["y"], y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.sum(ours.outputs["P"], axis=0), 1 / 9, rtol=1e-9)


def entries(text: str, folder: Path) -> Mapping[str, Any]:
    return built(text, folder).manifest["entries"]


def test_entries_are_named_by_what_they_solve_for(tmp_path: Path) -> None:
    found = entries(LASSO.replace("METHOD", "block_coordinate([w], [c])"), tmp_path)
    assert found["loss_block_w"]["kind"] == found["loss_block_c"]["kind"] == "update"
    assert [a["name"] for a in found["loss_block_c"]["arguments"] if a["role"] == "param"] == ["w"]


def test_the_step_length_is_an_argument_of_its_own(tmp_path: Path) -> None:
    text = LASSO.replace("METHOD", "proximal_gradient()").replace("lam", "lr")
    found = entries(text, tmp_path)["loss_prox"]
    assert {(a["name"], a["role"]) for a in found["arguments"]} >= {("lr", "constant"), ("lr", "length")}
    ours = run(load(tmp_path / "build"))
    assert ours.stages[0].reason == "tolerance"


def test_a_quadratic_form_without_a_minimum_is_named(tmp_path: Path) -> None:
    text = LASSO.replace("METHOD", "block_coordinate()").replace(" + lam*sum[i](abs(w[i]))", " - lam*w[0]**2*size(n)")
    with pytest.raises(NumericsError) as caught:
        solved(text, tmp_path)
    assert caught.value.code == "VS0631"
    assert "by 'w'" in str(caught.value)


REPEATED = """\
vspec: 1
name: repeated
precision: float64
dims: {i: 6, k: 3}
data:
  A[i, k]: {draw: "uniform(0, 1)", seed: 1}
params:
  x[i]: {init: 1}
  y[k]: {init: 1}
objectives:
  loss: sum[i, k]((A[i, k] - x[i]*y[k])**2) + sum[i](x[i]**2)/10
solve:
  - repeat: 300
    stages:
      - {minimize: loss, over: [x], method: block_coordinate()}
      - {minimize: loss, over: [y], method: block_coordinate()}
"""


def test_stages_of_a_repetition_take_a_sweep_each(tmp_path: Path) -> None:
    for name in ("apart", "together"):
        (tmp_path / name).mkdir()
    apart = solved(REPEATED, tmp_path / "apart").params
    one = REPEATED[: REPEATED.index("solve:")] + "solve: {minimize: loss, method: block_coordinate(), steps: 300}\n"
    together = solved(one, tmp_path / "together").params
    for name in ("x", "y"):
        np.testing.assert_allclose(apart[name], together[name], rtol=1e-10)


SHARED = """\
vspec: 1
name: shared
precision: float64
dims: {n: 40, i: 5}
constants: {lam: 2.0}
data:
  X[n, i]: {draw: "normal(0, 1)", seed: 1}
  y[n]: {draw: "normal(0, 1)", seed: 2}
params:
  w[i]: {init: 0}
  c: {init: 0}
objectives:
  loss: sum[n]((y[n] - sum[i](X[n, i]*w[i]) - c)**2)/2 + lam*sum[i](abs(w[i]))
solve:
  - {minimize: loss, over: {w: proximal_gradient(), c: block_coordinate()}, steps: 400}
"""


def test_methods_that_share_an_objective_each_move_their_own(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ours = solved(SHARED, tmp_path).params
    one = SHARED[: SHARED.index("solve:")] + "solve: {minimize: loss, method: block_coordinate()}\n"
    other = solved(one, tmp_path / "other").params
    np.testing.assert_allclose(ours["w"], other["w"], atol=1e-7)
    assert float(ours["c"]) == pytest.approx(float(other["c"]), abs=1e-7)


PLAIN = """\
vspec: 1
name: plain
precision: float64
dims: {i: 30, j: 30}
constants: {eta: 100.0}
data:
  C[i, j]: {draw: "uniform(0, 1)", seed: 0}
params:
  x[i]: {init: 0}
  y[j]: {init: 0}
define:
  r[i]: 1/size(i)
  c[j]: 1/size(j)
  P[i, j]: exp(eta*(x[i] + y[j] - C[i, j]) - 1)
  residual: sum[i](abs(r[i] - sum[j](P[i, j]))) + sum[j](abs(c[j] - sum[i](P[i, j])))
objectives:
  dual: sum[i](r[i]*x[i]) + sum[j](c[j]*y[j]) - sum[i, j](P[i, j])/eta
solve: {name: sweep, maximize: dual, method: "block_coordinate([x], [y])", until: residual < 1e-9, steps: 100000}
outputs:
  value: dual + 1/eta
"""


def test_sweeps_go_on_until_a_condition_of_the_spec(tmp_path: Path) -> None:
    ours = solved(PLAIN, tmp_path)
    C = np.random.default_rng(0).random((30, 30))
    x, y, sweeps = np.zeros(30), np.zeros(30), 0
    while True:
        x = (np.log(1 / 30) + 1 - logsumexp(100 * (y - C), axis=1)) / 100
        y = (np.log(1 / 30) + 1 - logsumexp(100 * (x[:, None] - C), axis=0)) / 100
        P, sweeps = np.exp(100 * (x[:, None] + y - C) - 1), sweeps + 1
        if np.abs(P.sum(0) - 1 / 30).sum() + np.abs(P.sum(1) - 1 / 30).sum() < 1e-9:
            break
    assert abs(ours.stages[0].steps - sweeps) <= 1
    assert float(ours.outputs["value"]) == pytest.approx(np.mean(x) + np.mean(y), abs=1e-12)
