"""Objectives whose form gives their minima block by block, to 1e-6: the lasso, and non-negative factors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers import TIGHTER, geno, optional, quietly
from benchmarks.programs import Flat, ours, shipped, written
from benchmarks.reaching import Solver, Table, raced

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
ALPHA = 0.1


def lasso(rows: int = 2000, columns: int = 500, repetitions: int = 9) -> Table:
    """Observations of features, 20 of which matter, from the arrays on.

    'data bound' begins where the products of the data are known, as they are in a second solve with another alpha.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    y = X[:, :20] @ rng.normal(size=min(20, columns)) + rng.normal(size=rows)
    data = {"X": X, "y": y}
    sweeps = written(LASSO.replace("METHOD", "block_coordinate()"))
    steps = written(LASSO.replace("METHOD", "proximal_gradient()"))

    def judged(w: Any) -> tuple[float, float]:
        w = np.asarray(w["w"] if isinstance(w, Mapping) else w)
        return float(np.mean((y - X @ w) ** 2) / 2 + ALPHA * np.sum(np.abs(w))), 0.0

    settings = tuple(10.0**-k for k in range(1, 12))
    best = judged(ours(sweeps, (), data=data).at(1e-14)())[0]
    solvers = {
        "vspec": ours(sweeps, settings, data=data, bound=False),
        "vspec, data bound": ours(sweeps, settings, data=data),
        "vspec proximal": ours(steps, settings, data=data, bound=False),
        "scikit-learn": coordinates(X, y, False, judged),
        "scikit-learn, Gram": coordinates(X, y, True, judged),
        "SciPy L-BFGS-B, split": halves(X, y, judged, scipy_halves),
        "genosolver, split": halves(X, y, judged, geno_halves),
    }
    return {f"lasso {rows} x {columns}": raced(solvers, best, repetitions=repetitions)}


def coordinates(X: Any, y: Any, precompute: bool, judged: Callable[[Any], tuple[float, float]]) -> Solver | None:
    """scikit-learn's coordinate descent."""
    linear = optional("sklearn.linear_model")
    if linear is None:
        return None

    def at(setting: float) -> Callable[[], Any]:
        model = linear.Lasso(alpha=ALPHA, fit_intercept=False, tol=setting, max_iter=100_000, precompute=precompute)
        return lambda: model.fit(X, y).coef_

    return Solver("tol", TIGHTER, at, judged)


def halves(X: Any, y: Any, judged: Callable[[Any], tuple[float, float]], solve: Any) -> Solver | None:
    """The lasso as a smooth problem of twice the size: w = u - v with u, v >= 0, for solvers with bounds; derivatives by hand."""
    module, keyword, run = solve()
    if module is None:
        return None
    n, size = X.shape

    def both(z: Any) -> tuple[float, Any]:
        rest = X @ (z[:size] - z[size:]) - y
        slope = X.T @ rest / n
        return float(rest @ rest / (2 * n) + ALPHA * z.sum()), np.concatenate([slope + ALPHA, ALPHA - slope])

    def at(setting: float) -> Callable[[], Any]:
        def solved() -> Any:
            z = run(module, both, np.zeros(2 * size), setting)
            return z[:size] - z[size:]

        return solved

    return Solver(keyword, TIGHTER[1:], at, judged)


def scipy_halves() -> tuple[Any, str, Any]:
    """SciPy's L-BFGS-B."""

    def run(module: Any, both: Any, start: Any, setting: float) -> Any:
        options = {"gtol": setting, "ftol": 0.0, "maxiter": 10_000, "maxfun": 100_000}
        return module.minimize(
            both, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start), options=options
        ).x

    return optional("scipy.optimize"), "gtol", run


def geno_halves() -> tuple[Any, str, Any]:
    """genosolver's."""

    def run(module: Any, both: Any, start: Any, setting: float) -> Any:
        options = {"eps_pg": setting, "max_iter": 10_000}
        return quietly(
            lambda f: (
                module.minimize(f, start, lb=np.zeros_like(start), ub=np.full_like(start, np.inf), options=options).x
            ),
            both,
        )

    return optional("genosolver"), "eps_pg", run


def factors(rows: int | None = None, sweeps: int = 6000, repetitions: int = 9) -> Table:
    """Sweeps over both factors of the digits from one start, to within 1e-6 of where they lead.

    The objective has many local minima; that of scikit-learn's sweeps is the same as that of ours, since both are exact minima in
    the same order. The setting is the number of sweeps.
    """
    datasets, decomposition = optional("sklearn.datasets"), optional("sklearn.decomposition")
    assert datasets is not None
    raw = datasets.load_digits().data[:rows]
    program = shipped("nonnegative-matrix-factorisation")
    flat = Flat(program, {"raw": raw})
    settings = tuple(k * sweeps // 60 for k in (1, 2, 4, 6, 8, 10, 12, 16, 24, 36))
    best = flat.judged(ours(program, (), "steps", {"raw": raw}).at(sweeps)())[0]
    start = {k: np.asarray(v) for k, v in program.initial_params(flat.bound).items()}

    def at(setting: float) -> Callable[[], Any]:
        def solve() -> Any:
            model = decomposition.NMF(start["W"].shape[1], init="custom", solver="cd", tol=0, max_iter=int(setting))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                left = model.fit_transform(raw / 16, W=start["W"].copy(), H=start["H"].copy())
            return {"W": left, "H": model.components_}

        return solve

    solvers = {
        "vspec": ours(program, settings, "steps", {"raw": raw}, bound=False),
        "scikit-learn (cd)": None if decomposition is None else Solver("sweeps", settings, at, flat.judged),
        "genosolver": geno(flat, TIGHTER[1:4]),
    }
    return {f"non-negative factors of {len(raw)} digits": raced(solvers, best, repetitions=repetitions)}


ALL: Mapping[str, Callable[[], Table]] = {"lasso": lasso, "factors": factors}
