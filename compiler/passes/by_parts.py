"""Sums of products with joined arrays, part by part: sum[n] J[n, p] J[n, q] of a J that is joined of A and B is four sums.

A product of the whole makes J and sees one axis where each part may have several. The Fisher information of a network, whose
Jacobian joins X[n, i] H[n, k, h] and more, sums over k before X is met, so that it costs a fraction; no J is made. What the terms
of a part have in common is a factor of it first: in x*y - x*z, x can be summed by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as pairs_of

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.concat import Group, stack, stretches
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes.distribute import sum_kernel
from vspec.compiler.passes.patterns import terms
from vspec.compiler.passes.products import Expansion, Product, unnamed

# More parts of one array, or more joined axes of one result, are left together: the sums multiply.
PARTS, AXES = 4, 2


@dataclass(frozen=True, slots=True)
class Joint:
    """A joined factor: its place among the factors, its axis in the result, and its parts with the axes of each."""

    place: int
    axis: Axis
    parts: tuple[Node, ...]
    groups: tuple[tuple[Axis, ...], ...]


Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The joints of a sum, and its blocks by the part of each joint: names for their axes and the product. A block that is
    another one with the names of two groups exchanged is left out if `symmetric`."""

    joints: tuple[Joint, ...]
    blocks: Mapping[Key, tuple[tuple[str, ...], Product]]
    symmetric: bool


def split(b: Builder, names: Sequence[str], p: Product, classes: Classes, sizes: Sizes) -> Split | None:
    """The blocks of a sum over products with joined factors whose joined axes are not summed; None if there are none."""
    joints = [j for k, x in enumerate(p.factors) if (j := _joint(b, k, x, names, p.factors)) is not None]
    if not 1 <= len(joints) <= AXES:
        return None
    symmetric = len(joints) == 2 and _alike(p, joints, classes)
    places = {j.place for j in joints}
    rest = [x for k, x in enumerate(p.factors) if k not in places]
    parted = [[_factors(b, x, classes, sizes) for x in j.parts] for j in joints]
    blocks: dict[Key, tuple[tuple[str, ...], Product]] = {}
    for key in pairs_of(*(range(len(j.parts)) for j in joints)):
        if symmetric and key[0] > key[1]:
            continue
        own: list[str] = []
        for n in names:
            joint = next((t for t, j in enumerate(joints) if j.axis.name == n), None)
            own += [n] if joint is None else [a.name for a in joints[joint].groups[key[joint]]]
        found = [parted[t][k] for t, k in enumerate(key)]
        value = p.value
        for f in found:
            value = value * f.value
        blocks[key] = (tuple(own), Product(value, [*rest, *(x for f in found for x in f.factors)], dict(p.bound)))
    return Split(tuple(joints), blocks, symmetric)


def _joint(b: Builder, place: int, x: Node, names: Sequence[str], factors: Sequence[Node]) -> Joint | None:
    base = unnamed(x)
    if base.kind is not Kind.CONCAT or base.op != "stack" or len(base.inputs) > PARTS:
        return None
    inner, to = x, {n: n for n in x.names}
    while inner.kind is Kind.REINDEX:
        (below,) = inner.inputs
        to = {n: to[t] for n, t in zip(below.names, inner.attrs[0], strict=True)}
        inner = below
    axis = base.attrs[0]
    name = to[axis.name]
    if name not in names or any(name in y.names for k, y in enumerate(factors) if k != place):
        return None
    if list(to.values()).count(name) > 1:
        return None
    parts, groups = [], []
    for part, group in zip(base.inputs, stretches(base), strict=True):
        fresh = {a.name: b.fresh(a.name) for a in group}
        parts.append(b.reindex(part, tuple(fresh.get(n) or to[n] for n in part.names)))
        groups.append(tuple(Axis(fresh[a.name], a.dim) for a in group))
    return Joint(place, Axis(name, axis.dim), tuple(parts), tuple(groups))


def _alike(p: Product, joints: Sequence[Joint], classes: Classes) -> bool:
    """Whether two joints are one array, so that the result is the same with their axes exchanged."""
    one, other = (p.factors[j.place] for j in joints)
    to = {joints[0].axis.name: joints[1].axis.name}
    (kind, first), (same, second) = classes.of(one), classes.of(other)
    return kind == same and tuple(to.get(n, n) for n in first) == second


def _factors(b: Builder, x: Node, classes: Classes, sizes: Sizes) -> Product:
    """What a part is the product of."""
    opened = sum_kernel(b, x)
    if opened is None:
        whole = Expansion(b, _multiplied).run(x)
        return Product(whole.value, _met(b, whole.factors), whole.bound)
    tree, inputs = opened
    products = [(s, Expansion(b, _multiplied).run(b.map(t, inputs))) for s, t in terms(tree)]
    common: list[Node] = []
    left = [list(q.factors) for _, q in products]
    for y in products[0][1].factors:
        found = [next((z for z in others if classes.of(z) == classes.of(y)), None) for others in left]
        if all(z is not None for z in found):
            common.append(y)
            left = [[u for u in others if u is not z] for others, z in zip(left, found, strict=True)]
    if not common:
        return Product(1, [x])
    numbers = [b.mul([b.number(s * q.value), *others]) for (s, q), others in zip(products, left, strict=True)]
    rest = b.add(numbers)
    if sizes.count(rest.axes) >= sizes.count(x.axes):
        return Product(1, [x])
    return Product(1, _met(b, [*common, rest]))


def _met(b: Builder, factors: Sequence[Node]) -> list[Node]:
    """The factors, multiplied by those whose axes they have: fewer are quicker to find an order for."""
    found: list[Node] = []
    for x in sorted(factors, key=lambda x: -len(x.axes)):
        k = next((k for k, y in enumerate(found) if set(x.names) <= set(y.names)), None)
        if k is None:
            found.append(x)
        else:
            found[k] = b.mul([x, found[k]])
    return found


def _multiplied(x: Node) -> bool:
    return x.kind is Kind.MAP


def joined(b: Builder, found: Split, made: Callable[[Key], Node], axes: Sequence[Axis]) -> Node:
    """The result with these axes, of the blocks that `made` makes."""
    blocks = {key: made(key) for key in found.blocks}
    if found.symmetric:
        one, other = found.joints
        for j, k in [key for key in blocks if key[0] < key[1]]:
            to = {
                **{a.name: c.name for a, c in zip(one.groups[j], other.groups[j], strict=True)},
                **{a.name: c.name for a, c in zip(other.groups[k], one.groups[k], strict=True)},
            }
            blocks[k, j] = b.rename(blocks[j, k], to)
    result = _stacked(b, found.joints, (), blocks)
    return b.order(result, axes)


def _stacked(b: Builder, joints: Sequence[Joint], key: Key, blocks: Mapping[Key, Node]) -> Node:
    if len(key) == len(joints):
        return blocks[key]
    joint = joints[len(key)]
    parts = [_stacked(b, joints, (*key, k), blocks) for k in range(len(joint.parts))]
    groups: Sequence[Group] = joint.groups
    return stack(b, parts, groups, joint.axis)
