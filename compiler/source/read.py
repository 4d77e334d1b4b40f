"""Bytes to text: reading a file and refusing what is not honest text."""

from __future__ import annotations

import re
from pathlib import Path

from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.spans import Span

MAX_BYTES = 1_000_000

# Control characters, line separators that editors do not show as such, marks that reorder text, lone surrogates.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


def refuse(code: str, message: str, span: Span | None = None, label: str = "", help: str = "") -> SpecError:
    """An exception with one diagnostic, for mistakes after which nothing more can be read."""
    return SpecError([Diagnostic(code, message, span, label, (help,) if help else ())])


def read_text(path: str) -> str:
    """The text of the file at `path`.

    Raises:
        SpecError: the file cannot be read (VS0101), is too large (VS0701) or is not UTF-8 (VS0102).
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse("VS0101", f"there is no file '{path}'") from None
    except IsADirectoryError:
        raise refuse(
            "VS0101", f"'{path}' is a directory, not a spec", help="name one of the .yaml files in it"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not valid"
        raise refuse("VS0101", f"'{path}' cannot be read: {reason[:1].lower()}{reason[1:]}") from None
    return decoded(raw, path)


def decoded(raw: bytes, path: str) -> str:
    """The text that some bytes stand for.

    Raises:
        SpecError: they are too many (VS0701) or not UTF-8 (VS0102).
    """
    if len(raw) > MAX_BYTES:
        raise too_large(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8").removeprefix("\ufeff")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        span = Span(path, line, column, line, column + 1)
        message = f"the file is not UTF-8 text: byte 0x{raw[error.start]:02x} cannot stand here"
        raise refuse("VS0102", message, span, help="save the file as UTF-8") from None


def too_large(path: str) -> SpecError:
    """The refusal of a file beyond the limit."""
    message = f"'{path}' is larger than {MAX_BYTES // 1_000_000} MB"
    return refuse("VS0701", message, help="arrays belong in data files, named by 'source:' under 'data'")


def clean_text(text: str, path: str) -> str:
    """`text` without a leading byte-order mark and with every line ended by a single newline.

    Raises:
        SpecError: the text is too large (VS0701) or holds characters that cannot be seen (VS0103).
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if len(text) > MAX_BYTES:
        raise too_large(path)
    found = UNSEEN.search(text)
    if found is None:
        return text
    start = found.start()
    line, column = text.count("\n", 0, start) + 1, start - (text.rfind("\n", 0, start) + 1) + 1
    name = f"U+{ord(found.group()):04X}"
    message = f"the character {name} is invisible or changes how the text is shown"
    span = Span(path, line, column, line, column + 1)
    raise refuse(
        "VS0103", message, span, f"{name} stands here", "delete it; in double quotes it may be written as an escape"
    )
