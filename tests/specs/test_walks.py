"""Expectations over variables that recurrences draw: against exact sums and closed forms, by a z-test in float64."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.language.helpers import diagnose, good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.pipeline import compile_spec

A, C = 0.6, 0.3
R, T = 4000, 4

# A linear walk, one with a hidden state that its law reads, and a chain of bits.
WALKS = {
    "line": ("normal(a, 1)", "normal(a*line[t, r] + c, exp(c))", "", "line[-1, r]**2 + line[1, r]*line[2, r]"),
    "fed": ("normal(c, 1)", "normal(tanh(state[t, r]) + a, exp(c)/2)", "fed", "sin(fed[-1, r]) + state[-1, r]**2"),
    "bits": (
        "bernoulli(sigmoid(a))",
        "bernoulli(logits=c - 2*a*bits[t, r])",
        "",
        "(bits[0, r] + 2*bits[-1, r])*sum[t](bits[t, r]) - bits[1, r]",
    ),
}
CASES = [("line", "reparam"), ("line", "score(baseline=loo)"), ("fed", "reparam"), ("fed", "score"), ("bits", "score")]
CASES.append(("bits", "score(baseline=loo)"))


def named(name: str, estimator: str) -> str:
    return f"{name}_{estimator.partition('(')[0]}{'_loo' if 'loo' in estimator else ''}"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    random, define, outputs = [], [], []
    for name, estimator in CASES:
        v = named(name, estimator)
        first, step, state, f = (x.replace(f"{name}[", f"{v}[").replace("state[", f"h_{v}[") for x in WALKS[name])
        random += [f'  "{v}[0, r]": {{law: "{first}", estimator: "{estimator}"}}', f'  "{v}[t + 1, r]": "{step}"']
        if state:
            define += [f'  "h_{v}[0, r]": 0.5', f'  "h_{v}[t + 1, r]": "0.5*h_{v}[t, r] + c*{v}[t, r]"']
        define.append(f'  "f_{v}[r]": "E[{v}]({f}, by=samples(1))"')
        for key, text in (("f", f"f_{v}[r]"), *((p, f"d(f_{v}[r], {p})") for p in "ac")):
            define.append(f'  "{key}_{v}_one[r]": "{text}"')
            outputs.append(f"  m_{key}_{v}: mean[r]({key}_{v}_one[r])")
            outputs.append(f"  e_{key}_{v}: sqrt(var[r]({key}_{v}_one[r])/size(r))")
    text = "\n".join(
        [
            f"precision: float64\ndims: {{r: {R}, t: {T}}}\nparams:\n  a: {{init: 0}}\n  c: {{init: 0}}",
            "random:",
            *random,
            "define:",
            *define,
            "outputs:",
            *outputs,
        ]
    )
    program = Emission(good(text + "\n"), 2, tmp_path_factory.mktemp("walks") / "program.py")
    values = jax.jit(program.module.outputs)(a=A, c=C, key=jax.random.key(11))
    return {k: float(v) for k, v in values.items()}


def bits(a: float, c: float) -> float:
    total = 0.0
    for b in itertools.product((0, 1), repeat=T):
        p = 1 / (1 + np.exp(-a))
        weight = p if b[0] else 1 - p
        for old, new in itertools.pairwise(b):
            q = 1 / (1 + np.exp(-(c - 2 * a * old)))
            weight *= q if new else 1 - q
        total += weight * ((b[0] + 2 * b[-1]) * sum(b) - b[1])
    return total


def line(a: float, c: float) -> float:
    mean, second = [a], [1 + a * a]
    for _ in range(T - 1):
        second.append(np.exp(2 * c) + a * a * second[-1] + 2 * a * c * mean[-1] + c * c)
        mean.append(a * mean[-1] + c)
    return float(second[-1] + a * second[1] + c * mean[1])


def fed(a: float, c: float) -> float:
    """By Gauss-Hermite quadrature over the noise of the steps that matter."""
    x, w = np.polynomial.hermite_e.hermegauss(24)
    w = w / w.sum()
    e = np.meshgrid(*[x] * T, indexing="ij", sparse=True)
    weight: Any = 1.0
    for k in range(T):
        weight = weight * w.reshape([-1 if j == k else 1 for j in range(T)])
    b, h = c + e[0], 0.5
    for k in range(1, T):
        b, h = np.tanh(h) + a + np.exp(c) / 2 * e[k], 0.5 * h + c * b
    return float(np.sum(weight * (np.sin(b) + h**2)))


EXACT = {"line": line, "fed": fed, "bits": bits}


@pytest.mark.parametrize(("name", "estimator"), CASES)
def test_values_and_derivatives_are_unbiased(name: str, estimator: str, found: dict[str, float]) -> None:
    h, exact, v = 1e-4, EXACT[name], named(name, estimator)
    want = {
        "f": exact(A, C),
        "a": (exact(A + h, C) - exact(A - h, C)) / (2 * h),
        "c": (exact(A, C + h) - exact(A, C - h)) / (2 * h),
    }
    for key, value in want.items():
        mean, error = found[f"m_{key}_{v}"], found[f"e_{key}_{v}"]
        # Bound 4.5 on the z-score of a fixed key.
        assert abs(mean - value) <= 4.5 * error, (key, mean, value, error)
        assert 0 < error < 0.1 * (1 + abs(value))


MIXED = """\
precision: float64
dims: {t: 5, n: 2, k: 3}
data:
  y[t, n]: real
params:
  a: {init: 0.7}
  s: {init: 0.4}
random:
  z[0, n]: {law: "normal(0, 1)", estimator: ESTIMATOR}
  z[t + 1, n]: normal(a*z[t, n] + q[0], s)
  q[k]: {law: "normal(a, 1)", estimator: reparam}
  last[n]: {law: "normal(z[-1, n]*a, 1)", estimator: reparam}
define:
  seen[t, n]: tanh(z[t, n])
  bound: E[z, q](sum[t, n](logpdf(normal(seen[t, n], s), y[t, n])) - sum[k](q[k]**2), by=samples(6))
  after: E[z, q, last](sum[n](last[n]**2), by=samples(6))
outputs:
  bound: bound
  after: after
  slope: d(bound, a) + d(bound, s)
  steep: d(after, a)
  spread: Var[z](z[-1, 0] + z[1, 0], by=samples(50))
  now: z[-1, 1]
"""


@pytest.mark.parametrize("estimator", ["reparam", "score"])
def test_all_levels_and_the_reference_agree(estimator: str, tmp_path: Path) -> None:
    text = MIXED.replace("ESTIMATOR", estimator)
    slow, fast = (Emission(good(text), level, tmp_path / f"mixed_{level}.py") for level in (0, 2))
    given = {"a": 0.7, "s": 0.4, "y": np.linspace(-1, 1, 10).reshape(5, 2), "key": jax.random.key(2)}
    found, other = fast.call("outputs", given), slow.call("outputs", given)
    # The reference has no derivatives of loops.
    values = "\n".join(x for x in text.splitlines() if "d(" not in x) + "\n"
    graph = compile_spec(good(values), level=2).graph
    want = evaluate_graph(graph, {k: v if k == "key" else np.asarray(v) for k, v in given.items()})["outputs"]
    for name, value in found.items():
        np.testing.assert_allclose(value, other[name], rtol=1e-9, err_msg=name)
        if name not in ("slope", "steep"):
            np.testing.assert_allclose(value, want[(name,)], rtol=1e-9, err_msg=name)


HEAD = "dims: {t: 4, i: 2}\nparams:\n  a: {init: 1}\nrandom:\n"
USE = "outputs:\n  y: E[z](z[-1]**2)\n"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("  z[0]: normal(0, 1)\n  z[t + 1]: laplace(z[t], 1)\n" + USE, "of different noise"),
        ("  z[0]: poisson(2)\n  z[t + 1]: poisson(a + z[t])\n" + USE, "not made of noise"),
        (
            "  z[0]: {law: 'normal(0, 1)', estimator: enumerate}\n  z[t + 1]: normal(z[t], 1)\n" + USE,
            "the estimator 'enum",
        ),
        (
            "  z[0]: normal(0, 1)\n  z[t + 1]: normal(u[t], 1)\n  u[0]: normal(0, 1)\n  u[t + 1]: normal(z[t], 1)\n"
            + USE,
            "together with another random variable",
        ),
        (
            "  z[0]: normal(0, 1)\n  z[t + 1]: normal(z[t], 1)\ndefine:\n  m[0]: 0\n  m[t + 1]: m[t] + E[z](z[-1])\n",
            "in a recurrence",
        ),
    ],
)
def test_what_is_not_there_yet(lines: str, why: str) -> None:
    spec, found = diagnose(HEAD + lines)
    assert spec is None
    assert [d.code for d in found if d.severity == "error"] == ["VS0408"], [(d.code, d.message) for d in found]
    assert why in next(d.message for d in found if d.code == "VS0408")


def test_whole_numbers_have_no_path_and_a_walk_no_law_of_its_own() -> None:
    chain = "  z[0]: {law: bernoulli(0.3), estimator: reparam}\n  z[t + 1]: bernoulli(logits=a*z[t])\n"
    _, found = diagnose(HEAD + chain + USE)
    assert [d.code for d in found if d.severity == "error"] == ["VS0693"]
    walk = "  z[0]: normal(0, 1)\n  z[t + 1]: normal(a*z[t], 1)\n"
    _, found = diagnose(HEAD + walk + "outputs:\n  y: logpdf(z[1])\n")
    assert [d.code for d in found if d.severity == "error"] == ["VS0690"]
    with pytest.raises(SpecError, match="is by draws"):
        compile_spec(good(HEAD + walk + USE.replace("z[-1]**2", "z[-1]**2, by=quadrature(9)")))
