"""Sums over a batched index inside expectations: scaled to all rows, so that batches are unbiased, and said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.program import Emission
from vspec.compiler.pipeline import check_text
from vspec.compiler.report.plan import plan_lines

ROWS, PART = 24, 6


def emission(path: Path, z: str, w: str = "normal(a[n], 0.5)") -> Emission:
    text = json.dumps(
        {
            "vspec": 1,
            "name": "batched",
            "precision": "float64",
            "dims": {"n": ROWS},
            "data": {"x[n]": "real"},
            "params": {"m": {"init": 0.3}, "a[n]": {"init": 0.1}},
            "random": {"z": {"law": "normal(m, 0.7)", "estimator": z}, "w[n]": {"law": w, "estimator": z}},
            "objectives": {"loss": "E[z, w](sum[n](logpdf(normal(sin(z) + tanh(w[n]), 1), x[n])) - z**2)"},
            "solve": {"maximize": "loss", "method": "sgd(0.01)", "steps": 3, "batch": {"n": PART}},
        }
    )
    spec, diagnostics = check_text(text, "batched.yaml")
    assert spec is not None, diagnostics
    assert any("sums over n scaled to all rows" in line for line in plan_lines(spec))
    return Emission(spec, 2, path / "program.py")


@pytest.mark.parametrize("estimator", ["reparam", "score"])
def test_batches_are_unbiased(tmp_path: Path, estimator: str) -> None:
    module = emission(tmp_path, estimator).module
    rng = np.random.default_rng(0)
    x, a, m = rng.normal(1, 2, ROWS), rng.normal(size=ROWS), 0.3
    tests = 20_000
    keys = jax.random.split(jax.random.key(1), tests)

    def of_batch(key: Any) -> tuple[Any, Any]:
        rows = jax.random.permutation(jax.random.fold_in(key, 1), ROWS)[:PART]
        found = module.loss_batch_gradient(m=m, a=jnp.asarray(a)[rows], x=jnp.asarray(x)[rows], key=key)
        # A row is in one of four batches; what it gets then is scaled to all of its steps.
        return found["m"], jnp.zeros(ROWS).at[rows].set(found["a"])

    by_batch = jax.jit(jax.vmap(of_batch))(keys)
    # The exact gradients, by quadrature: z and the w[n] are independent.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()

    def exact(m: Any, a: Any) -> Any:
        z, w = m + 0.7 * nodes, a[:, None] + 0.5 * nodes
        far = x[:, None, None] - jnp.sin(z)[:, None] - jnp.tanh(w)[:, None, :]
        return jnp.einsum("nzw,z,w->", -(far**2) / 2, weights, weights) - jnp.sum(weights * z**2)

    expected = jax.grad(exact, (0, 1))(m, jnp.asarray(a))
    for found, truth in zip(by_batch, expected, strict=True):
        error = np.std(found, axis=0) / np.sqrt(tests)
        assert np.all(np.abs(np.mean(found, axis=0) - truth) < 4.5 * error)
        assert np.all(error < 0.2 * np.max(np.abs(truth)))


def test_a_draw_for_all_rows_is_shared_by_the_parts(tmp_path: Path) -> None:
    """With the same draw of z, the mean over the parts of a partition is the whole; -z**2 counts once in each."""
    module = emission(tmp_path, "reparam", "normal(a[n], 1e-9)").module
    rng = np.random.default_rng(0)
    x, a, key = jnp.asarray(rng.normal(1, 2, ROWS)), jnp.asarray(rng.normal(size=ROWS)), jax.random.key(3)
    whole = module.loss(m=0.3, a=a, x=x, key=key)
    parts = [module.loss_batch(m=0.3, a=a[k : k + PART], x=x[k : k + PART], key=key) for k in range(0, ROWS, PART)]
    np.testing.assert_allclose(np.mean(parts), whole, rtol=1e-6)
