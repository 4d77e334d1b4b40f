"""The largest of many numbers against a full sort, equal ones and zeros included."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vspec.runtime.methods.largest import positions_of_largest


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
