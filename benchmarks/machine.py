"""What the machine can do, measured in the run it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.timing import call


@dataclass(frozen=True)
class Machine:
    """Operations per second of a product of two matrices, by precision; bytes per second, read and written, of a copy."""

    gemm: dict[str, float]
    copy: float

    def limit(self, flops: float, moved: float, precision: str) -> float:
        """The least seconds in which so many operations can be made and so many bytes moved, one beside the other."""
        return max(flops / self.gemm[precision], moved / self.copy)


def best(f: Callable[[], Any], repetitions: int) -> float:
    """The shortest time of a call."""
    call(f)
    return min(call(f) for _ in range(repetitions))


def measured(size: int = 1024, megabytes: int = 128, repetitions: int = 5) -> Machine:
    """Both, at a size that no cache holds."""
    gemm = {}
    for precision in ("float32", "float64"):
        x = jnp.ones((size, size), precision)
        product = jax.jit(lambda a, b: a @ b)
        gemm[precision] = 2 * size**3 / best(lambda f=product, x=x: f(x, x), repetitions)
    y = jnp.zeros(megabytes * 2**18, "float32")
    # The sign is changed, so that it is not a matter of handing on the array itself.
    negate = jax.jit(lambda a: -a)
    return Machine(gemm, 2 * y.nbytes / best(lambda: negate(y), repetitions))
