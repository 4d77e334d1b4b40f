"""Nodes read as sums of products: `expand` looks through maps, reductions, contractions and renames down to the factors.

Axis names are those of the outermost node; axes that are summed keep their names unless something else has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.rewrite import with_inputs
from vspec.compiler.passes.common import factored
from vspec.compiler.passes.patterns import factors, number_of, powered

# The systems whose solution is linear in the right side, their second operand.
SOLVES = frozenset({"solve", "solve_pd", "solve_tried", "triangular_solve", "triangular_solve_t"})

Through = Callable[[Node], bool]


@dataclass(slots=True)
class Product:
    """`value` times the product of the factors, summed over the axes `bound`."""

    value: Any = 1
    factors: list[Node] = field(default_factory=list)
    bound: dict[str, Axis] = field(default_factory=dict)

    def copy(self) -> Product:
        """A product of its own."""
        return Product(self.value, list(self.factors), dict(self.bound))


class Expansion:
    """Expands one node; `through` says which nodes below it are looked through."""

    def __init__(self, b: Builder, through: Through) -> None:
        self.b = b
        self.through = through
        self.taken: set[str] = set()
        self.product = Product()

    def run(self, node: Node) -> Product:
        """The product whose value is `node`."""
        self.taken.update(node.names)
        self._add(node, {n: n for n in node.names}, top=True)
        return self.product

    def _add(self, node: Node, to: dict[str, str], top: bool = False) -> None:
        """Multiplies the product by `node` with its axes renamed; two axes may get one name."""
        if node.kind is Kind.CONST and node.op == "number" and not isinstance(node.attrs[0], bool):
            self.product.value = self.product.value * node.attrs[0]
            return
        if node.kind is Kind.REINDEX:
            # Broadcast axes vanish: a factor need not have them.
            inner = node.inputs[0]
            self._add(inner, {n: to[t] for n, t in zip(inner.names, node.attrs[0], strict=True)}, top)
            return
        if is_product(node) and node.dtype == "real" and (top or self.through(node)):
            if node.kind is Kind.MAP:
                self._add_map(node, to)
            else:
                self._add_sum(node, to)
            return
        self._leaf(self.b.reindex(node, tuple(to[n] for n in node.names)))

    def _add_map(self, node: Node, to: dict[str, str]) -> None:
        common = factored(node.attrs[0])
        if common is None:
            value, parts = number_of(factors(node.attrs[0].tree))
        else:
            value, parts = 1, [*((t, 1) for t in common[0]), (common[1], 1)]
        self.product.value = self.product.value * value
        inputs: list[Node] | None = None
        for t, e in parts:
            if t[0] == "x" and e == 1:
                self._add(node.inputs[t[1]], {n: to[n] for n in node.inputs[t[1]].names})
                continue
            if inputs is None:
                inputs = [self.b.reindex(i, tuple(to[n] for n in i.names)) for i in node.inputs]
            tree: Tree = powered(t, e) if e > 0 else ("div", ("num", 1), powered(t, -e))
            self._leaf(self.b.map(tree, inputs))

    def _add_sum(self, node: Node, to: dict[str, str]) -> None:
        inner_to = dict(to)
        for a in summed_axes(node):
            name = a.name if a.name not in self.taken else self.b.fresh(a.name, self.taken)
            self.taken.add(name)
            inner_to[a.name] = name
            self.product.bound[name] = Axis(name, a.dim)
        for x in node.inputs:
            self._add(x, {n: inner_to[n] for n in x.names})

    def _leaf(self, node: Node) -> None:
        if node.dtype != "real":
            node = self.b.map(("real", slot(0)), [node], "real")
        self.product.factors.append(node)


def summed_axes(node: Node) -> list[Axis]:
    """The axes that a sum or a contraction removes."""
    return list({a.name: a for x in node.inputs for a in x.axes if a.name not in node.names}.values())


def is_product(node: Node) -> bool:
    """Whether a node is a product, also one that is written as a sum of terms with a common factor, or a sum over axes."""
    if node.kind is Kind.MAP:
        tree = node.attrs[0].tree
        if tree[0] in ("add", "sub"):
            return factored(node.attrs[0]) is not None
        return tree[0] in ("mul", "div", "neg") or (tree[0] == "pow" and len(factors(tree)) > 1)
    # A sum that says how it is taken stays one.
    return node.kind is Kind.CONTRACT or (node.kind is Kind.REDUCE and node.op == "sum" and len(node.attrs) == 1)


def scaled(node: Node) -> Node | None:
    """What a node is a multiple of, by a number; None if it is anything else."""
    if node.kind is not Kind.MAP or len(node.inputs) != 1 or node.attrs[0].tree[0] not in ("neg", "mul", "div"):
        return None
    _, rest = number_of(factors(node.attrs[0].tree))
    return node.inputs[0] if rest == [(slot(0), 1)] else None


def numbers_outside(b: Builder, node: Node) -> Node | None:
    """A product or the solution of a system with the numbers of its operands in front of it; None where these have none."""
    if node.dtype != "real" or (node.kind is Kind.LINALG and node.op not in SOLVES):
        return None
    number: float = 1
    inputs: list[Node] = []
    for k, x in enumerate(node.inputs):
        below, shown = unrenamed(x)
        inner = scaled(below) if node.kind is Kind.CONTRACT or k else None
        if inner is None or inner.dtype != "real" or set(inner.names) != set(below.names):
            inputs.append(x)
            continue
        value, _ = number_of(factors(below.attrs[0].tree))
        number *= value
        inputs.append(b.rename(inner, shown))
    if number == 1:
        return None
    made = with_inputs(b, node, inputs)
    return b.neg(made) if number == -1 else b.map(("mul", num(number), slot(0)), [made], "real")


def without_deltas(b: Builder, p: Product) -> Product:
    """The product with each delta that meets a summed axis carried out: the axis takes its partner's name."""
    p = p.copy()
    while True:
        # On its own diagonal a delta is one.
        p.factors = [x for x in p.factors if not (is_delta(x) and len(x.names) == 1)]
        hit = next((d for d in p.factors if is_delta(d) and any(n in p.bound for n in d.names)), None)
        if hit is None:
            return p
        gone, kept = hit.names if hit.names[0] in p.bound else hit.names[::-1]
        del p.bound[gone]
        p.factors = [b.rename(x, {gone: kept}) for x in p.factors if x is not hit]


def unnamed(node: Node) -> Node:
    """What a node renames."""
    while node.kind is Kind.REINDEX:
        node = node.inputs[0]
    return node


def is_delta(node: Node) -> bool:
    """Whether a node is a Kronecker delta."""
    node = unnamed(node)
    return node.kind is Kind.INDEX and node.op == "delta" and node.axes[0].dim == node.axes[1].dim


def axes_of(nodes: Iterable[Node]) -> dict[str, Axis]:
    """All axes of some nodes by name."""
    return {a.name: a for x in nodes for a in x.axes}
