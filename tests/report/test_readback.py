"""What is read back from the graph means what the graph computes: evaluated by the independent reading of the language."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.evaluate import Interpreter
from tests.support.meaning import Meaning
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.language.expr import Affine
from vspec.compiler.language.spec import Spec
from vspec.compiler.pipeline import check_text, compile_spec
from vspec.compiler.report.readback import Reader, TooLong

HEAD = "vspec: 1\nname: t\nprecision: float64\n"
SPECS = {
    "regression": HEAD
    + """
dims: {n: 6, i, j: 3}
constants: {lam: 0.3}
data:
  X[n, i]: real
  y[n]: real
params:
  w[i]: {init: 0}
  c: {init: 0}
define:
  m[n]: (2*y[n] - 1)*(sum[i](X[n, i]*w[i]) + c)
  hessian[i, j]: d(loss, w[i], w[j])
objectives:
  loss: sum[n](log(1 + exp(-m[n]))) + lam/2*sum[i](w[i]**2) - mean[n](m[n]**3/7)
solve: {minimize: loss, method: newton()}
outputs:
  h[i, j]: hessian[i, j]
  tr: sum[i](hessian[i, i])
""",
    "stencil": HEAD
    + """
dims:
  x: {size: 7, from: 0, to: 2, boundary: periodic}
  y: {size: 5, boundary: zero}
  s: 3
data:
  f[x, y]: real
params:
  u[x, y]: {init: 0}
define:
  lap[x, y]: u[x + 1, y] + u[x - 1, y] - 2*u[x, y] + u[x, y + 1]*u[x, y - 1]
  picked[s, y]: lap[2*s, y]*u[0, y]
objectives:
  energy: sum[x, y]((lap[x, y] - f[x, y])**2)/2 + sum[s, y](picked[s, y]*sin(picked[s, y])) + u[2, 1]*u[-1, 2]
solve: {minimize: energy, method: lbfgs()}
""",
    "gathers": HEAD
    + """
dims: {n: 6, k: 4, i: 3}
data:
  z[n]: {type: integer, in: [0, 1, 2, 3]}
  b[n]: real
params:
  mu[k, i]: {init: 0}
  A[i, k]: {init: 0}
define:
  at[n, i]: mu[z[n], i]*b[n]
  p[n, k]: softmax[k](sum[i](A[i, k]*at[n, i]))
objectives:
  loss: -sum[n](log(p[n, z[n]])) + logsumexp[k](sum[i](mu[k, i]*A[i, k])) + max[i](A[i, 0]) + sum[k](cumsum[k](mu[k, 0])**2)
solve: {minimize: loss, method: adam()}
""",
    "algebra": HEAD
    + """
dims: {i, j: 3, n: 4}
data:
  B[n, i]: real
  r[i]: real
params:
  s: {init: 1}
define:
  K[i, j]: sum[n](B[n, i]*B[n, j]) + exp(s)*delta[i, j]
  v[i]: solve(K[:, :], r[:])[i]
objectives:
  loss: logdet(K[:, :]) + sum[i](r[i]*v[i]) + (s if s > 0 else s**2)
solve: {minimize: loss, method: newton()}
""",
}


def arguments(spec: Spec) -> dict[str, Any]:
    """Random values of everything that is given."""
    found: dict[str, Any] = {}
    generator = np.random.default_rng(5)
    for group in (spec.params, spec.data, spec.constants):
        for name, item in group.items():
            shape = tuple(spec.dims[spec.letters[x]].size for x in item.letters)
            integer = item.dtype == "integer"
            found[name] = generator.integers(0, 4, shape) if integer else generator.normal(size=shape) * 0.7
    return found


def with_primes(spec: Spec) -> Spec:
    """The spec with the letters that a reader makes where it runs out of its own."""
    letters = {f"{x}{'′' * k}": d for x, d in spec.letters.items() for k in range(4)}
    return replace(spec, letters={**letters, **spec.letters})


def named(graph: Graph) -> list[Node]:
    """Nodes to read back: results, those of definitions, and every third of the others."""
    roots = {n.uid for n in graph.roots}
    return [
        n
        for k, n in enumerate(graph.nodes)
        if n.dtype in ("real", "integer", "boolean")
        and n.kind not in (Kind.INPUT, Kind.ITEM, Kind.REGION)
        and (n.uid in roots or n.origin.name or k % 3 == 0)
    ]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("level", [0, 2])
def test_formulas_mean_what_nodes_compute(name: str, level: int) -> None:
    spec, diagnostics = check_text(SPECS[name], "t.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    # Parts that are placed side by side are read back as a list of them, which is no formula of the language.
    graph = compile_spec(spec, level=level, disable=("tile",)).graph
    given = arguments(spec)
    for entry in graph.entries:
        if entry.kind == "prepare":
            run = Interpreter(given, graph.dims, "float64")
            given |= {str(r.path[0]): run.values([r.node])[0] for r in entry.results}
    given |= {
        str(n.attrs[0]): np.random.default_rng(1).normal(size=tuple(spec.dims[a.dim].size for a in n.axes))
        for n in topological(graph.roots)
        if n.kind is Kind.INPUT and n.attrs[0] not in given
    }
    run = Interpreter(given, graph.dims, "float64")
    chosen = named(graph)
    # Every second chosen node is a name in the formulas of the others.
    names = {n.uid: f"v{n.uid}" for n in chosen[::2]}
    values = {n.uid: run.values([n])[0] for n in chosen}
    meaning = Meaning(with_primes(spec), {**given, **{names[u]: values[u] for u in names}})
    reader = Reader(spec, names)
    read = 0
    for n in chosen:
        places = reader.places(n.axes)
        try:
            formula = reader.formula(n, places)
        except TooLong:
            continue
        letters = tuple(s.letter for s in places.values() if isinstance(s, Affine))
        found = meaning.array(formula, letters)
        np.testing.assert_allclose(found, values[n.uid], rtol=1e-9, atol=1e-9, err_msg=f"{n}: {formula}")
        read += 1
    assert read > 10
