"""Derivatives of linear algebra against JAX's AD in float64: reverse, forward and second order, batched, of any size.

Ours are nodes, evaluated by the reference interpreter in NumPy; the truth is JAX's derivative of the value alone.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.calculus import jax_reference
from tests.support.evaluate import evaluate
from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological

X0, X1, X2 = slot(0), slot(1), slot(2)
SQUARE = ("logdet", "det", "inv", "cholesky", "expm", "eigvalsh", "eigh")
TALL = ("svdvals", "svd_left", "svd_right")
RESULTS = {
    "logdet": "", "det": "", "inv": "cr", "cholesky": "rc", "expm": "rc", "eigvalsh": "k", "eigh": "rk",
    "svdvals": "k", "svd_left": "rk", "svd_right": "ck",
}  # fmt: skip


class Case:
    """A function of A[b, r, c] (or A[r, c]), its weighted sum `e`, and an A at which it is smooth and well conditioned."""

    def __init__(self, op: str, n: int, m: int, batched: bool, seed: int) -> None:
        self.op, self.sizes = op, {"n": n, "m": m, "b": 2}
        dims = {"b": "b", "r": "n", "c": "n" if op in SQUARE else "m", "k": "n" if op in SQUARE else "m"}
        self.axes = tuple(Axis(x, dims[x]) for x in ("brc" if batched else "rc"))
        self.result = tuple(Axis(x, dims[x]) for x in RESULTS[op])
        self.b = Builder(self.sizes)
        self.A = self.b.input("A", "param", self.axes, "real")
        self.value = self.b.linalg(op, [self.A], (("r", "c"),), self.result)
        rng = np.random.default_rng(seed)
        a = 0.4 * rng.normal(size=self.shape(self.axes))
        k = np.arange(min(n, m) if op in TALL else n)
        a[..., k, k] += 1.5 + k
        self.given = {"A": a, "D": rng.normal(size=a.shape)}
        # Weights that differ at every element, so that nothing cancels.
        weights = self.b.input("weights", "data", self.value.axes, "real")
        self.given["weights"] = rng.normal(size=self.shape(self.value.axes))
        shown = self.b.map(("mul", X1, ("sin", X0)), [self.value, weights], "real")
        self.e = self.b.reduce("sum", shown, shown.names) if shown.names else shown

    def shape(self, axes: tuple[Axis, ...]) -> tuple[int, ...]:
        return tuple(self.sizes[x.dim] for x in axes)

    def ours(self, node: Node, **given: Any) -> Any:
        return evaluate([node], {**self.given, **given}, self.b.dims)[0]

    def truth(self, node: Node, name: str) -> Any:
        """The node as a function of one input, in JAX."""
        inputs = {x.attrs[0]: x for x in topological([node]) if x.kind is Kind.INPUT}

        def f(x: Any) -> Any:
            known = {self_.uid: x if k == name else self.given[k] for k, self_ in inputs.items()}
            return jax_reference.evaluate(node, known, self.sizes)

        return f


def close(ours: Any, theirs: Any, tolerance: float = 1e-8) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    np.testing.assert_allclose(ours, theirs, atol=tolerance * scale, rtol=tolerance)


def copies(axes: tuple[Axis, ...], mark: str) -> tuple[Axis, ...]:
    return tuple(Axis(f"{a.name}{mark}", a.dim) for a in axes)


def check(case: Case) -> None:
    """Gradient (reverse), Hessian (forward over reverse) and Jacobian (both, by size) against JAX."""
    b, A, at = case.b, case.A, case.given["A"]
    (gradient,) = gradients(b, case.e, [A])
    f = case.truth(case.e, "A")
    close(case.ours(gradient), jax.jit(jax.grad(f))(at))
    hessian = derivative(b, gradient, A, copies(A.axes, "q"))
    close(case.ours(hessian), jax.jit(jax.hessian(f))(at), 1e-7)
    jacobian = derivative(b, case.value, A, copies(A.axes, "p"))
    close(case.ours(jacobian), jax.jit(jax.jacobian(case.truth(case.value, "A")))(at))


@pytest.mark.parametrize("op", [*SQUARE, *TALL])
def test_derivatives_agree_with_jax(op: str) -> None:
    check(Case(op, 3, 3 if op in SQUARE else 2, True, 1))


@st.composite
def cases(draw: Any) -> Case:
    op = draw(st.sampled_from((*SQUARE, *TALL)))
    m = draw(st.integers(1, 3))
    n = m if op in SQUARE else m + draw(st.integers(0, 2))
    return Case(op, n, m, draw(st.booleans()), draw(st.integers(0, 2**16)))


@settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(cases())
def test_derivatives_of_any_size_agree_with_jax(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("op", [*SQUARE, *TALL])
def test_along_a_line(op: str) -> None:
    """Forward mode: A + p D with a scalar p; the first derivatives by p."""
    case = Case(op, 3, 3 if op in SQUARE else 2, False, 5)
    b = case.b
    p, direction = b.input("p", "param", (), "real"), b.input("D", "data", case.axes, "real")
    moved = b.map(("add", X0, ("mul", X2, X1)), [case.A, direction, p], "real")
    node = b.linalg(op, [moved], (("r", "c"),), case.result)
    case.given["p"] = 0.1
    truth, ours = case.truth(node, "p"), node
    for _ in range(2 if op == "expm" else 3):
        truth, ours = jax.jacfwd(truth), derivative(b, ours, p, ())
        close(case.ours(ours), jax.jit(truth)(0.1), 1e-6)


@pytest.mark.parametrize("op", [*SQUARE, *TALL])
def test_gradients_of_scalars_make_no_large_arrays(op: str) -> None:
    """Matrices of the argument's size and their factors, nothing with more axes."""
    case = Case(op, 5, 5 if op in SQUARE else 4, False, 0)
    (gradient,) = gradients(case.b, case.e, [case.A])
    assert max(len(node.axes) for node in topological([gradient])) == 2
