"""A variational autoencoder: its bound by one draw for each row, and the slopes of that by all weights of both networks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values
from benchmarks.kernels.variational import NUMPYRO, drawn

WEIGHTS = ("U", "u", "V", "v", "P", "p", "Q", "q")


def pictures(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Grey pictures, and networks as they start."""
    n, i, a, k = (sizes[x] for x in "niak")
    shapes = {"U": (i, a), "u": (a,), "V": (a, 2 * k), "v": (2 * k,), "P": (k, a), "p": (a,), "Q": (a, i), "q": (i,)}
    weights = {name: rng.normal(size=s) / np.sqrt(s[0] if len(s) > 1 else 9) for name, s in shapes.items()}
    return {"x": rng.random((n, i)), **weights}


def act(h: Any) -> Any:
    """A leaky rectifier."""
    return jnp.where(h > 0, h, 0.01 * h)


def code(w: Any, x: Any) -> tuple[Any, Any]:
    """Means and scales of the latents."""
    both = act(x @ w["U"] + w["u"]) @ w["V"] + w["v"]
    k = both.shape[-1] // 2
    return both[..., :k], jax.nn.softplus(both[..., k:])


def logits(w: Any, z: Any) -> Any:
    """What pictures have where latents are."""
    return act(z @ w["P"] + w["p"]) @ w["Q"] + w["q"]


def sloped(bound: Any, weights: tuple[Any, ...]) -> Any:
    """The bound and its slopes by name."""
    value, slopes = jax.value_and_grad(bound)(dict(zip(WEIGHTS, weights, strict=True)))
    # As a dictionary has them, by name.
    return {"bound": value, **slopes}


def idiomatic(x: Any, U: Any, u: Any, V: Any, v: Any, P: Any, p: Any, Q: Any, q: Any, key: Any) -> Any:
    """The bound of one picture as it is written, `jax.vmap` over the pictures."""
    noise = drawn(key, (len(x), P.shape[0]), x.dtype)

    def bound(w: Any) -> Any:
        def one(x: Any, e: Any) -> Any:
            m, s = code(w, x)
            seen = logits(w, m + s * e)
            likelihood = jnp.sum(x * jax.nn.log_sigmoid(seen) + (1 - x) * jax.nn.log_sigmoid(-seen))
            return likelihood - jnp.sum((s**2 + m**2 - 1) / 2 - jnp.log(s))

        return jnp.mean(jax.vmap(one)(x, noise))

    return sloped(bound, (U, u, V, v, P, p, Q, q))


def expert(x: Any, U: Any, u: Any, V: Any, v: Any, P: Any, p: Any, Q: Any, q: Any, key: Any) -> Any:
    """All pictures at once, the likelihood in its shortest form, the divergence in closed form."""
    noise = drawn(key, (len(x), P.shape[0]), x.dtype)

    def bound(w: Any) -> Any:
        m, s = code(w, x)
        seen = logits(w, m + s * noise)
        divergence = jnp.sum((s * s + m * m) / 2 - 0.5 - jnp.log(s))
        return (jnp.sum(x * seen - jax.nn.softplus(seen)) - divergence) / len(x)

    return sloped(bound, (U, u, V, v, P, p, Q, q))


def by_numpyro(numpyro: Any, distributions: Any) -> Function:
    """The same guide and networks, and the bound with the divergence in closed form."""

    def model(x: Any, w: Any) -> None:
        with numpyro.plate("rows", len(x)):
            z = numpyro.sample("z", distributions.Normal(jnp.zeros((len(x), w["P"].shape[0])), 1).to_event(1))
            numpyro.factor("seen", jnp.sum(x * logits(w, z) - jax.nn.softplus(logits(w, z)), -1))

    def guide(x: Any, w: Any) -> None:
        with numpyro.plate("rows", len(x)):
            numpyro.sample("z", distributions.Normal(*code(w, x)).to_event(1))

    elbo = numpyro.infer.TraceMeanField_ELBO()

    def run(x: Any, U: Any, u: Any, V: Any, v: Any, P: Any, p: Any, Q: Any, q: Any, key: Any) -> Any:
        return sloped(lambda w: -elbo.loss(key, {}, model, guide, x, w) / len(x), (U, u, V, v, P, p, Q, q))

    return run


KERNELS = (
    Kernel(
        "svi-autoencoder",
        "bound of a variational autoencoder and its slopes",
        "svi-autoencoder.yaml",
        "outputs",
        {"n": 256, "i": 64, "a": 200, "k": 10},
        {"n": 5, "i": 4, "a": 6, "k": 2},
        {"n": 8192, "i": 784, "a": 400, "k": 20},
        pictures,
        idiomatic,
        expert,
        Peer("numpyro", NUMPYRO, by_numpyro, drawn=("bound", "v", "p", "q")),
    ),
)
