"""One subscript → nodes: a value read along one of its axes, beyond the ends of the axis as its boundary says.

Whatever can be a slice, a shift or a reversal is one, since those need no array of positions and have adjoints of their own
kind; everything else is a gather at positions that are computed.
"""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.language.expr import Affine


def read_affine(b: Builder, x: Node, name: str, s: Affine, letter: Axis, bound: Mapping[str, Node]) -> Node:
    """x with its axis `name` read at an affine subscript; a letter that x has already is the diagonal.

    Args:
        b: makes the nodes.
        x: what is read.
        name: an axis of x, of a name that is no letter.
        s: the subscript.
        letter: the axis of the subscript's letter.
        bound: letters of the loops around, each with its value as a scalar node.
    """
    axis = x.axis(name)
    if s.letter not in bound and not s.sizes and not s.mode:
        if s.scale == -1 and axis.dim == letter.dim and s.offset + 1 == b.dims.get(axis.dim):
            return b.rename(b.flip(x, name), {name: s.letter})
        new = Axis(b.fresh(s.letter), letter.dim)
        return b.rename(b.window(x, name, new, s.scale, s.offset), {new.name: s.letter})
    if s.letter not in bound and _all_inside(b, axis, s, letter):
        new = Axis(b.fresh(s.letter), letter.dim)
        return b.rename(b.scatter_affine(x, name, new, 1, -s.offset), {new.name: s.letter})
    same = s.letter not in bound and axis.dim == letter.dim
    if same and s.scale == 1 and not s.sizes and s.mode in ("periodic", "zero"):
        return b.rename(b.shift(x, name, s.offset, s.mode), {name: s.letter})
    if same and (s.scale, s.offset, s.sizes, s.mode) == (-1, -1, ((axis.dim, 1),), ""):
        return b.rename(b.flip(x, name), {name: s.letter})
    position = _position(b, s, bound.get(s.letter) or b.index(letter))
    if not s.mode:
        return b.gather(x, position, name)
    size = b.size(axis.dim)
    found = b.gather(x, _within(b, position, size, s.mode), name)
    if s.mode != "zero":
        return found
    inside = b.map(("and", ("ge", slot(0), num(0)), ("lt", slot(0), slot(1))), [position, size], "boolean")
    if x.dtype == "boolean":
        return b.map(("and", slot(0), slot(1)), [inside, found], "boolean")
    zero = num(0) if x.dtype == "integer" else num(0.0)
    return b.map(("where", slot(0), slot(1), zero), [inside, found], x.dtype)


def _all_inside(b: Builder, axis: Axis, s: Affine, letter: Axis) -> bool:
    """Whether a shifted subscript reads all of an axis, and zeros around it: no element is lost."""
    size, whole = b.dims.get(axis.dim), b.dims.get(letter.dim)
    if s.mode != "zero" or s.scale != 1 or s.sizes or not isinstance(size, int) or not isinstance(whole, int):
        return False
    return s.offset <= 0 and size - s.offset <= whole


def _within(b: Builder, position: Node, size: Node, mode: str) -> Node:
    """The position inside an axis that stands for one beyond its ends; for 'zero' any, since it is masked."""
    if mode == "periodic":
        return b.map(("mod", slot(0), slot(1)), [position, size], "integer")
    if mode == "zero":
        return b.map(("clip", slot(0), num(0), ("sub", slot(1), num(1))), [position, size], "integer")
    if mode != "reflect":
        raise ValueError(f"a boundary cannot be {mode!r}")
    # There and back again is one period of 2*size - 2 positions: the ends are not repeated.
    if is_number(size):
        period = b.number(max(2 * size.attrs[0] - 2, 1))
    else:
        period = b.map(("maximum", ("sub", ("mul", num(2), slot(0)), num(2)), num(1)), [size], "integer")
    phase = b.map(("mod", slot(0), slot(1)), [position, period], "integer")
    return b.map(("minimum", slot(0), ("sub", slot(1), slot(0))), [phase, period], "integer")


def _position(b: Builder, s: Affine, index: Node) -> Node:
    """The value of an affine subscript, an integer node."""
    terms: list[Tree] = [slot(0) if s.scale == 1 else ("mul", num(s.scale), slot(0))]
    operands = [index]
    for dim, count in s.sizes:
        operands.append(b.size(dim))
        term = slot(len(operands) - 1)
        terms.append(term if count == 1 else ("mul", num(count), term))
    if s.offset:
        terms.append(num(s.offset))
    return b.map(terms[0] if len(terms) == 1 else ("add", *terms), operands, "integer")
