"""Matrices read as a sum of a banded matrix and products u v' of low rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.passes.banded import MOST
from vspec.compiler.passes.bands import band
from vspec.compiler.passes.patterns import factors, number_of, opened_map, product, terms
from vspec.compiler.passes.products import Expansion
from vspec.compiler.passes.systems import LowRank, System

if TYPE_CHECKING:
    from vspec.compiler.passes.structure import Structure

MOST_TERMS = 8


def low_rank(structure: Structure, b: Builder, x: Node, r: Axis, c: Axis, asked: bool = False) -> System | None:
    """A few diagonals that are safe to solve with or, where this is asked for, any, plus products of low rank; None
    if x is no such sum."""
    parts = summands(b, x, r.name, c.name)
    narrow = [(t, band(t, r.name, c.name)) for t in parts]
    plain = [t for t, where in narrow if where.low >= -MOST and where.high <= MOST]
    rest = [t for t, where in narrow if where.low < -MOST or where.high > MOST]
    if not plain or not rest:
        return None
    updates = [outer(b, t, r, c) for t in rest]
    if any(u is None for u in updates):
        return None
    system = structure.narrow(b, b.add(plain), r, c, asked)
    for found in updates:
        assert found is not None
        if system is not None:
            system = LowRank(b, r, c, system, *found, refined=structure.facts.precision == "float32")
    return system


def summands(b: Builder, x: Node, r: str, c: str, depth: int = 6) -> list[Node]:
    """The terms whose sum x is; scalars in front of a sum are multiplied out."""
    opened = opened_map(b, x)
    if opened is None or depth == 0 or x.dtype != "real":
        return [x]
    tree, inputs = opened
    parts = terms(tree)
    if len(parts) == 1:
        spread = _distributed(b, tree, inputs, r, c)
        return [x] if spread is None else [t for s in spread for t in summands(b, s, r, c, depth - 1)]
    if len(parts) > MOST_TERMS:
        return [x]
    signed = [b.map(t if s > 0 else ("neg", t), inputs, "real") for s, t in parts]
    return [t for s in signed for t in summands(b, s, r, c, depth - 1)]


def _distributed(b: Builder, tree: Tree, inputs: list[Node], r: str, c: str) -> list[Node] | None:
    """A product with one factor that is a sum over rows and columns, as a sum of products."""
    value, parts = number_of(factors(tree))
    for k, (t, e) in enumerate(parts):
        x = b.map(t, inputs)
        opened = opened_map(b, x)
        if e != 1 or opened is None or not {r, c} <= {*x.names} or opened[0][0] not in ("add", "sub", "neg"):
            continue
        others = b.map(product([p for j, p in enumerate(parts) if j != k], value), inputs, "real")
        if len(parts) == 1 and value == 1:
            return None
        signed = terms(opened[0])
        return [
            b.map(("mul", ("x", 0), ("x", 1)) if s > 0 else ("neg", ("mul", ("x", 0), ("x", 1))), [others, y], "real")
            for s, y in ((s, b.map(u, opened[1])) for s, u in signed)
        ]
    return None


def outer(b: Builder, x: Node, r: Axis, c: Axis) -> tuple[Node, Node, Axis | None] | None:
    """x[r, c] as the sum over at most one inner axis of u[r, inner]*v[c, inner]."""
    p = Expansion(b, lambda n: True).run(x)
    p.factors = [y for f in p.factors for y in _apart(b, f, r.name, c.name)]
    if any({r.name, c.name} <= {*f.names} for f in p.factors):
        return None
    sides = ([f for f in p.factors if r.name in f.names], [f for f in p.factors if c.name in f.names])
    middle = [f for f in p.factors if not {r.name, c.name} & {*f.names}]
    inner = [[a for n, a in p.bound.items() if any(n in f.names for f in side)] for side in sides]
    near = 0 if len(inner[0]) <= 1 else 1
    if len(inner[near]) > 1:
        return None
    summed = [a for a in p.bound.values() if a not in inner[near]]
    # What belongs to neither side goes to the far one, with the sums over all that only it has.
    far = b.mul([*([b.number(p.value)] if p.value != 1 else []), *middle, *sides[1 - near]])
    found = [far, far]
    found[near] = b.mul(sides[near])
    found[1 - near] = b.reduce("sum", far, [a.name for a in summed], {a.name: a.dim for a in summed})
    # A side that is constant along its axis has it all the same.
    u, v = (x if a.name in x.names else b.order(x, (*x.axes, a)) for x, a in zip(found, (r, c), strict=True))
    return u, v, inner[near][0] if inner[near] else None


def _apart(b: Builder, x: Node, r: str, c: str) -> list[Node]:
    """exp(u[r] + v[c]) as a product."""
    opened = opened_map(b, x) if {r, c} <= {*x.names} else None
    if opened is None or opened[0][0] != "exp":
        return [x]
    parts = [b.map(t if s > 0 else ("neg", t), opened[1], "real") for s, t in terms(opened[0][1])]
    if any({r, c} <= {*p.names} for p in parts):
        return [x]
    return [b.map(("exp", ("x", 0)), [p], "real") for p in parts]


__all__ = ["low_rank", "outer", "summands"]
