"""Implicit quantities: values, gradients and second derivatives against closed forms and against JAX through Newton's steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.node import Kind, Solve, innermost, topological
from vspec.compiler.pipeline import compile_spec

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

HEAD = "precision: float64\n"


def solved(text: str, values: dict[str, Any], path: Path, level: int = 2) -> dict[str, Any]:
    """The outputs of a spec."""
    emission = Emission(good(HEAD + text), level, path / f"p{level}.py")
    found: dict[str, Any] = jax.jit(lambda v: emission.call("outputs", v))(
        {k: jnp.asarray(v) for k, v in values.items()}
    )
    return found


def agree(
    text: str, values: dict[str, Any], path: Path, reference: Callable[..., dict[str, Any]], tolerance: float = 1e-9
) -> None:
    """Every output, at both levels and by the interpreter of graphs, is what JAX says by hand."""
    wanted = jax.jit(reference)(**{k: jnp.asarray(v) for k, v in values.items()})
    graph = compile_spec(good(HEAD + text), level=0).graph
    plain = {str(k[0]): v for k, v in evaluate_graph(graph, values)["outputs"].items()}
    for found in (solved(text, values, path, 0), solved(text, values, path, 2), plain):
        assert found.keys() == wanted.keys()
        for name, want in wanted.items():
            np.testing.assert_allclose(found[name], want, atol=tolerance, rtol=tolerance, err_msg=name)


def root_of(f: Callable[[Any], Any], x: Any) -> Any:
    """The root of f by Newton's method, which JAX differentiates implicitly."""

    def newton(f: Any, x: Any) -> Any:
        def step(state: Any) -> Any:
            return state[0] - jnp.linalg.solve(jax.jacobian(f)(state[0]), f(state[0])), state[1] + 1

        return lax.while_loop(lambda s: (jnp.max(jnp.abs(f(s[0]))) > 1e-15) & (s[1] < 60), step, (x, 0))[0]

    def tangent(g: Any, y: Any) -> Any:
        return jnp.linalg.solve(jax.jacobian(g)(jnp.zeros_like(y)), y)

    return lax.custom_root(f, jnp.asarray(x, float), newton, tangent)


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
  slope[u, v]: d(J, W[u, v])
  curve[v]: sum[u](d(J, W[u, v], W[v, u]))
  moved[n, u]: d(free[n, u], x[n, u])
"""


def test_a_batch_of_roots_of_an_energy(tmp_path: Path) -> None:
    def energy(s: Any, h: Any, W: Any) -> Any:
        return s @ s / 2 - jnp.tanh(s) @ W @ jnp.tanh(s) / 2 - h @ s

    def free(W: Any, x: Any) -> Any:
        return jax.vmap(lambda h: root_of(lambda s: jax.grad(energy)(s, h, W), jnp.full(3, 0.5)))(x)

    def total(W: Any, x: Any) -> Any:
        return jnp.sum(free(W, x) ** 3)

    def reference(W: Any, x: Any) -> dict[str, Any]:
        moved = jax.jacobian(free, argnums=1)(W, x)
        curve = jnp.einsum("uvvu->v", jax.hessian(total)(W, x))
        return {
            "free": free(W, x), "slope": jax.grad(total)(W, x), "curve": curve, "moved": jnp.einsum("nunu->nu", moved)
        }  # fmt: skip

    rng = np.random.default_rng(0)
    agree(NETWORK, {"W": 0.3 * rng.normal(size=(3, 3)), "x": rng.normal(size=(2, 3))}, tmp_path, reference)


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


@pytest.mark.parametrize("method", ["anderson(tol=1e-14)", "picard(tol=1e-14, damping=0.7)", "newton"])
def test_fixed_points_by_every_method(tmp_path: Path, method: str) -> None:
    def rate(W: Any, b: Any) -> Any:
        return root_of(lambda q: jax.nn.sigmoid(W @ q + b) - q, jnp.zeros(3))

    def total(W: Any, b: Any) -> Any:
        return jnp.sum(rate(W, b) ** 2)

    def reference(W: Any, b: Any) -> dict[str, Any]:
        return {"rate": rate(W, b), "slope": jax.grad(total)(W, b), "curve": jax.hessian(total, argnums=1)(W, b)}

    rng = np.random.default_rng(1)
    values = {"W": rng.normal(size=(3, 3)), "b": rng.normal(size=3)}
    agree(FIXED.replace("METHOD", method), values, tmp_path, reference)


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
    def both(c: Any, w: Any) -> Any:
        def value(x: Any, c: Any) -> Any:
            a, b = x[:2], x[2:]
            return jnp.sum(a**4 / 4 - c * a) + b @ b + a @ w @ b

        start = jnp.array([1.0, 1, 0, 0, 0])
        return jax.vmap(lambda c: root_of(lambda x: jax.grad(value)(x, c), start))(c)

    def other(c: Any, w: Any) -> Any:
        def equations(x: Any) -> Any:
            return jnp.concatenate([x[:1] ** 3 + x[1] + x[2] - c[0], x[1:] - x[0] * w[:, 0]])

        return root_of(equations, jnp.array([1.0, 0, 0]))

    def reference(c: Any, w: Any) -> dict[str, Any]:
        x, r = both(c, w), other(c, w)
        by_c = jax.grad(lambda c: jnp.sum(both(c, w)[:, :2] ** 2) + jnp.sum(both(c, w)[:, 2:]))(c)
        by_w = jax.grad(lambda w: jnp.sum(both(c, w)[:, 2:] ** 2) + other(c, w)[0])(w)
        # d(r + sum[i](y[n, i]), c[n], c[n]) has the index n in both: the n-th y and the n-th c.
        twice = jnp.stack(
            [jax.hessian(lambda c, n=n: other(c, w)[0] + jnp.sum(both(c, w)[n, :2]))(c)[n, n] for n in range(2)]
        )
        return {"y": x[:, :2], "z": x[:, 2:], "r": r[0], "s": r[1:], "by_c": by_c, "by_w": by_w, "twice": twice}

    rng = np.random.default_rng(2)
    agree(TWO, {"c": np.array([1.5, 2.0]), "w": 0.3 * rng.normal(size=(2, 3))}, tmp_path, reference, 1e-8)


DUAL = """
dims: {s: 6, k, l: 2}
data:
  f[s, k]: real
constants:
  F[k]: [0.1, -0.2]
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
  mixed[l]: sum[s, k](d(S, f[s, k], F[l]))
"""


def test_a_least_value_has_the_derivatives_of_the_envelope_theorem(tmp_path: Path) -> None:
    def dual(a: Any, f: Any, F: Any) -> Any:
        return jax.scipy.special.logsumexp(-f @ a) + a @ F

    def lam(f: Any, F: Any) -> Any:
        return root_of(lambda a: jax.grad(dual)(a, f, F), jnp.zeros(2))

    def least(f: Any, F: Any) -> Any:
        return dual(lam(f, F), f, F)

    def reference(f: Any, F: Any) -> dict[str, Any]:
        moved = jax.jacobian(lambda F: jax.nn.softmax(-f @ lam(f, F)))(F)
        slope, curve = jax.grad(least, argnums=1)(f, F), jax.hessian(least, argnums=1)(f, F)
        by_f = jax.grad(least)(f, F)
        mixed = jnp.sum(jax.jacobian(jax.grad(least), argnums=1)(f, F), axis=(0, 1))
        return {"lam": lam(f, F), "slope": slope, "curve": curve, "moved": moved, "by_f": by_f, "mixed": mixed}

    rng = np.random.default_rng(3)
    values = {"f": rng.normal(size=(6, 2)), "F": np.array([0.1, -0.2])}
    agree(DUAL, values, tmp_path, reference)
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
    def inner(u: Any, x: Any) -> Any:
        return root_of(lambda v: 2 * v + 4 * v**3 - 2 * u + x, jnp.zeros(1))

    def y(c: Any, x: Any) -> Any:
        return jax.vmap(lambda x: root_of(lambda u: u + c * inner(u, x) ** 2 - x, jnp.zeros(1))[0])(x)

    def total(c: Any, x: Any) -> Any:
        return jnp.sum(y(c, x) ** 2)

    def reference(c: Any, x: Any) -> dict[str, Any]:
        by_x = jnp.diag(jax.jacobian(y, argnums=1)(c, x))
        return {"y": y(c, x), "slope": jax.grad(total)(c, x), "curve": jax.hessian(total)(c, x), "by_x": by_x}

    agree(NESTED, {"c": 0.7, "x": np.array([0.3, -0.8])}, tmp_path, reference, 1e-8)


PLACES = """
dims: {i: 3}
data:
  a[i]: real
functions:
  shrunk(t): argmin[x](x**2/2 - t*x + 0.1*x**4)
  settled(h[:]) -> [i]: root[s[i]](s[i] + tanh(s[i]) - h[i])
outputs:
  y[i]: shrunk(a[i]) + 2*settled(a[:])[i]
  z: d(sum[i](fixed_point[q[i]](0.5*tanh(q[i]) + a[i], method=picard(tol=1e-14))**2), a[1])
"""


def test_implicit_quantities_in_functions_and_expressions(tmp_path: Path) -> None:
    def reference(a: Any) -> dict[str, Any]:
        shrunk = root_of(lambda x: x - a + 0.4 * x**3, jnp.zeros(3))
        settled = root_of(lambda s: s + jnp.tanh(s) - a, jnp.zeros(3))
        z = jax.grad(lambda a: jnp.sum(root_of(lambda q: 0.5 * jnp.tanh(q) + a - q, jnp.zeros(3)) ** 2))(a)[1]
        return {"y": shrunk + 2 * settled, "z": z}

    agree(PLACES, {"a": np.array([0.5, -1.0, 2.0])}, tmp_path, reference)


READ = """
dims: {i: 2, n: 2}
data:
  a[n, i]: real
define:
  y[n, i]: fixed_point[q[i]](0.3*tanh(q[i] + sum[i](a[n, i]*q[i])) + a[n, i])
outputs:
  y[n, i]: y[n, i]
  slope[n, i]: d(sum[n, i](y[n, i]**2), a[n, i])
"""


def test_the_language_read_a_second_time_agrees(tmp_path: Path) -> None:
    values = {"a": np.array([[0.4, -0.3], [0.2, 0.7]])}
    spec = good(HEAD + READ)
    stated = Meaning(spec, values).outputs()
    found = solved(READ, values, tmp_path)
    for name, meant in stated.items():
        np.testing.assert_allclose(found[name], meant, atol=1e-9)


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
data:
  A[i, j]: real
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
data:
  x[i]: real
define:
  s[0, i]: x[i]
  s[t + 1, i]: root[u[i]](u[i] - s[t, i] + h*u[i]**3, method=newton(tol=1e-14))
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


def test_problems_that_an_operation_joins_are_refused() -> None:
    text = (
        "dims: {n: 4}\ndata:\n  x[n]: real\ndefine:\n  y[n]: root[s](s - cumsum[n](s*x[n]))\noutputs:\n  y[n]: y[n]\n"
    )
    with pytest.raises(SpecError) as caught:
        compile_spec(good(HEAD + text))
    assert [d.code for d in caught.value.diagnostics] == ["VS0391"]
