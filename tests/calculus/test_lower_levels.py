"""Least values under constraints: closed forms, active sets by hand, and derivatives against JAX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.calculus.test_implicit import HEAD, agree, root_of, solved
from tests.language.helpers import good
from tests.support.meaning import Meaning
from vspec.compiler.graph.node import Kind
from vspec.compiler.pipeline import compile_spec

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

SIMPLEX = """
dims: {'k, l, m': 5, n: 4}
data:
  b[n, k]: real
define:
  y[n, k]: argmin[a[k]](sum[k]((a[k] - b[n, k])**2)/2, subject_to=[a[k] >= 0, sum[k](a[k]) == 1])
  J: sum[n, k](exp(y[n, k])*b[n, k])
outputs:
  y[n, k]: y[n, k]
  moved[n, k, l]: d(y[n, k], b[n, l])
  slope[n, k]: d(J, b[n, k])
  curve[n, k, l]: d(J, b[n, k], b[n, l])
"""


def simplex(b: Any) -> Any:
    """The nearest point of the simplex: what is left above a level."""
    top = jnp.sort(b)[::-1]
    levels = (jnp.cumsum(top) - 1) / jnp.arange(1, b.size + 1)
    level = levels[jnp.sum(top > levels) - 1]
    return jnp.maximum(b - level, 0)


def test_projections_onto_a_simplex(tmp_path: Path) -> None:
    def total(b: Any) -> Any:
        return jnp.sum(jnp.exp(simplex(b)) * b)

    def reference(b: Any) -> dict[str, Any]:
        return {
            "y": jax.vmap(simplex)(b),
            "moved": jax.vmap(jax.jacobian(simplex))(b),
            "slope": jax.vmap(jax.grad(total))(b),
            "curve": jax.vmap(jax.hessian(total))(b),
        }

    agree(SIMPLEX, {"b": np.random.default_rng(0).normal(size=(4, 5))}, tmp_path, reference)


BOX = """
dims: {'k, l': 4}
data:
  b[k]: real
  w[k]: real
params:
  low[k]: {init: 0}
  high: {init: 1}
define:
  y[k]: argmin[a[k]](sum[k](w[k]*(a[k] - b[k])**2), subject_to=[low[k] <= a[k] <= high])
  J: sum[k](y[k]**3*b[k])
outputs:
  y[k]: y[k]
  by_low[k]: d(J, low[k])
  by_high: d(J, high)
  by_b[k]: d(J, b[k])
  mixed[k]: d(J, high, b[k])
  twice: d(J, high, high)
"""


def test_projections_onto_a_box_whose_ends_move(tmp_path: Path) -> None:
    def total(b: Any, low: Any, high: Any) -> Any:
        return jnp.sum(jnp.clip(b, low, high) ** 3 * b)

    def reference(b: Any, w: Any, low: Any, high: Any) -> dict[str, Any]:
        return {
            "y": jnp.clip(b, low, high),
            "by_b": jax.grad(total)(b, low, high),
            "by_low": jax.grad(total, 1)(b, low, high),
            "by_high": jax.grad(total, 2)(b, low, high),
            "mixed": jax.grad(jax.grad(total, 2))(b, low, high),
            "twice": jax.grad(jax.grad(total, 2), 2)(b, low, high),
        }

    values = {
        "w": np.arange(1.0, 5),
        "b": np.array([-0.5, 0.4, 1.7, 0.9]),
        "low": np.array([-0.2, 0.1, 0.3, 0.2]),
        "high": np.asarray(0.8),
    }
    agree(BOX, values, tmp_path, reference)


PROGRAM = """
dims: {'k, l': 3, m: 2, e: 1}
data:
  Q[k, l]: real
  q[k]: real
  A[m, k]: real
  b[m]: real
  C[e, k]: real
  c[e]: real
define:
  y[k]: argmin[a[k]](sum[k, l](a[k]*Q[k, l]*a[l])/2 + sum[k](q[k]*a[k]), start=5,
    method=interior_point(tol=1e-12), steps=80,
    subject_to=[sum[k](A[m, k]*a[k]) <= b[m], sum[k](C[e, k]*a[k]) == c[e]])
  v: sum[k, l](y[k]*Q[k, l]*y[l])/2 + sum[k](q[k]*y[k])
  J: sum[k](sin(y[k]))
outputs:
  y[k]: y[k]
  v: v
  v_b[m]: d(v, b[m])
  v_Q[k, l]: d(v, Q[k, l])
  v_twice[m, e]: d(v, b[m], c[e])
  by_q[k]: d(J, q[k])
  by_A[m, k]: d(J, A[m, k])
  curve[k, l]: d(J, q[k], q[l])
  mixed[k, m]: d(J, Q[k, k], b[m])
"""


def program(rng: Any) -> dict[str, Any]:
    """A quadratic program of three unknowns with the first of two inequalities active."""
    root = rng.normal(size=(3, 3))
    q, x = rng.normal(size=3), rng.normal(size=3)
    values = {"Q": root @ root.T + np.eye(3), "A": rng.normal(size=(2, 3)), "C": rng.normal(size=(1, 3))}
    # Stationary at x with multipliers 0.7 of the first inequality and -0.4 of the equation.
    q = -values["Q"] @ x - 0.7 * values["A"][0] + 0.4 * values["C"][0]
    return values | {"q": q, "b": values["A"] @ x + np.array([0, 0.5]), "c": values["C"] @ x, "x": x}


def active(Q: Any, q: Any, A: Any, b: Any, C: Any, c: Any) -> Any:
    """The least point of that program, with the first inequality as an equation."""
    rows = jnp.concatenate([A[:1], C])
    matrix = jnp.block([[(Q + Q.T) / 2, rows.T], [rows, jnp.zeros((2, 2))]])
    return jnp.linalg.solve(matrix, jnp.concatenate([-q, b[:1], c]))[:3]


def test_a_quadratic_program_by_its_active_set(tmp_path: Path) -> None:
    def least(Q: Any, q: Any, *rest: Any) -> Any:
        y = active(Q, q, *rest)
        return y @ Q @ y / 2 + q @ y

    def total(*given: Any) -> Any:
        return jnp.sum(jnp.sin(active(*given)))

    def reference(Q: Any, q: Any, A: Any, b: Any, C: Any, c: Any) -> dict[str, Any]:
        given = (Q, q, A, b, C, c)
        return {
            "y": active(*given),
            "v": least(*given),
            "v_b": jax.grad(least, 3)(*given),
            "v_Q": jax.grad(least, 0)(*given),
            "v_twice": jax.jacobian(jax.grad(least, 3), 5)(*given),
            "by_q": jax.grad(total, 1)(*given),
            "by_A": jax.grad(total, 2)(*given),
            "curve": jax.hessian(total, 1)(*given),
            "mixed": jnp.einsum("kkm->km", jax.jacobian(jax.grad(total, 0), 3)(*given)),
        }

    values = program(np.random.default_rng(3))
    x = values.pop("x")
    found = jax.jit(reference)(**{k: jnp.asarray(v) for k, v in values.items()})
    np.testing.assert_allclose(found["y"], x, atol=1e-12)
    agree(PROGRAM, values, tmp_path, reference)


# What is made small may curve, as may what it is subject to; here the first constraint is active and the second is not.
CURVED = """
dims: {'k, l': 3, n: 2}
data:
  b[n, k]: real
params:
  radius[n]: {init: 1}
define:
  y[n, k]: argmin[a[k]](sum[k](exp(a[k] - b[n, k]) - a[k]), start=0.1, method=interior_point(tol=1e-12),
    subject_to=[sum[k](a[k]**2) <= radius[n]**2, a[0]*a[1] <= 50])
  v[n]: sum[k](exp(y[n, k] - b[n, k]) - y[n, k])
outputs:
  y[n, k]: y[n, k]
  by_radius[n, k]: d(y[n, k], radius[n])
  v_radius[n]: d(v[n], radius[n])
  v_twice[n]: d(v[n], radius[n], radius[n])
  v_mixed[n, k]: d(v[n], radius[n], b[n, k])
"""


def test_a_ball_around_what_is_not_quadratic(tmp_path: Path) -> None:
    def value(y: Any, b: Any) -> Any:
        return jnp.sum(jnp.exp(y - b) - y)

    def place(r: Any, b: Any) -> Any:
        def equations(w: Any) -> Any:
            y, m = w[:3], w[3]
            return jnp.append(jax.grad(value)(y, b) + 2 * m * y, jnp.sum(y**2) - r**2)

        direction = b / jnp.sqrt(b @ b)
        return root_of(equations, jax.lax.stop_gradient(jnp.append(r * direction, 1.0)))[:3]

    def least(r: Any, b: Any) -> Any:
        return value(place(r, b), b)

    def reference(b: Any, radius: Any) -> dict[str, Any]:
        first = jax.grad(least)
        return {
            "y": jax.vmap(place)(radius, b),
            "by_radius": jax.vmap(jax.jacobian(place))(radius, b),
            "v_radius": jax.vmap(first)(radius, b),
            "v_twice": jax.vmap(jax.grad(first))(radius, b),
            "v_mixed": jax.vmap(jax.grad(first, 1))(radius, b),
        }

    b = np.array([[1.0, 0.5, -0.3], [0.4, -1.2, 2.0]])
    agree(CURVED, {"b": b, "radius": np.array([0.8, 0.6])}, tmp_path, reference)


# The flattest law with a given mean: its entropy has minus the multiplier of the mean for its derivative by it.
ENTROPY = """
dims: {k: 4, n: 3}
data:
  x[k]: real
  level[n]: real
define:
  p[n, k]: argmax[q[k]](-sum[k](q[k]*log(q[k])), start=0.25, method=interior_point(tol=1e-12),
    subject_to=[sum[k](q[k]) == 1, sum[k](q[k]*x[k]) == level[n]])
  S[n]: -sum[k](p[n, k]*log(p[n, k]))
outputs:
  p[n, k]: p[n, k]
  first[n]: d(S[n], level[n])
  second[n]: d(S[n], level[n], level[n])
  moved[n, k]: d(p[n, k], level[n])
"""


def test_greatest_entropy_under_a_given_mean(tmp_path: Path) -> None:
    def law(level: Any, x: Any) -> Any:
        t = root_of(lambda t: jnp.sum(jax.nn.softmax(t * x) * x, keepdims=True) - level, jnp.zeros(1))
        return jax.nn.softmax(t * x)

    def entropy(level: Any, x: Any) -> Any:
        p = law(level, x)
        return -jnp.sum(p * jnp.log(p))

    def reference(x: Any, level: Any) -> dict[str, Any]:
        first = jax.grad(entropy)
        return {
            "p": jax.vmap(law, (0, None))(level, x),
            "first": jax.vmap(first, (0, None))(level, x),
            "second": jax.vmap(jax.grad(first), (0, None))(level, x),
            "moved": jax.vmap(jax.jacobian(law), (0, None))(level, x),
        }

    agree(ENTROPY, {"x": np.arange(1.0, 5), "level": np.array([2.0, 2.5, 3.3])}, tmp_path, reference)


# Two unknowns under constraints that join them; the batch shows in a constraint only.
JOINED = """
dims: {i: 3, n: 2}
data:
  b[i]: real
  most[n]: real
define:
  u[n, i], t[n]: argmin[a[i], s](sum[i]((a[i] - b[i])**2) + s**2, subject_to=[s >= a[i] + 1, sum[i](a[i]) + s <= most[n]])
  J: sum[n, i](u[n, i]*t[n])
outputs:
  u[n, i]: u[n, i]
  t[n]: t[n]
  slope[i]: d(J, b[i])
  by_most[n]: d(J, most[n])
"""
READ = """
dims: {i: 3, m: 2, n: 2}
data:
  b[n, i]: real
  A[m, i]: real
define:
  y[n, i]: argmax[a[i]](sum[i](b[n, i]*a[i] - a[i]**4/4 - a[i]**2), subject_to=[-1 <= sum[i](A[m, i]*a[i]) <= 0.3])
outputs:
  y[n, i]: y[n, i]
  slope[n, i]: d(sum[n, i](y[n, i]**2), b[n, i])
  J: sum[n, i](sin(y[n, i])*b[n, i])
"""


@pytest.mark.parametrize("text", [JOINED, READ])
def test_the_language_read_a_second_time_agrees(tmp_path: Path, text: str) -> None:
    values = {"b": np.array([[0.9, -0.3, 0.5], [0.2, 1.7, -1.0]]), "A": np.array([[1.0, 0.5, -0.4], [0.2, -1.0, 0.7]])}
    if "most" in text:
        values = {"b": np.array([0.9, -0.3, 0.5]), "most": np.array([0.4, 9.0])}
    spec = good(HEAD + text)
    stated = Meaning(spec, values).outputs()
    found = solved(text, values, tmp_path)
    for name, meant in stated.items():
        np.testing.assert_allclose(found[name], meant, atol=1e-8, err_msg=name)


def test_the_derivative_of_a_least_value_solves_no_system() -> None:
    text = PROGRAM.split("  J: ")[0] + "outputs:\n  a[k, l]: d(v, Q[k, l])\n  b[m]: d(v, b[m])\n"
    graph = compile_spec(good(HEAD + text)).graph
    assert not [n for n in graph.nodes if n.kind is Kind.LINALG]


STEPS = """
dims: {t: 4, i: 3}
constants: {h: 0.4}
data:
  x[i]: real
  g[i]: real
define:
  s[0, i]: x[i]
  s[t + 1, i]: argmin[u[i]](sum[i]((u[i] - s[t, i] + h*g[i]*s[t, i])**2), subject_to=[0 <= u[i] <= 1])
outputs:
  end[i]: s[-1, i]
  slope: d(sum[i](s[-1, i]), h)
  by_x[i]: d(sum[i](s[-1, i]), x[i])
"""


def test_recurrences_may_project_in_their_steps(tmp_path: Path) -> None:
    def end(h: Any, x: Any, g: Any) -> Any:
        for _ in range(3):
            x = jnp.clip(x - h * g * x, 0, 1)
        return x

    x, g = jnp.array([0.9, 0.5, 0.3]), jnp.array([0.5, -3.0, 1.0])
    found = solved(STEPS, {"h": 0.4, "x": x, "g": g}, tmp_path)
    np.testing.assert_allclose(found["end"], end(0.4, x, g), atol=1e-9)
    np.testing.assert_allclose(found["slope"], jax.grad(lambda h: end(h, x, g).sum())(0.4), atol=1e-8)
    np.testing.assert_allclose(found["by_x"], jax.grad(lambda x: end(0.4, x, g).sum())(x), atol=1e-8)


def test_what_nothing_satisfies_is_not_a_number(tmp_path: Path) -> None:
    text = """
dims: {k: 2, n: 3}
data:
  c[n]: real
define:
  y[n, k]: argmin[a[k]](sum[k](a[k]**2), subject_to=[a[k] >= c[n], sum[k](a[k]) <= 1])
outputs:
  y[n, k]: y[n, k]
"""
    found = solved(text, {"c": np.array([0.2, 0.7, -1.0])}, tmp_path)
    np.testing.assert_allclose(found["y"], [[0.2, 0.2], [np.nan, np.nan], [0, 0]], atol=1e-7)


def test_no_derivative_passes_through_where_none_is_asked_for(tmp_path: Path) -> None:
    text = """
constants: {c: 2.0}
define:
  y: argmin[x]((x - 2*c)**2, subject_to=x <= c, gradient=none)
outputs:
  y: y
  slope: d(c*y, c)
"""
    found = solved(text, {"c": 3.0}, tmp_path)
    np.testing.assert_allclose([found["y"], found["slope"]], [3.0, 3.0], atol=1e-9)


def test_one_constrained_problem_inside_another(tmp_path: Path) -> None:
    text = """
dims: {n: 2}
data:
  c[n]: real
params:
  top: {init: 1}
functions:
  shown(s, c): argmin[y]((y - s*c)**2, subject_to=[y >= 0.01, y <= 0.6])
define:
  s[n]: argmin[z]((shown(z, c[n]) - 2)**2 + z**2, start=0.4, subject_to=z <= top)
  v[n]: (shown(s[n], c[n]) - 2)**2 + s[n]**2
outputs:
  s[n]: s[n]
  by_top[n]: d(s[n], top)
  by_c[n]: d(s[n], c[n])
  v_top[n]: d(v[n], top)
"""
    c, top = np.array([0.2, 0.3]), 0.5
    found = solved(text, {"c": c, "top": top}, tmp_path)
    free = 2 * c / (1 + c**2)
    active = free > top
    np.testing.assert_array_equal(active, [False, True])
    np.testing.assert_allclose(found["s"], np.where(active, top, free), atol=1e-9)
    np.testing.assert_allclose(found["by_top"], np.where(active, 1, 0), atol=1e-9)
    np.testing.assert_allclose(found["by_c"], np.where(active, 0, 2 * (1 - c**2) / (1 + c**2) ** 2), atol=1e-8)
    np.testing.assert_allclose(found["v_top"], np.where(active, 2 * c * (top * c - 2) + 2 * top, 0), atol=1e-8)
