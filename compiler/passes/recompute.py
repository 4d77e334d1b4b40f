"""Arrays that are too large to be held move into the loops whose steps only reduce them.

What a loop does not change is computed before it and stands there whole. Where that is too large, the steps get what it is made
of, and the reductions in them take it some rows at a time (`block.py`). It is then made again in every step: only what is too
large for certain, or costs little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, Pull, Region, innermost, next_uid, topological
from vspec.compiler.graph.rewrite import Sweep, all_nodes, rewrite, with_inputs
from vspec.compiler.graph.tuning import tuning_of
from vspec.compiler.passes.streams import Streams

DOC = "No array above the memory budget is made before a loop if its steps only reduce it."

# So many operations per element are done again in every step rather than kept, where only a run tells whether it would fit.
AGAIN = 100

MADE_AGAIN = frozenset(
    {Kind.MAP, Kind.REDUCE, Kind.CONTRACT, Kind.REINDEX, Kind.INDEX, Kind.CONST, Kind.GATHER, Kind.WINDOW, Kind.STOP}
)


@dataclass(slots=True)
class _Moved:
    """What an operand is made of: large nodes, and the leaves that remain operands."""

    inner: list[Node] = field(default_factory=list)
    leaves: list[Node] = field(default_factory=list)


def run(graph: Graph) -> Graph:
    """The graph with what is large and only reduced in the steps of loops."""
    tuning, sizes = tuning_of(graph.notes), Sizes(graph.dims)
    if tuning.memory is None:
        return graph
    nodes = all_nodes(graph)
    scope = Streams((), sizes, graph.precision, tuning)
    loops = [n for n in nodes if n.kind is Kind.REGION and isinstance(n.attrs[0], Region)]
    if not any(scope.large(x) for n in loops for x in n.inputs[len(n.attrs[0].carry) :]):
        return graph
    moving = _Moving(scope, _kept(nodes))
    return rewrite(graph, moving.visit)


def _kept(nodes: Sequence[Node]) -> dict[int, frozenset[int] | None]:
    """For each loop that JAX differentiates, the operands by which it does; None where it does so more than once."""
    found: dict[int, frozenset[int] | None] = {}
    for n in nodes:
        region = n.attrs[0] if n.kind is Kind.REGION else None
        if isinstance(region, Pull):
            again, inner = isinstance(region.inner, Pull), innermost(region)
            before = found.get(id(inner), frozenset())
            found[id(inner)] = None if again or before is None else before | {*region.wanted}
    return found


class _Moving:
    """The rewriting of loops and of their derivatives, which share what they share."""

    def __init__(self, scope: Streams, kept: Mapping[int, frozenset[int] | None]) -> None:
        self.scope = scope
        self.kept = kept
        self.made: dict[tuple[Any, ...], tuple[Region, tuple[Node, ...]]] = {}
        self._held: list[Region] = []

    def visit(self, b: Builder, node: Node, old: Node) -> Node:
        """A loop, or the derivative of one, that makes what is large itself."""
        whole = node.attrs[0] if node.kind is Kind.REGION else None
        if isinstance(whole, Region):
            region, inputs = self.loop(b, whole, old.attrs[0], node.inputs)
            return node if region is whole else replace(node, inputs=inputs, attrs=(region,), uid=next_uid())
        if isinstance(whole, Pull) and isinstance(whole.inner, Region):
            region, inputs = self.loop(b, whole.inner, old.attrs[0].inner, node.inputs[: whole.arity])
            if region is whole.inner:
                return node
            place = {x.uid: k for k, x in enumerate(inputs)}
            wanted = tuple(place[node.inputs[k].uid] for k in whole.wanted)
            pull = replace(whole, inner=region, arity=len(inputs), wanted=wanted)
            return replace(node, inputs=(*inputs, *node.inputs[whole.arity :]), attrs=(pull,), uid=next_uid())
        return node

    def loop(
        self, b: Builder, region: Region, old: Region, inputs: tuple[Node, ...]
    ) -> tuple[Region, tuple[Node, ...]]:
        """A loop with its operands; the same ones where nothing is moved."""
        kept = self.kept.get(id(old), frozenset())
        if kept is None or len({x.uid for x in inputs}) < len(inputs):
            return region, inputs
        key = (id(region), tuple(x.uid for x in inputs))
        if key not in self.made:
            self._held.append(region)
            found = (region, inputs)
            for k in reversed(range(len(region.carry), len(inputs))):
                if k not in kept:
                    found = self.moved(b, *found, k) or found
            self.made[key] = found
        return self.made[key]

    def moved(
        self, b: Builder, region: Region, inputs: tuple[Node, ...], k: int
    ) -> tuple[Region, tuple[Node, ...]] | None:
        """A loop that makes its operand `k` itself; None where that operand is to stay."""
        scope = self.scope
        made = _parts(inputs[k], scope)
        if made is None:
            return None
        place = k - len(region.carry)
        argument = region.captured[place]
        # A leaf that the loop has already is that operand.
        present = {x.uid: a for x, a in zip(inputs[len(region.carry) :], region.captured, strict=True)}
        fresh = [x for x in made.leaves if x.uid not in present or present[x.uid].axes != x.axes]
        arguments = [b.input(_name(x), "captured", x.axes, x.dtype) for x in fresh]
        new = {**present, **{x.uid: a for x, a in zip(fresh, arguments, strict=True)}}
        for x in made.inner:
            with b.at(x.origin):
                copy = with_inputs(b, x, [new[y.uid] for y in x.inputs])
                new[x.uid] = Node(copy.kind, copy.op, copy.inputs, x.axes, x.dtype, copy.attrs, x.origin)
        sweep = Sweep(b, lambda b, new, old: new)
        sweep.new.update((n.uid, n) for n in region.arguments)
        with b.at(argument.origin):
            sweep.new[argument.uid] = b.reindex(new[inputs[k].uid], argument.names)
        sweep.run(region.roots)
        # A kernel that is kept is made of it once in many steps, where there is memory for it.
        inside = Streams([sweep.new[n.uid] for n in region.steps], scope.sizes, scope.precision, scope.budget)
        groups = inside.groups()
        taken = {n.uid for g in groups for n in g.inner.values()}
        sinks = {s.node.uid for g in groups for s in g.sinks}
        large = {n.uid for n in inside.nodes if scope.large(n) and n.kind is not Kind.INPUT}
        if not large <= taken or any(
            x.uid in large for n in inside.nodes if n.uid not in taken | sinks for x in n.inputs
        ):
            return None
        captured = (*region.captured[:place], *region.captured[place + 1 :], *arguments)
        until = None if region.until is None else sweep.new[region.until.uid]
        body = tuple(sweep.new[n.uid] for n in region.body)
        products = None if region.products is None else region.products.with_roots(lambda n: sweep.new[n.uid])
        whole = replace(region, captured=captured, body=body, until=until, products=products)
        return whole, (*inputs[:k], *inputs[k + 1 :], *fresh)


def _parts(operand: Node, scope: Streams) -> _Moved | None:
    """What a large operand is made of; None where it is small, made of something as large, or costs much."""
    if not scope.large(operand) or operand.kind not in MADE_AGAIN:
        return None
    found = _Moved()
    work = 0.0
    for x in _needed(operand, scope):
        if x.kind in MADE_AGAIN and (scope.large(x) or x.kind in (Kind.CONST, Kind.INDEX)):
            found.inner.append(x)
            work += flops(x, scope.sizes)
        elif scope.large(x):
            return None
        else:
            found.leaves.append(x)
    if work > AGAIN * scope.sizes.count(operand.axes) and not scope.closed(operand):
        return None
    return found


def _needed(operand: Node, scope: Streams) -> Sequence[Node]:
    """The large nodes below an operand and what they read, inputs first."""
    seen: dict[int, Node] = {}
    stack = [operand]
    while stack:
        x = stack.pop()
        if x.uid not in seen:
            seen[x.uid] = x
            stack.extend(x.inputs if scope.large(x) and x.kind in MADE_AGAIN else ())
    return [x for x in topological([operand]) if x.uid in seen]


def _name(x: Node) -> str:
    return str(x.attrs[0]) if x.kind is Kind.INPUT else x.origin.name


__all__ = ["AGAIN", "DOC", "run"]
