"""The methods that follow a gradient: each against Optax by hand, with traced keywords, between other stages, projected."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import Array

from tests.support.effort import examples
from tests.support.minimizer import Minimizer
from vspec.runtime.methods import Problem, State, method
from vspec.runtime.methods.first_order import FAMILY
from vspec.runtime.registry import METHODS, defaults

Point = dict[str, Array]
FAST = {"lr": 0.1}


def ill_conditioned(p: Point) -> Array:
    scale = jnp.geomspace(1.0, 50.0, 6).astype(p["x"].dtype)
    return jnp.sum(scale * (p["x"] - 1) ** 2) / 2 + jnp.sum((p["y"] + 2) ** 2)


def start(dtype: str = "float32") -> Point:
    return {"x": jnp.linspace(-1.0, 2.0, 6).astype(dtype), "y": jnp.zeros((2, 2), dtype)}


def problem(f: Any = ill_conditioned, **more: Any) -> Problem:
    return Problem(f, jax.value_and_grad(f), **more)


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    jax.config.update("jax_enable_x64", request.param == "float64")
    return str(request.param)


# How the methods are called to come near the optimum, and the squared distance that is near for each.
REACH = {
    "sgd": ({"lr": 0.03}, 1e-6),
    "adam": ({"lr": 0.05}, 1e-6),
    "adamw": ({"lr": 0.05, "weight_decay": 0.0}, 1e-6),
    "nadam": ({"lr": 0.05}, 1e-6),
    "amsgrad": ({"lr": 0.05}, 1e-6),
    "adamax": ({"lr": 0.05}, 1e-6),
    "radam": ({"lr": 0.05}, 1e-6),
    "adabelief": ({"lr": 0.05}, 1e-6),
    "yogi": ({"lr": 0.05}, 1e-6),
    "adan": ({"lr": 0.05}, 1e-6),
    "adagrad": ({"lr": 0.5}, 1e-6),
    "adadelta": ({"lr": 1.0}, 1e-2),
    "rmsprop": ({"lr": 0.005}, 1e-3),
    "rprop": ({"lr": 0.01}, 1e-6),
    "lion": ({"lr": 0.001, "weight_decay": 0.0}, 1e-3),
    "lamb": ({"lr": 0.01}, 1e-2),
    "lars": ({"lr": 10.0, "momentum": 0.5}, 1e-2),
    "novograd": ({"lr": 0.01}, 1e-2),
    "optimistic_gradient_descent": ({"lr": 0.01}, 1e-6),
}


def test_every_method_of_the_family_is_tried() -> None:
    assert set(REACH) == set(FAMILY)
    assert all(METHODS[name].needs == ("gradient",) and not METHODS[name].compares for name in FAMILY)


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_they_reach_the_optimum(name: str) -> None:
    keywords, near = REACH[name]
    m = Minimizer(lambda _: problem(), method(name, keywords), (), start(), 3000)
    s = m.run((), start())
    gap = jnp.sum((s.point["x"] - 1) ** 2) + jnp.sum((s.point["y"] + 2) ** 2)
    assert gap < near
    assert s.steps == 3000
    assert s.reason == "steps"


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_traced_keywords_and_literal_ones_agree(name: str, dtype: str) -> None:
    """A keyword may be an expression of the step: then the method is made anew in the trace of each step."""
    arguments = defaults(METHODS[name])
    floats = {k.name: arguments[k.name] for k in METHODS[name].keywords if k.type is float}
    # What is 0 is switched off as a literal and computed as a traced value.
    traced = {k: jnp.asarray(v, dtype) for k, v in floats.items() if v != 0}

    def steps(values: dict[str, Any]) -> State:
        made = method(name, {**arguments, **values})
        return jax.lax.fori_loop(0, 5, lambda _, s: made.step(problem(), s), made.init(problem(), start(dtype)))

    wanted, found = jax.jit(lambda: steps({}))(), jax.jit(steps)(traced)
    assert found.point["x"].dtype == dtype
    for k in wanted.point:
        np.testing.assert_allclose(found.point[k], wanted.point[k], rtol=2e-5 if dtype == "float32" else 1e-6)
        assert not np.array_equal(found.point[k], start(dtype)[k])


def test_a_keyword_of_another_precision_changes_no_memory() -> None:
    jax.config.update("jax_enable_x64", True)
    for name in FAMILY:

        def steps(lr: Array, name: str = name) -> State:
            made = method(name, {"lr": lr, "tol": lr})
            return jax.lax.fori_loop(0, 2, lambda _, s: made.step(problem(), s), made.init(problem(), start()))

        assert jax.jit(steps)(jnp.asarray(0.01, "float64")).point["x"].dtype == "float32"


@pytest.mark.parametrize("name", ["adam", "lion", "yogi"])
def test_they_are_those_of_optax(name: str) -> None:
    by_hand = getattr(optax, name)(0.1)
    at, memory = start(), by_hand.init(start())
    for _ in range(4):
        updates, memory = by_hand.update(jax.grad(ill_conditioned)(at), memory, at)
        at = optax.apply_updates(at, updates)
    ours = Minimizer(lambda _: problem(), method(name, FAST), (), start(), 4).run((), start())
    for k in at:
        np.testing.assert_allclose(ours.point[k], at[k], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("momentum", "nesterov", "dampening"), [(0.9, False, 0.0), (0.9, True, 0.0), (0.8, False, 0.6)]
)
def test_momentum(momentum: float, nesterov: bool, dampening: float) -> None:
    def slope(x: float) -> float:
        return 3 * x

    x, m = 2.0, 0.0
    for _ in range(5):
        g = (1 - dampening) * slope(x)
        m = momentum * m + g
        x -= 0.1 * (g + momentum * m if nesterov else m)
    how = method("sgd", {"lr": 0.1, "momentum": momentum, "nesterov": nesterov, "dampening": dampening})
    found = Minimizer(lambda _: problem(lambda p: 1.5 * p["x"] ** 2), how, (), {"x": jnp.asarray(2.0)}, 5)
    assert float(found.run((), {"x": jnp.asarray(2.0)}).point["x"]) == pytest.approx(x, rel=1e-5)


def test_a_clipped_gradient_keeps_its_direction() -> None:
    def f(p: Point) -> Array:
        return 30 * p["a"] + 40 * p["b"]

    at = {"a": jnp.asarray(0.0), "b": jnp.asarray(0.0)}
    s = Minimizer(lambda _: problem(f), method("sgd", {"lr": 1.0, "clip": 5.0}), (), at, 1).run((), at)
    np.testing.assert_allclose([s.point["a"], s.point["b"]], [-3.0, -4.0], rtol=1e-6)


# --- between other stages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["step", "turn"])
@pytest.mark.parametrize("name", sorted(FAMILY))
def test_one_evaluation_per_step_and_per_turn(name: str, how: str) -> None:
    made, seen = method(name, {}), []

    def count(p: Point) -> Any:
        seen.append(how)
        return jax.value_and_grad(ill_conditioned)(p)

    def move(state: State) -> State:
        counted = Problem(ill_conditioned, count)
        return made.step(counted, state) if how == "step" else made.turn(counted, state, start())

    jax.jit(move).lower(made.init(problem(), start()))
    assert len(seen) == 1


def test_two_stages_that_take_turns_keep_their_memories() -> None:
    """min over a and b of a coupled quadratic, one step each per round, against both optimisers by hand."""

    def f(a: Array, b: Array) -> Array:
        return (a - 1) ** 2 + (b + 1) ** 2 + a * b

    first, second = method("adam", FAST), method("sgd", {"lr": 0.1, "momentum": 0.9})

    def of_a(b: Array) -> Problem:
        return problem(lambda p: f(p["a"], b))

    def of_b(a: Array) -> Problem:
        return problem(lambda p: f(a, p["b"]))

    zero = jnp.asarray(0.0)
    one, two = first.init(of_a(zero), {"a": zero}), second.init(of_b(zero), {"b": zero})
    a = b = zero
    hand_a, hand_b = optax.adam(0.1), optax.sgd(0.1, momentum=0.9)
    memory_a, memory_b = hand_a.init(zero), hand_b.init(zero)
    for _ in range(10):
        one = first.turn(of_a(two.point["b"]), one, one.point)
        two = second.turn(of_b(one.point["a"]), two, two.point)
        step, memory_a = hand_a.update(jax.grad(f, 0)(a, b), memory_a)
        a += step
        step, memory_b = hand_b.update(jax.grad(f, 1)(a, b), memory_b)
        b += step
    np.testing.assert_allclose([one.point["a"], two.point["b"]], [a, b], rtol=1e-6)
    assert int(one.steps) == int(two.steps) == 10


def test_a_turn_at_the_optimum_does_not_move() -> None:
    made = method("sgd", {"lr": 0.1, "tol": 1e-3})
    at = {"x": jnp.asarray([0.0])}
    p = problem(lambda p: jnp.sum((p["x"] - 1) ** 2))
    state = made.turn(p, made.init(p, at), {"x": jnp.asarray([1.0])})
    assert (float(state.point["x"][0]), int(state.steps), int(state.status)) == (1.0, 0, 1)


# --- projection and properties --------------------------------------------------------------------------------------


def test_projected_steps_end_at_the_optimum_of_the_set(dtype: str) -> None:
    """A box that cuts the unconstrained optimum off: the gradient does not vanish there, the measure does."""

    def clip(p: Point) -> Point:
        return {"x": jnp.clip(p["x"], -0.5, 0.5)}

    target = jnp.asarray([2.0, 0.25, -3.0], dtype)
    p = problem(lambda p: jnp.sum((p["x"] - target) ** 2), project=clip)
    begin = {"x": jnp.zeros(3, dtype)}
    s = Minimizer(lambda _: p, method("sgd", {"lr": 0.2, "tol": 1e-5}), (), begin, 500).run((), begin)
    assert s.reason == "tolerance"
    np.testing.assert_allclose(s.point["x"], [0.5, 0.25, -0.5], atol=1e-5)
    assert s.gradient > 1.0


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_steps_of_one_over_the_curvature_never_ascend(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(size, size))
    matrix = a @ a.T + 0.1 * np.eye(size)
    lr = 1 / float(np.linalg.eigvalsh(matrix)[-1])
    h, b = jnp.asarray(matrix, "float32"), jnp.asarray(rng.normal(size=size), "float32")
    p = problem(lambda q: q["x"] @ h @ q["x"] / 2 - b @ q["x"])
    made = method("sgd", {"lr": lr})
    state = made.init(p, {"x": jnp.zeros(size, "float32")})
    for _ in range(10):
        new = made.step(p, state)
        assert float(new.value) <= float(state.value) + 1e-5 * (1 + abs(float(state.value)))
        state = new
