"""`by=` on derivatives, and the table that says how each was taken."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import Compiled, compile_spec
from vspec.compiler.report.explain import explain, explain_json
from vspec.compiler.report.page import strategies as page

TEXT = """
dims: {n: 3, i, j: 4}
data:
  X[n, i]: real
params:
  w[i]: {init: 0}
define:
  f[n]: exp(sum[i](X[n, i]*w[i]))*w[0]
outputs:
  plain[n, i]: d(f[n], w[i])
  forward[n, i]: d(f[n], w[i], by=forward)
  reverse[n, i]: d(f[n], w[i], by=reverse)
  twice[n, i, j]: d(f[n], w[i], w[j], by=forward)
  back[n, i, j]: d(f[n], w[i], w[j], by=reverse)
"""


@cache
def compiled() -> Compiled:
    """The spec above, compiled once."""
    return compile_spec(good(TEXT))


def values(graph: Graph) -> dict[str, np.ndarray]:
    """The outputs at random arguments."""
    rng = np.random.default_rng(0)
    arguments = {"X": rng.normal(size=(3, 4)), "w": rng.normal(size=4)}
    (entry,) = (e for e in graph.entries if e.kind == "outputs")
    found = evaluate([r.node for r in entry.results], arguments, graph.dims)
    return {str(r.path[0]): x for r, x in zip(entry.results, found, strict=True)}


def test_ways_agree() -> None:
    found = values(compiled().before)
    np.testing.assert_allclose(found["forward"], found["reverse"], rtol=1e-12)
    np.testing.assert_allclose(found["plain"], found["reverse"], rtol=1e-12)
    np.testing.assert_allclose(found["twice"], found["back"], rtol=1e-12)


def test_a_way_is_taken_where_it_is_asked_for() -> None:
    rows = {c.what: c for c in choices_of(compiled().graph)}
    assert rows["d(f[n], w[i], by=forward)"].chosen == "forward"
    assert rows["d(f[n], w[i], by=reverse)"].chosen == "reverse"
    assert rows["d(f[n], w[i], w[j], by=forward)"].chosen == "forward"
    assert all(c.because == "asked for" for what, c in rows.items() if "by=" in what)
    plain = rows["d(f[n], w[i])"]
    # Three values, four variables: fewer seeds go backwards.
    assert (plain.chosen, plain.because) == ("reverse", "least cost")
    costs = {x.name: x.flops for x in plain.among}
    assert costs["reverse"] < costs["forward"]


def test_the_table_is_shown_as_text_as_data_and_on_pages() -> None:
    text = explain(compiled())
    assert re.search(r"d\(f\[n\], w\[i\], by=forward\) +forward: asked for, [\d.]+k? against reverse", text)
    rows = explain_json(compiled())["strategies"]
    assert [r["line"] for r in rows] == sorted(r["line"] for r in rows)
    assert {"kind", "what", "line", "file", "chosen", "because", "among"} <= rows[0].keys()
    assert "by=forward" in str(page(compiled()))


def test_no_forward_sweep_goes_through_a_loop() -> None:
    text = "dims: {t: 5}\nparams: {x: {init: 1}}\ndefine:\n  u[0]: x\n  u[t + 1]: sin(u[t])\noutputs:\n  v: d(u[-1], x%s)\n"
    compile_spec(good(text % ""))
    with pytest.raises(SpecError) as caught:
        compile_spec(good(text % ", by=forward"))
    (found,) = caught.value.diagnostics
    assert found.code == "VS0259"
    assert "loop" in found.message
