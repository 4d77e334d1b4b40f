"""Draws of vectors: each as a function of standard draws and of the law's arguments, through which derivatives can flow.

The arguments have the axis of the vector under the name that the draw has for it; other whole axes are those of `Standard.core`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node

if TYPE_CHECKING:
    from vspec.compiler.calculus.draws import Standard

X, A, B = slot(0), slot(1), slot(2)
LOWER: Tree = ("where", ("ge", A, B), X, num(0.0))


def _lane(s: Standard, x: Node) -> Axis:
    """The other whole axis of an argument."""
    return next(a for a in x.axes if a.name in s.core)


def _times(s: Standard, matrix: Node, z: Node, name: str) -> Node:
    """The product of a matrix with a vector over its other axis."""
    product = s.b.mul([matrix, z])
    return s.b.reduce("sum", product, [name])


def _by_cholesky(s: Standard, mean: Node, factor: Node) -> Node:
    """mean + L z for a standard normal z. Of L what is above the diagonal is not read, as where it is solved with."""
    (row,), column = s.event, _lane(s, factor)
    b = s.b
    z = b.rename(s.draw("normal"), {row: column.name})
    lower = b.map(LOWER, [factor, b.index(factor.axis(row)), b.index(column)], "real")
    return b.add([mean, _times(s, lower, z, column.name)])


def _by_cov(s: Standard, mean: Node, cov: Node) -> Node:
    """The same with the Cholesky factor L of the covariance."""
    (row,), column = s.event, _lane(s, cov)
    core = (row, column.name)
    factor = s.b.linalg("cholesky", [cov], [core], [cov.axis(row), column])
    z = s.b.rename(s.draw("normal"), {row: column.name})
    return s.b.add([mean, _times(s, factor, z, column.name)])


def _by_precision(s: Standard, mean: Node, precision: Node) -> Node:
    """mean + x with L' x = z, L the Cholesky factor of the precision: the covariance of x is the inverse of L L'."""
    (row,), column = s.event, _lane(s, precision)
    core = (row, column.name)
    factor = s.b.linalg("cholesky", [precision], [core], [precision.axis(row), column])
    z = s.b.rename(s.draw("normal"), {row: column.name})
    away = s.b.linalg("triangular_solve_t", [factor, z], [core, (column.name,)], [precision.axis(row)])
    return s.b.add([mean, away])


def _by_factor(s: Standard, mean: Node, factor: Node, scale: Node) -> Node:
    """mean + scale z + factor w for independent standard normal z and w, w as long as the factor has columns."""
    (row,), column = s.event, _lane(s, factor)
    own = s.b.map(("mul", X, A), [scale, s.draw("normal")], "real")
    more = s.apart()
    more.axes = tuple(column if a.name == row else a for a in more.axes)
    return s.b.add([mean, own, _times(s, factor, more.draw("normal"), column.name)])


def shares(s: Standard, gamma: Node, alpha: Node) -> Node:
    """The shares of gamma variables of the shapes alpha in their sum, from gamma variables of the shapes alpha + 1.

    g u**(1/alpha) has the shape alpha for a uniform u (Marsaglia and Tsang 2000). By logarithms, none of them is too small to
    be told from 0 where alpha is small.
    """
    (row,) = s.event
    b = s.b
    log = b.map(("sub", ("log", X), ("div", A, B)), [gamma, s.apart().draw("exponential"), alpha], "real")
    # The largest is a factor of all of them, so that shares do not change with it.
    part = b.map(("exp", ("sub", X, A)), [log, b.stop(b.reduce("max", log, [row]))], "real")
    return b.map(("div", X, A), [part, b.reduce("sum", part, [row])], "real")


def _dirichlet(s: Standard, alpha: Node) -> Node:
    shape = s.b.map(("add", X, num(1.0)), [alpha], "real")
    return shares(s, s.draw("gamma", shape), alpha)


RULES: Mapping[str, Callable[..., Node]] = {
    "dirichlet": _dirichlet,
    "multivariate_normal": _by_cov,
    "multivariate_normal.cholesky": _by_cholesky,
    "multivariate_normal.precision": _by_precision,
    "multivariate_normal.factor": _by_factor,
}
