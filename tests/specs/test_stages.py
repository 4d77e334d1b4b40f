"""Stages from the spec to the run: batches of everything against plain steps, schedules, updates beside a method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.language.helpers import HEAD
from vspec.compiler.pipeline import build
from vspec.runtime.run import RunResult, run

SPEC = """
precision: float64
dims: {n: 4, i: 2, t: 4}
constants:
  F[n]: [1, 2, 3, 4]
data:
  x[n, i]: {draw: "normal(0, 1)", seed: 1}
params:
  w[i]: {init: 1}
  kept[n]: {init: 0}
define:
  s[0, n]: x[n, 0]
  s[t + 1, n]: s[t, n]/2 + x[n, 1]
  m[t]: mean[n](s[t, n])
  q[0, n]: w[0]
  q[t + 1, n]: q[t, n]*s[t, n] + m[t]*F[n]
objectives:
  loss: sum[n]((s[-1, n]*w[0] - F[n]*w[1])**2)/size(n) + mean[n](q[-1, n]**2)/100 + sum[n](s[1, n])*w[1]
outputs:
  loss: loss
"""


def solved(folder: Path, solve: str, **constants: Any) -> RunResult:
    """The run of the spec with a plan."""
    path = folder / "spec.yaml"
    path.write_text(HEAD + SPEC + solve)
    return run(build(path, folder / "program", stablehlo=False, force=True).directory, constants=constants)


def test_batches_of_everything_are_plain_steps(tmp_path: Path) -> None:
    common = "over: w, method: sgd(0.01), update: {'kept[n]': 'q[-1, n]'}"
    batched = solved(tmp_path, f"solve: {{minimize: loss, {common}, batch: {{n: 4}}, epochs: 5}}\n")
    plain = solved(tmp_path, f"solve: {{minimize: loss, {common}, steps: 5}}\n")
    for name in ("w", "kept"):
        np.testing.assert_allclose(batched.params[name], plain.params[name], rtol=1e-11)
    assert np.abs(batched.params["kept"]).min() > 0


def test_batches_of_some_go_down(tmp_path: Path) -> None:
    start = solved(tmp_path, "solve: {minimize: loss, method: sgd(0.01), over: w, steps: 1}\n")
    end = solved(
        tmp_path, "solve: {minimize: loss, method: sgd(0.01/(1 + step)**0.5), over: w, batch: {n: 2}, epochs: 200}\n"
    )
    assert end.outputs["loss"] < start.outputs["loss"]
