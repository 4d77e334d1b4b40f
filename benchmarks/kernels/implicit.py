"""Quantities that are given by equations: derivatives of roots, fixed points and least points."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values

TOL = 1e-10
STEPS = 100


def converged(step: Function, start: Any, rest: Function) -> Any:
    """Steps until no entry of the rest is larger than the tolerance; the rest at a point is part of what is carried."""

    def going(carry: Any) -> Any:
        k, _, r = carry
        return (k < STEPS) & (jnp.max(jnp.abs(r)) > TOL)

    def taken(carry: Any) -> Any:
        k, v, r = carry
        v = step(v, r)
        return k + 1, v, rest(v)

    return jax.lax.while_loop(going, taken, (0, start, rest(start)))[1]


def springs(sizes: Sizes, rng: np.random.Generator) -> Values:
    """A chain of masses, loads, and springs that become stiffer."""
    i = sizes["i"]
    A = 2.1 * np.eye(i) - np.eye(i, k=1) - np.eye(i, k=-1)
    return {"A": A, "load": rng.normal(size=i), "stiff": rng.uniform(0.3, 0.7, i)}


def root(stiff: Any, A: Any, load: Any) -> Any:
    """A fixed number of Newton's steps, differentiated as they are."""

    def solution(stiff: Any) -> Any:
        def balance(v: Any) -> Any:
            return A @ v + stiff * v**3 - load

        def step(v: Any, _: Any) -> Any:
            return v - jnp.linalg.solve(jax.jacobian(balance)(v), balance(v)), None

        return jax.lax.scan(step, jnp.zeros_like(load), length=12)[0]

    return jax.jacobian(solution)(stiff)


def root_expert(stiff: Any, A: Any, load: Any) -> Any:
    """Newton's steps until they have converged, then one system with a diagonal right side."""

    def matrix(v: Any) -> Any:
        return A + jnp.diag(3 * stiff * v * v)

    u = converged(
        lambda v, r: v - jnp.linalg.solve(matrix(v), r), jnp.zeros_like(load), lambda v: A @ v + stiff * v**3 - load
    )
    return -jnp.linalg.solve(matrix(u), jnp.diag(u**3))


def root_optimistix(optimistix: Any) -> Function:
    """Optimistix's Newton method with its implicit adjoint."""

    def run(stiff: Any, A: Any, load: Any) -> Any:
        def solution(stiff: Any) -> Any:
            return optimistix.root_find(
                lambda v, s: A @ v + s * v**3 - load,
                optimistix.Newton(rtol=TOL, atol=TOL),
                jnp.zeros_like(load),
                stiff,
                adjoint=optimistix.ImplicitAdjoint(),
            ).value

        return jax.jacobian(solution)(stiff)

    return run


def rates(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Weights under which the network contracts."""
    n, i = sizes["n"], sizes["i"]
    drive, seen = rng.normal(size=(2, n, i))
    return {"drive": drive, "seen": seen, "W": rng.normal(size=(i, i)) * 0.25 / np.sqrt(i)}


def fixed_point(W: Any, drive: Any, seen: Any) -> Any:
    """A fixed number of rounds, differentiated as they are."""

    def loss(W: Any) -> Any:
        step = lambda q, _: (jnp.tanh(q @ W.T + drive), None)  # noqa: E731
        rate = jax.lax.scan(step, jnp.zeros_like(drive), length=40)[0]
        return jnp.mean(jnp.sum((rate - seen) ** 2, 1))

    return jax.value_and_grad(loss)(W)


def fixed_point_expert(W: Any, drive: Any, seen: Any) -> Any:
    """All inputs in one product per round; the adjoint is a fixed point, too, of the transposed product."""
    step = lambda q: jnp.tanh(q @ W.T + drive)  # noqa: E731
    q = converged(lambda q, r: q + r, jnp.zeros_like(drive), lambda q: step(q) - q)
    bar = 2 * (q - seen) / len(q)
    s = 1 - q * q
    turned = converged(lambda z, r: z + r, bar, lambda z: bar + (z * s) @ W - z)
    return jnp.mean(jnp.sum((q - seen) ** 2, 1)), (turned * s).T @ q


def fixed_point_optimistix(optimistix: Any) -> Function:
    """Optimistix's iteration with its implicit adjoint."""

    def run(W: Any, drive: Any, seen: Any) -> Any:
        def loss(W: Any) -> Any:
            def solution(drive: Any) -> Any:
                return optimistix.fixed_point(
                    lambda q, W: jnp.tanh(W @ q + drive),
                    optimistix.FixedPointIteration(rtol=TOL, atol=TOL),
                    jnp.zeros_like(drive),
                    W,
                    adjoint=optimistix.ImplicitAdjoint(),
                ).value

            return jnp.mean(jnp.sum((jax.vmap(solution)(drive) - seen) ** 2, 1))

        return jax.value_and_grad(loss)(W)

    return run


def penalties(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Two sets of labelled rows, and penalties for each weight."""
    n, i, r = (sizes[s] for s in "nir")
    X, Z = rng.normal(size=(2, r, i))
    truth = rng.normal(size=i) / 3
    y, z = np.sign(X @ truth + rng.normal(size=r)), np.sign(Z @ truth + rng.normal(size=r))
    return {"X": X, "y": y, "Z": Z, "z": z, "lam": rng.normal(size=(n, i)) + 1}


def fit(a: Any, lam: Any, X: Any, y: Any) -> Any:
    """The inner objective for one set of penalties."""
    return jnp.sum(jnp.log1p(jnp.exp(-y * (X @ a)))) + jnp.sum(jnp.exp(lam) * a**2) / 2


def outer(w: Any, Z: Any, z: Any) -> Any:
    """The error of the weights on other rows."""
    return jnp.mean(jnp.log1p(jnp.exp(-z * (w @ Z.T))))


def argmin(lam: Any, X: Any, y: Any, Z: Any, z: Any) -> Any:
    """A fixed number of Newton's steps, differentiated as they are."""

    def weights(lam: Any) -> Any:
        def step(a: Any, _: Any) -> Any:
            return a - jnp.linalg.solve(jax.hessian(fit)(a, lam, X, y), jax.grad(fit)(a, lam, X, y)), None

        return jax.lax.scan(step, jnp.zeros_like(lam), length=10)[0]

    return jax.value_and_grad(lambda lam: outer(jax.vmap(weights)(lam), Z, z))(lam)


def argmin_expert(lam: Any, X: Any, y: Any, Z: Any, z: Any) -> Any:
    """Newton's steps by Cholesky factors until all sets have converged, and one system for the adjoint of each."""
    eye = jnp.eye(lam.shape[1], dtype=X.dtype)
    penalty = jnp.exp(lam)

    def slope(w: Any) -> Any:
        return -(y * jax.nn.sigmoid(-y * (w @ X.T))) @ X + penalty * w

    def solved(w: Any, right: Any) -> Any:
        s = jax.nn.sigmoid(y * (w @ X.T))
        H = ((s * (1 - s))[:, None] * X.T) @ X + penalty[:, :, None] * eye
        return jax.vmap(lambda H, r: jsl.cho_solve((jsl.cholesky(H, lower=True), True), r))(H, right)

    w = converged(lambda w, r: w - solved(w, r), jnp.zeros_like(lam), slope)
    margin = -z * (w @ Z.T)
    bar = (-(z * jax.nn.sigmoid(margin)) @ Z) / margin.size
    return jnp.mean(jax.nn.softplus(margin)), -solved(w, bar) * penalty * w


def argmin_optimistix(optimistix: Any) -> Function:
    """The root of the slope by Optimistix, with its implicit adjoint."""

    def run(lam: Any, X: Any, y: Any, Z: Any, z: Any) -> Any:
        def weights(lam: Any) -> Any:
            return optimistix.root_find(
                lambda a, lam: jax.grad(fit)(a, lam, X, y),
                optimistix.Newton(rtol=TOL, atol=TOL),
                jnp.zeros_like(lam),
                lam,
                adjoint=optimistix.ImplicitAdjoint(),
            ).value

        return jax.value_and_grad(lambda lam: outer(jax.vmap(weights)(lam), Z, z))(lam)

    return run


KERNELS = (
    Kernel(
        "implicit-root",
        "Jacobian of a root by a parameter for each equation",
        "root.yaml",
        "outputs",
        {"i": 100},
        {"i": 5},
        {"i": 1000},
        springs,
        root,
        root_expert,
        Peer("optimistix", ("optimistix",), root_optimistix),
    ),
    Kernel(
        "implicit-fixed-point",
        "gradient through fixed points",
        "fixed-point.yaml",
        "loss_value_and_gradient",
        {"n": 8, "i": 300},
        {"n": 2, "i": 6},
        {"n": 64, "i": 1000},
        rates,
        fixed_point,
        fixed_point_expert,
        Peer("optimistix", ("optimistix",), fixed_point_optimistix),
    ),
    Kernel(
        "implicit-argmin",
        "gradient through least points",
        "argmin.yaml",
        "loss_value_and_gradient",
        {"n": 8, "i": 100, "r": 400},
        {"n": 2, "i": 3, "r": 20},
        {"n": 32, "i": 200, "r": 4000},
        penalties,
        argmin,
        argmin_expert,
        Peer("optimistix", ("optimistix",), argmin_optimistix),
    ),
)
