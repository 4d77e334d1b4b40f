"""Errors of a run: coded, with a suggestion, and an exit code for the command line. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any


class RunError(Exception):
    """Something about a run is wrong. `code` is explained in `vspec.runtime.codes`; `line` is a line of the spec."""

    exit_code = 2

    def __init__(
        self, code: str, message: str, help: str = "", line: int | None = None, exit_code: int | None = None
    ) -> None:
        self.code = code
        self.message = message
        self.help = help
        self.line = line
        if exit_code is not None:
            self.exit_code = exit_code
        super().__init__(code, message, help, line)

    def __str__(self) -> str:
        where = f" (spec line {self.line})" if self.line is not None else ""
        tip = f"\n  = help: {self.help}" if self.help else ""
        return f"error[{self.code}]: {self.message}{where}{tip}"


class ArtifactError(RunError):
    """The program folder, a file of it or the place for results is wrong.

    `result` is the `RunResult` of a run that ended well and whose results could not be written.
    """

    exit_code = 2
    result: Any = None


class DataError(RunError):
    """The data does not fit the program."""

    exit_code = 3


class DataWarning(UserWarning):
    """Something about the data that a run goes on with. `code` is explained in `vspec.runtime.codes`; `line` is of the spec."""

    def __init__(self, code: str, message: str, help: str = "", line: int | None = None) -> None:
        self.code, self.message, self.help, self.line = code, message, help, line
        where = f" (spec line {line})" if line is not None else ""
        super().__init__(f"{code}: {message}{where}" + (f"; {help}" if help else ""))


class NumericsError(RunError):
    """NaN or infinity where a number is needed.

    `last_good` are the params of the last step in which all was finite, if one was taken.
    """

    exit_code = 4
    last_good: Mapping[str, Any] | None = None


class RunInterruptedError(RunError):
    """A run was asked to stop, and did so where it can go on later."""

    exit_code = 130


def near(name: str, known: Iterable[str], else_: str = "") -> str:
    """A suggestion: the known name next to `name`, else all of them if few, else `else_`."""
    known = list(known)
    if close := get_close_matches(name, known, n=1):
        return f"did you mean '{close[0]}'?"
    if known and len(known) <= 12:
        return "known are " + ", ".join(known)
    return else_
