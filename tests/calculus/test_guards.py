"""Guards: where they stand, and where they would be a waste."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.program import Emission
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.guard import Guards, branching, may_be_infinite, places, within
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.graph.sign import is_positive
from vspec.compiler.pipeline import compile_spec

N, I = Axis("n", "n"), Axis("i", "i")
X, Y = slot(0), slot(1)

HEAD = """
precision: float64
dims: {n: 5, i: 3}
constants: {c: 0.5}
data:
  known[n]: boolean
  y[n]: real
params:
  w[i]: {init: 1}
  s: {init: 1}
  x[n]: {init: 1}
define:
"""


def text(define: str, loss: str) -> str:
    """The program of a loss that reads a definition under a condition."""
    spec = good(f"{HEAD}  g[n]: {define}\nobjectives:\n  loss: {loss}\nsolve: {{minimize: loss}}\n")
    return compile_spec(spec).emitted.text


@pytest.mark.parametrize(
    ("define", "condition", "guard"),
    [
        ("log(x[n])", "x[n] > 0", "jnp.log(jnp.where(x > 0, x, 1.0))"),
        ("log(y[n])*s", "known[n]", "jnp.log(jnp.where(known, y, 1.0))"),
        ("exp(x[n])", "x[n] < 5", "jnp.exp(jnp.where(x < 5, x, 0.0))"),
        # A condition that does not know the scale, what cannot vanish, and what only a wild argument would overflow.
        ("y[n]/s", "known[n]", ""),
        ("log(1 + x[n]**2)", "x[n] > 0", ""),
        ("sum[i](w[i]*y[n]**2)/(1 + sum[i](w[i]**2))", "known[n]", ""),
        ("exp(x[n]*s)", "known[n]", ""),
        ("x[n]*tanh(s*y[n])", "known[n]", ""),
    ],
)
def test_a_guard_stands_where_the_condition_matters(define: str, condition: str, guard: str) -> None:
    program = text(define, f"sum[n](g[n] if {condition} else 0)")
    if guard:
        assert guard in program
    else:
        assert ", 1.0)" not in program
        assert "jnp.where(known, 0.0" not in program
        assert "exp(jnp.where" not in program


def test_what_is_read_outside_of_the_branch_too_has_no_guard() -> None:
    assert ", 1.0)" not in text("log(x[n])", "sum[n]((g[n] if x[n] > 0 else 0) + g[n])")
    assert ", 1.0)" not in text("log(x[n])", "sum[n](g[n] if x[n] > 0 else 2*g[n])")


def test_a_mask_is_brought_to_the_axes_of_what_it_guards() -> None:
    b = Builder({"n": 4, "i": 3})
    x, m = b.input("x", "param", (N,), "real"), b.input("m", "data", (N, I), "real")
    log = b.map(("log", X), [x])
    tree, operands = Guards(b).protect(("where", ("gt", Y, X), X, num(0.0)), [log, m])
    (guard,) = operands[2:]
    assert guard.names == ("n",)
    assert tree == ("where", ("gt", Y, X), slot(2), num(0.0))
    assert any(n.kind is Kind.REDUCE and n.op == "any" for n in topological([guard]))


def test_places() -> None:
    a, c = ("gt", X, num(0)), ("lt", X, num(1))
    assert places(("where", a, Y, num(0))) == {1: {((a, True),)}}
    assert places(("where", a, Y, ("mul", num(2), Y))) == {1: {()}}
    assert places(("where", a, ("where", c, Y, num(1)), num(0))) == {1: {((a, True), (c, True))}}
    assert places(("floor", Y)) == {}


@pytest.mark.parametrize(
    ("tree", "positive"),
    [
        (num(2), True),
        (num(0), False),
        (("add", num(1), ("square", X)), True),
        (("add", num(1), ("pow", X, num(2)), ("abs", X)), True),
        (("add", num(1), X), False),
        (("square", X), False),
        (("sqrt", ("add", ("abs", X), num(0.1))), True),
        (("mul", ("exp", X), num(3)), True),
        (("div", num(1), ("cosh", X)), True),
        (("maximum", X, num(1)), True),
        (("minimum", X, num(1)), False),
        (("where", ("gt", X, num(0)), num(1), ("exp", X)), True),
        (("pow", ("exp", X), Y), True),
        (("real", ("gt", X, num(0))), False),
    ],
)
def test_signs(tree: Tree, positive: bool) -> None:
    b = Builder()
    inputs = [b.input("x", "param", (N,), "real"), b.input("y", "param", (N,), "real")]
    assert is_positive(tree, inputs) is positive
    assert is_positive(slot(0), [b.map(tree, inputs, "real")]) is positive


def test_functions_of_two_as_branches() -> None:
    log: Tree = ("log", X)
    infinite = lambda t: t == log  # noqa: E731
    assert branching(("maximum", X, Y), infinite) == ("maximum", X, Y)
    assert branching(("relu", log), infinite) == ("where", ("le", log, num(0)), num(0.0), log)
    chosen = branching(("maximum", log, num(-5)), infinite)
    assert chosen[:3] == ("where", ("gt", num(-5), log), num(-5))
    b = Builder()
    x = b.input("x", "param", (N,), "real")
    assert within(("where", ("gt", X, num(0)), log, num(0.0)), [x]) == (
        "where",
        ("gt", X, num(0)),
        ("log", ("where", ("gt", X, num(0)), X, num(1.0))),
        num(0.0),
    )


def test_deep_graphs_need_no_recursion() -> None:
    b = Builder()
    node: Node = b.map(("log", X), [b.input("x", "param", (N,), "real")])
    for _ in range(3000):
        node = b.map(("sin", X), [node])
    assert may_be_infinite(node)
    assert Guards(b).sources([node])


@pytest.mark.parametrize(
    ("formula", "value", "slope"),
    [
        ("max(g[n], -3)", [-3, -3, -3, 0, np.log(7)], [0, 0, 0, 1, 1 / 7]),
        ("min(1/x[n], 2)", [-1, -2, 2, 1, 1 / 7], [-1, -4, 0, -1, -1 / 49]),
        ("clip(g[n], -3, 1)", [-3, -3, -3, 0, 1], [0, 0, 0, 1, 0]),
        ("relu(g[n] + 1)", [0, 0, 0, 1, 1 + np.log(7)], [0, 0, 0, 1, 1 / 7]),
        ("sqrt(max(x[n], 0))", [0, 0, 0, 1, np.sqrt(7)], [0, 0, None, 0.5, 0.5 / np.sqrt(7)]),
    ],
)
def test_limits_of_what_is_infinite(
    formula: str, value: list[float], slope: list[float | None], tmp_path: Path
) -> None:
    """The side that is not chosen may be infinite, in one formula and between definitions. (Arguments: -1, -0.5, 0, 1, 7.)"""
    definition = "log(abs(x[n]) - x[n] + 2*x[n])" if "g[n]" in formula else "0*x[n]"
    spec = good(
        f"{HEAD}  g[n]: {definition}\n  r[n]: {formula}\noutputs:\n  value[n]: r[n]\n  slope[n]: d(r[n], x[n])\n"
    )
    at = np.array([-1, -0.5, 0.0, 1.0, 7.0])
    if "g[n]" in formula:
        # log(abs(x) + x) is minus infinity up to 0, log(2x) beyond: halves of the points make it log(x).
        at = at / 2
        slope = [s if s is None else 2 * s for s in slope]
    for level in (0, 2):
        found = Emission(spec, level, tmp_path / f"p{level}.py").call("outputs", {"x": at})
        np.testing.assert_allclose(found["value"], value, atol=1e-15)
        kept = [k for k, s in enumerate(slope) if s is not None and not ("g[n]" in formula and at[k] == 0)]
        np.testing.assert_allclose(found["slope"][np.array(kept)], [slope[k] for k in kept])


def test_lowering_shares_its_guards() -> None:
    b = Builder()
    assert Lowering(b, {}, {}).guards.b is b
