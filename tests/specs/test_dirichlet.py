"""The Dirichlet law: density and entropy against SciPy, divergences by draws, draws by their margins, unbiased slopes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jss
import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from tests.language.helpers import codes, good
from tests.support.program import Emission

R = 20_000
ALPHA = np.asarray([[0.6, 1.5, 3.0], [2.0, 0.05, 0.4]])
X = np.asarray([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])
LAW = "dirichlet(alpha[n, :])"
TEXT = f"""\
precision: float64
dims: {{n: 2, k: 3, t: {R}}}
params:
  a: {{init: 0}}
data:
  alpha[n, k]: real
  x[n, k]: real
random:
  z[t, n, k]: {LAW}
  v[t, k]: {{law: "dirichlet(exp(a)*alpha[0, :])", estimator: reparam}}
  w[t, k]: {{law: "dirichlet(exp(a)*alpha[0, :])", estimator: score(baseline=loo)}}
define:
  turned[n]: 1 - index(n)
  through[t]: d(E[v](v[t, 0]**2*v[t, 1] + log(v[t, 2]), by=samples(1)), a)
  scored[t]: d(E[w](w[t, 0]**2*w[t, 1] + log(w[t, 2]), by=samples(1)), a)
outputs:
  density[n]: logpdf({LAW}, x[n, :])
  off[n]: logpdf({LAW}, 1.1*x[n, :])
  slope[n, k]: d(density[n], alpha[n, k])
  entropies[n]: entropy({LAW})
  divergence[n]: KL(z[0, n, :], dirichlet(alpha[turned[n], :]))
  estimate[n]: mean[t](logpdf(z[t, n, :]) - logpdf(z[t, n, :], at=z[t, n, :]))
  ratio[t, n]: logpdf(z[t, n, :]) - logpdf(dirichlet(alpha[turned[n], :]), z[t, n, :])
  z[t, n, k]: z[t, n, k]
  means_through: mean[t](through[t])
  means_scored: mean[t](scored[t])
  errors_through: sqrt(var[t](through[t])/size(t))
  errors_scored: sqrt(var[t](scored[t])/size(t))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    program = Emission(good(TEXT), 2, tmp_path_factory.mktemp("dirichlet") / "program.py")
    given = {"alpha": ALPHA, "x": X, "a": 0.2, "key": jax.random.key(2)}
    return {k: np.asarray(v) for k, v in program.call("outputs", given).items()}


def test_density_and_entropy_are_those_of_scipy(found: dict[str, Any]) -> None:
    laws = [stats.dirichlet(a) for a in ALPHA]
    np.testing.assert_allclose(found["density"], [law.logpdf(x) for law, x in zip(laws, X, strict=True)], rtol=1e-12)
    np.testing.assert_allclose(found["entropies"], [law.entropy() for law in laws], rtol=1e-12)
    assert np.all(found["off"] == -np.inf)

    def density(a: Any, x: Any) -> Any:
        return jnp.sum((a - 1) * jnp.log(x) - jss.gammaln(a)) + jss.gammaln(jnp.sum(a))

    np.testing.assert_allclose(found["slope"], jax.vmap(jax.grad(density))(ALPHA, X), rtol=1e-12)


def test_divergences_are_means_of_log_ratios(found: dict[str, Any]) -> None:
    assert np.all(found["estimate"] == 0)
    ratio = found["ratio"]
    assert np.all(np.abs(ratio.mean(0) - found["divergence"]) < 4.5 * ratio.std(0) / np.sqrt(R))
    assert np.all(ratio.std(0) > 0.1)


def test_draws_have_the_law(found: dict[str, Any]) -> None:
    z = found["z"]
    np.testing.assert_allclose(z.sum(-1), 1, rtol=1e-12)
    for n in range(2):
        for k in range(3):
            margin = stats.beta(ALPHA[n, k], ALPHA[n].sum() - ALPHA[n, k])
            assert stats.kstest(z[:, n, k], margin.cdf).pvalue > 1e-3
        mean, total = ALPHA[n] / ALPHA[n].sum(), ALPHA[n].sum()
        cov = (np.diag(mean) - np.outer(mean, mean)) / (total + 1)
        products = np.einsum("tk,tl->tkl", z[:, n] - mean, z[:, n] - mean)
        assert np.all(np.abs(products.mean(0) - cov) < 4.5 * products.std(0) / np.sqrt(R))


def test_slopes_are_unbiased(found: dict[str, Any]) -> None:
    def value(a: Any) -> Any:
        alpha = jnp.exp(a) * ALPHA[0]
        s = alpha.sum()
        cubic = alpha[0] * (alpha[0] + 1) * alpha[1] / (s * (s + 1) * (s + 2))
        return cubic + jss.digamma(alpha[2]) - jss.digamma(s)

    want = float(jax.grad(value)(0.2))
    for e in ("through", "scored"):
        # Bound 4.5 on the z-score of a fixed key: a fair estimate exceeds it once in 150,000 tries.
        assert found[f"errors_{e}"] > 0
        assert abs(found[f"means_{e}"] - want) <= 4.5 * found[f"errors_{e}"], e


def test_small_shapes_have_no_noughts_over_noughts(tmp_path: Path) -> None:
    text = (
        "dims: {n: 2000, k: 5}\nparams:\n  a: {init: 0.001}\nrandom:\n  z[n, k]: dirichlet(a*c[:])\nconstants:\n"
        "  c[k]: [1, 1, 1, 1, 1]\noutputs:\n  z[n, k]: z[n, k]\n"
        "  slope: d(E[z](mean[n](sin(z[n, 0] + 2*z[n, 1])), by=samples(1)), a)\n"
    )
    given = {"a": np.float32(0.001), "c": np.ones(5, np.float32), "key": jax.random.key(0)}
    found = Emission(good(text), 2, tmp_path / "small.py").call("outputs", given)
    np.testing.assert_allclose(np.asarray(found["z"]).sum(1), 1, rtol=1e-5)
    assert np.isfinite(found["slope"])


def test_sizes_that_do_not_fit_are_refused() -> None:
    text = "dims: {k: 3, j: 2}\ndata:\n  a[k]: real\n  x[j]: real\ndefine:\n  y: "
    assert codes(text + "logpdf(dirichlet(a[:]), x[:])\n") == ["VS0680"]
    assert codes(text + "KL(dirichlet(a[:]), dirichlet(x[:]))\n") == ["VS0683"]
