"""A built program: loaded from its folder, verified against its manifest, its entries ordinary JAX functions."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from vspec.runtime.bound import Bound
from vspec.runtime.data import Sizes, bind_constants, bind_data, check_positions, convert, numpy_dtype, resolve_sizes
from vspec.runtime.devices import Layout, compiled, layout_of
from vspec.runtime.domains import Domain, domains_of
from vspec.runtime.errors import ArtifactError, DataError, near
from vspec.runtime.keys import INITIAL, RESULTS, key_of
from vspec.runtime.objective import Objective, differentiable
from vspec.runtime.streams import amount
from vspec.runtime.threefry import drawing
from vspec.runtime.variants import nearest
from vspec.runtime.whole import by_rows

VERSION = 1
MANIFEST = "manifest.json"

Params = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an entry: its name, and the role that says where its value comes from.

    Of a size, `dim` is what it is the size of, where the name does not say it, and `batch` tells that of a batch.
    """

    name: str
    role: str
    axes: tuple[str, ...] = ()
    dim: str | None = None
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One function of `program.py`, as the manifest describes it.

    `solves` is the entry that tells how the searches for implicit quantities went that this one makes, `inside` names the
    quantities that it seeks in the steps of recurrences, `problems` what each search is about that this entry tells of.
    """

    name: str
    kind: str
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]
    of: str | None
    line: int | None
    solves: str | None = None
    inside: tuple[str, ...] = ()
    problems: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __repr__(self) -> str:
        def shown(a: Argument) -> str:
            return f"{a.name} [{', '.join(a.axes)}]" if a.axes else a.name

        return f"{self.name}({', '.join(shown(a) for a in self.arguments)})"


class Program:
    """An emitted program.

    Entries are attributes: `program.loss(w, X, y, lam)` is the plain function of `program.py` and composes with `jit`,
    `vmap` and `grad`; one that draws has its key made one whose bits, the same ones, cost less (`threefry.py`). `bind` checks
    data once and `call` passes it by role, so that a pipeline only handles params:

        program = vspec.runtime.load("build/logistic")
        bound = program.bind({"raw": X, "label": y}, constants={"lam": 2.0})
        params = program.initial_params(bound)
        value = program.call("loss", params, bound)

    Attributes:
        manifest: the checked manifest.
        entries: name → `Entry`; also reaches entries whose name is that of a method.
        directory: the folder it was loaded from.
        compiled: what has been compiled for this program, so that a second run need not.
        variant: its name among the variants of another program, '' for one that stands by itself.
        variants: programs of the same spec for other sizes.
        texts: the files of its folder by name, where they are kept because the folder is gone.
    """

    def __init__(
        self, manifest: Mapping[str, Any], module: ModuleType, directory: Path | None = None, variant: str = ""
    ) -> None:
        self.manifest = manifest
        self.directory = directory
        self.module = module
        self.entries: Mapping[str, Entry] = MappingProxyType(
            {name: _entry(name, entry, module) for name, entry in manifest["entries"].items()}
        )
        self.compiled: dict[Any, Any] = {}
        self.variant = variant
        self.variants: tuple[Program, ...] = ()
        self.texts: Mapping[str, str] = MappingProxyType({})

    @property
    def name(self) -> str:
        """The spec's name."""
        return str(self.manifest["name"])

    @property
    def run(self) -> str:
        """The run that it is of, '' for the spec itself."""
        return str(self.manifest.get("run", ""))

    @property
    def precision(self) -> str:
        """`float32` or `float64`."""
        return str(self.manifest["precision"])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        entries = self.__dict__.get("entries", {})
        if name not in entries:
            raise AttributeError(f"program has no entry '{name}'; {near(name, entries)}")
        return entries[name].function  # type: ignore[no-any-return]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.entries})

    def __repr__(self) -> str:
        dims = ", ".join(f"{d}={'auto' if v['size'] is None else v['size']}" for d, v in self.manifest["dims"].items())
        head = f"Program '{self.name}' ({self.precision}{'; ' if dims else ''}{dims})"
        return "\n".join([head, *(f"  {entry!r}" for entry in self.entries.values())])

    def _repr_html_(self) -> str:
        from vspec.runtime.pages.notebook import program_html

        return program_html(self)

    @property
    def draws(self) -> bool:
        """Whether some entry takes the key of fresh draws."""
        return any(a.role == "key" for e in self.entries.values() for a in e.arguments)

    def prepare(self, *args: Any, **kwargs: Any) -> dict[str, Array]:
        """The definitions that depend on data and constants only; an empty dict where the program has none."""
        if "prepare" not in self.entries:
            return {}
        return dict(self.entries["prepare"].function(*args, **kwargs))

    def bind(
        self,
        data: Mapping[str, Any] | None = None,
        constants: Mapping[str, Any] | None = None,
        seed: int = 0,
        base: Path | str | None = None,
        allow_outside: bool = False,
        mesh: Mapping[str, int] | Mesh | None = None,
        memory: int | float | str | None = None,
        fit: bool = False,
    ) -> Bound:
        """Check data and constants, fill in defaults, and prepare what depends on nothing else.

        Args:
            data: name → array (NumPy, JAX, data frames, pyarrow, nested lists), a path (`"table.csv:column"`), or
                `"sklearn:NAME:COLUMN"`.
            constants: name → value, for those that differ from the spec.
            seed: seed of draws that have none of their own. Several such draws are taken one after the other from one
                generator, so that they are independent.
            base: folder that the spec's own paths are relative to; default is the program's folder.
            allow_outside: whether the spec's own paths may leave `base`.
            mesh: axis → number of devices, or a mesh of JAX, for a spec that says `shard`.
            memory: what the data may take together, in bytes or as text such as `"2GB"`; a quarter of the machine's by
                default. Beyond it, the largest are read by chunks of rows while a run goes on, where its plan sees batches of
                them only; a `DataWarning` tells of those that are needed whole.
            fit: whether the variant of the program that is meant for sizes like those of the data prepares it. `fitted`
                gives this variant, whose entries are then to be called. All variants compute the same, by other ways.

        Returns:
            A `Bound`, which is a pytree. Its key, where the program draws, is the one of what is evaluated beside stages.

        Raises:
            DataError: the data does not fit (VS05xx), or cannot be split over the devices (VS0863).
            ArtifactError: the mesh does not fit the spec or the devices (VS086x).
        """
        sizes = Sizes(self.manifest["dims"])
        bound_constants = bind_constants(self.manifest, constants or {}, sizes)
        folder = Path(base) if base is not None else self.directory
        found = bind_data(self.manifest, data or {}, sizes, seed, folder, allow_outside, amount(memory))
        dims = tuple(resolve_sizes(self.manifest, sizes).items())
        check_positions(self.manifest, "data", {**found.data, **found.streams}, dict(dims))
        check_positions(self.manifest, "constants", bound_constants, dict(dims))
        for note in found.notes:
            warnings.warn(note, stacklevel=2)
        layout = layout_of(self.manifest, dict(dims), mesh)
        bound = Bound(
            _device(found.data, self.manifest["data"], layout),
            _device(bound_constants, self.manifest["constants"], layout),
            {},
            dims,
            seed,
            layout=layout,
            streams=found.streams,
            notes=found.notes,
        )
        return (self.at_sizes(bound.sizes) if fit else self)._ready(bound)

    def fitted(self, bound: Bound) -> Program:
        """The one of this program and its variants that prepared the data; itself, where none of them did."""
        return next((p for p in self.variants if p.variant == bound.variant), self)

    def at_sizes(self, sizes: Mapping[str, int]) -> Program:
        """The variant that is meant for sizes of dims like these, or the program itself."""
        if not self.variants:
            return self
        meant = [self.manifest["sizes"], *(v["sizes"] for v in self.manifest["variants"])]
        return (self, *self.variants)[nearest(sizes, meant)]

    def _ready(self, bound: Bound) -> Bound:
        """With what this program prepares, and the key of its draws."""
        bound = replace(bound, variant=self.variant)
        if "prepare" in self.entries:
            bound = replace(bound, prepared=self._prepared(bound))
        if not self.draws:
            return bound
        key = key_of(bound.seed, RESULTS)
        return replace(bound, key=key if bound.layout is None else bound.layout.spread(key))

    def _prepared(self, bound: Bound) -> dict[str, Array]:
        """What is prepared, but for arrays that are made row by row of data whose rows are read while a run goes on."""
        if not bound.streams:
            return dict(self.jitted("prepare")({}, bound))
        later = {r for name in bound.streams for r in by_rows(self.manifest, name)}

        def some(bound: Bound, shapes: tuple[tuple[str, Any], ...]) -> dict[str, Array]:
            # Nothing that is kept depends on these zeros, so that XLA drops them.
            zeros = {name: jnp.zeros(shape, dtype) for name, (shape, dtype) in shapes}
            found = self.call("prepare", {}, replace(bound, data={**bound.data, **zeros}))
            return {name: x for name, x in found.items() if name not in later}

        shapes = tuple((name, (rows.shape, rows.dtype)) for name, rows in bound.streams.items())
        return dict(compiled(lambda bound: some(bound, shapes))(bound))

    def initial_params(self, bound: Bound, given: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """The declared start of every param, in full shape, or what `given` has. Raises `DataError` VS0517."""
        entry = next((e for e in self.entries.values() if e.kind == "initial"), None)
        drawing = bound.at(bound.counters, key_of(bound.seed, INITIAL)) if self.draws else bound
        start = dict(self.jitted(entry.name)({}, drawing)) if entry else {}
        for name, value in start.items():
            declared = self.manifest["params"][name]
            start[name] = jnp.asarray(value, numpy_dtype(declared["dtype"], self.precision))
        for name, value in (given or {}).items():
            if name not in self.manifest["params"]:
                known = self.manifest["params"]
                raise DataError("VS0502", f"the program has no param '{name}'", near(name, known, "it has no params"))
            declared = self.manifest["params"][name]
            line = declared.get("line")
            shape = tuple(bound.sizes[a] for a in declared["axes"])
            try:
                array = convert(value, declared["dtype"], self.precision, f"the start of '{name}'", line)
            except DataError as e:
                raise DataError("VS0517", e.message, line=line) from None
            if array.shape != shape:
                raise DataError("VS0517", f"the start of '{name}' has shape {array.shape}, not {shape}", line=line)
            start |= _device({name: array}, self.manifest["params"], bound.layout)
        return start

    def domains(self, bound: Bound) -> dict[str, Domain]:
        """Where each param lives; the bounds of boxes are evaluated on the bound data."""
        entry = next((e for e in self.entries.values() if e.kind == "bounds"), None)
        bounds = jax.device_get(self.jitted(entry.name)({}, bound)) if entry else {}
        return domains_of(self.manifest, bounds)

    def holder(self, name: str) -> str:
        """The entry that gives what is held under a name."""
        return next(
            e.name
            for e in self.entries.values()
            if e.kind == "hold" and any(r["name"] == name for r in self.manifest["entries"][e.name]["results"])
        )

    def entry(self, name: str) -> Entry:
        """The entry of that name. Raises `ArtifactError` VS0806."""
        if name not in self.entries:
            raise ArtifactError("VS0806", f"program '{self.name}' has no entry '{name}'", near(name, self.entries))
        return self.entries[name]

    def call(self, entry: str, params: Params, bound: Bound, vector: Params | None = None) -> Any:
        """Call an entry with its arguments taken from `params` and `bound` by their roles. Traceable.

        `vector`: for each param the part that belongs to it of what a Hessian is multiplied with.
        """
        return self.entry(entry).function(*self.arguments(entry, params, bound, vector))

    def arguments(self, entry: str, params: Params, bound: Bound, vector: Params | None = None) -> list[Any]:
        """What `call` gives to an entry. Raises `ArtifactError` VS0806, `DataError` VS0527."""
        e = self.entry(entry)
        places: Mapping[str, Mapping[str, Any]] = {
            "param": params,
            "prepared": bound.prepared,
            "held": bound.held,
            "data": bound.data,
            "constant": bound.constants,
            "counter": bound.counters,
            "length": bound.counters,
            "kernel": bound.counters,
            "multiplier": bound.multipliers,
            "key": {},
            "fact": bound.facts,
            "vector": {f"{k}.vector": v for k, v in (vector or {}).items()},
        }
        arguments: list[Any] = []
        for a in e.arguments:
            if a.role == "size":
                arguments.append(self._size(a, bound))
            elif a.role == "key" and bound.key is not None:
                arguments.append(bound.key)
            elif a.role == "prepared" and bound.variant != self.variant:
                # Another variant prepared it, which gives the same name to another thing.
                arguments.append(self.call("prepare", {}, bound)[a.name])
            elif a.name in places[a.role]:
                arguments.append(places[a.role][a.name])
            elif a.role == "held":
                # Outside of the stage's loop nobody has made it before.
                arguments.append(self.call(self.holder(a.name), params, bound)[a.name])
            elif a.role in ("data", "prepared") and bound.streams:
                raise DataError(
                    "VS0527",
                    f"entry '{entry}' needs all of '{a.name}', of which rows are read while a run goes on",
                    "bind it with more `memory`, or call the entry with an array of your own",
                )
            else:
                raise ArtifactError("VS0806", f"entry '{entry}' needs the {a.role} '{a.name}', which is not there")
        return arguments

    def jitted(self, entry: str) -> Callable[[Params, Bound], Any]:
        """`call` of one entry as a compiled function of `(params, bound)`, kept for the next time."""
        if entry not in self.compiled:
            self.compiled[entry] = compiled(partial(self.call, entry), partial(self._split, entry))
        made: Callable[[Params, Bound], Any] = self.compiled[entry]
        return made

    def _split(self, entry: str, layout: Layout) -> Any:
        """How what an entry gives is split: params and prepared values by their axes; all else every device has."""
        kind = self.entries[entry].kind
        if kind == "initial":
            declared = self.manifest["params"]
            return {
                r["name"]: layout.of(declared[r["name"]]["axes"]) for r in self.manifest["entries"][entry]["results"]
            }
        if kind in ("prepare", "hold"):
            return {r["name"]: layout.of(r["axes"]) for r in self.manifest["entries"][entry]["results"]}
        return layout.whole

    def _size(self, argument: Argument, bound: Bound) -> int:
        sizes = bound.sizes | (dict(bound.batch) if argument.batch else {})
        wanted = argument.dim or argument.name
        for dim, declared in self.manifest["dims"].items():
            names = {dim, *declared["letters"]}
            if wanted in names or wanted.removeprefix("size_") in names:
                return sizes[dim]
        raise ArtifactError("VS0806", f"an entry needs the size '{argument.name}', which is no dim of the program")

    def derivatives(self, name: str) -> Objective:
        """The objective with whatever derivatives the program has, as functions of `(params, bound)`."""
        return Objective(self, name)

    def objective(self, name: str) -> Callable[[Params, Bound], Array]:
        """The objective as a function of `(params, bound)` whose reverse derivative is the program's gradient entry.

        For use in other optimisers and pipelines: `jax.value_and_grad(program.objective("loss"))(params, bound)`.
        Derivatives that the program has no entry for (data, frozen params) are JAX's.
        """
        return differentiable(self.derivatives(name))

    def exported(self, name: str) -> Any:
        """The StableHLO artifact of an entry, verified: a `jax.export.Exported`. Runs no Python of `program.py`."""
        from jax import export

        artifacts = self.manifest.get("artifacts", {})
        if name not in artifacts or self.directory is None:
            raise ArtifactError("VS0806", f"program '{self.name}' has no artifact '{name}'", near(name, artifacts))
        content = bytearray(_verified(self.directory, artifacts[name]))
        try:
            return export.deserialize(content)  # type: ignore[no-untyped-call]
        except Exception as e:  # JAX says in many ways that this is no artifact.
            raise ArtifactError(
                "VS0805", f"the artifact '{name}' cannot be read: {type(e).__name__}", "build the spec again"
            ) from None


def load(directory: Path | str, run: str = "", *, allow_extern: bool = False) -> Program:
    """Load a program from the folder that `vspec build` wrote, or one of its runs.

    The manifest is checked against its schema and `program.py` against its hash before any of it runs. A program of
    precision float64 switches JAX to 64 bits (`jax_enable_x64`) for the whole process, because JAX knows no other way.

    Args:
        directory: the folder.
        run: the name of a run of the spec; the spec itself if empty.
        allow_extern: whether the program may import functions from outside that its spec names.

    Returns:
        The `Program`.

    Raises:
        ArtifactError: the folder is not a program, or was changed after it was built (VS08xx), or it imports functions from
            outside and may not (VS0670).
    """
    folder = Path(directory)
    manifest = read_manifest(folder)
    if run and manifest.get("run") != run:
        record = _record(manifest, run)
        if record is not None:
            return load(_inner(folder, record), allow_extern=allow_extern)
    outside = manifest.get("externs") or []
    if outside and not allow_extern:
        what = f"program '{manifest['name']}' runs code from outside of its spec: {', '.join(outside)}"
        raise ArtifactError("VS0670", what, "if you trust these modules, say --allow-extern")
    source = _verified(folder, manifest["program"])
    config: Any = jax.config
    if manifest["precision"] == "float64" and not config.jax_enable_x64:
        config.update("jax_enable_x64", True)
    program = Program(manifest, _module(source, folder / manifest["program"]["file"]), folder)
    for record in manifest.get("variants", ()):
        other = load(_inner(folder, record), allow_extern=allow_extern)
        other.variant = record["name"]
        program.variants = (*program.variants, other)
    return program


def comparison(program: Program) -> Program | None:
    """The program that judges the claims over the runs of a program, if it has such claims."""
    record = program.manifest.get("comparison")
    if record is None or program.directory is None:
        return None
    # Whoever loaded the program was asked already.
    return load(_inner(program.directory, record), allow_extern=True)


def _record(manifest: Mapping[str, Any], run: str) -> Mapping[str, Any] | None:
    """What the manifest says about a run; None if it is the program itself. Raises `ArtifactError` VS0809."""
    runs = manifest.get("runs") or {}
    if run not in runs:
        raise ArtifactError(
            "VS0809", f"program '{manifest['name']}' has no run '{run}'", near(run, runs, "it has no runs")
        )
    return runs[run]  # type: ignore[no-any-return]


def _inner(folder: Path, record: Mapping[str, Any]) -> Path:
    """The folder of a program inside of another one, its manifest verified. Raises `ArtifactError` VS0801, VS0803."""
    if Path(record["file"]).name != MANIFEST:
        raise ArtifactError("VS0803", f"the manifest of a program inside of this one is called '{record['file']}'")
    _verified(folder, record)
    return folder / Path(record["file"]).parent


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a program's folder, checked against its schema. Raises `ArtifactError` VS0802, VS0803, VS0804."""
    path = folder / MANIFEST
    _inside(folder, MANIFEST)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError("VS0802", f"'{folder}' has no manifest.json", "build the spec with `vspec build`") from None
    except (OSError, ValueError, RecursionError) as e:
        raise ArtifactError("VS0802", f"'{path}' cannot be read: {e}", "build the spec again") from None
    if isinstance(manifest, dict) and manifest.get("manifest", VERSION) != VERSION:
        raise ArtifactError(
            "VS0804",
            f"'{path}' has version {manifest['manifest']}; this runtime reads {VERSION}",
            "build the spec again",
        )
    error = next(iter(sorted(_validator().iter_errors(manifest), key=lambda e: list(map(str, e.path)))), None)
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "the top"
        raise ArtifactError("VS0803", f"'{path}' does not fit its schema at {where}: {error.message[:200]}")
    return manifest  # type: ignore[no-any-return]


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(
        json.loads((files("vspec.schemas") / "manifest.schema.json").read_text(encoding="utf-8"))
    )


def _inside(folder: Path, file: str) -> Path:
    """A file of a program, links followed. Raises `ArtifactError` VS0803 for one that is outside of its folder."""
    try:
        path = (folder / file).resolve()
    except (OSError, ValueError, RuntimeError) as e:  # a null byte, a circle of links
        raise ArtifactError("VS0803", f"the manifest names {file!r}, which is not a path: {e}") from None
    if not path.is_relative_to(folder.resolve()):
        raise ArtifactError("VS0803", f"the manifest names '{file}', which is outside of the program's folder")
    return path


def _verified(folder: Path, record: Mapping[str, Any]) -> bytes:
    path = _inside(folder, record["file"])
    try:
        content: bytes = path.read_bytes()
    except OSError as e:
        raise ArtifactError("VS0805", f"'{path}' cannot be read: {e.strerror}", "build the spec again") from None
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise ArtifactError(
            "VS0801",
            f"'{path}' is not the file that was built: its hash differs from the manifest's",
            "edit the spec and build it again, not the emitted file",
        )
    return content


def _module(source: bytes, path: Path) -> ModuleType:
    """Import verified bytes under a private name; the file is not read a second time."""
    name = f"_vspec_program_{hashlib.sha256(source).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as e:
        del sys.modules[name]
        raise ArtifactError("VS0805", f"'{path}' fails on import: {type(e).__name__}: {e}") from e
    return module


def _entry(name: str, entry: Mapping[str, Any], module: ModuleType) -> Entry:
    function = getattr(module, entry["function"], None)
    if not callable(function):
        raise ArtifactError("VS0805", f"program.py has no function '{entry['function']}', which entry '{name}' names")
    arguments = tuple(
        Argument(a["name"], a["role"], tuple(a.get("axes") or ()), a.get("dim"), bool(a.get("batch")))
        for a in entry["arguments"]
    )
    place = next((k for k, a in enumerate(arguments) if a.role == "key"), None)
    if place is not None:
        function = drawing(function, place)
    return Entry(
        name,
        entry["kind"],
        function,
        arguments,
        entry.get("of"),
        entry.get("line"),
        entry.get("solves"),
        tuple(entry.get("inside") or ()),
        entry.get("problems") or {},
    )


def _device(
    arrays: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]], layout: Layout | None
) -> dict[str, Array]:
    if layout is None:
        return {name: jnp.asarray(array) for name, array in arrays.items()}
    return {name: layout.place(array, declared[name]["axes"]) for name, array in arrays.items()}
