"""Opens a source: finds its file, checks that it may be read, and gives it to the reader of its format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vspec.runtime.errors import DataError, near
from vspec.runtime.sources.arrays import npy, npz
from vspec.runtime.sources.arrow import ipc, parquet
from vspec.runtime.sources.chunked import netcdf, zarr
from vspec.runtime.sources.opened import Index, Opened, choose
from vspec.runtime.sources.sklearn import dataset
from vspec.runtime.sources.source import FORMATS, LISTED, Columns, Source, suffix
from vspec.runtime.sources.text import read_csv

Reader = Callable[[Path, Columns, str, str, int], Opened]

_READERS: Mapping[str, Reader] = {
    ".npz": npz,
    ".npy": npy,
    ".csv": read_csv,
    ".parquet": parquet,
    ".arrow": ipc,
    ".feather": ipc,
    ".arrows": ipc,
    ".zarr": zarr,
    ".nc": netcdf,
    ".nc4": netcdf,
}
_MAGIC: Mapping[str, tuple[bytes, ...]] = {
    ".npz": (b"PK",),
    ".npy": (b"\x93NUMPY",),
    ".parquet": (b"PAR1",),
    ".nc": (b"CDF", b"\x89HDF"),
    ".nc4": (b"CDF", b"\x89HDF"),
}
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".lz4")


def open_source(source: Source, what: str, name: str, axes: int, base: Path | None, allow_outside: bool) -> Opened:
    """The array of a source, known by its shape; formats that are read by blocks are not read yet.

    Args:
        source: where to read.
        what: how messages call the data ("data 'X'").
        name: the data's name, the default name of an array or a column.
        axes: number of axes that are declared; decides what a table without `column` gives.
        base: folder that relative paths start from.
        allow_outside: whether files outside of `base` may be read.

    Raises:
        DataError: VS0503, VS0504, VS0507, VS0508, VS0511, VS0512, VS0514, VS0515, VS0521, VS0522; also where it is read.
    """
    if source.uri.startswith("sklearn:"):
        found = dataset(source.uri.removeprefix("sklearn:"), source.column, what)
    else:
        path = _path(source.uri, what, base, allow_outside)
        reader = _reader(path, what)
        with _readable(what, path.name):
            found = _File(reader(path, source.column, what, name, axes), what)
    return choose(found, source.rows, source.shuffle, what, source.uri)


class _File(Opened):
    """What a reader opened; whatever goes wrong while it is read is said to be the file's."""

    def __init__(self, inner: Opened, what: str) -> None:
        self.inner, self.what = inner, what
        self.shape, self.file, self.random = inner.shape, inner.file, inner.random

    def whole(self) -> Any:
        with _readable(self.what, self.file):
            return self.inner.whole()

    def blocks(self, first: int, end: int) -> Iterator[Any]:
        found = self.inner.blocks(first, end)
        while True:
            with _readable(self.what, self.file):
                block = next(found, None)
            if block is None:
                return
            yield block

    def take(self, rows: Any) -> Any:
        with _readable(self.what, self.file):
            return self.inner.take(rows)

    def place(self, index: Index) -> str:
        return self.inner.place(index)


@contextmanager
def _readable(what: str, file: str) -> Iterator[None]:
    """Whatever a library raises about a file becomes a `DataError` VS0503: each has errors of its own for damaged files."""
    try:
        yield
    except DataError:
        raise
    except Exception as e:
        said = " ".join(str(e).split())[:200] or type(e).__name__
        raise DataError(
            "VS0503",
            f"{what} comes from '{file}', which cannot be read: {said}",
            "it may be damaged, or cut off: write it again",
        ) from None


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
    if not allow_outside and path.is_dir():
        _check_links(path, root, what)
    return path


def _check_links(store: Path, root: Path, what: str) -> None:
    """Refuse a folder of which a file lies outside of the spec's folder, by a link. Raises `DataError` VS0511."""
    for folder, folders, files in os.walk(store):
        for name in (*folders, *files):
            inner = Path(folder, name)
            if inner.is_symlink() and not inner.resolve().is_relative_to(root):
                raise DataError(
                    "VS0511",
                    f"{what} comes from '{store.name}', in which '{inner.relative_to(store)}' is a link to outside of the spec's "
                    "folder",
                    "copy the file in the place of the link, or use --allow-outside",
                )


def _reader(path: Path, what: str) -> Reader:
    """The reader of a file that exists and begins as its name says. Raises `DataError` VS0503."""
    kind = suffix(path)
    if kind not in _READERS:
        tip = f"what is read is {LISTED}"
        if kind in _PACKED and suffix(path.stem) in FORMATS:
            tip = "compressed files are not read: unpack it, or write it as parquet, which is compressed by itself"
        elif ":" in path.name and suffix(path.name.rpartition(":")[0]) in FORMATS:
            tip = "in a spec, the column stands under `column`"
        raise DataError("VS0503", f"{what} comes from '{path.name}', which is no kind of file that is read", tip)
    if not path.exists():
        try:
            beside = [p.name for p in path.parent.iterdir() if suffix(p) in FORMATS]
        except OSError:
            beside = []
        raise DataError("VS0503", f"{what} comes from '{path}', which does not exist", near(path.name, beside))
    if path.is_dir() != (kind == ".zarr"):
        found = "a folder" if path.is_dir() else "not a folder, as zarr stores are"
        raise DataError("VS0503", f"{what} comes from '{path.name}', which is {found}")
    if kind == ".zarr":
        return _READERS[kind]
    with _readable(what, path.name):
        with path.open("rb") as stream:
            head = stream.read(8)
        if not head:
            raise DataError("VS0503", f"{what} comes from '{path.name}', which is empty")
        if kind in _MAGIC and not head.startswith(_MAGIC[kind]):
            raise DataError("VS0503", f"{what} comes from '{path.name}', which is not what its name says")
    return _READERS[kind]
