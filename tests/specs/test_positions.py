"""Elements that are read at fixed positions are summed over alone, against sums that are written out."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

N = 40
A, C = 0.1 * np.arange(N) - 1, np.array([0.2, 1.1])
TEXT = f"""\
precision: float64
dims: {{n: {N}, j: 2, i: 3}}
params:
  a[n]: {{init: 0}}
  c[j]: {{init: 0}}
data:
  v[i]: {{value: [1, 4, -2]}}
random:
  k[n]: bernoulli(sigmoid(a[n]))
  l[n]: bernoulli(0.2 + 0.5*k[n])
  z[n]: categorical(logits=stack_[n, :])
  m[n]: mixture(exp(c[:]), normal(c[:] + a[n], 0.5))
define:
  stack_[n, i]: a[n]*index(i)
outputs:
"""
SHOWN = {
    "two": "E[k](exp(k[3] + 2*k[7]))",
    "again": "E[k](exp(k[3])*(k[3] + sum[n](a[n])))",
    "from_the_end": "E[k](k[-1]**3*exp(k[0]))",
    "chained": "E[k, l](exp(l[5] - 2*k[5]))",
    "gathered": "E[z](exp(v[z[4]])*z[30])",
    "of_a_name": "E[k](exp(each[3]*each[4]))",
    "component": "E[m](sin(m[3])**2, by=quadrature(30))",
    "closed": "E[m](m[3]**2)",
    "varies": "Var[k](exp(k[3] + 2*k[7]))",
    "many_and_two": "E[k](sum[n](exp(k[n])) + exp(k[3] + k[9]))",
}
DEFINED = "  each[n]: k[n]*a[n] + 1\n"


def p(n: int, a: np.ndarray) -> np.ndarray:
    q = 1 / (1 + np.exp(-a[n]))
    return np.array([1 - q, q])


def over_k(f: Any, places: tuple[int, ...], a: np.ndarray) -> float:
    """The mean of f over the elements of k at some places."""
    total = 0.0
    for values in itertools.product((0, 1), repeat=len(places)):
        weight = np.prod([p(n, a)[x] for n, x in zip(places, values, strict=True)])
        total += float(weight) * float(f(*values))
    return total


def exact(name: str, a: np.ndarray) -> float:
    w = np.exp(C) / np.sum(np.exp(C))
    mean = C + a[3]
    if name == "two":
        return over_k(lambda x, y: np.exp(x + 2 * y), (3, 7), a)
    if name == "again":
        return over_k(lambda x: np.exp(x) * (x + np.sum(a)), (3,), a)
    if name == "from_the_end":
        return over_k(lambda x, y: x**3 * np.exp(y), (N - 1, 0), a)
    if name == "chained":
        q = (0.2, 0.7)
        return over_k(lambda x: (1 - q[x]) * np.exp(-2 * x) + q[x] * np.exp(1 - 2 * x), (5,), a)
    if name == "gathered":
        laws = [np.exp(a[n] * np.arange(3)) / np.sum(np.exp(a[n] * np.arange(3))) for n in (4, 30)]
        return float(laws[0] @ np.exp([1.0, 4, -2]) * (laws[1] @ np.arange(3)))
    if name == "of_a_name":
        return over_k(lambda x, y: np.exp((x * a[3] + 1) * (y * a[4] + 1)), (3, 4), a)
    if name == "component":
        return float(w @ (1 - np.exp(-2 * 0.25) * np.cos(2 * mean)) / 2)
    if name == "closed":
        return float(w @ (mean**2 + 0.25))
    if name == "varies":
        return over_k(lambda x, y: np.exp(x + 2 * y) ** 2, (3, 7), a) - exact("two", a) ** 2
    one = sum(over_k(np.exp, (n,), a) for n in range(N))
    return one + over_k(lambda x, y: np.exp(x + y), (3, 9), a)


def emitted(path: Path, level: int) -> Emission:
    shown = "".join(f"  {n}_0: {t}\n  {n}_a: d({t}, a[3])\n" for n, t in SHOWN.items())
    return Emission(good(TEXT.replace("outputs:\n", DEFINED + "outputs:\n") + shown), level, path / f"p_{level}.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    path = tmp_path_factory.mktemp("positions")
    given = {"a": A, "c": C, "v": np.array([1.0, 4, -2]), "key": jax.random.key(0)}
    fast = emitted(path, 2)
    values = fast.call("outputs", given)
    slow = emitted(path, 0).call("outputs", given)
    want = evaluate_graph(fast.compiled.graph, given)["outputs"]
    for name, value in values.items():
        np.testing.assert_allclose(value, slow[name], rtol=1e-10, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(value, want[(name,)], rtol=1e-10, atol=1e-12, err_msg=name)
    return values, path


@pytest.mark.parametrize("name", SHOWN)
def test_sums_are_those_over_what_is_read(name: str, found: tuple[dict[str, Any], Path]) -> None:
    values, _ = found
    assert float(values[f"{name}_0"]) == pytest.approx(exact(name, A), rel=1e-10)
    step = np.zeros(N)
    step[3] = 1e-5
    slope = (exact(name, A + step) - exact(name, A - step)) / 2e-5
    assert float(values[f"{name}_a"]) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_nothing_is_drawn(found: tuple[dict[str, Any], Path]) -> None:
    text = TEXT.replace("outputs:\n", DEFINED + "outputs:\n") + "".join(f"  {n}: {t}\n" for n, t in SHOWN.items())
    compiled = compile_spec(good(text))
    chosen = [c.chosen for c in choices_of(compiled.graph) if c.kind == "expectation"]
    assert len(chosen) == len(SHOWN)
    assert not any(word in c for c in chosen for word in ("score", "reparam"))
    assert "k[7]: enumerate" in chosen[0]


def test_elements_that_are_too_many_together_are_drawn() -> None:
    read = " + ".join(f"k[{n}]*k[{n + 1}]" for n in range(20))
    compiled = compile_spec(good(TEXT + f"  f: E[k](exp({read}), by=samples(10))\n"))
    (choice,) = [c for c in choices_of(compiled.graph) if c.kind == "expectation"]
    assert choice.chosen == "k: score"
