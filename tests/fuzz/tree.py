"""Specs as trees that structural mutations change, and their way back to YAML.

A tree is not a document of the compiler: keys may stand twice, and every leaf is the text that is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from vspec.compiler.source.document import Mapping, Sequence, Value

# What YAML reads back unchanged without quotes, in block style and inside {...}.
BARE = re.compile(r"[\w.(/+-](?:[\w.()/*+<>=, \[\]-]|:(?! )|#)*")
BARE_FLOW = re.compile(r"[\w.(/+-][\w.()/*+<>= -]*")


@dataclass
class Table:
    """A mapping: its entries in order."""

    entries: list[tuple[str, Tree]]


@dataclass
class Items:
    """A list."""

    items: list[Tree]


@dataclass
class Leaf:
    """A leaf as it is written: `text` goes between quotes if `quoted`."""

    text: str
    quoted: bool = False


Tree: TypeAlias = "Table | Items | Leaf"


def tree_of(value: Value) -> Tree:
    """The tree of a document's value."""
    if isinstance(value, Mapping):
        return Table([(key.text, tree_of(inner)) for key, inner in value.entries])
    if isinstance(value, Sequence):
        return Items([tree_of(inner) for inner in value.items])
    return Leaf(value.text, isinstance(value.value, str))


def copied(tree: Tree) -> Tree:
    """A copy that shares nothing."""
    if isinstance(tree, Table):
        return Table([(key, copied(inner)) for key, inner in tree.entries])
    if isinstance(tree, Items):
        return Items([copied(inner) for inner in tree.items])
    return Leaf(tree.text, tree.quoted)


def walk(tree: Tree) -> Iterator[Tree]:
    """The tree and everything below it."""
    yield tree
    inner = [t for _, t in tree.entries] if isinstance(tree, Table) else tree.items if isinstance(tree, Items) else []
    for part in inner:
        yield from walk(part)


def write(tree: Tree, flow_at: int = 2) -> str:
    """The tree as YAML: block style down to the depth `flow_at`, `{...}` below it."""
    return "\n".join(_block(tree, 0, flow_at)) + "\n"


def _block(tree: Tree, depth: int, flow_at: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(tree, Table) and tree.entries:
        for key, inner in tree.entries:
            head = f"{pad}{_text(key, BARE)}:"
            if isinstance(inner, Leaf) or depth + 1 >= flow_at or not _parts(inner):
                yield f"{head} {_flow(inner, top=True)}"
            else:
                yield head
                yield from _block(inner, depth + 1, flow_at)
    elif isinstance(tree, Items) and tree.items:
        for item in tree.items:
            yield f"{pad}- {_flow(item, top=True)}"
    else:
        yield pad + _flow(tree, top=True)


def _parts(tree: Tree) -> int:
    return len(tree.entries) if isinstance(tree, Table) else len(tree.items) if isinstance(tree, Items) else 0


def _flow(tree: Tree, top: bool = False) -> str:
    if isinstance(tree, Table):
        return "{" + ", ".join(f"{_text(key, BARE_FLOW)}: {_flow(inner)}" for key, inner in tree.entries) + "}"
    if isinstance(tree, Items):
        return "[" + ", ".join(_flow(item) for item in tree.items) + "]"
    return _text(tree.text, BARE if top else BARE_FLOW) if tree.quoted else tree.text


def _text(text: str, bare: re.Pattern[str]) -> str:
    if bare.fullmatch(text) and " #" not in text and text == text.strip() and not text.endswith(":"):
        return text
    return json.dumps(text, ensure_ascii=False)
