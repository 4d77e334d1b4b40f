"""What a command says: results on stdout, diagnostics and progress on stderr, one JSON object where that was asked for."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.compiler.diagnostics.render import render_text, to_json

PLAIN_WIDTH = 120


def coloured(stream: TextIO) -> bool:
    """Whether to colour: on a terminal, unless NO_COLOR is set; FORCE_COLOR overrules."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def say(text: str = "") -> None:
    """A line of the result, on stdout."""
    click.echo(text)


def note(text: str) -> None:
    """A line about progress, on stderr."""
    click.echo(text, err=True)


def show(diagnostics: Iterable[Diagnostic], *, summary: bool = True, texts: Mapping[str, str] | None = None) -> None:
    """Diagnostics for people, on stderr, with the lines of the files they point at; `texts`: of what is no file."""
    found = list(diagnostics)
    files = {d.span.file for d in found if d.span is not None}
    sources = {file: text for file in files if (text := (texts or {}).get(file) or _text(file)) is not None}
    text = render_text(found, sources, color=coloured(sys.stderr), summary=summary)
    if text:
        click.echo(text, err=True, nl=False, color=True)


def _text(file: str) -> str | None:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def reply(command: str, exit_code: int, diagnostics: Iterable[Diagnostic] = (), **fields: Any) -> None:
    """The one JSON object of a command, on stdout.

    Every command has the keys `command`, `ok`, `exit_code` and `diagnostics`; `fields` are its own.
    """
    envelope = {"command": command, "ok": exit_code == 0, "exit_code": exit_code, "diagnostics": to_json(diagnostics)}
    click.echo(json.dumps(plain({**envelope, **fields}), ensure_ascii=False, indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """`value` as JSON can say it: not-a-number becomes null, infinities the strings "inf" and "-inf", a complex
    number the list of its parts."""
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else str(value)
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = (), title: str = "") -> None:
    """A table on stdout. Columns named in `right` are numbers. Imports Rich: not for commands that must be quick."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numbers = set(right)
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    colour = coloured(sys.stdout)
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    console = Console(width=width, force_terminal=colour, no_color=not colour, highlight=False)
    with console.capture() as captured:
        console.print(made)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    click.echo("\n".join(lines).strip("\n") + "\n", color=True)  # what the capture holds is coloured already, or not


STYLES = {"✓": "bold green", "✗": "bold red"}


def columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> str:
    """Rows as aligned columns, the last one free: for short lists that need no table."""
    listed = [list(row) for row in rows]
    widths = [max(len(row[k]) for row in listed) for k in range(len(listed[0]) - 1)] if listed else []
    return "\n".join(
        (indent + "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[-1]])).rstrip() for row in listed
    )
