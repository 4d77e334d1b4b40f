"""Writes the results of a run as one folder: aside first, then renamed, so that no half-written folder has its name."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime import kept
from vspec.runtime.errors import ArtifactError
from vspec.runtime.plots import drawings, plot

MARK = "run.json"


def write(
    folder: Path,
    manifest: Mapping[str, Any],
    facts: Mapping[str, Any],
    params: Mapping[str, Any],
    outputs: Mapping[str, Any],
    metrics: list[dict[str, Any]],
    histories: Mapping[str, Sequence[int]] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Path:
    """Write params.npz, outputs.npz, outputs.json, metrics.jsonl, run.json, a PNG per plotted output, and the program's texts.

    Args:
        folder: the results folder; results of an earlier run there are replaced.
        manifest: the program's manifest, for axes and plots.
        facts: what goes into run.json.
        params: name → NumPy array.
        outputs: name → NumPy array.
        metrics: the rows of metrics.jsonl.
        histories: of each output whose first axis is that of a history, the steps at which its rows were taken.
        texts: files of the program, which go into a folder of their own, `program`.

    Returns:
        The folder.

    Raises:
        ArtifactError: VS0808, if the folder cannot be written, or holds something that is not a run's result.
    """
    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not _replaceable(folder)):
        raise ArtifactError(
            "VS0808", f"'{folder}' exists and is not the result of a run; it is left as it is", "choose another folder"
        )
    aside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        os.chmod(aside, 0o777 & ~_umask())
        _fill(aside, manifest, facts, params, outputs, metrics, histories or {})
        kept.write(aside, texts or {})
        _swap(aside, folder)
    except OSError as e:
        raise ArtifactError("VS0808", f"results cannot be written to '{folder}': {e.strerror or e}") from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MARK).is_file() or not any(folder.iterdir()))


def _swap(new: Path, folder: Path) -> None:
    if not folder.exists():
        new.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent)) / "results"
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)


def _fill(
    folder: Path,
    manifest: Mapping[str, Any],
    facts: Mapping[str, Any],
    params: Mapping[str, Any],
    outputs: Mapping[str, Any],
    metrics: list[dict[str, Any]],
    histories: Mapping[str, Sequence[int]],
) -> None:
    np.savez(folder / "params.npz", **params)
    np.savez(folder / "outputs.npz", **outputs)
    scalars = {name: plain(np.asarray(v).item()) for name, v in outputs.items() if np.ndim(v) == 0}
    (folder / "outputs.json").write_text(dumps(scalars), encoding="utf-8")
    rows = "".join(json.dumps(plain(row), allow_nan=False) + "\n" for row in metrics)
    (folder / "metrics.jsonl").write_text(rows, encoding="utf-8")
    for drawing in drawings(manifest, outputs, histories, facts.get("constants")):
        plot(folder / f"{drawing.name}.png", drawing)
    (folder / MARK).write_text(dumps(facts), encoding="utf-8")


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
