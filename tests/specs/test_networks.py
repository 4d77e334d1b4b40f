"""Networks in closed form against the same networks written by hand in JAX: values, and derivatives of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from tests.language.helpers import good
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.language.spec import Spec
from vspec.compiler.passes import run_passes

Weights = dict[str, Any]


def close(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-9, atol=1e-10, err_msg=what)


def drawn(spec: Spec, sizes: dict[str, int], seed: int = 0) -> tuple[Weights, dict[str, Any]]:
    """Random values for the params and the data of a spec, by name."""
    rng = np.random.default_rng(seed)

    def array(letters: tuple[str, ...]) -> Any:
        shape = [sizes.get(d) or spec.dims[d].size for d in (spec.letters[x] for x in letters)]
        return 0.7 * rng.standard_normal([int(n) for n in shape if isinstance(n, int)])

    return (
        {name: jnp.asarray(array(p.letters)) for name, p in spec.params.items()},
        {name: jnp.asarray(array(d.letters)) for name, d in spec.data.items()},
    )


def arguments(*groups: dict[str, Any]) -> dict[str, Any]:
    """Values under the names that the program's functions have for them."""
    return {name.replace(".", "_"): value for group in groups for name, value in group.items()}


# --- by hand ----------------------------------------------------------------------------------------------------

ACT = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "sin": jnp.sin,
    "silu": jax.nn.silu,
    "gelu": lambda a: jax.nn.gelu(a, approximate=False),
    "soft": jax.nn.elu,
    "selu": jax.nn.selu,
    "bent": jax.nn.leaky_relu,
    "softsign": jax.nn.soft_sign,
    "mine": lambda a: a * jnp.exp(-(a**2)),
}


def mlp(w: Weights, name: str, x: Any, act: Any) -> Any:
    """Layers of the weights that are there, the last one without its activation."""
    last = sum(1 for n in w if n.startswith(f"{name}.W"))
    for k in range(1, last + 1):
        x = jnp.tensordot(x, w[f"{name}.W{k}"], x.ndim if k == 1 else 1) + w.get(f"{name}.b{k}", 0.0)
        x = act(x) if k < last else x
    return x


# --- equality -----------------------------------------------------------------------------------------------------


def compiled(program: Emission, entry: str, values: dict[str, Any]) -> Any:
    """The result of an entry, compiled as one function."""
    return jax.jit(lambda given: program.call(entry, given))(values)


MANY = """\
precision: float64
dims: {n: auto, i: 3, k: 2, j: 4, "p, q": auto}
data:
  x[n, i]: real
  y[n]: real
functions:
  swish(a): a*sigmoid(a)
  enc(a[:]) -> [2, k]: mlp(hidden=[5, j], act=tanh)
  mixed(s, a[:], r): mlp(hidden=[j, j], act=sin, bias=false)
  dec(m[:, :]) -> [i]: mlp(hidden=[3], act=swish)
  linear(a[:]) -> [k]: mlp(hidden=[])
  whole(a[:]) -> [i]: dec(enc(a[:])[:, :])[i]
define:
  theta[p]: stack(mixed, linear)
objectives:
  loss: >-
    mean[n](enc(x[n, :])[0, 1]*mixed(y[n], x[n, :], 2.0) + sum[k](linear(x[n, :])[k]*enc(x[n, :])[1, k]))
    + mean[n, i]((whole(x[n, :])[i] - x[n, i])**2)
solve: {minimize: loss, method: sgd(0.1), steps: 1}
outputs:
  code[n, k]: enc(x[n, :])[1, k]
  back[n, i]: whole(x[n, :])[i]
  jacobian[n, k, i]: d(enc(x[n, :])[0, k], x[n, i])
  laplacian[n]: sum[i](d(mixed(y[n], x[n, :], 2.0), x[n, i], x[n, i]))
  slope[n]: d(mixed(y[n], x[n, :], 2.0), y[n])
  curvature[p, q]: d(loss, theta[p], theta[q])
"""


def test_perceptrons_are_what_a_person_writes(tmp_path: Path) -> None:
    """Values, gradients by all weights, Jacobians and Laplacians by inputs, the Hessian by a stack of two networks."""
    spec = good(MANY)
    weights, data = drawn(spec, {"n": 3})
    program = Emission(spec, 2, tmp_path / "program.py")

    def enc(w: Weights, x: Any) -> Any:
        return mlp(w, "enc", x, jnp.tanh)

    def mixed(w: Weights, x: Any, y: Any) -> Any:
        return mlp(w, "mixed", jnp.concatenate([y[None], x, jnp.array([2.0])]), jnp.sin)

    def whole(w: Weights, x: Any) -> Any:
        return mlp(w, "dec", enc(w, x), jax.nn.silu)

    def loss(w: Weights) -> Any:
        def row(x: Any, y: Any) -> Any:
            code = enc(w, x)
            first = code[0, 1] * mixed(w, x, y) + jnp.sum(mlp(w, "linear", x, jnp.tanh) * code[1])
            return first + jnp.mean((whole(w, x) - x) ** 2)

        return jnp.mean(jax.vmap(row)(data["x"], data["y"]))

    stacked = [n for n in spec.params if n.startswith(("mixed.", "linear."))]
    flat, back = ravel_pytree([weights[n] for n in stacked])

    def by_vector(v: Any) -> Any:
        return loss({**weights, **dict(zip(stacked, back(v), strict=True))})

    @jax.jit
    def truth(w: Weights) -> dict[str, Any]:
        x, y = data["x"], data["y"]
        return {
            "code": jax.vmap(lambda a: enc(w, a)[1])(x),
            "back": jax.vmap(lambda a: whole(w, a))(x),
            "jacobian": jax.vmap(jax.jacfwd(lambda a: enc(w, a)[0]))(x),
            "laplacian": jax.vmap(lambda a, b: jnp.trace(jax.hessian(lambda a: mixed(w, a, b))(a)))(x, y),
            "slope": jax.vmap(jax.grad(lambda a, b: mixed(w, a, b), 1))(x, y),
            "curvature": jax.hessian(by_vector)(flat),
        }

    value, gradient = compiled(program, "loss_value_and_gradient", arguments(weights, data))
    close(value, loss(weights), "value")
    slopes = jax.jit(jax.grad(loss))(weights)
    assert gradient.keys() == weights.keys() == slopes.keys()
    for name, slope in slopes.items():
        close(gradient[name], slope, name)
    outputs = compiled(program, "outputs", arguments(weights, data))
    for name, expected in truth(weights).items():
        close(outputs[name], expected, name)


ACTIVATIONS = (
    """\
precision: float64
dims: {n: auto, i: 2}
imports:
  std/activations: [silu, gelu, selu, softsign]
data:
  x[n, i]: real
functions:
  mine(a): a*exp(-a**2)
  bent(a): a if a > 0 else a/100
  soft(a): a if a > 0 else expm1(a)
"""
    + "".join(f"  f_{act}(a[:]): mlp(hidden=[2], act={act})\n" for act in ACT)
    + "objectives:\n  loss: mean[n]("
    + " + ".join(f"f_{act}(x[n, :])**2" for act in ACT)
    + ")\nsolve: {minimize: loss, method: sgd(0.1), steps: 1}\noutputs:\n"
    + "".join(f"  second_{act}[n]: sum[i](d(f_{act}(x[n, :]), x[n, i], x[n, i]))\n" for act in ACT)
)


def test_activations_and_their_derivatives(tmp_path: Path) -> None:
    spec = good(ACTIVATIONS)
    weights, data = drawn(spec, {"n": 5})
    program = Emission(spec, 2, tmp_path / "program.py")

    def one(w: Weights, act: str, x: Any) -> Any:
        return mlp(w, f"f_{act}", x, ACT[act])

    def loss(w: Weights) -> Any:
        return sum(jnp.mean(jax.vmap(lambda x, act=act: one(w, act, x) ** 2)(data["x"])) for act in ACT)

    slopes = jax.jit(jax.grad(loss))(weights)
    gradient = compiled(program, "loss_gradient", arguments(weights, data))
    for name, slope in slopes.items():
        close(gradient[name], slope, name)
    outputs = compiled(program, "outputs", arguments(weights, data))
    for act in ACT:
        trace = jax.vmap(lambda x, act=act: jnp.trace(jax.hessian(lambda x: one(weights, act, x))(x)))
        close(outputs[f"second_{act}"], jax.jit(trace)(data["x"]), act)


def test_the_meaning_of_a_network_is_the_same_without_passes(tmp_path: Path) -> None:
    """The emitted program at -O0 and an independent reading of the checked spec agree."""
    spec = good(MANY.replace("  curvature[p, q]: d(loss, theta[p], theta[q])\n", ""))
    weights, data = drawn(spec, {"n": 2}, 1)
    meaning = Meaning(spec, {**weights, **data}).outputs()
    outputs = compiled(Emission(spec, 0, tmp_path / "program.py"), "outputs", arguments(weights, data))
    for name, value in meaning.items():
        close(outputs[name], value, name)


# --- other architectures -------------------------------------------------------------------------------------------

OTHERS = """\
precision: float64
dims: {n: 3, s: 4, i: 3, k: 2, m: 5, "p, q": auto}
data:
  x[n, i]: real
  z[n, s, i]: real
functions:
  deep(a[:]) -> [k]: resnet(width=4, blocks=2, act=tanh, norm=true)
  plain(t, a[:]): resnet(width=k, blocks=1, act=softplus, bias=false)
  glu(a[:]) -> [k]: gated(hidden=3)
  waves(a[:]) -> [2, m]: fourier_features(scale=0.5)
  tuned(a[:]) -> [2, m]: fourier_features(trained=true)
  net(f[:, :]): mlp(hidden=[3])
  u(a[:]): net(waves(a[:])[:, :])
  v(a[:]): net(tuned(a[:])[:, :])
  set(a[:, :]) -> [s, k]: attention(heads=2, width=3)
  past(a[:, :]) -> [s, k]: attention(width=2, causal=true, bias=false)
define:
  theta[p]: stack(glu, past)
objectives:
  loss: >-
    mean[n](sum[k](deep(x[n, :])[k]*glu(x[n, :])[k]) + plain(x[n, 0], x[n, :])**2 + u(x[n, :])*v(x[n, :]))
    + mean[n, s](sum[k](set(z[n, :, :])[s, k]*past(z[n, :, :])[s, k]))
solve: {minimize: loss, method: sgd(0.1), steps: 1}
outputs:
  deep[n, k]: deep(x[n, :])[k]
  plain[n]: plain(x[n, 0], x[n, :])
  glu[n, k]: glu(x[n, :])[k]
  u[n]: u(x[n, :])
  set[n, s, k]: set(z[n, :, :])[s, k]
  past[n, s, k]: past(z[n, :, :])[s, k]
  laplacian[n]: sum[i](d(u(x[n, :]) + deep(x[n, :])[0] + glu(x[n, :])[1], x[n, i], x[n, i]))
  moved[n]: sum[s, i](d(past(z[n, :, :])[2, 0] + set(z[n, :, :])[0, 1], z[n, s, i])*z[n, s, i])
  curvature[p, q]: d(loss, theta[p], theta[q])
"""


def normed(w: Weights, name: str, label: str, a: Any) -> Any:
    centred = (a - a.mean()) / jnp.sqrt(jnp.mean((a - a.mean()) ** 2) + 1e-5)
    return w[f"{name}.g{label}"] * centred + w[f"{name}.s{label}"]


def resnet(w: Weights, name: str, x: Any, act: Any, blocks: int) -> Any:
    norm = f"{name}.g1" in w
    h = x @ w[f"{name}.W0"] + w.get(f"{name}.b0", 0.0)
    for k in range(1, blocks + 1):
        a = normed(w, name, str(k), h) if norm else h
        a = act(a @ w[f"{name}.U{k}"] + w.get(f"{name}.b{k}", 0.0))
        h = h + a @ w[f"{name}.V{k}"] + w.get(f"{name}.c{k}", 0.0)
    h = normed(w, name, "", h) if norm else h
    return h @ w[f"{name}.W"] + w.get(f"{name}.b", 0.0)


def gated(w: Weights, name: str, x: Any) -> Any:
    value = x @ w[f"{name}.V"] + w[f"{name}.c"]
    return (jax.nn.sigmoid(x @ w[f"{name}.W"] + w[f"{name}.b"]) * value) @ w[f"{name}.U"] + w[f"{name}.e"]


def features(frequencies: Any, x: Any) -> Any:
    return jnp.stack([jnp.cos(x @ frequencies), jnp.sin(x @ frequencies)])


def attention(w: Weights, name: str, x: Any, causal: bool) -> Any:
    def heads(weight: str, bias: str) -> Any:
        return jnp.einsum("si,ihc->hsc", x, w[f"{name}.{weight}"]) + w.get(f"{name}.{bias}", jnp.zeros(1))[..., None, :]

    q, k, v = heads("Q", "bQ"), heads("K", "bK"), heads("V", "bV")
    score = jnp.einsum("hsc,htc->hst", q, k) / jnp.sqrt(q.shape[-1])
    if causal:
        score = jnp.where(jnp.tril(jnp.ones(score.shape[1:], bool)), score, -jnp.inf)
    mixed = jnp.einsum("hst,htc->shc", jax.nn.softmax(score), v)
    return jnp.einsum("shc,hck->sk", mixed, w[f"{name}.W"]) + w.get(f"{name}.b", 0.0)


def test_other_architectures_are_what_a_person_writes(tmp_path: Path) -> None:
    spec = good(OTHERS)
    weights, data = drawn(spec, {})
    assert "waves.B" in data, "frequencies that are not trained are data"
    assert "tuned.B" in weights
    program = Emission(spec, 2, tmp_path / "program.py")
    x, z, frozen = data["x"], data["z"], data["waves.B"]

    def u(w: Weights, a: Any) -> Any:
        return mlp(w, "net", features(frozen, a), jnp.tanh)

    def rows(w: Weights, a: Any) -> dict[str, Any]:
        return {
            "deep": resnet(w, "deep", a, jnp.tanh, 2),
            "plain": resnet(w, "plain", jnp.concatenate([a[:1], a]), jax.nn.softplus, 1),
            "glu": gated(w, "glu", a),
            "u": u(w, a),
        }

    def sets(w: Weights, b: Any) -> dict[str, Any]:
        return {"set": attention(w, "set", b, False), "past": attention(w, "past", b, True)}

    def loss(w: Weights) -> Any:
        def one(a: Any, b: Any) -> Any:
            r, c = rows(w, a), sets(w, b)
            v = mlp(w, "net", features(w["tuned.B"], a), jnp.tanh)
            first = jnp.sum(r["deep"] * r["glu"]) + r["plain"] ** 2 + r["u"] * v
            return first + jnp.sum(c["set"] * c["past"]) / 4

        return jnp.mean(jax.vmap(one)(x, z))

    def summed(a: Any) -> Any:
        found = rows(weights, a)
        return found["u"] + found["deep"][0] + found["glu"][1]

    def pair(b: Any) -> Any:
        found = sets(weights, b)
        return found["past"][2, 0] + found["set"][0, 1]

    stacked = [n for n in spec.params if n.startswith(("glu.", "past."))]
    flat, back = ravel_pytree([weights[n] for n in stacked])

    @jax.jit
    def truth() -> dict[str, Any]:
        return {
            **jax.vmap(lambda a: rows(weights, a))(x),
            **jax.vmap(lambda b: sets(weights, b))(z),
            "laplacian": jax.vmap(lambda a: jnp.trace(jax.hessian(summed)(a)))(x),
            "moved": jax.vmap(lambda b: jnp.sum(jax.grad(pair)(b) * b))(z),
            "curvature": jax.hessian(lambda v: loss({**weights, **dict(zip(stacked, back(v), strict=True))}))(flat),
        }

    value, gradient = compiled(program, "loss_value_and_gradient", arguments(weights, data))
    close(value, jax.jit(loss)(weights), "value")
    for name, slope in jax.jit(jax.grad(loss))(weights).items():
        close(gradient[name], slope, name)
    outputs = compiled(program, "outputs", arguments(weights, data))
    for name, expected in truth().items():
        close(outputs[name], expected, name)


# --- the example of the design ----------------------------------------------------------------------------------

PHYSICS = """\
precision: float64
dims: {c: auto}
constants: {nu: 0.1}
data: {x[c]: real, t[c]: real}
functions:
  u(x, t): mlp(hidden=[6, 6, 5], act=tanh)
define:
  residual[c]: d(u(x[c], t[c]), t[c]) + u(x[c], t[c])*d(u(x[c], t[c]), x[c]) - nu*d(u(x[c], t[c]), x[c], x[c])
objectives:
  loss: mean[c](residual[c]**2)
solve: {minimize: loss, over: u, method: adam(0.01), steps: 5}
outputs:
  residuals[c]: residual[c]
"""


def test_a_residual_by_the_inputs_of_a_network(tmp_path: Path) -> None:
    spec = good(PHYSICS.replace("{x[c]: real, t[c]: real}", '{"x[c]": real, "t[c]": real}'))
    weights, data = drawn(spec, {"c": 7})
    program = Emission(spec, 2, tmp_path / "program.py")

    def u(w: Weights, x: Any, t: Any) -> Any:
        return mlp(w, "u", jnp.stack([x, t]), jnp.tanh)

    def residual(w: Weights, x: Any, t: Any) -> Any:
        by_x = jax.grad(u, 1)(w, x, t)
        return jax.grad(u, 2)(w, x, t) + u(w, x, t) * by_x - 0.1 * jax.grad(jax.grad(u, 1), 1)(w, x, t)

    def loss(w: Weights) -> Any:
        return jnp.mean(jax.vmap(lambda x, t: residual(w, x, t))(data["x"], data["t"]) ** 2)

    values = arguments(weights, data, {"nu": 0.1})
    close(
        compiled(program, "outputs", values)["residuals"],
        jax.vmap(residual, (None, 0, 0))(weights, *data.values()),
        "r",
    )
    gradient = compiled(program, "loss_gradient", values)
    for name, slope in jax.jit(jax.grad(loss))(weights).items():
        close(gradient[name], slope, name)


def test_equal_calls_are_one_quantity() -> None:
    """Four calls at the same inputs: each layer is one definition, and one contraction of the value."""
    spec = good(PHYSICS.replace("{x[c]: real, t[c]: real}", '{"x[c]": real, "t[c]": real}'))
    assert [e.names[0] for e in spec.equations] == ["_u.h1", "_u.h2", "_u.h3", "_u", "residual"]
    plain = good(
        """dims: {n: 50, i: 3, k: 2}
data:
  x[n, i]: real
functions:
  f(a[:]) -> [k]: mlp(hidden=[4, 4])
outputs:
  y[n, k]: f(x[n, :])[k]
  z: sum[n, k](f(x[n, :])[k]**2)
"""
    )
    graph, _ = run_passes(lower_spec(plain), 2, ())
    products = [n for n in all_nodes(graph) if n.kind is Kind.CONTRACT]
    assert len(products) == 3, "one for each layer"
