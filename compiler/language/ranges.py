"""Ranges of integer expressions, and whether what stands in a subscript stays inside of its axis.

A bound is a sum of whole multiples of sizes, each of which is at least 1, so that much is proved while sizes are open. Data and
constants that stand in a subscript as they are need no proof: their values are checked against the axis, here where they are
known and otherwise when they are bound. What is neither proved nor bound is listed (`unproved`) and left to whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.bodies import bodies
from vspec.compiler.language.dims import Dims, Linear, added, scaled
from vspec.compiler.language.expr import (
    Along,
    Element,
    Expr,
    Gather,
    Implicit,
    IndexValue,
    Linalg,
    Number,
    Pointwise,
    Problem,
    Reduction,
    SizeOf,
    Stop,
)
from vspec.compiler.language.operators import COUNTERS
from vspec.compiler.language.spec import Definition, Draw, Source, Spec
from vspec.compiler.language.substitute import nodes

# Bounds that are kept of each side; sums of several would multiply.
MOST = 4


@dataclass(frozen=True, slots=True)
class Range:
    """The value is at least each of `low` and at most each of `high`."""

    low: tuple[Linear, ...] = ()
    high: tuple[Linear, ...] = ()


ANY = Range()


@dataclass(frozen=True, slots=True)
class Position:
    """An expression in a subscript of `name`, along an axis over `dim`."""

    name: str
    index: Expr
    dim: str


class Ranges:
    """What is known of the integers of one spec.

    `positions`: every computed subscript, once; `indexed`: the dims along which data and constants stand as subscripts.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.dims = Dims(dict(spec.dims), dict(spec.letters))
        self.definitions = _definitions(spec)
        self._known: dict[str, Range] = {}
        self.positions = _positions(spec)
        self.indexed: dict[str, tuple[str, ...]] = {}
        for p in self.positions:
            source = self.source(p.index)
            if source is not None and p.dim not in self.indexed.get(source, ()):
                self.indexed[source] = (*self.indexed.get(source, ()), p.dim)

    def source(self, e: Expr) -> str | None:
        """The data or the constant that an expression reads as it stands."""
        while isinstance(e, Element) and e.name in self.definitions:
            e = self.definitions[e.name].body
        known = isinstance(e, Element) and (e.name in self.spec.data or e.name in self.spec.constants)
        return e.name if known and isinstance(e, Element) else None

    def inside(self, e: Expr, dim: str) -> bool:
        """Whether the value surely is a position along `dim`."""
        return all(self.sides(e, dim))

    def sides(self, e: Expr, dim: str) -> tuple[bool, bool]:
        """Whether the value surely is at least 0, and whether it surely is below the size of `dim`."""
        found, last = self.of(e), added(self.dims.sizes(dim), {"": -1})
        return any(at_most({}, x) for x in found.low), any(at_most(x, last) for x in found.high)

    def outside(self, e: Expr, dim: str) -> bool:
        """Whether the value surely is no position along `dim`."""
        found = self.of(e)
        return any(at_most(x, {"": -1}) for x in found.high) or any(at_most(self.dims.sizes(dim), x) for x in found.low)

    def unproved(self) -> list[Position]:
        """The subscripts of which nothing is proved and no values are checked."""
        return [p for p in self.positions if self.source(p.index) is None and not self.inside(p.index, p.dim)]

    def tightest(self, name: str) -> tuple[str, ...]:
        """The dims whose sizes bound the values of data or a constant: of those of known size the smallest."""
        dims = self.indexed.get(name, ())
        known = [(size, d) for d in dims if (size := self.dims.size(d)) is not None]
        least = min(known)[1] if known else None
        return tuple(d for d in dims if d == least or self.dims.size(d) is None)

    # --- rules ----------------------------------------------------------------------------------------------------

    def of(self, e: Expr) -> Range:
        """The range of an integer expression."""
        if isinstance(e, Number):
            return _exact({"": int(e.value)}) if isinstance(e.value, int) else ANY
        if isinstance(e, IndexValue):
            return self._along(e.letter)
        if isinstance(e, SizeOf):
            return _exact(self.dims.sizes(self.dims.dim_of(e.letter)))
        if isinstance(e, Element):
            return self._element(e.name)
        if isinstance(e, Stop):
            return self.of(e.body)
        if isinstance(e, Reduction):
            if e.op in ("argmax", "argmin"):
                return self._along(e.letters[0])
            return self.of(e.body) if e.op in ("max", "min") else ANY
        if isinstance(e, Along):
            if e.op == "argsort":
                return self._along(e.letter)
            return self.of(e.body) if e.op == "sort" else ANY
        if isinstance(e, Pointwise) and e.dtype == "integer" and e.op in RULES:
            return RULES[e.op](*(self.of(a) for a in e.args))
        return ANY

    def _along(self, letter: str) -> Range:
        return Range(({},), (added(self.dims.sizes(self.dims.dim_of(letter)), {"": -1}),))

    def _element(self, name: str) -> Range:
        if name not in self._known:
            # What stands in a subscript is refused outside of its axis, whatever its values are.
            last = [added(self.dims.sizes(d), {"": -1}) for d in self.indexed.get(name, ())]
            found = Range(({},) if last else (), tuple(last))
            data = self.spec.data.get(name)
            if data is not None and data.values and all(float(v).is_integer() for v in data.values):
                found = _both(found, Range(({"": int(min(data.values))},), ({"": int(max(data.values))},)))
            if name in COUNTERS:
                # A stage counts its steps from 0, and takes at least one.
                found = Range(({},) if name == "step" else ({"": 1},))
            if name in self.definitions:
                self._known[name] = ANY
                found = self.of(self.definitions[name].body)
            self._known[name] = found
        return self._known[name]


def at_most(a: Linear, b: Linear) -> bool:
    """Whether a is at most b for all sizes, each being at least 1."""
    gap = added(b, scaled(a, -1))
    return all(v >= 0 for k, v in gap.items() if k) and sum(gap.values()) >= 0


def _exact(value: Linear) -> Range:
    return Range((value,), (value,))


def _both(a: Range, b: Range) -> Range:
    return Range((*a.low, *b.low)[:MOST], (*a.high, *b.high)[:MOST])


def _either(a: Range, b: Range) -> Range:
    return Range(_least(a.low, b.low), _greatest(a.high, b.high))


def _least(a: tuple[Linear, ...], b: tuple[Linear, ...]) -> tuple[Linear, ...]:
    """Bounds from below of both."""
    found = [x for x in a if any(at_most(x, y) for y in b)] + [y for y in b if any(at_most(y, x) for x in a)]
    return tuple(found[:MOST])


def _greatest(a: tuple[Linear, ...], b: tuple[Linear, ...]) -> tuple[Linear, ...]:
    """Bounds from above of both."""
    found = [x for x in a if any(at_most(y, x) for y in b)] + [y for y in b if any(at_most(x, y) for x in a)]
    return tuple(found[:MOST])


def _add(a: Range, b: Range) -> Range:
    return Range(
        tuple(added(x, y) for x in a.low for y in b.low)[:MOST],
        tuple(added(x, y) for x in a.high for y in b.high)[:MOST],
    )


def _times(a: Range, by: int) -> Range:
    low, high = (tuple(scaled(x, by) for x in side) for side in (a.low, a.high))
    return Range(low, high) if by >= 0 else Range(high, low)


def _mul(a: Range, b: Range) -> Range:
    for one, other in ((a, b), (b, a)):
        factor = _number(one)
        if factor is not None:
            return _times(other, factor)
    if all(_number(Range(s, s)) is not None for s in (a.low, a.high, b.low, b.high)):
        ends = [x[0].get("", 0) * y[0].get("", 0) for x in (a.low, a.high) for y in (b.low, b.high)]
        return Range(({"": min(ends)},), ({"": max(ends)},))
    return ANY


def _number(a: Range) -> int | None:
    """The value where it is one number."""
    if len(a.low) == 1 and a.low == a.high and set(a.low[0]) <= {""}:
        return a.low[0].get("", 0)
    return None


def _negative(a: Range) -> Range:
    return _times(a, -1)


def _mod(a: Range, b: Range) -> Range:
    if not any(at_most({"": 1}, x) for x in b.low):
        return ANY
    high = tuple(added(x, {"": -1}) for x in b.high)
    if any(at_most({}, x) for x in a.low):
        high = (*high, *a.high)
    return Range(({},), high[:MOST])


def _floordiv(a: Range, b: Range) -> Range:
    by = _number(b)
    if by is None or by < 1:
        return ANY
    low = [{"": x.get("", 0) // by} for x in a.low if set(x) <= {""}]
    high = [{"": x.get("", 0) // by} for x in a.high if set(x) <= {""}]
    if any(at_most({}, x) for x in a.low):
        low.append({})
        high += a.high
    return Range(tuple(low[:MOST]), tuple(high[:MOST]))


def _maximum(a: Range, b: Range) -> Range:
    return Range((*a.low, *b.low)[:MOST], _greatest(a.high, b.high))


def _minimum(a: Range, b: Range) -> Range:
    return Range(_least(a.low, b.low), (*a.high, *b.high)[:MOST])


RULES: Mapping[str, Callable[..., Range]] = {
    "add": _add,
    "sub": lambda a, b: _add(a, _negative(b)),
    "neg": _negative,
    "mul": _mul,
    "mod": _mod,
    "floordiv": _floordiv,
    "maximum": _maximum,
    "minimum": _minimum,
    "clip": lambda x, low, high: _minimum(_maximum(x, low), high),
    "where": lambda _, yes, no: _either(yes, no),
    "abs": lambda a: _both(Range(({},)), _maximum(a, _negative(a))),
    "sign": lambda _: Range(({"": -1},), ({"": 1},)),
}


# --- the spec -------------------------------------------------------------------------------------------------------


def _definitions(spec: Spec) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for e in spec.equations:
        found.update({e.name: e} if isinstance(e, Definition) else {d.name: d for d in e.every_definition})
    for problem in _problems(spec):
        found.update((d.name, d) for d in problem.inner)
    return found


def _problems(spec: Spec) -> Iterator[Problem]:
    """What the implicit quantities of a spec solve."""
    return (e.problem for body in bodies(spec) for e in nodes(body.expr) if isinstance(e, Implicit))


def _letters(spec: Spec) -> dict[str, tuple[str, ...]]:
    found = {n: x.letters for group in (spec.constants, spec.data, spec.params) for n, x in group.items()}
    found |= {n: o.letters for n, o in spec.outputs.items()}
    for e in spec.equations:
        found |= {x.name: x.letters for x in e.members}
    for problem in _problems(spec):
        found |= {u.name: u.letters for u in problem.sought} | {d.name: d.letters for d in problem.inner}
    return found


def _positions(spec: Spec) -> list[Position]:
    letters = _letters(spec)
    found: dict[tuple[Span, str, str], Position] = {}

    def enter(name: str, index: Expr, letter: str) -> None:
        dim = spec.letters.get(letter)
        if dim is not None:
            found.setdefault((index.span, name, dim), Position(name, index, dim))

    for body in bodies(spec):
        for e in nodes(body.expr):
            if isinstance(e, Element):
                for s, letter in zip(e.subscripts, letters.get(e.name, ())):
                    if isinstance(s, Gather):
                        enter(e.name, s.index, letter)
            elif isinstance(e, Linalg):
                for s in e.subscripts:
                    if isinstance(s, Gather):
                        enter(e.op, s.index, e.blocks[0].core[0])
    return list(found.values())


def values_of(spec: Spec, name: str) -> Iterator[tuple[int, str]]:
    """The values that are known of integer data or of a constant, each with the verb that leads from the name to it."""
    if name in spec.constants:
        yield from ((v, "has") for v in _leaves(spec.constants[name].value))
        return
    data = spec.data[name]
    yield from ((int(v), "may be") for v in data.values or ())
    if data.default is not None and not isinstance(data.default, Source | Draw):
        yield from ((v, "has") for v in _leaves(data.default))


def _leaves(value: Any) -> Iterator[int]:
    if isinstance(value, tuple | list):
        for v in value:
            yield from _leaves(v)
    elif isinstance(value, int | float):
        yield int(value)
