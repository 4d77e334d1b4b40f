"""Closed forms over vectors and over affine functions of variables, against exact moments; derivatives against JAX's of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jss
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.program import Emission

RNG = np.random.default_rng(7)
N, K = 3, 4
WEIGHTS = np.sin(1 + np.arange(N))
M, W = RNG.normal(size=(N, K)), RNG.normal(size=(K, K)) * 0.4 + np.eye(K)
X, Y, Q = RNG.normal(size=(5, K)), RNG.normal(size=5), RNG.normal(size=(K, K))
WAYS = {
    "cov": "multivariate_normal(m[n, :], S[:, :])",
    "cholesky": "multivariate_normal(m[n, :], cholesky=L[:, :])",
    "precision": "multivariate_normal(m[n, :], precision=P[:, :])",
    "factor": "multivariate_normal(m[n, :], factor=V[:, :], scale=s[:])",
}
# Each: what is averaged, of which row n what is read, and its expectation for the mean m, the covariance s and b of a row.
BODIES: dict[str, tuple[str, Any]] = {
    "element": ("z[n, k]", lambda m, s: m),
    "products": ("z[n, k]*z[n, l]", lambda m, s: m[:, None] * m + s),
    "form": ("sum[k, l](z[n, k]*Q[k, l]*z[n, l])", lambda m, s: jnp.trace(Q @ s) + m @ Q @ m),
    "cubic": ("(z[n, k] - 1)**2*z[n, l]", lambda m, s: _cubic(m, s)),
    "quartic": ("z[n, k]**2*z[n, l]**2", lambda m, s: _quartic(m, s)),
    "line": ("sum[i]((y[i] - sum[k](x[i, k]*z[n, k]))**2)", lambda m, s: jnp.sum((Y - X @ m) ** 2) + _spread(s).sum()),
    "rate": ("sum[i](exp(sum[k](x[i, k]*z[n, k])/4))", lambda m, s: jnp.sum(jnp.exp(X @ m / 4 + _spread(s) / 32))),
    "wave": ("cos(z[n, 0] - 2*z[n, 3])", lambda m, s: jnp.cos(m[0] - 2 * m[3]) * jnp.exp(-_diff(s) / 2)),
}


def _spread(s: Any) -> Any:
    return jnp.einsum("ik,kl,il->i", X, s, X)


def _diff(s: Any) -> Any:
    return s[0, 0] - 4 * s[0, 3] + 4 * s[3, 3]


def _cubic(m: Any, s: Any) -> Any:
    """E[(x - 1)**2 y] = ((m_x - 1)**2 + s_xx) m_y + 2 (m_x - 1) s_xy."""
    d = jnp.diagonal(s)
    return ((m - 1) ** 2 + d)[:, None] * m + 2 * (m - 1)[:, None] * s


def _quartic(m: Any, s: Any) -> Any:
    """E[x**2 y**2] by the formula of Isserlis, around the means."""
    d = jnp.diagonal(s)
    first = (m**2 + d)[:, None] * (m**2 + d)
    return first + 4 * m[:, None] * m * s + 2 * s**2


def indices(text: str) -> str:
    inside = [x for x in "kl" if f"[n, {x}]" in text and f"sum[{x}" not in text and "sum[k" not in text]
    return ", ".join(["n", *inside])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    random = "".join(f"  z_{w}[n, k]: {law}\n" for w, law in WAYS.items())
    outputs = ""
    for w in WAYS:
        for name, (text, _) in BODIES.items():
            body = text.replace("z[", f"z_{w}[")
            letters = indices(text)
            outputs += f"  {name}_{w}[{letters}]: E[z_{w}]({body}, by=analytic)\n"
            outputs += f"  d_{name}_{w}: d(sum[{letters}](E[z_{w}]({body}, by=analytic)*sin(1 + index(n))), c)\n"
    text = (
        f"precision: float64\ndims: {{n: {N}, k, l, j: {K}, i: 5, r: 2}}\nparams:\n  c: {{init: 1}}\ndata:\n"
        "  m0[n, k]: real\n  W[k, l]: real\n  Q[k, l]: real\n  x[i, k]: real\n  y[i]: real\n  R[k, l]: real\n"
        f"random:\n{random}define:\n  m[n, k]: c*m0[n, k]\n  L[k, l]: c*W[k, l]\n  S[k, l]: sum[j](L[k, j]*L[l, j])\n"
        "  P[k, l]: R[k, l]/c**2\n  V[k, r]: c*W[k, r]\n  s[k]: c*(1 + index(k))/4\n"
        f"outputs:\n{outputs}"
    )
    emission = Emission(good(text), 2, tmp_path_factory.mktemp("moments") / "program.py")
    lower = np.linalg.cholesky(W @ W.T)
    given = {"c": 1.3, "m0": M, "W": lower, "Q": Q, "x": X, "y": Y, "R": np.linalg.inv(W @ W.T)}
    assert "jax.random" not in emission.compiled.emitted.text
    return {k: np.asarray(v) for k, v in emission.call("outputs", given).items()}


@pytest.mark.parametrize("way", WAYS)
def test_vectors_are_integrated(way: str, found: dict[str, Any]) -> None:
    lower = np.linalg.cholesky(W @ W.T)

    def cov(c: Any) -> Any:
        if way != "factor":
            return c**2 * W @ W.T
        return c**2 * (lower[:, :2] @ lower[:, :2].T + jnp.diag((1 + jnp.arange(K)) ** 2 / 16))

    for name, (_, value) in BODIES.items():

        def total(c: Any, value: Any = value) -> Any:
            return jnp.stack([value(c * M[n], cov(c)) for n in range(N)])

        np.testing.assert_allclose(found[f"{name}_{way}"], total(1.3), rtol=1e-9, atol=1e-9, err_msg=name)
        slope = jax.grad(lambda c, t=total: jnp.sum(jnp.tensordot(WEIGHTS, t(c), 1)))(1.3)
        np.testing.assert_allclose(found[f"d_{name}_{way}"], slope, rtol=1e-8, err_msg=name)


def test_shares_are_integrated(tmp_path: Path) -> None:
    text = (
        "precision: float64\ndims: {k, l: 3, n: 2}\ndata:\n  a[n, k]: real\nrandom:\n  z[n, k]: dirichlet(a[n, :])\noutputs:\n"
        "  means[n, k]: E[z](z[n, k], by=analytic)\n  products[n, k, l]: E[z](z[n, k]*z[n, l], by=analytic)\n"
        "  cubes[n, k]: E[z](z[n, k]**3, by=analytic)\n  logs[n, k]: E[z](log(z[n, k]), by=analytic)\n"
        "  spread[n]: Var[z](sum[k](index(k)*z[n, k]), by=analytic)\n  apart[k]: E[z](z[0, k]*z[1, k], by=analytic)\n"
    )
    a = np.asarray([[0.6, 1.5, 3.0], [2.0, 0.5, 0.4]])
    found = Emission(good(text), 2, tmp_path / "shares.py").call("outputs", {"a": a})
    s = a.sum(1, keepdims=True)
    mean = a / s
    cov = (np.einsum("nk,kl->nkl", mean, np.eye(3)) - np.einsum("nk,nl->nkl", mean, mean)) / (s[..., None] + 1)
    want = {
        "means": mean,
        "products": cov + np.einsum("nk,nl->nkl", mean, mean),
        "cubes": a * (a + 1) * (a + 2) / (s * (s + 1) * (s + 2)),
        "logs": jss.digamma(a) - jss.digamma(s),
        "spread": np.einsum("k,nkl,l->n", np.arange(3), cov, np.arange(3)),
        "apart": mean[0] * mean[1],
    }
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-12, err_msg=name)


def test_affine_functions_of_independent_variables_are_integrated(tmp_path: Path) -> None:
    text = (
        "precision: float64\ndims: {k: 4, i: 5}\ndata:\n  m[k]: real\n  s[k]: real\n  x[i, k]: real\n  y[i]: real\n"
        "random:\n  w[k]: normal(m[k], s[k])\n  u[k]: gamma(s[k], 2)\noutputs:\n"
        "  line: E[w](sum[i]((y[i] - sum[k](x[i, k]*w[k]))**2), by=analytic)\n"
        "  rates[i]: E[w](exp(1 - sum[k](x[i, k]*w[k])), by=analytic)\n"
        "  other[i]: Var[u](sum[k](x[i, k]*u[k]), by=analytic)\n"
        "  both: Cov[w](w[0] + w[1], w[1] - 2*w[2], by=analytic)\n"
        "  kinked: E[w](max(w[0] - w[1], 0)*w[2], by=samples(64))\n"
    )
    m, s = RNG.normal(size=4), RNG.uniform(0.5, 1.5, size=4)
    emission = Emission(good(text), 2, tmp_path / "affine.py")
    found = emission.call("outputs", {"m": m, "s": s, "x": X, "y": Y, "key": jax.random.key(0)})
    want = {
        "line": np.sum((Y - X @ m) ** 2 + X**2 @ s**2),
        "rates": np.exp(1 - X @ m + X**2 @ s**2 / 2),
        "other": X**2 @ (4 * s),
        "both": s[1] ** 2,
    }
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, err_msg=name)
    # What has a kink is no polynomial.
    assert "jax.random" in emission.compiled.emitted.text
