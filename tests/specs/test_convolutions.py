"""Convolutions as networks, and as sums of a spec, against `jax.lax` with the same weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from tests.language.helpers import codes, good
from tests.specs.test_networks import Weights, arguments, close, compiled, drawn
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.graph.call import order
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.graph.strategy import choices_of

SPEC = """\
precision: float64
dims: {n: 2, r: 5, c: 4, i: 2, k: 2, a: 3, b: 2, s: 7, t: 5, m: 2, "p, q": auto}
data:
  z[n, r, c, i]: real
  y[n, s, i]: real
functions:
  same(x[:, :, :]) -> [r, c, k]: conv(channels=[3], kernel=3, act=tanh)
  half(x[:, :, :]) -> [a, b, k]: conv(channels=[], kernel=3, stride=2, bias=false)
  line(x[:, :]) -> [t, m]: conv(channels=[m], kernel=2, pad=valid, act=sin)
  even(x[:, :]) -> [s, m]: conv(channels=[], kernel=4)
define:
  theta[p]: stack(line, even)
objectives:
  loss: >-
    mean[n, a, b, k](half(same(z[n, :, :, :])[:, :, :])[a, b, k]**2) + mean[n, t, m](line(y[n, :, :])[t, m]**2)
    + mean[n, s, m](cos(even(y[n, :, :])[s, m]))
solve: {minimize: loss, method: sgd(0.1), steps: 1}
outputs:
  same[n, r, c, k]: same(z[n, :, :, :])[r, c, k]
  half[n, a, b, k]: half(z[n, :, :, :])[a, b, k]
  line[n, t, m]: line(y[n, :, :])[t, m]
  even[n, s, m]: even(y[n, :, :])[s, m]
  slopes[n, t, s]: d(line(y[n, :, :])[t, 1], y[n, s, 0])
  bowed[n]: sum[r, c, i](d(same(z[n, :, :, :])[2, 1, 0], z[n, r, c, i], z[n, r, c, i]))
  curvature[p, q]: d(loss, theta[p], theta[q])
"""


def conv(w: Weights, name: str, x: Any, act: Any, stride: int = 1, same: bool = True) -> Any:
    """Layers of `jax.lax.conv_general_dilated`."""
    last = sum(1 for n in w if n.startswith(f"{name}.W"))
    axes = "HW"[2 - (x.ndim - 1) :]
    for k in range(1, last + 1):
        kernel = w[f"{name}.W{k}"]
        front = (kernel.shape[0] - 1) // 2
        pad = (front, kernel.shape[0] - 1 - front) if same else (0, 0)
        numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
        x = jax.lax.conv_general_dilated(
            x[None], kernel, (stride,) * len(axes), (pad,) * len(axes), dimension_numbers=numbers
        )[0] + w.get(f"{name}.b{k}", 0.0)
        x = act(x) if k < last else x
    return x


def test_convolutions_are_those_of_lax(tmp_path: Path) -> None:
    """Values, gradients by all weights, Jacobians and second derivatives by inputs, a Hessian by two networks."""
    spec = good(SPEC)
    weights, data = drawn(spec, {})
    program = Emission(spec, 2, tmp_path / "program.py")
    y, z = data["y"], data["z"]

    def same(w: Weights, x: Any) -> Any:
        return conv(w, "same", x, jnp.tanh)

    def half(w: Weights, x: Any) -> Any:
        return conv(w, "half", x, jnp.tanh, 2)

    def line(w: Weights, x: Any) -> Any:
        return conv(w, "line", x, jnp.sin, same=False)

    def even(w: Weights, x: Any) -> Any:
        return conv(w, "even", x, jnp.sin)

    def loss(w: Weights) -> Any:
        first = jnp.mean(jax.vmap(lambda x: half(w, same(w, x)))(z) ** 2)
        second = jnp.mean(jax.vmap(lambda x: line(w, x))(y) ** 2)
        return first + second + jnp.mean(jnp.cos(jax.vmap(lambda x: even(w, x))(y)))

    stacked = [n for n in spec.params if n.startswith(("line.", "even."))]
    flat, back = ravel_pytree([weights[n] for n in stacked])

    def bowed(x: Any) -> Any:
        return jnp.trace(jax.hessian(lambda v: same(weights, v.reshape(x.shape))[2, 1, 0])(x.ravel()))

    @jax.jit
    def truth() -> dict[str, Any]:
        return {
            "same": jax.vmap(lambda x: same(weights, x))(z),
            "half": jax.vmap(lambda x: half(weights, x))(z),
            "line": jax.vmap(lambda x: line(weights, x))(y),
            "even": jax.vmap(lambda x: even(weights, x))(y),
            "slopes": jax.vmap(lambda x: jax.jacobian(lambda x: line(weights, x)[:, 1])(x)[:, :, 0])(y),
            "bowed": jax.vmap(bowed)(z),
            "curvature": jax.hessian(lambda v: loss({**weights, **dict(zip(stacked, back(v), strict=True))}))(flat),
        }

    value, gradient = compiled(program, "loss_value_and_gradient", arguments(weights, data))
    close(value, loss(weights), "value")
    for name, slope in jax.jit(jax.grad(loss))(weights).items():
        close(gradient[name], slope, name)
    outputs = compiled(program, "outputs", arguments(weights, data))
    for name, expected in truth().items():
        close(outputs[name], expected, name)


def test_the_meaning_of_a_convolution_is_the_same_without_passes(tmp_path: Path) -> None:
    """An independent reading of the checked spec, place by place, and the emitted program at -O0 agree."""
    spec = good(SPEC[: SPEC.index("  bowed")])
    weights, data = drawn(spec, {}, 1)
    outputs = compiled(Emission(spec, 0, tmp_path / "program.py"), "outputs", arguments(weights, data))
    for name, value in Meaning(spec, {**weights, **data}).outputs().items():
        close(outputs[name], value, name)


OWN = """\
precision: float64
dims: {n: 2, s: 9, p: 4, u: 3, i: 2, k: 2}
data:
  z[n, s, i]: real
params:
  W[i, k, u]: {init: 1}
objectives:
  loss: mean[n, p, k](tanh(sum[i, u](z[n, 2*index(p) + index(u), i]*W[i, k, u])))
solve: {minimize: loss, method: sgd(0.1), steps: 1}
outputs:
  curvature[n, s, i]: sum[u, k](d(loss, z[n, s, i], W[i, k, u]))
"""


def test_a_sum_over_a_moving_window_is_a_convolution(tmp_path: Path) -> None:
    """A sum of a spec's own becomes one, says so, and reads the same where it is told not to."""
    spec = good(OWN)
    graph = lower_spec(spec)
    kinds = [n.kind for n in all_nodes(graph)]
    assert Kind.CALL in kinds
    assert Kind.GATHER not in kinds
    assert "convolution" in [c.chosen for c in choices_of(graph)]
    told = good(OWN.replace("i]*W[i, k, u])", "i]*W[i, k, u], by=whole)"))
    assert Kind.CALL not in [n.kind for n in all_nodes(lower_spec(told))]
    weights, data = drawn(spec, {})
    one, two = (Emission(s, 2, tmp_path / f"{k}.py") for k, s in enumerate((spec, told)))
    for entry in ("loss_value_and_gradient", "outputs"):
        values = arguments(weights, data)
        for left, right in zip(*map(jax.tree.leaves, (compiled(p, entry, values) for p in (one, two))), strict=True):
            close(left, right, entry)


@pytest.mark.parametrize(
    "formula",
    [
        "sum[i, u](z[n, 3*index(p) + index(u), i]*W[i, k, u])",
        "sum[i, u](z[n, 2*index(p) + 2*index(u), i]*W[i, k, u])",
        "sum[u](z[n, 2*index(p) + index(u), 0]*W[0, k, u])",
        "sum[i, u](z[n, 2*index(p) + index(u), i]*W[i, k, u]*W[i, k, u])",
    ],
)
def test_other_sums_are_read_place_by_place(formula: str) -> None:
    """A window that runs out, one with gaps, one without entries, and a product of three are no convolutions."""
    spec = good(OWN.replace("sum[i, u](z[n, 2*index(p) + index(u), i]*W[i, k, u])", formula))
    assert Kind.CALL not in [n.kind for n in all_nodes(lower_spec(spec))]


def test_derivatives_of_convolutions_are_convolutions() -> None:
    """Each derivative of a convolution, of whatever order, is one call of it or of one of its adjoints."""
    graph = lower_spec(good(SPEC))
    assert {order(n.attrs[2]) for n in all_nodes(graph) if n.kind is Kind.CALL} == {0, 1}


FUNCTION = """\
dims: {n: 2, s: 7, t: 5, i: 2, k: 2}
data:
  y[n, s, i]: real
functions:
  f(x[:, :])%s
outputs:
  v: sum[n](f(y[n, :, :])[0, 0])
"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (" -> [t, k]: conv(channels=[], kernel=3)", "VS0252"),
        (" -> [t, k]: conv(channels=[4, 4], kernel=4, pad=valid)", "VS0253"),
        (" -> [k]: conv(channels=[], kernel=3)", "VS0252"),
        (" -> [s, k]: conv(channels=[])", "VS0251"),
        (" -> [s, k]: conv(channels=[], kernel=3, pad=reflect)", "VS0251"),
    ],
)
def test_convolutions_that_do_not_fit(body: str, code: str) -> None:
    found = codes(FUNCTION % body)
    assert found[0] == code
    assert np.all(np.array(found) != "VS0221")


def test_the_reference_interpreter_agrees_on_adjoints(tmp_path: Path) -> None:
    """Each node of a gradient, place by place in NumPy, against the emitted program's function of `jax.lax`."""
    spec = good(SPEC[: SPEC.index("outputs:")])
    weights, data = drawn(spec, {}, 2)
    graph = lower_spec(spec)
    only = replace(graph, entries=tuple(e for e in graph.entries if e.name == "loss_value_and_gradient"))
    found = evaluate_graph(only, {**weights, **data})["loss_value_and_gradient"]
    program = Emission(spec, 2, tmp_path / "program.py")
    value, gradient = compiled(program, "loss_value_and_gradient", arguments(weights, data))
    close(found[(0,)], value, "value")
    for name, slope in gradient.items():
        close(found[(1, name)], slope, name)
