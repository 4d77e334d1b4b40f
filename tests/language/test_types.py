"""Element types and the conversions that arithmetic needs."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, diagnose, good, shown
from vspec.compiler.language.operators import POINTWISE, REDUCTIONS

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


COMPLEX = BASE + "  u[n]: complex\n  A[n, k]: {type: complex}\nparams:\n  w[n]: {init: 1, type: complex}\n"


@pytest.mark.parametrize(
    ("text", "tree", "dtype"),
    [
        ("u[n] + z[n]", "add(u[n], real(z[n]))", "complex"),
        ("2j*x[n]", "mul(2j, x[n])", "complex"),
        ("-1j*m", "mul(-1j, real(m))", "complex"),
        ("u[n]**2", "pow(u[n], 2)", "complex"),
        ("x[n]**u[n]", "pow(x[n], u[n])", "complex"),
        ("abs(u[n])", "abs(u[n])", "real"),
        ("re(u[n])", "re(u[n])", "real"),
        ("re(z[n])", "real(z[n])", "real"),
        ("conj(x[n])", "x[n]", "real"),
        ("im(x[n])", "im(x[n])", "real"),
        ("arg(u[n])", "arg(u[n])", "real"),
        ("u[n] == 1", "eq(u[n], 1)", "boolean"),
        ("u[n] if f[n] else z[n]", "where(f[n], u[n], real(z[n]))", "complex"),
        ("(u[n] != w[n])*u[n]", "mul(real(ne(u[n], w[n])), u[n])", "complex"),
        ("stop(w[n])", "stop(w[n])", "complex"),
        ("exp(u[n]) + mean[k](A[n, k])", "add(exp(u[n]), mean[k](A[n, k]))", "complex"),
        ("norm[k](A[n, k]) + var[k](A[n, k])", "add(norm[k](A[n, k]), var[k](A[n, k]))", "real"),
        ("d(abs(w[n])**2, w[n])", "d(pow(abs(w[n]), 2), w[n])", "complex"),
        ("d(u[n]*x[n], x[n])", "d(mul(u[n], x[n]), x[n])", "complex"),
    ],
)
def test_complex(text: str, tree: str, dtype: str) -> None:
    spec = good(COMPLEX + f"define:\n  a[n]: {text}\n")
    assert shown(spec, "a") == tree
    assert definition(spec, "a").dtype == dtype


NO_COMPLEX = (
    *("u[n] < 1", "u[n] >= u[n]", "u[n] % 2", "u[n]//2", "real(u[n])", "max(u[n], 1)", "clip(u[n], 0, 1)"),
    *("max[k](A[n, k])", "real(argmax[k](A[n, k]))", "logsumexp[k](A[n, k])", "softmax[n](u[n])", "cumsum[n](u[n])"),
)


@pytest.mark.parametrize("text", NO_COMPLEX)
def test_what_complex_numbers_do_not_have(text: str) -> None:
    assert codes(COMPLEX + f"define:\n  a[n]: {text}\n") == ["VS0350"]


@pytest.mark.parametrize("op", sorted(set(POINTWISE) | set(REDUCTIONS)))
def test_an_operation_takes_complex_numbers_only_if_it_says_so(op: str) -> None:
    if op in POINTWISE:
        entry = POINTWISE[op]
        if not entry.callable or op == "where":
            return
        text = f"{op}({', '.join(['u[n]'] * entry.least)})"
        support = entry.complex
    else:
        text, support = f"{op}[k](A[n, k])", REDUCTIONS[op].complex
    spec, found = diagnose(COMPLEX + f"define:\n  a[n]: {text}\n")
    assert (spec is not None) == bool(support), [d.message for d in found]
    if spec is not None:
        assert definition(spec, "a").dtype == support
