"""From a spec to a loaded program, by way of a folder: the steps that the Python API and the commands share."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.diagnostics.policy import DEFAULT, Policy
from vspec.faults import refuse
from vspec.permission import extern_allowed

if TYPE_CHECKING:
    from vspec.compiler.graph.tuning import Tuning
    from vspec.compiler.pipeline import Built
    from vspec.runtime.program import Program


def is_program(path: Path) -> bool:
    """Whether the path is taken as the folder of a program: every folder, since a spec is a file. `load` looks inside."""
    return path.is_dir()


def read_tuning(
    memory: int | float | str | None, chunk: int | float | str | None, matmul: str, donate: bool = False
) -> Tuning:
    """How a program uses the machine. Raises DataError VS0524 for what is no amount of memory, ValueError for a precision that
    there is not."""
    from vspec.compiler.graph.tuning import MATMUL, Tuning
    from vspec.runtime.streams import amount

    if matmul not in MATMUL:
        raise ValueError(f"matmul_precision is one of {', '.join(MATMUL)}, not {matmul!r}")
    default = Tuning()
    return Tuning(
        default.memory if memory is None else amount(memory),
        default.chunk if chunk is None else max(1, amount(chunk)),
        matmul=matmul,
        donate=donate,
    )


def build_spec(
    spec: Path,
    out: Path | None = None,
    *,
    level: int = 2,
    disable: Collection[str] = (),
    overrides: Mapping[str, Any] | None = None,
    stablehlo: bool = True,
    force: bool = False,
    allow_outside: bool = False,
    policy: Policy = DEFAULT,
    parts: str | None = None,
    tuning: Tuning | None = None,
) -> Built:
    """`pipeline.build` with coded errors for what its caller named: a pass that is not known (VS0822), a run that the spec
    does not have (VS0809), a folder that cannot be written (VS0826). All parts are built if `parts` is None."""
    from vspec.compiler.pipeline import EVERY, UnknownRun, build

    check_passes(disable)
    try:
        return build(
            str(spec),
            out,
            level=level,
            disable=disable,
            overrides=overrides or {},
            stablehlo=stablehlo,
            force=force,
            allow_outside=allow_outside,
            allow_extern=extern_allowed(),
            policy=policy,
            parts=EVERY if parts is None else parts,
            tuning=tuning,
        )
    except UnknownRun as unknown:
        raise refuse_run(*unknown.args) from None
    except OSError as error:
        folder = out if out is not None else Path("build")
        reason = f"'{error.filename or folder}' cannot be written: {error.strerror}" if error.strerror else str(error)
        raise refuse("VS0826", reason, "choose another folder with --out") from None


def refuse_run(name: str, runs: Collection[str]) -> SpecError:
    """The error VS0809 for a run that a spec does not have."""
    from vspec.compiler.diagnostics.suggest import did_you_mean

    listed = f"runs are {', '.join(runs)}" if runs else "the spec has no 'runs'"
    return refuse("VS0809", f"the spec has no run '{name}'", did_you_mean(name, runs) or listed)


def check_passes(disable: Collection[str]) -> None:
    """Raise SpecError VS0822 for the first name that is no pass."""
    if not disable:
        return
    from vspec.compiler.diagnostics.suggest import did_you_mean
    from vspec.registries import passes

    known = dict(passes())
    for name in disable:
        if name not in known:
            raise refuse(
                "VS0822", f"there is no pass '{name}'", did_you_mean(name, known) or f"passes are {', '.join(known)}"
            )


def compile_program(
    spec: Path,
    *,
    level: int = 2,
    disable: Collection[str] = (),
    overrides: Mapping[str, Any] | None = None,
    allow_outside: bool = False,
    run: str = "",
    tuning: Tuning | None = None,
) -> Program:
    """The program of a spec, or of one of its runs, built aside and loaded; nothing stays on disk.

    Its `directory` is the folder of the spec, which the spec's own data paths are relative to.
    """
    from vspec.runtime.kept import texts

    with temporary_program(
        spec,
        level=level,
        disable=disable,
        overrides=overrides,
        allow_outside=allow_outside,
        part=run,
        tuning=tuning,
    ) as program:
        for each in (program, *program.variants):
            each.texts = texts(each)
            each.directory = spec.resolve().parent
        return program


@contextmanager
def temporary_program(
    spec: Path,
    *,
    level: int = 2,
    disable: Collection[str] = (),
    overrides: Mapping[str, Any] | None = None,
    allow_outside: bool = False,
    part: str = "",
    tuning: Tuning | None = None,
) -> Iterator[Program]:
    """The program of a spec, whose folder is removed at the end; `part` is a run of it, or `pipeline.COMPARISON`."""
    from vspec.runtime.program import load

    with tempfile.TemporaryDirectory(prefix="vspec-") as folder:
        built = build_spec(
            spec,
            Path(folder) / "program",
            level=level,
            disable=disable,
            overrides=overrides,
            stablehlo=False,
            allow_outside=allow_outside,
            parts=part,
            tuning=tuning,
        )
        yield load(built.directory, allow_extern=extern_allowed())
