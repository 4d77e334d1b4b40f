"""`runs`: named problems beside that of the spec, each its document with sections overridden, entry by entry.

As with imports, this happens on the document: the entries of a run take the places of those they override, their text
and their places unchanged, so that a run is checked like any other spec and every mistake is shown where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Map
from dataclasses import replace

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.language.entities import head_name
from vspec.compiler.language.operators import RESERVED
from vspec.compiler.source.document import Document, Mapping, Scalar, Value

OWN_SECTIONS = ("runs", "claims")
"""Sections that a run does not have: what is claimed is claimed of the spec."""

SHORT: Map[str, str] = {"dims": "size", "data": "type", "random": "law", "outputs": "is"}
"""What a value that is no mapping of options stands for: `x: 101` is `x: {size: 101}`."""

KINDS: Map[str, tuple[frozenset[str], ...]] = {
    "dims": (frozenset({"size", "from", "to", "boundary"}), frozenset({"configurations", "of"})),
    "data": (frozenset({"source", "column", "rows", "shuffle"}), frozenset({"value"}), frozenset({"draw", "seed"})),
}
"""Options that belong together: those of one group take the place of all others'."""

WHOLE = ("precision", "solve")
MERGED = ("dims", "data", "params", "random", "outputs")
"""Sections whose entries have options, which are overridden one by one."""


def documents(document: Document, sink: Sink) -> dict[str, Document]:
    """The document of each run, in order; mistakes in their names and letters go to the sink."""
    node = document.root.get("runs")
    found: dict[str, Document] = {}
    for key, value in node.entries if isinstance(node, Mapping) else ():
        name = key.text.strip()
        if _named(name, key, sink):
            found[name] = _overridden(document, value, sink)
    return found


def _named(name: str, key: Scalar, sink: Sink) -> bool:
    if name in RESERVED:
        message, help = f"'{name}' cannot name a run: it is reserved", f"for example {name}_ or {name}0"
    elif not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        message, help = (
            f"'{name}' cannot name a run",
            "names have letters, digits and underscores, and start with a letter",
        )
    else:
        return True
    sink.error("VS0238", message, key.span, label="claims read its results under this name", help=help)
    return False


def places(document: Document) -> dict[str, tuple[int, int]]:
    """The first and the last line of each run, by its name."""
    node = document.root.get("runs")
    lines = node.entries if isinstance(node, Mapping) else ()
    return {key.text.strip(): (key.span.line, value.span.end_line) for key, value in lines}


def overrides_nothing(value: Value) -> bool:
    """Whether a run is the spec as it stands."""
    return not isinstance(value, Mapping) or not value.entries


def _overridden(document: Document, overrides: Value, sink: Sink) -> Document:
    """The document with the sections of one run in the place of its own."""
    given = {key.text: (key, value) for key, value in overrides.entries} if isinstance(overrides, Mapping) else {}
    entries: list[tuple[Scalar, Value]] = []
    for key, value in document.root.entries:
        if key.text in OWN_SECTIONS:
            continue
        _, other = given.pop(key.text, (key, None))
        entries.append((key, value if other is None else _section(key.text, value, other, sink)))
    entries += given.values()
    return replace(document, root=replace(document.root, entries=tuple(entries)))


def _section(name: str, base: Value, other: Value, sink: Sink) -> Value:
    if name in WHOLE or not isinstance(base, Mapping) or not isinstance(other, Mapping):
        return other
    if name == "dims":
        return _dims(base, other, sink)
    lines: dict[str, list[tuple[Scalar, Value]]] = {}
    for key, value in other.entries:
        lines.setdefault(head_name(key) or key.text, []).append((key, value))
    before: dict[str, list[tuple[Scalar, Value]]] = {}
    for key, value in base.entries:
        before.setdefault(head_name(key) or key.text, []).append((key, value))
    entries: list[tuple[Scalar, Value]] = []
    for key, value in base.entries:
        head = head_name(key) or key.text
        if head not in before:
            continue  # another line of what was overridden
        if head not in lines:
            entries.append((key, value))
            continue
        old, new = before.pop(head), lines.pop(head)
        if name in MERGED and len(old) == len(new) == 1:
            entries.append((new[0][0], _options(name, value, new[0][1])))
        else:
            entries += new
    entries += [line for group in lines.values() for line in group]
    return replace(base, entries=tuple(entries))


def _options(section: str, base: Value, other: Value) -> Value:
    """The options of an entry with those of a run in their place."""
    short = SHORT.get(section)
    if not isinstance(base, Mapping) and not isinstance(other, Mapping):
        return other
    if short is None and not (isinstance(base, Mapping) and isinstance(other, Mapping)):
        return other
    mine, new = (x if isinstance(x, Mapping) else _long(short or "", x) for x in (base, other))
    given = {key.text for key, _ in new.entries}
    chosen = {k for k, group in enumerate(KINDS.get(section, ())) if group & given}
    dropped = {x for k, group in enumerate(KINDS.get(section, ())) if chosen and k not in chosen for x in group}
    kept = tuple((key, value) for key, value in mine.entries if key.text not in given | dropped)
    return replace(new, entries=(*kept, *new.entries))


def _long(option: str, value: Value) -> Mapping:
    return Mapping(((Scalar(option, option, value.span), value),), value.span)


# --- dims ---------------------------------------------------------------------------------------------------------------


def _letters(key: Scalar) -> tuple[str, ...]:
    return tuple(x.strip() for x in key.text.split(",") if x.strip())


def _dims(base: Mapping, other: Mapping, sink: Sink) -> Mapping:
    """The dims with other sizes: a dim is named by any of its letters, which it keeps."""
    entries = list(base.entries)
    added: list[tuple[Scalar, Value]] = []
    for key, value in other.entries:
        letters = set(_letters(key))
        places = [k for k, (old, _) in enumerate(entries) if letters & set(_letters(old))]
        if len(places) > 1:
            first, second = (next(x for x in _letters(entries[k][0]) if x in letters) for k in places[:2])
            sink.error(
                "VS0239",
                f"'{first}' and '{second}' are letters of two dims, of which a run makes one",
                key.span,
                help=f"give each its size: {first}: ..., {second}: ...",
            )
        elif not places:
            added.append((key, value))
        else:
            old, before = entries[places[0]]
            # A run may add a letter; then the key is its own.
            mine = key if letters > set(_letters(old)) else old
            if mine is old and letters - set(_letters(old)):
                more = ", ".join(sorted(letters - set(_letters(old))))
                sink.error(
                    "VS0239",
                    f"'{key.text}' names some letters of the dim '{old.text}' and another one, '{more}'",
                    key.span,
                    help=f"write all letters of the dim: {', '.join((*_letters(old), more))}",
                )
            entries[places[0]] = (mine, _options("dims", before, value))
    return replace(base, entries=(*entries, *added))
