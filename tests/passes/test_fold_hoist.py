"""fold: kernels in normal form, helpers joined. hoist: what a step need not compute. Values never change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.passes.support import I, arguments, assert_equal, graph_of, inputs, random_graph
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import kernel, num, slot
from vspec.compiler.graph.node import Kind, Origin
from vspec.compiler.passes import fold, hoist

X0, X1 = slot(0), slot(1)


def maps(graph: Graph) -> int:
    return sum(n.kind is Kind.MAP for n in graph.nodes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_values_stay(seed: int) -> None:
    graph = random_graph(seed)
    for run in (fold.run, hoist.run):
        assert_equal(graph, run(graph), arguments(seed))


def test_fold_joins_a_helper_with_its_only_reader_and_simplifies() -> None:
    b = Builder()
    given_ = inputs(b)
    helper = b.map(("add", X0, num(1.0)), [given_["w"]])
    graph = graph_of(b, given_, [b.map(("sub", X0, num(1.0)), [b.map(("mul", X0, num(2.0)), [helper])])])
    after = fold.run(graph)
    assert_equal(graph, after)
    assert maps(after) == 1
    (root,) = after.roots
    assert root.attrs[0].ops <= 3


def test_fold_keeps_what_the_spec_named_and_what_several_read() -> None:
    b = Builder()
    given_ = inputs(b)
    with b.at(Origin("named", 3, 1)):
        named = b.map(("sin", X0), [given_["w"]])
    shared = b.map(("cos", X0), [given_["w"]])
    graph = graph_of(b, given_, [b.mul([named, given_["w"]]), b.mul([shared, given_["w"]]), b.neg(shared)])
    after = fold.run(graph)
    assert_equal(graph, after)
    assert maps(after) == maps(graph)


def test_fold_gives_operands_that_became_equal_one_slot() -> None:
    b = Builder()
    given_ = inputs(b)
    w = given_["w"]
    tree = ("sub", ("mul", X0, slot(2)), ("mul", X1, slot(2)))
    twice = b.make(Kind.MAP, "", [w, w, given_["c"]], w.axes, "real", (kernel(tree),))
    graph = graph_of(b, given_, [b.add([b.reduce("sum", twice, ["i"]), given_["c"]])])
    after = fold.run(graph)
    assert_equal(graph, after)
    # w*c - w*c is nothing, and so is its sum.
    assert [(n.kind, n.attrs) for n in after.roots] == [(Kind.INPUT, ("c",))]


def test_fold_keeps_axes_that_would_cancel() -> None:
    b = Builder()
    given_ = inputs(b)
    graph = graph_of(b, given_, [b.map(("sub", ("add", X0, X1), X0), [given_["y"], given_["w"]])])
    after = fold.run(graph)
    assert_equal(graph, after)


def prepared(graph: Graph) -> list[str]:
    return [n for n, x in graph.inputs.items() if x.op == "prepared"]


def test_hoist_prepares_what_depends_on_data_alone() -> None:
    b = Builder()
    given_ = inputs(b)
    with b.at(Origin("Z", 3, 1)):
        Z = b.map(("exp", X0), [given_["X"]])
    graph = graph_of(b, given_, [b.reduce("sum", b.mul([Z, given_["w"]]), ["i"])])
    after = hoist.run(graph)
    assert_equal(graph, after)
    assert prepared(after) == ["Z"]
    assert list(after.inputs) == ["w", "W", "c", "Z", "X", "y", "lam"]
    step = [e for e in after.entries if e.kind != "prepare"]
    read = {n.attrs[0] for n in Graph(tuple(step), after.dims, after.inputs).nodes if n.kind is Kind.INPUT}
    assert read == {"Z", "w"}


def test_hoist_takes_expensive_parts_out_of_a_kernel() -> None:
    b = Builder()
    given_ = inputs(b)
    graph = graph_of(b, given_, [b.map(("mul", ("log", ("pow", X0, num(2))), X1), [given_["y"], given_["c"]])], dims={})
    after = hoist.run(graph)
    assert_equal(graph, after)
    (name,) = prepared(after)
    assert after.inputs[name].names == ("n",)


@pytest.mark.parametrize("what", ["rename", "scalar", "large"])
def test_hoist_leaves_what_is_not_worth_an_argument(what: str) -> None:
    b = Builder({"n": 4, "i": 3} if what != "large" else {"n": 5000, "i": 3})
    given_ = inputs(b)
    y, c = given_["y"], given_["c"]
    if what == "rename":
        data = b.rename(y, {"n": "m"})
    elif what == "scalar":
        data = b.map(("div", X0, num(2)), [given_["lam"]])
    else:
        # n x n from n: cheaper to compute in the step than to read 200 MB.
        data = b.map(("sub", X0, X1), [y, b.rename(y, {"n": "m"})])
    graph = graph_of(b, given_, [b.mul([data, c])], dims=dict(b.dims))
    assert prepared(hoist.run(graph)) == []


def test_without_params_nothing_is_hoisted() -> None:
    b = Builder()
    given_ = {"X": b.input("X", "data", (I,), "real")}
    graph = graph_of(b, given_, [b.map(("exp", X0), [given_["X"]])])
    assert hoist.run(graph) is graph
