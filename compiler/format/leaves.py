"""Scalars as they are printed: on one line, over several as the author broke them, or as a block of text."""

from __future__ import annotations

import re

from vspec.compiler.format.expressions import canonical, is_expression
from vspec.compiler.format.quoting import written
from vspec.compiler.format.tree import Leaf


def on_one_line(leaf: Leaf, expression: bool, *, flow: bool) -> str:
    """A scalar on one line; empty for one that has no characters."""
    if leaf.style == "alias" or not isinstance(leaf.value, str):
        return leaf.raw
    return written(canonical(leaf.text) if expression else leaf.text, flow)


def over_lines(leaf: Leaf, expression: bool, shift: int, least: int) -> list[str] | None:
    """The lines of a scalar that its author broke, or None for one on a single line.

    Lines after the first keep their indentation, moved by `shift` and never below `least`, so that what was aligned stays
    so; the first has that of the place where it starts.
    """
    if leaf.style in ("|", ">") or "\n" not in leaf.raw:
        return None
    raw = leaf.raw
    quote = leaf.style if leaf.style in ("'", '"') else ""
    inner = raw[len(quote) : len(raw) - len(quote)]
    escaped = (quote == '"' and "\\" in inner) or (quote == "'" and "''" in inner)
    if expression and isinstance(leaf.value, str) and not escaped:
        inner = canonical(inner)
        if "\n" not in inner:
            return None
        raw = quote + inner + quote
    first, *rest = raw.split("\n")
    lines = [" " * max(leaf.column + shift, least) + first]
    lines += [" " * max(_indent(line) + shift, least) + line.lstrip(" \t") if line.strip() else "" for line in rest]
    return [line if quote == '"' and escaped else line.rstrip() for line in lines]


def block_scalar(leaf: Leaf, expression: bool, indent: int) -> tuple[str, list[str], bool] | None:
    """A block of text: its header, its lines, and whether empty lines after it would belong to it.

    None for one that ends in blanks, which are safe only between quotes.
    """
    expression = expression and is_expression(leaf.raw)  # else each blank may matter
    ending = leaf.text[len(leaf.text.rstrip()) :]
    if ending.strip("\n") and not expression:
        return None
    content = canonical(leaf.raw) if expression else leaf.raw
    breaks = ending.count("\n")
    deeper = re.match(r"[ \n]*", content)
    header = (
        leaf.style + ("2" if deeper is not None and " " in deeper.group() else "") + "-+"[breaks > 1] * (breaks != 1)
    )
    lines = [" " * indent + line if line else "" for line in content.split("\n")]
    if expression:
        lines = [line.rstrip() for line in lines]
    return header, lines + [""] * max(breaks - 1, 0), breaks > 1


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
