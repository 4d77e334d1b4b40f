"""The order in which a product of several arrays is summed, and the nodes that do it two at a time.

An operand is a set of axes; whether it is static (the same in every call, so that work on static operands alone is done
once per run) decides what its steps cost. A plan is found on these sets alone and built afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import TypeAlias

import opt_einsum
from opt_einsum import paths

from vspec.compiler.graph.builder import Builder, union_axes
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.passes import searches

# A multiplication within a matrix product is cheaper than one in a loop over elements by about this much.
ELEMENTWISE = 4
# So is one in a batch of products with fewer columns than this.
SLIM = 8
# Another order has to cost less than this share of the one that takes the fewest multiplications.
WORTH = 0.95
# Static intermediates are kept for the whole run: none of more than this many elements, unless its operands are as large.
STATIC_LIMIT = 8_000_000
STATIC_GROWTH = 8
# To read an element of one that is larger than its operands costs each call as much as this many multiplications.
READ = 8
# Of more operands than these not all orders are looked at.
LONG = 6


@dataclass(slots=True)
class Operand:
    """What a plan knows of an operand."""

    axes: frozenset[str]
    static: bool


@dataclass(slots=True)
class Plan:
    """Pairs of positions, as opt_einsum has them: both operands go, their product is appended.

    `cost` counts what each call does, in `calls` operations on arrays, `once` what is done once per run, `moved` the elements
    that a call reads and writes, without the result: a product element by element is part of what reads it.
    """

    steps: list[tuple[int, int]] = field(default_factory=list)
    cost: float = 0.0
    once: float = 0.0
    calls: int = 0
    moved: int = 0


class Planner:
    """Plans for one product: `size` gives the size of every axis by name."""

    def __init__(self, size: Mapping[str, int]) -> None:
        self.size = size

    @classmethod
    def of(cls, sizes: Sizes, dims: Mapping[str, str]) -> Planner:
        """The planner for axes of these dims."""
        return cls({name: sizes.dim(dim) for name, dim in dims.items()})

    def count(self, axes: Iterable[str]) -> int:
        """Elements of an array with these axes."""
        return prod([self.size[n] for n in axes])

    def plan(self, operands: Sequence[Operand], out: frozenset[str]) -> Plan:
        """The cheaper of the best order and the best order that does all static work first. A plan of its own each time, though
        what was planned before is not planned again."""
        known = _planned(tuple([(x.axes, x.static) for x in operands]), out, tuple(self.size.items()))
        return Plan(list(known.steps), known.cost, known.once, known.calls, known.moved)

    def planned(self, operands: Sequence[Operand], out: frozenset[str]) -> Plan:
        """`plan`, anew."""
        best = self._walk(operands, out, self._path(operands, out))
        static = [k for k, x in enumerate(operands) if x.static]
        if 2 <= len(static) < len(operands):
            first = self._walk(operands, out, self._static_first(operands, out, static))
            made, largest = self._made(operands, out, static)
            kept = made <= max(STATIC_LIMIT, STATIC_GROWTH * largest)
            # One that is as large as the largest of its operands is read beside that one, and is not in a cache for it.
            read = READ * max(0, made - largest) + (made if made >= largest else 0)
            if kept and (first.cost + read, first.once) < (best.cost, best.once):
                return first
        return best

    def _path(self, operands: Sequence[Operand], out: frozenset[str]) -> list[tuple[int, int]]:
        if len(operands) < 3:
            return [(0, 1)] if len(operands) == 2 else []
        # The bits of axes go by what an axis is to the problem, so that two problems that differ in names alone are looked at
        # once. What only one operand has is summed before anything else.
        used: dict[str, list[int]] = {}
        for k, x in enumerate(operands):
            for n in x.axes:
                used.setdefault(n, []).append(k)
        order = sorted(
            (n for n in used if n in out or len(used[n]) > 1), key=lambda n: (used[n], n in out, self.size[n])
        )
        bits = {n: 1 << k for k, n in enumerate(order)}
        sides = tuple([sum([bits[n] for n in order if k in used[n]]) for k in range(len(operands))])
        result = sum([bits[n] for n in order if n in out])
        orders = [list(p) for p in _cached_paths(sides, result, tuple([self.size[n] for n in order]))]
        best = orders[0] if len(orders) == 1 else min(orders, key=lambda p: self._price(operands, out, p))
        return self._turned(operands, out, best)

    def _turned(
        self, operands: Sequence[Operand], out: frozenset[str], steps: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """The steps, or with x(yz) for (xy)z where that costs less, until none does: not all multiplications cost the same."""
        best, least = _tree(steps, len(operands)), self._price(operands, out, steps)
        better = True
        while better:
            better = False
            for tree in _rotations(best):
                price = self._price(operands, out, turned := _steps(tree, len(operands)))
                if price < WORTH * least:
                    best, least, steps, better = tree, price, turned, True
                    break
        return steps

    def _price(self, operands: Sequence[Operand], out: frozenset[str], path: list[tuple[int, int]]) -> float:
        plan = self._walk(operands, out, path)
        return plan.cost + plan.once

    def _static_first(
        self, operands: Sequence[Operand], out: frozenset[str], static: Sequence[int]
    ) -> list[tuple[int, int]]:
        rest = [k for k in range(len(operands)) if k not in static]
        inner_out = self._static_axes(operands, out, static)
        positions = list(range(len(operands)))
        steps: list[tuple[int, int]] = []
        # The inner path counts among the static operands alone; follow them through the whole list.
        inner = list(static)
        fresh = len(operands)
        for i, j in self._path([operands[k] for k in static], inner_out):
            a, b = inner[i], inner[j]
            steps.append((positions.index(a), positions.index(b)))
            for k in (a, b):
                positions.remove(k)
                inner.remove(k)
            positions.append(fresh)
            inner.append(fresh)
            fresh += 1
        remaining = [*(operands[k] for k in rest), Operand(inner_out, True)]
        return steps + self._path(remaining, out)

    def _static_axes(self, operands: Sequence[Operand], out: frozenset[str], static: Sequence[int]) -> frozenset[str]:
        needed = out.union(*(x.axes for k, x in enumerate(operands) if k not in static))
        return frozenset[str]().union(*(operands[k].axes for k in static)) & needed

    def _made(self, operands: Sequence[Operand], out: frozenset[str], static: Sequence[int]) -> tuple[int, int]:
        """The elements of what static work alone makes, and of the largest of its operands."""
        return self.count(self._static_axes(operands, out, static)), max(self.count(operands[k].axes) for k in static)

    def _walk(self, operands: Sequence[Operand], out: frozenset[str], steps: list[tuple[int, int]]) -> Plan:
        plan, left = Plan(steps), list(operands)
        read = [self.count(x.axes) for x in left]
        if len(left) == 1:
            self._pay(plan, left[0].static, ELEMENTWISE * self.count(left[0].axes))
        for i, j in steps:
            a, b = left[i], left[j]
            left = [x for k, x in enumerate(left) if k not in (i, j)]
            moved = read[i] + read[j]
            read = [x for k, x in enumerate(read) if k not in (i, j)]
            needed = out.union(*(x.axes for x in left))
            # What only one of them has is summed before they meet.
            for x, other in ((a, b), (b, a)):
                if not x.axes <= needed | other.axes:
                    self._pay(plan, x.static, ELEMENTWISE * self.count(x.axes))
            a = Operand(a.axes & (needed | b.axes), a.static)
            b = Operand(b.axes & (needed | a.axes), b.static)
            both = a.axes | b.axes
            # With a vector on one side the matrix is read once and used once: no faster than a loop.
            loop = a.axes >= b.axes or b.axes >= a.axes or both <= needed or self._slim(a.axes, b.axes, needed)
            weight = ELEMENTWISE if loop else 1
            made = Operand(both & needed, a.static and b.static)
            self._pay(plan, made.static, weight * self.count(both))
            written = 0 if both <= needed or not left else self.count(made.axes)
            plan.moved += 0 if made.static else moved + written
            left.append(made)
            read.append(written)
        return plan

    def _slim(self, a: frozenset[str], b: frozenset[str], needed: frozenset[str]) -> bool:
        """Whether the product is one of many small ones."""
        return bool(a & b & needed) and min(self.count(a - b), self.count(b - a)) < SLIM

    def _pay(self, plan: Plan, static: bool, cost: float) -> None:
        if static:
            plan.once += cost
        else:
            plan.cost += cost
            plan.calls += 1


@cache
def _planned(
    operands: tuple[tuple[frozenset[str], bool], ...], out: frozenset[str], size: tuple[tuple[str, int], ...]
) -> Plan:
    """What `Planner` plans. A graph is contracted more than once, and the terms of a sum are often alike."""
    return Planner(dict(size)).planned([Operand(axes, static) for axes, static in operands], out)


@cache
def _cached_paths(
    sides: tuple[int, ...], result: int, sizes: tuple[int, ...]
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """The orders that the searches find. They count multiplications; what those cost is for the planner to say.

    `sides` and `result` have a bit for each axis, the k-th one of the k-th size.
    """
    if len(sides) <= LONG:
        # The first search misses orders where an axis is in three operands; the other finds those.
        found = (search(sides, result, sizes) for search in (searches.depth_first, searches.connected))
        return tuple(dict.fromkeys(map(tuple, found)))
    letters = {opt_einsum.get_symbol(k): 1 << k for k in range(len(sizes))}
    size = dict(zip(letters, sizes, strict=True))
    named = [frozenset(n for n, bit in letters.items() if axes & bit) for axes in (*sides, result)]
    return (_pairs(paths.auto(named[:-1], named[-1], size), len(sides)),)


def _pairs(path: Iterable[Sequence[int]], count: int) -> tuple[tuple[int, int], ...]:
    """A path of opt_einsum with two operands in every step."""
    # Operands are told apart by numbers; `theirs` has them as opt_einsum does, which appends one that it sums by itself again.
    theirs, ours, fresh = list(range(count)), list(range(count)), count
    pairs: list[tuple[int, int]] = []
    for step in path:
        taken = [theirs[k] for k in step]
        theirs = [x for x in theirs if x not in taken]
        while len(taken) > 1:
            i, j = sorted((ours.index(taken[0]), ours.index(taken[1])))
            pairs.append((i, j))
            ours = [x for k, x in enumerate(ours) if k not in (i, j)] + [fresh]
            taken = [fresh, *taken[2:]]
            fresh += 1
        theirs.append(taken[0])
    return tuple(pairs)


# The operands of a plan as leaves, each step as a pair.
_Tree: TypeAlias = "int | tuple[_Tree, _Tree]"


def _tree(steps: Iterable[tuple[int, int]], count: int) -> _Tree:
    """The steps of a plan as one tree."""
    left: list[_Tree] = list(range(count))
    for i, j in steps:
        pair = left[i], left[j]
        left = [x for k, x in enumerate(left) if k not in (i, j)] + [pair]
    return left[0]


def _steps(tree: _Tree, count: int) -> list[tuple[int, int]]:
    """A tree as steps, what is further down first."""
    left: list[_Tree] = list(range(count))
    found: list[tuple[int, int]] = []

    def visit(t: _Tree) -> None:
        if isinstance(t, int):
            return
        for x in t:
            visit(x)
        i, j = (next(k for k, y in enumerate(left) if y is x or y == x) for x in t)
        found.append((min(i, j), max(i, j)))
        left[:] = [y for k, y in enumerate(left) if k not in (i, j)] + [t]

    visit(tree)
    return found


def _rotations(tree: _Tree) -> Iterator[_Tree]:
    """Trees in which one step is taken in another order: x(yz) and y(xz) for (xy)z."""
    if isinstance(tree, int):
        return
    a, b = tree
    for pair, z in ((a, b), (b, a)):
        if not isinstance(pair, int):
            x, y = pair
            yield x, (y, z)
            yield y, (x, z)
    for x in _rotations(a):
        yield x, b
    for x in _rotations(b):
        yield a, x


def is_matrix_product(a: frozenset[str], b: frozenset[str], out: frozenset[str]) -> bool:
    """Whether summing a*b to `out` is more than an elementwise product: something is summed, and some axis is not shared."""
    return bool((a | b) - out) and a != b


def build(b: Builder, operands: Sequence[Node], out: Sequence[Axis], plan: Plan, keep_fused: frozenset[int]) -> Node:
    """The nodes of a plan. A matrix-vector product whose matrix would be made for it alone (its uid is in `keep_fused`)
    stays a map and a reduction, which run without that matrix in memory."""
    left = list(operands)
    wanted = {a.name for a in out}
    for i, j in plan.steps:
        x, y = left[i], left[j]
        left = [n for k, n in enumerate(left) if k not in (i, j)]
        needed = wanted.union(*(n.names for n in left))
        left.append(pair(b, x, y, needed, out, keep_fused))
    (result,) = left
    over = [n for n in result.names if n not in wanted]
    return b.reduce("sum", result, over) if over else result


def pair(
    b: Builder, x: Node, y: Node, needed: set[str], out: Sequence[Axis], keep_fused: frozenset[int] = frozenset()
) -> Node:
    """The sum of x*y over the axes that are not needed."""
    x, y = (_own_sums(b, n, other, needed) for n, other in ((x, y), (y, x)))
    union = union_axes([x, y])
    summed = [a.name for a in union if a.name not in needed]
    a, c = frozenset(x.names), frozenset(y.names)
    if not summed:
        return b.mul([x, y])
    wide = x if a >= c else y if c >= a else None
    if not is_matrix_product(a, c, frozenset(needed)) or (wide is not None and wide.uid in keep_fused):
        return b.reduce("sum", b.map(("mul", slot(0), slot(1)), [x, y], "real"), summed)
    place = {a.name: k for k, a in enumerate(out)}
    kept = [a for a in (*x.axes, *(a for a in y.axes if a.name not in x.names)) if a.name in needed]
    if all(a.name in place for a in kept):
        kept.sort(key=lambda a: place[a.name])
    return b.contract([x, y], kept)


def _own_sums(b: Builder, x: Node, other: Node, needed: set[str]) -> Node:
    """x summed over the axes that nothing else has."""
    own = [n for n in x.names if n not in needed and n not in other.names]
    return b.reduce("sum", x, own) if own else x
