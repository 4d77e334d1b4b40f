"""Misspelt keys and words of a spec come with the one that was meant."""

from __future__ import annotations

import pytest

from vspec.compiler.diagnostics.suggest import SYNONYMS
from vspec.compiler.pipeline import check_text
from vspec.compiler.source.structure import schema


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("objectiv: {a: 1}", "objectives"),
        ("parameters: {}", "params"),
        ("dimension: {}", "dims"),
        ("equations: {}", "define"),
        ("Solve: {minimize: a}", "solve"),
        ("description: a", "doc"),
        ("solve: {minimise: a}", "minimize"),
        ("solve: {minimize: a, step: 3}", "steps"),
        ("solve: {minimize: a, optimizer: adam}", "method"),
        ("solve: {minimize: a, params: [w]}", "over"),
        ("params: {w: {initial: 0}}", "init"),
        ("params: {w: {bounds: 0}}", "domain"),
        ("data: {x: {file: a}}", "source"),
        ("data: {x: {distribution: a}}", "draw"),
        ("data: {x: float}", "real"),
        ("dims: {x: {size: 3, boundry: zero}}", "boundary"),
        ("dims: {x: {size: 3, boundary: peridic}}", "periodic"),
        ("outputs: {a: {value: 1}}", "is"),
        ("outputs: {a: {is: 1, plot: lines}}", "line"),
        ("claims: {a: {than: 1}}", "that"),
        ("precision: double", "float64"),
        ("runs: {a: {dim: {}}}", "dims"),
    ],
)
def test_the_one_that_was_meant(text: str, meant: str) -> None:
    first = check_text(f"vspec: 1\nname: x\n{text}\n", "a.yaml")[1][0]
    assert first.help[0] == f"did you mean '{meant}'?"


@pytest.mark.parametrize("key", ["minimize", "minimise", "steps", "batch"])
def test_an_option_of_a_stage_at_the_left_margin(key: str) -> None:
    first = check_text(f"vspec: 1\nname: x\n{key}: a\n", "a.yaml")[1][0]
    assert first.code == "VS0130"
    assert "solve" in first.help[0]


def test_far_words_come_with_all_that_are_known() -> None:
    first = check_text("vspec: 1\nname: x\nparams: {w: {zzz: 1}}\n", "a.yaml")[1][0]
    assert first.help == ("known keys: init, domain, type",)


def test_no_synonym_hides_a_key_of_the_same_name() -> None:
    keys = set(schema()["properties"])
    for word, meanings in SYNONYMS.items():
        assert word not in meanings
        assert word not in keys or not set(meanings) & keys, word
