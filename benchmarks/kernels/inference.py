"""Inference: likelihoods of mixtures, particles, information matrices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values


def mixed(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Points around some centres."""
    n, k, i = (sizes[s] for s in "nki")
    mu = 2 * rng.normal(size=(k, i))
    X = mu[rng.integers(0, k, n)] + rng.normal(size=(n, i))
    scale = np.exp(0.1 * rng.normal(size=(k, i)))
    return {"X": X, "mu": mu + 0.3 * rng.normal(size=(k, i)), "scale": scale, "logit": 0.1 * rng.normal(size=k)}


def mixture(mu: Any, scale: Any, logit: Any, X: Any) -> Any:
    """Differences of all points and centres; value and gradient by reverse mode."""

    def likelihood(p: Any) -> Any:
        far = jnp.sum(((X[:, None] - p["mu"]) / p["scale"]) ** 2, -1)
        joint = jax.nn.log_softmax(p["logit"]) - far / 2 - jnp.sum(jnp.log(p["scale"]), -1)
        return jnp.sum(jax.nn.logsumexp(joint, 1))

    return jax.value_and_grad(likelihood)({"mu": mu, "scale": scale, "logit": logit})


def mixture_expert(mu: Any, scale: Any, logit: Any, X: Any) -> Any:
    """Distances and moments as products with X and its squares; responsibilities from the same exponentials as the value."""
    precision = 1 / (scale * scale)
    XX = X * X
    share = jax.nn.log_softmax(logit)
    offset = share - jnp.sum(jnp.log(scale), 1) - jnp.sum(mu * mu * precision, 1) / 2
    joint = X @ (mu * precision).T - XX @ precision.T / 2 + offset
    top = jnp.max(joint, 1, keepdims=True)
    weight = jnp.exp(joint - top)
    total = jnp.sum(weight, 1, keepdims=True)
    value = jnp.sum(jnp.log(total) + top)
    R = weight / total
    counts = jnp.sum(R, 0)
    first, second = R.T @ X, R.T @ XX
    N = counts[:, None]
    return value, {
        "mu": (first - N * mu) * precision,
        "scale": (second - 2 * mu * first + N * mu * mu) * precision / scale - N / scale,
        "logit": counts - len(X) * jnp.exp(share),
    }


def particles(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Particles, and the data of a linear model."""
    n, i, r = (sizes[s] for s in "nir")
    X = rng.normal(size=(r, i)) / np.sqrt(i)
    w = rng.normal(size=i)
    return {"X": X, "y": X @ w + 0.3 * rng.standard_t(3, size=r), "Z": w + 0.5 * rng.normal(size=(n, i))}


def logp(w: Any, X: Any, y: Any) -> Any:
    """The posterior's logarithm at one particle."""
    return -2 * jnp.sum(jnp.log1p((y - X @ w) ** 2 / 3)) - jnp.sum(w * w) / 2


def svgd(Z: Any, X: Any, y: Any, rate: Any, width: Any) -> Any:
    """The kernel and its gradient by JAX, mapped over pairs."""

    def k(a: Any, b: Any) -> Any:
        return jnp.exp(-jnp.sum((a - b) ** 2) / width)

    score = jax.vmap(lambda w: jax.grad(logp)(w, X, y))(Z)

    def push(b: Any) -> Any:
        each = jax.vmap(lambda a, s: k(a, b) * s + jax.grad(k)(a, b))
        return jnp.mean(each(Z, score), 0)

    return Z + rate * jax.vmap(push)(Z)


def svgd_expert(Z: Any, X: Any, y: Any, rate: Any, width: Any) -> Any:
    """Scores of all particles by two products; the kernel matrix once, multiplied with scores, particles and ones together."""
    rest = y - Z @ X.T
    score = (4 * rest / (3 + rest * rest)) @ X - Z
    half = jnp.sum(Z * Z, 1)
    K = jnp.exp((2 * (Z @ Z.T) - half[:, None] - half[None]) / width)
    drawn = K @ (score - 2 / width * Z) + 2 / width * jnp.sum(K, 1, keepdims=True) * Z
    return Z + rate / len(Z) * drawn


def svgd_blackjax(blackjax: Any, optax: Any) -> Function:
    """Blackjax's SVGD with plain gradient steps and a fixed length scale."""

    def run(Z: Any, X: Any, y: Any, rate: Any, width: Any) -> Any:
        def k(a: Any, b: Any, length_scale: Any) -> Any:
            return jnp.exp(-jnp.sum((a - b) ** 2) / length_scale)

        sampler = blackjax.svgd(
            jax.grad(lambda w: logp(w, X, y)), optax.sgd(rate), k, update_kernel_parameters=lambda state: state
        )
        state = sampler.init(Z, {"length_scale": width})
        return sampler.step(state).particles

    return run


def classifier(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Inputs, and a network with one hidden layer."""
    n, i, h, k = (sizes[s] for s in "nihk")
    return {
        "X": rng.normal(size=(n, i)),
        "U": rng.normal(size=(i, h)) / np.sqrt(i),
        "W": rng.normal(size=(h, k)) / np.sqrt(h),
    }


def fisher(U: Any, W: Any, X: Any) -> Any:
    """The Jacobian of all log-probabilities by JAX, then one sum of products."""

    def logp(theta: Any) -> Any:
        U_, W_ = theta[: U.size].reshape(U.shape), theta[U.size :].reshape(W.shape)
        return jax.nn.log_softmax(jnp.tanh(X @ U_) @ W_)

    theta = jnp.concatenate([U.ravel(), W.ravel()])
    J = jax.jacobian(logp)(theta)
    return jnp.einsum("nk,nkp,nkq->pq", jnp.exp(logp(theta)), J, J) / len(X)


def fisher_expert(U: Any, W: Any, X: Any) -> Any:
    """Rows sqrt(p) (J_k - mean of J) for all examples and classes, by backpropagation written out; one product of them."""
    n, (i, h), k = len(X), U.shape, W.shape[1]
    t = jnp.tanh(X @ U)
    p = jax.nn.softmax(t @ W)
    # The slope of log p_k by the logits, times the root of its weight.
    bar = jnp.sqrt(p)[:, :, None] * (jnp.eye(k, dtype=X.dtype) - p[:, None, :])
    hidden = (bar.reshape(n * k, k) @ W.T).reshape(n, k, h) * (1 - t * t)[:, None]
    by_U = (X[:, None, :, None] * hidden[:, :, None, :]).reshape(n * k, i * h)
    by_W = (t[:, None, :, None] * bar[:, :, None, :]).reshape(n * k, h * k)
    J = jnp.concatenate([by_U, by_W], 1)
    return J.T @ J / n


KERNELS = (
    Kernel(
        "mixture",
        "likelihood of a mixture of normals, with gradient",
        "mixture.yaml",
        "likelihood_value_and_gradient",
        {"n": 5000, "k": 10, "i": 8},
        {"n": 7, "k": 3, "i": 2},
        {"n": 500_000, "k": 32, "i": 16},
        mixed,
        mixture,
        mixture_expert,
    ),
    Kernel(
        "svgd",
        "update of particles by Stein's gradient",
        "svgd.yaml",
        "outputs",
        {"n": 500, "i": 10, "r": 200},
        {"n": 5, "i": 2, "r": 6},
        {"n": 4000, "i": 32, "r": 2000},
        particles,
        svgd,
        svgd_expert,
        Peer("blackjax", ("blackjax", "optax"), svgd_blackjax),
    ),
    Kernel(
        "fisher",
        "Fisher information of a classifier",
        "fisher.yaml",
        "outputs",
        {"n": 500, "i": 10, "h": 12, "k": 6},
        {"n": 5, "i": 2, "h": 3, "k": 3},
        {"n": 5000, "i": 24, "h": 32, "k": 10},
        classifier,
        fisher,
        fisher_expert,
    ),
)
