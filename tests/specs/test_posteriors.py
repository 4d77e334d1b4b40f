"""The posteriors of `specs/problems/posteriors`, and what they are compared with: one density, long chains, same points."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import potential_energy

import vspec
from tests.references import nuts
from vspec.runtime.run import run


def schools(u: Any) -> tuple[dict[str, Any], Any]:
    """From the coordinates of the spec to NumPyro's, and the logarithm of what that does to volumes."""
    return {"mu": u[0], "tau": u[1], "z": u[2:]}, 0.0


def pooling(u: Any) -> tuple[dict[str, Any], Any]:
    """The levels themselves in the spec, their standardised differences in NumPyro."""
    common = {"mu": u[0], "slope": u[1], "tau": u[2], "sigma": u[3]}
    return common | {"z": (u[4:] - u[0]) * jnp.exp(-u[2])}, -12 * u[2]


def normals(u: Any) -> tuple[dict[str, Any], Any]:
    """The same coordinates in both."""
    return {"low": u[0], "gap": u[1], "share": u[2], "scale": u[3:]}, 0.0


def weights(u: Any) -> tuple[dict[str, Any], Any]:
    """The weights in both."""
    return {"w": u}, 0.0


COORDINATES: dict[str, Callable[[Any], Any]] = {
    "eight-schools": schools,
    "partial-pooling": pooling,
    "two-normals": normals,
    "yes-or-no": weights,
}


@functools.cache
def compiled(name: str) -> Any:
    """The program of a spec."""
    return vspec.compile(nuts.FOLDER / f"{name}.yaml")


def test_the_guide_of_the_mixture_has_the_moments_that_it_claims() -> None:
    """Those of the other posteriors compare runs, and are judged by `make verify`."""
    claims = run(compiled("two-normals"), base=nuts.FOLDER).claims
    assert [c.name for c in claims] == ["means", "spreads"]
    assert all(c.holds for c in claims)


@pytest.mark.parametrize("name", nuts.POSTERIORS)
def test_spec_and_reference_have_one_density(name: str) -> None:
    """A guide without width gives the joint density itself; what is left out is a constant."""
    program = compiled(name)
    bound = replace(program.bind(base=nuts.FOLDER), key=jax.random.key(0))
    start = program.initial_params(bound)
    width = -60.0
    points = {k: jnp.asarray(v) for k, v in nuts.POSTERIORS[name].points().items()}

    @jax.jit
    def both(u: Any) -> tuple[Any, Any]:
        ours = program.call("elbo", start | {"m": u, "ls": jnp.full(u.shape, width)}, bound) - width * len(u)
        theirs, volume = COORDINATES[name](u)
        return ours, volume - potential_energy(nuts.POSTERIORS[name].model, (), points, theirs)

    rng = np.random.default_rng(0)
    found = np.array([both(jnp.asarray(0.7 * rng.standard_normal(start["m"].shape))) for _ in range(8)])
    left = found[:, 0] - found[:, 1]
    np.testing.assert_allclose(left, left[0], rtol=1e-11, atol=1e-10 * np.ptp(found[:, 0]))


@pytest.mark.parametrize("name", nuts.POSTERIORS)
def test_stored_chains_are_long_enough_and_their_points_are_those_of_the_tree(name: str) -> None:
    for row in nuts.stored(name).values():
        assert row.rhat < 1.001
        assert row.ess > 30_000
        assert row.mean_error < 0.01 * row.sd
        assert row.sd_error < 0.02 * row.sd
    points = nuts.POSTERIORS[name].points()
    if points:
        found = np.genfromtxt(nuts.FOLDER / f"{name}.csv", delimiter=",", names=True)
        assert list(found.dtype.names or ()) == list(points)
        for column, x in points.items():
            np.testing.assert_array_equal(found[column], x)


def test_a_short_chain_agrees_with_what_is_stored() -> None:
    wanted = nuts.stored("eight-schools")
    found = {k: nuts.summary(x) for k, x in nuts.chains("eight-schools", draws=1000, warmup=400, seed=7).items()}
    assert list(found) == list(wanted)
    for k, row in found.items():
        assert row.rhat < 1.03
        assert row.ess > 300
        assert abs(row.mean - wanted[k].mean) < 4.5 * np.hypot(row.mean_error, wanted[k].mean_error)
        assert abs(row.sd - wanted[k].sd) < 4.5 * np.hypot(row.sd_error, wanted[k].sd_error)
