"""What is behind a stage that diverged: the operation in which a number first is not finite, and the definition it belongs to.

The step that failed is taken once more with a program that keeps the arguments of each evaluation whose results are not
finite. The last of these is evaluated operation by operation. Each line of `program.py` names the line of the spec that it is
from.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from vspec.runtime import kept
from vspec.runtime.bound import Bound
from vspec.runtime.errors import NumericsError
from vspec.runtime.nonfinite import Origin, origin
from vspec.runtime.program import Params as Given
from vspec.runtime.program import Program
from vspec.runtime.stages.record import Stage
from vspec.runtime.stages.runner import Run, Runner
from vspec.runtime.stages.searches import Build, again
from vspec.runtime.stages.transition import Params, World

_FROM = re.compile(r"#.*?([\w.-]+\.ya?ml|<text>):(\d+)\s*$")


class Recording(Program):
    """A program that keeps the arguments of the evaluations whose results are not finite. Only for taking a step once more."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.manifest, program.module, program.directory, program.variant)
        self.last: tuple[str, list[Any]] | None = None

    def call(self, entry: str, params: Given, bound: Bound, vector: Given | None = None) -> Any:
        """What the program's own gives."""
        arguments = self.arguments(entry, params, bound, vector)
        results = self.entry(entry).function(*arguments)
        numbers = [x for x in jax.tree.leaves(results) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]
        if numbers:
            places = [k for k, x in enumerate(arguments) if isinstance(x, jax.Array)]

            def keep(bad: Any, arrays: list[Any]) -> None:
                if bad:
                    given = [*arguments]
                    for k, x in zip(places, arrays, strict=True):
                        given[k] = _again(arguments[k], x)
                    self.last = (entry, given)

            bad = jnp.any(jnp.stack([~jnp.all(jnp.isfinite(x)) for x in numbers]))
            jax.debug.callback(keep, bad, [_plain(arguments[k]) for k in places])
        return results


def _is_key(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def _plain(x: Array) -> Array:
    return jax.random.key_data(x) if _is_key(x) else x


def _again(traced: Any, x: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(x)) if _is_key(traced) else jnp.asarray(x)


@dataclass(frozen=True, slots=True)
class Blamed:
    """Where it begins: `name` and `line` are of the spec, where they are known, or of another `file`."""

    origin: Origin
    name: str | None
    line: int | None
    file: str | None
    axes: tuple[str, ...]
    derivative: bool

    def told(self) -> str:
        """As the end of a message."""
        what = f"'{self.name}'" if self.name else "the formula"
        where = f" on line {self.line}" + (f" of {self.file}" if self.file else "") if self.line else ""
        place = self.origin.place
        at = ", ".join(f"{a} = {k}" for a, k in zip(self.axes, place, strict=False))
        at = f" at {at}" if at and len(place) == len(self.axes) else f" at entry {list(place)}" if place else ""
        step = f", step {self.origin.step} of its loop" if self.origin.step is not None else ""
        of = "a derivative of " if self.derivative else ""
        return f"it begins in {of}{what}{where}{at}{step}: {self.origin.told()}"


def explained(
    error: NumericsError,
    program: Program,
    build: Build,
    stage: Stage,
    runner: Runner,
    world: World,
    params: Params,
    key: Array,
    run: Run,
) -> NumericsError:
    """The error with where it begins, if that is found; its line then is that of the definition.

    Args:
        error: what is said so far.
        program: the program.
        build: makes the transition of a stage of a program.
        stage: the stage that ran.
        runner: what ran it.
        world: what the stage does not change.
        params: where the run started, or what it left.
        key: the key of the stage.
        run: the run.
    """
    found = None if world.bound.layout is not None else _blamed(program, build, stage, runner, world, params, key, run)
    if found is None:
        return error
    line = error.line if found.line is None or found.file is not None else found.line
    return NumericsError(error.code, f"{error.message}; {found.told()}", error.help, line)


def _blamed(
    program: Program, build: Build, stage: Stage, runner: Runner, world: World, params: Params, key: Array, run: Run
) -> Blamed | None:
    recording = Recording(program)
    jax.block_until_ready(again(recording, build, stage, runner, world, params, key, run)())  # type: ignore[no-untyped-call]
    jax.effects_barrier()  # type: ignore[no-untyped-call]
    if recording.last is None:
        return None
    entry, arguments = recording.last
    file = getattr(program.module, "__file__", None)
    moving = [k for k, x in enumerate(arguments) if isinstance(x, jax.Array)]

    def function(*arrays: Array) -> Any:
        given = [*arguments]
        for k, x in zip(moving, arrays, strict=True):
            given[k] = x
        return program.entry(entry).function(*given)

    start = origin(function, [arguments[k] for k in moving], file)
    if start is None:
        return None
    texts = kept.texts(program) if "program" in program.manifest else {}
    source = texts.get("program.py", "")
    statement = _statement(source, start.line)
    if statement is None:
        return Blamed(start, None, None, None, (), False)
    text = source.split("\n")[statement.lineno - 1 : statement.end_lineno]
    match = next((m for t in reversed(text) if (m := _FROM.search(t))), None)
    line, file = (int(match[2]), match[1]) if match else (None, None)
    own = file == (program.manifest.get("spec") or {}).get("file")
    axes = re.search(r"# \[([\w, ]*)\]", text[-1])
    # What an objective evaluates are definitions; a name that only its derivatives have is none.
    evaluated = {n for e in program.entries.values() if e.kind == "objective" for n in _names(source, e.name)}
    target = _target(statement)
    return Blamed(
        start,
        target if target in evaluated else _defined(texts.get("spec.yaml", ""), line) if own else None,
        line,
        None if own else file,
        tuple(a.strip() for a in axes[1].split(",") if a.strip()) if axes else (),
        bool(evaluated) and target is not None and target not in evaluated,
    )


def _statement(source: str, line: int | None) -> ast.stmt | None:
    """The innermost statement that has a line."""
    if line is None or not source:
        return None
    there = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.stmt)]
    inside = [n for n in there if n.lineno <= line <= (n.end_lineno or n.lineno)]
    return max(inside, key=lambda n: n.lineno, default=None)


def _target(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return None


def _names(source: str, function: str) -> set[str]:
    """The names that a function of the program assigns."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return {n for s in ast.walk(node) if isinstance(s, ast.Assign) and (n := _target(s)) is not None}
    return set()


def _defined(spec: str, line: int | None) -> str | None:
    """What a line of the spec defines: the name before the bracket or the colon."""
    text = spec.split("\n")[line - 1 : line] if line else []
    found = re.match(r"\s*(?:-\s*)?([A-Za-z_]\w*)\s*[\[:]", text[0]) if text else None
    return found[1] if found else None


__all__ = ["explained"]
