"""Exponents that are divided by a number are multiplied by its reciprocal.

A logarithm of a sum of exponentials reads its exponents twice, for the largest and for the sum. XLA computes what is cheap once
more for each reader and never writes it out, but it takes no division for cheap: `(f[n] - C[n, m])/eps` would be an array of
its own, written and read twice. The number is divided by once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, num, slot, slots
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes, rewrite

DOC = (
    "No array of exponents that a logarithm of a sum reads is divided by a number: it is multiplied by its reciprocal."
)


def run(graph: Graph) -> Graph:
    """The graph with products in the place of such quotients; the same graph where there are none."""
    exponents = {x.uid for n in all_nodes(graph) if n.kind is Kind.REDUCE and n.op == "logsumexp" for x in _below(n)}
    return rewrite(graph, _Visit(exponents)) if exponents else graph


def _below(node: Node) -> Sequence[Node]:
    """The exponents of a logarithm of a sum, as they are called below renames."""
    (x,) = node.inputs
    while x.kind is Kind.REINDEX:
        (x,) = x.inputs
    return (x,) if x.kind is Kind.MAP and len(x.axes) > 1 else ()


class _Visit:
    """The rewriting of exponents, which are known by their uids."""

    def __init__(self, exponents: Collection[int]) -> None:
        self.exponents = exponents

    def __call__(self, b: Builder, node: Node, old: Node) -> Node:
        if old.uid not in self.exponents or node.kind is not Kind.MAP:
            return node
        inputs = list(node.inputs)
        tree = _multiplied(b, node.attrs[0].tree, inputs)
        return node if tree is node.attrs[0].tree else b.map(tree, inputs, node.dtype)


def _multiplied(b: Builder, tree: Tree, inputs: list[Node]) -> Tree:
    """The tree with a product for each quotient of an array and a number; reciprocals join the inputs."""
    if tree[0] in ("x", "num"):
        return tree
    parts = [_multiplied(b, t, inputs) for t in tree[1:]]
    if tree[0] == "div":
        above, below = (slots(t) for t in parts)
        if below and not any(inputs[k].axes for k in below) and any(inputs[k].axes for k in above):
            inputs.append(b.map(("div", num(1), parts[1]), inputs))
            return ("mul", parts[0], slot(len(inputs) - 1))
    return tree if all(p is t for p, t in zip(parts, tree[1:], strict=True)) else (tree[0], *parts)


__all__ = ["DOC", "run"]
