"""Functions and modules of Equinox that specs of tests call from outside."""

from __future__ import annotations

import functools
from typing import Any

import equinox
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def drag(x: Array, s: Array) -> Array:
    """A vector of a vector and a number."""
    return jnp.sin(x) * s + jnp.sum(x**2)


def energy(x: Array) -> Array:
    """A number of a vector."""
    return jnp.sum(jnp.cos(x) * x)


def callback(x: Array) -> Array:
    """A number that NumPy computes: JAX has no derivative of it."""
    return jax.pure_callback(lambda v: np.sum(v), jax.ShapeDtypeStruct((), x.dtype), x)


def count(x: Array) -> Array:
    """A whole number."""
    return jnp.sum(x > 0)


def both(x: Array) -> tuple[Array, Array]:
    """Two arrays."""
    return x, x


NUMBER = 3
Net = functools.partial(equinox.nn.MLP, 3, "scalar", 4, 1, activation=jnp.tanh)
Wide = functools.partial(equinox.nn.MLP, 3, 2, 4, 1, activation=jnp.tanh)


class Scaled(equinox.Module):
    """A module with an array, a number that is no array, and a whole number among its arrays."""

    weight: Array
    shift: float
    order: Any

    def __init__(self, *, key: Array) -> None:
        self.weight = jax.random.normal(key, (3,))
        self.shift = 0.5
        self.order = jnp.array([2, 0, 1])

    def __call__(self, x: Array) -> Array:
        return jnp.sum(self.weight * x[self.order] ** 3) + self.shift


class Silent(equinox.Module):
    """A module that cannot be called."""

    weight: Array

    def __init__(self, *, key: Array) -> None:
        self.weight = jax.random.normal(key, (3,))
