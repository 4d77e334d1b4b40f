"""Guards: a branch that is not taken must not spoil a derivative.

`log(x) if x > 0 else 0` is finite at x = 0, and so is its derivative; but where the logarithm is a node of its own, its
derivative there is infinite and meets an adjoint of zero, which is no number. So whatever a branch reads is computed from
arguments that are replaced by harmless ones wherever the branch is not taken. Values do not change, and derivatives of every
order, by either mode and by JAX, never see the infinity.

A guard is needed between nodes; within one kernel the calculus keeps branches apart by itself. Kernels of loops, which JAX
differentiates, are guarded inside, too (`within`). Where a condition has nothing to do with an argument, there is no guard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from vspec.compiler.graph.builder import BOOLEAN_OPS, Builder
from vspec.compiler.graph.kernel import Kernel, Tree, kernel, num, slot, slots, walk
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.sign import is_positive

# Functions with infinite values or slopes at the ends of their domains: (argument, harmless value).
DOMAIN: dict[str, tuple[tuple[int, float], ...]] = {
    **dict.fromkeys(("log", "sqrt", "lgamma", "digamma"), ((0, 1.0),)),
    **dict.fromkeys(("log1p", "asin", "acos", "atanh", "erfinv"), ((0, 0.0),)),
    "acosh": ((0, 2.0),),
    "pow": ((0, 1.0),),
    "div": ((1, 1.0),),
    "xlogy": ((1, 1.0),),
    "polygamma": ((1, 1.0),),
    "atan2": ((0, 0.0), (1, 1.0)),
    **dict.fromkeys(("betaln", "gammainc", "gammaincc", "gammainc_da"), ((0, 1.0), (1, 1.0))),
}
# Functions that overflow.
GROWING: dict[str, tuple[tuple[int, float], ...]] = dict.fromkeys(("exp", "expm1", "sinh", "cosh", "tan"), ((0, 0.0),))
SINGULAR = {**DOMAIN, **GROWING}

# No derivative flows through these: what they read is left alone.
OPAQUE = BOOLEAN_OPS | {"sign", "floor", "ceil", "round", "floordiv", "integer"}

BRANCHING = frozenset({"where", "maximum", "minimum", "clip", "relu"})

THROUGH = frozenset({Kind.MAP, Kind.REDUCE, Kind.CONTRACT, Kind.REINDEX, Kind.WINDOW, Kind.GATHER})

Place = tuple[tuple[Tree, bool], ...]
"""The conditions under which a part of a kernel is taken, each with whether it holds."""

Wanted = Callable[[str, Tree], bool]
"""Whether an argument of an operation is to be guarded."""


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


_INFINITE: dict[int, bool] = {}


def may_be_infinite(node: Node) -> bool:
    """Whether a real node is computed with a singular function that a guard can reach. Remembered for every node."""
    stack = [node]
    while stack:
        x = stack[-1]
        if x.uid in _INFINITE:
            stack.pop()
            continue
        if x.kind not in THROUGH or x.dtype != "real":
            _INFINITE[x.uid] = False
        elif x.kind is Kind.MAP and _has_singular(x.attrs[0]):
            _INFINITE[x.uid] = True
        else:
            below = x.inputs[:1] if x.kind is Kind.GATHER else x.inputs
            left = [y for y in below if y.uid not in _INFINITE]
            if left:
                stack.extend(left)
                continue
            _INFINITE[x.uid] = any(_INFINITE[y.uid] for y in below)
        stack.pop()
    return _INFINITE[node.uid]


# --- in a kernel ----------------------------------------------------------------------------------------------------


def guarded(tree: Tree, taken: Tree, wanted: Wanted) -> Tree:
    """The tree with arguments of singular functions replaced by harmless ones where `taken` does not hold."""
    if tree[0] in ("x", "num") or tree[0] in OPAQUE:
        return tree
    children = [guarded(c, taken, wanted) for c in tree[1:]]
    if singular(tree):
        for k, harmless in SINGULAR[tree[0]]:
            if slots(tree[k + 1]) and wanted(tree[0], tree[k + 1]):
                children[k] = ("where", taken, children[k], num(harmless))
    return tree if _same(children, tree) else (tree[0], *children)


def _same(children: Sequence[Tree], tree: Tree) -> bool:
    return all(c is old for c, old in zip(children, tree[1:], strict=True))


def within(tree: Tree, inputs: Sequence[Node]) -> Tree:
    """The tree with every branch of every `where` guarded by its condition; unchanged where no branch needs it."""
    guards = Guards(Builder())
    return _within(branching(tree, lambda t: any(singular(u) for u in walk(t))), inputs, guards)


def _within(tree: Tree, inputs: Sequence[Node], guards: Guards) -> Tree:
    if tree[0] in ("x", "num") or tree[0] in OPAQUE:
        return tree
    children = [_within(c, inputs, guards) for c in tree[1:]]
    if tree[0] == "where":
        condition, yes, no = children
        read = [inputs[k] for k in sorted(slots(condition))]
        names = frozenset(n for x in read for n in x.names)
        wanted = guards.wanted(guards.sources(read), names, not names, inputs)
        children = [condition, guarded(yes, condition, wanted), guarded(no, ("not", condition), wanted)]
    return tree if _same(children, tree) else (tree[0], *children)


def guarded_kernel(node: Node) -> Kernel:
    """The kernel of a map with its branches guarded inside."""
    return kernel(within(node.attrs[0].tree, node.inputs))


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
    return tree if _same(children, tree) else (tree[0], *children)


# --- places in a kernel ---------------------------------------------------------------------------------------------


def places(tree: Tree) -> dict[int, set[Place]]:
    """Under which conditions a derivative reaches each slot; the empty place for any."""
    found: dict[int, set[Place]] = {}
    _places(tree, (), found)
    return {k: _merged(p) for k, p in found.items()}


def _places(tree: Tree, place: Place, found: dict[int, set[Place]]) -> None:
    if tree[0] == "x":
        found.setdefault(tree[1], set()).add(place)
    elif tree[0] == "where":
        _places(tree[2], (*place, (tree[1], True)), found)
        _places(tree[3], (*place, (tree[1], False)), found)
    elif tree[0] != "num" and tree[0] not in OPAQUE:
        for c in tree[1:]:
            _places(c, place, found)


def _merged(found: set[Place]) -> set[Place]:
    """Two places that differ in whether their last condition holds are one place without it."""
    while True:
        pair = next((p for p in found if p and (*p[:-1], (p[-1][0], not p[-1][1])) in found), None)
        if pair is None:
            return found
        found -= {pair, (*pair[:-1], (pair[-1][0], not pair[-1][1]))}
        found.add(pair[:-1])


def _disjunction(found: set[Place]) -> Tree:
    either = []
    for place in sorted(found, key=repr):
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


# --- between nodes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mask:
    """Where a node is needed: a condition over some of its axes, the inputs that the condition was made of, and whether it
    was one condition for all."""

    node: Node
    sources: frozenset[int]
    whole: bool


class Guards:
    """Copies of nodes that are harmless wherever a mask does not hold, and equal to the originals where it does."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self._copies: dict[tuple[int, int], Node] = {}
        self._sources: dict[int, frozenset[int]] = {}

    def protect(self, tree: Tree, leaves: Sequence[Node]) -> tuple[Tree, list[Node]]:
        """A kernel and its operands, those that only branches read guarded by the conditions of the branches."""
        operands = list(leaves)
        infinite = frozenset(k for k, x in enumerate(leaves) if may_be_infinite(x))
        if not infinite or not any(t[0] in BRANCHING for t in walk(tree)):
            return tree, operands
        branched = branching(tree, lambda t: bool(slots(t) & infinite))
        replaced: dict[int, Tree] = {}
        for k, found in sorted(places(branched).items()):
            if () in found or k not in infinite:
                continue
            condition = self.b.map(_disjunction(found), leaves, "boolean")
            whole = self._projected(Mask(condition, self.sources([condition]), not condition.names), leaves[k])
            guard = self.node(leaves[k], whole)
            if guard is not leaves[k]:
                replaced[k] = slot(len(operands))
                operands.append(guard)
        return (_replaced(branched, replaced), operands) if replaced else (tree, operands)

    def sources(self, nodes: Sequence[Node]) -> frozenset[int]:
        """The inputs that some nodes are computed from."""
        stack = list(nodes)
        while stack:
            x = stack[-1]
            left = [y for y in x.inputs if y.uid not in self._sources]
            if left and x.uid not in self._sources:
                stack.extend(left)
                continue
            if x.uid not in self._sources:
                own = frozenset({x.uid}) if x.kind is Kind.INPUT else frozenset[int]()
                self._sources[x.uid] = own.union(*(self._sources[y.uid] for y in x.inputs))
            stack.pop()
        return frozenset[int]().union(*(self._sources[x.uid] for x in nodes))

    def wanted(self, sources: frozenset[int], names: frozenset[str], whole: bool, inputs: Sequence[Node]) -> Wanted:
        """Which arguments to guard: those that depend on what the condition depends on, or that differ from place to place as
        it does. What cannot vanish has no need, and what overflows is left alone where the condition cannot know."""

        def wanted(op: str, argument: Tree) -> bool:
            read = [inputs[k] for k in sorted(slots(argument))]
            related = bool(self.sources(read) & sources)
            if op in GROWING:
                return related and not (op == "exp" and _share(argument, inputs))
            if op in ("log", "sqrt", "pow", "div", "xlogy") and is_positive(argument, inputs):
                return False
            return related or whole or any(n in names for x in read for n in x.names)

        return wanted

    def node(self, node: Node, mask: Mask) -> Node:
        """The guarded copy of a node; the node itself where nothing below it needs a guard. The mask's axes are among its own."""
        key = (node.uid, mask.node.uid)
        if key not in self._copies:
            self._copies[key] = self._copy(node, mask) if may_be_infinite(node) else node
        return self._copies[key]

    def _projected(self, mask: Mask, x: Node) -> Mask:
        """Where an operand is needed, if `mask` says where its reader is: at any place along the axes that it lacks."""
        over = [n for n in mask.node.names if n not in x.names]
        return replace(mask, node=self.b.reduce("any", mask.node, over)) if over else mask

    def _copy(self, node: Node, mask: Mask) -> Node:
        b = self.b
        if node.kind is Kind.MAP:
            return self._copy_of_map(node, mask)
        x = node.inputs[0]
        inside: tuple[Node, ...]
        if node.kind is Kind.REDUCE:
            inside = (self.node(x, mask),)
        elif node.kind is Kind.CONTRACT:
            inside = tuple(self.node(y, self._projected(mask, y)) for y in node.inputs)
        elif node.kind is Kind.REINDEX:
            targets: tuple[str, ...] = node.attrs[0]
            # Of a diagonal, one of the axes will do to say which rows are needed.
            names = {t: n for n, t in reversed(list(zip(x.names, targets, strict=True)))}
            lost = [n for n in mask.node.names if n not in names]
            below = b.rename(b.reduce("any", mask.node, lost) if lost else mask.node, names)
            inner = self.node(x, replace(mask, node=below))
            to = dict(zip(x.names, targets, strict=True))
            return node if inner is x else b.reindex(inner, tuple(to[n] for n in inner.names), node.axes)
        else:
            inside = (self.node(x, replace(mask, node=self._where_read(node, mask.node))), *node.inputs[1:])
        if all(y is old for y, old in zip(inside, node.inputs, strict=True)):
            return node
        return b.make(node.kind, node.op, inside, node.axes, node.dtype, node.attrs)

    def _copy_of_map(self, node: Node, mask: Mask) -> Node:
        inputs = [self.node(x, self._projected(mask, x)) for x in node.inputs]
        old: Tree = node.attrs[0].tree
        wanted = self.wanted(mask.sources, frozenset(mask.node.names), mask.whole, node.inputs)
        tree = guarded(old, slot(len(inputs)), wanted)
        if tree is old and all(x is y for x, y in zip(inputs, node.inputs, strict=True)):
            return node
        copy = self.b.map(tree, [*inputs, mask.node], node.dtype)
        return copy if set(copy.names) == set(node.names) else self.b.order(copy, node.axes)

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


def _share(argument: Tree, inputs: Sequence[Node]) -> bool:
    """Whether an exponent is x less the logarithm of the sum of the exponentials of x, which is never positive."""
    if argument[0] != "sub" or any(side[0] != "x" for side in argument[1:]):
        return False
    x, total = (inputs[side[1]] for side in argument[1:])
    return total.kind is Kind.REDUCE and total.op == "logsumexp" and total.inputs[0] is x


def _spread(b: Builder, x: Node, axes: Sequence[Axis]) -> Node:
    missing = [a for a in axes if a.name not in x.names]
    return b.order(x, (*x.axes, *missing)) if missing else x
