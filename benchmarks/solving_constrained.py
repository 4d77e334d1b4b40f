"""Constrained problems against independent solvers: time to a relative error of 1e-6 in the objective, compiled code only.

The portfolio against cvxpy, support vectors against scikit-learn, problems of Hock and Schittkowski against SciPy's SLSQP with
JAX gradients. Runs alternate, medians are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import vspec
from benchmarks.timing import Timing, interleaved
from vspec.compiler import pipeline
from vspec.runtime.stages import execute

SPECS = Path(__file__).resolve().parent.parent / "specs" / "problems"


Table = dict[str, Mapping[str, Timing]]


def program(name: str) -> Any:
    """A shipped problem, built and loaded."""
    folder = Path(tempfile.mkdtemp()) / "out"
    return vspec.load(pipeline.build(SPECS / f"{name}.yaml", folder, stablehlo=False).directory)


def solver(loaded: Any) -> tuple[Callable[[], Any], Callable[[], float]]:
    """A run of the plan on bound data, and the objective that it reached; the first run compiles."""
    bound = loaded.bind()
    start = loaded.initial_params(bound)
    found: list[Any] = []

    def run() -> None:
        found[:] = [execute(loaded, start, bound)]

    run()
    return run, lambda: float(found[0].stages[-1].value)


def compared(
    title: str, run: Callable[[], Any], value: Callable[[], float], other: str, theirs: Callable[[], float]
) -> Table:
    """Both sides in turn; the title says how far the objectives are apart."""
    known = theirs()
    timings = interleaved({"vspec": run, other: theirs}, repetitions=11)
    error = abs(value() - known) / max(1e-12, abs(known))
    return {f"{title}: objectives differ by {error:.1e}": timings}


def portfolio() -> Table:
    """The portfolio, by cvxpy with its default solver for quadratic programs at a tolerance of 1e-9, parsing not counted."""
    import cvxpy

    loaded = program("portfolio")
    run, value = solver(loaded)
    gain = gains(loaded)
    centred, average = gain - gain.mean(0), gain.mean(0)
    constants = loaded.bind().constants
    earned, most, share = (float(constants[k]) for k in ("earned", "most", "share"))
    w = cvxpy.Variable(gain.shape[1])
    target = (1 - earned) * average.mean() + earned * average.max()
    sectors = 5
    rules = [cvxpy.sum(w) == 1, average @ w >= target, w >= 0, w <= most]
    rules += [cvxpy.sum(w[k::sectors]) <= share for k in range(sectors)]
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(centred @ w) / len(gain)), rules)

    def theirs() -> float:
        return float(problem.solve(solver="CLARABEL", warm_start=False))

    return compared("portfolio of 40 assets", run, value, "cvxpy (Clarabel)", theirs)


def gains(loaded: Any) -> Any:
    """The returns that the spec of the portfolio defines."""
    data = {k: np.asarray(v) for k, v in loaded.bind().data.items()}
    return data["drift"] + data["market"] @ data["loading"].T + data["noise"]


def support_vectors() -> Table:
    """The dual of support vector classification, by libsvm."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.svm import SVC

    run, value = solver(program("svm-dual"))
    raw, label = load_breast_cancer(return_X_y=True)
    X = (raw - raw.mean(0)) / raw.std(0)
    model = SVC(C=1.0, gamma=1 / X.shape[1], tol=1e-6, cache_size=1000)

    y = 2 * label - 1
    K = np.exp(-((X[:, None] - X[None]) ** 2).sum(-1) / X.shape[1])

    def theirs() -> float:
        model.fit(X, label)
        coefficients = np.zeros(len(y))
        coefficients[model.support_] = model.dual_coef_[0]
        return float(np.abs(coefficients).sum() - coefficients @ K @ coefficients / 2)

    return compared("support vectors of 569 patients", run, value, "scikit-learn (libsvm)", theirs)


def hock_schittkowski() -> Table:
    """Small nonlinear problems, by SLSQP with compiled gradients from the same program."""
    import jax
    from scipy.optimize import minimize

    found: Table = {}
    for number in ("043", "071", "100"):
        loaded = program(f"hock-schittkowski/hs{number}")
        run, value = solver(loaded)
        bound = loaded.bind()
        start = np.asarray(loaded.initial_params(bound)["x"])
        objective = jax.jit(lambda x, p=loaded, b=bound: p.call("cost_value_and_gradient", {"x": x}, b))
        gaps = jax.jit(lambda x, p=loaded, b=bound: p.call("constraints", {"x": x}, b))
        rows_of = jax.jit(lambda x, p=loaded, b=bound: p.call("cost_constraint_jacobian", {"x": x}, b))
        rules = [
            {
                "type": "eq" if record["relation"] == "eq" else "ineq",
                "fun": lambda x, k=k, f=gaps: -float(f(x)[k]),
                "jac": lambda x, k=k, f=rows_of: -np.asarray(f(x)[k]["x"]),
            }
            for k, record in loaded.manifest["constraints"].items()
        ]
        box = loaded.domains(bound)["x"]
        ends = None if box.kind != "box" else [(float(box.lower), float(box.upper))] * len(start)

        def theirs(f: Any = objective, x: Any = start, rules: Any = rules, ends: Any = ends) -> float:
            solution = minimize(
                lambda z: tuple(np.asarray(v) for v in f(z)),
                x,
                jac=True,
                constraints=rules,
                bounds=ends,
                method="SLSQP",
                options={"ftol": 1e-10, "maxiter": 200},
            )
            return float(solution.fun)

        found |= compared(f"Hock and Schittkowski {int(number)}", run, value, "SciPy SLSQP", theirs)
    return found


ALL: Mapping[str, Callable[[], Table]] = {
    "portfolio": portfolio,
    "support_vectors": support_vectors,
    "hock_schittkowski": hock_schittkowski,
}
