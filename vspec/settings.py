"""`--set name=value` and `--data name=file:column` as mappings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vspec.faults import refuse


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """`["lam=2", "f=[1, 2]"]` as a mapping; a later setting of a name wins. Raises SpecError VS0823."""
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise refuse("VS0823", f"'{text}' is not a setting", "write --set name=value, such as --set lam=0.5")
        found[name.strip()] = _value(text, value.strip())
    return found


def _value(text: str, value: str) -> Any:
    for read in (int, float, json.loads):
        try:
            found = read(value)
        except (ValueError, RecursionError):
            continue
        if _numeric(found):
            return found
    raise refuse("VS0823", f"the value of '{text}' is not a number", 'write a number, or a list such as "[1, 2.5]"')


def _numeric(value: Any) -> bool:
    return all(map(_numeric, value)) if isinstance(value, list) else isinstance(value, (int, float))


def read_mesh(texts: Iterable[str]) -> dict[str, int] | None:
    """`["data=4,model=2"]` as a mapping; None if nothing is given. Raises SpecError VS0860."""
    found: dict[str, int] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, sign, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not sign or not name or not value.isdecimal() or int(value) < 1 or name in found:
            raise refuse("VS0860", f"'{part}' is no axis of a mesh", "write --mesh data=8, or --mesh data=4,model=2")
        found[name] = int(value)
    return found or None


def read_bindings(texts: Iterable[str]) -> dict[str, str]:
    """`["X=table.csv:height"]` as a mapping. Raises SpecError VS0824."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, source = text.partition("=")
        if not sign or not name.strip() or not source.strip():
            raise refuse(
                "VS0824",
                f"'{text}' binds no data",
                "write --data name=file or --data name=file:column",
            )
        found[name.strip()] = source.strip()
    return found
