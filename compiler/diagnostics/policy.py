"""What is done about warnings: which are looked for, and whether they are shown, refused or dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from vspec.compiler.diagnostics.diagnostic import Diagnostic

Mode = Literal["show", "error", "none"]


@dataclass(frozen=True, slots=True)
class Policy:
    """`pedantic`: look for what is only perhaps a mistake, too. `mode`: show warnings, make errors of them, or drop them."""

    pedantic: bool = False
    mode: Mode = "show"

    def judge(self, warnings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """The warnings as the mode has them: as they are, as errors, or none."""
        if self.mode == "none":
            return ()
        if self.mode == "error":
            return tuple(replace(d, severity="error") if d.severity == "warning" else d for d in warnings)
        return tuple(warnings)


DEFAULT = Policy()
