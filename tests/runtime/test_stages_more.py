"""Stages with arguments that are counts, params that are not real, batches in rounds and of two dims, violations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.runtime.plans import close, derivatives, program, roles, stage
from vspec.runtime import keys
from vspec.runtime.run import run
from vspec.runtime.stages import build
from vspec.runtime.stages.record import resolve, with_argument
from vspec.runtime.stages.transition import ENDS, UNTIL, together


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


def cube(w):
    return jnp.sum((w - 1) ** 4) / 4


CUBE = {"initial": lambda: {"w": jnp.asarray([3.0, -2.0])}, **derivatives(cube, ["w"])}
OVER = {"over": ["w"], "names": ["cube"], "entries": roles("cube")}


def test_arguments_of_methods_that_are_counts() -> None:
    def counts(k):
        return {"steps": k, "0.memory": 2 * k}

    plan = [stage("minimize", ("lbfgs", {"tol": 1e-9, "memory": None}), **OVER, counts="counts")]
    made = program(plan, {**CUBE, "counts": counts}, {"w": ["i"]}, constants={"k": 3.0}, sizes={"i": 2})
    found = resolve(made, made.bind(), plan[0], (0,))
    assert found.record["methods"][0]["arguments"] == {"tol": 1e-9, "memory": 6}
    result = run(made)
    assert result.stages[0].steps == 3
    literal = [stage("minimize", ("lbfgs", {"tol": 1e-9, "memory": 6}), **OVER, steps=3)]
    same = run(program(literal, CUBE, {"w": ["i"]}, sizes={"i": 2}))
    np.testing.assert_array_equal(result.params["w"], same.params["w"])


def test_arguments_inside_of_arguments() -> None:
    arguments = {"lr": 1.0, "linear": {"name": "cg", "arguments": {"rtol": None, "steps": 5}}}
    filled = with_argument(arguments, "linear.rtol", 0.5)
    assert filled == {"lr": 1.0, "linear": {"name": "cg", "arguments": {"rtol": 0.5, "steps": 5}}}
    assert arguments["linear"]["arguments"]["rtol"] is None


def test_statuses_together() -> None:
    running, tolerance, stalled, diverged = (jnp.asarray(k) for k in range(4))
    assert int(together([tolerance, tolerance])) == 1
    assert int(together([tolerance, running])) == 0
    assert int(together([tolerance, stalled])) == 2
    assert int(together([tolerance, diverged, running])) == 3
    assert ENDS[UNTIL] == "until"
    assert ENDS[int(together([tolerance]))] == "tolerance"


def test_until_inside_of_a_round() -> None:
    def enough(w):
        return cube(w) < 0.01

    def away(w):
        return {"w": w + 1.0}

    inside = [stage("minimize", ("sgd", {"lr": 0.02}), **OVER, until="enough"), stage("update", update=["away"])]
    functions = {**CUBE, "enough": enough, "away": away}
    made = program(
        [stage("repeat", rounds=3, stages=inside)], functions, {"w": ["i"]}, sizes={"i": 2}, kinds={"away": "update"}
    )
    result = run(made)
    w, steps = np.array([3.0, -2.0]), 0
    for _ in range(3):
        for _ in range(1000):
            w, steps = w - 0.02 * (w - 1) ** 3, steps + 1
            if np.sum((w - 1) ** 4) / 4 < 0.01:
                break
        w = w + 1
    close(result.params["w"], w)
    assert result.stages[0].stages[0].steps == steps


def test_complex_and_whole_params_are_updated() -> None:
    def turn(z, n, flag):
        return {"z": z * jnp.exp(1j * jnp.pi / 4), "n": n + 2, "flag": ~flag}

    functions = {
        "initial": lambda: {"z": jnp.asarray(1.0 + 0j), "n": jnp.asarray(1), "flag": jnp.asarray(False)},
        "turn": turn,
    }
    made = program(
        [stage("update", update=["turn"], steps=3, average=1.0)],
        functions,
        {"z": [], "n": [], "flag": []},
        kinds={"turn": "update"},
    )
    for name, dtype in (("z", "complex"), ("n", "integer"), ("flag", "boolean")):
        made.manifest["params"][name]["dtype"] = dtype
    result = run(made)
    quarter = np.exp(1j * np.pi / 4)
    close(result.params["z"], (quarter + quarter**2 + quarter**3) / 3)
    assert (result.params["n"], result.params["flag"]) == (7, True)
    assert result.stages[0].change == 2.0


def test_a_complex_param_is_minimised_beside_an_update() -> None:
    def far(z, t):
        return jnp.abs(z - t) ** 2

    def slope(z, t):
        return 2 * (z - t)

    def both(z, t):
        return far(z, t), slope(z, t)

    def halve(t):
        return {"t": t / 2}

    functions = {
        "initial": lambda: {"z": jnp.asarray(1.0 + 2j), "t": jnp.asarray(0.5)},
        "far": far,
        "far_gradient": slope,
        "far_value_and_gradient": both,
        "halve": halve,
    }
    fields = {"over": ["z"], "names": ["far"], "entries": roles("far"), "update": ["halve"], "steps": 4}
    made = program(
        [stage("minimize", ("sgd", {"lr": 0.1}), **fields)], functions, {"z": [], "t": []}, kinds={"halve": "update"}
    )
    made.manifest["params"]["z"]["dtype"] = "complex"
    z, t = 1 + 2j, 0.5
    for _ in range(4):
        z, t = z - 0.2 * (z - t), t / 2
    close(run(made).params["z"], z)


# --- batches ------------------------------------------------------------------------------------------------------


def visit(seen, table, X):
    return {"seen": seen + 1, "table": table + X}


def test_batches_of_two_dims() -> None:
    """In an epoch of the longer dim, each of its rows is seen once; the shorter one goes through several epochs."""
    functions = {"initial": lambda: {"seen": jnp.zeros(8), "table": jnp.zeros((8, 4))}, "visit": visit}
    plan = [stage("update", update=["visit"], batch={"n": 2, "m": 2}, epochs=1)]
    made = program(
        plan, functions, {"seen": ["n"], "table": ["n", "m"]}, data={"X": ["n", "m"]}, kinds={"visit": "update"}
    )
    result = run(made, data={"X": np.ones((8, 4))})
    assert result.stages[0].steps == 4
    np.testing.assert_array_equal(result.params["seen"], 1.0)
    table = result.params["table"]
    np.testing.assert_array_equal(table.sum(axis=1), 2.0)
    np.testing.assert_array_equal(table.sum(axis=0), 4.0)


def test_batches_in_rounds() -> None:
    """A stage without steps of its own sees the next batch in each round, and a new order in each epoch."""

    def mark(seen, step, X):
        return {"seen": seen * 100 + step + X}

    functions = {"initial": lambda: {"seen": jnp.zeros(6)}, "mark": mark}
    inside = [stage("update", update=["mark"], batch={"n": 2})]
    plan = [stage("repeat", rounds=6, stages=inside)]
    made = program(plan, functions, {"seen": ["n"]}, data={"X": ["n"]}, kinds={"mark": "update"})
    seen = run(made, data={"X": np.zeros(6)}, seed=4).params["seen"]
    first, second = seen // 100, seen % 100
    assert sorted(first) == [0, 0, 1, 1, 2, 2]
    assert sorted(second) == [3, 3, 4, 4, 5, 5]
    assert np.any(first + 3 != second)


def test_batches_and_draws_can_be_reproduced() -> None:
    """From the seed alone, by the keys that the contracts describe."""

    def noisy(w, X, Y, key):
        return jnp.mean((X @ w - Y + 0.1 * jax.random.normal(key, (4,))) ** 2)

    data = {"X": np.random.default_rng(1).normal(size=(12, 2)), "Y": np.arange(12.0)}
    functions = {"initial": lambda: {"w": jnp.zeros(2)}, **derivatives(noisy, ["w"])}
    fields = {"over": ["w"], "names": ["noisy"], "entries": roles("noisy"), "batch": {"n": 4}, "epochs": 3}
    plan = [stage("evaluate", names=["noisy"]), stage("minimize", ("sgd", {"lr": 0.05}), **fields)]
    made = program(plan, functions, {"w": ["i"]}, data={"X": ["n", "i"], "Y": ["n"]})
    result = run(made, data=data, seed=11)
    key = keys.key_of(11, keys.STAGES, 1)
    w = np.zeros(2)
    for k in range(9):
        order = jax.random.permutation(keys.fold(key, keys.SHUFFLES, 0, k // 3), 12)
        rows = np.asarray(order)[4 * (k % 3) : 4 * (k % 3) + 4]
        noise = 0.1 * np.asarray(jax.random.normal(keys.fold(key, keys.DRAWS, k), (4,)))
        X, Y = data["X"][rows], data["Y"][rows]
        w = w - 0.05 * 2 * X.T @ (X @ w - Y + noise) / 4
    close(result.params["w"], w)


def test_a_prepared_array_is_sliced_with_its_data() -> None:
    def prepare(X):
        return {"Z": X - jnp.mean(X)}

    def keep(a, b, X, Z):
        return {"a": X, "b": Z}

    functions = {"initial": lambda: {"a": jnp.zeros(6), "b": jnp.zeros(6)}, "prepare": prepare, "keep": keep}
    plan = [stage("update", update=["keep"], batch={"n": 3}, epochs=1)]
    made = program(
        plan, functions, {"a": ["n"], "b": ["n"]}, data={"X": ["n"]}, prepared={"Z": ["n"]}, kinds={"keep": "update"}
    )
    X = np.arange(6.0)
    result = run(made, data={"X": X})
    close(result.params["a"], X)
    close(result.params["b"], X - 2.5)


# --- constraints --------------------------------------------------------------------------------------------------


def test_a_stage_says_by_how_much_it_violates_constraints() -> None:
    def constraints(w):
        return {"low": w - 2.0, "on": jnp.sum(w)}

    made = program(
        [stage("minimize", ("lbfgs", {"tol": 1e-8}), **OVER)],
        {**CUBE, "constraints": constraints},
        {"w": ["i"]},
        sizes={"i": 2},
    )
    made.manifest["constraints"] = {  # type: ignore[index]
        "low": {"relation": "le", "text": "w[i] <= 2", "axes": ["i"]},
        "on": {"relation": "eq", "text": "sum[i](w[i]) == 0", "axes": []},
    }
    result = run(made)
    close(result.stages[0].violation, 2.0, 1e-2)
    assert result.stages[0].violation == max(result.constraints.values())


def test_what_a_transition_moves() -> None:
    plan = [stage("minimize", ("sgd", {"lr": 0.1}), **OVER)]
    made = program(plan, CUBE, {"w": ["i"]}, sizes={"i": 2})
    transition: Any = build(made, resolve(made, made.bind(), plan[0], (0,)))
    assert transition.moves == ("w",)
    assert transition.fixed
    assert transition.limits() == {"0": 1000}
