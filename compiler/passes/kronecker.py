"""Matrices whose rows and columns count pairs, triples, ... of indices, and whose entries are products over these.

K[p, q] = A[p//m, q//m]*B[p % m, q % m] is the Kronecker product of A and B, and a product over the parts of two configurations
is one over the places. A *digit* of an axis of size n is `(index//stride) % size`; every factor must read one digit of the rows
and the same of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import Tree, slot, slots
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes.products import Expansion
from vspec.compiler.passes.systems import System, over


class Digit(NamedTuple):
    """(index//stride) % size."""

    stride: int
    size: int


@dataclass(frozen=True)
class Kronecker(System):
    """The Kronecker product of matrices `factors[k]` over `pairs[k]`, their rows and columns; the last one varies fastest."""

    word = "kronecker"

    factors: tuple[Node, ...]
    pairs: tuple[tuple[Axis, Axis], ...]

    def apart(self, x: Node, side: int) -> Node:
        """x with an axis per factor, those of its rows (0) or columns (1), instead of the one axis, which x may lack."""
        axis = (self.rows, self.columns)[side]
        x = x if axis.name in x.names else self.b.order(x, (*x.axes, axis))
        return self.b.part(x, axis.name, [[pair[side] for pair in self.pairs]], 0)

    def joined(self, x: Node, side: int) -> Node:
        """The other way round."""
        return self.b.stack([x], [[pair[side] for pair in self.pairs]], (self.rows, self.columns)[side])

    def solve(self, right: Node) -> Node:
        """Factor by factor."""
        x = self.apart(right, 0)
        for factor, (r, c) in zip(self.factors, self.pairs, strict=True):
            x = self.b.linalg("solve", [factor, x], ((r.name, c.name), (r.name,)), [c])
        return self.joined(x, 1)

    def apply(self, x: Node) -> Node:
        """Factor by factor."""
        x = self.apart(x, 1)
        for factor, (_, c) in zip(self.factors, self.pairs, strict=True):
            x = self.b.contract([factor, x], over(factor, x, without=[c.name]))
        return self.joined(x, 0)

    def logdet(self) -> Node:
        """That of each factor, as often as it occurs."""
        b, sizes = self.b, Sizes(self.b.dims)
        whole = sizes.dim(self.rows.dim)
        parts = []
        for factor, (r, c) in zip(self.factors, self.pairs, strict=True):
            own = b.linalg("logdet", [factor], ((r.name, c.name),), [])
            parts.append(b.map(("mul", ("num", whole // sizes.dim(r.dim)), slot(0)), [own], "real"))
        return b.add(parts)

    def cost(self, sizes: Sizes) -> float:
        """A factorisation of each factor and its substitutions."""
        whole = sizes.dim(self.rows.dim)
        each = [sizes.dim(r.dim) for r, _ in self.pairs]
        return sum(2 / 3 * float(n) ** 3 + 2.0 * n * whole for n in each)


class NoFactor(Exception):  # noqa: N818 (an answer)
    """An expression reads its rows or columns in another way than by digits."""


def kronecker(b: Builder, x: Node, r: Axis, c: Axis) -> Kronecker | None:
    """The system of a Kronecker product; None if x[r, c] is none, or its sizes are open."""
    if not isinstance(b.dims.get(r.dim), int):
        return None
    p = Expansion(b, lambda n: True).run(x)
    if p.bound:
        return None
    reader = Reader(b, r, c)
    try:
        for f in p.factors:
            reader.learn(f, {n: n for n in f.names})
        found = [reader.read(f, {n: n for n in f.names}) for f in p.factors]
    except NoFactor:
        return None
    digits = sorted(reader.rows, reverse=True)
    if len(digits) < 2 or not complete(digits, Sizes(b.dims).dim(r.dim)):
        return None
    groups: dict[Digit | None, list[Node]] = {d: [] for d in digits}
    for f in found:
        own = {d for d in digits if {reader.rows[d].name, reader.columns[d].name} & {*f.names}}
        if len(own) > 1:
            return None
        groups.setdefault(own.pop() if own else None, []).append(f)
    if any(not groups[d] for d in digits):
        return None
    # Scalars, and factors along other axes, go to the first factor.
    first = groups[digits[0]]
    first += groups.get(None, [])
    if p.value != 1:
        first.append(b.number(p.value))
    pairs = tuple((reader.rows[d], reader.columns[d]) for d in digits)
    factors = []
    for d, (row, column) in zip(digits, pairs, strict=True):
        factor = b.mul(groups[d])
        missing = [a for a in (row, column) if a.name not in factor.names]
        factors.append(b.order(factor, (*factor.axes, *missing)) if missing else factor)
    return Kronecker(b, r, c, tuple(factors), pairs)


def complete(digits: list[Digit], whole: int) -> bool:
    """Whether the digits, the most significant first, are all of an index."""
    strides = [prod(d.size for d in digits[k + 1 :]) for k in range(len(digits))]
    return [d.stride for d in digits] == strides and prod(d.size for d in digits) == whole


class Reader:
    """Reads expressions of p and q as expressions of their digits. Names are told apart by `to`, those of the whole."""

    def __init__(self, b: Builder, r: Axis, c: Axis) -> None:
        self.b, self.r, self.c = b, r, c
        self.rows: dict[Digit, Axis] = {}
        self.columns: dict[Digit, Axis] = {}
        self.whole = Sizes(b.dims).dim(r.dim)

    def digit(self, x: Node, to: Mapping[str, str]) -> tuple[str, Digit] | None:
        """The axis (r or c) and the digit of it that an integer expression is."""
        if x.kind is Kind.REINDEX:
            inner = x.inputs[0]
            return self.digit(inner, {n: to[t] for n, t in zip(inner.names, x.attrs[0], strict=True)})
        if len(x.names) != 1 or to[x.names[0]] not in (self.r.name, self.c.name) or x.dtype != "integer":
            return None
        axis = to[x.names[0]]
        if x.kind is Kind.WINDOW and x.op == "at":
            part, place = _part(x), x.attrs[1]
            if part.kind is not Kind.INDEX or part.op != "part":
                return None
            sizes = Sizes(self.b.dims)
            base, places = sizes.dim(part.attrs[0]), sizes.dim(part.axes[1].dim)
            return axis, Digit(base ** (places - 1 - place % places), base)
        if x.kind is not Kind.MAP:
            return None
        found = _digit(x.attrs[0].tree, x, self.whole)
        return None if found is None else (axis, found)

    def learn(self, x: Node, to: Mapping[str, str]) -> None:
        """Notes which digits are read, and over which dims."""
        if x.kind is Kind.REINDEX:
            inner = x.inputs[0]
            targets = x.attrs[0]
            return self.learn(inner, {n: to[t] for n, t in zip(inner.names, targets, strict=True)})
        if x.kind is Kind.GATHER:
            array, index = x.inputs
            found = self.digit(index, {n: to[n] for n in index.names})
            if found is not None:
                self._note(found[1], array.axis(x.attrs[0]).dim)
                return self.learn(array, {n: to.get(n, n) for n in array.names})
        if x.kind is Kind.WINDOW and x.op == "at" and self.digit(x, to) is not None:
            self._note(self.digit(x, to)[1], _part(x).attrs[0])  # type: ignore[index]
            return None
        for i in x.inputs:
            self.learn(i, {n: to.get(n, n) for n in i.names})
        return None

    def _note(self, digit: Digit, dim: str) -> None:
        if digit in self.rows:
            return
        if self.b.dims.get(dim) != digit.size:
            raise NoFactor
        for known, base in ((self.rows, self.r), (self.columns, self.c)):
            known[digit] = Axis(self.b.fresh(base.name), dim)

    def read(self, x: Node, to: Mapping[str, str]) -> Node:
        """x in terms of digits."""
        if not {self.r.name, self.c.name} & {to[n] for n in x.names}:
            return self.b.rename(x, {n: to[n] for n in x.names})
        found = self.digit(x, to)
        if found is not None and found[1] in self.rows:
            return self.b.index(self._axis(*found))
        if x.kind is Kind.REINDEX and len(set(x.attrs[0])) == len(x.attrs[0]) == len(x.axes):
            inner = x.inputs[0]
            return self.read(inner, {n: to[t] for n, t in zip(inner.names, x.attrs[0], strict=True)})
        if x.kind is Kind.INDEX and x.op == "delta" and {to[n] for n in x.names} == {self.r.name, self.c.name}:
            return self.b.mul([self.b.delta(self.rows[d], self.columns[d]) for d in sorted(self.rows, reverse=True)])
        if x.kind is Kind.MAP:
            operands: list[Node] = []
            tree = self._kernel(x.attrs[0].tree, x, to, operands)
            return self.b.map(tree, operands, x.dtype)
        if x.kind is Kind.GATHER:
            array, index = x.inputs
            found = self.digit(index, {n: to[n] for n in index.names})
            if found is not None and found[1] in self.rows:
                inside = {n: to.get(n, n) for n in array.names} | {x.attrs[0]: self._axis(*found).name}
                return self.read(array, inside)
        if x.kind is Kind.REDUCE and x.op == "sum":
            inner = x.inputs[0]
            fresh = {n: self.b.fresh(n, to.values()) for n in x.attrs[0]}
            body = self.read(inner, {n: fresh.get(n) or to[n] for n in inner.names})
            return self.b.reduce("sum", body, list(fresh.values()), {fresh[n]: inner.axis(n).dim for n in fresh})
        raise NoFactor

    def _kernel(self, tree: Tree, x: Node, to: Mapping[str, str], operands: list[Node]) -> Tree:
        """The kernel of a map with what it reads in terms of digits, which are the operands."""
        if tree[0] == "num":
            return tree
        whole = self._digit_in(tree, x, to)
        if whole is not None or tree[0] == "x":
            part = self.b.index(self._axis(*whole)) if whole is not None else self._operand(x.inputs[tree[1]], to)
            operands.append(part)
            return slot(len(operands) - 1)
        return (tree[0], *(self._kernel(t, x, to, operands) for t in tree[1:]))

    def _operand(self, x: Node, to: Mapping[str, str]) -> Node:
        return self.read(x, {n: to[n] for n in x.names})

    def _digit_in(self, tree: Tree, x: Node, to: Mapping[str, str]) -> tuple[str, Digit] | None:
        """The axis and the digit that a part of a kernel is, if it is a known one."""
        names = {to[n] for k in slots(tree) for n in x.inputs[k].names}
        if tree[0] not in ("floordiv", "mod") or len(names) != 1 or not names <= {self.r.name, self.c.name}:
            return None
        found = _digit(tree, x, self.whole)
        return (names.pop(), found) if found is not None and found in self.rows else None

    def _axis(self, axis: str, digit: Digit) -> Axis:
        return (self.rows if axis == self.r.name else self.columns)[digit]


def _part(x: Node) -> Node:
    """The digits of configurations below renames and a position."""
    x = x.inputs[0]
    while x.kind is Kind.REINDEX:
        (x,) = x.inputs
    return x


def _digit(tree: Tree, x: Node, whole: int) -> Digit | None:
    """The digit that a kernel over one index is."""
    if tree[0] == "x":
        i = x.inputs[tree[1]]
        if i.kind is Kind.INDEX and i.op == "value":
            return Digit(1, whole)
        return _digit(i.attrs[0].tree, i, whole) if i.kind is Kind.MAP else None
    if tree[0] not in ("floordiv", "mod") or tree[2][0] != "num" or not isinstance(tree[2][1], int) or tree[2][1] < 1:
        return None
    found, by = _digit(tree[1], x, whole), tree[2][1]
    if found is None or (found.size % by and found.size >= by):
        return None
    if tree[0] == "mod":
        return Digit(found.stride, min(found.size, by))
    return Digit(found.stride * by, max(1, found.size // by))


__all__ = ["Digit", "Kronecker", "NoFactor", "Reader", "complete", "kronecker"]
