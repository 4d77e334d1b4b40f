"""Conditions that hold by form: nothing is asked, nothing is guarded, and the value is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.evaluate import evaluate, evaluate_graph
from vspec.compiler import pipeline
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.conditions import decided
from vspec.compiler.graph.kernel import Tree, num, slot, walk
from vspec.compiler.graph.node import Axis, Kind, topological

A, B = slot(0), slot(1)
EXP: Tree = ("exp", A)
ZERO = num(0)


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def choice(condition: Tree) -> Tree:
    return ("where", condition, ("mul", A, num(2)), ("add", B, num(1)))


ALWAYS: list[Tree] = [
    ("ge", EXP, ZERO),
    ("le", num(0.0), ("square", A)),
    ("not", ("lt", ("abs", A), ZERO)),
    ("not", ("gt", ZERO, ("add", EXP, ("square", B)))),
    ("and", ("ge", EXP, ZERO), ("ge", ("pow", B, num(2)), ZERO)),
    ("or", ("lt", A, B), ("ge", EXP, ZERO)),
]
SOMETIMES: list[Tree] = [
    ("ge", A, ZERO),
    ("ge", ("sub", EXP, num(1)), ZERO),
    # An exponential may underflow.
    ("gt", EXP, ZERO),
    ("le", EXP, ZERO),
    ("ge", EXP, num(1)),
    ("ge", ZERO, EXP),
    ("lt", A, B),
]


N = Axis("n", "n")
BUILDER = Builder()
X, Y = (BUILDER.input(name, "data", (N,), "real") for name in "xy")


def value(tree: Tree) -> Any:
    """A kernel of two arguments at some points, by the reference interpreter."""
    given = {"x": np.array([-800.0, -1.5, 0.0, 2.0]), "y": np.array([1.0, -2.0, 0.0, 0.5])}
    return np.asarray(evaluate([BUILDER.map(tree, [X, Y], "real")], given, {"n": 4})[0])


@pytest.mark.parametrize("condition", ALWAYS, ids=str)
def test_what_always_holds_is_no_choice(condition: Tree) -> None:
    for tree in (choice(condition), choice(("not", condition))):
        found = decided(tree, (X, Y))
        assert not any(t[0] == "where" for t in walk(found))
        np.testing.assert_array_equal(value(found), value(tree))


@pytest.mark.parametrize("condition", SOMETIMES, ids=str)
def test_what_may_fail_is_asked(condition: Tree) -> None:
    tree = choice(condition)
    assert decided(tree, (X, Y)) is tree


def test_what_is_left_of_a_condition_is_asked() -> None:
    tree = choice(("and", ("ge", EXP, ZERO), ("lt", A, B)))
    found = decided(tree, (X, Y))
    assert found == choice(("lt", A, B))
    np.testing.assert_array_equal(value(found), value(tree))


SPEC = """
vspec: 1
name: scale
precision: float64
params:
  s: {init: 0.3}
objectives:
  total: logpdf(half_cauchy(2), exp(s)) + logpdf(gamma(3, 0.5), exp(2*s)) + s
solve: {maximize: total}
"""


def total(s: Any) -> Any:
    """The objective of the spec by SciPy's formulas in JAX."""
    cauchy = jnp.log(2 / (jnp.pi * 2)) - jnp.log1p((jnp.exp(s) / 2) ** 2)
    return cauchy + jax.scipy.stats.gamma.logpdf(jnp.exp(2 * s), 3, scale=0.5) + s


def test_the_density_of_an_exponential_has_no_support_to_look_at() -> None:
    spec, diagnostics = pipeline.check_text(SPEC, "scale.yaml")
    assert spec is not None, diagnostics
    graph = pipeline.compile_spec(spec, level=0).graph
    kernels = [
        n.attrs[0].tree for n in topological([r.node for e in graph.entries for r in e.results]) if n.kind is Kind.MAP
    ]
    assert kernels
    assert not any(t[0] in ("where", "ge") for tree in kernels for t in walk(tree))
    (found,) = evaluate_graph(graph, {"s": np.array(0.4)})["total_gradient"].values()
    np.testing.assert_allclose(found, jax.grad(total)(0.4), rtol=1e-12)
    (value_,) = evaluate_graph(graph, {"s": np.array(0.4)})["total"].values()
    np.testing.assert_allclose(value_, total(0.4), rtol=1e-12)
