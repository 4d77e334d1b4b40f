"""Matrices of a few diagonals: values and gradients against the dense form, second derivatives against JAX, what is made."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.language.helpers import good
from tests.passes.test_structure import HEAD, VALUES, N, dense
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

# The second differences of n values are n - 2, here those of fewer: `t` counts them.
ASKED = (
    HEAD.replace("k, l: 2}", f"k, l: 2, t, u: {N - 2}}}")
    .replace("y[:])[i]", "y[:], by=banded)[i]")
    .replace("logdet(A[:, :])", "logdet(A[:, :], by=banded)")
    .replace("inv(A[:, :])", "inv(A[:, :], by=banded)")
    .replace("define:\n", "define:\n  D[t, i]: {D}\n  G[t, u]: {G}\n")
)
SECOND = "(1 if index(i) == index(t) else -2 if index(i) == index(t) + 1 else 1 if index(i) == index(t) + 2 else 0)"
FIVE = (
    "(7 + s)*delta[i, j] - exp(a[i]/4)*(delta[i, j + 1] + delta[i + 1, j]) + U[i, 0]*delta[i, j + 2] - delta[i + 2, j]"
)
CASES = {
    "five": FIVE,
    "one sided": "(9 + s)*delta[i, j] + a[i]*delta[i, j + 2] + U[j, 1]*delta[i, j + 1]",
    "above": "(9 + s)*delta[i, j] + a[i]*delta[i + 2, j] + U[j, 1]*delta[i + 1, j]",
    "branches": "6 + s if index(i) == index(j) else a[i]*a[j]/(1 + abs(index(i) - index(j))) "
    "if abs(index(i) - index(j)) < 3 else 0",
    "gram": "sum[t](D[t, i]*s*D[t, j]) + delta[i, j]*exp(a[i])",
    "weighted": "delta[i, j] + exp(U[0, 0])*sum[t](D[t, i]*exp(a[t]/4)*D[t, j])",
    "twice": "delta[i, j] + sum[t, u](D[t, i]*G[t, u]*D[u, j])",
}


def graph(A: str, asked: bool = True, level: int = 2, twice: bool = True) -> Graph:
    text = (ASKED if asked else ASKED.replace(", by=banded", "")).replace("{A}", A)
    if not twice:
        text = "\n".join(line for line in text.splitlines() if not re.match("  by_._", line))
    text = text.replace("{D}", SECOND).replace("{G}", "delta[t, u]*exp(a[t]/4)")
    return compile_spec(good(text), level=level).graph


@pytest.mark.parametrize("name", CASES)
def test_banded_matrices_have_the_derivatives_of_the_dense_form(name: str) -> None:
    twice = name == "five"
    found = evaluate_graph(graph(CASES[name], twice=twice), VALUES)["outputs"]
    plain = {(k,): v for k, v in dense(FIVE).items()}
    if not twice:
        plain = evaluate_graph(graph(CASES[name], False, 0, twice), VALUES)["outputs"]
    assert len(plain) == (7 if twice else 4)
    for key, value in plain.items():
        scale = max(1.0, float(np.max(np.abs(value))))
        np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-9 * scale, err_msg=str(key))


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"twice"}))
def test_no_matrix_is_made(name: str) -> None:
    """But for the inverse, which is one, and second derivatives by whole arrays."""
    text = ASKED.replace("{A}", CASES[name]).replace("{D}", SECOND).replace("{G}", "delta[t, u]*exp(a[t]/4)")
    kept = [line for line in text.splitlines() if not re.match("  by_[aU]_a", line)]
    text = "\n".join(kept).replace(" + sum[i, j](x[i]*inv(A[:, :], by=banded)[i, j]*y[j])", "")
    found = compile_spec(good(text)).graph
    sizes = Sizes.of(found)
    assert max(sizes.count(n.axes) for n in found.nodes) <= 2 * N
    assert {n.op for n in found.nodes if n.kind is Kind.CALL} == {"banded_solve", "banded_logdet"}


TREND = """\
precision: float64
dims: {i, j: 400, t: 398, c: 3}
data:
  y[i, c]: real
params:
  lam: {init: 100, domain: positive}
define:
  D[t, i]: 1 if index(i) == index(t) else -2 if index(i) == index(t) + 1 else 1 if index(i) == index(t) + 2 else 0
  A[i, j]: delta[i, j] + lam*sum[t](D[t, i]*D[t, j]){more}
  x[i, c]: solve(A[:, :], y[:, c])[i]
  loss: sum[i, c]((x[i, c] - y[i, c])**2) + logdet(A[:, :])
outputs:
  loss: loss
  slope: d(loss, lam)
"""


@pytest.mark.parametrize(("more", "chosen"), [("", "banded"), (" + exp(lam)/100*y[i, 0]*y[j, 0]", "low_rank")])
def test_definite_bands_are_found_and_run(more: str, chosen: str) -> None:
    """A smoother with second differences, whose diagonal does not dominate; with three right sides, and with an update."""
    spec = good(TREND.replace("{more}", more).replace("init: 100", "init: 1"))
    values = {"y": np.random.default_rng(1).normal(size=(400, 3)), "lam": np.array(1.5)}
    wanted = evaluate_graph(compile_spec(spec, level=0).graph, values)["outputs"]
    with tempfile.TemporaryDirectory() as folder:
        program = Emission(spec, 2, Path(folder) / "program.py")
        got = program.call("outputs", values)
    found = program.compiled.graph
    assert {c.chosen for c in choices_of(found) if c.what.endswith("(A[:, :])")} == {chosen}
    assert "banded_solve(2)" in program.compiled.emitted.text
    assert max(Sizes.of(found).count(n.axes) for n in found.nodes) <= 1200
    for (name,), value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-8, err_msg=str(name))


def test_small_systems_stay_dense_and_wide_ones_too() -> None:
    assert not [n for n in graph(FIVE, False).nodes if n.kind is Kind.CALL]
    wide = "40*delta[i, j] + (1 if abs(index(i) - index(j)) < 18 else 0)"
    text = f"dims: {{i, j: 400}}\ndefine:\n  A[i, j]: {wide}\noutputs:\n  v: logdet(A[:, :])\n"
    found = compile_spec(good(text)).graph
    assert not [n for n in found.nodes if n.kind is Kind.CALL]


def test_what_may_need_exchanges_is_asked_for_or_dense() -> None:
    unsafe = "a[i]*delta[i, j] + delta[i, j + 2] + delta[i + 2, j]"
    text = f"dims: {{i, j: 2000}}\nparams:\n  a[i]: {{init: 9}}\ndefine:\n  A[i, j]: {unsafe}\noutputs:\n  v: logdet(A[:, :])\n"
    assert not [n for n in compile_spec(good(text)).graph.nodes if n.kind is Kind.CALL]
    asked = text.replace("logdet(A[:, :])", "logdet(A[:, :], by=banded)")
    assert [n for n in compile_spec(good(asked)).graph.nodes if n.kind is Kind.CALL]


def test_what_is_not_banded_is_refused() -> None:
    text = "dims: {i, j: 9}\nparams:\n  a[i]: {init: 1}\n"
    text += "define:\n  A[i, j]: a[i]*a[j] + delta[i, j]\noutputs:\n  v: logdet(A[:, :], by=banded)\n"
    with pytest.raises(SpecError) as caught:
        compile_spec(good(text))
    (only,) = caught.value.diagnostics
    assert only.code == "VS0271"
    assert "banded" in only.message
