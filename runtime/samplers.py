"""Samplers that `jax.random` lacks, or has for its own keys only, for emitted programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vspec.runtime.threefry import usual


def poisson(key: Any, rate: Any, shape: Sequence[int] = (), dtype: Any = int) -> Any:
    """Counts of Poisson laws, as `jax.random.poisson` draws them: it asks for a key of JAX's own kind.

    Args:
        key: a key.
        rate: 0 or more; broadcasts to `shape`.
        shape: of the result.
        dtype: of the result, whole.
    """
    return jax.random.poisson(usual(key), rate, tuple(shape), dtype)


def von_mises(key: Any, concentration: Any, shape: Sequence[int] = (), dtype: Any = float) -> Any:
    """Angles from -pi to pi of von Mises laws with mean 0.

    Rejection from a wrapped Cauchy law (Best, Fisher, Efficient simulation of the von Mises distribution, 1979), all elements
    together until the last is accepted; each proposal is with probability 0.65 or more. In place of the cosines of
    the paper stand half angles, which keep their digits where the law is narrow.

    Args:
        key: a key of JAX.
        concentration: 0 or more; broadcasts to `shape`.
        shape: of the result.
        dtype: of the result, real.
    """
    k = jnp.broadcast_to(jnp.asarray(concentration, dtype), shape)
    root = jnp.sqrt(1 + 4 * k**2)
    tau = 1 + root
    wide = tau + jnp.sqrt(2 * tau)
    # The proposal is the wrapped Cauchy law with this parameter: rho, and 1 - rho by itself, which would cancel near 1.
    rho = 2 * k / wide
    less = (1 + 1 / (root + 2 * k) + jnp.sqrt(2 * tau)) / wide

    def propose(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        key, angle, accepted = state
        key, one, two = jax.random.split(key, 3)
        half = jnp.pi / 2 * jax.random.uniform(one, shape, dtype, -1, 1)
        down, across = less * jnp.sin(half), (1 + rho) * jnp.cos(half)
        # k times the distance of the proposal's cosine from the mean direction of the envelope.
        y = wide / 4 * (less * (1 + rho)) ** 2 / (less**2 + 4 * rho * jnp.cos(half) ** 2)
        u = jax.random.uniform(two, shape, dtype, jnp.finfo(dtype).tiny, 1)  # type: ignore[no-untyped-call]
        taken = jnp.log(y / u) + 1 - y >= 0
        # Where the concentration is not a number, so is the draw, and the loop ends.
        return key, jnp.where(accepted, angle, 2 * jnp.arctan2(down, across)), accepted | taken | jnp.isnan(y)

    start = key, jnp.full(shape, jnp.nan, dtype), jnp.zeros(shape, bool)
    return jax.lax.while_loop(lambda state: ~jnp.all(state[2]), propose, start)[1]
