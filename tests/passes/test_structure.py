"""Systems with structured matrices: value, gradient and Hessian against JAX's AD of the dense form, and what is computed."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.language.helpers import good
from tests.support.effort import examples
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.emit.python import emit_program
from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

N, K = 16, 2
HEAD = f"""\
precision: float64
dims: {{i, j, p: {N}, k, l: {K}}}
data:
  x[i]: real
  y[i]: real
  Z[i, k]: real
params:
  a[i]: {{init: 1}}
  s: {{init: 1, domain: positive}}
  U[i, k]: {{init: 1}}
define:
  A[i, j]: {{A}}
  loss: sum[i](y[i]*solve(A[:, :], y[:])[i]) + logdet(A[:, :]) + sum[i, j](x[i]*inv(A[:, :])[i, j]*y[j])
outputs:
  loss: loss
  by_a[i]: d(loss, a[i])
  by_s: d(loss, s)
  by_U[i, k]: d(loss, U[i, k])
  by_a_a[i, j]: d(loss, a[i], a[j])
  by_U_a[i, k, j]: d(loss, U[i, k], a[j])
  by_s_s: d(loss, s, s)
"""

RNG = np.random.default_rng(0)
VALUES: dict[str, Any] = {
    "x": RNG.normal(size=N),
    "y": RNG.normal(size=N),
    "Z": RNG.normal(size=(N, K)),
    "a": RNG.normal(size=N),
    "s": np.array(0.7),
    "U": RNG.normal(size=(N, K)) / 2,
}

DIAGONAL = {
    "delta": "delta[i, j]*(1 + s*a[i]**2 + exp(U[j, 0]))",
    "branch": "s + exp(a[i] + U[i, 1]) if index(i) == index(j) else 0",
    "both sides": "exp(a[i])*delta[i, j]*exp(U[j, 0])/s",
    "named": "2*delta[j, i] + s*delta[i, j]*a[i]**2*(1 + U[j, 1]**2)",
}
TRIANGULAR = {
    "lower": "(3*s*delta[i, j] + a[i]*U[j, 0]/4) if index(j) <= index(i) else 0",
    "upper": "(3*s*delta[i, j] + a[i]*U[j, 0]/4)*real(index(i) <= index(j))",
    "two diagonals": "3*s*delta[i, j] + (a[i] + U[i, 1])*delta[i, j + 1]/2",
    "factor": "sum[k](U[i, k]*U[j, k])*real(index(j) < index(i)) + delta[i, j]*(s + a[j]**2)",
}
DEFINITE = {
    "gram": "sum[p](exp(a[i]*x[p]/4)*y[p]**2*exp(a[j]*x[p]/4)) + (s + U[i, 0]**2)*delta[i, j]",
    "kernel": "exp(a[i] + a[j] - sum[k](((Z[i, k] - Z[j, k])/s)**2)/2) + exp(U[i, 0] + U[j, 0])*delta[i, j]",
    "laplace": "exp(-norm[k](Z[i, k] - Z[j, k])/s) + (1 + a[i]**2 + U[i, 0]**2)*delta[i, j]",
    "product": "(sum[k](U[i, k]*U[j, k]) + s*delta[i, j])*exp(-(a[i] - a[j])**2) + delta[i, j]/4",
}
LOW = {
    "vector": "(1 + a[i]**2)*delta[i, j] + s*U[i, 0]*U[j, 1]",
    "gram": "(s + a[i]**2)*delta[i, j] + sum[k](U[i, k]*U[j, k])",
    "weighted": "s*(delta[i, j]*exp(a[i]) + sum[k](U[i, k]*exp(U[0, k])*U[j, k]))",
    "two sides": "2*s*delta[i, j] + sum[k](U[i, k]*Z[j, k])*exp(a[i])/4",
    "middle": "delta[i, j] + sum[k, l](U[i, k]*(s*delta[k, l] + 1/2)*U[j, l])*exp(a[i]/4 + a[j]/4)",
    "two updates": "(1 + s)*delta[i, j] + sum[k](U[i, k]*U[j, k]) - a[i]*a[j]/(1 + sum[i](a[i]**2))",
}
TRIDIAGONAL = {
    "laplacian": "(2 + s)*delta[i, j] - delta[i, j + 1] - delta[i + 1, j]",
    "weights": "(1 + exp(a[i]) + exp(U[i, 0]))*delta[i, j] - exp(a[i])*delta[i, j + 1]/2 + exp(U[i, 0])*delta[i + 1, j]",
    "branches": "3*s if index(i) == index(j) else -s if abs(index(i) - index(j)) == 1 else 0",
    "columns": "(exp(a[i]) + s)*delta[i, j] - exp(a[j])*(delta[i, j + 1] + delta[i + 1, j])/2",
    "updated": "(2 + s)*delta[i, j] - delta[i, j + 1] - delta[i + 1, j] + exp(a[i])*sum[k](U[i, k]*U[j, k])",
}
CIRCULANT = {
    "gather": "exp(a[(index(i) - index(j)) % size(i)]/4)*s + 9*delta[i, j]",
    "distance": "exp(-min(abs(index(i) - index(j)), size(i) - abs(index(i) - index(j)))**2/s)*exp(U[0, 1]) + s*delta[i, j]",
    "turned": "a[(index(j) - index(i) + 2) % size(i)]*a[0] + U[(index(i) - index(j)) % size(i), 1] + 7*delta[i, j]",
}
CASES = {f"{kind} {name}": A for kind, cases in (
    ("diagonal", DIAGONAL), ("triangular", TRIANGULAR), ("definite", DEFINITE), ("low rank", LOW),
    ("tridiagonal", TRIDIAGONAL), ("circulant", CIRCULANT),
) for name, A in cases.items()}  # fmt: skip


@cache
def graph(A: str, level: int = 2) -> Graph:
    return compile_spec(good(HEAD.replace("{A}", A)), level=level).graph


def dense(A: str) -> dict[str, Any]:
    """The results as the language defines them, by JAX."""
    spec = good(HEAD.replace("{A}", A))

    def loss(params: dict[str, Any]) -> Any:
        return Meaning(spec, {**VALUES, **params}).name("loss")

    at = {name: VALUES[name] for name in ("a", "s", "U")}
    slopes, curvature = jax.grad(loss)(at), jax.hessian(loss)(at)
    return {
        "loss": loss(at),
        **{f"by_{n}": v for n, v in slopes.items()},
        "by_a_a": curvature["a"]["a"],
        "by_U_a": curvature["U"]["a"],
        "by_s_s": curvature["s"]["s"],
    }


def check(A: str, wanted: dict[str, Any] | None = None) -> None:
    """Compares with the dense form: given, or as it is compiled at -O0, whose rules are tested against JAX elsewhere."""
    found = evaluate_graph(graph(A), VALUES)["outputs"]
    plain = {path[0]: v for path, v in evaluate_graph(graph(A, 0), VALUES)["outputs"].items()}
    for name, value in (wanted or plain).items():
        scale = max(1.0, float(np.max(np.abs(value))))
        np.testing.assert_allclose(found[(name,)], value, rtol=1e-9, atol=1e-9 * scale, err_msg=f"{A}: {name}")


def factored(g: Graph) -> list[Node]:
    """The matrix operations of size n that are more than a substitution."""
    names = ("triangular_solve", "triangular_solve_t")
    return [
        n
        for n in g.nodes
        if n.kind is Kind.LINALG and n.op not in names and n.inputs[0].axis(n.attrs[0][0][0]).dim == "i"
    ]


@pytest.mark.parametrize("name", CASES)
def test_structured_matrices_have_the_derivatives_of_the_dense_form(name: str) -> None:
    check(CASES[name])


@pytest.mark.parametrize(
    "name",
    [
        "diagonal delta",
        "triangular two diagonals",
        "definite kernel",
        "low rank weighted",
        "tridiagonal weights",
        "circulant gather",
    ],
)
def test_derivatives_are_those_of_jax(name: str) -> None:
    check(CASES[name], dense(CASES[name]))


@pytest.mark.parametrize("A", [*DIAGONAL.values(), *LOW.values(), *TRIDIAGONAL.values()])
def test_nothing_of_size_n_is_factored_or_solved(A: str) -> None:
    entry = [n for n in graph(A).nodes if n.kind is Kind.LINALG]
    assert not factored(graph(A))
    assert not [n for n in entry if "i" in {a.dim for a in n.inputs[0].axes}]
    assert [n for n in graph(A, 0).nodes if n.kind is Kind.LINALG and n.op == "inv"]


@pytest.mark.parametrize("A", CIRCULANT.values())
def test_circles_are_solved_by_transforms(A: str) -> None:
    ops = {n.op for n in graph(A).nodes if n.kind is Kind.LINALG}
    assert ops == {"convolve", "deconvolve", "logdet_circulant"}


@pytest.mark.parametrize("A", TRIANGULAR.values())
def test_triangles_are_substituted_into(A: str) -> None:
    assert not factored(graph(A))
    assert any(n.op.startswith("triangular_solve") for n in graph(A).nodes)


@pytest.mark.parametrize("A", DEFINITE.values())
def test_definite_matrices_are_factored_once_by_cholesky(A: str) -> None:
    found = factored(graph(A))
    assert {n.op for n in found} <= {"solve_pd", "logdet_pd", "inv_pd"}
    assert found
    text = emit_program(graph(A), good(HEAD.replace("{A}", A))).text
    assert text.count("cho_factor(") == 1
    assert "lu_factor" not in text
    assert "linalg.solve" not in text


INDEFINITE = (
    "sum[k](U[i, k]*U[j, k]) + a[i]*delta[i, j]*exp(sum[k](Z[i, k]*U[j, k]))",
    "exp(sum[k]((Z[i, k] - Z[j, k])**2)/2) + s*delta[i, j]",
    "exp(-sum[k]((Z[i, k] - Z[j, k])**3)/2) + s*delta[i, j]",
    "exp(-sum[k]((Z[i, k] - U[j, k])**2)/2) + s*delta[i, j]",
    "s*delta[i, j] - exp(-sum[k]((Z[i, k] - Z[j, k])**2))",
    "exp(-sum[k]((Z[i, k] - Z[j, k])**2)/2)",
    "s*delta[i, j] + a[i]*x[j]*exp(-abs(a[i] - a[j]))",
    "(1 + s)*delta[i, j] - delta[i, j + 1] - delta[i + 1, j]",
    "(2 + a[i])*delta[i, j] - delta[i, j + 1] - delta[i + 1, j]",
    "a[(index(i) + index(j)) % size(i)] + 9*delta[i, j]",
    "a[(index(i) - index(j)) % 7] + 9*delta[i, j]",
    "exp(-min(abs(index(i) - index(j)), 9 - abs(index(i) - index(j)))) + a[0]*delta[i, j]",
    "U[(index(i) - index(j)) % size(i), 1]*a[i] + 9*delta[i, j]",
)


@pytest.mark.parametrize("A", INDEFINITE)
def test_what_is_not_proved_stays_as_it_is(A: str) -> None:
    text = f"{HEAD.replace('{A}', A)}"
    ops = {n.op for n in compile_spec(good(text)).graph.nodes if n.kind is Kind.LINALG}
    assert {"solve", "logdet"} <= ops
    assert not [op for op in ops if op.endswith("_pd")]


def test_a_derivative_by_the_matrix_itself_sees_all_of_its_entries() -> None:
    spec = good(
        "precision: float64\ndims: {i, j: 3}\nparams:\n  a[i]: {init: 2 + index(i)}\n  y[i]: {init: 1}\n"
        "define:\n  A[i, j]: a[i]*delta[i, j]\n  x[i]: solve(A[:, :], y[:])[i]\n"
        "outputs:\n  slope[i, j]: d(sum[i](x[i]), A[i, j])\n  inverse[i, j]: inv(A[:, :])[i, j]\n"
    )
    found = evaluate_graph(compile_spec(spec).graph, {"a": np.array([2.0, 3.0, 4.0]), "y": np.ones(3)})["outputs"]
    x = 1 / np.array([2.0, 3.0, 4.0])
    np.testing.assert_allclose(found[("slope",)], -np.outer(x, x), rtol=1e-12)
    np.testing.assert_allclose(found[("inverse",)], np.diag(x), rtol=1e-12)


def test_batches_and_many_right_sides() -> None:
    spec = good(
        f"precision: float64\ndims: {{i, j: {N}, k: 2, b: 3, c: 4}}\ndata:\n  y[b, i, c]: real\n"
        "params:\n  a[b, i]: {init: 1}\n  U[b, i, k]: {init: 1}\n"
        "define:\n  A[b, i, j]: (1 + a[b, i]**2)*delta[i, j] + sum[k](U[b, i, k]*U[b, j, k])\n"
        "  x[b, j, c]: solve(A[b, :, :], y[b, :, c])[j]\n"
        "  loss: sum[b, i, c](x[b, i, c]**2) + sum[b](logdet(A[b, :, :]))\n"
        "outputs:\n  loss: loss\n  by_a[b, i]: d(loss, a[b, i])\n  by_U[b, i, k]: d(loss, U[b, i, k])\n"
    )
    values = {"y": RNG.normal(size=(3, N, 4)), "a": RNG.normal(size=(3, N)), "U": RNG.normal(size=(3, N, 2))}
    found = compile_spec(spec).graph
    assert not factored(found)
    got = evaluate_graph(found, values)["outputs"]

    def loss(p: dict[str, Any]) -> Any:
        return Meaning(spec, {**values, **p}).name("loss")

    slopes = jax.grad(loss)({"a": values["a"], "U": values["U"]})
    np.testing.assert_allclose(got[("by_a",)], slopes["a"], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(got[("by_U",)], slopes["U"], rtol=1e-9, atol=1e-10)


TERMS = (
    "exp(a[i])*delta[i, j]",
    "s*delta[i, j]",
    "a[i]**2*real(index(i) == index(j))",
    "sum[k](U[i, k]*U[j, k])",
    "x[i]*exp(a[j])/8",
    "sum[k](Z[i, k]*exp(U[j, k]))/8",
    "sum[l](U[i, l]*exp(U[0, l])*U[j, l])",
)


@settings(max_examples=examples(6), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(TERMS), max_size=3), st.sampled_from(("", "s*", "exp(a[i] + a[j])*")))
def test_random_sums_of_structured_terms(terms: list[str], scale: str) -> None:
    A = f"{scale}({' + '.join(['2*delta[i, j]', *terms])})"
    check(A)


def test_low_rank_updates_never_make_the_matrix() -> None:
    """With n = 5000 and ten columns the largest array of loss and gradient has 50000 elements; Woodbury needs 2 n k**2 flops."""
    text = (
        "precision: float64\ndims: {i, j: 5000, k: 10}\ndata:\n  y[i]: real\nparams:\n  a[i]: {init: 1}\n"
        "  U[i, k]: {init: 1}\ndefine:\n  A[i, j]: exp(a[i])*delta[i, j] + sum[k](U[i, k]*U[j, k])\n"
        "objectives:\n  loss: sum[i](y[i]*solve(A[:, :], y[:])[i]) + logdet(A[:, :])\n"
        "solve: {minimize: loss, method: lbfgs}\n"
    )
    compiled = compile_spec(good(text))
    sizes = Sizes.of(compiled.graph)
    entry = next(e for e in compiled.graph.entries if e.name == "loss_value_and_gradient")
    nodes = topological(r.node for r in entry.results)
    assert max(sizes.count(n.axes) for n in nodes) == 50000
    assert sum(flops(n, sizes) for n in nodes) < 20 * 5000 * 10**2


def test_programs_of_all_kinds_run() -> None:
    """The text that is emitted, in JAX: three diagonals with an update, a triangle, and a definite matrix, in batches."""
    text = (
        "precision: float64\ndims: {b: 2, i, j: 6, k: 2, c: 3}\ndata:\n  y[b, i, c]: real\n"
        "params:\n  a[b, i]: {init: 1}\n  U[b, i, k]: {init: 1}\ndefine:\n"
        "  T[b, i, j]: (1 + 2*exp(a[b, i]))*delta[i, j] - exp(a[b, i])*(delta[i, j + 1] + delta[i + 1, j])\n"
        "  L[b, i, j]: (2*delta[i, j] + a[b, i]*U[b, j, 0]/4)*real(index(i) >= index(j))\n"
        "  K[b, i, j]: sum[k](exp(a[b, i]*U[b, k, 0])*exp(a[b, j]*U[b, k, 0])) + (1 + a[b, i]**2)*delta[i, j]\n"
        "  x[b, i, c]: solve(T[b, :, :], y[b, :, c], by=tridiagonal)[i]\n"
        "  z[b, i, c]: solve(L[b, :, :], x[b, :, c])[i]\n"
        "  v[b, i, c]: solve(K[b, :, :], z[b, :, c], by=cholesky)[i]\n"
        "  loss: sum[b, i, c](v[b, i, c]**2) + sum[b](logdet(T[b, :, :]) + logdet(L[b, :, :]) + logdet(K[b, :, :]))\n"
        "outputs:\n  loss: loss\n  by_a[b, i]: d(loss, a[b, i])\n  by_U[b, i, k]: d(loss, U[b, i, k])\n"
    )
    spec = good(text)
    values = {"y": RNG.normal(size=(2, 6, 3)), "a": RNG.normal(size=(2, 6)), "U": RNG.normal(size=(2, 6, 2)) / 2}
    wanted = evaluate_graph(compile_spec(spec, level=0).graph, values)["outputs"]
    with tempfile.TemporaryDirectory() as folder:
        program = Emission(spec, 2, Path(folder) / "program.py")
        got = program.call("outputs", values)
    for word in ("pivots(", "linear_recurrence(", "solve_triangular(", "cho_solve("):
        assert word in program.compiled.emitted.text
    assert "linalg.solve" not in program.compiled.emitted.text
    for (name,), value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-9, err_msg=str(name))


PRODUCTS = """\
precision: float64
dims: {i, j: 3, k, l: 4, p, q: 12, c: 2, z: 4, t, u: {configurations: c, of: z}}
data:
  y[p]: real
  v[t]: real
params:
  A[i, j]: {init: 1}
  B[k, l]: {init: 1}
  x[i]: {init: 1}
  C[z, c]: {init: 1}
define:
  K[p, q]: KERNEL
  S[t, u]: exp(C[3, 0])*(C[0, part(t, 0)]*C[0, part(u, 0)] + 2*delta[part(t, 0), part(u, 0)])*PLACES
  loss: sum[p](y[p]*solve(K[:, :], y[:])[p]) + logdet(K[:, :]) + sum[t](v[t]*solve(S[:, :], v[:])[t]) + logdet(S[:, :])
outputs:
  loss: loss
  by_A[i, j]: d(loss, A[i, j])
  by_B[k, l]: d(loss, B[k, l])
  by_x[i]: d(loss, x[i])
  by_C[z, c]: d(loss, C[z, c])
  by_x_B[i, k, l]: d(loss, x[i], B[k, l])
"""
KERNELS = (
    "A[index(p)//4, index(q)//4]*B[index(p) % size(k), index(q) % size(k)]",
    "(exp(-(x[index(p)//4] - x[index(q)//4])**2) + delta[index(p)//4, index(q)//4])*B[index(p) % 4, index(q) % 4]*exp(x[0])",
)
PLACES = "*".join(
    f"(exp(C[{z}, part(t, {z})] - C[{z}, part(u, {z})]) + delta[part(t, {z}), part(u, {z})])" for z in (1, 2, 3)
)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kronecker_products_are_solved_factor_by_factor(kernel: str) -> None:
    spec = good(PRODUCTS.replace("KERNEL", kernel).replace("PLACES", PLACES))
    rng = np.random.default_rng(3)
    shapes = {"y": 12, "v": 16, "A": (3, 3), "B": (4, 4), "x": 3, "C": (4, 2)}
    values = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    values["A"] += 4 * np.eye(3)
    values["B"] += 4 * np.eye(4)
    found = compile_spec(spec).graph
    sizes = Sizes.of(found)
    systems = [n for n in found.nodes if n.kind is Kind.LINALG]
    assert max(sizes.dim(n.inputs[0].axis(n.attrs[0][0][0]).dim) for n in systems) == 4
    assert max(sizes.count(n.axes) for n in found.nodes if n.kind is not Kind.LINALG) <= 12 * 16
    wanted = evaluate_graph(compile_spec(spec, level=0).graph, values)["outputs"]
    for name, value in evaluate_graph(found, values)["outputs"].items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-9, atol=1e-9, err_msg=str(name))
    assert {c.chosen for c in choices_of(found) if "K" in c.what or "S" in c.what} == {"kronecker"}


NO_PRODUCTS = (
    "A[index(p)//4, index(q) % 3]*B[index(p) % 4, index(q)//3]",
    "A[index(p)//4, index(q)//4]*B[index(p) % 4, index(q) % 4] + delta[p, q]",
    "A[index(p)//4, index(q)//4]*B[index(p) % 4, index(q) % 4]*exp(index(p)*index(q)/9)",
    "A[index(p) % 3, index(q) % 3]*B[index(p) % 4, index(q) % 4]",
)


@pytest.mark.parametrize("kernel", NO_PRODUCTS)
def test_what_is_no_kronecker_product_stays_dense(kernel: str) -> None:
    text = PRODUCTS.replace("KERNEL", kernel).replace("PLACES", PLACES)
    rows = {c.what: c.chosen for c in choices_of(compile_spec(good(text)).graph) if c.kind == "matrix"}
    assert rows["solve(K[:, :])"] == "lu"
    assert rows["solve(S[:, :])"] == "kronecker"


FORCED = """\
precision: float64
dims: {i, j: 4, k: 2}
constants: {c: 0.5}
data:
  y[i]: real
params:
  a[i]: {init: 1}
  U[i, k]: {init: 1}
define:
  D[i, j]: c*a[i]*delta[i, j]
  L[i, j]: a[i]*U[j, 0] + 3*delta[i, j] if index(j) <= index(i) else 0
  K[i, j]: c*delta[i, j] + sum[k](U[i, k]*U[j, k])
  loss: sum[i](y[i]*solve(MATRIX[:, :], y[:], by=WAY)[i]) + logdet(MATRIX[:, :], by=WAY)
outputs:
  loss: loss
  by_a[i]: d(loss, a[i])
  by_U[i, k]: d(loss, U[i, k])
  by_U_U[i, k]: d(loss, U[i, k], U[i, k])
"""
GIVEN = {"y": VALUES["y"][:4], "a": np.exp(VALUES["a"][:4]), "U": VALUES["U"][:4], "c": np.array(0.5)}


def forced(matrix: str, way: str, level: int = 2) -> Graph:
    return compile_spec(good(FORCED.replace("MATRIX", matrix).replace("WAY", way)), level=level).graph


@pytest.mark.parametrize(
    ("matrix", "way", "ops"),
    [
        ("D", "diagonal", set()),
        ("D", "cholesky", {"solve_pd", "logdet_pd", "inv_pd"}),
        ("L", "triangular", {"triangular_solve", "triangular_solve_t"}),
        ("L", "lu", {"solve", "logdet", "inv"}),
        ("K", "low_rank", {"solve", "logdet", "inv"}),
        ("K", "cholesky", {"solve_pd", "logdet_pd", "inv_pd"}),
        ("K", "lu", {"solve", "logdet", "inv"}),
        ("K", "auto", {"solve", "logdet", "inv"}),
    ],
)
def test_a_way_that_is_asked_for_is_taken(matrix: str, way: str, ops: set[str]) -> None:
    found = forced(matrix, way)
    assert {n.op for n in found.nodes if n.kind is Kind.LINALG} == ops
    assert not [n for n in found.nodes if n.kind is Kind.STOP and n.op]
    dims = {n.inputs[0].axis(n.attrs[0][0][0]).dim for n in found.nodes if n.kind is Kind.LINALG}
    assert dims == ({"k"} if way == "low_rank" else {"i"} if ops else set())
    rows = [c for c in choices_of(found) if c.kind == "matrix" and matrix in c.what]
    assert {(c.chosen, c.because) for c in rows} == {
        (way, "asked for") if way != "auto" else ("lu", "no structure is known")
    }
    wanted = evaluate_graph(forced(matrix, "lu", 0), GIVEN)["outputs"]
    for name, value in evaluate_graph(found, GIVEN)["outputs"].items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-9, atol=1e-10, err_msg=str(name))


@pytest.mark.parametrize(
    ("matrix", "way"), [("K", "diagonal"), ("K", "triangular"), ("L", "low_rank"), ("L", "cholesky")]
)
def test_a_way_that_does_not_suit_is_refused(matrix: str, way: str) -> None:
    for level in (0, 2):
        with pytest.raises(SpecError) as caught:
            forced(matrix, way, level)
        (found,) = caught.value.diagnostics
        assert found.code == "VS0271"
        assert "not shown" in found.message
        assert found.span is not None
        assert found.span.line == 15


def test_constants_have_no_sign_and_domains_have() -> None:
    text = FORCED.replace("MATRIX", "K").replace(", by=WAY", "")
    positive = text.replace("c*delta", "c**2*delta").replace("constants: {c: 0.5}\n", "").replace(
        "params:\n", "params:\n  c: {init: 1, domain: positive}\n"
    )  # fmt: skip
    for spec, wanted in ((text, {"solve", "logdet", "inv"}), (positive, {"solve_pd", "logdet_pd", "inv_pd"})):
        ops = {n.op for n in compile_spec(good(spec)).graph.nodes if n.kind is Kind.LINALG}
        assert ops == wanted


BLOCKS = """\
precision: float64
dims: {p, q: 12, g: 3, i, j: 4}
data:
  y[p]: real
  x[g, i]: real
params:
  B[g, i, j]: {init: 1}
  s: {init: 1, domain: positive}
define:
  K[p, q]: KERNEL
  loss: sum[p](y[p]*solve(K[:, :], y[:])[p]) + logdet(K[:, :]) + sum[p, q](y[p]*inv(K[:, :])[p, q])
outputs:
  loss: loss
  by_B[g, i, j]: d(loss, B[g, i, j])
  by_s_s: d(loss, s, s)
  by_B_s[g, i, j]: d(loss, B[g, i, j], s)
"""
IN_BLOCKS = {
    "condition": "B[index(p)//4, index(p) % 4, index(q) % 4] if index(p)//4 == index(q)//4 else 0",
    "and noise": "(B[index(p)//4, index(p) % 4, index(q) % 4]*s if index(p)//4 == index(q)//4 else 0) + s*delta[p, q]",
    "kernels": "(exp(-(x[index(p)//4, index(p) % 4] - x[index(q)//4, index(q) % 4])**2*s)"
    " if index(p)//4 == index(q)//4 else 0) + (s + B[0, 0, 0]**2)*delta[p, q]",
    "interleaved": "B[index(p) % 3, index(p)//3, index(q)//3]*s if index(p) % 3 == index(q) % 3 else 0",
}


@pytest.mark.parametrize("kind", IN_BLOCKS)
def test_block_diagonal_matrices_are_solved_block_by_block(kind: str) -> None:
    spec = good(BLOCKS.replace("KERNEL", IN_BLOCKS[kind]))
    rng = np.random.default_rng(4)
    values = {"y": rng.normal(size=12), "x": rng.normal(size=(3, 4)), "s": np.array(0.7)}
    values["B"] = rng.normal(size=(3, 4, 4)) + 4 * np.eye(4)
    found = compile_spec(spec).graph
    assert {c.chosen for c in choices_of(found) if c.what.endswith("(K[:, :])")} == {"block_diagonal"}
    sizes = Sizes.of(found)
    systems = [n for n in found.nodes if n.kind is Kind.LINALG]
    assert {sizes.dim(n.inputs[0].axis(n.attrs[0][0][0]).dim) for n in systems} == {4}
    wanted = evaluate_graph(compile_spec(spec, level=0).graph, values)["outputs"]
    for name, value in evaluate_graph(found, values)["outputs"].items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-9, atol=1e-9, err_msg=str(name))


@pytest.mark.parametrize(
    "kernel",
    [
        "B[index(p)//4, index(p) % 4, index(q) % 4] + delta[p, q]",
        "B[index(p)//4, index(p) % 4, index(q) % 4] if index(p)//4 <= index(q)//4 else 0",
        "B[index(p)//4, index(p) % 4, index(q) % 4]*index(p)*index(q) if index(p)//4 == index(q)//4 else 0",
    ],
)
def test_what_is_not_zero_between_blocks_stays_dense(kernel: str) -> None:
    graph = compile_spec(good(BLOCKS.replace("KERNEL", kernel))).graph
    assert {c.chosen for c in choices_of(graph) if c.what == "solve(K[:, :])"} == {"lu"}
