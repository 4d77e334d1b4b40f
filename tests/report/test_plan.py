"""The plan of a spec in words and formulas."""

from __future__ import annotations

from tests.language.helpers import good
from vspec.compiler.report.plan import plan_lines

SPEC = """
dims: {n: 12, i: 2, p: auto}
constants: {k: 4, eta: 0.1}
data:
  X[n, i]: real
params:
  w[i]: {init: 0}
  c: {init: 0}
define:
  theta[p]: stack(w[:], c)
objectives:
  loss: mean[n]((sum[i](X[n, i]*w[i]) - c)**2)
solve:
  - {name: warm, minimize: loss, over: {w: sgd(eta/(step + 1)), c: adam}, batch: {n: k}, epochs: 2*k, until: loss < eta}
  - {saddle: loss, min: w, max: c, method: sgd(0.5), steps: 7, average: 0.2}
  - repeat: k
    until: step > 2
    stages:
      - {descend: {c: "c - 1"}, method: sgd(0.1)}
      - update: [{"theta[p]": "theta[p]/2"}, {c: "c*g"}]
        let: {g: step/steps}
  - {maximize: loss, method: lbfgs(memory=k), starts: 3}
  - {evaluate: loss}
"""


def test_every_stage_says_what_it_does() -> None:
    lines = plan_lines(good(SPEC))
    text = "\n".join(lines)
    assert lines[0].startswith("warm: minimize loss by sgd(lr=η/(step + 1), momentum=0.0,")
    assert "over w, adam(lr=0.001, " in lines[0]
    assert lines[0].endswith("over c, 2·k epochs, batches of k along n, sums over n scaled to all rows")
    assert lines[1] == "  until loss < η"
    assert "saddle loss down in w, up in c by sgd(lr=0.5" in text
    assert "7 steps, the last 0.2 of the iterates averaged" in text
    assert "repeat k times\n  until step > 2\n  descend over c by sgd" in text
    assert "    against c − 1 in c\n  update w, c\n    θₚ ← θₚ/2\n    then c ← c·g\n" in text
    assert "memory=k), 3 starts\nevaluate loss" in text
