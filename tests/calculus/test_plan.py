"""Entries of stages against JAX: updates, directions, schedules, conditions, sets of derivatives, batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.program import Emission
from vspec.compiler.language.spec import Spec

jax.config.update("jax_enable_x64", True)

N, I = 12, 3

HEAD = f"""
precision: float64
dims: {{n: {N}, i: {I}, p: auto}}
constants: {{eta: 0.1, lam: 0.3, rounds: 5}}
data:
  raw[n, i]: real
  y[n]: real
params:
  w[i]: {{init: 0}}
  c: {{init: 0}}
  s[n]: {{init: 0}}
  z: {{init: 1 + 1j, type: complex}}
define:
  theta[p]: stack(w[:], c)
  X[n, i]: raw[n, i] - mean[n](raw[n, i])
  r[n]: sum[i](X[n, i]*w[i]) + c + s[n] - y[n] + eta*max[n](y[n])*w[0]
objectives:
  loss: sum[n](exp(r[n]/9) + s[n]**2*(index(n) + 1)/size(n)) + mean[n](r[n]**2) + lam*sum[i](w[i]**2)
"""


def values(seed: int = 0) -> dict[str, Any]:
    """A point, data and constants."""
    g = np.random.default_rng(seed)
    point = {"w": g.normal(size=I), "c": g.normal(), "s": g.normal(size=N), "z": complex(*g.normal(size=2))}
    return {**point, "raw": g.normal(size=(N, I)), "y": g.normal(size=N), "eta": 0.1, "lam": 0.3, "rounds": 5}


def loss(w: Any, c: Any, s: Any, v: dict[str, Any]) -> Any:
    """The objective in JAX."""
    X = v["raw"] - v["raw"].mean(0)
    r = X @ w + c + s - v["y"] + v["eta"] * jnp.max(v["y"]) * w[0]
    own = jnp.exp(r / 9) + s**2 * (jnp.arange(N) + 1) / N
    return own.sum() + (r**2).mean() + v["lam"] * (w**2).sum()


def made(text: str, path: Path, level: int) -> tuple[Spec, Emission]:
    """The checked spec and its program."""
    spec = good(HEAD + text)
    return spec, Emission(spec, level, path / "program.py")


def roles(program: Emission) -> list[dict[str, Any]]:
    """What each stage calls."""
    found: list[dict[str, Any]] = program.compiled.graph.notes["plan"]
    return found


@pytest.fixture(params=[0, 2], ids=["O0", "O2"])
def level(request: pytest.FixtureRequest) -> int:
    """An optimisation level."""
    return int(request.param)


def test_updates_use_the_values_before_and_go_back_to_the_parts_of_a_stack(tmp_path: Path, level: int) -> None:
    _, program = made(
        "solve:\n  update:\n    - {'theta[p]': 'theta[p] - eta/(step + 1)*d(loss, theta[p])', 's[n]': 'r[n]*c'}\n"
        "    - {c: step, z: 'z*1j + w[0]'}\n  steps: 4\n",
        tmp_path,
        level,
    )
    v = values() | {"step": 3, "steps": 4}
    (stage,) = roles(program)
    first, second = (program.call(entry, v) for entry in stage["update"])
    slopes = jax.grad(loss, (0, 1))(v["w"], v["c"], v["s"], v)
    np.testing.assert_allclose(first["w"], v["w"] - 0.1 / 4 * slopes[0], rtol=1e-12)
    np.testing.assert_allclose(first["c"], v["c"] - 0.1 / 4 * slopes[1], rtol=1e-12)
    X = v["raw"] - v["raw"].mean(0)
    r = X @ v["w"] + v["c"] + v["s"] - v["y"] + 0.1 * v["y"].max() * v["w"][0]
    np.testing.assert_allclose(first["s"], r * v["c"], rtol=1e-12)
    np.testing.assert_allclose(second["z"], v["z"] * 1j + v["w"][0], rtol=1e-12)
    assert second["c"].dtype == jnp.float64
    assert float(second["c"]) == 3


def test_counts_schedules_and_conditions(tmp_path: Path, level: int) -> None:
    _, program = made(
        "solve:\n  minimize: loss\n  over: {w: 'adam(eta*(1 - step/steps))', c: sgd(0.1*cool)}\n  let: {cool: exp(-c)}\n"
        "  steps: 2*rounds + size(i)\n  until: max[i](abs(w[i])) < step\n",
        tmp_path,
        level,
    )
    v = values() | {"step": 3, "steps": 13}
    (stage,) = roles(program)
    assert {k: int(x) for k, x in program.call(stage["counts"], v).items()} == {"steps": 13}
    schedule = program.call(stage["schedule"], v)
    np.testing.assert_allclose(schedule["0.lr"], 0.1 * (1 - 3 / 13), rtol=1e-12)
    np.testing.assert_allclose(schedule["1.lr"], 0.1 * np.exp(-v["c"]), rtol=1e-12)
    for step in (0, 9):
        assert bool(program.call(stage["until"], v | {"step": step})) == (np.abs(v["w"]).max() < step)


def test_each_set_of_params_has_its_own_derivatives(tmp_path: Path, level: int) -> None:
    _, program = made(
        "solve:\n  - {minimize: loss, over: [w, c]}\n  - {minimize: loss, over: s, method: newton}\n"
        "  - {saddle: loss, min: w, max: c, method: sgd(0.1)}\n  - {minimize: loss, over: [w, c], method: newton}\n",
        tmp_path,
        level,
    )
    v = values()
    first, second, third, fourth = (stage["entries"] for stage in roles(program))
    assert {e["value"] for e in (first, second, third, fourth)} == {"loss"}
    assert first["gradient"] == third["gradient"] == fourth["gradient"] == "loss_gradient"
    assert second["gradient"] == "loss_gradient_2"
    slopes = jax.grad(loss, (0, 1, 2))(v["w"], v["c"], v["s"], v)
    pair = program.call(first["gradient"], v)
    np.testing.assert_allclose(pair["w"], slopes[0], rtol=1e-11)
    np.testing.assert_allclose(pair["c"], slopes[1], rtol=1e-11)
    value, gradient, hessian = program.call(second["newton"], v)
    np.testing.assert_allclose(value, loss(v["w"], v["c"], v["s"], v), rtol=1e-12)
    np.testing.assert_allclose(gradient, slopes[2], rtol=1e-11)
    np.testing.assert_allclose(hessian, jax.hessian(loss, 2)(v["w"], v["c"], v["s"], v), rtol=1e-9, atol=1e-12)
    assert "newton" in fourth


def test_one_entry_gives_what_moves_and_what_is_updated(tmp_path: Path, level: int) -> None:
    _, program = made(
        "solve:\n  - {minimize: loss, over: [w, c], update: {'s[n]': 's[n] + r[n]'}, method: sgd(0.1), steps: 2}\n"
        "  - {descend: {'w[i]': 'd(loss, w[i]) + w[i]'}, update: {'s[n]': 'r[n]'}, method: sgd(0.1), steps: 2}\n",
        tmp_path,
        level,
    )
    v = values()
    first, second = roles(program)
    value, gradient, update = program.call(first["step"], v)
    alone = program.call(first["entries"]["value_and_gradient"], v)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), (value, gradient), alone)
    np.testing.assert_allclose(update["s"], program.call(first["update"][0], v)["s"], rtol=1e-12)
    moved, update = program.call(second["step"], v)
    np.testing.assert_allclose(moved["w"], program.call(second["directions"], v)["w"], rtol=1e-12)
    np.testing.assert_allclose(moved["w"], jax.grad(loss)(v["w"], v["c"], v["s"], v) + v["w"], rtol=1e-11)
    np.testing.assert_allclose(update["s"], program.call(second["update"][0], v)["s"], rtol=1e-12)


# --- batches ------------------------------------------------------------------------------------------------------


BATCHED = (
    "solve:\n  - {minimize: loss, over: [w, s], update: {c: 'mean[n](r[n])'}, method: adam(0.1), batch: {n: 4}, epochs: 3,\n"
    "     until: fit < step, let: {fit: 'sum[n](r[n]**2)'}}\n  - {minimize: loss, over: w}\n"
)


def sliced(program: Emission, entry: str, v: dict[str, Any], at: Any) -> Any:
    """An entry on some values of n: data, params and prepared arrays that have n are gathered along it."""
    emitted = next(e for e in program.compiled.emitted.entries if e.name == entry)
    known = {k: jnp.asarray(x) for k, x in v.items()}
    prepared = program.module.prepare(**{k: known[k] for k in _parameters(program, "prepare")})
    arguments = []
    for a in emitted.arguments:
        value = {**known, **prepared}[a.name]
        for k, axis in enumerate(a.axes):
            if axis.dim == "n_batch":
                value = jnp.take(value, at, axis=k)
        arguments.append(value)
    return getattr(program.module, entry)(*arguments)


def _parameters(program: Emission, entry: str) -> list[str]:
    emitted = next(e for e in program.compiled.emitted.entries if e.name == entry)
    return [a.name for a in emitted.arguments]


def test_batches_estimate_without_bias(tmp_path: Path, level: int) -> None:
    _, program = made(BATCHED, tmp_path, level)
    v = values() | {"step": 1, "steps": 9}
    stage = roles(program)[0]
    assert stage["entries"]["value_and_gradient"] == "loss_batch_value_and_gradient"
    parts = np.random.default_rng(1).permutation(N).reshape(3, 4)
    found = [sliced(program, "loss_batch_value_and_gradient", v, at) for at in parts]
    whole = loss(v["w"], v["c"], v["s"], v)
    slopes = jax.grad(loss, (0, 2))(v["w"], v["c"], v["s"], v)
    np.testing.assert_allclose(np.mean([value for value, _ in found]), whole, rtol=1e-11)
    np.testing.assert_allclose(np.mean([g["w"] for _, g in found], 0), slopes[0], rtol=1e-10)
    scattered = np.zeros(N)
    for at, (_, gradient) in zip(parts, found, strict=True):
        scattered[at] = gradient["s"]
    # The share of one example in the sum is estimated as if all were like those of the batch.
    np.testing.assert_allclose(scattered / 3, slopes[1], rtol=1e-10)


def test_a_batch_of_everything_is_exact(tmp_path: Path, level: int) -> None:
    _, program = made(BATCHED, tmp_path, level)
    v = values() | {"step": 1, "steps": 9}
    everything = np.arange(N)
    value, gradient = sliced(program, "loss_batch_value_and_gradient", v, everything)
    np.testing.assert_allclose(value, program.call("loss", v), rtol=1e-12)
    np.testing.assert_allclose(gradient["w"], program.call("loss_gradient", v), rtol=1e-10)
    for entry in (roles(program)[0]["update"][0], roles(program)[0]["step"]):
        found = sliced(program, entry, v, everything)
        update = found if isinstance(found, dict) else found[2]
        X = v["raw"] - v["raw"].mean(0)
        r = X @ v["w"] + v["c"] + v["s"] - v["y"] + 0.1 * v["y"].max() * v["w"][0]
        np.testing.assert_allclose(update["c"], r.mean(), rtol=1e-11)


def test_what_depends_on_data_alone_comes_from_all_of_it(tmp_path: Path, level: int) -> None:
    _, program = made(BATCHED, tmp_path, level)
    v = values()
    at = np.array([7, 2])
    (entry,) = roles(program)[0]["update"]
    X = v["raw"] - v["raw"].mean(0)
    r = X @ v["w"] + v["c"] + v["s"] - v["y"] + 0.1 * v["y"].max() * v["w"][0]
    np.testing.assert_allclose(sliced(program, entry, v, at)["c"], r[at].mean(), rtol=1e-11)


def test_the_rest_of_a_program_keeps_the_size_of_a_batched_dim(tmp_path: Path) -> None:
    _, program = made(BATCHED + "outputs:\n  fit: mean[n](r[n]**2)\n", tmp_path, 2)
    assert "n_batch" not in program.compiled.emitted.text.split("def outputs")[1]
    assert "n_batch" not in program.compiled.emitted.text.split("def loss_gradient")[1].split("\ndef ")[0]


TIMES = """
precision: float64
dims: {n: 6, i: 2, t: 4, k: 3}
data:
  x[n, i]: real
  label[n]: integer
params:
  a[i]: {init: 1}
  h[n, i]: {init: 0}
  T[k, i]: {init: 0}
define:
  s[0, n, i]: h[n, i]
  e[t, n]: sum[i](s[t, n, i]**2)/2 + sum[i](s[t, n, i]*a[i]*x[n, i])
  s[t + 1, n, i]: s[t, n, i] - 0.1*d(e[t, n], s[t, n, i]) + 0.01*T[label[n], i]
  start[i]: cumsum[i](mean[n](x[n, i]))
  pooled[k]: sum[n](delta[label[n], k]*s[-1, n, 0])
objectives:
  loss: sum[n, i](s[-1, n, i]**2*start[i]) + sum[k](pooled[k])
solve:
  minimize: loss
  over: [a, T]
  method: sgd(0.1)
  update: {"h[n, i]": "s[-1, n, i]"}
  batch: {n: 3}
  epochs: 2
"""


def test_recurrences_gathers_and_segments_on_batches(tmp_path: Path, level: int) -> None:
    spec = good(TIMES)
    program = Emission(spec, level, tmp_path / "program.py")
    g = np.random.default_rng(3)
    v = {
        "x": g.normal(size=(6, 2)), "label": np.array([0, 2, 1, 1, 0, 2]), "a": g.normal(size=2),
        "h": g.normal(size=(6, 2)), "T": g.normal(size=(3, 2)),
    }  # fmt: skip

    def reference(a: Any, table: Any, at: Any) -> Any:
        s, x, label = v["h"][at], v["x"][at], v["label"][at]
        for _ in range(3):
            s = s - 0.1 * (s + a * x) + 0.01 * table[label]
        start = jnp.cumsum(v["x"].mean(0))
        share = 6 / len(at)
        return share * (s**2 * start).sum() + share * s[:, 0].sum(), s

    (stage,) = roles(program)
    for at in (np.array([4, 0, 5]), np.arange(6)):
        value, gradient, update = sliced(program, stage["step"], v, at)
        (expected, s), slopes = jax.value_and_grad(reference, (0, 1), has_aux=True)(v["a"], v["T"], at)
        np.testing.assert_allclose(value, expected, rtol=1e-11)
        np.testing.assert_allclose(gradient["a"], slopes[0], rtol=1e-10)
        np.testing.assert_allclose(gradient["T"], slopes[1], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(update["h"], s, rtol=1e-12)
