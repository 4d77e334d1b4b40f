"""Points side by side give what each gives by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vspec
from vspec.runtime.program import Program
from vspec.runtime.sweep.points import ALONE, TOGETHER, Asked, Outcome, Points

COMPILE_QUICKLY = True  # see conftest.py

Compile = Callable[[str], Program]

DATA = """
dims: {n: 12, i: 3}
data:
  X[n, i]: {draw: normal(0, 1), seed: 1}
  y[n]: {draw: normal(0, 1), seed: 2}
"""
FIT = "vspec: 1\nname: fit\nprecision: float64\n" + DATA
LOSS = "mean[n]((y[n] - sum[i](X[n, i]*w[i]))**2)/2 + lam/2*sum[i](w[i]**2)"

SPECS: dict[str, tuple[str, list[Asked]]] = {
    # A constant, and a method that ends after different numbers of steps.
    "newton": (
        FIT
        + "constants: {lam: 1.0}\nparams: {'w[i]': {init: 0}}\n"
        + f"objectives:\n  loss: {LOSS} + sum[i](exp(w[i] - lam))\n"
        + "solve: {minimize: loss, method: newton(tol=1e-12)}\noutputs: {energy: 'sum[i](w[i]**2)'}\n"
        + "claims: {small: 'energy < 0.05'}\n",
        [Asked({"lam": lam}, 0) for lam in (1e-3, 1e-1, 1.0, 10.0)],
    ),
    # Draws of the start and of batches by the seed, a history, an argument of the method that a point sets.
    "adam": (
        FIT
        + "constants: {lam: 0.1, rate: 0.1}\nparams: {'w[i]': {init: 'sample(normal(0, 1))'}}\n"
        + f"objectives:\n  loss: {LOSS}\n"
        + "solve: {minimize: loss, method: adam(lr=rate/(1 + step)), batch: {n: 4}, epochs: 7}\n"
        + "outputs:\n  loss: loss\n  energy: {is: 'sum[i](w[i]**2)', every: epoch}\n",
        [Asked({"rate": rate}, seed) for rate in (0.01, 0.1) for seed in (0, 1)],
    ),
    # Several starts, several stages, and counts that are constants.
    "starts": (
        FIT
        + "constants: {lam: 0.1, k: 5}\nparams: {'w[i]': {init: 1}}\n"
        + f"objectives:\n  loss: {LOSS} + mean[i](cos(3*w[i]))\n"
        + "solve:\n  - {minimize: loss, method: sgd(lr=0.05), steps: k}\n"
        + "  - {minimize: loss, method: lbfgs(tol=1e-9), starts: 3}\n"
        + "outputs: {loss: loss}\n",
        [Asked({"k": k, "lam": lam}, 3) for k in (2, 9) for lam in (0.1, 0.3)],
    ),
    # A repetition with a mean of iterates and an update with a stop.
    "rounds": (
        "vspec: 1\nname: rounds\nprecision: float64\nconstants: {a: 0.5, tiny: 1e-8}\n"
        + "params: {x: {init: 1}, y: {init: 2}}\nobjectives:\n  loss: (x - a*y)**2 + (y - 1)**4/4\n"
        + "solve:\n  - repeat: 9\n    stages:\n      - {minimize: loss, over: x, method: newton(tol=1e-12), steps: 5}\n"
        + "      - {update: {y: y - 0.3*((y - 1)**3 - 2*a*(x - a*y))}}\n"
        + "outputs: {x: x, y: y}\n",
        [Asked({"a": a}, 0) for a in (0.2, 0.5, 0.9)],
    ),
    # Constraints: multipliers and certificates are those of each point.
    "constrained": (
        "vspec: 1\nname: constrained\nprecision: float64\nconstants: {r: 1.0}\n"
        + "params: {x: {init: 2}, y: {init: 1}}\nobjectives:\n  loss: (x - 2)**2 + (y - 1)**2\n"
        + "constraints: {disc: 'x**2 + y**2 <= r'}\n"
        + "solve: {minimize: loss, method: newton(tol=1e-10), constraints: interior_point}\noutputs: {x: x, y: y}\n",
        [Asked({"r": r}, 0) for r in (0.5, 1.0, 9.0)],
    ),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    made: dict[str, Program] = {}

    def compile_(name: str) -> Program:
        if name not in made:
            path = tmp_path_factory.mktemp("spec") / f"{name}.yaml"
            path.write_text(SPECS[name][0], encoding="utf-8")
            made[name] = vspec.compile(path)
        return made[name]

    return compile_


def same(a: Outcome, b: Outcome) -> None:
    """Two outcomes of one point: what is counted is equal, numbers up to rounding."""
    assert a.fault == b.fault
    for x, y in ((a.params, b.params), (a.outputs, b.outputs), (a.constraints, b.constraints)):
        assert list(x) == list(y)
        for name in x:
            assert np.shape(x[name]) == np.shape(y[name])
            np.testing.assert_allclose(x[name], y[name], rtol=1e-9, atol=1e-10, err_msg=name)
    assert [(c["name"], c["holds"]) for c in a.claims] == [(c["name"], c["holds"]) for c in b.claims]

    def counted(stages: Any) -> Any:
        return [(s["reason"], s["steps"], [t["steps"] for t in s["starts"]], counted(s["stages"])) for s in stages]

    assert counted(a.stages) == counted(b.stages)
    for s, t in zip(a.stages, b.stages, strict=True):
        for what in ("value", "stationarity", "violation"):
            if s[what] is not None:
                assert s[what] == pytest.approx(t[what], rel=1e-9, abs=1e-9), what
        assert s["multipliers"].keys() == t["multipliers"].keys()


@pytest.fixture(scope="module")
def outcomes(compiled: Compile) -> Callable[[str], list[Outcome]]:
    made: dict[str, list[Outcome]] = {}

    def run(name: str) -> list[Outcome]:
        if name not in made:
            asked = SPECS[name][1]
            made[name] = Points(compiled(name)).run(asked, len(asked))
        return made[name]

    return run


@pytest.mark.parametrize("name", SPECS)
def test_together_is_what_each_is_alone(compiled: Compile, outcomes: Any, name: str) -> None:
    together = outcomes(name)
    alone = Points(compiled(name)).run(SPECS[name][1], 1)
    assert {o.how for o in together} == {TOGETHER}
    assert {o.how for o in alone} == {ALONE}
    for a, b in zip(together, alone, strict=True):
        assert a.fault is None
        same(a, b)


@pytest.mark.parametrize("name", SPECS)
def test_points_differ(outcomes: Any, name: str) -> None:
    """The test above would pass if all points were the same one."""
    values = [np.concatenate([np.ravel(x) for x in o.params.values()]) for o in outcomes(name)]
    assert all(not np.allclose(values[0], v) for v in values[1:])


def test_fewer_points_than_lanes(compiled: Compile, outcomes: Any) -> None:
    """The rest of a grid uses what was compiled for whole rows of lanes."""
    program, asked = compiled("newton"), SPECS["newton"][1]
    whole = outcomes("newton")
    rest = Points(program).run(asked, 3)  # three, and one by itself
    assert [o.how for o in rest] == [TOGETHER] * 3 + [ALONE]
    for a, b in zip(whole, rest, strict=True):
        same(a, b)


def test_a_point_that_fails_is_one_of_many(tmp_path: Path) -> None:
    """It has the error that its own run raises; the others are as if it were not there."""
    path = tmp_path / "spec.yaml"
    path.write_text(
        "vspec: 1\nname: fails\nprecision: float64\nconstants: {a: 1.0}\nparams: {x: {init: 1}}\n"
        "objectives:\n  loss: (x - 3)**2 + log(x + a)\nsolve: {minimize: loss, method: newton}\noutputs: {x: x}\n",
        encoding="utf-8",
    )
    program = vspec.compile(path)
    asked = [Asked({"a": a}, 0) for a in (1.0, -5.0, 2.0)]
    outcomes = Points(program).run(asked, 3)
    assert [o.fault.code if o.fault else "" for o in outcomes] == ["", "VS0601", ""]
    assert outcomes[1].fault is not None
    with pytest.raises(vspec.NumericsError) as raised:
        vspec.run(program, constants={"a": -5.0})
    assert outcomes[1].fault.message == raised.value.message
    assert outcomes[1].fault.line == raised.value.line == 7
    assert float(outcomes[2].outputs["x"]) == pytest.approx((1 + 23**0.5) / 2)


def test_sizes_of_batches_that_differ_run_apart(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    text = SPECS["adam"][0].replace("rate: 0.1}", "rate: 0.1, rows: 4}").replace("{n: 4}", "{n: rows}")
    path.write_text(text, encoding="utf-8")
    outcomes = Points(vspec.compile(path)).run([Asked({"rows": r}, 0) for r in (3, 4)], 2)
    assert [(o.how, o.fault) for o in outcomes] == [(ALONE, None), (ALONE, None)]


def test_searches_run_apart(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "vspec: 1\nname: implicit\nprecision: float64\nconstants: {a: 2.0}\nparams: {x: {init: 1}}\n"
        "define:\n  z: 'root[u](u**3 + u - x - a, start=0.5)'\nobjectives:\n  loss: (z - 1)**2\n"
        "solve: {minimize: loss, method: newton}\noutputs: {z: z}\n",
        encoding="utf-8",
    )
    outcomes = Points(vspec.compile(path)).run([Asked({"a": a}, 0) for a in (1.0, 2.0)], 2)
    assert [(o.how, o.fault) for o in outcomes] == [(ALONE, None), (ALONE, None)]


def test_points_with_long_steps_run_apart(tmp_path: Path) -> None:
    """On a CPU, products of large matrices are slower side by side; factorisations count, which XLA does not."""
    path = tmp_path / "spec.yaml"
    text = (
        "vspec: 1\nname: long\nprecision: float64\ndims: {'n, m': 6, i: 2}\nconstants: {a: 1.0}\nparams: {x: {init: 1}}\n"
        "data: {'X[n, i]': {draw: 'normal(0, 1)', seed: 1}}\n"
        "define:\n  'K[n, m]': a*exp(-sum[i]((X[n, i] - X[m, i])**2)) + (x**2 + 1)*delta[n, m]\n"
        "objectives:\n  loss: logdet(K[:, :]) + x**2\nsolve: {minimize: loss, method: newton, steps: 2}\n"
    )
    asked = [Asked({"a": a}, 0) for a in (1.0, 2.0)]
    path.write_text(text, encoding="utf-8")
    assert {o.how for o in Points(vspec.compile(path)).run(asked, 2)} == {TOGETHER}
    path.write_text(text.replace("'n, m': 6", "'n, m': 150"), encoding="utf-8")
    assert {o.how for o in Points(vspec.compile(path)).run(asked, 2)} == {ALONE}


def test_work_of_factorisations() -> None:
    import jax
    import jax.numpy as jnp

    from vspec.runtime.sweep.together import work

    def f(a: Any) -> Any:
        return jax.lax.fori_loop(0, 9, lambda _, b: jnp.linalg.cholesky(b @ b.T), a)

    traced = jax.jit(f).trace(jnp.eye(50))
    assert work(traced, traced.lower()) >= 50**3 + 2 * 50**3
