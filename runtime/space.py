"""The space a method moves in: real arrays. Positive params are moved in their logarithms, complex ones as two arrays, their
real and imaginary parts; the chain rule of that change is in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Point = dict[str, Array]
Hessian = dict[str, dict[str, Array]]


def parts(name: str) -> tuple[str, str]:
    """The names of the two arrays that a complex param is to a method, also those of its blocks of a Hessian."""
    return f"{name}.re", f"{name}.im"


@dataclass(frozen=True, slots=True)
class Space:
    """Domains of the params that a stage moves: param → `real` or `positive`; `complex` are those that are not real."""

    domains: Mapping[str, str]
    complex: frozenset[str] = frozenset()

    @classmethod
    def of(cls, declared: Mapping[str, Mapping[str, Any]], over: Iterable[str]) -> Space:
        """The space of some params of a manifest."""
        names = list(over)
        wide = frozenset(n for n in names if declared[n].get("dtype") == "complex")
        return cls({n: declared[n]["domain"] for n in names}, wide)

    def inward(self, params: Mapping[str, Array]) -> Point:
        """Params to point: `log(x)` where positive, both parts where complex."""
        return self._split({k: jnp.log(params[k]) if d == "positive" else params[k] for k, d in self.domains.items()})

    def outward(self, point: Mapping[str, Array]) -> Point:
        """Point to params: `exp(u)` where positive, joined where complex."""
        whole: Point = {}
        for k, d in self.domains.items():
            if k in self.complex:
                re, im = (point[part] for part in parts(k))
                whole[k] = jax.lax.complex(re, im)
            else:
                whole[k] = jnp.exp(point[k]) if d == "positive" else point[k]
        return whole

    def gradient(self, params: Mapping[str, Array], gradient: Mapping[str, Array]) -> Point:
        """The gradient at the point: `x g` where positive. By a complex param it is dL/dx + i dL/dy, here by x and by y."""
        return self._split(
            {k: params[k] * gradient[k] if d == "positive" else gradient[k] for k, d in self.domains.items()}
        )

    def hessian(
        self, params: Mapping[str, Array], gradient: Mapping[str, Array], hessian: Mapping[str, Mapping[str, Array]]
    ) -> Hessian:
        """The Hessian at the point: `diag(x) H diag(x) + diag(x g)` where positive; blocks `[axes of p, axes of q]` by the
        names of the point."""
        blocks: Hessian = {}
        positive = {k for k, d in self.domains.items() if d == "positive"}
        for p in self.names:
            blocks[p] = {}
            for q in self.names:
                block = hessian[p][q]
                if p in positive:
                    x = params[p]
                    block = block * x.reshape(x.shape + (1,) * (block.ndim - x.ndim))
                if q in positive:
                    block = block * params[q]
                if p == q and p in positive:
                    block = block + jnp.diag((x * gradient[p]).ravel()).reshape(x.shape + x.shape)
                blocks[p][q] = block
        return blocks

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the point's arrays."""
        return tuple(name for k in self.domains for name in (parts(k) if k in self.complex else (k,)))

    def _split(self, whole: Mapping[str, Array]) -> Point:
        point: Point = {}
        for k, x in whole.items():
            if k in self.complex:
                point |= dict(zip(parts(k), (jnp.real(x), jnp.imag(x)), strict=True))
            else:
                point[k] = x
        return point

    def perturbed(self, params: Mapping[str, Array], generator: np.random.Generator) -> Point:
        """Another start: times `exp(normal)` where positive, else plus `normal` times `max(1, |x|)`."""
        moved = {}
        for name, domain in self.domains.items():
            x = np.asarray(params[name])
            noise = self._noise(name, x.shape, generator)
            new = x * np.exp(noise) if domain == "positive" else x + noise * np.maximum(1.0, np.abs(x))
            moved[name] = jnp.asarray(new.astype(x.dtype))
        return moved

    def _noise(self, name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Any:
        noise = generator.standard_normal(shape)
        return noise + 1j * generator.standard_normal(shape) if name in self.complex else noise
