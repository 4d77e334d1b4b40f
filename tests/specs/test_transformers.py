"""Transformers against the same networks made of Equinox's layers with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from tests.language.helpers import diagnose, good
from tests.specs.test_networks import Weights, arguments, close, compiled, drawn
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.calculus.program import lower_spec

SPEC = """\
precision: float64
dims: {n: 2, s: 3, i: 3, k: 2, h: 4}
data:
  z[n, s, i]: real
functions:
  bent(a): a*sigmoid(a)
  deep(a[:, :]) -> [s, k]: transformer(width=h, heads=2, blocks=1, hidden=2, act=bent)
  past(a[:, :]) -> [s, k]: transformer(width=4, heads=1, blocks=1, hidden=h, act=tanh, causal=true, bias=false)
objectives:
  loss: mean[n, s, k](deep(z[n, :, :])[s, k]**2)
  tilt: mean[n](sum[s, i](d(past(z[n, :, :])[2, 0], z[n, s, i])*z[n, s, i]))
solve:
  - {minimize: loss, method: sgd(0.1), steps: 1}
  - {minimize: tilt, method: sgd(0.1), steps: 1}
outputs:
  deep[n, s, k]: deep(z[n, :, :])[s, k]
  past[n, s, k]: past(z[n, :, :])[s, k]
  bowed[n]: sum[s, i](d(past(z[n, :, :])[2, 0], z[n, s, i], z[n, s, i]))
"""


def linear(weight: Any, bias: Any) -> eqx.nn.Linear:
    """Equinox's linear map: its weights are [out, in]."""
    layer = eqx.nn.Linear(weight.shape[0], weight.shape[1], use_bias=bias is not None, key=jax.random.key(0))
    layer = eqx.tree_at(lambda x: x.weight, layer, weight.T)
    return layer if bias is None else eqx.tree_at(lambda x: x.bias, layer, bias)


def norm(w: Weights, name: str, label: str) -> eqx.nn.LayerNorm:
    layer = eqx.nn.LayerNorm(w[f"{name}.g{label}"].shape)
    return eqx.tree_at(lambda x: (x.weight, x.bias), layer, (w[f"{name}.g{label}"], w[f"{name}.s{label}"]))


def transformer(w: Weights, name: str, x: Any, act: Any, heads: int, causal: bool) -> Any:
    """Pre-norm blocks of multi-head attention and a two-layer perceptron."""

    def at(label: str) -> Any:
        return w.get(f"{name}.{label}")

    def flat(label: str, bias: str, inner: bool) -> eqx.nn.Linear:
        width = at("W0").shape[1]
        vector = at(bias)
        return linear(at(label).reshape(width, width), vector.reshape(-1) if inner and vector is not None else vector)

    mask = jnp.tril(jnp.ones((len(x), len(x)), bool)) if causal else None
    h = jax.vmap(linear(at("W0"), at("b0")))(x)
    for n in range(1, sum(1 for p in w if p.startswith(f"{name}.Q")) + 1):
        attention = eqx.nn.MultiheadAttention(heads, h.shape[1], key=jax.random.key(0))
        parts = [flat(f"{p}{n}", f"b{p}{n}", True) for p in "QKV"] + [flat(f"O{n}", f"bO{n}", False)]
        attention = eqx.tree_at(lambda a: (a.query_proj, a.key_proj, a.value_proj, a.output_proj), attention, parts)
        seen = jax.vmap(norm(w, name, f"{n}"))(h)
        h = h + attention(seen, seen, seen, mask)
        seen = jax.vmap(norm(w, name, f"{n}m"))(h)
        up, down = linear(at(f"U{n}"), at(f"b{n}")), linear(at(f"D{n}"), at(f"c{n}"))
        h = h + jax.vmap(lambda a, up=up, down=down: down(act(up(a))))(seen)
    return jax.vmap(linear(at("W"), at("b")))(jax.vmap(norm(w, name, ""))(h))


def test_transformers_are_equinox_layers(tmp_path: Path) -> None:
    """Values; gradients by all weights, also of a derivative by the inputs; second derivatives by the inputs."""
    spec = good(SPEC)
    weights, data = drawn(spec, {})
    program = Emission(spec, 2, tmp_path / "program.py")

    def deep(w: Weights, a: Any) -> Any:
        return transformer(w, "deep", a, jax.nn.silu, 2, False)

    def past(w: Weights, a: Any) -> Any:
        return transformer(w, "past", a, jnp.tanh, 1, True)

    def loss(w: Weights) -> Any:
        return jnp.mean(jax.vmap(lambda a: deep(w, a))(data["z"]) ** 2)

    def tilt(w: Weights) -> Any:
        return jnp.mean(jax.vmap(lambda a: jnp.sum(jax.grad(lambda a: past(w, a)[2, 0])(a) * a))(data["z"]))

    def bowed(a: Any) -> Any:
        return jnp.trace(jax.hessian(lambda v: past(weights, v.reshape(a.shape))[2, 0])(a.ravel()))

    values = arguments(weights, data)
    for objective, of in (("loss", loss), ("tilt", tilt)):
        value, gradient = compiled(program, f"{objective}_value_and_gradient", values)
        expected, slopes = jax.jit(jax.value_and_grad(of))(weights)
        close(value, expected, objective)
        for name, slope in slopes.items():
            close(gradient.get(name, 0.0), slope, name)
    outputs = compiled(program, "outputs", values)
    close(outputs["deep"], jax.vmap(lambda a: deep(weights, a))(data["z"]), "deep")
    close(outputs["past"], jax.vmap(lambda a: past(weights, a))(data["z"]), "past")
    close(outputs["bowed"], jax.jit(jax.vmap(bowed))(data["z"]), "bowed")


def test_the_meaning_of_a_transformer_is_the_same_without_passes(tmp_path: Path) -> None:
    spec = good(SPEC[: SPEC.index("solve")] + "outputs:\n  past[n, s, k]: past(z[n, :, :])[s, k]\n")
    weights, data = drawn(spec, {}, 1)
    outputs = compiled(Emission(spec, 0, tmp_path / "program.py"), "outputs", arguments(weights, data))
    for name, value in Meaning(spec, {**weights, **data}).outputs().items():
        close(outputs[name], value, name)


def test_a_width_that_heads_do_not_divide() -> None:
    _, found = diagnose(SPEC.replace("width=h, heads=2", "width=h, heads=3"))
    assert [d.code for d in found] == ["VS0251"]
    assert "the width 4 of 'deep' cannot be split among 3 heads" in found[0].message


def test_second_derivatives_do_not_double_with_each_block() -> None:
    """Diagonals are made once, and no branch of an activation copies the softmax below it."""

    def nodes(blocks: int, more: str) -> int:
        text = f"""\
dims: {{n: 2, s: 3, i: 3, k: 2}}
data:
  z[n, s, i]: real
functions:
  f(a[:, :]) -> [s, k]: transformer(width=4, heads=1, blocks={blocks}, hidden=3{more})
outputs:
  bowed[n]: sum[s, i](d(f(z[n, :, :])[2, 0], z[n, s, i], z[n, s, i]))
"""
        return len(lower_spec(good(text)).nodes)

    for more in (", act=relu", ", act=tanh, causal=true"):
        first, second, third = (nodes(blocks, more) for blocks in (2, 3, 4))
        assert third - second < 1.5 * (second - first)
