"""What newton keeps of a Hessian: the terms the program gives are the Hessian, and every form of it leads to the same optimum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import vspec
from tests.support.traced import largest
from vspec.compiler import pipeline
from vspec.runtime.methods.tied import dense, shapes_of
from vspec.runtime.objective import Objective

HEAD = "vspec: 1\nname: p\nprecision: float64\n"
# A batch of small problems, a diagonal that meets a few shared params, and the dual of transport.
SPECS = {
    "slices": (
        "dims: {n: 12, k: 3}\ndata:\n  a[n, k]: {draw: 'normal(0, 1)', seed: 1}\nparams:\n  x[n, k]: {init: 0.1}\n"
        "objectives:\n  f: sum[n, k]((x[n, k] - a[n, k])**2 + exp(x[n, k])/9) + sum[n](sum[k](x[n, k])**4)\n"
    ),
    "arrow": (
        "dims: {n: 40, k: 2}\ndata:\n  a[n]: {draw: 'normal(0, 1)', seed: 1}\n  b[n, k]: {draw: 'normal(0, 1)', seed: 2}\n"
        "params:\n  x[n]: {init: 0}\n  w[k]: {init: 0.5}\n  c: {init: 0}\n"
        "objectives:\n  f: sum[n](log(1 + exp(x[n] + sum[k](b[n, k]*w[k]) + c)) + (x[n] - a[n])**2) + sum[k](w[k]**4) + c**2\n"
    ),
    "transport": (
        "dims: {i: 20, j: 16}\ndata:\n  C[i, j]: {draw: 'uniform(0, 1)', seed: 0}\n"
        "params:\n  x[i]: {init: 0}\n  y[j]: {init: 0}\n"
        "objectives:\n  f: sum[i, j](exp(9*(x[i] + y[j] - C[i, j])))/9 - sum[i](x[i])/20 - sum[j](y[j])/16\n"
    ),
}
METHODS = {
    "slices": ("hessian=dense", "hessian=structured"),
    "arrow": ("hessian=dense", "hessian=structured", "hessian=structured, search=trust_region"),
    "transport": (
        "hessian=dense",
        "hessian=structured",
        "hessian=structured, linear=cg",
        "hessian=products",
        "hessian=sparsified(400), linear=cg(rtol=1e-10)",
    ),
}


def built(folder: Path, text: str) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(HEAD + text)
    return vspec.load(pipeline.build(folder / "p.yaml", folder / "out", stablehlo=False).directory)


@pytest.mark.parametrize("kind", SPECS)
def test_terms_are_the_hessian(kind: str, tmp_path: Path) -> None:
    program = built(tmp_path, SPECS[kind] + "solve: {minimize: f, method: newton(hessian=structured)}\n")
    data = program.bind()
    rng = np.random.default_rng(0)
    start = {k: x + rng.normal(size=x.shape) / 5 for k, x in program.initial_params(data).items()}
    objective = Objective(program, "f")
    value, gradient, arrays = objective.structure(start, data)
    flat, unravel = ravel_pytree(start)

    def plain(x: Any) -> Any:
        return objective.value(unravel(x), data)

    np.testing.assert_allclose(value, plain(flat), rtol=1e-12)
    np.testing.assert_allclose(ravel_pytree(gradient)[0], jax.grad(plain)(flat), rtol=1e-9, atol=1e-12)
    assert objective.terms is not None
    np.testing.assert_allclose(
        dense(objective.terms, shapes_of(start), arrays), jax.hessian(plain)(flat), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("kind", SPECS)
def test_every_form_leads_to_the_same_optimum(kind: str, tmp_path: Path) -> None:
    values = {}
    for k, method in enumerate(METHODS[kind]):
        solve = f'solve: {{minimize: f, method: "newton(tol=1e-9, {method})"}}\n'
        program = built(tmp_path / str(k), SPECS[kind] + solve)
        result = vspec.run(program)
        assert result.stages[0].reason in ("tolerance", "stalled"), method
        values[method] = float(result.stages[0].value)
    for method, value in values.items():
        assert value == pytest.approx(values["hessian=dense"], rel=1e-9), method


def test_auto_keeps_terms_where_a_hessian_falls_apart(tmp_path: Path) -> None:
    """One entry with shared work instead of a dense Hessian; no array of all pairs of unknowns in a step."""
    text = SPECS["slices"].replace("n: 12", "n: 300")
    program = built(tmp_path, text + "solve: {minimize: f, method: newton}\n")
    (stage,) = program.manifest["plan"]
    assert "structure" in stage["entries"]
    assert not {"newton", "hvp"} & set(stage["entries"])
    assert {tuple(map(tuple, t["ties"])) for t in stage["structure"]} == {((0, 0),), ((0, 0), (1, 1))}
    result = vspec.run(program)
    assert result.stages[0].reason == "tolerance"


def test_auto_stays_dense_where_it_does_not(tmp_path: Path) -> None:
    text = (
        "dims: {n: 50, i: 40}\ndata:\n  X[n, i]: {draw: 'normal(0, 1)', seed: 1}\nparams:\n  w[i]: {init: 0}\n"
        "objectives:\n  f: sum[n](log(1 + exp(sum[i](X[n, i]*w[i])))) + sum[i](w[i]**2)\n"
    )
    program = built(tmp_path, text + "solve: {minimize: f, method: newton}\n")
    assert "newton" in program.manifest["plan"][0]["entries"]
    assert program.manifest["plan"][0].get("structure") is None


def test_auto_keeps_no_term_over_pairs_of_an_open_size(tmp_path: Path) -> None:
    """How much memory it would take is not known; a term along the size alone is another matter."""
    text = "dims: {k: auto}\ndata:\n  K[k]: real\nparams:\n  v[k]: {init: 0}\n  u[k]: {init: 0}\nobjectives:\n  f: FORMULA\n"
    plan = {}
    for name, formula in (
        ("pairs", "sum[k](v[k]**2*u[k]**2) + sum[k](v[k])**2"),
        ("alone", "sum[k](K[k]*v[k]**4*exp(u[k]))"),
    ):
        program = built(tmp_path / name, text.replace("FORMULA", formula) + "solve: {minimize: f, method: newton}\n")
        plan[name] = program.manifest["plan"][0].get("structure")
    assert plan["pairs"] is None
    assert plan["alone"] is not None


def test_an_exponential_is_taken_once(tmp_path: Path) -> None:
    """Value, gradient and terms of the dual of transport share the plan."""
    program = built(tmp_path, SPECS["transport"] + "solve: {minimize: f, method: newton(hessian=structured)}\n")
    data = program.bind()
    jaxpr = jax.make_jaxpr(lambda p: program.call("f_structure", p, data))(program.initial_params(data))
    assert str(jaxpr).count(" exp ") == 1


def test_the_largest_array_of_a_step_is_a_term(tmp_path: Path) -> None:
    """Elimination slice by slice forms no matrix of all unknowns."""
    from vspec.runtime.elimination import eliminate
    from vspec.runtime.methods.tied import direction

    n, k = 200, 3
    terms = [("x", "x", ((0, 0),)), ("x", "w", ()), ("w", "w", ())]
    shapes = {"w": (4,), "x": (n, k)}
    arrays = [jnp.ones((n, k, k)) + 3 * jnp.eye(k), jnp.ones((n, k, 4)), 900 * jnp.eye(4)]
    gradient = {"w": jnp.ones(4), "x": jnp.ones((n, k))}
    jaxpr = jax.make_jaxpr(lambda a, g: direction(eliminate(shapes, terms), terms, a, g, 0.0))(arrays, gradient)
    assert largest(jaxpr.jaxpr) <= n * k * k * 4


def test_a_singular_hessian_costs_no_steps(tmp_path: Path) -> None:
    """A constant may be moved from x to y, so that the Hessian has a direction without curvature; convergence stays quadratic."""
    for form in ("dense", "structured"):
        solve = f"solve: {{minimize: f, method: newton(tol=1e-10, hessian={form})}}\n"
        result = vspec.run(built(tmp_path / form, SPECS["transport"] + solve))
        assert result.stages[0].steps <= 12, form


TRANSPORT = """\
vspec: 1
name: transport
precision: float64
dims: {i: 100, j: 100}
constants: {eta: 250.0, keep: 5, warm: 20}
data:
  C[i, j]: {draw: "uniform(0, 1)", seed: 0}
params:
  x[i]: {init: 0}
  y[j]: {init: 0}
define:
  P[i, j]: exp(eta*(x[i] + y[j] - C[i, j]) - 1)
  residual: sum[i](abs(1/size(i) - sum[j](P[i, j]))) + sum[j](abs(1/size(j) - sum[i](P[i, j])))
objectives:
  dual: mean[i](x[i]) + mean[j](y[j]) - sum[i, j](P[i, j])/eta
solve:
  - {name: sweep, maximize: dual, method: "block_coordinate([x], [y])", steps: warm}
  - name: newton
    maximize: dual
    method: newton(hessian=sparsified(keep*size(i)), linear=cg(rtol=1e-6), search=armijo)
    until: residual < 1e-11
    steps: 60
outputs:
  value: dual + 1/eta
claims:
  few: run.newton.steps <= 7
  inner: run.newton.cg > 5*run.newton.steps and run.newton.cg < 1000
  optimum: abs(value - 0.000313688515) < 1e-11
"""


def test_transport_between_a_hundred_points(tmp_path: Path) -> None:
    """The published count of steps, 7 behind 20 sweeps, and the published value of this instance."""
    path = tmp_path / "transport.yaml"
    path.write_text(TRANSPORT)
    result = vspec.run(vspec.compile(path))
    assert all(c.holds for c in result.claims), [c.as_dict() for c in result.claims]
    assert f", {result.stages[1].cg} cg" in "\n".join(result.stages[1].lines())
