"""Logarithms and quotients of expectations whose logarithm is known: that of the weight of all paths of a variable.

An expectation of a product over many steps is beyond the numbers of any precision. It is exp(a) times a mean; where its logarithm
or a quotient of two of them is asked for, the exponential is not formed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Kind, Node, from_inputs


class Numbers:
    """Numbers of nodes, the same for nodes that compute the same."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.seen: dict[tuple[object, ...], int] = {}

    def of(self, x: Node) -> int:
        """The number of a node."""

        def number(node: Node) -> int:
            below = tuple(self.known[i.uid] for i in node.inputs)
            key = (node.kind, node.op, node.axes, node.dtype, node.attrs, below)
            return self.seen.setdefault(key, len(self.seen))

        return from_inputs(x, self.known, number)


def apart(tree: Tree, leaves: list[Node], totals: Collection[int]) -> Tree:
    """A logarithm or a quotient in which no exponential of a total is formed; `leaves` gets what is read instead."""
    if tree[0] == "log":
        found = _split(tree[1], leaves, totals)
        if not found[0]:
            return tree
        rest = [("log", found[1])] if found[1] != num(1.0) else []
        return _sum([*found[0], *rest])
    above, below = (_split(t, leaves, totals) for t in tree[1:])
    if not above[0] or not below[0]:
        return tree
    ratio: Tree = ("exp", ("sub", _sum(above[0]), _sum(below[0])))
    rest_above = ratio if above[1] == num(1.0) else ("mul", ratio, above[1])
    return rest_above if below[1] == num(1.0) else ("div", rest_above, below[1])


def _split(tree: Tree, leaves: list[Node], totals: Collection[int]) -> tuple[list[Tree], Tree]:
    """What stands in exponentials of totals in a product, and the other factors of it."""
    op = tree[0]
    if op == "x":
        node = leaves[tree[1]]
        while node.kind is Kind.STOP and node.op == "hold":
            node = node.inputs[0]
        if node.kind is not Kind.MAP:
            return [], tree
        count, inner = len(leaves), [*leaves, *node.inputs]
        found = _split(_shifted(node.attrs[0].tree, count), inner, totals)
        if not found[0]:
            return [], tree
        leaves[:] = inner
        return found
    if op == "exp":
        inside = tree[1]
        read = leaves[inside[1]].uid if inside[0] == "x" else None
        return ([inside], num(1.0)) if read in totals else ([], tree)
    if op == "mul":
        parts = [_split(t, leaves, totals) for t in tree[1:]]
        rest = [r for _, r in parts if r != num(1.0)]
        whole = num(1.0) if not rest else rest[0] if len(rest) == 1 else ("mul", *rest)
        return [x for e, _ in parts for x in e], whole
    if op == "div":
        exponents, rest_above = _split(tree[1], leaves, totals)
        return exponents, ("div", rest_above, tree[2])
    if op in ("neg", "real"):
        exponents, rest_above = _split(tree[1], leaves, totals)
        return exponents, (op, rest_above)
    return [], tree


def _shifted(tree: Tree, by: int) -> Tree:
    """A kernel whose slots are counted from another number on."""
    if tree[0] == "x":
        return slot(tree[1] + by)
    if tree[0] == "num":
        return tree
    return (tree[0], *(_shifted(t, by) for t in tree[1:]))


def _sum(terms: Sequence[Tree]) -> Tree:
    return terms[0] if len(terms) == 1 else ("add", *terms)
