"""What depends on params that do not move in a stage is computed once per stage, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vspec
from vspec.compiler import pipeline
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, topological
from vspec.compiler.report.explain import explain, explain_json
from vspec.runtime.program import Program
from vspec.runtime.stages import execute

HEAD = """
vspec: 1
name: turns
precision: float64
dims: {n: 40, m: 30, k: 2}
data:
  X[n, m]: {draw: "normal(0, 1)", seed: 1}
params:
  U[n, k]: {init: sin(index(n) + index(k))}
  V[m, k]: {init: cos(2*index(m) + index(k))}
  c: {init: 0.5}
objectives:
  loss: sum[n, m]((X[n, m] - sum[k](U[n, k]*V[m, k]))**2) + sum[n, k](exp(U[n, k])) + sum[m, k](exp(c*V[m, k]))
outputs:
  loss: loss
"""
U, V = "minimize: loss, over: U, method: sgd(0.002)", "minimize: loss, over: V, method: sgd(0.002)"
PLANS = {
    "stages": f"solve: [{{{U}, steps: 30}}, {{{V}, steps: 30}}]\n",
    "own loops": f"solve:\n  repeat: 4\n  stages: [{{{U}, steps: 12}}, {{{V}, steps: 12}}]\n",
    "one step each": f"solve:\n  repeat: 20\n  stages: [{{{U}}}, {{{V}}}]\n",
    "a saddle": "solve: {saddle: loss, min: U, max: c, method: sgd(1e-4), steps: 20}\n",
    "an update": f'solve: {{{U}, steps: 20, update: {{c: "0.9*c + sum[m, k](exp(V[m, k]))/6000"}}}}\n',
}


def compiled(plan: str, level: int = 2) -> pipeline.Compiled:
    spec, found = pipeline.check_text(HEAD + plan, "turns.yaml")
    assert spec is not None, found
    return pipeline.compile_spec(spec, level=level)


def held(graph: Graph) -> dict[str, list[str]]:
    return {e.name: [str(r.path[0]) for r in e.results] for e in graph.entries if e.kind == "hold"}


def reads(graph: Graph, entry: str) -> dict[str, str]:
    """The arguments of an entry with their roles."""
    (found,) = (e for e in graph.entries if e.name == entry)
    return {n.attrs[0]: n.op for n in topological(r.node for r in found.results) if n.kind is Kind.INPUT}


def operations(graph: Graph, entry: str) -> str:
    (found,) = (e for e in graph.entries if e.name == entry)
    return repr([n.attrs[0].tree for n in topological(r.node for r in found.results) if n.kind is Kind.MAP])


def test_a_gradient_reads_products_of_what_stays() -> None:
    graph = compiled(PLANS["own loops"]).graph
    (first, second) = held(graph)
    # X is read where it is multiplied with V, once per stage.
    assert set(reads(graph, "loss_gradient")) == {"U", *held(graph)[first]} - {"loss_held"}
    assert "X" in reads(graph, first)
    assert "V" not in reads(graph, "loss_gradient")
    assert set(reads(graph, first)) == {"V", "X", "c"}
    assert set(reads(graph, second)) == {"U", "X"}
    # The other block's penalty is a number there.
    assert operations(graph, "loss_value_and_gradient").count("exp") == 1
    # Values outside of stages are what they were.
    assert set(reads(graph, "loss")) == {"U", "V", "c", "X"}


def test_a_stage_that_steps_in_each_round_is_in_the_loop_of_the_repetition() -> None:
    graph = compiled(PLANS["one step each"]).graph
    # Both blocks move in it, so that only c stays, of which alone nothing is made.
    assert held(graph) == {}


def test_what_an_update_moves_is_not_held() -> None:
    graph = compiled(PLANS["an update"]).graph
    for name in held(graph):
        assert "c" not in reads(graph, name)
        assert "V" in reads(graph, name)


def test_a_stage_of_one_step_holds_nothing() -> None:
    assert held(compiled(f"solve: [{{{U}, steps: 1}}, {{update: {{c: 2*c}}}}]\n").graph) == {}


def test_nothing_is_held_where_all_moves() -> None:
    assert held(compiled("solve: {minimize: loss, method: sgd(0.001), steps: 20}\n").graph) == {}


def built(plan: str, level: int, folder: Path) -> Program:
    folder.mkdir()
    (folder / "turns.yaml").write_text(HEAD + plan)
    return vspec.load(pipeline.build(folder / "turns.yaml", folder / "out", level=level, stablehlo=False).directory)


@pytest.mark.parametrize("plan", PLANS)
def test_runs_end_where_they_end_without(plan: str, tmp_path: Path) -> None:
    ends = []
    for level in (0, 2):
        program = built(PLANS[plan], level, tmp_path / str(level))
        bound = program.bind()
        ends.append(execute(program, program.initial_params(bound), bound).params)
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_what_is_held_is_made_once_per_run_of_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = built(PLANS["stages"], 2, tmp_path / "p")
    bound = program.bind()
    calls: list[str] = []
    original = Program.call

    def call(self: Program, entry: str, *rest: object, **more: object) -> object:
        calls.append(entry)
        return original(self, entry, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Program, "call", call)
    execute(program, program.initial_params(bound), bound)
    kinds = [program.entries[c].kind for c in calls]
    # Traced once for each of two stages, although each traces its gradient for the start and for a step.
    assert kinds.count("hold") == 2
    assert kinds.count("value_and_gradient") + kinds.count("gradient") > 2


def test_an_entry_that_is_called_outside_of_a_stage_makes_what_it_holds(tmp_path: Path) -> None:
    light, plain = (built(PLANS["stages"], level, tmp_path / str(level)) for level in (2, 0))
    assert any(a.role == "held" for a in light.entries["loss_value_and_gradient"].arguments)
    found = []
    for program in (light, plain):
        bound = program.bind()
        found.append(program.call("loss_value_and_gradient", program.initial_params(bound), bound))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9)


def test_explain_says_what_is_computed_when() -> None:
    found = compiled(PLANS["own loops"])
    assert explain_json(found)["held"][0] == {"entry": "loss_hold", "names": held(found.graph)["loss_hold"]}
    assert "Computed once per stage, before its first step\n  loss_hold" in explain(found)
