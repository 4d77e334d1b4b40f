"""The public Python API, reached as `vspec.check`, `vspec.build` and so on. Each function imports what it needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec import notebook, programs
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.policy import Policy
from vspec.locate import find_spec, find_specs
from vspec.permission import extern_allowed

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from vspec.compiler.language.spec import Spec
    from vspec.compiler.pipeline import Built
    from vspec.runtime.claims import ClaimResult
    from vspec.runtime.program import Program
    from vspec.runtime.run import RunResult
    from vspec.sweeping import SweepResult

Overrides = Mapping[str, Any]


def check(spec: str | Path, overrides: Overrides | None = None, *, allow_outside: bool = False) -> Spec:
    """Check a spec.

        spec = vspec.check("fit.yaml")
        print(spec.params, spec.claims)

    Args:
        spec: a path, the name of a shipped spec, or the YAML itself (a string with more than one line).
        overrides: constants and sizes of dims that differ from the spec.
        allow_outside: whether the spec may import files from outside of its folder.

    Returns:
        The checked spec: its names, axes, equations, plan and claims.

    Raises:
        SpecError: with a located, coded diagnostic for every mistake that was found.
    """
    notebook.show_specs()
    return _checked(spec, overrides, Policy(mode="none"), allow_outside)[0]


def warnings(spec: str | Path, overrides: Overrides | None = None, *, pedantic: bool = False) -> tuple[Diagnostic, ...]:
    """What is right in a spec but probably not meant.

        for warning in vspec.warnings("fit.yaml", pedantic=True):
            print(warning.code, warning.message, warning.span)

    Args:
        spec: as in `check`.
        overrides: constants and sizes of dims that differ from the spec.
        pedantic: whether to look for what only may be a mistake, too.

    Returns:
        The warnings in the order of the file.

    Raises:
        SpecError: the spec is wrong, so that nothing else can be said about it.
    """
    return _checked(spec, overrides, Policy(pedantic))[1]


def _checked(
    spec: str | Path, overrides: Overrides | None, policy: Policy, allow_outside: bool = False
) -> tuple[Spec, tuple[Diagnostic, ...]]:
    from vspec.compiler import pipeline

    if isinstance(spec, str) and "\n" in spec:
        checked, diagnostics = pipeline.check_text(
            spec, "<text>", overrides or {}, policy, allow_extern=extern_allowed()
        )
        if checked is None:
            raise SpecError(diagnostics)
        return checked, diagnostics
    return pipeline.check(
        str(find_spec(str(spec))), overrides or {}, policy, allow_outside=allow_outside, allow_extern=extern_allowed()
    )


def build(
    spec: str | Path,
    out: str | Path | None = None,
    *,
    level: int = 2,
    disable: Collection[str] = (),
    overrides: Overrides | None = None,
    stablehlo: bool = True,
    force: bool = False,
    allow_outside: bool = False,
    memory: int | float | str | None = None,
    chunk: int | float | str | None = None,
    matmul_precision: str = "default",
    donate: bool = False,
) -> Built:
    """Build the program folder of a spec.

        built = vspec.build("fit.yaml", "build/fit")
        program = vspec.load(built.directory)

    Args:
        spec: a path or the name of a shipped spec.
        out: the folder; `build/<name>` if None.
        level: 0 only what correctness needs, 1 the cheap passes, 2 all.
        disable: names of passes to leave out.
        overrides: constants and sizes of dims that differ from the spec.
        stablehlo: whether to write the portable artifacts.
        force: build even if the folder is up to date.
        allow_outside: whether the spec may import files from outside of its folder.
        memory: what the arrays of one reduction may take, in bytes or as text such as "2GB"; 256 MB if None. Beyond it, they are
            computed some rows at a time.
        chunk: what these rows take; 16 MB if None.
        matmul_precision: digits of matrix products: "default" (as the device likes), "bfloat16", "tensorfloat32", "float32".
        donate: whether the loops of stages give the memory of their state to the next state.

    Returns:
        Where the program is, whether it was up to date, and the warnings.

    Raises:
        SpecError: the spec is wrong, a pass is not known, or the folder cannot be written.
    """
    return programs.build_spec(
        find_spec(str(spec)),
        Path(out) if out is not None else None,
        level=level,
        disable=disable,
        overrides=overrides,
        stablehlo=stablehlo,
        force=force,
        allow_outside=allow_outside,
        tuning=programs.read_tuning(memory, chunk, matmul_precision, donate),
    )


def load(directory: str | Path, run: str = "") -> Program:
    """Load a program that `build` wrote, or one of its runs. Needs no compiler.

        program = vspec.load("build/fit")
        gradient = jax.jit(program.loss_gradient)

    Args:
        directory: the folder of the program.
        run: the name of a run of the spec; the spec itself if empty.

    Raises:
        ArtifactError: the folder is no program, has no such run, or was changed after it was built.
    """
    from vspec.runtime.program import load

    notebook.show_programs()
    return load(directory, run, allow_extern=extern_allowed())


def compile(
    spec: str | Path,
    *,
    level: int = 2,
    disable: Collection[str] = (),
    overrides: Overrides | None = None,
    allow_outside: bool = False,
    run: str = "",
    memory: int | float | str | None = None,
    chunk: int | float | str | None = None,
    matmul_precision: str = "default",
    donate: bool = False,
) -> Program:
    """Compile a spec, or one of its runs, and load the program; no files are kept.

        program = vspec.compile("fit.yaml")
        bound = program.bind({"x": x, "y": y})
        params = program.initial_params(bound)
        value = program.call("loss", params, bound)

    Args and errors are those of `build`; `run` is the name of a run of the spec.
    """
    notebook.show_programs()
    return programs.compile_program(
        find_spec(str(spec)),
        level=level,
        disable=disable,
        overrides=overrides,
        allow_outside=allow_outside,
        run=run,
        tuning=programs.read_tuning(memory, chunk, matmul_precision, donate),
    )


def run(
    spec: str | Path | Program,
    *,
    data: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overrides: Overrides | None = None,
    level: int = 2,
    allow_outside: bool = False,
    run: str = "",
    mesh: Mapping[str, int] | Mesh | None = None,
    memory: int | float | str | None = None,
    resume: bool = False,
    checkpoint_every: float | str | None = None,
    keep_checkpoints: bool = False,
) -> RunResult:
    """Run a spec, a program's folder or a loaded program.

        result = vspec.run("fit.yaml", data={"x": x, "y": y})
        print(result.params["slope"], result.holds)

    Args:
        spec: a path, the name of a shipped spec, the folder of a program, or a `Program`.
        data: name → array (NumPy, JAX, data frames, pyarrow, nested lists), or a file as `--data` takes it.
        constants: name → value, bound at run time.
        params: name → where the search starts.
        seed: seed of every draw that has none of its own.
        out: the folder for results; nothing is written if None.
        overrides: constants and sizes of dims to compile with; for a spec only.
        level: the optimisation level; for a spec only.
        allow_outside: whether the spec may import specs and read data outside of its folder.
        run: the name of a run of the spec; the spec itself if empty.
        mesh: axis → number of devices, or a mesh of JAX, for a spec that says `shard`.
        memory: what the data may take together, in bytes or as text such as "2GB"; a quarter of the machine's if None. Beyond
            it, the largest are read by chunks of rows where the plan sees batches of them only. If given, also what the arrays
            of one reduction may take, as for `build`; for a spec only.
        resume: whether to go on where a run into `out` was interrupted; it begins at the start if none was.
        checkpoint_every: how often a run with `out` is saved: seconds, `"5m"`, `"1000 steps"` or `"never"`; every minute if None.
        keep_checkpoints: whether the last checkpoints stay in `out` when the run has ended.

    Returns:
        The params, outputs, claims, metrics and timings.

    Raises:
        SpecError: the spec is wrong.
        DataError, NumericsError, ArtifactError: what went wrong in the run; each is a `RunError`.
        RunInterruptedError: Ctrl-C, while it computed into `out`. It is saved there.
    """
    from vspec.runtime.program import Program, load
    from vspec.runtime.run import run as run_program

    saving: dict[str, Any] = {
        "resume": resume,
        "checkpoint_every": checkpoint_every,
        "keep_checkpoints": keep_checkpoints,
    }
    base: Path | None = None
    if isinstance(spec, Program):
        program = spec
    elif programs.is_program(Path(spec)):
        program = load(spec, run, allow_extern=extern_allowed())
    else:
        path = find_spec(str(spec))
        base = path.resolve().parent
        with programs.temporary_program(
            path,
            level=level,
            overrides=overrides,
            allow_outside=allow_outside,
            part=run,
            tuning=programs.read_tuning(memory, None, "default"),
        ) as made:
            return run_program(
                made, data, constants, seed, out, None, params, base, allow_outside, mesh, memory, **saving
            )
    return run_program(program, data, constants, seed, out, None, params, base, allow_outside, mesh, memory, **saving)


def sweep(
    spec: str | Path,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    seeds: int | Sequence[int] = 1,
    data: Mapping[str, Any] | None = None,
    overrides: Overrides | None = None,
    jobs: int = 1,
    together: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    limit: int | None = None,
    level: int = 2,
    allow_outside: bool = False,
    run: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> SweepResult:
    """Run a spec at every combination of values of constants and sizes, with every seed.

        found = vspec.sweep("fit.yaml", {"lam": [0.1, 1, 10]}, seeds=3)
        best = min(found.rows, key=lambda row: row["error"])

    Args:
        spec: a path, the name of a shipped spec, or the folder of a program.
        grid: name → values, of constants that are one number and of dims that have a size.
        seeds: how many, from 0 on, or which.
        data: name → array, or a file as `--data` takes it.
        overrides: constants and sizes that all points share.
        jobs: processes to run in; results are the same.
        together: how many points at most run side by side in one vmapped program; 1 runs each by itself.
        out: the folder for points, table and plot; nothing is written if None.
        resume: go on with the sweep in that folder.
        force: throw away the points of a sweep that was not finished.
        limit: the most points.
        level: the optimisation level; for a spec only.
        allow_outside: whether the spec may import specs and read data outside of its folder.
        run: the name of a run of the spec; the spec itself if empty.
        progress: called with how many points are done, and of how many.

    Returns:
        `rows`, a plain dict per point in the order of the grid; a point that failed has the code of its error under `failure`.

    Raises:
        SpecError: the spec is wrong, or the grid does not suit it.
        ArtifactError: the folder belongs to another sweep, or cannot be written.
    """
    from vspec.grid import LIMIT
    from vspec.sweeping import TOGETHER, Request
    from vspec.sweeping import sweep as run_sweep

    request = Request(
        source=Path(spec) if programs.is_program(Path(spec)) else find_spec(str(spec)),
        grid={name: tuple(values) for name, values in (grid or {}).items()},
        seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
        settings=dict(overrides or {}),
        data=dict(data or {}),
        run=run,
        jobs=jobs,
        together=TOGETHER if together is None else together,
        out=Path(out) if out is not None else None,
        resume=resume,
        force=force,
        limit=LIMIT if limit is None else limit,
        level=level,
        allow_outside=allow_outside,
    )
    return run_sweep(request, progress or (lambda done, of: None))


def verify(
    spec: str | Path, *, smoke: bool = False, overrides: Overrides | None = None, seed: int = 0
) -> list[ClaimResult]:
    """Run a spec, or all specs below a folder, with the runs that claims compare, and judge the claims.

        assert all(claim.holds for claim in vspec.verify("fit.yaml"))

    Args:
        spec: a path, a folder, or the name of a shipped spec.
        smoke: at the quick size that the claims declare.
        overrides: constants and sizes of dims that differ from the spec.
        seed: the run's seed; a claim over several seeds takes this one and those that follow.

    Returns:
        The claims in the specs' order, each with what was measured and what was demanded.

    Raises:
        SpecError: a spec is wrong.
        RunError: a run failed.
    """
    from vspec.verification import verify_spec

    return [
        claim
        for path in find_specs([str(spec)])
        for claim in verify_spec(path, smoke=smoke, overrides=overrides, seed=seed).claims
    ]
