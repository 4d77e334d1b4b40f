"""Sums over a window that moves: `sum[u, i](W[u, i, k]*x[2*index(p) + index(u), i])` is a convolution, not a gather.

The window has one letter u for each letter p of a position, i are the entries that are summed at each place, and k those of the
result. All other letters of x are a batch. What does not have this form, or may run out of x, is read place by place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from vspec.compiler.graph.call import Convolution
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.graph.strategy import Choice
from vspec.compiler.language.expr import (
    Affine,
    Element,
    Expr,
    Gather,
    IndexValue,
    Number,
    Pointwise,
    Reduction,
    Subscript,
)

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering

MOST = 3
"""The most axes along which a window moves."""


class Moving(NamedTuple):
    """A subscript `stride*position + offset`, where the offset is a letter of the window."""

    position: str
    stride: int
    offset: str


def convolved(low: Lowering, e: Reduction) -> Node | None:
    """The convolution that a sum is; None where it is none."""
    body = e.body
    if not isinstance(body, Pointwise) or body.op != "mul" or len(body.args) != 2:
        return None
    for window, array in (body.args, body.args[::-1]):
        if isinstance(window, Element) and isinstance(array, Element):
            found = _convolution(low, e, window, array)
            if found is not None:
                return found
    return None


def _convolution(low: Lowering, e: Reduction, window: Element, array: Element) -> Node | None:
    moving = {k: m for k, s in enumerate(array.subscripts) if (m := _moving(s, e.letters)) is not None}
    of_array = [None if k in moving else _plain(s) for k, s in enumerate(array.subscripts)]
    of_window = [_plain(s) for s in window.subscripts]
    if not 0 < len(moving) <= MOST or "" in of_array or "" in of_window:
        return None
    offsets = [m.offset for m in moving.values()]
    positions = [m.position for m in moving.values()]
    entries = [x for x in e.letters if x not in offsets]
    results = [x for x in of_window if x not in e.letters]
    letters = [*offsets, *positions, *entries, *results]
    if len(entries) != 1 or len(results) != 1 or len(set(letters)) != len(letters):
        return None
    if sorted(map(str, of_window)) != sorted([*offsets, *entries, *map(str, results)]) or entries[0] not in of_array:
        return None
    if any(x in low.bound for x in letters) or {*positions, *results, *offsets} & {*map(str, of_array)}:
        return None
    if any(x.name in low.slices or x.name in low.finals or x.name in low.dropped for x in (window, array)):
        return None
    x, w = low.get(array.name), low.get(window.name)
    if not all(_fits(low.b.dims, low.letters, m, x.axes[k]) for k, m in moving.items()):
        return None
    b = low.b
    names = {k: b.fresh(m.position) for k, m in moving.items()}
    (entry,), (result,) = entries, results
    own = {entry: b.fresh(entry), **{u: b.fresh(u) for u in offsets}, str(result): b.fresh(str(result))}
    x = b.reindex(x, [names[k] if k in names else own.get(str(n), str(n)) for k, n in enumerate(of_array)])
    w = b.reindex(w, [own[str(n)] for n in of_window])
    cores = [(*names.values(), own[entry]), (*(own[u] for u in offsets), own[entry], own[str(result)])]
    function = Convolution(tuple(m.stride for m in moving.values()))
    # The sum over entries is one of the operation: they are axes of two operands that know nothing of each other.
    inner = b.fresh(entry)
    w = b.rename(w, {own[entry]: inner})
    cores[1] = tuple(inner if n == own[entry] else n for n in cores[1])
    made = b.call(
        function, [x, w], cores, [*(low.axis(p) for p in positions), Axis(own[str(result)], low.letters[str(result)])]
    )
    low.choices.append((e, Choice("reduction", low.text(e.span), e.span.line, "convolution", because="its form")))
    return b.rename(made, {own[str(result)]: str(result)})


def _plain(s: Subscript) -> str:
    """The letter that a subscript is; '' for any other."""
    return s.letter if isinstance(s, Affine) and s.plain else ""


def _moving(s: Subscript, summed: tuple[str, ...]) -> Moving | None:
    """The subscript as one that moves with a position that is not summed."""
    found = _linear(s.index) if isinstance(s, Gather) else None
    if found is None or len(found) != 2:
        return None
    (p, stride), (u, one) = sorted(found.items(), key=lambda item: item[0] in summed)
    return Moving(p, stride, u) if p not in summed and u in summed and one == 1 and stride > 0 else None


def _linear(e: Expr) -> dict[str, int] | None:
    """A sum of whole multiples of letters; None for any other expression."""
    if isinstance(e, IndexValue):
        return {e.letter: 1}
    if not isinstance(e, Pointwise) or e.op not in ("add", "mul") or len(e.args) != 2:
        return None
    left, right = e.args
    if e.op == "mul":
        if isinstance(right, Number):
            left, right = right, left
        inner = _linear(right)
        if not isinstance(left, Number) or not isinstance(left.value, int) or inner is None:
            return None
        return {x: k * left.value for x, k in inner.items()}
    one, two = _linear(left), _linear(right)
    if one is None or two is None or one.keys() & two.keys():
        return None
    return {**one, **two}


def _fits(dims: Mapping[str, int | Node | None], letters: Mapping[str, str], m: Moving, axis: Axis) -> bool:
    """Whether the window, moved to all positions, covers the axis as far as the operation does."""
    sizes = [dims.get(letters[m.position]), dims.get(letters[m.offset]), dims.get(axis.dim)]
    known = [n for n in sizes if isinstance(n, int)]
    if len(known) < len(sizes):
        return False
    positions, width, whole = known
    return width <= whole and (whole - width) // m.stride + 1 == positions
