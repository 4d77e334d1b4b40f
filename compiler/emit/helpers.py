"""Functions that a program gets at its top where its text calls them: what JAX has no single name for."""

from __future__ import annotations

RECURRENCE = '''\
def linear_recurrence(factors: Array, terms: Array, axis: int, reverse: bool = False) -> Array:
    """y with y[k] = factors[k] * y[k - 1] + terms[k] along the axis and y[-1] = 0; from the end if `reverse`."""

    def joined(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], first[1] * second[0] + second[1]

    return jax.lax.associative_scan(joined, (factors, terms), reverse, axis)[1]'''

HELPERS = {"linear_recurrence": RECURRENCE}
