"""What lowering promises: one kernel per formula, loops that hold only what changes, only the slices that are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, Region, region_nodes
from vspec.compiler.language.spec import Spec
from vspec.compiler.pipeline import check_text

PROBLEMS = Path(__file__).resolve().parents[2] / "specs" / "problems"


def checked(text: str) -> Spec:
    spec, diagnostics = check_text(text, "test.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    return spec


def lowered(text: str) -> Graph:
    return lower_spec(checked(text))


def regions(graph: Graph) -> list[Region]:
    return [n.attrs[0] for n in graph.nodes if n.kind is Kind.REGION]


HEAD = "vspec: 1\nname: test\ndims: {n: 5, t: 4, r: 3}\nconstants: {a: 0.5}\nparams:\n  w[n]: {init: 1}\n"


def test_a_formula_is_one_kernel() -> None:
    graph = lowered(HEAD + "define:\n  x[n]: log(1 + exp(-a*w[n]))/2 + sin(w[n])**2\noutputs:\n  x[n]: x[n]\n")
    (outputs,) = [e for e in graph.entries if e.kind == "outputs"]
    node = outputs.results[0].node
    assert node.kind is Kind.MAP
    assert {i.kind for i in node.inputs} == {Kind.INPUT}


@pytest.mark.parametrize(
    ("read", "results"),
    [("s[-1, n]", ["final"]), ("s[2, n]", ["path"]), ("s[-1, n] + s[0, n]", ["final", "path"])],
)
def test_only_what_is_read_of_a_recurrence_is_kept(read: str, results: list[str]) -> None:
    text = "define:\n  s[0, n]: w[n]\n  s[t + 1, n]: 0.9*s[t, n] + sin(a)\noutputs:\n  x[n]: " + read + "\n"
    (region,) = regions(lowered(HEAD + text))
    assert [kind for kind, _ in region.results] == results


def test_what_does_not_change_stays_outside_the_loop() -> None:
    text = "define:\n  s[0, n]: w[n]\n  s[t + 1, n]: s[t, n]*sum[r](exp(a*index(r)))\noutputs:\n  x[n]: s[-1, n]\n"
    graph = lowered(HEAD + text)
    (region,) = regions(graph)
    body = list(region_nodes(region))
    assert not any(n.kind is Kind.REDUCE for n in body)
    assert any(n.kind is Kind.REDUCE for n in graph.nodes)
    assert len(region.captured) == 1


def test_coupled_states_share_one_loop() -> None:
    text = (
        "define:\n  p[0, n]: w[n]\n  q[0, n]: 0\n"
        "  p[t + 1, n]: p[t, n] - 0.1*q[t, n]\n  q[t + 1, n]: q[t, n] + 0.1*p[t, n]\n"
        "outputs:\n  x[n]: p[-1, n] + q[-1, n]\n"
    )
    (region,) = regions(lowered(HEAD + text))
    assert len(region.carry) == 2
    assert all(c.dtype == "real" for c in region.carry)


def test_the_energy_gradient_of_a_state_needs_no_delta() -> None:
    """Hopfield: d(energy(s[t, p, :]), s[t, p, i]) for independent patterns is one sweep inside the step."""
    spec, _ = check_text((PROBLEMS / "hopfield.yaml").read_text(), "hopfield.yaml")
    assert spec is not None
    graph = lower_spec(spec)
    (region,) = regions(graph)
    assert not any(n.op == "delta" for n in region_nodes(region))
    assert graph.notes["derivatives"] == 1


def test_entries_are_those_that_the_method_asks_for() -> None:
    body = "objectives:\n  loss: sum[n](w[n]**2)\nsolve: {minimize: loss, method: %s}\n"
    first = {e.name for e in lowered(HEAD + body % "adam").entries}
    second = {e.name for e in lowered(HEAD + body % "newton").entries}
    assert second - first == {"loss_hessian", "loss_newton"}


def test_hessian_blocks_mirror_each_other() -> None:
    text = HEAD + "  c: {init: 1}\nobjectives:\n  loss: sum[n](exp(c*w[n]))\nsolve: {minimize: loss, method: newton}\n"
    graph = lowered(text)
    (hessian,) = [e for e in graph.entries if e.kind == "hessian"]
    blocks: dict[tuple[str | int, ...], Node] = {r.path: r.node for r in hessian.results}
    assert set(blocks) == {("w", "w"), ("w", "c"), ("c", "w"), ("c", "c")}
    assert [a.dim for a in blocks["w", "w"].axes] == ["n", "n"]
    assert blocks["c", "w"].names == blocks["w", "c"].names


def test_ten_thousand_definitions_lower_without_recursion() -> None:
    lines = [f"  x{k}[n]: 0.99*{'w' if k == 0 else f'x{k - 1}'}[n] + 0.01" for k in range(10_000)]
    text = (
        HEAD + "define:\n" + "\n".join(lines) + "\nobjectives:\n  loss: sum[n](x9999[n]**2)\nsolve: {minimize: loss}\n"
    )
    graph = lowered(text)
    assert len(graph.nodes) < 60_000
