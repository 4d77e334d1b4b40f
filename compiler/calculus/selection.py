"""Sums with a delta of a computed position: gathers and scatters in the place of dense one-hot products.

`sum[k](delta[z[n], k]*W[k, i])` is W[z[n], i]. `sum[n](delta[z[n], k]*x[n])` adds each x[n] to entry z[n]: a histogram, a
sum over segments, the adjoint of a gather. A delta is zero where the position is none of the axis, so that where it may be
none, the term is set to zero and the position held inside. A delta of two plain letters is left to the algebra of deltas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vspec.compiler.graph.node import Node
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Delta,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Number,
    Pointwise,
    Reduction,
    SizeOf,
)
from vspec.compiler.language.substitute import nodes, subscript_axes, substitute
from vspec.compiler.language.types import union

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


@dataclass(frozen=True, slots=True)
class Factor:
    """An expression, read at `position` along `letter` once it is a node; with `letter` '' as it is."""

    body: Expr
    letter: str = ""
    position: Expr | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """The free letters."""
        if self.position is None:
            return self.body.axes
        return tuple(dict.fromkeys((*(x for x in self.body.axes if x != self.letter), *self.position.axes)))


@dataclass(frozen=True, slots=True)
class Choice:
    """`delta[position, letter]`, its number among the factors, and whether the letter is summed."""

    number: int
    letter: str
    position: Expr
    summed: bool


def selected_sum(low: Lowering, body: Expr, letters: tuple[str, ...]) -> Node | None:
    """The sum of the body over the letters without its deltas; None where it has none of a computed position."""
    factors = [Factor(_one_hot(low, f)) for f in _factors(body)]
    bound = list(letters)
    scatter: Choice | None = None
    found = False
    while (choice := _choice(low, factors, bound)) is not None:
        taken = _take(low, factors, choice, bound)
        if taken is None:
            return None
        factors, position = taken
        found = True
        if choice.summed:
            bound.remove(choice.letter)
            continue
        scatter = replace(choice, position=position)
        break
    if not found:
        return None
    outside = [f for f in factors if scatter is not None and not set(f.axes) & set(bound)]
    node = low.b.mul([_node(low, f) for f in factors if f not in outside])
    dims = {x: low.letters[x] for x in bound}
    if scatter is None:
        return low.b.reduce("sum", node, bound, dims)
    index = low.lower(scatter.position)
    node = low.b.reduce("sum", node, [x for x in bound if x not in index.names], dims)
    node = low.b.order(node, (*node.axes, *(a for a in index.axes if a.name not in node.names)))
    keep = [a for a in node.axes if a.name not in bound]
    total = low.b.scatter_gather(_real(low, node), index, low.axis(scatter.letter), keep)
    return low.b.mul([*(_node(low, f) for f in outside), total])


def _choice(low: Lowering, factors: list[Factor], bound: list[str]) -> Choice | None:
    """A delta whose letter is summed, or else one whose position depends on what is summed."""
    found: Choice | None = None
    for number, f in enumerate(factors):
        e = f.body
        if not isinstance(e, Delta) or f.position is not None:
            continue
        if isinstance(e.left, IndexValue) and isinstance(e.right, IndexValue):
            continue
        for side, position in ((e.left, e.right), (e.right, e.left)):
            if not isinstance(side, IndexValue) or side.letter in low.bound or side.letter in position.axes:
                continue
            if side.letter in bound:
                return Choice(number, side.letter, position, True)
            if found is None and set(position.axes) & set(bound):
                found = Choice(number, side.letter, position, False)
    return found


def _take(low: Lowering, factors: list[Factor], choice: Choice, bound: list[str]) -> tuple[list[Factor], Expr] | None:
    """The other factors read at the position, and the position itself, held inside of the axis where it may leave it."""
    k, position = choice.letter, choice.position
    rest = [f for number, f in enumerate(factors) if number != choice.number]
    sides = low.sides(position, low.letters[k])
    if not all(sides):
        rest.append(Factor(_is_position(position, k, sides)))
        position = _held(low, position, k, sides)
    taken: list[Factor] = []
    for f in rest:
        if k not in f.axes or not (choice.summed or set(f.axes) & set(bound)):
            # What has the letter and nothing that is summed is multiplied to the sum.
            taken.append(f)
            continue
        if f.position is not None:
            # It is read at another position already, which depends on this letter.
            return None
        simple = isinstance(f.body, Element | Delta | IndexValue)
        if (simple or set(f.axes) & set(position.axes)) and _substitutable(f.body, k, position):
            taken.append(Factor(substitute(f.body, {k: Gather(position)})))
        else:
            taken.append(Factor(f.body, k, position))
    return taken, position


def _node(low: Lowering, f: Factor) -> Node:
    node = low.lower(f.body)
    if f.position is not None:
        aside = low.b.fresh(f.letter)
        node = low.b.gather(low.b.rename(node, {f.letter: aside}), low.lower(f.position), aside)
    return _real(low, node)


def _real(low: Lowering, node: Node) -> Node:
    return node if node.dtype == "real" else low.b.map(("real", ("x", 0)), [node], "real")


def _factors(e: Expr) -> Iterable[Expr]:
    """The factors of a product."""
    if isinstance(e, Pointwise) and e.op == "mul":
        for a in e.args:
            yield from _factors(a)
    elif isinstance(e, Pointwise) and e.op == "neg":
        yield Number(span=e.span, dtype="real", value=-1.0)
        yield from _factors(e.args[0])
    elif isinstance(e, Pointwise) and e.op == "div":
        yield from _factors(e.args[0])
        one = Number(span=e.span, dtype="real", value=1.0)
        yield replace(e, args=(one, e.args[1]), axes=e.args[1].axes)
    else:
        yield e


def _one_hot(low: Lowering, e: Expr) -> Expr:
    """The delta itself where the expression reads a definition that is one, as `onehot[n, k]: delta[z[n], k]`."""
    found = low.definitions.get(e.name) if isinstance(e, Element) else None
    if found is None or not isinstance(e, Element) or not isinstance(found.body, Delta) or low.dropped.get(e.name):
        return e
    by = dict(zip(found.letters, e.subscripts))
    used = {x: s for x, s in by.items() if x in found.body.axes}
    if any(isinstance(s, At) and s.position < 0 for s in used.values()):
        return e
    letters = frozenset(subscript_axes(tuple(used.values())))
    return substitute(found.body, used) if _free(found.body, frozenset(used) | letters) else e


def _substitutable(e: Expr, letter: str, position: Expr) -> bool:
    """Whether the position may stand for the letter everywhere: nothing binds its letters, runs along the letter or reads at a
    place computed of it."""
    subscripts = (s for top in nodes(e) for s in getattr(top, "subscripts", ()))
    plain = all(s.plain for s in subscripts if isinstance(s, Affine) and s.letter == letter)
    return plain and _free(e, frozenset((letter, *position.axes)))


def _free(e: Expr, own: frozenset[str]) -> bool:
    """Whether nothing in the expression binds any of the letters or runs along one."""
    for top in nodes(e):
        binds: set[str] = set()
        if isinstance(top, Reduction):
            binds = set(top.letters)
        elif isinstance(top, Along):
            binds = {top.letter}
        elif isinstance(top, Linalg):
            binds = {x for block in top.blocks for x in block.core}
        if binds & own:
            return False
    return True


def _integer(e: Expr, op: str, *args: Expr, dtype: str = "integer") -> Expr:
    return Pointwise(span=e.span, axes=union(args), dtype=dtype, op=op, args=args)  # type: ignore[arg-type]


def _held(low: Lowering, position: Expr, letter: str, sides: tuple[bool, bool]) -> Expr:
    """The position, or the nearest one that the axis has; `sides`: which of the two ends it surely keeps to."""
    zero, one = (Number(span=position.span, dtype="integer", value=v) for v in (0, 1))
    size = low.b.dims.get(low.letters[letter])
    last: Expr = (
        replace(one, value=size - 1)
        if isinstance(size, int)
        else _integer(position, "sub", _size(position, letter), one)
    )
    if sides[0]:
        return _integer(position, "minimum", position, last)
    if sides[1]:
        return _integer(position, "maximum", position, zero)
    return _integer(position, "clip", position, zero, last)


def _is_position(position: Expr, letter: str, sides: tuple[bool, bool]) -> Expr:
    """1 where it is a position of the axis, else 0."""
    zero = Number(span=position.span, dtype="integer", value=0)
    tests = [
        _integer(position, op, position, end, dtype="boolean")
        for op, end, sure in (("ge", zero, sides[0]), ("lt", _size(position, letter), sides[1]))
        if not sure
    ]
    both = tests[0] if len(tests) == 1 else _integer(position, "and", *tests, dtype="boolean")
    return _integer(position, "real", both, dtype="real")


def _size(position: Expr, letter: str) -> Expr:
    return SizeOf(span=position.span, dtype="integer", letter=letter)
