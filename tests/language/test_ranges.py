"""Positions in computed subscripts: what is proved, what is checked, what is only listed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.language.helpers import codes, definition, good
from vspec.compiler import pipeline
from vspec.compiler.language.ranges import Ranges
from vspec.runtime.errors import DataError
from vspec.runtime.program import load

SPEC = """\
dims: {n: auto, m: auto, k: 'm + 2', i: 5}
constants:
  c: 3
data:
  z[n]: integer
  few[n]: {type: integer, in: [0, 2]}
  X[n, i]: real
  T[k]: real
  S[i]: real
  P[m]: real
define:
  y[n]: INDEX
"""


def proved(index: str, dim: str, letters: str = "n") -> bool:
    """Whether the compiler knows that an integer expression is a position along a dim, for all sizes."""
    spec = good(SPEC.replace("y[n]: INDEX", f"y[{letters}]: {index}"))
    return Ranges(spec).inside(definition(spec, "y").body, dim)


@pytest.mark.parametrize(
    ("index", "dim"),
    [
        ("index(n)", "n"),
        ("index(n) % size(i)", "i"),
        ("z[n] % size(m)", "m"),
        ("z[n] % 5", "i"),
        ("few[n]", "i"),
        ("few[n]", "k"),
        ("2 - few[n]", "i"),
        ("clip(z[n], 0, size(m) - 1)", "m"),
        ("max(min(z[n], 4), 0)", "i"),
        ("few[n]*2", "i"),
        ("(z[n] % 10)//2", "i"),
        ("argmax[i](X[n, i])", "i"),
        ("argsort[n](z[n])", "n"),
        ("sort[n](few[n])", "i"),
        ("max[m](index(m) + 1) + 0*index(n)", "k"),
        ("few[n] if z[n] > 0 else 4", "i"),
        ("stop(few[n])", "i"),
        ("abs(few[n] - 2)", "i"),
        ("sign(z[n]) + 1", "i"),
    ],
)
def test_proved(index: str, dim: str) -> None:
    assert proved(index, dim)


@pytest.mark.parametrize(
    ("index", "dim"),
    [
        ("z[n]", "i"),
        ("few[n]", "m"),
        ("few[n] - 1", "i"),
        ("few[n]*3", "i"),
        ("index(n)", "m"),
        ("z[n] % 6", "i"),
        ("z[n] % size(n)", "m"),
        ("clip(z[n], 0, size(m))", "m"),
        ("min(z[n], 4)", "i"),
        ("max(z[n], 0)", "i"),
        ("few[n] if z[n] > 0 else -1", "i"),
        ("sum[m](index(m)) + 0*z[n]", "k"),
        ("z[n]//2", "i"),
    ],
)
def test_not_proved(index: str, dim: str) -> None:
    assert not proved(index, dim)


def test_a_bound_holds_for_all_sizes() -> None:
    """`index(m) + 2` reaches m + 1, the last position of k; one more is too far."""
    assert proved("index(m) + 2", "k", "m")
    assert not proved("index(m) + 3", "k", "m")


def test_data_in_a_subscript_is_bounded_by_every_axis_it_reads() -> None:
    spec = good(SPEC.replace("INDEX", "S[z[n]] + T[z[n]] + P[z[n]]"))
    ranges = Ranges(spec)
    assert ranges.indexed == {"z": ("i", "k", "m")}
    assert ranges.tightest("z") == ("i", "k", "m")
    assert not ranges.unproved()
    # What is refused elsewhere is a proof here.
    assert proved("0*z[n] + z[n] if S[z[n]] > 0 else 0", "i")


def test_a_definition_that_names_data_is_the_data() -> None:
    spec = good(SPEC.replace("y[n]: INDEX", "label[n]: z[n]\n  y[n]: S[label[n]]"))
    assert Ranges(spec).indexed == {"z": ("i",)}


def test_what_is_not_proved_is_listed(tmp_path: Path) -> None:
    text = "vspec: 1\nname: listed\n" + SPEC.replace("INDEX", "S[z[n]//2] + S[few[n]] + S[z[n] % 5]")
    path = tmp_path / "listed.yaml"
    path.write_text(text + "outputs:\n  y[n]: y[n]\n")
    built = pipeline.build(path, tmp_path / "build", stablehlo=False)
    report = json.loads((built.directory / "report.json").read_text())
    line = next(k for k, t in enumerate(text.splitlines(), 1) if "S[z[n]//2]" in t)
    column = text.splitlines()[line - 1].index("z[n]//2") + 1
    assert report["unproved_subscripts"] == [{"line": line, "column": column, "array": "S", "axis": "i"}]


@pytest.mark.parametrize(
    "define",
    ["y[n]: S[few[n]*0 + 5]", "y[n]: S[few[n] - 3]", "y[n]: S[c] + 0*X[n, 0]"],
)
def test_outside_for_every_value(define: str) -> None:
    text = SPEC.replace("y[n]: INDEX", define).replace("c: 3", "c: 5")
    assert codes(text) == ["VS0335"]


def test_a_linear_solve_has_positions_too() -> None:
    text = "dims: {i, j: 3}\ndata:\n  A[i, j]: real\n  b[i]: real\n  z: {type: integer, in: [3]}\n"
    assert codes(text + "define:\n  y: solve(A[:, :], b[:])[z]\n") == ["VS0335"]


GATHER = """\
vspec: 1
name: gather
precision: float64
dims: {n: auto, k: auto}
constants:
  first[n]: [0, 1]
data:
  z[n]: integer
  T[k]: real
outputs:
  y[n]: T[z[n]] + T[first[n]]
"""


def bind(tmp_path: Path, z: list[int], constants: dict[str, list[int]] | None = None) -> list[float]:
    path = tmp_path / "gather.yaml"
    path.write_text(GATHER)
    program = load(pipeline.build(path, tmp_path / "gather", stablehlo=False).directory)
    bound = program.bind({"z": np.array(z), "T": np.array([1.0, 2.0, 4.0])}, constants)
    return [float(v) for v in program.call("outputs", {}, bound)["y"]]


def test_positions_are_checked_when_data_is_bound(tmp_path: Path) -> None:
    assert bind(tmp_path, [2, 0]) == [5.0, 3.0]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_data_that_leaves_the_axis_is_refused(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(DataError) as error:
        bind(tmp_path, [2, wrong])
    assert error.value.code == "VS0518"
    assert error.value.line == 8
    assert f"'z' has {wrong} at [1], which is no position along 'k' of size 3" in error.value.message


def test_a_constant_that_leaves_the_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        bind(tmp_path, [2, 0], {"first": [0, 9]})
    assert error.value.code == "VS0518"
    assert "constant 'first' has 9 at [1]" in error.value.message
