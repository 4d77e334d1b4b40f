"""The plot of a sweep: each output against what is swept, the seeds as spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from vspec.runtime.plot_style import COLOURS, INK
from vspec.runtime.sweep.rows import Row, number, scalars

MOST_PANELS = 6
"""Outputs that are drawn; the table has all."""
MOST_LINES = 6
"""Lines of one panel; a second constant with more values makes a map instead."""
_WIDTH, _HEIGHT, _DPI = 5.2, 3.4, 150


def draw(out: BinaryIO, name: str, swept: Sequence[str], rows: Sequence[Row]) -> bool:
    """Draw a sweep into a PNG file.

    With one constant a line through the means over seeds, the spread from the least to the largest as a band, and the points.
    With two, one line for each value of the one with fewer, or a map where both have many. With more, the output against each.
    Without a constant, the output of each seed. A point that failed is a cross at the foot.

    Args:
        out: the file.
        name: what the title says.
        swept: the constants and sizes.
        rows: the rows of all points.

    Returns:
        Whether there is anything to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = {n: [number(r["outputs"].get(n)) for r in rows] for n in scalars(rows)}
    # Where the spec has no output that is a number, the objective tells something.
    found = found or {"objective": [number((r["stages"] or [{}])[-1].get("value")) for r in rows]}
    outputs = [(n, np.asarray(v)) for n, v in found.items() if np.isfinite(v).any()][:MOST_PANELS]
    if not outputs:
        return False
    across = [[number(r["point"][n]) for r in rows] for n in swept] or [[float(r["seed"]) for r in rows]]
    axes = list(zip(swept or ["seed"], (np.asarray(a) for a in across), strict=True))
    # The one with most values runs across; of a third and further, each has a column of its own.
    axes.sort(key=lambda a: -len(np.unique(a[1])))
    failed = np.asarray([r["error"] is not None for r in rows])
    many = len(axes) > 2
    columns = len(axes) if many else min(len(outputs), 3)
    height = len(outputs) if many else -(-len(outputs) // columns)
    figure = Figure(
        figsize=(_WIDTH * columns, _HEIGHT * height + 0.4), dpi=_DPI, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(height, columns, squeeze=False)
    panels = list(grid.flat)
    for k, (output, values) in enumerate(outputs):
        if many:
            for axis, (label, x) in zip(grid[k], axes, strict=True):
                _frame(axis, label, output)
                _line(axis, x, values, failed, COLOURS[0])
        elif len(axes) == 1:
            _frame(panels[k], axes[0][0], output)
            _line(panels[k], axes[0][1], values, failed, COLOURS[0], joined=bool(swept))
        elif len(np.unique(axes[1][1])) <= MOST_LINES:
            _lines(panels[k], axes, values, failed, output)
        else:
            _map(figure, panels[k], axes, values, output)
    for axis in [] if many else panels[len(outputs) :]:
        axis.set_visible(False)
    seeds = len({r["seed"] for r in rows})
    spread = f", {seeds} seeds" if seeds > 1 else ""
    lost = f", {int(failed.sum())} failed" if failed.any() else ""
    figure.suptitle(f"{name}: {len(rows)} points{spread}{lost}", color=INK, fontsize=12, fontweight="bold")
    figure.savefig(out, format="png", metadata={"Software": None})
    return True


def geometric(x: Any) -> bool:
    """Whether values are spread over ratios rather than differences: positive, and over more than a factor of 20."""
    found = np.unique(np.asarray(x, dtype=float))
    if len(found) < 3 or found[0] <= 0 or found[-1] / found[0] < 20:
        return False
    ratios, steps = np.diff(np.log(found)), np.diff(found)
    return bool(np.std(ratios) / np.mean(ratios) < np.std(steps) / np.mean(steps))


def _frame(axis: Any, across: str, up: str) -> None:
    axis.set_xlabel(across, color=INK)
    axis.set_ylabel(up, color=INK)
    axis.tick_params(colors=INK, labelsize=9)
    axis.grid(True, color="#e3e3e3", linewidth=0.6)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#8a8a8a")


def _line(
    axis: Any, x: Any, values: Any, failed: Any, colour: str, label: str | None = None, joined: bool = True
) -> None:
    """Means over the points with the same x, the band between the least and the largest, and all points."""
    places = np.unique(x)
    if geometric(x):
        axis.set_xscale("log")
    elif np.all(places == np.round(places)):
        _whole(axis.xaxis)
    good = np.isfinite(values)
    groups = [(p, values[good & (x == p)]) for p in places]
    groups = [(p, v) for p, v in groups if len(v)]
    if groups and joined:
        at = [p for p, _ in groups]
        axis.plot(at, [v.mean() for _, v in groups], color=colour, linewidth=1.6, label=label)
        if any(len(v) > 1 for _, v in groups):
            axis.fill_between(
                at, [v.min() for _, v in groups], [v.max() for _, v in groups], color=colour, alpha=0.15, linewidth=0
            )
    axis.plot(x[good], values[good], "o", color=colour, markersize=3.5, alpha=0.7, markeredgewidth=0)
    _crosses(axis, x[failed])


def _lines(axis: Any, axes: Any, values: Any, failed: Any, output: str) -> None:
    (across, x), (other, y) = axes
    _frame(axis, across, output)
    for k, value in enumerate(np.unique(y)):
        mine = y == value
        _line(axis, x[mine], values[mine], failed[mine], COLOURS[k % len(COLOURS)], f"{value:g}")
    if geometric(x):
        axis.set_xscale("log")
    key = axis.legend(title=other, frameon=False, fontsize=8, title_fontsize=9, labelcolor=INK)
    key.get_title().set_color(INK)


def _map(figure: Any, axis: Any, axes: Any, values: Any, output: str) -> None:
    """Means over seeds as colours; a square without a colour has none."""
    (across, x), (up, y) = axes
    columns, lines = np.unique(x), np.unique(y)
    means = np.full((len(lines), len(columns)), math.nan)
    for r, b in enumerate(lines):
        for c, a in enumerate(columns):
            found = values[(x == a) & (y == b) & np.isfinite(values)]
            if len(found):
                means[r, c] = found.mean()
    drawn = axis.pcolormesh(np.arange(len(columns)), np.arange(len(lines)), means, cmap="viridis", shading="nearest")
    _ticks(axis.xaxis, axis.set_xticks, columns)
    _ticks(axis.yaxis, axis.set_yticks, lines)
    axis.set_xlabel(across, color=INK)
    axis.set_ylabel(up, color=INK)
    axis.tick_params(colors=INK, labelsize=8)
    bar = figure.colorbar(drawn, ax=axis, pad=0.02)
    bar.set_label(output, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=8)


def _ticks(axis: Any, put: Any, values: Any) -> None:
    shown = range(0, len(values), -(-len(values) // 10))
    put(shown, [f"{values[k]:.3g}" for k in shown])


def _crosses(axis: Any, x: Any) -> None:
    if len(x):
        axis.plot(
            x,
            np.full(len(x), 0.03),
            "x",
            color="#b33a4e",
            markersize=6,
            transform=axis.get_xaxis_transform(),
            clip_on=False,
        )


def _whole(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))
