"""Warnings that only a build can give: what an output rests on is known when expectations are made.

They are kept in the reports of a program, so that a build that is up to date says them, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.policy import DEFAULT, Policy
from vspec.compiler.diagnostics.spans import Span

if TYPE_CHECKING:
    from vspec.compiler.pipeline import Compiled


def drawn(compiled: Compiled) -> tuple[Diagnostic, ...]:
    """The warnings that only the calculus can give: outputs and claims that rest on an expectation by one draw (VS0917)."""
    from vspec.compiler.language.lint import lint_drawn
    from vspec.compiler.source.load import parse_document

    singles = compiled.before.notes.get("singles", frozenset())
    if not singles:
        return ()
    spec = compiled.spec
    return lint_drawn(spec, parse_document(spec.text, spec.path), lambda e: e.place in singles)


def as_data(warnings: Sequence[Diagnostic]) -> list[list[Any]]:
    """Warnings as `report.json` has them; `kept` reads them."""
    return [
        [d.code, d.message, d.span.line, d.span.column, d.span.end_line, d.span.end_column, d.label, *d.help]
        for d in warnings
        if d.span is not None
    ]


def kept(directory: Path, path: str) -> list[Diagnostic]:
    """What a build that is up to date had to say, by its reports; what they cannot be read for is not said."""
    found = []
    for file in (directory / "report.json", *sorted(directory.glob("runs/*/report.json"))):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))["warnings"]
            found += [
                Diagnostic(code, message, Span(path, *place), label, tuple(tips), "warning")
                for code, message, *place, label, tips in ((*t[:7], t[7:]) for t in told)
            ]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def joined(
    warnings: Sequence[Diagnostic], more: Sequence[Diagnostic], policy: Policy = DEFAULT
) -> tuple[Diagnostic, ...]:
    """The warnings of a check and those of a build, each once. Raises SpecError where warnings are errors."""
    known = {(d.code, d.span) for d in warnings}
    fresh = {(d.code, d.span): d for d in more if (d.code, d.span) not in known}
    judged = policy.judge(fresh.values())
    if any(d.severity == "error" for d in judged):
        raise SpecError(judged)
    return (*warnings, *judged)
