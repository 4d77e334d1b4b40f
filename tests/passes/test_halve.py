"""Pairs of elements of one dim are taken once where sums need them in one order only; values stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.passes.support import assert_equal, count, graph_of
from tests.support.evaluate import evaluate_graph
from vspec.compiler import pipeline
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.orders import over_pairs
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.passes import halve, intern, turned
from vspec.compiler.passes.exchange import Exchange, signed

E, F, I = Axis("e", "e"), Axis("f", "e"), Axis("i", "i")
SUB, POW = ("sub", slot(0), slot(1)), ("pow", ("sub", slot(0), slot(1)), num(2))

HEAD = """\
vspec: 1
name: points
precision: float64
dims: {n: 40, e, f: 5, i: 3}
constants: {a: 0.7}
data:
  Y[n, e, i]: {draw: "normal(0, 1)", seed: 1}
params:
  X[n, e, i]: {init: 0}
functions:
  near(x[:], y[:]): sum[i]((x[i] - y[i])**2)
  gap(x[:], y[:]): sqrt(sum[i]((x[i] - y[i])**2))
  law(x[:], y[:]): log(1 + exp(-a*near(x[:], y[:]))*cos(near(x[:], y[:]))**2)
  pairs(r[:, :]): sum[e, f](exp(-a*gap(r[e, :], r[f, :])) if index(e) < index(f) else 0)
"""

# Formulas of an energy by the places X[n, e, i]; whether no array over all pairs is left.
ENERGIES = {
    "lower": ("sum[n, e, f](1/gap(X[n, e, :], X[n, f, :]) if index(e) < index(f) else 0)", True),
    "higher": ("sum[n, e, f](exp(-a*gap(X[n, e, :], X[n, f, :])) if index(e) > index(f) else 0)", True),
    "either": ("sum[n, e, f](law(X[n, e, :], X[n, f, :]) if index(e) != index(f) else 0)", True),
    "delta": ("sum[n, e, f](law(X[n, e, :], X[n, f, :])*(1 - delta[e, f]))", True),
    "diagonal": ("sum[n, e, f](law(X[n, e, :], X[n, f, :]))", True),
    "weighted": ("sum[n, e, f](X[n, e, 0]*X[n, f, 0]*law(X[n, e, :], X[n, f, :]))", True),
    "ordered": ("sum[n, e, f](exp(sin(X[n, e, 0]) - a*tanh(X[n, f, 1])) if index(e) < index(f) else 0)", True),
    "inner": ("sum[n, e](sum[f](law(X[n, e, :], X[n, f, :]) if index(e) <= index(f) else 0)**2)", True),
    "uneven": ("sum[n, e, f](exp(sin(X[n, e, 0]) - a*tanh(X[n, f, 1])))", False),
}

SECOND = "sum[n, e, i](d(pairs(X[n, :, :]), X[n, e, i], X[n, e, i]))"


def compiled(energy: str, level: int = 2, without: tuple[str, ...] = ()) -> Graph:
    """The graph of a spec that makes an energy least."""
    text = f"{HEAD}objectives:\n  energy: {energy}\nsolve: {{minimize: energy, method: sgd(lr=0.1), steps: 2}}\n"
    spec, diagnostics = pipeline.check_text(text, "points.yaml")
    assert spec is not None, diagnostics
    return pipeline.compile_spec(spec, level=level, disable=without).graph


def arguments() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"X": rng.normal(size=(40, 5, 3)), "Y": rng.normal(size=(40, 5, 3)), "a": 0.7}


def assert_same(graph: Graph, other: Graph) -> None:
    """Both graphs give the same value and gradient."""
    want, got = evaluate_graph(other, arguments()), evaluate_graph(graph, arguments())
    compared = 0
    for name, results in want.items():
        if name in ("prepare", "initial"):
            continue
        for path, array in results.items():
            np.testing.assert_allclose(got[name][path], array, rtol=1e-9, atol=1e-9, err_msg=f"{name} {path}")
            compared += 1
    assert compared >= 2


def whole(graph: Graph) -> list[Node]:
    """What is computed over all pairs of points."""
    return [n for n in all_nodes(graph) if [a.dim for a in n.axes].count("e") > 1]


def halves(graph: Graph) -> list[Node]:
    """What is computed over pairs that are taken once."""
    return [n for n in all_nodes(graph) if over_pairs(n.axes)]


@pytest.mark.parametrize("name", ENERGIES)
def test_values_and_gradients_stay_the_same(name: str) -> None:
    energy, packs = ENERGIES[name]
    with_it, without = compiled(energy), compiled(energy, without=("halve",))
    assert_same(with_it, compiled(energy, level=0))
    assert whole(without)
    assert bool(halves(with_it)) is packs
    if packs:
        assert not whole(with_it), whole(with_it)
        assert any(c.chosen == "once" for c in choices_of(with_it))


def test_second_derivatives_stay_the_same() -> None:
    graph = compiled(SECOND)
    assert_same(graph, compiled(SECOND, level=0))
    assert halves(graph)
    assert not whole(graph)


def test_each_pair_is_computed_once() -> None:
    energy, _ = ENERGIES["either"]
    graph = compiled(energy)
    logarithms = [n for n in halves(graph) if n.kind is Kind.MAP and "log1p" in repr(n.attrs[0].tree)]
    assert len(logarithms) == 1
    assert all(graph.dims[a.dim] == 10 for n in halves(graph) for a in n.axes if over_pairs([a]))


def test_sums_over_either_axis_of_an_even_array_are_one() -> None:
    b = Builder({"e": 200, "i": 2})
    x = b.input("x", "param", (E, I), "real")
    y = b.rename(x, {"e": "f"})
    even = b.map(("exp", ("neg", slot(0))), [b.reduce("sum", b.map(POW, [x, y]), ["i"])])
    odd = b.map(("mul", slot(0), ("sub", slot(1), slot(2))), [even, x, y])
    rows = [b.reduce("sum", even, ["f"]), b.rename(b.reduce("sum", even, ["e"]), {"f": "e"})]
    rows += [b.reduce("sum", odd, ["f"]), b.rename(b.reduce("sum", odd, ["e"]), {"f": "e"})]
    rows += [b.contract([even, y], (E, I)), b.rename(b.contract([even, x], (F, I)), {"f": "e"})]
    graph = graph_of(b, {"x": x}, rows, dims=b.dims)
    after = turned.run(intern.run(graph))
    assert_equal(graph, after, {"x": np.random.default_rng(0).normal(size=(200, 2))})
    sums = [n for n in after.nodes if n.kind in (Kind.REDUCE, Kind.CONTRACT) and "i" not in n.inputs[0].names]
    assert len(sums) == 2
    assert count(after, Kind.CONTRACT) == 1
    assert count(graph, Kind.CONTRACT) == 2


def test_what_is_read_over_all_pairs_stays_there() -> None:
    K = "exp(-near(X[n, e, :], X[n, f, :]))"
    text = f"{HEAD}outputs:\n  K[n, e, f]: {K}\n  total[n]: sum[e, f]({K})\n"
    spec, _ = pipeline.check_text(text, "points.yaml")
    assert spec is not None
    assert not halves(pipeline.compile_spec(spec).graph)


def test_cheap_terms_stay_over_all_pairs() -> None:
    energy = "sum[n, e, f](X[n, e, 0]*X[n, f, 1] if index(e) < index(f) else 0)"
    graph = compiled(energy)
    assert_same(graph, compiled(energy, level=0))


# --- parities -----------------------------------------------------------------------------------------------------------


def parity_of(make: Any) -> int | None:
    """The parity that is found for a node over e and f."""
    b = Builder({"e": 4, "i": 2})
    x = b.input("x", "param", (E, I), "real")
    node = make(b, x, b.rename(x, {"e": "f"}))
    classes = Classes()
    for n in graph_of(b, {"x": x}, [node], dims=b.dims).nodes:
        classes.add(n)
    return Exchange(classes).parity(node, "e", "f")


PARITIES = {
    "difference": (lambda b, x, y: b.map(SUB, [x, y]), -1),
    "square": (lambda b, x, y: b.map(POW, [x, y]), 1),
    "cube": (lambda b, x, y: b.map(("pow", SUB, num(3)), [x, y]), -1),
    "distance": (lambda b, x, y: b.map(("sqrt", slot(0)), [b.reduce("sum", b.map(POW, [x, y]), ["i"])]), 1),
    "product": (lambda b, x, y: b.contract([x, y], (E, F)), 1),
    "two": (lambda b, x, y: b.map(("sub", ("mul", num(2), slot(0)), ("mul", num(2), slot(1))), [x, y]), -1),
    "three": (lambda b, x, y: b.map(("sub", ("mul", num(2), slot(0)), ("mul", num(3), slot(1))), [x, y]), None),
    "sine": (lambda b, x, y: b.map(("sin", SUB), [x, y]), -1),
    "exponential": (lambda b, x, y: b.map(("exp", SUB), [x, y]), None),
    "odd times odd": (lambda b, x, y: b.map(("mul", slot(0), ("tanh", slot(0))), [b.map(SUB, [x, y])]), 1),
    "odd times even": (lambda b, x, y: b.map(("mul", SUB, ("exp", ("neg", POW))), [x, y]), -1),
    "turned": (lambda b, x, y: with_turned(b, b.map(("exp", SUB), [x, y])), 1),
    "greatest": (lambda b, x, y: b.reduce("max", b.map(SUB, [x, y]), ["i"]), None),
    "lower": (lambda b, x, y: b.map(("lt", slot(0), slot(1)), [b.index(E), b.index(F)]), None),
    "unequal": (lambda b, x, y: b.map(("ne", slot(0), slot(1)), [b.index(E), b.index(F)]), 1),
}


def with_turned(b: Builder, x: Node) -> Node:
    """x and x with its axes e and f exchanged, added up."""
    return b.add([x, b.reindex(x, tuple({"e": "f", "f": "e"}.get(n, n) for n in x.names))])


@pytest.mark.parametrize("name", PARITIES)
def test_parities(name: str) -> None:
    make, want = PARITIES[name]
    assert parity_of(make) == want


def test_a_sign_in_front_makes_the_rest_the_same() -> None:
    assert signed(SUB) == (-signed(("sub", slot(1), slot(0)))[0], signed(("sub", slot(1), slot(0)))[1])


@pytest.mark.parametrize("relation", ["lt", "eq", "gt"])
def test_where_a_choice_by_indices_is_zero(relation: str) -> None:
    b = Builder({"e": 4, "i": 2})
    x = b.input("x", "param", (E,), "real")
    below = ("where", ("lt", slot(0), slot(1)), ("mul", slot(2), slot(3)), num(0.0))
    node = b.map(below, [b.index(E), b.index(F), x, b.rename(x, {"e": "f"})], "real")
    exchange = Exchange(Classes())
    assert exchange.zero(node, "e", "f", relation) is (relation != "lt")
    turned = {"lt": "gt", "gt": "lt", "eq": "eq"}[relation]
    assert exchange.zero(node, "f", "e", turned) is (relation != "lt")


def test_graphs_without_pairs_are_left_as_they_are() -> None:
    b = Builder({"e": 4, "i": 2})
    x = b.input("x", "param", (E, I), "real")
    graph = graph_of(b, {"x": x}, [b.reduce("sum", x, ["e", "i"])], dims=b.dims)
    assert halve.run(graph) is graph
    assert count(graph, Kind.REDUCE) == 1
