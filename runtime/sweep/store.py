"""The folder of a sweep: one file per point, written as it ends, and what says which sweep it is.

sweep.json        what is swept, of which program, on which data, and how far it is
points/KEY.npz    params and outputs of a point
points/KEY.json   its row, written after the arrays: a point is done where this file is
table.csv, table.parquet, sweep.png    at the end
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np

from vspec.runtime.errors import ArtifactError
from vspec.runtime.folder import Lock
from vspec.runtime.results import dumps

HEAD = "sweep.json"
POINTS = "points"
VERSION = 1
_WORDS = {
    "spec": "the spec",
    "run": "the run",
    "settings": "what --set gives",
    "options": "the optimisation level",
    "data": "the data",
}


class Store:
    """A sweep's folder. Whatever is written is written aside first and then renamed, so that no file is there by half."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: Lock | None = None

    def begin(self, head: Mapping[str, Any], resume: bool, force: bool) -> None:
        """Make the folder ready.

        Args:
            head: what sweep.json says; `identity` must be that of the sweep that is resumed.
            resume: go on with the points that are not done.
            force: throw away the points of a sweep that was not finished.

        Raises:
            ArtifactError: VS0884, the sweep there is another one; VS0885, it is not finished, and nobody said what to do with
                it, or there is none to go on with; VS0843, another process writes there; VS0808, it cannot be written.
        """
        found = self.head()
        if found is None and self.folder.exists() and not self._free():
            raise ArtifactError(
                "VS0808", f"'{self.folder}' exists and is not the result of a sweep", "choose another folder"
            )
        if resume:
            self._same(found, head)
        elif found is not None and found.get("state") != "complete" and not force:
            raise ArtifactError(
                "VS0885",
                f"'{self.folder}' has {len(self.done())} points of a sweep that was not finished",
                "go on with it by --resume, or throw them away by --force",
            )
        with self._writing():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder)
            try:
                (self.folder / POINTS).mkdir(parents=True, exist_ok=True)
                if not resume:
                    self._clear()
                self.say({**head, "state": "running"})
            except BaseException:
                self.close()
                raise

    def _free(self) -> bool:
        """Whether the folder is one without files of others."""
        return self.folder.is_dir() and not any(self.folder.iterdir())

    def _same(self, found: Mapping[str, Any] | None, head: Mapping[str, Any]) -> None:
        """Raise `ArtifactError` unless the sweep that is there is this one, up to its grid and seeds."""
        if found is None:
            raise ArtifactError(
                "VS0885", f"there is no sweep in '{self.folder}' to go on with", "leave --resume out to begin one"
            )
        old, new = found.get("identity") or {}, head["identity"]
        for part, value in new.items():
            if old.get(part) != value:
                what = _WORDS.get(part, part)
                raise ArtifactError(
                    "VS0884",
                    f"the sweep in '{self.folder}' cannot go on: {what} is not what it was when it began",
                    "choose another folder with --out, or begin anew with --force instead of --resume",
                )

    def _clear(self) -> None:
        """Remove what an earlier sweep left; other files stay."""
        for path in [*(self.folder / POINTS).iterdir(), *(self.folder / n for n in ("table.csv", "table.parquet"))]:
            path.unlink(missing_ok=True)
        (self.folder / "sweep.png").unlink(missing_ok=True)

    def close(self) -> None:
        """Let others in."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def head(self) -> dict[str, Any] | None:
        """What sweep.json says; None where there is none."""
        return _read(self.folder / HEAD)

    def say(self, head: Mapping[str, Any]) -> None:
        """Write sweep.json."""
        self.write(HEAD, lambda out: out.write(dumps(head).encode()))

    def done(self) -> dict[str, dict[str, Any]]:
        """Key → row, of every point that is done. A file that is no row is as if it were not there."""
        found = {}
        for path in sorted((self.folder / POINTS).glob("*.json")):
            row = _read(path)
            if row is not None and {"point", "seed", "outputs", "stages"} <= row.keys():
                found[path.stem] = row
        return found

    def save(self, key: str, row: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """A point that is done: its arrays, then its row."""
        if arrays:
            self.write(f"{POINTS}/{key}.npz", lambda out: np.savez(out, **arrays))
        self.write(f"{POINTS}/{key}.json", lambda out: out.write(dumps(row).encode()))

    def arrays(self, key: str) -> dict[str, Any]:
        """The arrays of a point that is done; none of one that failed. Raises `ArtifactError` VS0844 if they are damaged."""
        path = self.folder / POINTS / f"{key}.npz"
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as found:
                return dict(found)
        except (OSError, ValueError, BadZipFile):
            raise ArtifactError(
                "VS0844", f"'{path}' is not what the sweep has written", "begin the sweep anew with --force"
            ) from None

    def write(self, name: str, fill: Callable[[BinaryIO], Any]) -> None:
        """A file as a whole: on the disk before it has its name. Raises `ArtifactError` VS0808."""
        target = self.folder / name
        with self._writing():
            handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(handle, "wb") as out:
                    fill(out)
                    out.flush()
                    os.fsync(out.fileno())
                os.chmod(aside, 0o644)
                os.replace(aside, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(aside)
                raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise ArtifactError("VS0808", f"results cannot be written to '{self.folder}': {reason}") from None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
