"""Normal vectors in the four ways to give them: densities, entropies, divergences, draws, estimators, refusals."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from tests.language.helpers import codes, good
from tests.support.program import Emission

R = 20_000
RNG = np.random.default_rng(4)
N, K = 3, 4
MEAN = RNG.normal(size=(N, K))
FACTOR, SCALE = RNG.normal(size=(N, K, 2)), RNG.uniform(0.4, 1.2, size=(N, K))
COV = np.einsum("nkr,nlr->nkl", FACTOR, FACTOR) + np.einsum("nk,kl->nkl", SCALE**2, np.eye(K))
LOWER = np.linalg.cholesky(COV)
# What is above the diagonal is not read.
CHOLESKY = LOWER + np.triu(np.ones((K, K)), 1)
PRECISION = np.linalg.inv(COV)
X = RNG.normal(size=(N, K))
WAYS = {
    "cov": "multivariate_normal(m[n, :], S[n, :, :])",
    "cholesky": "multivariate_normal(m[n, :], cholesky=L[n, :, :])",
    "precision": "multivariate_normal(m[n, :], precision=P[n, :, :])",
    "factor": "multivariate_normal(m[n, :], factor=V[n, :, :], scale=s[n, :])",
}
DATA = {"m": MEAN, "S": COV, "L": CHOLESKY, "P": PRECISION, "V": FACTOR, "s": SCALE, "x": X}
HEAD = (
    f"precision: float64\ndims: {{n: {N}, k, l: {K}, r: 2, t: {R}}}\ndata:\n  m[n, k]: real\n  S[n, k, l]: real\n"
    "  L[n, k, l]: real\n  P[n, k, l]: real\n  V[n, k, r]: real\n  s[n, k]: real\n  x[n, k]: real\n"
)
TURNED = {"cov": "S", "cholesky": "L", "precision": "P", "factor": "V"}


def other(way: str) -> str:
    """The same way to give a law, at the next point."""
    return WAYS[way].replace("[n,", "[p[n],")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    lines = ["define:", "  p[n]: (index(n) + 1) % size(n)"]
    lines += [f"  y_{w}[t, n, k]: sample({law})" for w, law in WAYS.items()]
    lines.append("outputs:")
    for w, law in WAYS.items():
        lines += [
            f"  l_{w}[n]: logpdf({law}, x[n, :])",
            f"  e_{w}[n]: entropy({law})",
            f"  y_{w}[t, n, k]: y_{w}[t, n, k]",
        ]
        lines += [f"  d_{w}_{v}[n]: KL({law}, {other(v)})" for v in WAYS]
    text = HEAD + "\n".join(lines) + "\n"
    program = Emission(good(text), 2, tmp_path_factory.mktemp("vectors") / "program.py")
    return {k: np.asarray(v) for k, v in program.call("outputs", {**DATA, "key": jax.random.key(1)}).items()}


@pytest.mark.parametrize("way", WAYS)
def test_densities_and_entropies_are_those_of_scipy(way: str, found: dict[str, Any]) -> None:
    laws = [stats.multivariate_normal(MEAN[n], COV[n]) for n in range(N)]
    np.testing.assert_allclose(found[f"l_{way}"], [law.logpdf(X[n]) for n, law in enumerate(laws)], rtol=1e-10)
    np.testing.assert_allclose(found[f"e_{way}"], [law.entropy() for law in laws], rtol=1e-10)


@pytest.mark.parametrize("way", WAYS)
def test_draws_have_the_law(way: str, found: dict[str, Any]) -> None:
    draws = found[f"y_{way}"]
    for n in range(N):
        white = np.linalg.solve(LOWER[n], (draws[:, n] - MEAN[n]).T)
        for row in white:
            assert stats.kstest(row, stats.norm.cdf).pvalue > 1e-3
        scores = (np.cov(white) - np.eye(K)) / np.sqrt((1 + np.eye(K)) / R)
        assert np.max(np.abs(scores)) < 4.5
    # Vectors of different rows are independent.
    assert np.max(np.abs(np.corrcoef(draws[:, 0].T, draws[:, 1].T)[:K, K:])) < 5 / np.sqrt(R)


@pytest.mark.parametrize("one", WAYS)
def test_divergences_are_means_of_log_ratios(one: str, found: dict[str, Any]) -> None:
    # Of quadratic forms, the mean over draws of a rule that is exact for them: the points +-sqrt(K) along each axis.
    points = np.sqrt(K) * np.concatenate([np.eye(K), -np.eye(K)])
    for n in range(N):
        p = (n + 1) % N
        x = MEAN[n] + points @ LOWER[n].T
        ratio = stats.multivariate_normal(MEAN[n], COV[n]).logpdf(x) - stats.multivariate_normal(
            MEAN[p], COV[p]
        ).logpdf(x)
        for two in WAYS:
            np.testing.assert_allclose(found[f"d_{one}_{two}"][n], ratio.mean(), rtol=1e-9, err_msg=two)


A, C = 0.3, -0.2
# Laws whose arguments depend on a and c, with the mean and the covariance that they have.
BASE = np.asarray([[1.0, 0.4, -0.3], [0.4, 0.8, 0.2], [-0.3, 0.2, 1.2]])
LINE, THIN = np.asarray([1.0, -0.5, 2.0]), np.asarray([[0.5], [-1.0], [0.3]])
LAWS: dict[str, tuple[str, Any]] = {
    "cov": ("multivariate_normal(a*u[:], exp(c)*B[:, :])", lambda a, c: jnp.exp(c) * BASE),
    "cholesky": ("multivariate_normal(a*u[:], cholesky=exp(c)*W[:, :])", lambda a, c: jnp.exp(2 * c) * BASE),
    "precision": (
        "multivariate_normal(a*u[:], precision=exp(c)*B[:, :])",
        lambda a, c: jnp.exp(-c) * np.linalg.inv(BASE),
    ),
    "factor": (
        "multivariate_normal(a*u[:], factor=exp(c)*T[:, :], scale=exp(a)*abs(u[:]))",
        lambda a, c: jnp.exp(2 * c) * THIN @ THIN.T + jnp.diag(jnp.exp(2 * a) * LINE**2),
    ),
}
ESTIMATORS = ("reparam", "score(baseline=loo)")
GIVEN = {"u": LINE, "B": BASE, "W": np.linalg.cholesky(BASE), "T": THIN}
VALUE = "sin(sum[k]({v}[t, k])) + {v}[t, 0]**2*{v}[t, 1]"


@pytest.fixture(scope="module")
def slopes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    random, define, outputs = [], [], []
    for way, (law, _) in LAWS.items():
        for e in ESTIMATORS:
            v = f"{way}_{e[:5]}"
            random.append(f'  {v}[t, k]: {{law: "{law}", estimator: "{e}"}}')
            for p in "ac":
                define.append(f"  d{p}_{v}[t]: d(E[{v}]({VALUE.format(v=v)}, by=samples(1)), {p})")
                outputs += [f"  m{p}_{v}: mean[t](d{p}_{v}[t])", f"  s{p}_{v}: sqrt(var[t](d{p}_{v}[t])/size(t))"]
    text = (
        f"precision: float64\ndims: {{t: {R}, k, l: 3, r: 1}}\nparams:\n  a: {{init: 0}}\n  c: {{init: 0}}\n"
        "data:\n  u[k]: real\n  B[k, l]: real\n  W[k, l]: real\n  T[k, r]: real\nrandom:\n"
        + "\n".join(random) + "\ndefine:\n" + "\n".join(define) + "\noutputs:\n" + "\n".join(outputs) + "\n"
    )  # fmt: skip
    program = Emission(good(text), 2, tmp_path_factory.mktemp("slopes") / "program.py")
    program.module.outputs = jax.jit(program.module.outputs)
    return program.call("outputs", {"a": A, "c": C, **GIVEN, "key": jax.random.key(3)})  # type: ignore[no-any-return]


@pytest.mark.parametrize("way", LAWS)
def test_slopes_are_unbiased(way: str, slopes: dict[str, Any]) -> None:
    def value(a: Any, c: Any) -> Any:
        m, s = a * LINE, LAWS[way][1](a, c)
        # E sin of a normal number, and E x**2 y of two by the formula of Isserlis.
        damped = jnp.sin(m.sum()) * jnp.exp(-s.sum() / 2)
        return damped + (m[0] ** 2 + s[0, 0]) * m[1] + 2 * m[0] * s[0, 1]

    want = dict(zip("ac", jax.grad(value, (0, 1))(A, C), strict=True))
    for e in ESTIMATORS:
        for p in "ac":
            mean, error = (float(slopes[f"{x}{p}_{way}_{e[:5]}"]) for x in "ms")
            # Bound 4.5 on the z-score of a fixed key: a fair estimate exceeds it once in 150,000 tries.
            assert error > 0
            assert abs(mean - float(want[p])) <= 4.5 * error, (e, p, mean, want[p], error)


WRONG = {
    "the axis of the vector is not the last": ("  z[k, n]: {law}", "VS0685"),
    "a number": ("  z: {law}", "VS0685"),
    "an axis of another size": ("  z[k, r]: {law}", "VS0685"),
    "arguments that depend on the axis": ("  z[n, k]: multivariate_normal(m[k, :], cholesky=L[:, :])", "VS0685"),
    "a matrix that is not square": ("  z[k]: multivariate_normal(b[:], V[:, :])", "VS0213"),
    "a mean of another size": ("  z[k]: multivariate_normal(c[:], L[:, :])", "VS0213"),
    "two ways at once": ("  z[k]: multivariate_normal(b[:], L[:, :], cholesky=L[:, :])", "VS0393"),
    "half of a way": ("  z[k]: multivariate_normal(b[:], factor=V[:, :])", "VS0393"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_vector_is_refused(what: str) -> None:
    line, code = WRONG[what]
    text = (
        "dims: {n: 5, k, l: 3, r: 2}\ndata:\n  m[n, l]: real\n  b[k]: real\n  c[r]: real\n  L[k, l]: real\n  V[k, r]: real\n"
        f"random:\n{line.format(law='multivariate_normal(b[:], cholesky=L[:, :])')}\n"
    )
    assert codes(text.replace("m[n, l]", "m[k, l]") if "m[k" in text else text) == [code]


def test_values_and_variables_are_whole_vectors() -> None:
    text = (
        "dims: {n: 5, k, l: 3, r: 2}\ndata:\n  b[k]: real\n  L[k, l]: real\n  x[n, k]: real\n  y[r]: real\n"
        "random:\n  z[n, k]: multivariate_normal(b[:], cholesky=L[:, :])\ndefine:\n  "
    )
    law = "multivariate_normal(b[:], cholesky=L[:, :])"
    for line, code in {
        f"a[n]: logpdf({law}, x[n, 0])": "VS0680",
        f"a: logpdf({law}, y[:])": "VS0680",
        "a[n, k]: logpdf(z[n, k])": "VS0685",
        "a[n]: entropy(z[n, 0])": "VS0685",
        f"a: mean[n](sample({law}))": "VS0685",
        f"a[k]: 1 + sample({law})": "VS0685",
    }.items():
        assert codes(text + line + "\n") == [code], line
    for line in ("a[n]: logpdf(z[n, :])", f"a[n]: KL(z[n, :], {law})", "a[n]: logpdf(z[n, :], at=x[n, :])"):
        good(text + line + "\n")
