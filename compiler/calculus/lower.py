"""Checked expressions → nodes. A whole pointwise formula becomes one kernel; every name is lowered once.

Letters become axis names, so that most references need no node of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from vspec.compiler.calculus.derive import derivative
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node, Origin, next_uid
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Coord,
    Delta,
    Derivative,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Number,
    Pointwise,
    Reduction,
    SizeOf,
    Stop,
    Subscript,
)

# A kernel larger than this is split: SymPy's time grows faster than the kernel, and XLA fuses across nodes anyway.
KERNEL_OPS = 48


@dataclass(frozen=True, slots=True)
class Slice:
    """The current slice of a recurrence's state: its value without the time axis, which is subscript number `time`."""

    node: Node
    time: int


class Lowering:
    """Lowers expressions against the values of names. `letters` maps every letter to its dim."""

    def __init__(self, b: Builder, letters: Mapping[str, str]) -> None:
        self.b = b
        self.letters = letters
        self.values: dict[str, Node] = {}
        self.pending: dict[str, Callable[[], Node]] = {}
        self.finals: dict[str, tuple[Node, int]] = {}
        self.slices: dict[str, Slice] = {}
        self.bound: dict[str, Node] = {}
        self.derivatives = 0
        self.variables: frozenset[str] = frozenset()

    def axis(self, letter: str) -> Axis:
        """The axis of a letter."""
        return Axis(letter, self.letters[letter])

    def get(self, name: str) -> Node:
        """The value of a name; one that is still pending is lowered now."""
        if name not in self.values:
            self.values[name] = self.pending.pop(name)()
        return self.values[name]

    @contextmanager
    def step(self, letter: str, index: Node) -> Iterator[None]:
        """Inside a recurrence's step: its letter is a number that the loop counts."""
        slices = dict(self.slices)
        self.bound[letter] = index
        try:
            yield
        finally:
            del self.bound[letter]
            self.slices = slices

    def value(self, e: Expr, name: str = "", letters: tuple[str, ...] | None = None) -> Node:
        """The node of an expression; with `letters`, exactly these axes in this order. `name` is what it defines."""
        start = self.b.number(0).uid
        with self.b.at(Origin(name, e.span.line, e.span.column, "part")):
            node = self.lower(e)
            if letters is not None:
                node = self.b.order(node, [self.axis(x) for x in letters])
        if name and node.uid > start and node.origin.role == "part":
            # The last node is the one that the name stands for.
            node = replace(node, origin=node.origin._replace(name=name, role="value"), uid=next_uid())
        # A derivative by a name finds whoever reads it, even where its value is a number or a rename of something else.
        return self.b.hold(node) if name in self.variables else node

    def lower(self, e: Expr) -> Node:
        """The node of an expression; its axes are among the free letters of the expression."""
        if isinstance(e, Number):
            return self.b.number(e.value, e.dtype)
        if isinstance(e, Pointwise):
            leaves: list[Node] = []
            tree, _ = self._tree(e, leaves)
            return self.b.map(tree, leaves, e.dtype)
        if isinstance(e, Element):
            return self._element(e)
        if isinstance(e, Reduction):
            return self._reduction(e)
        if isinstance(e, Along):
            return self._along(e)
        if isinstance(e, Derivative):
            return self._derivative(e)
        if isinstance(e, Linalg):
            return self._linalg(e)
        if isinstance(e, Delta):
            return self._delta(e)
        if isinstance(e, IndexValue):
            return self.bound.get(e.letter) or self.b.index(self.axis(e.letter))
        if isinstance(e, SizeOf):
            return self.b.size(self.letters[e.letter])
        if isinstance(e, Stop):
            return self.b.stop(self.lower(e.body))
        raise NotImplementedError(f"{type(e).__name__} (coordinates: {isinstance(e, Coord)})")

    # --- pointwise ----------------------------------------------------------------------------------------------

    def _tree(self, e: Expr, leaves: list[Node]) -> tuple[Tree, int]:
        """The kernel tree of an expression over `leaves`, and its number of operations."""
        if isinstance(e, Number):
            return num(e.value), 0
        if not isinstance(e, Pointwise):
            return self._leaf(self.lower(e), leaves), 0
        children: list[Tree] = []
        ops = 1
        for arg in e.args:
            child, count = self._tree(arg, leaves)
            children.append(child)
            ops += count
        if e.op == "real" and e.args[0].dtype == "real":
            return children[0], ops - 1
        tree: Tree = (e.op, *children)
        if ops > KERNEL_OPS:
            return self._leaf(self.b.map(tree, list(leaves), e.dtype), leaves), 0
        return tree, ops

    def _leaf(self, node: Node, leaves: list[Node]) -> Tree:
        if is_number(node):
            return num(node.attrs[0])
        for k, known in enumerate(leaves):
            if known is node:
                return slot(k)
        leaves.append(node)
        return slot(len(leaves) - 1)

    def _delta(self, e: Delta) -> Node:
        left, right = e.left, e.right
        if isinstance(left, IndexValue) and isinstance(right, IndexValue):
            a, b = self.axis(left.letter), self.axis(right.letter)
            if a.dim == b.dim and not {left.letter, right.letter} & set(self.bound):
                return self.b.delta(a, b)
        same = ("where", ("eq", slot(0), slot(1)), num(1.0), num(0.0))
        return self.b.map(same, [self.lower(left), self.lower(right)], "real")

    # --- reductions ---------------------------------------------------------------------------------------------

    def _dims(self, letters: tuple[str, ...]) -> dict[str, str]:
        return {x: self.letters[x] for x in letters}

    def _count(self, letters: tuple[str, ...]) -> Node:
        sizes = [self.b.size(self.letters[x]) for x in letters]
        if len(sizes) == 1:
            return sizes[0]
        return self.b.map(("mul", *(slot(k) for k in range(len(sizes)))), sizes, "integer")

    def _mean(self, x: Node, letters: tuple[str, ...]) -> Node:
        total = self.b.reduce("sum", x, letters, self._dims(letters))
        return self.b.map(("div", slot(0), slot(1)), [total, self._count(letters)], "real")

    def _reduction(self, e: Reduction) -> Node:
        b, letters = self.b, e.letters
        x = self.lower(e.body)
        if e.op == "mean":
            return self._mean(x, letters)
        if e.op == "var":
            centred = b.map(("pow", ("sub", slot(0), slot(1)), num(2)), [x, self._mean(x, letters)], "real")
            return self._mean(centred, letters)
        if e.op == "norm":
            square = b.map(("pow", slot(0), num(2)), [x], "real")
            # Where all is zero, so are the norm and its derivatives; no branch is ever infinite.
            positive: Tree = ("gt", slot(0), num(0))
            root: Tree = ("where", positive, ("sqrt", ("where", positive, slot(0), num(1.0))), num(0.0))
            return b.map(root, [b.reduce("sum", square, letters, self._dims(letters))], "real")
        return b.reduce(e.op, x, letters, self._dims(letters))

    def _along(self, e: Along) -> Node:
        x = self.lower(e.body)
        total = self.b.reduce("logsumexp", x, (e.letter,), self._dims((e.letter,)))
        tree: Tree = ("sub", slot(0), slot(1))
        if e.op == "softmax":
            tree = ("exp", tree)
        elif e.op != "log_softmax":
            raise NotImplementedError(e.op)
        return self.b.map(tree, [x, total], "real")

    # --- references ---------------------------------------------------------------------------------------------

    def _element(self, e: Element) -> Node:
        subscripts = list(e.subscripts)
        if e.name in self.slices:
            current = self.slices[e.name]
            del subscripts[current.time]
            return self.subscript(current.node, subscripts)
        if e.name in self.finals:
            final, time = self.finals[e.name]
            if isinstance(subscripts[time], At) and subscripts[time] == At(-1):
                del subscripts[time]
                return self.subscript(final, subscripts)
        return self.subscript(self.get(e.name), subscripts)

    def subscript(self, x: Node, subscripts: list[Subscript]) -> Node:
        """x with one subscript per axis."""
        b = self.b
        rest: list[tuple[str, Subscript]] = []
        targets: list[str] = []
        taken: set[str] = set()
        for axis, s in zip(x.axes, subscripts, strict=True):
            plain = isinstance(s, Affine) and s.letter not in self.bound and s.scale == 1 and s.offset == 0
            if plain and isinstance(s, Affine) and self.letters[s.letter] == axis.dim:
                targets.append(s.letter)
                taken.add(s.letter)
            else:
                # A name of its own until the subscript is applied: letters of the result may collide with it.
                targets.append(b.fresh(axis.name))
                rest.append((targets[-1], s))
        x = b.reindex(x, targets)
        for name, s in rest:
            if isinstance(s, At):
                x = b.at_position(x, name, s.position)
            elif isinstance(s, Gather):
                x = b.gather(x, self.lower(s.index), name)
            elif s.letter in self.bound:
                index = self.bound[s.letter]
                if s.scale != 1 or s.offset != 0:
                    shifted: Tree = ("add", ("mul", num(s.scale), slot(0)), num(s.offset))
                    index = b.map(shifted, [index], "integer")
                x = b.gather(x, index, name)
            else:
                letter = self.axis(s.letter)
                new = Axis(b.fresh(s.letter), letter.dim) if s.letter in taken else letter
                x = b.window(x, name, new, s.scale, s.offset)
                if new.name != s.letter:
                    x = b.rename(x, {new.name: s.letter})
                taken.add(s.letter)
        return x

    # --- derivatives, linear algebra ----------------------------------------------------------------------------

    def _derivative(self, e: Derivative) -> Node:
        node = self.lower(e.body)
        for wrt in e.wrt:
            node = self._by(node, wrt)
            self.derivatives += 1
        return node

    def _by(self, node: Node, wrt: Element) -> Node:
        """d(node, wrt): along plain letters at once, then the subscripts that are not plain letters."""
        subscripts = list(wrt.subscripts)
        if wrt.name in self.slices:
            current = self.slices[wrt.name]
            x = current.node
            del subscripts[current.time]
        else:
            x = self.get(wrt.name)
        letters: list[Axis] = []
        after: list[tuple[str, Subscript]] = []
        for axis, s in zip(x.axes, subscripts, strict=True):
            plain = isinstance(s, Affine) and s.letter not in self.bound and s.scale == 1 and s.offset == 0
            if plain and isinstance(s, Affine) and self.letters[s.letter] == axis.dim:
                letters.append(Axis(s.letter, axis.dim))
            else:
                letters.append(Axis(self.b.fresh(axis.name), axis.dim))
                after.append((letters[-1].name, s))
        result = derivative(self.b, node, x, letters)
        if not after:
            return result
        names = dict(after)
        whole: list[Subscript] = [names.get(a.name) or Affine(a.name) for a in result.axes]
        return self._apply(result, whole, names)

    def _apply(self, x: Node, subscripts: list[Subscript], named: Mapping[str, Subscript]) -> Node:
        # Axes of the Jacobian that are not subscripted keep their names, which need not be letters of the spec.
        for name, s in named.items():
            if isinstance(s, At):
                x = self.b.at_position(x, name, s.position)
            elif isinstance(s, Gather):
                x = self.b.gather(x, self.lower(s.index), name)
            elif s.letter in self.bound:
                shifted: Tree = ("add", ("mul", num(s.scale), slot(0)), num(s.offset))
                x = self.b.gather(x, self.b.map(shifted, [self.bound[s.letter]], "integer"), name)
            else:
                new = Axis(self.b.fresh(s.letter), self.letters[s.letter])
                x = self.b.window(x, name, new, s.scale, s.offset)
                x = self.b.rename(x, {new.name: s.letter})
        return x

    def _linalg(self, e: Linalg) -> Node:
        b = self.b
        operands = [self.lower(block.body) for block in e.blocks]
        first = e.blocks[0].core
        if e.op == "trace":
            x = self._with_axes(operands[0], first)
            return b.reduce("sum", b.rename(x, {first[1]: first[0]}), (first[0],), self._dims((first[0],)))
        rows, columns = first
        operands[0] = self._with_axes(operands[0], first)
        cores: list[tuple[str, ...]] = [first]
        if len(operands) == 2:
            (other,) = e.blocks[1].core
            operands[1] = b.rename(self._with_axes(operands[1], (other,)), {other: rows})
            cores.append((rows,))
        if e.op in ("solve", "triangular_solve"):
            result = [self.axis(columns)]
        elif e.op == "inv":
            result = [self.axis(columns), self.axis(rows)]
        elif e.op in ("cholesky", "expm", "eigh", "svd_left"):
            result = [self.axis(rows), self.axis(columns)]
        elif e.op in ("eigvalsh", "svdvals"):
            result = [self.axis(columns)]
        elif e.op == "svd_right":
            result = [self.axis(columns), Axis(b.fresh(columns), self.letters[columns])]
        else:
            result = []
        node = b.linalg(e.op, operands, cores, result)
        if not result:
            return node
        batch = len(node.axes) - len(result)
        plain: list[Subscript] = [Affine(a.name) for a in node.axes[:batch]]
        return self.subscript(node, [*plain, *e.subscripts])

    def _with_axes(self, x: Node, letters: tuple[str, ...]) -> Node:
        missing = [self.axis(n) for n in letters if n not in x.names]
        return self.b.order(x, (*x.axes, *missing)) if missing else x
