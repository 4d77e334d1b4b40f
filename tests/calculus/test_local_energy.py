"""The local energy of a log-wavefunction: a Slater determinant and a Jastrow factor for four electrons, against JAX's AD."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import Compiled, compile_spec

TEXT = """
dims: {w: 3, "e, f, o": 4, a: 3, k: 5}
precision: float64
data:
  A[k]: real
  C[k, o]: real
  R[a]: real
params:
  r[w, e, a]: {init: 0}
  beta: {init: 1}
define:
  s[w, e]: sqrt(sum[a]((r[w, e, a] - R[a])**2))
  phi[w, e, o]: sum[k](tanh(s[w, e]*A[k])*C[k, o])*exp(-s[w, e]*(1 + index(o))/4)
  mixed[w, e, o]: phi[w, e, o]*(1 + tanh(sum[f](s[w, f]))/5)
  q[w, e, f]: sum[a]((r[w, e, a] - r[w, f, a])**2)
  jastrow[w]: sum[e, f](sqrt(q[w, e, f])/(1 + beta*sqrt(q[w, e, f])) if index(e) < index(f) else 0)
  sd[w]: logdet(phi[w, :, :]) + jastrow[w]
  backflow[w]: logdet(mixed[w, :, :])
  plain[w]: det(phi[w, :, :])
outputs:
  kinetic[w]: -0.5*sum[e, a](d(sd[w], r[w, e, a], r[w, e, a]) + d(sd[w], r[w, e, a])**2)
  slope[w]: d(-0.5*sum[e, a](d(sd[w], r[w, e, a], r[w, e, a])), beta)
  flow[w]: sum[e, a](d(backflow[w], r[w, e, a], r[w, e, a]))
  determinant[w]: sum[e, a](d(plain[w], r[w, e, a], r[w, e, a]))
"""


@cache
def compiled() -> Compiled:
    """The spec above, compiled once."""
    return compile_spec(good(TEXT))


def references(v: dict[str, Any]) -> dict[str, Any]:
    """The outputs by JAX, which takes Hessians."""
    above = np.triu(np.ones((4, 4), bool), 1)

    def orbitals(r: Any) -> tuple[Any, Any]:
        s = jnp.sqrt(jnp.sum((r - v["R"]) ** 2, -1))
        return s, (jnp.tanh(s[:, None] * v["A"]) @ v["C"]) * jnp.exp(-s[:, None] * (1 + np.arange(4)) / 4)

    def sd(r: Any, beta: Any) -> Any:
        q = jnp.sum((r[:, None] - r) ** 2, -1)
        d = jnp.sqrt(jnp.where(above, q, 1.0))
        return jnp.linalg.slogdet(orbitals(r)[1])[1] + jnp.sum(jnp.where(above, d / (1 + beta * d), 0.0))

    def flow(r: Any) -> Any:
        s, phi = orbitals(r)
        return jnp.linalg.slogdet(phi * (1 + jnp.tanh(jnp.sum(s)) / 5))[1]

    def laplacian(f: Any) -> Any:
        return lambda r, *more: jnp.einsum("eaea->", jax.hessian(f)(r, *more))

    def kinetic(r: Any) -> Any:
        return -0.5 * (laplacian(sd)(r, v["beta"]) + jnp.sum(jax.grad(sd)(r, v["beta"]) ** 2))

    return {
        "kinetic": jax.vmap(kinetic)(v["r"]),
        "slope": jax.vmap(lambda r: -0.5 * jax.grad(lambda b: laplacian(sd)(r, b))(v["beta"]))(v["r"]),
        "flow": jax.vmap(laplacian(flow))(v["r"]),
        "determinant": jax.vmap(laplacian(lambda r: jnp.linalg.det(orbitals(r)[1])))(v["r"]),
    }


def test_energies_agree_with_jax() -> None:
    rng = np.random.default_rng(3)
    shapes = {"A": (5,), "C": (5, 4), "R": (3,), "r": (3, 4, 3)}
    values: dict[str, Any] = {name: rng.normal(size=shape) for name, shape in shapes.items()} | {"beta": np.array(0.7)}
    found = {path[0]: x for path, x in evaluate_graph(compiled().graph, values)["outputs"].items()}
    for name, theirs in jax.jit(references)(values).items():
        np.testing.assert_allclose(found[name], theirs, rtol=1e-8, err_msg=name)


def test_energies_are_taken_in_one_sweep_with_sparse_jacobians() -> None:
    rows = [c for c in choices_of(compiled().graph) if "sd[w]" in c.what]
    assert {c.chosen for c in rows} == {"laplacian", "forward"}
    assert any("on their way" in c.because for c in rows)
    # Orbitals of one electron have derivatives by that electron alone: beside the walkers, coordinates and orbitals, no array
    # of them has two axes over electrons; what has is a distance, or of the determinant with backflow.
    slopes = [n for n in compiled().graph.nodes if n.origin.name == "phi" and n.kind in (Kind.MAP, Kind.CONTRACT)]
    assert slopes
    assert max(sum(a.dim == "e" for a in n.axes) for n in slopes) <= 2
