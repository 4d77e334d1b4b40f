"""Explanations and drawings of whole programs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

from vspec.compiler.pipeline import Compiled, check, compile_spec
from vspec.compiler.report.drawing import dot, layers, mermaid, svg, view
from vspec.compiler.report.explain import explain, explain_json
from vspec.compiler.report.lines import emitted_lines
from vspec.compiler.report.table import passes_table, quantity, render_table

PROBLEMS = Path(__file__).parents[2] / "specs" / "problems"
NAMES = ("logistic", "hopfield", "gp-regression", "lasso")


@cache
def compiled(name: str) -> Compiled:
    """A shipped problem, compiled once."""
    spec, _ = check(PROBLEMS / f"{name}.yaml")
    return compile_spec(spec)


@pytest.mark.parametrize("name", NAMES)
def test_explain_says_what_the_spec_says(name: str) -> None:
    text = explain(compiled(name))
    for entry in compiled(name).graph.entries:
        assert f"\n{entry.name} (" in text
    for record in compiled(name).passes:
        assert record.name in text
    assert "~" not in text, "names of axes that the compiler made are shown as letters"


@pytest.mark.parametrize("name", NAMES)
def test_explain_is_the_same_every_time(name: str) -> None:
    spec, _ = check(PROBLEMS / f"{name}.yaml")
    assert explain(compile_spec(spec), seconds=False) == explain(compile_spec(spec), seconds=False)


def test_what_follows_from_the_form_is_told_as_formulas() -> None:
    found = explain_json(compiled("lasso"))["forms"]
    assert [f["what"] for f in found] == ["the best [w] for loss", "the best [c] for loss"]
    (sweep,), (mean,) = (f["how"] for f in found)
    assert sweep.startswith("one after the other along i: w[i] = min(")
    assert mean.startswith("c = ")
    assert sweep in explain(compiled("lasso"))


def test_one_entry_is_shown_node_by_node() -> None:
    text = explain(compiled("logistic"), "loss_gradient")
    assert text.startswith("loss_gradient (gradient): The gradient of loss by w[i], c.")
    assert "margin" in text
    assert re.search(r"logistic\.yaml:19 +program\.py:\d+", text)


def test_an_unknown_entry_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no entry 'nothing' in 'logistic'; it has .*loss_gradient"):
        explain(compiled("logistic"), "nothing")


@pytest.mark.parametrize("name", NAMES)
def test_lines_of_the_program_are_where_they_are_said_to_be(name: str) -> None:
    program = compiled(name).emitted.text.splitlines()
    for lines in emitted_lines(compiled(name).emitted.text).values():
        for line in lines:
            assert program[line["program_line"] - 1].startswith(line["code"])


def test_every_function_has_its_lines() -> None:
    found = emitted_lines(compiled("logistic").emitted.text)
    assert list(found) == [e.function for e in compiled("logistic").emitted.entries]
    assert all(lines[-1]["code"].strip() for lines in found.values())


def test_json_and_graph_agree() -> None:
    data = explain_json(compiled("logistic"))
    for entry, item in zip(compiled("logistic").graph.entries, data["entries"], strict=True):
        known: set[int] = set()
        for node in item["nodes"]:
            assert known.issuperset(node["inputs"]), "inputs come first"
            known.add(node["id"])
        assert item["name"] == entry.name


def test_the_table_of_passes() -> None:
    records = compiled("logistic").passes
    rows = passes_table(records)
    assert [r["pass"] for r in rows] == [r.name for r in records]
    text = render_table(rows)
    assert text.splitlines()[0].split()[:2] == ["pass", "nodes"]
    assert "ms" not in render_table(rows, seconds=False)
    assert len({len(line) for line in text.splitlines()}) == 1, "columns are aligned"
    assert render_table([]) == "no passes ran\n"


def test_quantities() -> None:
    assert [quantity(x) for x in (0, 12.0, 999.4, 1234.0, 5.67e6, 9.999e8, 1e21)] == [
        "0",
        "12",
        "999",
        "1.23k",
        "5.67M",
        "1G",
        "1e+06P",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_drawings_hold_every_node(name: str) -> None:
    graph = compiled(name).graph
    count = len(graph.nodes)
    assert dot(graph).count("label=") == count
    assert mermaid(graph).count(":::") == count
    root = ET.fromstring(svg(graph))
    assert len([e for e in root.iter() if e.tag.endswith("rect")]) == count


def test_layers_put_inputs_above_their_readers() -> None:
    depth = {n.uid: k for k, row in enumerate(layers(view(compiled("logistic").graph))) for n in row}
    for n in compiled("logistic").graph.nodes:
        assert all(depth[x.uid] < depth[n.uid] for x in n.inputs)


def test_a_drawing_of_one_entry() -> None:
    graph = compiled("logistic").graph
    assert len(view(graph, "loss").nodes) < len(graph.nodes)
    with pytest.raises(ValueError, match="no entry 'nothing'"):
        svg(graph, "nothing")
