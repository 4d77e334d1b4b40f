"""Patterns over kernel trees whose slots refer to operand nodes: the means by which rules look through kernels and nodes.

A rule is written for one subtree; `kernel_rule` offers it every subtree of every map, innermost first. A tree is read as a
product (`factors`) or as a sum (`terms`), so that the order of operands and the way signs are written make no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from vspec.compiler.graph.builder import Builder, Rule
from vspec.compiler.graph.classes import normal
from vspec.compiler.graph.kernel import Kernel, Tree, num, slot, substitute, walk
from vspec.compiler.graph.node import Kind, Node

Factor = tuple[Tree, int]
Term = tuple[int, Tree]


class Scope:
    """The operands of a kernel while it is rewritten; rules may add operands."""

    def __init__(self, b: Builder, inputs: Sequence[Node], names: Iterable[str] = ()) -> None:
        self.b = b
        self.inputs = list(inputs)
        self.names = frozenset(names)

    def slot(self, node: Node) -> Tree:
        """The slot of an operand, a new one if need be."""
        if node.kind is Kind.CONST and node.op == "number":
            return num(node.attrs[0])
        for k, known in enumerate(self.inputs):
            if known is node:
                return slot(k)
        self.inputs.append(node)
        return slot(len(self.inputs) - 1)

    def node(self, tree: Tree) -> Node:
        """A node with the value of a tree."""
        return self.b.map(tree, self.inputs)

    def operand(self, tree: Tree) -> Node | None:
        """The operand that a tree names, if it is a slot."""
        return self.inputs[tree[1]] if tree[0] == "x" else None

    def head(self, tree: Tree) -> str:
        """The operation at the top of `view` of a tree, which is not made for it."""
        x = self.operand(tree)
        if x is not None and x.kind is Kind.REINDEX:
            x = x.inputs[0]
        top: str = tree[0] if x is None or x.kind is not Kind.MAP else x.attrs[0].tree[0]
        return top

    def view(self, tree: Tree) -> Tree:
        """A tree with a slot at its top replaced by the kernel that computes the operand."""
        for _ in range(4):
            x = self.operand(tree)
            if x is None:
                break
            opened = opened_map(self.b, x)
            if opened is None:
                break
            inner, inputs = opened
            tree = substitute(inner, {k: self.slot(i) for k, i in enumerate(inputs)})
        return tree


def opened_map(b: Builder, x: Node) -> tuple[Tree, list[Node]] | None:
    """The kernel and operands of a map, also of one that is renamed."""
    if x.kind is Kind.MAP:
        return x.attrs[0].tree, list(x.inputs)
    if x.kind is Kind.REINDEX and x.inputs[0].kind is Kind.MAP:
        inner = x.inputs[0]
        to = dict(zip(inner.names, x.attrs[0], strict=True))
        return inner.attrs[0].tree, [b.reindex(i, tuple(to[n] for n in i.names)) for i in inner.inputs]
    return None


@cache
def operations(k: Kernel) -> frozenset[str]:
    """The operations that occur in a kernel."""
    return frozenset(t[0] for t in walk(k.tree))


Local = Callable[[Scope, Tree], Tree | None]


@dataclass(frozen=True, slots=True)
class KernelRule:
    """A rule on nodes made of a function on subtrees that start with one of the operations `wanted`; it has nothing to say to a
    kernel without any of `having`, if there are such."""

    local: Local
    wanted: frozenset[str]
    having: frozenset[str]

    def applies(self, k: Kernel) -> bool:
        """Whether there may be something to say to a kernel."""
        found = operations(k)
        return not found.isdisjoint(self.wanted) and (not self.having or not found.isdisjoint(self.having))

    def __call__(self, b: Builder, node: Node) -> Node | None:
        """The node rewritten; None where there is nothing to say."""
        if node.kind is not Kind.MAP or not self.applies(node.attrs[0]):
            return None
        k, local = node.attrs[0], self.local
        scope = Scope(b, node.inputs, node.names)
        # Nearly always there is nothing to say to any subtree.
        for t in _starting(k, self.wanted):
            if local(scope, t) is not None:
                break
        else:
            return None
        scope = Scope(b, node.inputs, node.names)
        better = _bottom_up(scope, k.tree, local, self.wanted)
        if better is k.tree:
            return None
        found = b.map(better, scope.inputs, node.dtype)
        return found if set(found.names) == set(node.names) else b.order(found, node.axes)


def kernel_rule(*ops: str, having: Iterable[str] = ()) -> Callable[[Local], KernelRule]:
    """Makes a rule on nodes of a function on subtrees that start with one of `ops`, of kernels with any of `having`."""
    return lambda local: KernelRule(local, frozenset(ops), frozenset(having))


def first_of(*rules: KernelRule) -> Rule:
    """The answer of the first rule that has one; which of them may have one is found out once for each kernel."""

    @cache
    def applying(k: Kernel) -> tuple[KernelRule, ...]:
        return tuple(r for r in rules if r.applies(k))

    def rule(b: Builder, node: Node) -> Node | None:
        if node.kind is Kind.MAP:
            for r in applying(node.attrs[0]):
                better = r(b, node)
                if better is not None:
                    return better
        return None

    return rule


@cache
def _starting(k: Kernel, wanted: frozenset[str]) -> tuple[Tree, ...]:
    """The subtrees of a kernel that start with one of some operations, innermost first."""
    found = [t for t in walk(k.tree) if t[0] in wanted]
    return tuple(reversed(found))


def _bottom_up(scope: Scope, tree: Tree, local: Callable[[Scope, Tree], Tree | None], wanted: frozenset[str]) -> Tree:
    if tree[0] in ("x", "num"):
        return tree
    children = [_bottom_up(scope, c, local, wanted) for c in tree[1:]]
    if any(c is not old for c, old in zip(children, tree[1:], strict=True)):
        tree = (tree[0], *children)
    if tree[0] in wanted:
        better = local(scope, tree)
        if better is not None:
            return better
    return tree


def same(a: Tree, b: Tree) -> bool:
    """Whether two trees over the same slots are equal up to the order of operands and the way a minus is written."""
    return a == b or _value(a) == _value(b)


def _value(tree: Tree) -> Any:
    """A normal form of products and sums, good enough to recognise what people write twice."""
    if tree[0] in ("add", "sub"):
        return ("+", tuple(sorted((repr((s, _value(t))) for s, t in terms(tree)))))
    if tree[0] in ("mul", "div", "neg", "pow", "square"):
        parts = factors(tree)
        if len(parts) == 1 and parts[0][0] == tree:
            return normal(tree)
        coefficient, rest = number_of(parts)
        if coefficient == -1 and len(rest) == 1 and rest[0][1] == 1 and rest[0][0][0] in ("add", "sub"):
            return ("+", tuple(sorted(repr((-s, _value(t))) for s, t in terms(rest[0][0]))))
        return ("*", float(coefficient), tuple(sorted(repr((_value(t), e)) for t, e in rest)))
    if tree[0] == "num":
        return ("*", float(tree[1]), ())
    if tree[0] == "x":
        return tree
    return (tree[0], *(_value(c) for c in tree[1:]))


def factors(tree: Tree) -> list[Factor]:
    """The tree as a product of powers: (base, whole exponent)."""
    op = tree[0]
    if op == "mul":
        return [f for c in tree[1:] for f in factors(c)]
    if op == "div":
        return factors(tree[1]) + [(t, -e) for t, e in factors(tree[2])]
    if op == "neg":
        return [(num(-1), 1), *factors(tree[1])]
    if op == "real" and tree[1][0] == "neg":
        # Of a whole number, such as minus a distance between places.
        return [(num(-1), 1), *factors(("real", tree[1][1]))]
    if op == "square":
        return [(t, 2 * e) for t, e in factors(tree[1])]
    if op == "pow" and tree[2][0] == "num" and tree[2][1] in range(-8, 9):
        return [(t, int(tree[2][1]) * e) for t, e in factors(tree[1])]
    return [(tree, 1)]


def number_of(parts: Iterable[Factor]) -> tuple[Any, list[Factor]]:
    """The numbers of a product multiplied out, and the rest. A division by zero stays where it is."""
    value: Any = 1
    rest: list[Factor] = []
    for t, e in parts:
        if t[0] == "num" and (t[1] != 0 or e > 0):
            exact = isinstance(t[1], int) and e > 0
            value = value * (t[1] ** e if exact else float(t[1]) ** e if t[1] not in (1, -1) else t[1] ** abs(e))
        else:
            rest.append((t, e))
    return value, rest


def product(parts: Sequence[Factor], value: Any = 1) -> Tree:
    """The tree of a product of powers and a number, its sign in front and divisors below."""
    coefficient, rest = number_of(parts)
    value = value * coefficient
    above = [powered(t, e) for t, e in rest if e > 0]
    below = [powered(t, -e) for t, e in rest if e < 0]
    negative = value < 0
    value = -value if negative else value
    if value != 1 or (not above and not below):
        above.insert(0, num(value))
    top = num(1) if not above else above[0] if len(above) == 1 else ("mul", *above)
    if below:
        top = ("div", top, below[0] if len(below) == 1 else ("mul", *below))
    return neg(top) if negative else top


def powered(tree: Tree, exponent: int) -> Tree:
    """A tree to a whole positive power."""
    return tree if exponent == 1 else ("pow", tree, num(exponent))


def terms(tree: Tree) -> list[Term]:
    """The tree as a sum: (sign, term)."""
    op = tree[0]
    if op == "add":
        return [t for c in tree[1:] for t in terms(c)]
    if op == "sub":
        return terms(tree[1]) + [(-s, t) for s, t in terms(tree[2])]
    if op == "neg":
        return [(-s, t) for s, t in terms(tree[1])]
    if op == "num" and not isinstance(tree[1], bool) and tree[1] < 0:
        return [(-1, num(-tree[1]))]
    return [(1, tree)]


def total(parts: Sequence[Term]) -> Tree:
    """The tree of a sum, positive terms first."""
    plus = [t for s, t in parts if s > 0]
    minus = [t for s, t in parts if s < 0]
    if not plus and not minus:
        return num(0)
    if not plus:
        return neg(total([(1, t) for t in minus]))
    tree: Tree = plus[0] if len(plus) == 1 else ("add", *plus)
    for t in minus:
        tree = ("sub", tree, t)
    return tree


def neg(tree: Tree) -> Tree:
    """Minus a tree, with a minus that it already has taken away."""
    if tree[0] == "neg":
        return tree[1]  # type: ignore[no-any-return]
    if tree[0] == "num":
        return num(-tree[1])
    if tree[0] == "sub":
        return ("sub", tree[2], tree[1])
    if tree[0] == "mul" and tree[1][0] == "num" and tree[1][1] < 0:
        return product([(num(-1), 1), *factors(tree)])
    return ("neg", tree)


def times(value: Any, tree: Tree) -> Tree:
    """A number times a tree."""
    if value == 1:
        return tree
    if value == -1:
        return neg(tree)
    return product([(num(value), 1), *factors(tree)])


def is_num(tree: Tree, value: Any = None) -> bool:
    """Whether a tree is a number (equal to `value`)."""
    return tree[0] == "num" and (value is None or tree[1] == value)
