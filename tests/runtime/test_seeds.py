"""Claims over several seeds: all of them, so many, or their mean."""

from __future__ import annotations

from typing import Any

import pytest

from vspec.runtime.claims import ClaimResult, over_seeds

THAT = {"kind": "that", "require": "all", "measures": [{"text": "error", "relation": "<"}]}
IDENTITY = {"kind": "identity", "require": "all", "tolerance": 0.5}
NAN = float("nan")


def judged(figures: tuple[float, ...], kind: str = "that") -> dict[int, ClaimResult]:
    """What each seed gave of `error < 1`, or of an identity at two points."""
    limit = 1.0 if kind == "that" else 0.5
    return {
        seed: ClaimResult(
            "c", "error < 1", kind, f < limit, f"{f:g}", "< 1", None, "at the solution", 3,
            figures=(f,) if kind == "that" else (0.0, f), limits=(1.0,) if kind == "that" else (),
        )
        for seed, f in enumerate(figures, start=7)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("require", "figures", "holds"),
    [
        ("all", (0.1, 0.2, 0.3), True),
        ("all", (0.1, 2.0, 0.3), False),
        (2, (0.1, 2.0, 0.3), True),
        (3, (0.1, 2.0, 0.3), False),
        ("mean", (0.1, 2.0, 0.3), True),
        ("mean", (0.1, 3.0, 0.3), False),
        ("mean", (0.1, NAN, 0.3), False),
    ],
)
@pytest.mark.parametrize("kind", ["that", "identity"])
def test_what_is_required(kind: str, require: str | int, figures: tuple[float, ...], holds: bool) -> None:
    claim: dict[str, Any] = {**(THAT if kind == "that" else {**IDENTITY, "tolerance": 1.0}), "require": require}
    results = {s: r if kind == "that" else ClaimResult(**{**r.as_dict(), "kind": kind, "figures": (0.0, *r.figures)})
               for s, r in judged(figures).items()}  # fmt: skip
    found = over_seeds(results, claim)
    assert found.holds is holds
    assert [s["seed"] for s in found.seeds] == [7, 8, 9]
    assert "seeds 7 to 9" in found.where


def test_one_seed_is_the_claim_itself() -> None:
    results = judged((0.25,))
    assert over_seeds(results, THAT) is results[7]


def test_what_is_measured() -> None:
    assert over_seeds(judged((0.25, 0.5, 2.0)), {**THAT, "require": 2}).measured == "0.25 to 2: 2 of 3 seeds hold"
    mean = over_seeds(judged((0.25, 0.5)), {**THAT, "require": "mean"})
    assert (mean.measured, mean.figures, mean.limits) == ("mean 0.375", (0.375,), (1.0,))
    truths = {s: ClaimResult("c", "a or b", "that", s == 0, "true", "true", None, "", 1) for s in (0, 1)}
    assert over_seeds(truths, {"kind": "that", "require": 1, "measures": []}).measured == "1 of 2 seeds hold"


def test_several_figures_over_seeds() -> None:
    """A chain is one figure with two bounds; how many seeds hold stands on a line of its own."""
    measures = [
        {"text": "a", "relation": ">", "bound": "0"},
        {"text": "a", "relation": "<", "bound": "1"},
        {"text": "b", "relation": "<", "bound": "9"},
    ]
    each = {
        seed: ClaimResult("c", "", "that", a < 1, "", "", None, "at the solution", 3,
                          figures=(a, a, 5.0), limits=(0.0, 1.0, 9.0))
        for seed, a in enumerate((0.25, 0.5, 2.0))
    }  # fmt: skip
    found = over_seeds(each, {"kind": "that", "require": 2, "measures": measures})
    assert found.measured == "a = 0.25 to 2; b = 5: 2 of 3 seeds hold"
    assert [(p.measured, p.bound) for p in found.parts] == [
        ("a = 0.25 to 2", "> 0, < 1"), ("b = 5", "< 9"), ("2 of 3 seeds hold", "")
    ]  # fmt: skip
    mean = over_seeds(each, {"kind": "that", "require": "mean", "measures": measures})
    assert mean.measured == "mean a = 0.9167; b = 5"
    assert [p.measured for p in mean.parts] == ["mean a = 0.9167", "mean b = 5"]
    assert mean.holds
