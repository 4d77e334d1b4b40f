"""Smooth maps from unconstrained coordinates onto the domains of params, with their derivatives.

A map takes a point u and gives x in the domain. Elementwise ones state slope and curvature in closed form; of the others
JAX takes the Jacobian and the Hessian of the map contracted with a gradient. Some are redundant: several u give one x.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Where a start lies on the boundary of its domain, it is moved inside by this share of the domain's size.
NUDGE = 1e-3


class Bijector(abc.ABC):
    """A smooth map onto a domain."""

    @abc.abstractmethod
    def outward(self, u: Array) -> Array:
        """The x of coordinates u."""

    @abc.abstractmethod
    def inward(self, x: Array) -> Array:
        """Coordinates of x, finite also where x lies on the boundary."""

    def interior(self, x: Array) -> Array:
        """x, moved a little inside where it lies on the boundary: there, all slopes are zero."""
        return x

    def gradient(self, u: Array, g: Array) -> Array:
        """The gradient by u from that by x."""
        _, pull = jax.vjp(self.outward, u)
        back: Array = pull(g.astype(u.dtype))[0]
        return back

    def pull(self, u: Array, block: Array) -> Array:
        """`[rows, axes of x]` times the Jacobian: `[rows, axes of u]`."""
        x = jax.eval_shape(self.outward, u)
        rows = block.shape[: block.ndim - x.ndim]
        jacobian = jax.jacfwd(self.outward)(u).reshape(x.size, u.size)
        pulled: Array = (block.reshape(-1, x.size) @ jacobian).reshape(rows + u.shape)
        return pulled

    def curvature(self, u: Array, g: Array) -> Array:
        """The Hessian of `sum(g x)` by u: `[axes of u, axes of u]`."""
        hessian: Array = jax.hessian(lambda v: jnp.sum(g * self.outward(v)))(u)
        return hessian


class Elementwise(Bijector):
    """A map of each element by itself."""

    @abc.abstractmethod
    def slopes(self, u: Array) -> tuple[Array, Array]:
        """dx/du and d2x/du2."""

    def gradient(self, u: Array, g: Array) -> Array:
        """Slope times gradient."""
        return self.slopes(u)[0] * g

    def pull(self, u: Array, block: Array) -> Array:
        """Columns times slopes."""
        return block * self.slopes(u)[0]

    def curvature(self, u: Array, g: Array) -> Array:
        """A diagonal."""
        return jnp.diag((self.slopes(u)[1] * g).ravel()).reshape(u.shape + u.shape)


@dataclass(frozen=True)
class Identity(Elementwise):
    """All real numbers."""

    def outward(self, u: Array) -> Array:
        """u."""
        return u

    def inward(self, x: Array) -> Array:
        """x."""
        return x

    def gradient(self, u: Array, g: Array) -> Array:
        """g."""
        return g

    def pull(self, u: Array, block: Array) -> Array:
        """The block."""
        return block

    def slopes(self, u: Array) -> tuple[Array, Array]:
        """One and zero."""
        return jnp.ones_like(u), jnp.zeros_like(u)


@dataclass(frozen=True)
class Interval(Elementwise):
    """Numbers from lower to upper: `lower + (upper - lower) sigmoid(u)`; with one end alone `lower + exp(u)` or
    `upper - exp(u)`. The ends are arrays that broadcast against the param."""

    lower: Any = 0.0
    upper: Any = np.inf

    def _ends(self, like: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Which elements have a lower and an upper end, the ends with 0 where there is none, and the widths."""
        lower, upper = (jnp.broadcast_to(jnp.asarray(e, like.dtype), like.shape) for e in (self.lower, self.upper))
        below, above = jnp.isfinite(lower), jnp.isfinite(upper)
        lower, upper = jnp.where(below, lower, 0), jnp.where(above, upper, 0)
        return below, above, lower, upper, jnp.where(below & above, upper - lower, 1)

    def outward(self, u: Array) -> Array:
        """See the class."""
        below, above, lower, upper, width = self._ends(u)
        # The ends are approached from their own side, so that small distances from either are not rounded off.
        near = jnp.where(u < 0, lower + width * jax.nn.sigmoid(u), upper - width * jax.nn.sigmoid(-u))
        grown = jnp.exp(jnp.where(below == above, 0, u))
        one = jnp.where(below, lower + grown, upper - grown)
        return jnp.where(below & above, near, jnp.where(below | above, one, u))

    def inward(self, x: Array) -> Array:
        """See the class."""
        below, above, lower, upper, width = self._ends(x)
        tiny = float(np.finfo(x.dtype).tiny)
        least = jnp.where(below & above, width * float(np.finfo(x.dtype).eps) + tiny, tiny)
        left, right = jnp.maximum(x - lower, least), jnp.maximum(upper - x, least)
        both = jnp.log(left) - jnp.log(right)
        return jnp.where(below & above, both, jnp.where(below, jnp.log(left), jnp.where(above, jnp.log(right), x)))

    def interior(self, x: Array) -> Array:
        """At least a share of the width, or of max(1, |end|), away from an end on which x lies."""
        below, above, lower, upper, width = self._ends(x)
        least = float(np.finfo(x.dtype).eps) ** 0.5
        from_below = jnp.where(above, width, jnp.maximum(1.0, jnp.abs(lower)))
        from_above = jnp.where(below, width, jnp.maximum(1.0, jnp.abs(upper)))
        x = jnp.where(below & (x - lower < least * from_below), lower + NUDGE * from_below, x)
        return jnp.where(above & (upper - x < least * from_above), upper - NUDGE * from_above, x)

    def slopes(self, u: Array) -> tuple[Array, Array]:
        """Of the sigmoid s: s(1 - s) and s(1 - s)(1 - 2s); of the exponential itself."""
        below, above, _, _, width = self._ends(u)
        s, rest = jax.nn.sigmoid(u), jax.nn.sigmoid(-u)
        grown = jnp.exp(jnp.where(below == above, 0, u)) * jnp.where(below, 1, -1)
        first = jnp.where(below & above, width * s * rest, jnp.where(below | above, grown, 1))
        second = jnp.where(below & above, width * s * rest * (rest - s), jnp.where(below | above, grown, 0))
        return first, second


@dataclass(frozen=True)
class Log(Elementwise):
    """Numbers above 0: `exp(u)`."""

    def outward(self, u: Array) -> Array:
        """The exponential."""
        return jnp.exp(u)

    def inward(self, x: Array) -> Array:
        """The logarithm."""
        return jnp.log(x)

    def slopes(self, u: Array) -> tuple[Array, Array]:
        """The exponential, twice."""
        x = jnp.exp(u)
        return x, x


@dataclass(frozen=True)
class Softmax(Bijector):
    """A simplex over some axes: `exp(u)` divided by its sum; a constant added to u changes nothing."""

    over: tuple[int, ...]

    def outward(self, u: Array) -> Array:
        """The softmax."""
        return jax.nn.softmax(u, axis=self.over)

    def inward(self, x: Array) -> Array:
        """The logarithm."""
        return jnp.log(jnp.maximum(x, float(np.finfo(x.dtype).tiny)))

    def interior(self, x: Array) -> Array:
        """Zeros become a share of the mean."""
        count = float(np.prod([x.shape[k] for k in self.over]))
        edge = x * count < float(np.finfo(x.dtype).eps) ** 0.5
        inside = jnp.where(edge, NUDGE / count, x)
        inside = inside / jnp.sum(inside, axis=self.over, keepdims=True)
        return jnp.where(jnp.any(edge, axis=self.over, keepdims=True), inside, x)


@dataclass(frozen=True)
class Direction(Bijector):
    """Vectors of length 1 over some axes: `u / |u|`; the length of u changes nothing."""

    over: tuple[int, ...]

    def outward(self, u: Array) -> Array:
        """The direction."""
        return u / jnp.sqrt(jnp.sum(u * u, axis=self.over, keepdims=True))

    def inward(self, x: Array) -> Array:
        """Itself."""
        return x


@dataclass(frozen=True)
class Factor(Bijector):
    """Positive semi-definite matrices: `L L'`; u is the lower triangle of L, row by row."""

    def _lower(self, u: Array) -> Array:
        size = (math.isqrt(8 * u.shape[-1] + 1) - 1) // 2
        rows, columns = np.tril_indices(size)
        return jnp.zeros((*u.shape[:-1], size, size), u.dtype).at[..., rows, columns].set(u)

    def outward(self, u: Array) -> Array:
        """L L'."""
        lower = self._lower(u)
        return lower @ jnp.swapaxes(lower, -1, -2)

    def inward(self, x: Array) -> Array:
        """The Cholesky factor, also of a singular matrix."""
        values, vectors = jnp.linalg.eigh((x + jnp.swapaxes(x, -1, -2)) / 2)
        root = vectors * jnp.sqrt(jnp.maximum(values, 0))[..., None, :]
        upper = jnp.linalg.qr(jnp.swapaxes(root, -1, -2), mode="r")
        diagonal = jnp.diagonal(upper, axis1=-2, axis2=-1)
        lower = jnp.swapaxes(upper * jnp.where(diagonal < 0, -1, 1)[..., :, None], -1, -2)
        rows, columns = np.tril_indices(x.shape[-1])
        return lower[..., rows, columns]

    def interior(self, x: Array) -> Array:
        """Eigenvalues of zero become a share of the largest, or of 1."""
        values, vectors = jnp.linalg.eigh((x + jnp.swapaxes(x, -1, -2)) / 2)
        top = jnp.max(jnp.abs(values), axis=-1, keepdims=True)
        top = jnp.where(top > 0, top, 1)
        inside = jnp.where(values < float(np.finfo(x.dtype).eps) ** 0.5 * top, NUDGE * top, values)
        moved = (vectors * inside[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)
        return jnp.where(jnp.any(inside != values, axis=-1)[..., None, None], moved, x)


@dataclass(frozen=True)
class Orthonormal(Bijector):
    """Matrices with orthonormal columns: the Gram-Schmidt columns of u, `u C'^-1` with the Cholesky factor C of u'u."""

    def outward(self, u: Array) -> Array:
        """The orthonormalised columns."""
        lower = jnp.linalg.cholesky(jnp.swapaxes(u, -1, -2) @ u)
        solved = jax.scipy.linalg.solve_triangular(lower, jnp.swapaxes(u, -1, -2), lower=True)
        return jnp.swapaxes(solved, -1, -2)

    def inward(self, x: Array) -> Array:
        """Itself."""
        return x


def bijector(declared: Mapping[str, Any], ends: Mapping[str, Any]) -> Bijector:
    """The map onto the domain of a param. `declared` is its record in the manifest, `ends` the bounds of its box."""
    kind = declared["domain"]
    over = tuple(declared.get("over", ()))
    if kind == "positive":
        return Log()
    if kind == "box":
        return Interval(ends["lower"], ends["upper"])
    if kind == "simplex":
        return Softmax(over)
    if kind == "unit":
        return Direction(over)
    if kind == "psd":
        return Factor()
    if kind == "orthogonal":
        return Orthonormal()
    return Identity()
