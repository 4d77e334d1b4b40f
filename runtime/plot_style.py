"""How plots look: colours, frames, keys. The colours are those of pages, which put their own in the place of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from vspec.runtime.pages.style import LIGHT

INK, SOFT, GRID, FRAME = LIGHT["ink"], LIGHT["soft"], LIGHT["grid"], LIGHT["frame"]
COLOURS = tuple(LIGHT[f"c{k}"] for k in range(8))
FIRST, LAST = 0.16, 0.9
"""The part of the colour scale that can be seen on light and on dark paper."""
MOST_NAMED = len(COLOURS)
MOST_POINTS = 2000
"""More points than this are drawn as a picture inside of an SVG."""
WIDTH, HEIGHT, DPI = 6.4, 4.0, 150

_BY_COLOUR = {
    value: name
    for name, value in LIGHT.items()
    if name in {"ink", "soft", "grid", "frame"} or re.fullmatch(r"c\d", name)
}


def variables(svg: str) -> str:
    """The text of an SVG with the page's colours in the place of ours, outside of pictures in it."""
    return re.sub(r"(?<=: )#[0-9a-f]{6}", lambda m: f"var(--{_BY_COLOUR[m[0]]})" if m[0] in _BY_COLOUR else m[0], svg)


def plain(text: Any) -> Any:
    """Text as it stands: a dollar sign is no formula."""
    text.set_parse_math(False)
    return text


def frame(figure: Any, across: str, up: str, place: tuple[int, int, int] = (1, 1, 1)) -> Any:
    """Axes with a light grid and two sides of a frame."""
    axis = figure.add_subplot(*place)
    plain(axis.set_xlabel(across, color=INK))
    plain(axis.set_ylabel(up, color=INK))
    axis.tick_params(colors=INK, labelsize=9, color=FRAME)
    axis.grid(True, color=GRID, linewidth=0.7)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FRAME)
    return axis


def legend(axis: Any) -> None:
    """The names of curves, without a frame."""
    for text in axis.legend(frameon=False, fontsize=9, labelcolor=INK).get_texts():
        plain(text)


def whole(axis: Any) -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def shades(count: int) -> Any:
    """So many colours in an order that the eye sees."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(FIRST, LAST, count))


def scale(signed: bool = False) -> Any:
    """The colours of values: shades, or of values around 0 two colours with white in between."""
    from matplotlib.colors import ListedColormap

    return "RdBu_r" if signed else ListedColormap(shades(256))


def bar(figure: Any, drawn: Any, axes: Any, label: str = "", integers: bool = False) -> None:
    """The key of a colour scale, without a frame."""
    solid = getattr(axes, "name", "") == "3d"
    key = figure.colorbar(drawn, ax=axes, pad=0.14 if solid else 0.02, shrink=0.7 if solid else 0.9)
    plain(key.ax.set_ylabel(label, color=INK, fontsize=9))
    key.outline.set_visible(False)
    key.ax.tick_params(colors=INK, labelsize=8, color=FRAME)
    if integers:
        whole(key.ax.yaxis)


def shade_key(figure: Any, axis: Any, label: str, count: int, values: Sequence[float] | None = None) -> None:
    """The key of `shades`: which position, or which of `values`, has which colour."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    first, last = (0.0, float(count - 1)) if values is None else (float(values[0]), float(values[-1]))
    if not last > first:
        last = first + 1.0
    bar(figure, ScalarMappable(Normalize(first, last), scale()), axis, label, integers=values is None)


def limits(values: Any) -> tuple[float, float, bool]:
    """The ends of a colour scale, and whether it is signed: then they lie evenly around 0."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0, False
    low, high = float(known.min()), float(known.max())
    if low < 0 < high:
        most = max(-low, high)
        return -most, most, True
    return (low, high, False) if high > low else (low, low + 1.0, False)


def logarithmic(values: Any) -> bool:
    """Whether values are better shown by their logarithm: finite, above zero, and over three decades apart."""
    return bool(values.size and np.isfinite(values).all() and values.min() > 0 and values.max() / values.min() > 1e3)
