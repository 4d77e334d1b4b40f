"""Keys of fresh draws: folds of the run's seed, one for each purpose, so that no two purposes share a draw.

An entry that draws folds the number of the draw in, and in a recurrence the time; here only purposes and steps are told apart.
"""

from __future__ import annotations

import jax
from jax import Array

from vspec.runtime.threefry import quick, usual

INITIAL, RESULTS, STAGES = range(3)
"""The starts of params; what is evaluated beside the stages (outputs, claims, constraints); the steps of stages."""

DRAWS, SHUFFLES, ROUNDS, PARTS = range(4)
"""What the key of a stage is folded with: the draws of a step, the order of rows, the rounds of a repetition in
which a stage has steps of its own, and the stages of a repetition."""


def key_of(seed: int, purpose: int, *folds: int | Array) -> Array:
    """The JAX key of a purpose of a run; `folds` tell its stages, starts and steps apart."""
    found: Array = _folded(jax.random.key(seed), (purpose, *folds))
    return found


@jax.jit
def _folded(key: Array, numbers: tuple[int | Array, ...]) -> Array:
    """All folds as one call: each by itself is several, which small problems feel."""
    return fold(key, *numbers)


def fold(key: Array, *numbers: int | Array) -> Array:
    """A key folded with numbers, one after the other."""
    folded = quick(key)
    for number in numbers:
        folded = jax.random.fold_in(folded, number)
    return folded if folded.dtype == key.dtype else usual(folded)
