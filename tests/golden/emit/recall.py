"""recall

Emitted by vspec from recall.yaml (sha256 0000000000000000000000000000000000000000000000000000000000000000).
Edit the spec, not this file.
"""

import jax
import jax.numpy as jnp
from jax import Array


def outputs(pattern: Array, beta: float) -> dict[str, Array]:
    """What the spec asks to see."""
    p = pattern.shape[0]
    s_start = -pattern                                                   # [p, i]  recall.yaml:17

    def step(s_t: Array, _: None) -> tuple[Array, Array]:
        weight = jnp.exp(beta * (s_t @ pattern.T))                       # [p, q]  recall.yaml:18
        product = (weight / jnp.sum(weight, axis=1)[:, None]) @ pattern  # [p, i]
        s_next = s_t - 0.5 * (s_t - product)                             # [p, i]  recall.yaml:18
        return s_next, s_next

    s_last, s_stack = jax.lax.scan(step, s_start, length=40)
    s = jnp.concatenate([s_start[None], s_stack])                        # [t, p, i]  recall.yaml:18
    level = jnp.sum(s**2, axis=2)                                        # [t, p]
    as_real = jnp.all(jnp.sign(s_last) == pattern, axis=1).astype(jnp.float32)  # [p]
    recall = jnp.sum(as_real) / p                                        # []  recall.yaml:22
    return {"recall": recall, "level": level, "path": s}
