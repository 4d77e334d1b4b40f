"""Clouds of points: sums over pairs, transport between them, particles that repel one another."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Kernel, Sizes, Values


def clouds(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Two clouds and weights of the second."""
    n, m, i = (sizes[s] for s in "nmi")
    return {"X": rng.normal(size=(n, i)), "Y": rng.normal(size=(m, i)), "c": rng.uniform(size=m) + 0.5}


def density(X: Any, Y: Any, c: Any) -> Any:
    """Differences of all pairs; the gradient by reverse mode through the sum of all values."""

    def values(X: Any) -> Any:
        return jnp.exp(-jnp.sum((X[:, None] - Y[None]) ** 2, -1) / 2) @ c

    return {"density": values(X), "slope": jax.grad(lambda X: jnp.sum(values(X)))(X)}


def density_expert(X: Any, Y: Any, c: Any) -> Any:
    """Each kernel once, its sum and its moments as one product with four columns; distances by products, too."""
    square = jnp.sum(X * X, 1)[:, None] / 2 + jnp.sum(Y * Y, 1)[None] / 2
    K = jnp.exp(X @ Y.T - square)
    sums = K @ jnp.concatenate([c[:, None], c[:, None] * Y], 1)
    return {"density": sums[:, 0], "slope": sums[:, 1:] - sums[:, :1] * X}


KERNELS = (
    Kernel(
        "kernel-sums",
        "Gaussian kernel sums and their gradient",
        "kernel-sums.yaml",
        "outputs",
        {"n": 2000, "m": 2000, "i": 3},
        {"n": 5, "m": 6, "i": 2},
        clouds,
        density,
        density_expert,
    ),
)
