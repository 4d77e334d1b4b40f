"""NumPy's own files. Nothing is unpickled: arrays of objects are refused before they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError
from vspec.runtime.sources.columns import one
from vspec.runtime.sources.opened import Held, Opened
from vspec.runtime.sources.source import Columns


def npy(path: Path, column: Columns, what: str, name: str, axes: int) -> Opened:
    """An npy file, mapped into memory rather than read. Raises `DataError` VS0504, VS0512."""
    if column is not None:
        asked = ", ".join(column) if isinstance(column, tuple) else column
        raise DataError("VS0504", f"{what} asks for '{asked}' of '{path.name}', but an npy file is one array")
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as e:
        if "object" in str(e).lower() or "pickle" in str(e).lower():
            raise pickled(what, path) from None
        if "empty file" not in str(e):
            raise
        mapped = np.load(path, allow_pickle=False)  # an array without entries cannot be mapped
    return Held(mapped, path.name)


def npz(path: Path, column: Columns, what: str, name: str, axes: int) -> Opened:
    """One array of an npz file, which is read whole. Raises `DataError` VS0504, VS0512."""
    with np.load(path, allow_pickle=False) as archive:
        wanted = one(column, list(archive.files), what, name, path.name, "array")
        try:
            array: Any = archive[wanted]
        except ValueError as e:
            if "pickle" in str(e).lower() or "object" in str(e).lower():
                raise pickled(what, path) from None
            raise
    return Held(array, path.name)


def pickled(what: str, path: Path) -> DataError:
    """The refusal of a file with pickled objects."""
    return DataError(
        "VS0512", f"{what} comes from '{path.name}', which contains pickled objects", "save plain numeric arrays"
    )
