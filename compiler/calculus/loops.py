"""Recurrences → REGION nodes: one scan for the states that advance together, what does not change kept outside."""

from __future__ import annotations

from collections.abc import Iterable

from vspec.compiler.calculus.lower import Lowering, Slice
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Kind, Node, Origin, Region, topological
from vspec.compiler.language.expr import At, Element
from vspec.compiler.language.spec import Recurrence, State

Reads = dict[str, set[str]]


def reads_of(elements: Iterable[Element], states: dict[str, State]) -> Reads:
    """For each state, how it is read outside its recurrence: 'final' (`s[-1]`), 'path' (anything else)."""
    reads: Reads = {}
    for e in elements:
        state = states.get(e.name)
        if state is not None:
            last = e.subscripts[state.time] == At(-1)
            reads.setdefault(e.name, set()).add("final" if last else "path")
    return reads


def lower_recurrence(low: Lowering, r: Recurrence, reads: Reads) -> None:
    """Makes the loop of a recurrence and enters its results under the names of its states."""
    b = low.b
    axis = low.axis(r.letter)
    length = b.map(("sub", slot(0), num(1)), [b.size(axis.dim)], "integer")
    index = b.input(r.letter, "index", (), "integer")
    inits: list[Node] = []
    carry: list[Node] = []
    for s in r.states:
        letters = _without_time(s)
        inits.append(low.value(s.init, s.name, letters))
        carry.append(b.input(s.name, "carry", [low.axis(x) for x in letters], s.dtype))
    with low.step(r.letter, index):
        for s, node in zip(r.states, carry, strict=True):
            low.slices[s.name] = Slice(node, s.time)
        for d in r.inner:
            letters = tuple(x for x in d.letters if x != r.letter)
            node = low.value(d.body, d.name, letters)
            if r.letter in d.letters:
                low.slices[d.name] = Slice(node, d.letters.index(r.letter))
            else:
                low.values[d.name] = node
        steps = [_real(b, low.value(s.step, s.name, _without_time(s)), s) for s in r.states]
    inits = [_real(b, x, s) for x, s in zip(inits, r.states, strict=True)]
    captured, inside, body = close(b, steps, [*carry, index])
    results = tuple((how, k) for k, s in enumerate(r.states) for how in sorted(reads.get(s.name, ())))
    name = "_".join(s.name for s in r.states)
    region = Region(name, axis, length, index, tuple(carry), tuple(inside), tuple(body), results)
    with b.at(Origin(name, r.span.line, r.span.column)):
        node = b.region("scan", region, [*inits, *captured])
        for position, (how, k) in enumerate(results):
            s = r.states[k]
            if how == "final":
                low.finals[s.name] = (b.item(node, position, carry[k].axes, s.dtype), s.time)
            else:
                path = b.item(node, position, (axis, *carry[k].axes), s.dtype)
                value = b.order(path, [low.axis(x) for x in s.letters])
                low.values[s.name] = b.hold(value) if s.name in low.variables else value


def _without_time(s: State) -> tuple[str, ...]:
    return s.letters[: s.time] + s.letters[s.time + 1 :]


def _real(b: Builder, x: Node, s: State) -> Node:
    # A carry keeps its dtype from step to step, also where the initial value is the integer 0.
    if x.dtype != s.dtype and s.dtype == "real":
        return b.map(("real", slot(0)), [x], "real") if not is_number(x) else b.number(float(x.attrs[0]))
    return x


def close(b: Builder, roots: list[Node], own: list[Node]) -> tuple[list[Node], list[Node], list[Node]]:
    """Closes a body over what it reads from outside: (outer nodes, their placeholders, the rewritten roots).

    Whatever does not depend on `own` stays outside the loop, so that it is computed once; constants go in.
    """
    inner = {n.uid for n in own}
    order = topological(roots)
    for node in order:
        if any(i.uid in inner for i in node.inputs):
            inner.add(node.uid)
    outer: list[Node] = []
    holders: list[Node] = []
    new: dict[int, Node] = {n.uid: n for n in own}

    def inside(node: Node) -> Node:
        if node.uid not in new:
            if node.kind in (Kind.CONST, Kind.INDEX) and node.op != "array":
                new[node.uid] = node
            else:
                outer.append(node)
                name = node.origin.name or f"captured_{len(outer)}"
                holders.append(b.input(name, "captured", node.axes, node.dtype))
                new[node.uid] = holders[-1]
        return new[node.uid]

    for node in order:
        if node.uid in inner and node.uid not in new:
            inputs = tuple(inside(i) for i in node.inputs)
            new[node.uid] = Node(node.kind, node.op, inputs, node.axes, node.dtype, node.attrs, node.origin)
    return outer, holders, [inside(r) for r in roots]
