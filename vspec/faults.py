"""From an exception to coded diagnostics and an exit code. What is not an error of the user is reported as ours."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from vspec.codes import INTERNAL
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import nearest
from vspec.runtime.errors import DataWarning, RunError

OK, CLAIM_FAILED, WRONG, DATA, NUMERICS, OURS, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 4, 70, 130, 141
UNFORMATTED = 1  # of `vspec fmt --check`


class CommandError(Exception):
    """A command cannot go on: what to tell, and the exit code."""

    def __init__(self, diagnostics: Iterable[Diagnostic], exit_code: int) -> None:
        self.diagnostics = tuple(diagnostics)
        self.exit_code = exit_code
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in self.diagnostics))


@dataclass(frozen=True, slots=True)
class Fault:
    """What the command line says about an exception. `trace` is shown only when asked for (VSPEC_DEBUG=1)."""

    diagnostics: tuple[Diagnostic, ...]
    exit_code: int
    trace: str = ""


def refuse(code: str, message: str, *help: str) -> SpecError:
    """An error without a place in a file; empty help lines are dropped."""
    return SpecError([Diagnostic(code, message, help=tuple(h for h in help if h))])


@contextmanager
def blame(spec: Path | None) -> Iterator[None]:
    """Give errors of a run their place in the spec: the runtime knows the line, the caller knows the file."""
    try:
        yield
    except RunError as error:
        raise CommandError([of_run_error(error, spec)], error.exit_code) from error


def of_run_error(error: RunError, spec: Path | None) -> Diagnostic:
    """A runtime error as a diagnostic, its line underlined where `spec` can be read."""
    tips = (error.help,) if error.help else ()
    return Diagnostic(error.code, error.message, _line_span(spec, error.line), help=tips)


def of_data_warning(warning: DataWarning, spec: Path | None) -> Diagnostic:
    """A warning about the data as a diagnostic."""
    tips = (warning.help,) if warning.help else ()
    span = _line_span(spec, warning.line)
    return Diagnostic(warning.code, warning.message, span, help=tips, severity="warning")


def _line_span(spec: Path | None, line: int | None) -> Span | None:
    if spec is None or line is None:
        return None
    try:
        text = spec.read_text(encoding="utf-8").split("\n")[line - 1]
    except (OSError, ValueError, IndexError):
        return None
    text = re.sub(r"\s+#.*", "", text).rstrip()  # the comment is not what is wrong
    first = len(text) - len(text.lstrip())
    return Span(str(spec), line, first + 1, line, max(len(text), first + 1) + 1)


def fault(error: BaseException) -> Fault:
    """What to say about an exception that reached the command line, and with which code to exit."""
    if isinstance(error, SpecError):
        return Fault(error.diagnostics, WRONG)
    if isinstance(error, CommandError):
        return Fault(error.diagnostics, error.exit_code)
    if isinstance(error, RunError):
        return Fault((of_run_error(error, None),), error.exit_code)
    if isinstance(error, click.ClickException):
        return Fault((_of_click(error),), WRONG)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Fault((), INTERRUPTED)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "vspec").startswith("vspec"):
        return Fault(
            refuse("VS0827", f"the package '{error.name}' is not installed", "run 'vspec doctor'").diagnostics, WRONG
        )
    return _ours(error)


def _of_click(error: click.ClickException) -> Diagnostic:
    """Click's own errors in our style: lower case, no full stop, one help line."""
    message = error.format_message().strip().rstrip(".")
    message = re.split(r"\.? (?:Did you mean|\(Possible|\(Did you mean)", message)[0]
    guess = _meant(error, message)
    tips = [f"did you mean '{guess}'?"] if guess else []
    context = getattr(error, "ctx", None)
    if context is not None:
        tips.append(f"see '{context.command_path} --help'")
    return Diagnostic("VS0820", message[:1].lower() + message[1:], help=tuple(tips))


def _meant(error: click.ClickException, message: str) -> str | None:
    """The command, option or value that was probably meant."""
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    if isinstance(error, click.NoSuchOption):
        known = [name for p in context.command.params for name in (*p.opts, *p.secondary_opts)] if context else []
        return nearest(error.option_name, known) or next(iter(error.possibilities or ()), None)
    if unknown := re.match(r"No such command '(.*)'", message):
        if context is None or not isinstance(context.command, click.Group):
            return None
        return nearest(unknown[1], context.command.list_commands(context))
    if (wrong := re.search(r"'([^']*)' is not one of", message)) and param is not None:
        return nearest(wrong[1], map(str, getattr(param.type, "choices", ())))
    return None


def _ours(error: BaseException) -> Fault:
    what = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    tips = ["this is a bug in vspec, not in your spec: please report it, with the spec"]
    debugging = os.environ.get("VSPEC_DEBUG", "") not in ("", "0")
    if not debugging:
        tips.append("VSPEC_DEBUG=1 shows where it happened")
    trace = "".join(traceback.format_exception(error)) if debugging else ""
    return Fault((Diagnostic(INTERNAL, f"internal error: {what}", help=tuple(tips)),), OURS, trace)
