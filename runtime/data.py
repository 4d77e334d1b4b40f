"""Binds data: reads defaults, checks every array against its declaration, resolves the sizes of `auto` dims."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.draws import draw
from vspec.runtime.errors import DataError, DataWarning, near
from vspec.runtime.sizes import NoSize, size_of
from vspec.runtime.sources import Opened, Source, open_source, opened
from vspec.runtime.streams import Rows, at_rows, budget, streamed

Manifest = Mapping[str, Any]
Place = Callable[[tuple[int, ...]], str]
"""Index of an entry → where it is from, in words; '' if there is nothing to say."""

_KINDS = {"real": "real numbers", "integer": "integers", "boolean": "truth values", "complex": "complex numbers"}


@dataclass(slots=True)
class Sizes:
    """Sizes of dims as they become known, each with what made it known."""

    dims: Mapping[str, Any]
    known: dict[str, int] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dim in self.dims.items():
            if isinstance(dim["size"], int):
                self.known[name], self.origin[name] = dim["size"], "its declaration"
        self.derive()

    def letters(self) -> dict[str, int]:
        """Known sizes under the dim's name and all of its letters."""
        found = {letter: self.known[d] for d, dim in self.dims.items() if d in self.known for letter in dim["letters"]}
        return found | self.known

    def derive(self) -> None:
        """Work out the sizes that are expressions of others. Raises `DataError` VS0513 where one is no size."""
        progress = True
        while progress:
            progress = False
            for name, dim in self.dims.items():
                if name not in self.known and isinstance(dim["size"], str):
                    try:
                        value = size_of(dim["size"], self.letters())
                    except NoSize as why:
                        raise DataError(
                            "VS0513", f"dim '{name}' has no size by '{dim['size']}': {why}", line=dim.get("line")
                        ) from None
                    if value is not None:
                        self._least(name, value, f"'{dim['size']}'")
                        self.known[name], self.origin[name] = value, f"'{dim['size']}'"
                        progress = True

    def _least(self, dim: str, size: int, origin: str) -> None:
        """Check that a dim has as many values as it needs. Raises `DataError` VS0513."""
        least = self.dims[dim].get("least", 1)
        if size < least:
            why = "" if least == 1 else ", since it has coordinates from one end to the other"
            raise DataError(
                "VS0513",
                f"dim '{dim}' has size {size} by {origin}; it must be at least {least}{why}",
                line=self.dims[dim].get("line"),
            )

    def match(self, what: str, axes: list[str], shape: tuple[int, ...], line: int | None) -> None:
        """Check a shape against what is known, and learn from it. Raises `DataError` VS0505, VS0506."""
        if len(shape) != len(axes):
            declared = f"[{', '.join(axes)}]" if axes else "no axes"
            raise DataError(
                "VS0505",
                f"{what} has shape {shape}, that is {len(shape)} axes, and is declared with {declared}",
                line=line,
            )
        for position, (axis, size) in enumerate(zip(axes, shape, strict=True)):
            if size == 0:
                raise DataError("VS0506", f"{what} is empty along axis '{axis}'", line=line)
            if axis not in self.known:
                self._least(axis, size, what)
                self.known[axis], self.origin[axis] = size, what
                self.derive()
            elif self.known[axis] != size:
                raise DataError(
                    "VS0506",
                    f"{what} has size {size} along axis {position}, '{axis}', which has size {self.known[axis]} by "
                    f"{self.origin[axis]}",
                    _transposed(axes, shape, self.known),
                    line=line,
                )


def _transposed(axes: list[str], shape: tuple[int, ...], known: Mapping[str, int]) -> str:
    turned = shape[::-1]
    if len(shape) == 2 and all(known.get(a, s) == s for a, s in zip(axes, turned, strict=True)):
        return "its transpose would fit"
    return ""


def numpy_dtype(dtype: str, precision: str) -> Any:
    """The NumPy dtype of `real`, `integer`, `boolean` or `complex` under a precision."""
    wide = precision == "float64"
    table: dict[str, type[np.generic]] = {
        "real": np.float64 if wide else np.float32,
        "integer": np.int64 if wide else np.int32,
        "boolean": np.bool_,
        "complex": np.complex128 if wide else np.complex64,
    }
    return np.dtype(table[dtype])


def convert(
    array: Any,
    dtype: str,
    precision: str,
    what: str,
    line: int | None = None,
    place: Place | None = None,
    first: int = -1,
) -> Any:
    """The array in the declared dtype, if no entry loses its meaning.

    Args:
        array: anything NumPy understands.
        dtype: `real`, `integer`, `boolean` or `complex`.
        precision: `float32` or `float64`.
        what: how messages call it.
        line: line of the spec.
        place: says where an entry is from.
        first: where the array is some rows of a larger one: the number of its first row there; else -1.

    Returns:
        A NumPy array. Raises `DataError` VS0507 or VS0508.
    """
    try:
        array = np.asarray(array)
    except ValueError as e:
        raise DataError("VS0507", f"{what} is not an array: {e}", line=line) from None
    if array.dtype.kind not in ("biufc" if dtype == "complex" else "biuf"):
        if array.dtype.kind == "V" and array.dtype.itemsize in (1, 2):  # bfloat16 and its kin, from accelerators
            array = array.astype(np.float32)
        else:
            raise DataError("VS0507", f"{what} has dtype {array.dtype} where {_KINDS[dtype]} are declared", line=line)
    target = numpy_dtype(dtype, precision)
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        bad = ~np.isfinite(array)
        count = np.count_nonzero(bad)
        value, where = _first(array, bad, place, first)
        more = f"; {count - 1} more are not" if first < 0 and count > 1 else ""
        raise DataError("VS0508", f"{what} has {value}{where}, which is not finite{more}", line=line)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(target)
    if dtype not in ("real", "complex"):
        same = converted == array
    else:
        same = np.isfinite(converted)
    if not np.all(same):
        value, where = _first(array, ~same, place, first)
        raise DataError("VS0507", f"{what} has {value}{where}, which is not of type {dtype} ({target})", line=line)
    return converted


def _first(array: Any, bad: Any, place: Place | None, first: int) -> tuple[Any, str]:
    """The first entry that is bad, and where it stands: ` at [3, 1] (line 5, column 'b' of 't.csv')`."""
    at = tuple(int(k) for k in np.argwhere(bad)[0])
    index = (at[0] + max(first, 0), *at[1:]) if at else at
    known = place(index) if place is not None else ""
    return array[at], (f" at {list(index)}" if index else "") + (f" ({known})" if known else "")


@dataclass(frozen=True, slots=True)
class Arrays:
    """The data of a run: arrays, those of which rows are read while it goes on, and warnings about them."""

    data: dict[str, Any]
    streams: dict[str, Rows]
    notes: tuple[DataWarning, ...]


def bind_data(
    manifest: Manifest,
    given: Mapping[str, Any],
    sizes: Sizes,
    seed: int,
    base: Path | None,
    allow_outside: bool,
    memory: int,
) -> Arrays:
    """Every data entry, checked; `sizes` learns what they reveal.

    Args:
        manifest: the manifest.
        given: name → array, path or mapping.
        sizes: what is known of the sizes of dims.
        seed: the run's seed.
        base: folder that the spec's own paths start from.
        allow_outside: whether these may leave it.
        memory: bytes that the data may take together before some are read by chunks.

    Raises:
        DataError: VS05xx.
    """
    declared, precision = manifest["data"], manifest["precision"]
    for name in given:
        if name not in declared:
            raise DataError(
                "VS0502", f"the program has no data '{name}'", near(name, declared, "it has no data at all")
            )
    found: dict[str, Opened] = {}
    drawn: list[str] = []
    for name, entry in declared.items():
        if given.get(name) is None and "draw" in (entry.get("default") or {}):
            drawn.append(name)
            continue
        with _located(entry):
            found[name] = _opened(name, entry, given.get(name), base, allow_outside)
    width = {name: numpy_dtype(declared[name]["dtype"], precision).itemsize for name in found}
    bytes_of = {name: int(np.prod(a.shape, dtype=object)) * width[name] for name, a in found.items()}
    chosen, notes = streamed(manifest, found, bytes_of, memory)
    arrays: dict[str, Any] = {}
    streams: dict[str, Rows] = {}
    for name, array in found.items():
        entry, what = declared[name], f"data '{name}'"
        with _located(entry):
            sizes.match(what, list(entry["axes"]), array.shape, entry.get("line"))
            if name in chosen:
                rows = Rows(at_rows(array, what), numpy_dtype(entry["dtype"], precision), budget(memory))
                start = 0
                for block in rows.source.blocks(0, rows.shape[0]):
                    _check(entry, what, block, precision, rows.source.place, start)
                    start += len(block)
                streams[name] = rows
            else:
                arrays[name] = _check(entry, what, array.whole(), precision, array.place)
    shared = np.random.default_rng(seed)
    for name in drawn:
        entry, what = declared[name], f"data '{name}'"
        law = entry["default"]["draw"]
        shape = tuple(_size(sizes, axis, what, entry.get("line")) for axis in entry["axes"])
        generator = shared if law.get("seed") is None else np.random.default_rng(law["seed"])
        array = draw(law["law"], law.get("arguments", ()), shape, generator, what)
        arrays[name] = _check(entry, what, array, precision)
        sizes.match(what, list(entry["axes"]), arrays[name].shape, entry.get("line"))
    return Arrays({name: arrays[name] for name in declared if name in arrays}, streams, notes)


def _opened(name: str, entry: Manifest, value: Any, base: Path | None, allow_outside: bool) -> Opened:
    """The array of a data entry, by what the caller gives or by its default, known by its shape."""
    what, default, axes = f"data '{name}'", entry.get("default"), len(entry["axes"])
    allowed, folder = True, None
    if value is None and default is not None:
        value, allowed, folder = default.get("value", default), allow_outside, base
        if entry["dtype"] == "complex" and "value" in default:
            value = _complex(value)
    if value is None:
        raise DataError("VS0501", f"{what} is not bound and has no default", f"pass data={{'{name}': ...}}")
    if isinstance(value, (str, Path)):
        return open_source(Source.parse(str(value)), what, name, axes, folder, allowed)
    if isinstance(value, Mapping):
        return open_source(Source.of(value, what), what, name, axes, folder, allowed)
    return opened(value, what, name, axes)


@contextmanager
def _located(entry: Manifest) -> Iterator[None]:
    """Gives errors about a data entry its line of the spec."""
    try:
        yield
    except DataError as e:
        e.line = entry.get("line") if e.line is None else e.line
        raise


def _complex(value: Any) -> Any:
    """Literal complex numbers, which a manifest keeps as text: `1+2j`."""
    return [_complex(v) for v in value] if isinstance(value, list) else complex(value)


def _check(entry: Manifest, what: str, value: Any, precision: str, place: Place | None = None, first: int = -1) -> Any:
    """The values in the declared dtype, which are in the declared set. Arguments are those of `convert`."""
    array = convert(value, entry["dtype"], precision, what, entry.get("line"), place, first)
    allowed = entry.get("in")
    if allowed is not None:
        bad = ~np.isin(array, np.asarray(allowed).astype(array.dtype))
        if bad.any():
            found, where = _first(array, bad, place, first)
            listed = ", ".join(f"{v:g}" for v in allowed)
            raise DataError("VS0509", f"{what} has {found}{where}; allowed are {listed}")
    return array


def bind_constants(manifest: Manifest, given: Mapping[str, Any], sizes: Sizes) -> dict[str, Any]:
    """Every constant as an array, overridden where given. Raises `DataError` VS0502, VS0506, VS0510."""
    declared, precision = manifest["constants"], manifest["precision"]
    for name in given:
        if name not in declared:
            raise DataError(
                "VS0502", f"the program has no constant '{name}'", near(name, declared, "it has no constants")
            )
    arrays = {}
    for name, entry in declared.items():
        what, line = f"constant '{name}'", entry.get("line")
        try:
            array = convert(given.get(name, entry["value"]), entry["dtype"], precision, what, line)
        except DataError as e:
            raise DataError("VS0510", e.message, line=line) from None
        if array.ndim != len(entry["axes"]):
            raise DataError(
                "VS0510", f"{what} has shape {array.shape} and is declared with {len(entry['axes'])} axes", line=line
            )
        sizes.match(what, list(entry["axes"]), array.shape, line)
        arrays[name] = array
    return arrays


def check_positions(manifest: Manifest, kind: str, arrays: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Check that values which stand in subscripts are positions of the axes they read.

    Args:
        manifest: the manifest.
        kind: `data` or `constants`.
        arrays: the bound arrays of that kind, or rows that are read.
        sizes: the size of every dim.

    Raises `DataError` VS0518.
    """
    for name, array in arrays.items():
        entry = manifest[kind][name]
        for dim in entry.get("indexes") or ():
            start = 0
            streaming = isinstance(array, Rows)
            for block in array.source.blocks(0, array.shape[0]) if streaming else (array,):
                bad = (block < 0) | (block >= sizes[dim])
                if np.any(bad):
                    found, where = _first(block, bad, array.source.place if streaming else None, start)
                    raise DataError(
                        "VS0518",
                        f"{kind.removesuffix('s')} '{name}' has {found}{where}, which is no position along '{dim}' of size "
                        f"{sizes[dim]}",
                        f"positions run from 0 to {sizes[dim] - 1}",
                        line=entry.get("line"),
                    )
                start += len(block) if streaming else 0


def resolve_sizes(manifest: Manifest, sizes: Sizes) -> dict[str, int]:
    """The size of every dim that is known or that an entry needs.

    Raises `DataError` VS0513 if one of those is unknown, VS0506 if a
    matrix is too wide.
    """
    dims = manifest["dims"]
    needed = _needed(manifest)
    found = {
        name: _size(sizes, name, "the program", dim.get("line"))
        for name, dim in dims.items()
        if name in sizes.known or needed & {name, *dim["letters"]}
    }
    for wanted in manifest.get("tall", ()):
        rows, columns = wanted["rows"], wanted["columns"]
        if found[rows] < found[columns]:
            raise DataError(
                "VS0506",
                f"'{wanted['of']}' needs at least as many rows as columns, but '{rows}' has size {found[rows]} "
                f"and '{columns}' has size {found[columns]}",
                "transpose the matrix in the spec",
                line=wanted.get("line"),
            )
    return found


def _needed(manifest: Manifest) -> set[str]:
    """The dims that entries have as axes or take as sizes, and those whose sizes are made of others."""
    found: set[str] = set()
    for entry in manifest["entries"].values():
        for argument in entry["arguments"]:
            found.update(argument["axes"])
            if argument["role"] == "size":
                found.add(argument["name"])
        for result in entry["results"]:
            found.update(result["axes"])
    for name, dim in manifest["dims"].items():
        if isinstance(dim["size"], str):
            found.add(name)
    return found


def _size(sizes: Sizes, dim: str, what: str, line: int | None) -> int:
    size = sizes.known.get(dim)
    if size is None:
        raise DataError(
            "VS0513",
            f"{what} needs the size of '{dim}', which no bound array reveals",
            f"give '{dim}' a size in the spec's dims",
            line=line,
        )
    return size
