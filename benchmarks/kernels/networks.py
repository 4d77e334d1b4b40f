"""Networks: gradients of a classifier, and of the residuals of differential equations."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values


def layers(rng: np.random.Generator, *widths: int) -> list[Any]:
    """Matrices and offsets, drawn so that activations keep their size."""
    shapes = itertools.pairwise(widths)
    return [x for a, b in shapes for x in (rng.normal(size=(a, b)) / np.sqrt(a), 0.1 * rng.normal(size=b))]


def digits(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Images in [0, 1] with labels, and a perceptron."""
    n, i, a, b, k = (sizes[s] for s in "niabk")
    names = ("U", "u", "V", "v", "W", "w")
    params = dict(zip(names, layers(rng, i, a, b, k), strict=True))
    return {"x": rng.uniform(size=(n, i)), "label": rng.integers(0, k, n), **params}


def perceptron(U: Any, u: Any, V: Any, v: Any, W: Any, w: Any, x: Any, label: Any) -> Any:
    """Value and gradient by reverse mode."""

    def loss(p: Any) -> Any:
        f = jnp.tanh(x @ p["U"] + p["u"])
        g = jnp.tanh(f @ p["V"] + p["v"])
        logp = jax.nn.log_softmax(g @ p["W"] + p["w"])
        return -jnp.mean(jnp.take_along_axis(logp, label[:, None], 1))

    return jax.value_and_grad(loss)({"U": U, "u": u, "V": V, "v": v, "W": W, "w": w})


def perceptron_expert(U: Any, u: Any, V: Any, v: Any, W: Any, w: Any, x: Any, label: Any) -> Any:
    """Backpropagation written out."""
    f = jnp.tanh(x @ U + u)
    g = jnp.tanh(f @ V + v)
    logit = g @ W + w
    top = jnp.max(logit, 1, keepdims=True)
    e = jnp.exp(logit - top)
    total = jnp.sum(e, 1, keepdims=True)
    hit = label[:, None] == jnp.arange(w.shape[0])
    value = jnp.mean(jnp.log(total[:, 0]) + top[:, 0] - jnp.sum(jnp.where(hit, logit, 0), 1))
    logit_bar = (e / total - hit) / len(x)
    g_bar = (logit_bar @ W.T) * (1 - g * g)
    f_bar = (g_bar @ V.T) * (1 - f * f)
    return value, {
        "U": x.T @ f_bar,
        "u": jnp.sum(f_bar, 0),
        "V": f.T @ g_bar,
        "v": jnp.sum(g_bar, 0),
        "W": g.T @ logit_bar,
        "w": jnp.sum(logit_bar, 0),
    }


def perceptron_equinox(eqx: Any) -> Function:
    """Equinox's MLP, mapped over the rows."""

    def run(U: Any, u: Any, V: Any, v: Any, W: Any, w: Any, x: Any, label: Any) -> Any:
        key = jax.random.key(0)
        matrices, offsets = (U, V, W), (u, v, w)

        def made() -> Any:
            shapes = [m.shape for m in matrices]
            return eqx.nn.Sequential([eqx.nn.Linear(a, b, key=key, dtype=x.dtype) for a, b in shapes])

        empty = eqx.filter_eval_shape(made)
        weights = [m.T for m in matrices]
        model = eqx.tree_at(
            lambda m: [y for layer in m.layers for y in (layer.weight, layer.bias)],
            empty,
            [y for pair in zip(weights, offsets, strict=True) for y in pair],
        )

        def loss(model: Any) -> Any:
            def row(y: Any) -> Any:
                first, second, last = model.layers
                return last(jnp.tanh(second(jnp.tanh(first(y)))))

            logp = jax.nn.log_softmax(jax.vmap(row)(x))
            return -jnp.mean(jnp.take_along_axis(logp, label[:, None], 1))

        value, slope = eqx.filter_value_and_grad(loss)(model)
        found = [y for layer in slope.layers for y in (layer.weight.T, layer.bias)]
        return value, dict(zip(("U", "u", "V", "v", "W", "w"), found, strict=True))

    return run


def equation(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Points of the unit cube with right-hand sides, and a network."""
    n, i, a, b = (sizes[s] for s in "niab")
    U, u, V, v, w, _ = layers(rng, i, a, b, 1)
    return {"X": rng.uniform(size=(n, i)), "f": rng.normal(size=n), "U": U, "u": u, "V": V, "v": v, "w": w[:, 0]}


def net(p: Any, x: Any) -> Any:
    """The network at one point."""
    return jnp.tanh(jnp.tanh(x @ p["U"] + p["u"]) @ p["V"] + p["v"]) @ p["w"]


def slopes(loss: Function) -> Function:
    """The gradient of a loss of params, points and right-hand sides, as a function of the names of the spec."""

    def run(U: Any, u: Any, V: Any, v: Any, w: Any, X: Any, f: Any) -> Any:
        return jax.grad(loss)({"U": U, "u": u, "V": V, "v": v, "w": w}, X, f)

    return run


def poisson(p: Any, X: Any, f: Any) -> Any:
    """The Laplacian as the trace of a Hessian."""
    laplacian = jax.vmap(lambda x: jnp.trace(jax.hessian(net, 1)(p, x)))(X)
    return jnp.mean((laplacian - f) ** 2)


def poisson_expert(U: Any, u: Any, V: Any, v: Any, w: Any, X: Any, f: Any) -> Any:
    """Value, Jacobian and Laplacian go through the layers together, and their adjoints back, for all points at once.

    Of tanh, the slope is s = 1 - t^2 and the curvature -2 t s. The Jacobian of the first layer is s U: that of the second one
    is a product of s with U V, so that no array has points, coordinates and units of the first layer.
    """
    (n, i), (a, b) = X.shape, V.shape
    t = jnp.tanh(X @ U + u)
    s = 1 - t * t
    UV = (U.T[:, :, None] * V[:, None]).reshape(a, i * b)
    J = (s @ UV).reshape(n, i, b)
    square = jnp.sum(U * U, 0)
    curved = square[:, None] * V
    L = (t * s) @ curved
    z = jnp.tanh(t @ V + v)
    r = 1 - z * z
    q = jnp.sum(J * J, 1)
    inner = L + z * q
    # The Laplacian is -2 sum_b w r inner.
    bar = -4 / n * (-2 * ((r * inner) @ w) - f)
    top = bar[:, None] * w
    inner_bar = top * r
    out_bar = (inner_bar * q - 2 * z * top * inner) * r
    J_bar = ((2 * inner_bar * z)[:, None] * J).reshape(n, i * b)
    UV_bar = (s.T @ J_bar).reshape(a, i, b)
    curved_bar = (t * s).T @ inner_bar
    ts_bar = inner_bar @ curved.T
    s_bar = J_bar @ UV.T + ts_bar * t
    t_bar = (out_bar @ V.T + ts_bar * s - 2 * t * s_bar) * s
    return {
        "U": X.T @ t_bar + jnp.einsum("aib,ab->ia", UV_bar, V) + 2 * U * jnp.sum(curved_bar * V, 1),
        "u": jnp.sum(t_bar, 0),
        "V": t.T @ out_bar + square[:, None] * curved_bar + jnp.einsum("ia,aib->ab", U, UV_bar),
        "v": jnp.sum(out_bar, 0),
        "w": bar @ (r * inner),
    }


def poisson_folx(folx: Any) -> Function:
    """Folx's forward Laplacian, mapped over the points."""

    def loss(p: Any, X: Any, f: Any) -> Any:
        forward = folx.forward_laplacian(lambda x: net(p, x))
        return jnp.mean((jax.vmap(lambda x: forward(x).laplacian)(X) - f) ** 2)

    return slopes(loss)


def biharmonic(p: Any, X: Any, f: Any) -> Any:
    """The Laplacian of the Laplacian, each as the trace of a Hessian."""

    def laplacian(g: Function) -> Function:
        return lambda x: jnp.trace(jax.hessian(g)(x))

    return jnp.mean((jax.vmap(laplacian(laplacian(lambda x: net(p, x))))(X) - f) ** 2)


def biharmonic_expert(p: Any, X: Any, f: Any) -> Any:
    """Taylor coefficients to fourth order along three directions, propagated by hand, for all points at once.

    u_xxxx + u_yyyy + 2 u_xxyy from the fourth derivatives D along x, y, x + y and x - y:
    12 u_xxyy = D(x+y) + D(x-y) - 2 D(x) - 2 D(y). The first layer is linear in the point, so that its series has two terms.
    """
    directions = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]], X.dtype)
    weights = jnp.asarray([2 / 3, 2 / 3, 1 / 6, 1 / 6], X.dtype)

    def outer(a: Any) -> tuple[Any, ...]:
        """Derivatives of tanh, 1st to 4th, at a."""
        t = jnp.tanh(a)
        s = 1 - t * t
        return t, s, -2 * t * s, s * (6 * t * t - 2), t * s * (16 - 24 * t * t)

    a = X @ p["U"] + p["u"]
    t, *g = outer(a)
    z = directions @ p["U"]
    # The k-th derivative along direction d of the first layer is g_k z^k.
    series = [g[k] * z[:, None, :] ** (k + 1) for k in range(4)]
    rows = jnp.concatenate([t[None], *series]) @ p["V"]
    d = len(directions)
    b1, b2, b3, b4 = (rows[1 + k * d : 1 + (k + 1) * d] for k in range(4))
    _, g1, g2, g3, g4 = outer(rows[0] + p["v"])
    # Faa di Bruno: the fourth derivative of a composition.
    along = g4 * b1**4 + 6 * g3 * b1 * b1 * b2 + g2 * (3 * b2 * b2 + 4 * b1 * b3) + g1 * b4
    found = jnp.tensordot(weights, along, 1) @ p["w"]
    return jnp.mean((found - f) ** 2)


def pinn(dims: int) -> Kernel:
    """Poisson's equation in some dimensions."""
    return Kernel(
        f"pinn-{dims}d",
        f"PINN loss gradient, Laplacian in {dims} dimension{'s' if dims > 1 else ''}",
        "pinn.yaml",
        "loss_gradient",
        {"n": 1000, "i": dims, "a": 64, "b": 64},
        {"n": 5, "i": dims, "a": 4, "b": 3},
        {"n": 50_000, "i": dims, "a": 64, "b": 64},
        equation,
        slopes(poisson),
        poisson_expert,
        Peer("folx", ("folx",), poisson_folx),
    )


KERNELS = (
    Kernel(
        "mlp",
        "value and gradient of a perceptron",
        "mlp.yaml",
        "loss_value_and_gradient",
        {"n": 1797, "i": 64, "a": 128, "b": 128, "k": 10},
        {"n": 6, "i": 5, "a": 4, "b": 3, "k": 3},
        {"n": 60_000, "i": 784, "a": 512, "b": 512, "k": 10},
        digits,
        perceptron,
        perceptron_expert,
        Peer("equinox", ("equinox",), perceptron_equinox),
    ),
    pinn(1),
    pinn(3),
    pinn(10),
    Kernel(
        "pinn-biharmonic",
        "PINN loss gradient, fourth order in 2 dimensions",
        "biharmonic.yaml",
        "loss_gradient",
        {"n": 1000, "i": 2, "a": 64, "b": 64},
        {"n": 5, "i": 2, "a": 4, "b": 3},
        {"n": 50_000, "i": 2, "a": 64, "b": 64},
        equation,
        slopes(biharmonic),
        slopes(biharmonic_expert),
    ),
)
