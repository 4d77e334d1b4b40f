"""Tracked means against the running mean written by hand in JAX: value, derivatives, what is kept, from step to step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from tests.language.helpers import HEAD, codes, diagnose, good
from tests.runtime.endings import same, until
from tests.support.program import Emission
from vspec.compiler.language.draws import draws_of, ordinals
from vspec.compiler.language.expr import Expectation
from vspec.compiler.language.substitute import nodes
from vspec.runtime import keys
from vspec.runtime.run import run

W = np.array([0.3, -0.5, 1.2])
SPEC = """\
precision: float64
dims: {m: 3}
params:
  w[m]: {init: 0.3*index(m)}
random:
  z[m]: {law: "normal(w[m], 1)", estimator: ESTIMATOR}
define:
  each[m]: BODY
  kept[m]: E[z](each[m], by=tracked(samples=4, rate=RATE))
objectives:
  loss: sum[m](OUTER(kept[m]) + w[m]**2)
solve: STAGE
"""
BODIES: dict[str, Callable[[Any, Any], Any]] = {
    "exp(w[m]*z[m] + sin(z[m]))": lambda w, z: jnp.exp(w * z + jnp.sin(z)),
    "2*exp(-z[m]**2)/exp(w[m])": lambda w, z: 2 * jnp.exp(-(z**2)) / jnp.exp(w),
    "(w[m] - sin(z[m]))**2": lambda w, z: (w - jnp.sin(z)) ** 2,
}
BY_LOGARITHM = list(BODIES)[:2]
RATES: dict[str, Callable[[Any], Any]] = {
    "0.3": lambda k: 0.3,
    "1": lambda k: 1.0,
    "1/(step + 1)": lambda k: 1 / (k + 1),
}


def spec_of(
    body: str,
    rate: str,
    outer: str = "log",
    estimator: str = "reparam",
    stage: str = "{minimize: loss, method: sgd(0.1)}",
) -> Any:
    text = SPEC.replace("BODY", body).replace("RATE", rate).replace("OUTER", outer)
    return good(text.replace("ESTIMATOR", estimator).replace("STAGE", stage))


def noise(spec: Any, key: Any) -> Any:
    """The noise [m, draw] of the draws of the expectation in a step with that key; each draw is a row of it."""
    e = next(e for d in spec.equations for e in nodes(d.body) if isinstance(e, Expectation))
    return jax.random.normal(jax.random.fold_in(key, ordinals(spec)[draws_of(e, "z")]), (4, 3)).T


def by_hand(body: str, outer: Callable[[Any], Any], estimator: str, eps: Any) -> Callable[..., Any]:
    """(w, u, begun, rate) → the loss and the new u, where u is the mean itself."""

    def value(w: Any, u: Any, begun: Any, rate: Any) -> Any:
        z = w[:, None] + eps
        if estimator == "score":
            z = jax.lax.stop_gradient(z)
        each = BODIES[body](w[:, None], z)
        if estimator == "score":
            log = -((z - w[:, None]) ** 2) / 2
            each = each * jnp.exp(log - jax.lax.stop_gradient(log))
        m = jnp.mean(each, axis=1)
        new = jax.lax.stop_gradient(jnp.where(begun > 0, (1 - rate) * u + rate * m, m))
        return jnp.sum(outer(new + m - jax.lax.stop_gradient(m)) + w**2), new

    return value


@pytest.mark.parametrize(
    ("body", "rate", "level"),
    [*((b, "0.3", level) for b in BODIES for level in (0, 2)), *((BY_LOGARITHM[0], r, 2) for r in list(RATES)[1:])],
)
def test_steps_are_those_written_by_hand(body: str, rate: str, level: int, tmp_path: Path) -> None:
    spec = spec_of(body, rate)
    program = Emission(spec, level, tmp_path / "program.py")
    logarithm = body in BY_LOGARITHM
    w, u, begun = jnp.asarray(W), jnp.zeros(3), jnp.zeros(3)
    for k in range(3):
        key = jax.random.key(k)
        hand = by_hand(body, jnp.log, "reparam", noise(spec, key))
        (value, new), slope = jax.value_and_grad(hand, has_aux=True)(w, u, begun, RATES[rate](k))
        kept = jnp.where(begun > 0, jnp.log(u) if logarithm else u, 0.0)
        given = {"w": w, "tracked_kept": kept, "tracked_kept_begun": begun, "key": key, "step": k}
        np.testing.assert_allclose(program.call("loss", given), value, rtol=1e-12)
        found, gradient, after = program.call("loss_step", given)
        np.testing.assert_allclose(found, value, rtol=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(program.call("loss_gradient", given), slope, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(after["tracked_kept"], jnp.log(new) if logarithm else new, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(after["tracked_kept_begun"], 1.0)
        # JAX differentiates what is emitted alike.
        if level == 2 and k == 1:
            f = jax.grad(lambda x, given=given: program.call("loss", {**given, "w": x}))
            np.testing.assert_allclose(f(w), slope, rtol=1e-11, atol=1e-12)
        w, u, begun = w - 0.1 * slope, new, jnp.ones(3)


@pytest.mark.parametrize("estimator", ["reparam", "score"])
@pytest.mark.parametrize(("body", "level"), [(b, 2) for b in BODIES] + [(BY_LOGARITHM[0], 0)])
def test_derivatives_of_the_second_order(body: str, level: int, estimator: str, tmp_path: Path) -> None:
    stage = "{descend: {'w[m]': 'd(loss, w[m]) + d(loss, w[m], w[m])'}, method: sgd(0.1), steps: 3}"
    spec = spec_of(body, "0.3", "log", estimator, stage)
    program = Emission(spec, level, tmp_path / "program.py")
    key = jax.random.key(3)
    hand = by_hand(body, jnp.log, estimator, noise(spec, key))
    u, begun = jnp.array([0.7, 2.0, 0.0]), jnp.array([1.0, 1.0, 0.0])
    kept = jnp.where(begun > 0, jnp.log(jnp.where(begun > 0, u, 1.0)) if body in BY_LOGARITHM else u, 0.0)
    given = {"w": W, "tracked_kept": kept, "tracked_kept_begun": begun, "key": key}
    slope, _ = jax.grad(hand, has_aux=True)(jnp.asarray(W), u, begun, 0.3)
    hessian, _ = jax.hessian(hand, has_aux=True)(jnp.asarray(W), u, begun, 0.3)
    (entry,) = (e for e in program.entries if e.endswith("_directions"))
    found = program.call(entry, given)["w"]
    np.testing.assert_allclose(found, slope + jnp.diagonal(hessian), rtol=1e-10, atol=1e-11)


RUN = """\
precision: float64
dims: {m: 3}
params:
  w[m]: {init: 0.3*index(m)}
random:
  z[m]: normal(w[m], 1)
define:
  each[m]: exp(w[m]*z[m] + sin(z[m]))
  kept[m]: E[z](each[m], by=tracked(samples=4, rate=0.3))
objectives:
  loss: sum[m](log(kept[m]) + w[m]**2)
solve: {minimize: loss, method: "sgd(0.1, momentum=0.9, dampening=0.9)", steps: 40}
outputs:
  w[m]: w[m]
"""


def built(path: Path, text: str) -> Any:
    path.write_text(HEAD + text, encoding="utf-8")
    return vspec.compile(path)


def test_a_run_moves_the_mean_before_the_params(tmp_path: Path) -> None:
    spec = good(RUN)
    result = vspec.run(built(tmp_path / "run.yaml", RUN), seed=5)
    w, u, begun, v = 0.3 * jnp.arange(3.0), jnp.zeros(3), jnp.zeros(3), jnp.zeros(3)
    stage = keys.key_of(5, keys.STAGES, 0)
    for k in range(40):
        eps = noise(spec, keys.fold(stage, keys.DRAWS, k))
        hand = by_hand("exp(w[m]*z[m] + sin(z[m]))", jnp.log, "reparam", eps)
        slope, u = jax.grad(hand, has_aux=True)(w, u, begun, 0.3)
        v = 0.9 * v + 0.1 * slope
        w, begun = w - 0.1 * v, jnp.ones(3)
    np.testing.assert_allclose(result.params["w"], w, rtol=1e-9)
    np.testing.assert_allclose(result.params["tracked_kept"], jnp.log(u), rtol=1e-9, atol=1e-10)


def test_a_run_goes_on_exactly(tmp_path: Path) -> None:
    program = built(tmp_path / "run.yaml", RUN.replace("steps: 40", "steps: 2000"))
    whole = run(program, seed=3, out=tmp_path / "whole")
    out = tmp_path / "broken"
    with pytest.raises(ZeroDivisionError):
        run(program, seed=3, out=out, progress=until(out, 30, 1), checkpoint_every="1 steps")
    result = run(program, seed=3, out=out, resume=True, checkpoint_every="never")
    assert [r["steps"] > 0 for r in json.loads((out / "run.json").read_text())["resumed"]] == [True]
    same(result, whole)


def test_the_mean_of_all_steps_is_that_of_all_draws(tmp_path: Path) -> None:
    text = """\
precision: float64
dims: {m: 200}
params:
  seen[m]: {init: 0}
  again[m]: {init: 0}
random:
  z[m]: normal(0.5, 1)
define:
  kept[m]: E[z](exp(z[m]/2), by=tracked(samples=5, rate=1/(step + 1)))
solve:
  update:
    - seen[m]: kept[m]
    - again[m]: kept[m] - seen[m]
  steps: 100
outputs:
  seen[m]: seen[m]
  again[m]: again[m]
"""
    found = vspec.run(built(tmp_path / "mean.yaml", text), seed=1).outputs
    mean, second = np.exp(0.5 * 0.5 + 1 / 8), np.exp(0.5 + 0.5)
    deviation = np.sqrt((second - mean**2) / 500)
    z = (found["seen"] - mean) / deviation
    assert abs(z.mean()) < 4 / np.sqrt(200)
    assert 0.8 < z.std() < 1.2
    # Both groups of a step read one value of it.
    np.testing.assert_allclose(found["again"], 0.0, atol=1e-14)


def test_a_mean_goes_on_from_stage_to_stage_and_through_rounds(tmp_path: Path) -> None:
    text = """\
precision: float64
params:
  w: {init: 0}
  v: {init: 0}
random:
  z: normal(0, 1)
define:
  kept: E[z](2 + w, by=tracked(rate=0.25))
solve:
  - {update: {w: w + 1, v: kept}, steps: 3}
  - repeat: 2
    stages:
      - {update: {w: w + 1, v: kept}, steps: 2}
      - {update: {w: w + 10}}
outputs:
  v: v
"""
    means = [2, 3, 4, 5, 6, 17, 18]
    u = float(means[0])
    for m in means[1:]:
        u = 0.75 * u + 0.25 * m
    assert vspec.run(built(tmp_path / "stages.yaml", text)).outputs["v"] == pytest.approx(u, rel=1e-14)


def test_each_row_of_a_batch_has_a_mean_of_its_own(tmp_path: Path) -> None:
    text = """\
precision: float64
dims: {n: 8}
constants: {k: 3}
data:
  a[n]: {value: [1, 2, 3, 4, 5, 6, 7, 800]}
params:
  w: {init: 1}
random:
  z: normal(0, 1)
objectives:
  loss: mean[n](log(E[z](exp(w*a[n]), by=tracked(samples=2, rate=0.5))))
solve: {minimize: loss, method: sgd(0.0), batch: {n: 2}, steps: k}
"""
    program = built(tmp_path / "rows.yaml", text)
    for steps, rows in ((3, 6), (4, 8), (9, 8)):
        found = vspec.run(program, constants={"k": steps}).params
        begun = found["tracked_loss_begun"] > 0
        assert begun.sum() == rows
        # Kept by its logarithm: exp(800) is no double.
        a = np.array([1, 2, 3, 4, 5, 6, 7, 800.0])
        np.testing.assert_allclose(found["tracked_loss"], np.where(begun, a, 0.0), rtol=1e-12)


def test_one_running_mean_in_another(tmp_path: Path) -> None:
    text = """\
precision: float64
params:
  w: {init: 1}
  v: {init: 0}
random:
  z: normal(0, 1)
  y: normal(0, 1)
define:
  inner: E[y](w**2, by=tracked(rate=0.5))
  outer: E[z](1 + w*inner, by=tracked(rate=0.25))
solve: {update: {w: w + 1, v: outer}, steps: 4}
outputs:
  v: v
"""
    u = v = None
    for w in (1.0, 2.0, 3.0, 4.0):
        u = w**2 if u is None else 0.5 * u + 0.5 * w**2
        v = 1 + w * u if v is None else 0.75 * v + 0.25 * (1 + w * u)
    assert vspec.run(built(tmp_path / "two.yaml", text)).outputs["v"] == pytest.approx(v, rel=1e-14)


PLACES = """\
dims: {t: 4}
params:
  w: {init: 1PARAM}
random:
  z: normal(0, 1)
  y: normal(0, 1)
define:
  kept: E[z](exp(w*zMORE), by=tracked(samples=8, rate=RATE))
  s[0]: w
  s[t + 1]: s[t]*STEP
objectives:
  loss: log(kept) + s[-1]**2
solve: {minimize: loss, method: METHOD, steps: 5UNTIL}
"""


def placed(**changes: str) -> str:
    found = {"PARAM": "", "MORE": "", "RATE": "0.1", "STEP": "0.5", "METHOD": "sgd(0.1)", "UNTIL": "", **changes}
    text = PLACES
    for k in ("PARAM", "MORE", "RATE", "STEP", "METHOD", "UNTIL"):
        text = text.replace(k, found[k])
    return text + found.get("TAIL", "")


def test_it_has_a_value_in_the_steps_of_a_stage_alone() -> None:
    assert diagnose(placed())[0] is not None
    for changes in (
        {"TAIL": "outputs: {y: kept}\n"},
        {"TAIL": "claims: {y: loss < 3}\n"},
        {"TAIL": "outputs: {y: 'E[z](z, by=tracked(rate=0.5))'}\n"},
        {"TAIL": "constraints: {c: kept <= 4}\n"},
        {"UNTIL": ", until: loss < 0.1"},
        {"MORE": " + y"},
        {"METHOD": "lbfgs"},
        {"METHOD": "newton"},
        {"STEP": "E[z](z*s[t], by=tracked(rate=0.5))"},
    ):
        assert "VS0698" in codes(placed(**changes)), changes
    both = placed().replace("solve: {minimize: loss, method: sgd(0.1), steps: 5}", "solve: {evaluate: loss}")
    assert codes(both) == ["VS0698"]
    inside = placed(STEP="0.5*q").replace("  s[0]", "  q: root[x](x - E[z](x*z, by=tracked(rate=0.5)))\n  s[0]")
    assert codes(inside) == ["VS0698"]


def test_what_a_rate_is() -> None:
    for rate in ("0", "1.5", "-0.1", "w", "y", "sample(uniform(0, 1))", "true"):
        assert codes(placed(RATE=rate)) == ["VS0694"], rate
    for rate in ("1", "0.5", "1/(step + 1)", "max(0.1, 1/(step + 1))"):
        assert diagnose(placed(RATE=rate))[0] is not None, rate
    for way in ("tracked", "tracked(8, rate=0.1)", "tracked(samples=8)", "tracked(samples=0, rate=0.1)"):
        assert codes(placed().replace("tracked(samples=8, rate=0.1)", way)) == ["VS0694"], way
    assert codes(placed().replace("E[z](exp(w*z)", "Var[z](exp(w*z)")) == ["VS0694"]


def test_no_closed_form_stands_for_the_draws(tmp_path: Path) -> None:
    # E[exp(w z)] has a closed form, and the mean of draws is what was asked for.
    program = Emission(good(placed()), 2, tmp_path / "program.py")
    given = {"w": 1.0, "tracked_kept": 0.0, "tracked_kept_begun": 0.0}
    values = {float(program.call("loss", {**given, "key": jax.random.key(k)})) for k in range(3)}
    assert len(values) == 3


def test_the_mean_of_what_a_recurrence_draws(tmp_path: Path) -> None:
    text = """\
precision: float64
dims: {t: 5}
params:
  w: {init: 0.3}
  kept: {init: 0}
random:
  s[0]: normal(0, 1)
  s[t + 1]: normal(w*s[t], 1)
define:
  height: E[s](exp(s[-1]/2), by=tracked(samples=50, rate=1/(step + 1)))
solve: {update: {kept: height}, steps: 400}
outputs: {kept: kept}
"""
    found = float(vspec.run(built(tmp_path / "walk.yaml", text), seed=2).outputs["kept"])
    variance = sum(0.3 ** (2 * k) for k in range(5))
    mean, second = np.exp(variance / 8), np.exp(variance / 2)
    assert abs(found - mean) < 4 * np.sqrt((second - mean**2) / 20_000)
