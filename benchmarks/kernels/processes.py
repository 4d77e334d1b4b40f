"""Gaussian processes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values


def regression(sizes: Sizes, rng: np.random.Generator) -> Values:
    """A smooth function of some features, observed with noise."""
    n, i = sizes["n"], sizes["i"]
    X = rng.normal(size=(n, i))
    y = np.sin(X[:, 0]) + 0.3 * rng.normal(size=n)
    return {"X": X, "y": y, "scale": np.linspace(2, 4, i), "amplitude": np.asarray(1.2), "noise": np.asarray(0.3)}


def evidence(p: Any, X: Any, y: Any) -> Any:
    """By differences of all pairs and a Cholesky factor."""
    Z = X / p["scale"]
    square = jnp.sum((Z[:, None] - Z[None]) ** 2, -1)
    K = p["amplitude"] * jnp.exp(-square / 2) + p["noise"] * jnp.eye(len(X), dtype=X.dtype)
    L = jnp.linalg.cholesky(K)
    v = jsl.solve_triangular(L, y, lower=True)
    return -(v @ v + 2 * jnp.sum(jnp.log(jnp.diagonal(L))) + len(y) * jnp.log(2 * jnp.pi)) / 2


def derived(derive: Function) -> Function:
    """A derivative of the evidence as a function of the names of the spec."""

    def run(scale: Any, amplitude: Any, noise: Any, X: Any, y: Any) -> Any:
        return derive(evidence)({"scale": scale, "amplitude": amplitude, "noise": noise}, X, y)

    return run


def gradient_expert(scale: Any, amplitude: Any, noise: Any, X: Any, y: Any) -> Any:
    """One half of the sum over (alpha alpha' - inverse of K) * dK: one factorisation, one inverse, three products.

    With B that difference times the kernel, the sum over pairs of B_nm (x_ni - x_mi)^2 is 2 (b_n x_ni^2 - x_ni B_nm x_mi), b the
    sums of its rows.
    """
    Z = X / scale
    half = jnp.sum(Z * Z, 1) / 2
    C = jnp.exp(Z @ Z.T - half[:, None] - half[None])
    L = jsl.cholesky(amplitude * C + noise * jnp.eye(len(X), dtype=X.dtype), lower=True)
    alpha = jsl.cho_solve((L, True), y)
    inverse = jsl.cho_solve((L, True), jnp.eye(len(X), dtype=X.dtype))
    A = alpha[:, None] * alpha[None] - inverse
    B = A * C
    rows = jnp.sum(B, 1)
    slope = (rows @ (Z * Z) - jnp.sum(Z * (B @ Z), 0)) * amplitude / scale
    return {"scale": slope, "amplitude": jnp.sum(rows) / 2, "noise": jnp.trace(A) / 2}


def gradient_tinygp(tinygp: Any) -> Function:
    """Tinygp's likelihood, by reverse mode."""

    def loss(p: Any, X: Any, y: Any) -> Any:
        kernel = p["amplitude"] * tinygp.transforms.Linear(1 / p["scale"], tinygp.kernels.ExpSquared())
        return tinygp.GaussianProcess(kernel, X, diag=p["noise"]).log_probability(y)

    def run(scale: Any, amplitude: Any, noise: Any, X: Any, y: Any) -> Any:
        return jax.grad(loss)({"scale": scale, "amplitude": amplitude, "noise": noise}, X, y)

    return run


KERNELS = (
    Kernel(
        "gp-gradient",
        "gradient of a Gaussian process' evidence",
        "gp.yaml",
        "evidence_gradient",
        {"n": 400, "i": 10},
        {"n": 6, "i": 2},
        regression,
        derived(jax.grad),
        gradient_expert,
        Peer("tinygp", ("tinygp",), gradient_tinygp),
    ),
)
