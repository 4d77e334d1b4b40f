"""Which values are convex functions of some of the inputs, by their form.

Used are the rules of convex calculus (Boyd and Vandenberghe, Convex Optimization, section 3.2): sums with weights of at least 0,
affine maps inside, functions that grow of convex ones, the logarithm of a sum of exponentials. What is not found may be convex.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntFlag

from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.graph.sign import DEPTH, NOTHING, Known, Sign, sign, sign_of


class Curve(IntFlag):
    """How a value depends on the inputs: affine is both, and `LOG` is what is positive and has a convex logarithm."""

    OPEN = 0
    CONVEX = 1
    CONCAVE = 2
    AFFINE = 3
    LOG = 4
    CONSTANT = 11


# Functions that grow and are convex, or concave, where their argument is such.
GROW = frozenset({"exp", "expm1", "softplus", "relu"})
BEND = frozenset({"log", "log1p", "log_sigmoid", "sqrt"})
# Even functions, convex on both sides of 0.
BOWL = frozenset({"abs", "square", "cosh"})


class Convexity:
    """The curves of nodes in the inputs `xs`. `known`: the signs of arguments."""

    def __init__(self, xs: Iterable[Node], known: Known = NOTHING) -> None:
        self.xs = {x.uid for x in xs}
        self.known = known
        self.found: dict[int, Curve] = dict.fromkeys(self.xs, Curve.AFFINE)

    def of(self, node: Node) -> Curve:
        """The curve of a node, which holds for each of its elements."""
        if node.uid not in self.found:
            for n in topological([node]):
                if n.uid not in self.found:
                    self.found[n.uid] = self._one(n)
        return self.found[node.uid]

    def level(self, node: Node) -> Sign:
        """Of the Hessian of each element by all of the inputs together: POSITIVE for positive definite, NOT_NEGATIVE for
        positive semidefinite."""
        if not self.of(node) & Curve.CONVEX:
            return Sign.UNKNOWN
        # Of several values each may read a part of the inputs only.
        return Sign.POSITIVE if not node.axes and self.xs <= self._strong(node) else Sign.NOT_NEGATIVE

    def _one(self, node: Node) -> Curve:
        below = [self.found[x.uid] for x in node.inputs]
        if all(c is Curve.CONSTANT for c in below):
            return Curve.CONSTANT
        first, kind = below[0], node.kind
        if kind is Kind.MAP:
            return self._tree(node.attrs[0].tree, node.inputs)
        if kind is Kind.WINDOW and node.op == "shift" and node.attrs[2] == "zero":
            return first & ~Curve.LOG
        if kind in (Kind.REINDEX, Kind.WINDOW) or (kind is Kind.STOP and node.op):
            return first
        if kind is Kind.CONCAT and node.op == "part":
            return first
        if kind is Kind.CONCAT:
            return self._joined(below, node.inputs)
        if kind is Kind.REDUCE:
            if node.op in ("sum", "max"):
                return first if node.op == "sum" else first & ~Curve.CONCAVE
            if node.op == "min":
                return first & Curve.CONCAVE
            return first & Curve.CONVEX if node.op == "logsumexp" else Curve.OPEN
        if kind is Kind.CONTRACT:
            moving = [x for x, c in zip(node.inputs, below, strict=True) if c is not Curve.CONSTANT]
            if len(moving) != 1:
                return Curve.OPEN
            weights = [sign_of(x, DEPTH, self.known) for x in node.inputs if x is not moving[0]]
            return self._scaled(self.found[moving[0].uid], min(weights, default=Sign.POSITIVE))
        if all(c is Curve.CONSTANT for c in below[1:]) and kind in (Kind.GATHER, Kind.SCATTER):
            return first & ~Curve.LOG if kind is Kind.SCATTER else first
        if kind is Kind.CUMULATE and node.op == "sum":
            return first
        return Curve.OPEN

    def _joined(self, curves: Sequence[Curve], parts: Sequence[Node]) -> Curve:
        """What holds for all of some values."""
        found = Curve.AFFINE | Curve.LOG
        for c, x in zip(curves, parts, strict=True):
            found &= self._with_sign(c, sign_of(x, DEPTH, self.known))
        return found

    def _with_sign(self, c: Curve, s: Sign) -> Curve:
        """A constant that is positive has a logarithm, which is constant."""
        if c is not Curve.CONSTANT:
            return c
        return Curve.AFFINE | (Curve.LOG if s is Sign.POSITIVE else Curve.OPEN)

    def _scaled(self, c: Curve, weight: Sign) -> Curve:
        """A curve times what does not depend on the inputs."""
        if weight is Sign.POSITIVE:
            return c
        if weight is Sign.NOT_NEGATIVE:
            return c & ~Curve.LOG
        return Curve.AFFINE if c & Curve.AFFINE == Curve.AFFINE else Curve.OPEN

    def _sign(self, tree: Tree, inputs: Sequence[Node]) -> Sign:
        return sign(tree, inputs, DEPTH, self.known)

    def _tree(self, tree: Tree, inputs: Sequence[Node]) -> Curve:
        """The curve of a kernel over some operands."""
        op = tree[0]
        if op == "x":
            return self.found[inputs[tree[1]].uid]
        if op == "num":
            return Curve.CONSTANT
        parts = [self._tree(t, inputs) for t in tree[1:]]
        if all(c is Curve.CONSTANT for c in parts):
            return Curve.CONSTANT
        first = parts[0]
        affine = first & Curve.AFFINE == Curve.AFFINE
        if op == "add":
            # A sum of what has a convex logarithm is such, whatever positive is added.
            found = Curve.AFFINE | Curve.LOG
            for c, t in zip(parts, tree[1:], strict=True):
                found &= self._with_sign(c, self._sign(t, inputs)) if c is Curve.CONSTANT else c
            return found
        if op == "neg":
            return _turned(first)
        if op == "sub":
            return (first & Curve.AFFINE) & _turned(parts[1])
        if op == "real":
            return first
        if op == "mul":
            return self._product(tree[1:], parts, inputs)
        if op == "div":
            return self._quotient(tree, parts, inputs)
        if op == "where":
            same = self._with_sign(parts[1], self._sign(tree[2], inputs)) & self._with_sign(
                parts[2], self._sign(tree[3], inputs)
            )
            return same if first is Curve.CONSTANT else Curve.OPEN
        if op == "pow":
            return self._power(tree, first, parts[1], inputs)
        if op in BOWL:
            grows = first & Curve.CONVEX and self._sign(tree[1], inputs) > Sign.UNKNOWN
            return Curve.CONVEX if affine or grows else Curve.OPEN
        if op in GROW:
            if not first & Curve.CONVEX:
                return Curve.OPEN
            return Curve.CONVEX | Curve.LOG if op == "exp" else Curve.CONVEX
        if op in BEND:
            found = Curve.CONCAVE if first & Curve.CONCAVE else Curve.OPEN
            if op == "log" and first & Curve.LOG:
                found |= Curve.CONVEX
            return found
        if op in ("maximum", "minimum"):
            keep = Curve.CONVEX if op == "maximum" else Curve.CONCAVE
            for c in parts:
                keep &= c
            return keep
        return Curve.OPEN

    def _product(self, trees: Sequence[Tree], parts: Sequence[Curve], inputs: Sequence[Node]) -> Curve:
        moving = [(t, c) for t, c in zip(trees, parts, strict=True) if c is not Curve.CONSTANT]
        found: Curve = moving[0][1]
        if len(moving) == 2 and moving[0][0] == moving[1][0] and found & Curve.AFFINE == Curve.AFFINE:
            found = Curve.CONVEX
        elif len(moving) > 1:
            found = Curve.CONVEX | Curve.LOG if all(c & Curve.LOG for _, c in moving) else Curve.OPEN
        weight = Sign.POSITIVE
        for t, c in zip(trees, parts, strict=True):
            if c is Curve.CONSTANT:
                turned = _opposite(t)
                if turned is not None:
                    t, found = turned, _turned(found)
                weight = min(weight, self._sign(t, inputs))
        return self._scaled(found, weight)

    def _quotient(self, tree: Tree, parts: Sequence[Curve], inputs: Sequence[Node]) -> Curve:
        over = self._sign(tree[2], inputs)
        if parts[1] is Curve.CONSTANT:
            return self._scaled(parts[0], over)
        # 1/x falls and is convex where x is positive.
        falls = parts[0] is Curve.CONSTANT and parts[1] & Curve.CONCAVE and over is Sign.POSITIVE
        return Curve.CONVEX if falls and self._sign(tree[1], inputs) > Sign.UNKNOWN else Curve.OPEN

    def _power(self, tree: Tree, base: Curve, exponent: Curve, inputs: Sequence[Node]) -> Curve:
        if tree[2][0] != "num" or exponent is not Curve.CONSTANT:
            return Curve.OPEN
        p, own = tree[2][1], self._sign(tree[1], inputs)
        if p in (2, 4, 6, 8) and base & Curve.AFFINE == Curve.AFFINE:
            return Curve.CONVEX
        if p >= 1:
            return Curve.CONVEX if base & Curve.CONVEX and own > Sign.UNKNOWN else Curve.OPEN
        if 0 < p < 1:
            return Curve.CONCAVE if base & Curve.CONCAVE and own > Sign.UNKNOWN else Curve.OPEN
        return Curve.CONVEX if base & Curve.CONCAVE and own is Sign.POSITIVE else Curve.OPEN

    # --- strong convexity -----------------------------------------------------------------------------------------

    def _strong(self, node: Node) -> set[int]:
        """The inputs of which a convex value contains the square of every element that it reads, times something positive.

        An input counts along its own axes, which the value has or is summed over.
        """
        if node.kind is Kind.MAP:
            return self._strong_tree(node.attrs[0].tree, node.inputs)
        if node.kind is Kind.REDUCE and node.op == "sum":
            return self._strong(node.inputs[0])
        if (node.kind is Kind.STOP and node.op) or (node.kind is Kind.REINDEX and _whole(node)):
            return self._strong(node.inputs[0])
        return set()

    def _strong_tree(self, tree: Tree, inputs: Sequence[Node]) -> set[int]:
        op = tree[0]
        if op == "x":
            return self._strong(inputs[tree[1]])
        if op == "real":
            return self._strong_tree(tree[1], inputs)
        if op == "add":
            parts = [t for t in tree[1:] if self._tree(t, inputs) & Curve.CONVEX]
            whole = len(parts) == len(tree) - 1
            return {uid for t in parts for uid in self._strong_tree(t, inputs)} if whole else set()
        if op == "sub" and self._tree(tree[2], inputs) & Curve.CONCAVE:
            return self._strong_tree(tree[1], inputs)
        if op == "div" and self._tree(tree[2], inputs) is Curve.CONSTANT:
            return self._strong_tree(tree[1], inputs) if self._sign(tree[2], inputs) is Sign.POSITIVE else set()
        if op == "square" or (op == "pow" and tree[2] == ("num", 2)):
            return self._element(tree[1], inputs)
        if op == "mul":
            moving = [t for t in tree[1:] if self._tree(t, inputs) is not Curve.CONSTANT]
            fixed = [t for t in tree[1:] if self._tree(t, inputs) is Curve.CONSTANT]
            if any(self._sign(t, inputs) is not Sign.POSITIVE for t in fixed):
                return set()
            if len(moving) == 2 and moving[0] == moving[1]:
                return self._element(moving[0], inputs)
            return self._strong_tree(moving[0], inputs) if len(moving) == 1 else set()
        return set()

    def _element(self, tree: Tree, inputs: Sequence[Node]) -> set[int]:
        """The input whose elements a tree is, one by one."""
        if tree[0] != "x":
            return set()
        x = inputs[tree[1]]
        while x.uid not in self.xs and ((x.kind is Kind.STOP and x.op) or (x.kind is Kind.REINDEX and _whole(x))):
            (x,) = x.inputs
        return {x.uid} & self.xs


def _turned(c: Curve) -> Curve:
    """The curve of minus a value."""
    if c is Curve.CONSTANT:
        return Curve.AFFINE
    found = Curve.CONCAVE if c & Curve.CONVEX else Curve.OPEN
    return found | Curve.CONVEX if c & Curve.CONCAVE else found


def _opposite(tree: Tree) -> Tree | None:
    """Minus a tree, where it shows one."""
    if tree[0] == "num" and tree[1] < 0:
        return ("num", -tree[1])
    return tree[1] if tree[0] == "neg" else None  # type: ignore[no-any-return]


def _whole(node: Node) -> bool:
    """Whether a change of axes keeps every element: no diagonal is taken."""
    return len(set(node.attrs[0])) == len(node.attrs[0])


__all__ = ["Convexity", "Curve"]
