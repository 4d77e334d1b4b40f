"""Exact minima of blocks and proximal maps, derived from objectives, against brute-force minimisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from tests.support.effort import examples
from tests.support.evaluate import evaluate
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.program import enter_equations
from vspec.compiler.calculus.structure import piecewise
from vspec.compiler.calculus.structure.blocks import Domain, NoMinimumError, block
from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.calculus.structure.forms import Facts
from vspec.compiler.calculus.structure.pointwise import Bounds
from vspec.compiler.calculus.structure.proximal import NoProxError, proximal
from vspec.compiler.calculus.structure.stationary import stationary
from vspec.compiler.calculus.structure.summands import summands
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Node
from vspec.compiler.passes import STABILISE_RULES
from vspec.compiler.pipeline import check_text

HEAD = """\
vspec: 1
name: structure
precision: float64
dims: {n: 7, 'i, j': 4, k: 3, g: 2}
constants: {lam: 0.7, mu: 0.3, tau: 0.2}
data:
  X[n, i]: real
  y[n]: real
  a[i]: real
  p[i]: real
  S[i, k]: real
params:
  x[i]: {init: 0}
  z[k]: {init: 0}
  W[n, k]: {init: 0}
  H[k, i]: {init: 0}
  G[g, k]: {init: 0}
  c: {init: 0}
"""
SIZES = {"n": 7, "i": 4, "k": 3, "g": 2}
FACTS = Facts(likely=frozenset({"lam", "mu", "tau"}))


def values(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {
        "X": (7, 4),
        "y": (7,),
        "a": (4,),
        "S": (4, 3),
        "z": (3,),
        "W": (7, 3),
        "H": (3, 4),
        "G": (2, 3),
        "x": (4,),
    }
    made = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    scalars = {"lam": 0.7, "mu": 0.3, "tau": 0.2, "c": 0.4, "lr": 0.35}
    return made | {"p": rng.uniform(0.5, 2.0, 4)} | {k: np.asarray(v) for k, v in scalars.items()}


def lowered(objective: str, rules: bool = True) -> tuple[Builder, Node, dict[str, Node]]:
    spec, diagnostics = check_text(f'{HEAD}objectives:\n  loss: "{objective}"\n', "structure.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    b = Builder(SIZES, STABILISE_RULES if rules else ())
    low = Lowering(b, spec.letters, spec.dims, spec.file)
    enter_equations(spec, low)
    return b, low.get("loss"), low.values


def value_of(node: Node, at: dict[str, Any]) -> float:
    return float(evaluate([node], at, SIZES)[0])


def minimum_by_each(loss: Any, start: np.ndarray[Any, Any], low: float, high: float) -> np.ndarray[Any, Any]:
    """The minimum of a function whose elements do not meet, one after the other."""
    best = start.copy()
    for k in range(start.size):

        def along(t: float, k: int = k) -> float:
            moved = best.copy()
            moved.flat[k] = t
            return float(loss(moved))

        best.flat[k] = minimize_scalar(along, bounds=(low, high), method="bounded", options={"xatol": 1e-11}).x
    return best


# --- terms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("mean[n](sum[i](X[n, i]*x[i]) + y[n]*c) - 3*(c - 2*c**2)/lam", 4),
        ("lam*sum[i](abs(x[i]) + mu*x[i]**2) + sum[n](y[n])", 2),
        ("sum[i](x[i])*sum[j](x[j]) - c", 2),
        ("sum[i](sum[j](x[i]*a[j]) + x[i]**2)/lam", 2),
    ],
)
def test_summands_add_up(text: str, count: int) -> None:
    b, loss, names = lowered(text)
    params = [names["x"], names["c"]]
    found = summands(b, loss, params)
    assert len(found) == count
    total = b.add([s.value(b) for s in found])
    rest = b.map(("sub", slot(0), slot(1)), [loss, total], "real")
    one, other = values(1), values(2)
    # What is left out does not depend on the params.
    assert value_of(rest, one) == pytest.approx(
        value_of(rest, one | {"x": other["x"], "c": np.asarray(3.0)}), abs=1e-10
    )


@pytest.mark.parametrize(
    ("text", "degree"),
    [
        ("sum[i](a[i]*x[i])", 1),
        ("sum[n]((y[n] - sum[i](X[n, i]*x[i]))**2)", 2),
        ("sum[i](x[i]*(x[i] + a[i])) if lam > 0 else c", 2),
        ("sum[i](exp(a[i]))", 0),
        ("sum[i](exp(x[i]))", None),
        ("sum[i](x[i]**3)", None),
        ("sum[i](x[i]/(1 + c**2))", 1),
        ("sum[i](stop(x[i]))", None),
    ],
)
def test_degrees(text: str, degree: int | None) -> None:
    _, loss, names = lowered(text)
    assert Degrees([names["x"]]).of(loss) == degree


# --- functions of one variable ----------------------------------------------------------------------------------------


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 9), st.booleans()), min_size=1, max_size=4),
    st.integers(1, 8),
    st.integers(-9, 9),
    st.integers(0, 4),
)
def test_minima_of_functions_with_kinks(
    kinks: list[tuple[int, int, bool]], curvature: int, slope: int, extra: int
) -> None:
    u = sp.Symbol("x0", real=True)
    function = extra * (u + sp.Abs(u - 1)) ** 2 / 4
    for t, weight, both in kinks:
        function += weight * (sp.Abs(u - t) if both else (u - t + sp.Abs(u - t)) / 2)
    found = piecewise.minimum(piecewise.split(function, u), u, sp.Integer(curvature), sp.Integer(slope))
    b = Builder({})
    ours = value_of(b.map(found.tree, [b.number(0.0)], "real"), {})
    whole = sp.lambdify(u, sp.Rational(curvature, 2) * u**2 + slope * u + function)
    best = minimize_scalar(whole, bounds=(-60, 60), method="bounded", options={"xatol": 1e-12}).x
    assert ours == pytest.approx(best, abs=1e-5)
    assert whole(ours) <= whole(best) + 1e-9


A, B, C = (sp.Symbol(f"x{k}", positive=True) for k in (1, 2, 3))


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 8), st.floats(0.2, 3), st.floats(0.2, 3), st.floats(-2, 2))
def test_stationary_points(which: int, a: float, b: float, c: float) -> None:
    real, positive, free = sp.Symbol("x0", real=True), sp.Symbol("x0", positive=True), sp.Symbol("x3", real=True)
    u = real if which in (0, 1, 2) else positive
    function = [
        A * sp.exp(B * u) - u,
        A * sp.exp(u) + B * sp.exp(-u) + free * u,
        (A + B) * sp.log(1 + sp.exp(u)) - A * u,
        -A * sp.log(u) + B * u,
        -A * sp.log(u) + free * u + B * u**2 / 2,
        A / u + B * u**2,
        u * sp.log(u / A) + free * u,
        u ** sp.Rational(3, 2) + free * u - A * sp.sqrt(u),
        -A * sp.log(u) - B * sp.log(1 - u),
    ][which]
    ends = (0, 1) if which == 8 else (None, None)
    root = stationary(sp.diff(function, u), u, *(None if e is None else sp.Integer(e) for e in ends))
    at = {A: a, B: b, free: c}
    ours = float(root.expr.subs(at))
    inner = sp.lambdify(u, function.subs(at))
    low, high = {8: (1e-9, 1 - 1e-9)}.get(which, (-12.0, 12.0) if u is real else (1e-9, 40.0))
    best = minimize_scalar(inner, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    assert inner(ours) <= inner(best) + 1e-7 * (1 + abs(inner(best)))


# --- blocks -----------------------------------------------------------------------------------------------------------

INF = float("inf")
ELEMENTS = [
    ("sum[i](p[i]*x[i]**2 - a[i]*x[i])", None),
    ("sum[i, k]((x[i] - S[i, k])**2)/2 + mu*sum[i](x[i]**2)", None),
    ("sum[i](p[i]*x[i]**2 - a[i]*x[i])", (-0.2, 0.1)),
    ("sum[i](x[i]**2 - a[i]*x[i] + lam*abs(x[i]))", None),
    ("sum[i](x[i]**2 - a[i]*x[i] + lam*abs(x[i] - 1)) + sum[i](max(x[i], 0))", (-0.3, INF)),
    ("sum[i, k](exp(lam*(x[i] + S[i, k]) - 1)) - sum[i](p[i]*x[i])", None),
    ("sum[i](p[i]*log(1 + exp(x[i]))) - mu*sum[i](p[i]*x[i])", None),
    ("sum[i](exp(x[i] - c) + exp(c - x[i]) + a[i]*x[i])", None),
    ("-sum[i, k](S[i, k]**2*log(x[i])) + sum[i](p[i]*x[i])", (1e-9, INF)),
    ("sum[i](x[i]*log(x[i]/p[i]) - x[i]) + sum[i, k](S[i, k]*x[i])", (1e-9, INF)),
    ("sum[i](p[i]*x[i] + lam/x[i])", (1e-9, INF)),
    ("sum[i, k](lam*(a[i] - x[i]*S[i, k])**2)", (-0.05, 0.3)),
    ("sum[i](p[i]*x[i]**1.5/1.5 - lam*x[i])", (1e-9, INF)),
    ("-sum[i](p[i]*log(x[i]) + lam*log(1 - x[i]))", (0.0, 1.0)),
]


@pytest.mark.parametrize(("text", "box"), ELEMENTS)
@pytest.mark.parametrize("rules", [True, False])
def test_elements_are_minimised(text: str, box: tuple[float, float] | None, rules: bool) -> None:
    b, loss, names = lowered(text, rules)
    ends = Bounds(*(b.number(e) for e in box)) if box else Bounds()
    found = block(b, loss, [names["x"]], [Domain(ends)], FACTS)
    at = values()
    (ours,) = evaluate(found.values, at, SIZES)
    low, high = (max(box[0], -20), min(box[1], 20)) if box else (-20.0, 20.0)

    def inner(x: Any) -> float:
        return value_of(loss, at | {"x": x})

    best = minimum_by_each(inner, np.clip(at["x"], low + 1e-3, high - 1e-3), low, high)
    assert inner(ours) <= inner(best) + 1e-10
    np.testing.assert_allclose(ours, best, atol=2e-5)


QUADRATIC = [
    ("sum[n]((y[n] - sum[i](X[n, i]*x[i]))**2) + mu*sum[i](x[i]**2)", ["x"]),
    ("sum[n]((y[n] - sum[i](X[n, i]*x[i]) - c)**2)", ["x", "c"]),
    ("sum[n, i]((X[n, i] - sum[k](W[n, k]*H[k, i]))**2) + mu*sum[n, k](W[n, k]**2)", ["W"]),
    ("sum[n, i]((X[n, i] - sum[k](W[n, k]*H[k, i]))**2) + mu*sum[i, k](H[k, i]**2)", ["H"]),
    ("sum[n]((y[n] - sum[k, i](H[k, i]*X[n, i]*(1 + index(k))))**2) + sum[k, i]((H[k, i] - a[i])**2)", ["H"]),
    ("sum[n, k]((W[n, k] - y[n]*z[k])**2) + sum[n, k](W[n, k]**2)", ["W"]),
    ("sum[n, k]((W[n, k] - y[n]*z[k] - c)**2) + sum[k](z[k]*a[0])", ["z", "c"]),
    ("sum[i](x[i]*x[i]) + sum[i, j](x[i]*S[i, 0]*S[j, 0]*x[j]) - x[1]", ["x"]),
]


@pytest.mark.parametrize(("text", "block_of"), QUADRATIC)
def test_quadratic_blocks_are_solved(text: str, block_of: Sequence[str]) -> None:
    b, loss, names = lowered(text)
    found = block(b, loss, [names[n] for n in block_of])
    at = values()
    solved = dict(zip(block_of, evaluate(found.values, at, b.dims), strict=True))
    least = value_of(loss, at | solved)
    rng = np.random.default_rng(3)
    # At the minimum of a quadratic form, a step of length h to either side costs the same, h**2 times something.
    for _ in range(6):
        step = {n: rng.normal(size=np.shape(x)) for n, x in solved.items()}
        up, down = (value_of(loss, at | {n: x + s * step[n] for n, x in solved.items()}) for s in (1e-2, -1e-2))
        assert up == pytest.approx(down, rel=1e-9)
        assert up > least


def test_systems_along_a_shared_axis_are_one_factor() -> None:
    b, loss, names = lowered("sum[n, i]((X[n, i] - sum[k](W[n, k]*H[k, i]))**2) + mu*sum[n, k](W[n, k]**2)")
    found = block(b, loss, [names["W"]])
    below = [n for n in _all(found.values) if n.op == "cholesky"]
    assert [len(n.axes) for n in below] == [2]


def _all(roots: Sequence[Node]) -> list[Node]:
    from vspec.compiler.graph.node import topological

    return topological(roots)


@pytest.mark.parametrize("box", [None, (0.0, INF), (-0.1, 0.2)])
def test_sweeps_reach_the_minimum_with_kinks_and_bounds(box: tuple[float, float] | None) -> None:
    text = "sum[n]((y[n] - sum[i](X[n, i]*x[i]))**2)/2 + lam*sum[i](abs(x[i])) + mu*sum[i](x[i]**2)"
    b, loss, names = lowered(text)
    ends = Bounds(*(b.number(e) for e in box)) if box else Bounds()
    found = block(b, loss, [names["x"]], [Domain(ends)], FACTS)
    assert found.how == ("sweep",)
    at = values()
    before = INF
    for _ in range(60):
        (at["x"],) = evaluate(found.values, at, SIZES)
        now = value_of(loss, at)
        assert now <= before + 1e-12
        before = now
    low, high = box or (-INF, INF)
    start = np.clip(at["x"] + 0.01, low, high)
    least = minimize(
        lambda x: value_of(loss, at | {"x": x}),
        start,
        method="Nelder-Mead",
        bounds=[(None if low == -INF else low, None if high == INF else high)] * 4,
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 800},
    )
    assert value_of(loss, at) <= least.fun + 1e-10


def test_factors_of_a_matrix_are_swept_column_by_column() -> None:
    b, loss, names = lowered("sum[n, i]((X[n, i] - sum[k](W[n, k]*H[k, i]))**2)/2")
    found = block(b, loss, [names["W"]], [Domain(Bounds(b.number(0)))])
    at = values()
    W, H, X = np.abs(at["W"]), np.abs(at["H"]), at["X"]
    (ours,) = evaluate(found.values, at | {"W": W, "H": H}, SIZES)
    gram, right = H @ H.T, X @ H.T
    for k in range(3):
        W[:, k] = np.maximum(0, W[:, k] - (W @ gram[:, k] - right[:, k]) / gram[k, k])
    np.testing.assert_allclose(ours, W, atol=1e-12)


def test_sinkhorn_is_a_block_in_logarithms() -> None:
    text = "sum[i, k](exp(lam*(x[i] + z[k] - S[i, k]) - 1))/lam - sum[i](x[i])/4 - sum[k](z[k])/3"
    b, loss, names = lowered(text)
    found = block(b, loss, [names["x"]], facts=FACTS)
    at = values() | {"lam": np.asarray(2000.0)}
    (ours,) = evaluate(found.values, at, SIZES)
    truth = (np.log(1 / 4) + 1 - logsumexp(2000.0 * (at["z"] - at["S"]), axis=1)) / 2000.0
    np.testing.assert_allclose(ours, truth, rtol=1e-12)
    assert [str(c.node.attrs[0]) for c in found.conditions] == ["lam"]


@pytest.mark.parametrize(
    "text",
    [
        "-sum[i](p[i]*log(x[i])) + c*sum[i](x[i])",
        "-sum[i, k](S[i, k]**2*log(x[i]))",
        "sum[i](x[i]*log(x[i])) + sum[i](a[i]*x[i])",
        "lam*sum[i](x[i]*log(x[i]/p[i])) + sum[i, k](S[i, k]*x[i])",
    ],
)
def test_shares_on_a_simplex(text: str) -> None:
    b, loss, names = lowered(text)
    found = block(b, loss, [names["x"]], [Domain(simplex=("i",))], FACTS)
    at = values()
    (ours,) = evaluate(found.values, at, SIZES)
    assert np.sum(ours) == pytest.approx(1, abs=1e-12)
    assert np.all(ours > 0)
    rng = np.random.default_rng(5)
    least = value_of(loss, at | {"x": ours})
    for _ in range(20):
        other = rng.dirichlet(np.ones(4))
        for t in (1e-3, 0.1, 1.0):
            assert value_of(loss, at | {"x": ours + t * (other - ours)}) >= least - 1e-12


@pytest.mark.parametrize(
    ("text", "domain", "reason"),
    [
        ("sum[i](x[i]**2)", Domain(simplex=("i",)), "on a simplex"),
        ("-sum[i](p[i]*log(x[i])) + sum[i](a[i]*x[i])", Domain(simplex=("i",)), "together have no closed form"),
        ("sum[i](p[i]*x[i]*log(x[i]))", Domain(simplex=("i",)), "must have one weight"),
        ("sum[i]((x[i] - a[i])**2)", Domain(positive=True), "nothing keeps its minimum from 0"),
    ],
)
def test_domains_without_a_closed_form(text: str, domain: Domain, reason: str) -> None:
    b, loss, names = lowered(text)
    with pytest.raises(NoMinimumError, match=reason):
        block(b, loss, [names["x"]], [domain], FACTS)


@pytest.mark.parametrize(
    ("text", "block_of", "reason"),
    [
        ("sum[n](log(1 + exp(sum[i](X[n, i]*x[i]))))", ["x"], "several of its elements meet there"),
        ("sum[i](x[i])", ["x"], "linear in it"),
        ("sum[i](x[i]**2 + exp(x[i]))", ["x"], "mixes different functions"),
        ("sum[i](x[i]**4 + x[i])", ["x"], "polynomial of degree 3"),
        ("sum[i, k](log(1 + exp(x[i] + S[i, k]))) - sum[i](x[i])", ["x"], "taken out of the sum over k"),
        ("sum[i](x[i]**2 + abs(x[i]) + abs(x[i] - a[i]))", ["x"], "which of its kinks comes first"),
        ("sum[i](exp(x[i]*c) - x[i] - c)", ["x", "c"], "it meets the param 'c' there"),
        ("sum[i](abs(x[i]) + x[i]**2*(1 + c) + c**2)", ["x", "c"], "it meets the param 'c' there"),
        ("sum[i](sin(x[i]))", ["x"], "no closed-form"),
        ("sum[i](exp(x[i]) + exp(lam*x[i]) - x[i])", ["x"], "different rates"),
    ],
)
def test_reasons_why_there_is_no_minimum(text: str, block_of: Sequence[str], reason: str) -> None:
    b, loss, names = lowered(text)
    with pytest.raises(NoMinimumError, match=reason):
        block(b, loss, [names[n] for n in block_of], facts=FACTS)


# --- proximal maps ----------------------------------------------------------------------------------------------------

PROXIMAL = [
    ("sum[n]((y[n] - sum[i](X[n, i]*x[i]))**2) + lam*sum[i](abs(x[i]))", "x", None),
    ("lam*sum[i](p[i]*abs(x[i] - a[i]))", "x", None),
    ("sum[i](max(tau*x[i], (tau - 1)*x[i])) + lam*sum[i](max(x[i], 0))", "x", None),
    ("lam*sum[i](abs(x[i]))", "x", (-0.1, 0.4)),
    ("sum[n](y[n])*c", "x", (0.0, INF)),
    ("sum[i](lam*abs(x[i]) if x[i] > 0 else mu*abs(x[i]))", "x", None),
    ("lam*norm[i](x[i])", "x", None),
    ("lam*norm[i](x[i] - a[i])", "x", None),
    ("lam*sum[g](sqrt(sum[k](G[g, k]**2)))", "G", None),
    ("lam*sum[g](norm[k](G[g, k])) + mu*sum[g, k](abs(G[g, k]))", "G", None),
    ("sum[g](index(g)*norm[k](2*G[g, k]))", "G", None),
    ("20*lam*sum[g](norm[k](G[g, k]))", "G", None),
]


@pytest.mark.parametrize(("text", "name", "box"), PROXIMAL)
@pytest.mark.parametrize("rules", [True, False])
def test_proximal_maps(text: str, name: str, box: tuple[float, float] | None, rules: bool) -> None:
    b, loss, names = lowered(text, rules)
    length = b.input("lr", "length", (), "real")
    ends = Bounds(*(b.number(e) for e in box)) if box else Bounds()
    found = proximal(b, loss, [names[name]], length, [Domain(ends)], FACTS)
    assert found.maps[0] is not None
    at = values()
    v = at[name]
    (ours,) = evaluate([found.maps[0]], at, SIZES)
    rough = b.map(("sub", slot(0), slot(1)), [loss, found.smooth], "real")

    def inner(x: Any) -> float:
        x = np.reshape(x, v.shape)
        return value_of(rough, at | {name: x}) + float(np.sum((x - v) ** 2)) / (2 * 0.35)

    low, high = box or (-INF, INF)
    bounds = [(None if low == -INF else low, None if high == INF else high)] * v.size
    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 6000, "maxfev": 6000}
    for start in (v, ours + 0.01, 0 * v):
        best = minimize(inner, np.clip(start.ravel(), low, high), method="Nelder-Mead", bounds=bounds, options=options)
        assert inner(ours) <= best.fun + 1e-10


@pytest.mark.parametrize(
    "text",
    [
        "sum[n](max(1 - y[n]*sum[i](X[n, i]*x[i]), 0)**2)",
        "sum[n](abs(y[n] - x[0])**2/2 if abs(y[n] - x[0]) <= 1 else abs(y[n] - x[0]) - 0.5)",
        "sum[n]((y[n] - c - x[0])**2/2 if abs(y[n] - c - x[0]) <= 1 else abs(y[n] - c - x[0]) - 0.5)",
        "sum[n](log(1 + exp(-y[n]*sum[i](X[n, i]*x[i]))))",
    ],
)
def test_kinks_that_cancel_are_smooth(text: str) -> None:
    b, loss, names = lowered(text)
    found = proximal(b, loss, [names["x"], names["c"]], b.input("lr", "length", (), "real"))
    assert found.maps == (None, None)
    at = values()
    assert value_of(found.smooth, at) == pytest.approx(value_of(loss, at))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sum[n](abs(y[n] - sum[i](X[n, i]*x[i])))", "several of its elements meet there"),
        ("sum[i](abs(x[i] - c))", "it has 'x' and 'c' in one term"),
        ("max[i](x[i])", "several of its elements meet there"),
        ("sum[i](exp(abs(x[i])))", "not quadratic"),
        ("norm[i](x[i]) + sum[i](abs(x[i] - 1))", "meets other terms"),
        ("norm[i](a[i]*x[i])", "several of its elements meet there"),
    ],
)
def test_reasons_why_there_is_no_proximal_map(text: str, reason: str) -> None:
    b, loss, names = lowered(text)
    with pytest.raises(NoProxError, match=reason):
        proximal(b, loss, [names["x"], names["c"]], b.input("lr", "length", (), "real"), facts=FACTS)
