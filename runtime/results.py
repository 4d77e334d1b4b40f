"""Writes the results of a run as one folder: aside first, then renamed, so that no half-written folder has its name."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime import kept
from vspec.runtime.folder import MARK, RunFolder, write_json
from vspec.runtime.metrics import lines, write_parquet
from vspec.runtime.plots import drawings, plot


def write(
    folder: RunFolder,
    manifest: Mapping[str, Any],
    facts: Mapping[str, Any],
    params: Mapping[str, Any],
    outputs: Mapping[str, Any],
    metrics: list[dict[str, Any]],
    histories: Mapping[str, Sequence[int]] | None = None,
    texts: Mapping[str, str] | None = None,
    keep_checkpoints: bool = False,
) -> Path:
    """Write params.npz, outputs.npz, outputs.json, metrics.jsonl, metrics.parquet, run.json, a PNG per plotted output, and the
    program's texts.

    Args:
        folder: the results folder; what is there is replaced.
        manifest: the program's manifest, for axes and plots.
        facts: what goes into run.json.
        params: name → NumPy array.
        outputs: name → NumPy array.
        metrics: the rows of the metrics.
        histories: of each output whose first axis is that of a history, the steps at which its rows were taken.
        texts: files of the program, which go into a folder of their own, `program`.
        keep_checkpoints: whether the checkpoints of the run stay.

    Returns:
        The folder.

    Raises:
        OSError: it cannot be written; what is there is as it was.
    """
    aside = folder.aside()
    try:
        fill(aside, manifest, facts, params, outputs, metrics, histories or {}, texts or {})
        if keep_checkpoints and folder.checkpoints.is_dir():
            shutil.copytree(folder.checkpoints, aside / folder.checkpoints.name)
        folder.exchange(aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder.path


def fill(
    folder: Path,
    manifest: Mapping[str, Any],
    facts: Mapping[str, Any],
    params: Mapping[str, Any],
    outputs: Mapping[str, Any],
    metrics: list[dict[str, Any]],
    histories: Mapping[str, Sequence[int]],
    texts: Mapping[str, str],
) -> None:
    """The files of `write` in a folder that is there. Raises `OSError`."""
    np.savez(folder / "params.npz", **params)
    np.savez(folder / "outputs.npz", **outputs)
    scalars = {name: plain(np.asarray(v).item()) for name, v in outputs.items() if np.ndim(v) == 0}
    (folder / "outputs.json").write_text(dumps(scalars), encoding="utf-8")
    (folder / "metrics.jsonl").write_text(lines(metrics), encoding="utf-8")
    write_parquet(folder / "metrics.parquet", metrics)
    for drawing in drawings(manifest, outputs, histories, facts.get("constants")):
        plot(folder / f"{drawing.name}.png", drawing)
    kept.write(folder, texts)
    write_json(folder / MARK, facts)


def dumps(value: Any) -> str:
    """JSON with numbers that JSON lacks as text ("nan", "inf")."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Only dicts, lists, strings and finite numbers; a complex number is the list of its parts."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
