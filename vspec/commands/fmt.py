"""`vspec fmt`: specs in their canonical form."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vspec import output
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.faults import OK, OURS, UNFORMATTED, WRONG, refuse
from vspec.files import replace_file
from vspec.locate import own_specs
from vspec.options import format_option

STDIN = "-"


@click.command(short_help="Write specs in their canonical form.")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC|FOLDER|-...")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@format_option
def fmt(specs: tuple[str, ...], check: bool, diff: bool, format_: str) -> int:
    """Write specs in their canonical form: one layout, the same reading, every comment.

    Sections stand in the order of the language and are indented by two blanks; {...} stays on its line where that has no
    more than 120 columns; quotes stand only where plain YAML needs them; expressions have blanks around + - % and
    comparisons, none around * / **, and no needless parentheses. Line breaks in values, the order within sections and
    single empty lines are the author's. '-' reads stdin and writes stdout.

    A spec need not be right to be formatted, but must be YAML. Files are replaced as a whole, or not at all. Exits with 1
    if --check finds a file that would change, with 2 if one cannot be read.

    \b
    Example:
      vspec fmt fit.yaml
      vspec fmt --check specs/
      vspec fmt --diff fit.yaml

    With --format json: {"files": [{"path", "ok", "changed", "diff", "text"}], ...}; "diff" is there with --diff, "text"
    for stdin.
    """
    if STDIN in specs and len(specs) > 1:
        raise refuse("VS0831", "'-' stands for stdin and cannot be named beside files", "format it on its own")
    results = [from_stdin()] if STDIN in specs else [from_file(path) for path in own_specs(specs)]
    reads_stdin = STDIN in specs
    found: list[Diagnostic] = [d for result in results for d in result.diagnostics]
    if not (check or diff or reads_stdin):
        for result in results:
            if result.changed:
                replace_file(Path(result.path), result.after)
    code = max(result.code for result in results)
    if code == OK and check and any(result.changed for result in results):
        code = UNFORMATTED
    if format_ == "json":
        output.reply("fmt", code, found, files=[result.facts(diff, reads_stdin and not check) for result in results])
        return code
    for result in results:
        if diff:
            click.echo(result.diff(), nl=False)
        elif reads_stdin and not check and result.code == OK:
            click.echo(result.after, nl=False)
    if not reads_stdin or check:
        output.note(summary(results, check or diff))
    output.show(found, texts={result.path: result.before for result in results})
    return code


@dataclass(frozen=True, slots=True)
class Result:
    """One file before and after, or why it could not be formatted."""

    path: str
    before: str
    after: str
    diagnostics: tuple[Diagnostic, ...] = ()
    code: int = OK

    @property
    def changed(self) -> bool:
        """Whether the file differs from its canonical form."""
        return self.code == OK and self.before != self.after

    def diff(self) -> str:
        """What changes, as a unified diff; empty if nothing does."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        lines = difflib.unified_diff(before, after, self.path, self.path)
        return "".join(x if x.endswith("\n") else f"{x}\n\\ No newline at end of file\n" for x in lines)

    def facts(self, diff: bool, text: bool) -> dict[str, Any]:
        """The result as plain data."""
        found: dict[str, Any] = {"path": self.path, "ok": self.code == OK, "changed": self.changed}
        if diff:
            found["diff"] = self.diff() if self.code == OK else ""
        if text and self.code == OK:
            found["text"] = self.after
        return found


def from_file(path: Path) -> Result:
    """A file with its canonical form; nothing is written."""
    from vspec.compiler.source.read import read_text

    try:
        return formatted(read_text(str(path)), str(path))
    except SpecError as error:
        return Result(str(path), "", "", error.diagnostics, WRONG)


def from_stdin() -> Result:
    """What stdin holds, with its canonical form."""
    from vspec.compiler.source.read import MAX_BYTES, decoded

    try:
        return formatted(decoded(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>"), "<stdin>")
    except SpecError as error:
        return Result("<stdin>", "", "", error.diagnostics, WRONG)


def formatted(text: str, path: str) -> Result:
    """A text with its canonical form, or with what is wrong with it."""
    from vspec.compiler.format.format import ChangedError, format_text

    try:
        return Result(path, text, format_text(text, path))
    except SpecError as error:
        return Result(path, text, text, error.diagnostics, WRONG)
    except ChangedError as error:
        tip = "this is a bug in vspec, not in your spec: please report it, with the spec"
        said = Diagnostic("VS0839", f"formatting '{path}' would change it: {error}", help=("it is left as it is", tip))
        return Result(path, text, text, (said,), OURS)


def summary(results: list[Result], only_told: bool) -> str:
    """A line for each file that changes, and how many there are."""
    changed = [result.path for result in results if result.changed]
    verb = "would be formatted" if only_told else "formatted"
    lines = [f"{path}: {verb}" for path in changed]
    same = sum(result.code == OK and not result.changed for result in results)
    wrong = sum(result.code != OK for result in results)
    counts = [(len(changed), verb), (same, "unchanged"), (wrong, "could not be read")]
    lines.append(", ".join(f"{n} file{'s' * (n != 1)} {what}" for n, what in counts if n))
    return "\n".join(lines)
