"""Products of two equal halves: one half is made, and the other is the same array under other names.

sum[n, m, p, q] A[n, i, m] W[m, p] A[p, j, q] W[q, n], the trace of A W A W, goes over into itself if n and p, m and q, i and j
change places. So it is sum[n, p] H[n, i, p] H[p, j, n] with H = sum[m] A[n, i, m] W[m, p]: half of the work. The second
derivatives of determinants, inverses and quadratic forms with them are such sums.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.node import Node

# A product has at least two factors in a half, and at most so many; more halves than these are not tried.
LEAST, MOST = 2, 5
TRIES = 16


@dataclass(frozen=True, slots=True)
class Halves:
    """The places of the factors of one half, what its axes are called in the other one, and the places of what is in neither."""

    one: tuple[int, ...]
    names: Mapping[str, str]
    rest: tuple[int, ...]


def halves(factors: Sequence[Node], out: Collection[str], classes: Classes) -> list[Halves]:
    """The ways to part a product into equal halves, but for factors that go over into themselves and for those that can be
    multiplied with the result."""
    places = [k for k, x in enumerate(factors) if not set(x.names) <= set(out)]
    outside = tuple(k for k, x in enumerate(factors) if set(x.names) <= set(out))
    if not 2 * LEAST <= len(places) <= 2 * MOST + 1:
        return []
    faces = [classes.of(factors[k]) for k in places]
    keys = [k for k, _ in faces]
    if sum(keys.count(k) > 1 for k in keys) < 2 * LEAST:
        return []
    found: list[Halves] = []
    for pairs, names in _exchanges(
        [(kind, [names for _, names in classes.turned((kind, names))]) for kind, names in faces]
    ):
        if any(names.get(n, n) not in out for n in out):
            continue
        apart = [(j, k) for j, k in pairs if j != k]
        if not LEAST <= len(apart) <= MOST:
            continue
        rest = tuple(places[j] for j, k in pairs if j == k) + outside
        for choice in range(2 ** (len(apart) - 1)):
            one = tuple(sorted(places[p[choice >> i & 1]] for i, p in enumerate(apart)))
            found.append(Halves(one, names, rest))
            if len(found) == TRIES:
                return found
    return found


def _exchanges(
    faces: Sequence[tuple[int, list[tuple[str, ...]]]],
) -> Iterator[tuple[list[tuple[int, int]], dict[str, str]]]:
    """The renamings that are their own inverses and lead from each factor to one of them; not more than a few. Each factor has
    its class, and its names in all the ways that are the same for it."""
    stack: list[tuple[list[tuple[int, int]], dict[str, str]]] = [([], {})]
    looked = 0
    while stack and looked < 16 * TRIES:
        looked += 1
        pairs, names = stack.pop()
        done = {k for p in pairs for k in p}
        j = next((k for k in range(len(faces)) if k not in done), None)
        if j is None:
            yield pairs, names
            continue
        # Partners other than the factor itself are tried first: what is pushed last is taken first.
        for k in (j, *reversed(range(j + 1, len(faces)))):
            if k in done or faces[j][0] != faces[k][0]:
                continue
            for shown in faces[k][1]:
                more = _exchanged(names, faces[j][1][0], shown)
                if more is not None:
                    stack.append(([*pairs, (j, k)], more))


def _exchanged(names: Mapping[str, str], one: Sequence[str], other: Sequence[str]) -> dict[str, str] | None:
    """The exchange of names that also leads from one tuple to the other; None if there is none."""
    more = dict(names)
    for a, b in zip(one, other, strict=True):
        if more.setdefault(a, b) != b or more.setdefault(b, a) != a:
            return None
    return more


__all__ = ["Halves", "halves"]
