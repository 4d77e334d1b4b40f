"""Newton's method for a least value: how often it makes the Hessian, and what it does without a definite one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vspec.runtime import implicit
from vspec.runtime.curvature import descent, factored_descent

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]


def searched(start: Any, tol: float = 1e-10) -> tuple[Any, Any, int]:
    """The least point of a sum of cosh, how the search went, and how many Hessians were made."""
    made: list[int] = []

    def counted(x: Any) -> Any:
        made.append(1)
        return np.asarray(x)

    def objective(x: Any) -> Any:
        curve = jnp.diag(jnp.exp(x) + jnp.exp(-x))
        kind = jax.ShapeDtypeStruct(curve.shape, curve.dtype)
        curve = jax.pure_callback(counted, kind, jax.lax.stop_gradient(curve))
        return jnp.sum(jnp.exp(x) + jnp.exp(-x)), jnp.exp(x) - jnp.exp(-x), curve

    x, told = jax.jit(lambda x: implicit.argmin(objective, x, implicit.newton(tol=tol), steps=50))(start)
    return x, told, len(made)


def test_a_hessian_for_each_step_and_none_for_what_is_tried() -> None:
    x, told, made = searched(jnp.full(3, 4.0))
    np.testing.assert_allclose(x, 0, atol=1e-10)
    assert made == int(told.steps) > 3


def test_factors_of_many_unknowns_are_used_again() -> None:
    """The same point by fewer Hessians than Newton's own steps make: those of a few unknowns, since each stands by itself."""
    x, told, made = searched(jnp.full(16, 4.0))
    _, _, alone = searched(jnp.full(3, 4.0))
    assert bool(told.converged)
    assert float(told.residual) <= 1e-10
    np.testing.assert_allclose(x, 0, atol=1e-10)
    assert made == int(told.steps) < alone


@pytest.mark.parametrize("start", [12.0, -30.0, 0.3, 0.0])
def test_no_step_by_old_factors_leads_away(start: float) -> None:
    """From where the curvature changes by many orders of magnitude, too, and where nothing is left to do."""
    x, told, made = searched(jnp.linspace(start / 4, start, 20))
    assert bool(told.converged)
    np.testing.assert_allclose(x, 0, atol=1e-10)
    assert made == int(told.steps) <= abs(start) + 4


def test_side_by_side_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    X = jnp.asarray(rng.normal(size=(60, 20)))
    penalties = jnp.asarray(np.exp(rng.normal(size=(5, 20))))

    def solved(penalty: Any) -> Any:
        def objective(a: Any) -> Any:
            s = jax.nn.sigmoid(X @ a)
            slope = s @ X + penalty * a - jnp.sum(X[:9], 0)
            value = jnp.sum(jax.nn.softplus(X @ a)) + penalty @ a**2 / 2 - jnp.sum(X[:9] @ a)
            return value, slope, (X.T * (s * (1 - s))) @ X + jnp.diag(penalty)

        return implicit.argmin(objective, jnp.zeros(20), implicit.newton(tol=1e-11), steps=50)

    found, told = jax.jit(jax.vmap(solved))(penalties)
    alone = [solved(p) for p in penalties]
    assert bool(jnp.all(told.converged))
    np.testing.assert_allclose(found, jnp.stack([x for x, _ in alone]), rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(told.steps, [int(t.steps) for _, t in alone])


def matrix(n: int = 5) -> Any:
    A = np.random.default_rng(0).normal(size=(n, n))
    return jnp.asarray(A @ A.T + np.eye(n))


def test_a_definite_matrix_gives_the_step_of_newton() -> None:
    H, g = matrix(), jnp.arange(1.0, 6.0)
    np.testing.assert_allclose(descent(H, g), -jnp.linalg.solve(H, g), rtol=1e-10)


def test_other_gradients_go_by_the_same_factors() -> None:
    H, g, other = matrix(), jnp.arange(1.0, 6.0), jnp.asarray([2.0, -1.0, 0.5, 3.0, 1.0])
    _, again = factored_descent(H, g)
    np.testing.assert_allclose(again(other), -jnp.linalg.solve(H, other), rtol=1e-10)


def test_only_one_half_of_the_matrix_counts() -> None:
    H, g = matrix(), jnp.arange(1.0, 6.0)
    np.testing.assert_array_equal(descent(jnp.tril(H), g), descent(H, g))


def test_an_indefinite_matrix_gives_a_descent() -> None:
    H, g = matrix() - 3 * jnp.eye(5), jnp.arange(1.0, 6.0)
    assert jnp.linalg.eigvalsh(H)[0] < 0
    p = descent(H, g)
    assert bool(jnp.all(jnp.isfinite(p)))
    assert float(g @ p) < 0


@pytest.mark.parametrize("wrong", [jnp.nan, jnp.inf])
def test_a_gradient_that_is_not_finite_is_not_searched_with(wrong: float) -> None:
    """No shift makes it better: the others of a batch do not wait for it."""
    p = descent(matrix(), jnp.arange(1.0, 6.0).at[2].set(wrong))
    assert not bool(jnp.all(jnp.isfinite(p)))


def test_derivatives_pass_through_the_factors() -> None:
    H, g = matrix(), jnp.arange(1.0, 6.0)

    def by_descent(H: Any, g: Any) -> Any:
        return jnp.sum(descent(H, g, True) ** 2)

    def by_solve(H: Any, g: Any) -> Any:
        return jnp.sum(jnp.linalg.solve((H + H.T) / 2, -g) ** 2)

    for found, want in zip(jax.grad(by_descent, (0, 1))(H, g), jax.grad(by_solve, (0, 1))(H, g), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-8)
