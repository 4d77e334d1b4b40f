"""Sums of second derivatives in specs: networks and residuals against JAX's AD, how they are taken, and what they cost."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.cost import Sizes, entry_cost
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, topological
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import Compiled, compile_spec
from vspec.compiler.report.explain import explain

NET = """
dims: {c: 5, "i, j": 3, "h, k": 4, r: 2}
precision: float64
data:
  x[c, i]: real
  t[c]: real
  A[i, j]: real
  B[i, r]: real
  D[c, i]: real
params:
  W[i, h]: {init: 0}
  T[h]: {init: 0}
  V[h, k]: {init: 0}
  v[k]: {init: 0}
define:
  z[c, h]: tanh(sum[i](x[c, i]*W[i, h]) + t[c]*T[h])
  y[c, k]: tanh(sum[h](z[c, h]*V[h, k]))
  u[c]: sum[k](y[c, k]*v[k])
  ux[c, i]: d(u[c], x[c, i])
"""
OUTPUTS = """
  laplacian[c]: sum[i](d(u[c], x[c, i], x[c, i]))
  swept[c]: sum[i](d(u[c], x[c, i], x[c, i], by=reverse))
  nested[c]: sum[i](d(ux[c, i], x[c, i]))
  general[c]: sum[i, j](A[i, j]*d(u[c], x[c, i], x[c, j]))
  factors[c]: sum[i, j, r](B[i, r]*B[j, r]*d(u[c], x[c, i], x[c, j]))
  diagonal[c, i]: d(u[c], x[c, i], x[c, i])
  weighted[c]: sum[i](D[c, i]*d(u[c], x[c, i], x[c, i])/2)
  depending[c]: sum[i](u[c]*exp(x[c, i])*d(u[c], x[c, i], x[c, i]))
  heat[c]: d(u[c], t[c]) - 0.3*sum[i](d(u[c], x[c, i], x[c, i]))
  potential[c]: sum[i](D[c, i] - d(u[c], x[c, i], x[c, i]))
  third[c]: d(u[c], t[c], t[c], t[c])
  mixed[c]: sum[i](d(u[c], x[c, i], x[c, i], t[c]))
  biharmonic[c]: sum[i, j](d(u[c], x[c, i], x[c, i], x[c, j], x[c, j]))
  forced[c, i, j]: d(u[c], x[c, i], x[c, j], by=laplacian)
  place[c]: d(u[c], x[c, 1], x[c, 1])
  whole: sum[c, i](D[c, i]*d(u[c], x[c, i], x[c, i]))
"""
SHAPES = {"x": (5, 3), "t": (5,), "A": (3, 3), "B": (3, 2), "D": (5, 3), "W": (3, 4), "T": (4,), "V": (4, 4), "v": (4,)}


def arguments() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape) for name, shape in SHAPES.items()}


@cache
def compiled() -> Compiled:
    """The network and all outputs, compiled once."""
    return compile_spec(good(NET + "outputs:" + OUTPUTS))


def references(a: dict[str, Any]) -> dict[str, Any]:
    """The outputs by JAX."""

    def u(x: Any, t: Any) -> Any:
        return jnp.tanh(jnp.tanh(x @ a["W"] + t * a["T"]) @ a["V"]) @ a["v"]

    def laplacian(x: Any, t: Any) -> Any:
        return jnp.trace(jax.hessian(u)(x, t))

    def every(f: Any) -> Any:
        return jax.vmap(f)(a["x"], a["t"])

    whole, value = every(jax.hessian(u)), every(u)
    by_i = np.einsum("cii->ci", whole)
    trace = by_i.sum(1)
    return {
        "laplacian": trace,
        "swept": trace,
        "nested": trace,
        "general": np.einsum("ij,cij->c", a["A"], whole),
        "factors": np.einsum("ir,jr,cij->c", a["B"], a["B"], whole),
        "diagonal": by_i,
        "weighted": (a["D"] * by_i).sum(1) / 2,
        "depending": value * (np.exp(a["x"]) * by_i).sum(1),
        "heat": every(jax.grad(u, 1)) - 0.3 * trace,
        "potential": a["D"].sum(1) - trace,
        "third": every(jax.grad(jax.grad(jax.grad(u, 1), 1), 1)),
        "mixed": every(jax.grad(laplacian, 1)),
        "biharmonic": every(lambda x, t: jnp.trace(jax.hessian(laplacian)(x, t))),
        "forced": whole,
        "place": by_i[:, 1],
        "whole": (a["D"] * by_i).sum(),
    }


@pytest.mark.parametrize("which", ["before", "graph"])
def test_outputs_agree_with_jax(which: str) -> None:
    a = arguments()
    graph: Graph = getattr(compiled(), which)
    found = {path[0]: x for path, x in evaluate_graph(graph, a)["outputs"].items()}
    expected = references(a)
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        np.testing.assert_allclose(found[str(name)], theirs, rtol=1e-9, atol=1e-11, err_msg=str(name))


def test_what_was_chosen_is_told() -> None:
    rows = {c.what: c for c in choices_of(compiled().graph)}
    for what, row in rows.items():
        if what.startswith("sum["):
            assert row.chosen == "laplacian", what
            costs = {x.name: x.flops for x in row.among}
            assert costs["laplacian"] == min(costs.values()) < max(costs.values())
    assert rows["d(u[c], x[c, i], x[c, i], by=reverse)"].chosen == "reverse"
    assert rows["d(u[c], x[c, i], x[c, j], by=laplacian)"].because == "asked for"
    told = explain(compiled())
    assert "one forward sweep with value, first and second derivatives together" in told


def test_fewer_columns_are_fewer_directions() -> None:
    """With A = B B' and two columns, first derivatives have two rows in the place of three."""
    text = "outputs:\n  v[c]: sum[i, j, r](B[i, r]*B[j, r]*d(u[c], x[c, i], x[c, j]))\n"
    graph = compile_spec(good(NET + text)).graph
    rows = [n for n in graph.nodes if "c" in n.names and {"r", "i"} & {a.dim for a in n.axes}]
    assert {d for n in rows for d in (a.dim for a in n.axes) if d in ("r", "i")} == {"r", "i"}
    assert all(n.kind is Kind.INPUT for n in rows if any(a.dim == "i" for a in n.axes))


BIG = """
dims: {{c: 1000, "i, j": 10, "h, k, m": 64}}
data: {{"x[c, i]": real}}
params:
  W1[i, h]: {{init: 0}}
  W2[h, k]: {{init: 0}}
  W3[k, m]: {{init: 0}}
  v[m]: {{init: 0}}
define:
  z1[c, h]: tanh(sum[i](x[c, i]*W1[i, h]))
  z2[c, k]: tanh(sum[h](z1[c, h]*W2[h, k]))
  z3[c, m]: tanh(sum[k](z2[c, k]*W3[k, m]))
  u[c]: sum[m](z3[c, m]*v[m])
objectives:
  loss: mean[c](sum[i](d(u[c], x[c, i], x[c, i]{by}))**2)
solve: {{minimize: loss, steps: 1}}
"""


@cache
def gradient_cost(by: str) -> tuple[float, Graph]:
    """Operations of the gradient of a loss in ten dimensions, after all passes."""
    graph = compile_spec(good(BIG.format(by=by))).graph
    (entry,) = (e for e in graph.entries if e.kind == "gradient")
    return entry_cost([r.node for r in entry.results], Sizes.of(graph), "float32").flops, graph


def test_the_gradient_of_a_residual_costs_a_fraction_of_that_sweep_by_sweep() -> None:
    together, graph = gradient_cost("")
    apart, _ = gradient_cost(", by=reverse")
    # One product of matrices per layer for a value takes 2*1000*64*64 operations. Value, ten first derivatives and the sum
    # of second ones are twelve of them, a gradient three times as much.
    layers = 2 * 2 * 1000 * 64 * 64
    assert together < 1.25 * 3 * 12 * layers
    assert together < 0.6 * apart
    hessians = [n for n in topological(graph.roots) if sum(a.dim == "i" for a in n.axes) > 1]
    assert hessians == []


def test_by_laplacian_does_not_go_through_a_loop() -> None:
    text = (
        "dims: {t: 5}\nparams: {x: {init: 1}}\ndefine:\n  u[0]: x\n  u[t + 1]: sin(u[t])\n"
        "outputs:\n  v: d(u[-1], x, x, by=laplacian)\n"
    )
    with pytest.raises(SpecError) as caught:
        compile_spec(good(text))
    assert [d.code for d in caught.value.diagnostics] == ["VS0259"]


def test_a_batch_that_something_mixes_is_taken_sweep_by_sweep() -> None:
    text = """
dims: {c: 3, i: 2}
precision: float64
data: {"x[c, i]": real}
define:
  s[i]: sum[c](x[c, i]**2)
  u[c]: sum[i](sin(x[c, i])*s[i])
outputs:
  v[c]: sum[i](d(u[c], x[c, i], x[c, i]))
"""
    found = compile_spec(good(text))
    assert "laplacian" not in {c.chosen for c in choices_of(found.graph)}
    x = np.random.default_rng(1).normal(size=(3, 2))
    whole = jax.hessian(lambda x: (jnp.sin(x) * (x**2).sum(0)).sum(1))(x)
    (out,) = evaluate_graph(found.graph, {"x": x})["outputs"].values()
    np.testing.assert_allclose(out, np.einsum("ccici->c", whole), rtol=1e-9)
