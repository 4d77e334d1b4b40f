"""Derivatives of the matrix exponential, by exponentials of matrices of twice the size (Mathias 1996).

The exponential of the block matrix `[[A, E], [0, A]]` holds in its upper right block the derivative of the exponential
at A in the direction E. The blocks are interleaved here: entry (i, j) of block (p, q) stands at (2*i + p, 2*j + q), which
is the same matrix with its rows and columns reordered and needs no size in numbers. Building it takes scatters and
windows, which have rules of their own, so that derivatives go to any order.
"""

from __future__ import annotations

from vspec.compiler.calculus.terms import Algebra
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Node


def _doubled(a: Algebra, axis: Axis) -> tuple[Axis, Axis]:
    """Two axes of twice the size of `axis`, over a dim of their own."""
    b, dim = a.b, f"{axis.dim}~twice"
    if dim not in b.dims:
        known = b.dims.get(axis.dim)
        b.dims[dim] = 2 * known if isinstance(known, int) else b.map(("mul", num(2), slot(0)), [b.size(axis.dim)])
    return a.fresh(Axis(axis.name, dim)), a.fresh(Axis(axis.name, dim))


def frechet(a: Algebra, x: Node, direction: Node, rows: str, columns: str) -> Node:
    """The derivative of the exponential of x[rows, columns] in a direction with the same axes, batched over all others."""
    b = a.b
    p, q = _doubled(a, a.axis(rows))

    def placed(block: Node, row: int, column: int) -> Node:
        return b.scatter_affine(b.scatter_affine(block, rows, p, 2, row), columns, q, 2, column)

    # The derivative is linear in the direction: one of size 1 keeps the exponential from scaling for its sake.
    largest = b.reduce("max", b.map(("abs", slot(0)), [direction], "real"), [rows, columns], a.dims)
    scale = b.stop(b.map(("where", ("gt", slot(0), num(0)), slot(0), num(1.0)), [largest], "real"))
    unit = b.map(("div", slot(0), slot(1)), [direction, scale], "real")
    whole = b.add([placed(x, 0, 0), placed(x, 1, 1), placed(unit, 0, 1)])
    both = b.linalg("expm", [whole], ((p.name, q.name),), [p, q])
    block = b.window(b.window(both, p.name, a.axis(rows), 2, 0), q.name, a.axis(columns), 2, 1)
    return b.mul([scale, block])


def exponential_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """X = expm(A): A_bar is the derivative of the exponential at A' in the direction X_bar."""
    ((rows, columns),) = node.attrs[0]
    x = a.b.rename(node.inputs[0], {rows: columns, columns: rows})
    return frechet(a, x, bar, rows, columns)


def exponential_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """X = expm(A): X_dot is the derivative of the exponential at A in the direction A_dot."""
    ((rows, columns),) = node.attrs[0]
    return frechet(a, node.inputs[0], dot, rows, columns)
