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


# --- results with axes ----------------------------------------------------------------------------------------------

LAYER = BASE + "functions:\n  layer(a[:]) -> [k]: tanh(sum[i](a[i]*w[i])*index(k))\n"


def test_a_result_is_a_hidden_definition_that_subscripts_read() -> None:
    spec = good(LAYER + "define:\n  g[n]: layer(X[n, :])[0] + layer(X[n, :])[1]\n")
    assert order(spec) == ["_layer1", "_layer2", "g"]
    made = definition(spec, "_layer1")
    assert made.hidden
    assert made.letters == ("n", "k")
    assert show(made.body) == "tanh(mul(sum[i](mul(X[n, i], w[i])), real(index(k))))"
    assert shown(spec, "g") == "add(_layer1[n, 0], _layer2[n, 1])"


def test_a_call_that_is_all_of_a_definition_needs_no_other() -> None:
    spec = good(LAYER + "define:\n  g[n, k]: layer(X[n, :])[k]\n  h[n]: sum[k](layer(X[n, :])[k])\n")
    assert order(spec) == ["g", "_layer1", "h"]
    assert shown(spec, "g") == "tanh(mul(sum[i](mul(X[n, i], w[i])), real(index(k))))"
    assert shown(spec, "h") == "sum[k](_layer1[n, k])"
    functions = BASE + "functions:\n  f(a[:]) -> [i, j]: a[i]*a[j]**2\ndefine:\n"
    assert shown(good(functions + "  g[j, i]: f(x[:])[j, i]\n"), "g") == "mul(x[j], pow(x[i], 2))"
    assert shown(good(functions + "  g[i]: f(x[:])[i, i]\n"), "g") == "_f1[i, i]"
    assert shown(good(functions + "  g[k, i]: f(x[:])[k + 1, i]\n"), "g") == "_f1[k + 1, i]"
    assert shown(good(functions + "  g[n, i]: f(X[:, i])[0, 1]\n".replace("[:, i]", "[n, :]")), "g") == "_f1[n, 0, 1]"


def test_letters_of_a_result_capture_nothing() -> None:
    spec = good(BASE + "functions:\n  f(a) -> [i]: a*w[i]\ndefine:\n  g[i, j]: f(x[i])[j]\n  h[i, j]: f(x[j])[i]\n")
    assert shown(spec, "g") == "mul(x[i], w[j])"
    assert shown(spec, "h") == "mul(x[j], w[i])"
    spec = good(BASE + "functions:\n  f(a) -> [i]: a*w[i]\ndefine:\n  g[i]: f(x[i])[0] + f(x[i])[i]\n")
    made = definition(spec, "_f1")
    assert made.letters[0] == "i"
    assert made.letters[1].startswith("_")
    assert show(made.body) == f"mul(x[i], w[{made.letters[1]}])"
    assert shown(spec, "g") == "add(_f1[i, 0], _f2[i, i])"
    # A binder of the body may bind the letter of the result once more, as in definitions.
    spec = good(BASE + "functions:\n  f(a[:]) -> [i]: a[i] - mean[i](a[i])\ndefine:\n  g[i]: f(x[:])[i]\n")
    assert definition(spec, "g").body.axes == ("i",)


def test_a_body_that_lacks_a_letter_of_its_result_broadcasts() -> None:
    spec = good(BASE + "functions:\n  f(a) -> [k]: 2*a\ndefine:\n  g[n, k]: f(y[n])[k]\n  h[n]: f(y[n])[1]\n")
    assert definition(spec, "g").letters == ("n", "k")
    assert definition(spec, "_f1").letters == ("n", "k")
    assert definition(spec, "_f1").body.axes == ("n",)


def test_whole_results_are_arguments() -> None:
    functions = "  up(a[:]) -> [k]: a[0]*index(k)\n  down(h[:]) -> [i]: h[0]*w[i]\n  norm2(a[:]): sum[i](a[i]**2)\n"
    spec = good(BASE + "functions:\n" + functions + "define:\n  g[n]: norm2(down(up(X[n, :])[:])[:])\n")
    assert order(spec) == ["_up1", "_down2", "g"]
    assert shown(spec, "_down2") == "mul(_up1[n, 0], w[i])"
    assert definition(spec, "_down2").letters == ("n", "i")
    body = shown(spec, "g")
    assert body.startswith("sum[")
    assert "_down2[n, " in body


def test_functions_of_functions_with_axes() -> None:
    functions = "  outer(a[:], b[:]) -> [i, j]: a[i]*b[j]\n  again(a[:]) -> [i, j]: outer(a[:], 2*a[:])[j, i]\n"
    spec = good(
        BASE + "functions:\n" + functions + "define:\n  g[i, j]: again(x[:])[i, j]\n  t: trace(again(w[:])[:, :])\n"
    )
    assert shown(spec, "g") == "mul(x[j], mul(2, x[i]))"
    assert order(spec) == ["g", "_again1", "t"]


def test_derivatives_of_results() -> None:
    functions = "functions:\n  F(a[:]) -> [i]: a[i]**3\n  jac(a[:]) -> [i, j]: d(F(a[:])[i], a[j])\n"
    spec = good(
        BASE + functions + "define:\n  div[n]: sum[i](d(F(X[n, :])[i], X[n, i]))\n  J[i, j]: jac(2*x[:])[i, j]\n"
    )
    assert shown(spec, "div") == "sum[i](d(_F1[n, i], X[n, i]))"
    assert order(spec) == ["_F1", "div", "_arg2", "_F3", "J"]
    assert shown(spec, "J") == "d(_F3[i], _arg2[j])"


def test_results_in_a_step_are_part_of_it() -> None:
    text = "dims: {t: 4, i: 3}\nfunctions:\n  f(a[:]) -> [i]: sin(a[i])\n  g(a[:]) -> [i]: f(a[:])[i] + f(a[:])[0]\ndefine:\n"
    spec = good(text + "  s[0, i]: 1\n  s[t + 1, i]: g(s[t, :])[i]\n  r[i]: g(s[-1, :])[i]\n")
    inner = recurrence(spec, "s").inner
    assert [d.name for d in inner] == ["_f1", "_f2"]
    assert inner[0].letters == ("t", "i")
    # The letter of the result may be the one that is stepped over.
    text = "dims: {t: 4, u: 4}\nfunctions:\n  f(a) -> [t]: a*index(t)\ndefine:\n"
    spec = good(text + "  s[0]: 1\n  s[t + 1]: s[t] + f(s[t])[2] + f(2.0)[t]\n")
    assert [len(d.letters) for d in recurrence(spec, "s").inner] == [2]
    assert order(spec) == ["_f2", "s"]


def test_results_in_inits_outputs_and_claims() -> None:
    text = BASE.replace("{init: 0}", "{init: 'f(2.0)[i]'}") + "functions:\n  f(a) -> [i]: a*index(i)\n"
    text += "outputs:\n  o[i]: f(y[0])[i]\nclaims:\n  c: f(1)[2] == 2\n"
    spec = good(text + "  linear: {identity: 'f(y[n])[i] == y[n]*f(1)[i]', tolerance: 1e-6}\n")
    assert order(spec)[0] == "_f1"
    assert show(spec.params["w"].init) == "_f1[i]"


def test_mistakes_in_results() -> None:
    assert codes(LAYER + "define:\n  g[n]: layer(X[n, :])\n") == ["VS0206"]
    assert codes(LAYER + "define:\n  g[n]: layer(X[n, :])[0, 1]\n") == ["VS0206"]
    assert codes(LAYER + "define:\n  g[n]: layer(X[n, :])[:]\n") == ["VS0212"]
    assert codes(LAYER + "define:\n  g[n, i]: layer(X[n, :])[i]\n") == ["VS0208"]
    assert codes(LAYER + "define:\n  g[n]: layer(X[n, :])[2]\n") == ["VS0207"]
    assert codes(LAYER + "define:\n  g[n]: layer(X[n, :])[y[0]]\n") == ["VS0218"]
    assert codes(LAYER + "define:\n  g[n]: layer(X[n, :])[k]\n") == ["VS0203"]
    assert codes(LAYER + "define:\n  g[n]: d(y[n], layer(X[n, :])[0])\n") == ["VS0224"]
    for wrong in ("f(a) -> [q]", "f(a) -> [i, i]", "f(a) -> k", "f(a) ->", "f(a) -> []", "f(a) -> [2]", "f(a -> [k]"):
        assert len(codes(BASE + f"functions:\n  {wrong}: a\ndefine:\n  g: f(1)[0]\n")) == 1, wrong


# --- functions as arguments -----------------------------------------------------------------------------------------

TWICE = BASE + "functions:\n  twice(f(a), v): f(f(v))\n  cube(v): v**3\n"


def test_declared_and_built_in_functions_are_arguments() -> None:
    spec = good(TWICE + "define:\n  g[i]: twice(tanh, w[i])\n  h[i]: twice(cube, w[i])\n")
    assert shown(spec, "g") == "tanh(tanh(w[i]))"
    assert order(spec) == ["g", "h"]
    assert shown(spec, "h") == "pow(pow(w[i], 3), 3)"
    spec = good(BASE + "functions:\n  fold(f(a, b), u, v): f(u, v)\ndefine:\n  g[i]: fold(max, w[i], x[i])\n")
    assert shown(spec, "g") == "maximum(w[i], x[i])"


def test_functions_of_whole_axes_are_arguments() -> None:
    functions = "  rate(e(a[:]), v[:]): e(v[:])/size(i)\n  norm2(a[:]): sum[i](a[i]**2)\n"
    functions += "  both(e(a[:]), v[:]): rate(e, v[:]) + e(v[:])\n"
    spec = good(BASE + "functions:\n" + functions + "define:\n  g[n]: both(norm2, X[n, :])\n")
    assert definition(spec, "g").body.axes == ("n",)
    functions = "  euler(v(a[:])[:], s[:]) -> [i]: s[i] + 0.1*v(s[:])[i]\n  field(a[:]) -> [i]: -a[i]\n"
    spec = good(BASE + "functions:\n" + functions + "define:\n  g[n, i]: euler(field, X[n, :])[i]\n")
    assert shown(spec, "g") == "add(X[n, i], mul(0.1, _field1[n, i]))"


def test_derivatives_of_function_arguments() -> None:
    functions = (
        "functions:\n  slope(f(a), v): d(f(v), v)\n  cube(v): v**3\n  grad(e(a[:]), v[:]) -> [i]: d(e(v[:]), v[i])\n"
    )
    functions += "  norm2(a[:]): sum[i](a[i]**2)\n"
    spec = good(
        BASE
        + functions
        + "define:\n  g[i]: slope(tanh, w[i])\n  h[i]: slope(cube, 2*w[i])\n  e[i]: grad(norm2, w[:])[i]\n"
    )
    assert shown(spec, "g") == "d(tanh(w[i]), w[i])"
    assert shown(spec, "h") == "d(pow(_arg1[i], 3), _arg1[i])"
    assert shown(spec, "e").startswith("d(sum[")


def test_names_of_function_arguments_shadow_others() -> None:
    spec = good(BASE + "functions:\n  cube(v): v**3\n  apply(cube(a), v): cube(v)\ndefine:\n  g: apply(exp, 2.0)\n")
    assert shown(spec, "g") == "exp(2.0)"
    # The formal is not the function of that name: this is no recursion.
    functions = "functions:\n  f(g(a), v): g(v)\n  g(v): f(sin, v)\n"
    assert shown(good(BASE + functions + "define:\n  h: g(2.0)\n"), "h") == "sin(2.0)"


def test_equations_that_functions_read_come_first() -> None:
    text = (
        BASE
        + "functions:\n  twice(f(a), v): f(f(v))\n  scaled(v): s*v\ndefine:\n  g: twice(scaled, 2.0)\n  s: w[0]**2\n"
    )
    assert order(good(text)) == ["s", "g"]
    assert codes(text.replace("w[0]**2", "g")) == ["VS0223"]


def test_no_recursion_through_arguments() -> None:
    assert codes("functions:\n  t(f(a), v): f(v)\n  g(v): t(g, v)\ndefine:\n  a: g(1)\n") == ["VS0222"]
    functions = "functions:\n  t(f(a), v): f(v)\n  g(v): t(h, v)\n  h(v): t(g, v)\ndefine:\n  a: g(1)\n"
    assert codes(functions) == ["VS0222"]


def test_expansion_through_arguments_is_bounded() -> None:
    functions = "functions:\n  t0(f(a), x): f(f(x))\n" + "".join(
        f"  t{k}(f(a), x): t{k - 1}(f, t{k - 1}(f, x)) + t{k - 1}(f, x)\n" for k in range(1, 30)
    )
    start = time.perf_counter()
    assert codes(functions + "define:\n  a: t29(sin, 1.0)\n") == ["VS0724"]
    assert time.perf_counter() - start < 10


def test_mistakes_in_function_arguments() -> None:
    for wrong in (
        "twice(2, 1.0)",
        "twice(w[0], 1.0)",
        "twice(tan_, 1.0)",
        "twice(sin(1), 1.0)",
        "twice(sum, 1.0)",
        "twice(i, 1)",
    ):
        assert codes(TWICE + f"define:\n  g: {wrong}\n") == ["VS0346"], wrong
    for wrong in ("twice(max, 1.0)", "twice(twice, 1.0)", "twice(atan2, 1.0)"):
        assert codes(TWICE + f"define:\n  g: {wrong}\n") == ["VS0347"], wrong
    assert codes(TWICE + "define:\n  g: twice(sin)\n") == ["VS0215"]
    for body, code in (
        ("f + v", "VS0217"),
        ("f[0]", "VS0217"),
        ("f(v, v)", "VS0215"),
        ("f(a=v)", "VS0215"),
        ("f(v)[0]", "VS0206"),
        ("f[i](v)", "VS0216"),
    ):
        assert codes(BASE + f"functions:\n  h(f(a), v): {body}\ndefine:\n  g: h(sin, 1.0)\n") == [code], body
    for wrong in (
        "h(f(g(a)), v)",
        "h(f(), v)",
        "h(f(2), v)",
        "h(f(a)[i], v)",
        "h(sin(a), v)",
        "h(f(a), f)",
        "h(i(a), v)",
    ):
        assert len(codes(BASE + f"functions:\n  {wrong}: v\ndefine:\n  g: h(exp, 1.0)\n")) == 1, wrong
