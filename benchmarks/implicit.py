"""Value and gradient through a root, a fixed point and a least point, each in a batch: by the implicit function theorem, by
derivatives of the steps, and with Optimistix by hand. All use the same algorithm to the same tolerance."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optimistix

from benchmarks.programs import written
from benchmarks.reaching import Table
from benchmarks.timing import interleaved

HEAD = """\
vspec: 1
name: implicit
precision: float64
solve: {minimize: loss, method: adam}
"""

# u in balance: each entry with its neighbours, a cubic restoring force, and a load.
ROOT = """\
dims: {n: BATCH, i: SIZE, j: SIZE}
data:
  A[i, j]: real
  load[n, i]: real
  seen[n, i]: real
params:
  stiff[i]: {init: 0.5}
define:
  u[n, i]: root[v[i]](sum[j](A[i, j]*v[j]) + stiff[i]*v[i]**3 - load[n, i], method=newton(tol=1e-10)OPTION)
objectives:
  loss: mean[n](sum[i]((u[n, i] - seen[n, i])**2))
"""

# Rates of a recurrent network at rest.
FIXED_POINT = """\
dims: {n: BATCH, i: SIZE, j: SIZE}
data:
  drive[n, i]: real
  seen[n, i]: real
params:
  W[i, j]: {init: 0}
define:
  rate[n, i]: fixed_point[q[i]](tanh(sum[j](W[i, j]*q[j]) + drive[n, i]), method=picard(tol=1e-10), steps=60OPTION)
objectives:
  loss: mean[n](sum[i]((rate[n, i] - seen[n, i])**2))
"""

# Weights that fit under a penalty for each of them, for several sets of penalties at once.
ARGMIN = """\
dims: {n: BATCH, i: SIZE, r: ROWS, s: ROWS}
data:
  X[r, i]: real
  y[r]: real
  Z[s, i]: real
  z[s]: real
params:
  lam[n, i]: {init: 0}
define:
  w[n, i]: >-
    argmin[a[i]](sum[r](log(1 + exp(-y[r]*sum[i](X[r, i]*a[i])))) + sum[i](exp(lam[n, i])*a[i]**2)/2,
    method=newton(tol=1e-10)OPTION)
objectives:
  loss: mean[n](mean[s](log(1 + exp(-z[s]*sum[i](Z[s, i]*w[n, i])))))
"""

NEWTON = optimistix.Newton(rtol=1e-10, atol=1e-10)
PICARD = optimistix.FixedPointIteration(rtol=1e-10, atol=1e-10)


def specced(text: str, sizes: Mapping[str, int], option: str, steps: int) -> Any:
    """The program of one of the specs above; `steps` bounds the search where its derivatives are those of the steps."""
    for name, size in sizes.items():
        text = text.replace(name, str(size))
    chosen = ", gradient=unrolled" + (f", steps={steps}" if steps else "") if option == "unrolled" else ""
    return written(HEAD + text.replace("OPTION", chosen))


def compared(
    title: str,
    text: str,
    sizes: Mapping[str, int],
    given: Mapping[str, Any],
    params: Mapping[str, Any],
    by_hand: Callable[[Any], Any],
    steps: int,
    repetitions: int,
) -> Table:
    """The three ways, once all of them agree."""
    sides: dict[str, Callable[[], Any]] = {}
    for name, option in (("vspec", "implicit"), ("vspec, unrolled", "unrolled")):
        program = specced(text, sizes, option, steps)
        bound = program.bind(given)
        jitted = program.jitted("loss_value_and_gradient")
        sides[name] = lambda f=jitted, b=bound: f(params, b)
    both = jax.jit(jax.value_and_grad(by_hand))
    (start,) = params.values()
    sides["Optimistix by hand"] = lambda: both(start)
    results: dict[str, Any] = {}
    first: dict[str, float] = {}
    for name, f in sides.items():
        begun = time.perf_counter()
        results[name] = jax.block_until_ready(f())
        first[name] = time.perf_counter() - begun
    known, slope = (np.asarray(x) for x in results["vspec"])
    assert np.isfinite(known)
    assert np.max(np.abs(slope)) > 0
    for name, (value, gradient) in results.items():
        np.testing.assert_allclose(value, known, rtol=1e-8, err_msg=name)
        np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-7 * np.max(np.abs(slope)), err_msg=name)
    return {title: interleaved(sides, repetitions, first=first)}


def root(size: int = 200, batch: int = 8, repetitions: int = 11) -> Table:
    """A cubic balance of forces, by Newton's method."""
    rng = np.random.default_rng(0)
    A = 2.1 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1)
    load, seen = rng.normal(size=(2, batch, size))
    load_, seen_, A_ = map(jnp.asarray, (load, seen, A))

    def loss(stiff: Any) -> Any:
        def solution(load: Any) -> Any:
            found = optimistix.root_find(
                lambda v, s: A_ @ v + s * v**3 - load,
                NEWTON,
                jnp.zeros(size),
                stiff,
                adjoint=optimistix.ImplicitAdjoint(),
            )
            return found.value

        return jnp.mean(jnp.sum((jax.vmap(solution)(load_) - seen_) ** 2, 1))

    given = {"A": A, "load": load, "seen": seen}
    start = {"stiff": jnp.full(size, 0.5)}
    sizes = {"BATCH": batch, "SIZE": size}
    title = f"gradient of {batch} roots of {size} unknowns"
    return compared(title, ROOT, sizes, given, start, loss, 20, repetitions)


def fixed_point(size: int = 300, batch: int = 8, repetitions: int = 11) -> Table:
    """Rates of a network that contracts, by iteration."""
    rng = np.random.default_rng(1)
    W = rng.normal(size=(size, size)) * 0.25 / np.sqrt(size)
    drive, seen = rng.normal(size=(2, batch, size))
    drive_, seen_ = jnp.asarray(drive), jnp.asarray(seen)

    def loss(W: Any) -> Any:
        def solution(drive: Any) -> Any:
            found = optimistix.fixed_point(
                lambda q, W: jnp.tanh(W @ q + drive), PICARD, jnp.zeros(size), W, adjoint=optimistix.ImplicitAdjoint()
            )
            return found.value

        return jnp.mean(jnp.sum((jax.vmap(solution)(drive_) - seen_) ** 2, 1))

    sizes = {"BATCH": batch, "SIZE": size}
    title = f"gradient of {batch} fixed points of {size} unknowns"
    given = {"drive": drive, "seen": seen}
    return compared(title, FIXED_POINT, sizes, given, {"W": jnp.asarray(W)}, loss, 0, repetitions)


def argmin(size: int = 100, batch: int = 8, rows: int = 400, repetitions: int = 11) -> Table:
    """Penalties of logistic regression, by Newton's method on the gradient."""
    rng = np.random.default_rng(2)
    X, Z = rng.normal(size=(2, rows, size))
    truth = rng.normal(size=size) / 3
    y, z = np.sign(X @ truth + rng.normal(size=rows)), np.sign(Z @ truth + rng.normal(size=rows))
    X_, Z_, y_, z_ = map(jnp.asarray, (X, Z, y, z))

    def fit(a: Any, lam: Any) -> Any:
        return jnp.sum(jnp.log1p(jnp.exp(-y_ * (X_ @ a)))) + jnp.sum(jnp.exp(lam) * a**2) / 2

    def loss(lam: Any) -> Any:
        def solution(lam: Any) -> Any:
            slope = jax.grad(fit)
            return optimistix.root_find(slope, NEWTON, jnp.zeros(size), lam, adjoint=optimistix.ImplicitAdjoint()).value

        w = jax.vmap(solution)(lam)
        return jnp.mean(jnp.log1p(jnp.exp(-z_ * (w @ Z_.T))))

    sizes = {"BATCH": batch, "SIZE": size, "ROWS": rows}
    start = {"lam": jnp.asarray(rng.normal(size=(batch, size)) + 1)}
    title = f"gradient of {batch} least points of {size} unknowns"
    return compared(title, ARGMIN, sizes, {"X": X, "y": y, "Z": Z, "z": z}, start, loss, 20, repetitions)


ALL: Mapping[str, Callable[[], Table]] = {"root": root, "fixed-point": fixed_point, "argmin": argmin}
