"""Names, indices and subscripts."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, diagnose, good, shown

BASE = """
dims: {n: auto, i: 4, j: 4, s: 3, u, v: 4}
data:
  X[n, i]: real
  x[i]: real
  z[n]: integer
  W[u, v]: real
"""


def test_free_indices_in_order_of_first_appearance() -> None:
    spec = good(BASE + "define:\n  a[i, n]: sum[v](W[v, v])*x[i] + X[n, i]\n")
    body = definition(spec, "a").body
    assert body.axes == ("i", "n")
    assert definition(spec, "a").letters == ("i", "n")


def test_a_dim_is_named_by_its_first_letter() -> None:
    spec = good("dims: {'i, j': 3}\n")
    assert spec.letters == {"i": "i", "j": "i"}
    assert spec.dims["i"].letters == ("i", "j")


def test_diagonal_and_fixed_subscripts() -> None:
    spec = good(BASE + "define:\n  a[u]: W[u, u] - W[0, -1]\n")
    assert shown(spec, "a") == "sub(W[u, u], W[0, -1])"


def test_a_smaller_dim_may_index_a_larger_one() -> None:
    spec = good(BASE + "define:\n  a[s]: x[s + 1] - x[s]\n  b: sum[s](x[1 + s])\n  c[s]: x[s]\n")
    assert shown(spec, "a") == "sub(x[s + 1], x[s])"


@pytest.mark.parametrize("size", ["n - 1", "2*n - n - 1"])
def test_open_sizes_are_compared_as_sums(size: str) -> None:
    text = f"dims: {{n: auto, m: '{size}'}}\ndata:\n  x[n]: real\ndefine:\n  a[m]: x[m + 1] - x[m]\n"
    assert shown(good(text), "a") == "sub(x[m + 1], x[m])"
    assert codes(text.replace("m + 1", "m + 2")) == ["VS0207"]


def test_twice_as_many() -> None:
    text = "dims: {n: auto, m: 2*n + 1}\ndata:\n  x[m]: real\ndefine:\n  a[n]: x[2*n + 2] + x[2*n]\n"
    assert shown(good(text), "a") == "add(x[2*n + 2], x[2*n])"
    assert codes(text.replace("2*n + 2", "2*n + 3")) == ["VS0207"]


def test_equal_known_sizes_fit() -> None:
    assert shown(good(BASE + "define:\n  a[j]: x[j]\n"), "a") == "x[j]"


def test_gather() -> None:
    spec = good(BASE + "define:\n  a[n]: x[z[n]] + x[z[n] + 1]\n")
    assert shown(spec, "a") == "add(x[<z[n]>], x[<add(z[n], 1)>])"
    assert definition(spec, "a").body.axes == ("n",)


def test_delta_index_size() -> None:
    spec = good(BASE + "define:\n  a[u, v]: delta[u, v + 1]*index(u) + size(n)\n  b[n, i]: delta[z[n], i]\n")
    assert shown(spec, "a") == "add(mul(delta[index(u), add(index(v), 1)], real(index(u))), real(size(n)))"
    assert shown(spec, "b") == "delta[z[n], index(i)]"


def test_an_index_of_the_left_may_be_bound_again() -> None:
    spec = good(BASE + "define:\n  a[n, i]: X[n, i] - mean[n](X[n, i])\n")
    assert shown(spec, "a") == "sub(X[n, i], mean[n](X[n, i]))"


def test_an_index_only_on_the_left_broadcasts() -> None:
    assert definition(good(BASE + "define:\n  a[n, i]: x[i]\n"), "a").letters == ("n", "i")


def test_whole_axes_get_letters_of_their_own() -> None:
    spec = good(BASE + "define:\n  a[u]: solve(W[:, :] + delta[0, 1], x[:])[u]\n  b: logdet(W[:, :])\n")
    first = definition(spec, "a").body
    letters = [x for x in spec.letters if x.startswith("_")]
    assert len(letters) >= 5
    assert all(spec.letters[x] in ("u", "i") for x in letters)
    assert first.axes == ("u",)
    assert shown(spec, "b").startswith("logdet(W[_")


def test_batches_of_linear_systems() -> None:
    text = "dims: {b: 2, 'i, j': 3}\ndata:\n  A[b, i, j]: real\n  r[b, i]: real\ndefine:\n"
    spec = good(text + "  x[b, i]: solve(A[b, :, :], r[b, :])[i]\n  L: cholesky(A[0, :, :])[2, 1]\n")
    assert definition(spec, "x").body.axes == ("b", "i")
    assert definition(spec, "L").body.axes == ()


def test_every_mistake_of_an_expression_is_reported() -> None:
    assert codes(BASE + "define:\n  a[n]: foo + X[n] + sum[n](x[n]) + 2*i\n") == [
        "VS0201",
        "VS0206",
        "VS0208",
        "VS0211",
    ]


def test_a_mistake_is_not_repeated_by_those_who_read_it() -> None:
    assert codes(BASE + "define:\n  a[n]: foo\n  b[n]: a[n] + 1\n  c: sum[n](b[n])\nclaims:\n  ok: c > 0\n") == [
        "VS0201"
    ]


def test_diagnostics_come_in_the_order_of_the_file() -> None:
    _, found = diagnose(BASE + "define:\n  b: foo\n  a: bar\nclaims:\n  c: baz > 1\n")
    lines = [d.span.line for d in found if d.span is not None]
    assert lines == sorted(lines)
    assert len(lines) == 3
