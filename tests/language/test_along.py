"""Operations along an axis and order statistics in the checker; names of other systems."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, diagnose, good, recurrence, show, shown
from vspec.compiler.language.foreign import _HINTS, FOREIGN
from vspec.compiler.language.operators import BUILTINS
from vspec.compiler.language.spec import Definition

HEAD = "dims: {n: 4, 'i, j': 3, t: 5}\ndata:\n  X[n, i]: real\n  z[n]: integer\n  q: real\n"


@pytest.mark.parametrize(
    ("formula", "dtype"),
    [
        ("cumsum[n](z[n])", "integer"),
        ("cumprod[n](z[n])", "integer"),
        ("sort[n](z[n])", "integer"),
        ("argsort[n](z[n])", "integer"),
        ("argsort[n](X[n, 0])", "integer"),
        ("cumsum[n](X[n, 0])", "real"),
        ("sort[n](X[n, 0])", "real"),
        ("cumsum[n](X[n, 0] > 0)", "real"),
        ("softmax[n](z[n])", "real"),
        ("median[i](X[n, i])", "real"),
        ("quantile[n](z[n], 0.5) + 0*index(n)", "real"),
    ],
)
def test_types(formula: str, dtype: str) -> None:
    spec = good(HEAD + f"define:\n  y[n]: {formula}\n")
    assert definition(spec, "y").dtype == dtype


def test_a_level_brings_its_indices() -> None:
    spec = good(HEAD + "define:\n  y[i, n]: quantile[j](X[n, j], 1/(1 + index(i)))\n")
    assert definition(spec, "y").body.axes == ("n", "i")
    assert shown(spec, "y").startswith("quantile[j](X[n, j], div(")


def test_arguments_of_functions_reach_the_level() -> None:
    text = "functions:\n  spread(a[:], p): quantile[i](a[i], 1 - p) - quantile[i](a[i], p)\n"
    spec = good(HEAD + text + "define:\n  y[n]: spread(X[n, :], q)\n")
    assert "quantile[i](X[n, i], sub(1, q))" in shown(spec, "y")
    assert codes(HEAD + text + "define:\n  y[n]: spread(X[n, :], 3)\n") == ["VS0334"]


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ("quantile[n](X[n, 0], 1.5)", "VS0334"),
        ("quantile[n](X[n, 0], -1)", "VS0334"),
        ("quantile[n](X[n, 0], X[n, 0])", "VS0334"),
        ("quantile[n](X[n, 0], q > 0)", "VS0301"),
        ("quantile[n](X[n, 0])", "VS0215"),
        ("median[n, i](X[n, i])", "VS0216"),
        ("median[n](q)", "VS0210"),
        ("sum[n](sort[i](X[n, i]))", "VS0203"),
        ("sum[n](sort[n, i](X[n, i]))", "VS0216"),
        ("sum[n](cumsum[n](q))", "VS0210"),
        ("sum[n](X[n, argsort[i](X[n, i])])", "VS0203"),
    ],
)
def test_mistakes(formula: str, code: str) -> None:
    assert codes(HEAD + f"define:\n  y: {formula}\n") == [code]


def test_along_the_letter_of_a_step_is_outside_of_the_loop() -> None:
    spec = good(HEAD + "define:\n  s[0]: 0\n  s[t + 1]: s[t] + softmax[t](index(t)*q)\n")
    hidden = next(e for e in spec.equations if isinstance(e, Definition) and e.hidden)
    (letter,) = hidden.letters
    assert show(hidden.body) == f"softmax[{letter}](mul(real(index({letter})), q))"
    assert show(recurrence(spec, "s").states[0].step) == f"add(s[t], {hidden.name}[t])"


def test_along_the_letter_of_a_step_no_state_is_known() -> None:
    assert codes(HEAD + "define:\n  s[0]: 1\n  s[t + 1]: s[t]/cumsum[t](s[t])\n") == ["VS0309"]
    assert codes(HEAD + "define:\n  s[0]: 1\n  s[t + 1]: s[t]/median[t](s[t])\n") == ["VS0309"]


def test_foreign_names_have_one_hint_each_and_no_other_meaning() -> None:
    names = [name for group, _ in _HINTS for name in group.split()]
    assert len(names) == len(set(names))
    assert not set(names) & BUILTINS


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_name_is_told_what_to_write(name: str) -> None:
    _, found = diagnose(HEAD + f"define:\n  y: {name}(q)\n")
    assert [(d.code, tuple(d.help)) for d in found] == [("VS0214", (FOREIGN[name],))]


def test_a_foreign_name_may_be_declared() -> None:
    spec = good(HEAD + "functions:\n  std(a): a**2\ndefine:\n  y: std(q)\n")
    assert shown(spec, "y") == "pow(q, 2)"
