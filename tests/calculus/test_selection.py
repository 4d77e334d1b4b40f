"""Sums with one-hot deltas are gathers and scatters: the graph shows it, values and derivatives are those of the dense form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.language.spec import Spec
from vspec.compiler.pipeline import check_text, compile_spec

HEAD = """\
vspec: 1
name: selection
precision: float64
dims: {n: 6, 'i, j': 3, k: 2, r: 4, o: {size: 3, boundary: periodic}}
data:
  X[n, i]: real
  x[n]: real
  free[n]: integer
  z[n]: {type: integer, in: [0, 1]}
  three[n]: {type: integer, in: [0, 1, 2]}
params:
  W[k, i]: {init: 1}
  w[i]: {init: 1}
  v[o]: {init: 1}
"""


def values() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "X": rng.normal(size=(6, 3)),
        "x": rng.normal(size=6),
        # Two of them are positions of no axis.
        "free": np.array([0, 1, -1, 2, 1, 7]),
        "z": np.array([0, 1, 1, 0, 1, 0]),
        "three": np.array([2, 0, 2, 1, 0, 2]),
        "W": rng.normal(size=(2, 3)),
        "w": rng.normal(size=3),
        "v": rng.normal(size=3),
    }


def checked(text: str) -> Spec:
    spec, diagnostics = check_text(HEAD + text, "selection.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    return spec


def kinds(graph: Graph) -> set[Kind]:
    return {n.kind for n in all_nodes(graph)}


def largest(graph: Graph, dims: set[str]) -> int:
    """The most of these dims that one node has at once."""
    return max(len(dims & {a.dim for a in n.axes}) for n in all_nodes(graph))


def same(text: str, folder: Path) -> None:
    spec = checked(text)
    stated = Meaning(spec, values()).outputs()
    for level in (0, 2):
        found = Emission(spec, level, folder / f"selection_{level}.py").call("outputs", values())
        for name, meant in stated.items():
            truth = np.asarray(meant)
            np.testing.assert_allclose(found[name], truth, rtol=1e-10, atol=1e-10, err_msg=f"-O{level} {name}")


SCATTERS = {
    "sum": "sum[n](delta[z[n], k]*x[n])",
    "turned": "sum[n](x[n]*delta[k, z[n]])",
    "histogram": "sum[n](delta[z[n], k])",
    "mean": "mean[n](delta[z[n], k]*x[n])",
    "signed": "sum[n](-delta[z[n], k]*x[n]/2)",
    "weighted": "sum[n](delta[z[n], k]*x[n]*W[k, 1])",
    "rows": "sum[n, i](delta[z[n], k]*X[n, i]*w[i])",
    "named": "sum[n](onehot[n, k]*x[n])",
    "open": "sum[n](delta[free[n], k]*x[n])",
    "shifted": "sum[n](delta[free[n] - 1, k]*x[n])",
}


@pytest.mark.parametrize("formula", SCATTERS.values(), ids=SCATTERS)
def test_a_sum_with_a_delta_of_what_is_summed_is_a_scatter(formula: str, tmp_path: Path) -> None:
    text = f"define:\n  onehot[n, k]: delta[z[n], k]\n  y[k]: {formula}\noutputs:\n  y[k]: y[k]\n"
    spec = checked(text)
    for graph in (lower_spec(spec), compile_spec(spec).graph):
        assert Kind.SCATTER in kinds(graph)
        # Neither the table of deltas nor the product with it is ever formed.
        assert largest(graph, {"n", "k"}) == 1
    same(text, tmp_path)


GATHERS = {
    "row": ("n, i", "sum[k](delta[z[n], k]*W[k, i])"),
    "turned": ("n, i", "sum[k](W[k, i]*delta[k, z[n]])"),
    "function": ("n, i", "sum[k](delta[z[n], k]*exp(W[k, i]))"),
    "along": ("n", "sum[k](delta[z[n], k]*softmax[k](W[k, 0]))"),
    "index": ("n", "sum[k](delta[z[n], k]*index(k)*x[n])"),
    "both": ("n", "sum[k, i](delta[z[n], k]*delta[three[n], i]*W[k, i])"),
    "meet": ("n", "sum[i](delta[three[n], i]*X[n, i]*exp(x[n]*w[i]))"),
    "chain": ("n", "sum[k, i](delta[z[n], k]*delta[i, k + 1]*w[i])"),
    "open": ("n, i", "sum[k](delta[free[n], k]*W[k, i])"),
    "next": ("i", "sum[j](delta[i + 1, j]*w[j])"),
}


@pytest.mark.parametrize(("letters", "formula"), GATHERS.values(), ids=GATHERS)
def test_a_sum_over_the_letter_of_a_delta_is_a_gather(letters: str, formula: str, tmp_path: Path) -> None:
    text = f"define:\n  y[{letters}]: {formula}\noutputs:\n  y[{letters}]: y[{letters}]\n"
    spec = checked(text)
    for graph in (lower_spec(spec), compile_spec(spec).graph):
        assert Kind.GATHER in kinds(graph)
        assert not any(n.kind is Kind.REDUCE and n.op == "sum" for n in all_nodes(graph))
        assert largest(graph, {"n", "k"}) == 1
    same(text, tmp_path)


def test_neighbours_of_the_selected_are_read_around_the_end(tmp_path: Path) -> None:
    """What is read beside the letter is formed along it first, then taken at the position."""
    same(
        "outputs:\n  y[n]: sum[o](delta[three[n], o]*v[o + 1]*x[n])\n"
        "  u[n]: sum[o](delta[three[n], o]*(v[o - 1]*index(o) + x[n]*v[2*o]))\n",
        tmp_path,
    )


def test_derivatives_are_those_of_the_dense_form(tmp_path: Path) -> None:
    same(
        """\
define:
  segment[k]: sum[n](delta[z[n], k]*exp(x[n]*w[1]))
  loose[k]: sum[n](delta[free[n], k]*x[n]*w[0]**2)
  embedded[n, i]: sum[k](delta[free[n], k]*W[k, i]**2)
  across[i]: sum[n](delta[three[n], i]*x[n]*w[i]**2)
outputs:
  a[k, i]: d(segment[k], w[i])
  b[i, j]: d(sum[k](segment[k]**2), w[i], w[j])
  c[k, i, j]: d(loose[k], w[i], w[j])
  e[k, i]: d(sum[n, i](sin(embedded[n, i])), W[k, i])
  f[k, i, j]: d(sum[n, i](sin(embedded[n, i])), W[k, i], W[1, j])
  g[i, j]: d(sum[i](across[i]**2), w[i], w[j])
  h[k, n]: d(segment[k], x[n])
  l[i, j]: d(across[i], w[j])
""",
        tmp_path,
    )


def test_several_deltas_and_free_letters(tmp_path: Path) -> None:
    same(
        """\
outputs:
  plane[i, k]: sum[n](delta[three[n], i]*delta[z[n], k]*x[n])
  matrix[i, j]: sum[n](delta[three[n], i]*X[n, j]*w[j])
  beyond[r]: sum[n](delta[free[n] + 1, r]*x[n])
  pair[i]: sum[n, k](delta[z[n], k]*W[k, i]*delta[three[n], i]*X[n, i])
  constant: sum[n, k](delta[z[n], k]*W[k, 0])
  counted[k]: sum[n, i](delta[z[n], k]*w[i])
  own[n]: sum[i](delta[three[n], i]*sum[n](X[n, i]))
  nested[i]: sum[n](delta[three[n], i]*cumsum[n](x[n]))
""",
        tmp_path,
    )


def test_deltas_of_plain_letters_stay_symbolic() -> None:
    graph = lower_spec(checked("outputs:\n  y[i]: sum[j](delta[i, j]*w[j])\n  t[i, j]: delta[i, j]*w[j]\n"))
    assert not kinds(graph) & {Kind.GATHER, Kind.SCATTER}


def test_where_the_range_is_proved_nothing_is_masked(tmp_path: Path) -> None:
    masked = compile_spec(checked("outputs:\n  y[k]: sum[n](delta[free[n], k]*x[n])\n")).emitted.text
    proved = compile_spec(checked("outputs:\n  y[k]: sum[n](delta[free[n] % size(k), k]*x[n])\n")).emitted.text
    listed = compile_spec(checked("outputs:\n  y[k]: sum[n](delta[z[n], k]*x[n])\n")).emitted.text
    assert "clip" in masked
    assert ".at[z].add(x)" in listed
    assert "clip" not in proved + listed
    assert "astype" not in proved + listed


def test_a_gather_in_the_step_of_a_recurrence(tmp_path: Path) -> None:
    spec, diagnostics = check_text(
        """\
vspec: 1
name: walk
precision: float64
dims: {t: 5, k: 3, n: 4}
data:
  z[t, n]: {type: integer, in: [0, 1, 2]}
  x[n]: real
define:
  s[0, k]: 0
  s[t + 1, k]: 0.5*s[t, k] + sum[n](delta[z[t, n], k]*x[n]) + delta[2, k]*sum[k](delta[z[t, 0], k]*s[t, k])
outputs:
  last[k]: s[-1, k]
  slope[k, n]: d(s[-1, k], x[n])
""",
        "walk.yaml",
    )
    assert spec is not None, [d.message for d in diagnostics]
    rng = np.random.default_rng(0)
    at = {"z": rng.integers(0, 3, (5, 4)), "x": rng.normal(size=4)}
    stated = Meaning(spec, at).outputs()
    for level in (0, 2):
        program = Emission(spec, level, tmp_path / f"walk_{level}.py")
        assert Kind.SCATTER in kinds(program.compiled.graph)
        found = program.call("outputs", at)
        for name, meant in stated.items():
            np.testing.assert_allclose(found[name], meant, rtol=1e-9, atol=1e-12)
