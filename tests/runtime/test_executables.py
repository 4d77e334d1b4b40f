"""What is compiled is compiled once: between programs, and between the start of a stage and its steps."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from vspec.runtime.executables import Shared, executable
from vspec.runtime.program import Program
from vspec.runtime.run import run
from vspec.runtime.stages.runner import Runner

TEXT = """
vspec: 1
name: shared
precision: float64
dims: {n: 12, i: 3}
data:
  x[n, i]: {draw: "normal(0, 1)", seed: 1}
  y[n]: {draw: "normal(0, 1)", seed: 2}
constants: {rate: 0.1}
params:
  w[i]: {init: 0.5}
  last: {init: 0}
define:
  fit[n]: tanh(sum[i](x[n, i]*w[i]))
objectives:
  loss: mean[n]((y[n] - fit[n])**2)
solve:
  minimize: loss
  over: [w]
  method: adam(rate)
  update: {last: loss}
  batch: {n: 4}
  steps: 30
outputs:
  left: loss
runs:
  same: {}
  other: {constants: {rate: 0.2}}
  squared: {outputs: {left: loss**2}}
"""


def lowered(function: Any, *arguments: Any) -> Any:
    return jax.jit(function, keep_unused=True).lower(*arguments)


def test_the_same_text_is_one_executable_while_it_is_in_use() -> None:
    x = jnp.arange(3.0)
    first = executable(lowered(lambda a: a * 2 + 1, x))
    assert executable(lowered(lambda b: b * 2 + 1, x)) is first
    assert executable(lowered(lambda b: b * 3 + 1, x)) is not first
    assert executable(lowered(lambda b: b * 2 + 1, jnp.arange(4.0))) is not first
    known = id(first)
    del first
    gc.collect()
    again = executable(lowered(lambda a: a * 2 + 1, x))
    np.testing.assert_array_equal(again(x), [1, 3, 5])
    assert known is not None


def test_which_arguments_a_function_reads_is_part_of_its_text() -> None:
    a, b = jnp.asarray(2.0), jnp.asarray(5.0)
    first, second = Shared(lambda x, y: x + 1), Shared(lambda x, y: y + 1)
    assert (float(first(a, b)), float(second(a, b))) == (3.0, 6.0)
    structured = Shared(lambda t: t["x"] - t["y"])
    assert float(structured({"x": a, "y": b})) == -3.0
    assert float(structured({"y": a, "x": b})) == 3.0


def test_functions_of_python_are_not_shared() -> None:
    def back(shift: float) -> Any:
        return lambda x: jax.pure_callback(lambda v: np.asarray(v + shift, v.dtype), x, x)

    x = jnp.asarray(1.0)
    one, ten = executable(lowered(back(1.0), x)), executable(lowered(back(10.0), x))
    assert (float(one(x)), float(ten(x))) == (2.0, 11.0)


def test_what_is_traced_goes_through() -> None:
    square = Shared(lambda x: x * x)
    assert float(jax.grad(square)(3.0)) == 6.0
    np.testing.assert_array_equal(jax.vmap(square)(jnp.arange(3.0)), [0, 1, 4])


def programs(folder: Path) -> dict[str, Program]:
    path = folder / "shared.yaml"
    path.write_text(TEXT)
    return {name: vspec.compile(path, run=name) for name in ("same", "other", "squared")}


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that are compiled from now on."""
    made: list[str] = []
    compile_ = jax.stages.Lowered.compile

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(self.as_text().partition("\n")[0].split()[1])
        return compile_(self, *args, **kwargs)

    monkeypatch.setattr(jax.stages.Lowered, "compile", counted)
    return made


def test_runs_share_what_is_the_same_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = programs(tmp_path)
    run(made["same"])
    counted = compilations(monkeypatch)
    run(made["other"])
    # The rate is an argument.
    assert counted == []
    run(made["squared"])
    assert counted == ["@jit_call"]


def test_the_start_of_a_stage_is_told_by_its_first_step(tmp_path: Path) -> None:
    program = programs(tmp_path)["same"]
    result = run(program)
    (runner,) = (r for r in program.compiled.values() if isinstance(r, Runner))
    assert "tanh" in runner._advance.as_text()
    assert "tanh" not in runner._begin.as_text()
    start = result.metrics[0]
    assert start["step"] == 0
    assert result.stages[0].steps == 30
    # The value of the first batch at the start, and the gradient there.
    rows = _first_batch(program)
    x, y = (np.asarray(result.bound.data[k])[rows] for k in ("x", "y"))

    def loss(w: Any) -> Any:
        return jnp.mean((y - jnp.tanh(x @ w)) ** 2)

    value, slope = jax.value_and_grad(loss)(jnp.full(3, 0.5))
    np.testing.assert_allclose(start["value"], value, rtol=1e-12)
    np.testing.assert_allclose(start["gradient"], np.max(np.abs(slope)), rtol=1e-12)


def _first_batch(program: Program) -> Any:
    from vspec.runtime.keys import SHUFFLES, STAGES, fold, key_of

    key = fold(key_of(0, STAGES, 0), SHUFFLES, 0, jnp.zeros((), jnp.int32))
    return np.asarray(jax.random.permutation(key, 12))[:4]


def test_a_start_that_is_not_finite_ends_the_stage_before_its_first_step(tmp_path: Path) -> None:
    path = tmp_path / "shared.yaml"
    path.write_text(TEXT.replace("init: 0.5", "init: 0").replace("tanh(", "log("))
    with pytest.raises(vspec.NumericsError) as error:
        run(vspec.compile(path, run="same"))
    assert "'loss'" in error.value.message
    assert "at the start" in error.value.message
    assert "log of 0 is -inf" in error.value.message


def test_an_assignment_that_is_not_finite_is_of_the_first_step(tmp_path: Path) -> None:
    path = tmp_path / "shared.yaml"
    path.write_text(TEXT.replace("{last: loss}", "{last: log(-1 - loss)}"))
    with pytest.raises(vspec.NumericsError, match="the update of 'last' gives what is not finite in step 1"):
        run(vspec.compile(path, run="same"))
