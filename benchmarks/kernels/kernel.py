"""What a kernel of the suite is: a small spec, values for its names, and the same computation written by hand."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vspec
from vspec.compiler import pipeline
from vspec.compiler.graph.tuning import Tuning
from vspec.runtime.program import Program

SPECS = Path(__file__).resolve().parent.parent / "specs"

Sizes = Mapping[str, int]
Values = Mapping[str, Any]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Peer:
    """What a library makes of the kernel.

    Attributes:
        library: its name.
        modules: what has to be there to import.
        make: called with these modules; returns a function of some of the kernel's names.
        drawn: the results that are compared where a library draws numbers in its own way: those whose means over many keys
            are equal. Empty: all results agree one by one.
    """

    library: str
    modules: tuple[str, ...]
    make: Callable[..., Function]
    drawn: tuple[str, ...] = ()

    def function(self) -> Function | str:
        """The function, or what is not installed."""
        try:
            found = [importlib.import_module(m) for m in self.modules]
        except ImportError as e:
            return f"not installed: {e.name}"
        return self.make(*found)


@dataclass(frozen=True)
class Kernel:
    """One computation in several hands.

    `idiomatic` and `expert` are functions whose arguments are names of the spec's data, constants and params; what they return
    has the same leaves in the same order as what the entry returns.

    Attributes:
        name: by which it is asked for.
        doc: what is computed, for tables.
        spec: a file of `benchmarks/specs`.
        entry: of the emitted program; `prepare` is part of the timed call.
        sizes, small, large: the dims of a measurement, those of a quick test, and those that occupy an accelerator.
        values: for sizes and a generator, every array of the spec by name. What draws gets a `key`.
        idiomatic: what most people write.
        expert: the best one can write by hand.
        peer: a library that computes the same, if there is one.
        tolerance: by how much sides may differ, relative to the largest entry.
        tuning: what ours may take of memory, if that is not the default.
    """

    name: str
    doc: str
    spec: str
    entry: str
    sizes: Sizes
    small: Sizes
    large: Sizes
    values: Callable[[Sizes, np.random.Generator], Values]
    idiomatic: Function
    expert: Function
    peer: Peer | None = None
    tolerance: float = 2e-3
    tuning: Tuning | None = None


@dataclass(frozen=True)
class Side:
    """A jitted function with its arguments."""

    function: Any
    arguments: tuple[Any, ...]

    def __call__(self) -> Any:
        return self.function(*self.arguments)


@dataclass(frozen=True)
class Case:
    """A kernel at certain sizes: the compiled spec, its program, and the sides by name. Of a missing side, why."""

    kernel: Kernel
    compiled: pipeline.Compiled
    program: Program
    values: Values
    seconds: Mapping[str, float]
    sides: Mapping[str, Side]
    missing: Mapping[str, str]


def side(function: Function, values: Values) -> Side:
    """A function of named values, with those that it names."""
    arguments = tuple(values[name] for name in inspect.signature(function).parameters)
    return Side(jax.jit(function), arguments)


def emitted(program: Program, entry: str, values: Values) -> Side:
    """An entry of a program with what `prepare` does for it, as one function of data, constants and params."""
    entries = program.entries
    prepared = {name for e in (entries[entry],) for name in (a.name for a in e.arguments if a.role == "prepared")}
    wanted = [a.name for a in entries["prepare"].arguments] if prepared else []
    own = [a.name for a in entries[entry].arguments if a.role != "prepared"]
    names = list(dict.fromkeys([*wanted, *own]))
    f = getattr(program, entry)

    def whole(*arguments: Any) -> Any:
        known = dict(zip(names, arguments, strict=True))
        if prepared:
            known |= program.prepare(*(known[n] for n in wanted))
        return f(*(known[a.name] for a in entries[entry].arguments))

    return Side(jax.jit(whole), tuple(values[n] for n in names))


def entries(program: Program, values: Values) -> dict[str, Side]:
    """Each entry of a program by itself, as a run compiles them. Of what `prepare` makes, arguments have the shapes only."""
    names = list(program.entries)
    found, known = {}, dict(values)
    for name in sorted(names, key=lambda n: n != "prepare"):
        arguments = tuple(known[a.name] for a in program.entries[name].arguments)
        found[name] = Side(jax.jit(getattr(program, name)), arguments)
        if name == "prepare":
            known |= jax.eval_shape(getattr(program, name), *arguments)
    return found


def case(kernel: Kernel, sizes: Sizes, peers: bool = True) -> Case:
    """Compiles the spec at these sizes, and makes values and sides. The seconds are those of each stage of our compiler."""
    import time

    path = SPECS / kernel.spec
    text = path.read_text(encoding="utf-8")
    start = time.perf_counter()
    spec, diagnostics = pipeline.check_text(text, path.name, sizes)
    checked = time.perf_counter() - start
    if spec is None:
        raise ValueError(f"{kernel.spec}: {diagnostics[0].message}")
    compiled = pipeline.compile_spec(spec, tuning=kernel.tuning)
    folder = Path(tempfile.mkdtemp())
    (folder / path.name).write_text(text, encoding="utf-8")
    built = pipeline.build(folder / path.name, folder / "out", stablehlo=False, overrides=sizes, tuning=kernel.tuning)
    program = vspec.load(built.directory)
    given = kernel.values(sizes, np.random.default_rng(0))
    bound = program.bind({name: given[name] for name in program.manifest["data"]})
    real = jnp.float64 if program.precision == "float64" else jnp.float32
    params = {name: jnp.asarray(given[name], real) for name in program.manifest["params"]}
    arrays = {name: jnp.asarray(x) for name, x in (bound.data | bound.constants).items()}
    arrays = {n: x.astype(real) if jnp.issubdtype(x.dtype, jnp.floating) else x for n, x in arrays.items()}
    values = arrays | params | {"key": jax.random.key(0)}
    sides = {
        "ours": emitted(program, kernel.entry, values),
        "idiomatic": side(kernel.idiomatic, values),
        "expert": side(kernel.expert, values),
    }
    missing = {}
    if kernel.peer is not None and peers:
        f = kernel.peer.function()
        if isinstance(f, str):
            missing["peer"] = f
        else:
            sides["peer"] = side(f, values)
    seconds = {"check": checked, **compiled.seconds}
    return Case(kernel, compiled, program, values, seconds, sides, missing)


def agree(one: Case) -> None:
    """All sides compute the same thing, or the comparison is void. Raises AssertionError."""
    first = jax.tree.leaves(one.sides["ours"]())
    for name, other in one.sides.items():
        if name == "peer" and one.kernel.peer is not None and one.kernel.peer.drawn:
            agree_in_the_mean(one, one.kernel.peer.drawn)
            continue
        for a, b in zip(first, jax.tree.leaves(other()), strict=True):
            assert a.dtype == b.dtype, f"{one.kernel.name}: {name} computes in {b.dtype}, not {a.dtype}"
            assert bool(jnp.all(jnp.isfinite(a))), one.kernel.name
            scale = float(jnp.max(jnp.abs(a)))
            assert scale > 0, f"{one.kernel.name} is 0, so that nothing is compared"
            tolerance = one.kernel.tolerance
            np.testing.assert_allclose(
                b, a, rtol=tolerance, atol=tolerance / 10 * scale, err_msg=f"{one.kernel.name}: {name}"
            )


def agree_in_the_mean(one: Case, names: Iterable[str], keys: int = 400) -> None:
    """The means of results over many keys are equal, by five of their standard errors. Raises AssertionError."""
    found = {}
    for name in ("ours", "peer"):
        side = one.sides[name]
        place = next(k for k, x in enumerate(side.arguments) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key))
        before, after = side.arguments[:place], side.arguments[place + 1 :]
        results = [side.function(*before, key, *after) for key in jax.random.split(jax.random.key(1), keys)]
        found[name] = {n: np.stack([np.asarray(r[n], np.float64) for r in results]) for n in names}
    for n in names:
        a, b = (found[name][n] for name in ("ours", "peer"))
        far = np.abs(a.mean(0) - b.mean(0))
        error = np.sqrt((a.var(0) + b.var(0)) / keys)
        # Without noise, rounding is left.
        rounding = one.kernel.tolerance / 10 * np.max(np.abs(a.mean(0)))
        assert np.all(far < 5 * error + rounding), f"{one.kernel.name}: the mean of {n} is another one"
