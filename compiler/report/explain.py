"""`vspec explain`: how the compiler read a spec, took its derivatives, and what it emits for each formula.

`explain_json` gathers everything as plain data; `explain` writes the same data as text, so that neither can say more than
the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vspec.compiler.graph.graph import Entry
from vspec.compiler.graph.node import AnyRegion, Blocks, Either, Kind, Node, Pull, Solve, region_nodes, topological
from vspec.compiler.language.spec import Constant, Data, Domain, Draw, Param, Source, Spec
from vspec.compiler.report.derivatives import derivatives_of
from vspec.compiler.report.formulas import equations, printer, size_text
from vspec.compiler.report.lines import emitted_lines
from vspec.compiler.report.math import Printer
from vspec.compiler.report.memory import sweeps, told
from vspec.compiler.report.plan import plan_lines
from vspec.compiler.report.strategies import strategies, strategy_rows
from vspec.compiler.report.table import passes_table, render_table
from vspec.compiler.report.variants import variant_records, variant_row

if TYPE_CHECKING:
    from vspec.compiler.pipeline import Compiled

RULE = 118
ROLES = {"adjoint": "adjoint of ", "tangent": "tangent of ", "gradient": "gradient of ", "hessian": "Hessian of "}


def explain(compiled: Compiled, entry: str | None = None, *, seconds: bool = True) -> str:
    """The explanation as text; of one entry if it is named. Raises ValueError if there is no such entry.

    Without `seconds`, equal specs give equal text.
    """
    found = explain_json(compiled, entry)
    lines: list[str] = []
    if entry is None:
        lines += _overview(found, seconds)
    for item in found["entries"]:
        lines += _entry_text(item, found["file"], full=entry is not None)
        for v in found["variants"] if entry is not None else ():
            lines += _in_variant(v, found["file"])
    return "\n".join(lines).rstrip("\n") + "\n"


def explain_json(compiled: Compiled, entry: str | None = None) -> dict[str, Any]:
    """The explanation as data. Raises ValueError if there is no entry of that name."""
    spec, graph = compiled.spec, compiled.graph
    chosen = [e for e in graph.entries if entry in (None, e.name)]
    if not chosen:
        have = ", ".join(e.name for e in graph.entries)
        raise ValueError(f"no entry '{entry}' in '{spec.name}'; it has {have}")
    emitted = emitted_lines(compiled.emitted.text)
    own = PurePath(spec.path).name or "spec.yaml"
    formulas = [{"name": e.name, "line": e.line, "file": e.file or own, "formula": e.formula} for e in equations(spec)]
    return {
        "name": spec.name,
        "doc": " ".join(spec.doc.split()),
        "file": own,
        "precision": spec.precision,
        "dims": explain_dims(spec),
        "arguments": explain_arguments(spec),
        "mathematics": formulas,
        "plan": plan_lines(spec),
        "derivatives": [
            {"what": t.what, "line": t.line, "file": t.file or own, "how": list(t.how)} for t in derivatives_of(spec)
        ],
        "strategies": strategies(compiled),
        "variants": variant_records(compiled, entry),
        "forms": [
            {"what": what, "line": line, "how": list(how)} for what, line, how in compiled.before.notes.get("forms", [])
        ],
        "recurrences": sweeps(spec, graph),
        "prepared": _prepared(graph.entries),
        "held": _held(graph.entries),
        "nodes": {"before": len(compiled.before.nodes), "after": len(graph.nodes)},
        "passes": passes_table(compiled.passes),
        "entries": [_entry(e, emitted.get(e.name, [])) for e in chosen],
    }


# --- the spec -----------------------------------------------------------------------------------------------------


def explain_dims(spec: Spec) -> list[dict[str, Any]]:
    """The dims that have letters of the spec: letters and size."""
    p = printer(spec)
    shown = [(d, [x for x in d.letters if not x.startswith("_")]) for d in spec.dims.values()]
    return [{"letters": letters, "size": size_text(d, p)} for d, letters in shown if letters]


def explain_arguments(spec: Spec) -> list[dict[str, Any]]:
    """Params, data and constants: name, symbol, role, where they stand, and a note."""
    p = printer(spec)
    found = []
    groups: tuple[tuple[str, Mapping[str, Param | Data | Constant]], ...] = (
        ("param", spec.params),
        ("data", spec.data),
        ("constant", spec.constants),
    )
    for role, group in groups:
        for name, item in group.items():
            note = ""
            if isinstance(item, Data):
                note = _origin(item)
            elif isinstance(item, Param):
                note = "" if item.domain.kind == "real" else _domain(item.domain, p)
            elif not item.letters:
                note = f"= {item.value}"
            shown = p.element(name, item.letters)
            found.append({"name": name, "symbol": shown, "role": role, "line": item.span.line, "note": note})
            found[-1]["file"] = spec.file(item.span) or PurePath(spec.path).name
    return found


def _domain(domain: Domain, p: Printer) -> str:
    if domain.lower is not None and domain.upper is not None:
        return f"box({p.expression(domain.lower)}, {p.expression(domain.upper)})"
    over = domain.letters if domain.kind in ("simplex", "unit") else ()
    return f"{domain.kind}[{', '.join(over)}]" if over else domain.kind


def _origin(d: Data) -> str:
    if isinstance(d.default, Source):
        named = [d.default.column] if isinstance(d.default.column, str) else [*(d.default.column or ())]
        words = "columns" if len(named) > 1 else "column"
        return f"from {d.default.uri}" + (f", {words} {', '.join(named)}" if named else "")
    if isinstance(d.default, Draw):
        seed = "the run's seed" if d.default.seed is None else f"seed {d.default.seed}"
        return f"drawn: {d.default.law}({', '.join(map(str, d.default.arguments))}), {seed}"
    return "given when the program runs" if d.default is None else "given in the spec"


def _held(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """What is computed once per stage, and by which entry."""
    return [{"entry": e.name, "names": [str(r.path[0]) for r in e.results]} for e in entries if e.kind == "hold"]


def _prepared(entries: Iterable[Entry]) -> list[str]:
    return [str(r.path[0]) for e in entries if e.kind == "prepare" for r in e.results]


# --- entries ------------------------------------------------------------------------------------------------------


def _entry(e: Entry, lines: list[dict[str, Any]]) -> dict[str, Any]:
    order = topological(r.node for r in e.results)
    by_target = {line["target"]: line["program_line"] for line in lines if line["target"]}
    return {
        "name": e.name,
        "kind": e.kind,
        "doc": e.doc,
        "results": [{"path": list(r.path), "axes": list(axes_of(r.node))} for r in e.results],
        "nodes": [_node(n, by_target) for n in order],
        "lines": lines,
    }


def _node(n: Node, by_target: Mapping[str, int]) -> dict[str, Any]:
    suffix = {"gradient": "_gradient", "adjoint": "_bar", "tangent": "_dot"}.get(n.origin.role, "")
    name = n.attrs[0] if n.kind is Kind.INPUT else n.origin.name
    return {
        "id": n.uid,
        "what": what(n),
        "name": name,
        "role": n.origin.role,
        "axes": list(axes_of(n)),
        "inputs": [x.uid for x in n.inputs],
        "line": n.origin.line or None,
        "program_line": by_target.get(f"{name}{suffix}") if name and n.kind is not Kind.INPUT else None,
    }


def axes_of(n: Node) -> tuple[str, ...]:
    """The axes of a node as a person reads them: letters of the spec, primed where two look alike."""
    shown: list[str] = []
    for axis in n.axes:
        # A letter that the compiler made is shown as its dim.
        base = axis.dim if axis.name.startswith("_") else axis.name.split("~")[0]
        while base in shown:
            base += "′"
        shown.append(base)
    return tuple(shown)


def what(n: Node) -> str:
    """What a node does, in a word or two."""
    if n.kind is Kind.INPUT:
        return n.op
    if n.kind is Kind.MAP:
        return f"map {n.attrs[0].tree[0]}"
    if n.kind is Kind.REGION:
        loop: AnyRegion = n.attrs[0]
        if isinstance(loop, Pull):
            return "adjoint of a loop, by JAX"
        if isinstance(loop, Solve):
            return f"{loop.op} by {loop.method}, {sum(1 for _ in region_nodes(loop))} nodes"
        if isinstance(loop, Blocks):
            return f"rows of {loop.dim} in parts, {sum(1 for _ in region_nodes(loop))} nodes"
        if isinstance(loop, Either):
            return f"one of two ways, {sum(1 for _ in region_nodes(loop))} nodes"
        return f"loop over {loop.axis.name}, {sum(1 for _ in region_nodes(loop))} nodes"
    return f"{n.kind} {n.op}".strip()


# --- text ---------------------------------------------------------------------------------------------------------


def _overview(found: Mapping[str, Any], seconds: bool) -> list[str]:
    lines = [f"{found['name']}: {found['doc']}" if found["doc"] else found["name"], ""]
    lines += ["Dimensions", *columns([(", ".join(d["letters"]), d["size"]) for d in found["dims"]]), ""]
    lines += ["Arguments"]
    lines += [
        *columns([(a["role"], a["symbol"], f"{a['file']}:{a['line']}", a["note"]) for a in found["arguments"]]),
        "",
    ]
    if found["mathematics"]:
        lines += ["Mathematics, as it was read"]
        lines += [*columns([(f"{m['file']}:{m['line']}", m["formula"]) for m in found["mathematics"]]), ""]
    lines += ["Plan", *(f"  {s}" for s in found["plan"]), ""]
    if found["derivatives"]:
        lines += ["Derivatives"]
        rows = [(f"{t['file']}:{t['line']}", t["what"], "; then ".join(t["how"])) for t in found["derivatives"]]
        lines += [*columns(rows), ""]
    if found["strategies"]:
        lines += ["Strategies", *columns(strategy_rows(found["strategies"])), ""]
    if found["variants"]:
        lines += ["Variants for other sizes"]
        for v in found["variants"]:
            lines += columns([variant_row(v)])
            if v["strategies"]:
                lines += [f"  {x}" for x in columns(strategy_rows(v["strategies"]))]
        lines += [""]
    if found["forms"]:
        lines += ["From the form of the objective"]
        rows = [(f"{found['file']}:{f['line']}", f["what"], text) for f in found["forms"] for text in f["how"]]
        lines += [*columns(rows), ""]
    if found["recurrences"]:
        lines += ["Back through recurrences"]
        rows = [(f"{r['file']}:{r['line']}", ", ".join(r["states"]), told(r)) for r in found["recurrences"]]
        lines += [*columns(rows), ""]
    prepared = ", ".join(found["prepared"]) or "nothing"
    lines += ["Computed once per run, before the first step", f"  {prepared}", ""]
    if found["held"]:
        lines += ["Computed once per stage, before its first step"]
        lines += [*columns([(h["entry"], ", ".join(h["names"])) for h in found["held"]]), ""]
    lines += ["Passes", *(f"  {x}" for x in render_table(found["passes"], seconds=seconds).splitlines()), ""]
    lines += ["Entries of the program", ""]
    return lines


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows as indented columns; a row that would be too wide breaks before its last cell."""
    rows = list(rows)
    if not rows:
        return ["  none"]
    count = len(rows[0])
    limit = 60
    widths = [max((len(r[k]) for r in rows if len(r[k]) <= limit), default=0) for k in range(count - 1)]
    lines = []
    for r in rows:
        line = "  " + "  ".join(cell.ljust(w) for cell, w in zip(r[:-1], widths, strict=True))
        if r[-1] and len(line) + 2 + len(r[-1]) > RULE and len(line) > sum(widths) + 2 * count:
            lines += [line.rstrip(), " " * (2 + widths[0] + 2) + r[-1]]
        else:
            lines.append(f"{line}  {r[-1]}".rstrip())
    return lines


def _entry_text(item: Mapping[str, Any], file: str, *, full: bool) -> list[str]:
    lines = [f"{item['name']} ({item['kind'].replace('_', ' ')})"]
    if item["doc"]:
        lines[0] += f": {item['doc']}"
    lines += [f"  {len(item['nodes'])} nodes", "", *_code(item["lines"], file), ""]
    if full:
        rows = [_row(n, file) for n in item["nodes"]]
        lines += ["  Node by node: what, of which definition, its axes, where in the spec, where in the program"]
        lines += [*columns(rows), ""]
    return lines


def _code(lines: Sequence[Mapping[str, Any]], file: str) -> list[str]:
    width = min(80, max((len(x["code"]) for x in lines), default=0))
    found = []
    for x in lines:
        note = "  ".join(t for t in (x["axes"], f"{file}:{x['line']}" if x["line"] else "") if t)
        found.append(f"  {x['program_line']:>4}  {x['code'].ljust(width)}  {note}".rstrip())
    return found


def _in_variant(record: Mapping[str, Any], file: str) -> list[str]:
    """What a variant has in the place of the entry that is shown."""
    own = record["entry"]
    name, sizes, costs = variant_row(record if own is None else {**record, **own})
    if own is None:
        return [f"The variant {name} ({sizes}) has the same", ""]
    lines = _code(own["lines"], file) or ["  It has no such entry"]
    return [f"In the variant {name} ({sizes}): {costs}", "", *lines, ""]


def _row(n: Mapping[str, Any], file: str) -> tuple[str, ...]:
    name = f"{ROLES.get(n['role'], '')}{n['name']}" if n["name"] else ""
    where = f"{file}:{n['line']}" if n["line"] else ""
    program = f"program.py:{n['program_line']}" if n["program_line"] else ""
    return (n["what"], name, f"[{', '.join(n['axes'])}]", where, program)
