"""Curves over steps as SVG that takes its colours from the page: no drawing library, equal numbers give equal text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vspec.runtime.pages.html import Html, tag

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 38
MOST_POINTS = 400
MOST_HITS = 60
SHADES = 8


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over positions; what is not finite is a gap. `label` tells it from the other curves of a chart."""

    across: Sequence[float]
    values: Sequence[float]
    label: str = ""


def number(value: float) -> str:
    """A figure for people: up to six digits."""
    return f"{value:.6g}"


def logarithmic(values: Sequence[float], spread: float = 50.0) -> bool:
    """Whether values are better shown by their logarithm: all above zero, and far apart."""
    known = [v for v in values if math.isfinite(v)]
    return bool(known) and min(known) > 0 and max(known) / min(known) >= spread


def chart(curves: Sequence[Curve], across: str, up: str, log: bool | None = None) -> Html:
    """A chart of curves with axes; each point tells its figures where a pointer rests on it.

    Args:
        curves: what is drawn; nothing is returned where none has a finite value.
        across: the name of the axis that runs across.
        up: the name of what is drawn.
        log: whether the axis up is logarithmic; where it suits the values if None.
    """
    every = [v for c in curves for v in c.values if math.isfinite(v)]
    if not every:
        return Html("")
    log = logarithmic(every) if log is None else log
    if log:
        curves = [Curve(c.across, [v if v > 0 else math.nan for v in c.values], c.label) for c in curves]
        every = [v for v in every if v > 0]
        if not every:
            return Html("")
    first = min(x for c in curves for x in c.across)
    last = max(x for c in curves for x in c.across)
    down, top = _limits(min(every), max(every), log)

    def place(x: float, v: float) -> tuple[float, float]:
        share = (x - first) / (last - first) if last > first else 0.5
        height = (math.log10(v) - down) / (top - down) if log else (v - down) / (top - down)
        return (
            LEFT + share * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - height * (HEIGHT - TOP - BOTTOM),
        )

    parts = [*_grid(down, top, log), *_ticks(first, last)]
    for k, c in enumerate(curves):
        parts += _curve(c, place, f"var(--c{k % SHADES})", across, up)
    parts.append(_label(f"{across}", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle"))
    title = (
        f"{up} over {across}{', logarithmic' if log else ''}: from {number(_first(curves))} to {number(_last(curves))}"
    )
    made = tag(
        "svg",
        tag("title", title),
        parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        aria_label=title,
        font_size=11,
    )
    labels = [c.label for c in curves if c.label]
    key = [_key(k, label) for k, label in enumerate(labels)] if 1 < len(labels) <= SHADES else []
    return tag("figure", tag("h4", up, tag("span", " (logarithmic)", class_="soft") if log else None), made, key)


def _first(curves: Sequence[Curve]) -> float:
    return next((v for c in curves for v in c.values if math.isfinite(v)), math.nan)


def _last(curves: Sequence[Curve]) -> float:
    return next((v for c in curves for v in reversed(c.values) if math.isfinite(v)), math.nan)


def _key(k: int, label: str) -> Html:
    mark = tag("span", "●", style=f"color:var(--c{k % SHADES})", aria_hidden="true")
    return tag("span", mark, f" {label}  ", class_="note")


def _limits(low: float, high: float, log: bool) -> tuple[float, float]:
    if log:
        low, high = math.log10(low), math.log10(high)
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        room = 0.5 if log else max(abs(low) * 0.1, 1e-12)
    else:
        room = 0.06 * (high - low)
    return low - room, high + room


def _curve(c: Curve, place: object, colour: str, across: str, up: str) -> list[Html]:
    at = place
    assert callable(at)
    kept = thinned(c.values, MOST_POINTS)
    runs: list[list[str]] = [[]]
    for k in kept:
        if math.isfinite(c.values[k]):
            x, y = at(c.across[k], c.values[k])
            runs[-1].append(f"{x:.1f} {y:.1f}")
        elif runs[-1]:
            runs.append([])
    made = [
        tag(
            "path",
            d="M" + "L".join(run),
            fill="none",
            stroke=colour,
            stroke_width="1.8",
            stroke_linejoin="round",
            stroke_linecap="round",
        )
        for run in runs
        if run
    ]
    hits = thinned(c.values, MOST_HITS)
    few = len(c.values) <= 30
    for k in hits:
        if not math.isfinite(c.values[k]):
            continue
        x, y = at(c.across[k], c.values[k])
        said = f"{c.label + ', ' if c.label else ''}{across} {number(c.across[k])}: {up} = {number(c.values[k])}"
        if few:
            made.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="2.6", fill=colour))
        made.append(tag("circle", tag("title", said), cx=f"{x:.1f}", cy=f"{y:.1f}", r="7", class_="hit"))
    return made


def thinned(values: Sequence[float], most: int) -> list[int]:
    """The positions of at most about `most` values that keep the shape: of each stretch its least and its greatest."""
    count = len(values)
    if count <= most:
        return list(range(count))
    found = {0, count - 1}
    stretches = max(1, most // 2)
    for s in range(stretches):
        stretch = range(s * count // stretches, max(s * count // stretches + 1, (s + 1) * count // stretches))
        known = [k for k in stretch if math.isfinite(values[k])]
        found |= {min(known, key=lambda k: values[k]), max(known, key=lambda k: values[k])} if known else {stretch[0]}
    return sorted(found)


def _grid(down: float, top: float, log: bool) -> list[Html]:
    made = []
    for value in _marks(down, top, log):
        share = (value - down) / (top - down)
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        made.append(
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", stroke="var(--grid)", stroke_width=1)
        )
        said = _power(value) if log else f"{value:.4g}"
        made.append(_label(said, LEFT - 8, y + 3.6, "end"))
    base = HEIGHT - BOTTOM
    made.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, stroke="var(--frame)", stroke_width=1))
    return made


_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def _power(exponent: float) -> str:
    if exponent == int(exponent):
        return "10" + str(int(exponent)).translate(_RAISED)
    return f"{10**exponent:.2g}"


def _ticks(first: float, last: float) -> list[Html]:
    if last <= first:
        return [_label(number(first), (LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 15, "middle")]
    made = []
    for value in _marks(first, last, False, 5):
        x = LEFT + (value - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        made.append(_label(number(value), x, HEIGHT - BOTTOM + 15, "middle"))
    return made


def _marks(low: float, high: float, log: bool, most: int = 5) -> list[float]:
    """Round numbers between two ends; of logarithms whole exponents, where there are at least two."""
    if log:
        first, last = math.ceil(low), math.floor(high)
        if last - first >= 1:
            stride = -(-(last - first) // most) or 1
            return [float(e) for e in range(first, last + 1, stride)]
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= rough * 0.999)
    found = []
    value = math.ceil(low / step - 1e-9) * step
    while value <= high + 1e-9 * step:
        found.append(0.0 if abs(value) < 1e-9 * step else value)
        value += step
    return found


def _label(said: str, x: float, y: float, anchor: str) -> Html:
    return tag("text", said, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, fill="var(--soft)")
