"""A spec over a grid of constants, sizes and seeds: which programs it takes, in which batches they run, what comes out."""

from __future__ import annotations

import hashlib
import json
import tempfile
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.faults import refuse
from vspec.grid import LIMIT, points
from vspec.permission import extern_allowed
from vspec.programs import build_spec, is_program
from vspec.runtime.clock import Clock

if TYPE_CHECKING:
    from vspec.runtime.program import Program
    from vspec.runtime.sweep.store import Store
    from vspec.runtime.sweep.work import Batch, Done, Place

TOGETHER = 32
"""The most points that run side by side, unless it is said otherwise."""

Tell = Callable[[int, int], None]
"""Told of how many points of how many are done."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to sweep.

    Attributes:
        source: the spec, or the folder of a program.
        grid: name → values, of constants and of sizes.
        seeds: the seeds of each point.
        settings: constants and sizes that all points share.
        data: name → array or source.
        run: the name of a run, '' for the spec itself.
        jobs: the number of processes.
        together: how many points at most run side by side.
        out: the folder, None to keep everything in memory.
        resume: go on with the sweep in the folder.
        force: throw away what an unfinished one left there.
        limit: the most points.
        level: the optimisation level.
        disable: passes to leave out.
        base: the folder that data paths in the spec are relative to.
        allow_outside: whether imports and data may lie elsewhere.
    """

    source: Path
    grid: Mapping[str, Sequence[Any]]
    seeds: Sequence[int] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    jobs: int = 1
    together: int = TOGETHER
    out: Path | None = None
    resume: bool = False
    force: bool = False
    limit: int = LIMIT
    level: int = 2
    disable: Collection[str] = ()
    base: Path | None = None
    allow_outside: bool = False


@dataclass(frozen=True)
class SweepResult:
    """What a sweep gave.

    Attributes:
        name: the spec's name.
        swept: name → values, of constants and sizes.
        seeds: the seeds.
        columns: the columns of the table.
        rows: a dict per point, in the order of the grid, with a value for each column.
        points: all that is known of each point: outputs with their shapes, claims, stages, and the error of one that failed.
        out: the folder, if one was written.
        timings: seconds of build, points, table and their total.
        resumed: how many points were done before.
    """

    name: str
    swept: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    columns: list[str]
    rows: list[dict[str, Any]]
    points: list[Mapping[str, Any]]
    out: Path | None
    timings: Mapping[str, float]
    resumed: int = 0
    run: str = ""
    held: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def files(self) -> list[Path]:
        """The table and the plot, where they were written."""
        names = ("table.csv", "table.parquet", "sweep.png")
        return [self.out / n for n in names if (self.out / n).is_file()] if self.out is not None else []

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """The points that have no result."""
        return [p for p in self.points if p["error"] is not None]

    def arrays(self, k: int) -> dict[str, dict[str, Any]]:
        """The params and outputs of the k-th point as NumPy arrays: `params`, `outputs`, each name → array."""
        from vspec.runtime.sweep.rows import key_of
        from vspec.runtime.sweep.store import Store

        point = self.points[k]
        key = key_of(point["point"], point["seed"])
        flat = Store(self.out).arrays(key) if self.out is not None else self.held.get(key, {})
        found: dict[str, dict[str, Any]] = {"params": {}, "outputs": {}}
        for name, array in flat.items():
            group, _, rest = name.partition("/")
            found[group][rest] = array
        return found

    def __repr__(self) -> str:
        grid = " x ".join(f"{len(v)} of {n}" for n, v in [*self.swept.items(), ("seed", self.seeds)] if len(v) > 1)
        return f"SweepResult('{self.name}': {len(self.rows)} points ({grid}), {len(self.failed)} failed)"


@dataclass(frozen=True, slots=True)
class _Names:
    """What may be swept: constants that are one number, dims, and what is bound late among the settings."""

    name: str
    constants: Mapping[str, bool]
    dims: Collection[str]


def sweep(request: Request, tell: Tell = lambda done, of: None, default: Path | None = None) -> SweepResult:
    """Run every point of a grid.

    Args:
        request: what to sweep.
        tell: told of every step forward.
        default: the folder in which a sweep without `out` has one by its name.

    Raises:
        SpecError: the spec is wrong, or the grid does not suit it (VS0880 to VS0883).
        ArtifactError: the folder is another sweep's or cannot be written (VS0884, VS0885, VS0843, VS0808).
    """
    clock = Clock()
    names = _names(request)
    if request.out is None and default is not None:
        request = replace(request, out=default / "-".join(filter(None, (names.name, request.run))))
    _check_grid(request, names)
    wanted = points(request.grid, request.seeds, request.limit)
    with ExitStack() as stack:
        made = _Programs(request, names, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vspec-"))))
        stack.callback(made.forget)
        made.prepare([values for values, _ in wanted])
        clock.lap("build")
        store, head = None, _head(request, names, made, wanted)
        if request.out is not None:
            from vspec.runtime.sweep.store import Store

            store = Store(request.out)
            store.begin(head, request.resume, request.force)
            stack.callback(store.close)
        found, held, resumed = _run(request, made, wanted, store, tell)
        clock.lap("points")
        result = _result(request, names, wanted, found, held, resumed, clock)
        if store is not None:
            _write(store, head, result, clock)
        return result


def _names(request: Request) -> _Names:
    if is_program(request.source):
        from vspec.runtime.program import load

        manifest = load(request.source, request.run).manifest
        return _Names(manifest["name"], {n: not c["axes"] for n, c in manifest["constants"].items()}, ())
    from vspec.compiler.pipeline import check
    from vspec.programs import refuse_run

    policy = Policy(mode="none")
    checked, _ = check(
        str(request.source),
        request.settings,
        policy,
        allow_outside=request.allow_outside,
        allow_extern=extern_allowed(),
    )
    if request.run and request.run not in checked.runs:
        raise refuse_run(request.run, [*checked.runs])
    spec = checked.runs.get(request.run, checked)
    dims = [n for n, d in spec.dims.items() if isinstance(d.size, int)]
    dims += [letter for n in dims for letter in spec.dims[n].letters if letter not in dims]
    return _Names(spec.name, {n: not c.letters for n, c in spec.constants.items()}, tuple(dims))


def _check_grid(request: Request, names: _Names) -> None:
    """Raise SpecError VS0881 for the first name of the grid that cannot be swept."""
    for name in request.grid:
        if name in request.settings:
            raise refuse("VS0881", f"'{name}' is set for all points and swept, too", "leave out one of the two")
        if names.constants.get(name) is False:
            raise refuse(
                "VS0881",
                f"'{name}' is an array, and a sweep goes over single numbers",
                "sweep a constant that scales it",
            )
        if name in names.constants or name in names.dims:
            continue
        known = [n for n, single in names.constants.items() if single] + [*names.dims]
        listed = f"it has {', '.join(known)}" if known else "it has only its seeds"
        what = "the program has no constant" if is_program(request.source) else "the spec has no constant or size"
        raise refuse("VS0881", f"{what} '{name}' to sweep", did_you_mean(name, known) or listed)


class _Programs:
    """A program for each combination of sizes, built aside."""

    def __init__(self, request: Request, names: _Names, folder: Path) -> None:
        self.request, self.names, self.folder = request, names, folder
        self.places: dict[str, Place | SpecError] = {}

    def early(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What needs a program of its own."""
        return {n: v for n, v in {**self.request.settings, **values}.items() if n not in self.names.constants}

    def late(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What is bound when a point runs."""
        return {n: v for n, v in {**self.request.settings, **values}.items() if n in self.names.constants}

    def place(self, values: Mapping[str, Any]) -> Place | SpecError:
        """The program of a point, or why there is none."""
        return self.places[json.dumps(self.early(values), sort_keys=True)]

    def prepare(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Build what is needed. Raises the error of the spec if none can be built."""
        for values in wanted:
            key = json.dumps(self.early(values), sort_keys=True)
            if key not in self.places:
                self.places[key] = self._make(self.early(values), len(self.places))
        errors = [p for p in self.places.values() if isinstance(p, SpecError)]
        if len(errors) == len(self.places):
            raise errors[0]

    def _make(self, early: dict[str, Any], number: int) -> Place | SpecError:
        from vspec.runtime.sweep.work import Place

        request, token = self.request, uuid.uuid4().hex
        directory, run, base = request.source, request.run, request.base
        if not is_program(request.source):
            base = request.source.resolve().parent if base is None else base
            try:
                built = build_spec(
                    request.source,
                    self.folder / str(number),
                    level=request.level,
                    disable=request.disable,
                    overrides=early,
                    stablehlo=False,
                    allow_outside=request.allow_outside,
                    policy=Policy(mode="none"),
                    parts=request.run,
                )
            except SpecError as error:
                return error
            directory, run = built.directory, ""
        return Place(directory.resolve(), run, request.data, base, request.allow_outside, token)

    def first(self) -> Place:
        """One that was built."""
        from vspec.runtime.sweep.work import Place

        return next(p for p in self.places.values() if isinstance(p, Place))

    def program(self) -> Program:
        """The program of it."""
        return self.first().points().program

    def forget(self) -> None:
        """Let go of the programs that this process has loaded."""
        from vspec.runtime.sweep.work import forget

        for place in self.places.values():
            if not isinstance(place, SpecError):
                forget(place.token)


def _head(
    request: Request, names: _Names, made: _Programs, wanted: Sequence[tuple[Mapping[str, Any], int]]
) -> dict[str, Any]:
    """What sweep.json says before the first point has run."""
    import platform

    import jax

    from vspec.runtime.fingerprint import device
    from vspec.runtime.sweep.store import VERSION

    program = made.program()
    manifest = program.manifest
    spec = {"sha256": manifest["spec"]["sha256"], "imports": {n: _digest(i) for n, i in manifest["imports"].items()}}
    if is_program(request.source):
        spec["program"] = manifest["program"]["sha256"]
    return {
        "sweep": VERSION,
        "name": names.name,
        "file": manifest["spec"]["file"],
        "swept": {n: list(v) for n, v in request.grid.items()},
        "seeds": list(request.seeds),
        "points": len(wanted),
        "identity": {
            "spec": spec,
            "run": request.run,
            "settings": dict(request.settings),
            "options": {"level": request.level, "disabled": sorted(request.disable)},
            "data": _data_digest(request, made, wanted),
        },
        "versions": {"python": platform.python_version(), **manifest["versions"], "jax": jax.__version__},
        "device": device(),
        "precision": program.precision,
        "jobs": request.jobs,
        "together": request.together,
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _data_digest(request: Request, made: _Programs, wanted: Sequence[tuple[Mapping[str, Any], int]]) -> str:
    """A digest of the arrays that are read, of the first point that has any; '' where its data does not fit."""
    from vspec.runtime.errors import RunError
    from vspec.runtime.fingerprint import of_array, of_rows
    from vspec.runtime.sweep.points import Asked

    first = made.first()
    values, seed = next((v, s) for v, s in wanted if made.place(v) is first)
    points = first.points()
    try:
        bound = points.bind(Asked(made.late(values), seed))
    except RunError:
        return ""
    whole = {name: of_array(array) for name, array in points.read.items()}
    return _digest(whole | {name: of_rows(rows) for name, rows in bound.streams.items()})


def _run(
    request: Request,
    made: _Programs,
    wanted: Sequence[tuple[Mapping[str, Any], int]],
    store: Store | None,
    tell: Tell,
) -> tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]], int]:
    """Rows and arrays by their keys, and how many there were before."""
    from vspec.runtime.sweep.rows import key_of

    keys = [key_of(values, seed) for values, seed in wanted]
    before = store.done() if store is not None and request.resume else {}
    rows: dict[str, Mapping[str, Any]] = {k: before[k] for k in keys if k in before}
    held: dict[str, Mapping[str, Any]] = {}
    resumed = len(rows)
    tell(resumed, len(wanted))

    def take(found: list[Done]) -> None:
        for done in found:
            rows[done.key] = done.row
            if done.arrays:
                held[done.key] = done.arrays
        tell(len(rows), len(wanted))

    rest = [(values, seed) for (values, seed), key in zip(wanted, keys, strict=True) if key not in rows]
    take(_refused(made, rest, store))
    batches = _batches(request, made, rest)
    if request.jobs == 1 or len(batches) < 2:
        from vspec.runtime.sweep.work import run_batch

        for batch in batches:
            take(run_batch(batch))
    else:
        _in_processes(request.jobs, batches, take)
    return rows, held, resumed


def _in_processes(jobs: int, batches: Sequence[Batch], take: Callable[[list[Done]], None]) -> None:
    """Batches in several processes, each taken as it ends."""
    from joblib import Parallel, delayed

    from vspec.runtime.sweep.work import run_batch

    parallel = Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered", batch_size=1)
    for found in parallel(delayed(run_batch)(batch) for batch in batches):
        take(found)


def _refused(made: _Programs, rest: Sequence[tuple[Mapping[str, Any], int]], store: Store | None) -> list[Done]:
    """Points with sizes that the spec does not allow."""
    from vspec.runtime.sweep.points import ALONE, Fault, Outcome
    from vspec.runtime.sweep.rows import key_of, row_of
    from vspec.runtime.sweep.work import Done

    found = []
    for values, seed in rest:
        error = made.place(values)
        if isinstance(error, SpecError):
            first = error.diagnostics[0]
            line = first.span.line if first.span is not None else None
            outcome = Outcome(ALONE, Fault(first.code, first.message, "; ".join(first.help), line))
            done = Done(key_of(values, seed), row_of(values, seed, outcome), {})
            if store is not None:
                store.save(done.key, done.row, {})
            found.append(done)
    return found


def _batches(request: Request, made: _Programs, rest: Sequence[tuple[Mapping[str, Any], int]]) -> list[Batch]:
    """The points of each program in batches of even length, which run side by side."""
    from vspec.runtime.sweep.points import Asked
    from vspec.runtime.sweep.work import Batch, Place

    groups: dict[str, list[tuple[Mapping[str, Any], int]]] = {}
    places: dict[str, Place] = {}
    for values, seed in rest:
        place = made.place(values)
        if isinstance(place, Place):
            places[place.token] = place
            groups.setdefault(place.token, []).append((values, seed))
    found = []
    for token, group in groups.items():
        count = max(-(-len(group) // max(request.together, 1)), min(request.jobs, len(group)))
        # Side by side only as many as are asked for; one after the other is a batch of one.
        length = -(-len(group) // count)
        for k in range(0, len(group), length):
            some = group[k : k + length]
            asked = tuple(Asked(made.late(values), seed) for values, seed in some)
            found.append(Batch(places[token], tuple(v for v, _ in some), asked, length, request.out))
    return found


def _result(
    request: Request,
    names: _Names,
    wanted: Sequence[tuple[Mapping[str, Any], int]],
    found: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, Mapping[str, Any]],
    resumed: int,
    clock: Clock,
) -> SweepResult:
    from vspec.runtime.sweep.rows import key_of, table

    full = [found[key_of(values, seed)] for values, seed in wanted]
    columns, cells = table(full, [*request.grid])
    rows = [dict(zip(columns, row, strict=True)) for row in cells]
    grid = {n: tuple(v) for n, v in request.grid.items()}
    return SweepResult(
        names.name,
        grid,
        tuple(request.seeds),
        columns,
        rows,
        full,
        request.out,
        clock.parts,
        resumed,
        request.run,
        held,
    )


def _write(store: Store, head: Mapping[str, Any], result: SweepResult, clock: Clock) -> None:
    """The table, the plot, and that the sweep is complete."""
    from vspec.runtime.sweep.files import write_csv, write_parquet
    from vspec.runtime.sweep.plots import draw

    cells = [[row[c] for c in result.columns] for row in result.rows]
    about = {"vspec.sweep": json.dumps({"name": result.name, "identity": head["identity"]}, default=str)}
    store.write("table.csv", lambda out: write_csv(out, result.columns, cells))
    store.write("table.parquet", lambda out: write_parquet(out, result.columns, cells, about))
    title = f"{result.name}, run {result.run}" if result.run else result.name
    drawn: list[bool] = []
    store.write("sweep.png", lambda out: drawn.append(draw(out, title, [*result.swept], result.points)))
    files = ["table.csv", "table.parquet", *(["sweep.png"] if drawn[0] else [])]
    if not drawn[0]:
        (store.folder / "sweep.png").unlink()
    clock.lap("table")
    store.say(
        {
            **head,
            "state": "complete",
            "done": len(result.rows),
            "failed": len(result.failed),
            "resumed": result.resumed,
            "alone": sum(p["how"] == "alone" for p in result.points),
            "columns": result.columns,
            "files": files,
            "timings": dict(clock.parts),
        }
    )


__all__ = ["TOGETHER", "Request", "SweepResult", "sweep"]
