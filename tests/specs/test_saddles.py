"""Saddles from the spec to the run, in the sets that their params must not leave: against linear programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog  # type: ignore[import-untyped]

from tests.language.helpers import HEAD
from vspec.compiler.pipeline import build
from vspec.runtime.program import Program, load
from vspec.runtime.run import run

GAME = Path(__file__).resolve().parents[2] / "specs" / "problems" / "matrix-game.yaml"


def value(pay: np.ndarray) -> float:
    """The value of a matrix game to the one who is paid, by a linear program: the most that a mix of columns is sure of."""
    rows, columns = pay.shape
    sure = np.hstack([-pay, np.ones((rows, 1))])
    mixed = np.append(np.ones(columns), 0.0)[None]
    found = linprog(
        np.append(np.zeros(columns), -1.0),
        A_ub=sure,
        b_ub=np.zeros(rows),
        A_eq=mixed,
        b_eq=[1],
        bounds=[(0, None)] * columns + [(None, None)],
    )
    return float(-found.fun)


def compiled(folder: Path, text: str) -> Program:
    path = folder / "spec.yaml"
    path.write_text(text)
    return load(build(path, folder / "program", stablehlo=False, force=True).directory)


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The shipped game."""
    return load(build(GAME, tmp_path_factory.mktemp("game") / "program", stablehlo=False).directory)


def payoffs(kind: str) -> np.ndarray:
    made = np.random.default_rng(11)
    if kind == "draws":
        return made.normal(size=(12, 8))
    if kind == "whole numbers":
        return made.integers(-3, 4, size=(12, 8)).astype(float)
    # One row and one column are best whatever the other does: the saddle point is a corner.
    pay = made.uniform(-1, 1, size=(12, 8))
    pay[3] -= 5
    pay[:, 2] += 3
    return pay


@pytest.mark.parametrize("kind", ["draws", "whole numbers", "a corner"])
def test_a_matrix_game_has_the_value_of_a_linear_program(game: Program, kind: str, tmp_path: Path) -> None:
    pay = payoffs(kind)
    ours = run(game, data={"pay": pay}, out=tmp_path)
    wanted = value(pay)
    assert float(ours.outputs["payoff"]) == pytest.approx(wanted, abs=1e-9)
    x, y = (np.asarray(ours.params[k]) for k in "xy")
    # The gap by hand: what the best answers to the two mixes would gain.
    assert (x @ pay).max() - (pay @ y).min() < 1e-9
    assert min(x.min(), y.min()) >= 0
    (stage,) = ours.stages
    assert stage.reason == "tolerance"
    assert stage.violation is None


DEVIATIONS = """
precision: float64
dims: {n: 15, i: 3}
data:
  X[n, i]: {draw: "normal(0, 1)", seed: 4}
  b[n]: {draw: "normal(0, 2)", seed: 5}
params:
  w[i]: {init: 0}
  side[n]: {init: 0, domain: "box(-1, 1)"}
objectives:
  deviation: sum[n](side[n]*(sum[i](X[n, i]*w[i]) - b[n]))
constraints:
  total: sum[i](w[i]) == 1
solve: {saddle: deviation, min: w, max: side, METHOD}
outputs:
  deviation: deviation
"""


@pytest.mark.parametrize("method", ["extragradient(tol=1e-10)", "optimistic_gradient_descent(lr=0.05, tol=1e-10)"])
def test_least_absolute_deviations_under_an_equation(method: str, tmp_path: Path) -> None:
    """The largest value over a box is the sum of absolute values; what goes down is kept on a plane."""
    text = HEAD + DEVIATIONS.replace("METHOD", f'method: "{method}", steps: 50000')
    ours = run(compiled(tmp_path, text))
    data = {k: np.asarray(v) for k, v in ours.bound.data.items()}
    X, b = data["X"], data["b"]
    tight = np.vstack([np.hstack([X, -np.eye(15)]), np.hstack([-X, -np.eye(15)])])
    peer = linprog(
        np.append(np.zeros(3), np.ones(15)),
        A_ub=tight,
        b_ub=np.append(b, -b),
        A_eq=np.append(np.ones(3), np.zeros(15))[None],
        b_eq=[1],
        bounds=[(None, None)] * 3 + [(0, None)] * 15,
    )
    assert ours.stages[0].reason == "tolerance"
    assert float(ours.outputs["deviation"]) == pytest.approx(peer.fun, rel=1e-8)
    w = np.asarray(ours.params["w"])
    assert np.abs(X @ w - b).sum() == pytest.approx(peer.fun, rel=1e-7)
    assert w.sum() == pytest.approx(1, abs=1e-12)


def test_batches_of_a_saddle(tmp_path: Path) -> None:
    """Batches of all rows are plain steps: the two gradients of a step see the same rows."""
    text = DEVIATIONS.replace("constraints:\n  total: sum[i](w[i]) == 1\n", "")
    made: list[Any] = []
    for name, how in {"whole": "steps: 20", "batched": "batch: {n: 15}, epochs: 20"}.items():
        folder = tmp_path / name
        folder.mkdir()
        text_ = HEAD + text.replace("METHOD", f"method: extragradient(lr=0.02), constraints: projection, {how}")
        made.append(run(compiled(folder, text_)).params)
    for k in made[0]:
        np.testing.assert_allclose(made[0][k], made[1][k], rtol=1e-11, atol=1e-13)
