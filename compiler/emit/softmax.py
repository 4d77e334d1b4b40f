"""Shares `exp(x - logsumexp(x))`, in whatever formula or derivative they arise, become a node of their own for emission.

The logarithm of a sum is rounded like the largest exponent, so that shares which are made with it do not sum to 1 where
exponents are large, and overflow where XLA computes x anew, in another order of operations, for the sum and for the shares.
Passes know only the logarithm. What is written goes by the largest element instead.
"""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.emit.layout import Value
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import Text, name, sequence
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, slot
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes, replace_attrs, rewrite

OP = "softmax"


def with_softmax(graph: Graph) -> Graph:
    """The graph with a CUMULATE node `softmax` for each `exp(x - logsumexp(x))`; the same graph where there is none."""
    if not any(n.kind is Kind.REDUCE and n.op == "logsumexp" for n in all_nodes(graph)):
        return graph
    return rewrite(graph, _Shares())


class _Shares:
    """Puts shares in the place of their formulas. A logarithm of a sum gets the uid of the shares that go with it."""

    def __init__(self) -> None:
        self.made: dict[int, Node] = {}

    def __call__(self, b: Builder, node: Node, old: Node) -> Node:
        """The node with shares for each formula of shares in its kernel."""
        if node.kind is Kind.REDUCE and node.op == "logsumexp":
            (x,), over = node.inputs, node.attrs[0]
            shares = b.make(Kind.CUMULATE, OP, (x,), x.axes, "real", (over, False))
            found = replace_attrs(node, (over, *(node.attrs[1:] or ((),)), shares.uid))
            self.made[found.uid] = shares
            return found
        if node.kind is not Kind.MAP:
            return node
        inputs = list(node.inputs)
        tree = self._replaced(b, node.attrs[0].tree, inputs)
        return node if tree is node.attrs[0].tree else b.map(tree, inputs, node.dtype)

    def _replaced(self, b: Builder, tree: Tree, inputs: list[Node]) -> Tree:
        """The tree that reads shares, which join the inputs, in the place of their formula."""
        if tree[0] in ("x", "num"):
            return tree
        if tree[0] == "exp" and tree[1][0] == "sub" and tree[1][1][0] == tree[1][2][0] == "x":
            found = self._shares(b, *(inputs[t[1]] for t in tree[1][1:]))
            if found is not None:
                inputs.append(found)
                return slot(len(inputs) - 1)
        parts = [self._replaced(b, t, inputs) for t in tree[1:]]
        return tree if all(p is t for p, t in zip(parts, tree[1:], strict=True)) else (tree[0], *parts)

    def _shares(self, b: Builder, x: Node, total: Node) -> Node | None:
        """The shares exp(x - total) if `total` is the logsumexp of x, both perhaps under other names."""
        of_total = _renamed(total)
        shares = None if of_total is None else self.made.get(of_total[0].uid)
        if of_total is None or shares is None:
            return None
        reduction, outside = of_total
        inner, outer = _renamed(reduction.inputs[0]), _renamed(x)
        if inner is None or outer is None or inner[0] is not outer[0]:
            return None
        names = {inner[1][a]: outer[1][a] for a in inner[0].names}
        over = {names[a] for a in reduction.attrs[0]}
        same = all(outside[a] == here for a, here in names.items() if a not in reduction.attrs[0])
        return b.rename(shares, names) if same and not over & set(total.names) else None


def _renamed(node: Node) -> tuple[Node, Mapping[str, str]] | None:
    """The node under renames with the names that its axes have above them; None for a diagonal and what is spread."""
    names = {n: n for n in node.names}
    while node.kind is Kind.REINDEX:
        (below,) = node.inputs
        targets: tuple[str, ...] = node.attrs[0]
        if len(set(targets)) < len(targets) or len(targets) < len(node.names):
            return None
        names = {n: names[t] for n, t in zip(below.names, targets, strict=True)}
        node = below
    return node, names


def emit_softmax(scope: Scope, node: Node) -> Value:
    """`softmax(x, axis=1)`, a helper of the program."""
    operand = scope.whole(node.inputs[0])
    return Value(_call(scope, node, "softmax", operand), operand.layout)


def _call(scope: Scope, node: Node, function: str, operand: Value) -> Text:
    text = scope.array(operand, node.inputs[0].dtype)
    positions = sorted(operand.layout.index(a) for a in node.attrs[0])
    axis = str(positions[0]) if len(positions) == 1 else sequence([str(p) for p in positions])
    return name(f"{function}({text.code}, axis={axis})")


def emit_total(scope: Scope, node: Node) -> Value | None:
    """`log_total(x, axis=1)` for a logsumexp beside whose function shares of the same x are computed: XLA finds what both have
    in common. None where there are none."""
    if len(node.attrs) < 3 or not scope.uses.get(node.attrs[2]):
        return None
    operand = scope.whole(node.inputs[0])
    rest = tuple(a for a in operand.layout if a not in node.attrs[0])
    return Value(_call(scope, node, "log_total", operand), rest)
