"""Generated well-typed graphs: values' gradients, Jacobians with shared letters and Hessians against JAX's AD, float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.calculus.jax_reference import evaluate, evaluate_all
from tests.support.effort import examples
from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.calculus.statistics import quantile, sorted_along
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node, topological

SIZES = {"n": 3, "i": 2}
N, I, J, K = Axis("n", "n"), Axis("i", "i"), Axis("j", "i"), Axis("k", "i")
X0, X1, X2 = slot(0), slot(1), slot(2)

# Smooth almost everywhere, and tame enough that second derivatives stay near one.
UNARY: list[Tree] = [
    ("sin", X0),
    ("tanh", X0),
    ("sigmoid", X0),
    ("softplus", X0),
    ("log", ("add", num(1), ("exp", X0))),
    ("exp", ("neg", ("pow", X0, num(2)))),
    ("div", X0, ("add", num(1), ("pow", X0, num(2)))),
    ("sqrt", ("add", num(1), ("pow", X0, num(2)))),
    ("log1p", ("pow", X0, num(2))),
    ("mul", X0, ("abs", X0)),
    ("pow", ("relu", X0), num(3)),
    ("erf", X0),
    ("lgamma", ("add", num(2), ("pow", X0, num(2)))),
    ("xlogy", ("add", num(2), ("sin", X0)), ("add", num(2), ("cos", X0))),
]
BINARY: list[Tree] = [
    ("mul", X0, X1),
    ("add", X0, ("mul", num(0.5), X1)),
    ("sub", X0, X1),
    ("mul", X0, ("tanh", X1)),
    ("div", X0, ("add", num(2), ("sin", X1))),
    ("atan2", X0, ("add", num(2), ("pow", X1, num(2)))),
    ("where", ("gt", X0, X1), ("mul", X0, X1), ("sin", X1)),
    ("maximum", X0, X1),
    ("pow", ("add", num(2), ("sin", X0)), X1),
]


@dataclass
class Scene:
    """A pool of nodes over the inputs w[i], X[n, i] and y[n]."""

    b: Builder
    pool: list[Node]
    inputs: dict[str, Node]
    values: dict[int, Any] = field(default_factory=dict)


def scene(seed: int) -> Scene:
    b = Builder(SIZES)
    inputs = {
        "w": b.input("w", "param", (I,), "real"),
        "X": b.input("X", "data", (N, I), "real"),
        "y": b.input("y", "data", (N,), "real"),
    }
    rng = np.random.default_rng(seed)
    values = {x.uid: rng.normal(size=[SIZES[a.dim] for a in x.axes]) for x in inputs.values()}
    return Scene(b, list(inputs.values()), inputs, values)


@st.composite
def graphs(draw: Any) -> tuple[Scene, Node]:
    s = scene(draw(st.integers(0, 2**16)))
    b = s.b
    for _ in range(draw(st.integers(2, 9))):
        kind = draw(
            st.sampled_from(["unary", "binary", "binary", "reduce", "rename", "at", "solve", "product", "run", "sort"])
        )
        x = draw(st.sampled_from(s.pool[-4:]))
        other = draw(st.sampled_from(s.pool))
        if kind == "unary":
            new = b.map(draw(st.sampled_from(UNARY)), [x])
        elif kind == "binary":
            new = b.map(draw(st.sampled_from(BINARY)), [x, other])
        elif kind == "product" and "i" in x.names and "i" in other.names:
            new = b.reduce("sum", b.mul([x, b.rename(other, {"n": "n"})]), ["i"])
        elif kind == "reduce" and x.names:
            op = draw(st.sampled_from(["sum", "max", "logsumexp", "prod"]))
            new = b.reduce(op, x, [draw(st.sampled_from(x.names))])
        elif kind == "rename" and "i" in x.names:
            # To j, or (where j is there already) to the diagonal.
            new = b.rename(x, {"i": "j"})
        elif kind == "at" and x.names:
            name = draw(st.sampled_from(x.names))
            new = b.at_position(x, name, draw(st.sampled_from([0, 1, -1])))
        elif kind == "run" and x.names:
            axis = x.axis(draw(st.sampled_from(x.names)))
            op, reverse = draw(st.sampled_from(["sum", "prod", "linear"])), draw(st.booleans())
            rest = [a.name for a in other.axes if a.name not in x.names]
            factors = b.map(("tanh", X0), [b.reduce("sum", other, rest)])
            new = b.cumulate(op, [factors, x] if op == "linear" else [x], axis, reverse)
        elif kind == "sort" and x.names:
            axis = x.axis(draw(st.sampled_from(x.names)))
            new = draw(st.sampled_from([sorted_along(b, x, axis), quantile(b, x, axis, b.number(0.3))]))
        elif kind == "solve" and {"i", "j"} <= set(x.names) and "i" in other.names:
            tame = b.map(("add", ("mul", num(3.0), X1), ("mul", num(0.3), ("tanh", X0))), [x, b.delta(I, J)])
            right = b.rename(other, {"j": "k"}) if "j" in other.names else other
            new = b.linalg("solve", [tame, right], (("i", "j"), ("i",)), [J])
        else:
            new = b.map(("add", X0, ("sin", X0)), [x])
        s.pool.append(new)
    return s, s.pool[-1]


def scalar(s: Scene, root: Node) -> Node:
    return s.b.reduce("sum", s.b.map(("sin", X0), [root]), root.names) if root.names else root


SETTINGS = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def close(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    np.testing.assert_allclose(ours, theirs, atol=1e-9 * scale, rtol=1e-9)


@SETTINGS
@given(graphs())
def test_gradients(case: tuple[Scene, Node]) -> None:
    s, root = case
    e = scalar(s, root)
    xs = list(s.inputs.values())
    theirs = jax.jit(jax.grad(lambda at: evaluate(e, at, SIZES) * 1.0))(s.values)
    for x, ours in zip(xs, evaluate_all(gradients(s.b, e, xs), s.values, SIZES), strict=True):
        close(ours, theirs[x.uid])


@SETTINGS
@given(graphs())
def test_jacobians_by_both_modes(case: tuple[Scene, Node]) -> None:
    s, root = case
    theirs = jax.jit(jax.jacobian(lambda at: evaluate(root, at, SIZES) * 1.0))(s.values)
    wanted = ((s.inputs["w"], (Axis("p", "i"),)), (s.inputs["X"], (Axis("q", "n"), Axis("p", "i"))))
    found = [derivative(s.b, root, x, letters) for x, letters in wanted]
    for (x, letters), node, ours in zip(wanted, found, evaluate_all(found, s.values, SIZES), strict=True):
        assert node.names == (*root.names, *(a.name for a in letters))
        close(ours, theirs[x.uid])


@SETTINGS
@given(graphs())
def test_hessians(case: tuple[Scene, Node]) -> None:
    s, root = case
    e, w = scalar(s, root), s.inputs["w"]
    gradient = derivative(s.b, e, w, (I,))
    hessian = derivative(s.b, gradient, w, (J,))
    diagonal = derivative(s.b, gradient, w, (I,))
    theirs = jax.jit(jax.hessian(lambda v: evaluate(e, {**s.values, w.uid: v}, SIZES) * 1.0))(s.values[w.uid])
    found = evaluate_all([hessian, diagonal], s.values, SIZES)
    close(found[0], theirs)
    close(found[1], np.diagonal(theirs))


@SETTINGS
@given(graphs())
def test_shared_letters_are_the_diagonal(case: tuple[Scene, Node]) -> None:
    s, root = case
    if "n" not in root.names:
        root = s.b.map(("add", X0, X1), [root, s.inputs["y"]])
    y, where = s.inputs["y"], root.names.index("n")
    ours = derivative(s.b, root, y, (N,))
    theirs = jax.jit(jax.jacobian(lambda v: evaluate(root, {**s.values, y.uid: v}, SIZES) * 1.0))(s.values[y.uid])
    diagonal = np.moveaxis(np.diagonal(np.asarray(theirs), axis1=where, axis2=theirs.ndim - 1), -1, where)
    assert ours.names == root.names
    close(evaluate(ours, s.values, SIZES), diagonal)


@pytest.mark.parametrize(
    ("op", "result"), [("logdet", ()), ("det", ()), ("inv", (J, I)), ("cholesky", (I, J)), ("solve", (J,))]
)
def test_linear_algebra_to_second_order(op: str, result: tuple[Axis, ...]) -> None:
    b = Builder(SIZES)
    A, w = b.input("A", "data", (I, J), "real"), b.input("w", "param", (I,), "real")
    operands, cores = ([A, w], (("i", "j"), ("i",))) if op == "solve" else ([A], (("i", "j"),))
    value = b.linalg(op, operands, cores, result)
    e = b.map(("sin", X0), [value])
    e = b.reduce("sum", b.mul([e, b.map(("cos", ("real", X0)), [b.index(I)])]), ["i", "j"], {"i": "i", "j": "i"})
    values = {A.uid: np.array([[2.0, 0.3], [0.5, 1.5]]), w.uid: np.array([0.4, -1.0])}
    (gradient,) = gradients(b, e, [A])
    p, q = Axis("p", "i"), Axis("q", "i")

    def f(a: Any) -> Any:
        return evaluate(e, {**values, A.uid: a}, SIZES)

    close(evaluate(gradient, values, SIZES), jax.jit(jax.grad(f))(values[A.uid]))
    close(evaluate(derivative(b, gradient, A, (p, q)), values, SIZES), jax.jit(jax.hessian(f))(values[A.uid]))
    jacobian = jax.jit(jax.jacobian(lambda a: evaluate(value, {**values, A.uid: a}, SIZES)))(values[A.uid])
    close(evaluate(derivative(b, value, A, (p, q)), values, SIZES), jacobian)


def test_a_proved_shared_letter_needs_one_sweep() -> None:
    """d(energy[n], s[n, i]) for independent n: no delta and no second copy of n anywhere in the graph."""
    s = scene(0)
    b, X = s.b, s.inputs["X"]
    energy = b.reduce("sum", b.map(("softplus", X0), [X]), ["i"])
    slope = derivative(b, energy, X, (N, I))
    assert not any(x.op == "delta" for x in topological([slope]))
    assert all(a.dim != "n" or a.name == "n" for x in topological([slope]) for a in x.axes)


def test_logistic_hessian_has_no_delta_product() -> None:
    """The Hessian of a sum over n of f(x_n . w) is X' D X: deltas of the seeds are renamed away, never multiplied out."""
    s = scene(0)
    b, X, w = s.b, s.inputs["X"], s.inputs["w"]
    margin = b.reduce("sum", b.mul([X, w]), ["i"])
    loss = b.reduce("sum", b.map(("softplus", X0), [margin]), ["n"])
    hessian = derivative(b, derivative(b, loss, w, (I,)), w, (J,))
    assert not any(x.op == "delta" for x in topological([hessian]))
