"""Sums over pairs of points in float32: no array over pairs and coordinates is made, and values are exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from tests.support.traced import largest
from vspec.compiler import pipeline

SPEC = """\
vspec: 1
name: pairs
dims: {n, m: 90, i: 3}
constants: {width: 2.0}
data:
  Y[m, i]: real
params:
  X[n, i]: {init: 0}
  c[m]: {init: 1}
functions:
  k(a[:], b[:]): exp(-sum[i]((a[i] - b[i])**2)/width)
  push(a[:], b[:]) -> [i]: d(k(a[:], b[:]), a[i])
define:
  density[n]: sum[m](c[m]*k(X[n, :], Y[m, :]))
outputs:
  density[n]: density[n]
  slope[n, i]: d(density[n], X[n, i])
  moved[n, i]: mean[m](k(X[m, :], X[n, :])*X[m, i] + push(X[m, :], X[n, :])[i])
""".replace("{n, m: 90, i: 3}", "{'n, m': 90, i: 3}")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "pairs.yaml").write_text(SPEC, encoding="utf-8")
    return vspec.load(pipeline.build(folder / "pairs.yaml", folder / "out", stablehlo=False).directory)


def arguments(program: Any, offset: float = 0.0) -> tuple[dict[str, Any], list[Any]]:
    """Points about an offset, and the arguments of the outputs."""
    rng = np.random.default_rng(3)
    known = {
        "X": rng.normal(size=(90, 3)) + offset,
        "Y": rng.normal(size=(90, 3)) + offset,
        "c": rng.uniform(0.5, 1.5, 90),
        "width": np.asarray(2.0),
    }
    known = {k: jnp.asarray(v, jnp.float32) for k, v in known.items()}
    return known, [known[a.name] for a in program.entries["outputs"].arguments]


def by_jax(known: dict[str, Any]) -> dict[str, Any]:
    """The same in 64 bits, from the definition."""
    X, Y, c = (np.asarray(known[k], np.float64) for k in ("X", "Y", "c"))
    with jax.enable_x64(True):
        k = lambda a, b: jnp.exp(-jnp.sum((a - b) ** 2) / 2)  # noqa: E731
        density = lambda x: sum(w * k(x, y) for w, y in zip(jnp.asarray(c), jnp.asarray(Y), strict=True))  # noqa: E731
        x = jnp.asarray(X)
        moved = jax.vmap(lambda b: jnp.mean(jax.vmap(lambda a: k(a, b) * a + jax.grad(k)(a, b))(x), 0))(x)
        return {"density": jax.vmap(density)(x), "slope": jax.vmap(jax.grad(density))(x), "moved": moved}


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_values_are_exact_wherever_the_points_are(program: Any, offset: float) -> None:
    known, given = arguments(program, offset)
    want = by_jax(known)
    for name, got in jax.jit(program.outputs)(*given).items():
        scale = float(np.max(np.abs(want[name])))
        np.testing.assert_allclose(got, want[name], rtol=2e-5, atol=1e-5 * scale, err_msg=name)


def test_nothing_is_larger_than_the_pairs(program: Any) -> None:
    _, given = arguments(program)
    assert largest(jax.make_jaxpr(program.outputs)(*given).jaxpr) == 90 * 90


def test_sums_over_coordinates_are_written_term_by_term(program: Any) -> None:
    text = (program.directory / "program.py").read_text(encoding="utf-8")
    assert "sum((X[:, k, None] - Y[:, k]) ** 2 for k in range(3))" in text
    # The derivative of the kernel of a point with itself is known to be zero.
    assert "eye" not in text
    assert "diagonal" not in text
