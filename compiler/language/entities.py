"""What a document declares, by name, with the names that each declaration reads: the view that imports need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import RawCall, RawElement, RawName, walk
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value

SECTIONS = ("constants", "data", "params", "functions", "define", "objectives")
_HEAD = re.compile(r"\s*([A-Za-z_]\w*)")
# Options whose words are not expressions.
_WORDS = frozenset({"source", "column", "type", "plot", "draw"})


@dataclass(frozen=True, slots=True)
class Entity:
    """A declared name with its entries (a recurrence has two), the names and letters in them, those on its left side, and
    a function's formals."""

    name: str
    section: str
    pieces: tuple[tuple[Scalar, Value], ...]
    reads: tuple[str, ...]
    letters: frozenset[str]
    formals: frozenset[str]

    @property
    def identity(self) -> Span:
        """Where it was declared first, which no two entities share."""
        return self.pieces[0][0].span


def entities_of(root: Mapping) -> dict[str, Entity]:
    """Everything that a document declares and another may import, by the name it has there."""
    found: dict[str, Entity] = {}
    for section in SECTIONS:
        groups: dict[str, list[tuple[Scalar, Value]]] = {}
        for key, value in _entries(root, section):
            name = head_name(key)
            if name:
                groups.setdefault(name, []).append((key, value))
        for name, pieces in groups.items():
            if name not in found:
                reads: dict[str, None] = {}
                for key, value in pieces:
                    reads.update(dict.fromkeys((*names_in(key), *names_in(value))))
                reads.pop(name, None)
                formals = _formals(pieces[0][0]) if section == "functions" else frozenset()
                kept = tuple(r for r in reads if r not in formals)
                left = frozenset(n for key, _ in pieces for n in names_in(key)) - {name}
                found[name] = Entity(name, section, tuple(pieces), kept, left, formals)
    return found


def declared_names(root: Mapping) -> dict[str, Span]:
    """Every name and letter that a document declares, with its place."""
    found: dict[str, Span] = {}
    for section in SECTIONS:
        for key, _ in _entries(root, section):
            name = head_name(key)
            if name:
                found.setdefault(name, key.span)
    for letter, (key, _) in letters_of_dims(root).items():
        found.setdefault(letter, key.span)
    return found


def letters_of_dims(root: Mapping) -> dict[str, tuple[Scalar, Value]]:
    """The index letters of a document, each with the entry of its dim."""
    found: dict[str, tuple[Scalar, Value]] = {}
    for key, value in _entries(root, "dims"):
        for letter in key.text.split(","):
            found.setdefault(letter.strip(), (key, value))
    return found


def head_name(key: Scalar) -> str:
    """The name on a left side, as the document reads it; '' if there is none."""
    found = _HEAD.match(key.text)
    name = found.group(1) if found else ""
    return (key.names or {}).get(name, name)


def names_in(value: Value) -> Iterator[str]:
    """The names in the expressions of a value. What cannot be read is reported when it is checked, not here."""
    if isinstance(value, Mapping):
        for key, part in value.entries:
            if key.text not in _WORDS:
                yield from names_in(part)
        return
    if isinstance(value, Sequence):
        for item in value.items:
            yield from names_in(item)
        return
    if not isinstance(value.value, str):
        return
    head, _, result = value.text.partition("->")
    yield from ((value.names or {}).get(x, x) for x in re.findall(r"[A-Za-z_]\w*", result))
    raw = parse_expression(value, Sink(), end=len(head.rstrip()))
    for node in walk(raw) if raw is not None else ():
        if isinstance(node, RawName | RawElement | RawCall):
            yield node.name


def _entries(root: Mapping, section: str) -> tuple[tuple[Scalar, Value], ...]:
    node = root.get(section)
    return node.entries if isinstance(node, Mapping) else ()


def _formals(key: Scalar) -> frozenset[str]:
    inside = key.text.partition("(")[2]
    return frozenset(re.findall(r"[A-Za-z_]\w*", re.sub(r"\[[^\]]*\]", "", inside.partition("->")[0])))
