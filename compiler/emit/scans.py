"""Text of loops: a local step function under `jax.lax.scan`, or under `jax.lax.while_loop` where the loop stops early and only
its end is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vspec.compiler.emit.decompositions import gather_parts
from vspec.compiler.emit.layout import Layout, Value, aligned, arranged
from vspec.compiler.emit.longest import chosen_orders
from vspec.compiler.emit.reads import gather_loops
from vspec.compiler.emit.scope import Line, Scope, count_uses, defined_name
from vspec.compiler.emit.text import Text, name
from vspec.compiler.emit.wanted import wanted
from vspec.compiler.graph.node import Axis, Kind, Node, Region, topological


class Operand(NamedTuple):
    """An operand of a region: its whole value as a name, its axes in the node's order, its dtype."""

    value: Value
    axes: tuple[Axis, ...]
    dtype: str

    @property
    def names(self) -> Layout:
        """The names of the axes."""
        return tuple(a.name for a in self.axes)


@dataclass(slots=True)
class Loop:
    """A loop that is being written: which states have their path, which their end read; its starts; names that it uses inside.

    `stopped`: the name of the flag that a loop with a condition carries, '' where the states tell it by themselves.
    """

    region: Region
    operands: Sequence[Operand]
    paths: list[int]
    finals: list[int]
    starts: list[Text]
    reads_index: bool
    index: str = "_"
    carry: str = ""
    stopped: str = ""

    @property
    def count(self) -> int:
        """How many states there are."""
        return len(self.region.carry)


def write_loop(
    scope: Scope,
    region: Region,
    operands: Sequence[Operand],
    reads: Collection[int],
    wishes: Mapping[int, str],
    line: int,
) -> list[Value]:
    """Writes the loop; the results at the positions `reads`, nothing that may be used at the others."""
    kinds = {region.results[k] for k in reads}
    loop = Loop(
        region,
        operands,
        sorted({k for kind, k in kinds if kind == "path"}),
        sorted({k for kind, k in kinds if kind == "final"}),
        [],
        any(n is region.index for n in topological(region.steps)),
    )
    for k, carry in enumerate(region.carry):
        start = state(scope, operands[k], carry)
        if k in loop.paths and not start.simple:
            # It is read twice: by the scan and in front of the path.
            start = assigned(scope, f"{label(region, k)}_start", start, scope.comment(carry, carry.names))
        loop.starts.append(start)
    wished = {result: wishes.get(position, "") for position, result in enumerate(region.results)}
    if region.products is not None and not loop.paths and not scope.differentiated:
        # Imported here, since each of the two modules writes what the other has parts of.
        from vspec.compiler.emit.products import write_products

        done = write_products(scope, loop)
    elif region.until is not None and not loop.paths and not scope.differentiated:
        done = _while(scope, loop)
    else:
        done = _scan(scope, loop, wished, line)
    nothing = Value(Text("None"), ())
    return [done.get(result, nothing) for result in region.results]


def _scan(scope: Scope, loop: Loop, wished: Mapping[tuple[str, int], str], line: int) -> dict[tuple[str, int], Value]:
    names, region = scope.function.names, loop.region
    checkpointed = scope.differentiated and region.adjoint == "checkpointed"
    step = _step(scope, loop, carried=_sticky(region))
    lasts = {k: names.reserve(f"{label(region, k)}_last") for k in loop.finals}
    stacks = {k: names.reserve(f"{label(region, k)}_stack") for k in loop.paths}
    left = tupled([lasts.get(k, "_") for k in range(loop.count)]) if loop.finals else "_"
    if loop.stopped and loop.finals:
        left = tupled(["_", *(lasts.get(k, "_") for k in range(loop.count))])
    right = tupled([stacks[k] for k in loop.paths]) if loop.paths else "_"
    starts = [*([_never(scope, region)] if loop.stopped else []), *(t.code for t in loop.starts)]
    length = scope.scalar(region.length).code
    function = "checkpointed" if checkpointed else "jax.lax.scan"
    over = f"jnp.arange({length})" if loop.reads_index or checkpointed else f"length={length}"
    scope.line(f"{left}, {right}", f"{function}({step}, {tupled(starts)}, {over})")

    done: dict[tuple[str, int], Value] = {
        ("final", k): Value(name(lasts[k]), region.carry[k].names) for k in loop.finals
    }
    for k in loop.paths:
        layout = (region.axis.name, *region.carry[k].names)
        target = wished["path", k] or names.reserve(f"{label(region, k)}_path")
        comment = scope.comment(region.carry[k], layout, line)
        scope.line(target, f"jnp.concatenate([{loop.starts[k].atom}[None], {stacks[k]}])", comment)
        done["path", k] = Value(name(target), layout)
    return done


def _while(scope: Scope, loop: Loop) -> dict[tuple[str, int], Value]:
    """The loop ends with the first step after the condition holds everywhere; that step changes nothing."""
    names, region = scope.function.names, loop.region
    assert region.until is not None
    step = _step(scope, loop, counted=True, carried=True)
    going = names.reserve("going")
    inner = Scope(scope.function, {}, scope.indent + 4, scope)
    inner.line(f"{loop.index}, {loop.stopped}, *_", loop.carry)
    ended = loop.stopped if not region.until.axes else f"jnp.all({loop.stopped})"
    length = scope.scalar(region.length)
    inner.lines.append(Line(inner.indent, "return", f"({loop.index} < {length.code}) & ~{ended}"))
    scope.line(f"def {going}({loop.carry}: {_type(loop.count + 2)}) -> Array:", "")
    scope.lines += inner.lines
    scope.line("", "")
    lasts = {k: names.reserve(f"{label(region, k)}_last") for k in loop.finals}
    left = ", ".join(["_", "_", *(lasts.get(k, "_") for k in range(loop.count))])
    starts = tupled(["0", _never(scope, region), *(t.code for t in loop.starts)])
    scope.line(left, f"jax.lax.while_loop({going}, {step}, {starts})")
    return {("final", k): Value(name(lasts[k]), region.carry[k].names) for k in loop.finals}


def _never(scope: Scope, region: Region) -> str:
    """The flag before the first step."""
    assert region.until is not None
    if not region.until.axes:
        return "jnp.asarray(False)"
    return f"jnp.zeros({scope.shape(region.until.axes)}, dtype=bool)"


def _sticky(region: Region) -> bool:
    """Whether a condition that has held must be remembered: one that looks at more than the states may fail again."""
    if region.until is None:
        return False
    states = {c.uid for c in region.carry}
    read = topological([region.until])
    return any(n is region.index or n.kind is Kind.RANDOM for n in read) or not any(n.uid in states for n in read)


def _step(scope: Scope, loop: Loop, counted: bool = False, carried: bool = False) -> str:
    """Writes the step function and gives its name. Captured operands reach it as a closure.

    `counted`: the index is the first thing that is carried, and no path is returned; `carried`: so is the flag of a stop.
    """
    names, region, count = scope.function.names, loop.region, loop.count
    nodes = topological(region.steps)
    step = names.reserve("step")
    states = [names.reserve(f"{label(region, k)}_t") for k in range(count)]
    if loop.reads_index or counted:
        loop.index = names.reserve(region.axis.name.split("~")[0])
    flag = names.reserve("stopped_t") if carried else ""

    inner = Scope(scope.function, count_uses(nodes, region.steps, scope.graph.dims), scope.indent + 4, scope)
    inner.parts = gather_parts(nodes)
    inner.fast = chosen_orders(nodes, scope.graph, scope.function.choices)
    inner.wanted = wanted(nodes, [(n, c.names) for n, c in zip(region.body, region.carry, strict=True)], inner.graph)
    gather_loops(inner, nodes)
    for own, carry in zip(states, region.carry, strict=True):
        inner.values[carry.uid] = Value(name(own), carry.names)
    inner.values[region.index.uid] = Value(name(loop.index), ())
    for operand, argument in zip(loop.operands[count:], region.captured, strict=True):
        new = dict(zip(operand.names, argument.names, strict=True))
        inner.values[argument.uid] = Value(operand.value.text, tuple(new[a] for a in operand.value.layout))
    for k, n in enumerate(region.body):
        if defined_name(n) == label(region, k):
            inner.wishes[n.uid] = f"{label(region, k)}_next"
    for n in nodes:
        inner.visit(n)
    stop = _stop(inner, region, flag)
    nexts = []
    for k, (n, carry) in enumerate(zip(region.body, region.carry, strict=True)):
        text = state(inner, Operand(inner.whole(n), n.axes, n.dtype), carry)
        if stop is not None:
            text = name(f"jnp.where({aligned(stop, carry.names).code}, {states[k]}, {text.code})")
        if not text.simple and (k in loop.paths or len(text.code) > 32):
            text = assigned(inner, f"{label(region, k)}_next", text, inner.comment(n, carry.names))
        nexts.append(text.code)

    parts = [*([loop.index] if counted else []), *([flag] if flag else []), *states]
    if stop is not None and flag:
        nexts.insert(0, stop.text.code)
        loop.stopped = flag
    if counted:
        nexts.insert(0, f"{loop.index} + 1")
    loop.carry = parts[0] if len(parts) == 1 else names.reserve("carry")
    kept = [nexts[len(parts) - count + k] for k in loop.paths]
    state_type, stack_type = _type(len(parts)), _type(len(loop.paths)) if loop.paths else "None"
    scope.line("", "")
    if counted:
        scope.line(f"def {step}({loop.carry}: {state_type}) -> {state_type}:", "")
    else:
        index = f"{loop.index}: {'Array' if loop.reads_index else 'None'}"
        scope.line(f"def {step}({loop.carry}: {state_type}, {index}) -> tuple[{state_type}, {stack_type}]:", "")
    if len(parts) > 1:
        inner.lines.insert(0, Line(inner.indent, ", ".join(parts), loop.carry))
    scope.lines += inner.lines
    ends = tupled(nexts) if not counted else ", ".join(nexts)
    scope.lines.append(Line(inner.indent, "return", ends if counted else f"{ends}, {tupled(kept) or None}"))
    scope.line("", "")
    return step


def _stop(inner: Scope, region: Region, flag: str) -> Value | None:
    """The condition by a name; with a flag, also where it has held before."""
    if region.until is None:
        return None
    found = inner.whole(region.until)
    text = inner.array(found, "boolean")
    if flag and _sticky(region):
        kept = arranged(found, region.until.names)
        found, text = Value(kept, region.until.names), Text(f"{flag} | ({kept.code})")
    elif text.simple:
        return Value(text, found.layout)
    return Value(assigned(inner, "stopped", text, inner.comment(region.until, found.layout)), found.layout)


def label(region: Region, k: int) -> str:
    """What the k-th state is called."""
    carry = region.carry[k]
    return str(carry.attrs[0]) if carry.attrs else carry.origin.name or region.name or "state"


def assigned(scope: Scope, wish: str, text: Text, comment: str) -> Text:
    """The text under a name of its own."""
    target = scope.function.names.reserve(wish)
    scope.line(target, text.code, comment)
    return name(target)


def state(scope: Scope, operand: Operand, carry: Node) -> Text:
    """A value in the shape, order and dtype that the carry keeps."""
    want = carry.names
    if set(want) != set(operand.names):
        new = dict(zip(want, operand.names, strict=True))
        want = tuple(new[a] for a in want)
    return scope.array(Value(arranged(operand.value, want), want), carry.dtype)


def tupled(parts: Sequence[str]) -> str:
    """One code by itself, several in parentheses."""
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})" if parts else ""


def _type(count: int) -> str:
    return "Array" if count == 1 else f"tuple[{', '.join(['Array'] * count)}]"


__all__ = ["Loop", "Operand", "assigned", "label", "state", "tupled", "write_loop"]
