"""An order of dims in which few arrays have to be transposed to meet another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vspec.compiler.graph.node import Axis


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
