"""Problems with constraints, to 1e-6 in the objective and in the constraints.

The portfolio against cvxpy, support vectors against scikit-learn, the problems of Hock and Schittkowski against SciPy, all
against genosolver. SciPy and genosolver work with the program's own compiled derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers import TIGHTER, geno, optional, scipy
from benchmarks.programs import Flat, ours, shipped
from benchmarks.reaching import Solver, Table, raced

TOLERANCES = tuple(10.0**-k for k in range(2, 13))
# Problem → its least value (Hock and Schittkowski 1981).
LEAST = {
    "006": 0.0,
    "007": -(3**0.5),
    "010": -1.0,
    "024": -1.0,
    "026": 0.0,
    "035": 1 / 9,
    "043": -44.0,
    "071": 17.0140172891,
    "076": -4.68181818181818,
    "100": 680.630057371,
}


def portfolio(repetitions: int = 9) -> Table:
    """A quadratic program of 40 unknowns. cvxpy has parsed it beforehand."""
    program = shipped("portfolio")
    flat = Flat(program)
    # The variance is near 3e-5 and its gradient small: settings begin where errors come near to 1e-6.
    exact = flat.judged(ours(program, ()).at(1e-14)())[0]
    solvers = {
        "vspec": ours(program, tuple(10.0**-k for k in range(8, 14))),
        "cvxpy (Clarabel)": clarabel(flat),
        "SciPy SLSQP": scipy(flat, "SLSQP", "ftol", TIGHTER[10:]),
        "genosolver": geno(flat, TIGHTER[4:13:2]),
    }
    return {"portfolio of 40 assets": raced(solvers, exact, repetitions=repetitions)}


def clarabel(flat: Flat) -> Solver | None:
    """The portfolio as cvxpy has it."""
    cvxpy = optional("cvxpy")
    if cvxpy is None:
        return None
    data = {k: np.asarray(v) for k, v in flat.bound.data.items()}
    gain = data["drift"] + data["market"] @ data["loading"].T + data["noise"]
    centred, average = gain - gain.mean(0), gain.mean(0)
    earned, most, share = (float(flat.bound.constants[k]) for k in ("earned", "most", "share"))
    w = cvxpy.Variable(gain.shape[1])
    target = (1 - earned) * average.mean() + earned * average.max()
    sectors = 5
    rules = [cvxpy.sum(w) == 1, average @ w >= target, w >= 0, w <= most]
    rules += [cvxpy.sum(w[k::sectors]) <= share for k in range(sectors)]
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(centred @ w) / len(gain)), rules)

    def at(setting: float) -> Callable[[], Any]:
        same = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), setting)

        def solve() -> Any:
            problem.solve(solver="CLARABEL", warm_start=False, **same)
            return w.value

        return solve

    return Solver("tol_gap=tol_feas", TIGHTER, at, flat.judged)


def support_vectors(rows: int | None = None, repetitions: int = 9) -> Table:
    """The dual of support vector classification, from the table of measurements on; of `rows` patients if given."""
    datasets = optional("sklearn.datasets")
    svm = optional("sklearn.svm")
    assert datasets is not None
    raw, label = (x[:rows] for x in datasets.load_breast_cancer(return_X_y=True))
    data = {"raw": raw, "label": label}
    program = shipped("svm-dual")
    flat = Flat(program, data)
    exact = flat.judged(ours(program, (), data=data).at(1e-11)())[0]

    def at(setting: float) -> Callable[[], Any]:
        model = svm.SVC(C=1.0, gamma=1 / raw.shape[1], tol=setting, cache_size=1000)

        def solve() -> Any:
            model.fit((raw - raw.mean(0)) / raw.std(0), label)
            found = np.zeros(len(label))
            found[model.support_] = np.abs(model.dual_coef_[0])
            return found

        return solve

    solvers = {
        "vspec": ours(program, TOLERANCES[2:], data=data, bound=False),
        "vspec, data bound": ours(program, TOLERANCES[2:], data=data),
        "scikit-learn (libsvm)": Solver("tol", TIGHTER, at, flat.judged),
        "genosolver": geno(flat, TIGHTER[1:8:2]),
    }
    return {f"support vectors of {len(label)} patients": raced(solvers, exact, repetitions=repetitions)}


def hock_schittkowski(numbers: tuple[str, ...] = (*LEAST,), repetitions: int = 9) -> Table:
    """Small nonlinear problems with published optima."""
    found: Table = {}
    for number in numbers:
        program = shipped(f"hock-schittkowski/hs{number}")
        flat = Flat(program)
        solvers = {
            "vspec": ours(program, TOLERANCES[::2]),
            "SciPy SLSQP": scipy(flat, "SLSQP", "ftol"),
            "SciPy trust-constr": scipy(flat, "trust-constr", "gtol", TIGHTER[2:10]),
            "genosolver": geno(flat, TIGHTER[1:10]),
        }
        title = f"Hock and Schittkowski {int(number)}"
        found[title] = raced(solvers, LEAST[number], repetitions=repetitions)
    return found


ALL: Mapping[str, Callable[[], Table]] = {
    "portfolio": portfolio,
    "support-vectors": support_vectors,
    "hock-schittkowski": hock_schittkowski,
}
