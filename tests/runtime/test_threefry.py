"""Keys whose draws compile fast: the bits of JAX's own, from less code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from vspec.compiler import pipeline
from vspec.runtime import keys, samplers
from vspec.runtime.program import Program
from vspec.runtime.threefry import quick, usual

KEY = jax.random.key(7)
ROTATIONS = "tensor<4xui32>"
"""The array from which JAX's own loop reads by how much it rotates."""


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 7), (0, 3)])
@pytest.mark.parametrize("kind", [jnp.uint8, jnp.uint16, jnp.uint32, jnp.uint64])
def test_bits_are_those_of_jax(shape: tuple[int, ...], kind: Any) -> None:
    np.testing.assert_array_equal(jax.random.bits(quick(KEY), shape, kind), jax.random.bits(KEY, shape, kind))


DRAWS: dict[str, Callable[[Any], Any]] = {
    "normal": lambda k: jax.random.normal(k, (4, 3)),
    "float32": lambda k: jax.random.normal(k, (4, 3), jnp.float32),
    "uniform": lambda k: jax.random.uniform(k, (9,)),
    "bernoulli": lambda k: jax.random.bernoulli(k, 0.3, (50,)),
    "gamma": lambda k: jax.random.gamma(k, jnp.asarray([0.5, 2.0, 9.0])),
    "poisson": lambda k: samplers.poisson(k, 3.0, (20,), jnp.int32),
    "categorical": lambda k: jax.random.categorical(k, jnp.asarray([0.1, 0.2, 0.9]), shape=(20,)),
    "randint": lambda k: jax.random.randint(k, (20,), 0, 1000),
    "permutation": lambda k: jax.random.permutation(k, 31),
    "choice": lambda k: jax.random.choice(k, 10, (4,), replace=False),
    "split": lambda k: jax.random.key_data(jax.random.split(k, (2, 3))),
    "fold": lambda k: jax.random.key_data(jax.random.fold_in(k, 2**31 + 5)),
    "of_keys": lambda k: jax.vmap(lambda one: jax.random.normal(one, (3,)))(jax.random.split(k, 4)),
    "in_a_loop": lambda k: jax.lax.scan(
        lambda c, t: (c, jax.random.uniform(jax.random.fold_in(c, t))), k, jnp.arange(5)
    )[1],
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("compiled", [False, True])
def test_draws_are_those_of_jax(name: str, compiled: bool) -> None:
    draw = jax.jit(DRAWS[name]) if compiled else DRAWS[name]
    np.testing.assert_array_equal(draw(quick(KEY)), draw(KEY))


def test_folds_are_those_of_jax_and_keys_stay_what_they_are() -> None:
    expected = jax.random.fold_in(jax.random.fold_in(KEY, 3), 11)
    found = keys.fold(KEY, 3, jnp.asarray(11))
    assert found.dtype == KEY.dtype
    np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(expected))
    assert keys.fold(quick(KEY), 3).dtype == quick(KEY).dtype
    assert usual(quick(KEY)).dtype == KEY.dtype
    assert quick(quick(KEY)).dtype == quick(KEY).dtype
    other = jax.random.key(7, impl="rbg")
    assert quick(other) is other
    assert usual(other) is other


def test_rotations_are_numbers_and_readers_share_the_bits() -> None:
    def draw(key: Any) -> Any:
        drawn = jax.random.uniform(key, (100, 30))
        return jnp.sum(drawn < 0.3, axis=0), jnp.sum(drawn < 0.5, axis=1), jnp.exp(drawn)

    def shifts(key: Any) -> int:
        return jax.jit(draw).lower(key).compile().as_text().count("shift-right-logical(")

    assert ROTATIONS in jax.jit(draw).lower(KEY).as_text()
    assert ROTATIONS not in jax.jit(draw).lower(quick(KEY)).as_text()
    # Twenty rounds, and one shift of the bits into a fraction for each reader, whose number does not multiply the rounds.
    assert 20 <= shifts(quick(KEY)) <= 20 + 3


DRAWN = """\
vspec: 1
name: drawn
precision: float64
dims: {s: 40}
params: {m: {init: 0.5}}
random:
  z[s]: {law: "normal(m, 1)", estimator: reparam}
define:
  level: E[z](mean[s](sin(z[s])), by=samples(1))
outputs:
  level: level
  slope: d(level, m)
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "drawn.yaml").write_text(DRAWN, encoding="utf-8")
    return vspec.load(pipeline.build(folder / "drawn.yaml", folder / "out", stablehlo=False).directory)


def test_entries_draw_from_any_key_what_the_plain_function_draws(drawn: Program) -> None:
    m, function = jnp.asarray(0.3), drawn.module.outputs
    other = jax.random.key(7, impl="rbg")
    for key in (KEY, jax.random.PRNGKey(7), quick(KEY), other):
        expected = function(m, key)
        for found in (drawn.outputs(m, key), drawn.outputs(m, key=key), drawn.outputs(key=key, m=m)):
            np.testing.assert_array_equal(found["level"], expected["level"])
    many = jax.random.split(KEY, 3)
    each = jax.jit(jax.vmap(drawn.outputs, (None, 0)))(m, many)
    np.testing.assert_allclose(each["slope"], [function(m, k)["slope"] for k in many], rtol=1e-14)
    slope = jax.grad(lambda m: drawn.outputs(m, KEY)["level"])(m)
    np.testing.assert_allclose(slope, function(m, KEY)["slope"], rtol=1e-12)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'key'"):
        drawn.outputs(m)


def test_entries_draw_with_rotations_that_are_numbers(drawn: Program) -> None:
    m = jnp.asarray(0.3)

    def text(f: Callable[..., Any]) -> str:
        return jax.jit(f).lower(m, KEY).as_text()

    assert ROTATIONS in text(drawn.module.outputs)
    assert ROTATIONS not in text(drawn.outputs)
    assert drawn.outputs.__doc__ == drawn.module.outputs.__doc__
