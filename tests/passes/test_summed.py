"""Sums of the terms of an array that a product reads are one sum of that array; values stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.passes.support import I, N, assert_equal, count, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes import dead, intern
from vspec.compiler.passes.summed import summed

A = Axis("a", "a")
DIMS: dict[str, Any] = {"n": 6, "i": 3, "a": 2}
ARGS = {
    "h": np.random.default_rng(0).normal(size=(6, 2)),
    "z": np.random.default_rng(1).normal(size=(6, 3)),
    "x": np.random.default_rng(2).normal(size=(6, 3)),
    "q": np.random.default_rng(3).normal(size=3),
}


def given(b: Builder) -> dict[str, Node]:
    """What a layer reads, its values, data of the same shape, and shifts."""
    return {
        "h": b.input("h", "param", (N, A), "real"),
        "z": b.input("z", "param", (N, I), "real"),
        "x": b.input("x", "data", (N, I), "real"),
        "q": b.input("q", "param", (I,), "real"),
    }


def slopes(b: Builder, x: dict[str, Node], factor: float = 0.5) -> tuple[Node, Node]:
    """The slopes by weights, a product with `sigmoid(z)/4 - x/8`, and by shifts, sums of both terms beside others."""
    bar = b.map(("div", ("sigmoid", slot(0)), num(4.0)), [x["z"]])
    both = b.map(("sub", slot(0), ("div", slot(1), num(8.0))), [bar, x["x"]])
    eighth = b.map(("mul", num(0.125), slot(0)), [x["x"]])
    sums = [b.reduce("sum", bar, ["n"]), b.reduce("sum", eighth, ["n"]), x["q"]]
    # Half of the sum, and the shift itself.
    tree = ("add", ("mul", num(0.5), slot(0)), ("sub", ("sin", slot(2)), ("mul", num(factor), slot(1))))
    return b.contract([x["h"], both], (A, I)), b.map(tree, sums)


def done(g: Graph) -> Graph:
    """The graph with sums joined, without what nothing reads any more."""
    return dead.run(intern.run(summed(intern.run(g))))


def test_one_sum_is_left() -> None:
    b = Builder(DIMS)
    x = given(b)
    g = graph_of(b, x, slopes(b, x), dims=DIMS)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert (count(g, Kind.REDUCE), count(after, Kind.REDUCE)) == (2, 1)
    (total,) = (n for n in after.nodes if n.kind is Kind.REDUCE)
    (product,) = (n for n in after.nodes if n.kind is Kind.CONTRACT)
    assert total.inputs[0] in product.inputs


def test_the_order_of_terms_makes_no_difference() -> None:
    b = Builder(DIMS)
    x = given(b)
    g = graph_of(b, x, slopes(b, x)[::-1], dims=DIMS)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert count(after, Kind.REDUCE) == 1


@pytest.mark.parametrize("case", ["another factor", "no product", "another entry", "another axis"])
def test_other_sums_stay(case: str) -> None:
    b = Builder(DIMS)
    x = given(b)
    weights, shifts = slopes(b, x, 0.25 if case == "another factor" else 0.5)
    if case == "no product":
        g = graph_of(b, x, [shifts], dims=DIMS)
    elif case == "another entry":
        g = graph_of(b, x, [weights, shifts], [shifts], dims=DIMS)
    elif case == "another axis":
        bar, data = weights.inputs[1].inputs
        other = b.map(("sub", slot(0), ("mul", num(0.125), slot(1))), [b.reduce("sum", y, ["i"]) for y in (bar, data)])
        rest = b.map(("add", slot(0), slot(1)), [b.reduce("sum", bar, ["i"]), b.reduce("max", data, ["i"])])
        g = graph_of(b, x, [weights, rest], dims=DIMS)
        assert count(done(graph_of(b, x, [weights, other], dims=DIMS)), Kind.REDUCE) == 1
    else:
        g = graph_of(b, x, [weights, shifts], dims=DIMS)
    g = intern.run(g)
    assert summed(g) is g
