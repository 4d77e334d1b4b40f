"""Dims of configurations and of coordinates, in whole problems: against itertools, linspace and JAX's derivatives."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.language.spec import Spec
from vspec.compiler.pipeline import check_text, compile_spec

HEAD = "vspec: 1\nname: configurations\nprecision: float64\n"


def checked(text: str, **overrides: Any) -> Spec:
    spec, found = check_text(HEAD + text, "configurations.yaml", overrides)
    assert spec is not None, [d.message for d in found]
    return spec


CHANNEL = """\
dims:
  i, j: 4
  c: 3
  s: {configurations: c, of: i}
  k, l: 2
constants:
  J: 2.0
  F[k]: [-1.8, 1.4]
  z[c]: [0, 1, 1]
  eps[i, c]: [[0, -1, -0.5], [0, -2.5, -1], [0, -1.5, -2], [0, -2, -0.5]]
params:
  a[k]: {init: "0.3*index(k) + 0.2"}
define:
  occ[s, i]: part(s, i)
  far[i, j]: abs(index(i) - index(j)) + delta[i, j]
  energy[s]: sum[i](eps[i, occ[s, i]]) + J/2*sum[i, j]((1 - delta[i, j])*z[occ[s, i]]*z[occ[s, j]]/far[i, j])
  count[s]: sum[i](occ[s, i] == 1)
  dual: logsumexp[s](-a[0]*energy[s] - a[1]*count[s]) + sum[k](a[k]*F[k])
outputs:
  energy[s]: energy[s]
  dual: dual
  gradient[k]: d(dual, a[k])
  hessian[k, l]: d(dual, a[k], a[l])
  by_coupling: d(dual, J)
  by_energies[i, c]: d(dual, eps[i, c])
"""


def channel(a: Any, coupling: Any, eps: Any) -> Any:
    energies, counts = [], []
    for s in itertools.product(range(3), repeat=4):
        charged = [float(x > 0) for x in s]
        pairs = sum(charged[i] * charged[j] / abs(i - j) for i in range(4) for j in range(4) if i != j)
        energies.append(sum(eps[i, x] for i, x in enumerate(s)) + coupling / 2 * pairs)
        counts.append(sum(x == 1 for x in s))
    energy, count = jnp.stack(energies), jnp.asarray(counts, float)
    return logsumexp(-a[0] * energy - a[1] * count) - 1.8 * a[0] + 1.4 * a[1], energy


@pytest.mark.parametrize("level", [0, 2])
def test_sums_over_configurations_are_those_of_itertools(level: int, tmp_path: Path) -> None:
    spec = checked(CHANNEL)
    values = {name: np.asarray(c.value) for name, c in spec.constants.items()} | {"a": np.array([0.4, -0.3])}
    a, coupling, eps = values["a"], 2.0, values["eps"]
    ours = Emission(spec, level, tmp_path / "program.py").call("outputs", values)

    def dual(a: Any, coupling: Any, eps: Any) -> Any:
        return channel(a, coupling, eps)[0]

    np.testing.assert_allclose(ours["energy"], channel(a, coupling, eps)[1])
    np.testing.assert_allclose(ours["dual"], dual(a, coupling, eps))
    np.testing.assert_allclose(ours["gradient"], jax.grad(dual)(a, coupling, eps))
    np.testing.assert_allclose(ours["hessian"], jax.hessian(dual)(a, coupling, eps))
    np.testing.assert_allclose(ours["by_coupling"], jax.grad(dual, 1)(a, coupling, eps))
    np.testing.assert_allclose(ours["by_energies"], jax.grad(dual, 2)(a, coupling, eps))


PARTS = """\
dims:
  s, q: {configurations: c, of: i}
  i, j: {size: PLACES, boundary: periodic}
  c: VALUES
  k: 2
data:
  z[i]: {type: integer}
  y[i]: real
  h[c]: real
outputs:
  digits[s, i]: part(s, i)
  first[s]: part(s, 0) + 10*part(s, -1)
  next_[s, i]: part(s, i + 1)
  back[s, i]: part(s, size(i) - 1 - i)
  looked[s, i]: part(s, z[i])
  number[s]: sum[i](part(s, i)*size(c)**(size(i) - 1 - index(i)))
  apart[s, q]: sum[i](part(s, i) != part(q, i))
  same[s, i, j]: delta[part(s, i), part(s, j)]
  field[s]: sum[i](y[i]*h[part(s, i)])
  slope[s, i]: d(sum[j](y[j]*h[part(s, j)]**2), y[i])
"""


@pytest.mark.parametrize(("places", "values", "open"), [(3, 2, False), (2, 3, True), (1, 4, False), (4, 1, True)])
def test_parts_are_digits_the_first_the_most_significant(places: int, values: int, open: bool, tmp_path: Path) -> None:
    text = PARTS.replace("VALUES", "auto" if open else str(values)).replace("PLACES", "auto" if open else str(places))
    spec = checked(text)
    rng = np.random.default_rng(places)
    given = {"z": rng.integers(0, places, places), "y": rng.normal(size=places), "h": rng.normal(size=values)}
    digits = np.array(list(itertools.product(range(values), repeat=places)))
    truth = {
        "digits": digits,
        "first": digits[:, 0] + 10 * digits[:, -1],
        "next_": np.roll(digits, -1, axis=1),
        "back": digits[:, ::-1],
        "looked": digits[:, given["z"]],
        "number": np.arange(values**places),
        "apart": np.sum(digits[:, None] != digits[None], axis=-1),
        "same": digits[:, :, None] == digits[:, None],
        "field": given["h"][digits] @ given["y"],
        "slope": given["h"][digits] ** 2,
    }
    for level in (0, 2):
        ours = Emission(spec, level, tmp_path / f"program_{level}.py").call("outputs", given)
        for name, array in truth.items():
            np.testing.assert_allclose(ours[name], array, err_msg=f"-O{level} {name}")
        assert ours["digits"].dtype.kind == "i"
    for name, meant in Meaning(spec, given).outputs().items():
        np.testing.assert_allclose(meant, truth[name], err_msg=name)


KINETICS = """\
dims:
  t, u: 5
  r: 6
  i, j: 3
  c: 2
  x, y, v: {configurations: c, of: i}
  k, l: 2
data:
  eps[i]: {value: [-1, -0.5, -1]}
params:
  lam[t, k]: {init: "-1.2*sin(0.9*(index(t) + 1)) if index(k) == 0 else 0.3*cos(index(t))"}
define:
  n[x, i]: part(x, i)
  total[x]: sum[i](n[x, i])
  pair[x]: sum[i, j]((1 - delta[i, j])*n[x, i]*n[x, j]/(abs(index(i) - index(j)) + delta[i, j]))
  energy[x]: sum[i]((eps[i] - 0.3)*n[x, i]) + 0.75*pair[x]
  changed[x, y]: sum[i](abs(n[x, i] - n[y, i]))
  moment[x]: sum[i]((index(i) + 1)*n[x, i])
  hop[x, y]: changed[x, y] == 2 and total[x] == total[y] and abs(moment[y] - moment[x]) == 1
  left[x, y]: changed[x, y] == 1 and n[x, 0] != n[y, 0]
  right[x, y]: changed[x, y] == 1 and n[x, 2] != n[y, 2]
  allowed[x, y]: hop[x, y] or left[x, y] or right[x, y]
  rate[x, y]: 0.08*exp(-(energy[y] - energy[x])/2) if allowed[x, y] else 0
  W[x, y]: rate[x, y] + delta[x, y]*(1 - sum[v](rate[x, v]))
  moved[x, y]: (moment[y] - moment[x] if hop[x, y] or left[x, y] else 0) + (total[x] - total[y] if right[x, y] else 0)
  o[k, x, y]: moved[x, y]/(size(i) + 1) if index(k) == 0 else real(allowed[x, y])
  pi_[x]: softmax[x](-energy[x])
  p0[x]: (pi_[x] + (total[x] == 0))/2
  M[t, x, y]: W[x, y]*exp(-sum[k](lam[t, k]*o[k, x, y]))
  al[0, x]: p0[x]
  al[r + 1, y]: sum[x](al[r, x]*M[r, x, y])
  Psi: log(sum[x](al[-1, x]))
  P[t, x, y]: M[t, x, y]/sum[v](M[t, x, v])
  pt[0, x]: p0[x]
  pt[r + 1, y]: sum[x](pt[r, x]*P[r, x, y])
  A[t, k]: sum[x, y](pt[t, x]*P[t, x, y]*o[k, x, y])
outputs:
  Psi: Psi
  response: d(A[0, 0], lam[0, 0])
  causal: "max[t, k, u, l](abs(d(A[t, k], lam[u, l])) if index(u) > index(t) else 0)"
  reciprocal: max[t, k, u, l](abs(d(Psi, lam[t, k], lam[u, l]) - d(Psi, lam[u, l], lam[t, k])))
"""


def test_the_path_ensemble_of_an_ion_channel(tmp_path: Path) -> None:
    """Free energy and response as computed by transfer matrices elsewhere; causality and reciprocity hold exactly."""
    spec = checked(KINETICS)
    t = np.arange(5.0)
    values = {"eps": np.array([-1, -0.5, -1]), "lam": np.stack([-1.2 * np.sin(0.9 * (t + 1)), 0.3 * np.cos(t)], 1)}
    ours = Emission(spec, 2, tmp_path / "program.py").call("outputs", values)
    assert abs(ours["Psi"] - 0.086475915872) < 1e-10
    assert abs(ours["response"] + 0.013798877551) < 1e-10
    assert ours["causal"] < 1e-12
    assert ours["reciprocal"] < 1e-12


COORDINATES = """\
dims:
  x, y: {size: SIZE, from: -L, to: 2*pi, boundary: MODE}
constants: {L: 1.5}
data:
  u[x]: real
define:
  area: sum[x](u[x]*sin(coord(x)))*spacing(x)
outputs:
  c[x]: coord(x)
  h: spacing(y)
  gap[x, y]: coord(x) - coord(y)
  area: area
  by_length: d(area, L)
  twice: d(area, L, L)
"""


@pytest.mark.parametrize("mode", ["error", "periodic", "zero"])
@pytest.mark.parametrize("open", [False, True])
def test_coordinates_run_from_one_end_to_the_other(mode: str, open: bool, tmp_path: Path) -> None:
    text = COORDINATES.replace("SIZE", "auto" if open else "9").replace("MODE", mode)
    spec = checked(text)
    u = np.random.default_rng(0).normal(size=9)

    def points(length: Any) -> Any:
        return jnp.linspace(-length, 2 * jnp.pi, 9, endpoint=mode != "periodic")

    def integral(length: Any) -> Any:
        x = points(length)
        return jnp.sum(u * jnp.sin(x)) * (x[1] - x[0])

    for length in (1.5, 0.25):
        for level in (0, 2):
            program = Emission(spec, level, tmp_path / f"program_{level}.py")
            ours = program.call("outputs", {"u": u, "L": length})
            x = points(length)
            np.testing.assert_allclose(ours["c"], x, atol=1e-14)
            np.testing.assert_allclose(ours["h"], x[1] - x[0])
            np.testing.assert_allclose(ours["gap"], x[:, None] - x, atol=1e-14)
            np.testing.assert_allclose(ours["area"], integral(length))
            np.testing.assert_allclose(ours["by_length"], jax.grad(integral)(length), rtol=1e-9)
            np.testing.assert_allclose(ours["twice"], jax.grad(jax.grad(integral))(length), rtol=1e-9)


def test_coordinates_in_a_loop_and_of_known_ends_are_numbers() -> None:
    text = """\
dims:
  t: {size: 5, from: 0, to: 1}
define:
  s[0]: 0.0
  s[t + 1]: s[t] + coord(t)*spacing(t)
outputs:
  s[t]: s[t]
"""
    found = evaluate_graph(compile_spec(checked(text)).graph, {})["outputs"]
    np.testing.assert_allclose(found[("s",)], np.cumsum([0, 0, 0.0625, 0.125, 0.1875]))


@pytest.mark.parametrize("size", ["2*n + 1", "n//2", "2**n", "(n - 1)**2", "-n + 9", "n**2//3"])
def test_sizes_of_open_dims_are_worked_out_when_the_program_runs(size: str, tmp_path: Path) -> None:
    text = f"dims:\n  n: auto\n  m: {size}\ndata:\n  a[n]: real\noutputs:\n  b[m]: mean[n](a[n])*index(m)/size(m)\n"
    a = np.random.default_rng(0).normal(size=4)
    count = {"2*n + 1": 9, "n//2": 2, "2**n": 16, "(n - 1)**2": 9, "-n + 9": 5, "n**2//3": 5}[size]
    for level in (0, 2):
        ours = Emission(checked(text), level, tmp_path / f"program_{level}.py").call("outputs", {"a": a})
        np.testing.assert_allclose(ours["b"], np.mean(a) * np.arange(count) / count)
