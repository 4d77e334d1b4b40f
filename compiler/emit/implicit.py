"""Text of problems that are solved: a local function of the unknowns, handed to a solver of `vspec.runtime.implicit`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vspec.compiler.emit.decompositions import gather_parts
from vspec.compiler.emit.layout import Layout, Value, arranged
from vspec.compiler.emit.names import identifier
from vspec.compiler.emit.reads import gather_loops
from vspec.compiler.emit.scope import Line, Scope, count_uses
from vspec.compiler.emit.text import Text, name, sequence
from vspec.compiler.graph.node import REPORT, Kind, Node, Solve, region_nodes
from vspec.runtime.solvers import EXTREMES

if TYPE_CHECKING:
    from vspec.compiler.emit.scans import Operand

# What a search ends with where the spec says nothing.
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}

_LONGEST = 120

_WORDS = {"equation": "residual", "slope": "jacobian", "map": "image", "value": "value", "gap": "gap"}


def emit_problem(
    scope: Scope, region: Solve, operands: Sequence[Operand], wishes: dict[int, str], line: int
) -> list[Value]:
    """Writes the problem, or one function for all the problems along its batch axes. One value per result of the region."""
    names = scope.function.names
    label = identifier(region.name)
    count = len(region.unknowns)
    found = [
        wishes.get(k) or names.reserve(label if count == 1 else f"{label}_{region.unknowns[k].attrs[0]}")
        for k in range(count)
    ]
    report = names.reserve(f"{label}_report")
    batch = tuple(a.name for a in region.batch)
    if batch:
        code = _mapped(scope, region, operands, label)
    else:
        code = _search(scope, region, operands, label)
    left = found[0] if count == 1 else sequence(found)
    comment = scope.comment(region.unknowns[0], (*batch, *region.unknowns[0].names), line) if count == 1 else ""
    scope.line(f"{left}, {report}", code, comment)
    unknowns = [Value(name(n), (*batch, *u.names)) for n, u in zip(found, region.unknowns, strict=True)]
    return [*unknowns, *(Value(name(f"{report}.{what}"), batch) for what, _ in REPORT)]


def _mapped(scope: Scope, region: Solve, operands: Sequence[Operand], label: str) -> str:
    """Writes a function that solves one problem; the call that maps it over the batch axes."""
    names = scope.function.names
    axes = tuple(a.name for a in region.batch)
    solver = names.reserve(f"solve_{label}")
    inner = Scope(scope.function, {}, scope.indent + 4, scope)
    seen = list(operands)
    several = {u.uid for u in region.unknowns}
    parameters: list[str] = []
    arguments: list[str] = []
    mapped: list[Layout] = []
    for k, operand in enumerate(operands):
        along = tuple(a for a in axes if a in operand.names)
        if not along:
            continue
        own = tuple(a for a in operand.names if a not in along)
        wish = operand.value.text.code
        wish = wish if wish.isidentifier() else region.arguments[k].attrs[0]
        parameters.append(names.reserve(f"{wish}_{'_'.join(x.lstrip('_') for x in along)}"))
        arguments.append(arranged(operand.value, (*along, *own)).code)
        mapped.append(along)
        several.add(region.arguments[k].uid)
        own_axes = tuple(a for a in operand.axes if a.name in own)
        seen[k] = operand._replace(value=Value(name(parameters[-1]), own), axes=own_axes)
    code = _search(inner, region, seen, label, several)
    scope.line("", "")
    kind = _type(len(region.unknowns))
    _head(scope, solver, ", ".join(f"{p}: Array" for p in parameters), f"tuple[{kind}, implicit.Report]")
    scope.lines += inner.lines[next(k for k, line in enumerate(inner.lines) if line.target) :]
    scope.lines.append(Line(inner.indent, "return", code))
    scope.line("", "")
    call = solver
    for axis in reversed(axes):
        places = ["0" if axis in along else "None" for along in mapped]
        every = all(p == "0" for p in places)
        call = f"jax.vmap({call})" if every else f"jax.vmap({call}, in_axes={sequence(places)})"
    return f"{call}({', '.join(arguments)})"


def _search(scope: Scope, region: Solve, operands: Sequence[Operand], label: str, several: Iterable[int] = ()) -> str:
    """Writes the local function of one problem; the call that solves it. `several`: what differs between problems."""
    count = len(region.unknowns)
    starts = []
    for operand, unknown in zip(operands, region.unknowns, strict=False):
        value = scope.broadcast(operand.value, operand.axes, operand.dtype)
        starts.append(scope.array(Value(arranged(value, unknown.names), unknown.names), "real").code)
    function = _function(scope, region, operands[count:], label, several)
    start = starts[0] if count == 1 else sequence(starts)
    options = dict(region.options)
    if "tol" in options and options["tol"] is None:
        options["tol"] = TOLERANCE[scope.graph.precision]
    method = f"implicit.{region.method}({', '.join(f'{k}={v!r}' for k, v in options.items())})"
    more = ", unrolled=True" if region.gradient == "unrolled" else ""
    if region.relations:
        more = f", relations={sequence([repr(r) for r in region.relations])}".replace("'", '"')
    return f"implicit.{region.op}({function}, {start}, {method}, steps={region.steps}{more})"


def _function(scope: Scope, region: Solve, captured: Sequence[Operand], label: str, several: Iterable[int]) -> str:
    """Writes what the solver calls: from the unknowns to the map, the equations with their slopes, or the value with its
    gradient and Hessian; under constraints to the value, the gradient of the Lagrangian, the gaps, and the slopes of these two.
    What it reads from outside reaches it as a closure."""
    names = scope.function.names
    nodes = list(region_nodes(region))
    kind = "objective"
    if region.op not in EXTREMES:
        kind = "map" if region.of("map") else "equations"
    if region.relations:
        kind = "lagrangian"
    function = names.reserve(f"{label}_{kind}")
    parameters = [names.reserve(u.attrs[0]) for u in region.unknowns]
    inner = Scope(scope.function, count_uses(nodes, region.body, scope.graph.dims), scope.indent + 4, scope)
    inner.parts = gather_parts(nodes)
    gather_loops(inner, nodes)
    for unknown, parameter in zip(region.unknowns, parameters, strict=True):
        inner.values[unknown.uid] = Value(name(parameter), unknown.names)
    for operand, argument in zip(captured, region.captured, strict=True):
        new = dict(zip(operand.names, argument.names, strict=True))
        inner.values[argument.uid] = Value(operand.value.text, tuple(new[a] for a in operand.value.layout))
    for n, role in zip(region.body, region.roles, strict=True):
        if n.kind not in (Kind.INPUT, Kind.CONST):
            inner.wishes.setdefault(n.uid, _word(region, role.kind))
    inner.several = _reached(nodes, several)
    for n in nodes:
        inner.visit(n)
    texts: dict[str, list[str]] = {}
    for n, role in zip(region.body, region.roles, strict=True):
        layout: Layout = ()
        if role.kind != "value":
            layout = (*region.unknowns[role.row].names, *role.letters)
        text = inner.array(Value(arranged(inner.whole(n), layout), layout), "real")
        if not text.simple and len(text.code) > 32:
            text = _assigned(inner, _word(region, role.kind), text, inner.comment(n, layout))
        texts.setdefault(role.kind, []).append(text.code)
    count = len(region.unknowns)
    results: list[str] = []
    kinds: list[str] = []
    if "value" in texts:
        results, kinds = texts["value"], ["Array"]
    for what in ("map", "equation", "gap"):
        if what in texts:
            results.append(texts[what][0] if count == 1 else sequence(texts[what]))
            kinds.append("tuple[Array, ...]" if region.relations else _type(count))
    if "slope" in texts:
        wide = region.sought
        rows = [sequence(texts["slope"][k : k + wide]) for k in range(0, count * wide, wide)]
        results.append(texts["slope"][0] if count == 1 else sequence(rows))
        rows_of = "tuple[tuple[Array, ...], ...]" if region.relations else f"tuple[{', '.join([_type(count)] * count)}]"
        kinds.append("Array" if count == 1 else rows_of)
    scope.line("", "")
    kind = kinds[0] if len(kinds) == 1 else f"tuple[{', '.join(kinds)}]"
    _head(scope, function, ", ".join(f"{p}: Array" for p in parameters), kind)
    scope.lines += inner.lines
    scope.lines.append(Line(inner.indent, "return", ", ".join(results)))
    scope.line("", "")
    return function


def _reached(nodes: Sequence[Node], sources: Iterable[int]) -> frozenset[int]:
    """The sources and the nodes that depend on them; nodes come after what they read."""
    found = set(sources)
    for n in nodes:
        if any(x.uid in found for x in n.inputs):
            found.add(n.uid)
    return frozenset(found)


def _head(scope: Scope, function: str, parameters: str, kind: str) -> None:
    """The line that begins a function, or three where it is long."""
    whole = f"def {function}({parameters}) -> {kind}:"
    if scope.indent + len(whole) <= _LONGEST:
        scope.line(whole, "")
        return
    for text in (f"def {function}(", f"    {parameters}", f") -> {kind}:"):
        scope.line(text, "")


def _word(region: Solve, kind: str) -> str:
    if "argm" in region.op:
        return {"equation": "gradient", "slope": "hessian"}.get(kind, kind)
    return _WORDS[kind]


def _assigned(scope: Scope, wish: str, text: Text, comment: str) -> Text:
    target = scope.function.names.reserve(wish)
    scope.line(target, text.code, comment)
    return name(target)


def _type(count: int) -> str:
    return "Array" if count == 1 else f"tuple[{', '.join(['Array'] * count)}]"
