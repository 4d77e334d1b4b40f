"""Domains at run time: membership of starts, random points, violations of constraints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vspec
from vspec.runtime.domains import Domain
from vspec.runtime.errors import NumericsError

DOMAINS = {
    "positive": Domain("positive"),
    "box": Domain("box", lower=np.array([0.0, -np.inf, 2.0]), upper=np.array([1.0, 3.0, np.inf])),
    "integer": Domain("integer"),
    "simplex": Domain("simplex", (2,)),
    "sphere": Domain("unit", (1, 2)),
    "psd": Domain("psd", (1, 2)),
    "orthogonal": Domain("orthogonal", (1, 2)),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_random_points_lie_inside_and_others_do_not(name: str) -> None:
    domain = DOMAINS[name]
    generator = np.random.default_rng(1)
    for _ in range(20):
        x = domain.random((4, 3, 3), generator)
        assert x.shape == (4, 3, 3)
        assert domain.violation(x) < 1e-12
    outside = {"box": -1.0, "integer": 0.5}.get(name, -2.0)
    assert domain.violation(np.full((4, 3, 3), outside)) >= 0.5


def test_spread_of_random_points() -> None:
    x = np.concatenate([DOMAINS["box"].random((1, 1, 3), np.random.default_rng(k)) for k in range(400)])[:, 0]
    assert x.min(axis=0)[0] < 0.2
    assert x.max(axis=0)[0] > 0.8
    assert x.min(axis=0)[1] < 0
    assert x.max(axis=0)[2] > 4


SPEC = """vspec: 1
name: fenced
precision: float64
dims:
  i: 3
constants: {hi: 2.0, start: 0.5}
params:
  b[i]: {init: start, domain: "box(0, hi*(1 + index(i)))"}
  p[i]: {init: 1/size(i), domain: "simplex[i]"}
constraints:
  total: sum[i](b[i]) == 1
  range[i]: 0.6 <= b[i] <= 1
solve: {evaluate: [first]}
define:
  first: b[0]
outputs:
  first: first
claims:
  sums: {identity: "sum[i](p[i]) == 1", tolerance: 1e-12}
  inside: {identity: "clip(b[i], 0, hi*(1 + index(i))) == b[i]", tolerance: 0}
"""


def test_a_run_reports_violations(tmp_path: Path) -> None:
    path = tmp_path / "fenced.yaml"
    path.write_text(SPEC, encoding="utf-8")
    result = vspec.run(path)
    assert dict(result.constraints) == pytest.approx({"total": 0.5, "range": 0.1, "range.1": 0.0})
    assert result.holds


def test_starts_outside(tmp_path: Path) -> None:
    path = tmp_path / "fenced.yaml"
    path.write_text(SPEC, encoding="utf-8")
    with pytest.raises(NumericsError, match=r"'b' lies in a box, but its start misses that by 0\.5"):
        vspec.run(path, constants={"start": 2.5})
    with pytest.raises(NumericsError, match="'p' sums to 1"):
        vspec.run(path, params={"p": [0.5, 0.2, 0.2]})
    assert vspec.run(path, constants={"start": 2.5, "hi": 3.0}).constraints["range.1"] == pytest.approx(1.5)


def test_bounds_with_some_of_the_axes(tmp_path: Path) -> None:
    text = SPEC.replace("i: 3", "i: 3\n  j: 2").replace("b[i]:", "b[i, j]:").replace("first: b[0]", "first: b[0, 0]")
    text = text.replace("hi*(1 + index(i))) == b[i]", "hi*(1 + index(i))) == b[i, j]").replace(
        "clip(b[i]", "clip(b[i, j]"
    )
    text = text.replace("total: sum[i](b[i]) == 1\n  range[i]: 0.6 <= b[i] <= 1", "total: sum[i, j](b[i, j]) == 1")
    path = tmp_path / "fenced.yaml"
    path.write_text(text, encoding="utf-8")
    assert vspec.run(path).holds
