"""Linear algebra: contractions, loops of products, solutions of systems."""

from __future__ import annotations

from typing import Any

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


KERNELS = (
    Kernel(
        "chain",
        "contraction of five tensors",
        "chain.yaml",
        "outputs",
        {"a": 40, "b": 60, "c": 50, "e": 30, "f": 80, "g": 20},
        {"a": 2, "b": 3, "c": 4, "e": 5, "f": 6, "g": 2},
        tensors,
        chain,
        chain_expert,
        Peer("opt_einsum", ("opt_einsum",), chain_planned),
    ),
)
