"""JAX's keys with a way to their bits that XLA compiles fast on CPU. The bits are the same.

There JAX gives the rotations of a round to XLA as an array that a loop reads. What is shifted by an unknown number of bits has to
be compared with the width of a word, and LLVM makes the loop over the elements anew for each outcome of eight such comparisons:
a draw of an array takes seconds to compile and megabytes of code, and runs slower. Here the rotations are numbers.

The function is Threefry-2x32 with 20 rounds (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011); the
counters are those of JAX with `jax_threefry_partitionable`, its default.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.random import define_prng_impl, threefry_prng_impl

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_WORDS = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32, 64: jnp.uint64}


def quick(key: Array) -> Array:
    """The same key, whose draws are compiled fast; a key of another kind, or elsewhere than on CPU, as it is."""
    plain = jax.random.key_impl(key) == "threefry2x32" and bool(jax.config.jax_threefry_partitionable)  # type: ignore[attr-defined]
    if not plain or jax.default_backend() != "cpu":
        return key
    found: Array = jax.random.wrap_key_data(jax.random.key_data(key), impl=_QUICK)
    return found


def usual(key: Array) -> Array:
    """The key as JAX has it."""
    if jax.random.key_impl(key) != _QUICK:
        return key
    found: Array = jax.random.wrap_key_data(jax.random.key_data(key), impl="threefry2x32")
    return found


def drawing(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    """The function of a key, whose draws are compiled fast for whoever calls it. `place`: of the key among its parameters."""
    name = tuple(inspect.signature(function).parameters)[place]

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if place < len(args):
            args = (*args[:place], quick(args[place]), *args[place + 1 :])
        elif name in kwargs:
            kwargs = {**kwargs, name: quick(kwargs[name])}
        return function(*args, **kwargs)

    return called


def _mixed(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Two words for each pair of counters. `key` is `[2]`, all are of 32 bits."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x, y = high + keys[0], low + keys[1]
    for k in range(5):
        for bits in _ROTATIONS[k % 2]:
            x = x + y
            y = x ^ ((y << jnp.uint32(bits)) | (y >> jnp.uint32(32 - bits)))
        x, y = x + keys[(k + 1) % 3], y + keys[(k + 2) % 3] + jnp.uint32(k + 1)
    return x, y


def _counted(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Two words for each place of an array, counted row by row."""
    low = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        low = low + jnp.uint32(math.prod(shape[axis + 1 :])) * lax.broadcasted_iota(jnp.uint32, shape, axis)
    return _mixed(key, jnp.zeros(shape, jnp.uint32), low)


@partial(jax.jit, static_argnums=(1, 2), inline=True)
def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    """Random bits: `shape` words of `width` bits."""
    if math.prod(shape) >= 2**32:
        # Such counters have a second word, and nobody waits for their compilation.
        return threefry_prng_impl.random_bits(key, width, shape)  # type: ignore[no-any-return]
    word = _WORDS[width]

    def words(_: Any) -> tuple[Array, Array]:
        first, second = _counted(key, shape)
        if width == 64:
            return jnp.asarray(True), (first.astype(word) << jnp.uint64(32)) | second.astype(word)
        return jnp.asarray(True), (first ^ second).astype(word)

    # One round of a loop whose end XLA cannot foresee: else it computes all of this anew inside of whatever reads a bit.
    once = (key[0] | jnp.uint32(1)) > 0
    start = jnp.asarray(False), jnp.zeros(shape, word)
    return lax.while_loop(lambda state: ~state[0] & once, words, start)[1]


@partial(jax.jit, static_argnums=(1,), inline=True)
def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_counted(key, shape), axis=-1)


@partial(jax.jit, inline=True)
def _folded(key: Array, number: Array) -> Array:
    return jnp.stack(_mixed(key, jnp.zeros((), jnp.uint32), number.astype(jnp.uint32)))


_QUICK: Any = define_prng_impl(
    key_shape=(2,),
    seed=threefry_prng_impl.seed,
    split=_split,
    random_bits=_bits,
    fold_in=_folded,
    name="vspec.threefry2x32",
    tag="quick",
)
