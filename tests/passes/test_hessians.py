"""Systems with Hessians: which are known to be definite, how they are factored, and that the value is right whatever they are."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

HEAD = """\
precision: float64
dims: {n: ROWS, i, j, k: SIZE, c: 3, p, q: auto}
constants: {lam: 0.5}
data:
  X[n, i]: real
  label[n]: {type: integer}
  m[i]: {type: real, in: [0.5, 1]}
params:
  w[i]: {init: 0}
  W[i, c]: {init: 0}
  s: {init: 1, domain: positive}
"""
VECTOR = """\
define:
  r[n]: sum[i](X[n, i]*w[i])
  loss: LOSS
  H[i, j]: d(loss, w[i], w[j])
outputs:
  x[j]: solve(H[:, :], w[:])[j]
"""

# Functions of w, and what is known of the Hessian if lam is positive: by Cholesky, by Cholesky with LU behind it, or by LU.
LOSSES = {
    "squares and a positive weight": ("sum[n](r[n]**2) + s*sum[i](w[i]**2)", "cholesky"),
    "logistic": ("sum[n](log(1 + exp(-r[n]))) + sum[i](m[i]*w[i]*w[i])", "cholesky"),
    "poisson": ("sum[n](exp(r[n]) - 2*r[n]) + size(n)*sum[i](w[i]**2)/2", "cholesky"),
    "soft maximum": ("3*logsumexp[n](r[n]) + sum[i](w[i]**2)", "cholesky"),
    "its formula": ("log(sum[n](exp(r[n]))) + sum[i](w[i]**2)", "cholesky"),
    "barrier": ("sum[n](-log(4 - r[n])) + sum[i](w[i]**2)", "cholesky"),
    "a constant in front": ("sum[n](r[n]**2) + lam/2*sum[i](w[i]**2)", "cholesky_or_lu"),
    "no ridge": ("sum[n](softplus(r[n])) + sum[n](cosh(r[n]))", "cholesky_or_lu"),
    "ridge of one part": ("sum[n](exp(r[n])) + (w[0] - 1)**2", "cholesky_or_lu"),
    "inside": ("sum[n](exp(r[n]**2)) + sum[i](w[i]**4)", "cholesky_or_lu"),
    "a saddle": ("sum[n](r[n]**2) - sum[i](w[i]**2)", "lu"),
    "a sign that is open": ("sum[n](X[n, 0]*exp(r[n])) + sum[i](w[i]**2)", "lu"),
    "concave inside": ("sum[n](sqrt(1 + exp(r[n]))) + sum[n](log(2 + sin(r[n]))) + sum[i](w[i]**2)", "lu"),
    "a product": ("sum[n](exp(r[n])*exp(-r[n]**2)) + sum[i](w[i]**2)", "lu"),
}


def head(size: int) -> str:
    return HEAD.replace("SIZE", str(size)).replace("ROWS", str(2 * size + 1))


def text(loss: str, size: int = 4) -> str:
    return head(size) + VECTOR.replace("LOSS", loss)


def chosen(graph: Graph) -> set[str]:
    return {c.chosen for c in choices_of(graph) if c.kind == "matrix"}


def values(size: int = 4, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "X": rng.normal(size=(2 * size + 1, size)) / 2,
        "label": rng.integers(0, 3, size=2 * size + 1),
        "m": rng.choice([0.5, 1.0], size=size),
        "w": rng.normal(size=size) / 4,
        "W": rng.normal(size=(size, 3)),
        "s": np.array(0.7),
        "lam": np.array(0.5),
    }


@pytest.mark.parametrize("name", LOSSES)
def test_hessians_of_convex_functions_are_known_to_be_definite(name: str) -> None:
    """At a size at which a factorisation costs more than a branch; the claim is checked on eigenvalues at random points."""
    loss, way = LOSSES[name]
    assert chosen(compile_spec(good(text(loss, size=200))).graph) == {way}
    found = compile_spec(good(text(loss).replace("  x[j]:", "  H[i, j]: H[i, j]\n  x[j]:"))).graph
    plain = compile_spec(good(text(loss)), level=0).graph
    for seed in range(5):
        given = values(seed=seed)
        got = evaluate_graph(found, given)["outputs"]
        least = np.linalg.eigvalsh(got[("H",)])[0]
        if way == "cholesky":
            assert least > 0
        elif way == "cholesky_or_lu":
            assert least > -1e-12
        wanted = evaluate_graph(plain, given)["outputs"][("x",)]
        np.testing.assert_allclose(got[("x",)], wanted, rtol=1e-6, atol=1e-9)


def test_a_small_matrix_is_not_worth_a_branch() -> None:
    loss = LOSSES["a constant in front"][0]
    assert chosen(compile_spec(good(text(loss, size=8))).graph) == {"lu"}


SOFTMAX = """\
define:
  logit[n, c]: sum[i](X[n, i]*W[i, c])
  loss: sum[n](logsumexp[c](logit[n, c]) - logit[n, label[n]]) + RIDGE/2*sum[i, c](W[i, c]**2)
  theta[p]: stack(W[:, :])
  g[p]: d(loss, theta[p])
  H[p, q]: HESSIAN
outputs:
  x[q]: solve(H[:, :], g[:])[q]
  damped[q]: solve(D[:, :], g[:])[q]
"""


@pytest.mark.parametrize(("ridge", "way"), [("s", "cholesky"), ("lam", "cholesky_or_lu")])
@pytest.mark.parametrize("hessian", ["d(loss, theta[p], theta[q])", "d(g[p], theta[q])"])
def test_softmax_regression(ridge: str, way: str, hessian: str) -> None:
    """All params as one vector, the Hessian as the derivative of the gradient or at once, and with a term on its diagonal."""
    body = SOFTMAX.replace("RIDGE", ridge).replace("HESSIAN", hessian)
    body = body.replace("outputs:", "  D[p, q]: H[p, q] + s*delta[p, q]\noutputs:")
    spec = good(head(40) + body)
    graph = compile_spec(spec).graph
    rows = {c.what: c.chosen for c in choices_of(graph) if c.kind == "matrix"}
    assert rows == {"solve(H[:, :])": way, "solve(D[:, :])": way}
    assert not [n for n in graph.nodes if n.kind is Kind.STOP]
    given = values(40)
    wanted = evaluate_graph(compile_spec(spec, level=0).graph, given)["outputs"]
    for key, value in evaluate_graph(graph, given)["outputs"].items():
        np.testing.assert_allclose(value, wanted[key], rtol=1e-8, atol=1e-9)


FORCED = """\
precision: float64
dims: {i, j: 5, b: 3}
data:
  y[i]: real
params:
  A[b, i, j]: {init: 1}
define:
  S[b, i, j]: A[b, i, j] + A[b, j, i]
outputs:
  x[b, j]: solve(S[b, :, :], y[:]WAY)[j]
  V[b, i, j]: inv(S[b, :, :]WAY)[i, j]
  volume[b]: logdet(S[b, :, :]WAY)
"""


def forced(way: str) -> Emission:
    with tempfile.TemporaryDirectory() as folder:
        return Emission(good(FORCED.replace("WAY", way)), 2, Path(folder) / "program.py")


@pytest.mark.parametrize("kind", ["definite", "indefinite", "mixed", "singular"])
def test_a_matrix_that_is_not_definite_is_factored_by_lu(kind: str) -> None:
    """Value, and what JAX's derivatives of the program are, as by LU alone."""
    tried, plain = forced(", by=cholesky_or_lu"), forced(", by=lu")
    assert {n.op for n in tried.compiled.graph.nodes if n.kind is Kind.LINALG} == {
        "solve_tried", "inv_tried", "logdet_tried",
    }  # fmt: skip
    assert tried.compiled.emitted.text.count("lu = symmetric_factor(") == 1
    rng = np.random.default_rng(1)
    half = rng.normal(size=(3, 5, 5))
    A = half @ np.swapaxes(half, 1, 2) / 2 + np.eye(5)
    if kind == "indefinite":
        A -= 4 * np.eye(5)
    elif kind == "mixed":
        A[1] -= 4 * np.eye(5)
    elif kind == "singular":
        A[:, 0, :] = A[:, :, 0] = 0
    y = rng.normal(size=5)

    def values_of(program: Emission, A: Any) -> Any:
        return program.call("outputs", {"A": A, "y": y})

    def total(program: Emission, A: Any) -> Any:
        return sum(jnp.sum(jnp.sin(v)) for v in values_of(program, A).values())

    ours, wanted = (jax.jit(partial(values_of, p))(A) for p in (tried, plain))
    if kind == "singular":
        # Neither gives numbers; what is asked for is that both do the same.
        for name, value in wanted.items():
            np.testing.assert_array_equal(np.isfinite(ours[name]), np.isfinite(value))
        return
    for name, value in wanted.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-9, atol=1e-10)
    slopes, wanted_slopes = (jax.jit(jax.grad(partial(total, p)))(A) for p in (tried, plain))
    np.testing.assert_allclose(slopes, wanted_slopes, rtol=1e-8, atol=1e-9)
    direction = rng.normal(size=A.shape)

    def along(program: Emission) -> Any:
        return jax.jit(lambda A: jax.jvp(jax.grad(lambda A: total(program, A)), (A,), (direction,))[1])(A)

    if kind == "mixed":
        # The two take both branches between them; compiling second derivatives takes long.
        np.testing.assert_allclose(along(tried), along(plain), rtol=1e-7, atol=1e-8)
    many = jnp.stack([A, A - 3 * np.eye(5)])
    found, wanted_many = (jax.jit(jax.vmap(partial(values_of, p)))(many) for p in (tried, plain))
    for name, value in wanted_many.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-10)


def test_a_matrix_that_is_not_symmetric_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        compile_spec(
            good(FORCED.replace("A[b, i, j] + A[b, j, i]", "A[b, i, j]").replace("WAY", ", by=cholesky_or_lu"))
        )
    (found,) = caught.value.diagnostics
    assert found.code == "VS0271"
    assert "not shown that this matrix is symmetric" in found.message


@pytest.mark.parametrize("way", ["cholesky", "cholesky_or_lu", "lu"])
def test_the_way_of_a_hessian_can_be_asked_for(way: str) -> None:
    loss = LOSSES["a saddle"][0]
    found = compile_spec(good(text(loss).replace("w[:])[j]", f"w[:], by={way})[j]"))).graph
    assert [(c.chosen, c.because) for c in choices_of(found) if c.kind == "matrix"] == [(way, "asked for")]


def test_constants_that_are_set_leave_the_value_right() -> None:
    """A weight below 0 makes of a convex function one that is none; its Hessian is factored all the same."""
    spec = good(text(LOSSES["a constant in front"][0], size=100))
    assert chosen(compile_spec(spec).graph) == {"cholesky_or_lu"}
    with tempfile.TemporaryDirectory() as folder:
        program = Emission(spec, 2, Path(folder) / "program.py")
        for lam in (0.5, -3.0, 0.0001):
            given = {**values(100), "lam": np.array(lam)}
            H = 2 * given["X"].T @ given["X"] + lam * np.eye(100)
            wanted = np.linalg.solve(H, given["w"])
            np.testing.assert_allclose(program.call("outputs", given)["x"], wanted, rtol=1e-7, atol=1e-9)


def test_second_derivatives_of_solutions_with_a_hessian() -> None:
    """The systems of the derivatives are factored in the same way, and are those of JAX."""
    body = VECTOR.replace("LOSS", "sum[n](softplus(r[n])) + s*sum[i](w[i]**2)").split("outputs:")[0]
    body += "  move: sum[j](w[j]*solve(H[:, :], w[:])[j]) + logdet(H[:, :])\noutputs:\n"
    body += "  slope[i]: d(move, w[i])\n  by_s: d(move, s)\n  by_s_s: d(move, s, s)\n"
    graph = compile_spec(good(head(4) + body)).graph
    assert chosen(graph) == {"cholesky"}
    assert not {n.op for n in graph.nodes if n.kind is Kind.LINALG} & {"solve", "inv", "logdet"}
    given = values()

    def step(w: Any, s: Any) -> Any:
        H = jax.hessian(lambda w: jnp.sum(jax.nn.softplus(given["X"] @ w)) + s * w @ w)(w)
        return w @ jnp.linalg.solve(H, w) + jnp.linalg.slogdet(H)[1]

    found = evaluate_graph(graph, given)["outputs"]
    for name, f in {
        "slope": jax.grad(step),
        "by_s": jax.grad(step, 1),
        "by_s_s": jax.grad(jax.grad(step, 1), 1),
    }.items():
        np.testing.assert_allclose(found[(name,)], jax.jit(f)(given["w"], 0.7), rtol=1e-9, atol=1e-10)
