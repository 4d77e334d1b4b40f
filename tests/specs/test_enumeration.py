"""Sums over all values of latents: shared by all rows, in closed form where there is one, without tests that always hold."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import log_sigmoid, softplus

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.graph.whole import decided, values_of
from vspec.compiler.pipeline import compile_spec

N, K, J = 7, 3, 5
HEAD = """precision: float64
dims: {n: 7, k: 3, j: 5, a: 3, e: 3}
data:
  image[n, j]: real
params:
  u[j, k]: {init: 0}
  W[k, j]: {init: 0}
"""
MODEL = (
    HEAD
    + """random:
  b[n, k]: {law: "bernoulli(logits=sum[j](x[n, j]*u[j, k]))", estimator: ESTIMATOR}
define:
  x[n, j]: real(image[n, j] > 0.5)
  joint[n]: sum[j](logpdf(bernoulli(logits=sum[k](b[n, k]*W[k, j])), x[n, j])) + sum[k](logpdf(bernoulli(0.3), b[n, k]))
  bound: mean[n](E[b](joint[n] - sum[k](logpdf(b[n, k])), by=samples(1)))
solve: {evaluate: [bound]}
outputs:
  bound: bound
  du[j, k]: d(bound, u[j, k])
  dW[k, j]: d(bound, W[k, j])
  h[a, e]: d(bound, W[a, 0], u[2, e]) + d(bound, u[0, a], u[1, e])
"""
)


def values() -> dict[str, Any]:
    rng = np.random.default_rng(4)
    return {
        "image": rng.random((N, J)),
        "u": rng.normal(size=(J, K)),
        "W": rng.normal(size=(K, J)),
        "key": jax.random.key(1),
    }


def exact(u: Any, W: Any, image: Any) -> Any:
    """The bound by a sum over all configurations, row by row."""
    x = (image > 0.5).astype(float)
    total = 0.0
    for bits in itertools.product((0.0, 1.0), repeat=K):
        b = jnp.array(bits)
        a = x @ u
        log_q = jnp.sum(b * a - softplus(a), axis=1)
        logits = b @ W
        log_p = jnp.sum(x * log_sigmoid(logits) + (1 - x) * log_sigmoid(-logits), axis=1)
        log_p = log_p + jnp.sum(b * jnp.log(0.3) + (1 - b) * jnp.log(0.7))
        total = total + jnp.exp(log_q) * (log_p - log_q)
    return jnp.mean(total)


def test_values_and_derivatives_are_those_of_the_sum(tmp_path: Path) -> None:
    program = Emission(good(MODEL.replace("ESTIMATOR", "enumerate")), 2, tmp_path / "program.py")
    given = values()
    found = program.call("outputs", given)
    at = given["u"], given["W"], given["image"]
    assert float(found["bound"]) == pytest.approx(float(exact(*at)), rel=1e-12)
    du, dW = jax.grad(exact, (0, 1))(*at)
    np.testing.assert_allclose(found["du"], du, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found["dW"], dW, rtol=1e-10, atol=1e-12)
    (uu, _), (Wu, _) = jax.hessian(exact, (0, 1))(*at)
    np.testing.assert_allclose(found["h"], Wu[:, 0, 2, :] + uu[0, :, 1, :], rtol=1e-9, atol=1e-12)


def test_what_configurations_give_is_shared_by_all_rows() -> None:
    """No array has rows, configurations and pixels: what depends on the configuration alone is computed for it once."""
    text = MODEL.replace("ESTIMATOR", "enumerate").replace("  h[a, e]", "  # h[a, e]")
    graph = compile_spec(good(text), level=2).graph
    for node in all_nodes(graph):
        dims = {a.dim for a in node.axes}
        assert not {"n", "j", "b_values"} <= dims
    assert not [x for x in all_nodes(graph) if x.kind is Kind.RANDOM]


@pytest.mark.parametrize("estimator", ["enumerate", "score", "measure_valued"])
def test_a_coin_needs_no_test_of_its_values(estimator: str) -> None:
    text = MODEL.replace("ESTIMATOR", estimator).replace("  h[a, e]", "  # h[a, e]")
    assert "inf" not in compile_spec(good(text), level=2).emitted.text


def test_values_that_are_not_known_are_tested(tmp_path: Path) -> None:
    text = HEAD + "define:\n  s: sum[n, j](logpdf(bernoulli(0.3), image[n, j]))\noutputs: {s: s}\n"
    program = Emission(good(text), 2, tmp_path / "program.py")
    given = values()
    assert float(program.call("outputs", given)["s"]) == -np.inf
    whole = (given["image"] > 0.5).astype(float)
    share = whole.sum() * np.log(0.3) + (1 - whole).sum() * np.log(0.7)
    assert float(program.call("outputs", given | {"image": whole})["s"]) == pytest.approx(share, rel=1e-12)


def test_weights_over_copies_are_shared_by_batches(tmp_path: Path) -> None:
    """A prepared array of zeros and ones is known to be one: the step of a batch has no test either."""
    text = MODEL.replace("ESTIMATOR", "enumerate").split("solve:")[0]
    text += "objectives: {goal: bound}\nsolve: {maximize: goal, method: sgd(0.1), batch: {n: 3}, steps: 2}\n"
    program = Emission(good(text), 2, tmp_path / "program.py")
    assert "inf" not in program.compiled.emitted.text
    given = values()
    rows = program.call("goal_batch", given)
    assert float(rows) == pytest.approx(float(exact(given["u"], given["W"], given["image"])), rel=1e-12)


def test_axes_of_values_that_are_the_same_for_all_are_counted() -> None:
    """Sums over rows of what does not depend on the row, inside of an expectation: products, sums, and maxima."""
    text = HEAD.replace("params:", "  y[n]: real\nparams:") + (
        "random:\n  b[n]: {law: bernoulli(0.3), estimator: enumerate}\n"
        "define:\n"
        "  f[n, j]: y[n]*exp(b[n]*W[0, j])\n"
        "  g[j]: sum[n](E[b](f[n, j]*f[n, j]))\n"
        "  h: E[b](sum[j](exp(b[2]*W[0, j])) + max[j](b[2]*W[1, j]))\n"
        "outputs:\n  g[j]: g[j]\n  h: h\n"
    )
    graph = compile_spec(good(text), level=0)
    given = values()
    y = np.arange(7.0)
    found = evaluate_graph(graph.graph, given | {"y": y})["outputs"]
    W = given["W"]
    both = 0.7 + 0.3 * np.exp(2 * W[0])
    np.testing.assert_allclose(found["g",], np.sum(y**2) * both, rtol=1e-12)
    assert float(found["h",]) == pytest.approx(0.7 * 5 + 0.3 * np.sum(np.exp(W[0])) + 0.3 * np.max(W[1]), rel=1e-12)


@pytest.mark.parametrize("variable", ["normal(u[0, 0], exp(u[1, 0]))", "categorical(logits=u[:, 0])"])
def test_parts_of_an_expectation_share_what_they_read(variable: str) -> None:
    """Both terms go through the same tanh of the same draw, or sum: before derivatives are taken, so that these share, too."""
    text = HEAD.replace("params:", "  y[n]: real\nparams:") + (
        f'random:\n  z[n]: "{variable}"\n'
        "define:\n"
        "  g[n]: tanh(W[0, 0]*z[n])\n"
        "  f: sum[n](E[z](y[n]*g[n] - softplus(g[n])))\n"
        "outputs:\n  f: f\n"
    )
    nodes = all_nodes(compile_spec(good(text), level=0).graph)
    assert len([x for x in nodes if x.kind is Kind.MAP and "tanh" in repr(x.attrs[0].tree)]) == 1
    assert len([x for x in nodes if x.kind is Kind.RANDOM and x.dtype != "key"]) == ("normal" in variable)


# --- whole numbers ------------------------------------------------------------------------------------------------------


def test_values_of_whole_numbers_are_found() -> None:
    b = Builder({"i": 4, "big": 1000})
    i = b.index(Axis("i", "i"))
    assert values_of(b, i) == {0, 1, 2, 3}
    assert values_of(b, b.index(Axis("g", "big"))) is None
    odd = b.map(("mod", slot(0), num(2)), [b.index(Axis("g", "big"))], "integer")
    assert values_of(b, odd) == {0, 1}
    x = b.input("x", "data", (), "real")
    assert values_of(b, x) is None
    assert values_of(b, b.map(("real", ("gt", slot(0), num(0))), [x], "real")) == {0, 1}
    both = b.map(("sub", ("mul", num(2), slot(0)), slot(1)), [odd, i], "integer")
    assert values_of(b, both) == {2 * p - q for p in (0, 1) for q in range(4)}
    assert values_of(b, b.map(("mul", num(0.5), ("real", slot(0))), [i], "real")) is None
    assert values_of(b, b.map(("mod", num(3), slot(0)), [i], "integer")) is None


def test_tests_that_always_hold_are_decided() -> None:
    b = Builder({"i": 4}, (decided,))
    i = b.index(Axis("i", "i"))
    x = b.input("x", "data", (Axis("i", "i"),), "real")
    inside = ("and", ("ge", slot(0), num(0)), ("lt", slot(0), num(4)))
    found = b.map(("where", inside, slot(1), num(0.0)), [i, x], "real")
    assert found is x
    assert b.map(("where", ("lt", slot(0), num(0)), slot(1), num(0.0)), [i, x], "real").names == ("i",)
    assert b.map(("where", ("lt", slot(0), num(3)), slot(1), num(0.0)), [i, x], "real").kind is Kind.MAP
    assert b.map(("where", ("lt", slot(1), num(3)), slot(1), num(0.0)), [i, x], "real").kind is Kind.MAP


def test_two_readers_of_an_array_under_other_letters_are_one_operand() -> None:
    b = Builder({"i": 4, "n": 3}, (decided,))
    x = b.input("x", "data", (Axis("n", "n"), Axis("i", "i")), "real")
    coin = b.map(("real", ("gt", slot(0), num(0))), [x], "real")
    left, right, other = (b.reindex(coin, t) for t in (("n", "k"), ("n", "k"), ("n", "j")))
    assert left is not right
    test = ("or", ("eq", slot(0), num(0)), ("eq", slot(1), num(1)))
    assert b.map(("where", test, slot(2), num(0.0)), [left, right, left], "real") is left
    apart = b.map(("where", test, slot(2), num(0.0)), [left, other, left], "real")
    assert apart.kind is Kind.MAP
    assert len(apart.inputs) == 2
