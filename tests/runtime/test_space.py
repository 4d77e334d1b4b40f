"""Coordinates of domains: they lead into the domain and back, and their chain rule is that of the composed function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

from tests.support.effort import examples
from vspec.runtime.domains import Domain
from vspec.runtime.space import Space

COMPILE_QUICKLY = True  # see conftest.py

RECORDS: Mapping[str, Mapping[str, Any]] = {
    "real": {"domain": "real"},
    "positive": {"domain": "positive"},
    "box": {"domain": "box"},
    "simplex": {"domain": "simplex", "over": [1]},
    "joint": {"domain": "simplex", "over": [0, 1]},
    "unit": {"domain": "unit", "over": [1]},
    "sphere": {"domain": "unit", "over": [0, 1]},
    "psd": {"domain": "psd", "over": [1, 2]},
    "orthogonal": {"domain": "orthogonal", "over": [0, 1]},
}
SHAPES = {"psd": (2, 3, 3), "orthogonal": (4, 3)}
# Every case of a pair of ends: two, one, none, and one point.
ENDS = {"box": {"lower": np.array([0.0, -np.inf, 2.0, -np.inf]), "upper": np.array([1.0, 3.0, np.inf, np.inf])}}
KINDS = list(RECORDS)


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


def space(*names: str, **options: Any) -> Space:
    return Space.of(RECORDS, names, ENDS, **options)


def domain(name: str) -> Domain:
    record = RECORDS[name]
    ends = ENDS.get(name, {})
    return Domain(record["domain"], tuple(record.get("over", ())), ends.get("lower"), ends.get("upper"))


def draw(name: str, seed: int) -> Array:
    return jnp.asarray(domain(name).random(SHAPES.get(name, (2, 4)), np.random.default_rng(seed)))


@pytest.mark.parametrize("name", KINDS)
def test_there_and_back(name: str) -> None:
    for seed in range(5):
        x = draw(name, seed)
        there = space(name)
        np.testing.assert_allclose(there.outward(there.inward({name: x}))[name], x, atol=1e-12)
        np.testing.assert_array_equal(there.interior({name: x})[name], x, "what lies inside stays")


@pytest.mark.parametrize("name", KINDS)
@given(seed=st.integers(0, 2**30), scale=st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=examples(15), deadline=None)
def test_all_coordinates_lead_into_the_domain(name: str, seed: int, scale: float) -> None:
    there = space(name)
    u = there.inward({name: draw(name, 0)})
    z = np.random.default_rng(seed).standard_normal(u[name].shape) * scale
    x = np.asarray(there.outward({name: jnp.asarray(z)})[name])
    assert np.isfinite(x).all()
    assert domain(name).violation(x) <= 1e-9 * max(1.0, float(np.max(np.abs(x))))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("other", ["real", "simplex"])
def test_the_chain_rule(name: str, other: str) -> None:
    there = space(*dict.fromkeys((name, other)))
    params = {k: draw(k, 3) for k in there.domains}

    def f(p: Mapping[str, Array]) -> Array:
        a, b = p[name], p[other]
        weights = jnp.arange(1.0, 1 + a.size).reshape(a.shape)
        return jnp.sum(jnp.sin(weights * a)) * jnp.sum(jnp.cos(b) ** 3) + jnp.sum(weights * a) ** 2

    point = there.inward(params)
    gradient, hessian = jax.grad(f)(params), jax.hessian(f)(params)
    of_point = jax.grad(lambda u: f(there.outward(u)))(point)
    for p in there.names:
        np.testing.assert_allclose(there.gradient(point, gradient)[p], of_point[p], rtol=1e-9, atol=1e-9)
    found, expected = there.hessian(point, gradient, hessian), jax.hessian(lambda u: f(there.outward(u)))(point)
    for p in there.names:
        for q in there.names:
            np.testing.assert_allclose(found[p][q], expected[p][q], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", KINDS)
def test_rows_of_a_jacobian(name: str) -> None:
    there = space(name)
    params = {name: draw(name, 5)}

    def c(p: Mapping[str, Array]) -> Array:
        return jnp.stack([jnp.sum(p[name] ** 2), jnp.sum(jnp.sin(p[name])), p[name].ravel()[1]])

    point = there.inward(params)
    expected = jax.jacobian(lambda u: c(there.outward(u)))(point)[name]
    np.testing.assert_allclose(there.jacobian(point, jax.jacobian(c)(params))[name], expected, atol=1e-12)


BOUNDARY = {
    "box": jnp.array([[0.0, 3.0, 2.0, 0.0], [1.0, -1.0, 5.0, 1.0]]),
    "simplex": jnp.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]),
    "psd": jnp.array([np.zeros((3, 3)), np.diag([1.0, 0.0, 0.0])]),
}


@pytest.mark.parametrize("name", BOUNDARY)
def test_a_start_on_the_boundary_is_moved_inside(name: str) -> None:
    there = space(name)
    edge = {name: BOUNDARY[name]}
    moved = there.interior(edge)
    assert domain(name).violation(np.asarray(moved[name])) < 1e-12
    np.testing.assert_allclose(moved[name], edge[name], atol=5e-3)

    def f(u: Mapping[str, Array]) -> Array:
        return jnp.sum(jnp.arange(1.0, 1 + edge[name].size) * there.outward(u)[name].ravel())

    assert all(bool(jnp.isfinite(x).all()) for x in there.inward(edge).values()), "even where no one moved it"
    slope = jax.grad(f)(there.inward(moved))[name]
    assert float(jnp.min(jnp.max(jnp.abs(slope), axis=-1))) > 1e-4, "the start can be left"


def test_bounds_may_be_equal_or_lie_close_together() -> None:
    ends = {"box": {"lower": np.array([1.0, 0.0]), "upper": np.array([1.0, 1e-30])}}
    there = Space.of(RECORDS, ["box"], ends)
    x = there.outward(there.inward({"box": jnp.array([1.0, 5e-31])}))["box"]
    np.testing.assert_allclose(x, [1.0, 5e-31])


def test_plain_kinds_move_as_they_are() -> None:
    there = space("box", "positive", "psd", plain=("box", "positive"))
    params = {k: draw(k, 1) for k in there.domains}
    point = there.inward(params)
    np.testing.assert_array_equal(point["box"], params["box"])
    np.testing.assert_array_equal(point["positive"], params["positive"])
    assert point["psd"].shape == (2, 6)


def test_other_starts_lie_in_the_domain() -> None:
    there = space(*KINDS)
    params = {k: draw(k, 1) for k in KINDS}
    moved = there.perturbed(params, np.random.default_rng(0))
    for k in KINDS:
        assert domain(k).violation(np.asarray(moved[k])) < 1e-12
        assert not np.allclose(moved[k], params[k])
        assert moved[k].dtype == params[k].dtype
