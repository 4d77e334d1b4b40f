"""Hessians as a diagonal and rows: products, diagonals and directions against the matrix they stand for."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from vspec.runtime.factors import Layout
from vspec.runtime.methods.factored import diagonal, direction, times

COMPILE_QUICKLY = True

SHAPES: dict[str, tuple[int, ...]] = {"b": (), "u": (3, 4), "w": (8,)}
# Unknowns u and w have diagonals, b has what stands in the corner; u is seen by the first observations only.
LAYOUT = Layout(
    (("b", "b", ()), ("u", "u", ((0, 0), (1, 1))), ("w", "w", ((0, 0),))),
    (("u", "b"), ("w", "b", "u")),
)


def made(signs: str) -> tuple[list[Any], Any]:
    """The arrays and the matrix, params in the order of their names."""
    rng = np.random.default_rng(1)
    terms = [np.array(0.7), rng.uniform(1, 2, (3, 4)), rng.uniform(1, 2, 8)]
    matrix = np.diag(np.concatenate([x.ravel() for x in terms]))
    arrays = list(terms)
    for count, names in zip((2, 3), LAYOUT.observations, strict=True):
        d = rng.uniform(0.5, 1, count)
        if signs != "positive":
            d[0] *= -1 if signs == "indefinite" else -0.01
        slopes = {p: rng.normal(size=(count, *SHAPES[p])) for p in names}
        rows = np.concatenate(
            [
                slopes[p].reshape(count, -1) if p in slopes else np.zeros((count, int(np.prod(s))))
                for p, s in SHAPES.items()
            ],
            1,
        )
        matrix += rows.T @ (d[:, None] * rows)
        arrays += [d, *slopes.values()]
    return [jnp.asarray(a) for a in arrays], matrix


def point() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    return {p: jnp.asarray(rng.normal(size=shape)) for p, shape in SHAPES.items()}


@pytest.mark.parametrize("signs", ["positive", "mixed", "indefinite"])
def test_factors_stand_for_a_matrix(signs: str) -> None:
    arrays, matrix = made(signs)
    g = point()
    flat = ravel_pytree(g)[0]
    whole = matrix + 0.3 * np.eye(len(flat))
    np.testing.assert_allclose(times(LAYOUT, arrays, g, 0.3, flat), whole @ flat, rtol=1e-12)
    np.testing.assert_allclose(diagonal(LAYOUT, arrays, g, 0.3), np.diag(whole), rtol=1e-12)
    found = direction(LAYOUT, arrays, g, 0.3)
    definite = np.linalg.eigvalsh(whole)[0] > 0
    assert definite == (signs != "indefinite")
    if definite:
        np.testing.assert_allclose(found, -np.linalg.solve(whole, flat), rtol=1e-9)
    else:
        assert float(found @ flat) < 0


def test_a_diagonal_that_is_small_beside_the_rows_loses_no_digits() -> None:
    arrays, matrix = made("positive")
    arrays = [a * 1e-9 if k in (1, 2) else a for k, a in enumerate(arrays)]
    matrix = matrix - np.diag(np.concatenate([[0.0], *((1 - 1e-9) * 1e9 * np.asarray(a).ravel() for a in arrays[1:3])]))
    g = point()
    x = direction(LAYOUT, arrays, g, 0.0)
    flat = ravel_pytree(g)[0]
    np.testing.assert_allclose(matrix @ x, -flat, atol=1e-6 * float(jnp.linalg.norm(flat)))


def test_some_of_the_params_alone() -> None:
    layout, kept = LAYOUT.only({"u", "b"})
    assert layout == Layout((("b", "b", ()), ("u", "u", ((0, 0), (1, 1)))), (("u", "b"), ("b", "u")))
    assert kept == (0, 1, 3, 4, 5, 6, 8, 9)
    assert LAYOUT.curved == (True, True, True, True, False, False, True, False, False, False)
