"""Laws of which recurrences draw their steps as functions of noise: means and their derivatives, by a z-test in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.stats

from tests.language.helpers import good
from tests.support.program import Emission

A, R = 0.6, 4000
HEAD = f"precision: float64\ndims: {{r: {R}, t: T, 'k, l': 2}}\nparams:\n  a: {{init: 0}}\n"
USE = """\
  f[r]: E[z](FORMULA, by=samples(1))
  slope[r]: d(f[r], a)
outputs:
  value: mean[r](f[r])
  value_error: sqrt(var[r](f[r])/size(r))
  slope: mean[r](slope[r])
  slope_error: sqrt(var[r](slope[r])/size(r))
"""


def meets(text: str, exact: Callable[[float], float], path: Path) -> None:
    program = Emission(good(text), 2, path / "laws.py")
    found = jax.jit(program.module.outputs)(a=A, key=jax.random.key(7))
    h = 1e-5
    for name, want in (("value", exact(A)), ("slope", (exact(A + h) - exact(A - h)) / (2 * h))):
        value, error = found[name], found[f"{name}_error"]
        # Bound 4.5 on the z-score of a fixed key; a derivative that is certain has no error.
        assert abs(value - want) <= 4.5 * error + 1e-8, (name, value, want, error)
        assert error < 0.3 * (1 + abs(want))


# A law after the value a that is known, and its mean as a function of a.
LAWS: dict[str, tuple[str, Callable[[float], float], str]] = {
    "half_normal": ("half_normal(z[r, t])", lambda a: a * math.sqrt(2 / math.pi), "reparam"),
    "weibull": ("weibull(1 + z[r, t], a)", lambda a: a * math.gamma(1 + 1 / (1 + a)), "reparam"),
    "pareto": ("pareto(4 + z[r, t], a)", lambda a: (4 + a) * a / (3 + a), "reparam"),
    "rayleigh": ("rayleigh(z[r, t]**2)", lambda a: a**2 * math.sqrt(math.pi / 2), "score"),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_step_from_a_known_value(law: str, tmp_path: Path) -> None:
    text, mean, estimator = LAWS[law]
    spec = HEAD.replace("T,", "2,") + f'random:\n  z[r, 0]: {{law: point_mass(a), estimator: "{estimator}"}}\n'
    spec += f'  z[r, t + 1]: "{text}"\ndefine:\n'
    meets(spec + USE.replace("FORMULA", "z[r, 1]"), mean, tmp_path)


# Discrete laws of a first value and of the next one, and the mean of that.
COUNTS: dict[str, tuple[str, str, Callable[[float], float]]] = {
    "geometric": ("geometric(a)", "geometric(1/(1 + z[r, t]))", lambda a: 1 + 1 / a),
    "integers": ("integers(1, 4)", "integers(z[r, t], 5)", lambda a: 3.0),
    "categorical": (
        "categorical(start[:])",
        "categorical(logits=w[r, t, :])",
        lambda a: (0.5 + math.exp(a) / (1 + math.exp(-a))) / (1 + math.exp(a)),
    ),
}


@pytest.mark.parametrize("law", COUNTS)
def test_counts_that_step(law: str, tmp_path: Path) -> None:
    first, step, mean = COUNTS[law]
    spec = (
        HEAD.replace("T,", "2,")
        + f'random:\n  z[r, 0]: {{law: "{first}", estimator: score}}\n  z[r, t + 1]: "{step}"\n'
    )
    spec += "define:\n"
    if law == "categorical":
        spec += "  start[k]: exp(a*index(k))\n  w[r, t, k]: a*z[r, t]*index(k)\n"
    meets(spec + USE.replace("FORMULA", "a*z[r, 1]"), lambda a: a * mean(a), tmp_path)


def test_a_half_cauchy_step(tmp_path: Path) -> None:
    spec = (
        HEAD.replace("T,", "2,")
        + "random:\n  z[r, 0]: point_mass(a)\n  z[r, t + 1]: half_cauchy(exp(z[r, t]))\ndefine:\n"
    )
    meets(spec + USE.replace("FORMULA", "log(z[r, 1])"), lambda a: a, tmp_path)


VECTORS = """\
random:
  z[r, 0, k]: {law: "multivariate_normal(start[:], cholesky=L[:, :])", estimator: ESTIMATOR}
  z[r, t + 1, k]: multivariate_normal(turned[r, t, :], WAY=S[:, :])
define:
  start[k]: a*index(k)
  L[k, l]: 1 + a if index(k) == index(l) else (0.5*a if index(k) > index(l) else 99)
  S[k, l]: a + 1 if index(k) == index(l) else 0.3*a
  turned[r, t, k]: z[r, t, k] + a*sum[l](z[r, t, l]*index(l))
"""


def vectors(way: str) -> Callable[[float], float]:
    def exact(a: float) -> float:
        factor = np.array([[1 + a, 0], [0.5 * a, 1 + a]])
        s = np.array([[a + 1, 0.3 * a], [0.3 * a, a + 1]])
        turn = np.eye(2) + a * np.array([[0, 1], [0, 1]])
        mean, cov = np.array([0, a]), factor @ factor.T
        lower = np.tril(s)
        own = {"cov": s, "precision": np.linalg.inv(s), "cholesky": lower @ lower.T}[way]
        for _ in range(2):
            mean, cov = turn @ mean, turn @ cov @ turn.T + own
        return float(cov[0, 1] + mean[0] * mean[1])

    return exact


@pytest.mark.parametrize(("way", "estimator"), [("cov", "reparam"), ("cholesky", "score"), ("precision", "reparam")])
def test_vectors_that_step(way: str, estimator: str, tmp_path: Path) -> None:
    spec = HEAD.replace("T,", "3,") + VECTORS.replace("WAY", way).replace("ESTIMATOR", estimator)
    meets(spec + USE.replace("FORMULA", "z[r, -1, 0]*z[r, -1, 1]"), vectors(way), tmp_path)


def test_a_vector_that_is_drawn_in_a_step(tmp_path: Path) -> None:
    spec = (
        HEAD.replace("T,", "3,")
        + "random:\n  z[r, t, k]: multivariate_normal(h[r, t, :], cov=S[:, :])\ndefine:\n"
        + "  S[k, l]: a + 1 if index(k) == index(l) else 0.3*a\n"
        + "  h[r, 0, k]: a\n  h[r, t + 1, k]: 0.5*h[r, t, k] + a*z[r, t, k]\n"
    )

    def exact(a: float) -> float:
        mean, cov = a, 0.0
        for _ in range(2):
            mean, cov = (0.5 + a) * mean, (0.5 + a) ** 2 * cov + a**2 * 0.3 * a
        return mean**2 + cov

    meets(spec + USE.replace("FORMULA", "h[r, -1, 0]*h[r, -1, 1]"), exact, tmp_path)


def test_the_mean_of_a_weibull_law_is_that_of_scipy() -> None:
    assert math.isclose(LAWS["weibull"][1](A), scipy.stats.weibull_min.mean(1 + A, scale=A), rel_tol=1e-12)
