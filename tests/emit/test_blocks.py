"""Loops over rows outside of Python: they lower for every platform, and programs say what they hold."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tests.emit.harness import load
from tests.language.helpers import good
from tests.passes.test_block import LOOP
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.pipeline import compile_spec

TEXT = """
dims: {n: auto, m: auto, k: 2}
data:
  x[n, k]: {}
params:
  y[m, k]: {init: 0}
define:
  e[n, m]: -sum[k]((x[n, k] - y[m, k])**2)
  found[n]: argmax[m](e[n, m])
objectives:
  loss: mean[n](logsumexp[m](e[n, m])) + sum[n](sum[m](softmax[m](e[n, m])*y[m, 0])**2)
solve: {minimize: loss, method: lbfgs}
outputs:
  nearest[n]: found[n]
"""
PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The program, in which parts of eight kilobytes are computed at a time."""
    return load(compile_spec(good(TEXT), tuning=Tuning(16_000, 8_000)).emitted, tmp_path_factory.mktemp("blocks"))


def test_loops_lower_for_every_platform(program: ModuleType) -> None:
    shapes = {"y": jax.ShapeDtypeStruct((300, 2), jnp.float32), "x": jax.ShapeDtypeStruct((200, 2), jnp.float32)}
    for name in ("loss", "loss_value_and_gradient", "outputs"):
        exported = export.export(jax.jit(getattr(program, name)), platforms=PLATFORMS)(**shapes)
        assert exported.platforms == PLATFORMS
        assert "stablehlo.while" in exported.mlir_module()


@pytest.mark.parametrize("entry", ["loss", "loss_value_and_gradient", "outputs"])
def test_artifacts_of_open_sizes_choose_where_they_are_compiled(program: ModuleType, entry: str) -> None:
    n, m = export.symbolic_shape("n, m")
    shapes = {"y": jax.ShapeDtypeStruct((m, 2), jnp.float32), "x": jax.ShapeDtypeStruct((n, 2), jnp.float32)}
    function = getattr(program, entry)
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(**shapes)
    assert "stablehlo.while" in exported.mlir_module()
    rng = np.random.default_rng(0)
    for sizes, loops in (((30, 20), False), ((500, 400), True)):
        given = {k: rng.normal(size=(s, 2)).astype("float32") for k, s in zip("yx", sizes, strict=True)}
        compiled = jax.jit(exported.call).lower(**given).compile()
        text = compiled.as_text()
        # The choice is made when sizes are known, and what was not chosen is gone.
        assert (" while(" in text) == loops
        assert "conditional(" not in text
        if entry != "loss_value_and_gradient":
            needed = compiled.memory_analysis().temp_size_in_bytes
            assert needed < (80_000 if loops else 16_000), f"{needed} bytes"
        for ours, whole in zip(jax.tree.leaves(compiled(**given)), jax.tree.leaves(function(**given)), strict=True):
            np.testing.assert_allclose(ours, whole, rtol=2e-4, atol=1e-5)


def trips(text: str) -> set[int]:
    """How often the loops of a compiled program go round."""
    return {int(n) for n in re.findall(r'"known_trip_count":\{"n":"(\d+)"\}', text)}


def test_artifacts_of_open_sizes_take_as_many_rows_at_a_time_as_fit(tmp_path: Path) -> None:
    """Sizes that parts divide or not, fewer rows than a part, and everything at once."""
    emitted = compile_spec(good(TEXT), tuning=Tuning(16_000, 8_000)).emitted
    program = load(emitted, tmp_path)
    n, m = export.symbolic_shape("n, m")
    shapes = {"y": jax.ShapeDtypeStruct((m, 2), jnp.float32), "x": jax.ShapeDtypeStruct((n, 2), jnp.float32)}
    exported = export.export(jax.jit(program.outputs))(**shapes)
    (row,) = re.findall(r"rows_at_once\(n, (\d+) \* m\)", emitted.text.split("def outputs(")[1])
    rng = np.random.default_rng(0)
    for n_, m_ in ((400, 80), (403, 61), (3, 400), (17, 30)):
        given = {"y": rng.normal(size=(m_, 2)).astype("float32"), "x": rng.normal(size=(n_, 2)).astype("float32")}
        compiled = jax.jit(exported.call).lower(**given).compile()
        size = int(row) * m_
        rows = n_ if n_ * size <= 16_000 else max(1, min(n_, 8_000 // size))
        # A loop of one round is none.
        assert trips(compiled.as_text()) == ({n_ // rows} - {1}), (n_, m_)
        for ours, whole in zip(
            jax.tree.leaves(compiled(**given)), jax.tree.leaves(program.outputs(**given)), strict=True
        ):
            np.testing.assert_array_equal(ours, whole)


def test_rows_that_are_asked_for_where_sizes_are_open(tmp_path: Path) -> None:
    text = TEXT.replace("argmax[m](e[n, m])", "max[m](e[n, m], by=blocks(7))")
    program = load(compile_spec(good(text)).emitted, tmp_path)
    n, m = export.symbolic_shape("n, m")
    shapes = {"y": jax.ShapeDtypeStruct((m, 2), jnp.float32), "x": jax.ShapeDtypeStruct((n, 2), jnp.float32)}
    exported = export.export(jax.jit(program.outputs), platforms=PLATFORMS)(**shapes)
    rng = np.random.default_rng(1)
    for n_, m_, turns in ((5, 30, {4}), (5, 28, {4}), (5, 7, set()), (5, 3, set())):
        y, x = (rng.normal(size=(s, 2)).astype("float32") for s in (m_, n_))
        compiled = jax.jit(exported.call).lower(x=x, y=y).compile()
        assert trips(compiled.as_text()) == turns
        want = -((x[:, None] - y) ** 2).sum(2).min(1)
        np.testing.assert_allclose(compiled(x=x, y=y)["nearest"], want, rtol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [((10, 3, 5), 10), ((1000, 3, 5), 133), ((1000, 100, 100), 1), ((7, 2**20, 2**12), 1), ((50, 1, 1), 50)],
)
def test_rows_of_open_sizes(program: ModuleType, sizes: tuple[int, ...], rows: int) -> None:
    """The rule of sizes that are numbers, but for the search for a number of rows that divides them; rows of any size."""
    sizes_: Any = export.symbolic_shape("s, n, k")
    shapes = [jax.ShapeDtypeStruct((s,), jnp.int8) for s in sizes_]
    count = jax.jit(lambda s, n, k: jnp.zeros(program.rows_at_once(s.size, 4 * n.size, k.size), jnp.int8))
    found = jax.jit(export.export(count)(*shapes).call)(*(np.zeros(s, "int8") for s in sizes)).shape
    assert found == (rows,)
    assert rows // 2 < program.rows_at_once(sizes[0], 4 * sizes[1], sizes[2]) <= rows


def test_derivatives_through_steps_that_take_rows_export_with_open_sizes(tmp_path: Path) -> None:
    """JAX goes back through the loops over rows of a recurrence, whose number of rounds is open."""
    text = LOOP.replace("precision: float64\n", "").replace("/eps)\nobjectives", "/eps, by=blocks(5))\nobjectives")
    assert "by=blocks(5)" in text
    emitted = compile_spec(good(text)).emitted
    assert "in_parts(jax.checkpoint(" in re.sub(r"\s+", "", emitted.text)
    program = load(emitted, tmp_path)
    plain = load(compile_spec(good(text.replace("blocks(5)", "whole")), disable=["hoist"]).emitted, tmp_path)
    n, m = export.symbolic_shape("n, m")
    real = jnp.float32
    shapes = [jax.ShapeDtypeStruct(s, real) for s in ((n,), (n, 2), (m, 2), ())]
    exported = export.export(jax.jit(program.cost_value_and_gradient), platforms=PLATFORMS)(*shapes)
    rng = np.random.default_rng(0)
    for n_, m_ in ((61, 47), (5, 4), (40, 80), (3, 5)):
        given = [rng.normal(size=s).astype("float32") for s in ((n_,), (n_, 2), (m_, 2))]
        compiled = jax.jit(exported.call).lower(*given, real(0.5)).compile()
        want = plain.cost_value_and_gradient(*given, 0.5)
        for ours, whole in zip(jax.tree.leaves(compiled(*given, real(0.5))), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(ours, whole, rtol=2e-4, atol=1e-4)


STRETCHES = """
precision: float64
dims: {n: auto, m: auto, i: 2}
data:
  x[n, i]: real
  y[m, i]: real
params:
  f[n]: {init: 0}
define:
  C[n, m]: sum[i]((x[n, i] - y[m, i])**2)
  g[m]: -logsumexp[n](f[n] - C[n, m])
objectives:
  cost: sum[n](sin(logsumexp[m](g[m] - C[n, m], by=blocks(ROWS))))
solve: {minimize: cost, method: lbfgs}
"""


@pytest.mark.parametrize(("rows", "last"), [(7, "m"), (8192, "m"), (8193, "n")])
def test_rows_of_a_stretch_stand_last_if_they_are_few_and_reduced(tmp_path: Path, rows: int, last: str) -> None:
    emitted = compile_spec(good(STRETCHES.replace("ROWS", str(rows)))).emitted
    text = emitted.text[emitted.text.index("def cost(") :]
    text = text[: text.index("\n\n\n")]
    assert ("# [n, m]" if last == "m" else "# [m, n]") in text
    assert ("# [m, n]" if last == "m" else "# [n, m]") not in text
    rng = np.random.default_rng(3)
    x, y, f = rng.normal(size=(20, 2)), rng.normal(size=(23, 2)), rng.normal(size=20)

    def cost(f: jax.Array) -> jax.Array:
        C = jnp.sum((x[:, None] - y) ** 2, -1)
        g = -jax.nn.logsumexp(f[:, None] - C, 0)
        return jnp.sum(jnp.sin(jax.nn.logsumexp(g - C, 1)))

    with jax.enable_x64(True):
        value, gradient = load(emitted, tmp_path).cost_value_and_gradient(
            f=jnp.asarray(f), x=jnp.asarray(x), y=jnp.asarray(y)
        )
        np.testing.assert_allclose(value, cost(jnp.asarray(f)), rtol=1e-12)
        np.testing.assert_allclose(gradient, jax.grad(cost)(jnp.asarray(f)), rtol=1e-9, atol=1e-12)
