"""Where warnings are gathered: each once at its place, with the words of the file for what it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.compiler.diagnostics.spans import Span

LONGEST = 48


@dataclass(slots=True)
class Report:
    """Gathers warnings of the chosen level; a second one with the same code at the same place is dropped."""

    text: str
    pedantic: bool
    found: dict[tuple[str, Span], Diagnostic] = field(default_factory=dict)
    _lines: list[str] = field(default_factory=list)

    def warn(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        label: str = "",
        help: str | Iterable[str] = (),
        pedantic: bool = False,
    ) -> None:
        """Record a warning; with `pedantic` only where that level is asked for."""
        if pedantic and not self.pedantic:
            return
        tips = (help,) if isinstance(help, str) else tuple(help)
        diagnostic = Diagnostic(code, message, span, label, tuple(t for t in tips if t), "warning")
        self.found.setdefault((code, span), diagnostic)

    def quote(self, span: Span) -> str:
        """What stands in the file at a span, on one line and in quotes, shortened if it is long."""
        if not self._lines:
            self._lines = self.text.split("\n")
        rows = self._lines[span.line - 1 : span.end_line]
        if not rows:
            return "this"
        if len(rows) == 1:
            shown = rows[0][span.column - 1 : span.end_column - 1]
        else:
            shown = " ".join((rows[0][span.column - 1 :], *rows[1:-1], rows[-1][: span.end_column - 1]))
        shown = re.sub(r"\s+", " ", shown).strip()
        return f"'{shown if len(shown) <= LONGEST else shown[: LONGEST - 4] + ' ...'}'"
