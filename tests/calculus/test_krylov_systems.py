"""Derivatives of least values and roots by Krylov methods, against JAX's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.calculus.test_implicit import HEAD, root_of, solved
from tests.calculus.test_linear_systems import graph_of, of_entry, systems
from tests.language.helpers import good
from vspec.compiler.pipeline import compile_spec

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

LEAST = """
dims: {i, j: 4, n: 2, r: 6}
data:
  X[r, i]: real
params:
  lam[n, i]: {init: 0}
define:
  w[n, i]: argmin[a[i]](sum[r](log(1 + exp(-sum[i](X[r, i]*a[i])))) + sum[i](exp(lam[n, i])*a[i]**2)/2,
    method=newton(tol=1e-12), gradient=krylov)
  top[n, i]: argmax[a[i]](-sum[r](log(1 + exp(-sum[i](X[r, i]*a[i])))) - sum[i](exp(lam[n, i])*a[i]**2)/2,
    method=newton(tol=1e-12), gradient=krylov)
  zero[i]: root[a[i]](sum[j](X[0, j]*a[j])*X[1, i] + 3*a[i] + a[i]**3/5 - X[2, i], method=newton(tol=1e-12), gradient=krylov)
  total: sum[n, i](w[n, i]**3)
outputs:
  w[n, i]: w[n, i]
  slope[n, i]: d(total, lam[n, i])
  curve[n, i]: d(total, lam[0, 1], lam[n, i])
  same[n, i]: d(sum[n, i](top[n, i]**3), lam[n, i])
  zero[i]: zero[i]
  tilt[r, j]: d(sum[i](exp(zero[i])), X[r, j])
"""


def test_krylov_methods_for_least_values_and_roots(tmp_path: Path) -> None:
    def reference(lam: Any, X: Any) -> dict[str, Any]:
        def fit(a: Any, lam: Any) -> Any:
            return jnp.sum(jnp.log1p(jnp.exp(-X @ a))) + jnp.sum(jnp.exp(lam) * a**2) / 2

        def least(lam: Any) -> Any:
            return jax.vmap(lambda one: root_of(lambda a: jax.grad(fit)(a, one), jnp.zeros(4)))(lam)

        def total(lam: Any) -> Any:
            return jnp.sum(least(lam) ** 3)

        def zero(X: Any) -> Any:
            return root_of(lambda a: X[0] @ a * X[1] + 3 * a + a**3 / 5 - X[2], jnp.zeros(4))

        slope = jax.grad(total)(lam)
        curve = jax.hessian(total)(lam)[0, 1]
        tilt = jax.grad(lambda X: jnp.sum(jnp.exp(zero(X))))(X)
        return {"w": least(lam), "slope": slope, "curve": curve, "same": slope, "zero": zero(X), "tilt": tilt}

    rng = np.random.default_rng(2)
    given = {"lam": rng.normal(size=(2, 4)), "X": rng.normal(size=(6, 4))}
    wanted = jax.jit(reference)(**given)
    found = solved(LEAST, given, tmp_path)
    for name, want in wanted.items():
        np.testing.assert_allclose(found[name], want, atol=1e-9, rtol=1e-9, err_msg=name)
    emitted = compile_spec(good(HEAD + LEAST)).emitted.text
    assert "implicit.cg(" in emitted
    assert "implicit.bicgstab(" in emitted


WIDE = """
dims: {i: SIZE, r: ROWS}
data:
  X[r, i]: real
params:
  lam: {init: 0}
define:
  w[i]: argmin[a[i]](sum[r](log(1 + exp(-sum[i](X[r, i]*a[i])))) + exp(lam)*sum[i](a[i]**2)/2, gradient=WAY)
objectives:
  loss: sum[i](w[i]**4)
solve: {minimize: loss, method: adam()}
"""


@pytest.mark.parametrize(
    ("size", "rows", "way", "chosen"),
    [
        (1000, 2000, "implicit", "krylov"),
        (1000, 2000, "direct", "direct"),
        (1000, 20, "implicit", "direct"),
        (20, 2000, "implicit", "direct"),
        (20, 2000, "krylov", "krylov"),
    ],
    ids=["large", "asked", "low rank", "small", "asked for products"],
)
def test_many_unknowns_are_solved_for_by_products(size: int, rows: int, way: str, chosen: str) -> None:
    """A matrix of low rank has a structure that costs less than products; that of few unknowns costs next to nothing."""
    graph = graph_of(WIDE.replace("SIZE", str(size)).replace("ROWS", str(rows)).replace("WAY", way))
    products, factors = systems(of_entry(graph, "loss_gradient"))
    assert (products > 0, factors > 0) == (chosen == "krylov", chosen == "direct")
