"""Implicit quantities that are not found end a run with what is left of their equations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vspec
from vspec.runtime.errors import NumericsError
from vspec.runtime.program import Program
from vspec.runtime.run import run

COMPILE_QUICKLY = True  # see conftest.py

HEAD = "vspec: 1\nname: t\nprecision: float64\n"

# There is a root where b <= 0 only.
ROOT = """
params: {b: {init: -1}}
define:
  r: root[y](y**2 + b, start=1)
"""
LEVELS = (0, 2)

Make = Callable[..., Program]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    def make(text: str, level: int = 2) -> Program:
        path = tmp_path / "t.yaml"
        path.write_text(HEAD + text)
        return vspec.compile(str(path), level=level)

    return make


def failure(program: Program, **options: Any) -> NumericsError:
    with pytest.raises(NumericsError) as caught:
        run(program, **options)
    return caught.value


def line_of(text: str, part: str) -> int:
    return next(k for k, line in enumerate((HEAD + text).splitlines(), 1) if part in line)


@pytest.mark.parametrize("level", LEVELS)
def test_at_the_start(made: Make, level: int) -> None:
    text = ROOT + "objectives: {loss: (r - 2)**2}\nsolve: {minimize: loss, method: newton}\n"
    error = failure(made(text, level), params={"b": 0.5})
    assert error.code == "VS0615"
    assert error.line == line_of(text, "root[y]")
    assert "'r' (root of y) was not found at the start of the stage 'minimize loss'" in error.message
    assert "after 100 steps of newton (tol: 1e-10)" in error.message
    assert "more `steps`" in error.help


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("method", ["sgd(lr=0.01)", "sgd(lr=0.002, momentum=0.9)"])
def test_in_a_step_of_a_method(made: Make, level: int, method: str) -> None:
    text = """
params: {c: {init: 0.5}}
define:
  r: fixed_point[y](c*y + 1, method=picard(), steps=60)
objectives: {loss: -r}
"""
    # From 0, the map differs from the unknown by c**k after k steps.
    momentum = 0.9 if "momentum" in method else 0.0
    lr = 0.002 if momentum else 0.01
    c, v, steps = 0.5, 0.0, 0
    while c**60 <= 1e-10:
        v = momentum * v - 1 / (1 - c) ** 2
        c, steps = c - lr * v, steps + 1
    program = made(text + f"solve: {{minimize: loss, method: '{method}', steps: 50}}\n", level)
    error = failure(program)
    assert error.code == "VS0615"
    assert f"'r' (fixed_point of y) was not found in step {steps} of the stage 'minimize loss'" in error.message
    assert (
        f"the map still differs from the unknown by {c**60:.3g} after 60 steps of picard (tol: 1e-10)" in error.message
    )


def test_in_a_step_that_others_share(made: Make) -> None:
    text = """
params: {b: {init: -1}, c: {init: 1}}
define:
  r: root[y](y**2 + b, start=1)
objectives: {loss: r - b, other: c**2}
solve:
  repeat: 20
  stages: [{minimize: loss, over: b, method: sgd(lr=0.1)}, {minimize: other, over: c, method: sgd(lr=0.1)}]
"""
    error = failure(made(text))
    assert error.code == "VS0615"
    assert "of round" in error.message
    assert "'minimize loss'" in error.message


@pytest.mark.parametrize("level", LEVELS)
def test_in_the_outputs_only(made: Make, level: int) -> None:
    text = """
params: {b: {init: 1}}
objectives: {loss: b**2}
define:
  r: root[y](y**2 + b + 1, start=1)
solve: {minimize: loss, method: newton}
outputs: {positive: 'where(r > 0, 1, 0)'}
"""
    error = failure(made(text, level))
    assert error.code == "VS0615"
    assert "was not found in the outputs" in error.message


@pytest.mark.parametrize("every", [1, 4])
def test_in_the_rows_of_a_history(made: Make, every: int) -> None:
    """There is no root while the param is large; where the stage begins and ends there is one."""
    text = f"""
params: {{b: {{init: -1}}}}
define:
  r: root[y](y**2 + 6*(1 - (b - 3)**2/4), start=3)
solve: {{update: {{b: b + 1}}, steps: 12}}
outputs:
  r: {{is: r, every: {every}}}
"""
    error = failure(made(text))
    assert error.code == "VS0615"
    # b is -1 + step: there is no root where 1 < b < 5.
    assert f"in the outputs after step {3 if every == 1 else 4} of the stage 'update b'" in error.message


def test_in_the_claims_only(made: Make) -> None:
    text = """
params: {b: {init: 1}}
objectives: {loss: b**2}
define:
  r: root[y](y**2 + b + 1, start=1)
solve: {minimize: loss, method: newton}
claims:
  small: not (r > 3)
"""
    error = failure(made(text))
    assert error.code == "VS0615"
    assert "was not found in the claims" in error.message


@pytest.mark.parametrize("level", LEVELS)
def test_a_batch_counts_those_that_failed_and_shows_the_worst(made: Make, level: int) -> None:
    text = """
dims: {i: 3, j: 2}
data:
  t[i]: {value: [-1, 0.5, -2]}
  u[j]: {value: [1, 40]}
params: {b: {init: 1}}
define:
  r[i, j]: fixed_point[y](y - 0.5*t[i]*u[j], start=1, method=picard(), steps=7)
objectives: {loss: 'sum[i, j](r[i, j]) + b**2'}
solve: {minimize: loss, method: lbfgs}
"""
    error = failure(made(text, level))
    assert error.code == "VS0615"
    assert error.line == line_of(text, "fixed_point[y]")
    assert "in 6 of 6 problems: in the worst, i = 2, j = 1," in error.message
    assert "the map still differs from the unknown by 40 after 7 steps of picard (tol: 1e-10)" in error.message


def test_some_of_a_batch(made: Make) -> None:
    text = """
dims: {i: 4}
data:
  t[i]: {value: [-1, 2, -3, 1]}
params: {b: {init: 1}}
define:
  r[i]: root[y](y**2 + b*t[i], start=1)
objectives: {loss: 'sum[i](r[i]) + b**2'}
solve: {minimize: loss, method: lbfgs}
"""
    error = failure(made(text))
    assert "in 2 of 4 problems: in the worst, i = " in error.message


def test_in_a_batch_of_rows(made: Make) -> None:
    text = """
dims: {n: auto}
data:
  t[n]: {value: [-1, -2, -3, -4, 0.5, -6]}
params: {b: {init: 1}}
define:
  r[n]: root[y](y**2 + b*t[n], start=1)
objectives: {loss: 'sum[n](r[n]) + b**2'}
solve: {minimize: loss, method: sgd(lr=0.01), epochs: 3, batch: {n: 2}}
"""
    error = failure(made(text))
    assert error.code == "VS0615"
    assert "in 1 of 2 problems" in error.message


@pytest.mark.parametrize("update", ["b + r", "b + where(r > 0, r, 0.5)"])
def test_in_an_update(made: Make, update: str) -> None:
    """The second one hides that there is no root: its last step is looked at nevertheless."""
    error = failure(made(ROOT + f"solve: {{update: {{b: '{update}'}}, steps: 10}}\n"))
    assert error.code == "VS0615"
    assert "of the stage 'update b'" in error.message


def test_where_it_is_hidden_from_the_objective(made: Make) -> None:
    text = ROOT + "objectives: {loss: 'where(r > 0, r, 0) + (b - 2)**2'}\nsolve: {minimize: loss, method: newton}\n"
    error = failure(made(text))
    assert error.code == "VS0615"
    assert "where the stage 'minimize loss' ends" in error.message


def test_starts_of_params_and_counts_of_stages(made: Make) -> None:
    text = """
constants: {c: 1}
params: {b: {init: 'root[y](y**2 + c, start=1)'}}
objectives: {loss: b**2}
solve: {minimize: loss, method: newton}
"""
    error = failure(made(text))
    assert error.code == "VS0615"
    assert "the root of y was not found in the starts of the params" in error.message
    assert run(made(text), constants={"c": -1}).stages[0].reason == "tolerance"


def test_starts_that_all_diverge(made: Make) -> None:
    text = (
        ROOT.replace("init: -1", "init: 1")
        + "objectives: {loss: r + b**2}\nsolve: {minimize: loss, method: lbfgs, starts: 3}\n"
    )
    assert failure(made(text.replace("y**2 + b", "y**2 + b**2 + 1"))).code == "VS0615"


def test_steps_that_a_search_along_a_line_rejects_are_no_failures(made: Make) -> None:
    text = ROOT + "objectives: {loss: r**2 - 0.5*log(r)}\nsolve: {minimize: loss, method: lbfgs}\noutputs: {r: r}\n"
    result = run(made(text))
    assert result.outputs["r"] == pytest.approx(0.5, abs=1e-6)


def test_a_recurrence_says_what_may_have_failed_in_its_steps(made: Make) -> None:
    text = """
dims: {t: 4}
params: {b: {init: 1}}
define:
  s[0]: 1
  s[t + 1]: root[y](y**2 + b + s[t], start=1)
objectives: {loss: 's[3]**2'}
solve: {minimize: loss, method: lbfgs}
"""
    error = failure(made(text))
    assert error.code == "VS0601"
    assert "the search for 's' in the steps of a recurrence may not have converged" in error.help


def test_a_run_that_finds_everything_asks_only_where_it_ends(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ROOT + "objectives: {loss: (r - 2)**2}\nsolve: {minimize: loss, method: newton}\noutputs: {r: r}\n"
    program = made(text)
    asked: list[str] = []
    call = Program.call

    def counted(self: Program, entry: str, *arguments: Any) -> Any:
        asked.append(entry)
        return call(self, entry, *arguments)

    monkeypatch.setattr(Program, "call", counted)
    assert run(program).outputs["r"] == pytest.approx(2, abs=1e-6)
    # Traced once, for the end of the stage, and kept for the outputs.
    assert asked.count("solves") == 1


@pytest.mark.parametrize("level", LEVELS)
def test_entries_with_the_same_searches_share_what_tells_of_them(made: Make, level: int) -> None:
    text = """  q: root[z](z**3 - b, start=1)
objectives: {loss: r**2}
solve: {minimize: loss, method: newton}
outputs: {q: q, r: r}
"""
    program = made(ROOT + text, level)
    asked = {e.name: e.solves for e in program.entries.values() if e.solves}
    assert asked.pop("outputs") == "solves_2"
    assert {"loss", "loss_gradient", "loss_newton"} <= asked.keys()
    assert {*asked.values()} == {"solves"}
    assert [*program.entries["solves"].problems] == ["r"]
    assert [*program.entries["solves_2"].problems] == ["r", "q"]
    told = program.solves_2(np.float64(-4.0))
    assert told["r"]["converged"]
    assert told["q"]["converged"]
    assert told["q"]["residual"] <= 1e-10
    assert 0 < told["r"]["steps"] < 20


def test_a_program_without_searches_has_no_such_entry(made: Make) -> None:
    program = made("params: {b: {init: 1}}\nobjectives: {loss: b**2}\nsolve: {minimize: loss, method: newton}\n")
    assert all(e.kind != "solves" and e.solves is None for e in program.entries.values())


def test_unrolled_steps_are_told_of_too(made: Make) -> None:
    text = ROOT.replace("start=1", "start=3, gradient=unrolled") + (
        "objectives: {loss: (r - 2)**2}\nsolve: {minimize: loss, method: lbfgs}\n"
    )
    assert failure(made(text), params={"b": 0.5}).code == "VS0615"
    assert run(made(text)).params["b"] == pytest.approx(-4, abs=1e-4)


def test_what_tells_is_exported(tmp_path: Path) -> None:
    text = ROOT + "objectives: {loss: (r - 2)**2}\nsolve: {minimize: loss, method: newton}\n"
    (tmp_path / "t.yaml").write_text(HEAD + text)
    vspec.build(str(tmp_path / "t.yaml"), out=tmp_path / "t")
    exported = vspec.load(tmp_path / "t").exported("solves")
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert bool(exported.call(np.float64(-4.0))["r"]["converged"])


def test_constraints_that_nothing_meets(made: Make) -> None:
    text = """
dims: {k: 2, n: 3}
constants: {top: 1.0, 'c[n]': [0.2, 0.7, -1.0]}
define:
  y[n, k]: argmin[a[k]](sum[k](a[k]**2), subject_to=[a[k] >= c[n], sum[k](a[k]) <= top])
outputs:
  y[n, k]: y[n, k]
"""
    error = failure(made(text))
    assert error.code == "VS0615"
    assert error.message.startswith(
        "'y' (argmin of a) was not found in the outputs in 1 of 3 problems: in the worst, n = 1, "
    )
    assert "the conditions of an optimum under its constraints" in error.message
    assert error.help.startswith("make sure that something meets its constraints")
