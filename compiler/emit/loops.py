"""Text of scans: a local step function and `jax.lax.scan`."""

from __future__ import annotations

from vspec.compiler.emit.layout import Layout, Value, arranged
from vspec.compiler.emit.scope import Line, Scope, count_uses, defined_name
from vspec.compiler.emit.text import Text, name
from vspec.compiler.graph.node import Node, Region, region_nodes


def emit_scan(scope: Scope, node: Node) -> Value:
    """Writes the step and the scan. ITEM nodes read the results from `scope.results`."""
    region: Region = node.attrs[0]
    names = scope.function.names
    paths = sorted({k for kind, k in region.results if kind == "path"})
    starts = []
    for k, carry in enumerate(region.carry):
        start = _state(scope, node.inputs[k], carry)
        if k in paths and not start.simple:
            # It is read twice: by the scan and in front of the path.
            start = _assigned(scope, f"{_label(region, k)}_start", start, node.inputs[k], carry.names)
        starts.append(start)
    step, index = _step(scope, node, region, paths)

    length = scope.scalar(region.length).code
    finals = {k for kind, k in region.results if kind == "final"}
    wishes = {result: scope.items.get((node.uid, k)) for k, result in enumerate(region.results)}
    lasts = {k: names.reserve(wishes["final", k] or f"{_label(region, k)}_last") for k in sorted(finals)}
    stacks = {k: names.reserve(f"{_label(region, k)}_stack") for k in paths}
    left = _tuple([lasts.get(k, "_") for k in range(len(region.carry))]) if finals else "_"
    right = _tuple([stacks[k] for k in paths]) if paths else "_"
    over = f"jnp.arange({length})" if index else f"length={length}"
    scope.line(f"{left}, {right}", f"jax.lax.scan({step}, {_tuple([t.code for t in starts])}, {over})")

    joined = {}
    for k in paths:
        layout = (region.axis.name, *region.carry[k].names)
        joined[k] = names.reserve(wishes["path", k] or f"{_label(region, k)}_path")
        code = f"jnp.concatenate([{starts[k].atom}[None], {stacks[k]}])"
        scope.line(joined[k], code, scope.comment(node, layout))
    scope.results[node.uid] = [
        Value(name(lasts[k]), region.carry[k].names)
        if kind == "final"
        else Value(name(joined[k]), (region.axis.name, *region.carry[k].names))
        for kind, k in region.results
    ]
    # The region itself is never read, only its items.
    return Value(Text("None"), ())


def _step(scope: Scope, node: Node, region: Region, paths: list[int]) -> tuple[str, bool]:
    """Writes the step function; its name, and whether it reads the index. Captured operands reach it as a closure."""
    names = scope.function.names
    nodes = list(region_nodes(region))
    reads_index = any(n is region.index for n in nodes)
    captured = [scope.named(outer) for outer in node.inputs[len(region.carry) :]]
    step = names.reserve("step")
    states = [names.reserve(f"{_label(region, k)}_t") for k in range(len(region.carry))]
    index = names.reserve(region.axis.name.split("~")[0]) if reads_index else "_"

    inner = Scope(scope.function, count_uses(nodes, region.body), scope.indent + 4, scope)
    inner.items = scope.items
    for state, carry in zip(states, region.carry, strict=True):
        inner.values[carry.uid] = Value(name(state), carry.names)
    inner.values[region.index.uid] = Value(name(index), ())
    for value, outer, argument in zip(captured, node.inputs[len(region.carry) :], region.captured, strict=True):
        new = dict(zip(outer.names, argument.names, strict=True))
        inner.values[argument.uid] = Value(value.text, tuple(new[a] for a in value.layout))
    for n in nodes:
        inner.visit(n, keep=n in region.body and not defined_name(n))
    nexts = []
    for k, (n, carry) in enumerate(zip(region.body, region.carry, strict=True)):
        text = _state(inner, n, carry)
        if not text.simple and (k in paths or len(text.code) > 32):
            text = _assigned(inner, f"{_label(region, k)}_next", text, n, carry.names)
        nexts.append(text)

    single = len(states) == 1
    array = "Array" if single else f"tuple[{', '.join(['Array'] * len(states))}]"
    carry_name = states[0] if single else names.reserve("carry")
    scope.line(f"def {step}({carry_name}: {array}, {index}: {'Array' if reads_index else 'None'}):", "")
    if not single:
        scope.lines.append(Line(inner.indent, ", ".join(states), carry_name))
    scope.lines += inner.lines
    stacked = _tuple([nexts[k].code for k in paths]) if paths else "None"
    scope.lines.append(Line(inner.indent, "return", f"{_tuple([t.code for t in nexts])}, {stacked}"))
    scope.line("", "")
    return step, reads_index


def emit_item(scope: Scope, node: Node) -> Value:
    """One result of a region: a name already."""
    value = scope.results[node.inputs[0].uid][node.attrs[0]]
    return Value(value.text, value.layout if set(value.layout) == set(node.names) else node.names)


def _label(region: Region, k: int) -> str:
    carry = region.carry[k]
    return carry.origin.name or str(carry.attrs[0] if carry.attrs else "") or region.name or "state"


def _assigned(scope: Scope, wish: str, text: Text, node: Node, layout: Layout) -> Text:
    target = scope.function.names.reserve(wish)
    scope.line(target, text.code, scope.comment(node, layout))
    return name(target)


def _state(scope: Scope, node: Node, carry: Node) -> Text:
    """A node's value in the shape, order and dtype that the carry keeps."""
    value = scope.whole(node)
    wanted = carry.names
    if set(wanted) != set(node.names):
        new = dict(zip(wanted, node.names, strict=True))
        wanted = tuple(new[a] for a in wanted)
    return scope.array(Value(arranged(value, wanted), wanted), carry.dtype)


def _tuple(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
