"""A place to read from, as a spec, a caller or the command line writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vspec.runtime.errors import DataError

TABLES = (".csv", ".parquet", ".arrow", ".feather", ".arrows")
"""Files that are tables: of these, columns may be listed."""
FORMATS = (".npz", ".npy", *TABLES, ".zarr", ".nc", ".nc4")
"""The endings of what is read. A zarr store is a folder."""
LISTED = "npz, npy, csv, parquet, arrow (also feather, arrows), zarr and nc"

Columns = str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Source:
    """A place to read from: `uri` is a path or `sklearn:NAME`; then columns, a permutation, and a range of rows.

    `column` is the name of one column, array, member or variable, or a tuple of names of columns of a table.
    """

    uri: str
    column: Columns = None
    rows: tuple[int, int] | None = None
    shuffle: int | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """`PATH`, `PATH:COLUMN`, `sklearn:NAME` or `sklearn:NAME:COLUMN`; of tables also `PATH:COLUMN,COLUMN`."""
        if text.startswith("sklearn:"):
            _, name, *column = text.split(":", 2)
            return cls(f"sklearn:{name}", _columns(column[0]) if column else None)
        head, colon, tail = text.rpartition(":")
        if colon and suffix(head) in FORMATS:
            return cls(head, _columns(tail) if suffix(head) in TABLES else tail)
        return cls(text)

    @classmethod
    def of(cls, value: Mapping[str, Any], what: str) -> Source:
        """From a mapping with `source`, and perhaps `column`, `rows` and `shuffle`. Raises `DataError` VS0523."""
        unknown = [str(k) for k in value if k not in ("source", "column", "rows", "shuffle")]
        if not isinstance(value.get("source"), (str, Path)) or unknown:
            found = f"with {', '.join(unknown)}" if unknown else "without a source"
            raise DataError(
                "VS0523",
                f"{what} is bound to a mapping {found}",
                "bind an array, a path, or {'source': PATH, 'column': NAME, 'rows': [FIRST, END], 'shuffle': SEED}",
            )
        column, rows = value.get("column"), value.get("rows")
        return cls(
            str(value["source"]),
            tuple(map(str, column)) if isinstance(column, (list, tuple)) else column,
            (int(rows[0]), int(rows[1])) if rows else None,
            value.get("shuffle"),
        )


def suffix(path: str | Path) -> str:
    """The ending of a path's name in small letters: of `a/B.CSV`, `.csv`."""
    return Path(str(path).rstrip("/\\")).suffix.lower()


def _columns(text: str) -> Columns:
    names = tuple(name.strip() for name in text.split(","))
    return names if len(names) > 1 else text
