"""Sweeps by products with a kernel: equal to those from the exponents, whatever the kernel; derived where there are some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from tests.language.helpers import good
from vspec.compiler import pipeline
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.pipeline import compile_spec
from vspec.compiler.report.strategies import strategies
from vspec.runtime.methods.method import Problem, Scaling
from vspec.runtime.methods.scaling import BOUND, empty, sound, swept
from vspec.runtime.objective import Objective
from vspec.runtime.problem import problem
from vspec.runtime.program import Program, load
from vspec.runtime.run import run
from vspec.runtime.space import Space
from vspec.runtime.stages.loop import Loop
from vspec.runtime.stages.record import resolve
from vspec.runtime.stages.solve import Solve

COMPILE_QUICKLY = True  # see conftest.py

TRANSPORT = """\
vspec: 1
name: transport
precision: PRECISION
dims: {'i, j': 16}
constants: {eta: 300.0, sweeps: 60}
data:
  C[i, j]: {draw: "uniform(0, 1)", seed: 0}
  a[i]: {draw: "uniform(0.5, 2)", seed: 1}
params:
  x[i]: {init: 0}
  y[j]: {init: 0}
define:
  r[i]: a[i]/sum[j](a[j])
  P[i, j]: exp(eta*(x[i] + y[j] - C[i, j]) - 1)
objectives:
  dual: sum[i](r[i]*x[i]) + sum[j](y[j])/size(j) - sum[i, j](P[i, j])/eta
solve: {maximize: dual, method: "block_coordinate([x], [y], form=FORM)", steps: sweeps}
outputs:
  P[i, j]: P[i, j]
"""

MARGINALS = """\
vspec: 1
name: marginals
precision: float64
dims: {i: 5, j: 4, k: 3}
constants:
  w[k]: [0.2, 0.5, 0.3]
data:
  C[i, j, k]: {draw: "normal(0, 3)", seed: 0}
params:
  x[i]: {init: 0}
  y[j]: {init: 0}
  z[k]: {init: 0}
objectives:
  loss: >-
    sum[i, j, k](exp(x[i] + 2*y[j] + z[k] - C[i, j, k])) - mean[i](x[i]) - 2*mean[j](y[j]) - sum[k](w[k]*z[k]) + 1
solve: {minimize: loss, method: "block_coordinate(form=FORM)", steps: 40}
"""


def built(text: str, folder: Path) -> Program:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return load(pipeline.build(path, folder / "build", stablehlo=False).directory)


def transport(folder: Path, form: str, precision: str = "float64", **constants: float) -> Any:
    text = TRANSPORT.replace("PRECISION", precision).replace("FORM", form)
    return run(built(text, folder), out=folder / "results", constants=constants or None)


def by_hand(eta: float, sweeps: int) -> np.ndarray[Any, Any]:
    C = np.random.default_rng(0).uniform(0, 1, (16, 16))
    a = np.random.default_rng(1).uniform(0.5, 2, 16)
    r, c = a / a.sum(), np.full(16, 1 / 16)
    x, y = np.zeros(16), np.zeros(16)
    for _ in range(sweeps):
        x = (np.log(r) + 1 - logsumexp(eta * (y[None] - C), axis=1)) / eta
        y = (np.log(c) + 1 - logsumexp(eta * (x[:, None] - C), axis=0)) / eta
    return np.asarray(np.exp(eta * (x[:, None] + y[None] - C) - 1))


def whole(program: Program, bound: Any) -> Problem:
    """The objective of a program's one stage, to be minimised."""
    (record,) = program.manifest["plan"]
    objective = Objective(program, record["names"][0], record)
    space = Space.of(program.manifest["params"], tuple(record["over"]), {})
    sign = -1.0 if record["kind"] == "maximize" else 1.0
    return problem(objective, space, sign, {}, bound)


@pytest.mark.parametrize("eta", [3.0, 300.0, 3e5])
def test_both_forms_are_the_same_in_float64(eta: float, tmp_path: Path) -> None:
    with jax.enable_x64(True):
        for form in ("scaling", "log"):
            (tmp_path / form).mkdir()
            found = transport(tmp_path / form, form, eta=eta)
            np.testing.assert_allclose(found.outputs["P"], by_hand(eta, 60), rtol=1e-7, atol=1e-14)


def test_weak_regularisation_in_float32(tmp_path: Path) -> None:
    """At this strength `exp(-eta*C)` is zero in float32 for all but the smallest costs, and rows of it vanish."""
    eta = 2e4
    C = np.random.default_rng(0).uniform(0, 1, (16, 16)).astype(np.float32)
    assert (np.exp(-np.float32(eta) * C).sum(axis=1) == 0).any()
    found = {}
    for form in ("scaling", "log"):
        (tmp_path / form).mkdir()
        found[form] = np.asarray(transport(tmp_path / form, form, "float32", eta=eta).params["x"])
    # Potentials are known up to rounding of the costs, which are below 1.
    np.testing.assert_allclose(found["scaling"], found["log"], atol=5e-6)
    assert np.isfinite(found["scaling"]).all()


def test_a_sweep_is_right_whatever_the_kernel(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        program = built(TRANSPORT.replace("PRECISION", "float64").replace("FORM", "auto"), tmp_path)
        bound = program.bind()
        f = whole(program, bound)
        ((blocks, scaled),) = f.scaled.items()
        assert blocks == (("x",), ("y",))
        rng = np.random.default_rng(2)
        start = {"x": jnp.asarray(rng.normal(size=16) / 20), "y": jnp.asarray(rng.normal(size=16) / 20)}
        wanted = dict(start)
        for names in blocks:
            wanted |= f.blocks[names](wanted)
        near = {k: v + 0.01 for k, v in wanted.items()}
        far = {k: v + jnp.linspace(0, 2, 16) for k, v in wanted.items()}
        kernels = {"empty": empty(scaled, start), "near": scaled.kernel(near), "far": scaled.kernel(far)}
        one = jax.jit(lambda point, kernel: swept(f, blocks, scaled, point, kernel))
        for kernel in kernels.values():
            point, value, kept = one(start, kernel)
            for k, x in wanted.items():
                np.testing.assert_allclose(point[k], x, rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(value, f.value(wanted), rtol=1e-9)
            # Products serve at the point that the sweep has led to, whether by this kernel or one made there.
            assert bool(sound(scaled.blocks[0](point, kept)))
        assert not bool(sound(scaled.blocks[0](start, kernels["empty"])))
        lost = scaled.blocks[1](start, kernels["far"])
        assert float(lost.drift) > BOUND
        assert not bool(sound(lost))


def test_products_take_no_exponential_of_an_array(tmp_path: Path) -> None:
    """A block in the scaling form takes exponentials of vectors only, and one of a sweep gives the objective besides."""
    with jax.enable_x64(True):
        program = built(TRANSPORT.replace("PRECISION", "float64").replace("FORM", "auto"), tmp_path)
        bound = program.bind()
        f = whole(program, bound)
        (scaled,) = f.scaled.values()
        start = program.initial_params(bound)
        kernel = scaled.kernel(start)
        for block in scaled.blocks:
            jaxpr = jax.make_jaxpr(lambda point, kernel, block=block: block(point, kernel)[:3])(start, kernel)
            sizes = [e.outvars[0].aval.size for e in jaxpr.eqns if e.primitive.name in ("exp", "log")]
            assert sizes
            assert max(sizes) <= 16
            assert sum(e.primitive.name == "dot_general" for e in jaxpr.eqns) == 1
        assert scaled.blocks[0](start, kernel).value is None
        assert scaled.blocks[1](start, kernel).value is not None


def test_three_blocks_that_are_no_transport(tmp_path: Path) -> None:
    """Kernels have any number of indices, terms any coefficient, and the objective constants of its own."""
    with jax.enable_x64(True):
        found = {}
        for form in ("scaling", "log"):
            (tmp_path / form).mkdir()
            program = built(MARGINALS.replace("FORM", form), tmp_path / form)
            found[form] = run(program, out=tmp_path / form / "results")
        for name in ("x", "y", "z"):
            np.testing.assert_allclose(found["scaling"].params[name], found["log"].params[name], rtol=1e-9, atol=1e-11)
        values = [f.stages[0].value for f in found.values()]
        np.testing.assert_allclose(values[0], values[1], rtol=1e-12)
        bound = program.bind()
        x, y, z = (found["log"].params[k] for k in "xyz")
        P = np.exp(x[:, None, None] + 2 * y[:, None] + z - np.asarray(bound.data["C"]))
        np.testing.assert_allclose(P.sum((0, 1)), [0.2, 0.5, 0.3], rtol=1e-9)


ENDING = """\
  residual: sum[i](abs(r[i] - sum[j](P[i, j]))) + sum[j](abs(1/size(j) - sum[i](P[i, j])))
"""


def ending(form: str, condition: str = "residual < 1e-9") -> str:
    """Transport whose sweeps end by a condition."""
    text = TRANSPORT.replace("PRECISION", "float64").replace("FORM", form)
    return text.replace("objectives:", f"{ENDING}objectives:").replace(
        "steps: sweeps", f"steps: 5000, until: {condition}"
    )


def test_a_sweep_ends_by_what_it_keeps(tmp_path: Path) -> None:
    """The condition is read off the kernel, to the same step as from the exponents."""
    with jax.enable_x64(True):
        found = {}
        for form in ("scaling", "log"):
            (tmp_path / form).mkdir()
            found[form] = run(built(ending(form), tmp_path / form), out=tmp_path / form / "results").stages[0]
        assert found["scaling"].reason == found["log"].reason == "until"
        assert found["scaling"].steps == found["log"].steps > 100


def test_a_condition_by_products_takes_no_exponential_of_an_array(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        program = built(ending("auto"), tmp_path)
        (record,) = program.manifest["plan"]
        bound, start = program.bind(), program.initial_params(program.bind())
        (scaled,) = whole(program, bound).scaled.values()

        def reached(params: Any, kernel: Any) -> Any:
            return program.call(record["entries"]["until"], params, bound.at({**bound.counters, **kernel}))

        # Where the kernel was made at the point itself, sums and condition are those of the point.
        end = {k: jnp.asarray(x) for k, x in run(program, out=tmp_path / "results").params.items()}
        for point, ended in ((start, False), (end, True)):
            told = reached(point, scaled.kernel(point))
            assert float(told["drift"]) == 0
            assert bool(told["reached"]) is bool(program.call(record["until"], point, bound)) is ended
        jaxpr = jax.make_jaxpr(reached)(start, scaled.kernel(start))
        assert max(e.outvars[0].aval.size for e in jaxpr.eqns if e.primitive.name == "exp") == 16


def test_a_kernel_that_serves_nothing_ends_nothing(tmp_path: Path) -> None:
    """Before there is a kernel, and where it is too far away, the condition is evaluated from the exponents."""
    with jax.enable_x64(True):
        program = built(ending("auto", "residual < 1e6"), tmp_path)
        (record,) = program.manifest["plan"]
        bound = program.bind()
        (scaled,) = whole(program, bound).scaled.values()
        start = program.initial_params(bound)
        kernels = {"empty": empty(scaled, start), "far": scaled.kernel({k: x + 1.0 for k, x in start.items()})}
        loop = Loop(program, Solve(program, resolve(program, bound, record, (0,)), True))
        for kernel in kernels.values():
            loop.transition.kernel = lambda memory, kernel=kernel: kernel  # type: ignore[method-assign, misc]
            assert not bool(sound(Scaling({}, *drift(program, record, start, bound, kernel), None)))
            assert bool(loop._reached(record["until"], start, bound, None))


def drift(program: Program, record: Any, params: Any, bound: Any, kernel: Any) -> Any:
    found = program.call(record["entries"]["until"], params, bound.at({**bound.counters, **kernel}))
    return found["drift"], found["share"]


def rows(text: str) -> list[dict[str, Any]]:
    return [r for r in strategies(compile_spec(good(text))) if r["kind"] == "sweep"]


def test_the_form_is_chosen_by_cost_and_told() -> None:
    text = TRANSPORT.split("\n", 2)[2].replace("PRECISION", "float64")
    (row,) = rows(text.replace("FORM", "auto"))
    assert row["chosen"] == "scaling"
    assert row["what"] == "exact minima by [x], [y] of dual"
    costs = {x["name"]: x["flops"] for x in row["among"]}
    assert costs["scaling"] < costs["log"]
    # A kernel that serves two sweeps costs more than it saves.
    (row,) = rows(text.replace("FORM", "auto").replace("steps: sweeps", "steps: 2"))
    assert row["chosen"] == "log"
    (row,) = rows(text.replace("FORM", "scaling").replace("steps: sweeps", "steps: 2"))
    assert (row["chosen"], row["because"]) == ("scaling", "asked for")
    assert not rows(text.replace("FORM", "log"))


def test_a_kernel_is_kept_within_the_memory_budget() -> None:
    text = TRANSPORT.split("\n", 2)[2].replace("PRECISION", "float64")

    def row(form: str, memory: int | None) -> tuple[str, str]:
        spec = good(text.replace("FORM", form))
        (found,) = [r for r in strategies(compile_spec(spec, tuning=Tuning(memory=memory))) if r["kind"] == "sweep"]
        return found["chosen"], found["because"]

    # The kernel and its two terms have 16*16 + 16 + 16 numbers.
    assert row("auto", 8 * 288) == ("scaling", "least cost")
    assert row("auto", 8 * 288 - 1) == ("log", "the kernel would take too much memory")
    assert row("auto", None) == ("scaling", "least cost")
    assert row("scaling", 1000) == ("scaling", "asked for")


@pytest.mark.parametrize(
    ("objective", "blocks", "over"),
    [
        ("sum[i]((x[i] - a[i])**2) + sum[j]((y[j] - x[j])**2)", "[x], [y]", "[x, y]"),
        # The other param meets the array in a product, so that the exponent does not part.
        ("sum[i, j](exp(x[i] - y[j]*C[i, j])) - sum[i](x[i]) + sum[j](y[j]**2)", "[x]", "x"),
    ],
)
def test_what_has_no_scaling_form_is_refused_where_it_is_asked_for(objective: str, blocks: str, over: str) -> None:
    text = (
        "dims: {'i, j': 4}\ndata:\n  C[i, j]: real\n  a[i]: real\nparams:\n  x[i]: {init: 0}\n  y[j]: {init: 0}\n"
        f"objectives:\n  loss: {objective}\n"
        f'solve: {{minimize: loss, over: {over}, method: "block_coordinate({blocks}, form=FORM)"}}\n'
    )
    with pytest.raises(SpecError) as e:
        compile_spec(good(text.replace("FORM", "scaling")))
    (found,) = e.value.diagnostics
    assert found.code == "VS0268"
    assert "not each block has logarithms of sums" in found.message
    assert not rows(text.replace("FORM", "auto"))
