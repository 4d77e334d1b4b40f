"""Nearest points of sets against their definition: they lie in the set, and no other point is nearer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array
from scipy.optimize import minimize

from tests.support.effort import examples
from vspec.runtime.constrained import sets

COMPILE_QUICKLY = True  # see conftest.py

SEEDS = st.integers(0, 2**30)


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


def normal(seed: int, *shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def nearest_of_convex(x: Array, y: Array, others: list[Array]) -> None:
    """y is the projection of x onto a convex set with these other points: the angle at y is not acute."""
    for z in others:
        assert float(jnp.sum((x - y) * (z - y))) <= 1e-9 * (1 + float(jnp.sum(x * x)))


@given(seed=SEEDS)
@settings(max_examples=examples(25), deadline=None)
def test_simplices(seed: int) -> None:
    x = 2 * normal(seed, 3, 4, 2)
    for over in ((1,), (0, 2), (0, 1, 2)):
        y = sets.simplex(x, over)
        np.testing.assert_allclose(jnp.sum(y, axis=over), 1, atol=1e-12)
        assert float(jnp.min(y)) >= 0
        corners = [jax.nn.softmax(10 * normal(seed + k, 3, 4, 2), axis=over) for k in range(5)]
        apart = jnp.sum((x - y)[None] * (jnp.stack(corners) - y[None]), axis=tuple(a + 1 for a in over))
        assert float(jnp.max(apart)) <= 1e-10


def test_matrices_and_spheres() -> None:
    x = normal(0, 2, 4, 4)
    y = sets.semidefinite(x)
    assert float(jnp.min(jnp.linalg.eigvalsh(y))) >= -1e-12
    nearest_of_convex(x, y, [b @ jnp.swapaxes(b, -1, -2) for b in (normal(k, 2, 4, 4) for k in range(1, 20))])
    x = normal(1, 5, 3)
    y = sets.orthonormal(x)
    np.testing.assert_allclose(y.T @ y, np.eye(3), atol=1e-12)
    for k in range(20):
        other = jnp.linalg.qr(normal(k, 5, 3))[0]
        assert float(jnp.sum((x - y) ** 2)) <= float(jnp.sum((x - other) ** 2)) + 1e-12
    np.testing.assert_allclose(sets.sphere(jnp.array([[3.0, 4.0], [0.0, 0.0]]), (1,)), [[0.6, 0.8], [1, 0]])


@given(seed=SEEDS)
@settings(max_examples=examples(25), deadline=None)
def test_affine_sets(seed: int) -> None:
    rows, x = normal(seed, 3, 6), normal(seed + 1, 6)
    rows = rows.at[2].set(2 * rows[0] - rows[1])  # a row that depends on the others
    b = rows @ normal(seed + 2, 6)
    y = sets.affine(x, rows @ x - b, rows)
    np.testing.assert_allclose(rows @ y, b, atol=1e-9)
    kernel = np.linalg.svd(np.asarray(rows))[2][2:]
    np.testing.assert_allclose(kernel @ np.asarray(x - y), 0, atol=1e-9)
    one = sets.affine(x, (rows @ x - b)[:1], rows[:1])
    np.testing.assert_allclose(rows[0] @ one, b[0], atol=1e-10)


def test_half_spaces_with_entries_of_their_own() -> None:
    rows = jnp.array([[1.0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]])
    x = jnp.array([1.0, 1, 1, 1])
    y = sets.half_spaces(x, rows @ x - jnp.array([1.0, 6, 0]), rows)
    np.testing.assert_allclose(y, [1 - 2 / 5, 1 - 4 / 5, 1, 1])
    np.testing.assert_allclose(sets.half_spaces(x, rows @ x - jnp.array([1.0, 6, 0]), rows, True)[2], 2)


@given(seed=SEEDS)
@settings(max_examples=examples(25), deadline=None)
def test_balls(seed: int) -> None:
    centre, x = normal(seed, 4), 2 * normal(seed + 1, 4)
    mask = jnp.array([1.0, 1, 1, 0])  # a cylinder

    def gap(y: Array) -> Array:
        return jnp.array([3 * (jnp.sum(mask * (y - centre) ** 2) - 0.25)])

    rows = jax.jacobian(gap)(x)
    y = sets.balls(x, gap(x), rows, jnp.array([3.0]), False)
    apart = jnp.sqrt(jnp.sum(mask * (x - centre) ** 2))
    expected = jnp.where(mask > 0, centre + (x - centre) * jnp.minimum(1, 0.5 / apart), x)
    np.testing.assert_allclose(y, expected, atol=1e-9)
    on = sets.balls(x, gap(x), rows, jnp.array([3.0]), True)
    np.testing.assert_allclose(gap(on), 0, atol=1e-9)


@given(seed=SEEDS, equal=st.booleans(), half=st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_ends_with_one_affine_gap(seed: int, equal: bool, half: bool) -> None:
    n = 6
    x, row = 2 * normal(seed, n), normal(seed + 1, n).at[0].set(0.0)
    lower, upper = jnp.full(n, -1.0), jnp.full(n, 1.0)
    if half:
        upper = upper.at[::2].set(jnp.inf)
        lower = lower.at[1].set(-jnp.inf)
    inside = jnp.clip(normal(seed + 2, n), lower, upper)
    b = row @ inside
    y = sets.slab(x, row @ x - b, row, lower, upper, equal)
    assert bool(jnp.all((y >= lower) & (y <= upper)))
    assert float(row @ y - b) <= 1e-9
    if equal:
        assert abs(float(row @ y - b)) <= 1e-9
    found = minimize(
        lambda z: 0.5 * np.sum((z - np.asarray(x)) ** 2),
        np.asarray(inside),
        jac=lambda z: z - np.asarray(x),
        bounds=list(zip(np.asarray(lower), np.asarray(upper), strict=True)),
        constraints=[{"type": "eq" if equal else "ineq", "fun": lambda z: float(b) - np.asarray(row) @ z}],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(y, found.x, atol=2e-5)
    # By the optimality conditions, exactly: all entries off their ends move by one multiple of the row.
    free = (y > lower + 1e-9) & (y < upper - 1e-9) & (jnp.abs(row) > 0)
    shares = np.asarray((x - y)[free] / row[free])
    if shares.size:
        np.testing.assert_allclose(shares, shares[0], atol=1e-8)


def test_intersections() -> None:
    row = jnp.array([1.0, 1, 1])
    x = jnp.array([2.0, 0.5, -1.0])

    def plane(y: Array) -> Array:
        return sets.affine(y, row[None] @ y - 1, row[None])

    def ends(y: Array) -> Array:
        return sets.box(y, jnp.zeros(3), jnp.full(3, 0.6))

    def ball(y: Array) -> Array:
        return y / jnp.maximum(1, jnp.sqrt(jnp.sum(y * y)) / 0.7)

    y = sets.dykstra([plane, ends], x)
    np.testing.assert_allclose(y, sets.slab(x, row @ x - 1, row, jnp.zeros(3), jnp.full(3, 0.6), True), atol=1e-9)
    y = sets.dykstra([plane, ends, ball], x)
    np.testing.assert_allclose(jnp.sum(y), 1, atol=1e-8)
    assert float(jnp.sqrt(jnp.sum(y * y))) <= 0.7 + 1e-8
    others = [sets.dykstra([plane, ends, ball], normal(k, 3)) for k in range(10)]
    for z in others:
        assert float((x - y) @ (z - y)) <= 1e-7
    assert sets.dykstra([], x) is x


def test_under_transformations() -> None:
    points = normal(0, 5, 3)

    def f(x: Array) -> Array:
        return sets.slab(x, jnp.sum(x) - 1, jnp.ones(3), jnp.zeros(3), jnp.ones(3), True)

    np.testing.assert_allclose(jax.jit(jax.vmap(f))(points), sets.simplex(points, (1,)), atol=1e-10)
