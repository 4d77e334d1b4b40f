"""A part of a graph at other arguments: every node that depends on them is made again, with the axes that they bring.

Arguments may have more axes than what they stand for, or fewer: a problem for one value of an index becomes one for each of its
values, and the other way round. Axes that are added or dropped are mixed by no node in between. An argument that lacks an axis
which is not dropped is constant along it: what is made of it lacks the axis, too, until something else brings it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.concat import stretches
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Kind, Node, Pull, Region, Solve, next_uid


class NotSeparate(ValueError):  # noqa: N818 (it says what cannot be done, and the caller says why)
    """Where a node mixes an axis that changes. `what` is how, for a person."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


NOTHING: Mapping[int, Collection[str]] = MappingProxyType({})


def instantiate(
    b: Builder, roots: Sequence[Node], arguments: Mapping[int, Node], dropped: Mapping[int, Collection[str]] = NOTHING
) -> list[Node]:
    """The roots with nodes replaced by `arguments`, without the axes that are `dropped` of each node, both by uid. What does
    not change is shared.

    Raises NotSeparate where a node mixes an axis that changes.
    """
    new = instantiated(b, roots, arguments, dropped)
    return [new[r.uid] for r in roots]


def instantiated(
    b: Builder, roots: Sequence[Node], arguments: Mapping[int, Node], dropped: Mapping[int, Collection[str]] = NOTHING
) -> dict[int, Node]:
    """What becomes of each node below the roots, by uid; see `instantiate`."""
    new: dict[int, Node] = dict(arguments)
    for node in _above(roots, arguments):
        inputs = [new[x.uid] for x in node.inputs]
        if all(x is y for x, y in zip(inputs, node.inputs, strict=True)) and not dropped.get(node.uid):
            new[node.uid] = node
        else:
            with b.at(node.origin):
                gone = {n for x in node.inputs for n in dropped.get(x.uid, ())}
                new[node.uid] = _leaner(b, node, inputs, gone, dropped.get(node.uid, ()))
    return new


def _above(roots: Sequence[Node], arguments: Collection[int]) -> list[Node]:
    """The nodes that the roots need, inputs first, without the arguments and what lies below them alone."""
    found: dict[int, Node] = {}
    stack = [r for r in roots if r.uid not in arguments]
    while stack:
        node = stack.pop()
        if node.uid not in found:
            found[node.uid] = node
            stack.extend(x for x in node.inputs if x.uid not in arguments)
    return sorted(found.values(), key=lambda n: n.uid)


def _leaner(b: Builder, node: Node, inputs: list[Node], gone: Collection[str], dropped: Collection[str]) -> Node:
    """The node over inputs that may lack axes along which they are constant; those in `gone` are no such axes."""
    lack = {n for x, old in zip(inputs, node.inputs, strict=True) for n in old.names if n not in x.names} - set(gone)
    if not lack or node.kind in (Kind.MAP, Kind.STOP):
        return rebuilt(b, node, inputs, dropped)
    own = {a.name: a.dim for x in node.inputs for a in x.axes}
    if node.kind is Kind.REDUCE:
        return b.reduce(node.op, inputs[0], _kept(node, node.attrs[0], dropped), own)
    known = {n for x in inputs for n in x.names}
    if node.kind is Kind.CONTRACT:
        new = [a for a in {a.name: a for x in inputs for a in x.axes}.values() if a.name not in own]
        axes = [a for a in node.axes if a.name in known and a.name not in dropped]
        counts = [b.size(dim) for n, dim in own.items() if n not in known and n not in node.names and n not in gone]
        total = b.contract(inputs, [*axes, *new])
        return b.map(("mul", *(slot(k) for k in range(len(counts) + 1))), [*counts, total], "real") if counts else total
    if node.kind is Kind.REINDEX:
        (x,), (old,) = inputs, node.inputs
        to = dict(zip(old.names, node.attrs[0], strict=True))
        constant = {to[n] for n in old.names if n in lack} - {to[n] for n in old.names if n in x.names}
        axes = [a for a in node.axes if a.name not in constant and a.name not in dropped]
        return b.reindex(x, [to.get(n, n) for n in x.names], [*axes, *(a for a in x.axes if a.name not in own)])
    if node.kind is Kind.GATHER:
        return b.gather(inputs[0], inputs[1], *_kept(node, node.attrs, dropped))
    full = []
    for x, old in zip(inputs, node.inputs, strict=True):
        axes = [a for a in old.axes if a.name not in gone]
        full.append(b.order(x, [*axes, *(a for a in x.axes if a.name not in old.names)]))
    return rebuilt(b, node, full, dropped)


def rebuilt(b: Builder, node: Node, inputs: Sequence[Node], dropped: Collection[str] = ()) -> Node:
    """The node over other inputs, which may have more axes or lack `dropped` ones."""
    a = node.attrs
    own = {n for x in node.inputs for n in x.names}
    more = [x for x in {x.name: x for i in inputs for x in i.axes}.values() if x.name not in own]
    if any(x.name in node.names for x in more):
        raise NotSeparate(f"an index means two things at once in line {node.origin.line}")
    axes = [x for x in node.axes if x.name not in dropped] + more
    if node.kind is Kind.MAP:
        return b.map(a[0].tree, inputs, node.dtype)
    if node.kind is Kind.REDUCE:
        b.taken = a[1] if len(a) > 1 else ()
        found = b.reduce(node.op, inputs[0], _kept(node, a[0], dropped))
        b.taken = ()
        return found
    if node.kind is Kind.CONTRACT:
        return b.contract(inputs, axes)
    if node.kind is Kind.REINDEX:
        to = dict(zip(node.inputs[0].names, a[0], strict=True))
        return b.reindex(inputs[0], [to.get(n, n) for n in inputs[0].names], axes)
    if node.kind is Kind.WINDOW:
        (x,) = inputs
        _kept(node, a[:1], dropped)
        if node.op == "affine":
            return b.window(x, a[0], node.axis(a[1]), a[2], a[3])
        made = {"shift": b.shift, "flip": b.flip, "at": b.at_position}[node.op]
        return made(x, *a)  # type: ignore[operator, no-any-return]
    if node.kind is Kind.GATHER:
        return b.gather(inputs[0], inputs[1], *_kept(node, a, dropped))
    if node.kind is Kind.SCATTER:
        return _scattered(b, node, inputs, axes)
    if node.kind is Kind.CUMULATE:
        axis = node.axis(*_kept(node, a[:1], dropped))
        return b.cumulate(node.op, inputs, axis, a[1])
    if node.kind is Kind.CONCAT:
        if node.op == "stack":
            return b.stack(inputs, stretches(node), a[0], [x.name for x in axes])
        return b.part(inputs[0], a[0], stretches(node), a[2])
    if node.kind in (Kind.LINALG, Kind.CALL):
        consumed = [n for core in a[0] for n in core]
        _kept(node, consumed, dropped)
        if node.kind is Kind.CALL:
            return b.call(a[2], inputs, a[0], [node.axis(n) for n in a[1]])
        return b.linalg(node.op, inputs, a[0], [node.axis(n) for n in a[1]])
    if node.kind is Kind.RANDOM and node.dtype != "key":
        return b.make(Kind.RANDOM, node.op, inputs, axes, node.dtype, a)
    if node.kind is Kind.STOP:
        return b.hold(inputs[0]) if node.op == "hold" else b.stop(inputs[0])
    if node.kind is Kind.REGION and isinstance(a[0], Region):
        return _loop(b, node, inputs, more, dropped)
    if node.kind is Kind.REGION:
        return b.region(node.op, _region(node, more, dropped), inputs)
    if node.kind is Kind.ITEM:
        return b.item(inputs[0], a[0], _item_axes(node, inputs[0], axes), node.dtype)
    raise NotSeparate(f"a {node.kind} is one for all")


def _kept(node: Node, names: Iterable[str], dropped: Collection[str]) -> tuple[str, ...]:
    """The names of axes that the node mixes; none of them may go."""
    names = tuple(names)
    if set(names) & set(dropped):
        raise NotSeparate(f"an operation along an axis joins them in line {node.origin.line}")
    return names


def _scattered(b: Builder, node: Node, inputs: Sequence[Node], axes: Sequence[Axis]) -> Node:
    a = node.attrs
    if node.op == "affine":
        return b.scatter_affine(inputs[0], a[0], a[1], a[2], a[3])
    if node.op == "at":
        return b.scatter_at(inputs[0], *a)
    return b.scatter_gather(inputs[0], inputs[1], a[0], [x for x in axes if x.name != a[0].name])


def _loop(b: Builder, node: Node, inputs: Sequence[Node], more: Sequence[Axis], dropped: Collection[str]) -> Node:
    """A recurrence for more values: all of its states get the axes that its operands bring."""
    region: Region = node.attrs[0]
    if region.products is not None or any(set(x.names) & set(dropped) for x in node.inputs):
        raise NotSeparate(f"a recurrence is one for all in line {node.origin.line}")
    count = len(region.carry)
    carry = tuple(replace(x, axes=(*more, *x.axes), uid=next_uid()) for x in region.carry)
    captured = tuple(
        x if y is old else replace(x, axes=y.axes, uid=next_uid())
        for x, y, old in zip(region.captured, inputs[count:], node.inputs[count:], strict=True)
    )
    new = {x.uid: y for x, y in zip((*region.carry, *region.captured), (*carry, *captured), strict=True)}
    roots = instantiate(b, region.steps, new)
    body = tuple(b.order(x, c.axes) for x, c in zip(roots, carry, strict=False))
    until = roots[-1] if region.until is not None else None
    starts = [b.order(x, c.axes) for x, c in zip(inputs, carry, strict=False)]
    loop = replace(region, carry=carry, captured=captured, body=body, until=until)
    return b.region(node.op, loop, [*starts, *inputs[count:]])


def _item_axes(node: Node, of: Node, axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes of a result of a problem or a recurrence."""
    region = of.attrs[0]
    if isinstance(region, Region):
        how, k = region.results[node.attrs[0]]
        own = region.carry[k].axes
        return (region.axis, *own) if how == "path" else own
    return (*(x for x in _batch(of) if x.name not in node.names), *axes)


def _region(node: Node, more: Sequence[Axis], dropped: Collection[str]) -> Solve:
    """A problem for more or fewer values."""
    region = node.attrs[0]
    if not isinstance(region, Solve):
        what = "the derivative of unrolled steps" if isinstance(region, Pull) else "a recurrence"
        raise NotSeparate(f"{what} is one for all")
    kept = tuple(x for x in region.batch if x.name not in dropped)
    return replace(region, batch=(*more, *kept))


def _batch(region: Node) -> tuple[Axis, ...]:
    return region.attrs[0].batch if isinstance(region.attrs[0], Solve) else ()
