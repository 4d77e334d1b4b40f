"""The space a method moves in: real arrays. Params are moved in unconstrained coordinates of their domains (`bijectors.py`) or,
by methods that project, as they are; complex ones as two arrays, their real and imaginary parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.bijectors import Bijector, Identity, bijector
from vspec.runtime.devices import fetched
from vspec.runtime.domains import Domain

Point = dict[str, Array]
Hessian = dict[str, dict[str, Array]]
Ends = Mapping[str, Mapping[str, Any]]

_PLAIN = Identity()


def parts(name: str) -> tuple[str, str]:
    """The names of the two arrays that a complex param is to a method, also those of its blocks of a Hessian."""
    return f"{name}.re", f"{name}.im"


@dataclass(frozen=True, slots=True)
class Space:
    """Domains of the params that a stage moves, by kind, and the coordinates that are not the params themselves.

    `complex` are the params that are not real. `records` and `ends` are what the domains hold over and end at.
    """

    domains: Mapping[str, str]
    complex: frozenset[str] = frozenset()
    maps: Mapping[str, Bijector] = field(default_factory=dict)
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ends: Ends = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        declared: Mapping[str, Mapping[str, Any]],
        over: Iterable[str],
        ends: Ends | None = None,
        plain: Iterable[str] = (),
        bare: Iterable[str] = (),
    ) -> Space:
        """The space of some params of a manifest.

        Args:
            declared: param → its record.
            over: the params that move.
            ends: param → `lower` and `upper` of its box, as the program's entry `bounds` gives them.
            plain: kinds of domains whose params move as they are; the method keeps them inside.
            bare: params that move as they are, whatever their domains.
        """
        names, ends, plain, bare = list(over), ends or {}, set(plain), set(bare)
        wide = frozenset(n for n in names if declared[n].get("dtype") == "complex")
        kinds = {n: declared[n]["domain"] for n in names}
        maps = {
            n: bijector(declared[n], ends.get(n, {}))
            for n, kind in kinds.items()
            if kind not in plain and n not in bare
        }
        maps = {n: m for n, m in maps.items() if m != _PLAIN}
        return cls(kinds, wide, maps, {n: declared[n] for n in names}, {n: ends[n] for n in names if n in ends})

    def inward(self, params: Mapping[str, Array]) -> Point:
        """Params to point."""
        return self._split({k: self._map(k).inward(params[k]) for k in self.domains})

    def outward(self, point: Mapping[str, Array]) -> Point:
        """Point to params."""
        whole: Point = {}
        for k in self.domains:
            if k in self.complex:
                re, im = (point[part] for part in parts(k))
                whole[k] = jax.lax.complex(re, im)
            else:
                whole[k] = self._map(k).outward(point[k])
        return whole

    def interior(self, params: Mapping[str, Array]) -> Point:
        """The params, moved a little inside of their domains where they lie on the boundary and move in coordinates.

        For the start of a stage: on the boundary all slopes of the coordinates are zero, and no method would leave it.
        """
        return {k: self._map(k).interior(x) if k in self.maps else x for k, x in params.items()}

    def gradient(self, point: Mapping[str, Array], gradient: Mapping[str, Array]) -> Point:
        """The gradient by the point from that by the params. By a complex param it is dL/dx + i dL/dy, here by x and by y."""
        whole = self._split({k: gradient[k] for k in self.domains})
        return {k: self._map(k).gradient(point[k], g) for k, g in whole.items()}

    def jacobian(self, point: Mapping[str, Array], rows: Mapping[str, Array]) -> Point:
        """`[rows, axes of p]` by the point from that by the params; a complex param has the blocks of its parts."""
        return {k: self._map(k).pull(point[k], rows[k]) for k in self.names}

    def hessian(
        self, point: Mapping[str, Array], gradient: Mapping[str, Array], hessian: Mapping[str, Mapping[str, Array]]
    ) -> Hessian:
        """The Hessian by the point: `J' H J` and the second derivative of the coordinates times the gradient by the params.

        Blocks are `[axes of p, axes of q]`, by the names of the point.
        """
        blocks: Hessian = {}
        for p in self.names:
            blocks[p] = {}
            for q in self.names:
                block = self._map(q).pull(point[q], hessian[p][q])
                if p in self.maps:
                    block = self._left(p, point[p], block)
                if p == q and p in self.maps:
                    block = block + self.maps[p].curvature(point[p], gradient[p].astype(point[p].dtype))
                blocks[p][q] = block
        return blocks

    def _left(self, p: str, u: Array, block: Array) -> Array:
        """The transposed Jacobian times a block whose first axes are those of x."""
        x = jax.eval_shape(self._map(p).outward, u)
        rest = block.shape[x.ndim :]
        rows = block.reshape(x.size, -1).T.reshape(-1, *x.shape)
        return self._map(p).pull(u, rows).reshape(-1, u.size).T.reshape(u.shape + rest)

    def _map(self, name: str) -> Bijector:
        return self.maps.get(name, _PLAIN)

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
        """Another start: times `exp(normal)` where positive, a random point of any other domain, and where there is none plus
        `normal` times `max(1, |x|)`."""
        moved = {}
        for name, kind in self.domains.items():
            x = np.asarray(fetched(params[name]))
            if kind == "positive":
                new = x * np.exp(generator.standard_normal(x.shape))
            elif kind == "real":
                new = x + self._noise(name, x.shape, generator) * np.maximum(1.0, np.abs(x))
            else:
                new = self._domain(name).random(x.shape, generator)
            moved[name] = jnp.asarray(new.astype(x.dtype))
        return moved

    def _domain(self, name: str) -> Domain:
        ends = {side: np.asarray(e, dtype=float) for side, e in self.ends.get(name, {}).items()}
        over = tuple(self.records.get(name, {}).get("over", ()))
        return Domain(self.domains[name], over, ends.get("lower"), ends.get("upper"))

    def _noise(self, name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Any:
        noise = generator.standard_normal(shape)
        return noise + 1j * generator.standard_normal(shape) if name in self.complex else noise
