"""Linear algebra: contractions, loops of products, solutions of systems."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values


def tensors(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Five of them."""
    shapes = {"A": "abc", "B": "be", "C": "cef", "D": "fg", "F": "ga"}
    return {name: rng.normal(size=[sizes[s] for s in axes]) / 8 for name, axes in shapes.items()}


def chain(A: Any, B: Any, C: Any, D: Any, F: Any) -> Any:
    """One call, in the order that NumPy's function takes by itself."""
    return jnp.einsum("abc,be,cef,fg,ga->ag", A, B, C, D, F)


def chain_expert(A: Any, B: Any, C: Any, D: Any, F: Any) -> Any:
    """Small operands first: C with D, that with B, and the large A last."""
    c, e, f = C.shape
    CD = (C.reshape(c * e, f) @ D).reshape(c, e, -1)
    BCD = jnp.einsum("be,ceg->bcg", B, CD)
    return (A.reshape(len(A), -1) @ BCD.reshape(-1, BCD.shape[-1])) * F.T


def chain_planned(oe: Any) -> Function:
    """The order of opt_einsum's exhaustive search."""

    def run(A: Any, B: Any, C: Any, D: Any, F: Any) -> Any:
        return oe.contract("abc,be,cef,fg,ga->ag", A, B, C, D, F, optimize="optimal")

    return run


def table(sizes: Sizes, rng: np.random.Generator) -> Values:
    """A linear model with noise, and where to start."""
    n, i = sizes["n"], sizes["i"]
    A = rng.normal(size=(n, i))
    return {"A": A, "y": A @ rng.normal(size=i) + rng.normal(size=n), "start": rng.normal(size=i)}


def descent(start: Any, A: Any, y: Any, rate: Any) -> Any:
    """The gradient by JAX in every step."""

    def loss(x: Any) -> Any:
        return jnp.mean((A @ x - y) ** 2) / 2

    return jax.lax.fori_loop(0, 100, lambda _, x: x - rate * jax.grad(loss)(x), start)


def descent_expert(start: Any, A: Any, y: Any, rate: Any) -> Any:
    """Normal equations before the loop: a step is one small product."""
    G, h = A.T @ A * (rate / len(A)), y @ A * (rate / len(A))
    return jax.lax.fori_loop(0, 100, lambda _, x: x - (G @ x - h), start)


KERNELS = (
    Kernel(
        "descent",
        "descent for least squares, 100 steps",
        "descent.yaml",
        "outputs",
        {"n": 5000, "i": 50},
        {"n": 9, "i": 2},
        {"n": 200_000, "i": 256},
        table,
        descent,
        descent_expert,
    ),
    Kernel(
        "chain",
        "contraction of five tensors",
        "chain.yaml",
        "outputs",
        {"a": 40, "b": 60, "c": 50, "e": 30, "f": 80, "g": 20},
        {"a": 2, "b": 3, "c": 4, "e": 5, "f": 6, "g": 2},
        {"a": 160, "b": 240, "c": 200, "e": 120, "f": 320, "g": 80},
        tensors,
        chain,
        chain_expert,
        Peer("opt_einsum", ("opt_einsum",), chain_planned),
    ),
)
