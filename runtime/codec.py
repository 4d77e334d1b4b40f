"""Nests of plain values and arrays as JSON and a list of arrays, and back, exactly. Nothing that is read can run code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def packed(value: Any) -> tuple[Any, list[np.ndarray[Any, Any]]]:
    """A nest of dicts with text keys, lists, tuples, numbers, text, None and arrays as JSON and the arrays.

    An array becomes its number in the list. One without entries is said in the JSON, since Orbax keeps none. Keys of draws
    become the numbers that they are made of.

    Raises:
        TypeError: something else is in the nest.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    return _packed(value, arrays), arrays


def _packed(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, Mapping):
        return {"dict": {_text(k): _packed(v, arrays) for k, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [_packed(v, arrays) for v in value]}
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return {"key": str(jax.random.key_impl(value)), "of": _packed(np.asarray(jax.random.key_data(value)), arrays)}
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        array = np.asarray(value)
        if array.size == 0:
            return {"empty": str(array.dtype), "shape": list(array.shape)}
        arrays.append(array)
        return {"array": len(arrays) - 1}
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key {key!r} is no text")
    return key


def unpacked(found: Any, arrays: Sequence[np.ndarray[Any, Any]]) -> Any:
    """The nest again; its arrays are NumPy's, but keys of draws are JAX's.

    Raises:
        ValueError: the JSON is none of `packed`.
    """
    if found is None or isinstance(found, (bool, int, float, str)):
        return found
    if isinstance(found, dict):
        match found:
            case {"dict": dict(inner)}:
                return {k: unpacked(v, arrays) for k, v in inner.items()}
            case {"list": list(inner)}:
                return [unpacked(v, arrays) for v in inner]
            case {"tuple": list(inner)}:
                return tuple(unpacked(v, arrays) for v in inner)
            case {"key": str(impl), "of": inner}:
                return jax.random.wrap_key_data(unpacked(inner, arrays), impl=impl)
            case {"empty": str(dtype), "shape": list(shape)}:
                return np.empty(shape, dtype)
            case {"array": int(k)} if 0 <= k < len(arrays):
                return np.asarray(arrays[k])
    raise ValueError("not what a checkpoint holds")
