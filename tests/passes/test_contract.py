"""Sums of products become contractions in a good order; values stay."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.passes.support import (
    SIZES,
    I,
    J,
    K,
    M,
    N,
    arguments,
    assert_equal,
    count,
    graph_of,
    inputs,
    loop,
    random_graph,
)
from tests.support.evaluate import evaluate_graph
from vspec.compiler.calculus.derive import gradients
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes, flops, graph_cost
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes import contract, intern
from vspec.compiler.passes.contraction import Operand, Planner

BIG = {"n": 200, "m": 150, "i": 10, "k": 4, "t": 4}


def shapes(g: Graph) -> list[tuple[str, ...]]:
    """The operands and the result of every contraction, as strings of axis names."""
    return [(*("".join(x.names) for x in n.inputs), "".join(n.names)) for n in g.nodes if n.kind is Kind.CONTRACT]


@pytest.mark.parametrize("seed", range(40))
def test_equal_values(seed: int) -> None:
    g = random_graph(seed)
    assert_equal(g, contract.run(g), arguments(seed))
    assert_equal(g, contract.run(intern.run(g)), arguments(seed))


def test_a_matrix_vector_product() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    g = graph_of(b, given, [b.reduce("sum", b.mul([given["X"], given["w"]]), ["i"])])
    done = contract.run(g)
    assert_equal(g, done)
    assert shapes(done) == [("ni", "i", "n")]
    assert count(done, Kind.MAP) == count(done, Kind.REDUCE) == 0


def test_names_made_by_another_builder_are_not_taken() -> None:
    """Axes of the graph may have names that a new builder would make first: sums inside keep apart from them."""
    b = Builder(SIZES)
    given = inputs(b)
    other = {k: Axis(f"i~{k}", "i") for k in (1, 2, 3)}
    scale = b.reduce("sum", b.map(("mul", slot(0), ("exp", slot(1))), [given["X"], given["w"]]), ["i"])
    for axis in other.values():
        outer = b.mul([given["X"], scale, b.rename(given["X"], {"i": axis.name})])
        g = graph_of(b, given, [b.reduce("sum", outer, ["n"])])
        assert_equal(g, contract.run(g))


def test_an_elementwise_sum_stays() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    total = b.reduce("sum", b.map(("mul", slot(0), ("exp", slot(0))), [given["w"]]), ["i"])
    g = graph_of(b, given, [total])
    assert contract.run(g).roots == g.roots


def test_scalars_leave_the_sum() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    g = graph_of(b, given, [b.reduce("sum", b.mul([given["c"], given["X"], given["w"]]), ["n", "i"])])
    done = contract.run(g)
    assert_equal(g, done)
    # c multiplies the finished sum, and nothing under it.
    (root,) = done.roots
    assert given["c"] in root.inputs
    assert [n for n in done.nodes if given["c"] in n.inputs] == [root]


def test_curvature_is_one_matrix_product() -> None:
    """sum[n](X[n, i]*d[n]*X[n, j]) is (X'd) X, whichever way it is nested."""
    b = Builder(BIG)
    given = inputs(b)
    X, d = given["X"], b.map(("sigmoid", slot(0)), [b.contract([given["X"], given["w"]], (N,))])
    nested = b.mul([b.mul([X, d]), b.rename(X, {"i": "j"})])
    g = graph_of(b, given, [b.reduce("sum", nested, ["n"])], dims=BIG)
    done = contract.run(g)
    assert_equal(g, done, arguments(0, BIG))
    assert [s for s in shapes(done) if len(s[-1]) == 2] in ([("ni", "nj", "ij")], [("nj", "ni", "ij")])


def test_a_chain_is_done_from_the_cheap_end() -> None:
    """sum[i, j](A[n, i] B[i, j] v[j]) takes two matrix-vector products, no product of matrices."""
    b = Builder(BIG)
    given = inputs(b)
    B = b.input("B", "param", (I, J), "real")
    inner = b.reduce("sum", b.mul([given["X"], B]), ["i"])
    g = graph_of(
        b, {**given, "B": B}, [b.reduce("sum", b.mul([inner, b.rename(given["w"], {"i": "j"})]), ["j"])], dims=BIG
    )
    done = contract.run(g)
    args = {**arguments(0, BIG), "B": np.random.default_rng(1).normal(size=(10, 10))}
    assert_equal(g, done, args)
    assert all(len(s[1]) == 1 for s in shapes(done))
    assert len(shapes(done)) == 2


def test_deltas_are_carried_out() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    picked = b.reduce("sum", b.mul([given["X"], b.delta(I, J)]), ["i"])
    trace = b.reduce("sum", b.mul([b.delta(I, J), given["w"]]), ["i", "j"])
    ones = b.reduce("sum", b.delta(I, J), ["i"])
    g = graph_of(b, given, [b.order(picked, (N, J)), trace, b.order(ones, (J,))])
    done = contract.run(g)
    assert_equal(g, done)
    assert count(done, Kind.INDEX) == 0
    assert count(done, Kind.CONTRACT) == 0


def least_squares(b: Builder, given: dict[str, Node]) -> list[Node]:
    """The gradient of sum[n]((sum[i](X[n, i]*w[i]) - y[n])**2)."""
    fit = b.reduce("sum", b.mul([given["X"], given["w"]]), ["i"])
    loss = b.reduce("sum", b.map(("pow", ("sub", slot(0), slot(1)), num(2)), [fit, given["y"]]), ["n"])
    return [loss, *gradients(b, loss, [given["w"]])]


def test_least_squares_goes_by_the_gram_matrix() -> None:
    b = Builder(BIG)
    given = inputs(b)
    _, slope = least_squares(b, given)
    g = graph_of(b, given, [slope], dims=BIG)
    done = contract.run(intern.run(g))
    assert_equal(g, done, arguments(0, BIG))
    gram = [n for n in done.nodes if n.kind is Kind.CONTRACT and [a.dim for a in n.axes] == ["i", "i"]]
    assert len(gram) == 1
    assert all(x.kind in (Kind.INPUT, Kind.REINDEX) for x in gram[0].inputs)
    # The params meet the Gram matrix, never the examples.
    views = {given["w"].uid} | {n.uid for n in done.nodes if n.kind is Kind.REINDEX and given["w"] in n.inputs}
    on_params = [n for n in done.nodes if n.kind is Kind.CONTRACT and views & {x.uid for x in n.inputs}]
    assert len(on_params) == 1
    assert all(a.dim == "i" for x in on_params[0].inputs for a in x.axes)


def test_few_examples_keep_the_residual() -> None:
    b = Builder({**BIG, "n": 8})
    given = inputs(b)
    slope = least_squares(b, given)[1]
    done = contract.run(intern.run(graph_of(b, given, [slope], dims={**BIG, "n": 8})))
    assert all(len(s[-1]) < 2 for s in shapes(done))


def distances(b: Builder, precision: str) -> tuple[Graph, Any]:
    """Weighted squared distances of two sets of points, and the gradient of a sum of kernels by the weights."""
    n, m, i = Axis("n", "n"), Axis("m", "m"), Axis("i", "i")
    X, Z = b.input("X", "data", (n, i), "real"), b.input("Z", "data", (m, i), "real")
    s, G = b.input("s", "param", (i,), "real"), b.input("G", "data", (n, m), "real")
    tree = ("pow", ("div", ("sub", slot(0), slot(1)), slot(2)), num(2))
    square = b.reduce("sum", b.map(tree, [X, Z, s]), ["i"])
    kernel = b.map(("mul", slot(1), ("exp", ("neg", ("div", slot(0), num(2))))), [square, G])
    loss = b.reduce("sum", kernel, ["n", "m"])
    given = {"X": X, "Z": Z, "s": s, "G": G}
    g = graph_of(b, given, [square], [loss, *gradients(b, loss, [s])], precision=precision, dims=BIG)
    rng = np.random.default_rng(2)
    args = {"X": 5 + rng.normal(size=(200, 10)), "Z": 5 + rng.normal(size=(150, 10))}
    args |= {"s": rng.uniform(1, 2, size=10), "G": rng.normal(size=(200, 150))}
    args["Z"][:50] = args["X"][:50]
    return g, args


def test_distances_are_matrix_products_in_double_precision() -> None:
    g, args = distances(Builder(BIG), "float64")
    done = contract.run(intern.run(g))
    assert_equal(g, done, args, rtol=1e-10)
    assert any(set(s[-1]) == {"n", "m"} for s in shapes(done))
    value = Graph(done.entries[:1], done.dims, done.inputs, done.precision)
    assert all(len(n.axes) < 3 for n in value.nodes)
    want, got = (evaluate_graph(x, args)["e0"]["0",] for x in (g, done))
    assert np.abs(got - want).max() < 1e-14 * want.max()
    assert got.min() >= 0


def test_distances_stay_in_single_precision() -> None:
    g, _ = distances(Builder(BIG), "float32")
    assert any(len(n.axes) == 3 for n in contract.run(intern.run(g)).nodes)


def test_roots_of_distances_stay() -> None:
    b = Builder(BIG)
    m = Axis("m", "m")
    X, Z = b.input("X", "data", (N, I), "real"), b.input("Z", "data", (m, I), "real")
    square = b.reduce("sum", b.map(("pow", ("sub", slot(0), slot(1)), num(2)), [X, Z]), ["i"])
    g = graph_of(b, {"X": X, "Z": Z}, [b.map(("sqrt", slot(0)), [square])], dims=BIG)
    assert count(contract.run(g), Kind.CONTRACT) == 0


def test_an_exponential_made_for_one_product_is_not_materialised() -> None:
    b = Builder({**BIG, "n": 2000})
    given = inputs(b)
    P = b.map(("exp", ("mul", slot(0), slot(1))), [given["X"], given["w"]])
    g = graph_of(b, given, [b.reduce("sum", b.mul([P, given["w"]]), ["i"])], dims={**BIG, "n": 2000})
    assert count(contract.run(g), Kind.CONTRACT) == 0


def test_bodies_of_loops() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    gram = b.contract([given["X"], b.rename(given["X"], {"i": "j"})], (I, J))
    path, _ = loop(b, given["w"], gram, given["c"])
    del path
    g = graph_of(b, given, [b.reduce("sum", b.mul([given["W"], given["w"]]), ["i"])], [b.order(gram, (J, I))])
    assert_equal(g, contract.run(g))
    assert K.name == "k"
    assert M.dim == N.dim


@pytest.mark.parametrize("op", ["add", "sub"])
def test_an_operand_in_common_is_read_once(op: str) -> None:
    b = Builder(SIZES)
    given = inputs(b)
    u = b.map(("tanh", slot(0)), [given["w"]])
    first, second = (b.reduce("sum", b.mul([given["X"], v]), ["i"]) for v in (given["w"], u))
    graph = graph_of(b, given, [b.map(("tanh", (op, slot(0), slot(1))), [first, second])])
    plain = graph_of(b, given, [b.map((op, slot(0), slot(1)), [first, second])])
    for g in (graph, plain):
        assert_equal(g, contract.run(g))
    after = contract.run(plain)
    assert count(after, Kind.CONTRACT) == 1
    # Two products with a matrix of 4 by 3 become one.
    assert graph_cost(after).flops < 0.75 * graph_cost(plain).flops


def test_a_common_factor_is_taken_out_of_a_sum() -> None:
    b = Builder(BIG)
    given = inputs(b)
    X, w, c = given["X"], given["w"], given["c"]
    u = b.map(("tanh", slot(0)), [w])
    terms = ("sub", ("add", ("mul", slot(0), slot(1)), ("mul", slot(2), slot(0), slot(3))), ("mul", slot(0), slot(2)))
    total = b.reduce("sum", b.map(terms, [X, w, u, c]), ["i"])
    g = graph_of(b, given, [total], dims=BIG)
    after = contract.run(g)
    assert_equal(g, after, arguments(0, BIG))
    # X meets w + u*c - u once.
    assert shapes(after) == [("ni", "i", "n")]
    assert max(len(n.axes) for n in after.nodes if n.kind is Kind.MAP) == 1


@pytest.mark.parametrize("number", [1, -2])
def test_two_sums_over_one_array_are_one_though_the_names_differ(number: int) -> None:
    b = Builder(SIZES)
    given = inputs(b)
    difference = b.map(("sub", slot(0), slot(1)), [given["X"], b.rename(given["X"], {"n": "m"})])
    weight = b.contract([given["X"], b.map(("exp", slot(0)), [b.rename(given["X"], {"n": "m"})])], (N, M))
    weight = b.map(("mul", slot(0), slot(1)), [weight, given["c"]])
    forth = b.contract([difference, weight], (N, I))
    other = b.rename(b.rename(weight, {"n": "q", "m": "n"}), {"q": "m"})
    inner = b.rename(b.rename(difference, {"m": "q"}), {})
    back = b.contract([inner, b.rename(other, {"m": "q"})], (N, I))
    tree = ("add", slot(2), ("div", ("add", slot(0), ("mul", num(number), slot(1))), num(3)))
    g = graph_of(b, given, [b.map(tree, [forth, back, given["w"]])])
    after = contract.run(intern.run(g))
    assert_equal(g, after)
    # One for the weights, one for both sums of differences.
    assert count(after, Kind.CONTRACT) == 2


def test_sums_over_the_same_axes_are_one() -> None:
    b = Builder(SIZES)
    given = inputs(b)
    X, c = given["X"], given["c"]
    first, second = (b.map((f, ("add", slot(0), slot(1))), [X, given["w"]]) for f in ("sin", "exp"))
    parts = [b.reduce("sum", x, over) for x, over in ((first, "n"), (second, "n"), (b.mul([first, c]), "i"))]
    tree = ("sub", slot(0), ("mul", num(3), slot(1)))
    g = graph_of(b, given, [b.map(tree, parts[:2])], [b.add([parts[2], given["y"]])])
    after = contract.run(g)
    assert_equal(g, after)
    assert count(after, Kind.REDUCE) == 2


def test_what_one_operand_alone_has_is_summed_first() -> None:
    dims = {"n": 256, "e": 4, "i": 3, "a": 32, "b": 32}
    b = Builder(dims)
    n, e, i, a, o = (Axis(x, x) for x in dims)
    T, U, V = (b.input(x, "param", axes, "real") for x, axes in (("T", (n, e, a)), ("U", (i, a)), ("V", (a, o))))
    g = graph_of(b, {"T": T, "U": U, "V": V}, [b.reduce("sum", b.mul([T, U, V]), ["e", "i", "a"])], dims=dims)
    after = contract.run(g)
    rng = np.random.default_rng(0)
    assert_equal(g, after, {x.attrs[0]: rng.normal(size=[dims[y] for y in x.names]) for x in (T, U, V)})
    # No array over n, a and b.
    assert max(len(x.axes) for x in after.nodes if x.kind is not Kind.INPUT) == 2


@pytest.mark.parametrize("i", [1, 3])
@pytest.mark.parametrize("kept", [False, True])
def test_a_product_that_sums_alone_read_is_opened(kept: bool, i: int) -> None:
    dims = {"n": 500, "i": i, "a": 32, "b": 32}
    b = Builder(dims)
    n, c, a, o = (Axis(x, x) for x in dims)
    given = {
        x: b.input(x, "param", axes, "real")
        for x, axes in (("s", (n, a)), ("U", (c, a)), ("V", (a, o)), ("y", (n, c, o)))
    }
    outer = b.mul([given["s"], given["U"]])
    forth = b.map(("tanh", slot(0)), [b.reduce("sum", b.mul([outer, given["V"]]), ["a"])])
    back = b.reduce("sum", b.mul([outer, given["y"]]), ["n", "i"])
    more = [b.map(("exp", slot(0)), [outer])] if kept else []
    g = graph_of(b, given, [forth, back, *more], dims=dims)
    after = contract.run(g)
    rng = np.random.default_rng(0)
    assert_equal(g, after, {k: rng.normal(size=[dims[m] for m in x.names]) for k, x in given.items()})
    made = {frozenset(x.names) for x in after.nodes if x.kind in (Kind.MAP, Kind.CONTRACT)}
    # The array over examples, coordinates and units is there only if somebody else wants it.
    assert (frozenset("nia") in made) is kept


@pytest.mark.parametrize(("n", "opened"), [(1000, True), (8, False)])
def test_of_a_scaled_array_that_products_read_the_other_factor_is_scaled(n: int, opened: bool) -> None:
    dims = {"n": n, "a": 32, "b": 32}
    b = Builder(dims)
    row, a, o = (Axis(x, x) for x in dims)
    given = {
        x: b.input(x, "param", axes, "real")
        for x, axes in (("r", (row, a)), ("c", (a,)), ("V", (a, o)), ("y", (row, o)))
    }
    slope = b.map(("sub", num(1), ("pow", slot(0), num(2))), [given["r"]])
    scaled = b.mul([slope, given["c"]])
    forth = b.reduce("sum", b.mul([scaled, given["V"]]), ["a"])
    back = b.reduce("sum", b.mul([scaled, given["y"]]), ["n"])
    g = graph_of(b, given, [forth, back], dims=dims)
    after = contract.run(g)
    rng = np.random.default_rng(0)
    assert_equal(g, after, {k: rng.normal(size=[dims[m] for m in x.names]) for k, x in given.items()})
    reads = [
        {y.names for y in x.inputs} for x in after.nodes if x.kind is Kind.MAP and ("a",) in {y.names for y in x.inputs}
    ]
    # The scale meets what has one row for each unit, where there are more rows of the other array.
    assert all(("n", "a") not in names for names in reads) is opened


def test_a_product_that_a_square_needs_is_not_read_for_a_sum_of_it() -> None:
    dims = {"n": 256, "e": 4, "i": 3, "a": 32, "b": 32}
    b = Builder(dims)
    n, e, i, a, o = (Axis(x, x) for x in dims)
    given = {
        x: b.input(x, "param", axes, "real")
        for x, axes in (("s", (n, e, a)), ("U", (i, a)), ("V", (a, o)), ("c", (n, o)))
    }
    jacobian = b.reduce("sum", b.mul([b.mul([given["s"], given["U"]]), given["V"]]), ["a"])
    squares = b.reduce("sum", b.mul([jacobian, jacobian]), ["e", "i"])
    slope = b.reduce("sum", b.mul([jacobian, given["c"]]), ["b"])
    g = graph_of(b, given, [squares, slope], dims=dims)
    after = contract.run(g)
    rng = np.random.default_rng(0)
    assert_equal(g, after, {k: rng.normal(size=[dims[m] for m in x.names]) for k, x in given.items()})
    # The product with all axes has one reader; the other sum goes back through what it is made of, walker by walker.
    large = [x for x in after.nodes if {*x.names} == {*"neib"} and x.kind is Kind.CONTRACT]
    readers = [y for y in after.nodes for x in large if x in y.inputs]
    assert len(large) == len(readers) == 1
    assert frozenset("nea") in {frozenset(x.names) for x in after.nodes if x.kind is Kind.MAP}


def test_many_small_products_count_as_loops() -> None:
    planner = Planner({"n": 256, "e": 4, "i": 3, "a": 32})
    operands = [Operand(frozenset(x), False) for x in ("ia", "na", "nea")]
    plan = planner.plan(operands, frozenset("nei"))
    # s*c meets U in one product for all rows; U*c would make one of three columns for each row.
    assert plan.steps[0] == (1, 2)
    assert plan.cost == 4 * 256 * 4 * 32 + 256 * 4 * 3 * 32


@pytest.mark.parametrize("seed", range(20))
def test_no_turn_of_a_plan_costs_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    letters = "abcdef"
    planner = Planner({x: int(rng.integers(1, 40)) for x in letters})
    count = int(rng.integers(3, 6))
    operands = [Operand(frozenset(rng.choice(list(letters), 3)), False) for _ in range(count)]
    present = sorted(frozenset[str]().union(*(x.axes for x in operands)))
    out = frozenset(rng.choice(present, 2))
    plan = planner.plan(operands, out)
    every = [p for p in orders(count) if planner._walk(operands, out, p).cost < 0.5 * plan.cost]
    assert not every


def orders(count: int) -> list[list[tuple[int, int]]]:
    """All orders of products of so many arrays, two at a time."""
    if count == 2:
        return [[(0, 1)]]
    return [[(i, j), *rest] for i, j in itertools.combinations(range(count), 2) for rest in orders(count - 1)]


def test_a_square_of_a_shared_product_is_not_multiplied_out() -> None:
    dims = {"n": 500, "a": 32, "b": 32}
    b = Builder(dims)
    n, a, o = (Axis(x, x) for x in dims)
    s, V = b.input("s", "param", (n, a), "real"), b.input("V", "param", (a, o), "real")
    product = b.contract([s, V], (n, o))
    square = b.reduce("sum", b.mul([product, product]), ["b"])
    g = graph_of(b, {"s": s, "V": V}, [square, b.reduce("sum", b.mul([product, V]), ["b"])], dims=dims)
    after = contract.run(g)
    assert shapes(after)[0] == ("na", "ab", "nb")


def test_a_chain_of_five_is_done_from_its_thin_end() -> None:
    dims = {"a": 40, "b": 50, "c": 60, "d": 70, "e": 80, "f": 1}
    b = Builder(dims)
    axes = {n: Axis(n, n) for n in dims}
    letters = "abcdef"
    given = {
        f"M{k}": b.input(f"M{k}", "param", (axes[p], axes[q]), "real")
        for k, (p, q) in enumerate(itertools.pairwise(letters))
    }
    product = b.reduce("sum", b.mul(list(given.values())), list("bcde"))
    graph = graph_of(b, given, [product], dims=dims)
    after = contract.run(graph)
    assert count(after, Kind.CONTRACT) == 4
    # From the vector at the end: 80*70 + 70*60 + 60*50 + 50*40 products, two operands each.
    assert sum(flops(n, Sizes(dims)) for n in after.nodes) == 2 * (80 * 70 + 70 * 60 + 60 * 50 + 50 * 40)


@pytest.mark.parametrize(("n", "whole"), [(8, True), (5000, False)])
def test_short_sums_are_not_taken_apart(n: int, whole: bool) -> None:
    """sum[n](y[n]*(w[i] + W[i, k]*X[n, i] - y[n])): of few terms, one sum is as fast as each of the three parts."""
    dims: dict[str, Any] = {**SIZES, "n": n}
    b = Builder(dims)
    given = inputs(b)
    tree = ("mul", slot(0), ("sub", ("add", slot(1), ("mul", slot(2), slot(3))), slot(0)))
    residual = b.map(tree, [given["y"], given["w"], given["W"], given["X"]])
    g = graph_of(b, given, [b.reduce("sum", residual, ["n"])], dims=dims)
    done = contract.run(g)
    assert_equal(g, done, arguments(0, dims))
    assert (len([x for x in done.nodes if x.kind in (Kind.REDUCE, Kind.CONTRACT)]) == 1) == whole


@pytest.mark.parametrize(("problems", "kept"), [(8, False), (10_000, True)])
def test_what_is_larger_than_the_data_is_prepared_where_few_calls_read_it_often(problems: int, kept: bool) -> None:
    """sum[n](X[n, i]*X[n, j]*w[p, n]): the product of X with itself has n*i*i numbers, and each step would read them all."""
    dims: dict[str, Any] = {"n": 400, "i": 50, "p": problems}
    b = Builder(dims)
    X = b.input("X", "data", [Axis("n", "n"), Axis("i", "i")], "real")
    w = b.input("w", "param", [Axis("p", "p"), Axis("n", "n")], "real")
    squared = b.reduce("sum", b.mul([X, b.rename(X, {"i": "j"}), w]), ["n"])
    g = graph_of(b, {"X": X, "w": w}, [squared], dims=dims)
    static = [n for n in contract.run(g).nodes if n.kind is Kind.MAP and set(n.names) == {"n", "i", "j"}]
    assert bool(static) == kept


def test_a_product_that_is_met_again_has_the_same_plan() -> None:
    planner = Planner({"n": 50, "i": 3, "k": 4})
    operands = [Operand(frozenset("ni"), False), Operand(frozenset("ik"), False), Operand(frozenset("k"), True)]
    first, again = (planner.plan(operands, frozenset("n")) for _ in range(2))
    assert first == again == planner.planned(operands, frozenset("n"))
    assert first.calls > 0
    assert first.steps is not again.steps
