"""Exponents of logarithms of sums are multiplied by the reciprocal of the number that divides them; values stay the same."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from tests.language.helpers import good
from tests.passes.support import I, N, assert_equal, graph_of, inputs
from tests.support.program import Emission
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, slot, slots, walk
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.passes import reciprocal


def quotients(graph: Graph) -> list[Tree]:
    """The quotients of an array with several axes and a number, in what logarithms of sums read."""
    read = [n.inputs[0] for n in all_nodes(graph) if n.kind is Kind.REDUCE and n.op == "logsumexp"]
    trees = [(x, t) for x in read if x.kind is Kind.MAP for t in walk(x.attrs[0].tree) if t[0] == "div"]
    return [t for x, t in trees if [any(x.inputs[k].axes for k in slots(part)) for part in t[1:]] == [True, False]]


def shares(b: Builder, x: Node) -> list[Node]:
    """The logarithm of a sum and the shares of its terms."""
    total = b.reduce("logsumexp", x, ["i"])
    return [total, b.map(("exp", ("sub", slot(0), slot(1))), [x, total])]


def test_exponents_are_multiplied() -> None:
    """Divided as a whole or in part, by a number or by an expression of numbers; shares read the same exponents."""
    b = Builder({"n": 4, "i": 3, "k": 2})
    given = inputs(b)
    forms: list[Tree] = [
        ("div", ("sub", slot(0), slot(1)), slot(2)),
        ("add", ("div", slot(1), ("mul", slot(2), slot(2))), slot(0)),
        ("div", ("div", slot(1), slot(2)), ("exp", slot(3))),
    ]
    sources = [given[k] for k in ("y", "X", "lam", "c")]
    graph = graph_of(b, given, *(shares(b, b.order(b.map(f, sources), (N, I))) for f in forms))
    assert len(quotients(graph)) == 4
    after = reciprocal.run(graph)
    assert not quotients(after)
    assert_equal(graph, after)


def test_other_quotients_are_left() -> None:
    """By an array, of a number, and where no logarithm of a sum reads them."""
    b = Builder({"n": 4, "i": 3, "k": 2})
    given = inputs(b)
    X, w, lam = given["X"], given["w"], given["lam"]
    by_array = b.map(("div", slot(0), slot(1)), [X, b.map(("exp", slot(0)), [w])])
    of_number = b.map(("add", slot(0), ("div", slot(1), slot(2))), [X, given["c"], lam])
    graph = graph_of(
        b, given, *(shares(b, x) for x in (by_array, of_number)), [b.map(("div", slot(0), slot(1)), [X, lam])]
    )
    after = reciprocal.run(graph)
    assert {n.uid for n in after.nodes} == {n.uid for n in graph.nodes}


def test_bodies_of_loops_and_programs(tmp_path: Path) -> None:
    """The steps of a recurrence; both levels agree, and no division of an array is left in the program."""
    spec = good(
        "precision: float64\ndims: {n: 5, m: 6, t: 4}\nconstants: {eps: 0.2}\ndata:\n  C[n, m]: real\n"
        "params:\n  start[n]: {init: 0}\ndefine:\n  f[0, n]: start[n]\n"
        "  f[t + 1, n]: -eps*logsumexp[m]((f[t, n] - C[n, m])/eps)/2\n"
        "objectives:\n  o: sum[n](f[-1, n]**2)\nsolve: {minimize: o}\n"
    )
    rng = np.random.default_rng(0)
    v = {"C": rng.normal(size=(5, 6)), "start": rng.normal(size=5), "eps": 0.2}
    with jax.enable_x64(True):
        plain, fast = (Emission(spec, level, tmp_path / f"p{level}.py") for level in (0, 2))
        want, got = (e.call("o_value_and_gradient", v) for e in (plain, fast))
    for x, y in zip(want, got, strict=True):
        np.testing.assert_allclose(y, x, rtol=1e-10)
    assert not quotients(fast.compiled.graph)
    assert "(f_t[:, None] - C) * (1 / eps)" in fast.compiled.emitted.text
