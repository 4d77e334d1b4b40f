"""Notes which derivatives are Hessians, for whoever factors them: they are symmetric, and those of convex functions definite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vspec.compiler.calculus.stacks import leaves
from vspec.compiler.calculus.strategies import flattened
from vspec.compiler.graph.builder import Hessian
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Node
from vspec.compiler.language.expr import Affine, Derivative, Element

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


def note_hessian(low: Lowering, e: Derivative, found: Node) -> None:
    """Notes that `found` is the Hessian of a named value over two letters, if that is what `e` asks for."""
    e = flattened(low, e)
    letters = _rows_and_columns(e)
    if letters is None or e.dtype != "real" or not isinstance(e.body, Element) or e.body.dtype != "real":
        return
    name = e.wrt[0].name
    if name in low.slices or name in low.finals or low.dropped.get(name):
        return
    matrix, shown = unrenamed(found)
    back = {own: base for base, own in shown.items()}
    rows, columns = (back.get(x, "") for x in letters)
    if not {rows, columns} <= {*matrix.names}:
        return
    by = leaves(low, low.stacks[name]) if name in low.stacks else [name]
    low.b.hessians[matrix.uid] = Hessian(rows, columns, low.lower(e.body), tuple(low.get(x) for x in by))


def _rows_and_columns(e: Derivative) -> tuple[str, str] | None:
    """The letters in which both variables of a second derivative differ, if it is by the same one twice and they are two."""
    if len(e.wrt) != 2 or e.wrt[0].name != e.wrt[1].name:
        return None
    pairs = []
    for x, y in zip(e.wrt[0].subscripts, e.wrt[1].subscripts, strict=True):
        if not (isinstance(x, Affine) and x.plain and isinstance(y, Affine) and y.plain):
            return None
        pairs.append((x.letter, y.letter))
    apart = [p for p in pairs if p[0] != p[1]]
    every = [x for p in pairs for x in set(p)]
    if len(apart) != 1 or len(every) != len(set(every)) or not set(apart[0]).isdisjoint(e.body.axes):
        return None
    return apart[0]
