"""A run's result and a program as pieces of HTML that notebooks show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vspec.runtime.pages import sections
from vspec.runtime.pages.html import Child, Html, folded, fragment, inside, table, tag

if TYPE_CHECKING:
    from vspec.runtime.program import Program
    from vspec.runtime.run import RunResult


def result_html(result: RunResult) -> Html:
    """A run: whether its claims hold, how its stages ended, the curves, the outputs and the params."""
    claims = [c.as_dict() for c in result.claims]
    stages = [s.as_dict() for s in result.stages]
    name = f"{result.name}, run {result.run}" if result.run else result.name
    took = tag("span", f" {result.timings.get('total', 0.0):.2f} s", class_="note")
    curves = sections.metrics(result.metrics, stages)
    parts: list[Child] = [
        tag("h3", name, took),
        tag("p", sections.verdict(claims)),
        sections.claims(claims, linked=False),
        sections.stages(stages),
        folded("Curves", curves, open=True) if curves else None,
        sections.arrays(result.outputs, {}, "output"),
        sections.arrays(result.params, {}, "param"),
    ]
    return fragment(*parts)


def program_html(program: Program, *more: Child) -> Html:
    """A program: its sizes, and its entries with what they take; `more` stands between head and entries."""
    dims: dict[str, Any] = program.manifest["dims"]
    sizes = ", ".join(f"{d} = {v['size'] if v['size'] is not None else 'from the data'}" for d, v in dims.items())
    name = f"{program.name}, run {program.run}" if program.run else program.name
    rows: list[list[Child]] = [
        [tag("code", e.name), e.kind.replace("_", " "), ", ".join(_argument(a) for a in e.arguments)]
        for e in program.entries.values()
    ]
    head = tag(
        "h3", "Program ", name, tag("span", f" {program.precision}{'; ' if sizes else ''}{sizes}", class_="note")
    )
    doc = program.manifest.get("doc")
    entries = folded(f"Entries ({len(rows)})", table(["entry", "gives", "takes"], rows), open=not more)
    return fragment(head, tag("p", doc) if doc else None, inside(more), entries)


def _argument(a: Any) -> str:
    return f"{a.name}[{', '.join(a.axes)}]" if a.axes else str(a.name)
