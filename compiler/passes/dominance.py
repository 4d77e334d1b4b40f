"""Whether a diagonal is at least as large as the sum of what stands beside it, proved from the form of the entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num
from vspec.compiler.graph.node import Node
from vspec.compiler.graph.sign import DEPTH, NOTHING, Known, Sign, sign
from vspec.compiler.passes.definite import alike
from vspec.compiler.passes.patterns import Scope, Term, factors, number_of, product, same, terms


def dominates(b: Builder, diagonal: Node, beside: Sequence[Node], known: Known = NOTHING) -> bool:
    """Whether diagonal - sum of |beside| is surely not negative."""
    scope = _Scope(b, ())
    left = [*_opened(scope, diagonal)]
    for x in beside:
        for s, t in _opened(scope, x):
            value, rest = number_of(factors(t))
            inside = product(rest)
            positive = not rest or sign(inside, scope.inputs, DEPTH, known) > Sign.UNKNOWN
            left += [(-1, product([(num(abs(value * s)), 1), (inside if positive else ("abs", inside), 1)]))]
    found: list[tuple[Any, Tree]] = []
    for s, t in left:
        value, rest = number_of(factors(t))
        tree = product(rest) if rest else num(1)
        at = next((k for k, (_, u) in enumerate(found) if same(u, tree)), None)
        if at is None:
            found.append((s * value, tree))
        else:
            found[at] = (found[at][0] + s * value, tree)
    return all(v == 0 or (v > 0 and sign(t, scope.inputs, DEPTH, known) > Sign.UNKNOWN) for v, t in found)


class _Scope(Scope):
    """A scope in which operands with the same values share a slot."""

    def slot(self, node: Node) -> Tree:
        """The slot of an operand, that of one like it if there is one."""
        same_axes = (x for x in self.inputs if {*x.names} == {*node.names})
        found = next((x for x in same_axes if alike(x, node, {n: n for n in x.names})), node)
        return super().slot(found)


def _opened(scope: _Scope, x: Node) -> list[Term]:
    """The signed terms of a node."""
    return [(s, scope.view(t)) for s, t in terms(scope.view(scope.slot(x)))]
