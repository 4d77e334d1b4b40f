"""`# vspec: allow VS0904`: comments that silence warnings on their line, or on the entry below them.

A comment beside an entry, or on a line of its own above one, holds for the whole of that entry, over how many lines its
value may go. Reasons are welcome: what follows the codes after a colon is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.lint.report import Report
from vspec.compiler.source.comments import comments
from vspec.compiler.source.document import Document, Mapping, Scalar, Sequence, Value

_DIRECTIVE = re.compile(r"#+[ \t]*vspec[ \t]*:[ \t]*([A-Za-z]*)(?![\w-])[ \t]*([^:]*)")
_LOOSE = re.compile(r"#+[ \t]*vspec[ \t]*:", re.IGNORECASE)
_CODE = re.compile(r"[^\s,]+")
KEPT = frozenset({"VS0915", "VS0916"})
"""The warnings about these comments themselves, which no comment silences."""
BUILT = frozenset({"VS0917"})
"""The warnings that a build may give where a check gives none, so that it cannot say that a comment is of no use."""


@dataclass(slots=True)
class _Silencer:
    """A comment: the codes with their places, the lines it holds for, the codes that were of use."""

    codes: list[tuple[str, Span]]
    first: int
    last: int
    used: set[str] = field(default_factory=set)


def silenced(
    document: Document, warnings: Iterable[Diagnostic], known: frozenset[str], report: Report
) -> list[Diagnostic]:
    """The warnings that no comment allows. Comments that are wrong or of no use are reported."""
    found = list(warnings)
    if _LOOSE.search(document.text) is None:
        return found
    silencers = list(_silencers(document, known, report))
    kept = [d for d in found if not _allowed(d, silencers)]
    for silencer in silencers:
        for code, span in silencer.codes:
            if code not in silencer.used and code not in BUILT:
                report.warn("VS0916", f"there is no {code} here to allow", span, label="of no use",
                            help="remove it", pedantic=True)  # fmt: skip
    return kept


def _allowed(d: Diagnostic, silencers: list[_Silencer]) -> bool:
    held = False
    for silencer in silencers:
        covers = d.span is not None and silencer.first <= d.span.line <= silencer.last
        if covers and any(code == d.code for code, _ in silencer.codes):
            silencer.used.add(d.code)
            held = True
    return held


def _silencers(document: Document, known: frozenset[str], report: Report) -> Iterator[_Silencer]:
    ends = _ends(document.root)
    starts = sorted(ends)
    pending: list[tuple[list[tuple[str, Span]], int]] = []
    for comment in comments(document):
        if _LOOSE.match(comment.text) is None:
            continue
        codes = _codes(comment.text, comment.span, known, report)
        if not codes:
            continue
        line = comment.span.line
        if comment.alone:
            pending.append((codes, line))
        else:
            yield _Silencer(codes, line, ends.get(line, line))
    for codes, line in pending:
        below = next((n for n in starts if n > line), None)
        if below is not None:
            yield _Silencer(codes, below, ends[below])


def _codes(text: str, span: Span, known: frozenset[str], report: Report) -> list[tuple[str, Span]]:
    """The codes of a comment with their places; what is wrong with it is reported."""
    found = _DIRECTIVE.match(text)
    example = "write the codes that are meant: # vspec: allow VS0904"
    if found is None or found[1] != "allow":
        word = found[1] if found is not None else ""
        what = f"'{word}' is nothing that a comment can say" if word else "this comment says nothing"
        report.warn("VS0915", what, span, label="not known", help="there is one such comment: # vspec: allow VS0904")
        return []
    codes: list[tuple[str, Span]] = []
    for m in _CODE.finditer(found[2]):
        start = span.column + found.start(2) + m.start()
        place = Span(span.file, span.line, start, span.line, start + len(m.group()))
        if m.group() in known:
            codes.append((m.group(), place))
            continue
        message = f"'{m.group()}' is not the code of a warning"
        if re.fullmatch(r"VS\d{4}", m.group()) and not m.group().startswith("VS09"):
            message = f"{m.group()} is an error, which no comment allows"
        elif m.group() in KEPT:
            message = f"{m.group()} is about comments, which no comment allows"
        report.warn("VS0915", message, place, label="not a warning",
                    help=did_you_mean(m.group(), known) or "a reason stands after a colon: # vspec: allow VS0904: always "
                    "positive")  # fmt: skip
    if not found[2].strip():
        report.warn("VS0915", "'allow' names the warnings that it allows", span, label="no code here", help=example)
    return codes


def _ends(root: Mapping) -> dict[int, int]:
    """For each line on which an entry starts, the last line of that entry; of a block of entries, only its first line."""
    ends: dict[int, int] = {}
    stack: list[tuple[Scalar | None, Value]] = [(None, root)]
    while stack:
        key, value = stack.pop()
        if key is not None:
            first = key.span.line
            block = not isinstance(value, Scalar) and value.span.line > first
            ends[first] = max(ends.get(first, first), first if block else max(first, value.span.end_line))
        if isinstance(value, Mapping):
            stack.extend(value.entries)
        elif isinstance(value, Sequence):
            for item in value.items:
                first = item.span.line
                ends[first] = max(ends.get(first, first), item.span.end_line if isinstance(item, Scalar) else first)
                stack.append((None, item))
    return ends
