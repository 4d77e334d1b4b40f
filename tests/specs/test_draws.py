"""Fresh draws: every law against SciPy's distribution, one draw for each place whoever reads it, no derivative through a law."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

import vspec
from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.language.laws import LAWS

N = 20_000


def close(got: Any, want: Any) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-9, atol=1e-10)


# The law as it is written, and SciPy's distribution of it.
WRITTEN: dict[str, tuple[str, Any]] = {
    "normal": ("normal(2, 0.5)", stats.norm(2, 0.5)),
    "uniform": ("uniform(-1, 3)", stats.uniform(-1, 4)),
    "exponential": ("exponential(2)", stats.expon(scale=2)),
    "laplace": ("laplace(1, 2)", stats.laplace(1, 2)),
    "logistic": ("logistic(1, 2)", stats.logistic(1, 2)),
    "gumbel": ("gumbel(1, 2)", stats.gumbel_r(1, 2)),
    "cauchy": ("cauchy(1, 2)", stats.cauchy(1, 2)),
    "lognormal": ("lognormal(0.3, 0.5)", stats.lognorm(0.5, scale=np.exp(0.3))),
    "gamma": ("gamma(2.5, 2)", stats.gamma(2.5, scale=2)),
    "beta": ("beta(2, 0.5)", stats.beta(2, 0.5)),
    "chisquare": ("chisquare(3)", stats.chi2(3)),
    "student_t": ("student_t(4, 1, 2)", stats.t(4, 1, 2)),
    "weibull": ("weibull(1.5, 2)", stats.weibull_min(1.5, scale=2)),
    "pareto": ("pareto(3, 2)", stats.pareto(3, scale=2)),
    "rayleigh": ("rayleigh(2)", stats.rayleigh(scale=2)),
    "triangular": ("triangular(-1, 0, 3)", stats.triang(0.25, -1, 4)),
    "truncated_normal": ("truncated_normal(1, 2, 0, 4)", stats.truncnorm(-0.5, 1.5, 1, 2)),
    "bernoulli": ("bernoulli(0.3)", stats.bernoulli(0.3)),
    "rademacher": ("rademacher", stats.rv_discrete(values=([-1, 1], [0.5, 0.5]))),
    "poisson": ("poisson(2.5)", stats.poisson(2.5)),
    "binomial": ("binomial(7, 0.3)", stats.binom(7, 0.3)),
    "geometric": ("geometric(0.3)", stats.geom(0.3)),
    "integers": ("integers(-2, 3)", stats.randint(-2, 3)),
    "half_normal": ("half_normal(2)", stats.halfnorm(scale=2)),
    "half_cauchy": ("half_cauchy(2)", stats.halfcauchy(scale=2)),
    "von_mises": ("von_mises(0.5, 9)", stats.vonmises(9, loc=0.5)),
    "categorical": ("categorical(p[:])", stats.rv_discrete(values=([0, 1, 2], [0.2, 0.5, 0.3]))),
}
# The same by other parameters, and by names.
NAMED = {
    "bernoulli": "bernoulli(logits=log(0.3/0.7))",
    "categorical": "categorical(logits=logs[:])",
    "gamma": "gamma(scale=2, shape=2.5)",
    "normal": "normal(scale=0.5, mean=2)",
}


def samples(tmp_path: Path, precision: str) -> dict[str, Any]:
    lines = [f"  x_{name}[n]: sample({law})" for name, (law, _) in WRITTEN.items()]
    lines += [f"  y_{name}[n]: sample({law})" for name, law in NAMED.items()] + ["  logs[k]: log(p[k]) - 3"]
    reads = [f"  x_{name}[n]: x_{name}[n]" for name in WRITTEN] + [f"  y_{name}[n]: y_{name}[n]" for name in NAMED]
    text = (
        f"precision: {precision}\ndims: {{n: {N}, k: 3}}\nconstants:\n  p[k]: [2, 5, 3]\n"
        "define:\n" + "\n".join(lines) + "\noutputs:\n" + "\n".join(reads) + "\n"
    )
    with jax.enable_x64(precision == "float64"):
        emission = Emission(good(text), 2, tmp_path / "laws.py")
        found = emission.call("outputs", {"key": jax.random.key(3), "p": np.asarray([2, 5, 3])})
        return {name: np.asarray(x) for name, x in found.items()}


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_every_law_is_the_one_of_its_name(tmp_path: Path, precision: str) -> None:
    assert {*WRITTEN, "point_mass"} == {
        name for name, law in LAWS.items() if law.drawn and not law.event and not law.of
    }
    found = samples(tmp_path, precision)
    for key, x in found.items():
        name, law = key[2:], WRITTEN[key[2:]][1]
        assert x.shape == (N,)
        wide = precision == "float64"
        dtypes = {"real": np.float64, "integer": np.int64} if wide else {"real": np.float32, "integer": np.int32}
        assert x.dtype == dtypes[LAWS[name].dtype], name
        if LAWS[name].dtype == "real":
            assert stats.kstest(x, law.cdf).pvalue > 1e-3, name
        else:
            values, counts = np.unique(x, return_counts=True)
            expected = law.pmf(values) * N
            common = expected >= 5
            rest = N - counts[common].sum(), N - expected[common].sum()
            seen, wanted = [*counts[common], rest[0]], [*expected[common], rest[1]]
            if rest[1] < 5:
                # What is too rare for the test goes with the last of the others.
                seen, wanted = [*seen[:-2], seen[-2] + rest[0]], [*wanted[:-2], wanted[-2] + rest[1]]
            assert stats.chisquare(seen, np.asarray(wanted) * N / sum(wanted)).pvalue > 1e-3, name


def test_draws_of_different_places_and_elements_are_independent(tmp_path: Path) -> None:
    text = (
        f"precision: float64\ndims: {{n: {N}, k: 2, t: 3}}\nfunctions:\n  noise(a): a + sample(normal(0, 1))\n"
        "define:\n  a[n]: sample(normal(0, 1))\n  b[n]: sample(normal(0, 1))\n  c[n]: noise(0)\n  e[n]: noise(0)\n"
        "  s[0, n]: 0\n  s[t + 1, n]: sample(normal(0, 1))\n  g[n, k]: sample(normal(0, 1))\n"
        "outputs:\n  a[n]: a[n]\n  b[n]: b[n]\n  c[n]: c[n]\n  e[n]: e[n]\n  s[t, n]: s[t, n]\n  g[n, k]: g[n, k]\n"
    )
    with jax.enable_x64(True):
        found = Emission(good(text), 2, tmp_path / "independent.py").call("outputs", {"key": jax.random.key(0)})
    rows = [found["a"], found["b"], found["c"], found["e"], found["s"][1], found["s"][2], *found["g"].T]
    correlation = np.corrcoef(np.asarray(rows))
    assert np.max(np.abs(correlation - np.eye(len(rows)))) < 4 / np.sqrt(N)


EVERYWHERE = """\
precision: float64
dims: {n: 4, i, j: 3, t: 5, r: 3}
params:
  w[i]: {init: sample(normal(0, 1))}
  c: {init: 0.3}
functions:
  noisy(a, s): a + s*sample(laplace(0, 1))
define:
  z[n]: sample(normal(c, exp(w[0])))
  twice[n]: noisy(z[n], 1)*noisy(z[n], 2)
  shared: sample(uniform(0, 1))
  kinds[n]: sample(categorical(p[n, :]))
  p[n, i]: 1 + n_[n]*index(i)
  n_[n]: sample(bernoulli(logits=c))
  s[0, n, i]: sample(exponential(2))
  around[t, n, i]: s[t, n, i] + sample(normal(0, 1))*w[i]
  pulled[t, n]: sample(gamma(1 + around[t, n, 0]**2, 2))
  s[t + 1, n, i]: tanh(around[t, n, i]) + 0.1*pulled[t, n] + 0.1*moved[t, n, i]
  moved[t, n, i]: sample(multivariate_normal(0.1*s[t, n, :], G[n, :, :]))
  G[n, i, j]: 0.3 + delta[i, j]*(1 + index(n))
  tied[n, i]: sample(multivariate_normal(w[:], cholesky=G[n, :, :]))
objectives:
  loss: sum[n, i](s[-1, n, i]**2) + sum[n](twice[n]*z[n]) + c**2*shared
solve: {minimize: loss, method: newton}
outputs:
  z[n]: z[n]
  twice[n]: twice[n]
  kinds[n]: kinds[n]
  path[t, n]: around[t, n, 1] + pulled[t, n]
  last[i, n]: s[-1, n, i]
  mixed: sum[n](sample(normal(0, 1))*z[n])
  tied[n, i]: tied[n, i]
"""


@pytest.mark.parametrize("level", [0, 2])
def test_draws_mean_the_same_at_every_level(tmp_path: Path, level: int) -> None:
    spec = good(EVERYWHERE)
    with jax.enable_x64(True):
        key = jax.random.key(11)
        values = {"w": np.asarray([0.3, -0.5, 0.8]), "c": np.asarray(0.4), "key": key}
        emission = Emission(spec, level, tmp_path / "everywhere.py")
        meaning = Meaning(spec, values)
        stated = meaning.outputs()
        outputs = emission.call("outputs", values)
        for name, meant in stated.items():
            close(outputs[name], meant)
        value, gradient = emission.call("loss_value_and_gradient", values)
        close(value, meaning.name("loss"))

        def loss(w: Any, c: Any) -> Any:
            return Meaning(spec, {"w": w, "c": c, "key": key}).name("loss")

        for name, slope in zip(("w", "c"), jax.grad(loss, (0, 1))(values["w"], values["c"]), strict=True):
            close(gradient[name], slope)
        hessian = emission.call("loss_hessian", values)
        wanted = jax.hessian(loss, (0, 1))(values["w"], values["c"])
        for k, p in enumerate(("w", "c")):
            for j, q in enumerate(("w", "c")):
                close(hessian[p][q], wanted[k][j])
        start = emission.module.initial(key=key)
        close(start["w"], jax.random.normal(jax.random.fold_in(key, 0), (3,)))


def test_the_reference_interpreter_draws_the_same(tmp_path: Path) -> None:
    spec = good(EVERYWHERE)
    with jax.enable_x64(True):
        key = jax.random.key(5)
        values = {"w": np.asarray([0.3, -0.5, 0.8]), "c": np.asarray(0.4), "key": key}
        emission = Emission(spec, 2, tmp_path / "reference.py")
        graph = emission.compiled.graph
        outputs = graph.with_entries(tuple(e for e in graph.entries if e.kind == "outputs"))
        found = evaluate_graph(outputs, values)["outputs"]
        for (name,), array in found.items():
            close(emission.module.outputs(**values)[name], array)


def test_the_number_of_a_draw_is_that_of_its_place(tmp_path: Path) -> None:
    """Who reads a draw, and how often, changes nothing; nor does a definition that nothing reads."""
    text = "precision: float64\ndims: {n: 3}\ndefine:\n  a[n]: sample(normal(0, 1))\n  b[n]: sample(normal(0, 1))\n"
    with jax.enable_x64(True):
        key = jax.random.key(1)
        both = Emission(good(text + "outputs:\n  x[n]: a[n] + b[n]\n  b[n]: b[n]\n"), 2, tmp_path / "both.py")
        one = Emission(good(text + "outputs:\n  b[n]: b[n]\n  again: sum[n](b[n])\n"), 2, tmp_path / "one.py")
        first, second = both.call("outputs", {"key": key}), one.call("outputs", {"key": key})
        close(first["b"], second["b"])
        close(second["again"], np.sum(np.asarray(second["b"])))
        assert np.max(np.abs(np.asarray(first["x"] - 2 * first["b"]))) > 0.01
        text = one.compiled.emitted.text
        assert text.count("jax.random.normal") == 1


def test_a_comparison_chain_draws_once(tmp_path: Path) -> None:
    text = "dims: {n: 4000}\noutputs:\n  inside: mean[n](-1 < sample(normal(0, 1)) < 1)\n"
    found = Emission(good(text), 2, tmp_path / "chain.py").call("outputs", {"key": jax.random.key(0)})
    # Two draws would give 0.7079.
    assert abs(float(found["inside"]) - 0.6827) < 0.015


def test_a_run_draws_from_its_seed(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "vspec: 1\nname: run\ndims: {n: 3}\nparams:\n  w[n]: {init: sample(normal(0, 1))}\n"
        "define:\n  z[n]: sample(normal(0, 1))\nsolve: {evaluate: [z]}\noutputs:\n  z[n]: z[n]\n  gap: max[n](abs(z[n] - w[n]))\n"
        "claims:\n  one_draw: abs(sum[n](z[n]) - total) < 1e-6\n  fresh: gap > 1e-3\n".replace(
            "total", "(z[0] + z[1] + z[2])"
        )
    )
    first, again = (vspec.run(path, seed=1) for _ in range(2))
    other = vspec.run(path, seed=2)
    assert first.holds
    np.testing.assert_array_equal(first.outputs["z"], again.outputs["z"])
    np.testing.assert_array_equal(first.params["w"], again.params["w"])
    assert np.max(np.abs(first.outputs["z"] - other.outputs["z"])) > 1e-3
    assert np.max(np.abs(first.params["w"] - other.params["w"])) > 1e-3
