"""Strongly connected components, without recursion: what depends on what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence


def components(names: Sequence[str], reads: Callable[[str], Iterable[str]]) -> Iterator[tuple[str, ...]]:
    """Tarjan's components of the graph, each after all that it reads; members in the order of `names`.

    Args:
        names: the nodes.
        reads: the nodes that a node reads; others than `names` are ignored.
    """
    place = {name: k for k, name in enumerate(names)}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    for root in names:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = [(root, iter(tuple(reads(root))))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            name, rest = work[-1]
            for other in rest:
                if other not in place:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(tuple(reads(other)))))
                    break
                if other in on_stack:
                    low[name] = min(low[name], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    members: list[str] = []
                    while True:
                        members.append(stack.pop())
                        on_stack.discard(members[-1])
                        if members[-1] == name:
                            break
                    yield tuple(sorted(members, key=place.__getitem__))
