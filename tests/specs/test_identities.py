"""The identities of matrix calculus hold, and each would fail if a side were wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

import vspec

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "identities"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_identities_hold_and_can_fail(path: Path, tmp_path: Path) -> None:
    claims = vspec.verify(path)
    assert {c.kind for c in claims} == {"identity"}
    assert [c.name for c in claims if not c.holds] == []
    wrong = tmp_path / path.name
    # A thousandth is added to one side of each.
    text = path.read_text(encoding="utf-8")
    head, tail = text.split("claims:\n")
    wrong.write_text(f"{head}claims:\n{tail.replace(' == ', ' + 0.001 == ')}", encoding="utf-8")
    assert [c.name for c in vspec.verify(wrong) if c.holds] == []


def test_there_are_enough() -> None:
    assert sum(p.read_text(encoding="utf-8").count("identity:") for p in FILES) >= 80
