"""Cyclic coordinate descent through one axis of a param: each element is set to its exact minimum given all others, in turn.

With the quadratic part `x'Hx/2 + g'x`, the minimum by element t depends on the others through `g[t] + sum[j](H[t, j]*x[j]) -
H[t, t]*x[t]` alone. Elements along other axes that H does not mix are moved at the same time. For the factors of a matrix this is
hierarchical alternating least squares (Cichocki and Phan 2009), for squares with `abs` the coordinate descent of the lasso.
"""

from __future__ import annotations

from vspec.compiler.calculus.loops import close
from vspec.compiler.calculus.structure.pointwise import Pointwise
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Node, Region


def swept(
    b: Builder, x: Node, matrix: Node, row: Axis, column: Axis, diagonal: Node, slope: Node, formula: Pointwise
) -> Node:
    """x after one sweep along the axis `row`.

    `matrix` is H along `row` and `column` (a copy of it) and axes of x, `slope` is g. In the formula, the node `diagonal` stands
    for the curvature and `slope` for the slope of an element.
    """
    index = b.input(row.name.split("~")[0], "index", (), "integer")
    state = b.input(x.origin.name or "x", "carry", x.axes, "real")

    def here(node: Node) -> Node:
        return b.gather(node, index, row.name)

    others = b.gather(matrix, index, column.name)
    meets = b.contract([others, state], [a for a in x.axes if a.name != row.name])
    element, curvature = here(state), here(diagonal)
    apart = ("sub", ("add", slot(0), slot(1)), ("mul", slot(2), slot(3)))
    linear = b.map(apart, [here(slope), meets, curvature, element], "real")
    fixed = {slope.uid: linear, diagonal.uid: curvature}
    new = formula.node(element, lambda n: fixed.get(n.uid) or here(n))
    hit = ("where", ("eq", slot(0), slot(1)), slot(2), slot(3))
    after = b.order(b.map(hit, [b.index(row), index, new, state], "real"), x.axes)
    captured, inside, body = close(b, [after], [state, index], guarded=False)
    region = Region(
        f"{state.attrs[0]}", row, b.size(row.dim), index, (state,), tuple(inside), tuple(body), (("final", 0),)
    )
    return b.item(b.region("scan", region, [x, *captured]), 0, x.axes, "real")
