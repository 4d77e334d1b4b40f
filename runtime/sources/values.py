"""Arrays that a caller has in memory: whatever is an array by one of the common protocols. No library is needed for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError
from vspec.runtime.sources.arrow import numbers, table
from vspec.runtime.sources.opened import Held, Opened, Where


def opened(value: Any, what: str, name: str, axes: int) -> Opened:
    """A value that was bound.

    Taken are NumPy and JAX arrays and whatever has `__array__` (series of pandas, arrays of xarray and PyTorch),
    nested lists of numbers, data frames (pandas, polars), and tables, batches and columns of pyarrow. Of frames and tables,
    data with one axis is the column of its own name, and data with two axes all columns.

    Args:
        value: the value.
        what: how messages call the data.
        name: the data's name.
        axes: number of axes that are declared.

    Raises:
        DataError: VS0504, VS0507, VS0522, VS0523.
    """
    kind = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}"
    if kind.startswith("pyarrow."):
        return _arrow(value, what, name, axes, kind)
    if hasattr(value, "__dataframe__"):
        if hasattr(value, "to_arrow"):
            return table(value.to_arrow(), what, name, axes, kind)
        return _frame(value, what, name, axes, kind)
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            at = [int(k) for k in np.argwhere(np.ma.getmaskarray(value))[0]]
            raise DataError("VS0522", f"{what} has no value (masked) at {at}", "fill in what is missing")
        value = np.ma.getdata(value)
    known = isinstance(value, (np.ndarray, np.generic, list, tuple, int, float, complex, range))
    if not known and not hasattr(value, "__array__"):
        raise _strange(value, kind, what)
    try:
        array = np.asarray(value)
    except Exception as e:
        said = " ".join(str(e).split())[:200]
        raise DataError("VS0507", f"{what} is not an array: {said}") from None
    if array.dtype == object:
        return Held(_objects(array, value, kind, what))
    if array.dtype.kind not in "biufcV":
        first = f"; the first is {array.flat[0]!s:.40}" if array.size else ""
        raise DataError("VS0507", f"{what} has dtype {array.dtype}, which are no numbers{first}")
    return Held(array)


def _arrow(value: Any, what: str, name: str, axes: int, kind: str) -> Opened:
    if hasattr(value, "schema") and hasattr(value, "num_rows"):
        return table(value, what, name, axes, f"the {kind}")
    if not hasattr(value, "null_count"):
        raise _strange(value, kind, what)
    parts, start = [], 0
    for chunk in value.chunks if hasattr(value, "chunks") else [value]:
        parts.append(numbers(chunk, what, partial(_row, kind, start)))
        start += len(chunk)
    return Held(np.concatenate(parts) if parts else np.empty(0))


def _row(kind: str, start: int, row: int) -> str:
    return f"row {start + row} of the {kind}"


def _frame(value: Any, what: str, name: str, axes: int, kind: str) -> Opened:
    from vspec.runtime.sources.columns import several

    named = {str(c): value[c] for c in value.columns}
    names = several(None, list(named), what, name, f"the {kind}", axes)
    where = Where(f"the {kind}", names)
    arrays = []
    for k, column in enumerate(names):
        array = np.asarray(named[column])
        if array.dtype == object:
            array = _objects(array, named[column], kind, what, lambda index, k=k: where((index[0], k)))
        arrays.append(array)
    if not arrays:
        return Held(np.empty((0,) * max(axes, 1)))
    return Held(arrays[0] if axes < 2 else np.stack(arrays, axis=1), "", where)


def _objects(array: Any, value: Any, kind: str, what: str, where: Any = None) -> Any:
    """Numbers that NumPy keeps as objects, as a number column with missing values may be; else the first that is none."""
    if array.ndim == 0:
        raise _strange(value, kind, what)
    for index, item in np.ndenumerate(array):
        place = where(index) if where is not None else f"the entry at {list(index)}"
        if item is None or type(item).__name__ in ("NAType", "NaTType"):
            raise DataError("VS0522", f"{what}: {place} has no value", "leave rows with missing values out")
        if not isinstance(item, (bool, int, float, complex, np.number, np.bool_)):
            raise DataError("VS0507", f"{what}: {place} has {str(item)[:40]!r}, not a number")
    try:
        return np.array(array.tolist())
    except (ValueError, OverflowError) as e:
        raise DataError("VS0507", f"{what} is not an array: {e}") from None


def _strange(value: Any, kind: str, what: str) -> DataError:
    tip = "bind an array, nested lists of numbers, a column of a data frame, or the path of a file"
    if hasattr(value, "toarray"):
        tip = "it is sparse: bind value.toarray()"
    elif isinstance(value, Mapping) or hasattr(value, "data_vars"):
        tip = "bind one of its arrays"
    elif hasattr(value, "__iter__"):
        tip = "bind list(value)"
    return DataError("VS0523", f"{what} is bound to a {kind.removeprefix('builtins.')}, which is no array", tip)
