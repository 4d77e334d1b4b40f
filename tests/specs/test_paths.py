"""Expectations over all paths of discrete variables that recurrences draw: against sums over every path, in float64.

Values and derivatives are compared with those of the sum of all K**T paths, differentiated by JAX.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

jax.config.update("jax_enable_x64", True)
T, K, N = 4, 3, 2
Params = dict[str, Any]

RNG = np.random.default_rng(3)
GIVEN: Params = {
    "a": RNG.normal(size=(K, K)),
    "b": RNG.normal(size=(K, T)),
    "c": RNG.normal(size=K),
    "g": RNG.normal(size=(K, K)),
    "s": 0.4,
}
X = RNG.normal(size=(T, N))
HEAD = f"""\
precision: float64
dims: {{t: {T}, r: {T - 1}, h: 2, "k, j": {K}, n: {N}}}
params:
  a[k, j]: {{init: 0}}
  b[k, t]: {{init: 0}}
  c[k]: {{init: 0}}
  g[k, j]: {{init: 0}}
  s: {{init: 0}}
data:
  x[t, n]: real
random:
"""


def softmax(x: Any) -> Any:
    return jnp.exp(x - jax.scipy.special.logsumexp(x))


# Laws, each with its values, the probability of a first value and that of the next one after another.
Law = tuple[str, list[int], Callable[[Params, int], Any], Callable[[Params, int, int, int], Any]]
LAWS: dict[str, Law] = {
    "hidden": (
        "  z[0]: categorical(logits=c[:])\n  z[t + 1]: categorical(logits=a[z[t], :])\n",
        [0, 1, 2],
        lambda p, v: softmax(p["c"])[v],
        lambda p, t, u, v: softmax(p["a"][u])[v],
    ),
    "moving": (
        "  z[0]: categorical(exp(c[:]))\n  z[t + 1]: {law: 'categorical(w[t, :])', estimator: enumerate}\n"
        "define:\n  w[t, j]: exp(a[z[t], j] + b[j, t]*z[t])\n",
        [0, 1, 2],
        lambda p, v: softmax(p["c"])[v],
        lambda p, t, u, v: softmax(p["a"][u] + p["b"][:, t] * u)[v],
    ),
    "bits": (
        "  z[0]: bernoulli(sigmoid(s))\n  z[t + 1]: bernoulli(logits=c[0] - s*z[t])\n",
        [0, 1],
        lambda p, v: jax.nn.sigmoid(p["s"] * (2 * v - 1)),
        lambda p, t, u, v: jax.nn.sigmoid((p["c"][0] - p["s"] * u) * (2 * v - 1)),
    ),
    "counts": (
        "  z[0]: binomial(2, sigmoid(s))\n  z[t + 1]: binomial(2, sigmoid(c[0]*z[t] + b[0, t]))\n",
        [0, 1, 2],
        lambda p, v: _binomial(jax.nn.sigmoid(p["s"]), v),
        lambda p, t, u, v: _binomial(jax.nn.sigmoid(p["c"][0] * u + p["b"][0, t]), v),
    ),
    "alone": (
        "  z[0]: integers(1, 4)\n  z[t + 1]: integers(1, 4)\n",
        [1, 2, 3],
        lambda p, v: 1 / 3 + 0 * p["s"],
        lambda p, t, u, v: 1 / 3 + 0 * p["s"],
    ),
}


def _binomial(q: Any, v: int) -> Any:
    return jnp.array([1, 2, 1])[v] * q**v * (1 - q) ** (2 - v)


# What is averaged, as a spec says it and as a function of a path.
Body = tuple[str, Callable[[Params, Any], Any]]
BODIES: dict[str, Body] = {
    "evidence": (
        "exp(sum[t](logpdf(normal(c[0] + z[t], exp(s)), x[t, 0])))",
        lambda p, z: jnp.exp(jnp.sum(jax.scipy.stats.norm.logpdf(X[:, 0], p["c"][0] + z, jnp.exp(p["s"])))),
    ),
    "table": (
        "prod[t](exp(b[z[t], t])*exp(s))",
        lambda p, z: jnp.exp(sum(p["b"][z[t] % K, t] + p["s"] for t in range(T))),
    ),
    "signed": (
        "prod[t](b[z[t], t] - s)",
        lambda p, z: jnp.prod(jnp.array([p["b"][z[t] % K, t] - p["s"] for t in range(T)])),
    ),
    "edges": (
        "prod[r](g[z[r], z[r + 1]])*exp(s*sum[t](z[t]))",
        lambda p, z: (
            jnp.prod(jnp.array([p["g"][z[r] % K, z[r + 1] % K] for r in range(T - 1)])) * jnp.exp(p["s"] * sum(z))
        ),
    ),
    "signed_mean": (
        "prod[t](b[z[t], t] - s)*(sum[t](z[t]) + c[1])*c[z[0]]",
        lambda p, z: (
            jnp.prod(jnp.array([p["b"][z[t] % K, t] - p["s"] for t in range(T)]))
            * (sum(z) + p["c"][1])
            * p["c"][z[0] % K]
        ),
    ),
    "coupled": (
        "exp(sum[r](g[z[r], z[r + 1]]) - c[2] - sum[t](s*z[t]**2))",
        lambda p, z: jnp.exp(
            sum(p["g"][z[r] % K, z[r + 1] % K] for r in range(T - 1)) - p["c"][2] - p["s"] * sum(v**2 for v in z)
        ),
    ),
    "last": ("z[-1]**2 + c[z[0]]*z[2]", lambda p, z: z[-1] ** 2 + p["c"][z[0] % K] * z[2]),
    "total": (
        "sum[t](b[z[t], t]) - s*sum[r](1 if z[r] == z[r + 1] else 0)",
        lambda p, z: sum(p["b"][z[t] % K, t] for t in range(T)) - p["s"] * sum(z[r] == z[r + 1] for r in range(T - 1)),
    ),
    "squares": (
        "sum[t](b[z[t], t])**2*(z[-1] - s*mean[t](z[t]))",
        lambda p, z: sum(p["b"][z[t] % K, t] for t in range(T)) ** 2 * (z[-1] - p["s"] * sum(z) / T),
    ),
    "posterior": (
        "exp(sum[t](b[z[t], t]))*(sum[r](g[z[r + 1], z[r]]) - s)*(z[1] + sum[t](z[t]))",
        lambda p, z: (
            jnp.exp(sum(p["b"][z[t] % K, t] for t in range(T)))
            * (sum(p["g"][z[r + 1] % K, z[r] % K] for r in range(T - 1)) - p["s"])
            * (z[1] + sum(z))
        ),
    ),
    "part": (
        "exp(sum[h](c[z[h + 1]]*z[h + 2])/(s + 2))*z[0]",
        lambda p, z: jnp.exp(sum(p["c"][z[h + 1] % K] * z[h + 2] for h in range(2)) / (p["s"] + 2)) * z[0],
    ),
    "weighted": (
        "exp(sum[t, n](x[t, n]*z[t]*s))/exp(sum[t](c[z[t]]))",
        lambda p, z: jnp.exp(
            sum(X[t, n] * z[t] * p["s"] for t in range(T) for n in range(N)) - sum(p["c"][z[t] % K] for t in range(T))
        ),
    ),
}
STEPS: dict[str, Body] = {
    "each": ("b[z[t], t]*z[t]", lambda p, z: jnp.array([p["b"][z[t] % K, t] * z[t] for t in range(T)])),
    "smooth": (
        "exp(sum[t](b[z[t], t]))*c[z[r + 1]]*z[r]",
        lambda p, z: (
            jnp.exp(sum(p["b"][z[t] % K, t] for t in range(T)))
            * jnp.array([p["c"][z[r + 1] % K] * z[r] for r in range(T - 1)])
        ),
    ),
    "apart": ("c[z[h]]*z[h + 2]", lambda p, z: jnp.array([p["c"][z[h] % K] * z[h + 2] for h in range(2)])),
}
FEW = ["coupled", "total"]
LETTER = {"each": "t", "smooth": "r", "apart": "h"}


def brute(law: Law, f: Callable[[Params, Any], Any], p: Params) -> Any:
    """The expectation by all paths."""
    _, values, first, move = law

    def one(z: Any) -> Any:
        weight = first(p, z[0])
        for t in range(T - 1):
            weight = weight * move(p, t, z[t], z[t + 1])
        return weight * f(p, z)

    paths = jnp.array(list(itertools.product(values, repeat=T)))
    return jnp.sum(jax.vmap(one)(paths), axis=0)


def reduced(law: str, text: str) -> str:
    # The tables have K rows; values beyond those wrap, as they do in the sums by hand.
    return re.sub(
        r"(\b[bcg])\[z\[([^]]*)\](?:, z\[([^]]*)\])?",
        lambda m: f"{m[1]}[mod{law}[{m[2]}]" + (f", mod{law}[{m[3]}]" if m[3] else ""),
        text,
    )


def spec_of(law: str, bodies: dict[str, Body]) -> str:
    text = LAWS[law][0]
    lines = "" if "define:" in text else "define:\n"
    if law == "alone":
        lines += f"  mod{law}[t]: z[t] - 3 if z[t] > 2 else z[t]\n"
        bodies = {k: (reduced(law, b), f) for k, (b, f) in bodies.items()}
    for k, (body, _) in bodies.items():
        letter = f"[{LETTER[k]}]" if k in LETTER else ""
        lines += f"  f_{k}{letter}: E[z]({body}, by=enumerate)\n"
        lines += f"  total_{k}: {f'sum[{LETTER[k]}](f_{k}{letter}*(1 + index({LETTER[k]})))' if letter else f'f_{k}'}\n"
    lines += "outputs:\n"
    for k in bodies:
        letter = f"[{LETTER[k]}]" if k in LETTER else ""
        lines += f"  f_{k}{letter}: f_{k}{letter}\n"
        for q in ("a[k, j]", "b[k, t]", "c[k]", "g[k, j]", "s"):
            name, _, axes = q.partition("[")
            lines += f"  d_{name}_{k}{'[' + axes if axes else ''}: d(total_{k}, {q})\n"
    return HEAD + text + lines


@pytest.mark.parametrize("law", LAWS)
def test_sums_along_the_steps_are_those_over_all_paths(law: str, tmp_path: Path) -> None:
    every = {**BODIES, **STEPS}
    # One law meets all of them, the others what is left of the ways to sum.
    names = list(every) if law == "hidden" else ["evidence", "signed", "squares", "smooth"] if law == "moving" else FEW
    bodies = {k: every[k] for k in names}
    program = Emission(good(spec_of(law, bodies)), 2, tmp_path / "paths.py")
    given = {**GIVEN, "x": X}
    read = inspect.signature(program.module.outputs).parameters
    found = jax.jit(program.module.outputs)(**{k: v for k, v in given.items() if k in read})
    for k, (_, f) in bodies.items():

        def total(p: Params, k: str = k, f: Callable[[Params, Any], Any] = f) -> tuple[Any, Any]:
            value = brute(LAWS[law], f, p)
            return jnp.sum(value * (1 + jnp.arange(len(value)))) if k in LETTER else value, value

        slope, want = jax.jit(jax.grad(total, has_aux=True))(GIVEN)
        np.testing.assert_allclose(found[f"f_{k}"], want, rtol=1e-10, atol=1e-12, err_msg=k)
        for q, value in slope.items():
            np.testing.assert_allclose(found[f"d_{q}_{k}"], value, rtol=1e-9, atol=1e-11, err_msg=f"{k} by {q}")


SEVERAL = """\
precision: float64
dims: {n: 3, t: 4, k: 2, m: 3}
params:
  a[k]: {init: 0}
  mu[k]: {init: 0}
data:
  x[n, t]: real
random:
  z[n, 0]: categorical(logits=mu[:])
  z[n, t + 1]: categorical(logits=[a[0]*z[n, t], a[1]])
define:
  fit[n]: sum[t](logpdf(normal(mu[z[n, t]], 0.7), x[n, t]))
  one: exp(fit[1])
  every: exp(sum[n](fit[n]))
  total: sum[n, t](mu[z[n, t]]*index(n))
outputs:
  each[n]: log(E[z](exp(fit[n])))
  joint: log(E[z](every))
  slope[k]: d(log(E[z](every)), a[k])
  slopes[n, k]: d(log(E[z](exp(fit[n]))), a[k])
  fixed: E[z](every*z[1, 2])/E[z](every)
  own: E[z](one*z[1, 2])/E[z](one)
  average: E[z](every*total)/E[z](every)
  averages[n]: E[z](exp(fit[n])*sum[t](mu[z[n, t]]))/E[z](exp(fit[n]))
  second: Var[z](total)
  seconds[n]: Var[z](sum[t](mu[z[n, t]]))
  renamed[m]: log(E[z](exp(fit[m])))
"""


def rows(text: str) -> str:
    """A law whose logits are written out as a definition."""
    return text.replace("logits=[a[0]*z[n, t], a[1]]", "logits=w[n, t, :]").replace(
        "define:\n", "define:\n  w[n, t, 0]: a[0]*z[n, t]\n  w[n, t, 1]: a[1]\n"
    )


@pytest.mark.parametrize("level", [0, 2])
def test_several_paths_are_independent(level: int, tmp_path: Path) -> None:
    program = Emission(good(rows(SEVERAL)), level, tmp_path / "several.py")
    x = np.random.default_rng(0).normal(size=(3, 4))
    f = program.call("outputs", {"a": np.array([0.8, -0.3]), "mu": np.array([-0.4, 0.9]), "x": x})
    np.testing.assert_allclose(f["joint"], np.sum(f["each"]), rtol=1e-12)
    np.testing.assert_allclose(f["renamed"], f["each"], rtol=1e-12)
    np.testing.assert_allclose(f["slope"], np.sum(f["slopes"], 0), rtol=1e-10)
    np.testing.assert_allclose(f["fixed"], f["own"], rtol=1e-12)
    np.testing.assert_allclose(f["average"], np.arange(3) @ f["averages"], rtol=1e-12)
    np.testing.assert_allclose(f["second"], np.arange(3) ** 2 @ f["seconds"], rtol=1e-12)


LONG = """\
precision: PRECISION
dims: {t: 5000, k: 2}
params:
  p: {init: 0.3}
  c: {init: 1}
random:
  z[0]: bernoulli(p)
  z[t + 1]: bernoulli(p)
define:
  weight: exp(sum[t](c*z[t] - 2))
outputs:
  log_total: log(E[z](weight))/5000
  rate: E[z](weight*z[-1])/E[z](weight)
  slope: d(log(E[z](weight)), c)/5000
"""


@pytest.mark.parametrize(("precision", "level"), [("float32", 2), ("float64", 0)])
def test_no_weight_of_a_long_path_underflows(precision: str, level: int, tmp_path: Path) -> None:
    program = Emission(good(LONG.replace("PRECISION", precision)), level, tmp_path / "long.py")
    found = program.call("outputs", {"p": np.asarray(0.3, precision), "c": np.asarray(1.0, precision)})
    whole = 0.3 * np.e + 0.7
    error = 1e-10 if precision == "float64" else 1e-3
    np.testing.assert_allclose(found["log_total"], np.log(whole) - 2, rtol=error)
    np.testing.assert_allclose(found["rate"], 0.3 * np.e / whole, rtol=error)
    np.testing.assert_allclose(found["slope"], 0.3 * np.e / whole, rtol=error)


WHOLE = "precision: float64\ndims: {t: 4}\nrandom:\n  z[0]: bernoulli(0.3)\n  z[t + 1]: bernoulli(0.2 + 0.5*z[t])\n"


def test_what_does_not_split_is_summed_over_all_paths(tmp_path: Path) -> None:
    text = WHOLE + "outputs:\n  most: E[z](max[t](z[t]), by=enumerate)\n  same: E[z](1 if z[0] == z[-1] else 0)\n"
    found = Emission(good(text), 2, tmp_path / "whole.py").call("outputs", {})
    move = np.array([[0.8, 0.2], [0.3, 0.7]])
    end = np.linalg.matrix_power(move, 3)
    np.testing.assert_allclose(found["most"], 1 - 0.7 * 0.8**3, rtol=1e-12)
    np.testing.assert_allclose(found["same"], 0.7 * end[0, 0] + 0.3 * end[1, 1], rtol=1e-12)


def test_paths_that_are_too_many_are_refused_or_drawn() -> None:
    text = WHOLE.replace("t: 4", "t: 40") + "outputs:\n  most: E[z](max[t](z[t])WAY)\n"
    with pytest.raises(SpecError, match="no product of sums and products over its steps"):
        compile_spec(good(text.replace("WAY", ", by=enumerate")))
    ((way, why),) = chosen(text.replace("WAY", ""))
    assert way == "z: score"
    assert why.startswith("by draws of its paths")


def chosen(text: str) -> list[tuple[str, str]]:
    return [(c.chosen, c.because) for c in choices_of(compile_spec(good(text)).graph) if c.kind == "expectation"]


def test_the_report_says_that_sums_go_along_the_steps() -> None:
    assert chosen(WHOLE + "outputs:\n  last: E[z](z[-1])\n") == [("z: enumerate", "sums along the steps")]
