"""Checkpoints of a run: written aside by Orbax, hashed, renamed; read back only if every byte is the one that was written.

A checkpoint is a folder `checkpoints/000123` with the arrays (`arrays`, Orbax's format), everything else (`state.json`) and the
hashes of all files (`hashes.json`), which is written last. Nothing in it is pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.codec import packed, unpacked
from vspec.runtime.errors import ArtifactError

VERSION = 1
KEPT = 2
"""How many checkpoints are kept."""

SHARE = 20
"""Without an interval of its own, a run spends at most one part in so many of its time on checkpoints."""

MARGIN = 2**18
"""Bytes that must be free beside the arrays: for their metadata, and so that the disk is not filled to the brim."""

_ARRAYS, _STATE, _HASHES = "arrays", "state.json", "hashes.json"
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Interval:
    """When a checkpoint is due: after so many seconds, or so many steps; never where both are None."""

    seconds: float | None = 60.0
    steps: int | None = None
    strict: bool = False


DEFAULT = Interval()
NEVER = Interval(None, None)


def interval(given: float | str | None) -> Interval:
    """An interval from what a user gives: `30`, `"90s"`, `"5m"`, `"2h"`, `"1000 steps"`, `"never"`; None is the default.

    Raises:
        ArtifactError: VS0845, it is none of these.
    """
    if given is None:
        return DEFAULT
    if given in ("never", 0):
        return NEVER
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(s|m|min|h|steps?|)\s*", str(given))
    number = float(found[1]) if found else 0.0
    if found and number > 0:
        if not found[2].startswith("step"):
            return Interval(number * _UNITS[found[2]], None, True)
        if number == int(number):
            return Interval(None, int(number), True)
    raise ArtifactError(
        "VS0845",
        f"'{given}' does not say how often to save",
        "write seconds (30, 90s, 5m, 2h), steps ('1000 steps') or never",
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that was read: the nest of its state, and what was written beside it."""

    path: Path
    state: Mapping[str, Any]
    facts: Mapping[str, Any]


class Checkpoints:
    """Writes the checkpoints of one run, one at a time, in a thread of its own."""

    def __init__(self, folder: Path, every: Interval, warn: Warn) -> None:
        """`folder` is made when the first is written."""
        self.folder = folder
        self.every = every
        self.warn = warn
        self.thread: threading.Thread | None = None
        self.failure: str | None = None
        self.warned = False
        self.last = time.monotonic()
        self.steps = 0
        self.cost = 0.0
        self.written: Path | None = None
        self.number = 1 + max((int(p.name) for p in _all(folder)), default=0)

    def due(self, steps: int) -> bool:
        """Whether it is time for one, after so many steps of the run; never while one is being written."""
        if self.thread is not None and self.thread.is_alive():
            return False
        if self.every.steps is not None:
            return steps - self.steps >= self.every.steps
        if self.every.seconds is None:
            return False
        wait = self.every.seconds if self.every.strict else max(self.every.seconds, SHARE * self.cost)
        return time.monotonic() - self.last >= wait

    def begin(self, steps: int, state: Callable[[], Any], facts: Callable[[], Mapping[str, Any]]) -> None:
        """Start to write one. `state` gives what is kept, of arrays on the host that change no more, and `facts` what JSON can
        say beside it; both are called in the thread."""
        self.wait()
        self.steps = steps

        def work() -> None:
            started = time.monotonic()
            try:
                self.written = self._write(state(), facts())
                self.failure, self.warned = None, False
            except Exception as error:  # whatever goes wrong with a checkpoint, the run goes on
                self.failure = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                if not self.warned:
                    self.warned = True
                    self.warn(f"no checkpoint can be written to '{self.folder}': {self.failure}; the run goes on")
            self.last = time.monotonic()
            self.cost = self.last - started

        self.thread = threading.Thread(target=work, name="vspec-checkpoint")
        self.thread.start()

    def wait(self) -> None:
        """Until the one that is being written is done."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None

    def _write(self, state: Any, facts: Mapping[str, Any]) -> Path:
        name = f"{self.number:06d}"
        aside = self.folder / f".{name}.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            skeleton, arrays = packed(state)
            _save_arrays(aside / _ARRAYS, arrays)
            said = {"version": VERSION, "count": len(arrays), "state": skeleton, "facts": facts}
            (aside / _STATE).write_text(json.dumps(said), encoding="utf-8")
            _sync(aside)
            hashes = {str(p.relative_to(aside)): _hash(p) for p in _files(aside)}
            with (aside / _HASHES).open("x", encoding="utf-8") as out:
                json.dump(hashes, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            aside.rename(self.folder / name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self.number += 1
        for old in _all(self.folder)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return self.folder / name


def latest(folder: Path, warn: Warn) -> Found | None:
    """The newest checkpoint that is whole; what is not is passed over with a warning. None if there are none at all.

    Raises:
        ArtifactError: VS0844, there are some, but none is whole.
    """
    there = _all(folder)
    for path in reversed(there):
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            warn(f"the checkpoint '{path}' is damaged ({error}); trying the one before")
    if there:
        raise ArtifactError(
            "VS0844",
            f"none of the checkpoints in '{folder}' can be read",
            "run without --resume to begin anew",
        )
    return None


def _read(path: Path) -> Found:
    hashes = json.loads((path / _HASHES).read_text(encoding="utf-8"))
    if hashes != {str(p.relative_to(path)): _hash(p) for p in _files(path) if p.name != _HASHES}:
        raise ValueError("its files are not those that were written")
    said = json.loads((path / _STATE).read_text(encoding="utf-8"))
    if said["version"] != VERSION:
        raise ValueError(f"it has version {said['version']}, not {VERSION}")
    return Found(path, unpacked(said["state"], _load_arrays(path / _ARRAYS, said["count"])), said["facts"])


def _save_arrays(path: Path, arrays: list[np.ndarray[Any, Any]]) -> None:
    if not arrays:
        return
    # Looked at before, since what Orbax starts in the background tells of a full disk in many tracebacks of its own.
    if shutil.disk_usage(path.parent).free < sum(x.nbytes for x in arrays) + MARGIN:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.CRITICAL)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.resolve(), {str(k): x for k, x in enumerate(arrays)})
        checkpointer.wait_until_finished()


def _load_arrays(path: Path, count: int) -> list[np.ndarray[Any, Any]]:
    if not count:
        return []
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.CRITICAL)
    with ocp.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(path.resolve())
    return [np.asarray(found[str(k)]) for k in range(count)]


def _all(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.isdecimal() and p.is_dir()), key=lambda p: int(p.name))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Makes sure that what was written is on the disk."""
    for path in _files(folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
