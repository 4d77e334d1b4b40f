"""Tables of text: csv."""

from __future__ import annotations

import cmath
import csv
import re
from pathlib import Path

import numpy as np

from vspec.runtime.errors import DataError
from vspec.runtime.sources.columns import several
from vspec.runtime.sources.opened import Held, Opened, Where
from vspec.runtime.sources.source import Columns

_COMPLEX = re.compile(r"[0-9.eE+\-]*[0-9.]j")


def read_csv(path: Path, column: Columns, what: str, name: str, axes: int) -> Opened:
    """Columns of a csv file, whose first line may be a header. Raises `DataError` VS0503, VS0504, VS0508, VS0522."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        rows = [(reader.line_num, row) for row in reader if row]
    if not rows:
        raise DataError("VS0503", f"{what} comes from '{path.name}', which is empty")
    header: list[str] = []
    if any(_number(cell) is None and cell.strip() for cell in rows[0][1]):
        header, rows = [cell.strip() for cell in rows[0][1]], rows[1:]
        if not rows:
            raise DataError("VS0503", f"{what} comes from '{path.name}', which has a header line and no rows")
    width = len(header or rows[0][1])
    for line, row in rows:
        if len(row) != width:
            first = "the header" if header else "the first line"
            raise DataError(
                "VS0503",
                f"line {line} of '{path.name}' has {len(row)} cells, {first} has {width}",
                "cells that contain a comma stand in double quotes",
            )
    if header:
        names = several(column, header, what, name, path.name, axes)
        at = [header.index(n) for n in names]
    else:
        numbered = [str(k + 1) for k in range(width)]
        several(column, [] if column is not None else numbered, what, "", path.name, axes)
        at, names = list(range(width)), tuple(numbered)
    where = Where(path.name, names, [line for line, _ in rows])
    table = np.empty((len(rows), len(at)))
    for r, (_, row) in enumerate(rows):
        for k, c in enumerate(at):
            value = _number(row[c])
            if value is None or cmath.isnan(value):
                raise _no_number(row[c].strip(), what, where((r, k)))
            if isinstance(value, complex) and table.dtype != complex:
                table = table.astype(complex)
            table[r, k] = value
    return Held(table if axes >= 2 else table[:, 0], path.name, where)


def _no_number(cell: str, what: str, where: str) -> DataError:
    if not cell:
        return DataError("VS0522", f"{what}: {where} has nothing in it", "leave rows with missing values out")
    return DataError("VS0508", f"{what}: {where} has '{cell[:40]}', not a number")


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
