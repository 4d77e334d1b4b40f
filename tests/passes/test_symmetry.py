"""What is symmetric is one node whichever way it is turned, and so is what is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.support import assert_equal, count, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes, normal
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes import fold, intern

N, M, P, Q = (Axis(a, "n") for a in "nmpq")
I = Axis("i", "i")
SIZES = {"n": 5, "i": 3}
GAUSS: Tree = ("exp", ("neg", ("div", slot(0), num(2))))


def given(b: Builder) -> dict[str, Node]:
    return {
        "X": b.input("X", "data", (N, I), "real"),
        "B": b.input("B", "data", (N, M), "real"),
        "s": b.input("s", "param", (I,), "real"),
        "y": b.input("y", "data", (N,), "real"),
    }


def values(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "X": rng.normal(size=(5, 3)),
        "B": rng.normal(size=(5, 5)),
        "s": rng.uniform(0.5, 1.5, 3),
        "y": rng.normal(size=5),
    }


def matrix(b: Builder, p: dict[str, Node], rows: str = "n", columns: str = "m") -> Node:
    """exp(-sum[i](((X[r, i] - X[c, i])/s[i])**2)/2) + 2*delta[r, c]."""
    r, c = Axis(rows, "n"), Axis(columns, "n")
    x, z = b.rename(p["X"], {"n": rows}), b.rename(p["X"], {"n": columns})
    square = b.map(("pow", ("div", ("sub", slot(0), slot(1)), slot(2)), num(2)), [x, z, p["s"]])
    return b.map(
        ("add", ("exp", ("neg", slot(0))), ("mul", num(2), slot(1))), [b.reduce("sum", square, ["i"]), b.delta(r, c)]
    )


def turned(x: Node, b: Builder, one: str = "n", other: str = "m") -> Node:
    return b.rename(x, {one: other, other: one})


def same(x: Node, y: Node) -> bool:
    """Whether two nodes with the same names have the same value by their form."""
    classes = Classes()
    return classes.of(x) == classes.of(y)


def test_matrices_of_differences_and_products_are_symmetric() -> None:
    b = Builder(SIZES)
    p = given(b)
    K = matrix(b, p)
    assert same(K, turned(K, b))
    assert same(K, matrix(b, p, "m", "n"))
    scaled = b.map(("mul", slot(0), slot(1)), [p["X"], p["s"]])
    gram = b.contract([scaled, b.rename(p["X"], {"n": "m"})], [N, M])
    assert same(gram, turned(gram, b))
    inverse = b.linalg("inv_pd", [K], (("n", "m"),), [P, Q])
    assert same(inverse, turned(inverse, b, "p", "q"))
    outer = b.map(("mul", slot(0), slot(1)), [p["y"], b.rename(p["y"], {"n": "m"})])
    assert same(outer, turned(outer, b))
    whole = b.map(("sub", slot(0), slot(1)), [b.rename(inverse, {"p": "n", "q": "m"}), outer])
    assert same(whole, turned(whole, b))


def test_what_is_not_symmetric_is_not_taken_for_it() -> None:
    b = Builder(SIZES)
    p = given(b)
    B, K = p["B"], matrix(b, p)
    x, z = p["X"], b.rename(p["X"], {"n": "m"})
    odd = b.reduce("sum", b.map(("pow", ("sub", slot(0), slot(1)), num(3)), [x, z]), ["i"])
    far = b.reduce("sum", b.map(("pow", ("sub", slot(0), ("mul", num(2), slot(1))), num(2)), [x, z]), ["i"])
    product = b.contract([K, b.rename(B, {"n": "m", "m": "p"})], [N, P])
    inverse = b.linalg("inv", [B], (("n", "m"),), [P, Q])
    pairs = [(B, "n", "m"), (odd, "n", "m"), (far, "n", "m"), (product, "n", "p"), (inverse, "p", "q")]
    assert not any(same(v, turned(v, b, one, other)) for v, one, other in pairs)
    mixed = b.map(("mul", slot(0), slot(1)), [K, B])
    assert not same(mixed, turned(mixed, b))
    # The rows of what is not symmetric are not its columns.
    assert not same(b.reduce("sum", B, ["m"]), b.rename(b.reduce("sum", B, ["n"]), {"m": "n"}))
    assert same(b.reduce("sum", K, ["m"]), b.rename(b.reduce("sum", K, ["n"]), {"m": "n"}))


@pytest.mark.parametrize("seed", range(3))
def test_systems_with_a_symmetric_matrix_are_one(seed: int) -> None:
    b = Builder(SIZES)
    p = given(b)
    K, y = matrix(b, p), p["y"]
    first = b.linalg("solve_pd", [K, y], (("n", "m"), ("n",)), [M])
    half = b.map(("mul", num(-0.5), slot(0)), [b.rename(y, {"n": "m"})])
    second = b.linalg("solve_pd", [K, half], (("m", "n"), ("m",)), [N])
    third = b.linalg("solve_pd", [K, b.contract([K, b.rename(second, {"n": "m"})], [N])], (("n", "m"), ("n",)), [M])
    fourth = b.linalg("solve_pd", [K, b.contract([K, b.rename(first, {"m": "n"})], [M])], (("m", "n"), ("m",)), [N])
    graph = graph_of(b, p, [first, second, third, fourth], dims=SIZES)
    after = intern.run(fold.run(intern.run(graph)))
    assert_equal(graph, after, values(seed))
    assert count(graph, Kind.LINALG) == 4
    assert count(after, Kind.LINALG) == 2
    assert count(after, Kind.CONTRACT) == 1


@pytest.mark.parametrize("seed", range(3))
def test_products_with_symmetric_matrices_are_one(seed: int) -> None:
    b = Builder(SIZES)
    p = given(b)
    K = matrix(b, p)
    W = b.linalg("inv_pd", [K], (("n", "m"),), [N, M])
    right = b.contract([W, b.rename(K, {"n": "m", "m": "p"})], [N, P])
    left = b.contract([b.rename(K, {"n": "p", "m": "m"}), b.rename(W, {"n": "m", "m": "n"})], [P, N])
    graph = graph_of(b, p, [b.map(GAUSS, [right]), b.order(b.map(GAUSS, [left]), [N, P])], dims=SIZES)
    after = intern.run(graph)
    assert_equal(graph, after, values(seed))
    assert count(after, Kind.CONTRACT) == 1


def test_a_map_takes_symmetric_operands_as_they_lie() -> None:
    b = Builder(SIZES)
    p = given(b)
    K = matrix(b, p)
    whole = b.map(("mul", ("sin", slot(0)), slot(1)), [p["B"], turned(K, b)])
    mixed = b.map(("mul", ("sin", slot(0)), slot(1)), [turned(p["B"], b), K])
    graph = graph_of(b, p, [whole, b.order(mixed, [N, M])], dims=SIZES)
    after = intern.run(graph)
    assert_equal(graph, after, values())
    for n in after.nodes:
        if n.kind is Kind.MAP and n.attrs[0].tree[0] == "mul" and len(n.inputs) == 2 and "sin" in repr(n.attrs[0].tree):
            first, second = n.inputs
            assert second.names == n.names
            assert set(first.names) == set(n.names)


def test_numbers_that_come_out_of_systems_meet() -> None:
    """Both solutions are multiples of one, so that their outer product is symmetric."""
    b = Builder(SIZES)
    p = given(b)
    K, y = matrix(b, p), p["y"]
    third = b.linalg("solve_pd", [K, b.map(("div", slot(0), num(3)), [y])], (("n", "m"), ("n",)), [M])
    twice = b.linalg("solve_pd", [K, b.map(("mul", num(2), slot(0)), [y])], (("n", "m"), ("n",)), [M])
    outer = b.map(("mul", slot(0), slot(1)), [b.rename(third, {"m": "n"}), twice])
    graph = graph_of(b, p, [outer, b.map(("exp", slot(0)), [twice])], dims=SIZES)
    after = intern.run(fold.run(graph))
    assert_equal(graph, after, values())
    assert count(after, Kind.LINALG) == 1
    result = after.entries[0].results[0].node
    assert same(result, turned(result, b))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (("pow", ("sub", slot(0), slot(1)), num(2)), ("pow", ("sub", slot(1), slot(0)), num(2)), True),
        (("pow", ("sub", slot(0), slot(1)), num(3)), ("pow", ("sub", slot(1), slot(0)), num(3)), False),
        (
            ("abs", ("div", ("sub", slot(0), slot(1)), slot(2))),
            ("abs", ("div", ("sub", slot(1), slot(0)), slot(2))),
            True,
        ),
        (
            ("pow", ("mul", num(3), ("sub", slot(0), ("div", slot(1), num(2)))), num(2)),
            ("pow", ("mul", ("sub", ("div", slot(1), num(2)), slot(0)), num(-3)), num(2)),
            True,
        ),
        (("cos", ("neg", slot(0))), ("cos", slot(0)), True),
        (("sin", ("neg", slot(0))), ("sin", slot(0)), False),
        (("pow", ("add", slot(0), slot(1)), num(2)), ("pow", ("sub", slot(0), slot(1)), num(2)), False),
        (("pow", slot(0), num(2.0)), ("pow", ("neg", slot(0)), num(2.0)), False),
    ],
)
def test_even_functions_do_not_see_signs(one: Tree, other: Tree, equal: bool) -> None:
    assert (normal(one) == normal(other)) is equal


@pytest.mark.parametrize("kinds", [2, 6, 12])
def test_many_equal_operands_cost_little(kinds: int) -> None:
    """However many operands are alike, few ways to take them are looked at."""
    b = Builder({**SIZES, "k": 2})
    y = b.input("y", "data", (N,), "real")
    names = [Axis(f"n{k}", "n") for k in range(kinds)]
    whole = b.map(("mul", *(slot(k) for k in range(kinds))), [b.rename(y, {"n": a.name}) for a in names])
    classes = Classes()
    classes.of(whole)
    assert len(classes._arrangements(whole)) <= 16


@pytest.mark.parametrize(("axes", "wanted"), [((M, I), ("n", "m")), ((I, M), ("m", "n"))])
def test_a_product_takes_a_symmetric_matrix_as_the_other_factor_lies(axes: tuple[Axis, ...], wanted: object) -> None:
    """Summed over its columns where the other one is summed over its rows, and over its rows where that lies on its side."""
    b = Builder(SIZES)
    p = given(b) | {"Y": b.input("Y", "data", axes, "real")}
    drawn = np.random.default_rng(1).normal(size=[SIZES[a.dim] for a in axes])
    for matrix_ in (matrix(b, p), turned(matrix(b, p), b)):
        before = graph_of(b, p, [b.contract([matrix_, p["Y"]], [N, I])], dims=SIZES)
        after = intern.settled(before)
        assert_equal(before, after, values() | {"Y": drawn})
        (product,) = [n for n in after.nodes if n.kind is Kind.CONTRACT]
        assert product.inputs[0].names == wanted


def test_a_product_with_what_is_not_symmetric_stays() -> None:
    b = Builder(SIZES)
    p = given(b)
    x = b.rename(p["X"], {"n": "m"})
    before = graph_of(b, p, [b.contract([turned(p["B"], b), x], [N, I])], dims=SIZES)
    after = intern.settled(before)
    assert_equal(before, after, values())
    (product,) = [n for n in after.nodes if n.kind is Kind.CONTRACT]
    assert product.inputs[0].names == ("m", "n")


def test_orders_are_settled_at_the_end_only() -> None:
    """Before, whoever looks for products with a symmetric matrix finds it in one order."""
    b = Builder(SIZES)
    p = given(b) | {"Y": b.input("Y", "data", (I, M), "real")}
    before = graph_of(b, p, [b.contract([matrix(b, p), p["Y"]], [N, I])], dims=SIZES)
    (first,) = [n for n in intern.run(before).nodes if n.kind is Kind.CONTRACT]
    (last,) = [n for n in intern.settled(before).nodes if n.kind is Kind.CONTRACT]
    assert (first.inputs[0].names, last.inputs[0].names) == (("n", "m"), ("m", "n"))
