"""Numbers that all terms of a square have in common go outside of the sum of squares; values stay the same."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.passes.support import I, N, assert_equal, count, graph_of, inputs
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import kernel, num, slot
from vspec.compiler.graph.node import Kind
from vspec.compiler.passes import fold, intern
from vspec.compiler.passes.content import content

TWICE = ("sub", ("mul", num(2), slot(0)), ("mul", num(2), slot(1)))


def both(tree: Any, contracted: bool) -> Graph:
    """Squares of differences, and of a multiple of them, over n, each summed over i."""
    b = Builder()
    x = inputs(b)
    plain = b.map(("pow", ("sub", slot(0), slot(1)), num(2)), [x["X"], x["w"]])
    slope = b.map(tree, [x["X"], x["w"]])
    square = b.contract([slope, slope], (N,)) if contracted else None
    if square is None:
        square = b.reduce("sum", b.map(("mul", slot(0), slot(0)), [slope]), ["i"])
    return graph_of(b, x, [b.reduce("sum", plain, ["i"]), square, b.order(slope, (N, I))])


@pytest.mark.parametrize("contracted", [False, True])
@pytest.mark.parametrize("tree", [TWICE, ("sub", ("mul", num(3), slot(1)), ("mul", num(3), slot(0)))])
def test_the_sum_of_squares_of_a_multiple_is_a_multiple_of_the_sum(tree: Any, contracted: bool) -> None:
    graph = both(tree, contracted)
    after = intern.run(fold.run(intern.run(graph)))
    assert_equal(graph, after)
    assert count(after, Kind.REDUCE) + count(after, Kind.CONTRACT) <= (1 if tree is TWICE else 2)
    assert count(graph, Kind.REDUCE) + count(graph, Kind.CONTRACT) == 2


@pytest.mark.parametrize(
    ("tree", "want"),
    [
        (TWICE, (2, ("sub", slot(0), slot(1)))),
        (("mul", num(2), slot(0)), (2, slot(0))),
        (("mul", num(Fraction(1, 2)), slot(0)), None),
        (("sub", ("mul", num(2), slot(0)), ("mul", num(3), slot(1))), None),
        (("sub", slot(0), slot(1)), None),
        (("mul", num(2), ("exp", slot(0))), None),
    ],
)
def test_contents(tree: Any, want: Any) -> None:
    assert content(kernel(tree)) == want
