"""Derivatives of linear algebra, in named axes (Giles 2008; Murray 2016 for the Cholesky factor)."""

from __future__ import annotations

from vspec.compiler.calculus.terms import Algebra
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Node


def lower(a: Algebra, x: Node, rows: str, columns: str, diagonal: float = 1.0) -> Node:
    """The lower triangle of x[rows, columns], its diagonal scaled."""
    b = a.b
    r, c = b.index(a.axis(rows)), b.index(a.axis(columns))
    if diagonal == 1.0:
        return b.map(("where", ("ge", slot(1), slot(2)), slot(0), num(0.0)), [x, r, c], "real")
    inner = ("where", ("gt", slot(1), slot(2)), slot(0), num(0.0))
    on = ("mul", num(diagonal), slot(0))
    return b.map(("where", ("eq", slot(1), slot(2)), on, inner), [x, r, c], "real")


def inverse_transposed(a: Algebra, node: Node) -> Node:
    """The inverse of the operand of a `logdet` or `det`, named so that it meets the operand elementwise, transposed."""
    ((rows, columns),) = node.attrs[0]
    return a.b.linalg("inv", [node.inputs[0]], ((rows, columns),), [a.axis(columns), a.axis(rows)])


def product(a: Algebra, left: Node, right: Node, over: str) -> Node:
    """The matrix product over one axis: a contraction from the start, since as a map it would have all axes at once."""
    axes = {x.name: x for n in (left, right) for x in n.axes if x.name != over}
    return a.b.contract([left, right], tuple(axes.values()))


def _copies(a: Algebra, v: Node, first: str, second: str) -> tuple[Axis, Axis]:
    return a.fresh(v.axis(first)), a.fresh(v.axis(second))


def inverse_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """V = inv(A), named V[c, r]: A_bar[p, q] = - sum over c, r of V[c, p] V_bar[c, r] V[q, r]."""
    b = a.b
    columns, rows = node.attrs[1]
    q, p = _copies(a, node, columns, rows)
    left = b.rename(node, {rows: p.name})
    right = b.rename(node, {columns: q.name})
    whole = product(a, product(a, left, bar, columns), right, rows)
    return b.neg(b.rename(whole, {p.name: rows, q.name: columns}))


def inverse_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """V = inv(A): V_dot[c, r] = - sum over p, q of V[c, p] A_dot[p, q] V[q, r]."""
    b = a.b
    columns, rows = node.attrs[1]
    q, p = _copies(a, node, columns, rows)
    middle = b.rename(dot, {rows: p.name, columns: q.name})
    left = b.rename(node, {rows: p.name})
    right = b.rename(node, {columns: q.name})
    return b.neg(product(a, product(a, left, middle, p.name), right, q.name))


def cholesky_pullback(a: Algebra, node: Node, bar: Node) -> Node:
    """L = cholesky(A): A_bar = sym(L^-T phi(L^T L_bar) L^-1), phi the lower triangle with halved diagonal."""
    b = a.b
    rows, columns = node.attrs[1]
    k, m = a.fresh(a.axis(columns)), a.fresh(a.axis(columns))
    left = b.rename(node, {columns: k.name})
    right = b.rename(bar, {columns: m.name})
    phi = lower(a, product(a, left, right, rows), k.name, m.name, 0.5)
    first = a.fresh(a.axis(rows))
    half = b.linalg(
        "triangular_solve_t",
        [b.rename(node, {rows: first.name, columns: k.name}), phi],
        ((first.name, k.name), (k.name,)),
        [first],
    )
    second = a.fresh(a.axis(rows))
    full = b.linalg(
        "triangular_solve_t",
        [b.rename(node, {rows: second.name, columns: m.name}), half],
        ((second.name, m.name), (m.name,)),
        [second],
    )
    one = b.rename(full, {first.name: rows, second.name: columns})
    other = b.rename(full, {first.name: columns, second.name: rows})
    return b.map(("mul", num(0.5), ("add", slot(0), slot(1))), [one, other], "real")


def cholesky_pushforward(a: Algebra, node: Node, dot: Node) -> Node:
    """L = cholesky(A): L_dot = L phi(L^-1 sym(A_dot) L^-T)."""
    b = a.b
    rows, columns = node.attrs[1]
    mirrored = b.rename(dot, {rows: columns, columns: rows})
    even = b.map(("mul", num(0.5), ("add", slot(0), slot(1))), [dot, mirrored], "real")
    k, m = a.fresh(a.axis(columns)), a.fresh(a.axis(columns))
    left = b.rename(node, {columns: k.name})
    half = b.linalg("triangular_solve", [left, even], ((rows, k.name), (rows,)), [k])
    right = b.rename(node, {rows: columns, columns: m.name})
    full = b.linalg("triangular_solve", [right, half], ((columns, m.name), (columns,)), [m])
    phi = lower(a, full, k.name, m.name, 0.5)
    return b.rename(product(a, left, phi, k.name), {m.name: columns})
