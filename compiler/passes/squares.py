"""Sums of weighted squares of differences: what they are sums of, and over which axes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vspec.compiler.graph.builder import Builder, union_axes
from vspec.compiler.graph.kernel import Tree, slot, substitute
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.sign import Sign, sign_of
from vspec.compiler.passes.distribute import is_even
from vspec.compiler.passes.patterns import factors, number_of, opened_map, product, terms


@dataclass(frozen=True, slots=True)
class Square:
    """sum over `over` of number*weight*(u - v)**2, which is `tree` of the `leaves` over `axes`; `own` are axes that u has and v
    lacks, `others` those that v has and u lacks."""

    tree: Tree
    leaves: tuple[Node, ...]
    axes: tuple[Axis, ...]
    over: tuple[Axis, ...]
    u: Node
    v: Node
    weight: Node | None
    number: float

    @property
    def own(self) -> tuple[Axis, ...]:
        """The axes of u alone."""
        return tuple(a for a in self.u.axes if a.name not in self.v.names)

    @property
    def others(self) -> tuple[Axis, ...]:
        """The axes of v alone."""
        return tuple(a for a in self.v.axes if a.name not in self.u.names)

    @property
    def common(self) -> tuple[Axis, ...]:
        """The axes of both."""
        return tuple(a for a in self.u.axes if a.name in self.v.names)

    @property
    def kept(self) -> tuple[Axis, ...]:
        """The axes of the sum."""
        return tuple(a for a in self.axes if a not in self.over)

    @property
    def names(self) -> list[str]:
        """The names of the axes that are summed."""
        return [a.name for a in self.over]

    def turned(self) -> Square:
        """The same with u and v exchanged."""
        return replace(self, u=self.v, v=self.u)


# A weighted square of a difference is no more maps than this deep.
DEPTH = 3

# How a sum that is to be made of products says so.
ASKED = ("products",)


def asked(node: Node) -> bool:
    """Whether a sum is to be made of products, whatever it costs."""
    return node.kind is Kind.REDUCE and node.attrs[1:] == (ASKED,)


def distance(b: Builder, node: Node) -> Square | None:
    """A sum over axes that both sides have, for each pair of their own; the weight has no axes that v lacks."""
    s = _square(b, node)
    if s is None or any(a not in s.common for a in s.over):
        return None
    for side in (s, s.turned()):
        if side.weight is None or all(a.name in side.v.names for a in side.weight.axes):
            return side
    return None


def moment(b: Builder, node: Node) -> Square | None:
    """A sum over axes of u alone, with weights that are not negative and have all of these."""
    s = _square(b, node)
    if s is None or s.weight is None or not _not_negative(s.weight) or s.number <= 0:
        return None
    for side in (s, s.turned()):
        if all(a in side.own and a in s.weight.axes for a in s.over):
            return side
    return None


def _square(b: Builder, node: Node) -> Square | None:
    if node.dtype != "real" or node.op != "sum" or len({a.name for x in node.inputs for a in x.axes}) < 2:
        return None
    if node.kind is Kind.REDUCE and (len(node.attrs) == 1 or asked(node)) and node.inputs[0].kind is Kind.MAP:
        axes = node.inputs[0].axes
        tree, leaves = _opened(b, node.inputs[0], frozenset(node.inputs[0].names))
    elif node.kind is Kind.CONTRACT:
        axes = union_axes(node.inputs)
        whole: Tree = ("mul", *(slot(k) for k in range(len(node.inputs))))
        tree, leaves = _filled(b, whole, node.inputs, frozenset(a.name for a in axes))
    else:
        return None
    if any(len(x.axes) == len(axes) for x in leaves):
        return None
    value, parts = number_of(factors(tree))
    hit = [t for t, e in parts if e == 2 and t[0] in ("add", "sub")]
    if len(hit) != 1:
        return None
    two = terms(hit[0])
    if len(two) != 2 or two[0][0] == two[1][0]:
        return None
    u, v = (b.map(t, leaves, "real") for _, t in two)
    rest = [(t, e) for t, e in parts if t != hit[0]]
    weight = b.map(product(rest), leaves, "real") if rest else None
    over = tuple(a for a in axes if a.name not in node.names)
    s = Square(tree, tuple(leaves), tuple(axes), over, u, v, weight, float(value))
    return s if s.own and s.others else None


def _opened(b: Builder, node: Node, axes: frozenset[str], depth: int = DEPTH) -> tuple[Tree, list[Node]]:
    """The kernel of a map with those of its operands put in that have all axes, as far down as these are small maps."""
    opened = opened_map(b, node)
    assert opened is not None
    return _filled(b, *opened, axes, depth)


def _filled(
    b: Builder, tree: Tree, operands: tuple[Node, ...] | list[Node], axes: frozenset[str], depth: int = DEPTH
) -> tuple[Tree, list[Node]]:
    leaves: list[Node] = []
    replace_: dict[int, Tree] = {}
    for k, x in enumerate(operands):
        found: tuple[Tree, list[Node]] = (slot(0), [x])
        if depth and set(x.names) == axes and x.dtype == "real" and opened_map(b, x) is not None:
            found = _opened(b, x, axes, depth - 1)
        places: dict[int, Tree] = {}
        for j, y in enumerate(found[1]):
            known = next((i for i, z in enumerate(leaves) if z is y), None)
            places[j] = slot(len(leaves) if known is None else known)
            if known is None:
                leaves.append(y)
        replace_[k] = substitute(found[0], places)
    return substitute(tree, replace_), leaves


def _not_negative(x: Node) -> bool:
    """Whether weights are not negative by their form."""
    return sign_of(x) is not Sign.UNKNOWN or is_even(x)


__all__ = ["Square", "asked", "distance", "moment"]
