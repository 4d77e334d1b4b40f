"""A sweep of a small problem against a loop of runs: of the spec, of its loaded program, and of the points side by side."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import vspec
from benchmarks.timing import Rows, Timing
from vspec.runtime.sweep.points import Asked, Points


def _seconds(f: Callable[[], object]) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def logistic(points: int = 64, repetitions: int = 5) -> Mapping[str, Rows]:
    """Logistic regression at penalties from 0.001 to 1000, from nothing to all outcomes and then again, compiled."""
    values = [float(x) for x in np.geomspace(1e-3, 1e3, points)]
    spec = "problems/logistic"
    with tempfile.TemporaryDirectory() as folder:
        directory = vspec.build(spec, Path(folder) / "out", stablehlo=False).directory
        asked = [Asked({"lam": lam}, 0) for lam in values]

        def sides() -> dict[str, Callable[[], object]]:
            side, loop, alone = (vspec.load(directory) for _ in range(3))
            together, single = Points(side), Points(alone)
            return {
                "vspec": lambda: together.run(asked, 32),
                "the same, one by one": lambda: single.run(asked, 1),
                "loop of vspec.run": lambda: [vspec.run(loop, constants={"lam": lam}) for lam in values],
            }

        first = {name: _seconds(f) for name, f in sides().items()}
        warm = sides()
        for f in warm.values():
            f()
        samples: dict[str, list[float]] = {name: [] for name in warm}
        for _ in range(repetitions):
            for name, f in warm.items():
                samples[name].append(_seconds(f))
    rows: dict[str, Timing | str] = {}
    for name, found in samples.items():
        found.sort()
        rows[name] = Timing(first[name], found[len(found) // 2], found[0], found[-1])
    return {f"sweep of {points} points, logistic regression": rows}


ALL = {"sweep": logistic}
