"""Time to 1e-6 relative optimality on the lasso, and time of equal sweeps on non-negative factors, against scikit-learn."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF
from sklearn.linear_model import Lasso

import vspec
from benchmarks.timing import Timing, interleaved
from vspec.compiler import pipeline

LASSO = """\
vspec: 1
name: lasso
precision: float64
dims: {n: auto, i: auto}
constants: {alpha: 0.1}
data:
  X[n, i]: real
  y[n]: real
params:
  w[i]: {init: 0}
objectives:
  loss: mean[n]((y[n] - sum[i](X[n, i]*w[i]))**2)/2 + alpha*sum[i](abs(w[i]))
solve: {minimize: loss, method: "METHOD"}
"""
FACTORS = Path(__file__).resolve().parent.parent / "specs" / "problems" / "nonnegative-matrix-factorisation.yaml"


def program(text: str) -> Any:
    """A spec, built."""
    folder = Path(tempfile.mkdtemp())
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    return vspec.load(pipeline.build(folder / "spec.yaml", folder / "out", stablehlo=False).directory)


def lasso() -> dict[str, dict[str, Timing]]:
    """2000 observations of 500 features, 20 of which matter; both sides stop within 1e-6 of the optimum."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 500))
    y = X[:, :20] @ rng.normal(size=20) + rng.normal(size=2000)
    data = {"X": X, "y": y}
    sweeps = program(LASSO.replace("METHOD", "block_coordinate(tol=1e-6)"))
    steps = program(LASSO.replace("METHOD", "proximal_gradient(tol=1e-5)"))

    def loss(w: Any) -> float:
        return float(np.mean((y - X @ np.asarray(w)) ** 2) / 2 + 0.1 * np.sum(np.abs(w)))

    best = loss(Lasso(alpha=0.1, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(X, y).coef_)

    def peer(precompute: bool) -> Any:
        model = Lasso(alpha=0.1, fit_intercept=False, tol=1e-6, max_iter=100_000, precompute=precompute)
        return lambda: model.fit(X, y).coef_

    sides = {
        "vspec": lambda: vspec.run(sweeps, data=data).params["w"],
        "vspec proximal": lambda: vspec.run(steps, data=data).params["w"],
        "scikit-learn": peer(False),
        "scikit-learn, Gram": peer(True),
    }
    for name, solve in sides.items():
        gap = loss(solve()) / best - 1
        assert gap < 1e-6, (name, gap)
    return {"lasso 2000 x 500, to 1e-6": interleaved(sides, repetitions=7)}


def factors() -> dict[str, dict[str, Timing]]:
    """A hundred sweeps over both factors of the digits from one start; the objectives agree."""
    warnings.filterwarnings("ignore", module="sklearn")
    ours = program(FACTORS.read_text(encoding="utf-8"))
    X = load_digits().data / 16
    n, k, i = np.arange(len(X))[:, None], np.arange(12), np.arange(64)
    W, H = 0.1 + 0.05 * np.sin(3 * n + 5 * k), 0.3 + 0.2 * np.cos(7 * k[:, None] + i)

    def peer() -> float:
        model = NMF(12, init="custom", solver="cd", tol=0, max_iter=100)
        left = model.fit_transform(X, W=W.copy(), H=H.copy())
        return float(np.sum((X - left @ model.components_) ** 2) / 2)

    sides = {"vspec": lambda: float(vspec.run(ours).outputs["loss"]), "scikit-learn": peer}
    values = {name: solve() for name, solve in sides.items()}
    assert values["vspec"] <= values["scikit-learn"] * (1 + 1e-9), values
    return {"non-negative factors of 1797 x 64, 100 sweeps": interleaved(sides, repetitions=5)}


ALL = {"lasso": lasso, "factors": factors}
