"""Kernels taken apart before they are differentiated: what has fewer axes than the whole becomes a node of its own.

Lowering makes one kernel of a whole pointwise formula, `V[a, b]*tanh(z[n, a])` over n, a and b. Its derivative by z would be
evaluated for every b; as a product with a node over n and a it is a sum over b first, and the slope of tanh is taken once.
"""

from __future__ import annotations

from collections.abc import Collection

from vspec.compiler.calculus.scalar import EXPENSIVE
from vspec.compiler.graph.builder import Builder, tree_dtype
from vspec.compiler.graph.cost import TRANSCENDENTAL, kernel_flops
from vspec.compiler.graph.kernel import Tree, slot, slots
from vspec.compiler.graph.node import Kind, Node


def apart(b: Builder, node: Node, varying: Collection[int], functions: bool = False) -> tuple[Node, list[Node]]:
    """A node of the same value as a map, and the parts that it reads which are new, inputs before readers.

    A part evaluates something that costs about a transcendental function, reads a slot among `varying`, and has fewer axes than
    the map; with `functions`, expensive functions of any axes are parts, too. The map itself if there is nothing to take apart.
    """
    tree = node.attrs[0].tree
    if node.kind is not Kind.MAP or tree[0] in ("x", "num", "where"):
        return node, []
    dtypes = [x.dtype for x in node.inputs]
    names = [frozenset(x.names) for x in node.inputs]
    own = frozenset(node.names)
    operands, parts = list(node.inputs), list[Node]()

    def split(t: Tree) -> Tree:
        # What stands in a branch stays there: it may be infinite where the other branch is taken.
        if t[0] in ("x", "num", "where"):
            return t
        read = slots(t)
        fewer = frozenset[str]().union(*(names[k] for k in read)) < own and kernel_flops(t) >= TRANSCENDENTAL
        wanted = fewer or (functions and t[0] in EXPENSIVE and t[0] not in ("div", "pow"))
        if not wanted or not any(k in varying for k in read) or tree_dtype(t, dtypes) != "real":
            return (t[0], *map(split, t[1:]))
        part = b.map(t, node.inputs, "real")
        inner = [k for k, x in enumerate(part.inputs) if any(x is node.inputs[v] for v in varying)]
        whole, more = apart(b, part, inner, functions) if part.kind is Kind.MAP else (part, [])
        parts.extend((*more, whole))
        operands.append(whole)
        return slot(len(operands) - 1)

    made = (tree[0], *map(split, tree[1:]))
    return (b.map(made, operands, node.dtype), parts) if parts else (node, [])
