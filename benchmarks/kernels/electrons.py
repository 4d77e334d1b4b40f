"""Local energies of wavefunctions: first and second derivatives by all electrons, with potentials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.kernel import Function, Kernel, Peer, Sizes, Values

Params = dict[str, Any]


def walkers(sizes: Sizes, rng: np.random.Generator) -> Values:
    """Electrons around the origin, and a wavefunction."""
    n, e, i, a, b = (sizes[s] for s in "neiab")
    return {
        "R": rng.normal(size=(n, e, i)),
        "U": rng.normal(size=(i, a)) / np.sqrt(i),
        "u": 0.1 * rng.normal(size=a),
        "V": rng.normal(size=(a, b)) / np.sqrt(a * e),
        "v": 0.1 * rng.normal(size=b),
        "w": rng.normal(size=b) / np.sqrt(b),
        "reach": np.asarray(0.8),
    }


def psi(p: Params, charge: Any, r: Any) -> Any:
    """The logarithm of the wavefunction at one configuration."""
    first, second = np.triu_indices(r.shape[0], 1)
    gaps = jnp.linalg.norm(r[first] - r[second], axis=-1)
    deep = jnp.tanh(jnp.sum(jnp.tanh(r @ p["U"] + p["u"]), 0) @ p["V"] + p["v"]) @ p["w"]
    pairs = jnp.sum(gaps / (1 + p["reach"] * gaps)) / 2
    return deep + pairs - charge * jnp.sum(jnp.linalg.norm(r, axis=-1))


def potential(charge: Any, r: Any) -> Any:
    """Attraction by the nucleus and repulsion of all pairs."""
    first, second = np.triu_indices(r.shape[0], 1)
    repulsion = jnp.sum(1 / jnp.linalg.norm(r[first] - r[second], axis=-1))
    return repulsion - charge * jnp.sum(1 / jnp.linalg.norm(r, axis=-1))


def named(energy: Callable[[Params, Any, Any], Any]) -> Function:
    """The local energy at all configurations, as a function of the names of the spec."""

    def run(U: Any, u: Any, V: Any, v: Any, w: Any, reach: Any, charge: Any, R: Any) -> Any:
        return energy({"U": U, "u": u, "V": V, "v": v, "w": w, "reach": reach}, charge, R)

    return run


def by_hessian(p: Params, charge: Any, R: Any) -> Any:
    """The Laplacian as the trace of a Hessian, configuration by configuration."""

    def energy(r: Any) -> Any:
        f = lambda x: psi(p, charge, x.reshape(r.shape))  # noqa: E731
        slope = jax.grad(f)(r.ravel())
        return potential(charge, r) - (jnp.trace(jax.hessian(f)(r.ravel())) + slope @ slope) / 2

    return jax.vmap(energy)(R)


def by_hand(p: Params, charge: Any, R: Any) -> Any:
    """Everything that is a function of one radius or one gap has its derivatives in closed form; the network has one hidden
    sum over electrons, so that its Laplacian needs squares of one Jacobian only. All configurations at once.

    Of a radius, the Laplacian is 2/r; of g(gap) for a pair it is 2 (g'' + 2 g'/gap) over both electrons.
    """
    n, e, i = R.shape
    first, second = np.triu_indices(e, 1)
    radius = jnp.sqrt(jnp.sum(R * R, -1))
    between = R[:, first] - R[:, second]
    gap = jnp.sqrt(jnp.sum(between * between, -1))
    near = 1 / (1 + p["reach"] * gap)
    # g = gap/(1 + reach gap)/2 has g' = near^2/2 and g'' = -reach near^3.
    push = (near * near / (2 * gap))[..., None] * between
    slope = jnp.zeros_like(R).at[:, first].add(push).at[:, second].add(-push) - charge * R / radius[..., None]
    laplacian = jnp.sum(-2 * p["reach"] * near**3 + 2 * near * near / gap, 1) - 2 * charge * jnp.sum(1 / radius, 1)
    t = jnp.tanh(R.reshape(n * e, i) @ p["U"] + p["u"]).reshape(n, e, -1)
    s = 1 - t * t
    top = jnp.tanh(jnp.sum(t, 1) @ p["V"] + p["v"])
    bar = (1 - top * top) * p["w"]
    back = bar @ p["V"].T
    slope += (s * back[:, None]) @ p["U"].T
    # J is the Jacobian of the second layer before its activation, by the coordinates of all electrons.
    J = ((s[:, :, None] * p["U"][None, None]).reshape(n * e * i, -1) @ p["V"]).reshape(n, e * i, -1)
    curved = jnp.sum(-2 * t * s, 1) * jnp.sum(p["U"] ** 2, 0)
    laplacian += jnp.sum(curved * back, 1) + jnp.sum(-2 * top * bar * jnp.sum(J * J, 1), 1)
    kinetic = -(laplacian + jnp.sum(slope * slope, (1, 2))) / 2
    return kinetic + jnp.sum(1 / gap, 1) - charge * jnp.sum(1 / radius, 1)


def by_folx(folx: Any) -> Function:
    """Folx's forward Laplacian, configuration by configuration."""

    def energies(p: Params, charge: Any, R: Any) -> Any:
        forward = folx.forward_laplacian(lambda r: psi(p, charge, r))

        def energy(r: Any) -> Any:
            found = forward(r)
            slope = found.jacobian.dense_array
            return potential(charge, r) - (found.laplacian + jnp.sum(slope**2)) / 2

        return jax.vmap(energy)(R)

    return named(energies)


def electrons(count: int) -> Kernel:
    """The local energy of so many electrons."""
    return Kernel(
        f"local-energy-{count}",
        f"local energy of {count} electrons",
        "local-energy.yaml",
        "outputs",
        {"n": 256, "e": count, "i": 3, "a": 32, "b": 32},
        {"n": 3, "e": 2 if count < 5 else 3, "i": 3, "a": 4, "b": 3},
        {"n": 16_384, "e": count, "i": 3, "a": 32, "b": 32},
        walkers,
        named(by_hessian),
        named(by_hand),
        Peer("folx", ("folx",), by_folx),
    )


KERNELS = (electrons(4), electrons(10))
