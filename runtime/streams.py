"""Arrays that are larger than memory: which of a run's data stay where they are, and how their rows are read.

Data are read by chunks of rows where they do not fit into the memory that a run may use and the plan only ever asks for batches
of them (`runtime/whole.py`). Each of their values is checked before anything runs, in one pass over the file. Of a format whose
rows cannot be read one by one that pass writes a copy to a temporary file, from which rows are then taken; the file has no
name, so that nothing is left behind however a run ends.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError, DataWarning
from vspec.runtime.sources.opened import Chosen, Held, Opened, in_order
from vspec.runtime.whole import whole_use

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_CHUNK = 2**28
"""Bytes of a chunk of rows at most."""


def amount(memory: int | float | str | None) -> int:
    """Bytes of an amount of memory: a number of bytes, a text such as `2GB` or `512MiB`, or None for a quarter of the machine's.

    Raises `DataError` VS0524.
    """
    if memory is None:
        return _machine() // 4
    if isinstance(memory, (int, float)) and not isinstance(memory, bool) and memory >= 0 and memory == memory:
        return int(min(memory, 2**62))
    found = _AMOUNT.fullmatch(memory) if isinstance(memory, str) else None
    if found is None:
        raise DataError(
            "VS0524", f"{memory!r} is no amount of memory", "write bytes, or a number with a unit: 500MB, 2GB, 16GiB"
        )
    return int(min(float(found[1]) * _UNITS[(found[2] or "").lower()], 2**62))


def _machine() -> int:
    """Bytes of memory that the machine has, or that the control group of the process may use."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        found = 2**34
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found = min(found, int(Path(limit).read_text()))
        except (OSError, ValueError):
            continue
    return found


class Rows:
    """An array on the host of which rows are taken while a run goes on.

    Attributes:
        shape, dtype: those of the array as it is bound.
        budget: bytes of the rows that a chunk of steps may take.
        taken: how many rows have been taken.
        largest: how many of them at once, at most.
    """

    def __init__(self, source: Opened, dtype: Any, budget: int) -> None:
        self.source, self.dtype, self.budget = source, dtype, budget
        self.shape = source.shape
        self.taken = self.largest = 0

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return int(np.prod(self.shape[1:], dtype=int)) * int(self.dtype.itemsize)

    def take(self, rows: Any) -> Any:
        """The rows at some positions, in their order."""
        self.taken += len(rows)
        self.largest = max(self.largest, len(rows))
        return in_order(self.source.take, rows).astype(self.dtype)

    def __repr__(self) -> str:
        return f"Rows({list(self.shape)}, {self.dtype}, of '{self.source.file}')"


def streamed(
    manifest: Mapping[str, Any], arrays: Mapping[str, Opened], bytes_of: Mapping[str, int], memory: int
) -> tuple[set[str], tuple[DataWarning, ...]]:
    """Which data are read by chunks: the largest that can be, until the others fit into memory.

    Args:
        manifest: the manifest.
        arrays: the data, not read yet.
        bytes_of: the bytes that each would take.
        memory: the bytes that all may take together.

    Returns:
        Their names, and a warning about each that would have to be but is needed whole.
    """
    left = sum(bytes_of.values())
    chosen: set[str] = set()
    notes = []
    for name in sorted(bytes_of, key=lambda n: (-bytes_of[n], n)):
        if left <= memory:
            break
        why = whole_use(manifest, name, chosen)
        if why is None:
            chosen.add(name)
            left -= bytes_of[name]
        elif arrays[name].shape:
            notes.append(
                DataWarning(
                    "VS0525",
                    f"data '{name}' ({_shown(bytes_of[name])}) is read whole, beyond the {_shown(memory)} that data may take: "
                    f"{why}",
                    "see 'Larger than memory' in docs/data.md",
                    manifest["data"][name].get("line"),
                )
            )
    return chosen, tuple(notes)


def budget(memory: int) -> int:
    """Bytes of a chunk of rows, of which three may be there at once: one in use, one on its way, one being read."""
    return min(_CHUNK, memory // 8)


def at_rows(array: Opened, what: str) -> Opened:
    """The array where single rows are read fast: itself, or a copy on disk. Raises `DataError` VS0526."""
    if array.random:
        return array
    if isinstance(array, Chosen) and array.order is not None:
        return array.over(_copy(array.inner, what))
    return _copy(array, what)


def _copy(array: Opened, what: str) -> Opened:
    """Written by the file's own calls rather than through a map of it, so that a full disk is an error and not a crash."""
    blocks = array.blocks(0, array.shape[0])
    first = next(blocks)
    size = int(np.prod(array.shape, dtype=int)) * first.dtype.itemsize
    folder = tempfile.gettempdir()
    tip = "free some, or set TMPDIR to a folder on a larger disk"
    if shutil.disk_usage(folder).free < size:
        raise DataError("VS0526", f"{what} needs {_shown(size)} for a copy in '{folder}', which has no room", tip)
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- the array that is mapped onto it keeps it open
        for block in itertools.chain([first], blocks):
            file.write(np.ascontiguousarray(block, first.dtype).data)
        file.flush()
    except OSError as e:
        raise DataError("VS0526", f"{what} needs a copy in '{folder}', which fails: {e}", tip) from None
    return Held(np.memmap(file, first.dtype, "r", shape=array.shape), array.file, array.place)


def _shown(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
