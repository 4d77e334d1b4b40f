"""Variational inference: a step of Adam along an estimate of the evidence's bound, by draws from a normal guide.

Whoever draws from the same key takes the same step. NumPyro draws in its own way, so that its mean step is compared with ours.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values

LINEAR = ("m1", "r1")
"""Results that are linear in the estimated slopes: the running means of these."""


def started(size: int, rng: np.random.Generator) -> Values:
    """A guide, and what Adam remembers of some steps."""
    return {
        "m": 0.3 * rng.normal(size=size),
        "r": -1 + 0.2 * rng.normal(size=size),
        "m1": rng.normal(size=size),
        "r1": rng.normal(size=size),
        "m2": 1 + rng.random(size),
        "r2": 1 + rng.random(size),
    }


def drawn(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The noise that our program draws from a key."""
    return jax.random.normal(jax.random.fold_in(key, 1), shape, dtype)


def by_optax(loss: Any, m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any) -> Any:
    """A gradient by JAX, and an update by Optax whose state is put together from what Adam remembers."""
    params = {"m": m, "r": r}
    slopes = jax.grad(loss)(params)
    rule = optax.adam(rate)
    adam, *rest = rule.init(params)
    adam = adam._replace(count=jnp.asarray(t, jnp.int32) - 1, mu={"m": m1, "r": r1}, nu={"m": m2, "r": r2})
    updates, (adam, *_) = rule.update(slopes, (adam, *rest), params)
    new = optax.apply_updates(params, updates)
    return {
        "m": new["m"],
        "m1": adam.mu["m"],
        "m2": adam.nu["m"],
        "r": new["r"],
        "r1": adam.mu["r"],
        "r2": adam.nu["r"],
    }


def by_hand(dm: Any, dr: Any, m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any) -> Any:
    """Adam on both arrays, its corrections as two numbers."""
    first, second = rate / (1 - 0.9**t), 1 / (1 - 0.999**t)
    m1, r1 = 0.9 * m1 + 0.1 * dm, 0.9 * r1 + 0.1 * dr
    m2, r2 = 0.999 * m2 + 0.001 * dm * dm, 0.999 * r2 + 0.001 * dr * dr
    return {
        "m": m - first * m1 / (jnp.sqrt(second * m2) + 1e-8),
        "m1": m1,
        "m2": m2,
        "r": r - first * r1 / (jnp.sqrt(second * r2) + 1e-8),
        "r1": r1,
        "r2": r2,
    }


def by_numpyro(numpyro: Any, model: Function, guide: Function, draws: int) -> Function:
    """`SVI.update` with NumPyro's Adam, and the bound with divergences in closed form where NumPyro knows them."""
    from jax.example_libraries.optimizers import JoinPoint, pack_optimizer_state, unpack_optimizer_state

    def run(m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any, key: Any, *data: Any) -> Any:
        bound = numpyro.infer.TraceMeanField_ELBO(num_particles=draws)
        rule = numpyro.optim.Adam(rate)
        svi = numpyro.infer.SVI(model, guide, rule, bound)
        # Only makes the guide known; none of its results is used.
        svi.init(key, *data, m, r)
        packed = pack_optimizer_state({"m": JoinPoint((m, m1, m2)), "r": JoinPoint((r, r1, r2))})
        state = numpyro.infer.svi.SVIState((jnp.asarray(t, jnp.int32) - 1, packed), None, key)
        state, _ = svi.update(state, *data, m, r)
        new = unpack_optimizer_state(state.optim_state[1])
        (m, m1, m2), (r, r1, r2) = new["m"].subtree, new["r"].subtree
        return {"m": m, "m1": m1, "m2": m2, "r": r, "r1": r1, "r2": r2}

    return run


# --- logistic regression ------------------------------------------------------------------------------------------------


def labelled(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Features, and labels of -1 and 1 that a linear rule explains in part."""
    n, i = sizes["n"], sizes["i"]
    X = rng.normal(size=(n, i))
    y = np.sign(X @ rng.normal(size=i) / np.sqrt(i) + rng.logistic(size=n))
    return {"X": X, "y": y, **started(i, rng)}


def logistic(m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any, key: Any, X: Any, y: Any) -> Any:
    """The bound as a mean over draws of log-densities, `jax.vmap` over the draws."""
    noise = drawn(key, (8, X.shape[1]), X.dtype)

    def loss(p: Any) -> Any:
        def one(e: Any) -> Any:
            w = p["m"] + jnp.exp(p["r"]) * e
            return jnp.sum(jax.nn.softplus(-y * (X @ w)))

        scale = jnp.exp(p["r"])
        divergence = jnp.sum((scale**2 + p["m"] ** 2 - 1) / 2 - p["r"])
        return divergence + jnp.mean(jax.vmap(one)(noise))

    return by_optax(loss, m, r, m1, r1, m2, r2, rate, t)


def logistic_expert(
    m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any, key: Any, X: Any, y: Any
) -> Any:
    """All draws in two products with the data, along its rows; slopes of means and scales from the same one."""
    noise, scale = drawn(key, (8, X.shape[1]), X.dtype), jnp.exp(r)
    margin = (m + scale * noise) @ X.T
    slope = (jax.nn.sigmoid(-y * margin) * (-y / 8)) @ X
    dm = jnp.sum(slope, 0) + m
    dr = scale * (jnp.sum(slope * noise, 0) + scale) - 1
    return by_hand(dm, dr, m, r, m1, r1, m2, r2, rate, t)


def logistic_numpyro(numpyro: Any, distributions: Any) -> Function:
    """A site for the weights, and the same parameters."""

    def model(X: Any, y: Any, m: Any, r: Any) -> None:
        w = numpyro.sample("w", distributions.Normal(jnp.zeros_like(m), 1).to_event(1))
        numpyro.sample("y", distributions.Bernoulli(logits=X @ w).to_event(1), obs=(y + 1) / 2)

    def guide(X: Any, y: Any, m: Any, r: Any) -> None:
        m, r = numpyro.param("m", m), numpyro.param("r", r)
        numpyro.sample("w", distributions.Normal(m, jnp.exp(r)).to_event(1))

    step = by_numpyro(numpyro, model, guide, 8)

    def run(m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any, key: Any, X: Any, y: Any) -> Any:
        return step(m, r, m1, r1, m2, r2, rate, t, key, X, y)

    return run


# --- eight schools ------------------------------------------------------------------------------------------------------


def taught(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Effects of coaching and their errors."""
    j = sizes["j"]
    sigma = np.round(9 + 9 * rng.random(j))
    return {
        "y": np.round(8 + 5 * rng.normal(size=j) + sigma * rng.normal(size=j)),
        "sigma": sigma,
        **started(j + 2, rng),
    }


def schools(m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any, key: Any, y: Any, sigma: Any) -> Any:
    """The bound as a mean over draws of log-densities, `jax.vmap` over the draws."""
    noise = drawn(key, (16, len(m)), y.dtype)
    normal, cauchy = jax.scipy.stats.norm.logpdf, jax.scipy.stats.cauchy.logpdf

    def loss(p: Any) -> Any:
        def one(e: Any) -> Any:
            u = p["m"] + jnp.exp(p["r"]) * e
            mu, tau, z = u[0], jnp.exp(u[1]), u[2:]
            prior = normal(mu, 0, 5) + jnp.log(2.0) + cauchy(tau, 0, 5) + u[1] + jnp.sum(normal(z))
            return prior + jnp.sum(normal(y, mu + tau * z, sigma))

        return -jnp.mean(jax.vmap(one)(noise)) - jnp.sum(p["r"])

    return by_optax(loss, m, r, m1, r1, m2, r2, rate, t)


def schools_expert(
    m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any, key: Any, y: Any, sigma: Any
) -> Any:
    """Slopes by all coordinates of all draws, written down; what means and scales get of them are two sums."""
    noise, scale = drawn(key, (16, len(m)), y.dtype).T, jnp.exp(r)
    u = m[:, None] + scale[:, None] * noise
    mu, tau, z = u[0], jnp.exp(u[1]), u[2:]
    bar = (mu + tau * z - y[:, None]) / (sigma * sigma)[:, None]
    by_mu = mu / 25 + jnp.sum(bar, 0)
    by_tau = tau * jnp.sum(bar * z, 0) + 2 * jax.nn.sigmoid(2 * (u[1] - jnp.log(5.0).astype(y.dtype))) - 1
    slope = jnp.concatenate([by_mu[None], by_tau[None], z + tau * bar]) / 16
    dm = jnp.sum(slope, 1)
    dr = scale * jnp.sum(slope * noise, 1) - 1
    return by_hand(dm, dr, m, r, m1, r1, m2, r2, rate, t)


def schools_numpyro(numpyro: Any, distributions: Any) -> Function:
    """The spread on its own scale: where the guide's logarithm is normal, it is lognormal."""

    def model(y: Any, sigma: Any, m: Any, r: Any) -> None:
        mu = numpyro.sample("mu", distributions.Normal(0, 5))
        tau = numpyro.sample("tau", distributions.HalfCauchy(5))
        z = numpyro.sample("z", distributions.Normal(jnp.zeros_like(y), 1).to_event(1))
        numpyro.sample("y", distributions.Normal(mu + tau * z, sigma).to_event(1), obs=y)

    def guide(y: Any, sigma: Any, m: Any, r: Any) -> None:
        m, scale = numpyro.param("m", m), jnp.exp(numpyro.param("r", r))
        numpyro.sample("mu", distributions.Normal(m[0], scale[0]))
        numpyro.sample("tau", distributions.LogNormal(m[1], scale[1]))
        numpyro.sample("z", distributions.Normal(m[2:], scale[2:]).to_event(1))

    step = by_numpyro(numpyro, model, guide, 16)

    def run(m: Any, r: Any, m1: Any, r1: Any, m2: Any, r2: Any, rate: Any, t: Any, key: Any, y: Any, sigma: Any) -> Any:
        return step(m, r, m1, r1, m2, r2, rate, t, key, y, sigma)

    return run


NUMPYRO = ("numpyro", "numpyro.distributions")

KERNELS = (
    Kernel(
        "svi-logistic",
        "step of variational inference for logistic regression",
        "svi-logistic.yaml",
        "outputs",
        {"n": 4000, "i": 64},
        {"n": 12, "i": 3},
        {"n": 1_000_000, "i": 128},
        labelled,
        logistic,
        logistic_expert,
        Peer("numpyro", NUMPYRO, logistic_numpyro, drawn=LINEAR),
    ),
    Kernel(
        "svi-schools",
        "step of variational inference for eight schools",
        "svi-schools.yaml",
        "outputs",
        {"j": 8, "p": 10},
        {"j": 8, "p": 10},
        {"j": 9_998, "p": 10_000},
        taught,
        schools,
        schools_expert,
        Peer("numpyro", NUMPYRO, schools_numpyro, drawn=LINEAR),
    ),
)
