"""Parser events to the document tree: every refusal that concerns one node happens here, with its place."""

from __future__ import annotations

import re
from typing import Any

import yaml

from vspec.compiler.diagnostics.diagnostic import Sink, SpecError
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value
from vspec.compiler.source.join import Joiner
from vspec.compiler.source.read import refuse
from vspec.compiler.source.scalars import (
    Lines,
    OutOfRangeError,
    Place,
    trace_block,
    trace_double,
    trace_plain,
    trace_single,
    value_of,
)
from vspec.compiler.source.slips import balanced, cut_by_comment

MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_ALIASES = 100

# The C parser is ten times faster; the pure Python one has the same events and marks.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")


class _Open:
    """A mapping or list that is being filled."""

    __slots__ = ("anchor", "children", "count", "cut", "event", "key", "mapping")

    def __init__(self, event: Any) -> None:
        self.event = event
        self.anchor: str | None = event.anchor
        self.children: list[Any] = []
        self.count = 1
        self.key: Value | None = None
        self.mapping = isinstance(event, yaml.MappingStartEvent)
        self.cut = False


class Composer:
    """Builds the tree of one document. Mistakes that leave the tree whole go to the sink, so that all are reported."""

    def __init__(self, text: str, path: str, sink: Sink) -> None:
        self.text, self.path, self.sink = text, path, sink
        self.lines = Lines(text)
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Value, int]] = {}
        self.nodes = 0
        self.aliases = 0
        self.root: Value | None = None

    def compose(self) -> Value | None:
        """The root of the document; None for an empty one.

        Raises:
            SpecError: a limit is reached, or the text holds several documents.
            yaml.YAMLError: the text is not YAML.
        """
        documents = 0
        for event in yaml.parse(self.text, Loader=LOADER):
            if isinstance(event, yaml.ScalarEvent):
                self.add(self.scalar(event), 1, 1, event.anchor)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self.open(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self.close(event)
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self.several(event)
        return self.root

    def span(self, start: Any, end: Any) -> Span:
        """The span between two marks of the parser."""
        return Span(self.path, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def shown(self, span: Span) -> Span:
        """The span, or the character before it if nothing stands there."""
        if (span.line, span.column) < (span.end_line, span.end_column):
            return span
        column = max(min(span.column, len(self.lines.line(span.line - 1))), 1)
        return Span(span.file, span.line, column, span.line, column + 1)

    def several(self, event: Any) -> SpecError:
        """The refusal of a second document."""
        span = self.span(event.start_mark, event.end_mark)
        return refuse("VS0106", "the file holds more than one document", span, "a second one starts here",
                      "one file is one spec; runs that differ from it stand under 'runs:'")  # fmt: skip

    def open(self, event: Any) -> None:
        """Start a mapping or a list."""
        self.check_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            start = event.start_mark
            span = Span(self.path, start.line + 1, start.column + 1, start.line + 1, start.column + 2)
            raise refuse("VS0703", f"mappings and lists are nested more than {MAX_DEPTH} deep", span)
        self.stack.append(_Open(event))

    def close(self, event: Any) -> None:
        """Finish the innermost mapping or list and hand it to what contains it."""
        done = self.stack.pop()
        start, end = done.event.start_mark, event.end_mark
        span = self.span(start, end)
        if not done.event.flow_style and done.children:
            # The parser ends a block where the next token starts, which may be lines further down.
            last = done.children[-1]
            last = last[1].span if done.mapping else last.span
            span = Span(self.path, start.line + 1, start.column + 1, last.end_line, last.end_column)
        children = done.children
        joiner = Joiner(self.lines, self.path, self.sink)
        if done.cut:
            children = joiner.entries(children) if done.mapping else joiner.items(children)
        if done.mapping and done.event.flow_style and self.stack and _text(self.stack[-1].key) == "dims":
            children = joiner.letters(children)
        node: Value = Mapping(self.entries(children), span) if done.mapping else Sequence(tuple(children), span)
        self.add(node, done.count, 1, done.anchor)

    def alias(self, event: Any) -> None:
        """Repeat a marked node."""
        span = self.span(event.start_mark, event.end_mark)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise refuse("VS0704", f"the file uses more than {MAX_ALIASES} aliases", span)
        if any(level.anchor == event.anchor for level in self.stack):
            self.sink.error("VS0120", f"the alias '*{event.anchor}' stands inside of what it repeats", span)
        elif event.anchor in self.anchors:
            node, count = self.anchors[event.anchor]
            self.add(node, count, count, None)
            return
        else:
            self.sink.error(
                "VS0120",
                f"nothing is marked '&{event.anchor}' for '*{event.anchor}' to repeat",
                span,
                help="an expression cannot start with '*'; if text was meant, put it between quotes",
            )
        self.add(Scalar(f"*{event.anchor}", f"*{event.anchor}", span), 1, 1, None)

    def add(self, node: Value, count: int, fresh: int, anchor: str | None) -> None:
        """Put a finished node where it belongs.

        `count` is its size with every alias expanded, `fresh` how much of that has not been counted yet.
        """
        if anchor is not None:
            self.anchors[anchor] = (node, count)
        self.nodes += fresh
        if self.nodes > MAX_NODES:
            raise refuse("VS0702", f"the document has more than {MAX_NODES} keys, values and items", node.span)
        if not self.stack:
            self.root = node
            return
        level = self.stack[-1]
        level.count += count
        if not level.mapping:
            level.children.append(node)
        elif level.key is None:
            level.key = node
        else:
            level.children.append((level.key, node))
            level.key = None

    def entries(self, children: list[tuple[Value, Value]]) -> tuple[tuple[Scalar, Value], ...]:
        """The entries of a mapping; a key that is no string or not new to the mapping is reported."""
        found: dict[str, tuple[Scalar, Value]] = {}
        for key, value in children:
            if not isinstance(key, Scalar) or not isinstance(key.value, str):
                self.sink.error(
                    "VS0112",
                    f"{_kind(key)} cannot be a key",
                    self.shown(key.span),
                    label="expected a name",
                    help="put it between quotes if it is meant as text",
                )
            elif key.text == "<<":
                self.sink.error("VS0120", "merge keys ('<<') are not supported", key.span, help="write the entries out")
            elif key.text in found:
                self.sink.error(
                    "VS0111",
                    f"the key '{key.text}' is written twice",
                    key.span,
                    label=f"first written on line {found[key.text][0].span.line}",
                    help="remove or rename one of them",
                )
            else:
                found[key.text] = (key, value)
        return tuple(found.values())

    def scalar(self, event: Any) -> Scalar:
        """A leaf with its value and the place of each of its characters."""
        self.check_tag(event)
        start, end = event.start_mark, event.end_mark
        line, column = start.line, start.column
        at = self.lines.offset(line, column)
        raw = self.text[at : self.lines.offset(end.line, end.column)]
        if event.anchor is not None or event.tag is not None:
            skipped = PROPERTIES.match(raw + " ")
            head = raw[: skipped.end()] if skipped else ""
            line += head.count("\n")
            column = len(head) - head.rfind("\n") - 1 if "\n" in head else column + len(head)
            raw = raw[len(head) :]
        text: str = event.value
        value: str | int | float | bool | None = text
        style = event.style or "plain"
        places: list[Place]
        if style == "'":
            traced, places = trace_single(raw[1:-1], line + 1, column + 2)
        elif style == '"':
            traced, places = trace_double(raw[1:-1], line + 1, column + 2)
        elif style in ("|", ">"):
            traced, places = trace_block(text, self.lines, line)
        else:
            traced, places = trace_plain(raw, line + 1, column + 1)
            value = self.value(text, self.span(start, end))
            self.check_slips(text, at, at + len(raw))
        if traced != text:
            # Never a wrong place: when the characters cannot be followed, all of them stand at the start.
            places = [(line + 1, column + 1)] * (len(text) + 1)
        span = Span(self.path, line + 1, column + 1, end.line + 1, end.column + 1)
        if style in ("|", ">"):
            (first, left), (last, right) = places[0], places[len(text.rstrip())]
            span = Span(self.path, first, left, last, right)
        return Scalar(value, text, span, tuple(places))

    def value(self, text: str, span: Span) -> str | int | float | bool | None:
        """The value of a plain scalar; a number out of range is reported and read as a text."""
        try:
            return value_of(text)
        except OutOfRangeError:
            shown = text if len(text) <= 24 else f"{text[:20]}..."
            tip = "write .inf for infinity" if "e" in text.lower() else "write a float, such as 1.5e20"
            self.sink.error("VS0705", f"the number {shown} does not fit 64 bits", span, help=tip)
            return text

    def check_tag(self, event: Any) -> None:
        """Refuse every explicit tag."""
        if event.tag is None:
            return
        start = event.start_mark
        at = self.lines.offset(start.line, start.column)
        found = re.compile(r"(?:&\S+\s+)?(!\S*)").match(self.text, at)
        shown = found[1] if found else "!"
        column = start.column + 1 + (found.start(1) - at if found and "\n" not in found.group() else 0)
        span = Span(self.path, start.line + 1, column, start.line + 1, column + len(shown))
        tip = "remove the tag" if shown.startswith("!!") else "negation is written 'not'; otherwise remove the tag"
        self.sink.error("VS0110", f"tags such as '{shown}' are not allowed in a spec", span, help=tip)

    def check_slips(self, text: str, start: int, end: int) -> None:
        """Notice an unquoted expression that YAML has cut in two at a comma or a comment."""
        if not self.stack or balanced(text):
            return
        found = cut_by_comment(self.lines, start, end, self.path)
        if found is not None:
            self.sink.diagnostics.append(found)
        elif self.stack[-1].event.flow_style:
            self.stack[-1].cut = True


def _text(key: Value | None) -> str:
    """The text of a pending key."""
    return key.text if isinstance(key, Scalar) else ""


def _kind(node: Value) -> str:
    """What a node is, in words."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "an empty value" if not node.text else "null"
    if isinstance(node.value, bool):
        return f"the truth value {node.text}"
    return f"the number {node.text}"
