"""What exchanging two axes of one dim does to a node, and where it is zero for certain.

A node is even in two axes if it is the same with their values exchanged, as a distance of two points is, and odd if it changes
its sign, as their difference does. Both are read off the graph: operands that are each other's exchange are known by their
classes, and kernels are compared in a normal form that keeps signs in front. What stands behind a comparison of the indices
along the two axes is zero on one side of the diagonal, or on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from vspec.compiler.graph.classes import COMMUTATIVE, Classes, Face
from vspec.compiler.graph.kernel import Kernel, Tree, num, slot, slots, substitute
from vspec.compiler.graph.node import Kind, Node

# Chains of nodes are looked through so far.
DEPTH = 48

# How the index along the first axis lies to that along the second.
RELATIONS = ("lt", "eq", "gt")
MIRRORED = {"lt": "gt", "eq": "eq", "gt": "lt"}
_HOLDS = {
    "lt": frozenset({"lt"}),
    "le": frozenset({"lt", "eq"}),
    "gt": frozenset({"gt"}),
    "ge": frozenset({"gt", "eq"}),
    "eq": frozenset({"eq"}),
    "ne": frozenset({"lt", "gt"}),
}

_EVEN = frozenset({"abs", "square", "cos", "cosh"})
_ODD = frozenset({"sin", "tan", "tanh", "sinh", "asin", "atan", "asinh", "atanh", "erf", "sign"})
ZERO: Tree = num(0)


class Exchange:
    """The parities and zeros of the nodes of a graph, each found once. `classes` knows all of these nodes."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self._parity: dict[tuple[int, frozenset[str]], int | None] = {}
        self._zero: dict[tuple[int, str, str, str], bool] = {}

    def parity(self, node: Node, u: str, v: str, depth: int = DEPTH) -> int | None:
        """1 if the node is even in its axes u and v, -1 if it is odd; None if neither is known. A node without either is even."""
        inside = (u in node.names) + (v in node.names)
        if inside < 2 or depth == 0:
            return 1 if inside == 0 else None
        key = (node.uid, frozenset((u, v)))
        if key not in self._parity:
            self._parity[key] = self._parity_of(node, u, v, depth - 1)
        return self._parity[key]

    def _parity_of(self, node: Node, u: str, v: str, depth: int) -> int | None:
        if node.kind is Kind.MAP:
            return self._of_map(node, u, v, depth)
        if node.kind is Kind.REINDEX:
            inner = below(node, u, v)
            if inner is None:
                return None
            # Along axes that the operand lacks, it is the same for all values.
            a, b = inner
            return 1 if a is b is None else None if a is None or b is None else self.parity(node.inputs[0], a, b, depth)
        if node.kind is Kind.REDUCE:
            found = self.parity(node.inputs[0], u, v, depth)
            return found if node.op == "sum" or found == 1 else None
        if node.kind is Kind.CONTRACT:
            sign, left = 1, []
            for x in node.inputs:
                found = self.parity(x, u, v, depth)
                if found is None:
                    left.append(self.classes.faces[x.uid])
                else:
                    sign *= found
            return sign if Counter(left) == Counter(_exchanged(f, u, v) for f in left) else None
        return 1 if node.kind is Kind.INDEX and node.op == "delta" else None

    def _of_map(self, node: Node, u: str, v: str, depth: int) -> int | None:
        faces = {self.classes.faces[x.uid]: k for k, x in enumerate(node.inputs)}
        order: list[tuple[int, int]] = []
        for k, x in enumerate(node.inputs):
            found = self.parity(x, u, v, depth)
            if found is not None:
                order.append((k, found))
                continue
            other = faces.get(_exchanged(self.classes.faces[x.uid], u, v))
            if other is None:
                return None
            order.append((other, 1))
        return _compared(node.attrs[0], tuple(order))

    def zero(self, node: Node, u: str, v: str, relation: str, depth: int = DEPTH) -> bool:
        """Whether the node is zero wherever the index along u is in this relation to that along v."""
        if u not in node.names or v not in node.names or depth == 0:
            return False
        key = (node.uid, u, v, relation)
        if key not in self._zero:
            self._zero[key] = self._zero_of(node, u, v, relation, depth - 1)
        return self._zero[key]

    def _zero_of(self, node: Node, u: str, v: str, relation: str, depth: int) -> bool:
        if node.kind is Kind.MAP:
            return self.reduced(node, u, v, relation, depth) in (ZERO, num(0.0), num(False))
        if node.kind is Kind.CONTRACT or (node.kind is Kind.REDUCE and node.op == "sum"):
            return any(self.zero(x, u, v, relation, depth) for x in node.inputs)
        if node.kind is Kind.REINDEX:
            a, b = below(node, u, v) or (None, None)
            return a is not None and b is not None and self.zero(node.inputs[0], a, b, relation, depth)
        return node.kind is Kind.INDEX and node.op == "delta" and relation != "eq"

    def reduced(self, node: Node, u: str, v: str, relation: str, depth: int = DEPTH) -> Tree:
        """The kernel of a map as it is where the indices are in this relation."""
        known: dict[int, Tree] = {}
        for k, x in enumerate(node.inputs):
            if x.kind is Kind.INDEX and x.op == "delta" and set(x.names) == {u, v}:
                known[k] = num(1) if relation == "eq" else ZERO
            elif self.zero(x, u, v, relation, depth):
                known[k] = ZERO
        tree: Tree = node.attrs[0].tree
        places = {k: x.names[0] for k, x in enumerate(node.inputs) if x.kind is Kind.INDEX and x.op == "value"}

        def compared(t: Tree) -> bool | None:
            if t[0] not in _HOLDS or t[1][0] != "x" or t[2][0] != "x":
                return None
            sides = (places.get(t[1][1]), places.get(t[2][1]))
            if sides == (u, v):
                return relation in _HOLDS[t[0]]
            return MIRRORED[relation] in _HOLDS[t[0]] if sides == (v, u) else None

        if not known and not {u, v} & set(places.values()):
            return tree
        return _simple(substitute(tree, known) if known else tree, compared)


def below(node: Node, u: str, v: str) -> tuple[str | None, str | None] | None:
    """The names that two axes of a REINDEX node have in its operand, None for one that it lacks; None where either
    is a diagonal."""
    targets: Sequence[str] = node.attrs[0]
    if targets.count(u) > 1 or targets.count(v) > 1:
        return None
    names = dict(zip(targets, node.inputs[0].names, strict=True))
    return names.get(u), names.get(v)


def _exchanged(face: Face, u: str, v: str) -> Face:
    kind, names = face
    return kind, tuple(v if n == u else u if n == v else n for n in names)


@cache
def _compared(k: Kernel, order: tuple[tuple[int, int], ...]) -> int | None:
    """1 or -1 if the kernel is itself or its negative with other slots in place of its own, each with a sign."""
    other = {
        j: slot(to) if sign == 1 else ("neg", slot(to)) for j, (to, sign) in enumerate(order) if j in slots(k.tree)
    }
    one, exchanged = signed(k.tree), signed(substitute(k.tree, other))
    return one[0] * exchanged[0] if one[1] == exchanged[1] else None


def signed(tree: Tree) -> tuple[int, Tree]:
    """A sign, and a normal form with the same value but for the sign; that of a tree and of its negative is the same."""
    op = tree[0]
    if op == "x":
        return 1, tree
    if op == "num":
        negative = type(tree[1]) is not bool and tree[1] < 0
        return (-1, num(-tree[1])) if negative else (1, tree)
    if op == "neg":
        sign, found = signed(tree[1])
        return -sign, found
    if op == "sub":
        op, tree = "add", ("add", tree[1], ("neg", tree[2]))
    parts = [signed(c) for c in tree[1:]]
    if op in _EVEN:
        return 1, (op, parts[0][1])
    if op in _ODD:
        return parts[0][0], (op, parts[0][1])
    if op == "pow" and tree[2][0] == "num" and isinstance(tree[2][1], int):
        return parts[0][0] ** (abs(tree[2][1]) % 2), (op, parts[0][1], tree[2])
    if op in ("mul", "div"):
        sign = 1
        for s, _ in parts:
            sign *= s
        children = [c for _, c in parts]
        return sign, (op, *(sorted(children, key=repr) if op == "mul" else children))
    if op == "add":
        parts.sort(key=lambda p: repr(p[1]))
        sign = parts[0][0]
        return sign, (op, *(c if s == sign else ("neg", c) for s, c in parts))
    if op == "where":
        # A zero has either sign.
        signs = {s for s, c in parts[1:] if c not in (ZERO, num(0.0))}
        if len(signs) == 1:
            return signs.pop(), (op, _whole(parts[0]), *(c for _, c in parts[1:]))
    children = [_whole(p) for p in parts]
    return 1, (op, *(sorted(children, key=repr) if op in COMMUTATIVE else children))


def _whole(part: tuple[int, Tree]) -> Tree:
    return part[1] if part[0] == 1 else ("neg", part[1])


def _simple(tree: Tree, compared: Callable[[Tree], bool | None]) -> Tree:
    """The tree with the comparisons that are decided, and what follows from them and from zeros."""
    op = tree[0]
    if op in ("x", "num"):
        return tree
    decided = compared(tree)
    if decided is not None:
        return num(decided)
    parts = [_simple(c, compared) for c in tree[1:]]
    if op in ("add", "sub") and all(p[0] == "num" and type(p[1]) is int for p in parts):
        return num(sum(p[1] for p in parts) if op == "add" else parts[0][1] - parts[1][1])
    zero = [p in (ZERO, num(0.0)) and type(p[1]) is not bool for p in parts]
    if op == "where" and parts[0][0] == "num":
        return parts[1] if parts[0][1] else parts[2]
    if op == "where" and (parts[1] == parts[2] or (zero[1] and zero[2])):
        return parts[2]
    if op == "real" and parts[0][0] == "num":
        return num(int(parts[0][1]))
    if op == "not" and parts[0][0] == "num":
        return num(not parts[0][1])
    if op in ("and", "or"):
        decisive = op == "or"
        if any(p[0] == "num" and bool(p[1]) is decisive for p in parts):
            return num(decisive)
        left = [p for p in parts if p[0] != "num"]
        return num(not decisive) if not left else left[0] if len(left) == 1 else (op, *left)
    if op == "mul":
        left = [p for p in parts if p != num(1)]
        return ZERO if any(zero) else num(1) if not left else left[0] if len(left) == 1 else (op, *left)
    if op == "add":
        left = [p for p, none in zip(parts, zero, strict=True) if not none]
        return ZERO if not left else left[0] if len(left) == 1 else (op, *left)
    if op == "sub" and (zero[0] or zero[1]):
        return parts[0] if zero[1] else ("neg", parts[1])
    if zero[0] and (op in ("neg", "div", "abs", "square", "sqrt") or (op == "pow" and _positive(parts[1]))):
        return ZERO
    return (op, *parts)


def _positive(tree: Tree) -> bool:
    return tree[0] == "num" and type(tree[1]) is not bool and tree[1] > 0


__all__ = ["RELATIONS", "Exchange", "below", "signed"]
