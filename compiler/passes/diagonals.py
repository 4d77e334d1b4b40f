"""One diagonal of a matrix, read from the form of its entries without making the matrix."""

from __future__ import annotations

from typing import Any

from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import Tree, num, slot, slots, substitute
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes.bands import FULL, TURNED, band, linear

MOST = 33
"""Sums over an index that meets row or column within more places than this are taken as they are."""


class Diagonals:
    """Reads diagonals of matrices as nodes over the rows; one builder, each node once. `dim`: that of the rows, where it may be
    another than that of the columns."""

    def __init__(self, b: Builder, r: str, c: str, offset: int, dim: str = "") -> None:
        self.b, self.r, self.c, self.offset, self.dim = b, r, c, offset, dim
        self.done: dict[tuple[int, str, str], Node] = {}

    def read(self, x: Node) -> Node:
        """x[r, r + offset] along r; anything where that leaves the matrix."""
        return self._read(x, self.r, self.c)

    def _read(self, x: Node, r: str, c: str) -> Node:
        if c not in x.names:
            return x
        key = (x.uid, r, c)
        if key not in self.done:
            self.done[key] = self._made(x, r, c)
        return self.done[key]

    def _made(self, x: Node, r: str, c: str) -> Node:
        b, offset = self.b, self.offset
        if x.kind is Kind.INDEX and x.op == "value":
            here = b.index(Axis(r, self.dim or x.axes[0].dim))
            return here if offset == 0 else b.map(("add", ("x", 0), num(offset)), [here], "integer")
        if x.kind is Kind.INDEX and x.op == "delta" and {r, c} == set(x.names):
            return b.number(1.0 if offset == 0 else 0.0)
        if x.kind is Kind.MAP:
            tree = self._settled(x.attrs[0].tree, x.inputs, r, c)
            used = slots(tree)
            inputs = [self._read(i, r, c) if k in used else i for k, i in enumerate(x.inputs)]
            numbers = {k: num(i.attrs[0]) for k, i in enumerate(inputs) if is_number(i)}
            return b.map(shortened(substitute(tree, numbers)), inputs, x.dtype)
        if x.kind is Kind.REINDEX:
            inner, to = x.inputs[0], x.attrs[0]
            own = {t: n for n, t in zip(inner.names, to, strict=True)}
            if len(own) == len(to) and r in own and c in own:
                return b.rename(self._read(inner, own[r], own[c]), {n: t for t, n in own.items() if t != c})
        summed = self._narrow(x, r, c) if r in x.names else None
        if summed is not None:
            return summed
        if x.kind is Kind.REDUCE and x.op == "sum" and r not in x.attrs[0]:
            inner = x.inputs[0]
            return b.reduce("sum", self._read(inner, r, c), x.attrs[0], {a.name: a.dim for a in inner.axes})
        if x.kind is Kind.STOP and x.op != "hold":
            return b.stop(self._read(x.inputs[0], r, c))
        if self.dim not in ("", x.axis(c).dim):
            return self._taken(x, r, c)
        if r not in x.names:
            return b.shift(b.rename(x, {c: r}), r, offset, "zero")
        return b.rename(b.shift(x, c, offset, "zero"), {c: r})

    def _taken(self, x: Node, r: str, c: str) -> Node:
        """The same where there are not as many columns as rows."""
        b = self.b
        last: Tree = ("sub", slot(1), num(1))
        at: Tree = ("maximum", ("minimum", ("add", slot(0), num(self.offset)), last), num(0))
        return b.gather(x, b.map(at, [b.index(Axis(r, self.dim)), b.size(x.axis(c).dim)], "integer"), c)

    def _narrow(self, x: Node, r: str, c: str) -> Node | None:
        """A sum of products over an index k that meets the row in a few places only: one term for each of these."""
        b = self.b
        if x.kind is Kind.CONTRACT:
            parts = list(x.inputs)
        elif x.kind is Kind.REDUCE and x.op == "sum" and x.inputs[0].kind is Kind.MAP:
            tree, inputs = x.inputs[0].attrs[0].tree, list(x.inputs[0].inputs)
            parts = [b.map(t, inputs) for t in tree[1:]] if tree[0] == "mul" else [x.inputs[0]]
        else:
            return None
        over = {a for p in parts for a in p.axes if a.name not in x.names}
        if len(over) != 1:
            return None
        (k,) = over
        where = FULL
        for p in parts:
            where = where & band(p, r, k.name)
        if where.high - where.low >= MOST:
            return None
        row, column = x.axis(r), x.axis(c)
        terms = []
        for o in range(int(where.low), int(where.high) + 1):
            here = []
            for p in parts:
                if c in p.names and r not in p.names:
                    # Along the columns, then moved to the rows.
                    y = Diagonals(b, c, k.name, o - self.offset, column.dim).read(p)
                    here.append(self._read(y, r, c))
                else:
                    here.append(self._read(Diagonals(b, r, k.name, o, row.dim).read(p), r, c))
            if any(is_number(y, 0) for y in here):
                continue
            first: Tree = ("ge", slot(0), num(-o))
            inside: Tree = ("and", first, ("lt", ("add", slot(0), num(o)), slot(1)))
            places = [b.index(row), b.size(k.dim), b.mul(here)]
            terms.append(b.map(("where", inside, slot(2), num(0.0)), places, "real"))
        return b.add(terms) if terms else b.number(0.0)

    def _settled(self, tree: Tree, inputs: tuple[Node, ...], r: str, c: str) -> Tree:
        """The tree with the conditions on the indices decided."""
        op = tree[0]
        if op == "x":
            x = inputs[tree[1]]
            if x.kind is Kind.INDEX and x.op == "delta" and {r, c} == set(x.names):
                return num(1.0 if self.offset == 0 else 0.0)
            return tree
        if op == "num":
            return tree
        if op in TURNED or op in ("add", "sub", "neg"):
            found = linear(("sub", *tree[1:]) if op in TURNED else tree, inputs, r, c)
            if found is not None and found[0] == -found[1]:
                value = found[1] * self.offset + found[2]
                return num(value) if op not in TURNED else _short((op, num(value), num(0)))
        parts = [self._settled(t, inputs, r, c) for t in tree[1:]]
        return _short((op, *parts))


def shortened(tree: Tree) -> Tree:
    """The tree with all of its parts made short."""
    return tree if tree[0] in ("x", "num") else _short((tree[0], *(shortened(t) for t in tree[1:])))


def _short(tree: Tree) -> Tree:
    """A tree without branches that are never taken and without terms that are zero."""
    op, parts = tree[0], tree[1:]
    known: list[Any] = [t[1] if t[0] == "num" else None for t in parts]
    if op in TURNED and None not in known:
        x, y = known
        return num({"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}[op])
    if op == "abs" and known[0] is not None:
        return num(abs(known[0]))
    if op == "where" and isinstance(known[0], bool):
        return parts[1] if known[0] else parts[2]  # type: ignore[no-any-return]
    if op == "not" and isinstance(known[0], bool):
        return num(not known[0])
    if op in ("and", "or") and any(k is (op == "or") for k in known):
        return num(op == "or")
    if op in ("and", "or"):
        left = [t for t, k in zip(parts, known, strict=True) if not isinstance(k, bool)]
        return num(op == "and") if not left else left[0] if len(left) == 1 else (op, *left)
    if op == "real" and known[0] is not None:
        return num(float(known[0]))
    if op == "mul" and any(k == 0 and k is not None for k in known):
        return num(0.0)
    if op in ("mul", "add"):
        unit = 1 if op == "mul" else 0
        left = [t for t, k in zip(parts, known, strict=True) if k is None or k != unit]
        return num(float(unit)) if not left else left[0] if len(left) == 1 else (op, *left)
    if op == "sub" and known[1] == 0 and known[1] is not None:
        return parts[0]  # type: ignore[no-any-return]
    if op == "sub" and known[0] == 0 and known[0] is not None:
        return num(-known[1]) if known[1] is not None else ("neg", parts[1])
    if op == "neg" and known[0] is not None:
        return num(-known[0])
    if op == "div" and known[0] == 0 and known[0] is not None:
        return num(0.0)
    return tree


def entries(b: Builder, x: Node, r: str, c: str, offset: int = 0) -> Node:
    """x[r, r + offset] as a node over r and the other axes of x; where that leaves the matrix it may be anything."""
    return Diagonals(b, r, c, offset).read(x)


__all__ = ["entries", "shortened"]
