"""Hessians given by tied terms: products, diagonals, eliminations and sparse copies of them.

A term of the block of params p and q is an array `[axes of p, untied axes of q]`; an axis of q that is tied to one of p is equal
to it in each entry (`runtime/elimination.py`). Blocks below the diagonal are the transposes of those above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from string import ascii_letters
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve

from vspec.runtime.curvature import descent, rounding, shifted
from vspec.runtime.elimination import Described, Elimination, Shape, Ties
from vspec.runtime.methods.largest import positions_of_largest

Point = dict[str, Array]
Shapes = Mapping[str, Shape]


def shapes_of(point: Point) -> dict[str, Shape]:
    """Param → shape, in the order of the flattened point."""
    return {k: point[k].shape for k in sorted(point)}


class _Read(NamedTuple):
    """The letters of the axes of a term: those of p, those of q with tied ones under the letter of p, those of the array."""

    rows: str
    columns: str
    array: str


def _read(term: Described, shapes: Shapes) -> _Read:
    p, q, ties = term
    rows = ascii_letters[: len(shapes[p])]
    partner = {m: k for k, m in ties}
    own = ascii_letters[len(rows) :]
    columns = "".join(rows[partner[m]] if m in partner else own[m] for m in range(len(shapes[q])))
    return _Read(rows, columns, rows + "".join(c for m, c in enumerate(columns) if m not in partner))


def times(terms: Sequence[Described], shapes: Shapes, arrays: Sequence[Array], v: Point) -> Point:
    """The product with a vector, each with the axes of its param."""
    found = {k: jnp.zeros_like(x) for k, x in v.items()}
    for term, array in zip(terms, arrays, strict=True):
        p, q, _ = term
        r = _read(term, shapes)
        found[p] = found[p] + jnp.einsum(f"{r.array},{r.columns}->{r.rows}", array, v[q])
        if p != q:
            found[q] = found[q] + jnp.einsum(f"{r.array},{r.rows}->{r.columns}", array, v[p])
    return found


def diagonal(terms: Sequence[Described], shapes: Shapes, arrays: Sequence[Array], like: Point) -> Point:
    """The diagonal of the matrix, each part with the axes of its param."""
    found = {k: jnp.zeros_like(x) for k, x in like.items()}
    for (p, q, ties), array in zip(terms, arrays, strict=True):
        if p != q:
            continue
        rows = ascii_letters[: len(shapes[p])]
        tied = {m for _, m in ties}
        letters = rows + "".join(rows[m] for m in range(len(rows)) if m not in tied)
        # An axis that is tied to another one than itself is on the diagonal where the two agree.
        odd = [(k, m) for k, m in ties if k != m]
        eyes = [jnp.eye(shapes[p][k], shapes[p][m], dtype=array.dtype) for k, m in odd]
        text = ",".join([letters, *(rows[k] + rows[m] for k, m in odd)])
        found[p] = found[p] + jnp.einsum(f"{text}->{rows}", array, *eyes)
    return found


def _spread(term: Described, shapes: Shapes, array: Array, keep: Ties) -> Array:
    """The array `[axes of p, axes of q without those of kept ties]`: the other ties are multiplied out."""
    p, q, ties = term
    rows = ascii_letters[: len(shapes[p])]
    own = ascii_letters[len(rows) : len(rows) + len(shapes[q])]
    tied = {m: k for k, m in ties}
    kept = {m for _, m in keep}
    text = [rows + "".join(c for m, c in enumerate(own) if m not in tied)]
    eyes = []
    for k, m in ties:
        if m not in kept:
            text.append(rows[k] + own[m])
            eyes.append(jnp.eye(shapes[p][k], dtype=array.dtype))
    out = rows + "".join(c for m, c in enumerate(own) if m not in kept)
    return jnp.einsum(f"{','.join(text)}->{out}", array, *eyes)


def dense(terms: Sequence[Described], shapes: Shapes, arrays: Sequence[Array]) -> Array:
    """The whole matrix, params in the order of the shapes."""
    start, n = offsets(shapes)
    matrix = jnp.zeros((n, n), jnp.result_type(*arrays) if arrays else float)
    for term, array in zip(terms, arrays, strict=True):
        p, q, _ = term
        block = _spread(term, shapes, array, ()).reshape(prod(shapes[p]), prod(shapes[q]))
        rows, columns = slice(start[p], start[p] + block.shape[0]), slice(start[q], start[q] + block.shape[1])
        matrix = matrix.at[rows, columns].add(block)
        if p != q:
            matrix = matrix.at[columns, rows].add(block.T)
    return matrix


def offsets(shapes: Shapes) -> tuple[dict[str, int], int]:
    """Where each param begins in the flattened point, and the size of that."""
    found, n = {}, 0
    for p, shape in shapes.items():
        found[p] = n
        n += prod(shape)
    return found, n


# --- elimination ------------------------------------------------------------------------------------------------------


class _Blocks(NamedTuple):
    """Of the slices `[slices, inside, inside]`, of slices by border `[slices, inside, rest]`, of the border `[rest, rest]`."""

    inner: Array
    side: Array
    border: Array


class _Order:
    """Where the entries of each param stand among those of a slice, or of the border."""

    def __init__(self, e: Elimination, shapes: Shapes) -> None:
        self.e = e
        self.shapes = shapes
        self.inside = offsets({p: self.rest_of(p) for p in e.inner})[0]
        self.outside = offsets({p: shapes[p] for p in e.border})[0]

    def rest_of(self, p: str) -> Shape:
        """The axes of a param that goes first which are not those of the slices."""
        return tuple(n for k, n in enumerate(self.shapes[p]) if k not in self.e.inner[p])

    def front(self, p: str, array: Array, ahead: int = 0) -> Array:
        """`[slices, inside, ..]`, where the axes of p stand behind `ahead` others that are moved behind them, as one."""
        axes = self.e.inner[p]
        rank = len(self.shapes[p])
        own = [*axes, *(k for k in range(rank) if k not in axes)]
        behind = [*range(ahead), *range(ahead + rank, array.ndim)]
        moved = jnp.transpose(array, [*(ahead + k for k in own), *behind])
        return moved.reshape(self.e.slices, prod(self.rest_of(p)), -1)

    def split(self, v: Point) -> tuple[Array, Array]:
        """A vector as `[slices, inside]` and `[rest]`."""
        dtype = jnp.result_type(*v.values())
        inner = [self.front(p, v[p])[:, :, 0] for p in self.e.inner]
        first = jnp.concatenate(inner, axis=1) if inner else jnp.zeros((0, 0), dtype)
        rest = [v[p].ravel() for p in self.e.border]
        return first, jnp.concatenate(rest) if rest else jnp.zeros((0,), dtype)

    def join(self, first: Array, rest: Array) -> Point:
        """The vector of `split`."""
        found: Point = {}
        for p, axes in self.e.inner.items():
            shape = self.rest_of(p)
            part = first[:, self.inside[p] : self.inside[p] + prod(shape)]
            own = [*axes, *(k for k in range(len(self.shapes[p])) if k not in axes)]
            full = part.reshape(*(self.shapes[p][k] for k in axes), *shape)
            found[p] = jnp.transpose(full, [own.index(k) for k in range(len(own))])
        for p in self.e.border:
            size = prod(self.shapes[p])
            found[p] = rest[self.outside[p] : self.outside[p] + size].reshape(self.shapes[p])
        return found


def _blocks(o: _Order, terms: Sequence[Described], arrays: Sequence[Array], dtype: jnp.dtype) -> _Blocks:
    e, shapes = o.e, o.shapes
    inner = jnp.zeros((e.slices, e.inside, e.inside), dtype)
    side = jnp.zeros((e.slices, e.inside, e.rest), dtype)
    border = jnp.zeros((e.rest, e.rest), dtype)
    for term, array in zip(terms, arrays, strict=True):
        p, q, _ = term
        if p in e.inner and q in e.inner:
            keep = tuple(zip(e.inner[p], e.inner[q], strict=True))
            block = o.front(p, _spread(term, shapes, array, keep))
            rows, columns = _reach(o.inside[p], block.shape[1]), _reach(o.inside[q], block.shape[2])
            inner = inner.at[:, rows, columns].add(block)
            if p != q:
                inner = inner.at[:, columns, rows].add(jnp.swapaxes(block, 1, 2))
        elif p in e.inner or q in e.inner:
            first, last, ahead = (p, q, 0) if p in e.inner else (q, p, len(shapes[p]))
            block = o.front(first, _spread(term, shapes, array, ()), ahead)
            rows, columns = _reach(o.inside[first], block.shape[1]), _reach(o.outside[last], block.shape[2])
            side = side.at[:, rows, columns].add(block)
        else:
            block = _spread(term, shapes, array, ()).reshape(prod(shapes[p]), prod(shapes[q]))
            rows, columns = _reach(o.outside[p], block.shape[0]), _reach(o.outside[q], block.shape[1])
            border = border.at[rows, columns].add(block)
            if p != q:
                border = border.at[columns, rows].add(block.T)
    return _Blocks(inner, side, border)


def _reach(start: int, count: int) -> slice:
    return slice(start, start + count)


def direction(
    e: Elimination, terms: Sequence[Described], arrays: Sequence[Array], gradient: Point, damping: Array | float
) -> Point:
    """Newton's direction by elimination, a multiple of the diagonal added where the matrix is not positive definite.

    As in `curvature.descent`, and for matrices that fall apart entirely slice by slice. Curvatures of single elements are taken
    by their absolute values.
    """
    o = _Order(e, shapes_of(gradient))
    g, h = o.split(gradient)
    dtype = jnp.result_type(*gradient.values())
    blocks = _blocks(o, terms, arrays, dtype)
    inner = blocks.inner + damping * jnp.eye(e.inside, dtype=dtype)
    border = blocks.border + damping * jnp.eye(e.rest, dtype=dtype)
    if not e.inner:
        return o.join(g, descent(border, h))
    if e.rest == 0 and e.inside == 1:
        curved = jnp.abs(inner[:, :, 0])
        return o.join(-g / jnp.where(curved > 0, curved, 1.0), h)
    if e.rest == 0:
        return o.join(jax.vmap(descent)(inner, g), h)
    return o.join(*_arrow(_Blocks(inner, blocks.side, border), g, h))


def _arrow(blocks: _Blocks, g: Array, h: Array) -> tuple[Array, Array]:
    """The direction where slices meet a border: a Cholesky factor of each slice, then one of the Schur complement."""
    corner = jnp.abs(jnp.diagonal(blocks.border))
    centre = jnp.abs(jnp.diagonal(blocks.inner, axis1=1, axis2=2))
    a = 1 / jnp.sqrt(jnp.where(centre > 0, centre, 1.0))
    b = 1 / jnp.sqrt(jnp.where(corner > 0, corner, 1.0))
    inner = a[:, :, None] * blocks.inner * a[:, None, :]
    side = a[:, :, None] * blocks.side * b
    border = b[:, None] * blocks.border * b
    g, h = a * g, b * h

    class Factors(NamedTuple):
        inner: Array
        border: Array

    def factors(shift: Array) -> Factors:
        lower = jnp.linalg.cholesky(inner + shift * jnp.eye(inner.shape[1], dtype=g.dtype))
        half = jax.vmap(lambda m, x: jax.scipy.linalg.solve_triangular(m, x, lower=True))(lower, side)
        rest = border + shift * jnp.eye(border.shape[0], dtype=g.dtype) - jnp.einsum("sir,sit->rt", half, half)
        return Factors(lower, jnp.linalg.cholesky(rest))

    # A singular matrix, as where a constant may be moved from one param to another, needs no more than rounding.
    found, _ = shifted(factors, jnp.asarray(rounding(g.dtype), g.dtype))

    def solve(right: Array) -> Array:
        each: Callable[[Array, Array], Array] = jax.vmap(lambda m, x: cho_solve((m, True), x))
        return each(found.inner, right)

    y = solve(g)
    q = -cho_solve((found.border, True), h - jnp.einsum("sir,si->r", side, y))
    p = -y - solve(jnp.einsum("sir,r->si", side, q))
    first, rest = a * p, b * q
    slope = jnp.sum(g * p) + h @ q
    usable = jnp.all(jnp.isfinite(first)) & jnp.all(jnp.isfinite(rest)) & (slope <= 0)
    return jnp.where(usable, first, -a * g), jnp.where(usable, rest, -b * h)


# --- sparse copies ----------------------------------------------------------------------------------------------------


class Sparse(NamedTuple):
    """A symmetric matrix of the flattened point: its diagonal, and entries above it as a list of coordinates."""

    diagonal: Array
    values: Array
    rows: Array
    columns: Array

    def times(self, v: Array) -> Array:
        """The product with a vector [point]."""
        product = (self.diagonal * v).at[self.rows].add(self.values * v[self.columns])
        return product.at[self.columns].add(self.values * v[self.rows])


def sparsified(
    terms: Sequence[Described], shapes: Shapes, arrays: Sequence[Array], diagonal: Array, count: int
) -> Sparse:
    """The matrix with its diagonal and its `count` largest entries above it, by absolute value; the others are dropped.

    Where the diagonal is at least the sum of what stands beside it in each row, as for the dual of optimal transport, the
    matrix stays positive semidefinite whatever is dropped.
    """
    places = list(_off_diagonal(terms, shapes, arrays))
    if not places or count == 0:
        none = jnp.zeros((0,), jnp.int32)
        return Sparse(diagonal, jnp.zeros((0,), diagonal.dtype), none, none)
    flat = [values for _, values in places]
    values = flat[0] if len(flat) == 1 else jnp.concatenate(flat)
    at = positions_of_largest(jnp.abs(values), min(count, values.size))
    rows = columns = jnp.zeros_like(at)
    first = 0
    for term, part in places:
        row, column = _position(term, shapes, jnp.clip(at - first, 0, part.size - 1))
        here = (at >= first) & (at < first + part.size)
        rows, columns = jnp.where(here, row, rows), jnp.where(here, column, columns)
        first += part.size
    return Sparse(diagonal, values[at], rows, columns)


def _off_diagonal(
    terms: Sequence[Described], shapes: Shapes, arrays: Sequence[Array]
) -> Iterator[tuple[Described, Array]]:
    """The terms with entries beside the diagonal, flattened; of symmetric blocks what is above it, the rest zero."""
    for term, array in zip(terms, arrays, strict=True):
        p, q, ties = term
        if p == q and set(ties) == {(k, k) for k in range(len(shapes[p]))}:
            continue
        values = array.ravel()
        if p == q:
            row, column = _position(term, shapes, jnp.arange(values.size))
            values = jnp.where(row < column, values, 0)
        yield term, values


def _position(term: Described, shapes: Shapes, at: Array) -> tuple[Array, Array]:
    """Row and column, in the matrix of the flattened point, of entries of the flattened array of a term."""
    p, q, ties = term
    start, _ = offsets(shapes)
    tied = {m: k for k, m in ties}
    free = [m for m in range(len(shapes[q])) if m not in tied]
    index = jnp.unravel_index(at, (*shapes[p], *(shapes[q][m] for m in free)))
    own = index[: len(shapes[p])]
    other = [own[tied[m]] if m in tied else index[len(own) + free.index(m)] for m in range(len(shapes[q]))]
    return start[p] + _ravel(own, shapes[p], at), start[q] + _ravel(other, shapes[q], at)


def _ravel(index: Sequence[Array], shape: Shape, at: Array) -> Array:
    flat = jnp.zeros_like(at)
    for i, n in zip(index, shape, strict=True):
        flat = flat * n + i
    return flat
