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


def hessian_expert(scale: Any, amplitude: Any, noise: Any, X: Any, y: Any) -> Any:
    """Second derivatives from those of the covariance, all of them traces of products with the inverse.

    With K_p the derivative of K by p and W its inverse: d2 = tr(W K_p W K_q)/2 - alpha' K_p W K_q alpha
    + (alpha' K_pq alpha - tr(W K_pq))/2. The products W K_p are formed once.
    """
    n, i = X.shape
    Z = X / scale
    half = jnp.sum(Z * Z, 1) / 2
    C = jnp.exp(Z @ Z.T - half[:, None] - half[None])
    eye = jnp.eye(n, dtype=X.dtype)
    L = jsl.cholesky(amplitude * C + noise * eye, lower=True)
    W = jsl.cho_solve((L, True), eye)
    alpha = W @ y
    square = (Z.T[:, :, None] - Z.T[:, None, :]) ** 2
    by = jnp.concatenate([amplitude * C * square / scale[:, None, None], C[None], eye[None]])
    products = (by.reshape(-1, n) @ W).reshape(i + 2, n, n)
    flat = products.reshape(i + 2, -1)
    turned = products.transpose(0, 2, 1).reshape(i + 2, -1)
    bent = by @ alpha
    H = flat @ turned.T / 2 - bent @ W @ bent.T
    A = (alpha[:, None] * alpha[None] - W) / 2
    weighed = (A * C * amplitude).ravel()
    rows = square.reshape(i, -1)
    second = (rows * weighed) @ rows.T / (scale[:, None] * scale[None])
    first = rows @ weighed
    H = H.at[:i, :i].add(second - jnp.diag(3 * first / scale**2))
    mixed = first / (scale * amplitude)
    H = H.at[:i, i].add(mixed).at[i, :i].add(mixed)
    names, parts = ("scale", "amplitude", "noise"), (slice(0, i), i, i + 1)
    return {p: {q: H[a, b] for q, b in zip(names, parts, strict=True)} for p, a in zip(names, parts, strict=True)}


KERNELS = (
    Kernel(
        "gp-hessian",
        "Hessian of a Gaussian process' evidence",
        "gp.yaml",
        "evidence_hessian",
        {"n": 200, "i": 10},
        {"n": 6, "i": 2},
        {"n": 1000, "i": 10},
        regression,
        derived(jax.hessian),
        hessian_expert,
    ),
    Kernel(
        "gp-gradient",
        "gradient of a Gaussian process' evidence",
        "gp.yaml",
        "evidence_gradient",
        {"n": 400, "i": 10},
        {"n": 6, "i": 2},
        {"n": 4000, "i": 10},
        regression,
        derived(jax.grad),
        gradient_expert,
        Peer("tinygp", ("tinygp",), gradient_tinygp),
    ),
)
