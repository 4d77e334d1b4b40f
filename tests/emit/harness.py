"""Graphs by hand, emitted to a file, imported and called: what the tests of emission share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.support.evaluate import evaluate_graph
from vspec.compiler.emit.python import Emitted, emit_program
from vspec.compiler.emit.stablehlo import load_program
from vspec.compiler.graph.graph import Entry, Graph, Result
from vspec.compiler.graph.kernel import Tree, kernel
from vspec.compiler.graph.node import Axis, Kind, Node, Origin, topological
from vspec.compiler.language.spec import Spec

_files = itertools.count()
SIZES = {"n": 4, "i": 3, "k": 5, "b": 2}


def axes(*names: str, dim: str = "") -> tuple[Axis, ...]:
    """Axes by name; the dim is the first letter of the name unless told."""
    return tuple(Axis(n, dim or n[0]) for n in names)


def arg(name: str, *letters: str, role: str = "data", dtype: str = "real") -> Node:
    """An argument of the program."""
    return Node(Kind.INPUT, role, (), axes(*letters), dtype, (name,))


def map_(tree: Tree, *inputs: Node, dtype: str = "real", origin: Origin | None = None) -> Node:
    """A map over operands, its axes those of the operands in order of appearance."""
    union = tuple(dict.fromkeys(a for x in inputs for a in x.axes))
    return Node(Kind.MAP, "", inputs, union, dtype, (kernel(tree),), origin or Origin())


def op(kind: Kind, name: str, inputs: Sequence[Node], names: Sequence[Axis], *attrs: Any, dtype: str = "real") -> Node:
    """Any other node."""
    return Node(kind, name, tuple(inputs), tuple(names), dtype, attrs)


def spec(name: str = "made", precision: str = "float64", doc: str = "", **fields: Any) -> Spec:
    """A spec with nothing in it but its name."""
    empty: dict[str, Any] = {
        "dims": {}, "letters": {}, "constants": {}, "data": {}, "params": {}, "equations": (), "objectives": {},
        "plan": (), "outputs": {}, "claims": {},
    }  # fmt: skip
    return Spec(name, doc, precision, **{**empty, "path": f"{name}.yaml", "sha256": "0" * 64, **fields})


def graph_of(
    results: Mapping[tuple[str | int, ...], Node] | Node,
    precision: str = "float64",
    dims: Mapping[str, Any] | None = None,
) -> Graph:
    """A graph of one entry `f`; its arguments are the inputs in order of creation."""
    if isinstance(results, Node):
        results = {(): results}
    nodes = topological(results.values())
    inputs = {n.attrs[0]: n for n in nodes if n.kind is Kind.INPUT}
    used = {a.dim for n in nodes for a in n.axes} | {
        n.attrs[0] for n in nodes if n.kind is Kind.CONST and n.op == "size"
    }
    sizes = dict.fromkeys(sorted(used)) | dict(dims or {})
    entry = Entry("f", "outputs", tuple(Result(p, n) for p, n in results.items()))
    return Graph((entry,), sizes, inputs, precision)


def load(emitted: Emitted, folder: Path) -> ModuleType:
    """The program as a module."""
    path = folder / f"program_{next(_files)}.py"
    path.write_text(emitted.text)
    return load_program(path)


def values_for(graph: Graph, rng: np.random.Generator) -> dict[str, Any]:
    """Random arguments; integers are valid positions in the smallest dim."""
    found: dict[str, Any] = {}
    for name, x in graph.inputs.items():
        shape = tuple(SIZES[a.dim] for a in x.axes)
        found[name] = rng.integers(0, 2, shape) if x.dtype == "integer" else rng.normal(size=shape)
    return found


def check(
    results: Mapping[tuple[str | int, ...], Node] | Node,
    folder: Path,
    values: Mapping[str, Any] | None = None,
    dims: Mapping[str, Any] | None = None,
) -> str:
    """Asserts that the emitted program computes what the reference interpreter does; returns its text."""
    graph = graph_of(results, dims=dims)
    emitted = emit_program(graph, spec())
    values = dict(values or values_for(graph, np.random.default_rng(0)))
    entry = emitted.entries[0]
    given = [SIZES[a.name] if a.role == "size" else values[a.name] for a in entry.arguments]
    sizes = {d: SIZES.get(d) if s is None else s for d, s in graph.dims.items()}
    expected = evaluate_graph(Graph(graph.entries, sizes, graph.inputs, "float64"), values)["f"]
    import jax.numpy as jnp

    found = load(emitted, folder).f(*[x if isinstance(x, int | float) else jnp.asarray(x) for x in given])
    for path, array in expected.items():
        got = found
        for key in path:
            got = got[key]
        assert isinstance(got, jnp.ndarray), f"{got!r} is no array\n{emitted.text}"
        assert got.shape == array.shape, emitted.text
        assert got.dtype == array.dtype, emitted.text
        np.testing.assert_allclose(got, array, rtol=1e-9, atol=1e-9, err_msg=emitted.text)
    return emitted.text
