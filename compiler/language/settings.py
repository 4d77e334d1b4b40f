"""Settings of a command or of a claim's quick size that are options of stages: `steps`, `epochs`, `starts`, `repeat`.

A setting takes the place of the option in every stage that has it, in the document, so that it is checked like the author's.
"""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import replace
from typing import Any

from vspec.compiler.language.entities import head_name, letters_of_dims
from vspec.compiler.source.document import Document, Mapping, Scalar, Sequence, Value

STAGE_OPTIONS = ("steps", "epochs", "starts", "repeat")


def stage_options(document: Document) -> frozenset[str]:
    """Those of `STAGE_OPTIONS` that some stage has and that are no constant or dim of this spec."""
    found: set[str] = set()
    _options(document.root.get("solve"), found)
    constants = document.root.get("constants")
    taken = {head_name(key) for key, _ in constants.entries} if isinstance(constants, Mapping) else set()
    return frozenset(found - taken - letters_of_dims(document.root).keys())


def settable_names(document: Document) -> frozenset[str]:
    """Everything that a setting may name in this document: constants, letters of dims, options of its stages."""
    constants = document.root.get("constants")
    named = {head_name(key) for key, _ in constants.entries} if isinstance(constants, Mapping) else set()
    return stage_options(document) | named | letters_of_dims(document.root).keys()


def _options(node: Value | None, found: set[str]) -> None:
    for stage in node.items if isinstance(node, Sequence) else (node,):
        if isinstance(stage, Mapping):
            found.update(key.text for key, _ in stage.entries if key.text in STAGE_OPTIONS)
            _options(stage.get("stages"), found)


def settled(document: Document, settings: Map[str, Any]) -> Document:
    """The document with these options of its stages."""
    given = {name: settings[name] for name in stage_options(document) if name in settings}
    if not given:
        return document
    root = document.root
    entries = tuple((k, _settled(v, given) if k.text == "solve" else v) for k, v in root.entries)
    return replace(document, root=replace(root, entries=entries))


def _settled(node: Value, given: Map[str, Any]) -> Value:
    if isinstance(node, Sequence):
        return replace(node, items=tuple(_settled(item, given) for item in node.items))
    if not isinstance(node, Mapping):
        return node
    entries: list[tuple[Scalar, Value]] = []
    for key, value in node.entries:
        if key.text == "stages":
            value = _settled(value, given)
        elif key.text in given:
            value = Scalar(given[key.text], str(given[key.text]), value.span)
        entries.append((key, value))
    return replace(node, entries=tuple(entries))
