"""Dims, constants, data, params, solve, outputs and claims."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, diagnose, good, order, show
from vspec.compiler.language.spec import Draw, Source

LOSS = "dims: {i: 3}\nparams:\n  w[i]: {init: 1}\n  v: {init: 2, domain: positive}\nobjectives:\n  loss: sum[i](w[i]**2) + v\n"


def test_sizes() -> None:
    spec = good("dims: {n: auto, m: 2*n + 1, a: 4, b: a//2, c: {size: 7}, e: c - 1}\n")
    assert spec.dims["n"].size is None
    assert {k: spec.dims[k].size for k in "abce"} == {"a": 4, "b": 2, "c": 7, "e": 6}
    size = spec.dims["m"].size
    assert size is not None
    assert not isinstance(size, int)
    assert show(size) == "add(mul(2, size(n)), 1)"


def test_constants_and_overrides() -> None:
    text = "dims: {k: 2, n: 5}\nconstants:\n  a: 1\n  b: 0.5\n  F[k]: [1, 2.5]\n  G[k]: [1, 2]\n"
    spec = good(text)
    assert (spec.constants["a"].value, spec.constants["a"].dtype) == (1, "integer")
    assert (spec.constants["F"].value, spec.constants["F"].dtype) == ((1.0, 2.5), "real")
    assert spec.constants["G"].dtype == "integer"
    changed = good(text, {"a": 0.25, "b": 2, "n": 9})
    assert (changed.constants["a"].value, changed.constants["a"].dtype) == (0.25, "real")
    assert (changed.constants["b"].value, changed.constants["b"].dtype) == (2.0, "real")
    assert changed.dims["n"].size == 9


def test_arrays_are_overridden_whole() -> None:
    text = "dims: {k: 2}\nconstants:\n  F[k]: [1, 2]\n"
    assert good(text, {"F": [3, 4.5]}).constants["F"].value == (3.0, 4.5)
    assert codes(text, {"F": [1, 2, 3]}) == ["VS0329"]
    assert codes(text, {"F": 1}) == ["VS0329"]


@pytest.mark.parametrize(("name", "value", "code"), [("c", 1, "VS0319"), ("b", "x", "VS0329"), ("n", 0, "VS0329")])
def test_wrong_overrides(name: str, value: object, code: str) -> None:
    assert codes("dims: {n: 5}\nconstants: {b: 0.5}\n", {name: value}) == [code]


def test_data() -> None:
    spec = good(
        "dims: {n: auto, k: 2}\ndata:\n  X[n, k]: real\n  y[n]: {type: integer, in: [-1, 1]}\n"
        "  S[n]: {source: a.csv, column: c, rows: [0, 10], shuffle: 3}\n  v[k]: {value: [1, 2]}\n"
        "  u[k]: {draw: 'uniform(0, 1)', seed: 4}\n  g: {draw: normal}\n  c: {draw: poisson(2)}\n"
    )
    assert spec.data["X"].default is None
    assert (spec.data["y"].dtype, spec.data["y"].values) == ("integer", (-1, 1))
    assert spec.data["S"].default == Source("a.csv", "c", (0, 10), 3)
    assert spec.data["v"].default == (1.0, 2.0)
    assert spec.data["u"].default == Draw("uniform", (0, 1), 4)
    assert spec.data["g"].default == Draw("normal", (0.0, 1.0), None)
    assert spec.data["c"].dtype == "integer"


def test_params() -> None:
    spec = good(
        "dims: {i: 3}\nconstants: {c: 2.0}\nparams:\n  w[i]: {init: c*index(i)}\n  s: {init: 1, domain: positive}\n"
    )
    assert show(spec.params["w"].init) == "mul(c, real(index(i)))"
    assert (spec.params["s"].domain.kind, spec.params["w"].domain.kind) == ("positive", "real")


def test_the_plan() -> None:
    spec = good(
        LOSS + "solve:\n  - {minimize: loss}\n"
        "  - {maximize: loss, over: v, method: 'adam(0.1, b1=0)', steps: 7, starts: 2}\n  - {evaluate: [loss, w]}\n"
    )
    first, second, third = spec.plan
    assert (first.kind, first.names, first.over, first.steps, first.starts) == (
        "minimize",
        ("loss",),
        ("w", "v"),
        None,
        1,
    )
    assert (first.methods[0].name, first.methods[0].arguments["memory"], first.methods[0].over) == (
        "lbfgs",
        10,
        ("w", "v"),
    )
    assert (second.over, second.steps, second.starts) == (("v",), 7, 2)
    (adam,) = second.methods
    assert adam.arguments == {"lr": 0.1, "b1": 0.0, "b2": 0.999, "eps": 1e-8, "clip": 0.0, "tol": 0.0}
    assert (third.kind, third.names) == ("evaluate", ("loss", "w"))


def test_a_scalar_definition_may_be_minimised() -> None:
    spec = good("params:\n  w: {init: 1}\ndefine:\n  energy: w**2\nsolve: {minimize: energy}\n")
    assert show(spec.objectives["energy"].body) == "energy"


def test_dependence_through_definitions_and_recurrences() -> None:
    text = (
        "dims: {t: 3}\nparams:\n  w: {init: 1}\n  v: {init: 1}\ndefine:\n  s[0]: w\n"
        "  s[t + 1]: s[t]/2\n  e: s[-1]**2\nobjectives:\n  loss: e\n"
    )
    good(text + "solve: {minimize: loss, over: w}\n")
    assert codes(text + "solve: {minimize: loss, over: v}\n") == ["VS0316"]


def test_an_output_that_a_claim_reads_is_computed_once() -> None:
    spec = good(LOSS + "outputs:\n  g[i]: d(loss, w[i])\n  plain: v\nclaims:\n  flat: max[i](abs(g[i])) < 1e-6\n")
    assert order(spec) == ["loss", "g"]
    assert definition(spec, "g").hidden
    assert show(spec.outputs["g"].body) == "g[i]"
    assert show(spec.outputs["plain"].body) == "v"


def test_an_output_may_have_the_name_of_what_it_shows() -> None:
    text = LOSS + "define:\n  z[i]: 2*w[i]\noutputs:\n  loss: loss\n  z: max[i](z[i])\n  w[i]: w[i]\n"
    spec = good(text + "claims:\n  a: z < 1\n  b: loss < 1\n  c: w[0] < 1\n")
    assert spec.claims["a"].that is not None
    assert spec.claims["b"].that is not None
    assert show(spec.claims["a"].that) == "lt(_out_z, 1)"
    assert show(spec.claims["b"].that) == "lt(loss, 1)"
    assert show(spec.outputs["z"].body) == "_out_z"
    assert show(definition(spec, "_out_z").body) == "max[i](z[i])"


def test_outputs_may_read_outputs() -> None:
    spec = good(LOSS + "outputs:\n  b: a + 1\n  a: v*2\n")
    assert order(spec) == ["a"]
    assert show(spec.outputs["b"].body) == "add(a, 1)"
    assert codes(LOSS + "outputs:\n  b: a + 1\n  a: b\n") == ["VS0223"]


def test_claims() -> None:
    spec = good(
        LOSS + "claims:\n  same:\n    identity: d(loss, w[i]) == 2*w[i]\n    tolerance: 1e-8\n    reported: exact\n"
        "    smoke: {i: 2}\n  small: {that: 0 <= v < 1}\n"
    )
    same, small = spec.claims["same"], spec.claims["small"]
    assert same.left is not None
    assert same.right is not None
    assert small.that is not None
    assert (same.left.axes, same.right.axes, same.tolerance, same.reported) == (("i",), ("i",), 1e-8, "exact")
    assert dict(same.smoke) == {"i": 2}
    assert show(small.that) == "and(le(0, v), lt(v, 1))"


def test_plots() -> None:
    spec = good(
        "dims: {p: 6}\ndata:\n  x[p]: real\noutputs:\n  a[p]: {is: 'x[p]', plot: line}\n"
        "  b[p]: {is: 'x[p]', plot: {images: [2, 3]}}\n"
    )
    assert spec.outputs["a"].plot == "line"
    assert spec.outputs["b"].plot == ("images", 2, 3)


def test_plots_of_coordinates() -> None:
    spec = good(
        "dims: {p: 6, q: 5, i: 2, k: auto}\ndata:\n  x[p, i]: real\n  y[p, q]: real\n  z[k]: real\nparams:\n  w[i]: {init: 0}\n"
        "objectives:\n  f: sum[i](w[i]**2)\nsolve: {minimize: f}\n"
        "outputs:\n  a[p, i]: {is: 'x[p, i]', plot: path}\n  b[p, q]: {is: 'y[p, q]', plot: field}\n"
        "  c[p, i]: {is: 'x[p, i]', plot: scatter}\n  h[i]: {is: 'w[i]', plot: path, every: 2}\n"
        "  e[p, k]: {is: 'x[p, 0]*z[k]', plot: path}\n  g[p, q, i]: {is: 'y[p, q]*w[i]', plot: field}\n"
    )
    assert {n: o.plot for n, o in spec.outputs.items()} == {
        "a": "path",
        "b": "field",
        "c": "scatter",
        "h": "path",
        "e": "path",
        "g": "field",
    }


def test_facts_about_the_spec() -> None:
    spec = good("doc: What it is.\nprecision: float64\n")
    assert (spec.name, spec.doc, spec.precision, spec.path) == ("test", "What it is.", "float64", "test.yaml")
    assert len(spec.sha256) == 64


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (
            "dims: {i: 2}\ndynamics:\n  p:\n    ode:\n      'X[i]': 'X[i]'\n    start:\n"
            "      'X[i]': '1'\n    time: {t: [0, 1]}\n",
            "VS0402",
        ),
        (LOSS + "solve: {pareto: [loss, loss]}\n", "VS0405"),
        ("define:\n  a: 'integral[x](exp(-x**2), over=[-5, 5])'\n", "VS0407"),
        (
            "dims: {t: 3}\nrandom:\n  z[0]: poisson(1)\n  z[t + 1]: poisson(1 + z[t])\ndefine:\n  a: 'E[z](z[-1])'\n",
            "VS0408",
        ),
        ("constants: {c: 1}\nclaims:\n  a: {identity: c == c + 0, tolerance: 1e-6, by: quadrature(9)}\n", "VS0414"),
    ],
)
def test_what_is_not_there_yet_is_named(text: str, code: str) -> None:
    _, found = diagnose(text)
    assert code in {d.code for d in found}
    assert all(d.code.startswith("VS04") for d in found if d.severity == "error"), [(d.code, d.message) for d in found]
    assert all(d.message.startswith("not implemented yet: ") for d in found)


def test_histories_of_outputs() -> None:
    spec = good(
        LOSS
        + "solve: {minimize: loss, method: sgd(lr=0.1), steps: 20}\n"
        + "outputs:\n  a: {is: loss, every: 10, plot: line}\n  b: {is: a, every: epoch}\n  c: b\n"
    )
    assert [(o.every, o.plot) for o in spec.outputs.values()] == [(10, "line"), ("epoch", None), (None, None)]
