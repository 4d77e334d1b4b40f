"""One table of classes for all graphs that are made of one another: it says what a table of each graph alone says, and every
node is looked at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.passes.support import arguments, assert_equal, graph_of, inputs, loop, random_graph
from vspec.compiler import pipeline
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Kind, Node, Region
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.passes import PASSES, intern

SPECS = Path(__file__).parents[2] / "benchmarks" / "specs"


def sorts(nodes: list[Node], classes: Classes) -> list[int]:
    """For each node the first one of its class."""
    first: dict[int, int] = {}
    return [first.setdefault(classes.faces[n.uid][0], k) for k, n in enumerate(nodes)]


@pytest.mark.parametrize(
    "name", ["gp", "local-energy", "logistic", "sinkhorn", "root", "argmin", "descent", "svi-schools"]
)
def test_after_every_pass_equal_nodes_are_those_of_a_new_table(name: str) -> None:
    path = SPECS / f"{name}.yaml"
    spec, found = pipeline.check_text(path.read_text(encoding="utf-8"), path.name)
    assert spec is not None, found
    graph = lower_spec(spec)
    graph = replace(graph, notes={**graph.notes, "tuning": Tuning()})
    for p in PASSES:
        graph = p.run(graph)
        nodes = all_nodes(graph)
        assert sorts(nodes, graph.classes.all(graph.nodes)) == sorts(nodes, Classes().all(graph.nodes)), p.name


@pytest.mark.parametrize("seed", range(10))
def test_a_graph_that_is_interned_is_looked_at_no_more(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(seed, 60)
    merged = intern.run(graph)
    looked: list[Node] = []
    face = Classes._face
    monkeypatch.setattr(Classes, "_face", lambda self, node: (looked.append(node), face(self, node))[1])
    again = intern.run(merged)
    # What is new is the order that a result has its axes in.
    assert len(looked) <= len(merged.roots)
    assert all(n.kind is Kind.REINDEX for n in looked)
    assert len(all_nodes(again)) == len(all_nodes(merged))
    assert_equal(graph, again, arguments(seed))


def test_a_body_is_looked_at_again_where_its_arguments_have_other_places() -> None:
    b = Builder({"i": 3, "t": 4})
    given = inputs(b)
    path, _ = loop(b, given["w"], given["w"], given["w"])
    graph = graph_of(b, given, [path])
    (node,) = (n for n in graph.nodes if n.kind is Kind.REGION)
    region = node.attrs[0]
    assert isinstance(region, Region)
    table = graph.classes.all(graph.nodes)
    # The same nodes as a body whose arguments stand the other way around.
    turned = replace(region, captured=region.captured[::-1])
    inner = b.map(("mul", slot(0), slot(1)), [region.captured[0], region.carry[0]])
    other = replace(turned, body=(inner, *region.body[1:]))
    plain = replace(region, body=(inner, *region.body[1:]))
    keys = [table.region_key(r) for r in (turned, other, plain, region)]
    assert len(set(keys)) == 4
    fresh = Classes().all(graph.nodes)
    assert fresh.region_key(turned) != fresh.region_key(region)
    assert table.region_key(replace(turned)) == keys[0]


def test_graphs_that_are_made_of_one_another_share_a_table() -> None:
    graph = random_graph(3, 30)
    assert intern.run(graph).classes is graph.classes
    assert Graph(graph.entries, graph.dims, graph.inputs).classes is not graph.classes
