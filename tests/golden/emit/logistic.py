"""logistic

Emitted by vspec from logistic.yaml (sha256 0000000000000000000000000000000000000000000000000000000000000000).
Edit the spec, not this file.
"""

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid, softplus


def prepare(raw: Array) -> dict[str, Array]:
    """The arrays that depend on data only."""
    X = raw / jnp.max(jnp.abs(raw), axis=0)  # [n, i]  logistic.yaml:15
    return {"X": X}


def loss(w: Array, y: Array, lam: float, X: Array) -> Array:
    """loss [] from w [i], y [n], lam, X [n, i]."""
    margin = y * (X @ w)                                     # [n]  logistic.yaml:16
    return jnp.sum(softplus(-margin)) + 0.5 * lam * (w @ w)  # []  logistic.yaml:18


def loss_gradient(w: Array, y: Array, lam: float, X: Array) -> Array:
    """The gradient of loss by w[i]."""
    margin = y * (X @ w)                         # [n]  logistic.yaml:16
    return lam * w - (y * sigmoid(-margin)) @ X  # [i]


def loss_hessian(w: Array, y: Array, lam: float, X: Array) -> Array:
    """X' D X + lam I, D diagonal."""
    i = w.shape[0]
    margin = y * (X @ w)                             # [n]  logistic.yaml:16
    curvature = sigmoid(margin) * sigmoid(-margin)   # [n]
    return (X.T * curvature) @ X + lam * jnp.eye(i)  # [i, j]


def loss_newton(w: Array, y: Array, lam: float, X: Array) -> tuple[Array, Array, Array]:
    """value [], gradient [i], hessian [i, j] from w [i], y [n], lam, X [n, i]."""
    i = w.shape[0]
    margin = y * (X @ w)                                     # [n]  logistic.yaml:16
    loss = jnp.sum(softplus(-margin)) + 0.5 * lam * (w @ w)  # []  logistic.yaml:18
    gradient = lam * w - (y * sigmoid(-margin)) @ X          # [i]
    curvature = sigmoid(margin) * sigmoid(-margin)           # [n]
    hessian = (X.T * curvature) @ X + lam * jnp.eye(i)       # [i, j]
    return loss, gradient, hessian
