"""Trees of arrays of one structure as one tree, for `jax.vmap`: leaves that differ are stacked, the others are shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True, slots=True)
class Stacked:
    """The leaves, which of them have a first axis for the trees (0, else None), and the structure of one tree."""

    leaves: list[Array]
    axes: tuple[int | None, ...]
    structure: Any

    def tree(self, leaves: Sequence[Array]) -> Any:
        """One tree from the leaves of one lane."""
        return jax.tree.unflatten(self.structure, leaves)

    @property
    def signature(self) -> Any:
        """What a compiled function depends on: structure, axes, shapes and types."""
        return self.structure, self.axes, tuple((x.shape, str(x.dtype)) for x in self.leaves)


def stacked(trees: Sequence[Any]) -> Stacked | None:
    """The trees as one; None if they differ in structure, shapes or types."""
    flat = [jax.tree.flatten(t) for t in trees]
    structure: Any = flat[0][1]
    if any(s != structure for _, s in flat[1:]):
        return None
    leaves: list[Array] = []
    axes: list[int | None] = []
    for column in zip(*(leaves for leaves, _ in flat), strict=True):
        first = column[0]
        if any(x.shape != first.shape or x.dtype != first.dtype for x in column[1:]):
            return None
        shared = all(_same(x, first) for x in column[1:])
        leaves.append(first if shared else jnp.stack([jnp.asarray(x) for x in column]))
        axes.append(None if shared else 0)
    return Stacked(leaves, tuple(axes), structure)


def lane(tree: Any, k: int) -> Any:
    """The k-th of trees that are stacked in all of their leaves."""
    return jax.tree.map(lambda x: x[k], tree)


def _same(a: Any, b: Any) -> bool:
    return a is b or bool(np.array_equal(_raw(a), _raw(b)))


def _raw(x: Any) -> Any:
    """An array as NumPy has it; of keys, their bits."""
    keys = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if keys else x)
