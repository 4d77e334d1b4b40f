"""Entries as `jax.export` artifacts: StableHLO for cpu, cuda and tpu, of symbolic sizes, that run without this package.

JAX is imported here and only when something is exported.
"""

from __future__ import annotations

import importlib.util
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from vspec.compiler.emit.entry import EmittedEntry
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.language.expr import Expr, Number, Pointwise, SizeOf
from vspec.compiler.language.spec import Spec

NO_DIMS: Mapping[str, int | Node | None] = {}
_OPERATIONS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv}

PLATFORMS = ("cpu", "cuda", "tpu")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A serialised entry, what it was lowered for, and the dims whose size it leaves open."""

    content: bytes
    platforms: tuple[str, ...]
    symbolic: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that could not be exported, and why."""

    reason: str


class _Loader(SourceFileLoader):
    """Loads a program as if it stood at `program.py`: artifacts record where their code stands."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        """The code under the name that every build has."""
        return compile(data, "program.py", "exec", dont_inherit=True, optimize=_optimize)

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Writes no byte code beside the program."""


def load_program(path: Path) -> ModuleType:
    """The emitted module, read from its file."""
    found = importlib.util.spec_from_file_location("program", path, loader=_Loader("program", str(path)))
    if found is None or found.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def export_all(
    program: Path, entries: tuple[EmittedEntry, ...], spec: Spec, made: Mapping[str, int | Node | None] = NO_DIMS
) -> dict[str, Artifact | Skipped]:
    """Every entry of a written program as an artifact, or the reason why it is none.

    `made`: the dims of the graph, among them those that the compiler made (the parts of complex numbers side by side).
    """
    import jax

    module = load_program(program)
    # The precision of a program is its own, whatever the process runs at.
    with jax.enable_x64(spec.precision == "float64"), _short_locations():
        return {e.name: _export(module, e, spec, made) for e in entries}


@contextmanager
def _short_locations() -> Iterator[None]:
    """Artifacts record the line of the program, not its callers, and no folder: those differ from build to build."""
    import jax

    update: Callable[[str, Any], None] = jax.config.update
    options = {"jax_traceback_in_locations_limit": 1, "jax_hlo_source_file_canonicalization_regex": ".*/"}
    before = {option: getattr(jax.config, option) for option in options}
    for option, value in options.items():
        update(option, value)
    try:
        yield
    finally:
        for option, value in before.items():
            update(option, value)


def _export(
    module: ModuleType, entry: EmittedEntry, spec: Spec, made: Mapping[str, int | Node | None]
) -> Artifact | Skipped:
    from jax import ShapeDtypeStruct, eval_shape, export, jit, random
    from jax import numpy as jnp

    shape_of: Any = ShapeDtypeStruct
    sizes = [a.name for a in entry.arguments if a.role == "size"]
    if sizes:
        return Skipped(f"the size of {', '.join(sizes)} is an argument, not the size of an array")
    dims = {axis.dim for a in entry.arguments for axis in a.axes}
    try:
        own = {d: x for d, x in made.items() if d in dims and d not in spec.dims}
        read = {n.attrs[0] for x in own.values() if isinstance(x, Node) for n in topological([x]) if n.op == "size"}
        shapes = _sizes(spec, dims | read)
        shapes |= {d: _of_node(x, shapes) if isinstance(x, Node) else x for d, x in own.items()}
        arguments = [
            eval_shape(lambda: random.key(0))
            if a.role == "key"
            else shape_of(tuple(shapes[axis.dim] for axis in a.axes), jnp.dtype(_dtype(a.dtype, spec.precision)))
            for a in entry.arguments
        ]
        function = jit(getattr(module, entry.function))
        symbolic = tuple(d for d in spec.dims if d in dims and spec.dims[d].size is None)
        reasons = []
        for platforms in (PLATFORMS, PLATFORMS[:1]):
            try:
                exported = export.export(function, platforms=platforms)(*arguments)
                return Artifact(bytes(exported.serialize()), platforms, symbolic)
            except Exception as e:  # JAX raises errors of many classes for what it cannot lower.
                reasons.append(_first_line(e))
        return Skipped(reasons[0])
    except (ValueError, TypeError, KeyError) as e:
        return Skipped(_first_line(e))


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:300]


def _dtype(dtype: str, precision: str) -> str:
    wide = precision == "float64"
    if dtype == "real":
        return precision
    return {
        "complex": "complex128" if wide else "complex64",
        "integer": "int64" if wide else "int32",
        "boolean": "bool",
    }[dtype]


def _sizes(spec: Spec, dims: set[str]) -> dict[str, Any]:
    """A number or a symbol for each dim; all symbols in one scope, so that they may meet in one shape."""
    from jax import export

    auto = [d.name for d in spec.dims.values() if d.size is None]
    sizes: dict[str, Any] = dict(zip(auto, export.symbolic_shape(", ".join(auto)), strict=True)) if auto else {}
    for name in spec.dims:
        if name in dims:
            _size(spec, name, sizes)
    return sizes


def _size(spec: Spec, dim: str, sizes: dict[str, Any]) -> Any:
    if dim not in sizes:
        size = spec.dims[dim].size
        sizes[dim] = _evaluate(spec, size, sizes) if isinstance(size, Expr) else size
    return sizes[dim]


def _of_node(node: Node, sizes: Mapping[str, Any]) -> Any:
    """A size that is a node, in numbers and symbols."""
    if node.op == "size":
        return sizes[node.attrs[0]]
    if node.op == "number":
        return node.attrs[0]
    if node.kind is not Kind.MAP:
        raise ValueError(f"no size is made by {node!r}")
    return _of_tree(node.attrs[0].tree, [_of_node(x, sizes) for x in node.inputs])


def _of_tree(tree: Tree, slots: list[Any]) -> Any:
    if tree[0] == "x":
        return slots[tree[1]]
    if tree[0] == "num":
        return tree[1]
    operation = _OPERATIONS.get(tree[0])
    if operation is None:
        raise ValueError(f"no size is made by {tree[0]}")
    return reduce(operation, (_of_tree(t, slots) for t in tree[1:]))


def _evaluate(spec: Spec, e: Expr, sizes: dict[str, Any]) -> Any:
    if isinstance(e, Number):
        return e.value
    if isinstance(e, SizeOf):
        return _size(spec, spec.letters[e.letter], sizes)
    if isinstance(e, Pointwise):
        values = [_evaluate(spec, x, sizes) for x in e.args]
        if e.op == "neg":
            return -values[0]
        if e.op == "pow" and all(isinstance(v, int) for v in values):
            return values[0] ** values[1]
        if e.op not in _OPERATIONS:
            raise ValueError(f"no size is made by {e.op}")
        return reduce(_OPERATIONS[e.op], values)
    raise ValueError(f"no size is made by {e!r}")
