"""Moments of a normal law between two ends, by a recursion.

With the density p of (x - mean)/scale and its ends l and r, the mean is c = p(l) - p(r). What is left of integrating by parts
gives each central moment by the two before it,

    C[k + 1] = k C[k - 1] - c C[k] + (l - c)**k p(l) - (r - c)**k p(r)

(Johnson, Kotz and Balakrishnan 1994, 13.10, have it for moments around 0, which cancel more.) An end that is infinite has the
density 0. In a tail l standard deviations away C[k] loses about 2 k log10(l) digits, of an interval h wide k log10(1/h).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Node

X, A, B = slot(0), slot(1), slot(2)
_INF = num(math.inf)
_FAR: Tree = ("neg", _INF)


def with_moments(b: Builder, arguments: Sequence[Node], most: int) -> list[Node]:
    """The arguments mean, scale, low, high of a truncated normal law; after them its mean and, in units of `scale`, its central
    moments from the second to that of the order `most`."""
    mean, scale, low, high = arguments
    left, right = (_end(b, x, mean, scale) for x in (low, high))
    # By symmetry both ends of a tail are taken to the left of the mean, where their distribution functions are exact.
    turned: Tree = ("and", ("gt", X, num(0.0)), ("gt", A, num(0.0)))
    near = b.map(("where", turned, ("neg", A), X), [left, right], "real")
    far = b.map(("where", turned, ("neg", X), A), [left, right], "real")
    below, above = (b.map(("where", _finite(X), ("log_ndtr", _inside(X)), _at(x)), [x_node], "real")
                    for x, x_node in ((-1, near), (1, far)))  # fmt: skip
    mass = b.map(("add", A, ("log1p", ("neg", ("exp", ("sub", X, A))))), [below, above], "real")
    first, last = (b.map(_DENSITY, [x, mass], "real") for x in (left, right))
    c = b.map(("sub", X, A), [first, last], "real")
    gaps = [b.map(("where", _finite(X), ("sub", _inside(X), A), num(0.0)), [x, c], "real") for x in (left, right)]
    moments: list[Node] = [b.number(1.0), b.number(0.0)]
    for k in range(1, most):
        tree: Tree = (
            "add",
            ("mul", num(float(k)), X),
            ("neg", ("mul", A, B)),
            ("mul", ("pow", slot(3), num(k)), slot(4)),
            ("neg", ("mul", ("pow", slot(5), num(k)), slot(6))),
        )
        moments.append(b.map(tree, [moments[k - 1], c, moments[k], gaps[0], first, gaps[1], last], "real"))
    centre = b.map(("add", X, ("mul", A, B)), [mean, scale, c], "real")
    return [*arguments, centre, *moments[2:]]


def _end(b: Builder, x: Node, mean: Node, scale: Node) -> Node:
    """An end in standard deviations from the mean; an infinite one is where it is, whatever these are."""
    tree: Tree = ("where", _finite(X), ("div", ("sub", _inside(X), A), B), X)
    return b.map(tree, [x, mean, scale], "real")


def _finite(x: Tree) -> Tree:
    return ("and", ("gt", x, _FAR), ("lt", x, _INF))


def _inside(x: Tree) -> Tree:
    """The end where it is finite, so that no derivative meets an infinite one."""
    return ("where", _finite(x), x, num(0.0))


def _at(side: int) -> Tree:
    """The logarithm of the distribution function at an infinite end."""
    return _FAR if side < 0 else num(0.0)


_DENSITY: Tree = (
    "where",
    _finite(X),
    ("exp", ("sub", ("sub", ("neg", ("div", ("mul", _inside(X), _inside(X)), num(2.0))), num(math.log(2 * math.pi) / 2)), A)),
    num(0.0),
)  # fmt: skip
