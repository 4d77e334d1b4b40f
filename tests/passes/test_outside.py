"""What terms of a sum have in common stands outside of the sum, and a sum of one loop is not taken apart into several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.passes.support import assert_equal, graph_of
from vspec.compiler import pipeline
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import graph_cost
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot, walk
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.passes import contract
from vspec.compiler.passes.outside import outside

W, E = Axis("w", "w"), Axis("e", "e")
X, Y, Z, V = slot(0), slot(1), slot(2), slot(3)
DIFFERENCE = ("exp", ("sub", X, Y))


def multiplications(x: Node) -> int:
    """How often a kernel multiplies two numbers."""
    return sum(len(t) - 2 for t in walk(x.attrs[0].tree) if t[0] == "mul")


def inputs(b: Builder, *names: str) -> list[Node]:
    """Params along w."""
    return [b.input(n, "param", (W,), "real") for n in names]


def taken(b: Builder, node: Node, shared: frozenset[int] = frozenset()) -> Node | None:
    """The node with common factors outside; `shared` are nodes with several readers."""
    return outside(b, node, lambda x: x.uid not in shared, lambda _: False)


def graphs(make: Any) -> tuple[Graph, Graph, Node, Node]:
    """A graph of one map, the same with factors outside, and the two maps."""
    b = Builder({"w": 6})
    given = inputs(b, "x", "y", "z", "v")
    node = make(b, *given)
    found = taken(b, node)
    assert found is not None
    known = dict(zip("xyzv", given, strict=True))
    return graph_of(b, known, [node], dims=b.dims), graph_of(b, known, [found], dims=b.dims), node, found


SUMS = {
    # An exponential that each term multiplies.
    "kernel": lambda b, x, y, z, v: b.map(("add", ("mul", DIFFERENCE, Z), ("mul", DIFFERENCE, V)), [x, y, z, v]),
    # Some terms only.
    "some": lambda b, x, y, z, v: b.map(
        ("sub", ("add", ("mul", Z, DIFFERENCE), X), ("mul", V, DIFFERENCE)), [x, y, z, v]
    ),
    # Products that are operands.
    "operands": lambda b, x, y, z, v: b.map(
        ("sub", X, Y), [b.map(("mul", X, Y), [x, y]), b.map(("mul", X, Y), [z, x])]
    ),
    # One of them below a number and a sign, in the middle of a kernel.
    "inside": lambda b, x, y, z, v: b.map(
        ("sin", ("add", ("neg", ("mul", num(3), X)), ("mul", Y, Z))), [b.map(("mul", X, Y), [x, v]), x, z]
    ),
    # Operands of operands.
    "deep": lambda b, x, y, z, v: b.map(
        ("add", X, ("mul", Y, Z)),
        [b.map(("mul", X, Y), [b.map(DIFFERENCE, [x, y]), b.map(("mul", X, X), [z])]), b.map(DIFFERENCE, [x, y]), v],
    ),
}


@pytest.mark.parametrize("name", SUMS)
def test_the_value_stays_and_no_work_is_added(name: str) -> None:
    before, after, node, found = graphs(SUMS[name])
    rng = np.random.default_rng(0)
    assert_equal(before, after, {n: rng.normal(size=6) for n in "xyzv"})
    assert graph_cost(after).flops < graph_cost(before).flops
    assert found.kind is Kind.MAP
    exponentials = [sum(t[0] == "exp" for t in walk(x.attrs[0].tree)) for x in (node, found)]
    assert exponentials[1] <= 1


def test_operands_that_are_read_elsewhere_stay_closed() -> None:
    b = Builder({"w": 6})
    x, y, z = inputs(b, "x", "y", "z")
    one, other = (b.map(("mul", ("exp", X), Y), [x, n]) for n in (y, z))
    node = b.map(("add", X, Y), [one, other])
    found = taken(b, node)
    assert found is not None
    assert multiplications(found) == 1
    assert taken(b, node, frozenset({one.uid, other.uid})) is None


def test_plain_terms_stay_as_they_are_written() -> None:
    b = Builder({"w": 6})
    x, y, z = inputs(b, "x", "y", "z")
    assert taken(b, b.map(("add", ("mul", X, Y), ("mul", X, Z)), [x, y, z])) is None
    assert taken(b, b.map(("add", X, Y), [x, y])) is None


def test_what_is_made_once_per_run_stays_so() -> None:
    b = Builder({"w": 6})
    x, y, z = inputs(b, "x", "y", "z")
    one, other = (b.map(("mul", ("exp", X), Y), [x, n]) for n in (y, z))
    node = b.map(("add", X, Y), [one, other])
    assert outside(b, node, lambda _: True, lambda n: n is one) is None


def test_a_weight_is_outside_of_sums_that_one_loop_takes() -> None:
    """sum[e](w*a + w*b) is w*sum[e](a + b): one sum, and one product with w."""
    b = Builder({"w": 40, "e": 30})
    w, v = b.input("w", "param", (W,), "real"), b.input("v", "param", (W,), "real")
    x = b.input("x", "param", (W, E), "real")
    weight = b.map(DIFFERENCE, [w, v])
    parts = [b.map(("mul", X, (f, Y)), [weight, x]) for f in ("sin", "cosh")]
    total = b.reduce("sum", b.map(("add", X, Y), parts), ["e"])
    graph = graph_of(b, {"w": w, "v": v, "x": x}, [total], dims=b.dims)
    after = contract.run(graph)
    rng = np.random.default_rng(1)
    assert_equal(graph, after, {"w": rng.normal(size=40), "v": rng.normal(size=40), "x": rng.normal(size=(40, 30))})
    sums = [n for n in all_nodes(after) if n.kind in (Kind.REDUCE, Kind.CONTRACT)]
    assert len(sums) == 1
    exponentials = [n for n in all_nodes(after) if n.kind is Kind.MAP and "'exp'" in repr(n.attrs[0].tree)]
    assert all(n.names == ("w",) for n in exponentials)


def weighted_mean(b: Builder) -> tuple[dict[str, Node], Node]:
    """The sum of weights times terms with the axis of the weights, one of which is a sum over another axis."""
    given = {n: b.input(n, "param", (W,), "real") for n in "wvpq"}
    x = b.input("x", "param", (W, E), "real")
    weight = b.map(DIFFERENCE, [given["w"], given["v"]])
    rows = b.reduce("sum", b.map(("div", num(1), X), [x]), ["e"])
    rest = ("add", X, ("mul", X, Y), ("mul", Y, Y), ("mul", X, X, Y), ("mul", X, Y, Y), ("sin", X))
    terms = ("sub", ("sub", ("div", num(1), Y), ("mul", num(0.5), rest)), ("mul", num(2), Z))
    local = b.map(terms, [given["p"], given["q"], rows])
    return given | {"x": x}, b.reduce("sum", b.map(("mul", X, Y), [weight, local]), ["w"])


def test_a_sum_that_one_loop_takes_is_not_taken_term_by_term(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder({"w": 4000, "e": 2})
    given, total = weighted_mean(b)
    graph = graph_of(b, given, [total], dims=b.dims)

    def sums(graph: Graph) -> int:
        return sum(n.kind in (Kind.REDUCE, Kind.CONTRACT) and "w" not in n.names for n in all_nodes(graph))

    after = contract.run(graph)
    rng = np.random.default_rng(2)
    arrays = {n: rng.uniform(0.5, 1, size=(4000, 2) if n == "x" else 4000) for n in given}
    assert_equal(graph, after, arrays)
    assert sums(after) == 1
    monkeypatch.setattr(contract, "_alike", lambda plain, way: False)
    assert sums(contract.run(graph)) > 1


CHAINS = """\
vspec: 1
name: chains
precision: float64
dims: {w: 50, e: 3}
params:
  a: {init: 1.0}
random:
  r[w, e]:
    law: unnormalized(-a*sum[e](r[w, e]**2))
    sampler: metropolis(step=0.5, burn=2, thin=1)
    init: normal(0, 1)
objectives:
  energy: E[r](mean[w](sum[e](cos(r[w, e])) + a*sum[e](r[w, e]**4) - sum[e](exp(-r[w, e]**2))))
solve: {minimize: energy, method: adam(lr=0.01), steps: 2}
"""


def test_the_score_of_chains_weighs_the_sum_of_all_terms() -> None:
    spec, diagnostics = pipeline.check_text(CHAINS, "chains.yaml")
    assert spec is not None, diagnostics
    graph = pipeline.compile_spec(spec).graph
    (entry,) = [e for e in graph.entries if e.name == "energy"]
    (root,) = [r.node for r in entry.results]
    seen: dict[int, Node] = {}
    stack = [root]
    while stack:
        n = stack.pop()
        if n.uid not in seen:
            seen[n.uid] = n
            stack += n.inputs
    # The weight exp(l - stop(l)) of the score meets the sum of the three terms once.
    weighed = [n for n in seen.values() if n.kind is Kind.MAP and n.names == ("w",) and multiplications(n)]
    weighed = [n for n in weighed if "'exp'" in repr(n.attrs[0].tree)]
    assert len(weighed) == 1
    assert repr(weighed[0].attrs[0].tree).count("'exp'") == 1
