"""The kinds of plots. Each draws into a figure and says whether it suits the array.

Where an axis has coordinates it is drawn over them, else over its positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vspec.runtime.plot_style import (
    COLOURS,
    FRAME,
    INK,
    MOST_NAMED,
    MOST_POINTS,
    bar,
    frame,
    legend,
    limits,
    logarithmic,
    plain,
    scale,
    shade_key,
    shades,
    whole,
)

if TYPE_CHECKING:
    from vspec.runtime.plots import Drawing

MOST_IMAGES = 64
MOST_FIELDS = 12
MOST_ARROWS = 17
MOST_PATHS = 200


def line(figure: Any, d: Drawing) -> bool:
    """The first axis runs across; every other index is a line."""
    values = d.values
    lines = values.reshape(values.shape[0] if values.ndim else 1, -1)
    axis = frame(figure, d.axes[0] if d.axes else "", d.name)
    count = lines.shape[1]
    named = 1 < count <= MOST_NAMED
    indices = list(np.ndindex(*values.shape[1:]))
    colours = COLOURS if count <= MOST_NAMED else shades(count)
    across = d.across(0) if values.ndim else np.arange(1)
    for k in range(count):
        letters = zip(d.axes[1:], indices[k], strict=True)
        axis.plot(
            across,
            lines[:, k],
            color=colours[k],
            linewidth=1.7 if count <= MOST_NAMED else 1.1,
            marker="o" if len(lines) <= 3 else None,
            label=", ".join(f"{a} = {i}" for a, i in letters) if named else None,
        )
    axis.margins(x=0.02)
    if logarithmic(lines):
        axis.set_yscale("log")
    if named:
        legend(axis)
    elif count > MOST_NAMED:
        shade_key(figure, axis, ", ".join(d.axes[1:]), count)
    if not d.coordinates or d.coordinates[0] is None or d.history:
        whole(axis.xaxis)
    return True


def bars(figure: Any, d: Drawing) -> bool:
    """One bar per index of the first axis; a second axis gives groups of bars."""
    values = d.values
    groups = values.reshape(values.shape[0] if values.ndim else 1, -1)
    axis = frame(figure, d.axes[0] if d.axes else "", d.name)
    axis.grid(False, axis="x")
    count = groups.shape[1]
    width = 0.8 / count
    colours = COLOURS if count <= MOST_NAMED else shades(count)
    for k in range(count):
        at = np.arange(len(groups)) + (k - (count - 1) / 2) * width
        label = f"{', '.join(d.axes[1:])} = {k}" if 1 < count <= MOST_NAMED else None
        axis.bar(at, groups[:, k], width, color=colours[k], label=label)
    axis.axhline(0, color=FRAME, linewidth=0.8)
    if 1 < count <= MOST_NAMED:
        legend(axis)
    elif count > MOST_NAMED:
        shade_key(figure, axis, ", ".join(d.axes[1:]), count)
    if len(groups) <= 20:
        axis.set_xticks(np.arange(len(groups)))
    else:
        whole(axis.xaxis)
    return True


def images(figure: Any, d: Drawing) -> bool:
    """A grid of grey images on one scale, each with its index."""
    rows, columns = d.how["images"]
    if d.values.shape[-1:] != (rows * columns,):
        return False
    found = d.values.reshape(-1, rows, columns)
    shown = found[np.linspace(0, len(found) - 1, min(len(found), MOST_IMAGES)).astype(int)] if d.history else found
    shown = shown[:MOST_IMAGES]
    across = min(len(shown), 5 if len(shown) <= 10 else 8)
    down = -(-len(shown) // across)
    figure.set_size_inches(max(3.2, 1.15 * across + 0.9), 1.3 * down * rows / columns + 0.9)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    if low == high:
        high = low + 1.0
    grid = figure.subplots(down, across, squeeze=False)
    drawn = None
    for k, axis in enumerate(grid.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_visible(k < len(shown))
        for spine in axis.spines.values():
            spine.set_color(FRAME)
        if k < len(shown):
            drawn = axis.imshow(shown[k], cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
            if len(d.axes) > 1:
                title = f"{d.axes[0]} = {k}" if len(d.axes) == 2 and not d.history else str(k)
                plain(axis.set_title(title, fontsize=8, color=INK, pad=3))
    bar(figure, drawn, list(grid.flat))
    return True


def path(figure: Any, d: Drawing) -> bool:
    """Tracks in the plane or in space: the first axis is time, the last runs over two or three coordinates.

    Time is told by the colour where there is one track; several have a colour each. A ring is where a track starts, a dot
    where it ends.
    """
    values = d.values
    if values.ndim < 2 or values.shape[-1] not in (2, 3):
        return False
    tracks = values.reshape(values.shape[0], -1, values.shape[-1])[:, :MOST_PATHS]
    count, solid = tracks.shape[1], values.shape[-1] == 3
    last = d.axes[-1]
    axis = (
        _space(figure, d.name, last)
        if solid
        else _plane(figure, f"{d.name}[{last} = 0]", f"{d.name}[{last} = 1]", tracks)
    )
    colours = COLOURS if count <= MOST_NAMED else shades(count)
    indices = list(np.ndindex(*values.shape[1:-1]))
    for k in range(count):
        track = tracks[:, k]
        name = ", ".join(f"{a} = {i}" for a, i in zip(d.axes[1:-1], indices[k])) if 1 < count <= MOST_NAMED else None
        if count == 1 and len(track) > 2:
            _shaded(axis, track)
        else:
            axis.plot(*track.T, color=colours[k], linewidth=1.4 if count <= MOST_NAMED else 0.9, label=name)
        ends = shades(2) if count == 1 else (colours[k], colours[k])
        size = 22 if count <= MOST_NAMED else 8
        axis.scatter(*track[:1].T, s=size, facecolors="none", edgecolors=[ends[0]], linewidths=1.2, zorder=3)
        axis.scatter(*track[-1:].T, s=size, color=[ends[1]], zorder=3)
    if 1 < count <= MOST_NAMED:
        legend(axis)
    elif count == 1 and len(tracks) > 2:
        known = d.coordinates[0] if d.coordinates else None
        shade_key(figure, axis, d.axes[0], len(tracks), known)
    elif count > MOST_NAMED:
        shade_key(figure, axis, ", ".join(d.axes[1:-1]), count)
    return True


def _shaded(axis: Any, track: Any) -> None:
    """A line whose colour runs with time, in at most 64 pieces."""
    pieces = min(64, len(track) - 1)
    cuts = np.linspace(0, len(track) - 1, pieces + 1).astype(int)
    for colour, first, after in zip(shades(pieces), cuts, cuts[1:]):
        axis.plot(*track[first : after + 1].T, color=colour, linewidth=1.6, solid_capstyle="round")


def _plane(figure: Any, across: str, up: str, points: Any) -> Any:
    """Axes of a plane; with equal units where the points spread about as far both ways."""
    axis = frame(figure, across, up)
    known = points.reshape(-1, points.shape[-1])[:, :2]
    known = known[np.isfinite(known).all(axis=1)]
    if len(known):
        spread = np.ptp(known, axis=0)
        if spread.min() > 0 and spread.max() / spread.min() < 3:
            axis.set_aspect("equal", adjustable="datalim")
    return axis


def _space(figure: Any, name: str, last: str) -> Any:
    from matplotlib.ticker import MaxNLocator

    axis = figure.add_subplot(projection="3d")
    for k, setter in enumerate((axis.set_xlabel, axis.set_ylabel, axis.set_zlabel)):
        plain(setter(f"{name}[{last} = {k}]", color=INK, fontsize=9))
    axis.tick_params(colors=INK, labelsize=8)
    for side in (axis.xaxis, axis.yaxis, axis.zaxis):
        side.pane.fill = False
        side.pane.set_edgecolor(FRAME)
        side.set_major_locator(MaxNLocator(4))
    return axis


def field(figure: Any, d: Drawing) -> bool:
    """Values over a plane as colours: the last two axes run across and up. A further last axis of two makes arrows.

    What stands before these axes gives a picture each, on one scale.
    """
    own = d.values.ndim - d.history
    arrows = own >= 3 and d.values.shape[-1] == 2
    if own < 2:
        return False
    space = 3 if arrows else 2
    shape = d.values.shape[d.values.ndim - space :]
    found = d.values.reshape(-1, *shape)
    first = d.values.ndim - space
    kept = np.linspace(0, len(found) - 1, min(len(found), MOST_FIELDS)).astype(int)
    across, up = d.across(first), d.across(first + 1)
    columns = min(len(kept), 3 if len(kept) < 9 else 4)
    rows = -(-len(kept) // columns)
    if len(kept) > 1:
        figure.set_size_inches(2.5 * columns + 0.9, 2.3 * rows + 0.8)
    indices = list(np.ndindex(*d.values.shape[:first]))
    axes = []
    drawn = None
    strength = np.hypot(found[..., 0], found[..., 1]) if arrows else found
    low, high, signed = limits(strength[kept])
    for place, k in enumerate(kept, 1):
        axis = frame(figure, d.axes[first], d.axes[first + 1], (rows, columns, place))
        axis.grid(False)
        axes.append(axis)
        if arrows:
            drawn = _arrows(axis, found[k], across, up, low, high)
        else:
            drawn = axis.imshow(
                found[k].T,
                origin="lower",
                extent=(*_edges(across), *_edges(up)),
                cmap=scale(signed),
                vmin=low,
                vmax=high,
                interpolation="nearest",
                aspect="equal" if _square(across, up) else "auto",
            )
        if len(kept) > 1:
            at = [*indices[k]]
            if d.history:
                at[0] = f"{d.across(0)[at[0]]:g}"
            named = ", ".join(f"{a} = {i}" for a, i in zip(d.axes[:first], at))
            plain(axis.set_title(named, fontsize=8, color=INK, pad=3))
            axis.label_outer()
    bar(figure, drawn, axes, f"|{d.name}|" if arrows else d.name)
    return True


def _arrows(axis: Any, values: Any, across: Any, up: Any, low: float, high: float) -> Any:
    """Arrows at up to `MOST_ARROWS` places each way, coloured by their length."""
    x = np.unique(np.linspace(0, len(across) - 1, min(len(across), MOST_ARROWS)).astype(int))
    y = np.unique(np.linspace(0, len(up) - 1, min(len(up), MOST_ARROWS)).astype(int))
    chosen = values[np.ix_(x, y)]
    strength = np.hypot(chosen[..., 0], chosen[..., 1])
    drawn = axis.quiver(
        across[x],
        up[y],
        chosen[..., 0].T,
        chosen[..., 1].T,
        strength.T,
        cmap=scale(),
        pivot="mid",
        angles="xy",
        width=0.005,
        clim=(low, high),
    )
    if _square(across, up):
        axis.set_aspect("equal")
    return drawn


def _edges(at: Any) -> tuple[float, float]:
    """The ends of the pixels around positions."""
    half = (at[-1] - at[0]) / (len(at) - 1) / 2 if len(at) > 1 else 0.5
    return float(at[0] - half), float(at[-1] + half)


def _square(across: Any, up: Any) -> bool:
    """Whether both axes extend about as far, so that their units may be equal."""
    widths = [b - a for a, b in (_edges(across), _edges(up))]
    return min(widths) > 0 and max(widths) / min(widths) < 3


def scatter(figure: Any, d: Drawing) -> bool:
    """Points in the plane: the last axis runs over two coordinates and, if there is a third, what colours the points.

    Without a third, the first of several other axes colours them.
    """
    values = d.values
    if values.ndim < 2 or values.shape[-1] not in (2, 3):
        return False
    last = d.axes[-1]
    points = values.reshape(-1, values.shape[-1])
    axis = _plane(figure, f"{d.name}[{last} = 0]", f"{d.name}[{last} = 1]", points)
    count = values.shape[0]
    size = float(np.clip(4000 / len(points), 4, 26))
    look: dict[str, Any] = {"s": size, "linewidths": 0, "alpha": 0.85, "rasterized": len(points) > MOST_POINTS}
    if values.shape[-1] == 3:
        low, high, signed = limits(points[:, 2])
        drawn = axis.scatter(*points[:, :2].T, c=points[:, 2], cmap=scale(signed), vmin=low, vmax=high, **look)
        bar(figure, drawn, axis, f"{d.name}[{last} = 2]")
        return True
    groups = values.reshape(count, -1, 2) if values.ndim > 2 or d.history else points[None]
    colours = COLOURS if len(groups) <= MOST_NAMED else shades(len(groups))
    for k, group in enumerate(groups):
        label = f"{d.axes[0]} = {d.across(0)[k]:g}" if 1 < len(groups) <= MOST_NAMED else None
        axis.scatter(*group.T, color=colours[k], label=label, **look)
    if 1 < len(groups) <= MOST_NAMED:
        legend(axis)
    elif len(groups) > MOST_NAMED:
        shade_key(figure, axis, d.axes[0], len(groups), d.coordinates[0] if d.coordinates else None)
    return True


KINDS: Mapping[str, Callable[[Any, Drawing], bool]] = {
    "line": line,
    "bar": bars,
    "images": images,
    "path": path,
    "field": field,
    "scatter": scatter,
}
