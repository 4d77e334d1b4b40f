"""The comments of a document: a '#' at the start of a line or after a blank that stands in no scalar."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.source.document import Document, Mapping, Scalar, Value
from vspec.compiler.source.scalars import Lines

_SIGN = re.compile(r"(?:^|(?<=[ \t]))#.*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment from its '#' to the end of its line. `alone`: nothing else stands on that line."""

    text: str
    span: Span
    alone: bool


def comments(document: Document) -> Iterator[Comment]:
    """The comments in the order of the file."""
    lines = Lines(document.text)
    # What stands between the first and the last character of a scalar is text, whatever it looks like.
    covered = sorted({_extent(lines, s.span) for s in _scalars(document.root)})
    starts = [start for start, _ in covered]
    at = 0
    while (found := _SIGN.search(document.text, at)) is not None:
        inside = bisect_right(starts, found.start()) - 1
        if inside >= 0 and found.start() < covered[inside][1]:
            at = covered[inside][1]
            continue
        number = bisect_right(lines.starts, found.start()) - 1
        column = found.start() - lines.starts[number]
        text = found.group().rstrip()
        span = Span(document.path, number + 1, column + 1, number + 1, column + 1 + len(text))
        yield Comment(text, span, not lines.line(number)[:column].strip())
        at = found.end()


def _extent(lines: Lines, span: Span) -> tuple[int, int]:
    return lines.offset(span.line - 1, span.column - 1), lines.offset(span.end_line - 1, span.end_column - 1)


def _scalars(root: Value) -> Iterator[Scalar]:
    """Every key and every leaf; what an alias repeats stands where it was written first."""
    stack: list[Value] = [root]
    seen: set[int] = set()
    while stack:
        top = stack.pop()
        if id(top) in seen:
            continue
        seen.add(id(top))
        if isinstance(top, Scalar):
            yield top
        elif isinstance(top, Mapping):
            for key, value in top.entries:
                stack += (key, value)
        else:
            stack.extend(top.items)
