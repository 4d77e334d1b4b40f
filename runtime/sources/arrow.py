"""Columns of Arrow: Parquet and Arrow files, read by batches of rows, and tables that are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError
from vspec.runtime.sources.columns import several
from vspec.runtime.sources.opened import BLOCK, Opened, Where
from vspec.runtime.sources.source import Columns

Batches = Callable[[int], Iterator[tuple[int, Any]]]
"""From a first row on: batches of rows, which may begin before it, each with the number of its own first row."""

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Columned(Opened):
    """Columns of a table that is read by batches of rows."""

    def __init__(self, file: str, names: Sequence[str], rows: int, batches: Batches, what: str, flat: bool) -> None:
        """`flat`: whether one column is one axis rather than a table of one column."""
        self.file, self.names, self.what, self.flat = file, names, what, flat
        self.batches = batches
        self.where = Where(file, names)
        first = next(iter(self._arrays(0, min(rows, 1))), None)
        self.shape = (rows, *(() if first is None else first.shape[1:]))

    def _arrays(self, first: int, end: int) -> Iterator[Any]:
        if first >= end:
            return
        for start, batch in self.batches(first):
            if start >= end:
                return
            a, b = max(first - start, 0), min(end - start, batch.num_rows)
            if a < b:
                yield self._array(batch.slice(a, b - a), start + a)

    def _array(self, batch: Any, start: int) -> Any:
        """A batch as an array, of the columns along the second axis."""
        arrays = []
        for k, name in enumerate(self.names):
            column = batch.column(batch.schema.get_field_index(name))
            arrays.append(numbers(column, self.what, partial(self._place, start, k)))
        if len(arrays) == 1:
            return arrays[0] if self.flat or arrays[0].ndim > 1 else arrays[0][:, None]
        nested = next((n for n, a in zip(self.names, arrays, strict=True) if a.ndim > 1), None)
        if nested is not None:
            raise DataError(
                "VS0507",
                f"{self.what} is made of several columns, of which '{nested}' of '{self.file}' has lists",
                "name that column alone",
            )
        return np.stack(arrays, axis=1)

    def _place(self, start: int, column: int, row: int) -> str:
        return self.where((start + row, column))

    def whole(self) -> Any:
        found = [*self.blocks(0, self.shape[0])]
        return np.concatenate(found) if found else np.empty(self.shape)

    def blocks(self, first: int, end: int) -> Iterator[Any]:
        done = first
        for array in self._arrays(first, end):
            if array.shape[1:] != self.shape[1:]:
                raise DataError(
                    "VS0507",
                    f"{self.what}: {self.where((done, 0))} has {list(array.shape[1:])} values, row 0 has {list(self.shape[1:])}",
                )
            done += len(array)
            yield array
        if done < end:
            raise DataError(
                "VS0503", f"{self.what}: '{self.file}' ends at row {done}; it tells of {self.shape[0]} rows"
            )

    def place(self, index: tuple[int, ...]) -> str:
        return self.where(index)


def parquet(path: Path, column: Columns, what: str, name: str, axes: int) -> Opened:
    """Columns of a Parquet file, read by its row groups. Raises `DataError` VS0504, VS0507, VS0522."""
    from pyarrow import parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    names = _meant(schema, column, what, name, path.name, axes)

    def batches(first: int) -> Iterator[tuple[int, Any]]:
        start = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if start + rows <= first:
                start += rows
                continue
            size = max(1, BLOCK // (8 * len(names)))
            for batch in file.iter_batches(batch_size=size, row_groups=[group], columns=list(names)):
                yield start, batch
                start += batch.num_rows

    return Columned(path.name, names, file.metadata.num_rows, batches, what, axes < 2)


def ipc(path: Path, column: Columns, what: str, name: str, axes: int) -> Opened:
    """Columns of an Arrow file or stream (Feather is the former), read by its record batches.

    Raises:
        DataError: VS0503, VS0504, VS0507, VS0522.
    """
    import pyarrow as pa

    with path.open("rb") as stream:
        magic = stream.read(6)
        stream.seek(max(path.stat().st_size - 8, 0))
        tail = stream.read()
    if magic[:4] == b"FEA1":
        raise DataError("VS0503", f"{what}: '{path.name}' is a Feather file of version 1", "write version 2")
    mapped = pa.memory_map(str(path))
    if magic == b"ARROW1":
        file = pa.ipc.open_file(mapped)
        schema, counts = file.schema, [file.get_batch(k).num_rows for k in range(file.num_record_batches)]

        def batches(first: int) -> Iterator[tuple[int, Any]]:
            start = 0
            for k, rows in enumerate(counts):
                if start + rows > first:
                    yield start, file.get_batch(k)
                start += rows

        rows = sum(counts)
    else:
        if tail != _END_OF_STREAM:
            raise DataError("VS0503", f"{what}: '{path.name}' is no Arrow file, or a stream that was cut off")
        schema = pa.ipc.open_stream(mapped).schema
        mapped.seek(0)
        rows = sum(batch.num_rows for batch in pa.ipc.open_stream(mapped))

        def batches(first: int) -> Iterator[tuple[int, Any]]:
            return _numbered(pa.ipc.open_stream(pa.memory_map(str(path))))

    names = _meant(schema, column, what, name, path.name, axes)
    return Columned(path.name, names, rows, batches, what, axes < 2)


def table(value: Any, what: str, name: str, axes: int, kind: str) -> Opened:
    """A table of Arrow in memory; `kind` is how messages call it. Raises `DataError` VS0504, VS0507, VS0522."""
    names = _meant(value.schema, None, what, name, kind, axes)
    batches = value.to_batches() if hasattr(value, "to_batches") else [value]
    return Columned(kind, names, value.num_rows, lambda first: _numbered(batches), what, axes < 2)


def _numbered(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows


def _meant(schema: Any, column: Columns, what: str, name: str, file: str, axes: int) -> tuple[str, ...]:
    wide = [f.name for f in schema if _lists(f.type)]
    names = several(column, schema.names, what, name, file, axes, wide)
    twice = next((n for n in names if schema.names.count(n) > 1), None)
    if twice is not None:
        raise DataError("VS0504", f"'{file}' has two columns called '{twice}'", "give them names of their own")
    if not names:
        raise DataError("VS0503", f"{what} comes from '{file}', which has no columns")
    return names


def _lists(kind: Any) -> bool:
    from pyarrow import types

    storage = getattr(kind, "storage_type", kind)
    return bool(types.is_fixed_size_list(storage) or types.is_list(storage) or types.is_large_list(storage))


def numbers(values: Any, what: str, place: Callable[[int], str]) -> Any:
    """A column of Arrow as a NumPy array; lists of one length are further axes.

    Args:
        values: an array of Arrow.
        what: how messages call the data.
        place: number of an element → where it stands, in words.

    Raises:
        DataError: VS0522 for the first null, VS0507 for what are no numbers, or lists of several lengths.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = values.type
    shape: tuple[int, ...] = ()
    if isinstance(values, pa.ExtensionArray):
        shape = tuple(getattr(kind, "shape", ()))
        values, kind = values.storage, values.storage.type
    if values.null_count:
        row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError("VS0522", f"{what}: {place(row)} has no value (null)", "leave rows with missing values out")
    if types.is_dictionary(kind):
        return numbers(values.dictionary_decode(), what, place)
    if _lists(kind):
        lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
        size = int(lengths[0]) if len(lengths) else 0
        if (lengths != size).any():
            row = int(np.flatnonzero(lengths != size)[0])
            raise DataError("VS0507", f"{what}: {place(row)} has a list of {lengths[row]}, the one before of {size}")
        inner = numbers(values.flatten(), what, lambda k: place(k // max(size, 1)))
        return inner.reshape(len(values), *(shape or (size, *inner.shape[1:])))
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return values.to_numpy(zero_copy_only=False)
    if types.is_decimal(kind):
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if len(values) == 0:
        return np.empty(0)
    text = types.is_string(kind) or types.is_large_string(kind)
    found = f"'{str(values[0].as_py())[:40]}'" if text else f"a value of type {kind}"
    raise DataError("VS0507", f"{what}: {place(0)} has {found}, not a number")
