"""Sums of squares found in objectives: residuals whose squares sum to the objective but for a constant, and their Jacobian."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.calculus.test_structure import SIZES, lowered, values
from tests.support.effort import examples
from tests.support.evaluate import evaluate
from tests.support.program import Emission
from vspec.compiler.calculus.structure.squares import NoSquareError, powers, squares
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Node
from vspec.compiler.pipeline import check_text, compile_spec

PARAMS = ("x", "z", "W", "H", "G", "c")

# What is squared, by the number of its axes, for objectives in the names of HEAD.
SUMS: dict[str, list[int]] = {
    "sum[n]((y[n] - c*exp(x[0]*X[n, 0]))**2)": [1],
    "mean[n]((y[n] - sum[i](X[n, i]*x[i]))**2)/2 + lam/2*sum[i](x[i]**2) + 3*lam": [1, 1],
    "norm[i](x[i] - a[i])**2": [1],
    "norm[n, k](W[n, k])**2/2 - sum[n](y[n])": [2],
    "sum[n](abs(y[n] - c)**2*p[0]) + x[0]*x[0]": [1, 0],
    "sum[i](p[i]*x[i]**2)": [1],
    "sum[i](exp(c)*(x[i] - a[i])**2)": [1],
    "square(c - 1) + (c*x[0])**4 - 2*mu*(3 - 4)*sum[k](z[k]*z[k])": [0, 0, 1],
    "0.5*(sum[i](x[i]**2) + sum[k](2*(z[k] - 1)**2))": [1, 1],
    "var[i](x[i])": [1],
    "sum[i](x[i]**2)**2": [0],
    "sum[n, i]((X[n, i] - sum[k](W[n, k]*H[k, i]))**2) + lam*sum[k, i](H[k, i]**2)": [2, 2],
    "sum[i](abs(x[i])*x[i]**2/abs(x[i]))": [1],
    "sum[n](p[1]*mean[i]((x[i] - X[n, i])**2))": [2],
    "7*(c/(1 + x[0]**2))**2 + log(p[0])": [0],
    "sum[n]((y[n]*c)**2)/sum[n](y[n]**2)": [1],
}

NONE = {
    "-sum[i](x[i]**2)": "minus",
    "sum[i](exp(x[i]))": "no square",
    "log(1 + exp(c))": "no square",
    "sum[i](x[i]**2) + sum[i](x[i]*a[i])": "no square",
    "x[0]**2*sum[k](z[k]**2)": "no product",
    "sum[i](abs(x[i]))": "no square",
    "sum[i](x[i]**3)": "no square",
    "max[i](x[i]**2)": "no square",
    "(c - 1)**2 - 2*c**2": "minus",
    "sum[i](x[i]**2*exp(x[i])*a[0]*x[1])": "no product",
}


def parts_of(objective: str, rules: bool = True) -> tuple[Node, list[Node], list[Node]]:
    b, value, params = lowered(objective, rules)
    found = squares(b, value, [params[p] for p in PARAMS])
    return value, found.residuals, found.weights


@pytest.mark.parametrize("rules", [True, False])
@pytest.mark.parametrize("objective", SUMS)
def test_the_squares_sum_to_the_objective(objective: str, rules: bool) -> None:
    value, residuals, weights = parts_of(objective, rules)
    assert [len(r.names) for r in residuals] == SUMS[objective]
    gaps = []
    for seed in range(3):
        # The data stay, the params move: what remains is the same constant each time.
        at = {**values(0), **{p: values(seed + 5)[p] for p in PARAMS}}
        at["c"] = np.asarray(0.3 + 0.4 * seed)
        total, *terms = evaluate([value, *residuals], at, SIZES)
        gaps.append(float(total) - sum(float(np.sum(np.square(t))) for t in terms))
        assert all(np.all(w >= 0) for w in evaluate(weights, at, SIZES))
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9, atol=1e-9 * abs(float(total)))


@pytest.mark.parametrize("objective", NONE)
def test_what_is_no_sum_of_squares(objective: str) -> None:
    b, value, params = lowered(objective)
    with pytest.raises(NoSquareError, match=NONE[objective]) as caught:
        squares(b, value, [params[p] for p in PARAMS])
    assert caught.value.summand.body is not None


def test_signs_that_are_not_known_are_conditions() -> None:
    _, _, weights = parts_of("sum[i](a[i]*x[i]**2) + lam*c**2 + exp(a[0])*(c - 1)**2 + size(n)*z[0]**2")
    assert [w.names for w in weights] == [("i",), ()]


def test_powers_of_products() -> None:
    x, y = slot(0), slot(1)
    assert powers(("mul", x, ("square", ("mul", num(3), x)), y)) == [(x, 3), (num(3), 2), (y, 1)]
    assert powers(("div", ("square", ("abs", x)), ("pow", y, num(2)))) == [(x, 2), (y, -2)]
    assert powers(("pow", ("sqrt", ("mul", x, y)), num(2))) == [(x, 1), (y, 1)]
    assert powers(("div", ("mul", x, y), x)) == [(y, 1)]
    assert powers(("neg", x)) == [(num(-1), 1), (x, 1)]
    assert powers(("sqrt", x)) == [(("sqrt", x), 1)]


TERMS = (
    "lam*sum[i]((x[i] - a[i])**2)",
    "mean[n]((y[n] - sum[i](X[n, i]*tanh(x[i])))**2)",
    "(c*x[1] - 2)**2/3",
    "norm[k](sin(z[k]))**2*exp(-1)",
    "sum[n, k](p[0]*(W[n, k]*c)**2)",
    "sum[k]((z[k]*c)**2/(1 + a[0]**2))",
    "5*log(p[1])",
    "2*(sum[i](x[i]*a[i])**2 + mu*square(c))",
)


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.sampled_from(TERMS), min_size=1, max_size=4), st.integers(0, 10**6))
def test_sums_of_squares_add_up(terms: list[str], seed: int) -> None:
    value, residuals, _ = parts_of(" + ".join(terms))
    constant = 5 * np.log(values(0)["p"][1]) * terms.count("5*log(p[1])")
    at = {**values(0), **{p: values(seed)[p] for p in PARAMS}}
    total, *found = evaluate([value, *residuals], at, SIZES)
    assert float(total) == pytest.approx(sum(float(np.sum(np.square(t))) for t in found) + constant, rel=1e-10)


# --- as entries -----------------------------------------------------------------------------------------------------

PROGRAM = """\
vspec: 1
name: residuals
precision: float64
dims: {n: 7, i: 4}
constants: {lam: 0.7}
data:
  X[n, i]: real
  y[n]: real
params:
  w[i]: {init: 0}
  c: {init: 0}
  z: {init: 1j, type: complex}
define:
  residual[n]: y[n] - sum[i](X[n, i]*exp(w[i])) - c
objectives:
  loss: sum[n](residual[n]**2)/2 + lam*sum[i](w[i]**2) + abs(z*c - 2)**2 + 1
solve: {minimize: loss, method: levenberg_marquardt}
"""


@pytest.mark.parametrize("level", [0, 2])
def test_entries_are_residuals_and_their_jacobian(level: int, tmp_path: Path) -> None:
    jax.config.update("jax_enable_x64", True)
    spec, diagnostics = check_text(PROGRAM, "residuals.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    made = Emission(spec, level, tmp_path / "program.py")
    rng = np.random.default_rng(2)
    data = {"X": rng.normal(size=(7, 4)), "y": rng.normal(size=7), "lam": 0.7}
    point = {"w": jnp.asarray(rng.normal(size=4)), "c": jnp.asarray(0.4), "z": jnp.asarray(0.3 - 0.8j)}

    def call(entry: str, at: Any) -> Any:
        return made.call(entry, {**data, **at})

    residuals = call("loss_residuals", point)
    assert [r.shape for r in residuals] == [(7,), (4,), (), ()]
    loss = call("loss", point)
    assert float(sum(jnp.sum(r**2) for r in residuals)) + 1 == pytest.approx(float(loss), rel=1e-12)
    jacobian = call("loss_jacobian", point)
    for name in ("w", "c"):
        wanted = jax.jacobian(lambda x, name=name: call("loss_residuals", {**point, name: x}))(point[name])
        for k, w in enumerate(wanted):
            np.testing.assert_allclose(jacobian[k][name], w, rtol=1e-10, atol=1e-12)
    # By a complex z = x + iy: d/dx + i d/dy.
    by_x = jax.jacobian(lambda x: call("loss_residuals", {**point, "z": x + 1j * point["z"].imag}))(point["z"].real)
    by_y = jax.jacobian(lambda y: call("loss_residuals", {**point, "z": point["z"].real + 1j * y}))(point["z"].imag)
    for k, (x, y) in enumerate(zip(by_x, by_y, strict=True)):
        np.testing.assert_allclose(jacobian[k]["z"], x + 1j * y, rtol=1e-10, atol=1e-12)
    value, same, again = call("loss_squares", point)
    assert float(value) == float(loss)
    jax.tree.map(np.testing.assert_array_equal, (same, again), (residuals, jacobian))


def test_a_maximum_is_that_of_minus_squares() -> None:
    text = PROGRAM.replace("minimize: loss", "maximize: loss")
    spec, _ = check_text(text, "residuals.yaml")
    assert spec is not None
    with pytest.raises(SpecError) as caught:
        compile_spec(spec)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "VS0364"
    negated, _ = check_text(
        text.replace("loss: sum", "loss: -sum").replace(" + lam", " - lam").replace(" + abs", " - abs"), "r.yaml"
    )
    assert negated is not None
    assert "loss_squares" in {e.name for e in compile_spec(negated).graph.entries}


def test_a_stage_that_goes_the_other_way_is_refused() -> None:
    """Derivatives are shared by the stages of one objective; what is squared is that of each."""
    both = "solve:\n  - {minimize: loss, method: gauss_newton}\n  - {maximize: loss, method: gauss_newton}\n"
    spec, _ = check_text(PROGRAM[: PROGRAM.index("solve:")] + both, "residuals.yaml")
    assert spec is not None
    with pytest.raises(SpecError) as caught:
        compile_spec(spec)
    assert caught.value.diagnostics[0].code == "VS0364"
