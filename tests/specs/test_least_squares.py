"""The four problems of NIST from both starts: certified values to six digits, and SciPy's answer."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

import vspec

# Judges how methods end (see conftest.py).
COMPILE_QUICKLY = False

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "problems" / "nonlinear-least-squares"

MODELS: dict[str, Any] = {
    "misra1a": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "chwirut2": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "mgh09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "thurber": lambda b, x: np.polyval(b[3::-1], x) / np.polyval([*b[:3:-1], 1.0], x),
}


@pytest.mark.parametrize("name", MODELS)
def test_certified_values_from_both_starts(name: str) -> None:
    program = vspec.compile(FOLDER / f"{name}.yaml")
    constants = {k: np.asarray(v["value"]) for k, v in program.manifest["constants"].items()}
    near = vspec.compile(FOLDER / f"{name}.yaml", run="near").manifest["constants"]["start"]["value"]
    with (FOLDER / f"{name}.csv").open() as file:
        rows = [(float(r["x"]), float(r["y"])) for r in csv.DictReader(file)]
    x, y = np.asarray(rows).T
    # SciPy from the certified values agrees that they are the optimum.
    peer = least_squares(
        lambda b: MODELS[name](b, x) - y, constants["certified"], method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    np.testing.assert_allclose(peer.x, constants["certified"], rtol=1e-6)
    for start in (constants["start"], near):
        result = vspec.run(program, constants={"start": start})
        assert result.stages[0].reason == "tolerance"
        np.testing.assert_allclose(result.params["b"], constants["certified"], rtol=1e-6)
        np.testing.assert_allclose(result.params["b"], peer.x, rtol=1e-6)
        assert float(result.outputs["squares"]) == pytest.approx(float(constants["certified_squares"]), rel=1e-9)
