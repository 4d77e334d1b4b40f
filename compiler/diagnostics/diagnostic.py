"""One finding about a spec, and the sink that gathers several before it gives up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from vspec.compiler.diagnostics.spans import Span

LONGEST = 400
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A coded, located message. `label` stands beside the caret; each of `help` is a suggestion."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    help: tuple[str, ...] = ()
    severity: Severity = "error"

    def __post_init__(self) -> None:
        # A key may go over several lines, and a value over thousands of characters; what is said about them stands on one.
        if "\n" in self.message or len(self.message) > LONGEST:
            line = " ".join(self.message.split())
            object.__setattr__(self, "message", line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} ...")


class SpecError(Exception):
    """The spec is wrong; carries every diagnostic that was found. The command line exits with 2."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in self.diagnostics))


@dataclass(slots=True)
class Sink:
    """Gathers diagnostics, so that one run reports several mistakes."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(
        self, code: str, message: str, span: Span | None = None, *, label: str = "", help: str | Iterable[str] = ()
    ) -> None:
        """Record an error; `help` is one suggestion or several."""
        tips = (help,) if isinstance(help, str) else tuple(help)
        self.diagnostics.append(Diagnostic(code, message, span, label, tuple(t for t in tips if t), "error"))

    def warning(
        self, code: str, message: str, span: Span | None = None, *, label: str = "", help: str | Iterable[str] = ()
    ) -> None:
        """Record a warning; warnings never stop a build."""
        tips = (help,) if isinstance(help, str) else tuple(help)
        self.diagnostics.append(Diagnostic(code, message, span, label, tuple(t for t in tips if t), "warning"))

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The errors so far, warnings left out."""
        return tuple(d for d in self.diagnostics if d.severity == "error")

    def raise_if_errors(self) -> None:
        """Raise `SpecError` with everything gathered if at least one error is among it."""
        if self.errors:
            raise SpecError(self.diagnostics)
