"""Recurrences → REGION nodes: one scan for the states that advance together, what does not change kept outside.

A recurrence in the step of another one is a scan in the body of its scan. Read from outside of both, its states are computed
anew, by one scan for all times of the outer one at once.
"""

from __future__ import annotations

from vspec.compiler.calculus.levels import Reads, label
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.parts import names
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.guard import guarded_kernel
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Kind, Node, Origin, Region, topological
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import Definition, Recurrence, State


def lower_recurrence(low: Lowering, r: Recurrence, reads: Reads) -> None:
    """Makes the loop of a recurrence and enters its results under the names of its states."""
    b = low.b
    axis = low.axis(r.letter)
    size = b.size(axis.dim)
    length = b.map(("sub", slot(0), num(1)), [size], "integer") if not is_number(size) else b.number(size.attrs[0] - 1)
    index = b.input(r.letter, "index", (), "integer")
    inits: list[Node] = []
    carry: list[Node] = []
    own: list[tuple[State, str]] = []
    for s in r.states:
        letters = _without_time(low, s)
        for key, shown, init in _parts(low, s, s.init):
            own.append((s, key))
            inits.append(init)
            dtype = "real" if s.dtype == "complex" else s.dtype
            carry.append(b.input(shown, "carry", [low.axis(x) for x in letters], dtype))
    with low.step(r.letter, index, label(r)):
        for (s, key), node in zip(own, carry, strict=True):
            low.slice(key, node, low.fixed(s.letters))
        for inner in r.inner:
            enter(low, inner, reads)
        steps = [_real(b, node, s) for s in r.states for _, _, node in _parts(low, s, s.step)]
        if r.until is not None:
            steps.append(low.value(r.until))
    inits = [_real(b, x, s) for x, (s, _) in zip(inits, own, strict=True)]
    captured, inside, body = close(b, steps, [*carry, index])
    results = tuple((how, k) for k, (s, _) in enumerate(own) for how in sorted(reads.get((low.level, s.name), ())))
    name = "_".join(s.name for s in r.states)
    nexts, until = body[: len(carry)], body[-1] if r.until is not None else None
    region = Region(name, axis, length, index, tuple(carry), tuple(inside), tuple(nexts), results, until, r.adjoint)
    with b.at(Origin(name, r.span.line, r.span.column, file=low.file(r.span))):
        node = b.region("scan", region, [*inits, *captured])
    for position, (how, k) in enumerate(results):
        s, key = own[k]
        with b.at(Origin(carry[k].attrs[0], r.span.line, r.span.column)):
            if how == "final":
                low.finals[key] = (b.item(node, position, carry[k].axes, carry[k].dtype), s.time)
                low.dropped[key] = low.fixed(s.letters)
            else:
                path = b.item(node, position, (axis, *carry[k].axes), carry[k].dtype)
                value = b.order(path, [low.axis(x) for x in low.free(s.letters)])
                low.values[key] = b.hold(value) if s.name in low.variables or s.name in low.random else value
                low.dropped[key] = low.fixed(s.letters)


def enter(low: Lowering, equation: Definition | Recurrence, reads: Reads) -> None:
    """Lowers an equation where it stands, in the step that is being lowered or outside of all, and enters its results."""
    if isinstance(equation, Recurrence):
        lower_recurrence(low, equation, reads)
        _seen_from_outside(low, equation, reads)
        return
    fixed = low.fixed(equation.letters)
    low.enter(equation.name, equation.body, low.free(equation.letters), equation.dtype)
    if fixed:
        for key in names(equation.name) if equation.dtype == "complex" else (equation.name,):
            low.slice(key, low.values.pop(key), fixed)


def _seen_from_outside(low: Lowering, r: Recurrence, reads: Reads) -> None:
    """What is part of a step, read from outside of the loop, is computed along the whole path."""
    for inner in r.inner:
        if isinstance(inner, Definition):
            keys = names(inner.name) if inner.dtype == "complex" else (inner.name,)
            low.dropped |= dict.fromkeys(keys, low.fixed(inner.letters))
            low.postpone(inner.name, inner.body, low.free(inner.letters), inner.dtype)
            continue
        if any((low.level, s.name) in reads for s in inner.states):
            lower_recurrence(low, inner, reads)
        _seen_from_outside(low, inner, reads)


def _parts(low: Lowering, s: State, e: Expr) -> list[tuple[str, str, Node]]:
    """Of the start or the step of a state: the name of its value, how the program calls it, and the value; of a complex
    state these of both parts."""
    letters = _without_time(low, s)
    if s.dtype != "complex":
        return [(s.name, s.name, low.value(e, s.name, letters))]
    keys, values = names(s.name), low.part_values(e, s.name, letters)
    return [(key, key.replace(".", "_"), value) for key, value in zip(keys, values, strict=True)]


def _without_time(low: Lowering, s: State) -> tuple[str, ...]:
    """The letters of a state that are axes in its step."""
    return tuple(x for k, x in enumerate(s.letters) if k != s.time and x not in low.bound)


def _real(b: Builder, x: Node, s: State) -> Node:
    # A carry keeps its dtype from step to step, also where the initial value is the integer 0.
    if x.dtype not in ("real", s.dtype) and s.dtype in ("real", "complex"):
        return b.map(("real", slot(0)), [x], "real") if not is_number(x) else b.number(float(x.attrs[0]))
    return x


def close(
    b: Builder, roots: list[Node], own: list[Node], guarded: bool = True
) -> tuple[list[Node], list[Node], list[Node]]:
    """Closes a body over what it reads from outside: (outer nodes, their placeholders, the rewritten roots).

    `guarded`: whether what a branch does not take is kept from the derivatives that JAX takes of the body.
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
            # JAX differentiates the body: what a branch does not take must not reach its derivative.
            attrs = (guarded_kernel(node),) if node.kind is Kind.MAP and guarded else node.attrs
            new[node.uid] = Node(node.kind, node.op, inputs, node.axes, node.dtype, attrs, node.origin)
    return outer, holders, [inside(r) for r in roots]
