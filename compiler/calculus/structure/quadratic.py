"""A quadratic form of some params, `x'Hx/2 + g'x`, read off the graph with the structure of H: which axes it is diagonal along.

H comes as terms with deltas (`terms.py`). A delta in every term between an axis of x and its copy says that the problem falls
apart along that axis: where all axes do, H is diagonal and the minimum a quotient; otherwise the axes that are left make one
matrix per element of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vspec.compiler.calculus.derive import gradients, tangent_terms
from vspec.compiler.calculus.structure.zero import at_zero
from vspec.compiler.calculus.terms import Algebra, Term, pair
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.concat import joint_axis
from vspec.compiler.graph.node import Axis, Node


@dataclass(frozen=True, slots=True)
class Block:
    """d2/(dx dy): terms over the axes of x and copies of those of y; `copies` maps each axis of y to its copy."""

    algebra: Algebra
    terms: tuple[Term, ...]
    copies: dict[str, Axis]


@dataclass(frozen=True, slots=True)
class Quadratic:
    """A quadratic form: the params, the gradient at zero of each (with its axes), and the blocks of H by position."""

    xs: tuple[Node, ...]
    slopes: tuple[Node, ...]
    blocks: dict[tuple[int, int], Block] = field(default_factory=dict)

    def apart(self, k: int) -> bool:
        """Whether no other param meets this one."""
        return not any(block.terms for (p, q), block in self.blocks.items() if p != q and k in (p, q))

    @property
    def shared(self) -> tuple[str, ...]:
        """The axes that all params have and along which every block is diagonal."""
        names = [n for n in self.xs[0].names if all(n in x.names for x in self.xs)]

        def holds(name: str, where: tuple[int, int]) -> bool:
            block = self.blocks[where]
            return all(pair(name, block.copies[name].name) in t.pairs for t in block.terms)

        return tuple(n for n in names if all(holds(n, where) for where in self.blocks))

    def paired(self, k: int) -> tuple[str, ...]:
        """The axes of a param along which its own block is diagonal."""
        block, names = self.blocks[k, k], self.xs[k].names
        return tuple(n for n in names if all(pair(n, block.copies[n].name) in t.pairs for t in block.terms))

    def diagonal(self, b: Builder, k: int) -> Node | None:
        """The diagonal of a param's block where it is one, with (a subset of) its axes; None where it is not."""
        if self.paired(k) != self.xs[k].names:
            return None
        return self._matrix(b, (k, k), self.xs[k].names)

    def matrix(self, b: Builder, p: int, q: int, shared: Sequence[str]) -> tuple[Node, dict[str, Axis]]:
        """A block with the axes `shared` read along its diagonal, and the copies of the other axes of q."""
        block = self.blocks[p, q]
        return self._matrix(b, (p, q), shared), {n: c for n, c in block.copies.items() if n not in shared}

    def _matrix(self, b: Builder, where: tuple[int, int], shared: Sequence[str]) -> Node:
        block = self.blocks[where]
        names = {block.copies[n].name: n for n in shared}
        a = block.algebra
        done = [a.settle(a.rename(t, names)).node for t in block.terms]
        return b.add(done) if done else b.number(0.0)


def quadratic(b: Builder, value: Node, xs: Sequence[Node]) -> Quadratic:
    """The quadratic form that a scalar is in some params, of degree 2 at most in all of them together."""
    grown = gradients(b, value, xs)
    blocks: dict[tuple[int, int], Block] = {}
    for p, slope in enumerate(grown):
        for q in range(p, len(xs)):
            algebra, terms, copies = tangent_terms(b, slope, xs[q])
            # H is constant, so that it may be read at zero, which takes out what only looks as if it moved.
            constant = [Term(at_zero(b, t.node, xs), t.pairs) for t in terms]
            blocks[p, q] = Block(algebra, tuple(t for t in constant if not _zero(t.node)), copies)
    slopes = tuple(at_zero(b, g, xs) for g in grown)
    return Quadratic(tuple(xs), slopes, blocks)


def _zero(x: Node) -> bool:
    while x.kind == "reindex":
        (x,) = x.inputs
    return is_number(x, 0)


def solved(b: Builder, form: Quadratic) -> list[Node]:
    """The minimum of a positive definite form: one node per param, with its axes.

    Along axes that all params share and no term mixes, the systems are solved one by one, in a batch. Where H is not positive
    definite the result is not a number.
    """
    shared = form.shared
    cores = [[a for a in x.axes if a.name not in shared] for x in form.xs]
    if len(form.xs) == 1 and len(cores[0]) == 1:
        (axis,) = cores[0]
        matrix, copies = form.matrix(b, 0, 0, shared)
        return [b.order(_cholesky(b, matrix, form.slopes[0], axis, copies[axis.name]), form.xs[0].axes)]
    row, column = joint_axis(b, cores, "r"), joint_axis(b, cores, "r")
    copied = [{n: Axis(b.fresh(n), a.dim) for n, a in ((a.name, a) for a in core)} for core in cores]
    rows = []
    for p in range(len(form.xs)):
        parts = [_entry(b, form, p, q, shared, copied[q]) for q in range(len(form.xs))]
        rows.append(b.stack(parts, [list(c.values()) for c in copied], column))
    matrix = b.stack(rows, cores, row)
    right = b.stack(list(form.slopes), cores, row)
    whole = _cholesky(b, matrix, right, row, column)
    return [b.order(b.part(whole, row.name, cores, k), x.axes) for k, x in enumerate(form.xs)]


def _entry(b: Builder, form: Quadratic, p: int, q: int, shared: Sequence[str], copied: dict[str, Axis]) -> Node:
    """Block p, q over the core axes of p and the given copies of those of q."""
    if p <= q:
        node, copies = form.matrix(b, p, q, shared)
        return b.rename(node, {copies[n].name: new.name for n, new in copied.items()})
    node, copies = form.matrix(b, q, p, shared)
    own = {copies[a.name].name: a.name for a in form.xs[p].axes if a.name not in shared}
    # Names of p and of q may be the same letters: both change at once.
    return b.rename(node, {**{n: new.name for n, new in copied.items()}, **own})


def _cholesky(b: Builder, matrix: Node, slope: Node, row: Axis, column: Axis) -> Node:
    """x with `sum over column of matrix * x = -slope`, by the Cholesky factor; along `row`."""
    middle = Axis(b.fresh(row.name), row.dim)
    factor = b.linalg("cholesky", [matrix], ((row.name, column.name),), [row, middle])
    half = b.linalg("triangular_solve", [factor, b.neg(slope)], ((row.name, middle.name), (row.name,)), [middle])
    return b.linalg("triangular_solve_t", [factor, half], ((row.name, middle.name), (middle.name,)), [row])
