"""Loops over rows outside of Python: they lower for every platform, and programs say what they hold."""

from __future__ import annotations

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tests.emit.harness import load
from tests.language.helpers import good
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
