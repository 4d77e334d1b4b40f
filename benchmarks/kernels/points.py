"""Clouds of points: sums over pairs, transport between them, particles that repel one another."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values


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


def masses(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Two clouds with masses."""
    n, m, i = (sizes[s] for s in "nmi")
    a, b = rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, m)
    return {
        "X": rng.normal(size=(n, i)),
        "Y": rng.normal(size=(m, i)) + 0.5,
        "a": a / a.sum(),
        "b": b / b.sum(),
        "start": 0.1 * rng.normal(size=n),
    }


def sinkhorn(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any) -> Any:
    """The formula of the paper with logsumexp, round by round."""
    C = jnp.sum((X[:, None] - Y[None]) ** 2, -1)

    def step(_: Any, fg: Any) -> Any:
        f, g = fg
        g = eps * jnp.log(b) - eps * jax.nn.logsumexp((f[:, None] - C) / eps, 0)
        return eps * jnp.log(a) - eps * jax.nn.logsumexp((g[None] - C) / eps, 1), g

    f, _ = jax.lax.fori_loop(0, 20, step, (start, jnp.zeros_like(b)))
    return f


def sinkhorn_expert(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any) -> Any:
    """Scaling iterations, stabilised: the kernel holds the potentials so far, and a round is two products with it.

    The kernel is made anew every ten rounds, so that what is left to the factors stays far from the ends of float32.
    """
    M = (jnp.sum(X * X, 1)[:, None] + jnp.sum(Y * Y, 1)[None] - 2 * X @ Y.T) / eps

    def exact(f: Any) -> Any:
        s = f[:, None] - M
        top = jnp.max(s, 0)
        g = jnp.log(b) - top - jnp.log(jnp.sum(jnp.exp(s - top), 0))
        s = g[None] - M
        top = jnp.max(s, 1, keepdims=True)
        return jnp.log(a) - top[:, 0] - jnp.log(jnp.sum(jnp.exp(s - top), 1)), g

    def rounds(fg: Any, count: int) -> Any:
        f, g = fg
        K = jnp.exp(f[:, None] + g[None] - M)

        def step(_: Any, uv: Any) -> Any:
            u, _ = uv
            v = b / (u @ K)
            return a / (K @ v), v

        u, v = jax.lax.fori_loop(0, count, step, (jnp.ones_like(a), jnp.ones_like(b)))
        return f + jnp.log(u), g + jnp.log(v)

    return eps * rounds(rounds(exact(start / eps), 9), 10)[0]


def sinkhorn_ott(pointcloud: Any, linear_problem: Any, solver: Any) -> Function:
    """OTT's solver with a fixed number of rounds."""

    def run(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any) -> Any:
        cloud = pointcloud.PointCloud(X, Y, epsilon=eps)
        problem = linear_problem.LinearProblem(cloud, a, b)
        fixed = solver.Sinkhorn(threshold=-1.0, inner_iterations=20, min_iterations=20, max_iterations=20)
        out = fixed(problem, init=(start, jnp.zeros_like(b)))
        return out.f

    return run


KERNELS = (
    Kernel(
        "sinkhorn",
        "Sinkhorn's iteration, 20 rounds",
        "sinkhorn.yaml",
        "outputs",
        {"n": 1000, "m": 1000, "i": 3},
        {"n": 5, "m": 6, "i": 2},
        masses,
        sinkhorn,
        sinkhorn_expert,
        Peer(
            "OTT-JAX",
            ("ott.geometry.pointcloud", "ott.problems.linear.linear_problem", "ott.solvers.linear.sinkhorn"),
            sinkhorn_ott,
        ),
    ),
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
