"""Expectations: closed forms, sums and rules against quadrature, estimates that compose, what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats  # type: ignore[import-untyped]

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

M, S = 0.7, 0.6
KEY = jax.random.key(3)
HEAD = "precision: float64\nparams:\n  m: {init: 0}\n  s: {init: 1}\n"


def outputs(text: str, path: Path, level: int = 2, **values: Any) -> dict[str, Any]:
    program = Emission(good(text), level, path / f"program_{level}.py")
    found = jax.jit(program.module.outputs)
    program.module.outputs = lambda **given: found(**given)
    program.module.outputs.__signature__ = __import__("inspect").signature(found)  # type: ignore[attr-defined]
    return program.call("outputs", {"m": M, "s": S, "key": KEY, **values})  # type: ignore[no-any-return]


# --- closed forms -----------------------------------------------------------------------------------------------------

LAWS: dict[str, tuple[str, Any]] = {
    "normal": ("normal(m, s)", lambda m, s: stats.norm(m, s)),
    "uniform": ("uniform(m, m + s)", lambda m, s: stats.uniform(m, s)),
    "exponential": ("exponential(s)", lambda m, s: stats.expon(scale=s)),
    "laplace": ("laplace(m, s)", lambda m, s: stats.laplace(m, s)),
    "logistic": ("logistic(m, s)", lambda m, s: stats.logistic(m, s)),
    "gamma": ("gamma(m, s)", lambda m, s: stats.gamma(m, scale=s)),
    "beta": ("beta(m, s)", lambda m, s: stats.beta(m, s)),
    "chisquare": ("chisquare(2*m)", lambda m, s: stats.chi2(2 * m)),
    "lognormal": ("lognormal(m, s)", lambda m, s: stats.lognorm(s, scale=np.exp(m))),
    "gumbel": ("gumbel(m, s)", lambda m, s: stats.gumbel_r(m, s)),
    "truncated_normal": (
        "truncated_normal(m, s, -0.5, 2)",
        lambda m, s: stats.truncnorm((-0.5 - m) / s, (2 - m) / s, m, s),
    ),
}
COUNTS: dict[str, tuple[str, Any]] = {
    "poisson": ("poisson(m)", lambda m, s: stats.poisson(m)),
    "binomial": ("binomial(4, s)", lambda m, s: stats.binom(4, s)),
    "geometric": ("geometric(s)", lambda m, s: stats.geom(s)),
    "bernoulli": ("bernoulli(s)", lambda m, s: stats.bernoulli(s)),
}
CENTRED = {"lognormal": 2, "gumbel": 2, "geometric": 2, "beta": 3, "binomial": 3}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    random, define, shown = [], [], []
    for law, (text, _) in {**LAWS, **COUNTS}.items():
        random.append(f'  v_{law}: {{law: "{text}", estimator: analytic}}')
        for k in range(2, CENTRED.get(law, 4) + 1):
            define.append(f"  p{k}_{law}: E[v_{law}]((m - v_{law})**{k}/2 + s*v_{law})")
            shown += [f"  p{k}_{law}: p{k}_{law}", f"  d{k}_{law}: d(p{k}_{law}, m) + 2*d(p{k}_{law}, s)"]
            shown.append(f"  h{k}_{law}: d(p{k}_{law}, m, s) + d(p{k}_{law}, s, s)")
    define += [
        "  e: E[v_normal]((v_normal - 1)**2*exp(s*v_normal + 1))",
        "  c: E[v_normal](cos(m*v_normal) + 2*sin(v_normal + 1))",
        "  l_gamma: E[v_gamma](log(v_gamma))",
        "  l_beta: E[v_beta](3*log(v_beta))",
        "  q: E[v_normal](4*v_normal**8)",
    ]
    shown += [f"  {n}: {n}" for n in ("e", "c", "l_gamma", "l_beta", "q")]
    text = "\n".join([HEAD + "random:", *random, "define:", *define, "outputs:", *shown]) + "\n"
    path = tmp_path_factory.mktemp("closed")
    return outputs(text, path), compile_spec(good(text), level=2)


def mean(distribution: Any, f: Any) -> float:
    if hasattr(distribution.dist, "pmf"):
        values = np.arange(0, 300)
        return float(np.sum(distribution.pmf(values) * f(values)))
    return float(integrate.quad(lambda p: f(distribution.ppf(p)), 0, 1, limit=400, epsabs=1e-12, epsrel=1e-12)[0])


@pytest.mark.parametrize("law", [*LAWS, *COUNTS])
def test_polynomials_are_integrated(law: str, closed: tuple[dict[str, Any], Any]) -> None:
    found, _ = closed
    make = {**LAWS, **COUNTS}[law][1]
    for k in range(2, CENTRED.get(law, 4) + 1):

        def value(m: float, s: float, k: int = k) -> float:
            return mean(make(m, s), lambda v: (m - v) ** k / 2 + s * v)

        assert float(found[f"p{k}_{law}"]) == pytest.approx(value(M, S), rel=1e-5, abs=1e-7)
        h = 1e-4
        slope = (value(M + h, S + 2 * h) - value(M - h, S - 2 * h)) / (2 * h)
        assert float(found[f"d{k}_{law}"]) == pytest.approx(slope, rel=3e-4, abs=1e-5)


def test_derivatives_of_closed_forms_agree_with_those_of_jax(closed: tuple[dict[str, Any], Any]) -> None:
    """Second derivatives of a fourth central moment, by automatic differentiation of the formula."""

    def value(m: Any, s: Any) -> Any:
        # E (m - v)^4/2 of a normal law at its own mean.
        return 3 * s**4 / 2 + s * m

    hessian = jax.hessian(value, (0, 1))(M, S)
    assert float(closed[0]["h4_normal"]) == pytest.approx(float(hessian[0][1] + hessian[1][1]), rel=1e-9)


def test_exponentials_sines_and_logarithms_are_integrated(closed: tuple[dict[str, Any], Any]) -> None:
    found, _ = closed
    normal = stats.norm(M, S)
    assert float(found["e"]) == pytest.approx(mean(normal, lambda v: (v - 1) ** 2 * np.exp(S * v + 1)), rel=1e-7)
    assert float(found["c"]) == pytest.approx(mean(normal, lambda v: np.cos(M * v) + 2 * np.sin(v + 1)), rel=1e-7)
    assert float(found["l_gamma"]) == pytest.approx(special.digamma(M) + np.log(S), rel=1e-9)
    assert float(found["l_beta"]) == pytest.approx(3 * (special.digamma(M) - special.digamma(M + S)), rel=1e-9)
    assert float(found["q"]) == pytest.approx(4 * normal.moment(8), rel=1e-9)


def test_a_closed_form_draws_nothing(closed: tuple[dict[str, Any], Any]) -> None:
    _, compiled = closed
    assert not [n for n in all_nodes(compiled.graph) if n.kind is Kind.RANDOM]
    assert {c.chosen.split(": ")[1] for c in choices_of(compiled.graph) if c.kind == "expectation"} == {"analytic"}


# --- sums and rules -----------------------------------------------------------------------------------------------------

SUMS = """precision: float64
dims: {n: 4, k: 3, q: 2}
data:
  p[n]: {value: [0.2, 0.5, 0.7, 0.9]}
  t[q]: {value: [0.3, 0.6]}
  w[k]: {value: [1.0, -2.0, 0.5]}
params:
  m: {init: 0}
  s: {init: 1}
random:
  b[n]: bernoulli(p[n])
  c[q]: categorical(softmax[k](w[k]*t[q]))
  z: normal(m, s)
  u: uniform(m, m + s)
define:
  total: E[b](cos(sum[n](b[n])))
  each: E[b](sum[n](cos(b[n] + index(n))))
  both: E[c](exp(index(k)*0) if true else 0)
  g: E[z](sin(z)**2, by=quadrature(30))
  o: E[z](sin(z)**2, by=quadrature(1001, over=[-8, 9]))
  r: E[u](sin(u)**2, by=quadrature(20))
outputs:
  total: total
  each: each
  g: g
  o: o
  r: r
  dg: d(g, s)
  do: d(o, s)
"""


def test_sums_over_all_values_and_rules(tmp_path: Path) -> None:
    text = SUMS.replace("  both: E[c](exp(index(k)*0) if true else 0)\n", "").replace(
        "  c[q]: categorical(softmax[k](w[k]*t[q]))\n", ""
    )
    text = text.replace(", k: 3, q: 2", "").replace("  t[q]: {value: [0.3, 0.6]}\n", "")
    text = text.replace("  w[k]: {value: [1.0, -2.0, 0.5]}\n", "")
    p = np.array([0.2, 0.5, 0.7, 0.9])
    found = outputs(text, tmp_path, p=p)
    want = sum(np.prod(np.where(bits, p, 1 - p)) * np.cos(sum(bits)) for bits in itertools.product([0, 1], repeat=4))
    assert float(found["total"]) == pytest.approx(float(want), rel=1e-12)
    each = sum(p * np.cos(1 + np.arange(4)) + (1 - p) * np.cos(np.arange(4)))
    assert float(found["each"]) == pytest.approx(float(each), rel=1e-12)

    def squares(m: float, s: float) -> float:
        return float((1 - np.exp(-2 * s**2) * np.cos(2 * m)) / 2)

    for name in ("g", "o"):
        assert float(found[name]) == pytest.approx(squares(M, S), rel=1e-10)
        assert float(found["d" + name]) == pytest.approx(2 * S * np.exp(-2 * S**2) * np.cos(2 * M), rel=1e-8)
    want = integrate.quad(lambda v: np.sin(v) ** 2 / S, M, M + S)[0]
    assert float(found["r"]) == pytest.approx(want, rel=1e-10)


def test_elements_that_are_read_one_by_one_are_summed_one_by_one() -> None:
    text = SUMS.split("random:")[0] + "random:\n  b[n]: bernoulli(p[n])\noutputs:\n  each: E[b](sum[n](cos(b[n])))\n"
    graph = compile_spec(good(text), level=2).graph
    assert max(int(np.prod([graph.dims[a.dim] for a in n.axes] or [1])) for n in all_nodes(graph)) == 8


# --- estimates --------------------------------------------------------------------------------------------------------------

MIXED = """precision: float64
dims: {r: 30000}
params:
  m: {init: 0}
  s: {init: 1}
random:
  z[r]: {law: "normal(m, s)", estimator: ONE}
  b[r]: {law: "bernoulli(logits=s*z[r] + m)", estimator: TWO}
  k[r]: {law: "poisson(exp(m*b[r] - s))", estimator: THREE}
define:
  f[r]: sin(z[r])*(1 + b[r]) + cos(k[r]*z[r]) - b[r]*k[r]/(1 + k[r])
  e[r]: E[z, b, k](f[r], by=samples(1))
  dm[r]: d(e[r], m)
  ds[r]: d(e[r], s)
outputs:
  mm: mean[r](dm[r])
  ms: mean[r](ds[r])
  em: sqrt(var[r](dm[r])/size(r))
  es: sqrt(var[r](ds[r])/size(r))
"""


def exact(m: float, s: float) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z = m + s * nodes
    k = np.arange(0, 60)[:, None]
    total = 0.0
    for b in (0, 1):
        p = special.expit(s * z + m)
        of_k = stats.poisson(np.exp(m * b - s)).pmf(k)
        f = np.sin(z) * (1 + b) + np.cos(k * z) - b * k / (1 + k)
        total += np.sum(weights * (p if b else 1 - p) * np.sum(of_k * f, axis=0))
    return float(total / weights.sum())


@pytest.mark.parametrize(
    ("one", "two", "three"),
    [
        ("reparam", "enumerate", "score(baseline=loo)"),
        ("score(baseline=loo)", "measure_valued", "measure_valued"),
        ("measure_valued", "score", "score(baseline=cos(m))"),
    ],
)
def test_estimators_compose(one: str, two: str, three: str, tmp_path: Path) -> None:
    text = MIXED.replace("ONE", one).replace("TWO", two).replace("THREE", three)
    found = outputs(text, tmp_path)
    h = 1e-5
    slopes = {
        "m": (exact(M + h, S) - exact(M - h, S)) / (2 * h),
        "s": (exact(M, S + h) - exact(M, S - h)) / (2 * h),
    }
    for p, want in slopes.items():
        assert abs(float(found[f"m{p}"]) - want) < 4.5 * float(found[f"e{p}"]), (p, found, want)
        assert float(found[f"e{p}"]) < 0.05


def test_a_derivative_without_the_score_is_biased(tmp_path: Path) -> None:
    """The test above would see it: with the law held, the same estimate is far off."""
    text = MIXED.replace("ONE", "reparam").replace("TWO", "score").replace("THREE", "score")
    text = text.replace("poisson(exp(m*b[r] - s))", "poisson(stop(exp(m*b[r] - s)))")
    text = text.replace("bernoulli(logits=s*z[r] + m)", "bernoulli(logits=stop(s*z[r] + m))")
    found = outputs(text, tmp_path)
    h = 1e-5
    want = (exact(M, S + h) - exact(M, S - h)) / (2 * h)
    assert abs(float(found["ms"]) - want) > 9 * float(found["es"]), (found, want)


DRAWS = """precision: float64
params:
  m: {init: 0}
  s: {init: 1}
random:
  z: {law: "normal(m, s)", estimator: reparam}
  y: {law: "normal(m, s)", estimator: score}
  x: normal(m, s)
outputs:
  odd: E[z](z**3 - 3*z, by=samples(8, antithetic=true))
  linear: E[z](z, by=samples(8, antithetic=true))
  one: E[z](exp(z), by=samples(16, common=true))
  two: E[z](2*exp(z), by=samples(16, common=true))
  other: E[z](2*exp(z), by=samples(16))
  spread: Var[z](z**2, by=samples(100000))
  scored: Var[y](y**2, by=samples(100000))
  slope: d(Var[y](y**2, by=samples(100000)), s)
  joint: Cov[x](x, x**3)
"""


def test_mirrored_and_common_draws_and_variances(tmp_path: Path) -> None:
    found = {k: float(v) for k, v in outputs(DRAWS, tmp_path).items()}
    # What is odd around the mean has no noise in mirrored draws.
    assert found["linear"] == pytest.approx(M, rel=1e-12)
    assert found["two"] == pytest.approx(2 * found["one"], rel=1e-12)
    assert found["two"] != pytest.approx(found["other"], rel=1e-3)
    variance = 4 * M**2 * S**2 + 2 * S**4
    for name in ("spread", "scored"):
        assert found[name] == pytest.approx(variance, rel=0.05)
    assert found["slope"] == pytest.approx(8 * M**2 * S + 8 * S**3, rel=0.15)
    assert found["joint"] == pytest.approx(3 * M**2 * S**2 + 3 * S**4, rel=1e-12)


def test_optimised_and_plain_programs_and_the_reference_agree(tmp_path: Path) -> None:
    text = MIXED.replace("ONE", "reparam").replace("TWO", "enumerate").replace("THREE", "score(baseline=loo)")
    text = text.replace("r: 30000", "r: 50")
    plain, optimised = outputs(text, tmp_path, 0), outputs(text, tmp_path, 2)
    for name, value in plain.items():
        np.testing.assert_allclose(optimised[name], value, rtol=1e-9, atol=1e-12)


def test_a_variable_has_the_density_of_its_law(tmp_path: Path) -> None:
    text = """precision: float64
dims: {n: 3}
params:
  m: {init: 0}
  s: {init: 1}
random:
  z[n]: normal(m*index(n), s)
outputs:
  z[n]: z[n]
  own[n]: logpdf(z[n])
  there[n]: logpdf(z[n], at=0.5)
  last: logpdf(z[2], at=m)
  score[n]: d(logpdf(z[n]), m)
  gap[n]: KL(z[n], normal(0, 2))
  spread: entropy(z[0])
"""
    found = outputs(text, tmp_path)
    z, location = np.asarray(found["z"]), M * np.arange(3)
    np.testing.assert_allclose(found["own"], stats.norm(location, S).logpdf(z), rtol=1e-12)
    np.testing.assert_allclose(found["there"], stats.norm(location, S).logpdf(0.5), rtol=1e-12)
    np.testing.assert_allclose(found["last"], stats.norm(2 * M, S).logpdf(M), rtol=1e-12)
    gap = np.log(2 / S) + (S**2 + location**2) / 8 - 0.5
    np.testing.assert_allclose(found["gap"], gap, rtol=1e-12)
    assert float(found["spread"]) == pytest.approx(float(stats.norm(0, S).entropy()), rel=1e-12)
    # No derivative flows through a draw outside of an expectation.
    np.testing.assert_allclose(found["score"], (z - location) / S**2 * np.arange(3), rtol=1e-9)


# --- what is refused -----------------------------------------------------------------------------------------------------

REFUSED = [
    ("z: normal(m, 1)", "E[z](z, by=enumerate)", "VS0695"),
    ("z: gamma(m, 1)", "E[z](z, by=quadrature(9))", "VS0695"),
    ("z: {law: 'normal(m, 1)', estimator: analytic}", "E[z](1/(1 + z**2))", "VS0695"),
    ("z: {law: 'normal(m, 1)', estimator: reparam}", "Var[z](1/(1 + z**2))", "VS0695"),
    ("z: {law: 'laplace(m, 1)', estimator: measure_valued}", "d(E[z](cos(z)), m)", "VS0693"),
    ("z: {law: 'normal(m, 1)', estimator: score(baseline=loo)}", "d(E[z](cos(z)), m)", "VS0693"),
    ("z: {law: 'normal(m, 1)', estimator: score(baseline=z)}", "d(E[z](cos(z)), m)", "VS0693"),
    ("z: normal(m, 1)\n  y: normal(z, 1)", "E[z](cos(y))", "VS0695"),
]


@pytest.mark.parametrize("estimator", ["measure_valued", "reparam"])
def test_second_derivatives_of_estimates_of_the_first_are_refused(estimator: str) -> None:
    law = "poisson(exp(m))" if estimator == "measure_valued" else "gamma(exp(m), 1)"
    text = f"params:\n  m: {{init: 1}}\nrandom:\n  z: {{law: '{law}', estimator: {estimator}}}\n"
    spec = good(text + "outputs:\n  y: d(E[z](cos(z)), m, m)\n")
    with pytest.raises(SpecError) as e:
        compile_spec(spec)
    assert [d.code for d in e.value.diagnostics] == ["VS0330"]


@pytest.mark.parametrize(("law", "value", "code"), REFUSED)
def test_what_cannot_be_evaluated_is_refused(law: str, value: str, code: str) -> None:
    spec = good(f"params:\n  m: {{init: 1}}\nrandom:\n  {law}\noutputs:\n  y: {value}\n")
    with pytest.raises(SpecError) as e:
        compile_spec(spec)
    assert [d.code for d in e.value.diagnostics] == [code]


def test_codes_of_the_language_about_chance() -> None:
    from tests.language.helpers import codes

    assert codes("dims: {i: 2}\nrandom:\n  x[0]: normal(0, 1)\n  x[1]: uniform(0, 1)\n") == ["VS0690"]
    assert codes("random:\n  x: {law: 'normal(0, 1)', estimator: no}\n") == ["VS0691"]
    assert codes("outputs:\n  x: E[y](y)\n")[0] == "VS0692"
    assert codes("random:\n  x: normal(0, 1)\noutputs:\n  y: E[x](x, by=samples)\n") == ["VS0694"]


def test_the_graph_of_an_estimate_means_what_the_program_computes(tmp_path: Path) -> None:
    """The reference interpreter draws as the program does."""
    text = (
        HEAD
        + "random:\n  z: {law: 'normal(m, s)', estimator: reparam}\noutputs:\n  y: E[z](exp(-z**2), by=samples(5))\n"
    )
    program = Emission(good(text), 2, tmp_path / "p.py")
    given = {"m": M, "s": S, "key": KEY}
    want = evaluate_graph(program.compiled.graph, {k: v if k == "key" else np.asarray(v) for k, v in given.items()})
    np.testing.assert_allclose(program.call("outputs", given)["y"], want["outputs"][("y",)], rtol=1e-12)
    assert jnp.isfinite(program.call("outputs", given)["y"])
