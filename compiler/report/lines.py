"""The lines of an emitted program: which function each is of, what it assigns, and which line of the spec it comes from."""

from __future__ import annotations

import re
from typing import Any

_DEF = re.compile(r"def (\w+)\(")
_ASSIGNED = re.compile(r"\s+(\w+) = (.*)")
_NOTE = re.compile(r"  # (\[[^\]]*\])?(?:\s*(\S+):(\d+))?\s*$")


def emitted_lines(text: str) -> dict[str, list[dict[str, Any]]]:
    """The lines of each function of a program: where they stand, what they assign, from which line of the spec."""
    found: dict[str, list[dict[str, Any]]] = {}
    body: list[dict[str, Any]] | None = None
    state = "outside"
    for number, line in enumerate(text.splitlines(), 1):
        start = _DEF.match(line)
        if start:
            body, state = found.setdefault(start[1], []), "signature"
        if state == "signature" and line.rstrip().endswith(":"):
            state = "docstring"
        elif state == "docstring":
            if line.rstrip().endswith('"""'):
                state = "body"
        elif state == "body" and body is not None and line.strip():
            if not line.startswith(" "):
                state = "outside"
                continue
            note = _NOTE.search(line)
            code = line[: note.start()].rstrip() if note else line.rstrip()
            target = _ASSIGNED.match(code)
            body.append(
                {
                    "program_line": number,
                    "target": target[1] if target else "",
                    "code": code,
                    "axes": note[1] or "" if note else "",
                    "line": int(note[3]) if note and note[3] else None,
                }
            )
    return found


__all__ = ["emitted_lines"]
