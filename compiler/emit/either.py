"""Text of a choice between two ways to compute an array: a function for each, and `jax.lax.cond`."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.emit.decompositions import gather_parts
from vspec.compiler.emit.layout import Layout, Value
from vspec.compiler.emit.longest import made_along
from vspec.compiler.emit.reads import gather_loops
from vspec.compiler.emit.scans import Operand, state
from vspec.compiler.emit.scope import Line, Scope, count_uses, defined_name
from vspec.compiler.emit.text import name
from vspec.compiler.emit.wanted import wanted
from vspec.compiler.graph.node import Either, Kind, Node, topological

# A way that is longer than this is a function of its own.
SHORT = 40


def emit_either(scope: Scope, node: Node, operands: Sequence[Operand], wish: str) -> list[Value]:
    """Writes the choice; the one result, its axes in the order that its readers want."""
    region: Either = node.attrs[0]
    first = region.body[0]
    asked = scope.fast.get(node.uid) or scope.wanted.get(node.uid, ())
    layout = asked if set(asked) == set(first.names) else first.names
    target = wish or defined_name(first) or region.name
    names = scope.function.names
    if not wish:
        target = names.reserve(target)
    alone = len(region.body) == 1
    named = ("in_full",) if alone else ("by_products", "by_differences")
    given = operands if alone else operands[1:]
    ways = [_way(scope, region, n, given, f"{target}_{how}", layout) for n, how in zip(region.body, named, strict=True)]
    code = f"{ways[0]}()" if alone else f"jax.lax.cond({operands[0].value.text.code}, {', '.join(ways)})"
    scope.line(target, code, scope.comment(node, layout, first.origin.line or node.origin.line))
    return [Value(name(target), layout)]


def _way(scope: Scope, region: Either, root: Node, operands: Sequence[Operand], wish: str, layout: Layout) -> str:
    """One of the ways, as a function without arguments: what it reads is there."""
    nodes = topological([root])
    inner = Scope(scope.function, count_uses(nodes, [root], scope.graph.dims), scope.indent + 4, scope)
    inner.parts = gather_parts(nodes)
    inner.wanted = wanted(nodes, [(root, layout)], inner.graph)
    # XLA gives both ways the order in memory of one of them: where the other one is turned around, what is chosen is as well.
    inner.fast = made_along(nodes, layout, inner.graph)
    inner.leading = scope.leading
    gather_loops(inner, nodes)
    for operand, argument in zip(operands, region.captured, strict=True):
        new = dict(zip(operand.names, argument.names, strict=True))
        inner.values[argument.uid] = Value(operand.value.text, tuple(new[a] for a in operand.value.layout))
    for n in nodes:
        inner.visit(n, keep=n is root)
    like = Node(root.kind, root.op, (), tuple(root.axis(a) for a in layout), root.dtype, root.attrs, root.origin)
    end = state(inner, Operand(inner.whole(root), root.axes, root.dtype), like)
    exact = scope.graph.precision == "float32" and any(n.kind is Kind.CONTRACT for n in nodes)
    if not inner.lines and not exact and len(region.body) > 1 and len(end.code) <= SHORT:
        return f"lambda: {end.code}"
    called = scope.function.names.reserve(wish)
    if not scope.lines or scope.lines[-1].code or scope.lines[-1].target:
        scope.line("", "")
    if exact:
        # What cancels needs all digits of a product, where a device would round its operands.
        scope.line('@jax.default_matmul_precision("float32")', "")
    scope.line(f"def {called}() -> Array:", "")
    scope.lines += [*inner.lines, Line(inner.indent, "return", end.code)]
    scope.line("", "")
    return called


__all__ = ["emit_either"]
