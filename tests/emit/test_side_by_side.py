"""Problems that are solved side by side: what differs between them stands on the left of products, so that their axis leads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from vspec.compiler import pipeline

SPEC = """vspec: 1
name: t
precision: float64
dims: {BATCH i: 7, j: 7, r: 9}
data:
  X[r, i]: real
  b[AXIS i]: real
  y[r]: real
define:
  w[AXIS i]: argmin[a[i]](sum[r](log(1 + exp(-y[r]*sum[i](X[r, i]*a[i])))) + sum[i]((a[i] - b[AXIS i])**2))
outputs:
  w[AXIS i]: w[AXIS i]
"""
SEVERAL = SPEC.replace("BATCH", "n: 4,").replace("AXIS", "n,")
ONE = SPEC.replace("BATCH", "").replace("AXIS ", "")


def text(spec: str) -> str:
    found, diagnostics = pipeline.check_text(spec, "t.yaml")
    assert found is not None, diagnostics
    return pipeline.compile_spec(found).emitted.text


def test_unknowns_of_several_problems_stand_on_the_left() -> None:
    body = text(SEVERAL)
    assert "jax.vmap(solve_w" in body
    assert "a @ X.T" in body
    assert re.search(r"X(\.T)? @", body) is None


def test_the_unknowns_of_one_problem_stand_where_they_need_no_transpose() -> None:
    body = text(ONE)
    assert "jax.vmap" not in body
    assert "X @ a" in body


@pytest.mark.parametrize("level", [0, 2])
def test_all_of_them_are_found(tmp_path: Path, level: int) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(SEVERAL)
    program = vspec.compile(str(path), level=level)
    rng = np.random.default_rng(0)
    X, b, y = rng.normal(size=(9, 7)), rng.normal(size=(4, 7)), np.sign(rng.normal(size=9))
    bound = program.bind({"X": X, "b": b, "y": y})
    w = program.call("outputs", program.initial_params(bound), bound)["w"]

    def slope(a: Any, b: Any) -> Any:
        return jax.grad(lambda a: jnp.sum(jax.nn.softplus(-y * (X @ a))) + jnp.sum((a - b) ** 2))(a)

    assert w.shape == (4, 7)
    np.testing.assert_allclose(jax.vmap(slope)(w, jnp.asarray(b)), 0, atol=1e-9)
