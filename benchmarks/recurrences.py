"""The relaxation of equilibrium propagation, as emitted, against the loop that one writes by hand with `jax.lax`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vspec
from benchmarks.timing import Timing, interleaved
from vspec.compiler import pipeline

SPEC = """\
vspec: 1
name: relaxation
dims: {n: BATCH, i: 64, h: 64, k: 10, t: 61}
constants: {eps: 0.5}
data:
  x[n, i]: real
params:
  W[i, h]: {init: glorot_uniform}
  V[h, k]: {init: glorot_uniform}
  b[h]: {init: 0}
  c[k]: {init: 0}
functions:
  energy(a[:], y[:], x[:]): >-
    sum[h](a[h]**2)/2 + sum[k](y[k]**2)/2 - sum[h](a[h]*(b[h] + sum[i](x[i]*W[i, h])))
    - sum[k](y[k]*(c[k] + sum[h](a[h]*V[h, k])))
define:
  a[0, n, h]: 0
  y[0, n, k]: 0
  a[t + 1, n, h]: clip(a[t, n, h] - eps*d(energy(a[t, n, :], y[t, n, :], x[n, :]), a[t, n, h]), 0, 1)
  y[t + 1, n, k]: clip(y[t, n, k] - eps*d(energy(a[t, n, :], y[t, n, :], x[n, :]), y[t, n, k]), 0, 1)
outputs:
  a[n, h]: a[-1, n, h]
  y[n, k]: y[-1, n, k]
"""


def relaxation(batch: int) -> dict[str, Timing]:
    """Sixty steps of the free phase on the digits' sizes."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "relaxation.yaml"
    path.write_text(SPEC.replace("BATCH", str(batch)))
    program = vspec.load(pipeline.build(path, folder / "out", stablehlo=False).directory)
    rng = np.random.default_rng(0)
    shapes = {"W": (64, 64), "V": (64, 10), "b": (64,), "c": (10,)}
    given = {name: jnp.asarray(rng.normal(size=shape) / 8, jnp.float32) for name, shape in shapes.items()}
    given |= {"x": jnp.asarray(rng.uniform(size=(batch, 64)), jnp.float32), "eps": jnp.float32(0.5)}
    emitted = jax.jit(program.outputs)
    arguments = [given[a.name] for a in program.entries["outputs"].arguments]

    @jax.jit
    def by_hand(W: Any, V: Any, b: Any, c: Any, x: Any, eps: Any) -> Any:
        drive = x @ W + b

        def step(_: Any, state: Any) -> Any:
            a, y = state
            return (
                jnp.clip(a + eps * (drive + y @ V.T - a), 0, 1),
                jnp.clip(y + eps * (c + a @ V - y), 0, 1),
            )

        a, y = jax.lax.fori_loop(0, 60, step, (jnp.zeros((batch, 64), W.dtype), jnp.zeros((batch, 10), W.dtype)))
        return {"a": a, "y": y}

    written = [given[name] for name in ("W", "V", "b", "c", "x", "eps")]
    ours, theirs = emitted(*arguments), by_hand(*written)
    for name in ("a", "y"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    return interleaved({"vspec": lambda: emitted(*arguments), "lax by hand": lambda: by_hand(*written)})


def relaxations() -> dict[str, dict[str, Timing]]:
    """A minibatch, and all of the training set."""
    return {f"relaxation of {n} digits, 60 steps": relaxation(n) for n in (20, 1500)}


ALL = {"relaxation": relaxations}
