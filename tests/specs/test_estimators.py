"""Every pair of a law and an estimator: averaged estimates of derivatives against exact ones, by a z-test in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from scipy import integrate, stats  # type: ignore[import-untyped]

from tests.language.helpers import good
from tests.support.program import Emission

A, C = 0.3, -0.2
R = 20_000
ALL = ("reparam", "score", "measure_valued")
REAL: dict[str, tuple[str, Callable[[float, float], Any], tuple[str, ...]]] = {
    "normal": ("normal(a, exp(c))", lambda a, c: stats.norm(a, np.exp(c)), ALL),
    "uniform": ("uniform(a, a + exp(c))", lambda a, c: stats.uniform(a, np.exp(c)), ("reparam",)),
    "exponential": ("exponential(exp(c - a))", lambda a, c: stats.expon(scale=np.exp(c - a)), ALL),
    "laplace": ("laplace(a, exp(c))", lambda a, c: stats.laplace(a, np.exp(c)), ("reparam", "score")),
    "logistic": ("logistic(a, exp(c))", lambda a, c: stats.logistic(a, np.exp(c)), ("reparam", "score")),
    "gumbel": ("gumbel(a, exp(c))", lambda a, c: stats.gumbel_r(a, np.exp(c)), ("reparam", "score")),
    # Through draws, the derivative by the scale has no variance.
    "cauchy": ("cauchy(a, exp(c))", lambda a, c: stats.cauchy(a, np.exp(c)), ("score",)),
    "lognormal": ("lognormal(a, exp(c))", lambda a, c: stats.lognorm(np.exp(c), scale=np.exp(a)), ("reparam", "score")),
    "gamma": ("gamma(exp(a), exp(c))", lambda a, c: stats.gamma(np.exp(a), scale=np.exp(c)), ("reparam", "score")),
    "beta": ("beta(exp(a), exp(c))", lambda a, c: stats.beta(np.exp(a), np.exp(c)), ("reparam", "score")),
    "chisquare": ("chisquare(exp(a) + exp(c))", lambda a, c: stats.chi2(np.exp(a) + np.exp(c)), ("reparam", "score")),
    "student_t": (
        "student_t(exp(a) + 4, a, exp(c))",
        lambda a, c: stats.t(np.exp(a) + 4, a, np.exp(c)),
        ("reparam", "score"),
    ),
    "weibull": (
        "weibull(exp(a), exp(c))",
        lambda a, c: stats.weibull_min(np.exp(a), scale=np.exp(c)),
        ("reparam", "score"),
    ),
    "pareto": ("pareto(2 + a, exp(c))", lambda a, c: stats.pareto(2 + a, scale=np.exp(c)), ("reparam",)),
    "rayleigh": ("rayleigh(exp(c + a))", lambda a, c: stats.rayleigh(scale=np.exp(c + a)), ("reparam", "score")),
    "truncated_normal": (
        "truncated_normal(a, exp(c), -1, 2)",
        lambda a, c: stats.truncnorm((-1 - a) / np.exp(c), (2 - a) / np.exp(c), a, np.exp(c)),
        ("reparam", "score"),
    ),
}
WHOLE: dict[str, tuple[str, Callable[[float, float], Any], tuple[str, ...]]] = {
    "bernoulli": (
        "bernoulli(sigmoid(a + c))",
        lambda a, c: stats.bernoulli(1 / (1 + np.exp(-a - c))),
        ("score", "measure_valued", "enumerate"),
    ),
    "logits": (
        "bernoulli(logits=a + c)",
        lambda a, c: stats.bernoulli(1 / (1 + np.exp(-a - c))),
        ("score", "measure_valued", "enumerate"),
    ),
    "binomial": (
        "binomial(5, sigmoid(a + 2*c))",
        lambda a, c: stats.binom(5, 1 / (1 + np.exp(-a - 2 * c))),
        ("score", "measure_valued", "enumerate"),
    ),
    "poisson": ("poisson(exp(a + c))", lambda a, c: stats.poisson(np.exp(a + c)), ("score", "measure_valued")),
    "geometric": ("geometric(sigmoid(a + c))", lambda a, c: stats.geom(1 / (1 + np.exp(-a - c))), ("score",)),
    "categorical": (
        "categorical(logits=u[:]*(a - c))",
        lambda a, c: stats.rv_discrete(values=([0, 1, 2], np.exp(U * (a - c)) / np.exp(U * (a - c)).sum())),
        ("score", "measure_valued", "enumerate"),
    ),
}
U = np.array([0.4, -1.0, 2.0])
CASES = {**REAL, **WHOLE}
PAIRS = [(law, e) for law, (_, _, estimators) in CASES.items() for e in estimators]


def f(v: Any) -> Any:
    return np.sin(v) + 0.3 * v**2 / (1 + v**2)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    random, define, outputs = [], [], []
    for law, e in PAIRS:
        v = f"{law}_{e}"
        estimator = "score(baseline=loo)" if e == "score" else e
        random.append(f'  {v}[r]: {{law: "{CASES[law][0]}", estimator: "{estimator}"}}')
        for p in "ac":
            value = f"E[{v}](sin({v}[r]) + 0.3*{v}[r]**2/(1 + {v}[r]**2), by=samples(1))"
            define.append(f"  d{p}_{v}[r]: d({value}, {p})")
            outputs += [f"  m{p}_{v}: mean[r](d{p}_{v}[r])", f"  s{p}_{v}: sqrt(var[r](d{p}_{v}[r])/size(r))"]
    text = "\n".join(
        [
            f"precision: float64\ndims: {{r: {R}, k: 3}}\nparams:\n  a: {{init: 0}}\n  c: {{init: 0}}",
            "data:\n  u[k]: real\nrandom:",
            *random,
            "define:",
            *define,
            "outputs:",
            *outputs,
        ]
    )
    program = Emission(good(text + "\n"), 2, tmp_path_factory.mktemp("estimators") / "program.py")
    program.module.outputs = jax.jit(program.module.outputs)
    return program.call("outputs", {"a": A, "c": C, "u": U, "key": jax.random.key(7)})  # type: ignore[no-any-return]


def exact(law: str, parameter: str) -> float:
    """The derivative of E[f(v)] by a parameter: a central difference of a sum, or of an integral over probabilities."""

    def mean(a: float, c: float) -> float:
        distribution = CASES[law][1](a, c)
        if law in WHOLE:
            values = np.arange(0, 200)
            return float(np.sum(distribution.pmf(values) * f(values)))
        if law == "cauchy":
            # The characteristic function has what oscillates in the tails.
            rest = integrate.quad(lambda p: f(distribution.ppf(p)) - np.sin(distribution.ppf(p)), 0, 1, limit=200)
            return float(np.exp(-np.exp(c)) * np.sin(a) + rest[0])
        return float(integrate.quad(lambda p: f(distribution.ppf(p)), 0, 1, limit=200, epsabs=1e-11)[0])

    h = 1e-4
    if parameter == "a":
        return (mean(A + h, C) - mean(A - h, C)) / (2 * h)
    return (mean(A, C + h) - mean(A, C - h)) / (2 * h)


@pytest.mark.parametrize("law", CASES)
def test_estimates_are_unbiased(law: str, found: dict[str, Any]) -> None:
    for parameter in "ac":
        want = exact(law, parameter)
        for e in CASES[law][2]:
            mean, error = (float(found[f"{x}{parameter}_{law}_{e}"]) for x in "ms")
            # Bound 4.5 on the z-score of a fixed key: a fair estimate exceeds it once in 150,000 tries.
            assert abs(mean - want) <= 4.5 * error + 1e-6, (e, parameter, mean, want, error)
            assert error > 0 or e in ("enumerate", "measure_valued") or want == pytest.approx(0, abs=1e-9)


def test_what_is_summed_has_no_noise(found: dict[str, Any]) -> None:
    for law in WHOLE:
        if "enumerate" in WHOLE[law][2]:
            assert float(found[f"sa_{law}_enumerate"]) < 1e-12
            assert float(found[f"ma_{law}_enumerate"]) == pytest.approx(exact(law, "a"), abs=1e-7)
