"""Did-you-mean: near names are offered, far ones are not."""

from __future__ import annotations

import pytest

from vspec.compiler.diagnostics.suggest import did_you_mean, distance, nearest

SECTIONS = [
    "vspec",
    "name",
    "dims",
    "constants",
    "data",
    "params",
    "define",
    "objectives",
    "solve",
    "outputs",
    "claims",
]


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("objectivs", SECTIONS, "objectives"),
        ("objective", SECTIONS, "objectives"),
        ("parameters", SECTIONS, "params"),
        ("param", SECTIONS, "params"),
        ("Dims", SECTIONS, "dims"),
        ("DATA", SECTIONS, "data"),
        ("ouptuts", SECTIONS, "outputs"),
        ("banana", SECTIONS, None),
        ("x", ["y", "z"], None),
        ("X", ["x", "y"], "x"),
        ("w", ["W"], "W"),
        ("lamda", ["alpha", "lambda", "mu"], "lambda"),
        ("logsumexpp", ["logsumexp", "log"], "logsumexp"),
        ("residual_norm", ["residual", "value"], "residual"),
        ("same", ["same"], None),
        ("any", [], None),
    ],
)
def test_nearest(name: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(name, candidates) == expected


def test_the_answer_does_not_depend_on_the_order() -> None:
    assert nearest("abcd", ["abce", "abcf"]) == nearest("abcd", ["abcf", "abce"])


def test_the_help_line() -> None:
    assert did_you_mean("dmis", SECTIONS) == "did you mean 'dims'?"
    assert did_you_mean("banana", SECTIONS) == ""


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "ab", 1), ("abc", "acb", 1), ("abc", "axc", 1), ("a", "bcd", 3)],
)
def test_distance(a: str, b: str, edits: int) -> None:
    assert distance(a, b, 3) == edits
    assert distance(b, a, 3) == edits


def test_distance_stops_at_its_limit() -> None:
    assert distance("aaaa", "bbbb", 2) == 3
    assert distance("a", "abcdefgh", 2) == 3
