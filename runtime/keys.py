"""Keys of fresh draws: folds of the run's seed, one for each purpose, so that no two purposes share a draw.

An entry that draws folds the number of the draw in, and in a recurrence the time; here only purposes and steps are told apart.
"""

from __future__ import annotations

import jax
from jax import Array

INITIAL, RESULTS, STAGES = range(3)
"""The starts of params; what is evaluated beside the stages (outputs, claims, constraints); the steps of stages."""


def key_of(seed: int, purpose: int, *folds: int | Array) -> Array:
    """The JAX key of a purpose of a run; `folds` tell its stages, starts and steps apart."""
    key = jax.random.fold_in(jax.random.key(seed), purpose)
    for fold in folds:
        key = jax.random.fold_in(key, fold)
    return key
