"""Second derivatives in one forward sweep, on generated graphs and on linear algebra, against JAX's AD in float64."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.calculus.jax_reference import evaluate
from tests.calculus.test_against_jax import SIZES, X0, I, J, N, Scene, close, graphs, scalar
from tests.support.effort import examples
from vspec.compiler.calculus.derive import gradients
from vspec.compiler.calculus.laplacian import Pairing, curvature, second_order
from vspec.compiler.calculus.sweeps import depends, see
from vspec.compiler.calculus.terms import Algebra, Term, pair
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import kernel, num, slot
from vspec.compiler.graph.node import Axis, Node, topological

SETTINGS = settings(
    max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
R1, R2, R3 = Axis("r1", "i"), Axis("r2", "i"), Axis("r3", "n")


def together(b: Builder, e: Node, x: Node, rows: tuple[Axis, ...], weight: Node | None, to: dict[str, str]) -> Node:
    """The weighted sum of d(e, x[rows], x[rows renamed by `to`]) over all rows."""
    a = Algebra(b)
    nodes = depends([e], [x])
    see(a, nodes)
    a.see((*x.axes, R1, R2, R3))
    if not any(n.uid == e.uid for n in nodes):
        return b.order(b.number(0.0), e.axes)
    seed = Term(b.number(1.0), frozenset(pair(own.name, r.name) for own, r in zip(x.axes, rows, strict=True)))
    names = tuple(dict.fromkeys([r.name for r in rows] + [to.get(r.name, r.name) for r in rows]))
    p = Pairing({x.uid: [seed]}, None, names, lambda node: weight, to)
    terms = second_order(a, nodes, p).get(e.uid, [])
    done = [a.settle(t).node for t in terms]
    return b.order(b.add(done) if done else b.number(0.0), e.axes)


def value(s: Scene, node: Node, x: Node | None = None, v: Any = None) -> Any:
    known = s.values if x is None else {**s.values, x.uid: v}
    return evaluate(node, known, SIZES) * 1.0


@SETTINGS
@given(graphs())
def test_weighted_sums_of_second_derivatives(case: tuple[Scene, Node]) -> None:
    s, root = case
    w, matrix = s.inputs["w"], np.array([[0.7, -1.3], [0.4, 2.0]])
    A = s.b.input("A", "data", (R1, R2), "real")
    s.values[A.uid] = matrix
    ours = together(s.b, root, w, (R1,), A, {"r1": "r2"})
    theirs = jax.jit(jax.hessian(lambda v: value(s, root, w, v)))(s.values[w.uid])
    close(value(s, ours), np.einsum("...pq,pq->...", theirs, matrix))


@SETTINGS
@given(graphs())
def test_laplacians_and_their_gradients(case: tuple[Scene, Node]) -> None:
    s, root = case
    e, X, y = scalar(s, root), s.inputs["X"], s.inputs["y"]
    laplacian = together(s.b, e, X, (R3, R1), None, {})

    def theirs(x: Any, of_y: Any) -> Any:
        whole = jax.hessian(lambda v: evaluate(e, {**s.values, X.uid: v, y.uid: of_y}, SIZES) * 1.0)(x)
        return jnp.einsum("aiai->", whole)

    at = (s.values[X.uid], s.values[y.uid])
    close(value(s, laplacian), theirs(*at))
    for x, g, ref in zip(
        (X, y), gradients(s.b, laplacian, [X, y]), jax.jit(jax.grad(theirs, (0, 1)))(*at), strict=True
    ):
        assert g.axes == x.axes
        close(value(s, g), ref)


@pytest.mark.parametrize(
    ("op", "result"), [("logdet", ()), ("det", ()), ("inv", (J, I)), ("cholesky", (I, J)), ("solve", (J,))]
)
def test_linear_algebra(op: str, result: tuple[Axis, ...]) -> None:
    b = Builder(SIZES)
    w = b.input("w", "param", (I,), "real")
    s = Scene(b, [], {"w": w}, {w.uid: np.array([0.4, -1.0])})
    tilted = b.map(("sin", ("add", slot(0), ("mul", num(2.0), slot(1)))), [w, b.rename(w, {"i": "j"})])
    A = b.map(("add", ("mul", num(3.0), slot(1)), slot(0)), [tilted, b.delta(I, J)])
    operands, cores = ([A, b.map(("tanh", X0), [w])], (("i", "j"), ("i",))) if op == "solve" else ([A], (("i", "j"),))
    root = b.linalg(op, operands, cores, result)
    ours = together(b, root, w, (R1,), None, {})
    theirs = jax.jit(jax.hessian(lambda v: value(s, root, w, v)))(s.values[w.uid])
    close(value(s, ours), np.einsum("...pp->...", theirs))


def test_functions_of_each_element_keep_the_jacobian_of_one() -> None:
    """sum over (n, i) of f(X[n, i]), and a layer along each row: no array has two axes over n."""
    b = Builder(SIZES)
    X, W = b.input("X", "data", (N, I), "real"), b.input("W", "param", (I, J), "real")
    rows = b.map(("tanh", X0), [b.reduce("sum", b.mul([X, W]), ["i"])])
    e = b.reduce("sum", b.mul([rows, rows]), ["n", "j"])
    found = together(b, e, X, (R3, R1), None, {})
    assert not any(x.op == "delta" for x in topological([found]))
    assert max(sum(a.dim == "n" for a in x.axes) for x in topological([found])) == 1


def test_the_curvature_of_a_kernel_reads_its_value() -> None:
    tanh, exp = kernel(("tanh", slot(0))), kernel(("exp", slot(0)))
    assert not any(t == ("tanh", slot(0)) for t in _subtrees(curvature(tanh, 0, 0)))
    assert curvature(exp, 0, 0) == slot(1)
    assert curvature(kernel(("mul", slot(0), slot(1))), 0, 1) == num(1)
    assert curvature(kernel(("add", slot(0), slot(1))), 0, 1) == num(0)


def _subtrees(tree: Any) -> list[Any]:
    return [tree] if tree[0] in ("x", "num") else [tree, *(t for c in tree[1:] for t in _subtrees(c))]
