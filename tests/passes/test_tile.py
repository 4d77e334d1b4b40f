"""Parts that are placed side by side in zeros and added up are joined; values stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.passes.support import N, assert_equal, count, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, Region
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.passes import dead, tile

P, A, B, C = Axis("p", "p"), Axis("a", "a"), Axis("b", "b"), Axis("c", "a")
DIMS: dict[str, Any] = {"n": 4, "p": 7, "a": 3, "b": 2}
ARGS = {
    "u": np.random.default_rng(0).normal(size=(4, 3)),
    "v": np.random.default_rng(1).normal(size=(4, 2)),
    "w": np.random.default_rng(2).normal(size=4),
    "x": np.random.default_rng(3).normal(size=(7, 4)),
    "s": 1.5,
}


def given(b: Builder) -> dict[str, Node]:
    """Parts of two lengths, a slice, a whole array, and a factor."""
    return {
        "u": b.input("u", "param", (N, A), "real"),
        "v": b.input("v", "param", (N, B), "real"),
        "w": b.input("w", "param", (N,), "real"),
        "x": b.input("x", "param", (P, N), "real"),
        "s": b.input("s", "constant", (), "real"),
    }


def done(g: Graph) -> Graph:
    """The graph with parts joined, and without what nothing reads."""
    return dead.run(tile.run(g))


def test_parts_that_fill_an_axis_are_joined() -> None:
    b = Builder(DIMS)
    x = given(b)
    parts = [b.scatter_affine(x["u"], "a", P, 1, 0), b.scatter_affine(x["v"], "b", P, 1, 3)]
    ends = [b.scatter_at(x["w"], P, 5), b.scatter_at(b.map(("exp", slot(0)), [x["w"]]), P, -1)]
    g = graph_of(b, x, [b.map(("add", *(slot(k) for k in range(4))), [*ends, *parts])], dims=DIMS)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert (count(after, Kind.SCATTER), count(after, Kind.CONCAT)) == (0, 1)
    (root,) = [r.node for e in after.entries for r in e.results]
    assert root.kind is Kind.CONCAT or root.inputs[0].kind is Kind.CONCAT, "nothing is added"


@pytest.mark.parametrize("starts", [(0, 5), (1, 4), (2, 5), (0, 3)])
def test_zeros_fill_the_gaps(starts: tuple[int, int]) -> None:
    b = Builder(DIMS)
    x = given(b)
    parts = [b.scatter_affine(x["u"], "a", P, 1, starts[0]), b.scatter_affine(x["v"], "b", P, 1, starts[1])]
    # Beside other terms and below other kernels, one negative, with a factor that does not vary along the axis.
    tree = ("tanh", ("sub", ("add", slot(0), slot(1)), ("mul", num(0.5), slot(2), slot(3))))
    g = graph_of(b, x, [b.map(tree, [x["x"], parts[0], x["w"], parts[1]])], dims=DIMS)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert (count(after, Kind.SCATTER), count(after, Kind.CONCAT)) == (0, 1)


def test_parts_for_one_place_are_added_before() -> None:
    b = Builder(DIMS)
    x = given(b)
    parts = [b.scatter_affine(y, "a", P, 1, 2) for y in (x["u"], b.map(("sin", slot(0)), [x["u"]]))]
    g = graph_of(b, x, [b.map(("sub", slot(0), ("mul", slot(2), slot(1))), [*parts, x["s"]])], dims=DIMS)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert (count(g, Kind.SCATTER), count(after, Kind.SCATTER), count(after, Kind.CONCAT)) == (2, 1, 0)


def test_parts_under_other_names_and_multiples_of_them_count() -> None:
    b = Builder(DIMS)
    x = given(b)
    far = b.scatter_affine(b.rename(x["u"], {"n": "m", "a": "p"}), "p", Axis("q", "p"), 1, 4)
    far = b.map(("div", slot(0), num(3.0)), [b.rename(far, {"m": "n", "q": "p"})])
    # The number stands in its place for each n.
    near = b.order(b.scatter_at(x["s"], P, 3), (P, N))
    g = graph_of(b, x, [b.map(("add", slot(0), slot(1)), [near, far])], dims=DIMS)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert (count(after, Kind.SCATTER), count(after, Kind.CONCAT)) == (0, 1)


def test_corners_are_joined_along_both_axes() -> None:
    b = Builder(DIMS)
    x = given(b)
    Q = Axis("q", "p")
    both = [b.scatter_affine(b.scatter_at(x["u"], Q, k), "a", P, 1, 1) for k in (0, 6)]
    g = graph_of(b, x, [b.add(both)], dims=DIMS)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert (count(after, Kind.SCATTER), count(after, Kind.CONCAT)) == (1, 1)


@pytest.mark.parametrize("case", ["overlap", "stride", "factor", "open"])
def test_what_cannot_be_joined_stays(case: str) -> None:
    dims = {**DIMS, "p": None} if case == "open" else DIMS
    b = Builder(dims)
    x = given(b)
    first = b.scatter_affine(x["u"], "a", P, 2 if case == "stride" else 1, 0)
    second = b.scatter_affine(x["v"], "b", P, 1, 2 if case == "overlap" else 5)
    factor = x["x"] if case == "factor" else x["s"]
    g = graph_of(b, x, [b.map(("add", ("mul", slot(0), slot(2)), slot(1)), [first, second, factor])], dims=dims)
    after = done(g)
    assert (count(after, Kind.SCATTER), count(after, Kind.CONCAT)) == (2, 0)
    if case != "open":
        assert_equal(g, after, ARGS)


def test_bodies_of_loops_are_looked_into() -> None:
    b = Builder({**DIMS, "t": 4})
    x = given(b)
    s = b.input("s", "carry", (P,), "real")
    index = b.input("t", "index", (), "integer")
    head = b.window(s, "p", A, 1, 0)
    parts = [
        b.scatter_affine(b.map(("sin", slot(0)), [head]), "a", P, 1, 4),
        b.scatter_at(b.at_position(s, "p", 6), P, 0),
    ]
    region = Region("s", Axis("t", "t"), b.number(3), index, (s,), (), (b.add(parts),), (("final", 0),))
    start = b.at_position(x["x"], "n", 1)
    loop = b.region("scan", region, [start])
    g = graph_of(b, x, [b.item(loop, 0, (P,), "real")], dims={**DIMS, "t": 4})
    after = done(g)
    assert_equal(g, after, ARGS)
    kinds = [n.kind for n in all_nodes(after)]
    assert (kinds.count(Kind.SCATTER), kinds.count(Kind.CONCAT)) == (0, 1)
