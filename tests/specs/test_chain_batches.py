"""Chains without a test, and energies of which each step sees a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vspec
from tests.language.helpers import codes, diagnose

N, PRIOR = 200, 9
TEXT = """\
precision: float64
dims: {n: 200, w: 400}
data:
  y[n]: {draw: "normal(1, 2)", seed: 3}
params:
  m: {init: 0}
  square_: {init: 0}
random:
  x[w]:
    law: unnormalized(ENERGY)
    sampler: SAMPLER
objectives:
  loss: E[x](mean[w]((m - x[w])**2 + (square_ - x[w]**2)**2))
outputs:
  mean_: m
  spread: square_ - m**2
  last: mean[w](x[w])
  sum_: sum[n](y[n])
solve: {minimize: loss, method: adam(lr=0.01), steps: 4000, average: 0.7BATCH}
"""
ENERGY = "-x[w]**2/18 - sum[n]((y[n] - x[w])**2)/8"
LANGEVIN = "langevin(step=0.0005, burn=0)"


def spec(energy: str = ENERGY, sampler: str = LANGEVIN, batch: str = ", batch: {n: 20}") -> str:
    return TEXT.replace("ENERGY", energy).replace("SAMPLER", sampler).replace("BATCH", batch)


def errors(text: str) -> list[str]:
    return [d.code for d in diagnose(text)[1] if d.severity == "error"]


@pytest.mark.parametrize("batch", ["", ", batch: {n: 20}"])
def test_langevin_on_batches_is_near_the_posterior(batch: str, tmp_path: Path) -> None:
    (tmp_path / "fit.yaml").write_text("vspec: 1\nname: fit\n" + spec(batch=batch))
    found = vspec.run(tmp_path / "fit.yaml", seed=1).outputs
    # A normal posterior: the precisions of the prior and of the observations add up.
    precision = 1 / PRIOR + N / 4
    centre, variance = float(found["sum_"]) / 4 / precision, 1 / precision
    assert abs(float(found["mean_"]) - centre) < 0.15 * np.sqrt(variance)
    assert abs(float(found["last"]) - centre) < 0.5 * np.sqrt(variance)
    # Without a test a step makes the law wider by 1/(1 - step*precision/2), 1.3 %; a batch adds its noise.
    assert 0.97 < float(found["spread"]) / variance < (1.25 if batch else 1.06)


def test_a_step_without_a_test_has_the_error_that_is_known(tmp_path: Path) -> None:
    text = """\
vspec: 1
name: step
precision: float64
dims: {w: 100000}
random:
  x[w]: {law: "unnormalized(-x[w]**2/2)", sampler: "langevin(step=0.5, burn=60)"}
outputs:
  spread: var[w](x[w])
  slope: E[x](mean[w](x[w]**2), by=samples(3))
"""
    (tmp_path / "step.yaml").write_text(text)
    found = vspec.run(tmp_path / "step.yaml", seed=2).outputs
    # x <- (1 - h) x + sqrt(2 h) noise has the variance 1/(1 - h/2).
    for name in ("spread", "slope"):
        assert float(found[name]) == pytest.approx(4 / 3, rel=4.5 * np.sqrt(2 / 100000))


@pytest.mark.parametrize("sampler", ["metropolis(step=0.1)", "mala(step=0.01)", "hmc(step=0.1)"])
def test_a_test_on_a_batch_is_biased(sampler: str) -> None:
    _, diagnostics = diagnose(spec(sampler=sampler))
    (found,) = [d for d in diagnostics if d.severity == "error"]
    assert found.code == "VS0699"
    assert "biased, whatever the step" in found.help[0]
    assert errors(spec(sampler=sampler, batch="")) == []


@pytest.mark.parametrize(
    "energy",
    [
        "-log(1 + sum[n]((y[n] - x[w])**2))",
        "-sum[n]((y[n] - x[w])**2)**2",
        "-x[w]**2/sum[n]((y[n] - x[w])**2)",
        "sum[n](y[n]*x[w])*sum[n](x[w] - y[n])",
        "-exp(mean[n]((y[n] - x[w])**2))",
    ],
)
def test_what_is_not_linear_in_sums_over_a_batch_is_refused(energy: str) -> None:
    assert codes(spec(energy=energy)) == ["VS0699"]


@pytest.mark.parametrize(
    "energy",
    ["-2*(x[w]**2/18 + sum[n]((y[n] - x[w])**2)/8)/3", "mean[n](-(y[n] - x[w])**2) - x[w]**4", "-x[w]**2/size(n)"],
)
def test_what_is_linear_is_taken(energy: str) -> None:
    assert errors(spec(energy=energy)) == []


def test_what_is_never_tested_has_no_share_that_is_taken() -> None:
    assert "VS0690" in codes(spec().replace("  last: mean[w](x[w])", "  last: mean[w](acceptance(x[w]))"))
