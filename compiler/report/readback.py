"""Nodes of the graph read back as expressions, so that what the compiler derived can be shown as mathematics.

A node is written in terms of those that have names. Subscripts stand where windows and gathers are; where an operation has
no expression of its own, it is shown as a function of its operands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.linalg import operation
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Block,
    Delta,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Number,
    Part,
    Pointwise,
    Reduction,
    SizeOf,
    Subscript,
)
from vspec.compiler.language.spec import Spec

NOWHERE = Span("", 0, 0, 0, 0)
LONGEST = 160
"""Formulas of more parts than this are not shown."""
BOOLEAN = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"})
Places = Mapping[str, Subscript]


class TooLong(Exception):  # noqa: N818 (an answer, not a failure)
    """The formula would be longer than anyone reads."""


@dataclass(slots=True)
class Reader:
    """Reads nodes of one entry. `names`: what nodes are called that need not be opened, by their number."""

    spec: Spec
    names: Mapping[int, str]
    left: int = LONGEST

    def places(self, axes: Sequence[Axis]) -> dict[str, Subscript]:
        """A letter for each axis: that of the spec, with primes where two would look alike."""
        found: dict[str, Subscript] = {}
        for a in axes:
            found[a.name] = Affine(self.letter(a, found))
        return found

    def letter(self, axis: Axis, taken: Places) -> str:
        """A letter for an axis beside those that are taken."""
        base = axis.name.split("~")[0].split("@")[0]
        own = [x for x, dim in self.spec.letters.items() if dim == axis.dim and not x.startswith("_")]
        if base.startswith("_") or not base.isidentifier():
            base = own[0] if own else "i"
        used = {s.letter for s in taken.values() if isinstance(s, Affine)}
        # Another letter of the same dim reads better than a prime.
        for wish in (base, *own):
            if wish not in used:
                return wish
        while base in used:
            base += "′"
        return base

    def formula(self, node: Node, places: Places) -> Expr:
        """The expression of a node, opened even if it has a name. Raises TooLong."""
        self.left = LONGEST
        return self._opened(node, places)

    # --- nodes ----------------------------------------------------------------------------------------------------

    def _read(self, node: Node, places: Places) -> Expr:
        name = node.attrs[0] if node.kind is Kind.INPUT else self.names.get(node.uid)
        if name is not None:
            return self._element(str(name), node, places)
        return self._opened(node, places)

    def _element(self, name: str, node: Node, places: Places) -> Expr:
        self._count()
        return Element(name, tuple(places[a] for a in node.names), span=NOWHERE, axes=node.names, dtype=node.dtype)  # type: ignore[arg-type]

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise TooLong

    def _opened(self, node: Node, places: Places) -> Expr:
        self._count()
        kind = node.kind
        if kind is Kind.INPUT:
            return self._element(str(node.attrs[0]), node, places)
        if kind is Kind.CONST:
            return self._constant(node, places)
        if kind is Kind.INDEX:
            return self._index(node, places)
        if kind is Kind.MAP:
            operands = [self._read(x, {a: places[a] for a in x.names}) for x in node.inputs]
            return self._tree(node.attrs[0].tree, operands)
        if kind is Kind.REDUCE:
            return self._reduced(node, places)
        if kind is Kind.CONTRACT:
            return self._contracted(node, places)
        if kind is Kind.REINDEX:
            (x,), (targets,) = node.inputs, node.attrs
            return self._read(x, {a: places[t] for a, t in zip(x.names, targets, strict=True)})
        if kind is Kind.WINDOW:
            return self._window(node, places)
        if kind is Kind.GATHER:
            array, index = node.inputs
            where = Gather(self._read(index, {a: places[a] for a in index.names}))
            return self._read(array, {a: where if a == node.attrs[0] else places[a] for a in array.names})
        if kind is Kind.SCATTER:
            return self._scattered(node, places)
        if kind is Kind.LINALG:
            return self._linalg(node, places)
        if kind is Kind.STOP:
            return self._read(node.inputs[0], places)
        if kind is Kind.CUMULATE and node.op in ("sum", "prod") and not node.attrs[1]:
            place = places[node.attrs[0]]
            if isinstance(place, Affine) and place.plain:
                return Along(f"cum{node.op}", place.letter, self._read(node.inputs[0], places), span=NOWHERE)
        if kind is Kind.CUMULATE and node.op == "sum":
            return self._from_here(node, places)
        return self._applied(node, places)

    def _from_here(self, node: Node, places: Places) -> Expr:
        """A running sum as a sum over the places up to here, or from here on."""
        (x,), (axis, backwards) = node.inputs, node.attrs
        inner = self._bound(x, [x.axis(axis)], places)
        inner[axis] = there = Affine(self.letter(x.axis(axis), {**places, **inner}))
        sides = (self._position(there), self._position(places[axis]))
        within = Pointwise("ge" if backwards else "le", sides, span=NOWHERE, dtype="boolean")
        body = _product([self._read(x, {a: inner[a] for a in x.names}), Pointwise("real", (within,), span=NOWHERE)])
        return Reduction("sum", (there.letter,), body, span=NOWHERE)

    def _applied(self, node: Node, places: Places) -> Expr:
        """What has no expression of its own, as a function of its operands at letters of their own."""
        words = {"argsort": "argsort", "linear": "recurrence", "stack": "stack", "part": "part"}
        word = words.get(node.op, node.op if node.kind in (Kind.RANDOM, Kind.CALL) else str(node.kind))
        return _call(word, [self._read(x, self._own(x, places)) for x in node.inputs])

    def _own(self, x: Node, places: Places) -> dict[str, Subscript]:
        found: dict[str, Subscript] = dict(places)
        for a in x.axes:
            if a.name not in found:
                found[a.name] = Affine(self.letter(a, found))
        return {a: found[a] for a in x.names}

    def _constant(self, node: Node, places: Places) -> Expr:
        if node.op == "size":
            return self._size(node.attrs[0])
        if node.op == "array":
            return self._element("table", node, places)
        return _number(node.attrs[0])

    def _size(self, dim: str) -> Expr:
        known = self.spec.dims.get(dim)
        letters = [x for x in known.letters if not x.startswith("_")] if known is not None else []
        return SizeOf(letters[0] if letters else "i", span=NOWHERE, dtype="integer")

    def _index(self, node: Node, places: Places) -> Expr:
        at = [self._position(places[a]) for a in node.names]
        if node.op == "delta":
            return Delta(*at, span=NOWHERE)
        if node.op == "part":
            place = places[node.names[0]]
            if isinstance(place, Affine) and place.plain:
                return Part(place.letter, places[node.names[1]], span=NOWHERE, dtype="integer")
        if node.op == "pair":
            return _call("lower" if node.attrs[1] == 0 else "higher", at)
        return at[0] if node.op == "value" else _call("part", at)

    def _position(self, s: Subscript) -> Expr:
        if isinstance(s, At):
            return _number(s.position)
        if isinstance(s, Gather):
            return s.index
        found: Expr = IndexValue(s.letter, span=NOWHERE, dtype="integer")
        if s.scale != 1:
            found = _product([_number(s.scale), found])
        return found if not s.offset else _sum([found, _number(s.offset)])

    def _reduced(self, node: Node, places: Places) -> Expr:
        (x,), over = node.inputs, node.attrs[0]
        inner = self._bound(x, [a for a in x.axes if a.name in over], places)
        letters = tuple(s.letter for a in over if isinstance(s := inner[a], Affine))
        return Reduction(node.op, letters, self._read(x, {a: inner[a] for a in x.names}), span=NOWHERE)

    def _bound(self, x: Node, over: Sequence[Axis], places: Places) -> dict[str, Subscript]:
        inner: dict[str, Subscript] = dict(places)
        for a in over:
            inner.pop(a.name, None)
        for a in over:
            inner[a.name] = Affine(self.letter(a, inner))
        return inner

    def _contracted(self, node: Node, places: Places) -> Expr:
        over = list(dict.fromkeys(a for x in node.inputs for a in x.axes if a.name not in node.names))
        inner = self._bound(node, over, places)
        factors = [self._read(x, {a: inner[a] for a in x.names}) for x in node.inputs]
        letters = tuple(s.letter for a in over if isinstance(s := inner[a.name], Affine))
        body = _product(factors)
        return Reduction("sum", letters, body, span=NOWHERE) if letters else body

    def _window(self, node: Node, places: Places) -> Expr:
        (x,) = node.inputs
        axis = node.attrs[0]
        inner: dict[str, Subscript] = {a: places[a] for a in x.names if a in places and a != axis}
        if node.op == "affine":
            _, new, scale, offset = node.attrs
            inner[axis] = _moved(places[new], scale, offset)
        elif node.op == "shift":
            inner[axis] = _moved(places[axis], 1, node.attrs[1], node.attrs[2])
        elif node.op == "at":
            inner[axis] = At(node.attrs[1])
        else:
            place = places[axis]
            if not isinstance(place, Affine) or not place.plain:
                return self._applied(node, places)
            inner[axis] = Affine(place.letter, -1, -1, ((x.axis(axis).dim, 1),))
        return self._read(x, inner)

    def _scattered(self, node: Node, places: Places) -> Expr:
        """The adjoint of reading at a place: the sum of all that was read there, as a product with a delta."""
        x = node.inputs[0]
        if node.op == "at":
            new, position = node.attrs
            here, there = new.name, _number(position)
            if position < 0:
                there = _sum([self._size(new.dim), there])
            inner: dict[str, Subscript] = {a: places[a] for a in x.names}
            gone: list[Axis] = []
        elif node.op == "affine":
            axis, new, scale, offset = node.attrs
            gone = [x.axis(axis)]
            here = new.name
            inner = self._bound(x, gone, places)
            there = self._position(_moved(inner[axis], scale, offset))
        else:
            index, here = node.inputs[1], node.attrs[0].name
            every = dict.fromkeys((*x.axes, *index.axes))
            gone = [a for a in every if a.name not in node.names]
            inner = self._bound(x, gone, places)
            there = self._read(index, {a: inner[a] for a in index.names})
        delta = Delta(self._position(places[here]), there, span=NOWHERE)
        body = _product([self._read(x, {a: inner[a] for a in x.names}), delta])
        letters = tuple(s.letter for a in gone if isinstance(s := inner[a.name], Affine))
        return Reduction("sum", letters, body, span=NOWHERE) if letters else body

    def _linalg(self, node: Node, places: Places) -> Expr:
        cores, result = node.attrs
        taken: dict[str, Subscript] = dict(places)
        letters: dict[str, str] = {}
        for x, core in zip(node.inputs, cores, strict=True):
            for name in core:
                if name not in letters:
                    place = places.get(name)
                    plain = isinstance(place, Affine) and place.plain
                    letters[name] = (
                        place.letter if plain and isinstance(place, Affine) else self.letter(x.axis(name), taken)
                    )
                    taken[name] = Affine(letters[name])
        blocks = [
            Block(
                self._read(x, {a: Affine(letters[a]) if a in letters else places[a] for a in x.names}),
                tuple(letters[name] for name in core),
            )
            for x, core in zip(node.inputs, cores, strict=True)
        ]
        return Linalg(operation(node.op), tuple(blocks), tuple(places[a] for a in result), span=NOWHERE)

    # --- kernels --------------------------------------------------------------------------------------------------

    def _tree(self, tree: Tree, operands: Sequence[Expr]) -> Expr:
        self._count()
        op = tree[0]
        if op == "x":
            return operands[tree[1]]
        if op == "num":
            return _number(tree[1])
        children = [self._tree(c, operands) for c in tree[1:]]
        if op == "add":
            return _sum(children)
        if op == "mul":
            return _product(children)
        if op == "pow" and isinstance(children[1], Number) and _negative(children[1]):
            return _product(
                [children[0] if children[1].value == -1 else _powered(children[0], children[1])], below=True
            )
        return Pointwise(op, tuple(children), span=NOWHERE, dtype="boolean" if op in BOOLEAN else "real")


def _call(word: str, args: Sequence[Expr]) -> Expr:
    return Pointwise(word, tuple(args), span=NOWHERE)


def _number(value: Any) -> Expr:
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return _number(int(value))
        top = Pointwise("div", (_number(abs(value.numerator)), _number(value.denominator)), span=NOWHERE)
        return top if value > 0 else Pointwise("neg", (top,), span=NOWHERE)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        value = int(value)
    return Number(value, span=NOWHERE)


def _negative(e: Expr) -> bool:
    return isinstance(e, Number) and not isinstance(e.value, complex | bool) and e.value < 0


def _powered(base: Expr, exponent: Number) -> Expr:
    assert not isinstance(exponent.value, complex)
    return Pointwise("pow", (base, replace(exponent, value=-exponent.value)), span=NOWHERE)


def _sum(terms: Sequence[Expr]) -> Expr:
    """Terms one after the other, what is subtracted behind the first that is not."""
    first = next((k for k, t in enumerate(terms) if not _opposite(t)), 0)
    ordered = [terms[first], *terms[:first], *terms[first + 1 :]]

    def joined(left: Expr, right: Expr) -> Expr:
        positive = _opposite(right)
        if positive is not None:
            return Pointwise("sub", (left, positive), span=NOWHERE)
        return Pointwise("add", (left, right), span=NOWHERE)

    return reduce(joined, ordered)


def _opposite(e: Expr) -> Expr | None:
    """What a term takes away, if it takes something away."""
    if _negative(e):
        assert isinstance(e, Number)
        assert not isinstance(e.value, complex)
        return replace(e, value=-e.value)
    if isinstance(e, Pointwise) and e.op == "neg":
        return e.args[0]
    return None


def _product(factors: Sequence[Expr], below: bool = False) -> Expr:
    """Factors with a sign in front, quotients as one fraction; `below`: one over their product."""
    negative = False
    above: list[Expr] = []
    under: list[Expr] = []
    for f in factors:
        if isinstance(f, Number) and f.value == -1 and not below:
            negative = not negative
        elif isinstance(f, Pointwise) and f.op == "neg":
            negative = not negative
            (under if below else above).append(f.args[0])
        elif isinstance(f, Pointwise) and f.op == "div" and not below:
            above += [] if isinstance(f.args[0], Number) and f.args[0].value == 1 else [f.args[0]]
            under.append(f.args[1])
        else:
            (under if below else above).append(f)

    def times(left: Expr, right: Expr) -> Expr:
        return Pointwise("mul", (left, right), span=NOWHERE)

    made = reduce(times, above) if above else _number(1)
    if under:
        made = Pointwise("div", (made, reduce(times, under)), span=NOWHERE)
    return Pointwise("neg", (made,), span=NOWHERE) if negative else made


def _moved(s: Subscript, scale: int, offset: int, mode: str = "") -> Subscript:
    """The subscript `scale*s + offset`; `mode` says what it reads beyond the ends."""
    if isinstance(s, Affine):
        sizes = tuple((dim, k * scale) for dim, k in s.sizes)
        return Affine(s.letter, s.scale * scale, s.offset * scale + offset, sizes, mode or s.mode)
    if isinstance(s, At):
        return At(s.position * scale + offset)
    scaled = s.index if scale == 1 else _product([_number(scale), s.index])
    return Gather(scaled if not offset else _sum([scaled, _number(offset)]))
