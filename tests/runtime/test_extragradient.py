"""Methods for saddle points against plain loops in NumPy and linear systems: fixed lengths, backtracking, in repetitions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.runtime.plans import close, derivatives, program, roles, stage
from tests.support.minimizer import Minimizer
from vspec.runtime import NumericsError
from vspec.runtime.methods import Problem, State, method
from vspec.runtime.run import RunResult, run

rng = np.random.default_rng(3)
A = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag([2.0, 1.0, 0.5]) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
TOP = float(np.linalg.norm(A, 2))
PARAMS = {"x": ["i"], "y": ["i"]}
FIELDS = {"over": ["x", "y"], "names": ["game"], "entries": roles("game"), "min": ["x"], "max": ["y"]}


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


def game(x, y):
    return x @ A @ y


def initial() -> dict[str, Any]:
    return {"x": jnp.asarray([1.0, -2.0, 0.5]), "y": jnp.asarray([0.3, 1.0, -1.0])}


FUNCTIONS = {"initial": initial, **derivatives(game, ["x", "y"])}


def solved(*methods: Any, steps: int, **more: Any) -> RunResult:
    plan = [stage("saddle", *methods, **FIELDS, steps=steps, **more)]
    return run(program(plan, FUNCTIONS, PARAMS, sizes={"i": 3}))


def by_hand(lr: Any, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The iterates of Korpelevich's method, written out."""
    x, y = (np.asarray(v) for v in initial().values())
    for k in range(steps):
        t = lr(k) if callable(lr) else lr
        half_x, half_y = x - t * A @ y, y + t * A.T @ x
        x, y = x - t * A @ half_y, y + t * A.T @ half_x
    return x, y


def distance(result: RunResult) -> float:
    return float(np.sqrt(sum(np.sum(np.asarray(v) ** 2) for v in result.params.values())))


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_the_iterates_are_those_of_a_plain_loop(steps: int) -> None:
    result = solved(("extragradient", {"lr": 0.3, "tol": 1e-30}), steps=steps)
    x, y = by_hand(0.3, steps)
    close([result.params["x"], result.params["y"]], [x, y])
    assert (result.stages[0].steps, result.stages[0].reason) == (steps, "steps")
    assert result.stages[0].value == pytest.approx(x @ A @ y)
    assert result.stages[0].gradient == pytest.approx(max(np.abs(A @ y).max(), np.abs(A.T @ x).max()))


def test_simultaneous_steps_run_off_where_extragradient_converges_linearly() -> None:
    lr = 0.5 / TOP
    sizes = [distance(solved(("sgd", {"lr": lr}), steps=k)) for k in (100, 300)]
    assert sizes[0] > 2 * distance(solved(("sgd", {"lr": lr}), steps=1))
    assert sizes[1] > 2 * sizes[0]
    # A pair of singular vectors shrinks by this factor in every step, at the square of its singular value times lr.
    z = (lr * np.linalg.svd(A, compute_uv=False)) ** 2
    rate = np.sqrt(np.max(1 - z + z**2))
    start = np.sqrt(sum(np.sum(np.asarray(v) ** 2) for v in initial().values()))
    steps = int(np.ceil(np.log(1e-8) / np.log(rate)))
    end = distance(solved(("extragradient", {"lr": lr, "tol": 1e-30}), steps=steps))
    assert end <= 1e-8 * start * (1 + 1e-6)


def test_optimistic_steps_are_those_of_a_plain_loop() -> None:
    result = solved(("optimistic_gradient_descent", {"lr": 0.1}), steps=60)
    x, y = (np.asarray(v) for v in initial().values())
    before = (A @ y, -A.T @ x)
    for _ in range(60):
        now = (A @ y, -A.T @ x)
        x, y, before = x - 0.1 * (2 * now[0] - before[0]), y - 0.1 * (2 * now[1] - before[1]), now
    close([result.params["x"], result.params["y"]], [x, y])
    far = solved(("optimistic_gradient_descent", {"lr": 0.3 / TOP, "tol": 1e-9}), steps=100_000)
    assert far.stages[0].reason == "tolerance"
    assert distance(far) < 1e-7


def test_the_length_is_found() -> None:
    result = solved(("extragradient", {"tol": 1e-10}), steps=100_000)
    assert result.stages[0].reason == "tolerance"
    assert distance(result) < 1e-8
    # A fixed length beyond 1/L runs off; the one that is found does not depend on where it begins.
    with pytest.raises(NumericsError) as caught:
        solved(("extragradient", {"lr": 3 / TOP}), steps=100_000)
    assert caught.value.code == "VS0602"


def quadratic(scale: float, coupling: float, dtype: str) -> tuple[Problem, dict[str, Any], dict[str, np.ndarray]]:
    """A convex-concave function of two vectors, and its saddle point by a linear system."""
    made = np.random.default_rng(1)
    p, q = (m @ m.T + np.eye(4) for m in made.normal(size=(2, 4, 4)))
    c, a, b = made.normal(size=(4, 4)) * coupling, made.normal(size=4), made.normal(size=4)

    def value(at):
        x, y = at["x"], at["y"]
        p_, q_, c_, a_, b_ = (jnp.asarray(m, dtype) for m in (p, q, c, a, b))
        return scale * (x @ p_ @ x / 2 + x @ c_ @ y - y @ q_ @ y / 2 + a_ @ x + b_ @ y)

    def both(at):
        v, g = jax.value_and_grad(value)(at)
        return v, {"x": g["x"], "y": -g["y"]}

    z = np.linalg.solve(np.block([[p, c], [c.T, -q]]), -np.concatenate([a, b]))
    start = {"x": jnp.zeros(4, dtype), "y": jnp.ones(4, dtype)}
    return Problem(value, both), start, {"x": z[:4], "y": z[4:]}


@pytest.mark.parametrize(("scale", "coupling"), [(1.0, 0.0), (1e-6, 1.0), (1e8, 30.0)])
def test_a_quadratic_in_any_units(scale: float, coupling: float) -> None:
    made, start, wanted = quadratic(scale, coupling, "float64")
    how = method("extragradient", {"tol": 1e-9 * scale})
    found = Minimizer(lambda _: made, how, (), start, 20_000).run((), start)
    assert found.reason == "tolerance"
    for k, v in wanted.items():
        np.testing.assert_allclose(found.point[k], v, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_single_precision(scale: float) -> None:
    made, start, wanted = quadratic(scale, 3.0, "float32")
    found = Minimizer(lambda _: made, method("extragradient", {"tol": 1e-5 * scale}), (), start, 20_000).run((), start)
    assert found.reason == "tolerance"
    for k, v in wanted.items():
        assert found.point[k].dtype == "float32"
        np.testing.assert_allclose(found.point[k], v, atol=1e-3)


def test_what_rounding_hides_ends_a_stage_as_stalled() -> None:
    made, start, wanted = quadratic(1.0, 1.0, "float64")
    found = Minimizer(lambda _: made, method("extragradient", {"tol": 0.0}), (), start, 50_000).run((), start)
    assert found.reason == "stalled"
    for k, v in wanted.items():
        np.testing.assert_allclose(found.point[k], v, atol=1e-12)


def test_it_minimises_and_follows_directions() -> None:
    """A minimum is a saddle without what goes up; a direction need not be a gradient at all."""

    def bowl(x):
        return jnp.sum(jnp.asarray([1.0, 10.0, 100.0]) * (x - 1) ** 2) / 2

    functions = {"initial": lambda: {"x": jnp.zeros(3)}, **derivatives(bowl, ["x"])}
    plan = [stage("minimize", ("extragradient", {"tol": 1e-10}), over=["x"], names=["bowl"], entries=roles("bowl"))]
    found = run(program(plan, functions, {"x": ["i"]}, sizes={"i": 3}))
    assert found.stages[0].reason == "tolerance"
    close(found.params["x"], np.ones(3), tol=1e-9)

    turning = np.array([[0.1, 1.0, 0.0], [-1.0, 0.1, 2.0], [0.0, -2.0, 0.0]])

    def along(x):
        return {"x": turning @ (x - 2)}

    functions = {"initial": lambda: {"x": jnp.zeros(3)}, "along": along}
    plan = [stage("descend", ("extragradient", {"tol": 1e-9}), over=["x"], directions="along")]
    found = run(program(plan, functions, {"x": ["i"]}, sizes={"i": 3}, kinds={"along": "directions"}))
    assert found.stages[0].reason == "tolerance"
    close(found.params["x"], 2 * np.ones(3), tol=1e-7)


def test_an_lr_of_the_step_and_turns_of_a_repetition() -> None:
    """A schedule makes each step a turn; a repetition of one stage takes the same steps as the stage alone."""

    def falling(step):
        return {"0.lr": 0.4 / (step + 1) ** 0.5}

    functions = {**FUNCTIONS, "falling": falling}
    plan = [stage("saddle", ("extragradient", {"lr": None, "tol": 1e-30}), **FIELDS, steps=20, schedule="falling")]
    result = run(program(plan, functions, PARAMS, sizes={"i": 3}, kinds={"falling": "schedule"}))
    x, y = by_hand(lambda k: 0.4 / (k + 1) ** 0.5, 20)
    close([result.params["x"], result.params["y"]], [x, y])
    for arguments in ({"lr": 0.3, "tol": 1e-30}, {"tol": 1e-30}):
        inner = [stage("saddle", ("extragradient", arguments), **FIELDS, steps=None)]
        rounds = run(program([stage("repeat", rounds=25, stages=inner)], FUNCTIONS, PARAMS, sizes={"i": 3}))
        alone = solved(("extragradient", arguments), steps=25)
        close([rounds.params[k] for k in PARAMS], [alone.params[k] for k in PARAMS])


def test_keywords_of_another_precision_change_no_memory() -> None:
    made, start, _ = quadratic(1.0, 1.0, "float32")

    def steps(lr: jax.Array) -> State:
        how = method("extragradient", {"lr": lr, "tol": lr})
        return jax.lax.fori_loop(0, 2, lambda _, s: how.step(made, s), how.init(made, start))

    assert jax.jit(steps)(jnp.asarray(0.01, "float64")).point["x"].dtype == "float32"
