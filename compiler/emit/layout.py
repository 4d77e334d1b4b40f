"""Values and the order of their axes: transposing and broadcasting as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vspec.compiler.emit.text import ATOM, Text

Layout = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A node's value in the text: its axes in the order the array really has.

    Axes of the node that `layout` lacks are constant along it and broadcast on demand. `relayout` writes the value in
    another order of axes, which an expression that has no name yet can do for nothing.
    """

    text: Text
    layout: Layout
    relayout: Callable[[Layout], Text] | None = None


def arranged(value: Value, layout: Layout) -> Text:
    """The value with its axes in the order of `layout`, which names the same axes."""
    if value.layout == layout:
        return value.text
    if value.relayout is not None:
        return value.relayout(layout)
    if len(layout) == 2:
        return replace(value.text, code=f"{value.text.atom}.T", prec=ATOM, positive=None)
    order = ", ".join(str(value.layout.index(a)) for a in layout)
    return replace(value.text, code=f"{value.text.atom}.transpose({order})", prec=ATOM, positive=None)


def aligned(value: Value, target: Layout) -> Text:
    """The value so that it broadcasts against an array with the axes `target`."""
    wanted = tuple(a for a in target if a in value.layout)
    text = arranged(value, wanted)
    if not wanted:
        return text
    items = [":" if a in wanted else "None" for a in target[target.index(wanted[0]) :]]
    return subscripted(text, items)


def subscripted(text: Text, items: Sequence[str]) -> Text:
    """`text[items]`; full slices at the end say nothing, and without others the text stays as it is."""
    kept = list(items)
    while kept and kept[-1] == ":":
        kept.pop()
    return Text(f"{text.atom}[{', '.join(kept)}]", weak=text.weak) if kept else text


def moves(value: Value, layout: Layout) -> int:
    """What it costs a reader's eye to have the value in that order."""
    if value.layout == layout:
        return 0
    return 1 if value.relayout is not None else 2


def shown(layout: Layout) -> list[str]:
    """Axis names for a comment: without the marks of fresh ones, primed where two would look alike."""
    seen: dict[str, int] = {}
    result = []
    for axis in layout:
        base = axis.split("~")[0]
        result.append(base + "'" * seen.get(base, 0))
        seen[base] = seen.get(base, 0) + 1
    return result
