"""Joined arrays: `stack` and `part` against JAX's AD, by both modes and to second order; passes and emission keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.calculus.jax_reference import evaluate, evaluate_all
from tests.support.effort import examples
from tests.support.evaluate import evaluate as interpret
from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological

SIZES = {"n": 3, "i": 2, "k": 4, "p": 9, "r": 2}
TALL = {**SIZES, "p": 7}
"""Sizes for stretches of 1, 2*2, 1 and 1."""
N, I, J, K, P, Q, R = (Axis(*x) for x in ("nn", "ii", "ji", "kk", "pp", "qp", "rr"))
X0, X1 = slot(0), slot(1)
SETTINGS = settings(
    max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@dataclass
class Scene:
    """The inputs c, w[i], W[i, j], u[k] and X[n, i]; `values` are their arrays by uid."""

    b: Builder
    inputs: dict[str, Node]
    values: dict[int, Any]

    def theta(self) -> Node:
        """c, w, W and w again, of 1 + 2 + 4 + 2 entries, along p."""
        x = self.inputs
        doubled = self.b.map(("mul", num(2), ("sin", X0)), [x["w"]])
        return self.b.stack([x["c"], x["w"], x["W"], doubled], [(), (I,), (I, J), (I,)], P)


def scene(seed: int = 0, sizes: Mapping[str, int] = SIZES) -> Scene:
    b = Builder(sizes)
    shapes = {"c": (), "w": (I,), "W": (I, J), "u": (K,), "X": (N, I)}
    inputs = {name: b.input(name, "param", axes, "real") for name, axes in shapes.items()}
    rng = np.random.default_rng(seed)
    values = {x.uid: rng.normal(size=[SIZES[a.dim] for a in x.axes]) for x in inputs.values()}
    return Scene(b, inputs, values)


def close(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    np.testing.assert_allclose(ours, theirs, atol=1e-9 * scale, rtol=1e-9)


def test_values() -> None:
    s = scene()
    theta = s.theta()
    c, w, W = (s.values[s.inputs[n].uid] for n in "cwW")
    expected = np.concatenate([c[None], w, W.ravel(), 2 * np.sin(w)])
    close(evaluate(theta, s.values, SIZES), expected)
    close(interpret([theta], {n: s.values[x.uid] for n, x in s.inputs.items()}, SIZES)[0], expected)
    squared = s.b.map(("pow", X0, num(2)), [theta])
    group = s.b.part(squared, "p", [(), (K,), (I, J)], 2)
    assert group.op == "part", "other groups than those that were joined"
    close(evaluate(group, s.values, SIZES), expected[5:].reshape(2, 2) ** 2)


def test_what_was_joined_comes_out_again() -> None:
    s = scene()
    groups = [(), (I,), (I, J), (I,)]
    theta = s.theta()
    assert s.b.part(theta, "p", groups, 2) is s.inputs["W"]
    named = s.b.part(s.b.rename(theta, {"p": "q"}), "q", [(), (I,), (K, R), (I,)], 2)
    assert named.kind is Kind.CONCAT, "groups of other dims are other stretches"
    squared = s.b.map(("mul", num(3), ("pow", X0, num(2))), [theta])
    taken = s.b.part(squared, "p", groups, 2)
    assert taken.inputs == (s.inputs["W"],), "elementwise operations are done part by part"
    close(evaluate(taken, s.values, SIZES), 3 * s.values[s.inputs["W"].uid] ** 2)
    whole = s.b.input("t", "data", (P,), "real")
    parts = [s.b.part(whole, "p", groups, k) for k in range(4)]
    assert s.b.stack(parts, groups, P) is whole
    assert s.b.stack(parts, groups, Q).kind is Kind.REINDEX
    assert s.b.stack([parts[0], parts[3], parts[2], parts[1]], groups, P).kind is Kind.CONCAT


def test_sums_join_part_by_part() -> None:
    s = scene()
    b, x = s.b, s.inputs
    zero = b.number(0.0)
    one = b.stack([x["w"], zero], [(I,), (K,)], P)
    two = b.stack([zero, x["u"]], [(J,), (K,)], P)
    both = b.add([one, two, b.number(0.5)])
    joined = next(n for n in topological([both]) if n.kind is Kind.CONCAT)
    assert joined.inputs == (x["w"], x["u"])
    values = [s.values[x[n].uid] for n in "wu"]
    close(evaluate(both, s.values, SIZES | {"p": 6}), np.concatenate(values) + 0.5)


UNARY: list[Tree] = [
    ("sin", X0),
    ("tanh", X0),
    ("exp", ("neg", ("pow", X0, num(2)))),
    ("mul", X0, ("abs", X0)),
    ("sqrt", ("add", num(1), ("pow", X0, num(2)))),
]
BINARY: list[Tree] = [("mul", X0, X1), ("sub", X0, X1), ("div", X0, ("add", num(2), ("sin", X1)))]


@st.composite
def graphs(draw: Any) -> tuple[Scene, Node]:
    """Graphs with rows and stacks with and without batch axes, parts of them, and what is between."""
    s = scene(draw(st.integers(0, 2**16)), TALL)
    b, pool = s.b, list(s.inputs.values())
    for _ in range(draw(st.integers(2, 8))):
        kind = draw(st.sampled_from(["unary", "binary", "reduce", "rows", "stack", "part", "stack"]))
        x = draw(st.sampled_from(pool[-4:]))
        other = draw(st.sampled_from(pool))
        if kind == "unary":
            new = b.map(draw(st.sampled_from(UNARY)), [x])
        elif kind == "binary":
            new = b.map(draw(st.sampled_from(BINARY)), [x, other])
        elif kind == "reduce" and x.names:
            new = b.reduce(draw(st.sampled_from(["sum", "logsumexp", "prod"])), x, [draw(st.sampled_from(x.names))])
        elif kind == "rows" and "r" not in (*x.names, *other.names):
            new = b.stack([x, other], [(), ()], R, draw(st.sampled_from([("r",), ("r", "n"), ("i", "r")])))
        elif kind == "stack" and "p" not in (*x.names, *other.names) and "q" not in (*x.names, *other.names):
            # Stretches of 1, 2*2, 1 and 1, all other axes batch.
            wide = b.map(BINARY[1], [b.rename(x, {"i": "j"}), s.inputs["w"]])
            groups = [(), (I, J), (), ()]
            new = b.stack([other, wide, b.number(0.3), s.inputs["u"]], groups, P)
            if draw(st.booleans()):
                pool.append(new)
                apart = [(), (Axis(b.fresh("i"), "i"), Axis(b.fresh("j"), "i")), (), ()]
                new = b.part(b.map(("sin", X0), [new]), "p", apart, draw(st.integers(0, 3)))
        else:
            new = b.map(("add", X0, ("sin", X0)), [x])
        pool.append(new)
    return s, pool[-1]


def scalar(s: Scene, root: Node) -> Node:
    return s.b.reduce("sum", s.b.map(("sin", X0), [root]), root.names) if root.names else root


@SETTINGS
@given(graphs())
def test_gradients(case: tuple[Scene, Node]) -> None:
    s, root = case
    e, xs = scalar(s, root), list(s.inputs.values())
    theirs = jax.jit(jax.grad(lambda at: evaluate(e, at, TALL) * 1.0))(s.values)
    for x, ours in zip(xs, evaluate_all(gradients(s.b, e, xs), s.values, TALL), strict=True):
        close(ours, theirs[x.uid])


@SETTINGS
@given(graphs())
def test_jacobians(case: tuple[Scene, Node]) -> None:
    s, root = case
    letters = {"w": ("a",), "W": ("a", "b"), "c": (), "X": ("m", "a")}
    xs = [s.inputs[name] for name in letters]
    axes = [[Axis(n, a.dim) for n, a in zip(letters[name], s.inputs[name].axes, strict=True)] for name in letters]
    found = [derivative(s.b, root, x, a) for x, a in zip(xs, axes, strict=True)]
    theirs = jax.jit(jax.jacobian(lambda at: evaluate(root, at, TALL) * 1.0))(s.values)
    for x, ours in zip(xs, evaluate_all(found, s.values, TALL), strict=True):
        close(ours, theirs[x.uid])


@SETTINGS
@given(graphs())
def test_hessians(case: tuple[Scene, Node]) -> None:
    s, root = case
    e, x = scalar(s, root), s.inputs["W"]
    slope = derivative(s.b, e, x, (I, J))
    ours = derivative(s.b, slope, x, (Axis("a", "i"), Axis("b", "i")))
    diagonal = derivative(s.b, slope, x, (I, J))
    theirs = jax.jit(jax.hessian(lambda v: evaluate(e, {**s.values, x.uid: v}, TALL) * 1.0))(s.values[x.uid])
    found = evaluate_all([ours, diagonal], s.values, TALL)
    close(found[0], theirs)
    close(found[1], np.einsum("ijij->ij", np.asarray(theirs)))
