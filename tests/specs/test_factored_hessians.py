"""Hessians of more unknowns than observations: kept as a diagonal and rows, solved by Woodbury's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import vspec
from tests.support.diagnose import diagnosed
from tests.support.traced import largest
from vspec.compiler import pipeline
from vspec.compiler.graph.strategy import choices_of
from vspec.runtime.methods.factored import times
from vspec.runtime.objective import Objective

COMPILE_QUICKLY = True

HEAD = "vspec: 1\nname: p\nprecision: float64\n"
DATA = (
    "data:\n  X[n, k]: {draw: 'normal(0, 1)', seed: 1}\n  Z[m, k]: {draw: 'normal(0, 1)', seed: 2}\n"
    "  y[n]: {draw: 'normal(0, 1)', seed: 3}\n"
)
# Params and objective; over 9 and 5 observations of 60 weights.
SPECS: dict[str, tuple[str, str]] = {
    "logistic": (
        "  w[k]: {init: 0.1}\n  b: {init: 0}\n",
        "sum[n](log(1 + exp(-y[n]*(b + sum[k](X[n, k]*w[k]))))) + sum[k](w[k]**2)/2",
    ),
    "robust": (
        "  w[k]: {init: 0.1}\n",
        "sum[n](log(1 + (y[n] - sum[k](X[n, k]*w[k]))**2)) + sum[k](cosh(w[k]))",
    ),
    "twice": (
        "  w[k]: {init: 0.1}\n  v[k]: {init: 0.2}\n  a[n]: {init: 0}\n",
        "sum[n]((y[n] - a[n] - sum[k](X[n, k]*w[k]))**4) + sum[m](exp(sum[k](Z[m, k]*(w[k] - v[k]))/9))"
        " + sum[k](w[k]**2 + v[k]**2) + sum[n](a[n]**2) + sum[k](w[k])",
    ),
}


def text(kind: str, method: str = "newton(tol=1e-9)", sizes: str = "{n: 9, m: 5, k: 60}") -> str:
    params, objective = SPECS[kind]
    head = f"{HEAD}dims: {sizes}\n{DATA}params:\n{params}objectives:\n  f: {objective}\n"
    return f'{head}solve: {{minimize: f, method: "{method}"}}\n'


def built(folder: Path, written: str) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(written)
    return vspec.load(pipeline.build(folder / "p.yaml", folder / "out", stablehlo=False).directory)


@pytest.mark.parametrize("kind", SPECS)
def test_factors_are_the_hessian(kind: str, tmp_path: Path) -> None:
    program = built(tmp_path, text(kind))
    data = program.bind()
    rng = np.random.default_rng(0)
    start = {k: x + rng.normal(size=x.shape) / 5 for k, x in program.initial_params(data).items()}
    objective = Objective(program, "f")
    assert objective.factors is not None, "chosen without being asked for"
    value, gradient, arrays = objective.factored(start, data)
    flat, unravel = ravel_pytree(start)

    def plain(x: Any) -> Any:
        return objective.value(unravel(x), data)

    np.testing.assert_allclose(value, plain(flat), rtol=1e-12)
    np.testing.assert_allclose(ravel_pytree(gradient)[0], jax.grad(plain)(flat), rtol=1e-9, atol=1e-12)
    product = jax.jit(jax.vmap(lambda v: times(objective.factors, arrays, start, 0.0, v)))
    np.testing.assert_allclose(product(jnp.eye(flat.size)), jax.jit(jax.hessian(plain))(flat), rtol=1e-9, atol=1e-12)
    made = jax.make_jaxpr(lambda p: objective.factored(p, data))(start)
    assert largest(made.jaxpr) <= 9 * 60


def test_every_form_leads_to_the_same_optimum(tmp_path: Path) -> None:
    values = {}
    for k, how in enumerate(("dense", "factored", "factored, linear=cg(rtol=1e-9)", "factored, search=trust_region")):
        written = text("robust", f"newton(tol=1e-9, hessian={how})").replace("minimize: f", "maximize: g")
        written = written.replace("  f: ", "  g: 1 - f\ndefine:\n  f: ")
        result = vspec.run(built(tmp_path / str(k), written))
        assert result.stages[0].reason in ("tolerance", "stalled"), how
        values[how] = float(result.stages[0].value)
    for how, value in values.items():
        assert value == pytest.approx(values["dense"], rel=1e-10), how


def test_the_choice_is_told_and_goes_by_cost(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text("logistic"))
    (row,) = [
        c
        for c in choices_of(pipeline.compile_spec(pipeline.check(tmp_path / "p.yaml")[0]).graph)
        if c.kind == "Hessian"
    ]
    assert row.chosen == "factored"
    assert row.because == "9 observations of 60 unknowns with a diagonal of their own, beside 1 without one"
    (tmp_path / "p.yaml").write_text(text("logistic", sizes="{n: 90, m: 5, k: 60}"))
    graph = pipeline.compile_spec(pipeline.check(tmp_path / "p.yaml")[0]).graph
    assert not [c for c in choices_of(graph) if c.kind == "Hessian"], "more observations than unknowns"


def test_curvature_that_two_observations_share_is_refused() -> None:
    written = text("logistic", "newton(hessian=factored)").replace(
        SPECS["logistic"][1], "logsumexp[n](sum[k](X[n, k]*w[k])) + b**2 + sum[k](w[k]**2)"
    )
    (found,) = (d for d in diagnosed(written, "p.yaml") if d.severity == "error")
    assert (found.code, found.message) == (
        "VS0264",
        "the Hessian of f cannot be kept factored: its curvature is not that of single observations",
    )
