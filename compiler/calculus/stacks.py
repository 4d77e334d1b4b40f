"""Stacked arrays: their value, and derivatives by all of their entries, which go to the parts and come back joined."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vspec.compiler.calculus.derive import derivative
from vspec.compiler.graph import concat
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.language.expr import Element, Stack

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


def stacked(low: Lowering, e: Stack) -> Node:
    """The parts of a stack, raveled one after the other; each group's axes have names that nothing else uses."""
    parts: list[Node] = []
    groups: list[list[Axis]] = []
    for block in e.blocks:
        names = {x: low.b.fresh(x) for x in block.core}
        parts.append(low.b.rename(low.lower(block.body), names))
        groups.append([Axis(names[x], low.letters[x]) for x in block.core])
    return low.b.stack(parts, groups, low.axis(e.letter), e.axes)


def by(
    low: Lowering, node: Node, name: str, letters: Sequence[Axis], fixed: Collection[int] = (), mode: str = "auto"
) -> Node:
    """d(node, name[letters]) for a name that may be a stack; axes of the node first, then the letters that it lacks.

    `fixed`: nodes through which no derivative flows, by uid: the other parts of a stack, each of which is on its own.
    """
    stack = low.stacks.get(name)
    if stack is not None:
        return by_stack(low, node, stack, letters[0], fixed, mode)
    source, to = concat.renamed(node)
    apart = source.kind is Kind.CONCAT and source.op == "stack" and any(source.attrs[1])
    if not apart or {a.name for a in letters} & set(node.names):
        return derivative(low.b, node, low.get(name), letters, fixed, mode)
    # The derivative of joined arrays is joined of theirs: no sweep goes along the joined axis.
    parts = [_shown(low, source, k, to) for k in range(len(source.inputs))]
    new = Axis(to[source.attrs[0].name], source.attrs[0].dim)
    found = [by(low, x, name, letters, fixed, mode) for x in parts]
    axes = (*node.axes, *dict.fromkeys(letters))
    return low.b.order(low.b.stack(found, concat.stretches(source), new), axes)


def by_stack(
    low: Lowering, node: Node, stack: Stack, axis: Axis, fixed: Collection[int] = (), mode: str = "auto"
) -> Node:
    """d(node, theta[axis]) for a stack theta: the derivatives by its parts, joined along `axis`.

    An axis that the node has, too, asks for the diagonal of the Jacobian: part by part where the node is joined of the
    same groups (a gradient by theta is), else of the whole Jacobian.
    """
    b = low.b
    fixed = {*fixed, *(low.get(name).uid for name in leaves(low, stack))}
    if axis.name in node.names:
        apart = _diagonal(low, node, stack, axis, fixed, mode)
        if apart is not None:
            return b.order(apart, node.axes)
        second = Axis(b.fresh(axis.name), axis.dim)
        return b.order(b.rename(by_stack(low, node, stack, second, fixed, mode), {second.name: axis.name}), node.axes)
    names = parts_of(stack)
    groups = [[Axis(b.fresh(a.name), a.dim) for a in low.get(name).axes] for name in names]
    found = [by(low, node, name, group, fixed, mode) for name, group in zip(names, groups, strict=True)]
    return b.order(b.stack(found, groups, axis), (*node.axes, axis))


def parts_of(stack: Stack) -> list[str]:
    """The names that a stack joins."""
    found = []
    for block in stack.blocks:
        assert isinstance(block.body, Element), "a derivative is by a stack of real numbers"
        found.append(block.body.name)
    return found


def leaves(low: Lowering, stack: Stack) -> Iterator[str]:
    """The names that a stack joins, those that the stacks among them join included."""
    for name in parts_of(stack):
        if name in low.stacks:
            yield from leaves(low, low.stacks[name])
        else:
            yield name


def _shown(low: Lowering, source: Node, k: int, to: Mapping[str, str]) -> Node:
    """The k-th part of a stack with its batch axes under the names that they have outside."""
    own = source.attrs[1][k]
    return low.b.rename(source.inputs[k], {n: t for n, t in to.items() if n not in own})


def _diagonal(low: Lowering, node: Node, stack: Stack, axis: Axis, fixed: Collection[int], mode: str) -> Node | None:
    """The diagonal of the Jacobian of a node that joins the same groups; None if it does not."""
    source, to = concat.renamed(node)
    if source.kind is not Kind.CONCAT or source.op != "stack" or to[source.attrs[0].name] != axis.name:
        return None
    names = parts_of(stack)
    if concat.joined(source) != tuple(tuple(a.dim for a in low.get(name).axes) for name in names):
        return None
    groups = concat.stretches(source)
    shown = [_shown(low, source, k, to) for k in range(len(names))]
    found = [by(low, x, name, group, fixed, mode) for x, name, group in zip(shown, names, groups, strict=True)]
    return low.b.stack(found, groups, axis)
