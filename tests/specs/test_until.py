"""Recurrences that stop early: what the states are then, for values and derivatives, as loops that end and as loops that wait."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import codes, good
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission

TEXT = """\
precision: float64
dims: {t: 9, n: 4, i: 3}
data:
  target[n]: real
  A[i]: real
params:
  w: {init: 0.3}
define:
  x[0, n]: 1
  gap[t, n]: x[t, n]**2 - target[n]*(1 + w)
  x[t + 1, n]: {is: "x[t, n] - gap[t, n]/(2*x[t, n])", until: "abs(gap[t, n]) < 0.1"}
  y[0, i]: 1
  g[t, i]: 2*(y[t, i] - w*A[i])
  done[t]: sum[i](g[t, i]**2) < 2
  y[t + 1, i]: {is: "y[t, i] - 0.1*g[t, i]", until: "done[t]"}
  k[0]: 0
  k[t + 1]: {is: "k[t] + 1", until: "done[t]"}
  z[0, i]: 0
  z[t + 1, i]: {is: "z[t, i] + w*A[i]*sample(normal(1, 0.1))", until: "sample(uniform(0, 1)) < 0.05 or index(t) == 5"}
  waits[t, i]: z[t, i]*index(t)
  v[0, i]: 0
  v[t + 1, i]: v[t, i] + z[t, i]*y[t, i]
objectives:
  loss: sum[n](x[-1, n]) + sum[i](y[-1, i]**2) + sum[i](z[-1, i]**2*v[-1, i])
solve: {minimize: loss, method: newton}
outputs:
"""
ENDS = "  x[n]: x[-1, n]\n  y[i]: y[-1, i]\n  z[i]: z[-1, i]\n  k: k[-1]\n"
PATHS = (
    "  x[n, t]: x[t, n]\n  y[i]: y[-1, i]\n  ys[t, i]: y[t, i]\n  z[t, i]: z[t, i]\n  k[t]: k[t]\n"
    "  w[t, i]: waits[t, i]\n  v[t, i]: v[t, i]\n"
)


def values() -> dict[str, Any]:
    return {
        "target": np.asarray([1.0, 2.0, 30.0, 0.5]),
        "A": np.asarray([0.5, -0.3, 2.0]),
        "w": np.asarray(0.4),
        "key": jax.random.key(3),
    }


def close(got: Any, want: Any) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("read", "level"), [(ENDS, 2), (PATHS, 0), (PATHS, 2)])
def test_states_keep_their_values_once_the_condition_holds(tmp_path: Path, read: str, level: int) -> None:
    spec = good(TEXT + read)
    with jax.enable_x64(True):
        given = values()
        emission = Emission(spec, level, tmp_path / "until.py")
        meaning = Meaning(spec, given)
        stated = meaning.outputs()
        outputs = emission.call("outputs", given)
        for name, meant in stated.items():
            close(outputs[name], meant)
        close(emission.call("loss", given), meaning.name("loss"))
        text = emission.compiled.emitted.text
        assert ("jax.lax.while_loop" in text[text.index("def outputs") :]) == (read == ENDS)
        graph = emission.compiled.graph
        only = graph.with_entries(tuple(e for e in graph.entries if e.kind == "outputs"))
        for path, array in evaluate_graph(only, given)["outputs"].items():
            close(outputs[path[0]], array)


def by_hand(w: Any, given: dict[str, Any]) -> Any:
    """The objective, with the loops written out: a state is kept from the first step at which its condition holds."""
    x, y, z, v = jnp.ones(4), jnp.ones(3), jnp.zeros(3), jnp.zeros(3)
    x_ended, y_ended, z_ended = jnp.zeros(4, bool), jnp.asarray(False), jnp.zeros(3, bool)
    normal, uniform = (jax.random.fold_in(given["key"], k) for k in (0, 1))
    for t in range(8):
        gap = x**2 - given["target"] * (1 + w)
        g = 2 * (y - w * given["A"])
        x_ended = x_ended | (jnp.abs(gap) < 0.1)
        y_ended = y_ended | (jnp.sum(g**2) < 2)
        z_ended = z_ended | (jax.random.uniform(jax.random.fold_in(uniform, t), (3,)) < 0.05) | (t == 5)
        noise = 1 + 0.1 * jax.random.normal(jax.random.fold_in(normal, t), (3,))
        v = v + z * y
        x = jnp.where(x_ended, x, x - gap / (2 * x))
        y = jnp.where(y_ended, y, y - 0.1 * g)
        z = jnp.where(z_ended, z, z + w * given["A"] * noise)
    return jnp.sum(x) + jnp.sum(y**2) + jnp.sum(z**2 * v)


@pytest.mark.parametrize("level", [0, 2])
def test_derivatives_go_through_the_steps_that_were_taken(tmp_path: Path, level: int) -> None:
    spec = good(TEXT + ENDS)
    with jax.enable_x64(True):
        given = values()
        emission = Emission(spec, level, tmp_path / "until.py")
        loss = partial(by_hand, given=given)
        value, gradient = emission.call("loss_value_and_gradient", given)
        close(value, loss(given["w"]))
        close(gradient, jax.jit(jax.grad(loss))(given["w"]))
        close(emission.call("loss_hessian", given), jax.jit(jax.hessian(loss))(given["w"]))


def test_the_loop_ends_where_the_condition_holds(tmp_path: Path) -> None:
    """Not after all steps: a million of them would take long."""
    text = (
        "precision: float64\ndims: {t: 1000000001}\ndefine:\n  x[0]: 3\n"
        "  x[t + 1]: {is: '(x[t] + 2/x[t])/2', until: 'abs(x[t]**2 - 2) < 1e-14'}\noutputs:\n  found: x[-1]\n"
    )
    with jax.enable_x64(True):
        found = Emission(good(text), 2, tmp_path / "long.py").call("outputs", {})
        close(found["found"], np.sqrt(2.0))


def test_the_number_of_steps_is_counted(tmp_path: Path) -> None:
    spec = good(TEXT + ENDS)
    with jax.enable_x64(True):
        given = values()
        found = Emission(spec, 2, tmp_path / "counted.py").call("outputs", given)
    y, steps = np.ones(3), 0
    while steps < 8 and np.sum((2 * (y - 0.4 * given["A"])) ** 2) >= 2:
        y, steps = y - 0.1 * 2 * (y - 0.4 * given["A"]), steps + 1
    assert 3 < steps < 8
    assert int(found["k"]) == steps
    close(found["y"], y)


def test_mistakes() -> None:
    head = "dims: {t: 9, i: 2}\ndefine:\n  s[0, i]: 1\n"
    assert codes(head + "  s[t + 1, i]: {is: 's[t, i]/2', until: 's[t, i]'}\n") == ["VS0301"]
    both = "  s[t + 1, i]: {is: 's[t, i] + u[t]', until: 's[t, 0] < 1'}\n  u[0]: 1\n"
    assert codes(head + both + "  u[t + 1]: {is: 's[t, 0]', until: 'u[t] < 1'}\n") == ["VS0395"]
    assert codes(head + both.replace("s[t, 0] <", "s[t, i] <") + "  u[t + 1]: s[t, 0]\n") == ["VS0395"]
    assert codes(head + both.replace("s[t, 0] <", "s[t + 1, 0] <") + "  u[t + 1]: s[t, 0]\n") == ["VS0309"]
    assert codes(head + "  s[t + 1, i]: s[t, i]\n  a[i]: {is: 's[-1, i]', until: 's[-1, i] < 1'}\n") == ["VS0395"]
    assert codes(head.replace("1\n", "{is: 1, until: '1 < 2'}\n") + "  s[t + 1, i]: s[t, i]\n") == ["VS0395"]
