"""A spec as it is written: styles, anchors, comments and blank lines, which the document tree leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Style = Literal["plain", "'", '"', "|", ">", "alias"]


@dataclass(slots=True)
class Comment:
    """A comment with its `#`. `own`: nothing that is printed stands before it on its line; `blank`: an empty line does."""

    text: str
    offset: int
    column: int
    own: bool
    blank: bool


@dataclass(slots=True)
class Leaf:
    """A scalar or an alias.

    `raw` is how it is written, quotes included; of a block scalar, its content without the indentation. `text` and
    `value` are what it means. `start` and `end` are offsets in the file, `column` is where it starts.
    """

    raw: str
    text: str
    value: str | int | float | bool | None
    style: Style
    start: int
    end: int
    column: int
    anchor: str | None = None
    below: bool = False  # starts on a line below its key


@dataclass(slots=True)
class Entry:
    """A key with its value, or an item of a list (`key` is None), and the comments that belong to it."""

    key: Leaf | None
    value: Node
    start: int
    column: int
    blank: bool
    parent: Collection
    before: list[Comment] = field(default_factory=list)
    trailing: Comment | None = None


@dataclass(slots=True)
class Collection:
    """A mapping or a list. `foot`: comments after its last entry; `broken`: a comment stands inside its brackets."""

    mapping: bool
    flow: bool
    entries: list[Entry]
    start: int
    end: int
    column: int
    anchor: str | None = None
    holder: Entry | None = None
    foot: list[Comment] = field(default_factory=list)
    broken: bool = False


Node: TypeAlias = "Leaf | Collection"


def entries(node: Node) -> Iterator[Entry]:
    """Every entry below a node, each before what it holds."""
    if isinstance(node, Collection):
        for entry in node.entries:
            yield entry
            yield from entries(entry.value)
