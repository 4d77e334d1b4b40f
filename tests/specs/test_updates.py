"""What the update of a recurrence may be made of: a largest entry, projections, sorted values, an equation that is solved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import good
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.pipeline import compile_spec

# Steps to the vertex of least slope, into a ball, into a box, and onto the simplex by sorted values.
PROJECTED = """\
precision: float64
dims: {t: 6, i: 4}
data:
  a[i]: real
params:
  w: {init: 0.3}
define:
  x[0, i]: 0.25
  slope[t, i]: x[t, i] - w*a[i]
  best[t]: argmin[i](slope[t, i])
  x[t + 1, i]: x[t, i] + 2/(index(t) + 2)*0.5*(delta[i, best[t]] - x[t, i])
  y[0, i]: w
  moved[t, i]: y[t, i] + 0.5*(a[i] - w*y[t, i]**2)
  y[t + 1, i]: moved[t, i]/max(1, norm[i](moved[t, i])/1.5)
  v[0, i]: 0.5
  v[t + 1, i]: clip(v[t, i] - 0.4*(v[t, i]*w - a[i]), 0, 1)
  s[0, i]: 0.25
  free[t, i]: s[t, i] + 0.3*w*(a[i] - s[t, i])
  u[t, i]: -sort[i](-free[t, i])
  theta[t]: max[i](where(u[t, i]*(index(i) + 1) > cumsum[i](u[t, i]) - 1, (cumsum[i](u[t, i]) - 1)/(index(i) + 1), -100))
  s[t + 1, i]: max(free[t, i] - theta[t], 0)
objectives:
  loss: sum[i](x[-1, i]**2*a[i] + y[-1, i]**3 + v[-1, i]*y[-1, i] + s[-1, i]**2*w)
solve: {minimize: loss, method: newton}
outputs:
  x[i]: x[-1, i]
  y[i]: y[-1, i]
  v[i]: v[-1, i]
  s[i]: s[-1, i]
"""


def projected(w: Any, a: Any) -> tuple[Any, dict[str, Any]]:
    x, y, v, s = jnp.full(4, 0.25), jnp.full(4, 1.0) * w, jnp.full(4, 0.5), jnp.full(4, 0.25)
    for t in range(5):
        x = x + 2 / (t + 2) * 0.5 * (jax.nn.one_hot(jnp.argmin(x - w * a), 4) - x)
        moved = y + 0.5 * (a - w * y**2)
        y = moved / jnp.maximum(1, jnp.linalg.norm(moved) / 1.5)
        v = jnp.clip(v - 0.4 * (v * w - a), 0, 1)
        free = s + 0.3 * w * (a - s)
        u = -jnp.sort(-free)
        count = jnp.arange(1, 5)
        rho = jnp.sum(u * count > jnp.cumsum(u) - 1)
        s = jnp.maximum(free - (jnp.cumsum(u)[rho - 1] - 1) / rho, 0)
    return jnp.sum(x**2 * a + y**3 + v * y + s**2 * w), {"x": x, "y": y, "v": v, "s": s}


# An implicit step in each inner step, whose equation reads the state of the outer loop, too.
IMPLICIT = """\
precision: float64
dims: {t: 3, k: 4, i: 2}
data:
  a[i]: real
params:
  h: {init: 0.3}
define:
  x[0, i]: a[i]
  y[t, 0, i]: x[t, i]
  y[t, k + 1, i]: root[u[i]](u[i] - y[t, k, i] + h*(u[i]**3 + 0.1*x[t, i]*sum[i](u[i])), method=newton(tol=1e-14))
  x[t + 1, i]: x[t, i] + 0.5*y[t, -1, i]
objectives:
  loss: sum[i](x[-1, i]**2)
solve: {minimize: loss, method: adam(0.1)}
outputs:
  x[i]: x[-1, i]
"""


def implicit(h: Any, a: Any) -> tuple[Any, dict[str, Any]]:
    def outer(x: Any, _: None) -> Any:
        def inner(y: Any, _: None) -> Any:
            def left(u: Any) -> Any:
                return u - y + h * (u**3 + 0.1 * x * jnp.sum(u))

            def newton(u: Any, _: None) -> Any:
                return u - jnp.linalg.solve(jax.jacobian(left)(u), left(u)), None

            return jax.lax.scan(newton, y, length=12)[0], None

        return x + 0.5 * jax.lax.scan(inner, x, length=3)[0], None

    x, _ = jax.lax.scan(outer, a, length=2)
    return jnp.sum(x**2), {"x": x}


@pytest.mark.parametrize(
    ("text", "by_hand", "name", "a"),
    [
        (PROJECTED, projected, "w", [0.4, -0.3, 1.2, 0.1]),
        (IMPLICIT, implicit, "h", [0.9, -0.6]),
    ],
    ids=["projected", "implicit"],
)
@pytest.mark.parametrize("level", [0, 2])
def test_updates(tmp_path: Path, text: str, by_hand: Any, name: str, a: list[float], level: int) -> None:
    spec = good(text)
    with jax.enable_x64(True):
        given: dict[str, Any] = {"a": np.asarray(a), name: np.asarray(0.7)}
        emission = Emission(spec, level, tmp_path / "updates.py")

        def loss(p: Any) -> Any:
            return by_hand(p, given["a"])[0]

        value, gradient = emission.call("loss_value_and_gradient", given)
        np.testing.assert_allclose(value, jax.jit(loss)(given[name]), rtol=1e-10)
        np.testing.assert_allclose(gradient, jax.jit(jax.grad(loss))(given[name]), rtol=1e-9)
        if text is PROJECTED:
            np.testing.assert_allclose(
                emission.call("loss_hessian", given), jax.jit(jax.hessian(loss))(given[name]), rtol=1e-8
            )
        outputs = emission.call("outputs", given)
        graph = emission.compiled.graph
        only = graph.with_entries(tuple(e for e in graph.entries if e.kind == "outputs"))
        interpreted = evaluate_graph(only, given)["outputs"]
        wanted = jax.jit(lambda p: by_hand(p, given["a"])[1])(given[name])
        for output, array in wanted.items():
            np.testing.assert_allclose(outputs[output], array, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(interpreted[output,], array, rtol=1e-9, atol=1e-10)
        if level == 0 and text is PROJECTED:
            meaning = Meaning(spec, given)
            for output in wanted:
                body = spec.outputs[output]
                np.testing.assert_allclose(
                    meaning.array(body.body, body.letters), wanted[output], rtol=1e-10, atol=1e-12
                )


@pytest.mark.parametrize("nested", [True, False])
def test_a_second_derivative_through_steps_that_solve_is_refused(nested: bool) -> None:
    text = IMPLICIT.replace("adam(0.1)", "newton")
    if not nested:
        inner = text[text.index("  y[t, 0, i]") : text.index("objectives:")]
        text = text.replace(inner, "  x[t + 1, i]: root[u[i]](u[i] - x[t, i] + h*u[i]**3)\n")
    with pytest.raises(SpecError) as caught:
        compile_spec(good(text), level=0)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "VS0330"
    assert "the second derivative of a recurrence whose steps solve for" in diagnostic.message
    compile_spec(
        good(
            text.replace("h*u[i]**3)", "h*u[i]**3, gradient=unrolled)").replace(
                "tol=1e-14)", "tol=1e-14), gradient=unrolled"
            )
        ),
        level=0,
    )
