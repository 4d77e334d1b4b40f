"""An order of dims in which few arrays have to be transposed to meet another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.graph.strategy import Candidate, Choice

# The last axis is short, and another one is this many times longer.
SHORT = 32
RATIO = 16

# Rows of more bytes are not summed up one above the other: XLA takes five to ten times as long for such sums on a CPU.
WIDE = 65_536

# A loop along the last axis takes so many elements at a time, and to begin it costs as much as so many such operations.
LANES, BEGUN = 16, 4

# What the names of dims begin with that have a position for each pair of positions of another dim.
PAIRS = "_pairs_"


def over_pairs(axes: Iterable[Axis]) -> bool:
    """Whether an axis runs over pairs."""
    return any(a.dim.startswith(PAIRS) for a in axes)


def pairs_outside(axes: Sequence[Axis], sizes: Sizes) -> tuple[Axis, ...]:
    """The order for an array over pairs: these first, so that gathers take whole rows, and the longest axis last; pairs last
    where all rows are short."""
    pairs = [a for a in axes if over_pairs([a])]
    rest = [a for a in axes if not over_pairs([a])]
    longest = max(rest, key=lambda a: sizes.dim(a.dim), default=None)
    if longest is None or sizes.dim(longest.dim) < SHORT:
        return (*rest, *pairs)
    return (*pairs, *(a for a in rest if a is not longest), longest)


def turned(node: Node, axes: Sequence[Axis], sizes: Sizes) -> list[Choice]:
    """A row for the table of strategies where an array gets its axes in another order than it comes with: for the sake of loops
    along its last axis or, of a matrix, of the order that arguments have; none elsewhere."""
    if tuple(axes) == tuple(node.axes):
        return []
    new, old = (Candidate(f"[{', '.join(shown(x))}]", operations(x, sizes)) for x in (axes, node.axes))
    if new.flops < old.flops:
        return told(node, axes, (new, old), "least cost")
    return told(node, axes, (), "the order of the arguments that it meets")


def told(node: Node, axes: Sequence[Axis], among: tuple[Candidate, ...], because: str) -> list[Choice]:
    """A row that says why an array has its axes in this order; none where it has them anyway, or no name."""
    origin = node.origin
    if tuple(axes) == tuple(node.axes) or not origin.name:
        return []
    name = origin.name.lstrip("_")
    what = name if origin.role == "value" else f"{origin.role} of {name}"
    return [Choice("layout", what, origin.line, f"[{', '.join(shown(axes))}]", among, because, origin.file)]


def shown(axes: Sequence[Axis]) -> list[str]:
    """The names of axes as a person reads them: a letter that the compiler made is shown as its dim."""
    return [a.dim if a.name.startswith("_") else a.name.split("~")[0] for a in axes]


def operations(axes: Sequence[Axis], sizes: Sizes) -> float:
    """What an operation on each element of an array costs, in operations on as many elements as a loop takes at a time."""
    last = sizes.dim(axes[-1].dim)
    return sizes.count(axes[:-1]) * (BEGUN + -(-last // LANES))


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


def longest_last(
    axes: Sequence[Axis], dims: Mapping[str, int | Node | None], sizes: Sizes, most: int | None = None
) -> tuple[Axis, ...] | None:
    """Axes with the longest one last, if the last one is short and it is much longer, but has no more than `most` elements."""
    if len(axes) < 2:
        return None
    last, longest = axes[-1], max(axes, key=lambda a: sizes.dim(a.dim))
    size = dims.get(last.dim)
    if not isinstance(size, int) or size > SHORT or sizes.dim(longest.dim) < RATIO * size:
        return None
    if most is not None and sizes.dim(longest.dim) > most:
        return None
    return (*(a for a in axes if a is not longest), longest)
