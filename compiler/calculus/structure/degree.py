"""How nodes depend on some of the inputs: not at all, affinely, as polynomials of degree two, or in any other way.

The degree is read off the form: `x*x`, `square(A x - b)` and `sum[i](x[i]*y[i])` of two of the inputs have degree 2,
`exp(x)`, `abs(x)` and `x**3` have none. What has degree 2 or less has a Hessian that does not depend on the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from vspec.compiler.graph.call import depends, linear
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Kind, Node, topological

# A degree of None means: no polynomial of degree two or less, as far as the form tells.
Degree = int | None
MOST = 2


class Degrees:
    """The degrees of nodes in some inputs, each found once. A value that derivatives do not reach but that depends on the
    inputs (`stop(x)`, a position) has no degree."""

    def __init__(self, xs: Iterable[Node]) -> None:
        self.found: dict[int, Degree] = {x.uid: 1 for x in xs}

    def of(self, node: Node) -> Degree:
        """The degree of a node; 0 where it does not depend on the inputs."""
        if node.uid not in self.found:
            for n in topological([node]):
                if n.uid not in self.found:
                    self.found[n.uid] = self._one(n)
        return self.found[node.uid]

    def depends(self, node: Node) -> bool:
        """Whether a node depends on the inputs."""
        return self.of(node) != 0

    def within(self, node: Node, tree: Tree) -> Degree:
        """The degree of a part of the kernel of a map."""
        return _kernel(tree, [self.of(x) for x in node.inputs])

    def _one(self, node: Node) -> Degree:
        below = [self.found[x.uid] for x in node.inputs]
        if all(d == 0 for d in below):
            return 0
        if node.kind is Kind.MAP:
            return _kernel(node.attrs[0].tree, below)
        rule = RULES.get(node.kind)
        return rule(node, below) if rule is not None else None


def _largest(degrees: Sequence[Degree]) -> Degree:
    found = [d for d in degrees if d is not None]
    return max(found, default=0) if len(found) == len(degrees) else None


def _product(degrees: Sequence[Degree]) -> Degree:
    if any(d is None for d in degrees):
        return None
    total = sum(d for d in degrees if d is not None)
    return total if total <= MOST else None


def _kernel(tree: Tree, slots: Sequence[Degree]) -> Degree:
    op = tree[0]
    if op == "x":
        return slots[tree[1]]
    if op == "num":
        return 0
    below = [_kernel(c, slots) for c in tree[1:]]
    if all(d == 0 for d in below):
        return 0
    if op in ("add", "sub", "neg", "real"):
        return _largest(below)
    if op == "mul":
        return _product(below)
    if op == "square":
        return _product(below * 2)
    if op == "div":
        return below[0] if below[1] == 0 else None
    if op == "pow":
        exponent = tree[2]
        if exponent[0] == "num" and exponent[1] in (1, 2):
            return _product([below[0]] * int(exponent[1]))
        return None
    if op == "where":
        return _largest(below[1:]) if below[0] == 0 else None
    return None


def _sum(node: Node, below: Sequence[Degree]) -> Degree:
    return below[0] if node.op == "sum" else None


def _contract(node: Node, below: Sequence[Degree]) -> Degree:
    return _product(below)


def _moved(node: Node, below: Sequence[Degree]) -> Degree:
    return _largest(below)


def _indexed(node: Node, below: Sequence[Degree]) -> Degree:
    return below[0] if all(d == 0 for d in below[1:]) else None


def _cumulate(node: Node, below: Sequence[Degree]) -> Degree:
    if node.op == "sum":
        return below[0]
    return below[1] if node.op == "linear" and below[0] == 0 else None


def _linalg(node: Node, below: Sequence[Degree]) -> Degree:
    solves = node.op in ("solve", "triangular_solve", "triangular_solve_t", "convolve", "deconvolve")
    return below[1] if solves and below[0] == 0 else None


def _call(node: Node, below: Sequence[Degree]) -> Degree:
    function, count = node.attrs[2], len(below)
    moving = [k for k, d in enumerate(below) if d != 0 and depends(function, k, count)]
    return _product([below[k] for k in moving]) if all(linear(function, k, count) for k in moving) else None


def _hold(node: Node, below: Sequence[Degree]) -> Degree:
    return below[0] if node.op == "hold" else None


RULES: Mapping[Kind, Callable[[Node, Sequence[Degree]], Degree]] = {
    Kind.REDUCE: _sum,
    Kind.CONTRACT: _contract,
    Kind.REINDEX: _moved,
    Kind.WINDOW: _moved,
    Kind.CONCAT: _moved,
    Kind.GATHER: _indexed,
    Kind.SCATTER: _indexed,
    Kind.CUMULATE: _cumulate,
    Kind.LINALG: _linalg,
    Kind.CALL: _call,
    Kind.STOP: _hold,
}
