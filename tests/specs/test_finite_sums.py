"""Sums over all values where a closed form or a rule is asked for: of categorical variables, and of components of mixtures."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from scipy import integrate, stats  # type: ignore[import-untyped]

from tests.language.helpers import good
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

A, C = np.array([0.2, -0.4, 0.9]), np.array([0.1, 1.3])
V = np.array([1.0, 5.0, -2.0])
TEXT = """\
precision: float64
dims: {k: 3, j: 2, n: 13}
params:
  a[k]: {init: 0}
  c[j]: {init: 0}
data:
  v[k]: {value: [1, 5, -2]}
random:
  z: categorical(logits=a[:])
  y: {law: "categorical(logits=a[:])", estimator: analytic}
  u[j]: {law: "bernoulli(sigmoid(c[j]))", estimator: analytic}
  many[n]: bernoulli(0.5)
  count: poisson(2)
  m: mixture(exp(c[:]), normal(c[:], 0.5))
  e: mixture(exp(c[:]), exponential(exp(c[:])))
outputs:
"""
SUMS = {
    "asked": "E[z](v[z]**2, by=analytic)",
    "estimator": "E[y](v[y]**2)",
    "variance": "Var[z](v[z], by=analytic)",
    "together": "E[u]((u[0] + 2*u[1])**3, by=analytic)",
    "rule": "E[m](sin(m)**2, by=quadrature(40))",
    "interval": "E[m](sin(m)**2, by=quadrature(2001, over=[-8, 9]))",
    "spread": "Var[m](sin(m), by=quadrature(40))",
    "laguerre": "E[e](log(1 + e**2), by=quadrature(120))",
}


def mixed(f: Any, c: np.ndarray, normal: bool = True) -> float:
    w = np.exp(c) / np.sum(np.exp(c))
    laws = [stats.norm(x, 0.5) if normal else stats.expon(scale=np.exp(x)) for x in c]
    each = [integrate.quad(lambda x, p=p: f(x) * p.pdf(x), *p.interval(1 - 1e-15), limit=400)[0] for p in laws]
    return float(w @ np.array(each))


def exact(name: str, a: np.ndarray, c: np.ndarray) -> float:
    p, q = np.exp(a) / np.sum(np.exp(a)), 1 / (1 + np.exp(-c))
    if name in ("asked", "estimator"):
        return float(p @ V**2)
    if name == "variance":
        return float(p @ V**2 - (p @ V) ** 2)
    if name == "together":
        first, second = np.array([1 - q[0], q[0]]), np.array([1 - q[1], q[1]])
        return float(sum(first[x] * second[y] * (x + 2 * y) ** 3 for x in range(2) for y in range(2)))
    if name == "spread":
        return mixed(lambda x: np.sin(x) ** 2, c) - mixed(np.sin, c) ** 2
    if name == "laguerre":
        return mixed(lambda x: np.log1p(x**2), c, normal=False)
    return mixed(lambda x: np.sin(x) ** 2, c)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    shown = "".join(f"  {n}_0: {t}\n  {n}_a: d({t}, a[1])\n  {n}_c: d({t}, c[1])\n" for n, t in SUMS.items())
    program = Emission(good(TEXT + shown), 2, tmp_path_factory.mktemp("sums") / "program.py")
    return program.call("outputs", {"a": A, "c": C, "v": V, "key": jax.random.key(0)})  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", SUMS)
def test_sums_are_exact(name: str, found: dict[str, Any]) -> None:
    h = 1e-5
    tol = 1e-5 if name == "laguerre" else 1e-8
    assert float(found[f"{name}_0"]) == pytest.approx(exact(name, A, C), rel=tol)
    step, turn = np.array([0, h, 0]), np.array([0, h])
    by_a = (exact(name, A + step, C) - exact(name, A - step, C)) / (2 * h)
    by_c = (exact(name, A, C + turn) - exact(name, A, C - turn)) / (2 * h)
    assert float(found[f"{name}_a"]) == pytest.approx(by_a, rel=10 * tol, abs=1e-7)
    assert float(found[f"{name}_c"]) == pytest.approx(by_c, rel=10 * tol, abs=1e-7)


def test_the_compiler_says_that_it_sums() -> None:
    text = TEXT + f"  a: {SUMS['asked']}\n  b: {SUMS['rule']}\n"
    first, second = [c for c in choices_of(compile_spec(good(text)).graph) if c.kind == "expectation"]
    assert first.chosen == "z: enumerate"
    assert "their sum" in first.because
    assert second.chosen == "m.component: enumerate, m: quadrature"


@pytest.mark.parametrize(
    "text",
    [
        # 8192 values, which a closed form is not, and infinitely many.
        "E[many](exp(sum[n](many[n])/13)**2/(1 + many[0]), by=analytic)",
        "E[count](sin(count), by=analytic)",
    ],
)
def test_what_is_no_sum_of_a_few_has_no_closed_form(text: str) -> None:
    with pytest.raises(SpecError, match="no closed form is known"):
        compile_spec(good(TEXT + f"  f: {text}\n"))
