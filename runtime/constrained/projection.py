"""The projection of a stage: onto the domains of what moves and onto its constraints.

Params that no constraint joins are projected by themselves. Where several sets bind the same params, their intersection is
reached by Dykstra's method, except for ends with one affine gap, whose nearest point has a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from vspec.runtime.constrained import sets
from vspec.runtime.constrained.constraints import Constraints
from vspec.runtime.space import Space, parts

Point = dict[str, Array]
Piece = Callable[[Array], Array]
_CURVED = ("simplex", "unit", "psd", "orthogonal")


def projector(
    space: Space, constraints: Constraints, subject: Mapping[str, Mapping[str, Any]]
) -> Callable[[Point], Point]:
    """The nearest point that satisfies the domains and the constraints.

    Args:
        space: the space; all params move as they are.
        constraints: their gaps and Jacobians.
        subject: constraint → the params that move in it (`over`), its `form`, and whether its rows are `disjoint`.
    """
    groups = [_Group(space, constraints, subject, over) for over in joined(space.domains, subject)]

    def project(point: Point) -> Point:
        found = dict(point)
        for group in groups:
            found |= group.project(point)
        return found

    return project


def joined(params: Iterable[str], subject: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The params in groups that no constraint joins, in their order."""
    groups = [{p} for p in params]
    for record in subject.values():
        touched = [g for g in groups if g & set(record["over"])]
        groups = [g for g in groups if g not in touched] + [set().union(*touched)]
    order = list(params)
    return sorted((tuple(sorted(g, key=order.index)) for g in groups if g), key=lambda g: order.index(g[0]))


@dataclass(frozen=True, slots=True)
class _Group:
    """Params that constraints join."""

    space: Space
    constraints: Constraints
    subject: Mapping[str, Mapping[str, Any]]
    over: tuple[str, ...]

    def project(self, point: Point) -> Point:
        """The group's arrays, projected."""
        names = [n for p in self.over for n in (parts(p) if p in self.space.complex else (p,))]
        own = {n: point[n] for n in names}
        mine = {k: r for k, r in self.subject.items() if set(r["over"]) <= set(self.over)}
        kinds = {self.space.domains[p] for p in self.over}
        if not mine and kinds == {"real"}:
            return own
        x, unravel = ravel_pytree(own)

        def full(x: Array) -> Point:
            return {**point, **unravel(x)}

        def rows(part: str, x: Array) -> tuple[Array, Array]:
            at = full(x)
            gap = self.constraints.gaps(at)[part]
            blocks = self.constraints.jacobian(at)[part]
            wide = [jnp.broadcast_to(blocks[n], gap.shape + own[n].shape).reshape(gap.size, -1) for n in sorted(own)]
            return gap.ravel().astype(x.dtype), jnp.concatenate(wide, axis=1).astype(x.dtype)

        boxes = [k for k, r in mine.items() if r["form"] == "box"]
        bounded = bool(boxes) or bool(kinds & {"box", "positive"})
        lower, upper = self._ends(own, x)
        for k in boxes:
            lower, upper = _within(x, *rows(k, x), lower, upper)
        rest = [k for k in mine if k not in boxes]
        curved = bool(kinds & set(_CURVED))
        if bounded and len(rest) == 1 and not curved and mine[rest[0]]["form"] == "affine":
            gap, row = rows(rest[0], x)
            if gap.size == 1:
                return dict(unravel(sets.slab(x, gap[0], row[0], lower, upper, self._equal(rest[0]))))
        pieces: list[Piece] = []
        equations = [k for k in rest if mine[k]["form"] == "affine" and self._equal(k)]
        if equations:
            found = [rows(k, x) for k in equations]
            gap, row = jnp.concatenate([g for g, _ in found]), jnp.concatenate([r for _, r in found])
            pieces.append(lambda y: sets.affine(y, gap + row @ (y - x), row))
        for k in rest:
            if k not in equations:
                pieces += self._pieces(k, mine[k], x, rows)
        if curved:
            pieces.append(lambda y: ravel_pytree(self._domains(unravel(y)))[0])
        if bounded:
            pieces.append(lambda y: sets.box(y, lower, upper))
        return dict(unravel(sets.dykstra(pieces, x)))

    def _equal(self, part: str) -> bool:
        return self.constraints.relations[part] == "eq"

    def _ends(self, own: Point, x: Array) -> tuple[Array, Array]:
        """The ends of the entries: those of boxes, and the least positive number."""
        tiny = float(np.finfo(x.dtype).tiny)
        sides: tuple[Point, Point] = ({}, {})
        for n, a in own.items():
            p = n if n in self.space.domains else n.rpartition(".")[0]
            ends = self.space.ends.get(p, {})
            low = tiny if self.space.domains[p] == "positive" else ends.get("lower", -jnp.inf)
            for side, end in zip(sides, (low, ends.get("upper", jnp.inf)), strict=True):
                side[n] = jnp.broadcast_to(jnp.asarray(end, a.dtype), a.shape)
        return ravel_pytree(sides[0])[0], ravel_pytree(sides[1])[0]

    def _domains(self, own: Point) -> Point:
        """The nearest points of simplices, spheres and sets of matrices."""
        found = dict(own)
        for p in self.over:
            over = tuple(self.space.records[p].get("over", ()))
            kind = self.space.domains[p]
            if kind == "simplex":
                found[p] = sets.simplex(own[p], over)
            elif kind == "unit":
                found[p] = sets.sphere(own[p], over)
            elif kind == "psd":
                found[p] = sets.semidefinite(own[p])
            elif kind == "orthogonal":
                found[p] = sets.orthonormal(own[p])
        return found

    def _pieces(
        self, part: str, record: Mapping[str, Any], x: Array, rows: Callable[[str, Array], tuple[Array, Array]]
    ) -> list[Piece]:
        """The sets of one constraint: one, or as many as it has rows if these share entries."""
        form, equal = record["form"], self._equal(part)
        if form == "affine":
            gap, row = rows(part, x)

            def near(y: Array) -> tuple[Array, Array]:
                return gap + row @ (y - x), row

        else:

            def near(y: Array) -> tuple[Array, Array]:
                return rows(part, y)

        bend = _bend(x, part, rows) if form == "ball" else None

        def piece(y: Array, k: int | None = None) -> Array:
            gap, row = near(y)
            factor = bend
            if k is not None:
                gap, row = gap[k][None], row[k][None]
                factor = None if bend is None else bend[k][None]
            if factor is not None:
                return sets.balls(y, gap, row, factor, equal)
            # Along the gradient of a norm the gap falls evenly, as that of a plane.
            return sets.half_spaces(y, gap, row, equal)

        count = near(x)[0].size
        if record["disjoint"] or count == 1:
            return [piece]
        return [partial(piece, k=k) for k in range(count)]


def _within(x: Array, gap: Array, rows: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """The ends with those of affine gaps that have one entry each."""
    place = jnp.argmax(jnp.abs(rows), axis=1)
    slope = jnp.take_along_axis(rows, place[:, None], axis=1)[:, 0]
    end = x[place] - gap / jnp.where(slope != 0, slope, 1)
    upper = upper.at[place].min(jnp.where(slope > 0, end, jnp.inf))
    lower = lower.at[place].max(jnp.where(slope < 0, end, -jnp.inf))
    return lower, upper


def _bend(x: Array, part: str, rows: Callable[[str, Array], tuple[Array, Array]]) -> Array:
    """The factor of the square in a quadratic gap [m]: half the slope of its gradient, which is the same everywhere."""
    length = jnp.maximum(1, jnp.max(jnp.abs(x)))
    change = rows(part, x + length)[1] - rows(part, x)[1]
    largest = jnp.take_along_axis(change, jnp.argmax(jnp.abs(change), axis=1)[:, None], axis=1)[:, 0]
    return largest / (2 * length)


__all__ = ["joined", "projector"]
