"""Products of a Hessian with a vector, as entries of programs, against JAX's forward mode through the gradient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.program import Emission
from vspec.compiler.pipeline import check_text

HEAD = """\
vspec: 1
name: products
precision: float64
dims: {n: 7, 'i, j': 4, t: 6, k: auto}
constants: {lam: 0.7}
data:
  X[n, i]: real
  y[n]: real
  K[k]: real
  at[n]: {type: integer, in: [0, 1, 2, 3]}
params:
"""

SPECS: dict[str, tuple[str, str]] = {
    "one param": ("w[i]: {init: 0}", "loss: sum[n](exp(sum[i](X[n, i]*w[i])/3) - y[n]*sum[i](X[n, i]*w[i]))"),
    "several": (
        "w[i]: {init: 0}\n  c: {init: 0}",
        "loss: sum[n](log(1 + exp(-y[n]*(sum[i](X[n, i]*w[i]) + c)))) + lam*sum[i](w[i]**4)*exp(c)",
    ),
    "a matrix": ("A[i, j]: {init: 0}", "loss: sum[i, j](sin(A[i, j])*A[j, i] + A[i, j]**2*X[0, i])"),
    "linear algebra": (
        "A[i, j]: {init: 0}",
        "M[i, j]: 5*delta[i, j] + A[i, j]*A[j, i]\n  loss: logdet(M[:, :]) + sum[i](solve(M[:, :], X[0, :])[i]**2)",
    ),
    "a gather": ("w[i]: {init: 0}", "loss: sum[n](y[n]*tanh(w[at[n]])**2) + max[i](w[i])**2 + w[0]*w[3]"),
    "a loop": (
        "w[i]: {init: 0}\n  c: {init: 0}",
        "s[0, i]: w[i]\n  s[t + 1, i]: s[t, i] + 0.1*sin(s[t, i])*sum[j](s[t, j]*c)\n  loss: sum[i](s[-1, i]**2)",
    ),
    "complex": (
        "z[i]: {init: 0, type: complex}\n  c: {init: 0}",
        "loss: sum[i](abs(z[i])**4*exp(c) + re(z[i]**3)) + c**3",
    ),
    "open size": ("v[k]: {init: 0}\n  u[k]: {init: 0}", "loss: sum[k](K[k]*v[k]**4*exp(u[k])) + sum[k](v[k])**2"),
}


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("name", SPECS)
def test_products_are_derivatives_of_the_gradient(name: str, level: int, tmp_path: Path) -> None:
    jax.config.update("jax_enable_x64", True)
    params, formulas = SPECS[name]
    text = f"{HEAD}  {params}\ndefine:\n  {formulas}\nsolve: {{minimize: loss, method: newton(hessian=products)}}\n"
    spec, diagnostics = check_text(text, "products.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    made = Emission(spec, level, tmp_path / "program.py")
    rng = np.random.default_rng(3)
    sizes = {"n": 7, "i": 4, "j": 4, "t": 6, "k": 5}

    def draw(p: Any) -> Any:
        shape = [sizes[x] for x in p.letters]
        return rng.normal(size=shape) + (1j * rng.normal(size=shape) if p.dtype == "complex" else 0)

    point = {n: jnp.asarray(draw(p)) for n, p in spec.params.items()}
    vector = {n: jnp.asarray(draw(p)) for n, p in spec.params.items()}
    data = {"X": rng.normal(size=(7, 4)), "y": rng.normal(size=7), "at": rng.integers(0, 4, 7), "K": rng.normal(size=5)}

    def gradient(at: Any) -> Any:
        return made.call("loss_gradient", {**data, **at, "lam": 0.7})

    wanted = jax.jvp(gradient, (point,), (vector,))[1]
    along = {f"{n}_vector": v for n, v in vector.items()}
    found = made.call("loss_hvp", {**data, **point, **along, "lam": 0.7})
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found, wanted)
    assert any(np.abs(x).max() > 1e-3 for x in jax.tree.leaves(found))
