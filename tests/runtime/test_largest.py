"""The largest of many numbers against a full sort, equal ones and zeros included."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vspec.runtime.methods.largest import positions_of_largest, positions_of_true


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 7, 40, 199, 200])
def test_the_largest_are_those_of_a_stable_sort(dtype: type, count: int) -> None:
    rng = np.random.default_rng(count)
    cases = {
        "all different": rng.random(200),
        "far apart": np.exp(-300 * rng.random(200)),
        "equal ones": rng.integers(0, 5, 200).astype(float),
        "mostly zero": np.where(rng.random(200) < 0.05, rng.random(200), 0.0),
        "all zero": np.zeros(200),
    }
    with jax.enable_x64(dtype is np.float64):
        find = jax.jit(positions_of_largest, static_argnums=1)
        for name, case in cases.items():
            values = case.astype(dtype)
            # Numbers below the least normal one are zero to a processor that flushes them.
            values[values < np.finfo(dtype).tiny] = 0
            wanted = np.sort(np.argsort(-values, kind="stable")[:count])
            np.testing.assert_array_equal(find(jnp.asarray(values), count), wanted, err_msg=name)


def test_only_what_is_taken_is_put_in_order() -> None:
    text = str(jax.make_jaxpr(lambda x: positions_of_largest(x, 50))(jnp.zeros(10_000)))
    assert "top_k" not in text
    assert set(re.findall(r"\[(\d+)\] = sort\[", text)) == {"50"}


def test_positions_of_a_mask() -> None:
    mask = np.random.default_rng(1).random(1000) < 0.1
    wanted = np.flatnonzero(mask)
    found = positions_of_true(jnp.asarray(mask), 150)
    np.testing.assert_array_equal(found[: len(wanted)], wanted)
    assert np.all(np.asarray(found)[len(wanted) :] == 1000)
