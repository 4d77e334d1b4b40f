"""Binds data: reads defaults, checks every array against its declaration, resolves the sizes of `auto` dims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime.draws import draw
from vspec.runtime.errors import DataError, near
from vspec.runtime.sizes import NoSize, size_of
from vspec.runtime.sources import Source, read

Manifest = Mapping[str, Any]

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


def convert(array: Any, dtype: str, precision: str, what: str, line: int | None = None) -> Any:
    """The array in the declared dtype, if no entry loses its meaning.

    Args:
        array: anything NumPy understands.
        dtype: `real`, `integer`, `boolean` or `complex`.
        precision: `float32` or `float64`.
        what: how messages call it.
        line: line of the spec.

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
        bad = np.argwhere(~np.isfinite(array))
        at = tuple(int(k) for k in bad[0])
        raise DataError(
            "VS0508",
            f"{what} has {len(bad)} entries that are not finite; the first is {array[at]} at {list(at)}",
            line=line,
        )
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(target)
    if dtype not in ("real", "complex"):
        same = converted == array
    else:
        same = np.isfinite(converted)
    if not np.all(same):
        at = tuple(int(k) for k in np.argwhere(~same)[0])
        raise DataError(
            "VS0507", f"{what} has {array[at]} at {list(at)}, which is not of type {dtype} ({target})", line=line
        )
    return converted


def bind_data(
    manifest: Manifest,
    given: Mapping[str, Any],
    sizes: Sizes,
    seed: int,
    base: Path | None,
    allow_outside: bool,
) -> dict[str, Any]:
    """Every data entry as a checked NumPy array; `sizes` learns what they reveal. Raises `DataError` VS05xx."""
    declared, precision = manifest["data"], manifest["precision"]
    for name in given:
        if name not in declared:
            raise DataError(
                "VS0502", f"the program has no data '{name}'", near(name, declared, "it has no data at all")
            )
    arrays: dict[str, Any] = {}
    drawn: list[str] = []
    for name, entry in declared.items():
        what, default = f"data '{name}'", entry.get("default")
        source: Source | None = None
        value, allowed, folder = given.get(name), True, None
        if value is None and default is not None:
            if "draw" in default:
                drawn.append(name)
                continue
            value, allowed, folder = default.get("value", default), allow_outside, base
            if entry["dtype"] == "complex" and "value" in default:
                value = _complex(value)
        if value is None:
            raise DataError(
                "VS0501",
                f"{what} is not bound and has no default",
                f"pass data={{'{name}': ...}}",
                line=entry.get("line"),
            )
        if isinstance(value, (str, Path)):
            source = Source.parse(str(value))
        elif isinstance(value, Mapping):
            rows = value.get("rows")
            source = Source(value["source"], value.get("column"), tuple(rows) if rows else None, value.get("shuffle"))
        try:
            if source is not None:
                value = read(source, what, name, len(entry["axes"]), folder, allowed)
            arrays[name] = _check(manifest, name, value, sizes, precision)
        except DataError as e:
            e.line = entry.get("line") if e.line is None else e.line
            raise
    shared = np.random.default_rng(seed)
    for name in drawn:
        entry = declared[name]
        law = entry["default"]["draw"]
        shape = tuple(_size(sizes, axis, f"data '{name}'", entry.get("line")) for axis in entry["axes"])
        generator = shared if law.get("seed") is None else np.random.default_rng(law["seed"])
        array = draw(law["law"], law.get("arguments", ()), shape, generator, f"data '{name}'")
        arrays[name] = _check(manifest, name, array, sizes, precision)
    return {name: arrays[name] for name in declared}


def _complex(value: Any) -> Any:
    """Literal complex numbers, which a manifest keeps as text: `1+2j`."""
    return [_complex(v) for v in value] if isinstance(value, list) else complex(value)


def _check(manifest: Manifest, name: str, value: Any, sizes: Sizes, precision: str) -> Any:
    entry, what = manifest["data"][name], f"data '{name}'"
    line = entry.get("line")
    array = convert(value, entry["dtype"], precision, what, line)
    sizes.match(what, list(entry["axes"]), array.shape, line)
    allowed = entry.get("in")
    if allowed is not None:
        bad = ~np.isin(array, np.asarray(allowed).astype(array.dtype))
        if bad.any():
            at = tuple(int(k) for k in np.argwhere(bad)[0])
            listed = ", ".join(f"{v:g}" for v in allowed)
            raise DataError("VS0509", f"{what} has {array[at]} at {list(at)}; allowed are {listed}", line=line)
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
        arrays: the bound arrays of that kind.
        sizes: the size of every dim.

    Raises `DataError` VS0518.
    """
    for name, array in arrays.items():
        entry = manifest[kind][name]
        for dim in entry.get("indexes") or ():
            bad = (array < 0) | (array >= sizes[dim])
            if np.any(bad):
                at = tuple(int(k) for k in np.argwhere(bad)[0])
                place = f" at {list(at)}" if at else ""
                raise DataError(
                    "VS0518",
                    f"{kind.removesuffix('s')} '{name}' has {array[at]}{place}, which is no position along '{dim}' of size "
                    f"{sizes[dim]}",
                    f"positions run from 0 to {sizes[dim] - 1}",
                    line=entry.get("line"),
                )


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
