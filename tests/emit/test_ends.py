"""What products sum stands at one end of the arrays that they read; values stay what they are."""

from __future__ import annotations

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import arg, axes, check, graph_of, load, map_, op, spec
from vspec.compiler import pipeline
from vspec.compiler.emit.ends import at_ends
from vspec.compiler.emit.python import emit_program
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.report.strategies import strategies

I, K, N, B = (axes(x)[0] for x in "iknb")
DIMS = {"i": 3, "k": 5, "n": 4, "b": 2}


def outer(*more: str) -> tuple[Node, list[Node]]:
    """An array over i, k and b, and products that read it: one that sums k, one that sums i and b."""
    u, v, s, y = arg("u", "i", "k"), arg("v", "k", "b"), arg("s", "n", "k"), arg("y", "n", "i", "b")
    both = map_(("mul", ("x", 0), ("x", 1)), u, v)
    forth = op(Kind.CONTRACT, "sum", [s, both], [N, I, B])
    back = op(Kind.CONTRACT, "sum", [y, both], [N, K])
    found = [forth, back]
    if "sum" in more:
        found.append(op(Kind.REDUCE, "sum", [both], [K], ("i", "b")))
    if "each" in more:
        found.append(op(Kind.CONTRACT, "sum", [arg("t", "n", "i"), both], [N, K, B]))
        found.append(op(Kind.CONTRACT, "sum", [arg("r", "n", "b"), both], [N, I, K]))
    return both, found


def named(products: list[Node]) -> dict[tuple[str | int, ...], Node]:
    """The products as results."""
    return {(f"r{k}",): x for k, x in enumerate(products)}


def test_one_order_suits_all_products(tmp_path: Path) -> None:
    both, products = outer()
    # It is made over i, k, b: k, which one product sums, stands between the axes that the other one sums.
    assert both.names == ("i", "k", "b")
    assert at_ends(topological(products), []) == {both.uid: ("k", "i", "b")}
    text = check(named(products), tmp_path, dims=DIMS)
    assert "y.reshape(4, -1) @ " in text
    assert ".reshape(5, -1).T" in text


def test_the_array_is_turned_around_for_no_product(tmp_path: Path) -> None:
    _, products = outer()
    graph = graph_of(named(products), "float32", DIMS)
    module = load(emit_program(graph, spec(precision="float32")), tmp_path)
    rng = np.random.default_rng(0)
    given = [jnp.asarray(rng.normal(size=[DIMS[a.dim] for a in x.axes]), jnp.float32) for x in graph.inputs.values()]
    compiled = jax.jit(module.f).lower(*given).compile().as_text()
    whole = compiled[compiled.index("ENTRY") :]
    # One matrix of five rows and six columns, which both products read.
    made = [
        line
        for line in whole.splitlines()
        if "= f32[" in line and " fusion(" in line and "f32[5,6]" in line.split(" fusion(")[0]
    ]
    assert len(made) == 1
    assert "f32[6,5]" not in whole


@pytest.mark.parametrize("more", ["sum", "each"])
def test_what_suits_not_all_readers_stays(tmp_path: Path, more: str) -> None:
    _, products = outer(more)
    assert at_ends(topological(products), []) == {}
    check(named(products), tmp_path, dims=DIMS)


def test_names_of_readers_are_followed(tmp_path: Path) -> None:
    both, (forth, _) = outer()
    c, d = axes("i1", "b1")
    renamed = op(Kind.REINDEX, "", [both], [c, K, d], ("i1", "k", "b1"))
    back = op(Kind.CONTRACT, "sum", [arg("z", "n", "b1", "i1"), renamed], [N, K])
    assert at_ends(topological([forth, back]), []) == {both.uid: ("k", "i", "b")}
    check(named([forth, back]), tmp_path, dims=DIMS)


@pytest.mark.parametrize(
    ("left", "right"), list(itertools.product(("bni", "nib", "inb", "ibn"), ("kni", "nik", "ikn", "ink")))
)
def test_products_over_two_axes(tmp_path: Path, left: str, right: str) -> None:
    text = check(op(Kind.CONTRACT, "sum", [arg("x", *left), arg("w", *right)], [B, K]), tmp_path, dims=DIMS)
    matrices = {("bni", "kni"), ("nib", "nik"), ("inb", "ink")}
    assert ((left, right) in matrices) is (".reshape(" in text)


def test_the_order_is_told() -> None:
    spec, _ = pipeline.check(Path(__file__).parents[2] / "benchmarks" / "specs" / "pinn.yaml")
    rows = [r for r in strategies(pipeline.compile_spec(spec)) if r["because"] == "products read it as one matrix"]
    assert [(r["kind"], r["what"], r["chosen"]) for r in rows] == [("layout", "tangent of residual", "[a, i, b]")]
