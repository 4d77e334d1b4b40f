"""Draws outputs: lines, bars and images, as PNG files; no window is ever opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

INK = "#1a1a1a"
COLOURS = ("#2f6fb0", "#d1662b", "#3a8f5c", "#9a4fa3", "#c2922e", "#4a4a4a", "#b33a4e", "#3d9ca8")
MOST_NAMED = len(COLOURS)
MOST_IMAGES = 64
_WIDTH, _HEIGHT, _DPI = 6.4, 4.0, 150


def plot(
    path: Path,
    name: str,
    values: Any,
    axes: Sequence[str],
    how: Any,
    doc: str = "",
    across: Sequence[float] | None = None,
) -> bool:
    """Draw one output into a PNG file.

    Args:
        path: the file to write.
        name: the output's name, which becomes the title.
        values: its array.
        axes: its axes, for the labels.
        how: `line`, `bar` or `{"images": [rows, columns]}`.
        doc: a subtitle.
        across: what a line runs over along the first axis; its positions if there is nothing.

    Returns:
        Whether this kind of plot is known and suits the array.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return False
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if how == "line":
        _line(figure, name, values, axes, across)
    elif how == "bar":
        _bar(figure, name, values, axes)
    elif isinstance(how, dict) and "images" in how:
        rows, columns = how["images"]
        if values.shape[-1:] != (rows * columns,):
            return False
        _images(figure, values.reshape(-1, rows, columns), axes)
    else:
        return False
    title = f"{name}[{', '.join(axes)}]" if axes else name
    figure.suptitle(title, color=INK, fontsize=12, fontweight="bold")
    if doc:
        figure.supxlabel(doc if len(doc) <= 100 else doc[:99] + "…", color="#555555", fontsize=8)
    figure.savefig(path, metadata={"Software": None})
    return True


def _frame(figure: Any, across: str, up: str) -> Any:
    axis = figure.add_subplot()
    axis.set_xlabel(across, color=INK)
    axis.set_ylabel(up, color=INK)
    axis.tick_params(colors=INK, labelsize=9)
    axis.grid(True, color="#e3e3e3", linewidth=0.6)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#8a8a8a")
    return axis


def _line(figure: Any, name: str, values: Any, axes: Sequence[str], across: Sequence[float] | None = None) -> None:
    """The first axis runs across; every other index is a line."""
    lines = values.reshape(values.shape[0] if values.ndim else 1, -1)
    axis = _frame(figure, axes[0] if axes else "", name)
    count = lines.shape[1]
    named = 1 < count <= MOST_NAMED
    indices = list(np.ndindex(*values.shape[1:]))
    shades = None
    if count > MOST_NAMED:
        from matplotlib import colormaps

        shades = colormaps["viridis"](np.linspace(0.0, 0.88, count))
    marker = "o" if len(lines) <= 3 else None
    for k in range(count):
        letters = zip(axes[1:], indices[k], strict=True)
        axis.plot(
            np.arange(len(lines)) if across is None else across,
            lines[:, k],
            color=COLOURS[k] if shades is None else shades[k],
            linewidth=1.6 if shades is None else 1.1,
            marker=marker,
            label=", ".join(f"{a} = {i}" for a, i in letters) if named else None,
        )
    axis.margins(x=0.02)
    if named:
        axis.legend(frameon=False, fontsize=9, labelcolor=INK)
    elif shades is not None:
        _shade_key(figure, axis, axes, count)
    _integers(axis.xaxis)


def _shade_key(figure: Any, axis: Any, axes: Sequence[str], count: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(0, (count - 1) / 0.88), "viridis")
    bar = figure.colorbar(scale, ax=axis, pad=0.02, boundaries=np.arange(-0.5, count), values=np.arange(count))
    bar.set_label(", ".join(axes[1:]), color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=9)
    _integers(bar.ax.yaxis)


def _bar(figure: Any, name: str, values: Any, axes: Sequence[str]) -> None:
    """One bar per index of the first axis; a second axis gives groups of bars."""
    groups = values.reshape(values.shape[0] if values.ndim else 1, -1)
    axis = _frame(figure, axes[0] if axes else "", name)
    axis.grid(False, axis="x")
    count = groups.shape[1]
    width = 0.8 / count
    for k in range(count):
        at = np.arange(len(groups)) + (k - (count - 1) / 2) * width
        label = f"{', '.join(axes[1:])} = {k}" if 1 < count <= MOST_NAMED else None
        axis.bar(at, groups[:, k], width, color=COLOURS[k % len(COLOURS)], label=label)
    axis.axhline(0, color="#8a8a8a", linewidth=0.8)
    if 1 < count <= MOST_NAMED:
        axis.legend(frameon=False, fontsize=9, labelcolor=INK)
    if len(groups) <= 20:
        axis.set_xticks(np.arange(len(groups)))
    else:
        _integers(axis.xaxis)


def _images(figure: Any, images: Any, axes: Sequence[str]) -> None:
    """A grid of grey images on one scale, each with its index."""
    shown = images[:MOST_IMAGES]
    columns = min(len(shown), 5 if len(shown) <= 10 else 8)
    rows = -(-len(shown) // columns)
    figure.set_size_inches(max(3.2, 1.15 * columns + 0.9), 1.3 * rows * images.shape[1] / images.shape[2] + 0.9)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    if low == high:
        high = low + 1.0
    grid = figure.subplots(rows, columns, squeeze=False)
    drawn = None
    for k, axis in enumerate(grid.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_visible(k < len(shown))
        for spine in axis.spines.values():
            spine.set_color("#c8c8c8")
        if k < len(shown):
            drawn = axis.imshow(shown[k], cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
            if len(axes) > 1:
                axis.set_title(f"{axes[0]} = {k}" if len(axes) == 2 else str(k), fontsize=8, color=INK, pad=3)
    bar = figure.colorbar(drawn, ax=list(grid.flat), shrink=0.8, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=8)


def _integers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))
