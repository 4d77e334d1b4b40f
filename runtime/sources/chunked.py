"""Arrays that are stored in chunks: zarr and netCDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError
from vspec.runtime.sources.arrays import pickled
from vspec.runtime.sources.columns import one
from vspec.runtime.sources.opened import BLOCK, Index, Opened, steps
from vspec.runtime.sources.source import Columns

# What decodes a chunk by arithmetic alone. Others (pickle among them) could run what they find in the store.
_CODECS = frozenset((
    "bytes", "transpose", "sharding_indexed", "gzip", "zlib", "bz2", "lzma", "zstd", "lz4", "blosc", "crc32", "crc32c",
    "adler32", "fletcher32", "jenkins_lookup3", "shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "astype",
    "packbits", "zfpy", "pcodec",
))  # fmt: skip


class Chunked(Opened):
    """An array that is read by slices along its first axis, as many whole chunks at a time as fit into a block."""

    def __init__(self, array: Any, chunk: int, read: Callable[[Any], Any], file: str) -> None:
        """`read`: a slice of rows, or `...`, → the array there."""
        self.array, self.chunk, self.read, self.file = array, chunk, read, file
        self.shape = tuple(array.shape)

    def whole(self) -> Any:
        return self.read(...)

    def blocks(self, first: int, end: int) -> Iterator[Any]:
        width = max(1, int(np.prod(self.shape[1:], dtype=int)) * 8)
        size = max(BLOCK // width // self.chunk, 1) * self.chunk
        # Up to the end of the first chunk, then whole ones.
        stop = min(end, (first // size + 1) * size)
        for a, b in [(first, stop), *steps(stop, end, 1, size)]:
            yield self.read(slice(a, b))

    def place(self, index: Index) -> str:
        return f"in '{self.file}'"


def zarr(path: Path, column: Columns, what: str, name: str, axes: int) -> Opened:
    """An array of a zarr store of version 2 or 3, by its path in the group. Raises `DataError` VS0503, VS0504, VS0507, VS0512."""
    try:
        import zarr as library
    except ImportError:
        raise missing("zarr", what, path) from None
    try:
        node = library.open(str(path), mode="r")
    except ValueError as e:
        if "pickle" in str(e):
            raise pickled(what, path) from None
        raise
    if isinstance(node, library.Group):
        known = sorted(k for k, member in node.members(max_depth=None) if isinstance(member, library.Array))
        node = node[one(column, known, what, name, path.name, "array")]
    elif column is not None:
        asked = ", ".join(column) if isinstance(column, tuple) else column
        raise DataError("VS0504", f"{what} asks for '{asked}' of '{path.name}', which is one array")
    metadata = node.metadata.to_dict()
    strange = sorted({c for c in _codecs(metadata) if c.removeprefix("numcodecs.") not in _CODECS})
    if strange:
        code = "VS0512" if any("pickle" in c for c in strange) else "VS0503"
        raise DataError(
            code,
            f"{what} comes from '{path.name}', whose chunks are coded by {', '.join(strange)}, which is not read",
            "save plain numeric arrays, compressed by zstd, gzip or blosc, or not at all",
        )
    if node.dtype.kind not in "biufc":
        raise DataError("VS0507", f"{what} comes from '{path.name}', which holds {node.dtype}, not numbers")
    chunks = getattr(node, "shards", None) or node.chunks
    return Chunked(node, chunks[0] if chunks else 1, lambda at: np.asarray(node[at]), path.name)


def _codecs(metadata: Any) -> Iterator[str]:
    """The names of all codecs in the metadata of an array, also of those inside of others."""
    records = [metadata.get(k) for k in ("codecs", "index_codecs", "filters")]
    configuration = metadata.get("configuration")
    if isinstance(configuration, dict):
        yield from _codecs(configuration)
    found = [c for r in records if r for c in r]
    if metadata.get("compressor"):
        found.append(metadata["compressor"])
    for codec in found:
        record = codec if isinstance(codec, dict) else codec.to_dict() if hasattr(codec, "to_dict") else None
        if record is None:
            record = codec.get_config() if hasattr(codec, "get_config") else {"name": type(codec).__name__}
        yield str(record.get("id", record.get("name")))
        yield from _codecs(record)


def netcdf(path: Path, column: Columns, what: str, name: str, axes: int) -> Opened:
    """A variable of a netCDF file; of one in a group, its path. Raises `DataError` VS0503, VS0504, VS0507, VS0521, VS0522."""
    try:
        import netCDF4
    except ImportError:
        raise missing("netCDF4", what, path) from None
    file = netCDF4.Dataset(str(path), "r")
    known = dict(_variables(file, ""))
    if column is None and name not in known:
        # Variables that are called like a dimension are its coordinates.
        own = [k for k, v in known.items() if v.dimensions != (v.name,)]
        if len(own) == 1:
            column = own[0]
    wanted = one(column, list(known), what, name, path.name, "variable")
    variable = known[wanted]
    if not isinstance(variable.dtype, np.dtype) or variable.dtype.kind not in "biufc":
        raise DataError("VS0507", f"{what}: variable '{wanted}' of '{path.name}' holds {variable.dtype}, not numbers")

    def read(at: Any) -> Any:
        found = variable[at]
        if np.ma.is_masked(found):
            index = np.argwhere(np.ma.getmaskarray(found))[0]
            if isinstance(at, slice):
                index[0] += at.start
            raise DataError(
                "VS0522",
                f"{what}: variable '{wanted}' of '{path.name}' has no value (masked) at {[int(k) for k in index]}",
                "leave what is missing out, or fill it in before",
            )
        return np.ma.getdata(found)

    chunks = variable.chunking() if path.suffix else None
    chunk = int(chunks[0]) if isinstance(chunks, list) and chunks else 1
    made = Chunked(variable, chunk, read, path.name)
    made.keep = file  # type: ignore[attr-defined]  # a file that is collected is closed
    return made


def _variables(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, variable in group.variables.items():
        yield prefix + name, variable
    for name, inner in group.groups.items():
        yield from _variables(inner, f"{prefix}{name}/")


def missing(package: str, what: str, path: Path) -> DataError:
    """The refusal of a file that an optional package reads."""
    return DataError(
        "VS0521",
        f"{what} comes from '{path.name}', which the package {package} reads, and it is not installed",
        "pip install 'vspec[data]'",
    )
