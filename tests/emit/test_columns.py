"""Points of a sum over pairs are copied so that loops read them in order; values and derivatives stay what they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import load
from tests.language.helpers import good
from vspec.compiler.emit import unroll
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.pipeline import compile_spec

SPEC = """
precision: float64
dims: {'n, p': 150, m: 130, i: 3}
data:
  Y[m, i]: real
  w[m, i]: real
params:
  X[n, i]: {init: 0}
define:
  near[n, m]: exp(-sum[i]((X[n, i] - Y[m, i])**2)/2)
  scaled[n, m]: exp(-sum[i](w[m, i]**2*(X[n, i] - Y[m, i])**2))
objectives:
  cost: sum[n](log(1 + sum[m](near[n, m] + 2*scaled[n, m])))
outputs:
  near[n]: sum[m](near[n, m])
  scaled[n]: max[m](scaled[n, m])
  own[n]: sum[p](exp(-sum[i]((X[n, i] - X[p, i])**2)/3))
  slope[n, i]: d(cost, X[n, i])
solve: {minimize: cost, method: lbfgs}
"""
OWN = "  own[n]: sum[p](exp(-sum[i]((X[n, i] - X[p, i])**2)/3))\n"


def known() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = {"X": (150, 3), "Y": (130, 3), "w": (130, 3)}
    return {name: rng.normal(size=size) for name, size in sizes.items()}


def cost(X: Any, Y: Any, w: Any) -> Any:
    """As it is written."""
    square = (X[:, None] - Y) ** 2
    near, scaled = jnp.exp(-jnp.sum(square, -1) / 2), jnp.exp(-jnp.sum(w**2 * square, -1))
    return jnp.sum(jnp.log(1 + jnp.sum(near + 2 * scaled, 1)))


def compiled(text: str, folder: Path, **options: Any) -> tuple[Any, str]:
    emitted = compile_spec(good(text), **options).emitted
    return load(emitted, folder), emitted.text


def test_operands_that_are_read_with_steps_are_copied(tmp_path: Path) -> None:
    """Each of those along whose points the loop runs, once; the other ones are read where they lie."""
    _, text = compiled(SPEC, tmp_path)
    assert text.count("def columns(") == 1
    body = " ".join(text.partition("def outputs(")[2].split())
    assert "sum((X[:, k, None] - column) ** 2 for (k, column) in enumerate(columns(Y)))" in body
    assert re.search(r"for \(k, \(column, column_2\)\) in enumerate\( ?zip\(columns\(\w+\), columns\(\w+\)\)", body)
    assert "sum((X[:, k, None] - column) ** 2 for (k, column) in enumerate(columns(X)))" in body


@pytest.mark.parametrize(
    "changed",
    [
        {"'n, p': 150, m: 130": "'n, p': 90, m: 130"},
        {
            "Y[m, i]: real": "Y[i, m]: real",
            "w[m, i]: real": "w[i, m]: real",
            "Y[m, i])": "Y[i, m])",
            "w[m, i]*": "w[i, m]*",
        },
        {"m: 130": "m: 20", "'n, p': 150": "n: 4000, p: 150"},
    ],
    ids=["few pairs", "in order as it is", "along a short axis"],
)
def test_what_gains_nothing_is_not_copied(changed: dict[str, str], tmp_path: Path) -> None:
    text = SPEC.replace("w[m, i]**2", "w[m, i]").replace(OWN, "")
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    found = compiled(text, tmp_path)[1]
    assert "columns(Y)" not in found
    assert "columns(w)" not in found


def test_values_and_derivatives_are_those_of_jax(tmp_path: Path) -> None:
    """With copies, without them, without passes and by JAX; a derivative by JAX goes through the copies."""
    with jax.enable_x64(True):
        values = {k: jnp.asarray(v) for k, v in known().items()}
        slope = jax.grad(cost)(*(values[k] for k in "XYw"))
        program, text = compiled(SPEC, tmp_path, disable=["hoist"])
        plain, _ = compiled(SPEC, tmp_path, level=0)
        assert "columns(" in text
        out = jax.jit(program.outputs)(**values)
        np.testing.assert_allclose(out["slope"], slope, rtol=1e-11, atol=1e-13)
        want = jax.jit(plain.outputs)(**values)
        for name, x in out.items():
            np.testing.assert_allclose(x, want[name], rtol=1e-11, atol=1e-13)
        own = jnp.exp(-jnp.sum((values["X"][:, None] - values["X"]) ** 2, -1) / 3)
        np.testing.assert_allclose(out["own"], own.sum(1), rtol=1e-11)
        value = jax.jit(program.cost)
        np.testing.assert_allclose(value(**values), cost(**values), rtol=1e-12)
        np.testing.assert_allclose(
            jax.grad(lambda X: value(**{**values, "X": X}))(values["X"]), slope, rtol=1e-11, atol=1e-13
        )


def test_copies_change_no_bit_of_a_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far from the origin and in float32, where products of matrices would lose digits."""
    text = SPEC.replace("precision: float64\n", "").partition("objectives:")[0] + "outputs:\n  near[n, m]: near[n, m]\n"
    values = {k: jnp.asarray(v + 100, jnp.float32) for k, v in known().items()}
    program, code = compiled(text, tmp_path)
    assert "columns(Y)" in code
    monkeypatch.setattr(unroll, "LARGE", 10**9)
    plain, code = compiled(text, tmp_path)
    assert "columns(" not in code
    arguments = {k: values[k] for k in ("X", "Y")}
    np.testing.assert_array_equal(program.outputs(**arguments)["near"], plain.outputs(**arguments)["near"])


def test_the_loop_over_pairs_reads_them_in_order(tmp_path: Path) -> None:
    """In what XLA makes of it, the loop with the exponential has an operand with the coordinates first, and not the points as
    they came; within a loop over rows that copy is made before the loop."""
    text = SPEC.replace("precision: float64\n", "").partition("objectives:")[0]
    program, _ = compiled(text + "outputs:\n  near[n, m]: near[n, m]\n", tmp_path)
    values = {k: jnp.asarray(v, jnp.float32) for k, v in known().items() if k != "w"}
    hlo = jax.jit(program.outputs).lower(**values).compile().as_text()
    loops = [c for c in hlo.split("\n\n") if re.search(r"f32\[150,130\]\S* exponential\(", c)]
    assert len(loops) == 1
    shapes = re.findall(r" = (f32\[[\d,]*\])\S* parameter\(", loops[0])
    assert "f32[130,3]" not in shapes
    assert any(s in shapes for s in ("f32[3,130]", "f32[3,1,130]"))
    blocked = text + "outputs:\n  sums[n]: sum[m](near[n, m])\n"
    program, code = compiled(blocked, tmp_path, tuning=Tuning(48_000, 24_000))
    assert "in_parts(" in code
    assert "columns(" in code
    hlo = jax.jit(program.outputs).lower(**values).compile().as_text()
    entry = hlo[hlo.index("ENTRY ") :]
    assert re.search(r"f32\[3,(1,)?130\]\S* fusion\(%Y", entry)
