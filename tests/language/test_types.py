"""Element types and the conversions that arithmetic needs."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, good, shown

BASE = """
dims: {n: 4, k: 3}
constants: {m: 2, c: 0.5}
data:
  x[n]: real
  z[n]: integer
  f[n]: boolean
  S[n, k]: real
"""


@pytest.mark.parametrize(
    ("text", "tree", "dtype"),
    [
        ("2*x[n] + 1", "add(mul(2, x[n]), 1)", "real"),
        ("2*z[n] - 1", "sub(mul(2, z[n]), 1)", "integer"),
        ("z[n]*x[n]", "mul(real(z[n]), x[n])", "real"),
        ("z[n]/2", "div(real(z[n]), 2)", "real"),
        ("z[n]//2 % 3", "mod(floordiv(z[n], 2), 3)", "integer"),
        ("1/2", "div(1, 2)", "real"),
        ("x[n] > 0", "gt(x[n], 0)", "boolean"),
        ("(x[n] > 0)*x[n]", "mul(real(gt(x[n], 0)), x[n])", "real"),
        ("z[n]**2", "pow(z[n], 2)", "integer"),
        ("z[n]**-1", "pow(real(z[n]), -1)", "real"),
        ("x[n]**m", "pow(x[n], real(m))", "real"),
        ("x[n]**2", "pow(x[n], 2)", "real"),
        ("exp(z[n])", "exp(real(z[n]))", "real"),
        ("abs(z[n])", "abs(z[n])", "integer"),
        ("max(z[n], 1, x[n])", "maximum(real(maximum(z[n], 1)), x[n])", "real"),
        ("1 if f[n] else -1.0", "where(f[n], 1, -1.0)", "real"),
        ("f[n] == (x[n] > 0)", "eq(f[n], gt(x[n], 0))", "boolean"),
        ("f[n] == 1", "eq(real(f[n]), 1)", "boolean"),
        ("z[n] < x[n]", "lt(real(z[n]), x[n])", "boolean"),
        ("f[n] and not f[n]", "and(f[n], not(f[n]))", "boolean"),
        ("argmax[k](S[n, k])", "argmax[k](S[n, k])", "integer"),
        ("softmax[n](z[n])", "softmax[n](real(z[n]))", "real"),
        ("cumsum[n](x[n])", "cumsum[n](x[n])", "real"),
        ("pi*inf", "mul(3.141592653589793, inf)", "real"),
        ("stop(z[n])", "stop(z[n])", "integer"),
        ("where(f[n], x[n], 0)", "where(f[n], x[n], 0)", "real"),
    ],
)
def test_elementwise(text: str, tree: str, dtype: str) -> None:
    spec = good(BASE + f"define:\n  a[n]: {text}\n")
    assert shown(spec, "a") == tree
    assert definition(spec, "a").dtype == dtype


@pytest.mark.parametrize(
    ("text", "tree", "dtype"),
    [
        ("mean[n](x[n] > 0)", "mean[n](real(gt(x[n], 0)))", "real"),
        ("sum[n](f[n])", "sum[n](real(f[n]))", "real"),
        ("sum[n](z[n])", "sum[n](z[n])", "integer"),
        ("mean[n](z[n])", "mean[n](real(z[n]))", "real"),
        ("all[n](f[n])", "all[n](f[n])", "boolean"),
        ("max[n, k](S[n, k])", "max[n, k](S[n, k])", "real"),
        ("norm[n](z[n])", "norm[n](real(z[n]))", "real"),
    ],
)
def test_reductions(text: str, tree: str, dtype: str) -> None:
    spec = good(BASE + f"define:\n  a: {text}\n")
    assert shown(spec, "a") == tree
    assert definition(spec, "a").dtype == dtype


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1 if x[0] else 2", "VS0301"),
        ("any[n](z[n])", "VS0301"),
        ("d(c**2, m)", "VS0304"),
        ("d(m, c)", "VS0304"),
        ("d(c, sum[n](x[n]))", "VS0224"),
        ("x[x[0]]", "VS0218"),
        ("argmax[n, k](S[n, k])", "VS0216"),
    ],
)
def test_mismatches(text: str, code: str) -> None:
    assert codes(BASE + f"define:\n  a: {text}\n") == [code]


def test_derivatives_have_the_letters_of_both() -> None:
    spec = good(BASE + "define:\n  a[n]: x[n]**2\n  g[n, k]: d(a[n]*S[n, k], x[n])\n  h: d(c**2, c)\n")
    assert definition(spec, "g").body.axes == ("n", "k")
    assert shown(spec, "g") == "d(mul(a[n], S[n, k]), x[n])"
