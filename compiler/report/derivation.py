"""From formula to emitted line: each entry of a program as the mathematics that its lines compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vspec.compiler.emit.entry import EmittedEntry
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.language.expr import Affine, Derivative, Element, Expr
from vspec.compiler.report.explain import what
from vspec.compiler.report.formulas import names_of, notation
from vspec.compiler.report.lines import emitted_lines
from vspec.compiler.report.math import Printer
from vspec.compiler.report.readback import NOWHERE, Reader, TooLong

if TYPE_CHECKING:
    from vspec.compiler.pipeline import Compiled

ROLES = {
    "adjoint": "reverse sweep",
    "tangent": "forward sweep",
    "gradient": "gradient",
    "hessian": "Hessian",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One value that an entry computes.

    Attributes:
        target: its name in the program, '' for what is returned as it stands.
        formula: its formula, or in words what computes it where there is none.
        words: whether `formula` is words.
        line: where in the spec it comes from, 0 if nowhere.
        file: the imported file in which that line stands, '' for the spec itself.
        program_line: its line in program.py, None where that is not known.
        role: how a derivative came about, '' for a value of the spec.
    """

    target: str
    formula: str
    words: bool
    line: int
    file: str
    program_line: int | None
    role: str


@dataclass(frozen=True, slots=True)
class Derived:
    """An entry with the formulas of its lines in their order; `results` say what it returns."""

    name: str
    kind: str
    doc: str
    steps: tuple[Step, ...]
    results: tuple[str, ...]


def derivation(compiled: Compiled, style: str = "mathml") -> list[Derived]:
    """Every entry of a program. `style` is unicode, latex or mathml."""
    lines = emitted_lines(compiled.emitted.text)
    emitted = {e.name: e for e in compiled.emitted.entries}
    return [
        _entry(compiled, e, emitted[e.name], lines.get(emitted[e.name].function, []), style)
        for e in compiled.graph.entries
    ]


def _entry(
    compiled: Compiled, entry: Entry, emitted: EmittedEntry, lines: list[dict[str, object]], style: str
) -> Derived:
    at = {str(x["target"]): x["program_line"] for x in lines if x["target"]}
    last = lines[-1]["program_line"] if lines else None
    nodes = topological(r.node for r in entry.results)
    names = _names(nodes, emitted.targets)
    printer = Printer(
        notation(compiled.spec, style),
        names=[*names_of(compiled.spec), *names.values()],
        letters=compiled.spec.letters,
        dims=compiled.spec.dims,
    )
    reader = Reader(compiled.spec, names)
    steps = []
    for n in nodes:
        target = names.get(n.uid)
        # A size that the text needs a name for is no step of the mathematics.
        if target is not None and not (n.kind is Kind.CONST and n.op == "size"):
            steps.append(_step(n, target, reader, printer, at.get(target)))
    results = []
    for r in entry.results:
        left = _meaning(entry, r, reader)
        if r.node.uid not in names and r.node.kind is not Kind.INPUT:
            steps.append(_step(r.node, "", reader, printer, last, left))
        elif isinstance(left, Derivative):
            name = names.get(r.node.uid, str(r.node.attrs[0]) if r.node.kind is Kind.INPUT else "")
            results.append(_equation(printer, left, Element(name, _letters(reader, r.node), span=NOWHERE)))
    steps.sort(key=lambda s: s.program_line or 0)
    return Derived(entry.name, entry.kind, entry.doc, tuple(steps), tuple(results))


def _names(nodes: list[Node], targets: Mapping[int, str]) -> dict[int, str]:
    """The nodes that have a line of their own: of several under one name the first, which the others only rename."""
    found: dict[int, str] = {}
    taken: set[str] = {str(n.attrs[0]) for n in nodes if n.kind is Kind.INPUT}
    for n in nodes:
        target = targets.get(n.uid, "")
        if target and target not in taken and n.kind not in (Kind.INPUT, Kind.REGION):
            found[n.uid] = target
            taken.add(target)
    return found


def _letters(reader: Reader, node: Node) -> tuple[Affine, ...]:
    return tuple(s for s in reader.places(node.axes).values() if isinstance(s, Affine))


def _step(n: Node, target: str, reader: Reader, printer: Printer, line: object, left: Expr | None = None) -> Step:
    words = True
    if n.kind in (Kind.ITEM, Kind.REGION):
        text = what(n.inputs[0] if n.kind is Kind.ITEM else n)
    else:
        places = reader.places(n.axes)
        head = left or Element(target, tuple(places[a] for a in n.names), span=NOWHERE)
        try:
            text, words = _equation(printer, head, reader.formula(n, places)), False
        except (TooLong, RecursionError):
            text = f"{what(n)}, a formula too long to be shown"
    origin = n.origin
    return Step(
        target,
        text,
        words,
        origin.line,
        origin.file,
        line if isinstance(line, int) else None,
        ROLES.get(origin.role, ""),
    )


def _equation(printer: Printer, left: Expr, right: Expr) -> str:
    return printer.n.equation(printer.expression(left), printer.expression(right))


def _meaning(entry: Entry, result: Result, reader: Reader) -> Expr:
    """What a result is: the objective, its derivative by what the path names, or a value of that name."""
    keys = [p for p in result.path if isinstance(p, str)]
    axes = list(reader.places(result.node.axes).values())
    inputs = reader.spec.params
    of = Element(entry.of, span=NOWHERE)
    derivative = entry.kind in ("gradient", "value_and_gradient", "hessian", "newton") and entry.of
    if derivative and (keys or entry.kind in ("gradient", "hessian")) and all(k in inputs for k in keys):
        wrt: list[Element] = []
        for key in keys or _alone(entry, reader, len(axes)):
            rank = len(inputs[key].letters)
            wrt.append(Element(key, tuple(axes[:rank]), span=NOWHERE))
            axes = axes[rank:]
        if wrt and not axes:
            return Derivative(of, tuple(wrt), span=NOWHERE)
    name = ".".join(keys) or (
        entry.of if entry.of and entry.kind in ("objective", "value_and_gradient", "newton") else entry.name
    )
    return Element(name, tuple(reader.places(result.node.axes).values()), span=NOWHERE)


def _alone(entry: Entry, reader: Reader, rank: int) -> list[str]:
    """The one param by which an entry without keys is the derivative, as often as its axes tell; nothing if that is open."""
    order = 2 if entry.kind == "hessian" else 1
    found = [p for p in reader.spec.params if len(reader.spec.params[p].letters) * order == rank]
    return found * order if len(found) == 1 and len(reader.spec.params) == 1 else []
