"""Texts as YAML writes them: without quotes where every reader takes them for the same text, else between double ones."""

from __future__ import annotations

import re

from vspec.compiler.source.read import UNSEEN
from vspec.compiler.source.scalars import OutOfRangeError, value_of
from vspec.compiler.source.slips import balanced

RESERVED = re.compile(r"[,\[\]{}#&*!|>'\"%@`]|[-?:](?:\s|$)|---|\.\.\.|<<$|=$")
CUTTING = re.compile(r":(?:\s|$)|\s#|\n|\t")
BRACKETS = re.compile(r"[,:\[\]{}]|^[-?]")
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def written(text: str, flow: bool) -> str:
    """A text as a scalar on one line; `flow`: inside `{...}` or `[...]`, where commas, colons and brackets need quotes, too."""
    if _bare(text, flow):
        return text
    if ('"' in text or "\\" in text) and "'" not in text and not _unprintable(text):
        return f"'{text}'"
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _bare(text: str, flow: bool) -> bool:
    if not text or text != text.strip() or RESERVED.match(text) or CUTTING.search(text) or _unprintable(text):
        return False
    # An open bracket makes a reader of specs look for its partner further on.
    if not balanced(text) or (flow and BRACKETS.search(text)):
        return False
    try:
        return isinstance(value_of(text), str)
    except OutOfRangeError:
        return False


def _unprintable(text: str) -> bool:
    return "\n" in text or UNSEEN.search(text) is not None or not text.isprintable()


def _escaped(char: str) -> str:
    if char in ESCAPES:
        return ESCAPES[char]
    if char == " " or (char.isprintable() and not UNSEEN.match(char)):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
