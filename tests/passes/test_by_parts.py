"""Sums of products with joined arrays are taken part by part where that costs much less."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import load
from tests.language.helpers import good
from tests.passes.support import assert_equal, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.concat import stack
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.passes import contract, intern
from vspec.compiler.pipeline import compile_spec

N, K, I, H, G = Axis("n", "n"), Axis("k", "k"), Axis("i", "i"), Axis("h", "h"), Axis("g", "h")
P, Q = Axis("p", "p"), Axis("q", "p")
SIZES = {"n": 40, "k": 5, "i": 6, "h": 7, "p": 6 * 7 + 7}

SPEC = """precision: float64
dims:
  n: 30
  i: 6
  h: 7
  k: 5
  p, q: auto
data:
  X[n, i]: real
params:
  U[i, h]: {init: 0}
  W[h, k]: {init: 0}
define:
  logp[n, k]: log_softmax[k](sum[h](tanh(sum[i](X[n, i]*U[i, h]))*W[h, k]))
  theta[p]: stack(U[:, :], W[:, :])
outputs:
  information[p, q]: mean[n](sum[k](exp(logp[n, k])*d(logp[n, k], theta[p])*d(logp[n, k], theta[q])))
"""


def given(b: Builder) -> dict[str, Node]:
    return {
        "X": b.input("X", "param", (N, I), "real"),
        "Y": b.input("Y", "param", (N, H), "real"),
        "Z": b.input("Z", "param", (N, K, H), "real"),
        "w": b.input("w", "param", (N, K), "real"),
    }


def values(seed: int = 0) -> dict[str, np.ndarray]:
    rng, s = np.random.default_rng(seed), SIZES
    shapes = {"X": "ni", "Y": "nh", "Z": "nkh", "w": "nk"}
    return {name: rng.normal(size=[s[a] for a in axes]) for name, axes in shapes.items()}


def times(b: Builder, *xs: Node) -> Node:
    return b.mul(list(xs))


def rows(b: Builder, p: dict[str, Node], axis: Axis = P) -> Node:
    """Joined of X[n, i] Z[n, k, h] - X[n, i] Y[n, h] and of Z[n, k, h]."""
    first = b.map(("sub", slot(0), slot(1)), [times(b, p["X"], p["Z"]), times(b, p["X"], p["Y"])], "real")
    return stack(b, [first, p["Z"]], [(I, H), (H,)], axis)


def gram(b: Builder, one: Node, other: Node, *more: Node) -> Node:
    return b.reduce("sum", b.mul([one, other, *more]), ["n", "k"])


def products(graph: Graph) -> float:
    """The multiplications of all products of arrays."""
    sizes = Sizes.of(graph)
    nodes = [n for n in graph.nodes if n.kind is Kind.CONTRACT]
    return sum(sizes.count({a.name: a for x in n.inputs for a in x.axes}.values()) for n in nodes)


def joined_over_rows(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if n.kind is Kind.CONCAT and any(a.dim == "n" for a in n.axes)]


def both(make: object) -> tuple[Graph, Graph]:
    b = Builder(SIZES)
    p = given(b)
    before = graph_of(b, p, [make(b, p)], dims=b.dims)  # type: ignore[operator]
    return before, contract.run(intern.run(before))


def test_a_square_of_joined_rows_is_made_of_its_blocks() -> None:
    def make(b: Builder, p: dict[str, Node]) -> Node:
        J = rows(b, p)
        return gram(b, J, b.rename(J, {"p": "q"}), p["w"])

    before, after = both(make)
    assert_equal(before, after, values())
    assert joined_over_rows(before)
    assert not joined_over_rows(after)
    whole = SIZES["n"] * SIZES["k"] * SIZES["p"] ** 2
    assert products(after) < whole / 2
    (row,) = choices_of(after)
    assert (row.kind, row.chosen) == ("reduction", "part by part")
    costs = {way.name: way.flops for way in row.among}
    assert costs["part by part"] < costs["at once"] / 2


def test_one_of_two_equal_blocks_is_made() -> None:
    """Without a weight in which the two sides differ, the block of the first part by the second one is that of the second by the
    first, turned."""

    def square(b: Builder, p: dict[str, Node]) -> Node:
        J = rows(b, p)
        return gram(b, J, b.rename(J, {"p": "q"}))

    def other(b: Builder, p: dict[str, Node]) -> Node:
        J = rows(b, p)
        twice = b.map(("mul", slot(0), num(2.0)), [p["Z"]], "real")
        second = stack(b, [times(b, p["X"], p["Z"]), twice], [(I, H), (H,)], Q)
        return gram(b, J, second)

    (before, equal), (unlike_before, unlike) = both(square), both(other)
    assert_equal(before, equal, values(1))
    assert_equal(unlike_before, unlike, values(1))
    assert len([n for n in equal.nodes if n.kind is Kind.CONTRACT]) < len(
        [n for n in unlike.nodes if n.kind is Kind.CONTRACT]
    )


def test_a_joined_factor_beside_others() -> None:
    def make(b: Builder, p: dict[str, Node]) -> Node:
        return gram(b, rows(b, p), b.rename(p["Z"], {"h": "g"}), p["X"], p["w"])

    before, after = both(make)
    assert_equal(before, after, values(2))


def test_what_gains_nothing_stays_one_product() -> None:
    def make(b: Builder, p: dict[str, Node]) -> Node:
        J = stack(b, [p["X"], p["Y"]], [(I,), (H,)], Axis("p", "_i_h"))
        return b.reduce("sum", b.mul([J, b.rename(J, {"p": "q"})]), ["n"])

    b = Builder(SIZES | {"_i_h": 13})
    p = given(b)
    before = graph_of(b, p, [make(b, p)], dims=b.dims)
    after = contract.run(intern.run(before))
    assert_equal(before, after, values(3))
    assert len([n for n in after.nodes if n.kind is Kind.CONTRACT]) == 1
    assert joined_over_rows(after)
    assert not choices_of(after)


def test_a_joined_axis_that_is_summed_or_shared_stays() -> None:
    def summed(b: Builder, p: dict[str, Node]) -> Node:
        J = rows(b, p)
        return b.reduce("sum", b.mul([J, J, p["w"]]), ["k", "p"])

    def shared(b: Builder, p: dict[str, Node]) -> Node:
        J = rows(b, p)
        return gram(b, J, J)

    for make in (summed, shared):
        before, after = both(make)
        assert_equal(before, after, values(4))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_information_of_a_network(tmp_path: Path, level: int) -> None:
    compiled = compile_spec(good(SPEC), level=level)
    module = load(compiled.emitted, tmp_path)
    rng = np.random.default_rng(0)
    X, U, W = (jnp.asarray(rng.normal(size=s)) for s in ((30, 6), (6, 7), (7, 5)))

    def logp(theta: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(jnp.tanh(X @ theta[:42].reshape(6, 7)) @ theta[42:].reshape(7, 5))

    theta = jnp.concatenate([U.ravel(), W.ravel()])
    J = jax.jacobian(logp)(theta)
    want = jnp.einsum("nk,nkp,nkq->pq", jnp.exp(logp(theta)), J, J) / 30
    entry = next(e for e in compiled.emitted.entries if e.name == "outputs")
    known = {"X": X, "U": U, "W": W}
    prepared = [a.name for a in entry.arguments if a.role == "prepared"]
    if prepared:
        known |= module.prepare(X)
    found = module.outputs(*(known[a.name] for a in entry.arguments))["information"]
    np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-12)
    if level == 2:
        assert not joined_over_rows(compiled.graph)
