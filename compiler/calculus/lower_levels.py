"""What a method for least values under constraints asks for: gaps, multipliers, and the Lagrangian with its slopes."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.calculus.derive import derivative
from vspec.compiler.calculus.lagrangian import lagrangian
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.node import Axis, Node, Role
from vspec.compiler.language.expr import Problem


def multiplier(b: Builder, c: Node, k: int, problem: Problem) -> Node:
    """The unknown multiplier of constraint number `k`: one for each value of the indices of its gap, but for the batch's."""
    label = "multiplier" if len(problem.relations) == 1 else f"multiplier_{k + 1}"
    return b.input(label, "unknown", [a for a in c.axes if a.name not in problem.batch], "real")


def constrained(
    b: Builder,
    op: str,
    value: Node,
    gaps: Sequence[Node],
    unknowns: Sequence[Node],
    multipliers: Sequence[Node],
) -> tuple[list[Role], list[Node]]:
    """The value, the gradient of the Lagrangian, the gaps, and the slopes of these two by the unknowns."""
    whole = lagrangian(b, op, value, gaps, multipliers, [m.names for m in multipliers])
    equations = [derivative(b, whole, x, x.axes) for x in unknowns]
    count = len(unknowns)
    roles = [Role("value"), *(Role("equation", k) for k in range(count))]
    roles += [Role("gap", count + k) for k in range(len(gaps))]
    found = [value, *equations, *gaps]
    for k, f in enumerate((*equations, *gaps)):
        for j, x in enumerate(unknowns):
            letters = [Axis(b.fresh(a.name), a.dim) for a in x.axes]
            roles.append(Role("slope", k, j, tuple(a.name for a in letters)))
            found.append(derivative(b, f, x, letters))
    return roles, found
