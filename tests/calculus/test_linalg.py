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
from tests.support.effort import examples
from tests.support.evaluate import evaluate, evaluate_graph
from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.pipeline import check_text, compile_spec

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
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
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


# --- where functions are special -----------------------------------------------------------------------------------------


def by_matrix(text: str, at: Any, order: int = 1, size: int = 3, level: int = 2) -> Any:
    """The derivative of a formula in A[i, j] as a spec has it, of first or second order, at a matrix."""
    letters = ["A[i, j]", "A[k, l]"][:order]
    spec = (
        "vspec: 1\nname: special\nprecision: float64\n"
        f"dims:\n  i, j, k, l, m: {size}\nparams:\n  A[i, j]: {{init: 1}}\n"
        f"define:\n  e: {text}\nsolve: {{evaluate: e}}\n"
        f"outputs:\n  out[i, j{', k, l' if order == 2 else ''}]: d(e, {', '.join(letters)})\n"
    )
    checked, diagnostics = check_text(spec, "special.yaml")
    assert checked is not None, "\n".join(x.message for x in diagnostics)
    graph = compile_spec(checked, level=level).graph
    return evaluate_graph(graph, {"A": np.asarray(at, float)})["outputs"]["out",]


def adjugate_transposed(a: Any) -> Any:
    n = len(a)
    minor = lambda i, j: np.linalg.det(np.delete(np.delete(a, i, 0), j, 1))  # noqa: E731
    return np.array([[(-1) ** (i + j) * minor(i, j) for j in range(n)] for i in range(n)])


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_the_gradient_of_det_is_the_cofactors_at_any_rank(rank: int) -> None:
    rng = np.random.default_rng(rank)
    a = rng.normal(size=(3, rank)) @ rng.normal(size=(rank, 3))
    close(by_matrix("det(A[:, :])", a), adjugate_transposed(a))


def test_the_hessian_of_det_at_a_regular_matrix_with_equal_singular_values() -> None:
    hessian = by_matrix("det(A[:, :])", np.eye(3), 2)
    theirs = jax.hessian(lambda a: jax.numpy.linalg.det(a))(np.eye(3))
    close(hessian, theirs)


def test_logdet_of_a_negative_determinant() -> None:
    a = np.array([[0.3, 2.0, 0.1], [1.5, 0.4, -0.2], [0.3, 0.1, 1.1]])
    assert np.linalg.det(a) < 0
    close(by_matrix("logdet(A[:, :])", a), np.linalg.inv(a).T)
    inverse = np.linalg.inv(a)
    close(by_matrix("logdet(A[:, :])", a, 2), -np.einsum("jk,li->ijkl", inverse, inverse))


DEGENERATE = {
    "identity": np.eye(3),
    "zero": np.zeros((3, 3)),
    "double": np.diag([2.0, 2.0, 5.0]),
    "hidden": np.full((3, 3), 1.0) + 2 * np.eye(3),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_smooth_functions_of_equal_eigenvalues(name: str) -> None:
    """The sum, the sum of squares and log(sum(exp)) of the spectrum have gradients that no multiplicity disturbs."""
    a = DEGENERATE[name]
    close(by_matrix("sum[m](eigvalsh(A[:, :])[m])", a), np.eye(3))
    close(by_matrix("sum[m](eigvalsh(A[:, :])[m]**2)", a), 2 * a)
    from scipy.linalg import expm  # type: ignore[import-untyped]

    close(by_matrix("logsumexp[m](eigvalsh(A[:, :])[m])", a), expm(a) / np.trace(expm(a)))
    for order in (1, 2):
        assert np.all(np.isfinite(by_matrix("sum[m, i](eigh(A[:, :])[i, m]**4)", a, order)))


@pytest.mark.parametrize("name", ["identity", "double", "hidden"])
def test_smooth_functions_of_equal_singular_values(name: str) -> None:
    a = DEGENERATE[name]
    close(by_matrix("sum[m](svdvals(A[:, :])[m]**2)", a), 2 * a)
    close(by_matrix("sum[m](log(svdvals(A[:, :])[m]))", a), np.linalg.inv(a).T)
    for order in (1, 2):
        assert np.all(np.isfinite(by_matrix("sum[m, i](svd_left(A[:, :])[i, m]**4)", a, order)))


def test_only_the_symmetric_part_counts() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 3))
    even = (a + a.T) / 2
    for text in (
        "sum[m](sin(eigvalsh(A[:, :])[m])*(1 + index(m)))",
        "sum[m, i](eigh(A[:, :])[i, m]**4*(1 + index(m)))",
    ):
        gradient = by_matrix(text, a)
        close(gradient, gradient.T)
        close(gradient, by_matrix(text, even))


@pytest.mark.parametrize("level", [0, 2])
def test_norms_at_zero_and_elsewhere(level: int) -> None:
    norm = "norm[i, j](A[i, j])"
    for order in (1, 2):
        out = by_matrix(norm, np.zeros((3, 3)), order, level=level)
        assert np.array_equal(out, np.zeros_like(out))
    a = np.random.default_rng(1).normal(size=(3, 3))
    close(by_matrix(norm, a, level=level), a / np.linalg.norm(a))
    second = (np.einsum("ik,jl->ijkl", np.eye(3), np.eye(3)) - np.multiply.outer(a, a) / np.sum(a**2)) / np.linalg.norm(
        a
    )
    close(by_matrix(norm, a, 2, level=level), second)


def test_spectral_and_nuclear_norms() -> None:
    a = np.random.default_rng(2).normal(size=(3, 3))
    u, _, vt = np.linalg.svd(a)
    close(by_matrix("max[m](svdvals(A[:, :])[m])", a), np.outer(u[:, 0], vt[0]))
    close(by_matrix("sum[m](svdvals(A[:, :])[m])", a), u @ vt)


def test_the_exponential_in_a_large_direction() -> None:
    """The block matrix is scaled, so that an adjoint of any size neither overflows nor costs digits."""
    a = 0.3 * np.random.default_rng(3).normal(size=(3, 3))
    plain = by_matrix("trace(expm(A[:, :])[:, :])", a)
    close(by_matrix("1e30*trace(expm(A[:, :])[:, :])", a) / 1e30, plain, 1e-13)
    from scipy.linalg import expm

    close(plain, expm(a).T)
