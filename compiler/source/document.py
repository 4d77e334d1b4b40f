"""The document tree: what the YAML file says, each piece with its place in the file.

Nothing after the source stage knows YAML; every later stage reads this tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Names_
from dataclasses import dataclass, field

from vspec.compiler.diagnostics.spans import Span

Names = Names_[str, str]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A leaf. `value` is its YAML 1.2 value; `text` the characters an expression is parsed from.

    `places` maps each offset in `text` (one more than its length) to a (line, column) in the file, so that a caret
    stands under the right character in plain, quoted, folded and block scalars alike. `names` are other names under
    which the text of an import is read.
    """

    value: str | int | float | bool | None
    text: str
    span: Span
    places: tuple[tuple[int, int], ...] = field(repr=False, default=())
    names: Names | None = field(repr=False, default=None, hash=False)

    def locate(self, start: int, end: int) -> Span:
        """The span in the file of `text[start:end]`; `end` is exclusive and the span is at least one character wide."""
        if not self.places:
            return self.span
        last = len(self.places) - 1
        line, column = self.places[min(max(start, 0), last)]
        end_line, end_column = self.places[min(max(end - 1, start, 0), last)]
        return Span(self.span.file, line, column, end_line, end_column + 1)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A YAML list."""

    items: tuple[Value, ...]
    span: Span

    def __iter__(self) -> Iterator[Value]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A YAML mapping, in the order of the file; keys are scalars with positions of their own."""

    entries: tuple[tuple[Scalar, Value], ...]
    span: Span

    def get(self, key: str) -> Value | None:
        """The value under `key`, or None."""
        for k, v in self.entries:
            if k.text == key:
                return v
        return None

    def key(self, key: str) -> Scalar | None:
        """The key scalar itself (for its span), or None."""
        for k, _ in self.entries:
            if k.text == key:
                return k
        return None

    def __iter__(self) -> Iterator[tuple[Scalar, Value]]:
        return iter(self.entries)


Value = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its path as the user gave it, its text, its root mapping.

    `parts` are imported files with their text; `same` are pairs of dims of which an import made one.
    """

    path: str
    text: str
    root: Mapping
    parts: tuple[tuple[str, str], ...] = ()
    same: tuple[tuple[Span, Span], ...] = ()


def plain(value: Value) -> object:
    """The same tree as ordinary Python objects, positions dropped."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Sequence):
        return [plain(v) for v in value.items]
    return {k.text: plain(v) for k, v in value.entries}
