"""Node counts: what was compiled for a plan and for its stages, by kind."""

from __future__ import annotations

from tests.language.helpers import good
from vspec.compiler.emit.manifest import Options, manifest
from vspec.compiler.pipeline import compile_spec

TEXT = """\
dims: {i, j: 3, t: 5}
data:
  A[i, j]: {value: [[2, 0, 0], [0, 2, 0], [0, 0, 2]]}
  b[i]: {value: [1, 2, 3]}
params:
  w[i]: {init: 1}
  h: {init: 0}
define:
  y[i]: solve(A[:, :], w[:])[i]
  slope: d(sum[i](w[i]**3), w[0])
  s[0, i]: w[i]
  s[t + 1, i]: tanh(s[t, i])
objectives:
  plain: sum[i]((w[i] - b[i])**2)
  solved: sum[i]((y[i] - b[i])**2) + slope
  looped: sum[i](s[-1, i]**2)
solve:
  - {name: first, minimize: plain, method: sgd(0.1), steps: 2, over: w}
  - {name: second, minimize: solved, method: newton(linear=cholesky), over: w}
  - name: loop
    repeat: 3
    stages:
      - {name: inner, minimize: looped, method: sgd(0.1), over: w}
      - {name: assign, update: {h: "sum[i](w[i])"}}
outputs:
  inverse[i, j]: inv(A[:, :])[i, j]
"""


def counts(text: str) -> dict[str, dict[str, int]]:
    """The node counts of a spec."""
    spec = good(text)
    compiled = compile_spec(spec)
    found: dict[str, dict[str, int]] = manifest(spec, compiled.graph, compiled.emitted, Options())["nodes"]
    return found


def test_counts_by_stage() -> None:
    found = counts(TEXT)
    assert set(found) == {"solve", "first", "second", "loop", "inner", "assign"}
    assert (found["first"]["linalg"], found["first"]["region"]) == (0, 0)
    assert found["second"]["linalg"] >= 1
    assert found["inner"]["region"] >= 1
    assert found["loop"]["region"] == found["inner"]["region"]
    assert found["solve"]["linalg"] == found["second"]["linalg"]


def test_derivatives_are_those_that_were_asked_for() -> None:
    found = {name: kinds["derivative"] for name, kinds in counts(TEXT).items()}
    # A gradient; the one in the formula, a gradient and a Hessian; a gradient; none.
    assert (found["first"], found["second"], found["inner"], found["assign"]) == (1, 3, 1, 0)
    assert found["loop"] == 1
    assert found["solve"] == 5


def test_outputs_are_no_part_of_the_plan() -> None:
    without = TEXT.split("outputs:")[0]
    assert counts(TEXT)["solve"] == counts(without)["solve"]


def test_a_plan_that_solves_nothing() -> None:
    assert set(counts("constants: {c: 2.0}\noutputs: {a: c}\n")["solve"].values()) == {0}
