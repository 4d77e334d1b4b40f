"""Checked expressions → nodes. A whole pointwise formula becomes one kernel; every name is lowered once.

Letters become axis names, so that most references need no node of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import TypeVar

from vspec.compiler.calculus import parts
from vspec.compiler.calculus.chance.expectations import expectation
from vspec.compiler.calculus.chance.totals import Numbers, apart
from vspec.compiler.calculus.chance.variables import Variable
from vspec.compiler.calculus.convolution import convolved
from vspec.compiler.calculus.derive import derivative
from vspec.compiler.calculus.draws import drawn
from vspec.compiler.calculus.externs import foreign
from vspec.compiler.calculus.hessians import note_hessian
from vspec.compiler.calculus.implicit import implicit_quantity
from vspec.compiler.calculus.reading import read_affine
from vspec.compiler.calculus.selection import selected_sum
from vspec.compiler.calculus.stacks import by, stacked
from vspec.compiler.calculus.statistics import quantile, sorted_along
from vspec.compiler.calculus.strategies import several, summed, swept
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.conditions import decided
from vspec.compiler.graph.guard import Guards
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node, Origin, next_uid
from vspec.compiler.graph.strategy import Choice
from vspec.compiler.graph.tuning import MEMORY
from vspec.compiler.language.expr import (
    AUTO,
    Affine,
    Along,
    At,
    Coord,
    Delta,
    Derivative,
    Element,
    Expectation,
    Expr,
    Foreign,
    Gather,
    Implicit,
    IndexValue,
    Linalg,
    Number,
    Part,
    Pointwise,
    Reduction,
    Rows,
    Sample,
    SizeOf,
    Spacing,
    Stack,
    Stop,
    Subscript,
)
from vspec.compiler.language.spec import Definition, Dim, Param
from vspec.compiler.language.spec import Variable as Declared

Made = TypeVar("Made")

# A kernel larger than this is split: SymPy's time grows faster than the kernel, and XLA fuses across nodes anyway.
KERNEL_OPS = 48


class Lowering:
    """Lowers expressions against the values of names.

    `letters` maps every letter to its dim, `dims` says what dims are, `file` where spans are.

    In the steps of recurrences, `bound` has the numbers that their letters are, `slices` the current values of what advances,
    `level` the labels of the recurrences. `dropped`: which subscripts of a name its value has no axes for, since their letters
    are numbers there.
    """

    def __init__(
        self,
        b: Builder,
        letters: Mapping[str, str],
        dims: Mapping[str, Dim],
        file: Callable[[Span], str] = lambda _: "",
    ) -> None:
        self.b = b
        self.guards = Guards(b)
        self.letters = letters
        self.dims = dims
        self.file = file
        self.values: dict[str, Node] = {}
        self.pending: dict[str, Callable[[], Node]] = {}
        self.finals: dict[str, tuple[Node, int]] = {}
        self.slices: dict[str, Node] = {}
        self.dropped: dict[str, tuple[int, ...]] = {}
        self.bound: dict[str, Node] = {}
        self.level: tuple[str, ...] = ()
        self.stacks: dict[str, Stack] = {}
        self.derivatives = 0
        # What was chosen where there are several ways, each with the expression it is about.
        self.choices: list[tuple[Expr, Choice]] = []
        # The places of the expectations that are left to one draw.
        self.singles: set[tuple[Span, ...]] = set()
        # The text of the spec at a place, and what second derivatives are taken of and by.
        self.text: Callable[[Span], str] = lambda span: ""
        self.paired: frozenset[tuple[str, str]] = frozenset()
        self.keys: list[Node] = []
        # The step length of a proximal map, an argument of it.
        self.lengths: list[Node] = []
        self.kernels: dict[str, Node] = {}
        # Bytes that arrays which a method keeps may take; None for any number.
        self.memory: int | None = MEMORY
        self.vectors: dict[str, Node] = {}
        # What was derived from the form of objectives, in words: what, in which line, how.
        self.forms: list[tuple[str, int, tuple[str, ...]]] = []
        self.multipliers: dict[str, Node] = {}
        self.ordinals: dict[tuple[object, ...], int] = {}
        self.variables: frozenset[str] = frozenset()
        self.unknowns: dict[str, Node] = {}
        self.problems: dict[tuple[int, ...], tuple[Node, ...]] = {}
        self.definitions: Mapping[str, Definition] = {}
        # The random variables of the spec, and as the graph has them.
        self.random: Mapping[str, Declared] = {}
        self.chance: dict[str, Variable] = {}
        # Of each tracked mean, by the param that keeps it and its axes: what is kept after the step, the newest mean, and
        # whether both are logarithms.
        self.means: dict[tuple[str, tuple[str, ...]], tuple[Node, Node, bool]] = {}
        # Logarithms of the weights of all paths of variables of recurrences, by uid, and numbers that equal nodes share.
        self.totals: set[int] = set()
        self.numbers = Numbers()
        # Whether an integer expression surely is at least 0, and whether it surely is below the size of a dim.
        self.sides: Callable[[Expr, str], tuple[bool, bool]] = lambda e, dim: (False, False)
        # On batches: the dim of all values for each dim of a batch.
        self.whole: Mapping[str, str] = {}

    def axis(self, letter: str) -> Axis:
        """The axis of a letter."""
        return Axis(letter, self.letters[letter])

    def key(self) -> Node:
        """The argument that the key of all draws is; made when it is first asked for."""
        if not self.keys:
            with self.b.at(Origin()):
                self.keys.append(self.b.input("key", "key", (), "key"))
        return self.keys[0]

    def vector(self, p: Param) -> None:
        """Makes known the argument that is a vector of the shape of a param, for products with a Hessian: `w.vector`."""
        name, axes = f"{p.name}.vector", [self.axis(x) for x in p.letters]
        key = "@".join([name, *(a.dim for a in axes if a.dim in self.whole)])
        if key not in self.vectors:
            with self.b.at(Origin(name, p.span.line, p.span.column, file=self.file(p.span))):
                self.vectors[key] = self.b.input(name, "vector", axes, p.dtype)
        self.argument(name, self.vectors[key])

    def ordinal(self, place: tuple[object, ...]) -> int:
        """The number of a draw in the spec; one that the spec does not list comes after those."""
        return self.ordinals.setdefault(place, len(self.ordinals))

    def get(self, name: str) -> Node:
        """The value of a name; one that is still pending is lowered now."""
        if name not in self.values:
            self.values[name] = self.pending.pop(name)()
        return self.values[name]

    @contextmanager
    def step(self, letter: str, index: Node, label: str) -> Iterator[None]:
        """Inside a recurrence's step: its letter is a number that the loop counts."""
        inside = dict(self.dropped)
        with self._place({**self.bound, letter: index}, dict(self.slices), inside, (*self.level, label)):
            yield
        for key in inside.keys() - self.dropped.keys():
            # What a name is in a step is nothing outside of it.
            for known in (self.values, self.pending, self.finals):
                known.pop(key, None)

    @contextmanager
    def _place(
        self,
        bound: dict[str, Node],
        slices: dict[str, Node],
        dropped: dict[str, tuple[int, ...]],
        level: tuple[str, ...],
    ) -> Iterator[None]:
        outer = self.bound, self.slices, self.dropped, self.level
        self.bound, self.slices, self.dropped, self.level = bound, slices, dropped, level
        try:
            yield
        finally:
            self.bound, self.slices, self.dropped, self.level = outer

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Outside of all steps."""
        with self._place({}, {}, {}, ()):
            yield

    def _later(self, make: Callable[[], Made]) -> Callable[[], Made]:
        """The function, to be called in the place where the lowering is now."""
        place = self.bound, self.slices, self.dropped, self.level

        def made() -> Made:
            with self._place(*place):
                return make()

        return made

    def free(self, letters: tuple[str, ...]) -> tuple[str, ...]:
        """The letters that are axes where the lowering is."""
        return tuple(x for x in letters if x not in self.bound)

    def fixed(self, letters: tuple[str, ...]) -> tuple[int, ...]:
        """The places of the letters that are numbers where the lowering is."""
        return tuple(k for k, x in enumerate(letters) if x in self.bound)

    def slice(self, key: str, node: Node, dropped: tuple[int, ...]) -> None:
        """Inside a step, keeps what a name is there, without axes for the subscripts at `dropped`."""
        self.slices[key] = node
        self.dropped[key] = dropped

    def value(self, e: Expr, name: str = "", letters: tuple[str, ...] | None = None) -> Node:
        """The node of an expression; with `letters`, exactly these axes in this order. `name` is what it defines."""
        if isinstance(e, Stack):
            self.stacks[name] = e
        start = self.b.number(0).uid
        with self.b.at(Origin(name, e.span.line, e.span.column, "part", self.file(e.span))):
            node = self.lower(e)
            if letters is not None:
                node = self.b.order(node, [self.axis(x) for x in letters])
        return self._named(node, name, start)

    def _named(self, node: Node, name: str, start: int) -> Node:
        if name and node.uid > start and node.origin.role == "part":
            # The last node is the one that the name stands for.
            known = self.b.hessians.get(node.uid)
            node = replace(node, origin=node.origin._replace(name=name, role="value"), uid=next_uid())
            if known is not None:
                self.b.hessians[node.uid] = known
        # A derivative by a name finds whoever reads it, even where its value is a number or a rename of something else.
        # An expectation puts other values in the place of a draw.
        return self.b.hold(node) if name in self.variables or name in self.random else node

    def part_values(self, e: Expr, name: str = "", letters: tuple[str, ...] | None = None) -> parts.Parts:
        """`value` for an expression with complex values: the nodes of its real and of its imaginary part."""
        start = self.b.number(0).uid
        with self.b.at(Origin(name, e.span.line, e.span.column, "part", self.file(e.span))):
            re, im = parts.parts_of(self, e)
            if letters is not None:
                axes = [self.axis(x) for x in letters]
                re, im = self.b.order(re, axes), self.b.order(im, axes)
        if not name:
            return re, im
        re, im = self._named(re, f"{name}_re", start), self._named(im, f"{name}_im", start)
        return (self.b.hold(re), self.b.hold(im)) if name in self.variables else (re, im)

    def enter(self, name: str, e: Expr, letters: tuple[str, ...], dtype: str) -> None:
        """Lowers what a name stands for and keeps it under the name, or under those of its parts."""
        if dtype != "complex":
            self.values[name] = self.value(e, name, letters)
        else:
            self.values.update(zip(parts.names(name), self.part_values(e, name, letters), strict=True))

    def postpone(self, name: str, e: Expr, letters: tuple[str, ...], dtype: str) -> None:
        """Lowers what a name stands for once it is asked for."""
        if dtype != "complex":
            self.pending.setdefault(name, self._later(partial(self.value, e, name, letters)))
            return
        both = cache(self._later(partial(self.part_values, e, name, letters)))
        for k, key in enumerate(parts.names(name)):
            self.pending.setdefault(key, partial(lambda k: both()[k], k))

    def argument(self, name: str, node: Node) -> None:
        """Keeps an argument of the program under its name, or under those of its parts."""
        if node.dtype == "complex":
            parts.split(self, name, node)
        else:
            self.values[name] = node

    def lower(self, e: Expr) -> Node:
        """The node of an expression; its axes are among the free letters of the expression."""
        if e.dtype == "complex":
            return parts.joined(self, parts.parts_of(self, e))
        if isinstance(e, Number):
            return self.b.number(e.value.real if isinstance(e.value, complex) else e.value, e.dtype)
        if isinstance(e, Pointwise):
            leaves: list[Node] = []
            tree, _ = self._tree(e, leaves)
            return self._map(tree, leaves, e.dtype)
        if isinstance(e, Element):
            return self._element(e)
        if isinstance(e, Reduction):
            return self._reduction(e)
        if isinstance(e, Along):
            return self._along(e)
        if isinstance(e, Derivative):
            return self._derivative(e)[0]
        if isinstance(e, Foreign):
            return foreign(self, e)
        if isinstance(e, Linalg):
            return self._linalg(e)
        if isinstance(e, Rows):
            return self.b.stack([self._row(x) for x in e.rows], [()] * len(e.rows), self.axis(e.letter), e.axes)
        if isinstance(e, Stack):
            return stacked(self, e)
        if isinstance(e, Delta):
            return self._delta(e)
        if isinstance(e, IndexValue):
            return self.bound.get(e.letter) or self.b.index(self.axis(e.letter))
        if isinstance(e, SizeOf):
            dim = self.letters[e.letter]
            return self.b.size(self.whole.get(dim, dim))
        if isinstance(e, Stop):
            return self.b.stop(self.lower(e.body))
        if isinstance(e, Sample):
            return drawn(self, e)
        if isinstance(e, Expectation):
            return expectation(self, e)
        if isinstance(e, Coord | Spacing):
            return self._coordinate(e)
        if isinstance(e, Part):
            return self._part(e)
        if isinstance(e, Implicit):
            return implicit_quantity(self, e)
        raise NotImplementedError(type(e).__name__)

    # --- pointwise ----------------------------------------------------------------------------------------------

    def _tree(self, e: Expr, leaves: list[Node]) -> tuple[Tree, int]:
        """The kernel tree of an expression over `leaves`, and its number of operations."""
        if isinstance(e, Number):
            return num(e.value), 0
        if not isinstance(e, Pointwise):
            return self._leaf(self.lower(e), leaves), 0
        if any(a.dtype == "complex" for a in e.args):
            return parts.real_tree(self, e, leaves)
        short = parts.even_power(self, e, leaves)
        if short is not None:
            return short
        children: list[Tree] = []
        ops = 1
        for arg in e.args:
            child, count = self._tree(arg, leaves)
            children.append(child)
            ops += count
        if e.op == "real" and e.args[0].dtype == "real":
            return children[0], ops - 1
        if e.op in ("im", "arg"):
            return parts.of_real(e.op, children[0]), ops
        tree: Tree = (e.op, *children)
        if self.totals and e.op in ("log", "div"):
            tree = apart(tree, leaves, self.totals)
        if ops > KERNEL_OPS:
            return self._leaf(self._map(tree, leaves, e.dtype), leaves), 0
        return tree, ops

    def _map(self, tree: Tree, leaves: list[Node], dtype: str) -> Node:
        tree, operands = self.guards.protect(decided(tree, leaves), leaves)
        return self.b.map(tree, operands, dtype)

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

    def _coordinate(self, e: Coord | Spacing) -> Node:
        """`low + index*(high - low)/cells` or the distance of two of them; a period's last cell ends where it starts."""
        dim = self.dims[self.letters[e.letter]]
        if dim.low is None or dim.high is None:
            raise ValueError(f"the dim {dim.name} has no coordinates")
        low, high = self.lower(dim.low), self.lower(dim.high)
        span = self._folded("sub", high, low)
        size = self.b.size(dim.name)
        cells = size if dim.boundary == "periodic" else self._folded("sub", size, self.b.number(1))
        if isinstance(e, Spacing):
            return self._folded("div", span, cells)
        index = self.bound.get(e.letter) or self.b.index(self.axis(e.letter))
        tree: Tree = ("add", slot(0), ("div", ("mul", slot(1), ("real", slot(2))), slot(3)))
        return self.b.map(tree, [low, span, index, cells], "real")

    def _folded(self, op: str, left: Node, right: Node) -> Node:
        """An arithmetic operation on scalars, done now where both are numbers."""
        if is_number(left) and is_number(right):
            x, y = left.attrs[0], right.attrs[0]
            return self.b.number(x - y if op == "sub" else x / y)
        return self.b.map((op, slot(0), slot(1)), [left, right])

    def _part(self, e: Part) -> Node:
        configures = self.dims[self.letters[e.letter]].configures
        if configures is None:
            raise ValueError(f"{e.letter} is no letter of configurations")
        values, places = configures
        axes = Axis(self.b.fresh(e.letter), self.letters[e.letter]), Axis(self.b.fresh(places), places)
        return self.subscript(self.b.digit(*axes, values), [Affine(e.letter), e.place])

    # --- reductions ---------------------------------------------------------------------------------------------

    def _dims(self, letters: tuple[str, ...]) -> dict[str, str]:
        return {x: self.letters[x] for x in letters}

    def _count(self, letters: tuple[str, ...]) -> Node:
        sizes = [self.b.size(self.letters[x]) for x in letters]
        if len(sizes) == 1:
            return sizes[0]
        return self.b.map(("mul", *(slot(k) for k in range(len(sizes)))), sizes, "integer")

    def sum(self, x: Node, letters: tuple[str, ...]) -> Node:
        """The sum over the letters; over a batch, the estimate of that over all values."""
        if not self.whole:
            return self.b.reduce("sum", x, letters, self._dims(letters))
        dims = self._dims(letters)
        # What a batched letter does not enter is added as often as there are values.
        dims |= {a: self.whole.get(dim, dim) for a, dim in dims.items() if a not in x.names}
        return self.estimate(self.b.reduce("sum", x, letters, dims), [a for a in letters if a in x.names])

    def estimate(self, total: Node, letters: Iterable[str]) -> Node:
        """A sum over a batch times the share of all values that the batch is, for each of the letters."""
        for dim in (self.letters[x] for x in letters):
            if dim in self.whole:
                sizes = [self.b.size(self.whole[dim]), self.b.size(dim)]
                share = self.b.map(("div", ("real", slot(0)), ("real", slot(1))), sizes, "real")
                total = self.b.map(("mul", slot(0), slot(1)), [share, total], "real")
        return total

    def _mean(self, x: Node, letters: tuple[str, ...]) -> Node:
        if self.whole:
            letters = tuple(a for a in letters if a in x.names or self.letters[a] not in self.whole)
            if not letters:
                return self.b.map(("real", slot(0)), [x], "real")
        return self._over_count(self.b.reduce("sum", x, letters, self._dims(letters)), letters)

    def _over_count(self, total: Node, letters: tuple[str, ...]) -> Node:
        return self.b.map(("div", slot(0), slot(1)), [total, self._count(letters)], "real")

    def _reduction(self, e: Reduction) -> Node:
        b, letters = self.b, e.letters
        if e.body.dtype == "complex":
            return parts.real_reduction(self, e)
        if e.by != AUTO:
            return self._told(e)
        if e.op in ("sum", "mean"):
            total = selected_sum(self, e.body, letters)
            if total is not None:
                return self.estimate(total, letters) if e.op == "sum" else self._over_count(total, letters)
        if e.op == "sum":
            together = summed(self, e)
            if together is not None:
                return together
            moved = convolved(self, e)
            if moved is not None:
                return moved
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
            return b.map(root, [self.sum(square, letters)], "real")
        if e.op in ("median", "quantile"):
            level = self.lower(e.level) if e.level is not None else b.number(0.5)
            return quantile(b, x, self.axis(letters[0]), level)
        if e.op == "sum":
            return self.sum(x, letters)
        return b.reduce(e.op, x, letters, self._dims(letters))

    def _told(self, e: Reduction) -> Node:
        """A reduction that says how it is evaluated: as it is written, but for that."""
        x = self.lower(e.body)
        self.b.taken = (e.by.word, *e.by.numbers)
        try:
            if e.op == "mean":
                return self._mean(x, e.letters)
            return self.sum(x, e.letters) if e.op == "sum" else self.b.reduce(e.op, x, e.letters, self._dims(e.letters))
        finally:
            self.b.taken = ()

    def _along(self, e: Along) -> Node:
        x, axis = self.lower(e.body), self.axis(e.letter)
        if e.op in ("cumsum", "cumprod"):
            return self.b.cumulate(e.op.removeprefix("cum"), [x], axis)
        if e.op == "argsort":
            return self.b.cumulate("argsort", [x], axis)
        if e.op == "sort":
            return sorted_along(self.b, x, axis)
        total = self.b.reduce("logsumexp", x, (e.letter,), self._dims((e.letter,)))
        tree: Tree = ("sub", slot(0), slot(1))
        return self.b.map(("exp", tree) if e.op == "softmax" else tree, [x, total], "real")

    def _row(self, e: Expr) -> Node:
        with self.b.at(self.b.origin._replace(line=e.span.line, column=e.span.column)):
            return self.lower(e)

    # --- references ---------------------------------------------------------------------------------------------

    def _element(self, e: Element) -> Node:
        subscripts = self._kept(e)
        if e.name in self.slices:
            return self.subscript(self.slices[e.name], subscripts)
        if e.name in self.finals:
            final, time = self.finals[e.name]
            if e.subscripts[time] == At(-1):
                return self.subscript(final, self._kept(e, time))
        return self.subscript(self.get(e.name), subscripts)

    def _kept(self, e: Element, *more: int) -> list[Subscript]:
        """The subscripts of an element that its value has axes for."""
        dropped = {*self.dropped.get(e.name, ()), *more}
        return [s for k, s in enumerate(e.subscripts) if k not in dropped]

    def subscript(self, x: Node, subscripts: list[Subscript]) -> Node:
        """x with one subscript per axis."""
        b = self.b
        rest: list[tuple[str, Subscript]] = []
        targets: list[str] = []
        for axis, s in zip(x.axes, subscripts, strict=True):
            letter = self._plain(s, axis)
            # Others get a name of their own until they are applied: letters of the result may collide with it.
            targets.append(letter or b.fresh(axis.name))
            if letter is None:
                rest.append((targets[-1], s))
        return self._apply(b.reindex(x, targets), rest)

    def _plain(self, s: Subscript, axis: Axis) -> str | None:
        """The letter that a subscript is, where it only names the axis."""
        plain = isinstance(s, Affine) and s.plain and s.letter not in self.bound
        return s.letter if plain and isinstance(s, Affine) and self.letters[s.letter] == axis.dim else None

    def _apply(self, x: Node, subscripts: Iterable[tuple[str, Subscript]]) -> Node:
        """x read along some of its axes, by name."""
        for name, s in subscripts:
            if isinstance(s, At):
                x = self.b.at_position(x, name, s.position)
            elif isinstance(s, Gather):
                x = self.b.gather(x, self.lower(s.index), name)
            else:
                x = read_affine(self.b, x, name, s, self.axis(s.letter), self.bound)
        return x

    # --- derivatives, linear algebra ----------------------------------------------------------------------------

    def _derivative(self, e: Derivative) -> tuple[Node, ...]:
        """The derivative: one node, or the two of a complex one."""
        found = self._taken(e)
        if len(e.wrt) <= 2 and len(found) == 1:
            note_hessian(self, e, found[0])
        return found

    def _taken(self, e: Derivative) -> tuple[Node, ...]:
        """The same, in the way that costs least or that is asked for."""
        together = several(self, e)
        if together is not None:
            return (together,)
        nodes = self._differentiated(e)
        self.b.sweeps.clear()
        for wrt in e.wrt:
            nodes = self._step(nodes, wrt, e.by.word)
            self.derivatives += 1
        self.choices.append(swept(e, self.b.sweeps))
        return nodes

    def _stepped(self, e: Derivative, value: Node) -> Node:
        """A real derivative sweep by sweep."""
        for wrt in e.wrt:
            value = self._by(value, wrt)
        return value

    def noted(self, e: Derivative, chosen: str) -> None:
        """Called where a derivative was taken in the way of that name."""

    def _differentiated(self, e: Derivative) -> tuple[Node, ...]:
        return parts.parts_of(self, e.body) if e.body.dtype == "complex" else (self.lower(e.body),)

    def _step(self, nodes: tuple[Node, ...], wrt: Element, mode: str) -> tuple[Node, ...]:
        if len(nodes) == 1 and wrt.dtype != "complex":
            return (self._by(nodes[0], wrt, mode),)
        return parts.wirtinger(self, nodes, wrt)

    def _by(self, node: Node, wrt: Element, mode: str = "auto") -> Node:
        """d(node, wrt): along plain letters at once, then the subscripts that are not plain letters."""
        subscripts = self._kept(wrt)
        x = self.slices[wrt.name] if wrt.name in self.slices else self.get(wrt.name)
        letters: list[Axis] = []
        after: list[tuple[str, Subscript]] = []
        for axis, s in zip(x.axes, subscripts, strict=True):
            letter = self._plain(s, axis)
            letters.append(Axis(letter or self.b.fresh(axis.name), axis.dim))
            if letter is None:
                after.append((letters[-1].name, s))
        if wrt.name in self.slices:
            result = derivative(self.b, node, x, letters, mode=mode)
        else:
            result = by(self, node, wrt.name, letters, mode=mode)
        return self._apply(result, after)

    def _linalg(self, e: Linalg, operands: list[Node] | None = None) -> Node:
        return self._read(self._matrix_function(e, operands or [self.lower(block.body) for block in e.blocks]), e)

    def _read(self, x: Node, e: Linalg) -> Node:
        """The entries of a function of whole axes that are asked for: its own axes come last."""
        if not e.subscripts:
            return x
        return self.read(x, [a.name for a in x.axes[: len(x.axes) - len(e.subscripts)]], e.subscripts)

    def read(self, x: Node, batch: Iterable[str], subscripts: Iterable[Subscript]) -> Node:
        """The entries of a value whose own axes come last."""
        return self.subscript(x, [*(Affine(n) for n in batch), *subscripts])

    def _matrix_function(self, e: Linalg, operands: list[Node]) -> Node:
        b = self.b
        first = e.blocks[0].core
        if e.op == "trace":
            x = self.with_axes(operands[0], first)
            return b.reduce("sum", b.rename(x, {first[1]: first[0]}), (first[0],), self._dims((first[0],)))
        rows, columns = first
        operands[0] = self.with_axes(operands[0], first)
        cores: list[tuple[str, ...]] = [first]
        if len(operands) == 2:
            (other,) = e.blocks[1].core
            operands[1] = b.rename(self.with_axes(operands[1], (other,)), {other: rows})
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
        b.way = e.by.word
        try:
            return b.linalg(e.op, operands, cores, result)
        finally:
            b.way = AUTO.word

    def with_axes(self, x: Node, letters: tuple[str, ...]) -> Node:
        """x with an axis for each of the letters."""
        missing = [self.axis(n) for n in letters if n not in x.names]
        return self.b.order(x, (*x.axes, *missing)) if missing else x
