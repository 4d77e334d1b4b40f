"""Least values under constraints, by the interior-point method of `vspec.runtime.constrained`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from vspec.runtime.constrained import interior
from vspec.runtime.constrained.bounds import Bounds
from vspec.runtime.constrained.constraints import Constraints, Flat, Gaps, Lagrangian, Point
from vspec.runtime.constrained.interior import Memory
from vspec.runtime.constrained.iterate import errors
from vspec.runtime.implicit.search import CONVERGED, FAILED, State, Unknowns, largest
from vspec.runtime.implicit.search import RUNNING as GOING
from vspec.runtime.methods.method import RUNNING, STALLED, TOLERANCE

_NEWTON = 5
_ROUNDING = 1e3  # a search that can do no better has converged if errors are below this times rounding


class Local(NamedTuple):
    """The Lagrangian at a point: the value, the gradient [n] of the whole, the gaps [m], their Jacobian [m, n], its Hessian."""

    value: Array
    gradient: Array
    gaps: Array
    rows: Array
    hessian: Array


@dataclass(frozen=True, slots=True)
class Program:
    """A value to be made least under constraints, as functions of unknowns [n] and multipliers [m] in a row.

    Attributes:
        objective: unknowns and multipliers → (value, gradient of the Lagrangian, gaps, slopes of these two).
        unknowns: the shapes of unknowns and multipliers.
        relations: of the constraints, `eq` or `le`.
        sign: -1 to make the value greatest.
    """

    objective: Callable[..., Any]
    unknowns: Unknowns
    relations: tuple[str, ...]
    sign: float

    @property
    def lengths(self) -> list[int]:
        """How many numbers the gaps of each constraint are."""
        return self.unknowns.sizes[len(self.unknowns.sizes) - len(self.relations) :]

    @property
    def count(self) -> int:
        """How many unknown numbers there are, without multipliers."""
        return sum(self.unknowns.sizes) - sum(self.lengths)

    @property
    def equal(self) -> Any:
        """Which gaps are those of equations [m]."""
        return np.repeat([r == "eq" for r in self.relations], self.lengths)

    def at(self, x: Array) -> Local:
        """The Lagrangian at unknowns and multipliers [n + m]."""
        value, gradient, gaps, slopes = self.objective(*self.unknowns.arguments(x))
        sizes = self.unknowns.sizes
        wide = sizes[: len(sizes) - len(self.relations)]
        rows = [
            [b.reshape(high, width) for b, width in zip(row, wide, strict=True)]
            for row, high in zip(slopes, sizes, strict=True)
        ]
        matrix = jnp.block(rows)
        n = self.count
        vector = self.unknowns.vector
        return Local(self.sign * value, self.sign * vector(gradient), vector(gaps), matrix[n:], self.sign * matrix[:n])

    def conditions(self, x: Array) -> Array:
        """What is 0 at the solution [n + m]: the gradient of the Lagrangian, the gaps of equations, and the products of
        the others with their multipliers."""
        return self._conditions(x, self.at(x))

    def _conditions(self, x: Array, here: Local) -> Array:
        return jnp.concatenate([here.gradient, jnp.where(self.equal, here.gaps, x[self.count :] * here.gaps)])

    def closer(self, x: Array) -> tuple[Array, Array]:
        """Where Newton's steps on the conditions lead from x [n + m], as long as they come nearer; how far that is from a
        solution: the largest entry of the conditions, of violations, and of multipliers of inequalities below 0."""
        n = self.count
        equal = self.equal

        def judged(x: Array) -> tuple[Array, Local]:
            here = self.at(x)
            found = self._conditions(x, here)
            signs = jnp.where(equal, 0, jnp.maximum(jnp.maximum(here.gaps, -x[n:]), 0))
            return largest(jnp.concatenate([found, signs])), here

        def step(state: tuple[Array, Array, Local, Array]) -> tuple[Array, Array, Local, Array]:
            x, off, here, k = state
            below = jnp.where(equal[:, None], here.rows, x[n:, None] * here.rows)
            corner = jnp.diag(jnp.where(equal, 0, here.gaps))
            matrix = jnp.block([[here.hessian, here.rows.T], [below, corner]])
            new = x - jnp.linalg.solve(matrix, self._conditions(x, here))
            after, there = judged(new)
            kept: tuple[Array, Array, Local] = jax.tree.map(
                lambda a, b: jnp.where(after < off, a, b), (new, after, there), (x, off, here)
            )
            return *kept, jnp.where(after < off, k + 1, _NEWTON)

        first = (x, *judged(x), jnp.zeros((), jnp.int32))
        x, off, _, _ = lax.while_loop(lambda s: s[3] < _NEWTON, step, first)
        return x, off

    def flat(self, x: Array) -> Flat:
        """The problem as the method takes it, of the unknowns [n] alone."""
        names = [str(k) for k in range(len(self.relations))]
        cuts = np.cumsum(self.lengths)[:-1]

        def split(rows: Array) -> Gaps:
            return dict(zip(names, jnp.split(rows, cuts), strict=True))

        def alone(point: Point) -> Array:
            return jnp.concatenate([point["x"], jnp.zeros(sum(self.lengths), x.dtype)])

        def lagrangian(point: Point, weight: Array, multipliers: Gaps) -> Lagrangian:
            m = jnp.concatenate([multipliers[k] for k in names]) / weight
            here = self.at(jnp.concatenate([point["x"], m]))
            slopes = {k: {"x": rows} for k, rows in split(here.rows).items()}
            gradient = here.gradient - here.rows.T @ m
            return Lagrangian(
                here.value, {"x": gradient}, split(here.gaps), slopes, {"x": {"x": weight * here.hessian}}
            )

        constraints = Constraints(
            dict(zip(names, self.relations, strict=True)),
            gaps=lambda point: split(self.at(alone(point)).gaps),
            jacobian=lambda point: {k: {"x": rows} for k, rows in split(self.at(alone(point)).rows).items()},
            lagrangian=lagrangian,
        )
        return Flat(lambda point: self.at(alone(point)).value, constraints, {"x": x})


@dataclass(frozen=True, slots=True)
class interior_point:  # noqa: N801 (called as the spec calls it)
    """A primal-dual interior-point method. `tol` is about the largest entry of the gradient of the Lagrangian, violation and
    product of a gap with its multiplier.

    A search that cannot go on because nothing is left but rounding has converged, too.
    """

    tol: float

    def constrained(self, program: Program, x: Array, steps: int) -> State:
        """Searches from x; multipliers are found on the way, and their starts count nothing.

        Newton's steps on the conditions end the search: products of gaps and multipliers, which the method leaves at about tol,
        become 0 where one of the two is clearly not. Where both are small they only get smaller, so that the slopes of the
        conditions stay regular.
        """
        flat = program.flat(x[: program.count])
        bounds = Bounds.of(*flat.bounds())

        def go(state: tuple[Memory, Array]) -> tuple[Memory, Array]:
            return interior.advance(flat, state[0], self.tol), state[1] + 1

        def going(state: tuple[Memory, Array]) -> Array:
            return (state[0].status == RUNNING) & (state[1] < steps)

        begun = (interior.begin(flat, flat.vector(flat.like), self.tol), jnp.zeros((), jnp.int32))
        m, taken = lax.while_loop(going, go, begun)
        residual = errors(m.at, m.found, bounds, 0.0, m.weight).together
        eps = float(np.finfo(x.dtype).eps)
        size = jnp.maximum(1, jnp.maximum(largest(m.at.x), largest(m.found.gradient) / m.weight))
        exhausted = (m.status == STALLED) & (residual <= _ROUNDING * eps * size)
        reached = (m.status == TOLERANCE) | exhausted
        status = jnp.where(reached, CONVERGED, jnp.where(m.status == RUNNING, GOING, FAILED))
        found = flat.multipliers(m.at.y / m.weight, m.at.z / m.weight)
        parts = [found[str(k)] for k in range(len(program.relations))]
        near, off = program.closer(jnp.concatenate([m.at.x, *parts]))
        return State(near, off, taken, status.astype(jnp.int32), None)
