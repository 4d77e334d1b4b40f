"""Keys whose draws compile fast: the bits of JAX's own, from less code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vspec.runtime import keys, samplers
from vspec.runtime.threefry import quick, usual

KEY = jax.random.key(7)


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

    text = jax.jit(draw).lower(quick(KEY)).as_text()
    assert "dynamic_slice" not in text
    # Twenty rounds, and one shift of the bits into a fraction for each reader, whose number does not multiply the rounds.
    assert 20 <= shifts(quick(KEY)) <= 20 + 3
