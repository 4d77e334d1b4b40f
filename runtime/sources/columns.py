"""Which columns, arrays or members of a file are meant."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vspec.runtime.errors import DataError, near
from vspec.runtime.sources.source import Columns


def one(column: Columns, known: Sequence[str], what: str, name: str, file: str, kind: str) -> str:
    """The array that is meant of a file with several: the one that is asked for, else the data's own name, else the only one.

    Args:
        column: what is asked for.
        known: the arrays that there are.
        what: how messages call the data ("data 'X'").
        name: the data's name.
        file: the name of the file.
        kind: what an array is called there: 'array', 'member', 'variable'.

    Raises:
        DataError: VS0504.
    """
    if isinstance(column, tuple):
        raise DataError(
            "VS0504",
            f"{what} asks for several {kind}s of '{file}'",
            "columns are listed of tables only: csv, parquet and arrow",
        )
    if column is None:
        if name in known:
            return name
        if len(known) == 1:
            return known[0]
        raise DataError(
            "VS0504",
            f"'{file}' has {len(known)} {kind}s, and none is called '{name}'",
            f"name one with `column`: {', '.join(known[:12])}" if known else "",
        )
    if column not in known:
        raise DataError("VS0504", f"{what} asks for '{column}' of '{file}'", near(column, known))
    return column


def several(
    column: Columns, known: Sequence[str], what: str, name: str, file: str, axes: int, wide: Collection[str] = ()
) -> tuple[str, ...]:
    """The columns of a table that are meant.

    Those that are asked for; else, of data with one axis, the column of the data's own name or the only one, and of data
    with more axes all of them. The columns in `wide` are arrays with axes of their own: one of the data's own name is
    meant alone.

    Raises:
        DataError: VS0504.
    """
    if column is None:
        if name in wide or (axes < 2 and name in known):
            return (name,)
        if axes < 2 and len(known) > 1:
            raise DataError(
                "VS0504",
                f"{what} has {('no axes', 'one axis')[axes]} and '{file}' has {len(known)} columns",
                f"name one with `column`: {', '.join(known[:12])}",
            )
        return tuple(known)
    names = column if isinstance(column, tuple) else (column,)
    for wanted in names:
        if wanted not in known:
            there = near(wanted, known) if known else "the file has no header line"
            raise DataError("VS0504", f"{what} asks for column '{wanted}' of '{file}'", there)
    if len(names) > 1 and axes < 2:
        raise DataError(
            "VS0504",
            f"{what} has {('no axes', 'one axis')[axes]} and asks for {len(names)} columns of '{file}'",
            "several columns are a second axis",
        )
    return names
