"""Regression: gradients, Hessians and Newton steps of likelihoods."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from benchmarks.kernels.kernel import Kernel, Sizes, Values


def binary(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Labels of -1 and 1 that a linear rule explains in part."""
    n, i = sizes["n"], sizes["i"]
    X, w = rng.normal(size=(n, i)), rng.normal(size=i) / np.sqrt(i)
    y = np.sign(X @ w + rng.logistic(size=n))
    return {"X": X, "y": y, "w": w + 0.1 * rng.normal(size=i), "c": np.asarray(0.2)}


def logistic(p: Any, X: Any, y: Any, lam: Any) -> Any:
    """The loss as most write it."""
    return jnp.sum(jnp.log1p(jnp.exp(-y * (X @ p["w"] + p["c"])))) + lam / 2 * jnp.sum(p["w"] ** 2)


def logistic_grad(w: Any, c: Any, X: Any, y: Any, lam: Any) -> Any:
    """By reverse mode."""
    return jax.grad(logistic)({"w": w, "c": c}, X, y, lam)


def logistic_gradient_expert(w: Any, c: Any, X: Any, y: Any, lam: Any) -> Any:
    """Written down: two products with the data."""
    bar = -y * jax.nn.sigmoid(-y * (X @ w + c))
    return {"w": bar @ X + lam * w, "c": jnp.sum(bar)}


def logistic_hess(w: Any, c: Any, X: Any, y: Any, lam: Any) -> Any:
    """Forward over reverse, one sweep for each param."""
    return jax.hessian(logistic)({"w": w, "c": c}, X, y, lam)


def logistic_hessian_expert(w: Any, c: Any, X: Any, y: Any, lam: Any) -> Any:
    """The matrix X'DX, its border and its corner; labels of -1 and 1 are not known to be so."""
    s = jax.nn.sigmoid(y * (X @ w + c))
    s = y * y * s * (1 - s)
    side = s @ X
    corner = (X.T * s) @ X + lam * jnp.eye(X.shape[1], dtype=X.dtype)
    return {"w": {"w": corner, "c": side}, "c": {"w": side, "c": jnp.sum(s)}}


def classes(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Features, labels and weights that are near the optimum."""
    n, i, k = sizes["n"], sizes["i"], sizes["k"]
    X, W = rng.normal(size=(n, i)), rng.normal(size=(i, k)) / np.sqrt(i)
    label = np.argmax(X @ W + rng.gumbel(size=(n, k)), 1)
    return {"X": X, "label": label, "W": W + 0.1 * rng.normal(size=(i, k))}


def softmax_newton(W: Any, X: Any, label: Any, lam: Any) -> Any:
    """Gradient and Hessian by JAX, then a solve."""

    def loss(theta: Any) -> Any:
        W_ = theta.reshape(W.shape)
        logp = jax.nn.log_softmax(X @ W_)
        return -jnp.sum(jnp.take_along_axis(logp, label[:, None], 1)) + lam / 2 * jnp.sum(theta**2)

    theta = W.ravel()
    return jnp.linalg.solve(jax.hessian(loss)(theta), jax.grad(loss)(theta))


def softmax_newton_expert(W: Any, X: Any, label: Any, lam: Any) -> Any:
    """The Hessian as one product of the weighted features with themselves, less a block for each class; then Cholesky."""
    (i, k), p = W.shape, jax.nn.softmax(X @ W)
    slope = X.T @ (p - jax.nn.one_hot(label, k, dtype=X.dtype)) + lam * W
    wide = (X[:, :, None] * p[:, None, :]).reshape(len(X), i * k)
    blocks = (X.T @ wide).reshape(i, i, k)
    H = -(wide.T @ wide).reshape(i, k, i, k)
    H = H.at[:, jnp.arange(k), :, jnp.arange(k)].add(blocks.transpose(2, 0, 1))
    H = H.reshape(i * k, i * k) + lam * jnp.eye(i * k, dtype=X.dtype)
    return jsl.cho_solve(jsl.cho_factor(H, lower=True), slope.ravel())


KERNELS = (
    Kernel(
        "logistic-gradient",
        "gradient of logistic regression",
        "logistic.yaml",
        "loss_gradient",
        {"n": 4000, "i": 64},
        {"n": 12, "i": 3},
        {"n": 1_000_000, "i": 128},
        binary,
        logistic_grad,
        logistic_gradient_expert,
    ),
    Kernel(
        "logistic-hessian",
        "Hessian of logistic regression",
        "logistic.yaml",
        "loss_hessian",
        {"n": 4000, "i": 64},
        {"n": 12, "i": 3},
        {"n": 1_000_000, "i": 128},
        binary,
        logistic_hess,
        logistic_hessian_expert,
    ),
    Kernel(
        "softmax-newton",
        "Newton step of softmax regression",
        "softmax.yaml",
        "outputs",
        {"n": 1000, "i": 20, "k": 10},
        {"n": 15, "i": 3, "k": 3},
        {"n": 50_000, "i": 50, "k": 10},
        classes,
        softmax_newton,
        softmax_newton_expert,
    ),
)
