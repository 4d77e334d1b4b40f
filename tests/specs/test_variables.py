"""Derivatives by definitions: what reads one depends on it, whatever it is made of and however it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.language.helpers import good
from tests.specs.test_generated import close
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes

TEXT = """\
precision: float64
dims: {"i, j": 2, n: 3, t: 4}
data:
  y[n]: real
params:
  c: {init: 0}
  w[i]: {init: 0}
  B[i, j]: {init: 0}
functions:
  slope(a): d(a**3, a)
  curvature(a[:]): sum[i](d(sum[j](a[j]**4), a[i], a[i]))
define:
  number: 2.0
  alias: c
  turned[i, j]: B[j, i]
  flat[i]: B[i, i]
  spread[n, i]: w[i]
  grown[n]: exp(y[n]*c)
  soft: sum[n](log(1 + grown[n]))
  f[i, 0]: w[i]
  f[i, 1]: 3
  s[i, 0]: w[i]
  s[i, t + 1]: sin(s[i, t])*q[t] + d(sum[j](s[j, t]**2*r[t, j]), r[t, i])
  q[t]: sum[i](s[i, t])
  r[t, i]: s[i, t]
outputs:
  by_number: d(number**2*c, number)
  slope: slope(2.0) + slope(2) + slope(c) + slope(2*c)
  curved: curvature(w[:]) + curvature(B[:, 0])
  by_alias: d(alias*c, alias)
  not_by_alias: d(alias*c, c)
  by_turned[i, j]: d(sum[i, j](turned[j, i]**2*w[i]), turned[i, j])
  by_flat[i]: d(sum[j](flat[j]*B[j, j]), flat[i])
  by_spread[n, i]: d(sum[n, j](spread[n, j]**2*y[n]), spread[n, i])
  by_grown[n]: d(soft, grown[n])
  by_rows[i, j]: d(sum[i](f[i, 0]**2*f[i, 1]*w[i]), f[i, j])
  by_row[i]: d(sum[i](f[i, 0]**2*f[i, 1]*w[i]), f[i, 1])
  by_last[i]: d(sum[j](s[j, -1]**2*y[j]), s[i, -1])
  by_path[i, t]: d(sum[j](s[j, 2]**2 + s[j, -1]), s[i, t])
  last[i]: s[i, -1]
  through[i]: d(sum[j](s[j, -1]**2), w[i])
  twice[i, j]: d(sum[i](d(turned[i, 0]**3, turned[i, 0])*turned[i, 1]**2), turned[i, j])
"""

VALUES = {
    "c": np.array(0.35),
    "w": np.array([0.6, -0.4]),
    "B": np.array([[0.2, -0.3], [0.5, 0.1]]),
    "y": np.array([0.4, -0.7, 1.1]),
}


def test_derivatives_by_definitions(tmp_path: Path) -> None:
    spec = good(TEXT)
    truth = Meaning(spec, VALUES).outputs()
    for level in (0, 1, 2):
        outputs = Emission(spec, level, tmp_path / f"program_{level}.py").call("outputs", VALUES)
        for name, value in truth.items():
            close(outputs[name], value, f"-O{level} {name}")


def test_a_finished_graph_keeps_nothing_apart() -> None:
    assert not any((n.kind, n.op) == (Kind.STOP, "hold") for n in all_nodes(lower_spec(good(TEXT))))
