"""Maps that alone read a choice stand in both of its ways; what more than one reads stays outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import kernels
from benchmarks.kernels.kernel import case
from tests.emit.harness import load
from tests.passes.support import assert_equal, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Either, Kind, Node
from vspec.compiler.passes.within import moved

N, M = Axis("n", "n"), Axis("m", "n")
DIMS = {"n": 4}


def given(b: Builder) -> dict[str, Node]:
    return {
        "D": b.input("D", "data", (N, M), "real"),
        "w": b.input("w", "param", (N,), "real"),
        "c": b.input("c", "param", (), "real"),
    }


def choice(b: Builder, D: Node, c: Node) -> Node:
    """D squared if c is positive, else the absolute value of D."""
    x = b.input("D", "captured", D.axes, "real")
    ways = (b.map(("pow", slot(0), num(2)), [x]), b.map(("abs", slot(0)), [x]))
    fine = b.map(("gt", slot(0), num(0)), [c], "boolean")
    return b.item(b.region("either", Either("far", (x,), ways), [fine, D]), 0, D.axes, "real")


def values(c: float) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {"D": rng.normal(size=(4, 4)), "w": rng.normal(size=4), "c": np.asarray(c)}


def readers(graph: Graph) -> list[Node]:
    """The maps that read what a choice gives."""
    below = {n.uid for n in graph.nodes if n.kind is Kind.ITEM}
    for n in graph.nodes:
        if n.kind is Kind.REINDEX and n.inputs[0].uid in below:
            below.add(n.uid)
    return [n for n in graph.nodes if n.kind is Kind.MAP and any(x.uid in below for x in n.inputs)]


@pytest.mark.parametrize("c", [0.5, -0.5])
@pytest.mark.parametrize("turned", [False, True])
def test_a_chain_of_maps_is_made_in_both_ways(c: float, turned: bool) -> None:
    b = Builder(DIMS)
    p = given(b)
    far = choice(b, p["D"], p["c"])
    if turned:
        far = b.rename(far, {"n": "m", "m": "n"})
    near = b.map(("exp", ("neg", ("mul", slot(0), slot(1)))), [far, p["w"]])
    more = b.map(("mul", slot(0), ("add", slot(1), slot(2))), [near, p["c"], b.delta(N, M)])
    graph = graph_of(b, p, [b.reduce("sum", more, ["m"])], dims=DIMS)
    after = moved(graph)
    assert readers(graph)
    assert not readers(after)
    # A delta is made in the way: no array of it is kept for it.
    (region,) = (n for n in after.nodes if n.kind is Kind.REGION)
    assert not any(x.kind is Kind.INDEX for x in region.inputs)
    assert_equal(graph, after, values(c))


@pytest.mark.parametrize("c", [0.5, -0.5])
def test_what_two_read_and_what_is_larger_stay_outside(c: float) -> None:
    b = Builder(DIMS)
    p = given(b)
    far = choice(b, p["D"], p["c"])
    two = [b.map(("exp", slot(0)), [far]), b.map(("tanh", slot(0)), [far])]
    other = choice(b, p["w"], p["c"])
    wide = b.map(("mul", slot(0), slot(1)), [other, p["D"]])
    graph = graph_of(b, p, [b.reduce("sum", x, ["m"]) for x in (*two, wide)], dims=DIMS)
    after = moved(graph)
    assert len(readers(after)) == 3
    assert_equal(graph, after, values(c))


def test_no_array_of_distances_is_left_beside_the_weights_of_particles(tmp_path: Path) -> None:
    kernel = kernels.ALL["svgd"]
    one = case(kernel, {"n": 140, "i": 8, "r": 20}, peers=False)
    (region,) = (n for n in one.compiled.graph.nodes if n.kind is Kind.REGION and n.op == "either")
    assert not readers(one.compiled.graph)
    assert all("exp" in repr(w.attrs[0].tree) for w in region.attrs[0].body)
    program = load(one.compiled.emitted, tmp_path)
    for near in (True, False):
        Z, X, y = one.sides["ours"].arguments[:3]
        Z = Z if near else 100 * Z
        got = program.outputs(Z, X, y, jnp.float32(0.1), jnp.float32(2.0))["moved"]
        want = kernel.idiomatic(Z=Z, X=X, y=y, rate=0.1, width=2.0)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * float(jnp.max(jnp.abs(want))))
