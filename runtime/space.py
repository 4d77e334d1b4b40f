"""The space a method moves in: params, positive ones as logarithms; the chain rule of that change is in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

Point = dict[str, Array]
Hessian = dict[str, dict[str, Array]]


@dataclass(frozen=True, slots=True)
class Space:
    """Domains of the params that a stage moves: param → `real` or `positive`."""

    domains: Mapping[str, str]

    def inward(self, params: Mapping[str, Array]) -> Point:
        """Params to point: `log(x)` where positive."""
        return {k: jnp.log(params[k]) if d == "positive" else params[k] for k, d in self.domains.items()}

    def outward(self, point: Mapping[str, Array]) -> Point:
        """Point to params: `exp(u)` where positive."""
        return {k: jnp.exp(point[k]) if d == "positive" else point[k] for k, d in self.domains.items()}

    def gradient(self, params: Mapping[str, Array], gradient: Mapping[str, Array]) -> Point:
        """The gradient at the point: `x g` where positive."""
        return {k: params[k] * gradient[k] if d == "positive" else gradient[k] for k, d in self.domains.items()}

    def hessian(
        self, params: Mapping[str, Array], gradient: Mapping[str, Array], hessian: Mapping[str, Mapping[str, Array]]
    ) -> Hessian:
        """The Hessian at the point: `diag(x) H diag(x) + diag(x g)` where positive; blocks `[axes of p, axes of q]`."""
        blocks: Hessian = {}
        for p, dp in self.domains.items():
            blocks[p] = {}
            for q, dq in self.domains.items():
                x, y, block = params[p], params[q], hessian[p][q]
                if dp == "positive":
                    block = block * x.reshape(x.shape + (1,) * y.ndim)
                if dq == "positive":
                    block = block * y
                if p == q and dp == "positive":
                    block = block + jnp.diag((x * gradient[p]).ravel()).reshape(x.shape + x.shape)
                blocks[p][q] = block
        return blocks

    def perturbed(self, params: Mapping[str, Array], generator: np.random.Generator) -> Point:
        """Another start: times `exp(normal)` where positive, else plus `normal` times `max(1, |x|)`."""
        moved = {}
        for name, domain in self.domains.items():
            x = np.asarray(params[name])
            noise = generator.standard_normal(x.shape)
            new = x * np.exp(noise) if domain == "positive" else x + noise * np.maximum(1.0, np.abs(x))
            moved[name] = jnp.asarray(new.astype(x.dtype))
        return moved
