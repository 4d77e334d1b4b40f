"""A sum of an array times a product is made of a product that is there; values stay the same."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.passes.support import assert_equal, graph_of
from tests.support.evaluate import evaluate_graph
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes import dead, intern, share
from vspec.compiler.passes.regrouped import regrouped

DIMS: dict[str, Any] = {"n": 40, "a": 5, "b": 4, "i": 2}
N, A, B, I = (Axis(n, n) for n in "nabi")


def given(b: Builder) -> dict[str, Node]:
    """Rows of two layers, the weights between them, and rows with one more axis."""
    arrays = {"x": (N, A), "y": (N, B), "V": (A, B), "z": (N, I, B)}
    return {name: b.input(name, "param", axes, "real") for name, axes in arrays.items()}


def values(dims: dict[str, int]) -> dict[str, Any]:
    """Random values of these."""
    rng = np.random.default_rng(0)
    return {
        k: rng.normal(size=[dims[n] for n in names])
        for k, names in {"x": "na", "y": "nb", "V": "ab", "z": "nib"}.items()
    }


def large(g: Graph) -> int:
    """How many sums read an array of rows and units of the first layer beside another one."""
    sums = [n for n in g.nodes if n.kind is Kind.CONTRACT or (n.kind is Kind.REDUCE and n.op == "sum")]
    return sum({"n", "a"} <= {*x.names} for n in sums for x in n.inputs)


def weighted(b: Builder, x: dict[str, Node], value: float) -> Node:
    """The sum over rows of `value` times x times the product of y with the weights."""
    back = b.contract([x["y"], x["V"]], (N, A))
    return b.reduce("sum", b.map(("mul", num(value), slot(0), slot(1)), [x["x"], back]), ["n"])


@pytest.mark.parametrize("value", [1, -0.5])
@pytest.mark.parametrize("turned", [False, True])
def test_a_sum_is_made_of_the_product_that_is_there(value: float, turned: bool) -> None:
    b = Builder(DIMS)
    x = given(b)
    whole = b.contract([x["y"], x["x"]] if turned else [x["x"], x["y"]], (B, A) if turned else (A, B))
    g = intern.run(graph_of(b, x, [weighted(b, x, value), whole], dims=DIMS))
    after = dead.run(intern.run(regrouped(g)))
    assert_equal(g, after, values(DIMS))
    # Only the product is left.
    assert (large(g), large(after)) == (2, 1)
    assert sum(n.kind is Kind.CONTRACT for n in after.nodes) == 1


def test_a_contraction_with_one_more_axis() -> None:
    b = Builder(DIMS)
    x = given(b)
    back = b.contract([x["z"], x["V"]], (N, I, A))
    short = b.contract([back, x["x"]], (I, A))
    whole = b.contract([x["x"], x["z"]], (A, I, B))
    g = intern.run(graph_of(b, x, [short, whole], dims=DIMS))
    after = dead.run(intern.run(regrouped(g)))
    assert_equal(g, after, values(DIMS))
    assert (large(g), large(after)) == (3, 1)


def test_few_rows_are_summed_as_they_are() -> None:
    dims = {"n": 2, "a": 30, "b": 20, "i": 2}
    b = Builder(dims)
    x = given(b)
    g = intern.run(graph_of(b, x, [weighted(b, x, 1), b.contract([x["x"], x["y"]], (A, B))], dims=dims))
    assert regrouped(g) is g


def test_entries_that_need_the_sum_alone_keep_it() -> None:
    b = Builder(DIMS)
    x = given(b)
    sums = weighted(b, x, 1)
    g = intern.run(graph_of(b, x, [sums, b.contract([x["x"], x["y"]], (A, B))], [sums], dims=DIMS))
    assert regrouped(g) is g


def test_a_product_over_other_axes_is_another_one() -> None:
    b = Builder(DIMS)
    x = given(b)
    # Of each row by itself.
    g = intern.run(graph_of(b, x, [weighted(b, x, 1), b.contract([x["x"], x["y"]], (N, A, B))], dims=DIMS))
    assert regrouped(g) is g


def test_weights_of_the_rows_are_not_summed_before() -> None:
    b = Builder(DIMS)
    x = given(b)
    weights = b.input("W", "param", (N, A, B), "real")
    back = b.contract([x["y"], weights], (N, A))
    sums = b.reduce("sum", b.mul([x["x"], back]), ["n"])
    g = intern.run(graph_of(b, {**x, "W": weights}, [sums, b.contract([x["x"], x["y"]], (A, B))], dims=DIMS))
    assert regrouped(g) is g


def test_gradients_by_both_layers_agree_with_jax_in_the_whole_pass() -> None:
    b = Builder(DIMS)
    x = given(b)
    g = intern.run(graph_of(b, x, [weighted(b, x, 2), b.contract([x["x"], x["y"]], (A, B))], dims=DIMS))
    after, args = share.run(g), values(DIMS)

    def loss(c: Any, V: Any) -> Any:
        return jnp.sum(2 * c * jnp.asarray(args["x"]) * (jnp.asarray(args["y"]) @ V.T)) / 2

    by_scale, by_weights = jax.grad(loss, (0, 1))(jnp.ones(5), jnp.asarray(args["V"]))
    got = evaluate_graph(after, args)["e0"]
    np.testing.assert_allclose(got["0",], 2 * by_scale, rtol=1e-9)
    np.testing.assert_allclose(got["1",], by_weights, rtol=1e-9)
