"""Hessians given by tied terms: each operation against the dense matrix they stand for."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from vspec.runtime.elimination import Described, eliminate
from vspec.runtime.methods.tied import dense, diagonal, direction, shapes_of, sparsified, times

COMPILE_QUICKLY = True

SHAPES: dict[str, tuple[int, ...]] = {"u": (4, 3), "v": (4,), "w": (2, 2), "z": ()}
TERMS: dict[str, list[Described]] = {
    "diagonal": [("u", "u", ((0, 0), (1, 1))), ("v", "v", ((0, 0),)), ("w", "w", ((0, 0), (1, 1))), ("z", "z", ())],
    "slices": [
        ("u", "u", ((0, 0),)),
        ("u", "u", ((0, 0), (1, 1))),
        ("v", "v", ((0, 0),)),
        ("u", "v", ((0, 0),)),
        ("w", "w", ()),
        ("z", "z", ()),
    ],
    "arrow": [
        ("u", "u", ((0, 0),)),
        ("v", "v", ((0, 0),)),
        ("u", "v", ((0, 0),)),
        ("u", "w", ()),
        ("v", "z", ()),
        ("w", "w", ()),
        ("z", "z", ()),
    ],
    "crossed": [("w", "w", ((0, 1), (1, 0))), ("u", "u", ()), ("v", "v", ()), ("z", "z", ())],
    "dense": [("u", "u", ()), ("u", "v", ()), ("v", "v", ()), ("w", "w", ()), ("z", "z", ())],
}


def entry(shapes: dict[str, tuple[int, ...]], terms: list[Described], arrays: Any) -> Any:
    """The matrix of the terms, entry by entry, as their definition says."""
    index = [(p, k) for p, shape in shapes.items() for k in np.ndindex(*shape)]
    matrix = np.zeros((len(index), len(index)))
    for (p, q, ties), array in zip(terms, arrays, strict=True):
        for a, (one, i) in enumerate(index):
            for b, (two, j) in enumerate(index):
                if (one, two) != (p, q) or any(i[k] != j[m] for k, m in ties):
                    continue
                free = tuple(x for m, x in enumerate(j) if m not in {m for _, m in ties})
                matrix[a, b] += array[i + free]
                if p != q:
                    matrix[b, a] += array[i + free]
    return matrix


def made(kind: str, definite: bool = True) -> tuple[list[Described], list[Any], Any]:
    """Terms, their arrays, and the matrix: symmetric, and positive definite if that is asked for."""
    rng, terms = np.random.default_rng(3), TERMS[kind]
    arrays = []
    for p, q, ties in terms:
        free = [m for m in range(len(SHAPES[q])) if m not in {m for _, m in ties}]
        array = rng.normal(size=(*SHAPES[p], *(SHAPES[q][m] for m in free)))
        if p == q:
            # What a term says of an entry and of its mirror image is the same.
            trial = entry(SHAPES, [(p, q, ties)], [array])
            array = _read(p, ties, (trial + trial.T) / 2, array.shape)
        arrays.append(array)
    if definite:
        shift = 2 * np.abs(entry(SHAPES, terms, arrays)).sum(1).max()
        for p in SHAPES:
            terms = [*terms, (p, p, tuple((k, k) for k in range(len(SHAPES[p]))))]
            arrays.append(np.full(SHAPES[p], shift))
    return terms, [jnp.asarray(a) for a in arrays], entry(SHAPES, terms, arrays)


def _read(p: str, ties: Any, matrix: Any, shape: tuple[int, ...]) -> Any:
    index = [(q, k) for q, s in SHAPES.items() for k in np.ndindex(*s)]
    rank = len(SHAPES[p])
    free = [m for m in range(rank) if m not in {m for _, m in ties}]
    found = np.zeros(shape)
    for at in np.ndindex(*shape):
        i, rest = at[:rank], dict(zip(free, at[rank:], strict=True))
        j = tuple(rest[m] if m in rest else i[next(k for k, n in ties if n == m)] for m in range(rank))
        found[at] = matrix[index.index((p, i)), index.index((p, j))]
    return found


def point(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {p: jnp.asarray(rng.normal(size=shape)) for p, shape in SHAPES.items()}


@pytest.mark.parametrize("kind", TERMS)
def test_terms_stand_for_a_matrix(kind: str) -> None:
    terms, arrays, matrix = made(kind, definite=False)
    v = point(1)
    flat = ravel_pytree(v)[0]
    np.testing.assert_allclose(dense(terms, shapes_of(v), arrays), matrix, atol=1e-12)
    np.testing.assert_allclose(ravel_pytree(times(terms, SHAPES, arrays, v))[0], matrix @ flat, atol=1e-12)
    np.testing.assert_allclose(ravel_pytree(diagonal(terms, SHAPES, arrays, v))[0], np.diag(matrix), atol=1e-12)


@pytest.mark.parametrize("kind", TERMS)
def test_elimination_solves(kind: str) -> None:
    terms, arrays, matrix = made(kind)
    g = point(2)
    flat = ravel_pytree(g)[0]
    order = eliminate(SHAPES, terms)
    for damping in (0.0, 0.7):
        found = ravel_pytree(direction(order, terms, arrays, g, damping))[0]
        np.testing.assert_allclose(found, -np.linalg.solve(matrix + damping * np.eye(len(flat)), flat), rtol=1e-9)


def test_what_is_eliminated() -> None:
    """The cheapest order: slices along tied axes go first, and what meets them along the same axes goes with them."""
    sliced = eliminate(SHAPES, TERMS["slices"])
    assert dict(sliced.inner) == {"u": (0,), "v": (0,)}
    assert (sliced.slices, sliced.inside, sliced.rest) == (4, 4, 5)
    arrow = eliminate({**SHAPES, "v": (400,), "w": (2, 2)}, [("v", "v", ((0, 0),)), ("v", "w", ()), ("w", "w", ())])
    assert dict(arrow.inner) == {"v": (0,)}
    assert set(arrow.border) == {"u", "w", "z"}
    assert not eliminate(SHAPES, TERMS["dense"]).inner


def test_an_indefinite_matrix_gives_a_direction_of_descent() -> None:
    for kind in TERMS:
        terms, arrays, _ = made(kind, definite=False)
        g = point(5)
        p = direction(eliminate(SHAPES, terms), terms, arrays, g, 0.0)
        assert float(sum(jnp.sum(p[k] * g[k]) for k in g)) < 0, kind


@pytest.mark.parametrize("kind", TERMS)
def test_a_sparse_copy_keeps_the_diagonal_and_the_largest_entries(kind: str) -> None:
    terms, arrays, matrix = made(kind, definite=False)
    if len({(p, q) for p, q, _ in terms if p == q}) < len([t for t in terms if t[0] == t[1]]):
        # Two terms of one block may stand for one entry; these are told apart, and their sizes compared, term by term.
        pytest.skip("entries that are sums")
    count = 7
    v = ravel_pytree(point(4))[0]
    sparse = sparsified(terms, SHAPES, arrays, jnp.diag(jnp.asarray(matrix)), count)
    upper = np.triu(matrix, 1)
    least = np.sort(np.abs(upper).ravel())[-count]
    kept = np.where(np.abs(upper) >= least, upper, 0) if least > 0 else upper
    np.testing.assert_allclose(sparse.times(v), (kept + kept.T + np.diag(np.diag(matrix))) @ v, atol=1e-12)
