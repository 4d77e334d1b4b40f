"""One entry of the program: its signature, its lines, what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vspec.compiler.emit.decompositions import gather_parts
from vspec.compiler.emit.layout import Value, arranged, shown
from vspec.compiler.emit.longest import chosen_orders
from vspec.compiler.emit.names import Names, identifier
from vspec.compiler.emit.nodes import render
from vspec.compiler.emit.reads import gather_loops
from vspec.compiler.emit.scope import WIDTH, EmissionError, Function, Line, Scope, count_uses, defined_name, formatted
from vspec.compiler.emit.text import Text, quoted
from vspec.compiler.emit.wanted import wanted
from vspec.compiler.graph.graph import Entry, Graph, Result
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.graph.strategy import Choice
from vspec.compiler.graph.tuning import MATMUL, tuning_of


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an entry. `name` is the spec's, `parameter` the Python one (they differ only if they must)."""

    name: str
    parameter: str
    role: str
    axes: tuple[Axis, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class EmittedResult:
    """One array that an entry returns. `name` joins the path with dots; a value by itself has the entry's name."""

    name: str
    path: tuple[str | int, ...]
    axes: tuple[Axis, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class EmittedEntry:
    """A function of the program: what the manifest says about it, which nodes have which names in its text, and which orders of
    axes were chosen for it."""

    name: str
    kind: str
    function: str
    of: str
    arguments: tuple[Argument, ...]
    results: tuple[EmittedResult, ...]
    targets: Mapping[int, str] = field(default_factory=dict, compare=False, repr=False)
    choices: tuple[Choice, ...] = field(default=(), compare=False, repr=False)


def emit_entry(graph: Graph, entry: Entry, file: str) -> tuple[str, EmittedEntry]:
    """The text of a function, and its signature as data."""
    nodes = topological(r.node for r in entry.results)
    reached = {n.uid for n in nodes}
    known = {x.uid for x in graph.inputs.values()}
    for n in nodes:
        if n.kind is Kind.INPUT and n.uid not in known:
            raise EmissionError(f"{n!r} of entry '{entry.name}' is not among the inputs of the graph")
    names = Names()
    # What batches read has a key of its own in `inputs`, and the same name.
    parameters = [(str(x.attrs[0]), names.reserve(x.attrs[0]), x) for x in graph.inputs.values() if x.uid in reached]
    function = Function(graph, file, names, render, arguments=[(p, x) for _, p, x in parameters])
    scope = Scope(function, count_uses(nodes, [r.node for r in entry.results], function.graph.dims))
    for _, parameter, x in parameters:
        # A scalar constant may come as a Python number, which has no methods and a weak dtype.
        loose = x.op == "constant" and not x.axes
        scope.values[x.uid] = Value(Text(parameter, python=loose, weak=loose), x.names)
    scope.parts = gather_parts(nodes)
    gather_loops(scope, nodes)
    scope.fast = chosen_orders(nodes, graph, function.choices)
    scope.wanted = wanted(nodes, [(r.node, r.node.names) for r in entry.results], scope.graph)
    single = len(entry.results) == 1 and entry.results[0].path == ()
    if not single:
        scope.wishes |= _wishes(entry)
    for n in nodes:
        # A trajectory has its name before its first state or its last can take it.
        if n.kind is Kind.ITEM and n.inputs[0].op in ("scan", "solve") and defined_name(n):
            region = n.inputs[0].attrs[0]
            if n.inputs[0].op == "solve" or region.results[n.attrs[0]][0] == "path":
                scope.items[n.inputs[0].uid, n.attrs[0]] = names.reserve(defined_name(n))
        elif n.kind is Kind.REGION and n.op == "scan":
            for x, carry in zip(n.inputs, n.attrs[0].carry, strict=False):
                if defined_name(x) and defined_name(x) == carry.attrs[0]:
                    scope.wishes[x.uid] = f"{defined_name(x)}_start"
    for n in nodes:
        scope.visit(n, keep=single and n is entry.results[0].node)
    returned = _returned(scope, entry, single)

    sizes = [Argument(dim, parameter, "size", (), "integer") for dim, parameter in function.size_arguments]
    arguments = (*(Argument(name, p, x.op, x.axes, x.dtype) for name, p, x in parameters), *sizes)
    results = tuple(_result(entry, r) for r in entry.results)
    texts = {n.uid: scope.values[n.uid].text.code for n in nodes if n.uid in scope.values}
    targets = {uid: text for uid, text in texts.items() if text.isidentifier()}
    emitted = EmittedEntry(
        entry.name, entry.kind, identifier(entry.name), entry.of, arguments, results, targets, tuple(function.choices)
    )
    lines = [*_precision(graph), *_signature(emitted), f"    {quoted(entry.doc or _summary(emitted))}"]
    lines += formatted([*function.header, *scope.lines, returned])
    return "\n".join(lines), emitted


def _precision(graph: Graph) -> list[str]:
    """The precision of matrix products, where it is not the device's own."""
    matmul = tuning_of(graph.notes).matmul
    return [] if matmul == MATMUL[0] else [f'@jax.default_matmul_precision("{matmul}")']


def _wishes(entry: Entry) -> dict[int, str]:
    """Names for results that the spec did not name: a key, or what the position in the tuple means."""
    wishes: dict[int, str] = {}
    for r in entry.results:
        if r.node.kind is Kind.INPUT or defined_name(r.node):
            continue
        positions = [p for p in r.path if isinstance(p, int)]
        keys = [p for p in r.path if isinstance(p, str)]
        parts = list(keys)
        meanings = _meanings(entry)
        if meanings:
            listed = entry.kind in LISTS
            meaning = meanings[positions[0]] if positions and not listed else meanings[0]
            parts = [*keys, meaning] if meaning != "value" else [entry.of or entry.name]
        wishes.setdefault(r.node.uid, "_".join(parts) or entry.name)
    return wishes


def _meanings(entry: Entry) -> tuple[str, ...]:
    """What the positions of a tuple mean, or all that is returned where there is none; nothing where keys say it all."""
    if entry.kind == "step":
        return ("value", "gradient", "new") if entry.of else ("direction", "new")
    if entry.kind.removeprefix("augmented_") in ("value_and_gradient", "newton"):
        return ("value", "gradient", "hessian")
    if entry.kind in ("structure", "factored"):
        return ("value", "gradient", "curvature")
    if entry.kind == "lagrangian":
        return ("value", "gradient", "gap", "jacobian", "hessian")
    return {
        "gradient": ("gradient",),
        "hessian": ("hessian",),
        "hvp": ("product",),
        "update": ("new",),
        "directions": ("direction",),
        "residuals": ("residual",),
        "jacobian": ("jacobian",),
        "squares": ("value", "residual", "jacobian"),
    }.get(entry.kind, ())


# Entries that return a tuple of like things, one for each term of the objective.
LISTS = frozenset({"residuals", "jacobian"})


def _result(entry: Entry, result: Result) -> EmittedResult:
    # Only the first position has a meaning; those behind it, and all of a list, count terms.
    means = () if entry.kind in LISTS else _meanings(entry)
    keys = [
        p if isinstance(p, str) else means[p] if k == 0 and p < len(means) else str(p)
        for k, p in enumerate(result.path)
    ]
    name = ".".join(keys) or entry.name
    return EmittedResult(name, result.path, result.node.axes, result.node.dtype)


# --- the returned structure -----------------------------------------------------------------------------------------


def _returned(scope: Scope, entry: Entry, single: bool) -> Line:
    codes = {r.path: _final(scope, r.node) for r in entry.results}
    comment = scope.comment(entry.results[0].node, entry.results[0].node.names) if single else ""
    tree = _nested(codes)
    code = ", ".join(_code(v) for v in tree.values()) if _is_tuple(tree) and len(tree) > 1 else _code(tree)
    if single and code.isidentifier() and scope.lines and scope.lines[-1].target == code:
        comment = ""
    return Line(scope.indent, "return", code, comment)


def _final(scope: Scope, node: Node) -> str:
    """A result in the node's own order of axes and dtype."""
    value = scope.whole(node)
    text = arranged(value, node.names)
    return scope.array(Value(text, node.names), node.dtype).code


def _nested(codes: Mapping[tuple[str | int, ...], str]) -> Any:
    """Codes by path as nested mappings; a code alone if its path is empty."""
    if () in codes:
        return {(): codes[()]}
    tree: dict[Any, Any] = {}
    for path, code in codes.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = code
    return tree


def _is_tuple(tree: Any) -> bool:
    return isinstance(tree, dict) and bool(tree) and all(isinstance(k, int) for k in tree)


def _code(tree: Any) -> str:
    if isinstance(tree, str):
        return tree
    if list(tree) == [()]:
        return str(tree[()])
    if _is_tuple(tree):
        parts = [_code(tree[k]) for k in sorted(tree)]
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
    return "{" + ", ".join(f"{_key(k)}: {_code(v)}" for k, v in tree.items()) + "}"


def _key(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --- signature --------------------------------------------------------------------------------------------------------

_PYTHON_TYPES = {"real": "float", "integer": "int", "boolean": "bool", "complex": "complex"}


def _signature(entry: EmittedEntry) -> list[str]:
    parts = []
    for a in entry.arguments:
        scalar = a.role == "size" or (a.role == "constant" and not a.axes)
        parts.append(f"{a.parameter}: {_PYTHON_TYPES[a.dtype] if scalar else 'Array'}")
    kind = _annotation(_nested({r.path: "Array" for r in entry.results}))
    line = f"def {entry.function}({', '.join(parts)}) -> {kind}:"
    if len(line) <= WIDTH:
        return [line]
    inner = f"    {', '.join(parts)}"
    return [
        f"def {entry.function}(",
        *([inner] if len(inner) <= WIDTH else [f"    {p}," for p in parts]),
        f") -> {kind}:",
    ]


def _annotation(tree: Any) -> str:
    if isinstance(tree, str) or list(tree) == [()]:
        return "Array"
    if _is_tuple(tree):
        return f"tuple[{', '.join(_annotation(tree[k]) for k in sorted(tree))}]"
    kinds = list(dict.fromkeys(_annotation(v) for v in tree.values()))
    return f"dict[str, {' | '.join(kinds)}]"


def _summary(entry: EmittedEntry) -> str:
    """`loss [] from w [i], X [n, i], y [n].`"""
    results = ", ".join(f"{r.name} {_axes(r.axes)}" for r in entry.results)
    arguments = ", ".join(f"{a.name} {_axes(a.axes)}" if a.axes else a.name for a in entry.arguments)
    return f"{results} from {arguments}." if arguments else f"{results}."


def _axes(axes: Sequence[Axis]) -> str:
    return f"[{', '.join(shown(tuple(a.name for a in axes)))}]"
