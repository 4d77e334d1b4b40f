"""Inits: named initialisers against those of JAX, and inits that read other params."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.nn.initializers as jini
import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from tests.language.helpers import codes, good
from tests.support.program import Emission
from vspec.compiler.language.initialisers import INITIALISERS

HEAD = "precision: float64\n"


@pytest.mark.parametrize("name", [n for n in INITIALISERS if n != "orthogonal"])
def test_initialisers_have_the_laws_of_jax(tmp_path: Path, name: str) -> None:
    text = (
        "dims: {a: 3, i: 40, h: 160}\nparams:\n"
        f"  W[i, h]: {{init: {name}}}\n  K[a, i, h]: {{init: {name}}}\n"
        f'  T[i, h]: {{init: "{name}(h, i)"}}\n  S[a, i, h]: {{init: "{name}(i, h)"}}\n'
    )
    with jax.enable_x64(True):
        found = Emission(good(HEAD + text), 2, tmp_path / "inits.py").call("initial", {"key": jax.random.key(7)})
        make = getattr(jini, name)
        shapes: dict[str, Any] = {
            "W": make()(jax.random.key(1), (40, 160)),
            "K": make()(jax.random.key(2), (3, 40, 160)),
            "T": make(in_axis=1, out_axis=0)(jax.random.key(3), (40, 160)),
            "S": make(batch_axis=0)(jax.random.key(4), (3, 40, 160)),
        }
    for key, wanted in shapes.items():
        ours = np.asarray(found[key])
        assert ours.shape == wanted.shape
        assert stats.ks_2samp(ours.ravel(), np.asarray(wanted).ravel()).pvalue > 1e-3, key
        assert abs(np.std(ours) / np.std(np.asarray(wanted)) - 1) < 0.03, key
        assert abs(np.max(np.abs(ours)) / np.max(np.abs(np.asarray(wanted))) - 1) < 0.01, key


def test_orthogonal_matrices_are_orthonormal_and_uniform(tmp_path: Path) -> None:
    text = (
        "dims: {l: 4000, i: 4, h: 2}\nparams:\n  Q[l, i, h]: {init: orthogonal}\n  R[h, i]: {init: orthogonal}\n"
        '  S[i, l, h]: {init: "orthogonal(h, i)"}\n'
    )
    with jax.enable_x64(True):
        found = Emission(good(HEAD + text), 2, tmp_path / "inits.py").call("initial", {"key": jax.random.key(7)})
    tall, wide = np.asarray(found["Q"]), np.asarray(found["R"])
    np.testing.assert_allclose(
        np.einsum("lih,lik->lhk", tall, tall), np.broadcast_to(np.eye(2), (4000, 2, 2)), atol=1e-12
    )
    np.testing.assert_allclose(wide @ wide.T, np.eye(2), atol=1e-12)
    columns = np.asarray(found["S"])
    np.testing.assert_allclose(
        np.einsum("ilh,ilk->lhk", columns, columns), np.broadcast_to(np.eye(2), (4000, 2, 2)), atol=1e-12
    )
    # A coordinate of a uniform direction in four dimensions: its square is beta distributed.
    assert stats.kstest(tall[:, 1, 0] ** 2, stats.beta(0.5, 1.5).cdf).pvalue > 1e-3
    assert abs(np.mean(tall[:, 1, 0])) < 0.03


@pytest.mark.parametrize("level", [0, 2])
def test_inits_read_other_params(tmp_path: Path, level: int) -> None:
    text = (
        "dims: {i: 3}\ndata:\n  x[i]: real\nfunctions:\n  twice(a): a*a\nparams:\n"
        '  late[i]: {init: "twice(early[i] + x[i])/z"}\n  early[i]: {init: "sample(normal(0, 1))"}\n'
        '  same[i]: {init: "early[i]"}\n  z: {init: "2 + sum[i](abs(late0[i]))", domain: positive}\n'
        '  late0[i]: {init: "x[i]"}\n  c[i]: {init: "1j*late[i]", type: complex}\n  cc[i]: {init: "c[i]*c[i]", type: complex}\n'
    )
    with jax.enable_x64(True):
        x = np.asarray([0.5, -1.0, 2.0])
        emission = Emission(good(HEAD + text), level, tmp_path / "inits.py")
        found = {k: np.asarray(v) for k, v in emission.call("initial", {"key": jax.random.key(7), "x": x}).items()}
    assert list(found) == ["late", "early", "same", "z", "late0", "c", "cc"]
    np.testing.assert_array_equal(found["same"], found["early"])
    np.testing.assert_allclose(found["z"], 2 + np.sum(np.abs(x)))
    np.testing.assert_allclose(found["late"], (found["early"] + x) ** 2 / found["z"], rtol=1e-12)
    np.testing.assert_allclose(found["cc"], -(found["late"] ** 2), rtol=1e-12)
    assert np.std(found["early"]) > 0


def test_what_an_init_may_not_read() -> None:
    assert codes("params:\n  a: {init: b}\n  b: {init: a}\n") == ["VS0399"]
    assert codes("params:\n  a: {init: b}\ndefine:\n  b: 2\n") == ["VS0322"]
    assert codes("params:\n  a: {init: 0, domain: 'box(0, b)'}\n  b: {init: 1}\n") == ["VS0322"]
    assert codes("dims: {i: 2}\nparams:\n  a[i]: {init: glorot_normal}\n") == ["VS0398"]
    # A name of the spec's own comes first.
    good("dims: {i, j: 2}\nconstants: {orthogonal: 3}\nparams:\n  a[i, j]: {init: orthogonal}\n")
