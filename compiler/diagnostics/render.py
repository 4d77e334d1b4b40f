"""Diagnostics as people read them: the message, the place, the line of the file with a caret under what is wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.compiler.diagnostics.spans import Span

TAB = 4
WIDEST = 200  # a longer line of the file is shown in part
SHOWN_LINES = 4  # a span over more lines is shown by its first two and its last

RED, YELLOW, BLUE, BOLD, RESET = "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def render_text(
    diagnostics: Iterable[Diagnostic],
    sources: Mapping[str, str] | None = None,
    *,
    color: bool = False,
    summary: bool = True,
    limit: int = 50,
) -> str:
    """The diagnostics as text, separated by blank lines, with a count at the end.

    Args:
        diagnostics: what to show, in this order.
        sources: the text of each file by its path as spans name it; a missing one is shown without its lines.
        color: with ANSI colours.
        summary: with the final line, such as "2 errors, 1 warning".
        limit: at most so many are shown; the final line counts them all.

    Returns:
        The text, ended by a newline; empty when there are no diagnostics.
    """
    found = list(diagnostics)
    if not found:
        return ""
    lines: dict[str, list[str]] = {}
    for file, text in (sources or {}).items():
        lines[file] = text.replace("\r\n", "\n").removeprefix("\ufeff").split("\n")
    paint = _Paint(color)
    blocks = [_render(d, lines.get(d.span.file, []) if d.span else [], paint) for d in found[:limit]]
    hidden = f"; the first {limit} are shown" if len(found) > limit else ""
    if summary or hidden:
        blocks.append(count(found) + hidden)
    return "\n\n".join(blocks) + "\n"


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """How many there are: "2 errors, 1 warning"."""
    severities = [d.severity for d in diagnostics]
    parts = []
    for severity in ("error", "warning"):
        number = severities.count(severity)  # type: ignore[arg-type]
        if number:
            parts.append(f"{number} {severity}{'' if number == 1 else 's'}")
    return ", ".join(parts) or "no errors"


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics in the order of the file, each said once; those without a place come first."""
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: (d.span is not None, d.span or Span("", 0, 0, 0, 0))))


def to_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, object]]:
    """The diagnostics as plain data for machines; without a place, `file` and the positions are null."""
    return [
        {
            "code": d.code,
            "severity": d.severity,
            "message": d.message,
            "file": d.span.file if d.span else None,
            "line": d.span.line if d.span else None,
            "column": d.span.column if d.span else None,
            "end_line": d.span.end_line if d.span else None,
            "end_column": d.span.end_column if d.span else None,
            "label": d.label,
            "help": list(d.help),
        }
        for d in diagnostics
    ]


class _Paint:
    """Colours, or none."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, style: str) -> str:
        return f"{style}{text}{RESET}" if self.on and text else text


def _render(d: Diagnostic, lines: Sequence[str], paint: _Paint) -> str:
    """One diagnostic."""
    tone = RED if d.severity == "error" else YELLOW
    out = [paint(f"{d.severity}[{d.code}]", tone) + paint(f": {printable(d.message)}", BOLD)]
    width = 1
    bar = ""
    if d.span is not None:
        shown = _shown(d.span, len(lines))
        width = len(str(max((n for n in shown if n), default=d.span.line)))
        bar = paint(" " * width + " |", BLUE)
        out.append(paint(" " * width + "--> ", BLUE) + printable(str(d.span)))
        if shown:
            out.append(bar)
        for number in shown:
            if number is None:
                out.append(paint("...", BLUE))
                continue
            text, offset, length = _excerpt(lines[number - 1], number, d.span)
            mark = "^" * length
            if number == shown[-1] and d.label:
                mark += f" {printable(d.label)}"
            head = paint(f"{number:>{width}} |", BLUE)
            out.append(f"{head} {text}".rstrip())
            out.append(f"{bar} {' ' * offset}{paint(mark, tone)}")
    elif d.label:
        out[0] += f" ({printable(d.label)})"
    lead = paint(" " * width + " = ", BLUE) + paint("help", BOLD)
    out.extend(f"{lead}: {printable(tip)}" for tip in d.help)
    return "\n".join(out)


def _shown(span: Span, total: int) -> list[int | None]:
    """The numbers of the lines to show; None stands for lines left out."""
    last = span.end_line
    if span.end_column <= 1 and last > span.line:
        last -= 1  # the span ends before the first character of its last line
    numbers: list[int | None] = [n for n in range(span.line, min(last, total) + 1) if n >= 1]
    if len(numbers) > SHOWN_LINES:
        return [*numbers[:2], None, numbers[-1]]
    return numbers


def _excerpt(line: str, number: int, span: Span) -> tuple[str, int, int]:
    """The part of a line to show, and where under it the carets start and how many there are."""
    indent = len(line) - len(line.lstrip())
    first = span.column - 1 if number == span.line else indent
    last = span.end_column - 1 if number == span.end_line else len(line.rstrip())
    first = max(min(first, len(line)), 0)
    last = max(min(last, len(line)), first)
    cells = [_cell(c) for c in line]
    widths = [_width(c, cell) for c, cell in zip(line, cells)]
    offset = sum(widths[:first])
    length = max(sum(widths[first:last]), 1)
    if sum(widths) <= WIDEST:
        return "".join(cells), offset, length
    # Cut both ends around what is wrong; the marks "..." tell where.
    begin = max(first - WIDEST // 2, 0)
    end = begin
    used = 0
    while end < len(line) and used + widths[end] <= WIDEST:
        used += widths[end]
        end += 1
    before, after = "..." if begin else "", "..." if end < len(line) else ""
    offset = len(before) + sum(widths[begin:first])
    return before + "".join(cells[begin:end]) + after, offset, min(length, max(len(before) + used - offset, 1))


def _cell(char: str) -> str:
    """What is shown for a character."""
    if char == "\t":
        return " " * TAB
    return "\N{REPLACEMENT CHARACTER}" if UNPRINTABLE.match(char) else char


def _width(char: str, cell: str) -> int:
    """How many columns of a terminal a character takes."""
    if char == "\t":
        return TAB
    if cell.isascii():
        return 1
    if unicodedata.combining(cell) or unicodedata.category(cell) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(cell) in ("W", "F") else 1


def printable(text: str) -> str:
    """`text` with control characters escaped: names come from files, and must not steer the terminal."""
    return UNPRINTABLE.sub(lambda m: f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", text)
