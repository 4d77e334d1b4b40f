"""Affine maps: fixed points by iterations, and by their matrix where these do not converge."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vspec.runtime import implicit
from vspec.runtime.implicit.search import largest_of_both

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]


def contraction(scale: float, n: int = 6) -> Any:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(n, n))
    return jnp.asarray(scale * A / np.abs(np.linalg.eigvals(A)).max())


METHODS = [implicit.picard(tol=1e-12), implicit.anderson(tol=1e-12)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_the_tolerance_is_relative(method: Any, size: float) -> None:
    A, r = contraction(0.5), size * jnp.arange(1.0, 7.0)
    x, told = implicit.linear(lambda x: A @ x + r, r, method, steps=200)
    np.testing.assert_allclose(x, jnp.linalg.solve(jnp.eye(6) - A, r), rtol=1e-9)
    assert bool(told.converged)
    assert 0 < int(told.steps) < 200


def test_no_right_side_no_steps() -> None:
    x, told = implicit.linear(lambda x: contraction(0.5) @ x, jnp.zeros(6), METHODS[0], steps=200)
    assert not np.any(x)
    assert int(told.steps) == 0


def test_a_map_that_expands_is_solved_by_its_matrix_in_its_own_problem_only() -> None:
    """In a batch, the problem that converges is what it would be alone."""
    r = jnp.arange(1.0, 7.0)
    both = jnp.stack([contraction(0.5), contraction(3.0)])

    def found(A: Any) -> Any:
        return implicit.linear(lambda x: A @ x + r, r, METHODS[0], steps=200)

    x, told = jax.vmap(found)(both)
    for A, one in zip(both, x, strict=True):
        np.testing.assert_allclose(one, jnp.linalg.solve(jnp.eye(6) - A, r), rtol=1e-8)
    np.testing.assert_array_equal(told.converged, True)


def test_the_matrix_is_made_inside_of_the_loop_that_needs_it() -> None:
    """What XLA could take out of the loop it would compute whether it is needed or not."""
    r = jnp.ones(6)

    def found(A: Any) -> Any:
        return implicit.linear(lambda x: A @ x + r, r, METHODS[0], steps=200)[0]

    text = jax.jit(jax.vmap(found)).lower(jnp.stack([contraction(0.5)] * 3)).compile().as_text()
    entry = text[text.index("ENTRY") :]
    assert "getrf" in text
    assert "getrf" not in entry


def test_jax_differentiates_through() -> None:
    A, r = contraction(0.5), jnp.arange(1.0, 7.0)

    def by_search(A: Any, r: Any) -> Any:
        return jnp.sum(implicit.linear(lambda x: A @ x + r, r, METHODS[0], steps=200)[0] ** 2)

    def by_matrix(A: Any, r: Any) -> Any:
        return jnp.sum(jnp.linalg.solve(jnp.eye(6) - A, r) ** 2)

    for found, want in zip(jax.grad(by_search, (0, 1))(A, r), jax.grad(by_matrix, (0, 1))(A, r), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-8)


def test_two_arrays_are_measured_in_one_pass() -> None:
    x, y = jnp.asarray([1.0, -3.0, 2.0]), jnp.asarray([0.5, jnp.nan, -7.0])
    one, two = jax.jit(largest_of_both)(x, y)
    assert float(one) == 3
    assert np.isnan(two)
    jaxpr = jax.make_jaxpr(largest_of_both)(x, y)
    assert sum("reduce" in str(e.primitive) for e in jaxpr.eqns) == 1


def symmetric(n: int = 6, condition: float = 50.0) -> Any:
    Q, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(n, n)))
    return jnp.asarray(Q @ np.diag(np.geomspace(1, condition, n)) @ Q.T)


@pytest.mark.parametrize("method", [implicit.cg(tol=1e-12), implicit.bicgstab(tol=1e-12)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
def test_krylov_methods_solve_in_about_as_many_steps_as_there_are_unknowns(
    method: Any, sign: float, size: float
) -> None:
    A, r = sign * symmetric(), size * jnp.arange(1.0, 7.0)
    x, told = implicit.linear(lambda x: A @ x - r, r, method, steps=100)
    np.testing.assert_allclose(x, jnp.linalg.solve(A, r), rtol=1e-9)
    assert 0 < int(told.steps) <= 12


def test_a_matrix_that_is_not_symmetric() -> None:
    A, r = jnp.eye(6) - contraction(0.9), jnp.arange(1.0, 7.0)
    x, told = implicit.linear(lambda x: A @ x - r, r, implicit.bicgstab(tol=1e-12), steps=100)
    np.testing.assert_allclose(x, jnp.linalg.solve(A, r), rtol=1e-8)
    assert int(told.steps) < 100


@pytest.mark.parametrize("method", [implicit.cg(tol=1e-12), implicit.bicgstab(tol=1e-12)])
def test_where_a_krylov_method_breaks_down_the_matrix_is_factored(method: Any) -> None:
    """A rotation by a right angle: the first direction is orthogonal to its product."""
    A, r = jnp.asarray([[0.0, 1.0], [-1.0, 0.0]]), jnp.asarray([1.0, 2.0])
    x, told = jax.vmap(lambda s: implicit.linear(lambda x: s * (A @ x) - r, r, method, steps=50))(
        jnp.asarray([1.0, 2.0])
    )
    np.testing.assert_allclose(x, [[-2, 1], [-1, 0.5]], rtol=1e-12)
    np.testing.assert_array_equal(told.converged, True)


def test_what_drifts_is_found_out() -> None:
    """With a condition of 1e14 what a search takes to be left is not what is left."""
    A, r = symmetric(20, 1e14), jnp.ones(20)
    x, _ = implicit.linear(lambda x: A @ x - r, r, implicit.cg(tol=1e-10), steps=500)
    assert float(jnp.max(jnp.abs(A @ x - r))) < 1e-2
    assert float(jnp.max(jnp.abs(x - jnp.linalg.solve(A, r)))) < 1e-2
