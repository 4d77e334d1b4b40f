"""Text to a tree of what is written. Reading is the source stage's; this module only remembers more of it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.format.tree import Collection, Comment, Entry, Leaf, Node, Style
from vspec.compiler.source.compose import Composer
from vspec.compiler.source.document import Mapping, Scalar, Value
from vspec.compiler.source.scalars import Lines

# What may stand before a comment that has a line of its own: dashes of list items, a mark of documents, an anchor.
BARE_LINE = re.compile(r"(?:---|\.\.\.)?[\s-]*(?:&\S+\s*)?")
# An anchor and what may stand between it and its block.
AHEAD = re.compile(r"&\S+(?:\s|#[^\n]*)*")


@dataclass(frozen=True, slots=True)
class _Written:
    """How one node stands in the file: offsets of its first character, properties included, and of its end."""

    style: str
    flow: bool
    anchor: str | None
    start: int
    end: int


class Reader(Composer):
    """The composer of the source stage, which also keeps the style of each node, and aliases as they are."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text, path, Sink())
        self.written: dict[int, _Written] = {}
        self.kept: list[Value] = []  # so that no identity is used twice
        self.closing: tuple[Any, Any] | None = None
        self.anchored = False

    def remember(self, node: Value, style: str, flow: bool, start: Any, end: Any, anchor: str | None) -> None:
        """Note how a node is written."""
        first, last = (self.lines.offset(mark.line, mark.column) for mark in (start, end))
        self.written[id(node)] = _Written(style, flow, anchor, first, last)
        self.kept.append(node)
        self.anchored = self.anchored or anchor is not None

    def scalar(self, event: Any) -> Scalar:
        """A leaf, its style noted."""
        found = super().scalar(event)
        style = event.style or "plain"
        self.remember(found, style, False, event.start_mark, event.end_mark, event.anchor)
        return found

    def alias(self, event: Any) -> None:
        """An alias stays an alias."""
        text = f"*{event.anchor}"
        found = Scalar(text, text, self.span(event.start_mark, event.end_mark))
        self.remember(found, "alias", False, event.start_mark, event.end_mark, None)
        self.add(found, 1, 1, None)

    def close(self, event: Any) -> None:
        """Finish a mapping or a list; `add`, which this calls, notes its style."""
        self.closing = (self.stack[-1].event, event)
        super().close(event)

    def add(self, node: Value, count: int, fresh: int, anchor: str | None) -> None:
        """Put a finished node where it belongs."""
        if not isinstance(node, Scalar) and self.closing is not None:
            start, end = self.closing
            self.closing = None
            self.remember(node, "", bool(start.flow_style), start.start_mark, end.end_mark, start.anchor)
        super().add(node, count, fresh, anchor)


@dataclass(frozen=True, slots=True)
class Layout:
    """A file: its root mapping, its comments in order, whether it uses anchors."""

    root: Collection
    comments: tuple[Comment, ...]
    anchored: bool


def read_layout(text: str, path: str) -> Layout:
    """What is written in a text that `parse_document` accepts; its line ends are single newlines."""
    reader = Reader(text, path)
    root = reader.compose()
    assert isinstance(root, Mapping)
    maker = _Maker(reader)
    made = maker.node(root, None, -1)
    assert isinstance(made, Collection)
    return Layout(made, tuple(_comments(reader.lines, sorted(maker.covered))), reader.anchored)


class _Maker:
    """Turns the composed tree into one of what is written, and gathers the stretches of text that are scalars."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.lines = reader, reader.lines
        self.covered: list[tuple[int, int]] = []

    def line_of(self, offset: int) -> int:
        """The line of an offset, from 0."""
        return bisect_right(self.lines.starts, offset) - 1

    def column_of(self, offset: int) -> int:
        """The column of an offset, from 0."""
        return offset - self.lines.starts[self.line_of(offset)]

    def node(self, value: Value, holder: Entry | None, key_line: int) -> Node:
        """A node with everything below it."""
        if isinstance(value, Scalar):
            return self.leaf(value, key_line)
        how = self.reader.written[id(value)]
        made = Collection(isinstance(value, Mapping), how.flow, [], how.start, how.end, 0, how.anchor, holder)
        children = value.entries if isinstance(value, Mapping) else [(None, item) for item in value.items]
        for key, inner in children:
            made.entries.append(self.entry(key, inner, made))
        if not how.flow and made.entries:
            made.end = max(made.entries[-1].start, _end(made.entries[-1].value))
            if made.mapping:
                made.start = made.entries[0].start
        made.column = self.column_of(made.start)
        if not how.flow and how.anchor is not None and (ahead := AHEAD.match(self.lines.text, how.start)):
            # A block starts below its anchor.
            made.column = self.column_of(ahead.end())
        return made

    def entry(self, key: Scalar | None, inner: Value, parent: Collection) -> Entry:
        """An entry of a mapping or an item of a list."""
        head = self.leaf(key, -1) if key is not None else None
        entry = Entry(head, Leaf("", "", None, "plain", 0, 0, 0), 0, 0, False, parent)
        entry.value = self.node(inner, entry, self.line_of(head.start) if head is not None else -1)
        start = head.start if head is not None else self.begin(inner, entry.value)
        line = self.line_of(start)
        entry.start, entry.column = start, start - self.lines.starts[line]
        entry.blank = _blank_above(self.lines, line) and not _ink(self.lines.line(line)[: entry.column])
        return entry

    def begin(self, inner: Value, made: Node) -> int:
        """Where a node starts, its anchor included."""
        how = self.reader.written.get(id(inner))
        return min(made.start, how.start) if how is not None else made.start

    def leaf(self, value: Scalar, key_line: int) -> Leaf:
        """A scalar as it is written."""
        how = self.reader.written.get(id(value))
        style: Style = how.style if how is not None else "plain"  # type: ignore[assignment]
        anchor = how.anchor if how is not None else None
        if style in ("|", ">"):
            assert how is not None
            return self.block(value, style, how, anchor)
        span = value.span
        start = self.lines.offset(span.line - 1, span.column - 1)
        end = self.lines.offset(span.end_line - 1, span.end_column - 1)
        if value.value is None and not value.text:
            end = start
        self.covered.append((start, end))
        line = self.line_of(start)
        raw = self.lines.text[start:end]
        if anchor is not None and how is not None:
            start = how.start
        column = start - self.lines.starts[self.line_of(start)]
        return Leaf(raw, value.text, value.value, style, start, end, column, anchor, 0 <= key_line < line)

    def block(self, value: Scalar, style: Style, how: _Written, anchor: str | None) -> Leaf:
        """A block scalar: its content without indentation, for as many lines as have characters."""
        header = self.line_of(how.start)
        mark = self.lines.text.index(style, how.start)
        self.covered.append((how.start, mark + 1))
        if not value.text.strip():
            # Nothing to see: written between quotes from now on.
            return Leaf('""', value.text, value.value, '"', how.start, mark + 1, self.column_of(how.start), anchor)
        header = self.line_of(mark)
        last = value.span.end_line - 1
        content = [self.lines.line(n) for n in range(header + 1, last + 1)]
        first = next(x for x in content if x.strip(" "))
        shown = next(x for x in value.text.split("\n") if x.strip(" "))
        indent = _indent(first) - _indent(shown)
        end = self.lines.starts[last] + len(self.lines.line(last))
        self.covered.append((self.lines.starts[header + 1], end))
        raw = "\n".join(x[indent:] for x in content)
        return Leaf(raw, value.text, value.value, style, how.start, end, self.column_of(how.start), anchor)


def _comments(lines: Lines, covered: list[tuple[int, int]]) -> Iterator[Comment]:
    """Every `#` outside of scalars starts a comment: nothing else in YAML that a spec may use has one."""
    at, text = 0, lines.text
    for start, end in [*covered, (len(text), len(text))]:
        while at < start:
            found = text.find("#", at, start)
            if found < 0:
                break
            line = bisect_right(lines.starts, found) - 1
            whole = lines.line(line)
            column = found - lines.starts[line]
            own = BARE_LINE.fullmatch(whole[:column]) is not None
            blank = own and _blank_above(lines, line)
            yield Comment(whole[column:].rstrip(), found, column, own, blank)
            at = lines.starts[line] + len(whole)
        at = max(at, end)


def _blank_above(lines: Lines, line: int) -> bool:
    return line > 0 and not lines.line(line - 1).strip()


def _ink(text: str) -> bool:
    """Whether anything but blanks and the dashes of list items stands in a text."""
    return bool(text.strip(" \t-"))


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _end(node: Node) -> int:
    return node.end
