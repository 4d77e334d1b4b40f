"""Sections of the language that are not implemented yet: refused by name, and the names they declare kept quiet."""

from __future__ import annotations

import re

from vspec.compiler.language.context import Context
from vspec.compiler.source.document import Mapping, Value

_SECTIONS = {
    "dynamics": ("VS0402", "dynamics (the section 'dynamics')"),
}


def refuse_planned(ctx: Context, root: Mapping) -> None:
    """Refuse each such section at its key; what it declares is then known to be unknown."""
    for key, value in root.entries:
        if key.text not in _SECTIONS:
            continue
        code, what = _SECTIONS[key.text]
        ctx.planned(code, what, key.span)
        _names(ctx, key.text, value)


def _names(ctx: Context, section: str, value: Value) -> None:
    if not isinstance(value, Mapping):
        return
    for key, inner in value.entries:
        found = re.match(r"\s*([A-Za-z]\w*)", key.text)
        if found:
            ctx.opaque.add(found.group(1))
        if section == "dynamics" and isinstance(inner, Mapping):
            for _, equations in inner.entries:
                if isinstance(equations, Mapping):
                    _names(ctx, "equations", equations)
