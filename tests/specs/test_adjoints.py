"""How derivatives go back through recurrences: stored and checkpointed give the same, none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.pipeline import compile_spec

TEXT = """\
precision: float64
dims: {t: 30, i: 4}
data:
  A[i]: real
params:
  w[i]: {init: 0}
  c: {init: 0}
define:
  x[0, i]: w[i]
  v[0, i]: 0
  force[t, i]: -sin(x[t, i]) - c*v[t, i] + 0.1*sample(normal(0, 1))
  x[t + 1, i]: {is: "x[t, i] + 0.1*v[t, i]", adjoint: MODE}
  v[t + 1, i]: v[t, i] + 0.1*force[t, i]*A[i]
objectives:
  loss: sum[i](x[-1, i]**2 + v[-1, i]**2) + READ
solve: {minimize: loss, method: newton}
"""


def by_hand(w: Any, c: Any, A: Any, key: Any, path: bool) -> Any:
    noise = jax.random.fold_in(key, 0)

    def step(state: Any, t: Any) -> Any:
        x, v = state
        force = -jnp.sin(x) - c * v + 0.1 * jax.random.normal(jax.random.fold_in(noise, t), (4,))
        return (x + 0.1 * v, v + 0.1 * force * A), x * v

    (x, v), along = jax.lax.scan(step, (w, jnp.zeros(4)), jnp.arange(29))
    return jnp.sum(x**2 + v**2) + (jnp.sum(along**2) + jnp.sum((x * v) ** 2) if path else 0.0)


@pytest.mark.parametrize(
    ("mode", "read"), [("stored", "0"), ("checkpointed", "0"), ("checkpointed", "sum[t, i]((x[t, i]*v[t, i])**2)")]
)
def test_gradients_and_hessians(tmp_path: Path, mode: str, read: str) -> None:
    spec = good(TEXT.replace("MODE", mode).replace("READ", read))
    with jax.enable_x64(True):
        values: dict[str, Any] = {
            "A": jnp.asarray([0.5, 1.0, -0.3, 2.0]),
            "w": jnp.asarray([0.4, -1.0, 0.3, 0.9]),
            "c": jnp.asarray(0.3),
            "key": jax.random.key(2),
        }
        emission = Emission(spec, 2, tmp_path / "adjoint.py")
        text = emission.compiled.emitted.text
        assert ("def checkpointed(" in text) == (mode == "checkpointed")
        value, gradient = emission.call("loss_value_and_gradient", values)

        def loss(w: Any, c: Any) -> Any:
            return by_hand(w, c, values["A"], values["key"], read != "0")

        point = (values["w"], values["c"])
        np.testing.assert_allclose(value, jax.jit(loss)(*point), rtol=1e-12)
        for name, slope in zip(("w", "c"), jax.jit(jax.grad(loss, (0, 1)))(*point), strict=True):
            np.testing.assert_allclose(gradient[name], slope, rtol=1e-9, atol=1e-12)
        if read != "0":
            return
        hessian = emission.call("loss_hessian", values)
        wanted = jax.jit(jax.hessian(loss, (0, 1)))(*point)
        for k, p in enumerate(("w", "c")):
            for j, q in enumerate(("w", "c")):
                np.testing.assert_allclose(hessian[p][q], wanted[k][j], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("size", [2, 3, 5, 17, 30])
def test_any_number_of_steps_can_be_checkpointed(tmp_path: Path, size: int) -> None:
    text = (
        f"precision: float64\ndims: {{t: {size}}}\nparams:\n  w: {{init: 1}}\ndefine:\n  s[0]: w\n"
        "  s[t + 1]: {is: 'sin(s[t])*w + index(t)', adjoint: checkpointed}\n"
        "objectives:\n  loss: sum[t](s[t]**2)\nsolve: {minimize: loss}\n"
    )

    def loss(w: Any) -> Any:
        states = [w]
        for t in range(size - 1):
            states.append(jnp.sin(states[-1]) * w + t)
        return sum(s**2 for s in states)

    with jax.enable_x64(True):
        emission = Emission(good(text), 2, tmp_path / "sizes.py")
        value, gradient = emission.call("loss_value_and_gradient", {"w": 0.7})
        np.testing.assert_allclose(value, loss(0.7), rtol=1e-12)
        np.testing.assert_allclose(gradient, jax.grad(loss)(0.7), rtol=1e-10)


def test_checkpoints_take_less_memory(tmp_path: Path) -> None:
    """What is kept between the way there and the way back, as JAX counts it."""
    text = TEXT.replace("t: 30, i: 4", "t: 401, i: 1000").replace("READ", "0").replace("newton", "adam(lr=0.1)")
    kept = {}
    with jax.enable_x64(True):
        for mode in ("stored", "checkpointed"):
            emission = Emission(good(text.replace("MODE", mode)), 2, tmp_path / f"{mode}.py")
            f = emission.module.loss_value_and_gradient
            shapes = {"w": (1000,), "c": (), "A": (1000,)}
            given = {k: jax.ShapeDtypeStruct(s, jnp.float64) for k, s in shapes.items()}
            given["key"] = jax.eval_shape(lambda: jax.random.key(0))
            analysis = jax.jit(f).lower(**given).compile().memory_analysis()
            kept[mode] = analysis.temp_size_in_bytes
    state = 2 * 1000 * 8
    assert kept["stored"] > 400 * state
    assert kept["checkpointed"] < 4 * 20 * state


def test_no_derivative_goes_through_none() -> None:
    spec = good(TEXT.replace("MODE", "none").replace("READ", "0"))
    with pytest.raises(SpecError) as caught:
        compile_spec(spec)
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.line if found.span else 0) == ("VS0397", 14)
    assert "'x' and 'v'" in found.message
    # Where nothing asks for one, there is nothing to refuse.
    compile_spec(
        good(
            TEXT.replace("MODE", "none")
            .replace("READ", "0")
            .replace("minimize: loss, method: newton", "evaluate: loss")
        )
    )
    compile_spec(
        good(
            TEXT.replace("MODE", "none")
            .replace("READ", "0")
            .replace("x[-1, i]**2 + v[-1, i]**2", "stop(x[-1, i])**2 + w[i]")
        )
    )
