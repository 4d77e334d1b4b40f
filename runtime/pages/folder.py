"""The folder of a run's results, read as far as it can be read: what is missing or damaged is left out and said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime import kept
from vspec.runtime.errors import ArtifactError

RUN, METRICS, LAST_GOOD = "run.json", "metrics.jsonl", "last-good.npz"


@dataclass(frozen=True)
class Results:
    """What a run left.

    Attributes:
        folder: where it is.
        facts: run.json.
        params: name → array; of a run that failed the last ones that were finite, where it kept them.
        outputs: name → array.
        metrics: the rows of metrics.jsonl.
        texts: the texts of the program that were kept, by file name.
        missing: what could not be read, in sentences.
    """

    folder: Path
    facts: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the run came to its end: only then are there outputs and claims."""
        return bool(self.facts.get("status", "ended") == "ended")

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the program that ran; empty if it was not kept."""
        return _object(self.texts.get("manifest.json", ""))

    @property
    def report(self) -> dict[str, Any]:
        """The report of the program's build; empty if it was not kept."""
        return _object(self.texts.get("report.json", ""))


def read(folder: Path) -> Results:
    """Read the results of a run.

    Raises:
        ArtifactError: VS0850, the folder has no run.json that can be read.
    """
    try:
        text = (folder / RUN).read_text(encoding="utf-8")
    except FileNotFoundError:
        tip = "'vspec run SPEC' writes the results of a run into results/NAME"
        raise ArtifactError(
            "VS0850", f"'{folder}' has no run.json, so that it is not the result of a run", tip
        ) from None
    except (OSError, ValueError) as e:
        raise ArtifactError("VS0850", f"'{folder / RUN}' cannot be read: {e}") from None
    facts = _object(text)
    if not isinstance(facts.get("name"), str):
        raise ArtifactError("VS0850", f"'{folder / RUN}' does not tell of a run", "run the spec again")
    missing: list[str] = []
    if facts.get("status", "ended") == "ended":
        params, outputs = (_arrays(folder / f"{name}.npz", missing) for name in ("params", "outputs"))
    else:
        params, outputs = _arrays(folder / LAST_GOOD, []), {}
        missing.append(f"the run is {facts['status']}: it has no outputs, and its claims are not judged")
    return Results(
        folder,
        facts,
        params,
        outputs,
        _rows(folder / METRICS, missing),
        kept.read(folder / kept.FOLDER),
        tuple(missing),
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _arrays(path: Path, missing: list[str]) -> dict[str, Any]:
    """The arrays of a file; no file of ours is pickled, and none is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except FileNotFoundError:
        missing.append(f"{path.name} is not there")
    except Exception as e:  # what a damaged archive raises is anyone's guess
        missing.append(f"{path.name} cannot be read: {type(e).__name__}")
    return {}


def _rows(path: Path, missing: list[str]) -> tuple[Mapping[str, Any], ...]:
    """The rows of a file of JSON lines, as far as they are whole."""
    rows = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = _object(line)
            if row:
                rows.append(row)
    except FileNotFoundError:
        missing.append(f"{path.name} is not there")
    except (OSError, ValueError) as e:
        missing.append(f"{path.name} cannot be read: {type(e).__name__}")
    return tuple(rows)
