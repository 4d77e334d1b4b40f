"""process

Emitted by vspec from process.yaml (sha256 0000000000000000000000000000000000000000000000000000000000000000).
Edit the spec, not this file.
"""

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import lu_factor, lu_solve


def evidence(scale: Array, noise: Array, X: Array, y: Array) -> Array:
    """evidence [] from scale [i], noise, X [n, i], y [n]."""
    total = jnp.sum(((X[:, :, None] - X.T) / scale[:, None]) ** 2, axis=1)  # [n, m]
    K = jnp.exp(-0.5 * total) + noise * jnp.eye(200)                        # [n, m]  process.yaml:22
    lu = lu_factor(K)                                                       # process.yaml:23
    alpha = lu_solve(lu, y)                                                 # [m]  process.yaml:23
    logdet_K = jnp.sum(jnp.log(jnp.abs(jnp.diagonal(lu[0]))))               # []
    return -0.5 * (y @ alpha + logdet_K + 1.8378770664093453 * 200)         # []  process.yaml:26


def initial(i: int) -> dict[str, Array]:
    """scale [i], noise [] from i."""
    return {"scale": jnp.ones((i,)), "noise": jnp.asarray(0.5, dtype=jnp.float64)}
