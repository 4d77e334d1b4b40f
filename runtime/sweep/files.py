"""The table of a sweep as CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO


def write_csv(out: BinaryIO, columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> None:
    """Comma-separated values as UTF-8: an empty cell is unknown, a truth value is `true` or `false`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(x) for x in row] for row in cells)
    out.write(text.getvalue().encode())


def write_parquet(
    out: BinaryIO, columns: Sequence[str], cells: Sequence[Sequence[Any]], about: Mapping[str, str]
) -> None:
    """An Apache Parquet file with one type per column; `about` goes into its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays, fields = [], []
    for k, name in enumerate(columns):
        values = [row[k] for row in cells]
        kind = _kind(pa, values)
        arrays.append(pa.array(values, kind))
        fields.append(pa.field(name, kind))
    schema = pa.schema(fields, metadata={k.encode(): v.encode() for k, v in about.items()})
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), out)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _kind(pa: Any, values: Sequence[Any]) -> Any:
    """The type that holds all known values of a column."""
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, bool) for v in known):
        return pa.bool_()
    if known and all(isinstance(v, int) and not isinstance(v, bool) for v in known):
        return pa.int64()
    if known and all(isinstance(v, (int, float)) for v in known):
        return pa.float64()
    return pa.string()
