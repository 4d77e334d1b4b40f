"""Where the Hessian of an objective may differ from zero, as intervals between the axes of its params.

The gradient by one param reads the elements of another within boxes (`reach.py`). Where these leave most of the Hessian zero, a
few products with vectors give all of its entries, and a factorisation goes along the chain or the grid
(`runtime/sparsity.py`). Shifts, windows and reads at computed positions are followed, which terms with deltas are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vspec.compiler.calculus.curvature import CLEARLY, SMALL, count_unknowns, shapes_of, sizes_of
from vspec.compiler.calculus.derive import has_loop
from vspec.compiler.calculus.reach import Box, reach
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.graph.cost import flops
from vspec.compiler.graph.node import topological
from vspec.compiler.graph.strategy import Candidate, Choice
from vspec.compiler.language.curvature import ELEMENTWISE
from vspec.runtime import sparsity
from vspec.runtime.elimination import dense_cost
from vspec.runtime.sparsity import Linked, Sparsity

if TYPE_CHECKING:
    from vspec.compiler.calculus.needs import Request


@dataclass(frozen=True, slots=True)
class Pattern:
    """The blocks on and above the diagonal that may differ from zero, for params of these shapes at nominal sizes."""

    blocks: tuple[Linked, ...]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def order(self) -> Sparsity | None:
        """How the unknowns are ordered at nominal sizes; None where too much may differ from zero."""
        return sparsity.sparsity(self.shapes, self.blocks)

    @property
    def full(self) -> bool:
        """Whether every entry may differ from zero, so that no order helps."""
        dense = {(p, q) for p, q, boxes in self.blocks if any(not any(box) for box in boxes)}
        names = list(self.shapes)
        return all((p, q) in dense or (q, p) in dense for k, p in enumerate(names) for q in names[k:])

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What the manifest says."""
        keys = ("axis", "low", "high", "wraps")
        return [
            {
                "of": [p, q],
                "boxes": [[None if s is None else dict(zip(keys, s, strict=True)) for s in box] for box in boxes],
            }
            for p, q, boxes in self.blocks
        ]


def pattern_of(r: Request) -> Pattern:
    """Where the Hessian may differ from zero."""
    blocks: list[Linked] = []
    for k, (p, slope) in enumerate(r.slopes.items()):
        axis = {name: at for at, name in enumerate(slope.names)}
        for q, x in list(r.reals.items())[k:]:
            boxes = sorted({_links(box, axis) for box in reach(r.low.b, slope, x)}, key=repr)
            if boxes:
                blocks.append((p, q, tuple(boxes)))
    return Pattern(tuple(blocks), dict(sorted(shapes_of(r).items())))


def _links(box: Box, axis: Mapping[str, int]) -> sparsity.Box:
    """A box with the positions of axes for their names; a link that is no plain distance tells nothing."""
    return tuple(
        (axis[s.axis], s.low, s.high, s.wraps) if s is not None and s.axis in axis and s.scale == 1 else None
        for s in box
    )


def by_pattern(r: Request) -> bool:
    """Whether entries from few products, and a factorisation in their order, cost clearly less than a dense one."""
    plain = all(p.dtype == "real" and p.domain.kind in ELEMENTWISE for p in r.params)
    if not plain or count_unknowns(r) <= SMALL or has_loop(list(r.slopes.values()), list(r.reals.values())):
        return False
    order = None if r.boxes.full else r.boxes.order
    return order is not None and order.feasible and sparse_cost(r) < CLEARLY * dense_cost(count_unknowns(r))


def sparse_cost(r: Request) -> float:
    """Multiplications of the products that give the entries, and of a factorisation."""
    order = r.boxes.order
    if order is None:
        return float("inf")
    sizes = sizes_of(r)
    # A product with a vector takes about twice the operations of the gradient.
    once = sum(flops(n, sizes) for n in topological(r.slopes.values()))
    return order.products * once + order.cost


def sparse_choice(r: Request) -> Choice:
    """The row of the table of strategies. Raises SpecError VS0264 where products with fewer vectors than there are unknowns do
    not give all entries."""
    order, whole = r.boxes.order, count_unknowns(r)
    if order is None or order.products >= whole > 1:
        calls = (m for m in r.stage.methods if m.arguments.get("hessian", {}).get("name") == "sparse")
        why = f"the Hessian of {r.name} cannot be kept sparse: nearly all of it may differ from zero"
        span = next((m.span for m in calls), r.stage.span)
        raise SpecError([Diagnostic("VS0264", why, span, help=("write hessian=auto",))])
    among = (
        Candidate("sparse", sparse_cost(r), float(order.entries)),
        Candidate("dense", dense_cost(whole), float(whole) ** 2),
    )
    because = (
        f"{_count(order.products, 'product')} give all entries, within {_count(order.width, 'place')} of the diagonal"
    )
    because += f" but for {_count(order.border.size, 'unknown')}" if order.border.size else ""
    return Choice("Hessian", f"{r.name} by {r.wrt}", r.stage.span.line, "sparse", among, because)


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


__all__ = ["Pattern", "by_pattern", "pattern_of", "sparse_choice", "sparse_cost"]
