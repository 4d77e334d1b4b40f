"""Draws outputs as PNG files and as SVG for pages: lines, bars, images, paths, fields, points. No window is ever opened."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.plot_style import DPI, HEIGHT, INK, SOFT, WIDTH, plain, variables


@dataclass(frozen=True)
class Drawing:
    """An output to be drawn.

    Attributes:
        name: the output's name, which becomes the title.
        values: its array, real.
        axes: the name of each axis.
        how: `line`, `bar`, `path`, `field`, `scatter` or `{"images": [rows, columns]}`.
        doc: a subtitle.
        coordinates: for each axis the coordinates of its positions, None where it has none.
        history: whether the first axis are the steps of the run.
    """

    name: str
    values: Any
    axes: tuple[str, ...]
    how: Any
    doc: str = ""
    coordinates: tuple[Any, ...] = ()
    history: bool = False

    def across(self, k: int) -> Any:
        """Where the positions of axis k are: its coordinates, else 0, 1, 2, ..."""
        known = self.coordinates[k] if k < len(self.coordinates) else None
        return np.arange(self.values.shape[k]) if known is None else np.asarray(known, dtype=np.float64)

    @property
    def title(self) -> str:
        """The output with its axes."""
        return f"{self.name}[{', '.join(self.axes)}]" if self.axes else self.name


def drawings(
    manifest: Mapping[str, Any],
    outputs: Mapping[str, Any],
    histories: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Iterator[Drawing]:
    """The outputs that the spec wants to be drawn.

    Args:
        manifest: the program's manifest, for axes, coordinates and kinds of plots.
        outputs: name → array.
        histories: of outputs that are histories, the steps at which their rows were taken.
        constants: the values of constants in the run; those of the manifest if None.
    """
    doc = str(manifest.get("doc") or "")
    for name, record in manifest["outputs"].items():
        values = np.asarray(outputs[name]) if name in outputs else np.empty(0)
        if not record.get("plot") or values.size == 0 or values.dtype.kind not in "biuf":
            continue
        steps = (histories or {}).get(name)
        axes = list(record["axes"]) if steps is None else ["step", *record["axes"]]
        if len(axes) != values.ndim:
            continue
        places = [None if a == "step" else coordinates(manifest, a, n, constants) for a, n in zip(axes, values.shape)]
        if steps is not None:
            places[0] = np.asarray(steps, dtype=np.float64)
        yield Drawing(
            name,
            values.astype(np.float64),
            tuple(axes),
            record["plot"],
            str(record.get("doc") or doc),
            tuple(places),
            steps is not None,
        )


def coordinates(manifest: Mapping[str, Any], dim: str, size: int, constants: Mapping[str, Any] | None = None) -> Any:
    """The coordinates of a dim's positions; None if it has none, or has them from constants that this run has set anew."""
    record = manifest.get("dims", {}).get(dim, {}).get("coordinates")
    if record is None:
        return None
    declared = manifest.get("constants", {})
    for name in record["constants"]:
        if constants is not None and constants.get(name) != declared.get(name, {}).get("value"):
            return None
    count = size if record["periodic"] else size - 1
    return record["from"] + np.arange(size) * ((record["to"] - record["from"]) / max(count, 1))


def plot(path: Path, drawing: Drawing) -> bool:
    """Draw one output into a PNG file. Returns whether its kind of plot suits the array; if not, there is no file."""
    figure = _figure(drawing, "white")
    if figure is None:
        return False
    figure.savefig(path, metadata={"Software": None})
    return True


def svg(drawing: Drawing, prefix: str) -> str | None:
    """One output as an SVG element in the colours of the page around it, or None if its kind of plot does not suit it.

    Equal drawings give equal text. The ids in it start with `prefix`.
    """
    import matplotlib

    settings = {"svg.fonttype": "none", "svg.hashsalt": "vspec", "svg.image_inline": True}
    with matplotlib.rc_context(settings):
        figure = _figure(drawing, "none")
        if figure is None:
            return None
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    found = text.getvalue()
    found = found[found.index("<svg") :]
    found = re.sub(r"<metadata>.*?</metadata>", "", found, flags=re.DOTALL)
    found = re.sub(r'\bid="', f'id="{prefix}', found)
    found = re.sub(r'(url\(|href=")#', rf"\1#{prefix}", found)
    found = re.sub(r"(font: [^;\"]*?)'[^;\"]*?(?=[;\"])", r"\1system-ui, sans-serif", found)
    label = _escaped(f"{drawing.title}, drawn as {drawing.how if isinstance(drawing.how, str) else 'images'}")
    found = found.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return variables(found).strip()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def _figure(drawing: Drawing, paper: str) -> Any:
    """The figure of an output, or None if its kind of plot does not suit the array."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from vspec.runtime.plot_kinds import KINDS

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained", facecolor=paper)
    FigureCanvasAgg(figure)
    kind = drawing.how if isinstance(drawing.how, str) else next(iter(drawing.how), "")
    draw = KINDS.get(kind)
    if draw is None or drawing.values.size == 0 or not draw(figure, drawing):
        return None
    plain(figure.suptitle(drawing.title, color=INK, fontsize=12, fontweight="bold"))
    if drawing.doc:
        short = drawing.doc if len(drawing.doc) <= 100 else drawing.doc[:99] + "…"
        plain(figure.supxlabel(short, color=SOFT, fontsize=8))
    return figure
