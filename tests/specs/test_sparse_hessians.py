"""Hessians of which the formula shows where they are zero: few products give them, and systems with them go along a chain."""

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
from vspec.compiler.graph.strategy import choices_of
from vspec.runtime.methods import banded
from vspec.runtime.methods.newton import Newton
from vspec.runtime.methods.tied import shapes_of
from vspec.runtime.objective import Objective
from vspec.runtime.problem import problem
from vspec.runtime.space import Space
from vspec.runtime.sparsity import Sparsity, sparsity

COMPILE_QUICKLY = True

HEAD = "vspec: 1\nname: p\nprecision: float64\n"
# Formula by formula: dims, params, objective; the products that give all entries, and the distance from the diagonal.
SPECS: dict[str, tuple[str, str, str, int, int]] = {
    "chain": (
        "{t: 60, s: 59}",
        "  x[t]: {init: 0.3}\n",
        "sum[t](exp(x[t]) - t0[t]*x[t]) + 5*sum[s]((x[s + 1] - x[s])**2*(1 + x[s]**2)) + x[0]**4 + x[-1]**2",
        3,
        1,
    ),
    "ring": (
        "{t: {size: 60, boundary: periodic}}",
        "  x[t]: {init: 0.3}\n",
        "sum[t](x[t]**4/4 - t0[t]*x[t] + sqrt(1 + (x[t + 1] - x[t])**2))",
        3,
        2,
    ),
    "grid": (
        "{t: {size: 9, boundary: zero}, s: {size: 7, boundary: reflect}}",
        "  x[t, s]: {init: 0.3}\n",
        "sum[t, s](x[t, s]**4 - t0[t]*x[t, s] + (x[t + 1, s] - x[t, s])**2 + exp(x[t, s + 1] - x[t, s]))",
        11,
        7,
    ),
    "states": (
        "{t: 20, s: 19, k: 2, l: 2}",
        "  x[t, k]: {init: 0.3}\n  drift[s]: {init: 0.1}\n  pull: {init: 0.2}\n  width: {init: 1, domain: positive}\n",
        "sum[t, k]((x[t, k] - t0[t])**2/width) + 20*log(width) + 1/width + sum[s](drift[s]**2) + pull**2"
        " + sum[s, k](cosh(x[s + 1, k] - (1 - pull)*sum[l](x[s, l]/2) - drift[s]))",
        10,
        4,
    ),
    "strided": (
        "{t: 61, s: 30}",
        "  x[t]: {init: 0.3}\n",
        "sum[t](x[t]**4 - t0[t]*x[t]) + sum[s](exp(x[2*s + 2] - x[2*s]) + x[2*s + 1]**2*x[2*s]**2)",
        5,
        2,
    ),
    "series": (
        "{n: 4, t: 30, s: 29}",
        "  x[n, t]: {init: 0.3, domain: positive}\n",
        "sum[n, t](x[n, t] - (2 + t0[t])**2*log(x[n, t])) + sum[n, s]((x[n, s + 1] - x[n, s])**2)",
        3,
        1,
    ),
}


def built(folder: Path, text: str) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(HEAD + text)
    return vspec.load(pipeline.build(folder / "p.yaml", folder / "out", stablehlo=False).directory)


def spec(dims: str, params: str, objective: str, method: str = "newton(tol=1e-9)") -> str:
    data = "data:\n  t0[t]: {draw: 'normal(0, 1)', seed: 1}\n"
    solve = f'solve: {{minimize: f, method: "{method}"}}\n'
    return f"dims: {dims}\n{data}params:\n{params}objectives:\n  f: {objective}\n{solve}"


def ordered(program: Any, at: dict[str, Any]) -> Sparsity:
    found = sparsity(shapes_of(at), Objective(program, "f").pattern or ())
    assert found is not None
    return found


def matrices(program: Any) -> tuple[Any, Any, Sparsity]:
    """The Hessian at some point from the entries that are kept, and JAX's; the order."""
    data = program.bind()
    rng = np.random.default_rng(0)
    start = {k: x + rng.uniform(0, 0.5, size=x.shape) for k, x in program.initial_params(data).items()}
    objective = Objective(program, "f")
    flat, unravel = ravel_pytree(start)
    order = ordered(program, start)

    def product(v: Any) -> Any:
        return ravel_pytree(objective.hvp(start, data, unravel(v)))[0]

    def matrix() -> Any:
        kept = banded.entries(order, jax.vmap(product)(banded.directions(order, flat.dtype)))
        return jax.vmap(lambda v: banded.times(order, kept, v))(jnp.eye(flat.size))

    return jax.jit(matrix)(), jax.jit(jax.hessian(lambda x: objective.value(unravel(x), data)))(flat), order


@pytest.mark.parametrize("kind", [k for k in SPECS if k not in ("ring", "series")])
def test_few_products_give_the_hessian(kind: str, tmp_path: Path) -> None:
    *formula, products, width = SPECS[kind]
    program = built(tmp_path, spec(*formula))
    assert set(program.manifest["plan"][0]["entries"]) >= {"hvp"}, "chosen without being asked for"
    found, wanted, order = matrices(program)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)
    assert (order.products, order.width) == (products, width)


@pytest.mark.parametrize("kind", ["ring", "series"])
def test_it_leads_to_the_optimum_of_the_dense_one(kind: str, tmp_path: Path) -> None:
    *formula, _, _ = SPECS[kind]
    values = {}
    methods = ("hessian=dense", "hessian=sparse")
    if kind == "series":
        methods = (*methods, "hessian=sparse, linear=cg(rtol=1e-10)", "hessian=sparse, search=trust_region")
    for k, how in enumerate(methods):
        result = vspec.run(built(tmp_path / str(k), spec(*formula, f"newton(tol=1e-9, {how})")))
        assert result.stages[0].reason in ("tolerance", "stalled"), how
        values[how] = (float(result.stages[0].value), int(result.stages[0].steps))
    value, steps = values["hessian=dense"]
    for how, found in values.items():
        assert found[0] == pytest.approx(value, rel=1e-10), how
    assert values["hessian=sparse"][1] == steps


def test_no_array_of_all_pairs_is_made(tmp_path: Path) -> None:
    """The work of a step is that of a few gradients: linear in the unknowns."""
    *formula, _, _ = SPECS["chain"]
    program = built(tmp_path, spec(*formula).replace("60", "3000").replace("59", "2999"))
    data = program.bind()
    start = program.initial_params(data)
    whole = problem(Objective(program, "f"), Space.of(program.manifest["params"], ["x"]), 1.0, {}, data)
    auto: dict[str, Any] = {"name": "auto", "arguments": {}}
    method = Newton(tol=1e-9, damping=0.0, hessian=auto, linear=auto, search={"name": "armijo", "arguments": {}})
    jaxpr = jax.make_jaxpr(lambda p: method.step(whole, method.init(whole, p)))(start)
    assert largest(jaxpr.jaxpr) <= 4 * 3000


def test_the_choice_is_told(tmp_path: Path) -> None:
    *formula, _, _ = SPECS["chain"]
    (tmp_path / "p.yaml").write_text(HEAD + spec(*formula))
    graph = pipeline.compile_spec(pipeline.check(tmp_path / "p.yaml")[0]).graph
    (row,) = [c for c in choices_of(graph) if c.kind == "Hessian"]
    assert row.chosen == "sparse"
    assert row.because == "3 products give all entries, within 1 place of the diagonal"
    assert row.among[0].flops < row.among[1].flops / 5


@pytest.mark.parametrize(
    "objective",
    [
        "sum[t](x[t]**2) + sum[t](x[t])**4",
        "sum[t](cumsum[t](x[t])**4) + sum[t](x[t]**2)",
        "sum[t](sort[t](x[t])**2*t0[t]) + sum[t](exp(x[t]*x[0]))",
    ],
)
def test_where_all_meet_it_stays_as_it_was(objective: str, tmp_path: Path) -> None:
    program = built(tmp_path, spec("{t: 40}", "  x[t]: {init: 0.3}\n", objective))
    assert program.manifest["plan"][0].get("pattern") is None


@pytest.mark.parametrize(
    ("objective", "asked"), [("log(1 + sum[t](exp(x[t])))", False), (SPECS["chain"][2].replace("t0[t]*", ""), True)]
)
def test_a_hessian_that_is_full_is_not_put_in_order(objective: str, asked: bool, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    orders: list[Any] = []
    found = sparsity
    monkeypatch.setattr("vspec.runtime.sparsity.sparsity", lambda *a: (orders.append(a), found(*a))[1])
    text = f"{HEAD}dims: {{t: 60, s: 59}}\nparams:\n  x[t]: {{init: 0.3}}\nobjectives:\n  loss: {objective}\n"
    spec, diagnostics = pipeline.check_text(f"{text}solve: {{minimize: loss, method: newton}}\n", "p.yaml")
    assert spec is not None, diagnostics
    pipeline.compile_spec(spec)
    assert bool(orders) == asked
