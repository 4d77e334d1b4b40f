"""Guards: a branch that is not taken must not spoil a derivative.

`log(x) if x > 0 else 0` is finite at x = 0, and so is its derivative; but where the logarithm is a node of its own, its
derivative there is infinite and meets an adjoint of zero, which is no number. So whatever a branch reads is computed from
arguments that are replaced by harmless ones wherever the branch is not taken. Values do not change, and derivatives of every
order, by either mode and by JAX, never see the infinity.

A guard is needed between nodes; within one kernel the calculus keeps branches apart by itself. Kernels of loops, which JAX
differentiates, are guarded inside, too (`within`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from vspec.compiler.graph.builder import BOOLEAN_OPS, Builder
from vspec.compiler.graph.kernel import Kernel, Tree, kernel, num, slot, slots, walk
from vspec.compiler.graph.node import Axis, Kind, Node

# Functions with infinite values or slopes at finite arguments, or that overflow: (argument, harmless value).
SINGULAR: dict[str, tuple[tuple[int, float], ...]] = {
    **dict.fromkeys(("log", "sqrt", "lgamma", "digamma"), ((0, 1.0),)),
    **dict.fromkeys(("exp", "expm1", "log1p", "sinh", "cosh", "tan"), ((0, 0.0),)),
    **dict.fromkeys(("asin", "acos", "atanh", "erfinv"), ((0, 0.0),)),
    "acosh": ((0, 2.0),),
    "pow": ((0, 1.0),),
    "div": ((1, 1.0),),
    "xlogy": ((1, 1.0),),
    "polygamma": ((1, 1.0),),
    "atan2": ((0, 0.0), (1, 1.0)),
    **dict.fromkeys(("betaln", "gammainc", "gammaincc", "gammainc_da"), ((0, 1.0), (1, 1.0))),
}

# No derivative flows through these: what they read is left alone.
OPAQUE = BOOLEAN_OPS | {"sign", "floor", "ceil", "round", "floordiv", "integer"}

BRANCHING = frozenset({"where", "maximum", "minimum", "clip", "relu"})

Place = tuple[tuple[Tree, bool], ...]
"""The conditions under which a part of a kernel is taken, each with whether it holds."""


def singular(tree: Tree) -> bool:
    """Whether the operation at the top of a tree may be infinite, or have an infinite slope, at finite arguments."""
    if tree[0] == "pow":
        exponent = tree[2]
        return not (exponent[0] == "num" and exponent[1] >= 0 and exponent[1] == int(exponent[1]))
    if tree[0] == "div":
        return bool(slots(tree[2]))
    return tree[0] in SINGULAR


@cache
def _has_singular(k: Kernel) -> bool:
    return any(singular(t) for t in walk(k.tree) if t[0] not in ("x", "num"))


# --- in a kernel ----------------------------------------------------------------------------------------------------


def guarded(tree: Tree, taken: Tree) -> Tree:
    """The tree with the arguments of singular functions replaced by harmless ones where `taken` does not hold."""
    if tree[0] in ("x", "num") or tree[0] in OPAQUE:
        return tree
    children = [guarded(c, taken) for c in tree[1:]]
    if singular(tree):
        for k, harmless in SINGULAR[tree[0]]:
            if slots(children[k]):
                children[k] = ("where", taken, children[k], num(harmless))
    return (tree[0], *children)


def within(tree: Tree) -> Tree:
    """The tree with every branch of every `where` guarded by its condition; unchanged where no branch needs it."""
    return _within(branching(tree, lambda t: any(singular(u) for u in walk(t) if u[0] not in ("x", "num"))))


def _within(tree: Tree) -> Tree:
    if tree[0] in ("x", "num") or tree[0] in OPAQUE:
        return tree
    children = [_within(c) for c in tree[1:]]
    if tree[0] == "where":
        condition, yes, no = children
        children = [condition, guarded(yes, condition), guarded(no, ("not", condition))]
    return tree if all(c is old for c, old in zip(children, tree[1:], strict=True)) else (tree[0], *children)


def branching(tree: Tree, infinite: Callable[[Tree], bool]) -> Tree:
    """The tree with each `maximum`, `minimum`, `clip` and `relu` of something that may be infinite written as branches.

    Equal sides share the derivative evenly, and what is no number stays none, as in the functions themselves.
    """
    if tree[0] in ("x", "num") or tree[0] in OPAQUE:
        return tree
    children = [branching(c, infinite) for c in tree[1:]]
    if tree[0] == "clip" and any(infinite(c) for c in children):
        return branching(("minimum", ("maximum", *children[:2]), children[2]), infinite)
    if tree[0] == "relu" and infinite(children[0]):
        return ("where", ("le", children[0], num(0)), num(0.0), children[0])
    if tree[0] in ("maximum", "minimum") and any(infinite(c) for c in children):
        # The side that may be infinite comes last: it is what is left if a comparison fails because it is no number.
        a, b = children if not infinite(children[0]) else children[::-1]
        first, second = ("gt", "lt") if tree[0] == "maximum" else ("lt", "gt")
        half = ("div", ("add", a, b), num(2))
        rest = ("where", (second, a, b), b, ("add", a, b)) if infinite(a) else b
        return ("where", (first, a, b), a, ("where", ("eq", a, b), half, rest))
    return tree if all(c is old for c, old in zip(children, tree[1:], strict=True)) else (tree[0], *children)


# --- between nodes --------------------------------------------------------------------------------------------------


def protect(b: Builder, tree: Tree, leaves: Sequence[Node]) -> tuple[Tree, list[Node]]:
    """A kernel and its operands, those that only branches read guarded by the conditions of the branches."""
    operands = list(leaves)
    if not any(t[0] in BRANCHING for t in walk(tree)):
        return tree, operands
    infinite = frozenset(k for k, x in enumerate(leaves) if may_be_infinite(x))
    tree = branching(tree, lambda t: bool(slots(t) & infinite))
    places: dict[int, set[Place]] = {}
    _places(tree, (), places)
    replaced: dict[int, Tree] = {}
    for k in sorted(places):
        found = _merged(places[k])
        if () in found or k not in infinite:
            continue
        mask = b.map(_disjunction(found), leaves, "boolean")
        guard = Guard(b).node(leaves[k], project(b, mask, leaves[k]))
        if guard is not leaves[k]:
            replaced[k] = slot(len(operands))
            operands.append(guard)
    return (_replaced(tree, replaced), operands) if replaced else (tree, operands)


def _places(tree: Tree, place: Place, found: dict[int, set[Place]]) -> None:
    if tree[0] == "x":
        found.setdefault(tree[1], set()).add(place)
    elif tree[0] == "where":
        _places(tree[2], (*place, (tree[1], True)), found)
        _places(tree[3], (*place, (tree[1], False)), found)
    elif tree[0] != "num" and tree[0] not in OPAQUE:
        for c in tree[1:]:
            _places(c, place, found)


def _merged(places: set[Place]) -> set[Place]:
    """Two places that differ in whether their last condition holds are one place without it."""
    places = set(places)
    while True:
        pair = next((p for p in places if p and (*p[:-1], (p[-1][0], not p[-1][1])) in places), None)
        if pair is None:
            return places
        places -= {pair, (*pair[:-1], (pair[-1][0], not pair[-1][1]))}
        places.add(pair[:-1])


def _disjunction(places: set[Place]) -> Tree:
    either = []
    for place in sorted(places, key=repr):
        both = [c if holds else ("not", c) for c, holds in place]
        either.append(both[0] if len(both) == 1 else ("and", *both))
    return either[0] if len(either) == 1 else ("or", *either)


def _replaced(tree: Tree, new: dict[int, Tree]) -> Tree:
    """The tree reading the guarded operands wherever a derivative flows; conditions read what they read."""
    if tree[0] == "x":
        return new.get(tree[1], tree)
    if tree[0] == "num" or tree[0] in OPAQUE:
        return tree
    if tree[0] == "where":
        return ("where", tree[1], *(_replaced(c, new) for c in tree[2:]))
    return (tree[0], *(_replaced(c, new) for c in tree[1:]))


THROUGH = frozenset({Kind.MAP, Kind.REDUCE, Kind.CONTRACT, Kind.REINDEX, Kind.WINDOW, Kind.GATHER})


def may_be_infinite(node: Node) -> bool:
    """Whether a real node is computed with a singular function that a guard can reach."""
    seen: set[int] = set()
    stack = [node]
    while stack:
        x = stack.pop()
        if x.uid in seen or x.kind not in THROUGH or x.dtype != "real":
            continue
        seen.add(x.uid)
        if x.kind is Kind.MAP and _has_singular(x.attrs[0]):
            return True
        stack.extend(x.inputs[:1] if x.kind is Kind.GATHER else x.inputs)
    return False


def project(b: Builder, mask: Node, x: Node) -> Node:
    """Where an operand is needed, if `mask` says where its reader is: at any place along the axes that it lacks."""
    over = [n for n in mask.names if n not in x.names]
    return b.reduce("any", mask, over) if over else mask


class Guard:
    """Copies of nodes that are harmless wherever a mask does not hold, and equal to the originals where it does."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self.done: dict[tuple[int, int], Node] = {}

    def node(self, node: Node, mask: Node) -> Node:
        """The guarded copy of a node; the node itself where nothing below it needs a guard. The mask's axes are among its own."""
        key = (node.uid, mask.uid)
        if key not in self.done:
            self.done[key] = self._copy(node, mask) if may_be_infinite(node) else node
        return self.done[key]

    def _copy(self, node: Node, mask: Node) -> Node:
        b = self.b
        if node.kind is Kind.MAP:
            inputs = [self.node(x, project(b, mask, x)) for x in node.inputs]
            tree = guarded(node.attrs[0].tree, slot(len(inputs)))
            copy = b.map(tree, [*inputs, mask], node.dtype)
            return copy if set(copy.names) == set(node.names) else b.order(copy, node.axes)
        x = node.inputs[0]
        if node.kind is Kind.REDUCE:
            inside = (self.node(x, mask),)
        elif node.kind is Kind.CONTRACT:
            inside = tuple(self.node(y, project(b, mask, y)) for y in node.inputs)
        elif node.kind is Kind.REINDEX:
            targets: tuple[str, ...] = node.attrs[0]
            # Of a diagonal, one of the axes will do to say which rows are needed.
            names = {t: n for n, t in reversed(list(zip(x.names, targets, strict=True)))}
            lost = [n for n in mask.names if n not in names]
            below = b.rename(b.reduce("any", mask, lost) if lost else mask, names)
            inner = self.node(x, below)
            return b.reindex(inner, _retargeted(x, inner, targets), node.axes)
        else:
            inside = (self.node(x, self._where_read(node, mask)), *node.inputs[1:])
        return b.make(node.kind, node.op, inside, node.axes, node.dtype, node.attrs)

    def _where_read(self, node: Node, mask: Node) -> Node:
        """The mask of the array that a window or a gather reads: its adjoint, as for derivatives, and not zero."""
        b, x = self.b, node.inputs[0]
        one = b.map(("where", slot(0), num(1.0), num(0.0)), [mask], "real")
        if node.kind is Kind.GATHER:
            index = node.inputs[1]
            values = _spread(b, one, index.axes)
            rest = {a.name for a in x.axes if a.name != node.attrs[0]}
            keep = [a for a in values.axes if a.name not in index.names or a.name in rest]
            count = b.scatter_gather(values, index, x.axis(node.attrs[0]), keep)
        elif node.op == "at":
            count = b.scatter_at(one, x.axis(node.attrs[0]), node.attrs[1])
        else:
            axis, new, scale, offset = node.attrs
            count = b.scatter_affine(_spread(b, one, [node.axis(new)]), new, x.axis(axis), scale, offset)
        return b.map(("gt", slot(0), num(0)), [count], "boolean")


def _retargeted(old: Node, new: Node, targets: tuple[str, ...]) -> tuple[str, ...]:
    to = dict(zip(old.names, targets, strict=True))
    return tuple(to[n] for n in new.names)


def _spread(b: Builder, x: Node, axes: Sequence[Axis]) -> Node:
    missing = [a for a in axes if a.name not in x.names]
    return b.order(x, (*x.axes, *missing)) if missing else x


def guarded_kernel(k: Kernel) -> Kernel:
    """A kernel with its branches guarded inside."""
    return kernel(within(k.tree))
