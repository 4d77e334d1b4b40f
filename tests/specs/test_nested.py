"""Recurrences in the steps of recurrences: values and derivatives against plain loops, what is kept, draws, what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import codes, good, recurrence
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.language.spec import Recurrence
from vspec.compiler.pipeline import compile_spec, report

# Relaxation of y in each step of x: a derivative in the inner step, a definition of each loop, a draw for each (t, k).
TEXT = """\
precision: float64
dims: {t: 3, k: 4, i: 3}
data:
  start[i]: real
  A[i]: real
params:
  w[i]: {init: 0.3}
  c: {init: 0.2}
functions:
  energy(y[:], b[:]): sum[i](0.25*y[i]**4 - b[i]*y[i]) + 0.1*(sum[i](y[i]))**2
define:
  x[0, i]: start[i]*c
  drive[t, i]: A[i] + w[i]*sin(x[t, i]) + 0.1*index(t)
  y[t, 0, i]: x[t, i]
  slope[t, k, i]: d(energy(y[t, k, :], drive[t, :]), y[t, k, i])
  y[t, k + 1, i]: {is: "y[t, k, i] - 0.2*slope[t, k, i] + c*0.1*sample(normal(0, 1))", adjoint: INNER}
  x[t + 1, i]: {is: "0.5*x[t, i] + y[t, -1, i]*READ", adjoint: OUTER}
objectives:
  loss: sum[i](x[-1, i]**2)
solve: {minimize: loss, method: newton}
outputs:
  end[i]: x[-1, i]
"""
OUTSIDE = "  xs[t, i]: x[t, i]\n  ys[t, k, i]: y[t, k, i]\n  last[t, i]: y[t, -1, i]\n  slopes[t, k]: sum[i](slope[t, k, i])\n"


def written(inner: str = "stored", outer: str = "stored", read: str = "w[i]", more: str = "") -> str:
    return TEXT.replace("INNER", inner).replace("OUTER", outer).replace("READ", read) + more


def values() -> dict[str, Any]:
    return {
        "start": np.asarray([1.0, -0.5, 2.0]),
        "A": np.asarray([0.5, -0.3, 0.8]),
        "w": np.asarray([0.4, 1.1, -0.7]),
        "c": np.asarray(0.3),
        "key": jax.random.key(5),
    }


def energy(y: Any, b: Any) -> Any:
    return jnp.sum(0.25 * y**4 - b * y) + 0.1 * jnp.sum(y) ** 2


def by_hand(w: Any, c: Any, given: dict[str, Any], whole: bool = False) -> Any:
    """The objective by plain loops, whose second factor in the outer step is w, or the largest |y| of the inner loop."""
    noise = jax.random.fold_in(given["key"], 0)

    def outer(x: Any, t: Any) -> Any:
        drive = given["A"] + w * jnp.sin(x) + 0.1 * t

        def inner(y: Any, k: Any) -> Any:
            draw = jax.random.normal(jax.random.fold_in(jax.random.fold_in(noise, t), k), (3,))
            y = y - 0.2 * jax.grad(energy)(y, drive) + c * 0.1 * draw
            return y, y

        last, path = jax.lax.scan(inner, x, jnp.arange(3))
        return 0.5 * x + last * (jnp.maximum(x, jnp.max(path, 0)) if whole else w), None

    return jnp.sum(jax.lax.scan(outer, given["start"] * c, jnp.arange(2))[0] ** 2)


def close(got: Any, want: Any) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-9, atol=1e-10)


def test_the_inner_recurrence_is_part_of_the_step() -> None:
    outer = recurrence(good(written()), "x")
    drive, inner = outer.inner
    assert drive.name == "drive"  # type: ignore[union-attr]
    assert isinstance(inner, Recurrence)
    assert (outer.letter, inner.letter) == ("t", "k")
    assert [d.name for d in inner.every_definition][-1] == "slope"
    assert outer.loops == (outer, inner)
    assert {"x", "y", "drive", "slope"} <= set(outer.names)


def test_values_along_every_path(tmp_path: Path) -> None:
    spec = good(written(more=OUTSIDE))
    with jax.enable_x64(True):
        given = values()
        wanted = Meaning(spec, given).outputs()
        for level in (0, 2):
            emission = Emission(spec, level, tmp_path / f"nested_{level}.py")
            outputs = emission.call("outputs", given)
            graph = emission.compiled.graph
            only = graph.with_entries(tuple(e for e in graph.entries if e.kind == "outputs"))
            interpreted = evaluate_graph(only, given)["outputs"]
            for name, value in wanted.items():
                close(outputs[name], value)
                close(interpreted[name,], value)
        close(outputs["xs"][1:, :], 0.5 * outputs["xs"][:-1] + outputs["last"][:-1] * given["w"])


@pytest.mark.parametrize(
    ("inner", "outer", "whole", "level"),
    [
        ("stored", "stored", True, 0),
        ("checkpointed", "stored", False, 2),
        ("stored", "checkpointed", True, 2),
    ],
)
def test_derivatives_go_through_both_loops(tmp_path: Path, inner: str, outer: str, whole: bool, level: int) -> None:
    spec = good(written(inner, outer, "max[k](y[t, k, i])" if whole else "w[i]"))
    with jax.enable_x64(True):
        given = values()
        emission = Emission(spec, level, tmp_path / "nested.py")
        assert ("def checkpointed(" in emission.compiled.emitted.text) == ("checkpointed" in (inner, outer))
        loss = partial(by_hand, given=given, whole=whole)
        point = (given["w"], given["c"])
        value, gradient = emission.call("loss_value_and_gradient", given)
        close(value, jax.jit(loss)(*point))
        for name, slope in zip(("w", "c"), jax.jit(jax.grad(loss, (0, 1)))(*point), strict=True):
            close(gradient[name], slope)
        hessian = emission.call("loss_hessian", given)
        wanted = jax.jit(jax.hessian(loss, (0, 1)))(*point)
        for k, p in enumerate(("w", "c")):
            for j, q in enumerate(("w", "c")):
                close(hessian[p][q], wanted[k][j])


def test_only_what_is_read_is_kept(tmp_path: Path) -> None:
    text = compile_spec(good(written()), level=2).emitted.text
    outputs = text[text.index("def outputs") :]
    assert outputs.count("jax.lax.scan") == 2
    assert "stack" not in outputs
    text = compile_spec(good(written(read="max[k](y[t, k, i])")), level=2).emitted.text
    outputs = text[text.index("def outputs") :]
    assert outputs.count("jax.lax.scan") == 2
    assert "y_stack" in outputs
    assert "x_stack" not in outputs


def test_what_the_derivative_keeps_is_reported() -> None:
    """Two numbers for each i in the inner steps, three in the outer ones."""
    compiled = compile_spec(good(written("stored", "stored").replace("newton", "adam(0.1)")), level=2)
    (record,) = report(compiled)["recurrences"]
    assert (record["states"], record["order"]) == (["x"], 1)
    assert record["formula"] == "size(i)*(size(t) - 1)*(16*(size(k) - 1) + 24)"
    assert record["bytes"] == 3 * 2 * (16 * 3 + 24)


def test_draws_differ_for_every_pair_of_times(tmp_path: Path) -> None:
    text = (
        "precision: float64\ndims: {t: 6, k: 7}\ndefine:\n  x[0]: 0\n  z[t, k]: sample(normal(0, 1))\n"
        "  y[t, 0]: x[t] + 100*sample(uniform(0, 1))\n  y[t, k + 1]: y[t, k] + z[t, k]\n  x[t + 1]: y[t, -1]\n"
        "outputs:\n  xs[t]: x[t]\n  ys[t, k]: y[t, k]\n  zs[t, k]: z[t, k]\n"
    )
    spec = good(text)
    with jax.enable_x64(True):
        given = {"key": jax.random.key(1)}
        found = {n: np.asarray(v) for n, v in Emission(spec, 2, tmp_path / "draws.py").call("outputs", given).items()}
    # z is read in the steps and along the whole path, with the same values.
    close(np.diff(found["ys"], axis=1), found["zs"][:, :-1])
    close(found["xs"][1:], found["ys"][:-1, -1])
    jumps = found["ys"][:, 0] - found["xs"]
    assert len(set(np.round(found["zs"].ravel(), 9))) == 42
    assert len(set(np.round(jumps, 9))) == 6


UNTIL = """\
precision: float64
dims: {t: 4, k: 6, n: 3}
data:
  target[n]: real
params:
  w: {init: 0.3}
define:
  x[0, n]: 1 + w
  level[t, n]: target[n]*(1 + index(t))
  y[t, 0, n]: x[t, n]
  gap[t, k, n]: y[t, k, n]**2 - level[t, n]
  y[t, k + 1, n]: {is: "y[t, k, n] - gap[t, k, n]/(2*y[t, k, n])", until: INNER}
  x[t + 1, n]: {is: "y[t, -1, n]", until: "level[t, n] > 6"}
objectives:
  loss: sum[n](x[-1, n]**3)
solve: {minimize: loss, method: newton}
outputs:
  end[n]: x[-1, n]
"""
ALONG = "  ys[t, k, n]: y[t, k, n]\n  xs[t, n]: x[t, n]\n"


@pytest.mark.parametrize(
    ("inner", "level"), [('"abs(gap[t, k, n]) < 0.1"', 2), ('"max[n](abs(gap[t, k, n])) < 0.1"', 0)]
)
def test_both_loops_may_stop(tmp_path: Path, inner: str, level: int) -> None:
    spec = good(UNTIL.replace("INNER", inner) + ALONG)
    with jax.enable_x64(True):
        given = {"target": np.asarray([2.0, 0.3, 5.0]), "w": np.asarray(0.4)}
        emission = Emission(spec, level, tmp_path / "until.py")
        outputs = emission.call("outputs", given)
        stated = Meaning(spec, given).outputs()
        for name, meant in stated.items():
            close(outputs[name], meant)

        def loss(w: Any) -> Any:
            x, ended = jnp.ones(3) * (1 + w), jnp.zeros(3, bool)
            for t in range(3):
                y, stopped = x, jnp.zeros(3, bool)
                goal = given["target"] * (1 + t)
                for _ in range(5):
                    gap = y**2 - goal
                    stopped = stopped | (jnp.max(jnp.abs(gap)) < 0.1 if "max" in inner else jnp.abs(gap) < 0.1)
                    y = jnp.where(stopped, y, y - gap / (2 * y))
                ended = ended | (goal > 6)
                x = jnp.where(ended, x, y)
            return jnp.sum(x**3)

        value, gradient = emission.call("loss_value_and_gradient", given)
        close(value, loss(given["w"]))
        close(gradient, jax.jit(jax.grad(loss))(given["w"]))
        close(emission.call("loss_hessian", given), jax.jit(jax.hessian(loss))(given["w"]))


def test_a_loop_that_stops_is_a_while_loop_in_the_step() -> None:
    text = compile_spec(good(UNTIL.replace("INNER", '"abs(gap[t, k, n]) < 0.1"')), level=2).emitted.text
    outputs = text[text.index("def outputs") :]
    assert outputs.count("jax.lax.while_loop") == 2
    gradient = text[text.index("    def x_of(") : text.index("x_pull = jax.vjp(")]
    assert "while_loop" not in gradient
    assert gradient.count("jax.lax.scan") == 2


SINKHORN = """\
precision: float64
dims: {t: 4, k: 6, 'n, m': 3}
data:
  a[n]: real
  b[m]: real
  C[n, m]: real
params:
  w: {init: 0.3}
define:
  z[0, n]: a[n]
  cost[t, n, m]: C[n, m] + w*abs(z[t, n] - b[m])
  u[t, 0, n]: 0
  v[t, 0, m]: 0
  u[t, k + 1, n]: log(a[n]) - logsumexp[m](v[t, k, m] - cost[t, n, m])
  v[t, k + 1, m]: log(b[m]) - logsumexp[n](log(a[n]) - logsumexp[m](v[t, k, m] - cost[t, n, m]) - cost[t, n, m])
  plan[t, n, m]: exp(u[t, -1, n] + v[t, -1, m] - cost[t, n, m])
  z[t + 1, n]: 0.5*z[t, n] + sum[m](plan[t, n, m]*b[m])
objectives:
  loss: sum[n](z[-1, n]**2) + sum[t, n, m](plan[t, n, m]*cost[t, n, m])
solve: {minimize: loss, method: newton}
outputs:
  plans[t, n, m]: plan[t, n, m]
  u[n]: u[2, -1, n]
"""


def test_a_sinkhorn_loop_in_each_step(tmp_path: Path) -> None:
    spec = good(SINKHORN)
    with jax.enable_x64(True):
        given = {
            "a": np.asarray([0.2, 0.5, 0.3]), "b": np.asarray([0.4, 0.25, 0.35]),
            "C": np.asarray([[0.1, 1.0, 0.3], [0.8, 0.2, 0.5], [0.4, 0.6, 0.1]]), "w": np.asarray(0.7),
        }  # fmt: skip
        a, b, C = (jnp.asarray(given[x]) for x in "abC")

        def by_loops(w: Any) -> Any:
            def outer(z: Any, _: None) -> Any:
                cost = C + w * jnp.abs(z[:, None] - b)

                def inner(uv: Any, _: None) -> Any:
                    u = jnp.log(a) - jax.nn.logsumexp(uv[1] - cost, 1)
                    return (u, jnp.log(b) - jax.nn.logsumexp(u[:, None] - cost, 0)), None

                (u, v), _ = jax.lax.scan(inner, (jnp.zeros(3), jnp.zeros(3)), length=5)
                plan = jnp.exp(u[:, None] + v - cost)
                return 0.5 * z + plan @ b, (z, plan, jnp.sum(plan * cost))

            zs, plans, costs = jax.lax.scan(outer, a, length=4)[1]
            return jnp.sum(zs[-1] ** 2) + jnp.sum(costs), plans

        emission = Emission(spec, 2, tmp_path / "sinkhorn.py")
        w = given["w"]
        close(emission.call("outputs", given)["plans"], by_loops(w)[1])
        value, gradient = emission.call("loss_value_and_gradient", given)
        loss = jax.jit(lambda w: by_loops(w)[0])
        close(value, loss(w))
        close(gradient, jax.jit(jax.grad(loss))(w))
        close(emission.call("loss_hessian", given), jax.jit(jax.hessian(loss))(w))


DEEP = """\
precision: float64
dims: {t: 4, k: 3, m: 4}
params:
  w: {init: 0.3}
define:
  x[0]: w
  y[t, 0]: x[t]
  z[t, k, 0]: y[t, k]*w
  inside[t, k, m]: sin(z[t, k, m]) + 0.1*index(k)
  z[t, k, m + 1]: z[t, k, m] + 0.3*inside[t, k, m]*x[t]
  y[t, k + 1]: y[t, k] + 0.2*z[t, k, -1]
  x[t + 1]: 0.5*y[t, -1] + 0.1*sum[k](z[t, k, -1]) + 0.01*sum[k, m](inside[t, k, m]) + 0.1*d(y[t, -1]**2, x[t])
objectives:
  loss: x[-1]**2
solve: {minimize: loss, method: newton}
outputs:
  ys[t, k]: y[t, k]
  zs[t, k, m]: z[t, k, m]
  ends[t, k]: z[t, k, -1]
  insides[t, k, m]: inside[t, k, m]
"""


def inner_loops(x: Any, w: Any) -> tuple[Any, Any, Any, Any]:
    """The two inner loops of one step over t: y, the ends of z for each k, and the sum of `inside`."""
    y, ends, total = x, [], 0.0
    ys = []
    for k in range(3):
        z, ys = y * w, [*ys, y]
        for m in range(4):
            inside = jnp.sin(z) + 0.1 * k
            total = total + inside
            z = z + 0.3 * inside * x if m < 3 else z
        ends.append(z)
        y = y + 0.2 * z
    return ys[-1], jnp.stack(ends), total, jnp.stack(ys)


@pytest.mark.parametrize("level", [0, 2])
def test_three_levels_and_a_derivative_of_the_inner_loops_in_the_step(tmp_path: Path, level: int) -> None:
    spec = good(DEEP)
    with jax.enable_x64(True):

        def xs(w: Any) -> list[Any]:
            found = [w]
            for _ in range(3):
                x = found[-1]
                y, ends, total, _ = inner_loops(x, w)
                slope = jax.grad(lambda x: inner_loops(x, w)[0] ** 2)(x)
                found.append(0.5 * y + 0.1 * jnp.sum(ends) + 0.01 * total + 0.1 * slope)
            return found

        def loss(w: Any) -> Any:
            return xs(w)[-1] ** 2

        w = jnp.asarray(0.8)
        emission = Emission(spec, level, tmp_path / "deep.py")
        value, gradient = emission.call("loss_value_and_gradient", {"w": w})
        close(value, loss(w))
        close(gradient, jax.jit(jax.grad(loss))(w))
        close(emission.call("loss_hessian", {"w": w}), jax.jit(jax.hessian(loss))(w))
        outputs = emission.call("outputs", {"w": w})
        close(outputs["ys"], jnp.stack([inner_loops(x, w)[3] for x in xs(w)]))
        close(outputs["ends"], jnp.stack([inner_loops(x, w)[1] for x in xs(w)]))
        close(outputs["zs"][..., -1], outputs["ends"])
        close(
            outputs["zs"][..., 1:],
            (outputs["zs"] + 0.3 * outputs["insides"] * jnp.stack(xs(w))[:, None, None])[..., :-1],
        )


def test_a_loop_without_an_adjoint_in_the_step_is_refused_where_a_derivative_goes_through_it() -> None:
    with pytest.raises(SpecError) as caught:
        compile_spec(good(written("none", "stored")), level=0)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "VS0397"
    assert "the steps of 'y'" in diagnostic.message
    compile_spec(good(written("none", "stored", "stop(y[t, -1, i])").replace("y[t, -1, i]*stop", "stop")), level=0)


def test_integers_and_complex_numbers(tmp_path: Path) -> None:
    text = (
        "precision: float64\ndims: {t: 4, k: 3, i: 2}\nconstants: {zero: 0}\ndata:\n  p[i]: complex\ndefine:\n"
        "  n[0]: zero\n  c[t, 0]: n[t]\n  c[t, k + 1]: c[t, k] + 1 + k0[t]\n  k0[t]: n[t]\n  n[t + 1]: c[t, -1]\n"
        "  q[0, i]: p[i]\n  r[t, 0, i]: q[t, i]\n  r[t, k + 1, i]: r[t, k, i]*p[i] + 0.1\n  q[t + 1, i]: r[t, -1, i] - q[t, i]\n"
        "outputs:\n  n: n[-1]\n  q[i]: re(q[-1, i])\n  r[t, k, i]: im(r[t, k, i])\n"
    )
    spec = good(text)
    assert [s.dtype for s in recurrence(spec, "n").every_state] == ["integer", "integer"]
    with jax.enable_x64(True):
        given = {"p": np.asarray([0.3 + 0.5j, 1.1 - 0.4j]), "zero": np.asarray(0)}
        found = Emission(spec, 2, tmp_path / "types.py").call("outputs", given)
        stated = Meaning(spec, given).outputs()
        for name, meant in stated.items():
            close(found[name], meant)
    n = 0
    for _ in range(3):
        n = n + 2 * (1 + n)
    assert int(found["n"]) == n


HEAD = "dims: {t: 5, k: 4, u: 3}\ndefine:\n  x[0]: 1\n"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        # The step knows x at t only, the inner loop included.
        ("  y[t, 0]: x[t + 1]\n  y[t, k + 1]: y[t, k]\n  x[t + 1]: y[t, -1]\n", "VS0207"),
        ("  y[t, 0]: x[t]\n  y[t, k + 1]: y[t, k] + x[0]\n  x[t + 1]: y[t, -1]\n", "VS0309"),
        ("  y[t, 0]: x[t]\n  y[t, k + 1]: y[t, k]\n  x[t + 1]: y[0, -1]\n", "VS0309"),
        ("  y[t, 0]: x[t]\n  y[t, k + 1]: y[t, 0]\n  x[t + 1]: y[t, -1]\n", "VS0309"),
        # The inner loop is one for each t.
        ("  y[0]: 1\n  y[k + 1]: y[k] + x[-1]\n  x[t + 1]: y[-1]\n", "VS0310"),
        ("  y[t, 0]: x[t]\n  y[t, k + 1]: y[t, k] + s[k]\n  s[k]: sum[t](y[t, k])\n  x[t + 1]: y[t, -1]\n", "VS0309"),
        ("  y[t, 0]: x[t]\n  y[t, k + 1]: y[t, k] + s[t]\n  s[t]: y[t, -1]\n  x[t + 1]: y[t, -1]\n", "VS0309"),
        ("  y[t, 0]: y[t, -1]\n  y[t, k + 1]: y[t, k]\n  x[t + 1]: y[t, -1]\n", "VS0309"),
        # What stands between the loops does not go in a circle.
        ("  y[t, 0]: x[t]\n  y[t, k + 1]: y[t, k] + a[t]\n  a[t]: b[t]\n  b[t]: a[t]\n  x[t + 1]: y[t, -1]\n", "VS0223"),
        # The condition of the inner loop has indices that its states have.
        ("  y[t, 0]: x[t]\n  y[t, k + 1]: {is: 'y[t, k]/2', until: 'index(u) > y[t, k]'}\n  x[t + 1]: y[t, -1]\n", "VS0203"),
    ],
)  # fmt: skip
def test_refused(lines: str, code: str) -> None:
    assert code in codes(HEAD + lines)


def test_two_recurrences_over_each_others_index(tmp_path: Path) -> None:
    """Both states have both indices: the one at whose current value all is read is the outer one."""
    text = (
        "precision: float64\ndims: {t: 4, k: 5}\ndefine:\n"
        "  y[t, 0]: 1\n  y[t, k + 1]: 0.5*y[t, k] + x[t, k]\n"
        "  x[0, k]: index(k)\n  x[t + 1, k]: y[t, k] - mean[k](y[t, k])\noutputs:\n  x[k]: x[-1, k]\n"
    )
    spec = good(text)
    assert recurrence(spec, "x").letter == "t"
    with jax.enable_x64(True):
        x = np.arange(5.0)
        for _ in range(3):
            y = [1.0]
            for k in range(4):
                y.append(0.5 * y[-1] + x[k])
            x = np.asarray(y) - np.mean(y)
        close(Emission(spec, 2, tmp_path / "both.py").call("outputs", {})["x"], x)
