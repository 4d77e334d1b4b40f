"""A large matrix that several products read is read once; values stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.passes.support import N, assert_equal, count, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, Region, topological
from vspec.compiler.passes import dead, intern, share

M, I, J = Axis("m", "m"), Axis("i", "i"), Axis("j", "j")
BIG: dict[str, Any] = {"n": 200, "m": 150, "i": 2, "j": 1}


def given(b: Builder) -> dict[str, Node]:
    """Two sets of points, weights, and factors."""
    return {
        "X": b.input("X", "param", (N, I), "real"),
        "Y": b.input("Y", "data", (M, I), "real"),
        "c": b.input("c", "param", (M,), "real"),
        "s": b.input("s", "constant", (), "real"),
        "w": b.input("w", "param", (I,), "real"),
    }


ARGS = {
    "X": np.random.default_rng(0).normal(size=(200, 2)),
    "Y": np.random.default_rng(1).normal(size=(150, 2)),
    "c": np.random.default_rng(2).uniform(size=150),
    "s": 1.5,
    "w": np.random.default_rng(3).normal(size=2),
}


def kernel(b: Builder, x: dict[str, Node]) -> Node:
    """exp(-sum over i of X*Y), over n and m."""
    return b.map(("exp", ("neg", slot(0))), [b.contract([x["X"], x["Y"]], (N, M))])


def done(g: Graph) -> Graph:
    """The graph with products joined and equal nodes merged, as the pipeline has it."""
    return dead.run(intern.run(share.run(intern.run(g))))


def read_by(g: Graph, kind: Kind) -> int:
    """How many products and sums read the kernel."""
    maps = {n.uid for n in g.nodes if n.kind is Kind.MAP and n.attrs[0].tree[0] == "exp"}
    return sum(1 for n in g.nodes if n.kind is kind and any(x.uid in maps for x in n.inputs))


def products(b: Builder, x: dict[str, Node]) -> list[Node]:
    """The kernel times Y, times c, its row sums, times c and Y under other names."""
    K = kernel(b, x)
    turned = b.rename(b.rename(K, {"n": "q", "m": "r"}), {"q": "m~1", "r": "n~1"})
    wide = b.contract([K, x["Y"]], (N, I))
    vector = b.reduce("sum", b.map(("mul", slot(0), slot(1)), [x["c"], K]), ["m"])
    rows = b.reduce("sum", K, ["m"])
    weighted = b.map(("mul", slot(0), slot(1)), [x["c"], x["Y"]])
    other = b.contract([turned, b.rename(weighted, {"m": "n~1"})], (I, Axis("m~1", "n")))
    return [wide, vector, rows, b.rename(other, {"m~1": "n"})]


def test_products_stand_side_by_side() -> None:
    b = Builder(BIG)
    x = given(b)
    g = graph_of(b, x, products(b, x), dims=BIG)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert read_by(g, Kind.CONTRACT) + read_by(g, Kind.REDUCE) >= 2
    assert (read_by(after, Kind.CONTRACT), read_by(after, Kind.REDUCE)) == (1, 0)


def test_open_sizes_are_joined_too() -> None:
    open_dims: dict[str, Any] = dict.fromkeys(BIG)
    b = Builder(open_dims)
    x = given(b)
    g = graph_of(b, x, products(b, x)[1:3] + products(b, x)[:1], dims=open_dims)
    after = done(g)
    assert any(size is not None for size in after.dims.values()) or after.dims == open_dims
    assert_equal(g, after, ARGS)


def test_what_one_entry_alone_needs_is_not_computed_in_another() -> None:
    b = Builder(BIG)
    x = given(b)
    wide, vector, rows, _ = products(b, x)
    g = graph_of(b, x, [vector], [vector, rows, wide], dims=BIG)
    after = done(g)
    assert_equal(g, after, ARGS)
    first = Graph(after.entries[:1], after.dims, after.inputs, after.precision)
    assert count(first, Kind.CONCAT) == 0


def test_products_of_products_stay_apart() -> None:
    b = Builder(BIG)
    x = given(b)
    square = b.order(
        b.map(("exp", slot(0)), [b.contract([x["X"], b.rename(x["X"], {"n": "p"})], (N, Axis("p", "n")))]),
        [N, Axis("p", "n")],
    )
    first = b.contract([square, b.rename(x["X"], {"n": "p"})], (N, I))
    second = b.contract([square, b.rename(first, {"n": "p"})], (N, I))
    sums = b.reduce("sum", square, ["p"])
    g = graph_of(b, x, [second, sums], dims=BIG)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert count(after, Kind.CONTRACT) == 3


def test_groups_that_wait_for_one_another_stay_apart() -> None:
    b = Builder(BIG)
    x = given(b)
    p = Axis("p", "n")
    base = b.contract([x["X"], b.rename(x["X"], {"n": "p"})], (N, p))
    A, B = (b.map((f, slot(0)), [base]) for f in ("exp", "tanh"))
    v = x["X"]

    def times(matrix: Node, vector: Node) -> Node:
        return b.contract([matrix, b.rename(vector, {"n": "p"})], (N, I))

    a1, b1 = times(A, v), times(B, v)
    g = graph_of(b, x, [times(A, b1), times(B, a1)], [a1, b1], dims=BIG)
    g = Graph((g.entries[0],), g.dims, g.inputs, g.precision)
    assert_equal(g, done(g), ARGS)


def test_small_matrices_stay() -> None:
    b = Builder({**BIG, "n": 9, "m": 8})
    x = given(b)
    g = graph_of(b, x, products(b, x), dims={**BIG, "n": 9, "m": 8})
    assert count(done(g), Kind.CONCAT) == 0


def test_sums_alone_are_no_products() -> None:
    b = Builder(BIG)
    x = given(b)
    _, vector, rows, _ = products(b, x)
    g = graph_of(b, x, [vector, rows], dims=BIG)
    assert count(done(g), Kind.CONCAT) == 0


def test_what_is_done_once_per_run_stays_by_itself() -> None:
    b = Builder(BIG)
    x = given(b)
    fixed = b.input("X", "data", (N, I), "real")
    K = b.map(("exp", slot(0)), [b.contract([fixed, x["Y"]], (N, M))])
    g = graph_of(
        b, {**x, "X": fixed}, [b.contract([K, x["Y"]], (N, I)), b.reduce("sum", b.mul([K, x["c"]]), ["m"])], dims=BIG
    )
    assert count(done(g), Kind.CONCAT) == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_operands_of_products_that_are_added_are_added(sign: int) -> None:
    b = Builder(BIG)
    x = given(b)
    K = kernel(b, x)
    first, second = b.contract([K, x["Y"]], (N, I)), b.contract([K, b.map(("tanh", slot(0)), [x["Y"]])], (N, I))
    scaled = b.map(("mul", num(-2), slot(0), slot(1)), [second, x["s"]])
    inner = b.map(("add", slot(0), ("mul", slot(1), slot(2))), [x["X"], scaled, x["w"]])
    tree = ("add", slot(0), slot(1)) if sign > 0 else ("sub", slot(0), slot(1))
    g = graph_of(b, x, [b.map(tree, [first, inner])], dims=BIG)
    after = done(g)
    assert_equal(g, after, ARGS)
    assert read_by(g, Kind.CONTRACT) == 2
    assert read_by(after, Kind.CONTRACT) == 1


def test_factors_along_the_rows_stay_outside() -> None:
    b = Builder(BIG)
    x = given(b)
    K = kernel(b, x)
    first, second = b.contract([K, x["Y"]], (N, I)), b.contract([K, b.map(("tanh", slot(0)), [x["Y"]])], (N, I))
    g = graph_of(b, x, [b.map(("add", slot(0), ("mul", slot(1), slot(2))), [first, second, x["X"]])], dims=BIG)
    assert_equal(g, done(g), ARGS)


def layers(b: Builder) -> dict[str, Node]:
    """Two slopes of many rows, a matrix of weights, and what multiplies both of their products with it."""
    return {
        "u": b.input("u", "param", (N, J), "real"),
        "v": b.input("v", "param", (N, J), "real"),
        "Q": b.input("Q", "param", (M, J), "real"),
        "h": b.input("h", "param", (N, M), "real"),
    }


@pytest.mark.parametrize(("rows", "products"), [(150, 1), (8, 2)])
def test_slopes_with_a_factor_in_common_are_added_before_a_product(rows: int, products: int) -> None:
    """h*(u @ Q') + 2*h*(v @ Q') is h*((u + 2*v) @ Q'), also where u is larger than Q, unless the products are cheap."""
    dims = {"n": 200, "m": rows, "j": 60}
    b = Builder(dims)
    x = layers(b)
    bent = ("where", ("gt", slot(0), num(0)), num(1.0), num(0.01))
    terms = []
    for name, number in (("u", 1.0), ("v", 2.0)):
        inner = b.contract([x[name], x["Q"]], (N, M))
        terms.append(b.map(("mul", num(number), bent, slot(1)), [x["h"], inner], "real"))
    g = graph_of(b, x, [b.add(terms)], dims=dims)
    after = done(g)
    rng = np.random.default_rng(5)
    shapes = {"u": (200, 60), "v": (200, 60), "Q": (rows, 60), "h": (200, rows)}
    assert_equal(g, after, {k: rng.normal(size=s) for k, s in shapes.items()})
    assert sum(n.kind is Kind.CONTRACT for n in after.nodes) == products


@pytest.mark.parametrize(("inside", "products"), [("factor", 1), ("argument", 1), ("both", 1), ("elsewhere", 2)])
def test_sums_of_products_inside_of_a_map_are_one_product(inside: str, products: int) -> None:
    """g(h)*(u @ Q' + 2*v @ Q') and tanh(h + u @ Q' + 2*v @ Q') have one product with Q, unless the map reads u @ Q' elsewhere."""
    dims = {"n": 200, "m": 150, "j": 60}
    b = Builder(dims)
    x = layers(b)
    first, second = (b.contract([x[name], x["Q"]], (N, M)) for name in "uv")
    scaled = b.map(("mul", num(2.0), slot(0)), [second], "real")
    bent = ("where", ("gt", slot(0), num(0)), num(1.0), num(0.01))
    trees = {
        "factor": ("mul", bent, ("add", slot(1), slot(2))),
        "argument": ("tanh", ("add", slot(0), slot(1), slot(2))),
        "both": ("add", ("mul", bent, ("sub", slot(1), slot(2))), ("pow", ("sub", slot(1), slot(2)), num(2))),
        "elsewhere": ("mul", slot(1), ("tanh", ("add", slot(1), slot(2)))),
    }
    g = graph_of(b, x, [b.map(trees[inside], [x["h"], first, scaled], "real")], dims=dims)
    after = done(g)
    rng = np.random.default_rng(6)
    shapes = {"u": (200, 60), "v": (200, 60), "Q": (150, 60), "h": (200, 150)}
    assert_equal(g, after, {k: rng.normal(size=s) for k, s in shapes.items()})
    assert sum(n.kind is Kind.CONTRACT for n in g.nodes) == 2
    assert sum(n.kind is Kind.CONTRACT for n in after.nodes) == products


def test_bodies_of_loops_are_joined_by_themselves() -> None:
    b = Builder(BIG)
    x = given(b)
    K = kernel(b, x)
    s = b.input("s", "carry", (M,), "real")
    captured = b.input("K", "captured", (N, M), "real")
    Y = b.input("Y", "captured", (M, I), "real")
    index = b.input("t", "index", (), "integer")
    wide = b.contract([captured, b.map(("mul", slot(0), slot(1)), [s, Y])], (N, I))
    row = b.reduce("sum", captured, ["n"])
    column = b.reduce("sum", b.map(("mul", slot(0), slot(1)), [s, captured]), ["m"])
    step = b.map(
        ("tanh", ("add", slot(0), slot(1), slot(2))),
        [s, row, b.reduce("sum", b.mul([wide, b.rename(column, {})]), ["n", "i"])],
    )
    region = Region("s", Axis("t", "t"), b.number(3), index, (s,), (captured, Y), (step,), (("final", 0),))
    node = b.region("scan", region, [x["c"], K, x["Y"]])
    g = graph_of(b, x, [b.item(node, 0, (M,), "real")], dims={**BIG, "t": 4})
    after = done(g)
    assert_equal(g, after, ARGS)
    (loop,) = (n for n in after.nodes if n.kind is Kind.REGION)
    assert sum(n.kind is Kind.CONCAT and n.op == "stack" for n in topological(loop.attrs[0].roots)) == 1
