"""Stable forms: equal to the plain ones at moderate arguments, finite in value and gradient at ±1e4 in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special  # type: ignore[import-untyped]

from tests.passes.support import arguments, assert_equal, random_graph
from tests.support.evaluate import evaluate
from vspec.compiler.calculus.derive import gradients
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, Origin, topological
from vspec.compiler.passes import stabilise
from vspec.compiler.passes.stabilise import STABILISE_RULES

I, N = Axis("i", "i"), Axis("n", "n")
A: Tree = slot(0)
EXP: Tree = ("exp", A)
EXP2: Tree = ("exp", ("mul", num(2), A))
ONE = num(1)


def neg(t: Tree) -> Tree:
    return ("neg", t)


# name, kernel of one argument, the operations that are left
POINTWISE: list[tuple[str, Tree, set[str]]] = [
    ("softplus", ("log", ("add", ONE, EXP)), {"softplus"}),
    ("softplus of minus", ("log", ("add", ("exp", neg(A)), num(1.0))), {"softplus", "neg"}),
    ("softplus by log1p", ("log1p", EXP), {"softplus"}),
    ("log of two exponentials", ("log", ("add", EXP, EXP2)), {"softplus", "add", "sub", "mul"}),
    ("log of c + exp", ("log", ("add", num(3), EXP)), {"softplus", "add", "sub"}),
    ("sigmoid", ("div", ONE, ("add", ONE, ("exp", neg(A)))), {"sigmoid"}),
    ("sigmoid by exp", ("div", EXP, ("add", EXP, ONE)), {"sigmoid"}),
    ("sigmoid as a power", ("pow", ("add", ONE, ("exp", ("mul", num(-1), A))), num(-1)), {"sigmoid"}),
    ("slope of sigmoid", ("div", EXP, ("pow", ("add", ONE, EXP), num(2))), {"sigmoid", "mul", "neg"}),
    ("scaled sigmoid", ("div", ("mul", num(3), EXP), ("mul", ("add", EXP, ONE), num(2))), {"sigmoid", "mul"}),
    ("mixture by sigmoid", ("div", ("add", ("mul", num(2), EXP), num(5)), ("add", ONE, EXP)), {"sigmoid", "mul", "add", "neg"}),
    ("log sigmoid", ("log", ("div", ONE, ("add", ONE, ("exp", neg(A))))), {"softplus", "neg"}),
    ("log of sigmoid", ("log", ("sigmoid", A)), {"softplus", "neg"}),
    ("log of 1 - sigmoid", ("log", ("sub", ONE, ("sigmoid", A))), {"softplus", "neg"}),
    ("log of 1 - sigmoid by hand", ("log", ("sub", ONE, ("div", ONE, ("add", ONE, ("exp", neg(A)))))), {"softplus", "neg"}),
    ("log odds", ("log", ("div", ("sigmoid", A), ("sub", ONE, ("sigmoid", A)))), {"softplus", "neg", "sub", "add"}),
    ("tanh", ("div", ("sub", EXP, ("exp", neg(A))), ("add", EXP, ("exp", neg(A)))), {"tanh"}),
    ("tanh by expm1", ("div", ("sub", EXP2, ONE), ("add", EXP2, ONE)), {"tanh", "mul", "div"}),
    ("tanh by sinh", ("div", ("sinh", A), ("cosh", A)), {"tanh"}),
    ("log cosh", ("log", ("cosh", A)), {"add", "softplus", "mul", "sub", "neg"}),
    ("product of exponentials", ("mul", EXP, ("exp", ("sub", num(1), A))), {"exp", "add", "sub"}),
    ("quotient of exponentials", ("div", ("exp", ("add", A, num(2))), EXP), {"exp", "add", "sub"}),
    ("two-way softmax", ("div", EXP, ("add", EXP, ("exp", ("mul", num(3), A)))), {"exp", "sub", "add", "softplus", "mul"}),
    ("log of a product", ("log", ("mul", num(2), EXP, ("sigmoid", A))), {"add", "sub", "softplus", "neg"}),
    ("log of a root", ("log", ("sqrt", EXP)), {"div"}),
    ("norm of one", ("sqrt", ("pow", A, num(2))), {"abs"}),
    ("norm of two", ("sqrt", ("add", ("square", A), ("mul", A, A))), set()),
    ("log ndtr", ("log", ("ndtr", A)), {"log_ndtr"}),
    ("log of the other tail", ("log", ("sub", ONE, ("ndtr", A))), {"log_ndtr", "neg"}),
    ("log1p of minus ndtr", ("log1p", ("neg", ("ndtr", A))), {"log_ndtr", "neg"}),
    ("log of a product with ndtr", ("log", ("mul", num(2), ("ndtr", A), EXP)), {"log_ndtr", "add"}),
    ("log erfc", ("log", ("erfc", A)), {"log_ndtr", "add", "mul", "neg"}),
    ("log of ndtr by erf", ("log", ("add", ONE, ("erf", ("div", A, num(2))))), {"log_ndtr", "add", "mul", "neg", "div"}),
    ("complement of erf", ("sub", ONE, ("erf", A)), {"erfc"}),
    ("complement of erf, doubled", ("mul", num(2), ("sub", num(1.0), ("erf", ("neg", A)))), {"erfc", "neg", "mul"}),
    ("erf less one", ("sub", ("erf", A), ONE), {"erfc", "neg"}),
    ("complement of erfc", ("sub", ONE, ("erfc", A)), {"erf"}),
    ("complement of ndtr", ("sub", ONE, ("ndtr", A)), {"ndtr", "neg"}),
    ("masked", ("log", ("add", ONE, ("where", ("gt", A, num(0)), EXP, num(0)))), set()),
]  # fmt: skip


def scalar_graph(tree: Tree, rules: Any) -> tuple[Node, Node]:
    b = Builder({"i": None}, rules)
    x = b.input("x", "param", (I,), "real")
    y = b.map(tree, [x], "real")
    (slope,) = gradients(b, b.reduce("sum", y, ["i"]), [x])
    return y, slope


@pytest.mark.parametrize(("name", "tree", "left"), POINTWISE, ids=[p[0] for p in POINTWISE])
def test_pointwise(name: str, tree: Tree, left: set[str]) -> None:
    x = np.array([-3.0, -1.0, -0.2, 0.4, 1.5, 2.5])
    plain, stable = scalar_graph(tree, ()), scalar_graph(tree, STABILISE_RULES)
    for want, got in zip(evaluate(plain, {"x": x}), evaluate(stable, {"x": x}), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    far = np.array([-1e4, -300.0, -100.0, 0.0, 100.0, 300.0, 1e4])
    for got in evaluate(stable, {"x": far}, precision="float32"):
        assert np.isfinite(got).all(), got
    if left:
        ops = {op for n in topological([stable[0]]) if n.kind is Kind.MAP for op in operations(n.attrs[0].tree)}
        assert ops <= left, ops


def operations(tree: Tree) -> Iterator[str]:
    """The operations of a tree."""
    if tree[0] not in ("x", "num"):
        yield tree[0]
        for c in tree[1:]:
            yield from operations(c)


def total(b: Builder, x: Node) -> Node:
    return b.reduce("sum", x, ["i"])


def exp(b: Builder, x: Node) -> Node:
    return b.map(("exp", A), [x])


def over(b: Builder, x: Node, y: Node) -> Node:
    return b.map(("div", slot(0), slot(1)), [x, y])


def log(b: Builder, x: Node) -> Node:
    return b.map(("log", A), [x])


def log_sum(b: Builder, x: Node, w: Node) -> Node:
    return log(b, total(b, exp(b, x)))


def log_mean(b: Builder, x: Node, w: Node) -> Node:
    return b.map(("log", ("div", slot(0), slot(1))), [total(b, exp(b, x)), b.size("i")])


def log_of_negative(b: Builder, x: Node, w: Node) -> Node:
    scaled = b.map(("mul", num(0.5), ("exp", neg(A))), [x])
    return b.map(("div", ("neg", ("log", A)), num(2)), [total(b, scaled)])


def weighted(b: Builder, x: Node, w: Node) -> Node:
    return log(b, total(b, b.map(("mul", slot(1), ("exp", slot(0))), [x, w])))


def mixture(b: Builder, x: Node, w: Node) -> Node:
    density = ("div", ("mul", slot(1), ("exp", ("neg", ("div", ("pow", slot(0), num(2)), num(2))))), num(2.5))
    return log(b, total(b, b.map(density, [x, w])))


def softmax(b: Builder, x: Node, w: Node) -> Node:
    return over(b, exp(b, x), total(b, exp(b, x)))


def log_softmax(b: Builder, x: Node, w: Node) -> Node:
    return log(b, softmax(b, x, w))


def softmax_one_kernel(b: Builder, x: Node, w: Node) -> Node:
    return b.map(("div", ("mul", num(2), EXP), slot(1)), [x, total(b, exp(b, x))])


def softmax_weighted(b: Builder, x: Node, w: Node) -> Node:
    e = b.map(("mul", slot(1), ("exp", slot(0))), [x, w])
    return over(b, e, total(b, e))


def attention(b: Builder, x: Node, w: Node) -> Node:
    above = total(b, b.map(("mul", slot(1), ("exp", slot(0))), [x, w]))
    return over(b, above, total(b, exp(b, x)))


def entropy(b: Builder, x: Node, w: Node) -> Node:
    p = softmax(b, x, w)
    return total(b, b.map(("neg", ("mul", A, ("log", A))), [p]))


def picked(b: Builder, x: Node, w: Node) -> Node:
    return log(b, b.at_position(softmax(b, x, w), "i", 1))


def renamed(b: Builder, x: Node, w: Node) -> Node:
    J = {"i": "j"}
    z = b.reduce("sum", b.rename(exp(b, x), J), ["j"])
    return over(b, exp(b, x), z)


def free_energy(b: Builder, x: Node, w: Node) -> Node:
    logits = b.map(("mul", num(2), A), [x])
    return b.map(("add", ("log", slot(0)), slot(1)), [total(b, exp(b, logits)), total(b, x)])


FORMULAS: list[Callable[[Builder, Node, Node], Node]] = [
    log_sum, log_mean, log_of_negative, weighted, mixture, softmax, log_softmax, softmax_one_kernel, softmax_weighted,
    attention, entropy, picked, renamed, free_energy,
]  # fmt: skip


def formula_graph(f: Callable[[Builder, Node, Node], Node], rules: Any) -> list[Node]:
    b = Builder({"i": 5}, rules)
    x, w = b.input("x", "param", (I,), "real"), b.input("w", "param", (I,), "real")
    with b.at(Origin("f", 3)):
        y = f(b, x, w)
    return [y, *gradients(b, b.reduce("sum", y, y.names), [x, w])]


@pytest.mark.parametrize("f", FORMULAS, ids=lambda f: f.__name__)
def test_sums_of_exponentials(f: Callable[[Builder, Node, Node], Node]) -> None:
    rng = np.random.default_rng(1)
    near = {"x": rng.normal(size=5), "w": rng.uniform(0.2, 2.0, size=5)}
    plain, stable = formula_graph(f, ()), formula_graph(f, STABILISE_RULES)
    for want, got in zip(evaluate(plain, near, {"i": 5}), evaluate(stable, near, {"i": 5}), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)
    scale = 0.014 if f is mixture else 1.0
    for x in ([1e4, -1e4, 0, 1e4, 9e3], [-1e4, -1e4, -9.9e3, -1e4, -1e4], [1e4] * 5, [0.0, 200, -200, 1, 2]):
        far = {"x": scale * np.array(x), "w": near["w"]}
        for got in evaluate(stable, far, {"i": 5}, precision="float32"):
            assert np.isfinite(got).all(), (x, got)


def test_complements_of_the_gamma_law() -> None:
    b = Builder({}, STABILISE_RULES)
    a, x = b.input("a", "param", (), "real"), b.input("x", "param", (), "real")
    low = b.map(("sub", num(1), ("gammainc", slot(0), slot(1))), [a, x])
    high = b.map(("sub", ("gammaincc", slot(0), slot(1)), num(1)), [a, x])
    assert low.attrs[0].tree == ("gammaincc", slot(0), slot(1))
    assert high.attrs[0].tree == ("neg", ("gammainc", slot(0), slot(1)))
    got = evaluate([low, high], {"a": 3.0, "x": 80.0})
    np.testing.assert_allclose(got, [special.gammaincc(3.0, 80.0), -special.gammainc(3.0, 80.0)], rtol=1e-12)


def test_both_tails_of_a_sum_of_normal_laws() -> None:
    """log(ndtr(a) + ndtr(b)) stays finite where both underflow in float32, as does its gradient."""
    b = Builder({"i": None}, STABILISE_RULES)
    x = b.input("x", "param", (I,), "real")
    y = b.map(("log", ("add", ("ndtr", A), ("ndtr", ("mul", num(2), A)))), [x])
    roots = [y, *gradients(b, total(b, y), [x])]
    value, slope = evaluate(roots, {"x": np.array([-100.0, -40.0, 5.0])}, precision="float32")
    np.testing.assert_allclose(value[:2], special.log_ndtr([-100.0, -40.0]), rtol=1e-5)
    np.testing.assert_allclose(slope[:2], [100.01, 40.025], rtol=1e-4)


def test_weights_may_be_zero_or_negative() -> None:
    b = Builder({"i": 3}, STABILISE_RULES)
    x, w = b.input("x", "param", (I,), "real"), b.input("w", "data", (I,), "real")
    y = weighted(b, x, w)
    roots = [y, *gradients(b, y, [x])]
    given = {"x": np.array([1e4, 100.0, 100.0]), "w": np.array([0.0, 2.0, -1.0])}
    value, slope = evaluate(roots, given, {"i": 3}, precision="float32")
    np.testing.assert_allclose(value, 100.0)
    np.testing.assert_allclose(slope, [0.0, 2.0, -1.0])


def test_xlogy_is_zero_at_zero() -> None:
    b = Builder({}, STABILISE_RULES)
    x = b.input("x", "param", (), "real")
    y = b.map(("mul", ("log", A), num(2), A), [x])
    ratio = b.map(("mul", A, ("log", ("div", A, num(3)))), [x])
    assert [float(v) for v in evaluate([y, ratio], {"x": 0.0})] == [0.0, 0.0]
    np.testing.assert_allclose(evaluate([y], {"x": 0.3})[0], 2 * special.xlogy(0.3, 0.3))


def test_norm_of_zero_has_gradient_zero() -> None:
    b = Builder({"i": 3}, STABILISE_RULES)
    x = b.input("x", "param", (I,), "real")
    norm = b.map(("sqrt", A), [b.reduce("sum", b.map(("pow", A, num(2)), [x]), ["i"])])
    roots = [norm, *gradients(b, norm, [x])]
    assert [v.tolist() for v in evaluate(roots, {"x": np.zeros(3)}, {"i": 3})] == [0.0, [0.0, 0.0, 0.0]]
    np.testing.assert_allclose(evaluate(roots, {"x": [3.0, 0.0, 4.0]}, {"i": 3})[1], [0.6, 0, 0.8])


def test_a_broadcast_exponential_stays_a_factor() -> None:
    """exp(A[n, i])*exp(v[i]) is a matrix-vector product when summed: one exponential of both would cost n*i more."""
    b = Builder({"i": 3, "n": 4}, STABILISE_RULES)
    K, v = exp(b, b.input("K", "data", (N, I), "real")), exp(b, b.input("v", "param", (I,), "real"))
    product = b.map(("mul", slot(0), slot(1)), [K, v])
    assert product.inputs == (K, v)


@pytest.mark.parametrize("seed", range(10))
def test_equal_values(seed: int) -> None:
    g = random_graph(seed)
    assert_equal(g, stabilise.run(g), arguments(seed))
