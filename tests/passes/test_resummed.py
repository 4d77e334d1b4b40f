"""A product with a sum of rows is a sum of the product with the rows, where that is there; values stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.passes.support import N, assert_equal, count, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes import dead, intern
from vspec.compiler.passes.resummed import resummed

I, D = Axis("i", "i"), Axis("d", "d")
DIMS: dict[str, Any] = {"n": 30, "i": 4, "d": 3}
ARGS = {
    "X": np.random.default_rng(0).normal(size=(30, 4)),
    "y": np.random.default_rng(1).normal(size=30),
    "A": np.random.default_rng(2).normal(size=(3, 30)),
}


def given(b: Builder) -> dict[str, Node]:
    """Features, labels, and rows over draws."""
    return {
        "X": b.input("X", "data", (N, I), "real"),
        "y": b.input("y", "data", (N,), "real"),
        "A": b.input("A", "param", (D, N), "real"),
    }


def both(b: Builder, x: dict[str, Node], weighted: bool) -> tuple[Node, Node]:
    """The product with all rows, and the one with their sum."""
    total = b.reduce("sum", x["A"], ["d"])
    if not weighted:
        return b.contract([x["A"], x["X"]], (D, I)), b.contract([total, x["X"]], (I,))
    double = ("mul", num(2), slot(0), slot(1))
    rows = b.map(double, [x["A"], x["y"]])
    # The order of factors is another one.
    short = b.map(double, [x["y"], total])
    return b.contract([x["X"], rows], (D, I)), b.contract([short, x["X"]], (I,))


@pytest.mark.parametrize("weighted", [False, True])
def test_one_product_is_left(weighted: bool) -> None:
    b = Builder(DIMS)
    x = given(b)
    g = intern.run(graph_of(b, x, both(b, x, weighted)[::-1], dims=DIMS))
    after = dead.run(intern.run(resummed(g)))
    assert_equal(g, after, ARGS)
    assert (count(g, Kind.CONTRACT), count(after, Kind.CONTRACT)) == (2, 1)


def test_entries_that_need_the_sum_alone_keep_it() -> None:
    b = Builder(DIMS)
    x = given(b)
    wide, short = both(b, x, True)
    g = intern.run(graph_of(b, x, [wide, short], [short], dims=DIMS))
    assert resummed(g) is g


def test_another_number_is_another_product() -> None:
    b = Builder(DIMS)
    x = given(b)
    rows = b.map(("mul", num(3), slot(0), slot(1)), [x["A"], x["y"]])
    _, short = both(b, x, True)
    g = intern.run(graph_of(b, x, [b.contract([rows, x["X"]], (D, I)), short], dims=DIMS))
    assert resummed(g) is g


def test_a_product_that_is_larger_than_what_is_read_is_not_made_for_it() -> None:
    b = Builder({"n": 2, "i": 3, "d": 50})
    x = given(b)
    g = intern.run(graph_of(b, x, both(b, x, False), dims={"n": 2, "i": 3, "d": 50}))
    assert resummed(g) is g
