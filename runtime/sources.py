"""Where arrays come from: `sklearn:NAME`, npz, npy and csv. Nothing is unpickled, nothing is fetched."""

from __future__ import annotations

import cmath
import csv
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError, near

_SKLEARN = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
_COMPLEX = re.compile(r"[0-9.eE+\-]*[0-9.]j")
_FILES = (".npz", ".npy", ".csv")


@dataclass(frozen=True, slots=True)
class Source:
    """A place to read from: `uri` is a path or `sklearn:NAME`; then the column, a permutation, and a range of rows."""

    uri: str
    column: str | None = None
    rows: tuple[int, int] | None = None
    shuffle: int | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """`PATH`, `PATH:COLUMN`, `sklearn:NAME` or `sklearn:NAME:COLUMN`, as a caller writes it."""
        if text.startswith("sklearn:"):
            _, name, *column = text.split(":", 2)
            return cls(f"sklearn:{name}", column[0] if column else None)
        head, colon, tail = text.rpartition(":")
        if colon and head.endswith(_FILES):
            return cls(head, tail)
        return cls(text)


def read(source: Source, what: str, name: str, axes: int, base: Path | None, allow_outside: bool) -> Any:
    """The array of a source, rows taken after shuffling.

    Args:
        source: where to read.
        what: how messages call the data ("data 'X'").
        name: the data's name, the default name of an array in an npz file.
        axes: number of axes that are declared; decides what a csv file without `column` gives.
        base: folder that relative paths start from.
        allow_outside: whether files outside of `base` may be read.

    Returns:
        A NumPy array of any numeric dtype.

    Raises:
        DataError: VS0503, VS0504, VS0508, VS0511, VS0512, VS0514, VS0515.
    """
    if source.uri.startswith("sklearn:"):
        array = _sklearn(source.uri.removeprefix("sklearn:"), source.column, what)
    else:
        array = _file(_path(source.uri, what, base, allow_outside), source.column, what, name, axes)
    return _rows(array, source, what)


def _rows(array: Any, source: Source, what: str) -> Any:
    if source.shuffle is None and source.rows is None:
        return array
    if array.ndim == 0:
        raise DataError("VS0515", f"{what} is a single number and has no rows to choose from")
    if source.shuffle is not None:
        array = array[np.random.default_rng(source.shuffle).permutation(len(array))]
    if source.rows is not None:
        first, end = source.rows
        if not 0 <= first < end <= len(array):
            raise DataError(
                "VS0515",
                f"{what} asks for rows {first} to {end} of {source.uri}, which has {len(array)}",
                "rows are counted from 0 and the end is exclusive",
            )
        array = array[first:end]
    return array


def _path(uri: str, what: str, base: Path | None, allow_outside: bool) -> Path:
    if "://" in uri:
        raise DataError(
            "VS0503", f"{what} comes from '{uri}': only files and sklearn:NAME are read", "download it first"
        )
    root = (base or Path()).resolve()
    try:
        path = (root / Path(uri).expanduser()).resolve()
    except (OSError, ValueError, RuntimeError) as e:
        # A null byte, a circle of links, the home of nobody.
        raise DataError("VS0503", f"{what} comes from {uri!r}, which is not a path: {e}") from None
    if not allow_outside and not path.is_relative_to(root):
        raise DataError(
            "VS0511",
            f"{what} comes from '{uri}', which is outside of the spec's folder",
            "move the file beside the spec, or use --allow-outside",
        )
    return path


def _file(path: Path, column: str | None, what: str, name: str, axes: int) -> Any:
    readers = {".npz": _npz, ".npy": _npy, ".csv": _csv}
    if path.suffix.lower() not in readers:
        raise DataError("VS0503", f"{what} comes from '{path.name}', which is not an npz, npy or csv file")
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*") if p.suffix in _FILES] if path.parent.is_dir() else []
        raise DataError("VS0503", f"{what} comes from '{path}', which does not exist", near(path.name, beside))
    magic = {".npz": b"PK", ".npy": b"\x93NUMPY"}.get(path.suffix.lower(), b"")
    try:
        with path.open("rb") as stream:
            if stream.read(len(magic)) != magic:
                raise DataError("VS0503", f"{what} comes from '{path.name}', which is not what its name says")
        return readers[path.suffix.lower()](path, column, what, name, axes)
    except (OSError, zipfile.BadZipFile, EOFError, UnicodeDecodeError, csv.Error) as e:
        raise DataError("VS0503", f"{what} comes from '{path.name}', which cannot be read: {e}") from None
    except ValueError as e:
        if "pickle" in str(e):
            raise DataError(
                "VS0512",
                f"{what} comes from '{path.name}', which contains pickled objects",
                "save plain numeric arrays",
            ) from None
        raise DataError("VS0503", f"{what} comes from '{path.name}', which cannot be read: {e}") from None


def _npy(path: Path, column: str | None, what: str, name: str, axes: int) -> Any:
    array = np.load(path, allow_pickle=False)
    if column is not None:
        raise DataError("VS0504", f"{what} asks for '{column}' of '{path.name}', but an npy file is one array")
    return array


def _npz(path: Path, column: str | None, what: str, name: str, axes: int) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        known = list(archive.files)
        wanted = column or (name if name in known else known[0] if len(known) == 1 else None)
        if wanted is None:
            raise DataError(
                "VS0504",
                f"'{path.name}' has {len(known)} arrays, and none is called '{name}'",
                f"name one with `column`: {', '.join(known[:12])}",
            )
        if wanted not in known:
            raise DataError("VS0504", f"{what} asks for '{wanted}' of '{path.name}'", near(wanted, known))
        return archive[wanted]


def _csv(path: Path, column: str | None, what: str, name: str, axes: int) -> Any:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = [row for row in csv.reader(stream) if row]
    if not rows:
        raise DataError("VS0503", f"{what} comes from '{path.name}', which is empty")
    header = None
    if any(_number(cell) is None and cell.strip() for cell in rows[0]):
        header, rows = [cell.strip() for cell in rows[0]], rows[1:]
    known = header or []
    width = len(header or rows[0])
    for k, row in enumerate(rows, 1 + bool(header)):
        if len(row) != width:
            raise DataError("VS0503", f"row {k} of '{path.name}' has {len(row)} cells, the first has {width}")
    if column is None and axes < 2 and width > 1:
        if name not in known:
            raise DataError(
                "VS0504", f"{what} has one axis and '{path.name}' has {width} columns", "name one with `column`"
            )
        column = name
    if column is not None and column not in known:
        raise DataError(
            "VS0504",
            f"{what} asks for column '{column}' of '{path.name}'",
            near(column, known) if known else "the file has no header line",
        )
    at = list(range(width)) if column is None else [known.index(column)]
    cells = [[_number(row[c]) for c in at] for row in rows]
    wide = any(isinstance(value, complex) for line in cells for value in line)
    table = np.empty((len(rows), len(at)), complex if wide else float)
    for r, row in enumerate(rows):
        for k, c in enumerate(at):
            value = cells[r][k]
            if value is None or cmath.isnan(value):
                label = f"'{header[c]}'" if header else str(c + 1)
                found = f"'{row[c].strip()[:40]}'" if row[c].strip() else "nothing"
                raise DataError(
                    "VS0508",
                    f"{what}: row {r + 1 + bool(header)}, column {label} of '{path.name}' has {found}, not a number",
                )
            table[r, k] = value
    return table if axes >= 2 else table[:, 0]


def _number(cell: str) -> float | complex | None:
    """The number in a cell, a complex one as in `1 + 2j`."""
    try:
        return float(cell)
    except ValueError:
        pass
    compact = "".join(cell.split())
    if not _COMPLEX.fullmatch(compact):
        return None
    try:
        return complex(compact)
    except ValueError:
        return None


def _sklearn(dataset: str, column: str | None, what: str) -> Any:
    if dataset not in _SKLEARN:
        raise DataError("VS0514", f"{what} comes from 'sklearn:{dataset}', which is not known", near(dataset, _SKLEARN))
    try:
        import sklearn.datasets
    except ImportError:
        raise DataError(
            "VS0514",
            f"{what} comes from 'sklearn:{dataset}', but scikit-learn is not installed",
            "pip install scikit-learn",
        ) from None
    bunch = getattr(sklearn.datasets, f"load_{dataset}")()
    column = column or "data"
    arrays = {k: v for k, v in bunch.items() if isinstance(v, np.ndarray) and v.dtype.kind in "biuf"}
    if column in arrays:
        return arrays[column]
    features = [str(f) for f in bunch.get("feature_names", [])]
    if column in features:
        return bunch["data"][:, features.index(column)]
    targets = [str(t) for t in bunch.get("target_names", [])]
    if bunch["target"].ndim == 2 and column in targets:
        return bunch["target"][:, targets.index(column)]
    raise DataError(
        "VS0504", f"{what} asks for column '{column}' of sklearn:{dataset}", near(column, [*arrays, *features])
    )
