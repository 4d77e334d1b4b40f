"""What chains give beside means over them: variances, several draws one after the other, and how many transitions are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import vspec
from tests.language.helpers import codes, good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.pipeline import compile_spec

A, C = 0.4, 0.2
S2 = float(np.exp(2 * C))
R = 3000
# Each r is an experiment of its own with six chains, so that what it gives has errors which are known.
TEXT = f"""\
precision: float64
dims: {{r: {R}, w: 6, l: 1}}
params:
  a: {{init: 0}}
  c: {{init: 0}}
data:
  mark[r]: real
random:
  x[r, w]:
    law: unnormalized(-(x[r, w] - a)**2/2*exp(-2*c) + 0*mark[r])
    sampler: hmc(step=0.8, leapfrog=3, burn=40, thin=2)
  alone[r, l]:
    law: unnormalized(-(alone[r, l] - a)**2/2*exp(-2*c) + 0*mark[r])
    sampler: hmc(step=0.8, leapfrog=3, burn=40, thin=2)
  z[r, w]: normal(x[r, w], 1)
define:
"""
# An expression for each r, its exact value, and its derivatives by a and by c.
FOUND: dict[str, tuple[str, float, float, float]] = {
    "variance": ("mean[w](Var[x](x[r, w]))", S2, 0, 2 * S2),
    "of_squares": ("mean[w](Var[x](x[r, w]**2))", 2 * S2**2 + 4 * A**2 * S2, 8 * A * S2, 8 * S2**2 + 8 * A**2 * S2),
    "covariance": ("mean[w](Cov[x](x[r, w]**2, a + 3*x[r, w]))", 6 * A * S2, 6 * S2, 12 * A * S2),
    "by_hand": ("mean[w](Var[x](c*x[r, w]))", C**2 * S2, 0, 2 * C * S2 + 2 * C**2 * S2),
    "many": ("mean[w](E[x](x[r, w]**2, by=samples(20)))", A**2 + S2, 2 * A, 2 * S2),
    "both": ("mean[w](E[x, z](z[r, w]**2, by=samples(20)))", A**2 + S2 + 1, 2 * A, 2 * S2),
}
# Of draws that follow one another, of which the covariance lacks a share that falls with their number.
CLOSE: dict[str, tuple[str, float, float, float]] = {
    "long": ("mean[w](Var[x](x[r, w], by=samples(20)))", S2, 0, 2 * S2),
    "one_chain": ("E[alone](mean[l](alone[r, l]**2), by=samples(60))", A**2 + S2, 2 * A, 2 * S2),
    "one_varies": ("Var[alone](mean[l](alone[r, l]), by=samples(60))", S2, 0, 2 * S2),
    "all_at_once": ("Var[x](mean[w](x[r, w]), by=samples(60))", S2 / 6, 0, S2 / 3),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    both = {**FOUND, **CLOSE}
    defined = "".join(f"  {name}[r]: {text}\n" for name, (text, *_) in both.items())
    shown = "".join(f"  {n}_0[r]: {n}[r]\n  {n}_a[r]: d({n}[r], a)\n  {n}_c[r]: d({n}[r], c)\n" for n in both)
    program = Emission(good(TEXT + defined + "outputs:\n" + shown), 2, tmp_path_factory.mktemp("draws") / "program.py")
    start = program.module.initial(key=jax.random.key(1))
    kept = {k.replace(".", "_"): v for k, v in start.items() if "." in k}
    return jax.jit(program.module.outputs)(**kept, a=A, c=C, key=jax.random.key(5))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", FOUND)
def test_estimates_are_unbiased(name: str, found: dict[str, Any]) -> None:
    for suffix, want in zip("0ac", FOUND[name][1:], strict=True):
        got = np.asarray(found[f"{name}_{suffix}"])
        error = float(np.std(got) / np.sqrt(R))
        # Bound 4.5 on the z-score of a fixed key.
        assert abs(np.mean(got) - want) <= 4.5 * error, (suffix, np.mean(got), want, error)
        assert 0 < error < 0.2 * (1 + abs(want))


@pytest.mark.parametrize("name", CLOSE)
def test_draws_one_after_the_other_lack_a_share_that_falls_with_their_number(name: str, found: dict[str, Any]) -> None:
    for suffix, want in zip("0ac", CLOSE[name][1:], strict=True):
        got = np.asarray(found[f"{name}_{suffix}"])
        error = float(np.std(got) / np.sqrt(R))
        assert abs(np.mean(got) - want) <= 4.5 * error + 0.06 * abs(want), (suffix, np.mean(got), want, error)


RATE = """\
precision: float64
dims: {b: 3, w: 4000}
constants: {width: 2}
data:
  spread[b]: {value: [1, 2, 4]}
random:
  x[b, w]:
    law: unnormalized(-(x[b, w]/spread[b])**2/2)
    sampler: metropolis(step=width, burn=60, thin=8)
outputs:
  rate[b]: mean[w](acceptance(x[b, w]))
  each[w]: acceptance(x[0, w])
  first: acceptance(x[2, 1])
"""


def test_the_share_of_transitions_that_are_taken_is_that_of_the_sampler(tmp_path: Path) -> None:
    # Of a normal step of length h deviations from a normal law, (2/pi) atan(2/h) are taken.
    (tmp_path / "rate.yaml").write_text("vspec: 1\nname: rate\n" + RATE + "params: {unused: {init: 0}}\n")
    rates = np.asarray(vspec.run(tmp_path / "rate.yaml", seed=4).outputs["rate"])
    want = 2 / np.pi * np.arctan([1, 2, 4])
    # The first transitions of all, 60, are not all from where the law is reached.
    np.testing.assert_allclose(rates, want, atol=0.02)


TAKEN = """\
vspec: 1
name: taken
precision: float64
dims: {w: 500, e: 2}
params:
  m: {init: 0}
  width: {init: 8}
random:
  x[w, e]:
    law: unnormalized(-sum[e]((x[w, e] - m)**2)/2)
    sampler: metropolis(step=width, burn=20, thin=5)
objectives:
  loss: (E[x](mean[w](x[w, 0])) - 1)**2
solve:
  minimize: loss
  over: m
  method: sgd(lr=0.2)
  steps: 200
  update: {width: "width*exp(0.2*(mean[w](acceptance(x[w, :])) - 0.3))"}
outputs:
  rate: mean[w](acceptance(x))
  m: m
  each[w]: acceptance(x)
"""


def test_a_step_length_may_follow_the_share_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "taken.yaml").write_text(TAKEN)
    result = vspec.run(tmp_path / "taken.yaml", seed=2)
    # Two dims: five transitions of 500 chains, after a length that is settled to the share of 0.3.
    assert abs(float(result.outputs["rate"]) - 0.3) < 0.05
    assert float(result.params["width"]) < 4
    assert abs(float(result.outputs["m"]) - 1) < 0.15
    each = np.asarray(result.outputs["each"]) * 5
    np.testing.assert_allclose(each, np.round(each), atol=1e-9)
    assert np.unique(np.round(each)).size > 3


def test_what_nobody_asks_for_is_not_counted() -> None:
    text = RATE.replace("  rate[b]: mean[w](acceptance(x[b, w]))\n  each[w]: acceptance(x[0, w])\n", "")
    assert "taken" in compile_spec(good(text)).emitted.text
    assert "taken" not in compile_spec(good(text.replace("acceptance(x[2, 1])", "x[2, 1]"))).emitted.text


def test_all_levels_agree(tmp_path: Path) -> None:
    text = TEXT.replace(f"r: {R}", "r: 3")
    shown = {n: FOUND[n][0] for n in ("covariance", "many", "both")} | {n: CLOSE[n][0] for n in ("long", "all_at_once")}
    text += "".join(f"  {n}[r]: {t}\n" for n, t in shown.items()) + "outputs:\n"
    text += "".join(f"  {n}_0[r]: {n}[r]\n  {n}_c[r]: d({n}[r], c)\n" for n in shown)
    program = [Emission(good(text), level, tmp_path / f"draws_{level}.py") for level in (0, 2)]
    start = program[0].call("initial", {"key": jax.random.key(1)})
    given = {**start, "a": A, "c": C, "mark": np.zeros(3), "key": jax.random.key(8)}
    slow, fast = (p.call("outputs", given) for p in program)
    values = {k: v if k == "key" else np.asarray(v) for k, v in given.items()}
    want = evaluate_graph(program[1].compiled.graph, values)["outputs"]
    for name, value in fast.items():
        np.testing.assert_allclose(value, slow[name], rtol=1e-8, atol=1e-11, err_msg=name)
        np.testing.assert_allclose(value, want[(name,)], rtol=1e-8, atol=1e-11, err_msg=name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("E[x](mean[w](x[r, w]), by=enumerate)", "means over draws"),
        ("E[x](mean[w](x[r, w]), by=samples(4, antithetic=true))", "antithetic"),
        ("E[x](mean[w](x[r, w]), by=samples(4, common=true))", "common"),
        ("Var[x](mean[w](x[r, w]))", "at least three draws, and what varies reads several chains"),
        ("Var[alone](alone[r, 0])", "at least three draws"),
        ("Var[alone](alone[r, 0], by=samples(2))", "at least three draws"),
        ("Var[x, z](z[r, 0])", "is over it alone"),
        ("E[alone](alone[r, 0])", "one chain alone"),
    ],
)
def test_what_chains_do_not_give(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        compile_spec(good(TEXT + f"  f[r]: {text}\noutputs:\n  f[r]: f[r]\n"))


@pytest.mark.parametrize("text", ["acceptance(z[r, w])", "acceptance(a)", "acceptance(x[r, w] + 1)", "acceptance()"])
def test_only_chains_are_accepted(text: str) -> None:
    assert "VS0690" in codes(TEXT + "  f: a\noutputs:\n  f: f\n  q[r, w]: " + text + "\n")
