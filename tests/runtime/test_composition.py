"""Entries of built programs inside of JAX's transformations, of optimisers and of pipelines: shipped specs and small ones."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import Array, export
from jax.sharding import Mesh, PartitionSpec

import vspec
from vspec.runtime.bound import Bound
from vspec.runtime.program import Program

COMPILE_QUICKLY = True  # see conftest.py

SPECS = Path(__file__).parents[2] / "specs" / "problems"
EXAMPLE = Path(__file__).parents[2] / "examples" / "standalone" / "logistic.yaml"

BALANCE = """\
vspec: 1
name: balance
doc: An implicit quantity for each row.
precision: float64
dims: {n: 6}
data:
  a[n]: {draw: "uniform(1, 2)", seed: 1}
params:
  b: {init: 1}
define:
  y[n]: root[s[n]](s[n]**3 + s[n] - a[n]*b, start=0)
objectives:
  loss: mean[n]((y[n] - 1)**2)
solve: {minimize: loss, method: newton}
"""

NOISY = """\
vspec: 1
name: noisy
doc: Draws in the objective.
precision: float64
dims: {n: 8, i: 3}
data:
  X[n, i]: {draw: "normal(0, 1)", seed: 1}
params:
  w[i]: {init: "0.1*(index(i) + 1)"}
define:
  e[n]: sample(normal(0, 1))
objectives:
  loss: mean[n]((sum[i](X[n, i]*w[i]) + 0.1*e[n] - 1)**2)
solve: {minimize: loss, method: adam(0.1), steps: 5}
"""

Value = Callable[[Mapping[str, Array]], Array]


@cache
def logistic() -> tuple[Program, Bound, str]:
    rng = np.random.default_rng(0)
    program = vspec.compile(SPECS / "logistic.yaml")
    return program, program.bind({"raw": rng.normal(size=(20, 3)), "label": rng.integers(0, 2, 20)}), "loss"


@cache
def chwirut() -> tuple[Program, Bound, str]:
    program = vspec.compile(SPECS / "nonlinear-least-squares" / "chwirut2.yaml")
    return program, program.bind(), "squares"


@cache
def ring() -> tuple[Program, Bound, str]:
    program = vspec.compile(SPECS / "flux-ring.yaml")
    return program, program.bind(), "ground"


@cache
def control() -> tuple[Program, Bound, str]:
    program = vspec.compile(SPECS / "optimal-control.yaml", overrides={"t": 12})
    return program, program.bind(), "cost"


@cache
def processes() -> tuple[Program, Bound, str]:
    program = vspec.compile(SPECS / "gp-regression.yaml", overrides={"n": 12, "q": 3, "i": 4})
    rng = np.random.default_rng(0)
    shapes = {"X": (12, 4), "raw": (12,), "Xq": (3, 4), "rawq": (3,)}
    return program, program.bind({k: rng.normal(size=s) for k, s in shapes.items()}), "evidence"


def _text(text: str) -> Program:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(text)
        return vspec.compile(path)


@cache
def balance() -> tuple[Program, Bound, str]:
    program = _text(BALANCE)
    return program, program.bind(), "loss"


@cache
def noisy() -> tuple[Program, Bound, str]:
    program = _text(NOISY)
    return program, program.bind(), "loss"


CASES = [logistic, chwirut, ring, control, processes, balance, noisy]
REAL = [case for case in CASES if case is not ring]
every = pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
real = pytest.mark.parametrize("case", REAL, ids=lambda c: c.__name__)


@pytest.fixture(autouse=True)
def _wide() -> Any:
    """All of these programs are of precision float64."""
    with jax.enable_x64(True):
        yield


def parts(case: Callable[[], tuple[Program, Bound, str]]) -> tuple[Value, Value, dict[str, Array]]:
    """The objective with the program's gradient, the same with JAX's, and where to look."""
    program, bound, name = case()
    own = program.objective(name)
    start = program.initial_params(bound)
    rng = np.random.default_rng(1)
    point = {k: x * (1 + 0.1 * rng.uniform(size=x.shape)) + 0.01 for k, x in start.items()}
    return lambda p: own(p, bound), lambda p: program.call(name, p, bound), point


def close(a: Any, b: Any, rtol: float = 1e-8) -> None:
    """Trees that are equal up to rounding."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        scale = float(jnp.max(jnp.abs(y), initial=1.0))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-9 * scale)


@every
def test_value_and_gradient_under_jit(case: Any) -> None:
    own, plain, point = parts(case)
    value, gradient = jax.jit(jax.value_and_grad(own))(point)
    close((value, gradient), jax.value_and_grad(plain)(point))
    close(value, plain(point))


@every
def test_entries_over_several_params_at_once(case: Any) -> None:
    own, _, point = parts(case)
    several = {k: jnp.stack([x, x * 1.05, x * 0.95]) for k, x in point.items()}
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(own)))(several)
    for k in range(3):
        one = jax.value_and_grad(own)({name: x[k] for name, x in several.items()})
        close((values[k], {name: g[k] for name, g in gradients.items()}), one)


@pytest.mark.parametrize("case", [logistic, chwirut, control, balance, noisy], ids=lambda c: c.__name__)
def test_second_derivatives_go_through_the_programs_gradient(case: Any) -> None:
    own, plain, point = parts(case)
    direction = {k: jnp.ones_like(x) for k, x in point.items()}
    if case is balance:  # a search has a derivative by the theorem, in reverse only
        reverse = lambda f: jax.grad(lambda p: sum(jnp.sum(g * direction[k]) for k, g in jax.grad(f)(p).items()))  # noqa: E731
        close(reverse(own)(point), reverse(plain)(point), rtol=1e-6)
        return
    _, product = jax.jvp(jax.grad(own), (point,), (direction,))
    _, expected = jax.jvp(jax.grad(plain), (point,), (direction,))
    close(product, expected, rtol=1e-6)


@real
def test_an_optimiser_of_optax(case: Any) -> None:
    own, plain, point = parts(case)
    sign = -1.0 if case is processes else 1.0  # an evidence is made large
    how = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))

    def step(carry: Any, _: None) -> Any:
        params, state = carry
        value, gradient = jax.value_and_grad(lambda p: sign * own(p))(params)
        updates, state = how.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    (end, _), values = jax.jit(lambda p: jax.lax.scan(step, (p, how.init(p)), None, length=25))(point)
    assert float(values[-1]) < float(values[0])
    assert float(sign * plain(end)) < float(values[0])


def test_several_data_sets_at_once() -> None:
    """What is prepared of the data is part of the function; so a bootstrap is one vmap."""
    program, bound, name = logistic()
    point = {"w": jnp.asarray([0.1, -0.2, 0.3]), "c": jnp.asarray(0.1)}

    def fit(rows: Array) -> tuple[Array, Any]:
        data = {k: x[rows] for k, x in bound.data.items()}
        made = replace(bound, data=data)
        made = replace(made, prepared=program.call("prepare", {}, made))
        return jax.value_and_grad(program.objective(name))(point, made)

    rows = jnp.asarray(np.random.default_rng(2).integers(0, 20, size=(4, 20)))
    values, gradients = jax.jit(jax.vmap(fit))(rows)
    for k in range(4):
        close((values[k], {n: g[k] for n, g in gradients.items()}), fit(rows[k]))


def test_derivatives_by_data_and_constants() -> None:
    program, bound, name = logistic()
    own, point = program.objective(name), {"w": jnp.asarray([0.1, -0.2, 0.3]), "c": jnp.asarray(0.1)}
    by_weight = jax.grad(lambda lam: own(point, replace(bound, constants={**bound.constants, "lam": lam})))
    close(by_weight(jnp.asarray(2.0)), 0.5 * jnp.sum(point["w"] ** 2))

    def of(raw: Array) -> Array:
        made = replace(bound, data={**bound.data, "raw": raw})
        return own(point, replace(made, prepared=program.call("prepare", {}, made)))

    raw = bound.data["raw"]
    by_data, small = jax.grad(of)(raw), 1e-6
    moved = (of(raw.at[3, 1].add(small)) - of(raw.at[3, 1].add(-small))) / (2 * small)
    assert float(by_data[3, 1]) == pytest.approx(float(moved), rel=1e-5)


def test_draws_follow_the_key() -> None:
    program, bound, name = noisy()
    own, point = program.objective(name), program.initial_params(bound)
    keys = jax.random.split(jax.random.key(3), 50)
    values = jax.vmap(lambda key: own(point, replace(bound, key=key)))(keys)
    assert len(np.unique(np.asarray(values))) == 50
    close(values[7], own(point, replace(bound, key=keys[7])))
    mean = jax.grad(lambda p: jnp.mean(jax.vmap(lambda key: own(p, replace(bound, key=key)))(keys)))(point)
    assert np.all(np.isfinite(mean["w"]))


@pytest.mark.parametrize("case", [chwirut, ring, balance, noisy], ids=lambda c: c.__name__)
def test_a_composed_function_is_exported(case: Any) -> None:
    own, _, point = parts(case)

    def step(params: Mapping[str, Array]) -> tuple[Array, Any]:
        value, gradient = jax.value_and_grad(own)(params)
        return value, {k: x - 1e-3 * jnp.conj(gradient[k]) for k, x in params.items()}

    content = export.export(jax.jit(step))(point).serialize()
    again = export.deserialize(content)
    close(again.call(point), step(point))


def test_a_composed_function_is_exported_for_any_sizes() -> None:
    """The functions of `program.py` take arrays alone, whose sizes may stay symbols."""
    program = vspec.compile(EXAMPLE)

    def fit(raw: Array, label: Array, w: Array, c: Array) -> Any:
        made = program.entries["prepare"].function(raw, label)
        value, gradient = program.loss_value_and_gradient(w, c, made["y"], made["X"], 0.1)
        return value, w - 0.5 * gradient["w"]

    n, i = export.symbolic_shape("n, i")
    shapes = [((n, i), "float32"), ((n,), "int32"), ((i,), "float32"), ((), "float32")]
    arguments = [jax.ShapeDtypeStruct(shape, jnp.dtype(kind)) for shape, kind in shapes]  # type: ignore[no-untyped-call]
    exported = export.deserialize(export.export(jax.jit(fit), platforms=("cpu", "cuda"))(*arguments).serialize())
    rng = np.random.default_rng(0)
    for rows, features in ((10, 2), (30, 5)):
        raw = jnp.asarray(rng.normal(size=(rows, features)), jnp.float32)
        label = jnp.asarray(rng.integers(0, 2, rows), jnp.int32)
        given = (raw, label, jnp.full(features, 0.1, jnp.float32), jnp.float32(0.2))
        for x, y in zip(exported.call(*given), fit(*given), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_entries_inside_of_shard_map() -> None:
    """On the one device of this process; `test_sharding.py` has eight."""
    program, bound, _ = chwirut()
    mesh = Mesh(np.asarray(jax.devices()[:1]), ("data",))
    rows, whole = PartitionSpec("data"), PartitionSpec()

    def part(b: Array, x: Array, y: Array) -> Array:
        return jax.lax.psum(program.squares(b, x, y), "data")

    spread = jax.shard_map(part, mesh=mesh, in_specs=(whole, rows, rows), out_specs=whole)
    b = program.initial_params(bound)["b"]
    x, y = bound.data["x"], bound.data["y"]
    close(jax.jit(jax.value_and_grad(spread))(b, x, y), jax.value_and_grad(program.squares)(b, x, y))
