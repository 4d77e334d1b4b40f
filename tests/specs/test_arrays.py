"""Rows, stacks and functions with axes in their results: emitted programs against the meaning of the spec, in float64.

Values, gradients, Hessians and diagonals of Jacobians are compared at -O0 and -O2 with JAX's AD.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.specs.test_generated import close
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.pipeline import check_text

HEAD = """\
vspec: 1
name: arrays
precision: float64
dims:
  n, m: 3
  i, j: 2
  k, l: 4
  t: 4
  p, q: auto
  r: auto
constants: {a: 0.7}
data:
  X[n, i]: real
  y[n]: real
  z[n]: {type: integer}
params:
  c: {init: 0.2}
  w[i]: {init: 0.3}
  B[i, j]: {init: 0.1}
"""

VALUES: dict[str, Any] = {
    "a": 0.7,
    "X": np.array([[0.3, -1.2], [0.8, 0.1], [-0.5, 0.9]]),
    "y": np.array([0.4, -0.7, 1.1]),
    "z": np.array([0, 1, 1]),
    "w": np.array([0.6, -0.4]),
    "B": np.array([[0.2, -0.3], [0.5, 0.1]]),
    "c": np.array(0.35),
}

ROWS = """\
define:
  f[n, 0]: sum[i](X[n, i]*w[i])
  f[n, 1]: z[n] == 1
  f[m, 2]: sum[i](B[i, 0]*X[m, i]**2)
  f[n, 3]: 2
  R[0, 0]: cos(c)
  R[0, 1]: -sin(c)
  R[1, 0]: sin(c)
  R[1, 1]: cos(c)
  o[0, n, m]: y[n]*f[m, 0]
  o[1, n, m]: f[n, 2] > f[m, 2]
  turned[n, i]: sum[j](R[i, j]*X[n, j])
objectives:
  loss: sum[n](logsumexp[k](w[0]*f[n, k]**2)) + sum[n, i](turned[n, i]**3) + sum[n, m](o[0, n, m]*(1 - o[1, n, m]))
outputs:
  f[n, k]: f[n, k]
  first[n]: f[n, 0] + f[n, -1]
  all_[i, n, m]: o[i, n, m]
  inverse[i, j]: inv(R[:, :])[i, j]
  jacobian[n, k, i]: d(f[n, k], w[i])
  by_data[n, k, i]: d(f[n, k], X[n, i])
  by_row[n]: d(loss, f[n, 0])
  by_rows[n, k]: d(sum[m, l](f[m, l]**3), f[n, k])
  row_by_row[n, k, l]: d(f[n, k]**2*f[n, 1], f[n, l])
  hessian[i, j]: d(loss, w[i], w[j])
  mixed[i, j]: d(loss, c, B[i, j])
  turning[i, j]: d(R[i, j], c, c)
"""

STACKS = """\
define:
  theta[p]: stack(c, w[:], B[:, :])
  out[n]: tanh(sum[i](X[n, i]*w[i]) + c)*sum[i, j](B[i, j]*X[n, i]*X[n, j])
  inner[n, i]: X[n, i]*sum[j](B[i, j]*w[j])
  longer[r]: stack(theta[:], inner[:, :], a, y[:])
  shape[p]: exp(-index(p)/5)
  F[p, q]: sum[n](d(out[n], theta[p])*d(out[n], theta[q])) + delta[p, q]
  g[p]: d(loss, theta[p])
objectives:
  loss: sum[n]((out[n] - y[n])**2) + sum[p](shape[p]*theta[p]**4) + theta[1]*theta[-1] + 0.1*sum[r](longer[r]**3)
outputs:
  theta[p]: theta[p]
  longer[r]: longer[r]
  g[p]: g[p]
  hessian[p, q]: d(loss, theta[p], theta[q])
  diagonal[p]: d(loss, theta[p], theta[p])
  natural[p]: solve(F[:, :], g[:])[p]
  laplacian: sum[p](d(loss, theta[p], theta[p]))
  mixed[p, i]: d(loss, theta[p], w[i])
  other[i, p]: d(loss, w[i], theta[p])
  scores[n, p]: d(out[n], theta[p])
  self_[p]: d(theta[p]**3, theta[p])
  itself[p, q]: d(sin(theta[p])*shape[q], theta[q])
  moved[p]: d(shape[p]*loss, theta[p])
  entries: d(loss, theta[0]) + d(loss, theta[3], theta[-1])
  longest[r]: d(sum[n](inner[n, 0]**2*y[n]) + loss, longer[r])
  nested[p, r]: d(d(sum[n](out[n]**2), theta[p]), longer[r])
"""

FUNCTIONS = """\
functions:
  layer(x[:]) -> [k]: tanh(sum[i](x[i]*w[i])*index(k) + c)
  field(x[:]) -> [i]: sin(x[i])*sum[j](x[j]**2) + a*w[i]
  outer(x[:], v[:]) -> [i, j]: x[i]*v[j]**2
  back(h[:]) -> [i]: sum[k](h[k]*(index(k) + 1))*w[i]
  both(x[:]) -> [i]: back(layer(x[:])[:])[i]
  energy(x[:]): sum[i](x[i]**2*exp(x[i]))
  jac(v(b[:])[:], x[:]) -> [i, j]: d(v(x[:])[i], x[j])
  grad(e(b[:]), x[:]) -> [i]: d(e(x[:]), x[i])
  hess(e(b[:]), x[:]) -> [i, j]: d(e(x[:]), x[i], x[j])
  twice(f(b), x): f(f(x))
  slope(f(b), x): d(f(x), x)
  cube(x): x**3 + c*x
  euler(v(b[:])[:], x[:]) -> [i]: x[i] + 0.1*v(x[:])[i]
  divergence(v(b[:])[:], x[:]): sum[i](d(v(x[:])[i], x[i]))
define:
  h[n, k]: layer(X[n, :])[k]
  s[0, i]: w[i]
  s[t + 1, i]: euler(field, s[t, :])[i]
  J[n, i, j]: jac(both, X[n, :])[i, j]
  M[i, j]: outer(w[:], w[:])[i, j] + 2*delta[i, j]
objectives:
  loss: sum[n, k](h[n, k]**2) + sum[i](s[-1, i]**3) + sum[n](divergence(field, X[n, :])*y[n]) + logdet(M[:, :])
outputs:
  h[n, k]: h[n, k]
  some[n]: layer(X[n, :])[1]*layer(2*X[n, :])[-1]
  shifted[n, i]: layer(X[n, :])[i + 1] + layer(X[n, :])[2*i]
  picked[n]: layer(X[n, :])[z[n]]
  whole[n]: energy(both(X[n, :])[:])
  J[n, i, j]: J[n, i, j]
  direct[n, i, j]: d(both(X[n, :])[i], X[n, j])
  divergence[n]: divergence(both, X[n, :])
  gradient[i]: grad(energy, w[:])[i]
  hessian[n, i, j]: hess(energy, both(X[n, :])[:])[i, j]
  composed[i]: twice(cube, w[i]) + twice(tanh, w[i])*slope(exp, w[i]**2) + slope(cube, w[i])
  path[t, i]: s[t, i]
  slopes[i]: d(loss, w[i])
  curvature[i, j]: d(sum[n, k](h[n, k]**2) + logdet(M[:, :]), w[i], w[j])
  by_slice[n, i]: d(energy(field(X[n, :])[:]), X[n, i])
"""


@pytest.mark.parametrize("body", [ROWS, STACKS, FUNCTIONS], ids=["rows", "stacks", "functions"])
def test_emitted_programs_mean_what_the_spec_says(tmp_path: Path, body: str) -> None:
    text = HEAD + body + "solve: {minimize: loss, method: newton}\n"
    checked, diagnostics = check_text(text, "arrays.yaml")
    assert checked is not None, "\n".join(d.message for d in diagnostics)
    truth = Meaning(checked, VALUES).outputs()
    over = checked.plan[0].over

    def loss(params: dict[str, Any]) -> Any:
        return Meaning(checked, {**VALUES, **params}).name("loss")

    at = {name: VALUES[name] * 1.0 for name in over}
    slopes, curvature = jax.jit(jax.grad(loss))(at), jax.jit(jax.hessian(loss))(at)
    for level in (0, 2):
        program = Emission(checked, level, tmp_path / f"program_{level}.py")
        outputs = program.call("outputs", VALUES)
        for name, value in truth.items():
            close(outputs[name], value, f"-O{level} {name}")
        close(program.call("loss", VALUES), loss(at), f"-O{level} loss")
        gradient, blocks = program.call("loss_gradient", VALUES), program.call("loss_hessian", VALUES)
        for name in over:
            close(gradient[name], slopes[name], f"-O{level} d loss/d {name}")
            for other in over:
                close(blocks[name][other], curvature[name][other], f"-O{level} hessian {name} {other}")
