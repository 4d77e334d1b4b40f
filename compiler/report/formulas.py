"""The mathematics of a whole spec: its definitions, recurrences and objectives as formulas, in the spec's own order."""

from __future__ import annotations

from typing import NamedTuple

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.expr import Affine, At, Element, Pointwise, Subscript
from vspec.compiler.language.spec import Definition, Dim, Recurrence, Spec
from vspec.compiler.report.latex import Latex
from vspec.compiler.report.math import Printer
from vspec.compiler.report.mathml import MathML
from vspec.compiler.report.notation import Notation, Unicode, lowered


def names_of(spec: Spec) -> list[str]:
    """Every name that formulas of a spec may mention."""
    named = [*spec.constants, *spec.data, *spec.params, *spec.objectives, *spec.outputs]
    for q in spec.equations:
        named += q.names
    return list(dict.fromkeys(named))


def notation(spec: Spec, style: str) -> Notation:
    """How formulas of a spec look: unicode, latex or mathml; ValueError otherwise."""
    if style == "unicode":
        own = [x for x in spec.letters if not x.startswith("_")]
        return Unicode(brackets=any(lowered(x) is None for x in own))
    if style == "latex":
        return Latex()
    if style == "mathml":
        return MathML()
    raise ValueError(f"no such style: {style}; there are unicode, latex, mathml")


def printer(spec: Spec, style: str = "unicode", *, bounds: bool | None = None) -> Printer:
    """A printer for the formulas of a spec. `style` is unicode, latex or mathml; ValueError otherwise.

    Sums show their bounds in LaTeX and MathML unless told otherwise.
    """
    shown = style != "unicode" if bounds is None else bounds
    return Printer(notation(spec, style), names=names_of(spec), letters=spec.letters, dims=spec.dims, bounds=shown)


class Formula(NamedTuple):
    """One formula: the name that it gives a value, the line where it stands, itself, and the imported file, if any."""

    name: str
    line: int
    formula: str
    file: str = ""


def equations(spec: Spec, style: str = "unicode", *, hidden: bool = False) -> list[Formula]:
    """The mathematics of a spec in its own order: definitions, recurrences, objectives."""
    p = printer(spec, style)
    found: list[Formula] = []

    def add(name: str, span: Span, formula: str) -> None:
        found.append(Formula(name, span.line, formula, spec.file(span)))

    def define(d: Definition) -> None:
        # Arguments and results of functions that have names of their own are read by the formulas.
        made = d.name.startswith("_") and not d.name.startswith("_out_")
        if hidden or made or not d.hidden or d.name in spec.objectives:
            add(d.name, d.span, p.equation(d.name, [Affine(x) for x in d.letters], d.body))

    def equation(q: Definition | Recurrence) -> None:
        if isinstance(q, Definition):
            define(q)
            return
        for s in q.states:
            start: list[Subscript] = [At(0) if k == s.time else Affine(x) for k, x in enumerate(s.letters)]
            add(s.name, s.init.span, p.equation(s.name, start, s.init))
        for inner in q.inner:
            equation(inner)
        for s in q.states:
            after: list[Subscript] = [Affine(x, 1, int(k == s.time)) for k, x in enumerate(s.letters)]
            add(s.name, s.step.span, p.equation(s.name, after, s.step))

    for q in spec.equations:
        equation(q)
    for name, o in spec.objectives.items():
        # An objective that something else reads is a definition as well, and stands among them.
        if isinstance(o.body, Element) and o.body.name == name:
            continue
        add(name, o.span, p.equation(name, (), o.body))
    for c in spec.constraints.values():
        for r in c.relations:
            relation = Pointwise(span=r.span, dtype="boolean", op=r.op, args=(r.left, r.right))
            every = f" for every {', '.join(c.letters)}" if c.letters and style == "unicode" else ""
            add(c.name, r.span, p.expression(relation) + every)
    return found


def size_text(dim: Dim, p: Printer) -> str:
    """The size of a dim: a number, a formula of other sizes, or that the data decides it."""
    if dim.size is None:
        return "from the data"
    return str(dim.size) if isinstance(dim.size, int) else p.expression(dim.size)
