"""The constraints of a problem as functions of points, and the whole problem as functions of vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

Point = dict[str, Array]
Gaps = dict[str, Array]
Jacobian = dict[str, dict[str, Array]]
Hessian = dict[str, dict[str, Array]]


class Lagrangian(NamedTuple):
    """`weight f + sum(multiplier gap)` at a point: f and its gradient, the gaps, their Jacobian, the Hessian of the whole."""

    value: Array
    gradient: Point
    gaps: Gaps
    jacobian: Jacobian
    hessian: Hessian


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a problem is subject to. A gap is 0 where an equation (`eq`) holds, at most 0 where an inequality (`le`) does.

    Attributes:
        relations: constraint → `eq` or `le`.
        gaps: point → constraint → array.
        jacobian: point → constraint → name → `[axes of the constraint, axes of the name]`.
        lagrangian: (point, weight, multipliers) → `Lagrangian`; None where the program has no Hessian.
        augmented: (multipliers, penalty) → the problem of minimising the augmented Lagrangian; None where there is none.
        lower, upper: name → ends of what moves as it is and has ends; arrays or numbers.
        hidden: constraints that stand for domains.
    """

    relations: Mapping[str, str]
    gaps: Callable[[Point], Gaps]
    jacobian: Callable[[Point], Jacobian]
    lagrangian: Callable[[Point, Array, Gaps], Lagrangian] | None = None
    augmented: Callable[[Gaps, Array], Any] | None = None
    lower: Mapping[str, Any] = field(default_factory=dict)
    upper: Mapping[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def named(self, relation: str) -> tuple[str, ...]:
        """The constraints of one kind, in order."""
        return tuple(k for k, r in self.relations.items() if r == relation)


class Evaluation(NamedTuple):
    """A problem at a vector: f, gradient [n], gaps of equations [e] and inequalities [i], Jacobians [e, n] and [i, n], and the
    Hessian of the Lagrangian [n, n]."""

    value: Array
    gradient: Array
    equal: Array
    less: Array
    equal_rows: Array
    less_rows: Array
    hessian: Array


@dataclass(frozen=True, slots=True)
class Flat:
    """A constrained problem as functions of the vector x [n] of a point's entries. `value` is the objective on points."""

    value: Callable[[Point], Array]
    constraints: Constraints
    like: Point

    @property
    def equations(self) -> tuple[str, ...]:
        """The names of the equations."""
        return self.constraints.named("eq")

    @property
    def inequalities(self) -> tuple[str, ...]:
        """The names of the inequalities."""
        return self.constraints.named("le")

    @property
    def bounded(self) -> bool:
        """Whether some entry has an end."""
        return bool(self.constraints.lower or self.constraints.upper)

    def vector(self, point: Point) -> Array:
        """The entries of a point, by the order of sorted names."""
        return ravel_pytree(point)[0]

    def point(self, x: Array) -> Point:
        """The point of a vector."""
        found: Point = ravel_pytree(self.like)[1](x)
        return found

    def bounds(self) -> tuple[Array, Array]:
        """The ends [n] of every entry, infinite where there is none."""
        sides = []
        for ends, none in ((self.constraints.lower, -jnp.inf), (self.constraints.upper, jnp.inf)):
            full = {k: jnp.broadcast_to(jnp.asarray(ends.get(k, none), v.dtype), v.shape) for k, v in self.like.items()}
            sides.append(self.vector(full))
        return sides[0], sides[1]

    def trial(self, x: Array) -> tuple[Array, Array, Array]:
        """f, and the gaps of equations and inequalities."""
        at = self.point(x)
        gaps = self.constraints.gaps(at)
        return self.value(at), self._stacked(gaps, self.equations, x), self._stacked(gaps, self.inequalities, x)

    def rows(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """The gaps of equations and inequalities and their Jacobians."""
        at = self.point(x)
        gaps, jacobian = self.constraints.gaps(at), self.constraints.jacobian(at)
        kinds = (self.equations, self.inequalities)
        a, b = (self._stacked(gaps, names, x) for names in kinds)
        c, d = (self._rows(jacobian, gaps, names, x) for names in kinds)
        return a, b, c, d

    def evaluate(self, x: Array, weight: Array, y: Array, z: Array) -> Evaluation:
        """Everything at x, with the Hessian of `weight f + y equal + z less`."""
        if self.constraints.lagrangian is None:
            raise ValueError("these constraints have no Lagrangian")
        at = self.point(x)
        multipliers = self.multipliers(y, z, at)
        found = self.constraints.lagrangian(at, weight, multipliers)
        return Evaluation(
            found.value,
            self.vector(found.gradient),
            self._stacked(found.gaps, self.equations, x),
            self._stacked(found.gaps, self.inequalities, x),
            self._rows(found.jacobian, found.gaps, self.equations, x),
            self._rows(found.jacobian, found.gaps, self.inequalities, x),
            self._square(found.hessian),
        )

    def counts(self) -> tuple[int, int]:
        """How many equations and inequalities there are."""
        shapes = self.shapes()
        sizes = [sum(_size(shapes[k]) for k in names) for names in (self.equations, self.inequalities)]
        return sizes[0], sizes[1]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every gap."""
        import jax

        found = jax.eval_shape(self.constraints.gaps, self.like)
        return {k: tuple(found[k].shape) for k in self.constraints.relations}

    def multipliers(self, y: Array, z: Array, at: Point | None = None) -> Gaps:
        """Multipliers [e] of the equations and [i] of the inequalities, by the names of the constraints."""
        shapes = self.shapes()
        found = {}
        for names, flat in ((self.equations, y), (self.inequalities, z)):
            begin = 0
            for k in names:
                end = begin + _size(shapes[k])
                found[k] = flat[begin:end].reshape(shapes[k])
                begin = end
        return found

    def _stacked(self, gaps: Gaps, names: tuple[str, ...], x: Array) -> Array:
        parts = [gaps[k].astype(x.dtype).ravel() for k in names]
        return jnp.concatenate(parts) if parts else jnp.zeros(0, x.dtype)

    def _rows(self, jacobian: Jacobian, gaps: Gaps, names: tuple[str, ...], x: Array) -> Array:
        rows = []
        for k in names:
            count = _size(gaps[k].shape)
            blocks = [
                jnp.broadcast_to(jacobian[k][p], gaps[k].shape + self.like[p].shape).reshape(count, -1)
                for p in sorted(self.like)
            ]
            rows.append(jnp.concatenate(blocks, axis=1).astype(x.dtype))
        return jnp.concatenate(rows) if rows else jnp.zeros((0, x.size), x.dtype)

    def _square(self, hessian: Hessian) -> Array:
        names = sorted(self.like)
        return jnp.block([[hessian[p][q].reshape(self.like[p].size, self.like[q].size) for q in names] for p in names])


def _size(shape: tuple[int, ...]) -> int:
    count = 1
    for s in shape:
        count *= s
    return count
