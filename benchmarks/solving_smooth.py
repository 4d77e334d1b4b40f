"""Problems without constraints, to 1e-6: NIST's least squares from both starts, and a pendulum that swings up.

SciPy and genosolver work with the program's own compiled derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.peers import TIGHTER, geno, scipy, scipy_least_squares
from benchmarks.programs import SPECS, Flat, ours, shipped
from benchmarks.reaching import Table, raced

NIST = ("misra1a", "chwirut2", "mgh09", "thurber")
TOLERANCES = tuple(10.0**-k for k in range(2, 13))


def fitted(name: str, runs: tuple[str, ...] = ("far", "near"), repetitions: int = 9) -> Table:
    """One of NIST's problems from its starts; the best value is the certified one."""
    found: Table = {}
    measured = np.genfromtxt(SPECS / f"nonlinear-least-squares/{name}.csv", delimiter=",", names=True)
    data = {k: measured[k] for k in ("x", "y")}
    for run, program in zip(runs, shipped(f"nonlinear-least-squares/{name}", *runs), strict=True):
        flat = Flat(program, data)
        solvers = {
            "vspec": ours(program, TOLERANCES, data=data),
            "SciPy least_squares (lm)": scipy_least_squares(flat),
            "SciPy BFGS": scipy(flat, "BFGS", "gtol"),
            "genosolver": geno(flat, TIGHTER[1:10:3]),
        }
        best = float(program.manifest["constants"]["certified_squares"]["value"])
        found[f"NIST's {name} from the {run} start"] = raced(solvers, best, repetitions=repetitions)
    return found


def least_squares() -> Table:
    """All four."""
    return {title: rows for name in NIST for title, rows in fitted(name).items()}


def control() -> Table:
    """Sixty-one controls through a recurrence; the best value is that of BFGS to full precision."""
    program = shipped("optimal-control")
    flat = Flat(program)
    best = min(flat.judged(s.at(1e-9)())[0] for s in (scipy(flat, "BFGS", "gtol"), ours(program, ())) if s is not None)
    solvers = {
        "vspec": ours(program, TOLERANCES),
        "SciPy BFGS": scipy(flat, "BFGS", "gtol"),
        "SciPy L-BFGS-B": scipy(flat, "L-BFGS-B", "gtol"),
        "genosolver": geno(flat),
    }
    return {"optimal control of 61 steps": raced(solvers, best)}


ALL: Mapping[str, Callable[[], Table]] = {"least-squares": least_squares, "control": control}
