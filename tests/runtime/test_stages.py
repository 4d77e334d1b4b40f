"""Every kind of stage against a plain loop in NumPy."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from tests.runtime.plans import close, derivatives, program, roles, stage
from vspec.runtime import ArtifactError, DataError, NumericsError
from vspec.runtime.progress import terminal
from vspec.runtime.run import run
from vspec.runtime.stages import Event

rng = np.random.default_rng(0)
A = rng.normal(size=(3, 3))


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


def start(**values: Any) -> Any:
    def initial() -> dict[str, Any]:
        return {k: jnp.asarray(v, float) for k, v in values.items()}

    return initial


def solved(plan: list[dict[str, Any]], functions: dict[str, Any], params: Any, **rest: Any) -> Any:
    given, seed = rest.pop("given", None), rest.pop("seed", 0)
    return run(program(plan, functions, params, sizes={"i": 3}, **rest), data=given, seed=seed)


# --- update -------------------------------------------------------------------------------------------------------


def test_an_update_is_simultaneous_and_a_list_is_sequential() -> None:
    def both(x, y):
        return {"x": x + y, "y": x - y}

    def first(x, y):
        return {"x": x + y}

    def second(x, y):
        return {"y": x - y}

    functions = {"initial": start(x=1.0, y=2.0), "both": both, "first": first, "second": second}
    kinds = dict.fromkeys(("both", "first", "second"), "update")
    params = {"x": [], "y": []}
    at_once = solved([stage("update", update=["both"], steps=5)], functions, params, kinds=kinds)
    in_turn = solved([stage("update", update=["first", "second"], steps=5)], functions, params, kinds=kinds)
    x, y = 1.0, 2.0
    for _ in range(5):
        x, y = x + y, x - y
    close([at_once.params["x"], at_once.params["y"]], [x, y])
    x, y = 1.0, 2.0
    for _ in range(5):
        x = x + y
        y = x - y
    close([in_turn.params["x"], in_turn.params["y"]], [x, y])
    assert (at_once.stages[0].reason, at_once.stages[0].steps) == ("steps", 5)
    once = solved([stage("update", update=["both"])], functions, params, kinds=kinds)
    close([once.params["x"], once.params["y"]], [3.0, -1.0])


def test_until_and_the_counters() -> None:
    def add(x, step, steps):
        return {"x": x + step / steps}

    def enough(x, step):
        return (x > 1) & (step > 2)

    functions = {"initial": start(x=0.0), "add": add, "enough": enough}
    plan = [stage("update", update=["add"], steps=10, until="enough", name="walk")]
    result = solved(plan, functions, {"x": []}, kinds={"add": "update"})
    x, k = 0.0, 0
    while not (x > 1 and k - 1 > 2) and k < 10:
        x, k = x + k / 10, k + 1
    close(result.params["x"], x)
    assert (result.stages[0].reason, result.stages[0].steps) == ("until", k)
    assert result.facts["stages"]["walk"]["steps"] == k
    assert result.facts["steps"] == k


def test_an_update_that_is_not_finite() -> None:
    def root(x, step):
        return {"x": jnp.sqrt(x - step)}

    functions = {"initial": start(x=2.0), "root": root}
    with pytest.raises(NumericsError) as caught:
        solved([stage("update", update=["root"], steps=9)], functions, {"x": []}, kinds={"root": "update"})
    assert caught.value.code == "VS0605"
    assert "the update of 'x' gives what is not finite in step 3" in str(caught.value)


# --- minimise, descend, saddle ------------------------------------------------------------------------------------


def loss(w, b):
    return jnp.sum((jnp.asarray(A) @ w - 1) ** 2) / 2 + jnp.sum((w - b) ** 2) / 2


def slopes(w, b):
    return A.T @ (A @ w - 1) + w - b, np.sum(b - w)


MIN = {"over": ["w", "b"], "names": ["loss"], "entries": roles("loss")}
LOSS = {"initial": start(w=[1.0, 2.0, 3.0], b=0.5), **derivatives(loss, ["w", "b"])}
WB = {"w": ["i"], "b": []}


def test_a_schedule_and_a_method_for_each_param() -> None:
    def lengths(b, step, steps):
        return {"0.lr": 0.1 * (1 - step / steps), "1.lr": 0.01 + 0 * b}

    plan = [
        stage(
            "minimize", ("sgd", {"lr": None}, ["w"]), ("sgd", {"lr": None}, ["b"]), **MIN, steps=20, schedule="lengths"
        )
    ]
    result = solved(plan, {**LOSS, "lengths": lengths}, WB)
    w, b = np.array([1.0, 2.0, 3.0]), 0.5
    for k in range(20):
        gw, gb = slopes(w, b)
        w, b = w - 0.1 * (1 - k / 20) * gw, b - 0.01 * gb
    close(result.params["w"], w)
    close(result.params["b"], b)
    assert (result.stages[0].method, result.stages[0].steps) == ("sgd", 20)


def test_an_update_beside_a_method_uses_the_values_before() -> None:
    def mean(w, b):
        return {"b": 0.9 * b + 0.1 * w[0]}

    def joint(w, b):
        value, gradient = jax.value_and_grad(loss)(w, b)
        return value, gradient, {"b": 0.9 * b + 0.1 * w[0]}

    functions = {"initial": LOSS["initial"], **derivatives(loss, ["w"]), "mean": mean, "joint": joint}
    fields = {"over": ["w"], "names": ["loss"], "entries": roles("loss"), "update": ["mean"], "steps": 15}
    w, b = np.array([1.0, 2.0, 3.0]), 0.5
    for _ in range(15):
        w, b = w - 0.05 * slopes(w, b)[0], 0.9 * b + 0.1 * w[0]
    for step in (None, "joint"):
        plan = [stage("minimize", ("sgd", {"lr": 0.05}), **fields, step=step)]
        result = solved(plan, functions, WB, kinds={"mean": "update"})
        close(result.params["w"], w)
        close(result.params["b"], b)


def test_descend_moves_against_directions() -> None:
    def along(w, step):
        return {"w": w * (step + 1)}

    functions = {"initial": start(w=[1.0, 2.0, 3.0], b=0.0), "along": along}
    plan = [stage("descend", ("sgd", {"lr": 0.1}), over=["w"], directions="along", steps=4)]
    result = solved(plan, functions, WB)
    close(result.params["w"], np.array([1.0, 2.0, 3.0]) * 0.9 * 0.8 * 0.7 * 0.6)
    assert result.stages[0].value is None
    assert result.metrics[0] == {"stage": 0, "start": 0, "step": 0, "gradient": 3.0}


def test_a_saddle_goes_down_and_up_at_once() -> None:
    def game(x, y):
        return x * y + 0.05 * x**2 - 0.05 * y**2

    functions = {"initial": start(x=1.0, y=1.0), **derivatives(game, ["x", "y"])}
    fields = {"over": ["x", "y"], "names": ["game"], "entries": roles("game"), "min": ["x"], "max": ["y"]}
    plan = [stage("saddle", ("sgd", {"lr": 0.1}), **fields, steps=50)]
    result = solved(plan, functions, {"x": [], "y": []})
    x, y = 1.0, 1.0
    for _ in range(50):
        x, y = x - 0.1 * (y + 0.1 * x), y + 0.1 * (x - 0.1 * y)
    close([result.params["x"], result.params["y"]], [x, y])
    split = [stage("saddle", ("sgd", {"lr": 0.1}, ["x"]), ("sgd", {"lr": 0.1}, ["y"]), **fields, steps=50)]
    again = solved(split, functions, {"x": [], "y": []})
    close([again.params["x"], again.params["y"]], [x, y])


def test_the_mean_of_the_last_iterates() -> None:
    plan = [stage("minimize", ("sgd", {"lr": 0.05}), **MIN, steps=10, average=0.3)]
    result = solved(plan, LOSS, WB)
    w, b = np.array([1.0, 2.0, 3.0]), 0.5
    iterates = []
    for _ in range(10):
        gw, gb = slopes(w, b)
        w, b = w - 0.05 * gw, b - 0.05 * gb
        iterates.append((w, b))
    close(result.params["w"], np.mean([i[0] for i in iterates[-3:]], axis=0))
    close(result.params["b"], np.mean([i[1] for i in iterates[-3:]]))


def test_stages_start_where_the_one_before_ended() -> None:
    def joined(w):
        return jnp.sum(w**2)

    functions = {**LOSS, **derivatives(joined, ["w"])}
    plan = [
        stage("minimize", ("lbfgs", {"tol": 1e-10}), **MIN, name="first"),
        stage(
            "minimize",
            ("sgd", {"lr": 0.25}),
            over=["w"],
            names=["joined"],
            entries=roles("joined"),
            steps=2,
            name="then",
        ),
        stage("evaluate", names=["joined"]),
    ]
    result = solved(plan, functions, WB)
    first = solved(plan[:1], functions, WB)
    assert first.stages[0].reason == "tolerance"
    close(result.params["w"], first.params["w"] / 4)
    close(result.params["b"], first.params["b"])
    facts = result.facts["stages"]
    assert facts["then"]["steps"] == 2
    assert result.facts["steps"] == facts["first"]["steps"] + 2


def test_an_objective_that_changes_is_not_solved_by_one_step() -> None:
    """At step 0 it is flat, and the tolerance holds; it takes all of its steps all the same."""

    def rising(w, step):
        return jnp.sum(w**2) * step / 10

    functions = {"initial": start(w=[1.0, 2.0, 3.0], b=0.0), **derivatives(rising, ["w"])}
    fields = {"over": ["w"], "names": ["rising"], "entries": roles("rising")}
    result = solved([stage("minimize", ("sgd", {"lr": 0.5, "tol": 1e-3}), **fields, steps=8)], functions, WB)
    assert result.stages[0].reason == "steps"
    close(result.params["w"], np.array([1.0, 2.0, 3.0]) * np.prod(1 - np.arange(8) / 10))


def test_value_and_gradient_are_those_at_the_end() -> None:
    """Also where each step evaluates before it moves: in a repetition, beside an update, of a mean."""

    def up(b):
        return {"b": b + 0.1}

    functions = {"initial": LOSS["initial"], **derivatives(loss, ["w"]), "up": up}
    fields = {"over": ["w"], "names": ["loss"], "entries": roles("loss")}
    descent = stage("minimize", ("sgd", {"lr": 0.05}), **fields)
    plans = (
        [{**descent, "update": ["up"], "steps": 7}],
        [{**descent, "steps": 7, "average": 0.5}],
        [stage("repeat", rounds=7, stages=[descent, stage("update", update=["up"])])],
    )
    for plan in plans:
        result = solved(plan, functions, WB, kinds={"up": "update"})
        w, b = result.params["w"], result.params["b"]
        done = result.stages[0].stages[0] if result.stages[0].stages else result.stages[0]
        close(done.value, np.sum((A @ w - 1) ** 2) / 2 + np.sum((w - b) ** 2) / 2)
        close(done.gradient, np.max(np.abs(slopes(w, b)[0])))


def test_a_last_step_to_nowhere_is_an_error() -> None:
    def steep(w, step):
        return jnp.sum(jnp.where(w > 0, w, jnp.nan)) + 0 * step

    functions = {"initial": start(w=[1.0, 2.0, 3.0], b=0.0), **derivatives(steep, ["w"])}
    fields = {"over": ["w"], "names": ["steep"], "entries": roles("steep")}
    with pytest.raises(NumericsError) as caught:
        solved([stage("minimize", ("sgd", {"lr": 1.5}), **fields, steps=1)], functions, WB)
    assert caught.value.code == "VS0602"
    assert "became not finite in step 1; the last finite value was 6" in str(caught.value)


def test_divergence_in_a_changing_objective_names_the_last_finite_value() -> None:
    def quartic(w, step):
        return jnp.sum(w**4) + 0 * step

    functions = {"initial": start(w=[1.0, 2.0, 3.0], b=0.0), **derivatives(quartic, ["w"])}
    fields = {"over": ["w"], "names": ["quartic"], "entries": roles("quartic")}
    with pytest.raises(NumericsError) as caught:
        solved([stage("minimize", ("sgd", {"lr": 1.0}), **fields, steps=50)], functions, WB)
    assert caught.value.code == "VS0602"
    assert "became not finite in step" in str(caught.value)
    assert "nan" not in str(caught.value)


# --- repeat -------------------------------------------------------------------------------------------------------


def test_a_repetition_takes_turns_and_keeps_memory() -> None:
    def toward(w, b, step):
        return {"b": b + 0.1 * (jnp.sum(w) - b) / (step + 1)}

    functions = {"initial": LOSS["initial"], **derivatives(loss, ["w"]), "toward": toward}
    inside = [
        stage("minimize", ("sgd", {"lr": 0.05, "momentum": 0.9}), over=["w"], names=["loss"], entries=roles("loss")),
        stage("update", update=["toward"], name="slow"),
    ]
    result = solved([stage("repeat", rounds=30, stages=inside)], functions, WB, kinds={"toward": "update"})
    w, b, m = np.array([1.0, 2.0, 3.0]), 0.5, np.zeros(3)
    for k in range(30):
        m = 0.9 * m + slopes(w, b)[0]
        w = w - 0.05 * m
        b = b + 0.1 * (np.sum(w) - b) / (k + 1)
    close(result.params["w"], w)
    close(result.params["b"], b)
    assert (result.stages[0].reason, result.stages[0].steps) == ("steps", 30)
    assert [s.steps for s in result.stages[0].stages] == [30, 30]
    assert result.facts == {**result.facts, "steps": 30}
    assert result.facts["stages"]["slow"]["steps"] == 30
    parts = [row for row in result.metrics if row["part"] == [0]]
    assert {"stage", "start", "step", "round", "part", "name", "value", "gradient"} == set(parts[0])
    assert result.metrics[-1]["name"] == "slow"


def test_stages_with_steps_start_afresh_and_repetitions_nest() -> None:
    def up(b, step, steps):
        return {"b": b + 0.1 * (step + 1) / steps}

    functions = {"initial": LOSS["initial"], **derivatives(loss, ["w"]), "up": up}
    fields = {"over": ["w"], "names": ["loss"], "entries": roles("loss")}
    inner = [stage("update", update=["up"])]
    inside = [
        stage("minimize", ("sgd", {"lr": 0.05, "momentum": 0.9}), **fields, steps=4),
        stage("repeat", rounds=3, stages=inner),
    ]
    result = solved([stage("repeat", rounds=5, stages=inside)], functions, WB, kinds={"up": "update"})
    w, b = np.array([1.0, 2.0, 3.0]), 0.5
    for _ in range(5):
        m = np.zeros(3)
        for _ in range(4):
            m = 0.9 * m + slopes(w, b)[0]
            w = w - 0.05 * m
        for k in range(3):
            b = b + 0.1 * (k + 1) / 3
    close(result.params["w"], w)
    close(result.params["b"], b)
    descent, nested = result.stages[0].stages
    assert descent.steps == 20
    assert nested.stages[0].steps == 15
    assert nested.steps == 15, "its rounds"
    assert {tuple(row["part"]) for row in result.metrics} == {(0,), (1, 0)}


def test_a_repetition_ends_when_all_its_stages_rest() -> None:
    functions = {"initial": LOSS["initial"], **derivatives(loss, ["w"]), **{}}

    def other(w, b):
        return (b - 1) ** 2

    functions |= derivatives(other, ["b"])
    inside = [
        stage("minimize", ("sgd", {"lr": 0.1, "tol": 1e-8}), over=["w"], names=["loss"], entries=roles("loss")),
        stage("minimize", ("lbfgs", {"tol": 1e-8}), over=["b"], names=["other"], entries=roles("other"), steps=50),
    ]
    result = solved([stage("repeat", rounds=5000, stages=inside)], functions, WB)
    assert result.stages[0].reason == "tolerance"
    assert result.stages[0].steps < 5000
    close(result.params["b"], 1.0, 1e-7)
    close(slopes(result.params["w"], result.params["b"])[0], 0, 1e-7)


def test_a_failure_in_a_round_names_it() -> None:
    def root(b, step):
        return {"b": jnp.sqrt(2.0 - step)}

    functions = {"initial": LOSS["initial"], **derivatives(loss, ["w"]), "root": root}
    inside = [
        stage("minimize", ("sgd", {"lr": 0.05}), over=["w"], names=["loss"], entries=roles("loss")),
        stage("update", update=["root"]),
    ]
    with pytest.raises(NumericsError) as caught:
        solved([stage("repeat", rounds=9, stages=inside)], functions, WB, kinds={"root": "update"})
    assert "of round 4" in str(caught.value)


def test_the_mean_over_rounds() -> None:
    inside = [stage("minimize", ("sgd", {"lr": 0.05}), **MIN, average=0.5)]
    result = solved([stage("repeat", rounds=10, stages=inside)], LOSS, WB)
    alone = solved([stage("minimize", ("sgd", {"lr": 0.05}), **MIN, steps=10, average=0.5)], LOSS, WB)
    close(result.params["w"], alone.params["w"])


def test_what_cannot_have_several_starts() -> None:
    def up(b):
        return {"b": b + 1}

    functions = {"initial": LOSS["initial"], "up": up}
    alone = stage("update", update=["up"], starts=3)
    inside = stage("minimize", ("sgd", {"lr": 0.1}), **MIN, starts=3)
    for plan in ([alone], [stage("repeat", rounds=2, stages=[inside])]):
        with pytest.raises(ArtifactError) as caught:
            solved(plan, {**LOSS, **functions}, WB, kinds={"up": "update"})
        assert caught.value.code == "VS0807"
        assert "one start" in str(caught.value)


# --- counts -------------------------------------------------------------------------------------------------------


def test_counts_that_are_expressions_need_no_new_compilation() -> None:
    def up(b):
        return {"b": b + 1}

    def counts(rounds):
        return {"steps": 2 * rounds}

    functions = {"initial": LOSS["initial"], "up": up, "counts": counts}
    made = program(
        [stage("update", update=["up"], steps=None, counts="counts")],
        functions,
        WB,
        constants={"rounds": 3.0},
        kinds={"up": "update"},
        sizes={"i": 3},
    )
    assert run(made).params["b"] == 6.5
    known = len(made.compiled)
    assert run(made, constants={"rounds": 40.0}).params["b"] == 80.5
    assert len(made.compiled) == known, "the number of steps is an argument of what is compiled"
    for bad in (0.3, 0.0):
        with pytest.raises(DataError) as caught:
            run(made, constants={"rounds": bad})
        assert caught.value.code == "VS0519"


def test_a_repetition_is_compiled_once() -> None:
    """Its stages are traced a fixed number of times, however many rounds there are."""
    traced = {"n": 0}

    def up(b):
        traced["n"] += 1
        return {"b": b + 1}

    found = []
    for rounds in (5, 3000):
        traced["n"] = 0
        functions = {"initial": LOSS["initial"], "up": up}
        inside = [stage("update", update=["up"]), stage("update", update=["up"], steps=2)]
        result = solved([stage("repeat", rounds=rounds, stages=inside)], functions, WB, kinds={"up": "update"})
        assert result.params["b"] == 0.5 + 3 * rounds
        found.append(traced["n"])
    assert found[0] == found[1]
    assert found[0] < 12


# --- batches ------------------------------------------------------------------------------------------------------

N = 12
X = rng.normal(size=(N, 3))
Y = rng.normal(size=N)


def fit(w, X, Y):
    return jnp.mean((X @ w - Y) ** 2)


def seen(count, X):
    return {"count": count + 1, "w": jnp.full(3, jnp.sum(X[:, 0]))}


BATCH = {"data": {"X": ["n", "i"], "Y": ["n"]}, "given": {"X": X, "Y": Y}}


def test_every_row_is_seen_once_in_an_epoch() -> None:
    functions = {"initial": lambda: {"count": jnp.zeros(N), "w": jnp.zeros(3)}, "seen": seen}
    params = {"count": ["n"], "w": ["i"]}
    for size, epochs, expected in ((4, 3, 3.0), (5, 1, None)):
        plan = [stage("update", update=["seen"], batch={"n": size}, epochs=epochs)]
        result = solved(plan, functions, params, kinds={"seen": "update"}, **BATCH)
        counts = result.params["count"]
        if expected is not None:
            np.testing.assert_array_equal(counts, expected)
        else:
            assert sorted(counts) == [0.0] * 2 + [1.0] * 10, "two rows are left over"
        assert result.stages[0].steps == epochs * (N // size)


def test_batches_depend_on_the_seed_and_on_nothing_else() -> None:
    functions = {"initial": start(w=[0.0, 0.0, 0.0]), **derivatives(fit, ["w"])}
    fields = {"over": ["w"], "names": ["fit"], "entries": roles("fit"), "batch": {"n": 4}, "epochs": 5}
    plan = [stage("minimize", ("adam", {"lr": 0.1}), **fields)]
    one, again, other = (solved(plan, functions, {"w": ["i"]}, seed=s, **BATCH).params["w"] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.max(np.abs(one - other)) > 1e-6


def test_a_state_of_every_row_is_gathered_and_scattered() -> None:
    """One batch of all rows, in any order, is the whole step; also for the memory of each row."""

    def own(z, Y):
        return jnp.sum((z - Y) ** 2)

    functions = {"initial": lambda: {"z": jnp.zeros(N)}, **derivatives(own, ["z"])}
    fields = {"over": ["z"], "names": ["own"], "entries": roles("own")}
    for size in (N, 3):
        plan = [stage("minimize", ("adam", {"lr": 0.1}), **fields, batch={"n": size}, epochs=7)]
        result = solved(plan, functions, {"z": ["n"]}, data={"Y": ["n"]}, given={"Y": Y})
        # Of a row, seven steps of Adam; in batches the counter of steps, which all rows share, runs ahead.
        z, m, v = np.zeros(N), np.zeros(N), np.zeros(N)
        if size == N:
            for k in range(7):
                g = 2 * (z - Y)
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
                z = z - 0.1 * (m / (1 - 0.9 ** (k + 1))) / (np.sqrt(v / (1 - 0.999 ** (k + 1))) + 1e-8)
            close(result.params["z"], z)
        else:
            plain = [stage("minimize", ("sgd", {"lr": 0.1, "momentum": 0.5}), **fields, batch={"n": 3}, epochs=7)]
            result = solved(plain, functions, {"z": ["n"]}, data={"Y": ["n"]}, given={"Y": Y})
            for _ in range(7):
                m = 0.5 * m + 2 * (z - Y)
                z = z - 0.1 * m
            close(result.params["z"], z)


def test_batches_that_cannot_be() -> None:
    def own(z, c, Y):
        return jnp.sum((z - Y - c) ** 2)

    functions = {"initial": lambda: {"z": jnp.zeros(N), "c": jnp.zeros(())}, **derivatives(own, ["z", "c"])}
    fields = {"over": ["z", "c"], "names": ["own"], "entries": roles("own")}
    params = {"z": ["n"], "c": []}
    with pytest.raises(ArtifactError) as refused:
        solved(
            [stage("minimize", ("newton", {}), **fields, batch={"n": 3}, steps=3)],
            functions,
            params,
            data={"Y": ["n"]},
            given={"Y": Y},
        )
    assert "method 'newton' has no memory for single rows of 'z'" in str(refused.value)
    with pytest.raises(DataError) as caught:
        solved(
            [stage("minimize", ("sgd", {"lr": 0.1}), **fields, batch={"n": 13}, steps=3)],
            functions,
            params,
            data={"Y": ["n"]},
            given={"Y": Y},
        )
    assert caught.value.code == "VS0520"


# --- draws and histories ------------------------------------------------------------------------------------------


def test_entries_of_a_step_share_its_draws() -> None:
    def noisy(w, key):
        return jnp.sum(w * jax.random.normal(key, (3,)))

    def remember(b, key):
        return {"b": jax.random.normal(key, (3,))[0]}

    def outputs(w, b, key):
        return {"draw": jax.random.normal(key, (3,))[0], "kept": b}

    functions = {
        "initial": start(w=[0.0, 0.0, 0.0], b=0.0),
        **derivatives(noisy, ["w"]),
        "remember": remember,
        "outputs": outputs,
    }
    fields = {"over": ["w"], "names": ["noisy"], "entries": roles("noisy"), "update": ["remember"]}
    plan = [stage("minimize", ("sgd", {"lr": 1.0}), **fields, steps=6)]
    every = {"draw": {"every": 1}, "kept": {"every": 1}}
    result = solved(plan, functions, WB, kinds={"remember": "update"}, outputs=every)
    np.testing.assert_array_equal(result.outputs["draw"][1:], result.outputs["kept"][1:])
    assert len({*result.outputs["draw"].tolist()}) == 7
    close(result.params["w"][0], -np.sum(result.outputs["draw"][1:]))


def test_histories() -> None:
    def up(b):
        return {"b": b + 1}

    def outputs(b, w):
        return {"b": b, "pair": jnp.stack([b, 2 * b]), "last": b, "slow": b}

    functions = {"initial": start(b=0.0, w=[0.0, 0.0, 0.0]), "up": up, "outputs": outputs}
    every = {"b": {"every": 3}, "pair": {"every": 4, "axes": ["p"]}, "last": {}, "slow": {"every": 1000}}
    plan = [stage("update", update=["up"], steps=10), stage("update", update=["up"], steps=2500)]
    result = solved(plan, functions, WB, kinds={"up": "update"}, outputs=every)
    steps = [0, 3, 6, 9, 10, *range(13, 2510, 3), 2510]
    assert list(result.histories["b"]) == steps
    np.testing.assert_array_equal(result.outputs["b"], steps)
    assert result.outputs["pair"].shape == (len(result.histories["pair"]), 2)
    np.testing.assert_array_equal(result.outputs["pair"][:, 1], 2.0 * np.asarray(result.histories["pair"]))
    assert list(result.histories["slow"]) == [0, 10, 1010, 2010, 2510]
    assert result.outputs["last"] == 2510


def test_a_history_of_epochs_is_of_all_rows() -> None:
    def outputs(w, X, Y):
        return {"whole": jnp.mean((X @ w - Y) ** 2)}

    functions = {"initial": start(w=[0.0, 0.0, 0.0]), **derivatives(fit, ["w"]), "outputs": outputs}
    fields = {"over": ["w"], "names": ["fit"], "entries": roles("fit"), "batch": {"n": 4}, "epochs": 5}
    plan = [stage("minimize", ("sgd", {"lr": 0.05}), **fields)]
    result = solved(plan, functions, {"w": ["i"]}, outputs={"whole": {"every": "epoch"}}, **BATCH)
    assert list(result.histories["whole"]) == [0, 3, 6, 9, 12, 15]
    close(result.outputs["whole"][0], np.mean(Y**2))
    close(result.outputs["whole"][-1], np.mean((X @ result.params["w"] - Y) ** 2))


def test_progress_of_a_repetition(capsys) -> None:
    def up(b):
        return {"b": b + 1}

    functions = {**LOSS, **derivatives(loss, ["w"]), "up": up}
    inside = [
        stage("minimize", ("sgd", {"lr": 0.05}), over=["w"], names=["loss"], entries=roles("loss"), name="down"),
        stage("update", update=["up"]),
        stage("evaluate", names=["loss"]),
    ]
    events: list[Event] = []
    made = program([stage("repeat", rounds=5, stages=inside)], functions, WB, kinds={"up": "update"}, sizes={"i": 3})
    result = run(made, progress=events.append)
    assert {(e.kind, e.name, e.part) for e in events} == {("minimize", "down", (0,)), ("update", "update b", (1,))}
    assert events[-1].step == events[-1].steps == 5
    assert events[-1].figures == "update b change 1.0e+00"
    console = Console(force_terminal=True, stderr=True, width=160)
    with terminal(console) as show:
        for event in events:
            show(event)
    shown = capsys.readouterr().err
    assert "repeat" in shown
    assert "update b change 1.0e+00" in shown
    lines = result.stages[0].lines()
    assert lines[0].startswith("repeat: steps after 5 rounds in ")
    assert lines[1].startswith("  down: minimize loss by sgd: 5 steps, loss = ")
    assert lines[2:] == ["  update b: 5 steps, last change 1.0e+00", "  evaluate loss"]
    assert repr(result).startswith("RunResult('made': repeat: steps after 5 rounds; no claims")


def test_what_a_run_writes_of_histories_and_facts(tmp_path) -> None:
    def up(b):
        return {"b": b + 1}

    def outputs(b):
        return {"b": b}

    functions = {"initial": LOSS["initial"], "up": up, "outputs": outputs}
    plan = [stage("update", update=["up"], steps=10, name="climb")]
    records = {"b": {"every": 4, "plot": "line"}}
    made = program(plan, functions, WB, kinds={"up": "update"}, outputs=records, sizes={"i": 3})
    made.manifest["program"] = {"file": "program.py", "sha256": ""}  # type: ignore[index]
    result = run(made, out=tmp_path / "out")
    said = json.loads((tmp_path / "out" / "run.json").read_text())
    assert said["histories"] == {"b": [0, 4, 8, 10]}
    assert said["facts"]["steps"] == 10
    assert said["facts"]["stages"]["climb"]["reason"] == "steps"
    with np.load(tmp_path / "out" / "outputs.npz") as written:
        np.testing.assert_array_equal(written["b"], [0.5, 4.5, 8.5, 10.5])
    assert json.loads((tmp_path / "out" / "outputs.json").read_text()) == {}
    assert (tmp_path / "out" / "b.png").stat().st_size > 3000
    assert result.metrics[-1] == {"stage": 0, "start": 0, "step": 10, "change": 1.0}


def test_without_stages_a_history_is_one_row() -> None:
    def outputs(b):
        return {"b": b}

    functions = {"initial": LOSS["initial"], "outputs": outputs}
    for plan in ([], [stage("evaluate", names=["b"])]):
        result = solved(plan, functions, WB, outputs={"b": {"every": 2}})
        np.testing.assert_array_equal(result.outputs["b"], [0.5])
