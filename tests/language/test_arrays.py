"""Arrays given row by row and stacked arrays: axes, sizes, types, order."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, diagnose, good, order, recurrence, shown
from vspec.compiler.language.expr import Rows, Stack

BASE = """
dims: {n, m: 5, i, j: 3, k: 2, a: auto, t: 4}
data:
  X[n, i]: real
  z[n]: {type: integer}
  u[a]: real
params:
  w[i]: {init: 0}
  b: {init: 0}
define:
"""


def test_rows_have_an_axis_of_their_own() -> None:
    spec = good(BASE + "  f[n, 1]: X[n, 1]\n  f[n, 0]: X[n, 0]**2\n  f[n, 2]: 2\n  f[n, 3]: b\n  g[n]: f[n, -1]\n")
    made = definition(spec, "f")
    assert made.letters == ("n", "_rows4")
    assert spec.dims["_rows4"].size == 4
    assert shown(spec, "f") == "rows[_rows4](pow(X[n, 0], 2), X[n, 1], 2, b)"
    assert made.body.axes == ("n", "_rows4")


def test_the_axis_is_over_the_dim_of_the_index_that_reads_it() -> None:
    spec = good(BASE + "  f[0, n]: X[n, 0]\n  f[1, n]: X[n, 1]\n  total[n]: sum[k](f[k, n])\n")
    assert definition(spec, "f").letters == ("k", "n")
    spec = good(BASE + "  f[n, 0]: X[n, 0]\n  f[n, 1]: X[n, 1]\n  f[n, 2]: b\n  g[n, j]: f[n, j]\n")
    assert definition(spec, "f").letters == ("n", "i")
    # The index has the right size but is on the left already.
    spec = good(BASE + "  f[i, 0]: w[i]\n  f[i, 1]: b\n  f[i, 2]: 2*w[i]\n  g[i]: f[i, i]\n")
    assert definition(spec, "f").letters == ("i", "j")


def test_any_index_of_that_size_may_stand_there() -> None:
    text = BASE + "  f[0]: b\n  f[1]: 1\n  f[2]: 2\n  total: sum[i](f[i]*w[i]) + logsumexp[j](f[j])\n"
    good(text)
    assert codes(text + "  wrong: sum[n](f[n])\n") == ["VS0208"]
    assert codes(text + "  wrong: sum[a](f[a])\n") == ["VS0208"]
    assert codes(text + "  wrong: f[3]\n") == ["VS0207"]
    # With another size of the dim, the rows no longer fit.
    assert codes(text, {"i": 4}) == ["VS0208", "VS0208"]


def test_rows_may_use_letters_of_their_own() -> None:
    spec = good(BASE + "  f[0, n, i]: X[n, i]\n  f[1, m, j]: X[m, j]*w[j]\n")
    assert shown(spec, "f") == "rows[_rows2](X[n, i], mul(X[n, i], w[i]))"


def test_entry_by_entry() -> None:
    spec = good(BASE + "  R[0, 0]: cos(b)\n  R[1, 0]: sin(b)\n  R[0, 1]: -sin(b)\n  R[1, 1]: cos(b)\n")
    assert shown(spec, "R") == "rows[_rows2](rows[_1](cos(b), neg(sin(b))), rows[_1](sin(b), cos(b)))"
    spec = good(BASE + "  T[0, n, 0]: X[n, 0]\n  T[0, n, 1]: 2\n  y[n]: T[0, n, 1]\n")
    assert definition(spec, "T").letters == ("_rows1", "n", "_rows2")
    assert definition(spec, "T").body.axes == ("_rows1", "n", "_rows2")
    spec = good(BASE + "  R[0, 0]: 1\n  R[0, 1]: 2\n  R[1, 0]: 3\n  R[1, 1]: 4\n  y: inv(R[:, :])[0, 1]\n")
    assert definition(spec, "R").dtype == "integer"


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        (("1", "2"), "integer"),
        (("z[n]", "index(n)"), "integer"),
        (("1", "X[n, 0]"), "real"),
        (("z[n]", "2.5"), "real"),
        (("z[n] > 1", "X[n, 0] < 2"), "boolean"),
        (("sum[i](X[n, i] > 0)", "X[n, 0]"), "real"),
        (("z[n] > 1", "z[n]"), "real"),
    ],
)
def test_types_meet(rows: tuple[str, str], dtype: str) -> None:
    spec = good(BASE + f"  f[n, 0]: {rows[0]}\n  f[n, 1]: {rows[1]}\n")
    assert definition(spec, "f").dtype == dtype
    assert definition(spec, "f").body.dtype == dtype


def test_a_condition_among_numbers_counts() -> None:
    spec = good(BASE + "  f[n, 0]: z[n] > 1\n  f[n, 1]: X[n, 0]\n")
    body = definition(spec, "f").body
    assert isinstance(body, Rows)
    assert [row.dtype for row in body.rows] == ["real", "real"]
    assert shown(spec, "f") == "rows[_rows2](real(gt(z[n], 1)), X[n, 0])"


def test_a_start_and_a_step_stay_a_recurrence() -> None:
    spec = good(BASE + "  s[0, i]: w[i]\n  s[t + 1, i]: 2*s[t, i]\n")
    assert recurrence(spec, "s").letter == "t"
    assert codes(BASE + "  s[0, i]: w[i]\n") == ["VS0307"]


def test_rows_may_be_part_of_a_step() -> None:
    spec = good(BASE + "  s[0]: b\n  s[t + 1]: s[t] + q[t, 0]*q[t, 1]\n  q[t, 0]: sin(s[t])\n  q[t, 1]: 2\n")
    (inner,) = recurrence(spec, "s").inner
    assert inner.name == "q"
    assert isinstance(inner.body, Rows)


def test_rows_are_one_definition_in_the_order_of_what_they_read() -> None:
    spec = good(BASE + "  y: f[0] + f[1]\n  f[0]: g\n  f[1]: 2\n  g: b**2\n")
    assert order(spec) == ["g", "f", "y"]
    assert codes(BASE + "  f[0]: b\n  f[1]: f[0]\n") == ["VS0223"]
    assert codes(BASE + "  f[0]: b\n  f[1]: g\n  g: f[0]\n") == ["VS0223"]


def test_a_mistake_in_a_row_is_reported_once() -> None:
    assert codes(BASE + "  f[0]: foo\n  f[1]: 2\n  y: f[0] + f[1]\n") == ["VS0201"]
    assert codes(BASE + "  f[0]: 1\n  f[2]: 2\n  y: f[0] + f[1]\n") == ["VS0340"]
    assert codes(BASE + "  f[0]: 1\n  f[i, 1]: 2\n  y: f[0] + f[1]\n") == ["VS0342"]
    assert codes(BASE + "  w[0]: 1\n  w[1]: 2\n") == ["VS0204"]
    assert codes(BASE + "  f[n, n, 0]: 1\n  f[n, n, 1]: 2\n") == ["VS0219"] * 2


def test_numbers_far_apart_are_refused_at_once() -> None:
    assert codes(BASE + "  f[0, 0, 0]: 1\n  f[1000000000, 1000000000, 99999999]: 2\n") == ["VS0340"]


STACKS = """
dims: {n: auto, i: 3, j: 2, k: auto, "p, q": auto, r: auto}
constants: {a: 0.5, c: 2}
data:
  X[n, i]: real
  g[p]: real
params:
  zeta: {init: 0}
  w[i]: {init: 0}
  W[i, j]: {init: 0}
  V[n, k]: {init: 0}
define:
"""


def test_a_stack_is_as_long_as_its_parts() -> None:
    spec = good(STACKS + "  theta[p]: stack(zeta, w[:], W[:, :], a)\n  y: sum[p](theta[p]*g[p])\n")
    assert spec.dims["p"].size == 1 + 3 + 6 + 1
    body = definition(spec, "theta").body
    assert isinstance(body, Stack)
    assert [len(b.core) for b in body.blocks] == [0, 1, 2, 0]
    assert body.axes == ("p",)
    assert shown(spec, "theta").startswith("stack[p](zeta, w[")


def test_sizes_that_are_open() -> None:
    spec = good(STACKS + "  theta[r]: stack(w[:], V[:, :], X[:, :], a)\n  y: theta[2] + sum[r](theta[r])\n")
    size = spec.dims["r"].size
    assert size is not None
    assert not isinstance(size, int)
    # The same entries along the same dim in another order, and a stack of a stack.
    more = "  other[r]: stack(zeta, X[:, :], w[:], V[:, :])\n  outer[p]: stack(theta[:], other[:])\n"
    assert not isinstance(good(STACKS + "  theta[r]: stack(w[:], V[:, :], X[:, :], a)\n" + more).dims["p"].size, int)
    wrong = "  other[r]: stack(zeta, X[:, :], V[:, :])\n"
    assert codes(STACKS + "  theta[r]: stack(w[:], V[:, :], X[:, :], a)\n" + wrong) == ["VS0345"]


def test_sizes_that_follow_from_a_stack() -> None:
    text = (
        STACKS.replace("r: auto", "r: p - 1") + "  theta[p]: stack(zeta, w[:])\n  y: sum[r](theta[r + 1] - theta[r])\n"
    )
    assert good(text).dims["r"].size == 3
    text = STACKS.replace("i: 3", "i: auto").replace("r: auto", "r: p - 1")
    good(text + "  theta[p]: stack(zeta, w[:])\n  y: sum[r](theta[r + 1] - theta[r])\n  x: sum[i](theta[i + 1]*w[i])\n")


def test_a_declared_size_is_checked() -> None:
    text = STACKS.replace('"p, q": auto', "p: 4")
    good(text + "  theta[p]: stack(zeta, w[:])\n")
    assert codes(text + "  theta[p]: stack(a, zeta, w[:])\n") == ["VS0345"]
    assert codes(STACKS + "  theta[p]: stack(zeta, w[:])\n", {"p": 5}) == ["VS0345"]
    assert codes(text + "  theta[p]: stack(V[:, :])\n") == ["VS0345"]


def test_stacks_of_anything_that_has_a_name() -> None:
    spec = good(STACKS + "  h[i, n]: X[n, i]*zeta\n  f[0]: zeta\n  f[1]: a\n  theta[r]: stack(f[:], h[:, :], c)\n")
    assert definition(spec, "theta").dtype == "real"
    assert order(spec) == ["h", "f", "theta"]
    spec = good(STACKS + "  theta[r]: stack(c)\n")
    assert definition(spec, "theta").dtype == "integer"
    assert codes(STACKS + "  theta[r]: stack(w[:], h[:])\n") == ["VS0201"]
    assert codes(STACKS + "  theta[r]: stack(w[:], theta[:])\n") == ["VS0345"]


def test_derivatives_by_a_stack_are_by_real_parts() -> None:
    text = STACKS + "  theta[p]: stack(c, w[:])\n  y: sum[p](theta[p]**2)\n"
    good(text)
    assert codes(text + "  e[p]: d(y, theta[p])\n") == ["VS0304"]
    spec = good(text.replace("c,", "a,") + "  e[p, q]: d(y, theta[p], theta[q])\n")
    assert shown(spec, "e") == "d(y, theta[p], theta[q])"


def test_a_mistake_in_a_stack_is_reported_once() -> None:
    for wrong in ("stack(w)", "stack(w[i])", "stack(2*w[:])", "stack(w[:], 1)", "stack(w[:], w[:])"):
        assert codes(STACKS + f"  theta[p]: {wrong}\n  y: sum[p](theta[p])\n") == ["VS0344"], wrong
    for wrong in ("stack(w[:])[p]", "stack(x=2)", "stack()"):
        assert codes(STACKS + f"  theta[p]: {wrong}\n  y: sum[p](theta[p])\n") == ["VS0343"], wrong
    _, found = diagnose(STACKS + "  theta[p]: stack(W[:])\n")
    assert found[0].help == ("all of 'W' is written W[:, :]",)
