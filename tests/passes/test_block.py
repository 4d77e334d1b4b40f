"""Loops over rows: the same results as whole arrays, no large array left, one loop for what reads the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import load
from tests.emit.harness import spec as named
from tests.language.helpers import good
from tests.passes.support import arguments, assert_equal, random_graph
from tests.support.traced import largest
from vspec.compiler.emit.python import emit_program
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.graph.tuning import Tuning, rows_at_once
from vspec.compiler.passes import block, dead, intern
from vspec.compiler.pipeline import compile_spec
from vspec.compiler.report.strategies import strategies

# Everything with two axes is too large, whatever it is made of.
TINY = Tuning(8, 8, growth=0)


def loops(graph: Graph) -> list[Any]:
    """The loops over rows of a graph."""
    return [n.attrs[0] for n in all_nodes(graph) if n.kind is Kind.REGION and n.op == "blocks"]


def in_steps(graph: Graph) -> Graph:
    """The graph without what is computed once per run."""
    return graph.with_entries(tuple(e for e in graph.entries if e.kind != "prepare"))


def tight(graph: Graph) -> Graph:
    """The graph with a budget that nothing fits into."""
    return replace(graph, notes={**graph.notes, "tuning": TINY})


@pytest.mark.parametrize("seed", range(60))
def test_any_graph_keeps_its_results(seed: int) -> None:
    graph = tight(intern.run(random_graph(seed, 60)))
    after = block.run(graph)
    assert_equal(graph, after)
    assert_equal(graph, dead.run(intern.run(after)))


def test_random_graphs_do_have_loops() -> None:
    assert sum(len(loops(block.run(tight(intern.run(random_graph(seed, 60)))))) for seed in range(60)) > 60


@pytest.mark.parametrize("seed", [5, 12, 29, 33])
def test_the_text_computes_what_the_graph_says(seed: int, tmp_path: Path) -> None:
    graph = tight(random_graph(seed, 60))
    plain, parts = (load(emit_program(g, named()), tmp_path) for g in (graph, block.run(graph)))
    assert loops(block.run(graph))
    given = arguments()
    for entry in graph.entries:
        want, got = (called(m, entry.name, given) for m in (plain, parts))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9), want, got)


def called(program: ModuleType, name: str, given: Mapping[str, Any]) -> Any:
    """The results of a function of a program, what it reads of prepared arrays included."""
    function = getattr(program, name)
    if name != "prepare" and hasattr(program, "prepare"):
        given = {**given, **called(program, "prepare", given)}
    wanted = function.__code__.co_varnames[: function.__code__.co_argcount]
    # A function of its own: JAX would run what it traced before a test put another `rows_at_once` into the module.
    return jax.jit(lambda **arrays: function(**arrays))(**{k: jnp.asarray(given[k]) for k in wanted})


RULES = """
precision: float64
dims: {n: auto, m: auto, k: 2}
data:
  x[n, k]: {}
params:
  y[m, k]: {init: 0}
  f[n]: {init: 0}
define:
  C[n, m]: sum[k]((x[n, k] - y[m, k])**2)
  e[n, m]: f[n] - C[n, m]/2
  total: sum[n, m](exp(e[n, m]))
  product: prod[n, m](1 + 0.05*sin(e[n, m]))
  highest[m]: max[n](e[n, m])
  lowest: min[n, m](e[n, m])
  logs[m]: logsumexp[n](e[n, m])
  rows[n]: logsumexp[m](e[n, m])
  all_logs: logsumexp[n, m](e[n, m])
  attended[m, k]: sum[n](softmax[n](e[n, m])*x[n, k])
  overall[k]: sum[n, m](exp(e[n, m] - all_logs)*x[n, k]*cos(C[n, m]))
  kernel[m]: sum[n](exp(-C[n, m])*f[n])
objectives:
  loss: >-
    mean[m](logs[m])*total + product + sum[m](highest[m]**2) + lowest*all_logs + sum[n](rows[n]**2)
    + sum[m, k](attended[m, k]**2) + sum[k](overall[k]**2) + sum[m](sin(kernel[m]))
solve: {minimize: loss, method: newton, steps: 1}
outputs:
  totals: total
  products: product
  first[n]: argmin[m](C[n, m])
  last[m]: argmax[n](e[n, m])
  some[n]: any[m](C[n, m] > 3)
  every: all[n, m](C[n, m] > 0.01)
  attend[m, k]: attended[m, k]
  globally[k]: overall[k]
  kernels[m]: kernel[m]
  diagonal[n]: sum[m](where(index(n) == index(m), e[n, m], 0))
  mixed[n]: sum[m](C[n, m]*index(n) + index(m)*e[n, m])
"""
N_, M_ = 7, 5


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModuleType, ModuleType]]:
    """The spec of all rules with whole arrays and with loops over rows."""
    folder, checked = tmp_path_factory.mktemp("rules"), good(RULES)
    whole = compile_spec(checked, disable=["block"])
    parts = compile_spec(checked, tuning=TINY)
    assert not loops(whole.graph)
    joins = {j for r in loops(parts.graph) for j in r.joins}
    assert joins >= {"stack", "sum", "prod", "max", "min", "logsumexp", "any", "all", "argmax", "argmin", "weighted"}
    with jax.enable_x64(True):
        yield load(whole.emitted, folder), load(parts.emitted, folder)


def values() -> dict[str, Any]:
    """Arguments of the rules."""
    rng = np.random.default_rng(3)
    return {"x": rng.normal(size=(N_, 2)), "y": rng.normal(size=(M_, 2)), "f": rng.normal(size=N_)}


@pytest.fixture(scope="module")
def wanted(programs: tuple[ModuleType, ModuleType]) -> dict[str, Any]:
    """The results of the functions of the rules by whole arrays."""
    return {name: called(programs[0], name, values()) for name in ("outputs", "loss", "loss_newton")}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_every_rule_at_sizes_that_chunks_do_not_divide(
    programs: tuple[ModuleType, ModuleType], wanted: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, parts = programs
    monkeypatch.setattr(parts, "rows_at_once", lambda size, *row: min(size, count))
    # Second derivatives take seconds to compile; of the counts, two divide neither size, and the next test adds another.
    for name in ("outputs", "loss", "loss_newton") if count in (2, 4) else ("outputs", "loss"):
        want, got = wanted[name], called(parts, name, values())
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-10), want, got)


def test_derivatives_are_those_of_jax(programs: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = programs
    monkeypatch.setattr(parts, "rows_at_once", lambda size, *row: min(size, 3))
    v = {k: jnp.asarray(x) for k, x in values().items()}

    def loss(moving: Any) -> Any:
        return whole.loss(**moving, x=v["x"])

    moving = {"f": v["f"], "y": v["y"]}
    value, gradient, hessian = called(parts, "loss_newton", v)
    slopes, curvature = jax.jit(jax.value_and_grad(loss))(moving), jax.jit(jax.hessian(loss))(moving)
    np.testing.assert_allclose(value, slopes[0], rtol=1e-12)
    for want, got in ((slopes[1], gradient), (curvature, hessian)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9), want, got)


KERNEL = """
dims: {n: auto, m: auto, i: %s}
data:
  X[n, i]: {}
  Y[m, i]: {}
params:
  a[n]: {init: 0}
define:
  K[n, m]: exp(-sum[i]((X[n, i] - Y[m, i])**2))
objectives:
  loss: sum[m](log(1 + exp(sum[n](a[n]*K[n, m]))))
solve: {minimize: loss, method: lbfgs}
"""


@pytest.mark.parametrize(("size", "kept"), [("3", False), ("auto", True)])
def test_what_is_large_is_kept_for_a_run_only_if_it_costs_much_to_make(size: str, kept: bool) -> None:
    graph = compile_spec(good(KERNEL % size)).graph
    prepared = [r.path[0] for e in graph.entries if e.kind == "prepare" for r in e.results]
    assert prepared == (["K"] if kept else [])
    assert bool(loops(in_steps(graph))) is not kept


def test_what_is_too_large_for_certain_is_never_kept() -> None:
    text = (KERNEL % "500").replace("n: auto, m: auto", "n: 20000, m: 20000")
    graph = compile_spec(good(text)).graph
    assert not any(e.kind == "prepare" for e in graph.entries)
    assert loops(graph)
    small = compile_spec(good(text.replace("20000", "2000"))).graph
    assert [r.path[0] for e in small.entries if e.kind == "prepare" for r in e.results] == ["K"]
    assert not loops(in_steps(small))


def test_how_the_machine_is_used_stands_in_the_program(tmp_path: Path) -> None:
    text = KERNEL % "3"
    graph = compile_spec(good(text), tuning=Tuning(10**6, 10**5, matmul="float32"))
    program = load(graph.emitted, tmp_path)
    assert (program.MEMORY, program.CHUNK) == (10**6, 10**5)
    given = {"X": jnp.ones((4, 3)), "Y": jnp.ones((4, 3)), "a": jnp.ones(4)}
    jaxpr = str(jax.make_jaxpr(program.loss)(**{k: given[k] for k in ("a", "X", "Y")}))
    assert "HIGHEST" in jaxpr
    assert "HIGHEST" not in str(jax.make_jaxpr(load(compile_spec(good(text)).emitted, tmp_path).loss)(**given))


TOLD = """
precision: float64
dims: {n: 7, m: 5, k: 2}
data:
  x[n, k]: {}
params:
  y[m, k]: {init: 0}
define:
  C[n, m]: sum[k]((x[n, k] - y[m, k])**2)
objectives:
  loss: mean[n](logsumexp[m](-C[n, m]%s)) + sum[n](sum[m](C[n, m]**2%s)**2) + max[n, m](sin(C[n, m])%s)
solve: {minimize: loss, method: newton, steps: 1}
"""


def test_a_reduction_is_taken_as_it_is_told(tmp_path: Path) -> None:
    whole, parts = (compile_spec(good(TOLD % ((f", by={how}",) * 3))) for how in ("whole", "blocks(3)"))
    assert not loops(whole.graph)
    assert {r.rows for r in loops(parts.graph)} == {3}
    tiny = compile_spec(good(TOLD % ((", by=whole",) * 3)), tuning=replace(TINY, growth=4))
    assert not loops(tiny.graph)
    with jax.enable_x64(True):
        given = {k: v for k, v in values().items() if k != "f"}
        programs = [load(x.emitted, tmp_path) for x in (whole, parts, compile_spec(good(TOLD % ("", "", ""))))]
        first, *others = [called(p, "loss_newton", given) for p in programs]
        for got in others:
            jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-10, atol=1e-10), first, got)
    # Seventy rows of fifty, without the two coordinates of each pair: of the last axis at most three at a time. Smaller sums
    # are not taken apart.
    large = TOLD.replace("n: 7, m: 5", "n: 70, m: 50")
    with jax.enable_x64(True):
        shapes = {"x": jax.ShapeDtypeStruct((70, 2), jnp.float64), "y": jax.ShapeDtypeStruct((50, 2), jnp.float64)}
        for how, most in (("whole", 70 * 50), ("blocks(3)", 70 * 3)):
            program = load(compile_spec(good(large % ((f", by={how}",) * 3))).emitted, tmp_path)
            assert largest(jax.make_jaxpr(program.loss_value_and_gradient)(**shapes).jaxpr) == most


def test_how_many_rows_at_a_time_is_told_and_can_be_forced() -> None:
    """A row in the table of strategies for each loop, with the number that the program goes by."""
    text = TOLD.replace("n: 7, m: 5", "n: 700, m: 500")

    def found(text: str, **how: Any) -> tuple[set[tuple[str, str]], str]:
        made = compile_spec(good(text), **how)
        rows = {(r["chosen"], r["because"]) for r in strategies(made) if r["kind"] == "reduction"}
        return rows, made.emitted.text

    free, small = text % ("", "", ""), Tuning(memory=1_000_000, chunk=200_000)
    assert found(free)[0] == set()
    rows, program = found(free, tuning=small)
    calls = {(int(n), int(row)) for n, row in re.findall(r"rows_at_once\((\d+), (\d+)\)", program)}
    counts = {(n, rows_at_once(n, row, small.memory, small.chunk)) for n, row in calls}
    dims = {700: "n", 500: "m"}
    assert counts
    # What several entries compute has one row.
    assert rows
    assert rows <= {(f"rows of {dims[n]}", f"does not fit into 1 MB, {k} at a time") for n, k in counts}
    assert all(1 < k < n for n, k in counts)
    rows, program = found(text % ((", by=blocks(64)",) * 3), tuning=small)
    assert {why for _, why in rows} == {"asked for, 64 at a time"}
    assert re.search(r"in_parts\(\s*part_of_[nm],\s*\d+,\s*64,", program)
    assert "rows_at_once(" not in program
    assert found(text % ((", by=whole",) * 3), tuning=small)[0] == set()
    rows, _ = found(free.replace("n: 700, m: 500", "n: auto, m: auto"), tuning=small)
    assert {why for _, why in rows} == {"where sizes do not fit into 1 MB"}


LOOP = """
precision: float64
dims: {n: auto, m: auto, k: 2, t: 4}
constants: {eps: 0.5}
data:
  x[n, k]: {}
  y[m, k]: {}
params:
  f0[n]: {init: 0}
define:
  C[n, m]: sum[k]((x[n, k] - y[m, k])**2)
  f[0, n]: f0[n]
  f[t + 1, n]: -eps*logsumexp[m]((-eps*logsumexp[n]((f[t, n] - C[n, m])/eps) - C[n, m])/eps)
objectives:
  cost: sum[n](f[-1, n]**2)
solve: {minimize: cost, method: lbfgs}
"""


def test_steps_of_a_loop_make_again_what_they_only_reduce(tmp_path: Path) -> None:
    whole, parts = compile_spec(good(LOOP), disable=["block"]), compile_spec(good(LOOP))
    assert not loops(whole.graph)
    assert any("C" in [r.path[0] for r in e.results] for e in whole.graph.entries if e.kind == "prepare")
    assert not any(e.kind == "prepare" for e in parts.graph.entries)
    # Both halves of a step in one loop: sums over rows are complete in it, those over columns add up.
    assert {r.joins for r in loops(parts.graph)} == {("logsumexp",)}
    with jax.enable_x64(True):
        given = {k: v for k, v in values().items() if k != "f"} | {"f0": values()["f"], "eps": 0.5}
        first, program = (load(c.emitted, tmp_path) for c in (whole, parts))
        program.rows_at_once = lambda size, *row: 3  # type: ignore[attr-defined]
        C = jnp.sum((given["x"][:, None] - given["y"]) ** 2, axis=-1)
        want = called(first, "cost_value_and_gradient", {**given, "C": C})
        got = called(program, "cost_value_and_gradient", given)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-9), want, got)


def test_places_of_the_largest_are_taken_as_they_are_told(tmp_path: Path) -> None:
    text = "precision: float64\ndims: {n: 7, m: 5, k: 2}\ndata:\n  x[n, k]: {}\n  y[m, k]: {}\ndefine:\n"
    text += "  C[n, m]: sum[k]((x[n, k] - y[m, k])**2)\n  near[n]: argmin[m](C[n, m], by=blocks(3))\n"
    text += "  far[n]: argmax[m](C[n, m], by=blocks(3))\noutputs:\n  near[n]: near[n]\n  far[n]: far[n]\n"
    made = compile_spec(good(text))
    assert {r.rows for r in loops(made.graph)} == {3}
    v = {k: x for k, x in values().items() if k != "f"}
    with jax.enable_x64(True):
        found = load(made.emitted, tmp_path).outputs(**v)
    C = ((v["x"][:, None] - v["y"]) ** 2).sum(2)
    np.testing.assert_array_equal(found["near"], C.argmin(1))
    np.testing.assert_array_equal(found["far"], C.argmax(1))


def test_rows_take_what_they_are_said_to_take(tmp_path: Path) -> None:
    """What is summed over coordinates term by term is no array and takes no memory. XLA takes no more for the rows at a time
    than they are said to take, and not much less, so that they are as many as fit."""
    text = LOOP.replace("precision: float64\n", "").replace("n: auto, m: auto, k: 2", "n: 1500, m: 1500, k: 9")
    text = text.replace("sum[k]((x[n, k] - y[m, k])**2)", "sum[k](abs(x[n, k] - y[m, k]))")
    tuning = Tuning(memory=3_000_000, chunk=3_000_000)
    emitted = compile_spec(good(text), tuning=tuning).emitted
    assert "for k in range(9)" in emitted.text or "columns(" in emitted.text
    found = re.search(r"rows_at_once\((\d+), (\d+)\)", emitted.text.partition("def cost(")[2])
    assert found is not None
    size, row = map(int, found.groups())
    at_once = rows_at_once(size, row, tuning.memory or 0, tuning.chunk)
    program = load(emitted, tmp_path)
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1500,), (1500, 9), (1500, 9), ())]
    taken = jax.jit(program.cost).lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert at_once * row / 4 < taken <= tuning.chunk
