"""Functions of the spec: inlining without capture, whole axes, hidden definitions."""

from __future__ import annotations

import time

from tests.language.helpers import codes, definition, diagnose, good, order, recurrence, show, shown
from vspec.compiler.language.spec import Definition

BASE = """
dims: {n, m: 5, i, j: 3, k: 2}
data:
  X[n, i]: real
  x[i]: real
  y[n]: real
params:
  w[i]: {init: 0}
"""


def test_elements_with_slices() -> None:
    spec = good(
        BASE + "functions:\n  k2(a[:], b[:]): sum[i]((a[i] - b[i])**2)\ndefine:\n  K[n, m]: k2(X[n, :], X[m, :])\n"
    )
    assert shown(spec, "K") == "sum[i](pow(sub(X[n, i], X[m, i]), 2))"
    assert definition(spec, "K").body.axes == ("n", "m")


def test_a_bound_letter_of_the_body_does_not_capture_one_of_an_argument() -> None:
    spec = good(BASE + "functions:\n  f(a): sum[i](w[i]*a)\ndefine:\n  g[i]: f(x[i])\n")
    letter = next(x for x in spec.letters if x.startswith("_"))
    assert shown(spec, "g") == f"sum[{letter}](mul(w[{letter}], x[i]))"
    assert spec.letters[letter] == "i"


def test_nor_one_around_the_call() -> None:
    spec = good(BASE + "functions:\n  f(a[:]): sum[i](a[i]**2)\ndefine:\n  g: sum[i](w[i]*f(x[:]))\n")
    body = shown(spec, "g")
    assert body.startswith("sum[i](mul(w[i], sum[_")


def test_nested_calls_do_not_capture() -> None:
    functions = "functions:\n  s(a[:]): sum[i](a[i]*w[i])\n  t(a[:], c): sum[i](a[i]*c*s(a[:]))\n"
    spec = good(BASE + functions + "define:\n  g[i]: t(x[:], x[i])\n")
    body = definition(spec, "g").body
    assert body.axes == ("i",)
    # Three different letters: i is free, the two sums have their own.
    assert len({part for part in show(body).replace("]", "[").split("[") if part.startswith("_")}) == 2


def test_expressions_with_slices() -> None:
    spec = good(BASE + "functions:\n  f(a[:]): a[0]\ndefine:\n  g[n]: f(X[n, :]/2 + x[:])\n")
    assert shown(spec, "g") == "add(div(X[n, 0], 2), x[0])"


def test_subscripts_of_an_argument_are_composed() -> None:
    text = (
        BASE
        + "functions:\n  f(a[:]): sum[k](a[k + 1])\n  g(a[:]): a[-1]*a[0]\ndefine:\n  h[n]: f(X[n, :]) + g(X[n, :])\n"
    )
    assert shown(good(text), "h") == "add(sum[k](X[n, k + 1]), mul(X[n, -1], X[n, 0]))"


def test_a_letter_of_the_body_ranges_over_the_axis_of_the_argument() -> None:
    functions = "functions:\n  f(a[:]): sum[n](a[n]**2)/size(n)\n  g(a[:]): max[n](a[n])*f(a[:])\n"
    spec = good(BASE + functions + "define:\n  h: f(x[:])\n  p[n]: g(X[n, :])\n  q: f(y[:])\n")
    (letter,) = (x for x in definition(spec, "h").body.args[0].letters)  # type: ignore[attr-defined]
    assert spec.letters[letter] == "i"
    assert shown(spec, "h") == f"div(sum[{letter}](pow(x[{letter}], 2)), real(size(i)))"
    assert shown(spec, "q") == "div(sum[n](pow(y[n], 2)), real(size(n)))"


def test_a_letter_of_the_body_fits_all_that_it_stands_on() -> None:
    _, found = diagnose(BASE + "functions:\n  f(a[:]): sum[i](a[i]*w[i])\ndefine:\n  h: f(y[:])\n")
    assert [d.code for d in found] == ["VS0208"]
    assert found[0].message.startswith("in f, line 12, called here:")
    assert found[0].span is not None
    assert found[0].span.line == 14


def test_mistakes_in_a_body_are_reported_once() -> None:
    assert codes(BASE + "functions:\n  f(a): a + foo\ndefine:\n  g: f(1)\n  h: f(2)\n") == ["VS0201"]


def test_an_argument_read_twice_becomes_a_hidden_definition() -> None:
    spec = good(BASE + "functions:\n  f(a): a*a\ndefine:\n  g[n]: f(exp(y[n]))\n  h[n]: f(y[n])\n")
    assert order(spec) == ["_arg1", "g", "h"]
    assert definition(spec, "_arg1").hidden
    assert shown(spec, "_arg1") == "exp(y[n])"
    assert shown(spec, "g") == "mul(_arg1[n], _arg1[n])"
    assert shown(spec, "h") == "mul(y[n], y[n])"


def test_an_argument_that_is_differentiated_by_becomes_one() -> None:
    spec = good(
        BASE
        + "functions:\n  slope(a): d(a**3, a)\ndefine:\n  g[n]: slope(2*y[n])\n  h: slope(2)\n  p[n]: slope(y[n])\n"
    )
    assert shown(spec, "g") == "d(pow(_arg1[n], 3), _arg1[n])"
    assert shown(spec, "h") == "d(pow(_arg2, 3), _arg2)"
    assert definition(spec, "_arg2").dtype == "real"
    assert shown(spec, "p") == "d(pow(y[n], 3), y[n])"


def test_hidden_arrays_keep_their_slices() -> None:
    spec = good(BASE + "functions:\n  f(a[:]): sum[i](a[i]**2) + sum[i](a[i])\ndefine:\n  g[n]: f(X[n, :]/16)\n")
    made = definition(spec, "_arg1")
    assert made.letters[0] == "n"
    assert spec.letters[made.letters[1]] == "i"
    assert shown(spec, "g") == "add(sum[i](pow(_arg1[n, i], 2)), sum[i](_arg1[n, i]))"


def test_a_hidden_argument_in_a_step_is_part_of_it() -> None:
    text = "dims: {t: 4, i: 3}\nfunctions:\n  f(a[:]): sum[i](a[i]**2)*sum[i](a[i])\ndefine:\n"
    spec = good(text + "  s[0, i]: 1\n  s[t + 1, i]: s[t, i] - f(2*s[t, :])\n")
    r = recurrence(spec, "s")
    assert [d.name for d in r.inner] == ["_arg1"]
    assert r.inner[0].letters[0] == "t"
    assert not any(isinstance(e, Definition) for e in spec.equations)


def test_arguments_shadow_names_of_the_spec() -> None:
    spec = good(BASE + "functions:\n  f(x[:], y): sum[i](x[i]*y)\ndefine:\n  g: f(w[:], 2)\n")
    assert shown(spec, "g") == "sum[i](mul(w[i], 2))"


def test_scalar_functions_over_slices() -> None:
    text = BASE + "functions:\n  half(v): v/2\n  f(a[:]): sum[i](a[i])\ndefine:\n  g[n]: f(half(X[n, :]))\n"
    assert shown(good(text), "g") == "sum[i](div(X[n, i], 2))"


def test_expansion_is_bounded() -> None:
    functions = "functions:\n  f0(x): x + x\n" + "".join(
        f"  f{k}(x): f{k - 1}(f{k - 1}(x)) + f{k - 1}(x)\n" for k in range(1, 40)
    )
    start = time.perf_counter()
    assert codes(functions + "define:\n  a: f39(1.0)\n") == ["VS0724"]
    assert time.perf_counter() - start < 10


def test_recursion_and_forward_references() -> None:
    assert codes("functions:\n  f(x): f(x)\ndefine:\n  a: f(1)\n") == ["VS0222"]
    assert shown(good("functions:\n  f(x): g(x)\n  g(x): x + 1\ndefine:\n  a: f(1)\n"), "a") == "add(1, 1)"
