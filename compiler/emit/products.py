"""Text of loops whose steps are products with kernels that are kept: three local functions and a call of `scaled_steps`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vspec.compiler.emit.decompositions import gather_parts
from vspec.compiler.emit.layout import Value
from vspec.compiler.emit.reads import gather_loops
from vspec.compiler.emit.scans import Loop, Operand, label, state, tupled
from vspec.compiler.emit.scope import Line, Scope, count_uses
from vspec.compiler.emit.text import MUL, Text, name
from vspec.compiler.emit.wanted import wanted
from vspec.compiler.graph.node import Node, Products, topological


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that a function takes or gives together: their names, and what one argument for all of them is called."""

    nodes: Sequence[Node]
    names: Sequence[str]
    together: str

    @property
    def type(self) -> str:
        """As an annotation."""
        return "Array" if len(self.nodes) == 1 else "Any"


def write_products(scope: Scope, loop: Loop) -> dict[tuple[str, int], Value]:
    """Writes the loop; the last values of the states that are read."""
    region, names = loop.region, scope.function.names
    products = region.products
    assert products is not None

    def group(nodes: Sequence[Node], wishes: Sequence[str], together: str) -> Group:
        own = [names.reserve(w) for w in wishes]
        return Group(nodes, own, own[0] if len(own) == 1 else names.reserve(together))

    states = group(region.carry, [f"{label(region, k)}_t" for k in range(loop.count)], "states")
    kernels = group(products.kernels, [str(n.attrs[0]) for n in products.kernels], "kernels")
    terms = group(products.references, [str(n.attrs[0]) for n in products.references], "terms")
    results = [*zip(region.body, region.carry, strict=True)], [*zip(products.terms, products.references, strict=True)]
    by_logs = _function(scope, loop, "by_logs", [states], results)
    made = _function(scope, loop, "kernel", [terms], ([*zip(products.made, products.kernels, strict=True)],), False)
    moved = [*zip(products.moved, products.references, strict=True)]
    nexts = [*zip(products.body, region.carry, strict=True)]
    ends = nexts, moved, [(products.fine, products.fine)]
    by_products = _function(scope, loop, "by_products", [states, kernels, terms], ends)
    lasts = {k: names.reserve(f"{label(region, k)}_last") for k in loop.finals}
    left = tupled([lasts.get(k, "_") for k in range(loop.count)]) if loop.finals else "_"
    starts = tupled([t.code for t in loop.starts])
    length = scope.scalar(region.length).code
    call = f"scaled_steps({by_logs}, {made}, {by_products}, {starts}, {length}, {_bytes(scope, products)})"
    scope.line(left, call)
    return {("final", k): Value(name(lasts[k]), region.carry[k].names) for k in loop.finals}


Results = Sequence[Sequence[tuple[Node, Node]]]
"""Groups of nodes, each with another one whose axes and dtype it gets."""


def _function(
    scope: Scope, loop: Loop, wish: str, arguments: Sequence[Group], results: Results, timed: bool = True
) -> str:
    """Writes a function of groups of arguments and, if `timed`, behind the first of them the number of the step."""
    region, names = loop.region, scope.function.names
    assert region.products is not None
    called = names.reserve(wish)
    roots = [n for group in results for n, _ in group]
    nodes = topological(roots)
    inner = Scope(scope.function, count_uses(nodes, roots, scope.graph.dims), scope.indent + 4, scope)
    inner.parts = gather_parts(nodes)
    inner.wanted = wanted(nodes, [(n, like.names) for group in results for n, like in group], inner.graph)
    gather_loops(inner, nodes)
    inner.wishes[region.products.fine.uid] = "fine"
    inner.wishes |= {n.uid: f"{label(region, k)}_next" for k, n in enumerate(region.products.body)}
    for group in arguments:
        inner.values |= {n.uid: Value(name(t), n.names) for n, t in zip(group.nodes, group.names, strict=True)}
    index = "_"
    if any(n is region.index for n in nodes):
        index = names.reserve(region.axis.name.split("~")[0])
        inner.values[region.index.uid] = Value(name(index), ())
    for operand, argument in zip(loop.operands[loop.count :], region.captured, strict=True):
        new = dict(zip(operand.names, argument.names, strict=True))
        inner.values[argument.uid] = Value(operand.value.text, tuple(new[a] for a in operand.value.layout))
    for n in nodes:
        inner.visit(n)
    ends = []
    for pairs in results:
        texts = [state(inner, Operand(inner.whole(n), n.axes, n.dtype), like) for n, like in pairs]
        ends.append(tupled([t.code for t in texts]))
    parameters = [f"{g.together}: {g.type}" for g in arguments]
    if timed:
        parameters.insert(1, f"{index}: Array")
    opened = [Line(inner.indent, ", ".join(g.names), g.together) for g in arguments if len(g.names) > 1]
    result = "Array" if len(ends) == len(results[0]) == 1 else "Any"
    if not scope.lines or scope.lines[-1].code or scope.lines[-1].target:
        scope.line("", "")
    scope.line(f"def {called}({', '.join(parameters)}) -> {result}:", "")
    scope.lines += [*opened, *inner.lines, Line(inner.indent, "return", ", ".join(ends))]
    scope.line("", "")
    return called


def _bytes(scope: Scope, products: Products) -> str:
    """The bytes of the kernels as text."""
    number, dims = products.bytes
    known, rest = number, []
    for d in dims:
        code: Text = scope.size(d)
        if code.code.isdigit():
            known *= int(code.code)
        else:
            rest.append(code.at(MUL + 1))
    return " * ".join([str(known), *rest])


__all__ = ["write_products"]
