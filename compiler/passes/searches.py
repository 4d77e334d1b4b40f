"""Searches for the order in which a product of a few arrays is summed two at a time, with the fewest multiplications.

They find what `optimal` and `dynamic_programming` of opt_einsum find, the same order among equals included, some times as fast:
axes are bits of a number, sizes are looked up, and no order is spelled before it is the best one. The second is that of
Pfeifer, Haegeman and Verstraete (2014), https://arxiv.org/abs/1304.6112.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

Steps = list[tuple[int, int]]
"""Pairs of positions: both operands go, their product is appended."""


class Sizes:
    """Elements of arrays by their axes, each a bit."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self._known: dict[int, int] = {0: 1}

    def __getitem__(self, axes: int) -> int:
        found = self._known.get(axes)
        if found is None:
            low = axes & -axes
            found = self._known[axes] = self[axes ^ low] * self.sizes[low.bit_length() - 1]
        return found


def depth_first(sides: Sequence[int], out: int, sizes: Sequence[int]) -> Steps:
    """The order of least cost, every one of them looked at unless its beginning costs more than the best one known.

    A sum counts twice. What a pair costs is asked once for its axes, wherever they are met: orders are missed where an axis is
    in more than two operands.

    Args:
        sides: the axes of each operand, the k-th axis as the k-th bit.
        out: the axes of the result.
        sizes: the size of each axis.
    """
    count = Sizes(sizes)
    pairs: dict[tuple[int, int], tuple[int, int]] = {}
    best: Steps = []
    least: float = float("inf")

    def look(path: Steps, held: list[int], remaining: set[int], cost: int) -> None:
        nonlocal best, least
        if len(remaining) == 1:
            best, least = path, cost
            return
        for i, j in combinations(remaining, 2):
            if i > j:
                i, j = j, i
            one, two = held[i], held[j]
            known = pairs.get((one, two))
            if known is None:
                keep = out
                for k in remaining:
                    if k != i and k != j:
                        keep |= held[k]
                either = one | two
                known = pairs[one, two] = either & keep, count[either] * (2 if one & two & ~keep else 1)
            made, own = known
            own += cost
            if own < least:
                look([*path, (i, j)], [*held, made], remaining - {i, j} | {len(held)}, own)

    look([], list(sides), set(range(len(sides))), 0)
    return _positions(best, len(sides))


def connected(sides: Sequence[int], out: int, sizes: Sequence[int]) -> Steps:
    """The order of least cost among those in which two operands meet only where they share an axis that is summed; parts that
    share none are multiplied at the end, small ones first. Every axis is in two operands or in the result.

    Args: those of `depth_first`.
    """
    count = Sizes(sizes)
    done: list[tuple[int, Any]] = []
    for part in _parts(sides, out):
        together = 0
        for k in part:
            together |= sides[k]
        # What costs more than a cap is put off until nothing else is left.
        cap = count[together & out]
        more = max(min((n for k, n in enumerate(sizes) if together >> k & 1), default=2), 2)
        # By number of operands, by the set of them: axes, cost and tree of their product.
        found: list[dict[int, tuple[int, int, Any]]] = [{} for _ in range(len(part) + 1)]
        found[1] = {1 << k: (sides[k], 0, k) for k in part}
        while not found[-1]:
            for n in range(2, len(part) + 1):
                for m in range(1, n // 2 + 1):
                    _join(found, n, m, cap, sides, part, out, count)
            cap *= more
        axes, _, tree = next(iter(found[-1].values()))
        done.append((count[axes], tree))
    done.sort(key=lambda x: x[0])
    tree = done[0][1]
    for _, other in done[1:]:
        tree = (tree, other)
    return _from_tree(tree)


def _join(
    found: list[dict[int, tuple[int, int, Any]]],
    n: int,
    m: int,
    cap: int,
    sides: Sequence[int],
    part: Sequence[int],
    out: int,
    count: Sizes,
) -> None:
    """Products of n operands from those of m and of the rest, where they cost less than what is known and than the cap."""
    best = found[n]
    others = list(found[n - m].items())
    for s, (one, cost, tree) in list(found[m].items()):
        for t, (two, more, other) in others:
            if s & t or (2 * m == n and s >= t):
                continue
            summed = one & two & ~out
            if not summed:
                continue
            either = one | two
            total = cost + more + count[either]
            if total > cap:
                continue
            known = best.get(s | t)
            if known is not None and total >= known[1]:
                continue
            for k in part:
                if not (s | t) >> k & 1:
                    summed &= ~sides[k]
            best[s | t] = either & ~summed, total, (tree, other)


def _parts(sides: Sequence[int], out: int) -> list[list[int]]:
    """The operands that hang together by axes that are summed."""
    left = list(range(len(sides)))
    parts: list[list[int]] = []
    while left:
        part, reach = [left.pop(0)], 0
        for k in part:
            reach = sides[k] & ~out
            near = [j for j in left if sides[j] & reach]
            part += near
            left = [j for j in left if j not in near]
        parts.append(sorted(part))
    return parts


def _positions(path: Steps, operands: int) -> Steps:
    """A path in which each product has a number of its own, by positions."""
    left, steps = list(range(operands)), []
    for number, pair in enumerate(path, operands):
        i, j = sorted(map(left.index, pair))
        steps.append((i, j))
        del left[j], left[i]
        left.append(number)
    return steps


def _from_tree(tree: Any) -> Steps:
    """The path of a tree of pairs, whose leaves are operands: what is made last is asked for first."""
    waiting: list[Any] = [tree] if isinstance(tree, tuple) else []
    leaves: list[int] = []
    steps: Steps = []
    while waiting:
        pair = waiting.pop()
        places: list[int] = []
        for leaf in sorted(x for x in pair if isinstance(x, int)):
            place = sum(1 for x in leaves if x < leaf)
            places.append(place)
            leaves.insert(place, leaf)
        for inner in (x for x in pair if not isinstance(x, int)):
            places.append(len(leaves) + len(waiting))
            waiting.append(inner)
        i, j = sorted(places)
        steps.insert(0, (i, j))
    return steps
