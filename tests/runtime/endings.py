"""For tests of runs that are stopped: a spec of what a checkpoint has to hold, and what it is for two runs to end alike."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vspec.runtime import RunResult
from vspec.runtime.stages import Event

SPEC = """\
vspec: 1
name: kept
doc: Stages with batches, draws, memories, rounds, starts, a mean and histories.
precision: float32
dims: {n: 24, i: 3, k: 2}
constants: {lam: 1.0}
data:
  x[n, i]: {draw: 'normal(0, 1)', seed: 1}
  y[n]: {draw: 'normal(0, 1)', seed: 2}
params:
  w[i]: {init: "sample(normal(0, 1))"}
  c: {init: 0}
  u[k]: {init: 1}
define:
  margin[n]: sum[i](x[n, i]*w[i]) + c + sample(normal(0, 1))/10
objectives:
  loss: sum[n](log(1 + exp(-y[n]*margin[n]))) + lam/2*sum[i](w[i]**2)
  other: sum[k]((u[k] - c)**2) + sum[k](cos(3*u[k]))/3
solve:
  - {minimize: loss, method: adam(lr=0.01), batch: {n: 7}, epochs: 100, average: 0.25}
  - repeat: 100
    stages:
      - {minimize: loss, over: [w, c], method: adam(lr=0.003), steps: 3}
      - {minimize: other, over: [u], method: "sgd(lr=0.01, momentum=0.9)"}
  - {minimize: other, over: [u], method: lbfgs(tol=1e-4), starts: 3}
outputs:
  loss: {is: loss, every: 40}
  weights[i]: {is: "w[i]", every: epoch}
claims:
  small: loss < 1000
"""


def until(out: Path | None, reports: int, least: int = 1) -> Callable[[Event], None]:
    """A callback that fails at a report, or a later one, once there are as many checkpoints as wanted: what is written stays
    as when a process dies."""
    count = 0

    def fail(_: Event) -> None:
        nonlocal count
        count += 1
        if count < reports:
            return
        for _ in range(25):
            if out is None or len(list((out / "checkpoints").glob("[0-9]*"))) >= least:
                raise ZeroDivisionError
            time.sleep(0.02)

    return fail


def same(result: RunResult, whole: RunResult, metrics: bool = True) -> None:
    """Whether two runs ended alike, to the last bit, timings apart."""
    for name in ("params", "outputs"):
        ours, theirs = getattr(result, name), getattr(whole, name)
        assert ours.keys() == theirs.keys()
        for key, x in ours.items():
            assert np.asarray(x).tobytes() == np.asarray(theirs[key]).tobytes(), f"{name} {key}"
    assert result.histories == whole.histories
    assert [c.as_dict() for c in result.claims] == [c.as_dict() for c in whole.claims]
    for a, b in zip(result.stages, whole.stages, strict=True):
        untimed = dict.fromkeys(("seconds", "compile_seconds"))
        assert {**a.as_dict(), **untimed} == {**b.as_dict(), **untimed}
    if metrics:
        assert repr(result.metrics) == repr(whole.metrics)
