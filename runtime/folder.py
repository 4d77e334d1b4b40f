"""The results folder of a run while it runs: one run at a time, nothing of an earlier one lost before the new one is whole.

A run starts with a new folder, into which that of the run before moves as `previous`, if there is anything to lose in it; it is
removed with the checkpoints when the results are written, all at once, in the place of the folder.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vspec.runtime.errors import ArtifactError

MARK = "run.json"
CHECKPOINTS = "checkpoints"
PREVIOUS = "previous"
LAST_GOOD = "last-good.npz"
_ASIDE = "vspec-aside-"
_STALE = 60.0
"""Seconds after which the lock of a process on another host, which nothing has touched since, counts as left behind."""


class Lock:
    """That a folder is in use: a file beside it, which the system unlocks when its process ends, whatever ends it."""

    def __init__(self, folder: Path) -> None:
        """Take it. Raises `ArtifactError` VS0843 if another run has it, and `OSError`."""
        self.path = folder.parent / f".{folder.name}.lock"
        self.handle: int | None = None
        while self.handle is None:
            self.handle = self._take(folder)
        said = {"pid": os.getpid(), "host": socket.gethostname()}
        os.ftruncate(self.handle, 0)
        os.pwrite(self.handle, json.dumps(said).encode(), 0)

    def _take(self, folder: Path) -> int | None:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        taken = False
        try:
            locked = _locked(handle)
            there = _said(handle)
            if not locked or _elsewhere(there, handle):
                who = f"process {there['pid']} on {there['host']}" if there else "which does not say who it is"
                raise ArtifactError(
                    "VS0843",
                    f"another process is writing to '{folder}': {who}",
                    f"wait for it, choose another folder with --out, or remove '{self.path}' if there is no such process",
                )
            # Whoever had it before may have removed the file between our opening and locking it.
            with suppress(FileNotFoundError):
                taken = os.fstat(handle).st_ino == os.stat(self.path).st_ino
        finally:
            if not taken:
                os.close(handle)
        return handle if taken else None

    def touch(self) -> None:
        """Says that the run is alive, to those who cannot ask the system."""
        if self.handle is not None:
            with suppress(OSError):
                os.utime(self.handle)

    def release(self) -> None:
        """Give it back."""
        if self.handle is not None:
            with suppress(OSError):
                self.path.unlink()
            os.close(self.handle)
            self.handle = None


def _locked(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # not a system that has it: who is alive tells
        there = _said(handle)
        return not (there and there["host"] == socket.gethostname() and _alive(int(there["pid"])))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        there = _said(handle)
        return not (there and there["host"] == socket.gethostname() and _alive(int(there["pid"])))
    return True


def _said(handle: int) -> dict[str, Any]:
    """Who says that he has the lock; empty if nobody does."""
    try:
        found = json.loads(os.pread(handle, 4096, 0) or b"{}")
        return {"pid": int(found["pid"]), "host": str(found["host"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _elsewhere(there: Mapping[str, Any], handle: int) -> bool:
    """Whether a process on another host has touched the lock a short while ago."""
    if not there or there["host"] == socket.gethostname():
        return False
    return time.time() - os.fstat(handle).st_mtime < _STALE


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class RunFolder:
    """The results folder of one run, locked until `close`."""

    def __init__(self, path: Path) -> None:
        """Look whether the folder may be used, and lock it.

        Raises:
            ArtifactError: VS0808 if it cannot be written to, or holds something that is not a run's; VS0843 if it is in use.
        """
        self.path = path
        if foreign(path):
            raise ArtifactError(
                "VS0808",
                f"'{path}' exists and is not the result of a run; it is left as it is",
                "choose another folder",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.lock = Lock(path)
        except OSError as error:
            raise unwritable(path, error) from None
        self._recover()

    def _recover(self) -> None:
        """Puts right what a process left that was killed while it exchanged the folder for another."""
        asides = sorted(self.path.parent.glob(f".{self.path.name}.{_ASIDE}*"))
        for aside in asides:
            whole = next((p for p in (aside / PREVIOUS, aside / "old") if p.is_dir()), None)
            if whole is not None and not self.path.exists():
                whole.rename(self.path)
            shutil.rmtree(aside, ignore_errors=True)

    def aside(self) -> Path:
        """A new folder beside it, on the same disk. Raises `OSError`."""
        made = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.{_ASIDE}", dir=self.path.parent))
        os.chmod(made, 0o777 & ~_umask())
        return made

    def begin(self, said: Mapping[str, Any]) -> None:
        """A new folder with `said` as its run.json. Raises `ArtifactError` VS0808."""
        try:
            made = self.aside()
            try:
                write_json(made / MARK, said)
                (made / "metrics.jsonl").touch()
                old = self.path if _valuable(self.path) else self.path / PREVIOUS
                if old.is_dir():
                    old.rename(made / PREVIOUS)
                if self.path.exists():
                    shutil.rmtree(self.path)
                made.rename(self.path)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            raise unwritable(self.path, error) from None

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints are."""
        return self.path / CHECKPOINTS

    def said(self) -> dict[str, Any]:
        """What its run.json says; empty if there is none."""
        try:
            found = json.loads((self.path / MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def say(self, said: Mapping[str, Any]) -> None:
        """Another run.json, at once. Raises `OSError`."""
        new = self.path / f".{MARK}.part"
        try:
            write_json(new, said)
            new.replace(self.path / MARK)
        finally:
            new.unlink(missing_ok=True)

    def exchange(self, new: Path) -> None:
        """`new`, made by `aside`, takes the place of the folder, and all that was in it is gone. Raises `OSError`."""
        if not self.path.exists():
            new.rename(self.path)
            return
        old = self.aside() / "old"
        self.path.rename(old)
        try:
            new.rename(self.path)
        except OSError:
            old.rename(self.path)
            raise
        finally:
            shutil.rmtree(old.parent, ignore_errors=True)

    def close(self) -> None:
        """Others may use it now."""
        self.lock.release()


def foreign(path: Path) -> bool:
    """Whether there is something at a path that no run has written."""
    if path.is_symlink():
        return True
    return path.exists() and not (path.is_dir() and ((path / MARK).is_file() or not any(path.iterdir())))


def unwritable(path: Path, error: OSError) -> ArtifactError:
    """The error of a folder that cannot be written to."""
    return ArtifactError("VS0808", f"results cannot be written to '{path}': {error.strerror or error}")


def write_json(path: Path, value: Any) -> None:
    """A JSON file that is on the disk before this ends. Raises `OSError`."""
    from vspec.runtime.results import dumps

    with path.open("w", encoding="utf-8") as out:
        out.write(dumps(value))
        out.flush()
        os.fsync(out.fileno())


def _valuable(path: Path) -> bool:
    """Whether a folder holds what someone may want back: results, or checkpoints to go on from."""
    return (path / "params.npz").is_file() or any((path / CHECKPOINTS).glob("[0-9]*"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
