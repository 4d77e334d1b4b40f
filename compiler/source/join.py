"""Calls inside {...} and [...]: `{domain: box(0, 1)}` reads as one value, though YAML itself would end it at the comma.

YAML sees the entries `domain: box(0` and `1)` (with no value). Such pieces mean nothing on their own, so they are put
together again up to the closing parenthesis. Square brackets cannot be mended: YAML refuses them outright (VS0113).
Letters that share a dimension, `dims: {i, j: 64}`, are cut in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.source.document import Scalar, Value
from vspec.compiler.source.scalars import Lines, trace_plain
from vspec.compiler.source.slips import BLOCK_STYLE, expression_end, place, quoted


class Joiner:
    """Puts together what commas between parentheses have cut."""

    def __init__(self, lines: Lines, path: str, sink: Sink) -> None:
        self.lines, self.path, self.sink = lines, path, sink
        self.stuck = False

    def items(self, children: list[Value]) -> list[Value]:
        """The items of a list."""
        out: list[Value] = []
        at = 0
        while at < len(children):
            first = children[at]
            used = self.reach(first, islice(children, at + 1, None))
            out.append(self.merged(first, children[at + used]) if used else first)
            at += used + 1
        return out

    def entries(self, children: list[tuple[Value, Value]]) -> list[tuple[Value, Value]]:
        """The entries of a mapping: a cut key or value runs into the next keys, which have no values of their own."""
        out: list[tuple[Value, Value]] = []
        at = 0
        while at < len(children):
            key, value = children[at]
            at += 1
            if _empty(value):
                used = self.reach(key, _keys(islice(children, at, None), last=True))
                if used:
                    key, value = self.merged(key, children[at + used - 1][0]), children[at + used - 1][1]
                    at += used
            used = self.reach(value, _keys(islice(children, at, None), last=False))
            if used:
                value = self.merged(value, children[at + used - 1][0])
                at += used
            out.append((key, value))
        return out

    def letters(self, children: list[tuple[Value, Value]]) -> list[tuple[Value, Value]]:
        """The entries of `dims: {i, j: 64}`: letters without a size share the dimension of the next one that has it."""
        out: list[tuple[Value, Value]] = []
        first: Value | None = None
        for key, value in children:
            if _empty(value) and self.plain(key):
                first = first or key
                out.append((key, value))
                continue
            if first is not None and self.plain(key):
                while out and out[-1][0].span >= first.span:
                    out.pop()
                key = self.merged(first, key)
            first = None
            out.append((key, value))
        return out

    def reach(self, first: Value, rest: Iterable[Value]) -> int:
        """How many of the nodes after `first` belong to it; 0 if it is whole or never closes, which is reported."""
        if self.stuck or not self.plain(first) or (depth := _opened(first)) <= 0:
            return 0
        for used, piece in enumerate(rest, 1):
            if not self.plain(piece):
                break
            depth += _opened(piece)
            if depth <= 0:
                return used
        self.report(first)
        # One report for each mapping or list: what follows a parenthesis that never closes is anybody's guess.
        self.stuck = True
        return 0

    def plain(self, node: Value) -> bool:
        """Whether a node is a scalar without quotes."""
        return isinstance(node, Scalar) and self.lines.text[self.start(node)] not in "\"'"

    def start(self, node: Value) -> int:
        """The offset of a node's first character."""
        return min(self.lines.offset(node.span.line - 1, node.span.column - 1), len(self.lines.text) - 1)

    def merged(self, first: Value, last: Value) -> Scalar:
        """One scalar from the first character of `first` to the last of `last`."""
        span = first.span.to(last.span)
        end = self.lines.offset(last.span.end_line - 1, last.span.end_column - 1)
        text, places = trace_plain(self.lines.text[self.start(first) : end], span.line, span.column)
        return Scalar(text, text, span, tuple(places))

    def report(self, first: Value) -> None:
        """A value that a comma ends and that cannot be put together."""
        text = self.lines.text
        start = self.start(first)
        end = self.lines.offset(first.span.end_line - 1, first.span.end_column - 1)
        whole = text[start : expression_end(text, start)]
        tip = f"write {quoted(whole)} in quotes, {BLOCK_STYLE}"
        if whole.count("(") > whole.count(")"):
            tip = "close the parenthesis"
        at = end + len(text[end:]) - len(text[end:].lstrip())
        span = place(self.lines, at, self.path) if at < len(text) else Span(self.path, *_end(first.span))
        self.sink.error("VS0114", "the value ends in the middle of a call", span, label="here", help=tip)


def _opened(node: Value) -> int:
    """How many parentheses a scalar opens and does not close."""
    assert isinstance(node, Scalar)
    return node.text.count("(") - node.text.count(")")


def _empty(value: Value) -> bool:
    """Whether an entry has no value at all."""
    return isinstance(value, Scalar) and value.value is None and not value.text


def _keys(entries: Iterable[tuple[Value, Value]], last: bool) -> Iterator[Value]:
    """The keys of the entries as long as they have no values; with `last`, also of the first entry that has one."""
    for key, value in entries:
        if not _empty(value):
            if last:
                yield key
            return
        yield key


def _end(span: Span) -> tuple[int, int, int, int]:
    """The place after a span, one character wide."""
    return span.end_line, span.end_column, span.end_line, span.end_column + 1
