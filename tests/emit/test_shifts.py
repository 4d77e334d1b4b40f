"""Text of shifts, reversals, strides backwards and parts of configurations, and that it computes what the graph means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.emit.harness import arg, axes, check, map_, op
from vspec.compiler.graph.node import Axis, Kind, Node

X, Y = ("x", 0), ("x", 1)


def shift(x: Node, axis: str, offset: int, mode: str) -> Node:
    return op(Kind.WINDOW, "shift", [x], x.axes, axis, offset, mode)


@pytest.mark.parametrize(
    ("axis", "offset", "mode", "text"),
    [
        ("n", 1, "periodic", "jnp.roll(x, -1, axis=0)"),
        ("i", -2, "periodic", "jnp.roll(x, 2, axis=1)"),
        ("n", 1, "zero", "jnp.pad(x, ((0, 1), (0, 0)))[1:]"),
        ("i", -2, "zero", "jnp.pad(x, ((0, 0), (2, 0)))[:, :-2]"),
        # Sizes are open here, so that a shift may be longer than its axis.
        ("i", 7, "zero", "jnp.pad(x, ((0, 0), (0, 7)))[:, 7:]"),
        ("i", -7, "periodic", "jnp.roll(x, 7, axis=1)"),
    ],
)
def test_shifts(axis: str, offset: int, mode: str, text: str, tmp_path: Path) -> None:
    assert text in check(shift(arg("x", "n", "i"), axis, offset, mode), tmp_path)


@pytest.mark.parametrize(("mode", "text"), [("periodic", "jnp.roll(y, -1)"), ("zero", "jnp.pad(y, (0, 1))[1:]")])
def test_shifts_of_one_axis(mode: str, text: str, tmp_path: Path) -> None:
    assert text in check(shift(arg("y", "n"), "n", 1, mode), tmp_path)


def test_a_shift_in_a_formula(tmp_path: Path) -> None:
    y = arg("y", "n")
    ahead, behind = shift(y, "n", 1, "periodic"), shift(y, "n", -1, "periodic")
    text = check(map_(("sub", ("add", X, Y), ("mul", ("num", 2), ("x", 2))), ahead, behind, y), tmp_path)
    assert "return jnp.roll(y, -1) + jnp.roll(y, 1) - 2 * y" in text


def test_reversals(tmp_path: Path) -> None:
    x = arg("x", "n", "i")
    text = check(
        {("a",): op(Kind.WINDOW, "flip", [x], x.axes, "n"), ("b",): op(Kind.WINDOW, "flip", [x], x.axes, "i")}, tmp_path
    )
    assert "x[::-1]" in text
    assert "x[:, ::-1]" in text


def test_strides_backwards(tmp_path: Path) -> None:
    k, b = Axis("k", "k"), Axis("b", "b")
    x, two = arg("x", "k"), arg("two", "b")
    results: dict[Any, Node] = {
        ("to_the_start",): op(Kind.WINDOW, "affine", [x], (b,), "k", "b", -3, 3),
        ("inside",): op(Kind.WINDOW, "affine", [x], (b,), "k", "b", -2, 4),
        ("back",): op(Kind.SCATTER, "affine", [two], (k,), "b", k, -3, 3),
    }
    text = check(results, tmp_path, dims={"k": 5, "b": 2})
    assert "x[3::-3]" in text
    assert "x[4:1:-2]" in text
    assert ".at[3::-3].set(two)" in text


@pytest.mark.parametrize(
    ("dims", "text"),
    [
        ({"s": 8, "i": 3, "b": 2}, "jnp.arange(8)[:, None] // 2 ** jnp.arange(3)[::-1] % 2"),
        ({"s": 125, "i": 3, "k": 5}, "jnp.arange(125)[:, None] // 5 ** jnp.arange(3)[::-1] % 5"),
    ],
)
def test_parts(dims: dict[str, int], text: str, tmp_path: Path) -> None:
    base = "b" if "b" in dims else "k"
    assert text in check(op(Kind.INDEX, "part", (), axes("s", "i"), base, dtype="integer"), tmp_path, {}, dims)
