"""Scalars: YAML 1.2 values, and where each character of a value stands in the file."""

from __future__ import annotations

import math
import re
from itertools import repeat

Place = tuple[int, int]
"""A line and a column, both from 1."""

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
INTEGER = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})

FOLD = re.compile(r"[ \t]*\n[ \t\n]*")
SINGLE = re.compile(r"''|[ \t]*\n[ \t\n]*|(?s:.)")
DOUBLE = re.compile(
    r"\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\\n[ \t\n]*|\\(?s:.)|[ \t]*\n[ \t\n]*|(?s:.)"
)
ESCAPES = {
    "0": "\0", "a": "\x07", "b": "\x08", "t": "\t", "\t": "\t", "n": "\n", "v": "\x0b", "f": "\x0c", "r": "\r",
    "e": "\x1b", " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip


class OutOfRangeError(ValueError):
    """A number that no 64-bit type holds."""


def value_of(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar by the core schema of YAML 1.2: `1e-3` is a float, `on`, `no` and `y` are strings.

    Raises:
        OutOfRangeError: the text is a number beyond 64 bits.
    """
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if text[0] not in "+-.0123456789":
        return text
    if text in NOT_A_NUMBER:
        return math.nan
    if (found := INFINITE.fullmatch(text)) is not None:
        return -math.inf if found[1] == "-" else math.inf
    for pattern, base in ((INTEGER, 10), (OCTAL, 8), (HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            digits = text if base == 10 else text[2:]
            # Long digit strings are refused before they are converted: conversion takes quadratic time.
            if len(digits) > 400 or not -(2**63) <= (number := int(digits, base)) < 2**63:
                raise OutOfRangeError(text)
            return number
    if FLOAT.fullmatch(text):
        real = float(text)
        if math.isinf(real):
            raise OutOfRangeError(text)
        return real
    return text


def run(line: int, column: int, length: int) -> list[Place]:
    """`length` places side by side."""
    return list(zip(repeat(line, length), range(column, column + length)))


class Lines:
    """The text of a file by lines, so that a line and a column lead to an offset and back."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def offset(self, line: int, column: int) -> int:
        """The offset of a place given by line and column, both from 0 as the YAML parser counts them."""
        if line >= len(self.starts):
            return len(self.text)
        return min(self.starts[line] + column, len(self.text))

    def line(self, number: int) -> str:
        """The text of a line counted from 0, without its newline."""
        start = self.starts[number]
        end = self.starts[number + 1] - 1 if number + 1 < len(self.starts) else len(self.text)
        return self.text[start:end]

    def __len__(self) -> int:
        return len(self.starts)


class Tracer:
    """Builds a text together with the place of each of its characters."""

    def __init__(self, line: int, column: int) -> None:
        self.line, self.column = line, column
        self.parts: list[str] = []
        self.places: list[Place] = []

    def emit(self, text: str) -> None:
        """Add characters that all stand at the current place."""
        self.parts.append(text)
        self.places.extend(repeat((self.line, self.column), len(text)))

    def skip(self, raw: str) -> None:
        """Move on over characters of the file."""
        breaks = raw.count("\n")
        if breaks:
            self.line += breaks
            self.column = len(raw) - raw.rfind("\n")
        else:
            self.column += len(raw)

    def fold(self, raw: str) -> None:
        """Blanks around line breaks: one break is a blank, further ones are kept."""
        breaks = raw.count("\n")
        self.emit(" " if breaks == 1 else "\n" * (breaks - 1))
        self.skip(raw)

    def done(self) -> tuple[str, list[Place]]:
        """The text and its places, the place after its end included."""
        return "".join(self.parts), [*self.places, (self.line, self.column)]


def trace_plain(raw: str, line: int, column: int) -> tuple[str, list[Place]]:
    """The text of a plain scalar from its characters in the file; lines are folded."""
    if "\n" not in raw:
        return raw, run(line, column, len(raw) + 1)
    tracer = Tracer(line, column)
    at = 0
    for found in FOLD.finditer(raw):
        piece = raw[at : found.start()]
        tracer.parts.append(piece)
        tracer.places.extend(run(tracer.line, tracer.column, len(piece)))
        tracer.skip(piece)
        tracer.fold(found.group())
        at = found.end()
    piece = raw[at:]
    tracer.parts.append(piece)
    tracer.places.extend(run(tracer.line, tracer.column, len(piece)))
    tracer.skip(piece)
    return tracer.done()


def trace_single(raw: str, line: int, column: int) -> tuple[str, list[Place]]:
    """The text of a single-quoted scalar from what stands between the quotes."""
    if "\n" not in raw and "'" not in raw:
        return raw, run(line, column, len(raw) + 1)
    tracer = Tracer(line, column)
    for found in SINGLE.finditer(raw):
        piece = found.group()
        if "\n" in piece:
            tracer.fold(piece)
            continue
        tracer.emit("'" if piece == "''" else piece)
        tracer.skip(piece)
    return tracer.done()


def trace_double(raw: str, line: int, column: int) -> tuple[str, list[Place]]:
    """The text of a double-quoted scalar from what stands between the quotes; escapes stand where they begin."""
    if "\n" not in raw and "\\" not in raw:
        return raw, run(line, column, len(raw) + 1)
    tracer = Tracer(line, column)
    for found in DOUBLE.finditer(raw):
        piece = found.group()
        if piece.startswith("\\\n"):
            # An escaped line break joins the lines; empty lines after it are kept.
            tracer.emit("\n" * (piece.count("\n") - 1))
            tracer.skip(piece)
        elif piece[0] == "\\":
            tracer.emit(chr(int(piece[2:], 16)) if len(piece) > 2 else ESCAPES.get(piece[1], piece[1]))
            tracer.skip(piece)
        elif "\n" in piece:
            tracer.fold(piece)
        else:
            tracer.emit(piece)
            tracer.skip(piece)
    return tracer.done()


def trace_block(value: str, lines: Lines, header: int) -> tuple[str, list[Place]]:
    """The places of a block scalar (`|` or `>`) whose header stands on line `header`, counted from 0.

    The first line and the parser's `value` together tell how deep the block is indented: the header may say so itself.
    """
    mark = re.search(r"[|>]([-+0-9]*)[ \t]*(?:#.*)?$", lines.line(header))
    style = mark.group()[0] if mark else "|"
    flags = mark[1] if mark else ""
    body = [lines.line(n) for n in range(header + 1, len(lines))]
    first = next((text for text in body if text.strip(" ")), "")
    shown = next((text for text in value.split("\n") if text.strip(" ")), "")
    if not shown:
        # Nothing but blanks: there is no character to point at.
        return value, [(header + 1, len(lines.line(header)) + 1)] * (len(value) + 1)
    indent = len(first) - len(first.lstrip(" ")) - (len(shown) - len(shown.lstrip(" ")))
    content: list[tuple[int, str]] = []
    for number, text in enumerate(body, header + 2):
        if text.strip(" ") and len(text) - len(text.lstrip(" ")) < indent:
            break
        content.append((number, text[indent:]))
    ends_in_newline = not content or content[-1][0] < len(lines)
    trailing = 0
    while content and not content[-1][1]:
        content.pop()
        trailing += 1
    text, places = _join(content, indent + 1, folded=style == ">")
    last, tail = content[-1]
    # The breaks after the last line, of which chomping keeps one, all, or none.
    breaks = trailing + 1 if ends_in_newline else trailing
    keep = breaks if "+" in flags else 0 if "-" in flags else min(breaks, 1)
    return text + "\n" * keep, places + [(last, indent + 1 + len(tail))] * (keep + 1)


def _join(content: list[tuple[int, str]], column: int, folded: bool) -> tuple[str, list[Place]]:
    """The lines of a block scalar in one text, without the breaks after the last line."""
    parts: list[str] = []
    places: list[Place] = []
    index = 0
    while index < len(content):
        number, text = content[index]
        parts.append(text)
        places.extend(run(number, column, len(text)))
        following = index + 1
        while following < len(content) and not content[following][1]:
            following += 1
        if following >= len(content):
            break
        blanks = following - index - 1
        if text and folded and text[0] not in " \t" and content[following][1][0] not in " \t":
            glue = "\n" * blanks or " "
        else:
            # Leading blank lines have no break of a text before them.
            glue = "\n" * (blanks + 1)
        parts.append(glue)
        # A blank line may be shorter than the indentation.
        end = column + len(text) if text else 1
        places.extend(repeat((number, end), len(glue)))
        index = following
    return "".join(parts), places
