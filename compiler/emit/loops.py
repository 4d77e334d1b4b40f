"""Text of regions: scans as a local step function under `jax.lax.scan`, problems (`emit/implicit.py`), adjoints by `jax.vjp`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vspec.compiler.emit.decompositions import gather_parts
from vspec.compiler.emit.implicit import emit_problem
from vspec.compiler.emit.layout import Layout, Value, arranged
from vspec.compiler.emit.scope import Line, Scope, count_uses, defined_name
from vspec.compiler.emit.text import Text, name
from vspec.compiler.graph.node import AnyRegion, Axis, Node, Pull, Region, Solve, innermost, region_nodes


class Operand(NamedTuple):
    """An operand of a region: its whole value as a name, its axes in the node's order, its dtype."""

    value: Value
    axes: tuple[Axis, ...]
    dtype: str

    @property
    def names(self) -> Layout:
        """The names of the axes."""
        return tuple(a.name for a in self.axes)


def emit_region(scope: Scope, node: Node) -> Value:
    """Writes the loop or its adjoint. ITEM nodes read the results from `scope.results`."""
    region: AnyRegion = node.attrs[0]
    if isinstance(region, Solve):
        # The function of the unknowns reads its operands in every step.
        operands = [_operand(scope, x, k >= len(region.unknowns)) for k, x in enumerate(node.inputs)]
        wishes = {position: wish for (uid, position), wish in scope.items.items() if uid == node.uid}
        scope.results[node.uid] = emit_problem(scope, region, operands, wishes, node.origin.line)
    elif isinstance(region, Region):
        carried = len(region.carry)
        # What the loop only starts from needs no name; what its body reads would be computed in every step.
        operands = [_operand(scope, x, k >= carried) for k, x in enumerate(node.inputs)]
        wishes = {position: wish for (uid, position), wish in scope.items.items() if uid == node.uid}
        scope.results[node.uid] = _scan(scope, region, operands, wishes, node.origin.line)
    else:
        operands = [_operand(scope, x, k < region.arity) for k, x in enumerate(node.inputs)]
        scope.results[node.uid] = _pull(scope, region, operands)
    # The region itself is never read, only its items.
    return Value(Text("None"), ())


def emit_item(scope: Scope, node: Node) -> Value:
    """One result of a region: a name already."""
    value = scope.results[node.inputs[0].uid][node.attrs[0]]
    return Value(value.text, value.layout if set(value.layout) == set(node.names) else node.names)


def _operand(scope: Scope, node: Node, named: bool) -> Operand:
    return Operand(scope.named(node) if named else scope.whole(node), node.axes, node.dtype)


# --- scans ----------------------------------------------------------------------------------------------------------


def _scan(scope: Scope, region: Region, operands: Sequence[Operand], wishes: dict[int, str], line: int) -> list[Value]:
    names = scope.function.names
    paths = sorted({k for kind, k in region.results if kind == "path"})
    finals = sorted({k for kind, k in region.results if kind == "final"})
    starts = []
    for k, carry in enumerate(region.carry):
        start = _state(scope, operands[k], carry)
        if k in paths and not start.simple:
            # It is read twice: by the scan and in front of the path.
            start = _assigned(scope, f"{_label(region, k)}_start", start, scope.comment(carry, carry.names))
        starts.append(start)
    step, reads_index = _step(scope, region, operands, paths)

    wished = {result: wishes.get(position, "") for position, result in enumerate(region.results)}
    lasts = {k: names.reserve(f"{_label(region, k)}_last") for k in finals}
    stacks = {k: names.reserve(f"{_label(region, k)}_stack") for k in paths}
    left = tupled([lasts.get(k, "_") for k in range(len(region.carry))]) if finals else "_"
    right = tupled([stacks[k] for k in paths]) if paths else "_"
    length = scope.scalar(region.length).code
    over = f"jnp.arange({length})" if reads_index else f"length={length}"
    scope.line(f"{left}, {right}", f"jax.lax.scan({step}, {tupled([t.code for t in starts])}, {over})")

    done: dict[tuple[str, int], Value] = {("final", k): Value(name(lasts[k]), region.carry[k].names) for k in finals}
    for k in paths:
        layout = (region.axis.name, *region.carry[k].names)
        target = wished["path", k] or names.reserve(f"{_label(region, k)}_path")
        comment = scope.comment(region.carry[k], layout, line)
        scope.line(target, f"jnp.concatenate([{starts[k].atom}[None], {stacks[k]}])", comment)
        done["path", k] = Value(name(target), layout)
    return [done[result] for result in region.results]


def _step(scope: Scope, region: Region, operands: Sequence[Operand], paths: list[int]) -> tuple[str, bool]:
    """Writes the step function; its name, and whether it reads the index. Captured operands reach it as a closure."""
    names = scope.function.names
    count = len(region.carry)
    nodes = list(region_nodes(region))
    reads_index = any(n is region.index for n in nodes)
    step = names.reserve("step")
    states = [names.reserve(f"{_label(region, k)}_t") for k in range(count)]
    index = names.reserve(region.axis.name.split("~")[0]) if reads_index else "_"

    inner = Scope(scope.function, count_uses(nodes, region.body), scope.indent + 4, scope)
    inner.parts = gather_parts(nodes)
    for state, carry in zip(states, region.carry, strict=True):
        inner.values[carry.uid] = Value(name(state), carry.names)
    inner.values[region.index.uid] = Value(name(index), ())
    for operand, argument in zip(operands[count:], region.captured, strict=True):
        new = dict(zip(operand.names, argument.names, strict=True))
        inner.values[argument.uid] = Value(operand.value.text, tuple(new[a] for a in operand.value.layout))
    for k, n in enumerate(region.body):
        if defined_name(n) == _label(region, k):
            inner.wishes[n.uid] = f"{_label(region, k)}_next"
    for n in nodes:
        inner.visit(n)
    nexts = []
    for k, (n, carry) in enumerate(zip(region.body, region.carry, strict=True)):
        text = _state(inner, Operand(inner.whole(n), n.axes, n.dtype), carry)
        if not text.simple and (k in paths or len(text.code) > 32):
            text = _assigned(inner, f"{_label(region, k)}_next", text, inner.comment(n, carry.names))
        nexts.append(text)

    carry_name = states[0] if count == 1 else names.reserve("carry")
    kept = [nexts[k].code for k in paths]
    state_type, stack_type = _type(count), _type(len(paths)) if paths else "None"
    head = f"def {step}({carry_name}: {state_type}, {index}: {'Array' if reads_index else 'None'})"
    scope.line("", "")
    scope.line(f"{head} -> tuple[{state_type}, {stack_type}]:", "")
    if count > 1:
        inner.lines.insert(0, Line(inner.indent, ", ".join(states), carry_name))
    scope.lines += inner.lines
    scope.lines.append(Line(inner.indent, "return", f"{tupled([t.code for t in nexts])}, {tupled(kept) or None}"))
    scope.line("", "")
    return step, reads_index


def _label(region: Region, k: int) -> str:
    carry = region.carry[k]
    return str(carry.attrs[0]) if carry.attrs else carry.origin.name or region.name or "state"


def _assigned(scope: Scope, wish: str, text: Text, comment: str) -> Text:
    target = scope.function.names.reserve(wish)
    scope.line(target, text.code, comment)
    return name(target)


def _state(scope: Scope, operand: Operand, carry: Node) -> Text:
    """A value in the shape, order and dtype that the carry keeps."""
    wanted = carry.names
    if set(wanted) != set(operand.names):
        new = dict(zip(wanted, operand.names, strict=True))
        wanted = tuple(new[a] for a in wanted)
    return scope.array(Value(arranged(operand.value, wanted), wanted), carry.dtype)


def tupled(parts: Sequence[str]) -> str:
    """One code by itself, several in parentheses."""
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})" if parts else ""


def _type(count: int) -> str:
    return "Array" if count == 1 else f"tuple[{', '.join(['Array'] * count)}]"


# --- adjoints -------------------------------------------------------------------------------------------------------


def _pull(scope: Scope, pull: Pull, operands: Sequence[Operand]) -> list[Value]:
    """A function of the wanted operands that returns the given results, `jax.vjp` of it, mapped over the batch axes.

    The other operands reach the function as a closure: no derivative is taken with respect to them.
    """
    names = scope.function.names
    label = _region_name(pull)
    run = names.reserve(f"{label}_of")
    inner = Scope(scope.function, {}, scope.indent + 4, scope)
    seen = list(operands[: pull.arity])
    parameters, primals = [], []
    for k in pull.wanted:
        wish = operands[k].value.text.code
        parameters.append(names.reserve(f"{wish}_" if wish.isidentifier() else f"{label}_{k}"))
        text = arranged(operands[k].value, operands[k].names)
        primals.append(scope.array(Value(text, operands[k].names), operands[k].dtype).code)
        seen[k] = operands[k]._replace(value=Value(name(parameters[-1]), operands[k].names))
    if isinstance(pull.inner, Solve):
        results = emit_problem(inner, pull.inner, seen, {}, 0)
    elif isinstance(pull.inner, Region):
        results = _scan(inner, pull.inner, seen, {}, 0)
    else:
        results = _pull(inner, pull.inner, seen)
    given = [results[k] for k in pull.given]
    scope.line("", "")
    arguments = ", ".join(f"{p}: Array" for p in parameters)
    scope.line(f"def {run}({arguments}) -> {_type(len(given))}:", "")
    scope.lines += inner.lines
    scope.lines.append(Line(inner.indent, "return", ", ".join(v.text.code for v in given)))
    scope.line("", "")

    pulled = names.reserve(f"{label}_pull")
    scope.line(f"_, {pulled}", f"jax.vjp({run}, {', '.join(primals)})")
    batch = tuple(a.name for a in pull.batch)
    cotangents = []
    for operand, result in zip(operands[pull.arity :], given, strict=True):
        wanted = (*batch, *result.layout)
        if set(wanted) != set(operand.names):
            wanted = operand.names
        cotangents.append(scope.array(Value(arranged(operand.value, wanted), wanted), operand.dtype).code)
    mapped = pulled
    for _ in batch:
        mapped = f"jax.vmap({mapped})"
    targets = [names.reserve(f"{p.rstrip('_')}_bar") for p in parameters]
    left = f"({targets[0]},)" if len(targets) == 1 else ", ".join(targets)
    scope.line(left, f"{mapped}({tupled(cotangents)})")
    return [Value(name(t), (*batch, *operands[k].names)) for t, k in zip(targets, pull.wanted, strict=True)]


def _region_name(region: AnyRegion) -> str:
    return innermost(region).name or "loop"
