"""Text of loops over rows: a local function of a stretch of rows, how results of two stretches become one, and the call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vspec.compiler.emit.decompositions import gather_parts
from vspec.compiler.emit.layout import Value
from vspec.compiler.emit.longest import chosen_orders, stretch_last
from vspec.compiler.emit.reads import gather_loops
from vspec.compiler.emit.scans import Operand, state
from vspec.compiler.emit.scope import Line, Scope, count_uses, defined_name
from vspec.compiler.emit.text import MUL, Text, name
from vspec.compiler.emit.wanted import wanted
from vspec.compiler.graph.node import Axis, Blocks, Node, topological

ROWS, TOTALS = "stack", "total"
COMBINED = {
    "sum": "{a} + {b}",
    "prod": "{a} * {b}",
    "max": "jnp.maximum({a}, {b})",
    "min": "jnp.minimum({a}, {b})",
    "any": "{a} | {b}",
    "all": "{a} & {b}",
    "logsumexp": "jnp.logaddexp({a}, {b})",
}


def emit_blocks(
    scope: Scope, node: Node, operands: Sequence[Operand], reads: set[int], wishes: Mapping[int, str]
) -> list[Value]:
    """Writes the loop of a region; the results at the positions `reads`, nothing that may be used at the others."""
    region: Blocks = node.attrs[0]
    names = scope.function.names
    kept = sorted(reads | {k + 1 for k in reads if region.joins[k] in ("argmax", "argmin", "weighted")})
    rows = [k for k in kept if region.joins[k] == ROWS]
    totals = [k for k in kept if region.joins[k] != ROWS]
    size, row = scope.size(region.dim), _row(scope, region)
    label = region.axis.name.split("~")[0]
    part, first, count = (names.reserve(n) for n in (f"part_of_{label}", "first", "count"))
    scope.function.sizes[region.axis.dim] = Text(count, python=True, weak=True)
    results = _part(scope, region, operands, (part, first, count), rows, totals)
    number = f"rows_at_once({size.code}, {row})" if region.rows is None else str(region.rows)
    call = f"in_parts({_function(scope, part)}, {size.code}, {number}"
    if totals:
        join = _join(scope, region, totals, names.reserve(f"joined_{label}"))
        starts = [_start(scope, region, k) for k in totals]
        call += f", {_tuple(starts)}, {join}"
    targets = {}
    for k in kept:
        wish = wishes.get(k) or defined_name(region.body[k]) or f"{_word(region, k)}_{label}"
        targets[k] = names.reserve(wish) if k in reads and k not in wishes else wish if k in reads else "_"
    left = [_unpacked([targets[k] for k in rows]), _unpacked([targets[k] for k in totals])]
    comment = ""
    if len(kept) == 1:
        comment = scope.comment(node, results[kept[0]].layout, region.body[kept[0]].origin.line or node.origin.line)
    scope.line(", ".join(left), f"{call})", comment)
    nothing = Value(Text("None"), ())
    return [
        Value(name(targets[k]), results[k].layout) if k in results and k in reads else nothing
        for k in range(len(region.body))
    ]


def _gap(scope: Scope) -> None:
    """An empty line, where there is none."""
    if not scope.lines or scope.lines[-1].code or scope.lines[-1].target:
        scope.line("", "")


def _unpacked(targets: Sequence[str]) -> str:
    """The left side for a tuple."""
    if all(t == "_" for t in targets):
        return "_"
    return f"({', '.join(targets)}{',' if len(targets) == 1 else ''})"


def _word(region: Blocks, k: int) -> str:
    """What a result without a name is called."""
    origin = region.body[k].origin
    bar = {"adjoint": "_bar", "tangent": "_dot", "gradient": "_gradient", "hessian": "_hessian"}.get(origin.role, "")
    return f"{origin.name or region.joins[k]}{bar}"


def _function(scope: Scope, part: str) -> str:
    """The function of a stretch; where JAX differentiates it, it is computed once more on the way back."""
    return f"jax.checkpoint({part}, static_argnums=1)" if scope.differentiated else part


def _row(scope: Scope, region: Blocks) -> str:
    """The bytes of a row as text: a number times a size that is open, and of more of them, each as an argument of its own."""
    number, dims = region.row
    known, rest = number, []
    for d in dims:
        code = scope.size(d)
        if code.code.isdigit():
            known *= int(code.code)
        else:
            rest.append(code.at(MUL + 1))
    return ", ".join([" * ".join([str(known), *rest[:1]]), *rest[1:]])


def _part(
    scope: Scope,
    region: Blocks,
    operands: Sequence[Operand],
    called: tuple[str, str, str],
    rows: Sequence[int],
    totals: Sequence[int],
) -> dict[int, Value]:
    """Writes the function of a stretch: the rows it gives, then the totals."""
    part, first, count = called
    names = scope.function.names
    roots = [region.body[k] for k in (*rows, *totals)]
    nodes = topological(roots)
    reached = {n.uid for n in nodes}
    inner = Scope(scope.function, count_uses(nodes, roots, scope.graph.dims), scope.indent + 4, scope)
    inner.parts = gather_parts(nodes)
    layouts = {k: _layout(region, k) for k in (*rows, *totals)}
    inner.fast = chosen_orders(nodes, scope.graph, scope.function.choices) | stretch_last(nodes, region, scope.graph)
    inner.wanted = wanted(nodes, [(region.body[k], layouts[k]) for k in (*rows, *totals)], inner.graph)
    inner.leading = next((a.name for n in nodes for a in n.axes if a.dim == region.axis.dim), "")
    gather_loops(inner, nodes)
    inner.values[region.first.uid] = Value(Text(first, weak=True), ())
    for operand, argument, cut in zip(operands, region.captured, region.cut, strict=True):
        if argument.uid not in reached:
            continue
        new = dict(zip(operand.names, argument.names, strict=True))
        layout = tuple(new[a] for a in operand.value.layout)
        text = operand.value.text
        if cut is not None:
            where = layout.index(argument.names[cut])
            axis = f", axis={where}" if where else ""
            code = f"jax.lax.dynamic_slice_in_dim({text.code}, {first}, {count}{axis})"
            text = name(names.reserve(f"{text.code}_part"))
            inner.line(text.code, code, inner.comment(argument, layout))
        inner.values[argument.uid] = Value(text, layout)
    for n in nodes:
        inner.visit(n)
    results: dict[int, Value] = {}
    codes: dict[int, str] = {}
    for k, layout in layouts.items():
        n = region.body[k]
        like = n if layout == n.names else _ordered(n, layout)
        codes[k] = state(inner, Operand(inner.whole(n), n.axes, n.dtype), like).code
        results[k] = Value(Text("None"), layout)
    _gap(scope)
    kind = f"tuple[{_type(len(rows))}, {_type(len(totals))}]"
    scope.line(f"def {part}({first}: Array | int, {count}: int) -> {kind}:", "")
    scope.lines += inner.lines
    ends = f"{_tuple([codes[k] for k in rows])}, {_tuple([codes[k] for k in totals])}"
    scope.lines.append(Line(inner.indent, "return", ends))
    scope.line("", "")
    return results


def _layout(region: Blocks, k: int) -> tuple[str, ...]:
    """The order of axes of a result: rows come first."""
    names = region.body[k].names
    if region.joins[k] != ROWS:
        return names
    rows = next(a.name for a in region.body[k].axes if a.dim == region.axis.dim)
    return (rows, *(n for n in names if n != rows))


def _ordered(node: Node, layout: Sequence[str]) -> Node:
    """A stand-in for a node with its axes in another order."""
    return Node(node.kind, node.op, (), tuple(node.axis(n) for n in layout), node.dtype, node.attrs, node.origin)


def _tuple(codes: Sequence[str]) -> str:
    return f"({codes[0]},)" if len(codes) == 1 else f"({', '.join(codes)})"


def _type(count: int) -> str:
    return f"tuple[{', '.join(['Array'] * count) or '()'}]"


def _join(scope: Scope, region: Blocks, totals: Sequence[int], joined: str) -> str:
    """Writes how the totals of two stretches become one: earlier rows come first."""
    place = {k: j for j, k in enumerate(totals)}
    names = scope.function.names
    inner = Scope(scope.function, {}, scope.indent + 4, scope)
    a, b = names.reserve("before"), names.reserve("here")
    codes = []
    for k in totals:
        x, y = f"{a}[{place[k]}]", f"{b}[{place[k]}]"
        kind = region.joins[k]
        if kind in COMBINED:
            codes.append(COMBINED[kind].format(a=x, b=y))
        elif kind in ("argmax", "argmin", "best"):
            number = place[k] if kind == "best" else place[k + 1]
            position = k if kind != "best" else k - 1
            sign = ">" if region.joins[position] == "argmax" else "<"
            u, v = f"{a}[{number}]", f"{b}[{number}]"
            better = f"({v} {sign} {u}) | (jnp.isnan({v}) & ~jnp.isnan({u}))"
            codes.append(f"jnp.where({better}, {y}, {x})")
        else:
            codes.append(_weighted(inner, region, k, (x, y), (f"{a}[{place[k + 1]}]", f"{b}[{place[k + 1]}]")))
    kind = _type(len(totals))
    _gap(scope)
    scope.line(f"def {joined}({a}: {kind}, {b}: {kind}) -> {kind}:", "")
    scope.lines += inner.lines
    scope.lines.append(Line(inner.indent, "return", _tuple(codes)))
    scope.line("", "")
    return joined


def _weighted(inner: Scope, region: Blocks, k: int, sums: tuple[str, str], logs: tuple[str, str]) -> str:
    """Sums whose weights are normalised by their own stretch, for the weights of both: each by its share."""
    node, log = region.body[k], region.body[k + 1]
    share = inner.function.names.reserve("share")
    inner.line(share, f"jax.nn.sigmoid({logs[1]} - {logs[0]})")
    # Before the first rows all weights are zero, and so they may be where a stretch has none.
    inner.line(share, f"jnp.where(jnp.isnan({share}), 0.5, {share})")
    order = [a for a in node.names if a in log.names]
    if tuple(order) != log.names:
        share = f"{share}.transpose({', '.join(str(log.names.index(a)) for a in order)})"
    items = [":" if a in order else "None" for a in node.names]
    while items and items[-1] == ":":
        items.pop()
    s = f"{share}[{', '.join(items)}]" if "None" in items else share
    return f"{sums[0]} + {s} * ({sums[1]} - {sums[0]})"


def _start(scope: Scope, region: Blocks, k: int) -> str:
    """What a total is before the first rows."""
    node, kind = region.body[k], region.joins[k]
    real = node.dtype == "real"
    if kind == "best":
        kind = {"argmax": "max", "argmin": "min"}[region.joins[k - 1]]
    axes: Sequence[Axis] = node.axes
    dtype = scope.dtype(node.dtype)
    if kind in ("max", "min", "logsumexp"):
        sign = "" if kind == "min" else "-"
        edge = f"{sign}jnp.inf" if real else f"jnp.iinfo({dtype}).{'max' if kind == 'min' else 'min'}"
        return f"jnp.full({scope.shape(axes)}, {edge}, dtype={dtype})"
    filled = "ones" if kind in ("prod", "all") else "zeros"
    return f"jnp.{filled}({scope.shape(axes)}, dtype={dtype})"
