"""Variables that Markov chains draw: moments of laws known up to a constant, derivatives of expectations, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy import integrate  # type: ignore[import-untyped]

import vspec
from tests.language.helpers import codes, good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.pipeline import compile_spec

SAMPLERS = {
    "metropolis": "metropolis(step=1, burn=300)",
    "mala": "mala(step=0.2, burn=200)",
    "hmc": "hmc(step=0.4, leapfrog=5, burn=50)",
}
A, C = 0.4, 0.3
W = 3_000
# A banana in two dimensions, and a scalar law without a mean in closed form.
BENT = "-(x[w, 0] - a)**2/2/exp(2*c) - (x[w, 1] - x[w, 0]**2/4)**2"


def bent(a: float, c: float) -> Any:
    """E[(x0, x1, sin(x0 + 2*x1))] by quadrature: the trapezoid rule, exact to rounding for such densities."""
    x, y = np.meshgrid(np.linspace(-8, 9, 301), np.linspace(-6, 26, 601), indexing="ij")
    p = np.exp(-((x - a) ** 2) / 2 / np.exp(2 * c) - (y - x**2 / 4) ** 2)
    return np.array([np.sum(p * f) / np.sum(p) for f in (x, y, np.sin(x + 2 * y))])


def test_the_rule_of_the_reference_is_exact() -> None:
    p = integrate.quad(lambda x: np.exp(-((x - A) ** 2) / 2 / np.exp(2 * C)) * x**2 / 4, -9, 9)[0]
    q = integrate.quad(lambda x: np.exp(-((x - A) ** 2) / 2 / np.exp(2 * C)), -9, 9)[0]
    assert bent(A, C)[1] == pytest.approx(p / q, abs=1e-8)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    random, define, outputs = [], [], []
    parts = {"x": "v[w, 0]", "y": "v[w, 1]", "s": "sin(v[w, 0] + 2*v[w, 1] + 0*a)"}
    for name, sampler in SAMPLERS.items():
        energy = BENT.replace("x[", f"{name}[")
        random.append(
            f'  "{name}[w, e]": {{law: "unnormalized({energy})", sampler: "{sampler}", init: "normal(0, 1)"}}'
        )
        for part, text in parts.items():
            text = text.replace("v[", f"{name}[")
            define.append(f'  "{part}_{name}[w]": E[{name}]({text})')
            outputs += [
                f"  m_{part}_{name}: mean[w]({part}_{name}[w])",
                f"  e_{part}_{name}: sqrt(var[w]({part}_{name}[w])/size(w))",
            ]
            for p in "ac":
                define.append(f'  "{p}_{part}_{name}[w]": "d({part}_{name}[w], {p})"')
                outputs += [
                    f"  m_{p}_{part}_{name}: mean[w]({p}_{part}_{name}[w])",
                    f"  e_{p}_{part}_{name}: sqrt(var[w]({p}_{part}_{name}[w])/size(w))",
                ]
    text = "\n".join(
        [
            f"precision: float64\ndims: {{w: {W}, e: 2}}\nparams:\n  a: {{init: 0}}\n  c: {{init: 0}}",
            "random:",
            *random,
            "define:",
            *define,
            "outputs:",
            *outputs,
        ]
    )
    program = Emission(good(text + "\n"), 2, tmp_path_factory.mktemp("chains") / "program.py")
    start = program.module.initial(key=jax.random.key(1))
    found = jax.jit(program.module.outputs)(**_named(start), a=A, c=C, key=jax.random.key(5))
    return {k: float(v) for k, v in found.items()}


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {k.replace(".", "_"): v for k, v in values.items() if "." in k}


@pytest.mark.parametrize("name", SAMPLERS)
def test_moments_and_their_derivatives_are_those_of_the_law(name: str, found: dict[str, float]) -> None:
    h = 1e-4
    want = bent(A, C)
    slopes = {"a": (bent(A + h, C) - bent(A - h, C)) / (2 * h), "c": (bent(A, C + h) - bent(A, C - h)) / (2 * h)}
    for k, part in enumerate(("x", "y", "s")):
        for prefix, value in (("", want[k]), *((f"{p}_", slopes[p][k]) for p in "ac")):
            mean, error = found[f"m_{prefix}{part}_{name}"], found[f"e_{prefix}{part}_{name}"]
            # Bound 4.5 on the z-score of a fixed key.
            assert abs(mean - value) <= 4.5 * error, (prefix, part, mean, value, error)
            assert 0 < error < 0.2 * (1 + abs(value))


FITTED = """\
precision: float64
dims: {w: 200, e: 2}
constants: {target: 1.5}
params:
  s: {init: 1}
random:
  x[w, e]:
    law: unnormalized(-sum[e](x[w, e]**4/s))
    sampler: mala(step=0.1, burn=40, thin=3)
    init: uniform(-1, 1)
define:
  width: E[x](mean[w](sum[e](x[w, e]**4)))
objectives:
  loss: (width - target)**2
solve: {minimize: loss, method: sgd(lr=0.3), steps: 60, average: 0.5}
outputs:
  s: s
  width: width
  x[w, e]: x[w, e]
"""


def test_chains_are_kept_between_steps_and_go_on_after_them(tmp_path: Path) -> None:
    (tmp_path / "fitted.yaml").write_text("vspec: 1\nname: fitted\n" + FITTED)
    result = vspec.run(tmp_path / "fitted.yaml", seed=3)
    # E[x**4] is s/4 for each of the two: the law of x**4 is a gamma law of shape 1/4.
    assert abs(float(result.outputs["s"]) - 3) < 0.5
    assert float(result.params["x.burnt"]) == 40
    # The place of a chain is where it is, and no mean over steps: the law of it is that of a draw.
    kept = np.asarray(result.params["x.chain"])
    assert np.mean(np.sum(kept**4, axis=1)) == pytest.approx(1.5, abs=4.5 * np.sqrt(4.5 / 200))
    # What is read at the end went on from there, by three transitions.
    drawn = np.asarray(result.outputs["x"])
    assert drawn.shape == (200, 2)
    assert 0.3 < np.corrcoef(kept[:, 0], drawn[:, 0])[0, 1] < 0.999


PLATES = """\
precision: float64
dims: {w: 300, v: 2, b: 3, n: 4}
data:
  beta[b]: {value: [0.5, 1, 2]}
  y[n]: {value: [0.1, -0.4, 1, 2]}
params:
  a: {init: 0.3}
functions:
  energy(x, p): (x - a)**2/2*p
random:
  x[b, w, v]:
    law: unnormalized(-energy(x[b, w, v], beta[b]) - 0*sum[n](y[n]*x[b, w, v]))
    sampler: SAMPLER
  z[w]: {law: "normal(x[0, w, 0] + a, 1)", estimator: reparam}
define:
  second[b]: E[x](mean[w, v](x[b, w, v]**2))
  mixed: E[x, z](mean[w](z[w]**2))
outputs:
  second[b]: second[b]
  slope[b]: d(second[b], a)
  mixed: mixed
  steep: d(mixed, a)
  density: logpdf(x[1, 0, 0]) + energy(x[1, 0, 0], 1)
"""


@pytest.mark.parametrize(
    "sampler", ["metropolis(step=2, burn=9)", "mala(step=0.4, burn=9)", "hmc(step=0.4, leapfrog=3, burn=9)"]
)
def test_plates_have_laws_of_their_own_and_all_levels_agree(sampler: str, tmp_path: Path) -> None:
    program = [
        Emission(good(PLATES.replace("SAMPLER", sampler)), level, tmp_path / f"plates_{level}.py") for level in (0, 2)
    ]
    start = program[0].call("initial", {"key": jax.random.key(1)})
    given = {**start, "beta": [0.5, 1.0, 2.0], "y": [0.1, -0.4, 1.0, 2.0], "key": jax.random.key(8)}
    slow, fast = (p.call("outputs", given) for p in program)
    values = {k: v if k == "key" else np.asarray(v) for k, v in given.items()}
    want = evaluate_graph(program[1].compiled.graph, values)["outputs"]
    for name, value in fast.items():
        np.testing.assert_allclose(value, slow[name], rtol=1e-9, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(value, want[(name,)], rtol=1e-9, atol=1e-12, err_msg=name)
    assert abs(float(fast["density"])) < 1e-12
    # The mean of x is a whatever beta is; its square is that of a normal law.
    error = 4.5 * np.sqrt(2 * 4 / 600)
    np.testing.assert_allclose(np.asarray(fast["second"]) * [0.5, 1, 2], [1.045, 1.09, 1.18], atol=2 * error)


def test_what_reads_all_chains_at_once_has_no_other_chain(tmp_path: Path) -> None:
    text = PLATES.replace("SAMPLER", "mala(step=0.4)").replace(
        "mean[w, v](x[b, w, v]**2)", "log(mean[w, v](x[b, w, v]**2))"
    )
    with pytest.raises(SpecError, match="reads several chains at once"):
        compile_spec(good(text))
    # A mean over some of the indices of chains leaves the others.
    compile_spec(
        good(text.replace("E[x](log(mean[w, v](x[b, w, v]**2)))", "E[x](mean[w](log(mean[v](x[b, w, v]**2))))"))
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean[w, v](x[b, w, v]**2)", "mean[w, v](x[b, w, v]**2), by=quadrature(9)", "means over draws"),
        ("E[x](mean[w, v](x[b, w, v]**2))", "Var[x](x[b, 0, 0]**2)", "at least three draws"),
        ("w: 300, v: 2", "w: 1, v: 1", "one chain alone"),
    ],
)
def test_expectations_that_chains_cannot_give(old: str, new: str, message: str) -> None:
    text = PLATES.replace("SAMPLER", "mala(step=0.4)")
    assert old in text
    with pytest.raises(SpecError, match=message):
        compile_spec(good(text.replace(old, new)))


@pytest.mark.parametrize(
    ("law", "sampler", "code"),
    [
        ("-x[w]**2/2", "mala(step=-1)", "VS0696"),
        ("-x[w]**2/2", "walk(step=1)", "VS0696"),
        ("-(x[w] - x[0])**2", "mala(step=0.1)", "VS0699"),
    ],
)
def test_chains_that_cannot_be_run(law: str, sampler: str, code: str) -> None:
    variable = f'  x[w]: {{law: "unnormalized({law})", sampler: "{sampler}"}}\n'
    text = f"dims: {{w: 8}}\nrandom:\n{variable}outputs:\n  a: mean[w](x[w])\n"
    assert code in codes(text)


def test_laws_with_draws_of_their_own_take_no_sampler() -> None:
    text = 'random:\n  z: {law: "normal(0, 1)", sampler: "mala(step=0.1)"}\noutputs:\n  a: 2*z\n'
    assert "VS0697" in codes(text)
