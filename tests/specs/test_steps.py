"""Variables that are drawn in the step of a recurrence: expectations in each step, and over all steps.

Values and derivatives are compared with quadrature and sums by hand, in float64; draws by a z-test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import diagnose, good
from tests.specs.test_walk_laws import USE
from tests.support.program import Emission

jax.config.update("jax_enable_x64", True)
W = 0.8

FIELDS = """\
precision: float64
dims: {t: 5, i: 3}
params:
  w: {init: 0}
random:
  q[t]: normal(m[t], 0.7)
  s[t, i]: bernoulli(p[t, i])
  g[t]: gamma(2 + n[t]**2, w)
define:
  m[0]: 1
  m[t + 1]: m[t] - 0.5*E[q](tanh(q[t] + w), by=quadrature(20))
  p[0, i]: 0.2 + 0.1*index(i)
  p[t + 1, i]: E[s](sigmoid(w*sum[i](s[t, i]) - index(i)))
  n[0]: 0.3
  gain[t]: E[g](g[t]) + E[g](log(g[t]))
  n[t + 1]: 0.3*gain[t]
outputs:
  m: m[-1]
  p[i]: p[-1, i]
  n: n[-1]
  dm: d(m[-1], w)
  dp: d(sum[i](p[-1, i]), w)
  dn: d(n[-1], w)
"""


def fields(w: Any) -> tuple[Any, Any, Any]:
    x, weight = (jnp.asarray(a) for a in np.polynomial.hermite_e.hermegauss(20))
    weight = weight / weight.sum()
    m, p, n = 1.0 + 0 * w, jnp.array([0.2, 0.3, 0.4]) + 0 * w, 0.3 + 0 * w
    for _ in range(4):
        m = m - 0.5 * jnp.sum(weight * jnp.tanh(m + 0.7 * x + w))
        new = jnp.zeros(3)
        for s in itertools.product((0, 1), repeat=3):
            chance = jnp.prod(jnp.where(jnp.array(s) == 1, p, 1 - p))
            new = new + chance * jax.nn.sigmoid(w * sum(s) - jnp.arange(3))
        p = new
        shape = 2 + n**2
        n = 0.3 * (shape * w + jax.scipy.special.digamma(shape) + jnp.log(w))
    return m, p, n


@pytest.mark.parametrize("level", [0, 2])
def test_expectations_in_each_step(level: int, tmp_path: Path) -> None:
    found = Emission(good(FIELDS), level, tmp_path / "fields.py").call("outputs", {"w": W})
    m, p, n = fields(W)
    np.testing.assert_allclose(found["m"], m, rtol=1e-12)
    np.testing.assert_allclose(found["p"], p, rtol=1e-12)
    np.testing.assert_allclose(found["n"], n, rtol=1e-12)
    for k, name in enumerate(("dm", "dp", "dn")):
        np.testing.assert_allclose(
            found[name], jax.grad(lambda w, k=k: jnp.sum(fields(w)[k]))(W), rtol=1e-9, err_msg=name
        )


R, T = 4000, 3
LATENT = f"""\
precision: float64
dims: {{r: {R}, t: {T}}}
params:
  a: {{init: 0}}
random:
  z[r, t]: {{law: "LAW", estimator: "ESTIMATOR"}}
define:
  h[r, 0]: 0.5
  h[r, t + 1]: 0.5*h[r, t] + a*z[r, t]
{USE}"""
SMOOTH = "normal(tanh(h[r, t]) + a, exp(a)/2)", "sin(h[r, -1]) + sum[t](KL(z[r, t], normal(0.1, 1)) - z[r, t]*h[r, t])"
COINS = "bernoulli(logits=h[r, t] - a)", "h[r, -1]**2 + z[r, 0]*z[r, -1] + logpdf(z[r, 1])"


def smooth(a: Any) -> Any:
    x, weight = (jnp.asarray(v) for v in np.polynomial.hermite_e.hermegauss(30))
    weight = weight / weight.sum()
    total: Any = 0.0
    h, weights = jnp.array([0.5 + 0 * a]), jnp.array([1.0])
    for t in range(T):
        mean, scale = jnp.tanh(h) + a, jnp.exp(a) / 2
        divergence = -jnp.log(scale) + (scale**2 + (mean - 0.1) ** 2) / 2 - 0.5
        total = total + jnp.sum(weights * (divergence - mean * h))
        if t < T - 1:
            h = (0.5 * h[:, None] + a * (mean[:, None] + scale * x)).ravel()
            weights = (weights[:, None] * weight).ravel()
    return total + jnp.sum(weights * jnp.sin(h))


def coins(a: Any) -> Any:
    total: Any = 0.0
    for z in itertools.product((0, 1), repeat=T):
        h, chance, log = [0.5 + 0 * a], 1.0 + 0 * a, []
        for t in range(T):
            own = jax.nn.sigmoid((h[t] - a) * (2 * z[t] - 1))
            chance, log = chance * own, [*log, jnp.log(own)]
            h.append(0.5 * h[t] + a * z[t])
        total = total + chance * (h[T - 1] ** 2 + z[0] * z[-1] + log[1])
    return total


CASES = [
    (SMOOTH, "reparam", smooth),
    (SMOOTH, "score", smooth),
    (COINS, "score", coins),
    (COINS, "score(baseline=loo)", coins),
]


@pytest.mark.parametrize(("model", "estimator", "exact"), CASES)
def test_expectations_over_all_steps_of_what_a_step_draws(
    model: tuple[str, str], estimator: str, exact: Callable[[Any], Any], tmp_path: Path
) -> None:
    law, formula = model
    text = LATENT.replace("LAW", law).replace("FORMULA", formula).replace("ESTIMATOR", estimator)
    program = Emission(good(text), 2, tmp_path / "latent.py")
    found = jax.jit(program.module.outputs)(a=0.6, key=jax.random.key(5))
    for name, want in (("value", exact(0.6)), ("slope", jax.grad(exact)(0.6))):
        value, error = found[name], found[f"{name}_error"]
        # Bound 4.5 on the z-score of a fixed key.
        assert abs(value - want) <= 4.5 * error, (name, value, want, error)
        assert 0 < error < 0.1 * (1 + abs(want))


def test_what_is_refused_in_a_step() -> None:
    head = "dims: {t: 4}\nrandom:\n  z[0]: normal(0, 1)\n  z[t + 1]: normal(z[t], 1)\n"
    _, found = diagnose(head + "define:\n  m[0]: 0\n  m[t + 1]: m[t] + E[z](z[-1])\n")
    assert [d.code for d in found if d.severity == "error"] == ["VS0408"]
