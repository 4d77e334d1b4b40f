"""Recurrences: states that advance together, what is part of their step, what is refused."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, good, order, recurrence, show, shown
from vspec.compiler.language.spec import Definition, Recurrence

DIMS = "dims: {t: 5, u: 4, i: 3, 'a, b': 2}\n"


def test_one_state() -> None:
    spec = good(DIMS + "define:\n  s[0, i]: 1\n  s[t + 1, i]: s[t, i]/2\n  last[i]: s[-1, i]\n")
    r = recurrence(spec, "s")
    (state,) = r.states
    assert (r.letter, state.letters, state.time, state.dtype) == ("t", ("t", "i"), 0, "real")
    assert (show(state.init), show(state.step)) == ("1", "div(s[t, i], 2)")
    assert order(spec) == ["s", "last"]


def test_lines_in_any_order_and_at_any_axis() -> None:
    spec = good(DIMS + "define:\n  s[i, t + 1]: s[i, t]\n  s[i, 0]: 1\n")
    assert recurrence(spec, "s").states[0].time == 1


def test_a_start_may_use_another_letter_of_the_dim() -> None:
    text = (
        DIMS + "data:\n  M[a, b]: real\ndefine:\n  s[0, a]: sum[b](M[a, b])\n  s[t + 1, b]: sum[a](s[t, a]*M[a, b])\n"
    )
    (state,) = recurrence(good(text), "s").states
    assert state.letters == ("t", "b")
    fresh = show(state.init).split("[")[1].split("]")[0]
    assert show(state.init) == f"sum[{fresh}](M[b, {fresh}])"
    assert fresh != "b"


def test_coupled_states_and_inner_definitions() -> None:
    text = DIMS + (
        "define:\n  p[0]: 1\n  q[0]: 0\n  force[t]: -p[t]\n  twice[t]: 2*force[t]\n"
        "  p[t + 1]: p[t] + q[t]\n  q[t + 1]: q[t] + twice[t]\n  energy[t]: p[t]**2 + force[t]\n"
    )
    spec = good(text)
    r = recurrence(spec, "p")
    assert {s.name for s in r.states} == {"p", "q"}
    assert [d.name for d in r.inner] == ["force", "twice"]
    assert order(spec) == ["p+q", "energy"]


def test_independent_states_are_recurrences_of_their_own() -> None:
    text = DIMS + "define:\n  s[0]: 1\n  s[t + 1]: s[t]/2\n  r[0]: s[-1]\n  r[u + 1]: r[u] + s[u]\n"
    spec = good(text)
    assert order(spec) == ["s", "r"]
    assert all(isinstance(e, Recurrence) for e in spec.equations)


def test_the_step_stops_before_the_last_time() -> None:
    text = DIMS + "data:\n  f[t]: real\n  g[u]: real\ndefine:\n  s[0]: 1\n  s[t + 1]: s[t] + f[t + 1] + g[t]\n"
    step = recurrence(good(text), "s").states[0].step
    assert show(step) == "add(add(s[t], f[t + 1]), g[t])"
    assert codes(text.replace("t + 1] + g", "t + 2] + g")) == ["VS0207"]


def test_derivatives_by_the_state() -> None:
    text = (
        DIMS
        + "functions:\n  E0(x[:]): sum[i](x[i]**4)\ndefine:\n  s[0, i]: 1\n  s[t + 1, i]: s[t, i] - d(E0(s[t, :]), s[t, i])\n"
    )
    step = show(recurrence(good(text), "s").states[0].step)
    letter = step.split("sum[")[1].split("]")[0]
    assert step == f"sub(s[t, i], d(sum[{letter}](pow(s[t, {letter}], 4)), s[t, i]))"
    assert letter != "i"


def test_a_sum_over_time_inside_the_step_gets_its_own_letter() -> None:
    text = DIMS + "data:\n  f[t]: real\ndefine:\n  s[0]: 1\n  s[t + 1]: s[t] + sum[t](f[t])\n"
    step = show(recurrence(good(text), "s").states[0].step)
    assert "sum[_1](f[_1])" in step


@pytest.mark.parametrize(
    ("init", "step", "dtype"),
    [
        ("1", "s[t]/2", "real"),
        ("1", "s[t] + 1", "real"),
        ("k", "s[t] + 1", "integer"),
        ("k", "s[t]/2", "real"),
        ("1 > 2", "not s[t]", "boolean"),
    ],
)
def test_types_of_states(init: str, step: str, dtype: str) -> None:
    spec = good(DIMS + f"constants: {{k: 1}}\ndefine:\n  s[0]: {init}\n  s[t + 1]: {step}\n")
    assert recurrence(spec, "s").states[0].dtype == dtype


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("  s[t + 1]: s[t]\n", ["VS0306"]),
        ("  s[0]: 1\n", ["VS0307"]),
        ("  s[0]: 1\n  s[t]: 1\n", ["VS0308"]),
        ("  s[0]: 1\n  s[t + 2]: s[t]\n", ["VS0308"]),
        ("  s[0]: 1\n  s[t + 1]: s[t + 1]\n", ["VS0207", "VS0309"]),
        ("  s[0]: 1\n  s[t + 1]: s[-1]\n", ["VS0309"]),
        ("  s[0]: 1\n  s[t + 1]: s[t] + c\n  c: sum[t](s[t])\n", ["VS0309"]),
        ("  s[0]: c\n  s[t + 1]: s[t]\n  c: s[-1]\n", ["VS0309"]),
        ("  s[0]: 1 > 2\n  s[t + 1]: 1.0\n", ["VS0303"]),
        ("  s[0]: 1\n  s[0]: 2\n  s[t + 1]: s[t]\n", ["VS0111"]),
        ("  s[0]: 1\n  s[t + 1]: x[t] + s[t]\n  x[t]: y[t]\n  y[t]: x[t] + s[t]\n", ["VS0223"]),
        ("  f[0]: 1\n  f[2]: 2\n", ["VS0340"]),
        ("  s[0]: 1\n  s[t + 1]: {is: 's[t]', until: 's[t]'}\n", ["VS0301"]),
        ("  s[0]: 1\n  s[t + 1]: {is: 's[t]', adjoint: reverse}\n", ["VS0133"]),
    ],
)
def test_refused(lines: str, expected: list[str]) -> None:
    found = codes(DIMS + "define:\n" + lines)
    assert set(found) <= set(expected)
    assert found


def test_definitions_are_ordered_whatever_their_order_in_the_file() -> None:
    spec = good("define:\n  c: b + 1\n  b: a + 1\n  a: 1\n")
    assert order(spec) == ["a", "b", "c"]


def test_a_definition_may_read_an_objective() -> None:
    spec = good(
        "params:\n  w: {init: 1}\ndefine:\n  slope: d(loss, w)\nobjectives:\n  loss: w**2\nsolve: {minimize: loss}\n"
    )
    assert order(spec) == ["loss", "slope"]
    assert show(spec.objectives["loss"].body) == "loss"
    assert definition(spec, "loss").hidden


def test_long_chains_need_no_recursion() -> None:
    count = 3000
    lines = "".join(f"  x{k}: x{k - 1}*1.01 + exp(-x{k - 1})\n" for k in range(count, 0, -1))
    spec = good("params:\n  x0: {init: 1}\ndefine:\n" + lines)
    assert order(spec) == [f"x{k}" for k in range(1, count + 1)]
    assert shown(spec, "x1") == "add(mul(x0, 1.01), exp(neg(x0)))"
    assert all(isinstance(e, Definition) for e in spec.equations)
