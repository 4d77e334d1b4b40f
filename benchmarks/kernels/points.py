"""Clouds of points: sums over pairs, transport between them, particles that repel one another."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values
from vspec.compiler.graph.tuning import Tuning


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


def rounds_in_logs(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any, rounds: int) -> Any:
    """The formula of the paper with logsumexp, round by round."""
    C = jnp.sum((X[:, None] - Y[None]) ** 2, -1)

    def step(_: Any, fg: Any) -> Any:
        f, g = fg
        g = eps * jnp.log(b) - eps * jax.nn.logsumexp((f[:, None] - C) / eps, 0)
        return eps * jnp.log(a) - eps * jax.nn.logsumexp((g[None] - C) / eps, 1), g

    f, _ = jax.lax.fori_loop(0, rounds, step, (start, jnp.zeros_like(b)))
    return f


def sinkhorn(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any) -> Any:
    """Twenty rounds with all costs in memory."""
    return rounds_in_logs(start, X, Y, a, b, eps, 20)


def sinkhorn_blocked(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any) -> Any:
    """Ten rounds; most people have the costs in memory."""
    return rounds_in_logs(start, X, Y, a, b, eps, 10)


def sinkhorn_blocked_expert(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any) -> Any:
    """Costs of 250 points at a time, by a product; each block gives its part of g and, at once, what it adds to the sums of f."""
    m, size = Y.shape[0], min(250, Y.shape[0])
    squares, logs = jnp.sum(X * X, 1)[:, None] / eps, jnp.log(b)

    def part(u: Any, before: Any, first: Any, count: int) -> Any:
        y = jax.lax.dynamic_slice_in_dim(Y, first, count)
        M = squares + jnp.sum(y * y, 1) / eps - (2 / eps) * X @ y.T
        s = u[:, None] - M
        top = jnp.max(s, 0)
        v = jax.lax.dynamic_slice_in_dim(logs, first, count) - top - jnp.log(jnp.sum(jnp.exp(s - top), 0))
        s = v - M
        top = jnp.max(s, 1)
        return jnp.logaddexp(before, top + jnp.log(jnp.sum(jnp.exp(s - top[:, None]), 1)))

    def one(_: Any, u: Any) -> Any:
        none = jnp.full_like(u, -jnp.inf)
        total = jax.lax.fori_loop(0, m // size, lambda k, t: part(u, t, k * size, size), none)
        if m % size:
            total = part(u, total, m - m % size, m % size)
        return jnp.log(a) - total

    return eps * jax.lax.fori_loop(0, 10, one, start / eps)


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


OTT = ("ott.geometry.pointcloud", "ott.problems.linear.linear_problem", "ott.solvers.linear.sinkhorn")


def sinkhorn_ott(
    pointcloud: Any, linear_problem: Any, solver: Any, rounds: int = 20, batch: int | None = None
) -> Function:
    """OTT's solver with a fixed number of rounds; with a batch it makes the costs of so many points at a time."""

    public: Any = importlib.import_module("jax.interpreters.batching")

    def run(start: Any, X: Any, Y: Any, a: Any, b: Any, eps: Any) -> Any:
        size = None if batch is None else min(batch, X.shape[0], Y.shape[0])
        if batch is not None and not hasattr(public, "is_vmappable"):
            # OTT-JAX 0.6 asks for a name that JAX 0.10 has moved.
            public.is_vmappable = importlib.import_module("jax._src.interpreters.batching").is_vmappable
        cloud = pointcloud.PointCloud(X, Y, epsilon=eps, batch_size=size)
        problem = linear_problem.LinearProblem(cloud, a, b)
        fixed = solver.Sinkhorn(threshold=-1.0, inner_iterations=rounds, min_iterations=rounds, max_iterations=rounds)
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
        {"n": 8000, "m": 8000, "i": 3},
        masses,
        sinkhorn,
        sinkhorn_expert,
        Peer("OTT-JAX", OTT, sinkhorn_ott),
    ),
    Kernel(
        "sinkhorn-blocked",
        "Sinkhorn's iteration, 10 rounds, in blocks",
        "sinkhorn.yaml",
        "outputs",
        {"n": 2000, "m": 2000, "i": 3, "t": 11},
        {"n": 5, "m": 6, "i": 2, "t": 11},
        {"n": 20_000, "m": 20_000, "i": 3, "t": 11},
        masses,
        sinkhorn_blocked,
        sinkhorn_blocked_expert,
        Peer("OTT-JAX, online", OTT, partial(sinkhorn_ott, rounds=10, batch=250)),
        tuning=Tuning(memory=8_000_000),
    ),
    Kernel(
        "kernel-sums",
        "Gaussian kernel sums and their gradient",
        "kernel-sums.yaml",
        "outputs",
        {"n": 2000, "m": 2000, "i": 3},
        {"n": 5, "m": 6, "i": 2},
        {"n": 20_000, "m": 20_000, "i": 3},
        clouds,
        density,
        density_expert,
    ),
)
