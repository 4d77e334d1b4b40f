"""Interning merges what is equal, dead code goes; values stay."""

from __future__ import annotations

import pytest

from tests.passes.support import (
    SIZES,
    I,
    J,
    K,
    N,
    arguments,
    assert_equal,
    count,
    graph_of,
    inputs,
    loop,
    random_graph,
)
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Kind, Origin
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.passes import dead, intern


@pytest.mark.parametrize("seed", range(40))
def test_equal_values(seed: int) -> None:
    g = random_graph(seed)
    merged = intern.run(g)
    assert_equal(g, merged, arguments(seed))
    assert_equal(g, dead.run(merged), arguments(seed))
    assert len(merged.nodes) <= len(g.nodes) + 6


@pytest.mark.parametrize("seed", range(10))
def test_no_two_nodes_are_equal(seed: int) -> None:
    merged = intern.run(random_graph(seed, 60))
    classes = intern.Classes()
    faces = [classes.add(n) for n in merged.nodes if n.kind is not Kind.REINDEX or classes.add(n) is None]
    assert len({c for c, _ in faces}) == len(faces)


def test_merges_modulo_names_and_operand_order() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    X, W = given["X"], given["W"]
    Z = b.rename(X, {"i": "j"})
    first = b.map(("exp", ("mul", slot(0), slot(1))), [X, W])
    with b.at(Origin("named", 7)):
        second = b.map(("exp", ("mul", slot(1), slot(0))), [Z, b.rename(W, {"i": "j"})])
    s1, s2 = b.reduce("sum", first, ["i"]), b.reduce("sum", second, ["j"])
    g = graph_of(b, given, [s1, first], [s2])
    merged = intern.run(g)
    assert_equal(g, merged)
    assert count(merged, Kind.MAP) == 1
    assert count(merged, Kind.REDUCE) == 1
    assert [n.origin.name for n in merged.nodes if n.kind is Kind.MAP] == ["named"]


def test_a_difference_and_its_opposite_are_one() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    X = given["X"]
    Z = b.rename(X, {"n": "m"})
    tree = ("sub", slot(0), ("mul", num(2), slot(1)))
    away, back = b.map(tree, [X, Z]), b.map(tree, [Z, X])
    symmetric = b.map(("mul", slot(0), slot(1)), [X, Z]), b.map(("mul", slot(1), slot(0)), [Z, X])
    g = graph_of(b, given, [away, b.map(("exp", slot(0)), [back])], list(symmetric))
    merged = intern.run(g)
    assert_equal(g, merged)
    # x[m] - 2 x[n] is x[n] - 2 x[m] with names exchanged.
    assert count(merged, Kind.MAP) == 3
    # What is symmetric is the same node, without an exchange.
    first, second = (r.node for r in merged.entries[1].results)
    assert (second.inputs[0] if second.kind is Kind.REINDEX else second) is (
        first.inputs[0] if first.kind is Kind.REINDEX else first
    )


def test_transposed_and_diagonal_differ() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    A = b.map(("sin", slot(0)), [b.contract([given["X"], given["y"], b.rename(given["W"], {})], (I, K))])
    gram = b.contract([given["X"], b.rename(given["X"], {"i": "j"}), given["y"]], (I, J))
    skew = b.map(("mul", slot(0), ("add", slot(1), num(1))), [gram, given["w"]])
    turned = b.rename(b.rename(skew, {"i": "q", "j": "i"}), {"q": "j"})
    g = graph_of(b, given, [A, skew, b.order(turned, (I, J)), b.rename(skew, {"j": "i"}), b.order(skew, (N, I, J))])
    assert_equal(g, intern.run(g))


def test_numbers_of_different_types_differ() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    g = graph_of(b, given, [b.number(1), b.number(1.0), b.number(True), b.number(1)])
    assert count(intern.run(g), Kind.CONST) == 3


def test_equal_loops_are_one() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    one, two = (loop(b, given["w"], given["lam"], given["c"]) for _ in range(2))
    g = graph_of(b, given, [one[0]], [two[0], two[1]])
    merged = intern.run(g)
    assert_equal(g, merged)
    assert count(merged, Kind.REGION) == 1
    assert sum(1 for n in all_nodes(merged) if n.kind is Kind.MAP) == 3


def test_a_loop_keeps_only_what_is_read() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    g = graph_of(b, given, [loop(b, given["w"], given["lam"], given["c"])[1]])
    slim = dead.run(g)
    assert_equal(g, slim)
    (region,) = (n for n in slim.nodes if n.kind is Kind.REGION)
    assert [c.attrs[0] for c in region.attrs[0].carry] == ["s"]
    assert [c.attrs[0] for c in region.attrs[0].captured] == ["w"]
    assert len(region.inputs) == 2
    assert region.attrs[0].results == (("final", 0),)


def test_long_chains_need_no_recursion() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    x = given["w"]
    for k in range(10_000):
        x = b.map(("add", ("mul", num(0.5), slot(0)), num(k)), [x])
    g = graph_of(b, given, [x])
    assert len(dead.run(intern.run(g)).nodes) == len(g.nodes)
