"""The linear systems of the implicit function theorem by products with slopes instead of their matrix.

Where u = g(u, c), a system (dg/du - 1) z = -r, or the transposed one, asks for the fixed point of z -> (dg/du) z + r. The
method that found u finds it: its steps come nearer at the rate at which they did there, since the slopes are those at the
solution (Christianson 1994). Other systems are solved by a Krylov method: by conjugate gradients where the slopes are those of
a gradient, which are symmetric. The products are nodes, made by one sweep each, so that such a problem has derivatives of any
order, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vspec.compiler.calculus.closing import closed
from vspec.compiler.calculus.terms import Algebra, Term
from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Node, Role, Solve, topological
from vspec.compiler.graph.strategy import Candidate, Choice
from vspec.runtime.solvers import EXTREMES

if TYPE_CHECKING:
    from vspec.compiler.calculus.solutions import Solution

DIRECT, ITERATED, KRYLOV = "direct", "iterated", "krylov"

# Krylov methods get this many steps. Up to so many unknown numbers, their matrix is cheaper than products.
STEPS = 500
SMALL = 100

LINEAR = "linear"
"""What such a problem is called where others are a root or a fixed point."""


def systems(
    a: Algebra, solution: Solution, given: Sequence[Node], transposed: bool, direct: Sequence[Node]
) -> list[Node]:
    """The solutions of a system, by the way that is asked for or costs least.

    Args:
        a: the algebra of the sweep that asks.
        solution: whose slopes are the matrix.
        given: minus the right side, a node for each equation.
        transposed: whether it is the transposed system.
        direct: the solutions by the matrix itself.
    """
    region = solution.region
    asked = region.gradient if region.gradient in (DIRECT, ITERATED, KRYLOV) else ""
    way = asked or (ITERATED if solution.maps else KRYLOV)
    if way == DIRECT or (not asked and (_small(a, solution) or elementwise(a, solution))):
        return list(direct)
    found = by_products(a, solution, given, transposed, way)
    known = topological([*given, *solution.unknowns, *solution.equations, *solution.operands])
    costs = {way: _beyond(a, found, known), DIRECT: _beyond(a, direct, known)}
    chosen = asked or min(costs, key=lambda w: (costs[w], w))
    because = "asked for" if asked else "least cost"
    among = tuple(Candidate(name, cost) for name, cost in costs.items())
    origin = solution.node.origin
    row = Choice("system", f"derivatives of {region.name}", origin.line, chosen, among, because, origin.file)
    if row not in a.b.choices:
        a.b.choices.append(row)
    return list(direct) if chosen == DIRECT else found


def _beyond(a: Algebra, roots: Sequence[Node], known: Sequence[Node]) -> float:
    """Operations of some nodes beside those that are there anyway."""
    sizes = Sizes(a.b.dims)
    seen = {n.uid for n in known}
    return sum(flops(n, sizes) for n in topological(roots) if n.uid not in seen)


def _small(a: Algebra, solution: Solution) -> bool:
    """Whether products need not be counted: few numbers, or constraints, whose matrix is far from symmetric."""
    count = sum(Sizes(a.b.dims).count(solution.own(k)) for k in range(len(solution.unknowns)))
    return not solution.maps and (count <= SMALL or bool(solution.region.relations))


def elementwise(a: Algebra, solution: Solution) -> bool:
    """Whether each number of the only unknown is in an equation of its own: the matrix is diagonal, and division solves it."""
    from vspec.compiler.calculus.derive import tangent_terms

    if len(solution.unknowns) > 1:
        return False
    own = [x.name for x in solution.own(0)]
    _, terms, seeds = tangent_terms(a.b, (solution.maps or solution.equations)[0], solution.unknowns[0])
    return all(any({n, seeds[n].name} == set(p) for p in term.pairs) for term in terms for n in own)


def by_products(a: Algebra, solution: Solution, given: Sequence[Node], transposed: bool, way: str) -> list[Node]:
    """The solutions of a system as items of a problem: fixed points of an affine map, or what a Krylov method finds."""
    b, region = a.b, solution.region
    own = [solution.own(k) for k in range(len(given))]
    inner = {x.name for axes in own for x in axes}
    zs = [b.input(f"z_{u.attrs[0]}", "unknown", axes, "real") for u, axes in zip(region.unknowns, own, strict=True)]
    functions = solution.maps if way == ITERATED else solution.equations
    moved = _products(a, solution, functions, zs, transposed)
    body = [
        _over(a, b.map(("add", slot(0), slot(1)), [x, r], "real"), axes)
        for x, r, axes in zip(moved, given, own, strict=True)
    ]
    # The constant part of the map, or the right side.
    starts = [_over(a, r if way == ITERATED else b.neg(r), axes) for r, axes in zip(given, own, strict=True)]
    batch = list({x.name: x for n in (*body, *starts) for x in n.axes if x.name not in inner}.values())
    outer, captured, body = closed(b, body, zs, batch)
    made = Solve(
        region.name,
        LINEAR,
        tuple(zs),
        tuple(captured),
        tuple(batch),
        tuple(body),
        tuple(Role("map" if way == ITERATED else "equation", k) for k in range(len(body))),
        *_method(region, way),
        region.gradient,
    )
    node = b.region("solve", made, [*starts, *outer])
    return [b.item(node, k, (*batch, *axes), "real") for k, axes in enumerate(own)]


def _method(region: Solve, way: str) -> tuple[str, tuple[tuple[str, Any], ...], int]:
    """The method that solves a system, with its options and its greatest number of steps."""
    if way == ITERATED or region.linear:
        return region.method, region.options, region.steps
    symmetric = region.op in EXTREMES and not region.relations
    return "cg" if symmetric else "bicgstab", (("tol", dict(region.options)["tol"]),), STEPS


def _products(
    a: Algebra, solution: Solution, functions: Sequence[Node], zs: Sequence[Node], transposed: bool
) -> list[Node]:
    """The slopes of maps or equations at the solution, transposed or not, times vectors."""
    from vspec.compiler.calculus.sweeps import depends, forward, reverse, see

    xs = solution.unknowns
    nodes = depends(functions, xs, {n.uid for n in solution.operands})
    see(a, (*nodes, *zs))
    if transposed:
        seeds: dict[int, list[Term]] = {}
        for g, z in zip(functions, zs, strict=True):
            seeds.setdefault(g.uid, []).append(Term(z))
        swept = reverse(a, seeds, xs, nodes)
        found = [swept[x.uid].collect(a.b) if x.uid in swept else [] for x in xs]
    else:
        tangents = forward(a, {x.uid: [Term(z)] for x, z in zip(xs, zs, strict=True)}, nodes)
        found = [tangents.get(g.uid, []) for g in functions]
    result = []
    for terms in found:
        settled = [a.settle(t).node for t in terms]
        result.append(a.b.add(settled) if settled else a.b.number(0.0))
    return result


def _over(a: Algebra, x: Node, axes: Sequence[Axis]) -> Node:
    return a.spread(x, [axis.name for axis in axes])
