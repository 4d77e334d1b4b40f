"""Builds nodes with their type rules, and keeps them small as it goes: constants sink into kernels, renames compose.

The builder does not merge equal nodes (the intern pass does); it only refuses to make nodes that say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from vspec.compiler.graph import concat, limits
from vspec.compiler.graph.call import Function
from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.kernel import Tree, kernel, num, slot, slots, substitute
from vspec.compiler.graph.node import Axis, Kind, Node, Origin, Region
from vspec.compiler.graph.strategy import Choice

Rule = Callable[["Builder", Node], Node | None]

BOOLEAN_OPS = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"})
INTEGER_OPS = frozenset(
    {"add", "sub", "mul", "neg", "mod", "floordiv", "maximum", "minimum", "abs", "sign", "square", "clip"}
)


class Hessian(NamedTuple):
    """A matrix over two of the axes of a node: the second derivatives of each element of `value` by all of `by`, or a part of
    them along equal rows and columns."""

    rows: str
    columns: str
    value: Node
    by: tuple[Node, ...]


class At:
    """A builder that gives nodes one origin for a while."""

    __slots__ = ("before", "builder", "origin")

    def __init__(self, builder: Builder, origin: Origin) -> None:
        self.builder = builder
        self.origin = origin
        self.before = builder.origin

    def __enter__(self) -> None:
        self.before = self.builder.origin
        self.builder.origin = self.origin

    def __exit__(self, *what: object) -> None:
        self.builder.origin = self.before


class Builder:
    """Makes nodes. `dims` are the sizes known at build time; `rules` are local rewrites tried on every new node.

    `solutions`: what the calculus has made of each problem that is solved, by the uid of its region. `choices`: what was
    chosen where there are several ways.
    """

    def __init__(self, dims: Mapping[str, int | Node | None] | None = None, rules: Iterable[Rule] = ()) -> None:
        self.dims: dict[str, int | Node | None] = dict(dims or {})
        self.rules = tuple(rules)
        self.origin = Origin()
        self.solutions: dict[int, Any] = {}
        self.choices: list[Choice] = []
        # How the matrix operation that is made next is to be evaluated; who obeys sets it back.
        self.way = "auto"
        # How reductions that are made next are to be evaluated: nothing, or 'whole', or 'blocks' and a number.
        self.taken: tuple[str | int, ...] = ()
        # How each derivative since it was last emptied is taken: the mode, and the cost of each mode there is.
        self.sweeps: list[tuple[str, dict[str, float]]] = []
        # The matrices that are known to be Hessians, by uid.
        self.hessians: dict[int, Hessian] = {}
        # Maps and reductions on diagonals, by their uid and targets.
        self._diagonals: dict[tuple[int, tuple[str, ...]], Node | None] = {}
        # Which nodes are equal, as far as somebody asked.
        self.classes = Classes()
        # The values of arguments that have few, all of them whole, by uid.
        self.few: dict[int, frozenset[int]] = {}
        self._fresh = 0
        self._made = 0

    def at(self, origin: Origin) -> At:
        """Nodes made inside carry this origin."""
        return At(self, origin)

    def fresh(self, base: str, taken: Iterable[str] = ()) -> str:
        """A new axis name like `i~1` that this builder has not made before and that is not among `taken`.

        A pass works with a builder of its own on names that another one made: it names those it works on.
        """
        known = set(taken)
        while True:
            self._fresh += 1
            name = f"{base.split('~')[0]}~{self._fresh}"
            if name not in known:
                return name

    def make(
        self, kind: Kind, op: str, inputs: Sequence[Node], axes: Sequence[Axis], dtype: str, attrs: tuple[Any, ...] = ()
    ) -> Node:
        """A node as told, after the rules have had their say.

        Raises TooLargeError when the program, or the formula of this node, grows beyond all measure.
        """
        if len(axes) > 1 and len({a[0] for a in axes}) != len(axes):
            raise ValueError(f"axes of a node must differ: {[a.name for a in axes]}")
        self._made += 1
        if self._made > limits.MAX_NODES:
            raise limits.TooLargeError(
                f"the program has more than {limits.MAX_NODES} operations on arrays", self.origin
            )
        if kind is Kind.MAP and attrs[0].ops > limits.MAX_OPERATIONS:
            message = f"a formula grows to more than {limits.MAX_OPERATIONS} operations as it is differentiated"
            raise limits.TooLargeError(message, self.origin)
        node = Node(kind, op, tuple(inputs), tuple(axes), dtype, attrs, self.origin)
        for rule in self.rules:
            better = rule(self, node)
            if better is not None:
                return better
        return node

    # --- leaves -------------------------------------------------------------------------------------------------

    def input(self, name: str, role: str, axes: Sequence[Axis], dtype: str) -> Node:
        """An argument of the program."""
        return self.make(Kind.INPUT, role, (), axes, dtype, (name,))

    def number(self, value: int | float | bool | Fraction, dtype: str | None = None) -> Node:
        """A scalar constant."""
        if dtype is None:
            dtype = "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "real"
        return self.make(Kind.CONST, "number", (), (), dtype, (value,))

    def array(self, value: Any, axes: Sequence[Axis], dtype: str) -> Node:
        """A constant array, given as nested tuples."""
        return self.make(Kind.CONST, "array", (), axes, dtype, (value,))

    def size(self, dim: str) -> Node:
        """The size of a dim: a number where it is known, else a symbol."""
        known = self.dims.get(dim)
        if isinstance(known, int):
            return self.number(known)
        if isinstance(known, Node):
            return known
        return self.make(Kind.CONST, "size", (), (), "integer", (dim,))

    def index(self, axis: Axis) -> Node:
        """0, 1, 2, ... along an axis."""
        return self.make(Kind.INDEX, "value", (), (axis,), "integer")

    def delta(self, a: Axis, b: Axis) -> Node:
        """1 where two axes agree, else 0."""
        if a.name == b.name:
            return self.number(1)
        return self.make(Kind.INDEX, "delta", (), (a, b), "real")

    def digit(self, configuration: Axis, place: Axis, base: str) -> Node:
        """Which value of the dim `base` a configuration gives to a place."""
        return self.make(Kind.INDEX, "part", (), (configuration, place), "integer", (base,))

    def pair(self, axis: Axis, dim: str, which: int) -> Node:
        """The lower (0) or the higher (1) position of each pair of positions of a dim, along an axis over these pairs."""
        return self.make(Kind.INDEX, "pair", (), (axis,), "integer", (dim, which))

    # --- pointwise ----------------------------------------------------------------------------------------------

    def map(self, tree: Tree, inputs: Sequence[Node], dtype: str | None = None) -> Node:
        """The scalar kernel `tree` at each point of the union of the operands' axes.

        Operands that occur twice share a slot, scalar constants sink into the kernel, unused operands are dropped;
        a kernel that is one slot is its operand, a kernel without slots is a number.
        """
        replace: dict[int, Tree] = {}
        kept: list[Node] = []
        where: dict[Any, int] = {}
        used = slots(tree)
        for k, node in enumerate(inputs):
            if k not in used:
                continue
            if node.kind is Kind.CONST and node.op == "number":
                replace[k] = num(node.attrs[0])
                continue
            # Each reader has its own node of an array under other letters.
            named = node.kind is Kind.REINDEX
            same: Any = (node.inputs[0].uid, node.attrs, node.axes) if named else node.uid
            if same not in where:
                where[same] = len(kept)
                kept.append(node)
            if where[same] != k:
                replace[k] = slot(where[same])
        if replace:
            tree = substitute(tree, replace)
        if tree[0] == "x":
            return kept[tree[1]]
        if tree[0] == "num":
            return self.number(tree[1], dtype)
        if dtype is None:
            dtype = tree_dtype(tree, [n.dtype for n in kept])
        return self.make(Kind.MAP, "", kept, union_axes(kept), dtype, (kernel(tree),))

    def add(self, terms: Sequence[Node]) -> Node:
        """The sum of several nodes; joined arrays are added part by part."""
        if sum(t.kind is Kind.CONCAT for t in terms) > 1:
            terms = concat.added(self, terms)
        if len(terms) == 1:
            return terms[0]
        return self.map(("add", *(slot(k) for k in range(len(terms)))), terms)

    def mul(self, factors: Sequence[Node]) -> Node:
        """The product of several nodes; numbers equal to one vanish."""
        left = [f for f in factors if not is_number(f, 1)]
        if not left:
            return self.number(1)
        if len(left) == 1:
            return left[0]
        return self.map(("mul", *(slot(k) for k in range(len(left)))), left)

    def neg(self, x: Node) -> Node:
        """Minus x."""
        return self.map(("neg", slot(0)), [x])

    # --- axes ---------------------------------------------------------------------------------------------------

    def reduce(self, op: str, x: Node, over: Iterable[str], dims: Mapping[str, str] | None = None) -> Node:
        """Reduces the axes `over`. An axis that x lacks is one along which it is constant; `dims` names its dim."""
        wanted = tuple(dict.fromkeys(over))
        present = tuple(n for n in wanted if n in x.names)
        absent = tuple(n for n in wanted if n not in x.names)
        dtype = {"argmax": "integer", "argmin": "integer", "any": "boolean", "all": "boolean"}.get(op, x.dtype)
        if op in ("argmax", "argmin") and not present:
            return self.number(0)
        if present:
            axes = tuple(a for a in x.axes if a.name not in present)
            x = self.make(Kind.REDUCE, op, (x,), axes, dtype, (present, self.taken) if self.taken else (present,))
        for name in absent:
            count = self.size((dims or {})[name])
            if op == "sum":
                x = self.map(("mul", slot(0), slot(1)), [count, x], "integer" if x.dtype == "integer" else "real")
            elif op == "prod":
                x = self.map(("pow", slot(0), slot(1)), [x, count])
            elif op == "logsumexp":
                x = self.map(("add", slot(0), ("log", ("real", slot(1)))), [x, count], "real")
        return x

    def reindex(self, x: Node, targets: Sequence[str], axes: Sequence[Axis] | None = None) -> Node:
        """out[axes] = x[targets]. Without `axes` the result has the targets in order, each once."""
        if axes is None:
            seen: dict[str, Axis] = {}
            for name, old in zip(targets, x.axes, strict=True):
                seen.setdefault(name, Axis(name, old.dim))
            axes = tuple(seen.values())
        axes = tuple(axes)
        if tuple(targets) == x.names and axes == x.axes:
            return x
        if x.kind is Kind.INDEX and x.op == "value" and len(axes) == 1:
            return self.index(axes[0])
        if len(set(targets)) < len(targets) and x.kind in (Kind.MAP, Kind.REDUCE):
            # What several readers share is made once.
            key = (x.uid, tuple(targets))
            if key not in self._diagonals:
                self._diagonals[key] = self._diagonal(x, targets)
            if (found := self._diagonals[key]) is not None:
                return self.order(found, axes)
        if x.kind is Kind.REINDEX:
            # x[..] = y[t]: a rename of a rename is one rename, as long as x adds no axis of its own.
            inner_targets: tuple[str, ...] = x.attrs[0]
            to = dict(zip(x.names, targets, strict=True))
            if set(inner_targets) == set(x.names):
                return self.reindex(x.inputs[0], tuple(to[n] for n in inner_targets), axes)
        return self.make(Kind.REINDEX, "", (x,), axes, x.dtype, (tuple(targets),))

    def _diagonal(self, x: Node, targets: Sequence[str]) -> Node | None:
        """A map or a reduction on its diagonal, of which only the diagonal is computed; None where it reduces along it."""
        to = dict(zip(x.names, targets, strict=True))
        if x.kind is Kind.MAP:
            inputs = [self.reindex(y, tuple(to[n] for n in y.names)) for y in x.inputs]
            return self.map(x.attrs[0].tree, inputs, x.dtype)
        if set(x.attrs[0]) & set(targets):
            return None
        (y,) = x.inputs
        inner = self.reindex(y, tuple(to.get(n, n) for n in y.names))
        return self.reduce(x.op, inner, x.attrs[0], {a.name: a.dim for a in y.axes})

    def rename(self, x: Node, names: Mapping[str, str]) -> Node:
        """x with some axes renamed; two that get one name become the diagonal."""
        if not any(n in names for n in x.names):
            return x
        return self.reindex(x, tuple(names.get(n, n) for n in x.names))

    def order(self, x: Node, axes: Sequence[Axis]) -> Node:
        """x with exactly these axes in this order, broadcast along those it lacks."""
        return self.reindex(x, x.names, axes)

    def window(self, x: Node, axis: str, new: Axis, scale: int, offset: int) -> Node:
        """out[.., s, ..] = x[.., scale*s + offset, ..] with `axis` replaced by `new`."""
        axes = tuple(new if a.name == axis else a for a in x.axes)
        return self.make(Kind.WINDOW, "affine", (x,), axes, x.dtype, (axis, new.name, scale, offset))

    def shift(self, x: Node, axis: str, offset: int, mode: str) -> Node:
        """out[.., i, ..] = x[.., i + offset, ..]; beyond the ends the other end (periodic) or 0 (zero)."""
        size = self.dims.get(x.axis(axis).dim)
        again = x.kind is Kind.WINDOW and x.op == "shift" and (x.attrs[0], x.attrs[2]) == (axis, mode)
        # Shifts by a period add up; others do where the second brings nothing back that the first lost.
        if again and (mode == "periodic" or x.attrs[1] * offset > 0):
            return self.shift(x.inputs[0], axis, x.attrs[1] + offset, mode)
        if mode == "periodic" and isinstance(size, int):
            offset = (offset + size // 2) % size - size // 2
        if offset == 0:
            return x
        if mode == "zero" and isinstance(size, int) and abs(offset) >= size:
            zero = {"boolean": False, "integer": 0}.get(x.dtype, 0.0)
            return self.order(self.number(zero), x.axes)
        return self.make(Kind.WINDOW, "shift", (x,), x.axes, x.dtype, (axis, offset, mode))

    def flip(self, x: Node, axis: str) -> Node:
        """x with one axis in reverse."""
        if x.kind is Kind.WINDOW and x.op == "flip" and x.attrs == (axis,):
            return x.inputs[0]
        return self.make(Kind.WINDOW, "flip", (x,), x.axes, x.dtype, (axis,))

    def at_position(self, x: Node, axis: str, position: int) -> Node:
        """out = x[.., position, ..]."""
        if axis not in x.names:
            return x
        if x.kind is Kind.INDEX and x.op == "value" and position >= 0:
            return self.number(position)
        axes = tuple(a for a in x.axes if a.name != axis)
        row = concat.row(self, x, axis, position)
        if row is not None:
            return self.order(row, axes)
        return self.make(Kind.WINDOW, "at", (x,), axes, x.dtype, (axis, position))

    def gather(self, x: Node, index: Node, axis: str) -> Node:
        """out[rest, index axes] = x[.., index, ..]; axes that both have are aligned."""
        if axis not in x.names:
            return x
        if index.kind is Kind.INDEX and index.op == "value" and index.axes[0].dim == x.axis(axis).dim:
            return self.rename(x, {axis: index.axes[0].name})
        rest = tuple(a for a in x.axes if a.name != axis)
        names = {a.name for a in rest}
        axes = rest + tuple(a for a in index.axes if a.name not in names)
        return self.make(Kind.GATHER, "", (x, index), axes, x.dtype, (axis,))

    def scatter_affine(self, x: Node, axis: str, new: Axis, scale: int, offset: int) -> Node:
        """The adjoint of `window`: x along `axis` placed at scale*s + offset of `new`, zeros elsewhere."""
        axes = tuple(new if a.name == axis else a for a in x.axes)
        return self.make(Kind.SCATTER, "affine", (x,), axes, x.dtype, (axis, new, scale, offset))

    def scatter_at(self, x: Node, new: Axis, position: int) -> Node:
        """The adjoint of `at_position`."""
        return self.make(Kind.SCATTER, "at", (x,), (new, *x.axes), x.dtype, (new, position))

    def scatter_gather(self, values: Node, index: Node, new: Axis, keep: Sequence[Axis]) -> Node:
        """out[new, keep] = sum of values[.., index axes] where index == new, over the index axes that are not kept."""
        return self.make(Kind.SCATTER, "gather", (values, index), (new, *keep), values.dtype, (new,))

    def cumulate(self, op: str, inputs: Sequence[Node], axis: Axis, reverse: bool = False) -> Node:
        """A CUMULATE node along `axis`. What it runs over is broadcast along the axis where it lacks it."""
        *factors, x = inputs
        if axis.name not in x.names:
            x = self.order(x, (*x.axes, axis))
        dtype = {"argsort": "integer", "linear": "real", "pivots": "real"}.get(op, x.dtype)
        return self.make(Kind.CUMULATE, op, (*factors, x), union_axes([x, *factors]), dtype, (axis.name, reverse))

    def stack(
        self, parts: Sequence[Node], groups: Sequence[Sequence[Axis]], new: Axis, order: Sequence[str] = ()
    ) -> Node:
        """The parts one after the other along a new axis, each with its group of axes raveled."""
        return concat.stack(self, parts, groups, new, order)

    def part(self, x: Node, axis: str, groups: Sequence[Sequence[Axis]], k: int) -> Node:
        """The k-th of the groups that are joined along an axis, unraveled; the adjoint of `stack`."""
        return concat.part(self, x, axis, groups, k)

    # --- the rest -----------------------------------------------------------------------------------------------

    def contract(self, factors: Sequence[Node], axes: Sequence[Axis]) -> Node:
        """The sum of the product of the factors over every axis that is not in `axes`."""
        return self.make(Kind.CONTRACT, "sum", factors, axes, "real")

    def linalg(
        self, op: str, operands: Sequence[Node], cores: Sequence[tuple[str, ...]], result: Sequence[Axis]
    ) -> Node:
        """A LINALG node; operands that lack a core axis are broadcast along it."""
        full, axes = self._with_cores(operands, cores, result)
        attrs = (tuple(tuple(c) for c in cores), tuple(a.name for a in result))
        return self.make(Kind.LINALG, op, full, axes, "real", attrs)

    def call(
        self, function: Function, operands: Sequence[Node], cores: Sequence[tuple[str, ...]], result: Sequence[Axis]
    ) -> Node:
        """A CALL node; operands that lack a core axis are broadcast along it."""
        full, axes = self._with_cores(operands, cores, result)
        attrs = (tuple(tuple(c) for c in cores), tuple(a.name for a in result), function)
        return self.make(Kind.CALL, function.word, full, axes, "real", attrs)

    def _with_cores(
        self, operands: Sequence[Node], cores: Sequence[tuple[str, ...]], result: Sequence[Axis]
    ) -> tuple[list[Node], tuple[Axis, ...]]:
        """The operands with all of their core axes, and the axes of what is made of them."""
        full: list[Node] = []
        dims = {a.name: a for x in operands for a in x.axes} | {a.name: a for a in result}
        for x, core in zip(operands, cores, strict=True):
            missing = [dims[n] for n in core if n not in x.names]
            full.append(self.order(x, (*x.axes, *missing)) if missing else x)
        consumed = {n for core in cores for n in core}
        batch = [a for a in union_axes(full) if a.name not in consumed]
        return full, (*batch, *result)

    def stop(self, x: Node) -> Node:
        """x, through which no derivative flows."""
        return self.make(Kind.STOP, "", (x,), x.axes, x.dtype)

    def hold(self, x: Node) -> Node:
        """x, kept apart from its readers: no rename composes with it and no rule looks through it."""
        return self.make(Kind.STOP, "hold", (x,), x.axes, x.dtype)

    def trusted(self, x: Node, way: str) -> Node:
        """A matrix, to be factored in one way, 'lu', 'cholesky' or 'cholesky_or_lu', in the systems of its derivatives, too; or
        marked as 'definite' or 'likely' to be so."""
        return self.make(Kind.STOP, way, (x,), x.axes, x.dtype)

    def region(self, op: str, region: Any, inputs: Sequence[Node]) -> Node:
        """A REGION node: a tuple, read by `item`."""
        return self.make(Kind.REGION, op, inputs, (), "tuple", (region,))

    def item(self, region: Node, position: int, axes: Sequence[Axis], dtype: str) -> Node:
        """One result of a region."""
        return self.make(Kind.ITEM, "", (region,), axes, dtype, (position,))


def union_axes(nodes: Sequence[Node]) -> tuple[Axis, ...]:
    """The union of the axes, those of the operand with most axes first, so that it needs no transpose."""
    if not nodes:
        return ()
    widest = nodes[0]
    for n in nodes:
        if len(n.axes) > len(widest.axes):
            widest = n
    seen = {a[0]: a for a in widest.axes}
    for n in nodes:
        if n is not widest:
            for a in n.axes:
                seen.setdefault(a[0], a)
    return widest.axes if len(seen) == len(widest.axes) else tuple(seen.values())


def tree_dtype(tree: Tree, inputs: Sequence[str]) -> str:
    """The dtype of a kernel's value from those of its slots."""
    op = tree[0]
    if op == "x":
        return inputs[tree[1]]
    if op == "num":
        v = tree[1]
        return "boolean" if isinstance(v, bool) else "integer" if isinstance(v, int) else "real"
    if op in BOOLEAN_OPS:
        return "boolean"
    if op == "integer":
        return "integer"
    if op in ("floor", "ceil", "round", "real"):
        return "real"
    if op == "integer":
        return "integer"
    children = [tree_dtype(c, inputs) for c in (tree[2:] if op == "where" else tree[1:])]
    if op in INTEGER_OPS or op == "where":
        if "real" in children:
            return "real"
        return "boolean" if children and all(c == "boolean" for c in children) else "integer"
    if (
        op == "pow"
        and children[0] == "integer"
        and tree[2][0] == "num"
        and isinstance(tree[2][1], int)
        and tree[2][1] >= 0
    ):
        return "integer"
    return "real"


def is_number(node: Node, value: float | None = None) -> bool:
    """Whether a node is a scalar constant (equal to `value`)."""
    if node.kind is not Kind.CONST or node.op != "number":
        return False
    return value is None or node.attrs[0] == value


__all__ = ["Builder", "Region", "Rule", "is_number", "tree_dtype", "union_axes"]
