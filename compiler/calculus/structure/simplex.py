"""The minimum of a sum of functions of one element each, where the elements are not negative and sum to one.

With a multiplier for the sum, each element solves `f'(u) + nu = 0`. For `-a*log(u)` that makes the shares `a/sum(a)`; for
`t*u*log(u) + c*u`, with one t for all, the softmax of `-c/t`. Terms that are linear with one slope for all change nothing.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from vspec.compiler.calculus.structure.forms import NoFormError, Table
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Node


def on_simplex(table: Table, function: Any, slope: Any, x: Node, over: tuple[str, ...]) -> Node:
    """The minimum of the function plus `slope*u` over the simplex along the axes `over` of x. Raises NoFormError."""
    b, u = table.b, table.u
    derivative = sp.expand(sp.expand_log(sp.diff(function, u)) + slope)
    z, y = sp.Symbol("z", real=True), sp.Symbol("y", real=True)
    form = sp.expand(derivative.xreplace({sp.log(u): z, 1 / u: y}))
    if u in form.free_symbols:
        raise NoFormError("on a simplex, its terms must be logarithms, or entropies and linear ones")
    logs, poles = sp.expand(form).coeff(z), sp.expand(form).coeff(y)
    rest = sp.expand(form - logs * z - poles * y)
    if rest.free_symbols & {z, y} or (logs != 0 and poles != 0) or (logs == 0 and poles == 0):
        raise NoFormError("on a simplex, its terms must be logarithms, or entropies and linear ones")
    dims = {a.name: a.dim for a in x.axes}
    if poles != 0:
        if _varies(table, rest, over):
            raise NoFormError("on a simplex, logarithms and linear terms together have no closed form")
        weight = b.order(table.node(sp.cancel(-poles)), x.axes)
        total = b.reduce("sum", weight, over, dims)
        return b.map(("div", slot(0), slot(1)), [weight, total], "real")
    if _varies(table, logs, over):
        raise NoFormError("on a simplex, the entropies must have one weight")
    score = b.order(table.node(sp.cancel(-rest / logs)), x.axes)
    total = b.reduce("logsumexp", score, over, dims)
    return b.map(("exp", ("sub", slot(0), slot(1))), [score, total], "real")


def _varies(table: Table, expr: Any, over: tuple[str, ...]) -> bool:
    """Whether an expression differs along some axes, as far as its operands have them."""
    for symbol in expr.free_symbols:
        node = table.nodes[int(symbol.name[1:])]
        if node is not None and set(node.names) & set(over) and not _broadcast(node, over):
            return True
    return False


def _broadcast(node: Node, over: tuple[str, ...]) -> bool:
    """Whether a node only has these axes because it was spread along them."""
    while node.kind == "reindex":
        (x,) = node.inputs
        node = x
    return not set(node.names) & set(over)
