"""What the table of claims shows: each figure once beside its own bounds, of chains and of comparisons joined by `and`."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

from vspec.commands.claims import show_claims
from vspec.compiler.pipeline import build
from vspec.runtime.claims import ClaimResult
from vspec.runtime.run import run

SPEC = """\
vspec: 1
name: shown
precision: float64
dims: {i: 2}
constants: {low: 0.9}
params:
  w[i]: {init: 1}
define:
  a: sum[i](w[i])/2
  b: a + 1
objectives:
  loss: sum[i]((w[i] - 1)**2)
solve: {minimize: loss}
claims:
  single: a < 2
  turned: 2 > a
  chain: 0.9 <= a <= 1.1
  constant: low <= a <= 1 + low
  pair: a < 2 and b > a
  mixed: 0.5 < a < 1 and b != 1
  longer: 0 < a < b < 3
  numbers: 0 < 1
  either: a < 1 or b > 1
  partly: a < 2 and (a < 1 or b > 5)
"""
WANTED = {
    "single": (True, [("1", "< 2")]),
    "turned": (True, [("1", "< 2")]),
    "chain": (True, [("1", ">= 0.9, <= 1.1")]),
    "constant": (True, [("1", ">= low = 0.9, <= 1 + low = 1.9")]),
    "pair": (True, [("a = 1", "< 2"), ("b = 2", "> a = 1")]),
    "mixed": (False, [("a = 1", "> 0.5, < 1"), ("b = 2", "!= 1")]),
    "longer": (True, [("a = 1", "> 0, < b = 2"), ("b = 2", "< 3")]),
    "numbers": (True, [("0", "< 1")]),
    "either": (True, []),
    "partly": (False, [("a = 1", "< 2"), ("a < 1 or b > 5: false", "true")]),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClaimResult]:
    folder = tmp_path_factory.mktemp("shown")
    path = folder / "shown.yaml"
    path.write_text(SPEC)
    built = build(path, folder / "program", stablehlo=False)
    return {c.name: c for c in run(built.directory, out=folder / "results").claims}


@pytest.mark.parametrize("name", WANTED)
def test_each_figure_stands_beside_its_bounds(judged: dict[str, ClaimResult], name: str) -> None:
    holds, parts = WANTED[name]
    claim = judged[name]
    assert claim.holds is holds
    assert [(p.measured, p.bound) for p in claim.parts] == parts
    if parts:
        assert claim.measured == "; ".join(m for m, _ in parts)
        assert claim.bound == "; ".join(b for _, b in parts)
    assert list(claim.as_dict()["parts"]) == [{"measured": m, "bound": b} for m, b in parts]


def test_figures_and_limits_are_those_of_the_comparisons(judged: dict[str, ClaimResult]) -> None:
    assert (judged["chain"].figures, judged["chain"].limits) == ((1.0, 1.0), (0.9, 1.1))
    assert (judged["longer"].figures, judged["longer"].limits) == ((1.0, 1.0, 2.0), (0.0, 2.0, 3.0))


def test_the_table(judged: dict[str, ClaimResult]) -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        show_claims([judged[k] for k in ("pair", "chain", "mixed")])
    rows = [line.split() for line in out.getvalue().splitlines()[2:] if line.strip()]
    assert rows == [
        ["pair", "✓", "a", "=", "1", "<", "2"],
        ["b", "=", "2", ">", "a", "=", "1"],
        ["chain", "✓", "1", ">=", "0.9,", "<=", "1.1"],
        ["mixed", "✗", "a", "=", "1", ">", "0.5,", "<", "1"],
        ["b", "=", "2", "!=", "1"],
    ]
    lines = out.getvalue().splitlines()
    assert lines[2].index("a = 1") == lines[3].index("b = 2"), "the second figure stands below the first"
