"""Implicit quantities: values, gradients and second derivatives against closed forms and against JAX through Newton's steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.graph.node import Kind, Solve, innermost, topological
from vspec.compiler.pipeline import compile_spec

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

HEAD = "precision: float64\n"


def solved(text: str, values: dict[str, Any], path: Path, level: int = 2) -> dict[str, Any]:
    """The outputs of a spec."""
    found: dict[str, Any] = Emission(good(HEAD + text), level, path / f"p{level}.py").call("outputs", values)
    return found


def agree(text: str, values: dict[str, Any], path: Path, tolerance: float = 1e-9) -> None:
    """Every output, at both levels and by the reference interpreter, is what the reading of the language says."""
    spec = good(HEAD + text)
    meaning = Meaning(spec, values)
    wanted = {name: meaning.array(o.body, o.letters) for name, o in spec.outputs.items()}
    graph = compile_spec(spec, level=0).graph
    plain = {str(k[0]): v for k, v in evaluate_graph(graph, values)["outputs"].items()}
    for found in (solved(text, values, path, 0), solved(text, values, path, 2), plain):
        for name, want in wanted.items():
            assert found[name].shape == want.shape, name
            np.testing.assert_allclose(found[name], want, atol=tolerance, rtol=tolerance, err_msg=name)


SQUARE_ROOT = """
constants: {c: 2.0}
define:
  y: root[x](x**2 - c, start=1)
outputs:
  y: y
  first: d(y, c)
  second: d(y, c, c)
  third: d(y, c, c, c)
"""


@pytest.mark.parametrize("level", [0, 2])
def test_a_square_root_has_its_derivatives(tmp_path: Path, level: int) -> None:
    found = solved(SQUARE_ROOT, {"c": 3.0}, tmp_path, level)
    want = [3**0.5, 0.5 * 3**-0.5, -0.25 * 3**-1.5, 0.375 * 3**-2.5]
    np.testing.assert_allclose([found[k] for k in ("y", "first", "second", "third")], want, rtol=1e-12)


NETWORK = """
dims: {u, v: 3, n: 2}
data:
  x[n, u]: real
params:
  W[u, v]: {init: 0}
functions:
  F(s[:], h[:]): sum[u](s[u]**2)/2 - sum[u, v](W[u, v]*tanh(s[u])*tanh(s[v]))/2 - sum[u](h[u]*s[u])
define:
  free[n, u]: root[s[u]](d(F(s[:], x[n, :]), s[u]), start=0.5, method=newton(tol=1e-13))
  J: sum[n, u](free[n, u]**3)
outputs:
  free[n, u]: free[n, u]
  slope[n, u, v]: d(J, W[u, v])
  curve[v]: sum[u](d(J, W[u, v], W[v, u]))
  moved[n, u]: d(free[n, u], x[n, u])
"""


def test_a_batch_of_roots_of_an_energy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    agree(NETWORK, {"W": 0.3 * rng.normal(size=(3, 3)), "x": rng.normal(size=(2, 3))}, tmp_path)


FIXED = """
dims: {i, j: 3}
data:
  b[i]: real
params:
  W[i, j]: {init: 0}
define:
  rate[i]: fixed_point[q[i]](sigmoid(sum[j](W[i, j]*q[j]) + b[i]), method=METHOD)
  total: sum[i](rate[i]**2)
outputs:
  rate[i]: rate[i]
  slope[i, j]: d(total, W[i, j])
  curve[i, j]: d(total, b[i], b[j])
"""


@pytest.mark.parametrize(
    "method", ["anderson(tol=1e-14)", "picard(tol=1e-14)", "picard(tol=1e-14, damping=0.7)", "newton"]
)
def test_fixed_points_by_every_method(tmp_path: Path, method: str) -> None:
    rng = np.random.default_rng(1)
    values = {"W": rng.normal(size=(3, 3)), "b": rng.normal(size=3)}
    agree(FIXED.replace("METHOD", method), values, tmp_path)


TWO = """
dims: {i: 2, j: 3, n: 2}
data:
  c[n]: real
  w[i, j]: real
define:
  y[n, i], z[n, j]: >-
    argmin[a[i], b[j]](sum[i](a[i]**4/4 - c[n]*a[i]) + sum[j](b[j]**2) + sum[i, j](w[i, j]*a[i]*b[j]), start=[1, 0])
  r, s[i]: root[p, q[i]](p**3 + sum[i](q[i]) - c[0], q[i] - p*w[i, 0], start=[1, 0])
outputs:
  y[n, i]: y[n, i]
  z[n, j]: z[n, j]
  r: r
  s[i]: s[i]
  by_c[n]: d(sum[i](y[n, i]**2) + sum[j](z[n, j]), c[n])
  by_w[i, j]: d(sum[n, j](z[n, j]**2) + r, w[i, j])
  twice[n]: d(r + sum[i](y[n, i]), c[n], c[n])
"""


def test_several_unknowns_found_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    agree(TWO, {"c": np.array([1.5, 2.0]), "w": 0.3 * rng.normal(size=(2, 3))}, tmp_path, 1e-8)


DUAL = """
dims: {s: 6, k, l: 2}
data:
  f[s, k]: real
constants: {F[k]: [0.1, -0.2]}
functions:
  dual(a[:]): logsumexp[s](-sum[k](a[k]*f[s, k])) + sum[k](a[k]*F[k])
define:
  lam[k]: argmin[a[k]](dual(a[:]), method=newton(tol=1e-13))
  S: dual(lam[:])
  q[s]: softmax[s](-sum[k](lam[k]*f[s, k]))
outputs:
  lam[k]: lam[k]
  slope[k]: d(S, F[k])
  curve[k, l]: d(S, F[k], F[l])
  moved[s, k]: d(q[s], F[k])
  by_f[s, k]: d(S, f[s, k])
"""


def test_a_least_value_has_the_derivatives_of_the_envelope_theorem(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = {"f": rng.normal(size=(6, 2)), "F": np.array([0.1, -0.2])}
    agree(DUAL, values, tmp_path)
    found = solved(DUAL, values, tmp_path)
    np.testing.assert_array_equal(found["slope"], found["lam"])


def test_the_derivative_of_a_least_value_solves_no_system() -> None:
    text = DUAL[: DUAL.index("outputs:")] + "outputs:\n  slope[k]: d(S, F[k])\n  by_f[s, k]: d(S, f[s, k])\n"
    for level in (0, 2):
        graph = compile_spec(good(HEAD + text), level=level).graph
        assert not [n for n in graph.nodes if n.kind is Kind.LINALG]
    graph = compile_spec(good(HEAD + text + "  more[k, l]: d(S, F[k], F[l])\n")).graph
    assert [n.op for n in graph.nodes if n.kind is Kind.LINALG] == ["solve"]


NESTED = """
dims: {n: 2}
constants: {c: 0.7}
data:
  x[n]: real
define:
  y[n]: root[u](u + c*argmin[v](v**2 + v**4 - 2*u*v + x[n]*v)**2 - x[n])
outputs:
  y[n]: y[n]
  slope: d(sum[n](y[n]**2), c)
  curve: d(sum[n](y[n]**2), c, c)
  by_x[n]: d(y[n], x[n])
"""


def test_one_implicit_quantity_inside_another(tmp_path: Path) -> None:
    agree(NESTED, {"c": 0.7, "x": np.array([0.3, -0.8])}, tmp_path, 1e-8)


def test_an_implicit_quantity_inside_a_function_and_an_expression(tmp_path: Path) -> None:
    text = """
dims: {i: 3}
data:
  a[i]: real
functions:
  relu2(t): argmin[x](x**2/2 - t*x + 0.1*x**4)
  settle(h[:]) -> [i]: root[s[i]](s[i] + tanh(s[i]) - h[i])
outputs:
  y[i]: relu2(a[i]) + 2*settle(a[:])[i]
  z: d(sum[i](fixed_point[q[i]](0.5*tanh(q[i]) + a[i], method=picard(tol=1e-14))**2), a[1])
"""
    agree(text, {"a": np.array([0.5, -1.0, 2.0])}, tmp_path)


def test_no_derivative_passes_through_where_none_is_asked_for(tmp_path: Path) -> None:
    text = SQUARE_ROOT.replace("start=1", "start=1, gradient=none").replace("first: d(y, c)", "first: d(y*c, c)")
    found = solved(text, {"c": 4.0}, tmp_path)
    np.testing.assert_allclose([found["first"], found["second"]], [2.0, 0.0], atol=1e-12)


def test_equal_problems_are_solved_once() -> None:
    text = """
constants: {c: 2.0}
define:
  y: root[x](x**2 - c, start=1)
  z: root[t](t**2 - c, start=1)
outputs: {a: y*z}
"""
    graph = compile_spec(good(HEAD + text)).graph
    assert sum(n.kind is Kind.REGION for n in graph.nodes) == 1


def test_what_does_not_depend_on_the_unknown_stays_outside() -> None:
    text = """
dims: {i, j: 20}
data: {A[i, j]: real}
define:
  y[i]: root[x[i]](x[i]**3 + x[i] - sum[j](exp(A[i, j])))
outputs: {a: 'sum[i](y[i])'}
"""
    graph = compile_spec(good(HEAD + text)).graph
    (region,) = (innermost(n.attrs[0]) for n in graph.nodes if n.kind is Kind.REGION)
    assert isinstance(region, Solve)
    assert not [n for n in topological(region.body) if n.kind is Kind.REDUCE]


def test_recurrences_may_solve_in_their_steps(tmp_path: Path) -> None:
    text = """
dims: {t: 4, i: 2}
constants: {h: 0.3}
data: {x[i]: real}
define:
  s[0, i]: x[i]
  s[t + 1, i]: root[u[i]](u[i] - s[t, i] + h*u[i]**3)
outputs:
  end[i]: s[-1, i]
  slope: d(sum[i](s[-1, i]), h)
  by_x[i]: d(sum[i](s[-1, i]), x[i])
"""
    found = solved(text, {"h": 0.3, "x": jnp.array([1.0, -0.5])}, tmp_path)

    def end(h: Any, x: Any) -> Any:
        for _ in range(3):
            u = x
            for _ in range(20):
                u = u - (u - x + h * u**3) / (1 + 3 * h * u**2)
            x = u
        return x

    x = jnp.array([1.0, -0.5])
    np.testing.assert_allclose(found["end"], end(0.3, x), rtol=1e-12)
    np.testing.assert_allclose(found["slope"], jax.grad(lambda h: end(h, x).sum())(0.3), rtol=1e-10)
    np.testing.assert_allclose(found["by_x"], jax.grad(lambda x: end(0.3, x).sum())(x), rtol=1e-10)
