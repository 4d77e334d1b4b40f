"""Matrices of differences of places on a line: values and gradients against the dense form, and what is computed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

TEXT = """\
precision: float64
dims: {{i, j: {n}, c: 2}}
data:
  y[i, c]: real
params:
  s: {{init: 1, domain: positive}}
  a[i]: {{init: 1}}
define:
  at[i]: 3 + index(i)/10
  A[i, j]: {A}
  x[i, c]: solve(A[:, :], y[:, c])[i]
  loss: sum[i, c](y[i, c]*x[i, c]) + logdet(A[:, :])
outputs:
  loss: loss
  by_s: d(loss, s)
  by_s_s: d(loss, s, s)
"""
KERNELS = {
    "places": "exp(-((at[i] - at[j])/s)**2/2) + s*delta[i, j]/9",
    "indices": "s*exp(-abs(index(i) - index(j))/(4*s)) + delta[i, j]/8",
    "product": "exp(-(index(i)/4 - index(j)/4)**2/s)*exp(-abs(index(j) - index(i))/9) + (0.1 + s)*delta[i, j]",
}


def values(n: int) -> dict[str, np.ndarray]:
    return {"y": np.random.default_rng(3).normal(size=(n, 2)), "s": np.array(0.8), "a": np.ones(n)}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_on_a_line_are_solved_by_recursion(name: str) -> None:
    """Value, slope and curvature of the emitted program; nothing with rows and columns is made but second derivatives."""
    spec = good(TEXT.format(n=200, A=KERNELS[name]))
    wanted = evaluate_graph(compile_spec(spec, level=0).graph, values(200))["outputs"]
    with tempfile.TemporaryDirectory() as folder:
        program = Emission(spec, 2, Path(folder) / "program.py")
        got = program.call("outputs", values(200))
    found = program.compiled.graph
    assert {c.chosen for c in choices_of(found) if c.what.endswith("(A[:, :])")} == {"toeplitz"}
    assert max(Sizes.of(found).count(n.axes) for n in found.nodes) <= 400
    assert not [n for n in found.nodes if n.kind is Kind.LINALG]
    for (key,), value in wanted.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-8, err_msg=str(key))


@pytest.mark.parametrize(
    "A",
    [
        "exp(-abs(index(i) - index(j))) + a[i]**2*delta[i, j]",  # not the same along the diagonal
        "exp(-(index(i)/3 - index(j)/4)**2) + delta[i, j]",  # no difference
        "exp(-(index(i) - index(j) + 1)**2/s) + delta[i, j]",  # not symmetric
        "1/(1 + (index(i) - index(j))**2)",  # not known to be definite
        "exp(-(at[i]**2 - at[j]**2)**2/s) + delta[i, j]",  # differences of squares
    ],
)
def test_other_matrices_are_not(A: str) -> None:
    found = compile_spec(good(TEXT.format(n=200, A=A))).graph
    assert not [n for n in found.nodes if n.kind is Kind.CALL]


def test_it_can_be_asked_for() -> None:
    spec = good(
        TEXT.format(n=9, A="9*delta[i, j] + 1/(1 + (index(i) - index(j))**2)").replace(":, c])", ":, c], by=toeplitz)")
    )
    found = compile_spec(spec).graph
    assert {n.op for n in found.nodes if n.kind is Kind.CALL} == {"toeplitz_solve"}
    got = evaluate_graph(found, values(9))["outputs"]
    wanted = evaluate_graph(compile_spec(spec, level=0).graph, values(9))["outputs"]
    np.testing.assert_allclose(got[("loss",)], wanted[("loss",)], rtol=1e-10)
    with pytest.raises(SpecError) as caught:
        compile_spec(good(TEXT.format(n=9, A="a[i]*a[j] + delta[i, j]").replace("(A[:, :])", "(A[:, :], by=toeplitz)")))
    assert {d.code for d in caught.value.diagnostics} == {"VS0271"}
