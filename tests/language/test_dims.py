"""Dims: boundaries, coordinates, configurations, sizes; and the subscripts on their axes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.language.helpers import codes, diagnose, good, shown
from vspec.compiler.language.spec import Spec

AXES = """\
dims:
  x, y: {size: 8, boundary: periodic}
  z: {size: 6, boundary: zero}
  r: {size: auto, boundary: reflect}
  i, j: 5
  n, m: auto
  s: 4
  t: 3
data:
  u[x]: real
  v[z]: real
  w[r]: real
  a[i]: real
  b[n]: real
"""


def read(subscript: str, left: str) -> str:
    name = subscript.split("[")[0]
    spec = good(AXES + f"define:\n  out{left}: {subscript}\n")
    return shown(spec, "out").removeprefix(name)


@pytest.mark.parametrize(
    ("subscript", "left", "expected"),
    [
        ("u[x + 1]", "[x]", "[x + 1 periodic]"),
        ("u[x - 1]", "[x]", "[x + -1 periodic]"),
        ("u[2*y - 1]", "[y]", "[2*y + -1 periodic]"),
        ("u[-x]", "[x]", "[-1*x periodic]"),
        ("v[z - 9]", "[z]", "[z + -9 zero]"),
        ("w[r + 1]", "[r]", "[r + 1 reflect]"),
        ("w[size(r) - r]", "[r]", "[-1*r + 1*size(r) reflect]"),
        # What surely stays inside has no boundary.
        ("u[2*s + 1]", "[s]", "[2*s + 1]"),
        ("u[7 - x]", "[x]", "[-1*x + 7]"),
        ("w[size(r) - 1 - r]", "[r]", "[-1*r + 1*size(r) + -1]"),
        # A letter of another dim reads beyond the ends, too, where it is shifted.
        ("u[i + 5]", "[i]", "[i + 5 periodic]"),
        # Fixed positions count from the end, whatever the boundary.
        ("u[-1]", "", "[-1]"),
        ("v[-2]", "", "[-2]"),
    ],
)
def test_boundaries_say_what_a_shifted_subscript_reads(subscript: str, left: str, expected: str) -> None:
    assert read(subscript, left) == expected


@pytest.mark.parametrize(
    ("subscript", "left", "expected"),
    [
        ("a[4 - i]", "[i]", "[-1*i + 4]"),
        ("a[size(i) - 1 - i]", "[i]", "[-1*i + 4]"),
        ("a[3 - s]", "[s]", "[-1*s + 3]"),
        ("a[2*(2 - t)]", "[t]", "[-2*t + 4]"),
        ("a[i + size(i) - 5]", "[i]", "[i]"),
        ("a[size(i) - 1]", "", "[4]"),
        ("a[1 + 2]", "", "[3]"),
        ("b[size(n) - 1 - m]", "[m]", "[-1*m + 1*size(n) + -1]"),
        ("b[n + size(n) - size(m)]", "[n]", "[n]"),
        ("b[size(n) - 1]", "", "[<sub(size(n), 1)>]"),
        ("a[index(i)//2]", "[i]", "[<floordiv(index(i), 2)>]"),
    ],
)
def test_affine_subscripts(subscript: str, left: str, expected: str) -> None:
    assert read(subscript, left) == expected


@pytest.mark.parametrize(
    ("subscript", "left", "code"),
    [
        ("a[i + 1]", "[i]", "VS0207"),
        ("a[i - 1]", "[i]", "VS0207"),
        ("a[5 - i]", "[i]", "VS0207"),
        ("a[size(i)]", "", "VS0207"),
        ("a[size(i) - 6]", "", "VS0207"),
        ("b[size(n) - m]", "[m]", "VS0207"),
        ("b[size(n) - 1 - i]", "[i]", "VS0207"),
        ("b[m - 1]", "[m]", "VS0207"),
        ("u[n]", "[n]", "VS0208"),
        ("v[x]", "[x]", "VS0208"),
        ("u[8]", "", "VS0207"),
        ("u[i + x]", "[i, x]", "VS0211"),
        ("u[300000000*x]", "[x]", "VS0725"),
        ("w[200*r]", "[r]", "VS0725"),
    ],
)
def test_what_may_leave_an_axis_is_refused(subscript: str, left: str, code: str) -> None:
    assert code in codes(AXES + f"define:\n  out{left}: {subscript}\n")


def test_a_refused_shift_suggests_a_boundary() -> None:
    _, found = diagnose(AXES + "define:\n  out[i]: a[i + 1]\n")
    assert any("boundary: periodic" in h for d in found for h in d.help)


def test_open_sizes_are_at_least_one() -> None:
    text = "dims: {n: auto, m: 2*n + 1, k: n + 3}\ndata:\n  a[m]: real\n  b[k]: real\ndefine:\n"
    good(text + "  c[n]: a[n] + a[2*n + 2] + a[n + 2] + b[n + 3]\n")
    assert codes(text + "  c[n]: a[2*n + 3]\n") == ["VS0207"]
    assert codes(text + "  c[n]: a[n + 3]\n") == ["VS0207"]


def test_inside_a_recurrence_space_has_a_boundary_and_time_keeps_its_rule() -> None:
    text = "dims: {t: TIME, x: {size: 4, boundary: periodic}, z: {size: 9, boundary: zero}}\ndata: {'f[z]': real}\ndefine:\n"
    text += "  u[0, x]: 1.0\n"
    plain, bounded = text.replace("TIME", "9"), text.replace("TIME", "{size: 9, boundary: zero}")
    good(plain + "  u[t + 1, x]: u[t, x + 1] + u[t, x - 1] + f[t - 1]\n")
    assert codes(plain + "  u[t + 1, x]: u[t - 1, x]\n") == ["VS0207"]
    assert codes(bounded + "  u[t + 1, x]: u[t - 1, x]\n") == ["VS0309"]


def test_negative_scales_do_not_stand_on_the_left() -> None:
    assert codes("dims: {t: 5}\ndefine:\n  u[0]: 1\n  u[1 - t]: u[t]\n") == ["VS0308"]
    assert "VS0220" in codes("dims: {t: 5}\ndefine:\n  u[size(t)]: 1\n")


# --- coordinates ----------------------------------------------------------------------------------------------------


def test_coordinates_are_expressions_of_constants() -> None:
    spec = good(
        "dims:\n  x, y: {size: 5, from: -L, to: 2*pi*L}\nconstants: {L: 2}\ndefine:\n  a[x, y]: coord(x)*spacing(y)\n"
    )
    assert shown(spec, "a") == "mul(coord(x), spacing(y))"
    assert spec.dims["x"].low is not None
    assert spec.dims["x"].high is not None
    assert spec.dims["x"].low.dtype == "real"


@pytest.mark.parametrize(
    ("dim", "code"),
    [
        ("{size: 5, from: 1, to: 0}", "VS0336"),
        ("{size: 5, from: L, to: 2}", "VS0336"),
        ("{size: 1, from: 0, to: 1}", "VS0336"),
        ("{size: 5, from: 0, to: w}", "VS0336"),
        ("{size: 5, from: 0, to: 1 +}", "VS0230"),
        ("{size: 5, from: 0}", "VS0136"),
        ("{size: 5, to: 0}", "VS0136"),
    ],
)
def test_wrong_ends(dim: str, code: str) -> None:
    assert code in codes(f"dims:\n  x: {dim}\nconstants: {{L: 2}}\nparams: {{w: {{init: 1}}}}\n")


def test_an_override_of_a_constant_moves_the_ends() -> None:
    text = "dims:\n  x: {size: 5, from: 1, to: L}\nconstants: {L: 2}\n"
    good(text, {"L": 3})
    assert codes(text, {"L": 0.5}) == ["VS0336"]


def test_one_period_may_be_one_value() -> None:
    good("dims:\n  x: {size: 1, from: 0, to: 1, boundary: periodic}\ndefine:\n  h: spacing(x)\n")


# --- configurations -------------------------------------------------------------------------------------------------

CONFIGURATIONS = "dims:\n  s, q: {configurations: c, of: i}\n  i, j: 4\n  c: 3\n  k: 2\n"


def size(spec: Spec, dim: str) -> Any:
    return spec.dims[dim].size


def test_a_dim_of_configurations_may_stand_before_what_it_is_made_of() -> None:
    spec = good(
        CONFIGURATIONS + "define:\n  a[s, i]: part(s, i)\n  b[q, k]: part(q, k + 2) + part(q, -1)\n  n: size(s)\n"
    )
    assert size(spec, "s") == 81
    assert spec.dims["s"].configures == ("c", "i")
    assert shown(spec, "a") == "part(s, i)"
    assert shown(spec, "b") == "add(part(q, k + 2), part(q, -1))"


def test_parts_are_integers_that_index_and_compare() -> None:
    text = (
        CONFIGURATIONS
        + "constants:\n  e[i, c]: [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]]\n  z[c]: [0, 1, 1]\ndefine:\n"
    )
    spec = good(
        text
        + "  o[s, i]: part(s, i)\n  a[s]: sum[i](e[i, o[s, i]])\n  b[s]: sum[i](o[s, i] == 1)\n"
        + "  f[s, i, j]: delta[part(s, i), part(s, j)]*z[o[s, i]]\n"
    )
    assert shown(spec, "f") == "mul(delta[part(s, i), part(s, j)], real(z[<o[s, i]>]))"
    assert {e.name: e.dtype for e in spec.equations if hasattr(e, "dtype")}["o"] == "integer"


@pytest.mark.parametrize(
    ("dims", "overrides", "code"),
    [
        ("{configurations: c, of: l}", {}, "VS0338"),
        ("{configurations: s, of: i}", {}, "VS0338"),
        ("{configurations: c, of: i}", {"s": 4}, "VS0329"),
        ("{configurations: c, of: i}", {"i": 40}, "VS0725"),
        ("c**i", {"i": 40}, "VS0725"),
        ("{configurations: c, of: i, size: 3}", {}, "VS0136"),
        ("{configurations: c}", {}, "VS0136"),
    ],
)
def test_wrong_configurations(dims: str, overrides: dict[str, Any], code: str) -> None:
    assert code in codes(f"dims:\n  i: 4\n  c: 3\n  s: {dims}\n", overrides)


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size_", "value"),
    [("2**n", 32), ("2*n + 1", 11), ("n//2", 2), ("-n + 7", 2), ("(n - 3)**2 - 1", 3), ("size(n)**2", 25), ("n", 5)],
)
def test_sizes_are_whole_arithmetic(size_: str, value: int) -> None:
    assert size(good(f"dims:\n  m: {size_}\n  n: 5\n"), "m") == value
    assert size(good(f"dims:\n  m: {size_}\n  n: auto\n", {"n": 5}), "m") == value


@pytest.mark.parametrize(
    ("size_", "code"), [("2**(n - 6)", "VS0221"), ("n//(n - 5)", "VS0221"), ("9**(9**n)", "VS0725")]
)
def test_expressions_that_are_no_size(size_: str, code: str) -> None:
    assert codes(f"dims:\n  m: {size_}\n  n: 5\n") == [code]
    good(f"dims:\n  m: {size_}\n  n: auto\n")


def test_letters_of_different_dims_meet_in_delta_by_position() -> None:
    spec = good(
        "dims: {i: 3, k: 3, n: auto}\ndefine:\n  a[i, k]: delta[i, k]\n  b[i, n]: delta[i + 1, size(n) - 1 - n]\n"
    )
    assert shown(spec, "a") == "delta[index(i), index(k)]"
    assert shown(spec, "b") == "delta[add(index(i), 1), add(sub(-1, index(n)), size(n))]"
