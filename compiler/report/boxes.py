"""Boxes in rows, as SVG: where they stand, and each with its two lines of text. Colours are the drawing's."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Generic, TypeVar

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 40, 18, 42, 10
MOST = 25
"""Letters of a line in a box."""

K = TypeVar("K", bound=Hashable)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed(Generic[K]):
    """The size of a drawing, and where the left upper corner of each box is."""

    width: float
    height: float
    at: dict[K, Point]

    @property
    def opening(self) -> str:
        """The attributes of the `svg` element."""
        size = f'width="{self.width:g}" height="{self.height:g}"'
        return f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" {size}'


def placed(rows: Sequence[Sequence[K]]) -> Placed[K]:
    """Rows below each other, each in the middle."""
    most = max((len(r) for r in rows), default=1)
    width = 2 * MARGIN + most * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + max(1, len(rows)) * (HEIGHT + GAP_Y) - GAP_Y
    at: dict[K, Point] = {}
    for depth, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for k, key in enumerate(row):
            at[key] = (left + k * (WIDTH + GAP_X), MARGIN + depth * (HEIGHT + GAP_Y))
    return Placed(width, height, at)


def curve(start: Point, end: Point, short: float = 0.0) -> str:
    """The path from below one box to above another, which ends `short` of it."""
    x0, y0 = start[0] + WIDTH / 2, start[1] + HEIGHT
    x1, y1 = end[0] + WIDTH / 2, end[1]
    middle = (y0 + y1) / 2
    return f"M{x0:g} {y0:g}C{x0:g} {middle:g} {x1:g} {middle:g} {x1:g} {y1 - short:g}"


def box(at: Point, lines: tuple[str, str], title: str, paint: str, inks: tuple[str, str] = ("", "")) -> str:
    """A box with two lines; `title` is what a pointer is told, `paint` and `inks` are attributes of the box and its lines."""
    x, y = at
    centre = x + WIDTH / 2
    first, second = (escape(clip(line)) for line in lines)
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" {paint}/>'
        f'<text x="{centre:g}" y="{y + 17:g}" text-anchor="middle" font-weight="600"{inks[0]}>{first}</text>'
        f'<text x="{centre:g}" y="{y + 31:g}" text-anchor="middle"{inks[1]}>{second}</text></g>'
    )


def clip(text: str, most: int = MOST) -> str:
    """A text that is not longer than `most`."""
    return text if len(text) <= most else text[: most - 1] + "…"
