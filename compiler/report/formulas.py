"""The mathematics of a whole spec: its definitions, recurrences and objectives as formulas, in the spec's own order."""

from __future__ import annotations

from vspec.compiler.language.expr import Affine, At, Element, Subscript
from vspec.compiler.language.spec import Definition, Dim, Recurrence, Spec
from vspec.compiler.report.latex import Latex
from vspec.compiler.report.math import Printer
from vspec.compiler.report.mathml import MathML
from vspec.compiler.report.notation import Notation, Unicode, lowered


def names_of(spec: Spec) -> list[str]:
    """Every name that formulas of a spec may mention."""
    named = [*spec.constants, *spec.data, *spec.params, *spec.objectives, *spec.outputs]
    for q in spec.equations:
        named += [s.name for s in q.states] + [d.name for d in q.inner] if isinstance(q, Recurrence) else [q.name]
    return list(dict.fromkeys(named))


def printer(spec: Spec, style: str = "unicode", *, bounds: bool | None = None) -> Printer:
    """A printer for the formulas of a spec. `style` is unicode, latex or mathml; ValueError otherwise.

    Sums show their bounds in LaTeX and MathML unless told otherwise.
    """
    notation: Notation
    if style == "unicode":
        own = [x for x in spec.letters if not x.startswith("_")]
        notation = Unicode(brackets=any(lowered(x) is None for x in own))
    elif style == "latex":
        notation = Latex()
    elif style == "mathml":
        notation = MathML()
    else:
        raise ValueError(f"no such style: {style}; there are unicode, latex, mathml")
    shown = style != "unicode" if bounds is None else bounds
    return Printer(notation, names=names_of(spec), letters=spec.letters, dims=spec.dims, bounds=shown)


def equations(spec: Spec, style: str = "unicode", *, hidden: bool = False) -> list[tuple[str, int, str]]:
    """The mathematics of a spec in its own order: (name, line, formula) of definitions, recurrences, objectives."""
    p = printer(spec, style)
    found: list[tuple[str, int, str]] = []

    def define(d: Definition) -> None:
        # Arguments and results of functions that have names of their own are read by the formulas.
        made = d.name.startswith("_") and not d.name.startswith("_out_")
        if hidden or made or not d.hidden or d.name in spec.objectives:
            found.append((d.name, d.span.line, p.equation(d.name, [Affine(x) for x in d.letters], d.body)))

    for q in spec.equations:
        if isinstance(q, Definition):
            define(q)
            continue
        for s in q.states:
            start: list[Subscript] = [At(0) if k == s.time else Affine(x) for k, x in enumerate(s.letters)]
            found.append((s.name, s.init.span.line, p.equation(s.name, start, s.init)))
        for d in q.inner:
            define(d)
        for s in q.states:
            after: list[Subscript] = [Affine(x, 1, int(k == s.time)) for k, x in enumerate(s.letters)]
            found.append((s.name, s.step.span.line, p.equation(s.name, after, s.step)))
    for name, o in spec.objectives.items():
        # An objective that something else reads is a definition as well, and stands among them.
        if isinstance(o.body, Element) and o.body.name == name:
            continue
        found.append((name, o.span.line, p.equation(name, (), o.body)))
    return found


def size_text(dim: Dim, p: Printer) -> str:
    """The size of a dim: a number, a formula of other sizes, or that the data decides it."""
    if dim.size is None:
        return "from the data"
    return str(dim.size) if isinstance(dim.size, int) else p.expression(dim.size)
