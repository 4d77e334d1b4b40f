"""An order of dims in which few arrays have to be transposed to meet another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Node

# The last axis is short, and another one is this many times longer.
SHORT = 32
RATIO = 16


def ranks(arrays: Iterable[Sequence[Axis]]) -> dict[str, int]:
    """Places for dims, such that the axes of few arrays stand in another order: an array that is made in this order is seldom
    transposed to meet another one."""
    after: dict[str, dict[str, None]] = {}
    for axes in arrays:
        for k, a in enumerate(axes):
            before = after.setdefault(a.dim, {})
            before.update((b.dim, None) for b in axes[:k] if b.dim != a.dim)
    found: dict[str, int] = {}
    while len(found) < len(after):
        # Of dims that wait for each other the first one goes ahead.
        left = [d for d in after if d not in found]
        ready = next((d for d in left if all(b in found for b in after[d])), left[0])
        found[ready] = len(found)
    return found


def ranked(axes: Sequence[Axis], place: Mapping[str, int]) -> tuple[Axis, ...]:
    """Axes in the order of the places of their dims; dims without a place come last."""
    return tuple(sorted(axes, key=lambda a: place.get(a.dim, len(place))))


def longest_last(axes: Sequence[Axis], dims: Mapping[str, int | Node | None], sizes: Sizes) -> tuple[Axis, ...] | None:
    """Axes with the longest one last, if the last one is short and it is much longer."""
    if len(axes) < 2:
        return None
    last, longest = axes[-1], max(axes, key=lambda a: sizes.dim(a.dim))
    size = dims.get(last.dim)
    if not isinstance(size, int) or size > SHORT or sizes.dim(longest.dim) < RATIO * size:
        return None
    return (*(a for a in axes if a is not longest), longest)
