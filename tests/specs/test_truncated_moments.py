"""Moments, entropies and divergences of normal laws between two ends against SciPy, by either end, by none, in tails."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
import pytest
from scipy import integrate, stats  # type: ignore[import-untyped]

from tests.language.helpers import good
from tests.support.program import Emission

M, S = 0.3, 0.8
# Ends as the spec gives them; 99 stands for infinity.
ENDS = {
    "both": (-1, 2),
    "low": (0, 99),
    "high": (-99, 1),
    "none": (-99, 99),
    "tail": (3, 5),
    "other_tail": (-4.5, -2.5),
}
ORDERS = range(2, 9)
TEXT = f"""\
precision: float64
dims: {{c: {len(ENDS)}, k: 2}}
params: {{m: {{init: 0}}, s: {{init: 1}}}}
data:
  below[c]: {{value: {[e[0] for e in ENDS.values()]}}}
  above[c]: {{value: {[e[1] for e in ENDS.values()]}}}
random:
  z[c]: {{law: "truncated_normal(m, s, low[c], high[c])", estimator: analytic}}
  y[c, k]: "truncated_normal(m, s, low[c], high[c])"
define:
  low[c]: -inf if below[c] < -90 else below[c]
  high[c]: inf if above[c] > 90 else above[c]
  centre[c]: E[z](z[c])
"""
OUTPUTS = [
    "  centre[c]: centre[c]",
    "  spread[c]: Var[z](z[c])",
    "  slope[c]: d(E[z]((z[c] - 1)**4), m) + 2*d(E[z]((z[c] - 1)**4), s)",
    "  bend[c]: d(E[z](z[c]**3), s, s)",
    "  pair[c]: E[y]((y[c, 0] + 2*y[c, 1])**2)",
    "  ent[c]: entropy(z[c])",
    "  away[c]: KL(z[c], normal(1, 2))",
    *(f"  p{k}[c]: E[z]((z[c] - 1)**{k} + z[c])" for k in ORDERS),
    *(f"  c{k}[c]: E[z]((z[c] - centre[c])**{k})" for k in ORDERS),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    text = TEXT + "outputs:\n" + "\n".join(OUTPUTS) + "\n"
    program = Emission(good(text), 2, tmp_path_factory.mktemp("truncated") / "program.py")
    given = {"below": [e[0] for e in ENDS.values()], "above": [e[1] for e in ENDS.values()]}
    arrays = {k: np.asarray(v, float) for k, v in given.items()}
    return program.call("outputs", {"m": M, "s": S, "key": jax.random.key(0), **arrays})  # type: ignore[no-any-return]


def law(name: str, m: float = M, s: float = S) -> Any:
    low, high = (x if abs(x) < 90 else np.copysign(np.inf, x) for x in ENDS[name])
    return stats.truncnorm((low - m) / s, (high - m) / s, m, s)


def mean_of(f: Any, name: str, m: float = M, s: float = S) -> float:
    """The mean of f by quadrature with SciPy's density."""
    p = law(name, m, s)
    low, high = (max(min(x, m + 12 * s), m - 12 * s) for x in p.support())
    points = np.linspace(low, high, 9)
    return sum(
        integrate.quad(lambda x: f(x) * p.pdf(x), a, b, epsabs=1e-13, epsrel=1e-13)[0]
        for a, b in itertools.pairwise(points)
    )


@pytest.mark.parametrize("name", ENDS)
def test_moments(name: str, found: dict[str, Any]) -> None:
    k, p = list(ENDS).index(name), law(name)
    mean, variance = p.stats("mv")
    assert found["centre"][k] == pytest.approx(float(mean), rel=1e-10)
    assert found["spread"][k] == pytest.approx(float(variance), rel=1e-9)
    # SciPy gives no entropy where an end is infinite.
    entropy = mean_of(lambda x: -p.logpdf(x), name)
    assert found["ent"][k] == pytest.approx(entropy, rel=1e-9, abs=1e-10)
    cross = mean_of(lambda x: -stats.norm(1, 2).logpdf(x), name)
    assert found["away"][k] == pytest.approx(cross - entropy, rel=1e-8)
    assert found["pair"][k] == pytest.approx(5 * float(variance) + 9 * float(mean) ** 2, rel=1e-9)
    for order in ORDERS:
        assert found[f"p{order}"][k] == pytest.approx(mean_of(lambda x, o=order: (x - 1) ** o + x, name), rel=1e-9)


@pytest.mark.parametrize("name", ENDS)
def test_central_moments_lose_what_is_said(name: str, found: dict[str, Any]) -> None:
    """Rounding is multiplied by the number of deviations to the end with each order, and the moments of a tail are small."""
    k, centre = list(ENDS).index(name), float(law(name).mean())
    far = max([3.0, *(abs(x - M) / S for x in law(name).support() if np.isfinite(x))])
    for order in ORDERS:
        want = mean_of(lambda x, o=order: (x - centre) ** o, name)
        assert found[f"c{order}"][k] == pytest.approx(want, rel=1e-10, abs=4e-15 * (S * far) ** order)


@pytest.mark.parametrize("name", ENDS)
def test_derivatives(name: str, found: dict[str, Any]) -> None:
    k, h = list(ENDS).index(name), 1e-3

    def fourth(m: float, s: float) -> float:
        return mean_of(lambda x: (x - 1) ** 4, name, m, s)

    def slope(f: Any) -> float:
        return float((8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h))

    want = slope(lambda t: fourth(M + t, S)) + 2 * slope(lambda t: fourth(M, S + t))
    assert found["slope"][k] == pytest.approx(want, rel=1e-7, abs=1e-7)
    third = [mean_of(lambda x: x**3, name, M, S + t) for t in (-2 * h, -h, 0, h, 2 * h)]
    bend = (-third[0] + 16 * third[1] - 30 * third[2] + 16 * third[3] - third[4]) / (12 * h**2)
    assert found["bend"][k] == pytest.approx(bend, rel=1e-5, abs=1e-5)
