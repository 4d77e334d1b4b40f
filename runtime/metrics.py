"""The metrics of a run: a line of JSON for each report as soon as it is made, and a Parquet table at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vspec.runtime.stages import Event

Row = dict[str, Any]


class Metrics:
    """The rows so far; with a file, each is written to it when it is made, so that others may follow it."""

    def __init__(self, warn: Callable[[str], None], rows: Iterable[Row] = ()) -> None:
        self.rows: list[Row] = [*rows]
        self.warn = warn
        self.out: IO[str] | None = None

    def open(self, path: Path) -> None:
        """Write to a file from now on, the rows that there are first."""
        self.path = path
        with self._trying():
            self.out = path.open("w", encoding="utf-8", buffering=1)
            self.out.write(lines(self.rows))
            self.out.flush()

    def add(self, event: Event) -> None:
        """One more row."""
        row = event.row()
        self.rows.append(row)
        if self.out is not None:
            with self._trying():
                self.out.write(line(row))

    def close(self) -> None:
        """Write no more."""
        if self.out is not None:
            with suppress(OSError):
                self.out.close()
            self.out = None

    def _trying(self) -> _Trying:
        return _Trying(self)


class _Trying:
    """What cannot be written does not end the run: the rows are kept, and written with the results."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if not isinstance(error, OSError):
            return False
        self.metrics.close()
        self.metrics.warn(f"'{self.metrics.path}' cannot be written: {error.strerror or error}; the run goes on")
        return True


def line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSON."""
    from vspec.runtime.results import plain

    return json.dumps(plain(row), allow_nan=False) + "\n"


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as lines of JSON."""
    return "".join(map(line, rows))


def write_parquet(path: Path, rows: list[Row]) -> None:
    """The rows as a table, with null where a row lacks something. Raises `OSError`."""
    import pyarrow as pa
    from pyarrow import parquet

    number, whole = pa.float64(), pa.int64()
    types = {
        "stage": pa.int32(),
        "start": pa.int32(),
        "step": whole,
        "round": whole,
        "part": pa.list_(pa.int32()),
        "name": pa.string(),
        "value": number,
        "gradient": number,
        "change": number,
    }
    schema = pa.schema(list(types.items()))
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)
